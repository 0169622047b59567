"""Files of answers: what is read, and what is refused in one sentence that names the row."""

import io
import subprocess
import sys

import numpy as np
import pytest
from answers import frame, planted

from prunemia.audit import read
from prunemia.errors import UsageError

GOOD = frame(planted(40, 1.0, classes=3))


def changed(column, row, value):
    table = GOOD.copy().astype({column: object})
    table.loc[row, column] = value
    return table


def text(table):
    return table.to_csv(index=False)


def lines(change):
    rows = text(GOOD).splitlines()
    change(rows)
    return "\n".join(rows) + "\n"


def npz(**changes):
    arrays = planted(40, 1.0, classes=3).arrays() | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


TABLES = {
    "nothing": ("", "is empty; its columns must be label, member"),
    "a header alone": (text(GOOD[:0]), "0 rows and 3 classes"),
    "no label": (text(GOOD.drop(columns="label")), "column 'label' is missing"),
    "no member": (text(GOOD.drop(columns="member")), "column 'member' is missing"),
    "no answers": (text(GOOD[["label", "member"]]), "has neither p0 nor logit0"),
    "a class left out": (text(GOOD.drop(columns="p1")), "column 'p1' is missing, and p2 is there"),
    "both kinds of answers": (text(GOOD.assign(logit0=0.0)), "has both p0 and logit0"),
    "one class": (text(GOOD.drop(columns=["p1", "p2"])), "40 rows and 1 classes"),
    "an unknown column": (text(GOOD.assign(memeber=1)), "column 'memeber' is not known (did you"),
    "a formula for a name": (text(GOOD.assign(**{"=1+1": 1})), "column '=1+1' is not known"),
    "a column twice": (text(GOOD).replace("p1", "p0", 1), "column 'p0' is there twice"),
    "a word": (text(changed("p1", 2, "abc")), "row 2 (line 4): p1 is 'abc'; allowed: a number"),
    "an empty cell": (text(changed("p1", 5, "")), "row 5 (line 7): p1 is ''; allowed: a number"),
    "not a number": (text(changed("p2", 1, "nan")), "row 1 (line 3): p"),
    "infinity": (text(changed("p2", 1, "inf")), "row 1 (line 3): posterior 2 is"),
    "negative": (text(changed("p0", 3, -0.5)), "row 3 (line 5): posterior 0 is"),
    "above one": (text(changed("p0", 3, 1.5)), "row 3 (line 5): posterior 0 is"),
    "no sum of one": (text(changed("p0", 0, 0.0)), "row 0 (line 2): the sum of the posteriors is"),
    "a label too large": (text(changed("label", 9, 3)), "row 9 (line 11): label is"),
    "a broken label": (text(changed("label", 9, 0.5)), "row 9 (line 11): label is '0.5'"),
    "a negative label": (text(changed("label", 9, -1)), "row 9 (line 11): label is '-1'"),
    "two members": (text(changed("member", 7, 2)), "row 7 (line 9): member is '2'; allowed: 0"),
    "a member in words": (
        text(changed("member", 7, "yes")),
        "member is 'yes'; allowed: 0 or 1 in each",
    ),
    "members alone": (text(GOOD.assign(member=1)), "40 members and 0 non-members; allowed: 10"),
    "few": (text(GOOD[:10]), "5 members and 5 non-members; allowed: 10 or more of each"),
    "a sensitivity left out": (text(GOOD.assign(s0=1.0)), "sensitivities of 1 classes; allowed: 3"),
    "a negative sensitivity": (
        text(GOOD.assign(s0=1.0, s1=-1.0, s2=0.0)),
        "row 0 (line 2): sensitivity 1 is '-1.0'; allowed: 0 or more",
    ),
    "a negative model": (text(GOOD.assign(model=-1)), "row 0 (line 2): model is '-1'"),
    "an id twice": (text(GOOD.assign(id="a")), "row 1 (line 3): id is 'a' again"),
    "an empty id": (
        text(GOOD.assign(id=["", *map(str, range(39))])),
        "row 0 (line 2): id is ''; allowed: text",
    ),
    "too many cells": (
        lines(lambda rows: rows.__setitem__(3, rows[3] + ",1,2")),
        "is no table of comma-separated values (Expected 5 fields in line 4, saw 7)",
    ),
    "too many cells everywhere": (
        lines(lambda rows: rows.__setitem__(slice(1, None), [r + ",1" for r in rows[1:]])),
        "its rows have more cells than its header",
    ),
    "too few cells": (lines(lambda rows: rows.__setitem__(3, "0,1,1.0")), "row 2 (line 4): p"),
    "no header": (
        GOOD.to_csv(index=False, header=False),
        "has no header, but numbers in its first row; name label, member, p0",
    ),
    "one column of class 0": (
        text(GOOD[["label", "member", "p0"]]),
        "of a binary network's numbers for class 1, call the column p1",
    ),
    "a single posterior of three classes": (
        text(GOOD[["label", "member", "p1"]]),
        "label is '2'; allowed: 0 to 1",
    ),
    "names of classes": (text(changed("label", 4, "cat")), "label is 'cat'; allowed: a whole"),
    "two pairs of words": (
        text(GOOD.assign(member=["train", "test"] * 19 + ["in", "test"])),
        "row 38 (line 40): member is 'in'; allowed: test or train in each row",
    ),
    "labels from 0 to C": (
        text(GOOD.assign(label=[0, 3] * 20)),
        "row 1 (line 3): label is '3'; allowed: 0 to 2",
    ),
    "a class left out of the sum": (
        text(GOOD.assign(p2=lambda t: t.p2 / 2)),
        "is a class left out, or are they rounded?",
    ),
    "per cent": (text(GOOD.assign(p0=100 * GOOD.p0)), "allowed: 0 to 1 (logits?)"),
    "an open quote": (text(GOOD) + '"', "is no table of comma-separated values"),
}
ARCHIVES = {
    "no archive": (b"PK\x03\x04 nonsense", "is no .npz archive"),
    "no labels": (npz(labels=None), "misses labels; allowed"),
    "no membership": (npz(membership=None), "misses membership; allowed"),
    "no posteriors": (npz(posteriors=None), "misses posteriors (or logits)"),
    "an unknown field": (npz(extra=np.zeros(40)), "holds extra; allowed: posteriors, logits"),
    "both kinds of answers": (npz(logits=np.zeros((40, 3))), "holds logits beside posteriors"),
    "a pickle": (npz(id=np.array([{}] * 40, dtype=object)), "is pickled, which is not read"),
    "other rows": (npz(labels=np.zeros(39, int)), "labels: shape (39,)"),
    "flat posteriors": (npz(posteriors=np.ones(40)), "posteriors: shape (40,)"),
    "words for labels": (npz(labels=np.array(["a"] * 40)), "row 0: label is 'a'; allowed: a whole"),
    "words for posteriors": (
        npz(posteriors=np.full((40, 3), "a")),
        "dtype <U1; allowed: (n, C) of numbers",
    ),
    "complex logits": (npz(posteriors=None, logits=np.ones((40, 3), complex)), "of numbers"),
    "NaN": (npz(posteriors=np.full((40, 3), np.nan)), "row 0: posterior 0 is 'nan'"),
    "huge logits": (npz(posteriors=None, logits=np.full((40, 3), 1e300)), "at most 1e38"),
    "halves of members": (npz(membership=np.full(40, 0.5)), "row 0: member is '0.5'"),
    "dates for ids": (npz(id=np.zeros(40, "M8[s]")), "type datetime64[s]"),
}


