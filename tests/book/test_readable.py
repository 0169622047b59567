import copy

import nbformat
import pytest
from nbformat import v4

from prunemia.book.readable import answer, glued, resolve

BIBLIOGRAPHY = """\
@article{one, author = {Holm, Sture}, title = {A {Simple} Test}, year = {1979}, doi = {10.1/x}}
@book{two, author = {Yuan, Xiaoyong and Zhang, Lan}, title = {Pruning}, year = {2022}}
@article{three, author = {M{\\"o}ser, A and B, C and D, E}, title = {Three}, journal = {J},
         year = {2020}, url = {https://three}}
"""


def glue(**values):
    """Return a code cell with outputs as `glue` leaves them."""
    outputs = [
        v4.new_output(
            "display_data",
            data={"application/papermill.record/text/plain": text},
            metadata={"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}},
        )
        for name, text in values.items()
    ]
    return v4.new_code_cell("say()", outputs=outputs)


@pytest.fixture
def resolved(tmp_path):
    """Resolve cells as a notebook of a book with a bibliography."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "references.bib").write_text(BIBLIOGRAPHY)

    def run(*cells, source=tmp_path / "notebooks" / "deep" / "page.ipynb"):
        cells = [v4.new_markdown_cell(c) if isinstance(c, str) else c for c in cells]
        return resolve(v4.new_notebook(cells=copy.deepcopy(cells)), source)

    return run


@pytest.mark.parametrize(
    ("prose", "text"),
    [
        ("{glue:text}`share:.1%` of {glue:text}`count`", "12.3% of 45"),
        ("it {glue:text}`verb`s, {glue:text}`share:.2f`", "it raises, 0.12"),
        ("{glue:text}`none_such` x", "(no none_such) x"),
        (
            "{cite:t}`two` and {cite:p}`one,three`",
            "Yuan and Zhang (2022) and (Holm, 1979; Möser et al., 2020)",
        ),
        ("{cite:p}`unknown`", "(unknown, ?)"),
        ("see [the setting](../setting.ipynb#idea) and [x](y.md)", "see the setting and x"),
        (
            "see [the web](https://x/y.md) and ![a](p.png)",
            "see [the web](https://x/y.md) and ![a](p.png)",
        ),
        ("{ref}`the part <sec>`; {doc}`page`", "the part; page"),
        ("% a comment\nText", "Text"),
        ("Text\n\nPrevious: [a](a.ipynb) · Next: [b](b.ipynb)", "Text"),
        ("{sub}`2` stays", "{sub}`2` stays"),
        ("$a$ and `{x}`", "$a$ and `{x}`"),
    ],
)
def test_a_role_becomes_the_text_that_the_book_would_show(resolved, prose, text):
    values = glue(share="0.1234", count="45", verb="'raise'")

    assert resolved(prose, values).cells[0].source == text


def test_figures_and_equations_are_numbered_in_their_order(resolved):
    def figure(name):
        return v4.new_code_cell(
            "plot()",
            id=name,
            metadata={
                "mystnb": {"figure": {"name": name, "caption": f"Caption of {name}, {{eq}}`eq-b`."}}
            },
        )

    notebook = resolved(
        "{numref}`fig-b`, {numref}`see <fig-a>`, {eq}`eq-b`, {numref}`gone`",
        figure("fig-a"),
        "$$ a\n= b $$ (eq-a)\n\n$$ c $$ (eq-b)",
        figure("fig-b"),
    )

    assert [cell.source for cell in notebook.cells if cell.cell_type == "markdown"] == [
        "Fig. 2, Fig. 1, (2), Fig. ?",
        "**Fig. 1.** Caption of fig-a, (2).",
        "$$ a\n= b \\tag{1}$$\n\n$$ c \\tag{2}$$",
        "**Fig. 2.** Caption of fig-b, (2).",
    ]
    assert [cell.id for cell in notebook.cells][1:3] == ["fig-a", "fig-a-caption"]


def test_cited_works_and_only_those_are_listed_at_the_end(resolved):
    notebook = resolved("{cite:p}`three,one`")

    assert notebook.cells[-1].source == (
        "## References\n\n- Holm (1979). A Simple Test. <https://doi.org/10.1/x>\n"
        "- Möser et al. (2020). Three. *J*. <https://three>"
    )
    assert len(resolved("nothing cited").cells) == 1


def test_outside_of_a_book_a_citation_is_its_key(resolved, tmp_path_factory):
    source = tmp_path_factory.mktemp("elsewhere") / "page.ipynb"

    assert resolved("{cite:t}`two`", source=source).cells[-1].source == "two (?)"


def test_the_last_value_of_a_name_counts():
    notebook = v4.new_notebook(cells=[glue(a="1"), glue(a="2", b="'x'"), v4.new_code_cell("1")])

    assert glued(notebook) == {"a": "2", "b": "'x'"}


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (
            "# T\n\n**Answer.** At `conf`\nit is $x$, *not* [here](https://x).\n\nMore.",
            "Answer. At conf it is x, not here.",
        ),
        ("# T\n\nNo answer.", ""),
    ],
)
def test_the_answer_is_a_text_without_markup(first, text):
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1"), v4.new_markdown_cell(first)])

    assert answer(notebook) == text
    assert answer(v4.new_notebook()) == ""


def test_every_page_says_in_its_first_cell_how_its_prose_is_filled_in(request):
    # Papermill alone leaves the roles as they are; Sphinx and `resolve` leave the comment out.
    notebooks = request.config.rootpath / "notebooks"
    pages = {
        p.relative_to(notebooks).with_suffix("").as_posix(): p for p in notebooks.rglob("*.ipynb")
    }

    assert len(pages) > 10
    for name, path in pages.items():
        note = nbformat.read(path, as_version=4).cells[0].source.splitlines()[-1]
        assert note.startswith("% ")
        assert f"`.venv/bin/prunemia run {name} " in note
