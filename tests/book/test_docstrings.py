"""What Sphinx is shown of a docstring: prose after a section must not be read as part of it."""

import inspect

from sphinx.ext.napoleon import Config, NumpyDocstring

from prunemia.attacks.threshold import best_threshold
from prunemia.book.docstrings import prose_first


def rendered(lines):
    return str(NumpyDocstring(prose_first(lines), Config(napoleon_use_param=False)))


def test_a_source_after_raises_is_no_exception():
    lines = """Return a thing.

Raises
------
ValueError
    It is wrong.

Source: somebody (2022), section 5.1.""".splitlines()

    assert prose_first(lines)[:4] == ["Return a thing.", "", lines[-1], ""]
    assert ":raises Source" not in rendered(lines)
    assert ":raises ValueError: It is wrong." in rendered(lines)


def test_prose_between_two_sections_is_no_parameter():
    lines = """Do it.

Parameters
----------
a : shape (n,)
    The first.

    More of the first.
b, c : text; the others.

A remark that fills
two lines.

Returns
-------
A number.""".splitlines()

    ordered = prose_first(lines)
    assert ordered[2:4] == ["A remark that fills", "two lines."]
    assert [line for line in ordered if line].count("Parameters") == 1
    assert sorted(filter(None, ordered)) == sorted(filter(None, lines))


def test_a_docstring_without_sections_stays_as_it_is():
    lines = ["One sentence.", "", "Another.", ""]

    assert prose_first(lines) == lines


def test_the_packages_own_remarks_leave_the_parameters():
    lines = inspect.getdoc(best_threshold).splitlines()

    before_parameters = prose_first(lines)[: prose_first(lines).index("Parameters")]
    assert any(line.startswith("Among equally good") for line in before_parameters)
