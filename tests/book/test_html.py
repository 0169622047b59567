import base64

import bs4
import pytest
from nbformat import v4

from prunemia.book.html import standalone

PNG = base64.b64encode(b"\x89PNG").decode()


@pytest.fixture
def page(tmp_path):
    """Return the page of a notebook with prose, a formula, a figure and hidden cells; parsed."""

    def made(mathjax="/* draws */ '</script>'", prose="It is $x < 1$ and [more](https://x)."):
        if mathjax:
            folder = tmp_path / "book" / "_static" / "mathjax"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "tex-svg.js").write_text(mathjax)
        figure = v4.new_code_cell(
            "plot()", metadata={"mystnb": {"image": {"alt": "Two <curves>."}}}
        )
        figure.outputs = [v4.new_output("display_data", data={"image/png": PNG})]
        secret = v4.new_code_cell("glue_it()", metadata={"tags": ["remove-cell"]})
        glued = v4.new_code_cell("1")
        record = {"application/papermill.record/text/plain": "0.123"}
        glued.outputs = [v4.new_output("display_data", data=record)]
        cells = [v4.new_markdown_cell(f"# A *page*\n\n{prose}"), figure, secret, glued]
        text = standalone(v4.new_notebook(cells=cells), tmp_path / "notebooks" / "page.ipynb")
        return text, bs4.BeautifulSoup(text, "html.parser")

    return made


def test_a_page_needs_nothing_else(page):
    _, soup = page()

    assert soup.title.text == "A page"
    loaded = [tag[name] for name in ("src", "data", "poster") for tag in soup.select(f"[{name}]")]
    assert loaded == [f"data:image/png;base64,{PNG}"]
    assert soup.select("link, iframe, object, script[src]") == []
    assert "@import" not in soup.style.text
    assert "url(" not in soup.style.text


def test_a_page_shows_what_the_book_shows(page):
    text, soup = page()

    assert soup.img["alt"] == "Two <curves>."
    assert "plot" in soup.text
    assert "glue_it" not in text
    assert "0.123" not in text


def test_formulas_are_drawn_by_the_books_own_mathjax(page):
    text, soup = page()

    assert "$x < 1$" in soup.body.text
    assert soup.find_all("script")[-1].string == "/* draws */ '<\\/script>'"
    assert text.count("</script>") == 2


def test_without_formulas_or_outside_of_a_book_there_is_no_script(page):
    assert page(prose="Plain.")[1].script is None
    assert page(mathjax="", prose="Plain.")[1].script is None


def test_outside_of_a_book_a_formula_stays_as_it_is(page):
    text, soup = page(mathjax="")

    assert soup.script is None
    assert "$x &lt; 1$" in text
