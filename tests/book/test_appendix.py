"""What the appendix makes from the code: sheets, fields, docstrings."""

import importlib
import re
from typing import Literal

import appendix
import pytest
from appendix import as_restructured_text
from pydantic import BaseModel, Field

from prunemia.data import SOURCES, Archive, Source
from prunemia.experiment import Adversary


class Model(BaseModel):
    kind: Literal["a", "b"] = Field("a", description="one of two")
    only: Literal["c"] = "c"
    share: float | None = Field(None, gt=0, lt=0.5, description="a share | a part")
    rows: int = Field(2000, ge=1000, le=2**31)
    other: Adversary | None = None


def test_a_table_of_fields_says_what_is_allowed():
    assert appendix.fields(Model).splitlines()[:7] == [
        "| field | allowed | default | meaning |",
        "| --- | --- | --- | --- |",
        "| `kind` | `a`, `b` | `'a'` | one of two |",
        "| `only` | `c` | `'c'` |  |",
        r"| `share` | number > 0, < 0.5, or `None` | `None` | a share \| a part |",
        "| `rows` | integer ≥ 1,000, ≤ 2,147,483,648 | `2000` |  |",
        "| `other` | `Adversary`, or `None` | `None` |  |",
    ]


def test_a_sheet_says_what_the_registry_says():
    archives = [("a.zip", "https://a", "gitblob:ab"), ("b.zip", "https://b", "sha256:cd")]
    sheet = {"rows": 1200, "shape": (3, 8, 8), "classes": 2, "about": "About it"}
    sheet |= {"used_for": "Tests", "origin": "nowhere", "license": "none stated; ours"}
    sheet |= {"name": "small", "citation": "key-2000", "archives": [Archive(*a) for a in archives]}
    text = appendix.datasheets([Source(**sheet)])

    assert "| [small](#sheet-small) | 1,200 | 3×8×8 | 2 | none stated |" in text
    assert "(sheet-small)=\n## small\n\nAbout it.\n" in text
    assert "- *File:* `a.zip`, git blob `ab`\n- *File:* `b.zip`, SHA-256 `cd`\n" in text
    assert "- *License:* none stated; ours\n- *Citation:* [entry](references.md#key-2000)\n" in text


def test_every_data_set_has_a_sheet_and_its_citation_is_among_the_references(request):
    text = appendix.fragments(request.config.rootpath)["datasheets.fragment.md"]
    references = (request.config.rootpath / "book" / "references.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.*)$", references, re.MULTILINE)
    # anchors as GitHub and the book make them
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    assert all(f"(sheet-{name})=" in text for name in SOURCES)
    assert {source.citation for source in SOURCES.values()} <= anchors


def test_the_table_of_timings_is_shown_as_it_is(tmp_path):
    assert "`make bench` writes it" in appendix.fragments(tmp_path)["bench.fragment.md"]
    (tmp_path / "bench.txt").write_text("now\n\n2 | 3\n")
    assert appendix.fragments(tmp_path)["bench.fragment.md"] == "```text\nnow\n\n2 | 3\n```\n"


BEFORE = """\
Parameters
----------
values, others : shape (n,), larger: more likely.
    And more: of it.
*rest : of them

O(n): quick.

Raises
------
ValueError
    A field is wrong.

Source: Yuan & Zhang (2022).
"""


def test_docstrings_keep_their_meaning_in_sphinx_and_prose_after_a_section_is_no_entry_of_it():
    assert as_restructured_text("function", ["Return |w|."]) == [r"Return \|w\|."]
    assert as_restructured_text("property", ["The share: of it."])[0] == ".."
    assert as_restructured_text("class", ["A: b."]) == ["A: b."]
    napoleon = pytest.importorskip("sphinx.ext.napoleon")
    config = napoleon.Config(napoleon_use_param=False, napoleon_use_rtype=False)
    lines = as_restructured_text("function", BEFORE.split("\n"))

    text = str(napoleon.NumpyDocstring(lines, config, what="function"))

    assert text.count("**") == 2 * 2  # two entries of Parameters
    assert text.index("O(n): quick.") < text.index("Parameters")
    assert ":raises ValueError: A field is wrong." in text
    assert "Source: Yuan & Zhang (2022).\n" in text
    assert ":raises Source" not in text


def test_the_api_page_names_what_there_is(request):
    text = (request.config.rootpath / "book" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"auto(module|class):: (\S+)((?:\n   .*)*)", text)
    assert len(blocks) == len({name for _, name, _ in blocks}) > 20  # Sphinx refuses a second time
    for kind, name, options in blocks:
        place, _, last = (name, "", "") if kind == "module" else name.rpartition(".")
        found = importlib.import_module(place)
        found = getattr(found, last) if last else found
        members = re.search(r":members: (.*)", options)
        for member in members[1].split(", ") if members else ():
            assert hasattr(found, member) or member in found.__annotations__, f"{name}.{member}"
