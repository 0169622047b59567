"""The report: its record by the schema in the book, its page, its table, its exit codes."""

import io
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from answers import frame, planted
from bs4 import BeautifulSoup

import prunemia as pm
from prunemia import cli
from prunemia.audit import SCHEMA, Limit
from prunemia.audit.report import guarded
from prunemia.errors import UsageError

BOOK = Path(__file__).parents[2] / "book" / "audit.md"
HOSTILE = '<script>alert("1")</script>'
ATTACKS = ["conf", "mentr", "blindmi"]


def made():
    ids = ["=cmd|' /C calc'!A0", "a\x07b", *(f"{HOSTILE}{i}" for i in range(2, 400))]
    return pm.audit.signals(planted(400, 2.0), original=planted(400, 0.0), attacks=ATTACKS, ids=ids)


@pytest.fixture(scope="module")
def audit():
    return made()


@pytest.fixture(scope="module")
def variants(audit):
    shadow = planted(300, 1.0, 4, sensitivities=True)
    return [
        audit,
        pm.audit.signals(planted(40, 0.0), attacks=["blindmi"]),
        pm.audit.signals(planted(40, 0.0), attacks=["conf"]),
        pm.audit.signals(planted(2000, 1.0, sensitivities=True), shadow, attacks=ATTACKS),
    ]


