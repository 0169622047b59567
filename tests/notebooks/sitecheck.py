"""What a built site must not have: foreign resources, broken links, errors, mute pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "link": ("href",),
    "use": ("href", "xlink:href"),
}
"""Tags and the attributes from which a browser loads something without being asked."""
ELSEWHERE = re.compile(r"^\s*(https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\s\"')]+)")
IN_SCRIPT = re.compile(r"[\"'`]((?:https?:)?//[^\s\"'`]+\.(?:js|mjs|css|json|woff2?)[^\s\"'`]*)")


class Site:
    """The HTML pages of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def pages(self) -> dict[Path, BeautifulSoup]:
        """Every HTML page by its path, parsed."""
        found = sorted(path for path in self.folder.rglob("*.html") if "_static" not in path.parts)
        return {
            path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in found
        }

    @cached_property
    def anchors(self) -> dict[Path, set[str]]:
        """The ids of every page."""
        return {
            path: {str(tag["id"]) for tag in page.find_all(id=True)}
            for path, page in self.pages.items()
        }

    def external_resources(self) -> Iterator[str]:
        """Yield what a browser would load from another host."""
        for path, page in self.pages.items():
            for tag in page.find_all(list(LOADING)):
                values = [str(tag.get(attribute, "")) for attribute in LOADING[tag.name]]
                yield from (
                    f"{path.name}: <{tag.name}> {value}"
                    for value in values
                    if ELSEWHERE.match(value)
                )
            for tag in page.find_all(["style", "script"]):
                pattern = IN_STYLE if tag.name == "style" else IN_SCRIPT
                yield from (f"{path.name}: {url}" for url in pattern.findall(tag.string or ""))
        for path in self.folder.rglob("*.css"):
            yield from (
                f"{path.name}: {url}" for url in IN_STYLE.findall(path.read_text(encoding="utf-8"))
            )

    def broken_links(self) -> Iterator[str]:
        """Yield links to files or anchors of this site that are not there."""
        for path, page in self.pages.items():
            for tag in page.find_all(["a", *LOADING]):
                for attribute in ("href", "src"):
                    url = urlsplit(str(tag.get(attribute) or ""))
                    if not (url.scheme or url.netloc) and not self._leads_somewhere(
                        path, url.path, url.fragment
                    ):
                        yield f"{path.name}: {tag.get(attribute)}"

    def _leads_somewhere(self, path: Path, target: str, fragment: str) -> bool:
        file = (path.parent / unquote(target)).resolve() if target else path
        if file not in self.pages or not fragment:
            return file.exists()
        return unquote(fragment) in self.anchors[file]

    def errors(self) -> Iterator[str]:
        """Yield what cells wrote as errors or to stderr."""
        for path, page in self.pages.items():
            yield from (
                f"{path.name}: {_words(tag)}"
                for tag in page.select(".output.traceback, .output.stderr")
            )

    def pictures_without_words(self) -> Iterator[str]:
        """Yield images without an alternative text, and drawings in outputs without a label."""
        for path, page in self.pages.items():
            for tag in page.find_all("img"):
                if not str(tag.get("alt") or "").strip() or str(tag["alt"]).startswith(
                    ("../", "_images")
                ):
                    yield f"{path.name}: {tag.get('src')}"
            for tag in page.select(".cell_output svg"):
                placeholder = tag.find_parent(
                    ["table", "noscript"]
                )  # an interactive table's, until its script runs
                if not tag.get("aria-label") and not placeholder:
                    yield f"{path.name}: an inline drawing"


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())[:200]
