import re
from typing import Literal

from pydantic import BaseModel, Field

from prunemia.book import appendix
from prunemia.data import SOURCES, Archive, Source
from prunemia.experiment import Adversary, Experiment


class Model(BaseModel):
    kind: Literal["a", "b"] = Field("a", description="one of two")
    only: Literal["c"] = "c"
    share: float | None = Field(None, gt=0, lt=0.5, description="a share | a part")
    rows: int = Field(2000, ge=1000, le=2**31)
    many: tuple[float, ...] = Field((0.5,))
    other: Adversary | None = None


def test_a_table_of_fields_says_what_is_allowed():
    lines = appendix.fields(Model).splitlines()

    assert lines[:2] == ["| field | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    assert lines[2] == "| `kind` | `a`, `b` | `'a'` | one of two |"
    assert lines[3] == "| `only` | `c` | `'c'` |  |"
    assert lines[4] == r"| `share` | number > 0, < 0.5, or `None` | `None` | a share \| a part |"
    assert lines[5] == "| `rows` | integer ≥ 1,000, ≤ 2,147,483,648 | `2000` |  |"
    assert lines[6].startswith("| `many` | list: number |")
    assert lines[7] == "| `other` | `Adversary`, or `None` | `None` |  |"


def test_every_field_of_an_experiment_is_described():
    table = appendix.fields(Experiment)

    for name, field in Experiment.model_fields.items():
        assert f"| `{name}` |" in table
        assert field.description


def test_a_sheet_says_what_the_registry_says():
    archives = (
        Archive("a.zip", "https://nowhere/a.zip", "gitblob:ab"),
        Archive("b.zip", "https://b", "sha256:cd"),
    )
    source = Source(
        name="small",
        rows=1200,
        shape=(3, 8, 8),
        classes=2,
        about="About it",
        used_for="Tests",
        origin="nowhere",
        license="none stated; ours",
        citation="key-2000",
        archives=archives,
    )

    text = appendix.datasheets([source])

    assert "| [small](#sheet-small) | 1,200 | 3×8×8 | 2 | none stated |" in text
    assert "(sheet-small)=\n## small\n\nAbout it.\n" in text
    assert "- *File:* `a.zip`, git blob `ab`\n- *File:* `b.zip`, SHA-256 `cd`\n" in text
    assert "- *License:* none stated; ours\n- *Citation:* [entry](references.md#key-2000)\n" in text


def anchors(text):
    """Return the anchors of a page's headings, as GitHub and the book make them."""
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_data_set_has_a_sheet_and_its_citation_is_among_the_references(request):
    text = appendix.fragments(request.config.rootpath)["datasheets.fragment.md"]
    references = (request.config.rootpath / "book" / "references.md").read_text(encoding="utf-8")

    for source in SOURCES.values():
        assert f"(sheet-{source.name})=" in text
        assert source.citation in anchors(references)


def test_the_table_of_timings_is_shown_as_it_is(tmp_path):
    assert "`make bench` writes it" in appendix.fragments(tmp_path)["bench.fragment.md"]
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "bench.txt").write_text("here and now\n\n2 times | faster\n")
    text = appendix.fragments(tmp_path)["bench.fragment.md"]
    assert text == "```text\nhere and now\n\n2 times | faster\n```\n"
