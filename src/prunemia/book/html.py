"""An executed page as one HTML file that needs nothing else: no network, no folder beside it."""

from __future__ import annotations

import copy
import html
import re
from pathlib import Path
from typing import Any

MATHJAX = Path("book/_static/mathjax/tex-svg.js")
STYLE = """
:root { color-scheme: light; font: 16px/1.55 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; background: #fff; }
pre { overflow-x: auto; padding: .6rem .8rem; border-radius: 4px; font-size: .85rem; }
.input pre, p code, li code { background: #f4f4f4; }
.prompt, .anchor-link { display: none; }
.output { overflow-x: auto; margin: .6rem 0; }
img, svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
h1, h2, h3 { line-height: 1.25; margin-top: 2rem; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
{math}
</head>
<body>
{body}
</body>
</html>
"""
_MATH = """<script>MathJax = {{tex: {{inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]]}}}};</script>
<script>{script}</script>"""


def standalone(notebook: Any, source: Path) -> str:
    """Return a resolved notebook as a self-contained HTML page, as the book shows its cells.

    Parameters
    ----------
    notebook : as `readable.resolve` returns it; it stays as it is.
    source : where it comes from; formulas are drawn by the MathJax of the book around it.
    """
    from nbconvert import HTMLExporter  # slow to import, and only this needs it
    from pygments.formatters import HtmlFormatter

    exporter = HTMLExporter(template_name="basic", embed_images=True, exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(_as_in_the_book(notebook))
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    return PAGE.format(
        title=html.escape(re.sub("<.*?>", "", title[1])) if title else "A page",
        style=HtmlFormatter().get_style_defs(".highlight") + STYLE,
        math=_mathjax(source) if "$" in body else "",
        body=body,
    )


def _as_in_the_book(notebook: Any) -> Any:
    """Return a copy without the cells that the book removes, and with the figures' texts."""
    shown = copy.deepcopy(notebook)
    shown.cells = [c for c in shown.cells if "remove-cell" not in c.metadata.get("tags", [])]
    for cell in shown.cells:
        if alt := cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            cell.metadata["alt"] = alt
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _is_record(output)]
    return shown


def _is_record(output: Any) -> bool:
    """Say whether an output holds a glued value only, for the prose, and nothing to show."""
    kinds = output.get("data", {})
    return bool(kinds) and all(kind.startswith("application/papermill") for kind in kinds)


def _mathjax(source: Path) -> str:
    """Return the book's MathJax as a script; "" outside of the book: formulas stay as TeX."""
    for folder in source.resolve().parents:
        if (folder / MATHJAX).is_file():
            script = (folder / MATHJAX).read_text(encoding="utf-8")
            # In a page, this would end the script.
            return _MATH.format(script=script.replace("</script", "<\\/script"))
    return ""
