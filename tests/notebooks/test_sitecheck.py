"""The checks of the built book find what they look for."""

import pytest
from sitecheck import Site

GOOD = """<html><head><link rel="stylesheet" href="style.css"><script src="code.js"></script></head>
<body id="top"><a href="https://elsewhere.org/paper">a plain link is no resource</a>
<a href="other.html#there">x</a> <a href="#top">y</a> <img src="a.svg" alt="A curve that rises">
<div class="cell_output"><svg aria-label="A curve"></svg></div></body></html>"""


@pytest.fixture
def site(tmp_path):
    def build(html, css=""):
        (tmp_path / "page.html").write_text(html)
        (tmp_path / "other.html").write_text("<p id='there'></p>")
        (tmp_path / "style.css").write_text(css)
        for name in ("code.js", "a.svg"):
            (tmp_path / name).touch()
        return Site(tmp_path)

    return build


def test_a_good_page_has_no_problems(site):
    assert list(site(GOOD).problems()) == []


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
        "<img src='gone.svg' alt='words'>",
        "<div class='output traceback highlight'>ZeroDivisionError</div>",
        "<div class='output stderr'>a warning</div>",
        "<img src='a.svg' alt=' '>",
        "<img src='a.svg'>",
        "<img src='a.svg' alt='../_images/a.svg'>",
        "<div class='cell_output'><svg></svg></div>",
    ],
)
def test_each_problem_is_found_once(site, html):
    assert len(list(site(GOOD.replace("<img", f"{html}<img", 1)).problems())) == 1


def test_style_sheets_load_nothing_from_elsewhere(site):
    assert len(list(site(GOOD, css="@import 'https://fonts.org/all.css';").problems())) == 1