def test_the_record_is_what_the_book_says_and_every_section_is_shown(variants):
    text = BOOK.read_text(encoding="utf-8")
    [schema] = map(json.loads, re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert f"now **{SCHEMA}**" in text
    for each in variants:
        record = json.loads(each.to_json())
        jsonschema.validate(record, schema)
        assert record.pop("schema") == SCHEMA
        with pytest.raises(jsonschema.ValidationError, match="surprise"):
            jsonschema.validate(record | {"schema": SCHEMA, "surprise": 1}, schema)
        page = BeautifulSoup(each.to_html(), "html.parser")
        ids = {section["id"] for section in page.find_all("section")}
        assert ids == {name for name, part in record.items() if part}
        assert each.sentence in page.text.replace("\n", " ")


def test_the_page_needs_nothing_else_and_runs_nothing(audit):
    html = audit.to_html()
    page = BeautifulSoup(html, "html.parser")

    assert page.find_all(["script", "link", "iframe", "img", "object"]) == []
    links = r"""(src|href)\s*=\s*["']?(?!["']?#)|url\(http"""
    assert not re.search(links, html.replace("xlink:href", "href"))
    for needed in ("default-src 'none'", "prefers-color-scheme: dark", "@media print"):
        assert needed in html
    assert HOSTILE in page.find(id="exposed").text  # as text
    assert not any(hostile in html for hostile in (HOSTILE, "\x07"))


def test_equal_inputs_give_equal_bytes(audit):
    texts = [(a.to_html(), a.to_json(), a.to_csv()) for a in (audit, made())]
    assert texts[0] == texts[1]


def test_the_table_has_a_row_a_sample_and_no_formula(audit):
    rows = pd.read_csv(io.StringIO(audit.to_csv()))

    assert rows["id"][[0, 7]].tolist() == ["'=cmd|' /C calc'!A0", f"{HOSTILE}7"]
    assert rows["member"].astype(bool).tolist() == audit.membership.tolist()
    assert np.allclose(rows["conf score"], audit.verdicts["conf"].scores)
    assert "blindmi score" not in rows
    assert set(rows["blindmi says member"]) == {0, 1}


def test_what_a_spreadsheet_would_compute_is_quoted():
    for cell in ("=1+1", "-1+1", "@SUM(A1)", " =1+1", "\t=1+1", "＝1+1"):
        assert guarded(cell) == f"'{cell}"
    assert [guarded(cell) for cell in ("-17", "a=b")] == ["-17", "a=b"]


def test_the_most_exposed_are_the_members_of_the_highest_scores(audit):
    exposed = audit.record["exposed"]
    scores, member = audit.verdicts[exposed["attack"]].scores, audit.membership
    listed = {row["id"]: row["score"] for row in exposed["samples"]}

    assert list(listed.values()) == sorted(scores[member], reverse=True)[:20]
    assert set(listed) <= set(audit.target.ids[member])
    assert set(exposed["attacks"]) == {"conf", "mentr"}


def test_what_this_size_cannot_measure_says_what_would(audit):
    least = {row["what"]: row["needs"] for row in audit.record["unmeasurable"]}
    rate = "true-positive rate at a false-positive rate of"
    assert least[f"{rate} 0.1 %"] == "1,000 non-members; 50,000 for a narrow interval"
    assert least[f"precise {rate} 1 %"].startswith("5,000")


def test_a_limit_is_exceeded_where_the_lower_end_lies_above(audit, variants):
    low = max(each.low for (_, measure), each in audit.family.items() if measure == "auc")

    assert audit.exceeded([Limit("auc", low)]) == []
    [sentence] = audit.exceeded([f"auc={low - 1e-6:.6f}"])
    assert "its lower end lies above" in sentence
    assert len(audit.exceeded(["auc=0.5", "tpr@0.05=0.05", "accuracy=0.5"])) == 3
    with pytest.raises(UsageError, match="needs an attack that ranks the samples; here: blindmi"):
        variants[1].exceeded(["auc=0.6"])


def test_what_is_saved_goes_by_the_names_end(audit, tmp_path):
    with pytest.raises(ValueError, match=r"allowed: \.html, \.json, \.csv"):
        audit.save(tmp_path / "a.pdf")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Return a function that carries out the command: its exit code, and what it says."""

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["audit", *arguments])
        return ended.value.code or 0, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    return command


def test_the_command_writes_all_three_and_fails_above_a_limit(tmp_path, command):
    planted(400, 2.0).save(tmp_path / "t.npz")
    outputs = ["--html", "o/r.html", "--json", "o/r.json", "--csv", "o/r.csv"]
    quick = ["--attacks", "conf, mentr", "--fail-above", "auc=0.55"]
    code, out, err = command("t.npz", *outputs, *quick)

    assert code == 3
    assert err.splitlines()[-1].startswith("prunemia: --fail-above: auc of ")
    assert "The strongest attack (" in out
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["r.csv", "r.html", "r.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["t.csv", "--fail-above", "tpr@0.02=0.1"],
        ["t.csv", "--require-below", "tpr@0.01=0.05"],  # 20 non-members measure no 1 %
        ["t.csv", "--attacks", "samia"],
        ["t.csv", "--json", "t.csv"],
        ["nosuch.csv"],
    ],
)
def test_the_command_refuses_in_one_sentence_and_writes_nothing(tmp_path, command, arguments):
    frame(planted(40, 1.0, classes=3)).to_csv(tmp_path / "t.csv", index=False)
    quick = [] if "--attacks" in arguments else ["--attacks", "conf"]
    code, out, err = command(*arguments, "--html", "new.html", *quick)

    said = [line for line in err.splitlines() if not line.endswith(" …")]
    assert (code, out, len(said), said[0][:10]) == (2, "", 1, "prunemia: ")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_what_is_not_excluded_fails_where_that_is_required(tmp_path, command):
    planted(60, 0.0).save(tmp_path / "t.npz")  # no leak, and too few samples to show it
    quick = ["t.npz", "--attacks", "conf", "--fail-above", "auc=0.6", "--require-below"]
    assert command(*quick, "auc=0.99")[0] == 0
    code, _, err = command(*quick, "auc=0.6")
    said = r"prunemia: --require-below: auc of conf is .* its upper end lies above 0\.6"
    assert (code, bool(re.fullmatch(said, err.splitlines()[-1]))) == (3, True)


def test_warnings_stand_in_the_report_the_record_and_on_stderr(tmp_path, command):
    table = frame(planted(400, 2.0))
    table.assign(member=1 - table.member).to_csv(tmp_path / "ANSWERS.CSV", index=False)
    outputs = ["--attacks", "conf", "--json", "o.json", "--html", "o.html"]
    code, out, err = command("ANSWERS.CSV", *outputs, "--require-below", "auc=0.6")

    assert code == 3
    [warning] = json.loads((tmp_path / "o.json").read_text())["warnings"]
    assert f"prunemia: warning: {warning}" in err.splitlines()
    assert "Read this first" in (tmp_path / "o.html").read_text()
    assert "No leak found" not in out
