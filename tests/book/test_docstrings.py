import pytest

from prunemia.book.docstrings import as_restructured_text


@pytest.mark.parametrize(
    ("what", "before", "after"),
    [
        ("function", ["Return |w|."], [r"Return \|w\|."]),
        ("property", ["The share: of all."], ["..", "", "The share: of all."]),
        ("class", ["A: b."], ["A: b."]),
    ],
)
def test_docstrings_keep_their_meaning_in_sphinx(what, before, after):
    assert as_restructured_text(what, before) == after


BEFORE = """\
Attack.

Parameters
----------
values, others : shape (n,), larger: more likely.
    And more: of it.
*rest : of them

Among equals it takes the middle: always.
O(n): quick.

Raises
------
ValueError
    A field is wrong.

Source: Yuan & Zhang (2022).
"""
AFTER = """\
Attack.

Among equals it takes the middle: always.
O(n): quick.

Source: Yuan & Zhang (2022).


Parameters
----------
values, others
    shape (n,), larger: more likely.
    And more: of it.
*rest
    of them


Raises
------
ValueError
    A field is wrong.

"""


def test_prose_after_a_section_is_no_entry_of_it_and_an_entrys_text_is_no_type():
    assert as_restructured_text("function", BEFORE.split("\n")) == AFTER.split("\n")


def test_napoleon_then_lists_each_parameter_and_error_once():
    napoleon = pytest.importorskip("sphinx.ext.napoleon")
    config = napoleon.Config(napoleon_use_param=False, napoleon_use_rtype=False)
    lines = as_restructured_text("function", BEFORE.split("\n"))

    text = str(napoleon.NumpyDocstring(lines, config, what="function"))

    assert text.count("**") == 2 * 2  # two entries of Parameters
    assert ":raises ValueError: A field is wrong." in text
    assert "Source: Yuan & Zhang (2022).\n" in text
    assert ":raises Source" not in text
