"""The checks of the built book find what they look for."""

import pytest
from sitecheck import Site

GOOD = """<html><head><link rel="stylesheet" href="style.css"><script src="code.js"></script></head>
<body id="top"><a href="https://elsewhere.org/paper">a plain link is no resource</a>
<a href="other.html#there">x</a> <a href="#top">y</a> <img src="a.svg" alt="A curve that rises">
<div class="cell_output"><svg aria-label="A curve"></svg></div></body></html>"""


def problems(folder, html, css=""):
    (folder / "page.html").write_text(html)
    (folder / "other.html").write_text("<p id='there'></p>")
    (folder / "style.css").write_text(css)
    for name in ("code.js", "a.svg"):
        (folder / name).touch()
    return list(Site(folder).problems())


@pytest.mark.parametrize(
    "html",
    [
        "<script src='https://cdn.org/x.js'></script>",
        "<link rel='preconnect' href='//fonts.org'>",
        "<img src='http://a.org/a.png' alt='words'>",
        "<style>@font-face { src: url(https://fonts.org/f.woff2) }</style>",
        "<script>const s = 'https://cdn.org/require.js';</script>",
        "<a href='gone.html'>x</a>",
        "<a href='other.html#gone'>x</a>",
        "<a href='#gone'>x</a>",
        "<div class='output traceback highlight'>ZeroDivisionError</div>",
        "<div class='output stderr'>a warning</div>",
        "<img src='a.svg'>",
        "<img src='a.svg' alt='../_images/a.svg'>",
        "<div class='cell_output'><svg></svg></div>",
    ],
)
def test_each_problem_is_found_once(tmp_path, html):
    assert problems(tmp_path, GOOD) == []
    assert len(problems(tmp_path, GOOD, css="@import 'https://fonts.org/all.css';")) == 1
    assert len(problems(tmp_path, GOOD.replace("<img", f"{html}<img", 1))) == 1