def refusal(path):
    with pytest.raises(UsageError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("content", "sentence"), TABLES.values(), ids=TABLES)
def test_a_wrong_table_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "t.csv"
    path.write_text(content)
    assert sentence in refusal(path)


@pytest.mark.parametrize(("content", "sentence"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_wrong_archive_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "t.npz"
    path.write_bytes(content)
    assert sentence in refusal(path)


def test_what_is_no_file_or_not_text_is_refused(tmp_path):
    assert "cannot be read: No such file" in refusal(tmp_path / "nosuch.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "is no file" in refusal(tmp_path / "folder.csv")
    (tmp_path / "t.txt").touch()
    assert "is not read; allowed: .npz, .csv, .parquet, .tsv" in refusal(tmp_path / "t.txt")
    (tmp_path / "t.csv").write_bytes(b"label,member,p0,p1\n0,1,\xff,1\n")
    assert "is no text in UTF-8" in refusal(tmp_path / "t.csv")


def test_what_is_no_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nonsense")
    assert "is no Parquet file, or is damaged" in refusal(tmp_path / "t.parquet")
    GOOD.drop(columns="member").to_parquet(tmp_path / "t.parquet")
    assert "column 'member' is missing" in refusal(tmp_path / "t.parquet")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_same_answers_are_read_from_every_form(tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    signals = planted(60, 1.0, sensitivities=True)
    ids = [f"patient {i}" for i in range(60)]
    np.savez(tmp_path / "a.npz", id=ids, **signals.arrays())
    table = frame(signals, ids)
    if form == "csv":
        table.to_csv(tmp_path / "a.csv", index=False)
    else:
        table.to_parquet(tmp_path / "a.parquet")
    archive, other = read(tmp_path / "a.npz"), read(tmp_path / f"a.{form}")

    assert archive.content == other.content
    assert other.ids.tolist() == ids
    for name, value in signals.arrays().items():
        assert np.array_equal(value, other.signals.arrays()[name])


def test_logits_become_posteriors_and_rows_get_their_numbers_for_ids(tmp_path):
    signals = planted(30, 1.0)
    table = frame(signals)[["label", "member"]]
    for c in range(5):
        table[f"logit{c}"] = np.log(signals.posteriors[:, c].astype(float))
    table.to_csv(tmp_path / "a.csv", index=False)
    answers = read(tmp_path / "a.csv")

    assert answers.signals.posteriors == pytest.approx(signals.posteriors, abs=1e-6)
    assert answers.ids.tolist() == [str(i) for i in range(30)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["t.csv", "--fail-above", "auc=2"],
        ["t.csv", "--fail-above", "tpr@0.02=0.1"],
        ["t.csv", "--fail-above", "=cmd()"],
        ["t.csv", "--fail-above", "tpr@0.01=0.05"],  # 20 non-members measure no 1 %
        ["t.csv", "--require-below", "auc=2"],
        ["t.csv", "--require-below", "tpr@0.01=0.05"],
        ["t.csv", "--attacks", "lucky"],
        ["t.csv", "--attacks", "samia"],
        ["t.csv", "--attacks", ""],
        ["t.csv", "--shadow", "other.csv"],
        ["t.csv", "--original", "fewer.csv"],
        ["t.csv", "--json", "t.csv"],
        ["t.csv", "--csv", "."],
        ["nosuch.csv"],
    ],
)
def test_the_command_refuses_in_one_sentence_and_writes_nothing(tmp_path, arguments):
    GOOD.to_csv(tmp_path / "t.csv", index=False)
    frame(planted(40, 1.0, classes=4)).to_csv(tmp_path / "other.csv", index=False)
    GOOD[:30].to_csv(tmp_path / "fewer.csv", index=False)
    before = sorted(tmp_path.iterdir())
    quick = [] if "--attacks" in arguments else ["--attacks", "conf"]
    command = [sys.executable, "-m", "prunemia.cli", "audit", *arguments, "--html", "new.html"]
    result = subprocess.run(
        [*command, *quick], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    said = [line for line in result.stderr.splitlines() if not line.endswith(" …")]
    assert len(said) == 1
    assert said[0].startswith("prunemia: ")
    assert sorted(tmp_path.iterdir()) == before


def test_ids_may_hold_line_breaks_and_then_no_line_is_named(tmp_path):
    ids = ["a\nb", *map(str, range(39))]
    changed("p1", 2, "abc").assign(id=ids).to_csv(tmp_path / "t.csv", index=False)
    assert "row 2: p1 is 'abc'" in refusal(tmp_path / "t.csv")
    GOOD.assign(id=ids).to_csv(tmp_path / "t.csv", index=False)
    assert read(tmp_path / "t.csv").ids[0] == "a\nb"


def stored(table, folder, **options):
    """What `read` makes of a table that is written by pandas, and its warnings."""
    (folder / "t.csv").write_text(table.to_csv(index=False, **options))
    return read(folder / "t.csv")


SPELLINGS = {
    "semicolons": lambda t: t.to_csv(index=False, sep=";"),
    "semicolons and decimal commas": lambda t: t.to_csv(index=False, sep=";", decimal=","),
    "tabs": lambda t: t.to_csv(index=False, sep="\t"),
    "bars": lambda t: t.to_csv(index=False, sep="|"),
    "an index": lambda t: t.to_csv(),
    "an index from elsewhere": lambda t: t.set_index(np.arange(40) + 7).to_csv(),
    "a named index": lambda t: t.to_csv(index_label="index"),
    "an index with semicolons": lambda t: t.to_csv(sep=";"),
    "upper case": lambda t: t.rename(columns=str.upper).to_csv(index=False),
    "spaces around": lambda t: t.rename(columns=" {} ".format).to_csv(index=False),
    "a byte-order mark": lambda t: "\ufeff" + t.to_csv(index=False),
    "CRLF": lambda t: t.to_csv(index=False, lineterminator="\r\n"),
    "train and test": lambda t: words(t, "train", "test").to_csv(index=False),
    "Member and Non-Member": lambda t: words(t, "Member", "Non-Member").to_csv(index=False),
    "TRUE and FALSE": lambda t: words(t, "TRUE", "FALSE").to_csv(index=False),
    "floats": lambda t: t.astype({"label": float, "member": float}).to_csv(index=False),
    "other order": lambda t: t[t.columns[::-1]].to_csv(index=False),
}


def words(table, member, other):
    return table.assign(member=np.where(table["member"] == 1, member, other))


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
def test_tables_may_be_spelt_in_many_ways(tmp_path, spelt):
    GOOD.to_csv(tmp_path / "good.csv", index=False)
    (tmp_path / "ANSWERS.CSV").write_text(spelt(GOOD), encoding="utf-8", newline="")
    found = read(tmp_path / "ANSWERS.CSV")
    assert found.content == read(tmp_path / "good.csv").content
    assert found.warnings == ()


def test_a_tsv_and_a_parquet_with_an_index_are_read(tmp_path):
    GOOD.to_csv(tmp_path / "a.csv", index=False)
    GOOD.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    GOOD.sample(40, random_state=0).sort_index().to_parquet(tmp_path / "A.PARQUET")
    contents = {read(tmp_path / n).content for n in ("a.csv", "a.tsv", "A.PARQUET")}
    assert len(contents) == 1


@pytest.mark.parametrize("form", ["csv", "npz", "parquet"])
def test_labels_that_count_from_one_are_lowered_and_it_is_told(tmp_path, form):
    table = GOOD.assign(label=GOOD.label + 1)
    path = tmp_path / f"a.{form}"
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "parquet":
        table.to_parquet(path)
    else:
        path.write_bytes(npz(labels=table.label.to_numpy()))
    found = read(path)
    assert found.signals.labels.tolist() == GOOD.label.tolist()
    assert found.warnings[0].startswith(f"a.{form}: labels: they run from 1 to 3 for 3 classes")


BINARY = frame(planted(40, 1.0, classes=2))


@pytest.mark.parametrize("kind", ["p1", "logit1"])
def test_one_column_of_a_binary_network_is_that_of_class_one(tmp_path, kind):
    p = BINARY.p1.astype(float)
    column = p if kind == "p1" else np.log(p / (1 - p))
    found = stored(BINARY[["label", "member"]].assign(**{kind: column, "s1": 0.5}), tmp_path)
    assert found.signals.posteriors[:, 1] == pytest.approx(BINARY.p1, abs=1e-6)
    assert found.signals.sensitivities.tolist() == [[0.5, 0.5]] * 40


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_precision_of_an_archive_is_read(tmp_path, dtype):
    (tmp_path / "a.npz").write_bytes(npz(posteriors=GOOD[["p0", "p1", "p2"]].to_numpy(dtype)))
    found = read(tmp_path / "a.npz")
    assert found.signals.posteriors == pytest.approx(GOOD[["p0", "p1", "p2"]], abs=1e-3)


def bfloat16(p):
    return (p.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


@pytest.mark.parametrize(
    ("rounded", "word"),
    [(lambda p: p.round(2), "2 decimals"), (lambda p: bfloat16(0.983 * p), "bfloat16")],
    ids=["decimals", "bfloat16"],
)
def test_rounded_rows_are_divided_by_their_sums_and_it_is_told(tmp_path, rounded, word):
    p = rounded(GOOD[["p0", "p1", "p2"]].to_numpy(np.float64))
    found = stored(GOOD.assign(p0=p[:, 0], p1=p[:, 1], p2=p[:, 2]), tmp_path)
    assert f"because they are rounded to {word}; each row was divided" in found.warnings[0]
    assert found.signals.posteriors.sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_logits_that_are_probabilities_are_told(tmp_path):
    renamed = GOOD.rename(columns={f"p{c}": f"logit{c}" for c in range(3)})
    assert "its logits are probabilities already" in stored(renamed, tmp_path).warnings[0]
