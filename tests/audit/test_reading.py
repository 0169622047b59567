"""Files of answers: what is read, and what is refused in one sentence that names the row."""

import io

import numpy as np
import pytest
from answers import frame, planted

from prunemia.audit import Answers, read
from prunemia.errors import UsageError

GOOD = frame(planted(40, 1.0, classes=3))
P = GOOD[["p0", "p1", "p2"]]


def changed(column, row, value):
    table = GOOD.copy().astype({column: object})
    table.loc[row, column] = value
    return text(table)


def text(table):
    return table.to_csv(index=False)


def with_line(place, line):
    rows = text(GOOD).splitlines()
    rows[place] = line
    return "\n".join(rows) + "\n"


def npz(**changes):
    arrays = planted(40, 1.0, classes=3).arrays() | changes
    given = {name: value for name, value in arrays.items() if value is not None}
    np.savez(buffer := io.BytesIO(), **given)
    return buffer.getvalue()


NO_TABLE = "is no table of comma-separated values ("
TABLES = {
    "nothing": ("", NO_TABLE + "No columns to parse from file)"),
    "no label": (text(GOOD.drop(columns="label")), "column 'label' is missing; allowed: label"),
    "both kinds of answers": (text(GOOD.assign(logit0=0.0)), "has both p0 and logit0"),
    "a class left out": (text(GOOD.drop(columns="p1")), "column 'p1' is missing, and p2 is there"),
    "an unknown column": (text(GOOD.assign(memeber=1)), "column 'memeber' is not known (did you"),
    "a column twice": (text(GOOD).replace("p1", "p0", 1), "column 'p0' is there twice"),
    "no header": (GOOD.to_csv(index=False, header=False), "has no header, but numbers in its"),
    "a word": (changed("p1", 2, "abc"), "row 2 (line 4): p1 is 'abc'; allowed: a number"),
    "no sum of one": (changed("p0", 0, 0.0), "row 0 (line 2): the sum of the posteriors is"),
    "a broken label": (changed("label", 9, 0.5), "row 9 (line 11): label is '0.5'"),
    "two pairs of words": (
        text(GOOD.assign(member=["train", "test"] * 19 + ["in", "test"])),
        "row 38 (line 40): member is 'in'; allowed: test or train in each row",
    ),
    "a sensitivity left out": (text(GOOD.assign(s0=1.0)), "sensitivities: shape (40, 1), dtype"),
    "an empty id": (text(GOOD.assign(id=["", *map(str, range(39))])), "row 0 (line 2): id is ''"),
    "too many cells": (with_line(3, "0,1,1,0,0,1,2"), NO_TABLE + "Expected 5 fields in line 4"),
    "too few cells": (with_line(3, "0,1,1.0"), "row 2 (line 4): p"),
    "no text": ("label,member,p0,p1\n0,1,\udcff,1\n", NO_TABLE + "'utf-8' codec can't decode"),
    "line breaks in ids": (
        changed("p1", 2, "abc").replace("\n", ',"a\nb"\n').replace(',"a\nb"', ",id", 1),
        "row 2: p1 is 'abc'",
    ),
}
ARCHIVES = {
    "no archive": (b"PK\x03\x04 nonsense", "is no .npz archive"),
    "no labels": (npz(labels=None), "misses labels; allowed: posteriors, logits"),
    "no posteriors": (npz(posteriors=None), "misses posteriors (or logits)"),
    "an unknown field": (npz(extra=np.zeros(40)), "holds extra; allowed: posteriors, logits"),
    "both in an archive": (npz(logits=np.zeros((40, 3))), "holds logits beside posteriors"),
    "huge logits": (npz(posteriors=None, logits=np.full((40, 3), 1e300)), "at most 1e38"),
    "dates for ids": (npz(id=np.zeros(40, "M8[s]")), "of text or numbers"),
}


def refusal(path):
    with pytest.raises(UsageError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", [*TABLES, *ARCHIVES])
def test_a_wrong_table_or_archive_is_refused_in_one_sentence(tmp_path, name):
    content, sentence = (TABLES | ARCHIVES)[name]
    path = tmp_path / ("t.csv" if name in TABLES else "t.npz")
    path.write_bytes(content.encode(errors="surrogateescape") if name in TABLES else content)
    assert sentence in refusal(path)


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("nosuch.csv", lambda path: path, "cannot be read: No such file"),
        ("folder.csv", lambda path: path.mkdir(), "cannot be read: Is a directory"),
        ("t.txt", lambda path: path.touch(), "is not read; allowed: .npz, .csv, .parquet, .tsv"),
        ("t.parquet", lambda path: path.write_bytes(b"PAR1"), "is no Parquet file, or is damaged"),
        ("t.parquet", lambda path: P.to_parquet(path), "column 'label' is missing"),
    ],
)
def test_what_is_no_file_or_no_parquet_is_refused(tmp_path, name, make, sentence):
    make(tmp_path / name)
    assert sentence in refusal(tmp_path / name)


SPELLINGS = {
    "semicolons": lambda t: t.to_csv(index=False, sep=";"),
    "semicolons and decimal commas": lambda t: t.to_csv(index=False, sep=";", decimal=","),
    "tabs": lambda t: t.to_csv(index=False, sep="\t"),
    "bars": lambda t: t.to_csv(index=False, sep="|"),
    "an index": lambda t: t.to_csv(),
    "a named index": lambda t: t.to_csv(index_label="index"),
    "upper case": lambda t: text(t.rename(columns=str.upper)),
    "spaces around": lambda t: text(t.rename(columns=" {} ".format)),
    "a byte-order mark": lambda t: "\ufeff" + text(t),
    "CRLF": lambda t: t.to_csv(index=False, lineterminator="\r\n"),
    "train and test": lambda t: text(t.assign(member=np.where(t.member == 1, "train", "test"))),
    "floats": lambda t: text(t.astype({"label": float, "member": float})),
    "other order": lambda t: text(t[t.columns[::-1]]),
}


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
def test_tables_may_be_spelt_in_many_ways(tmp_path, spelt):
    GOOD.to_csv(tmp_path / "good.csv", index=False)
    (tmp_path / "ANSWERS.CSV").write_text(spelt(GOOD), encoding="utf-8", newline="")
    found = read(tmp_path / "ANSWERS.CSV")
    assert found.content == read(tmp_path / "good.csv").content
    assert found.warnings == ()


@pytest.fixture(params=["csv", "tsv", "parquet", "npz"])
def stored(request, tmp_path):
    """Return what `read` makes of a table that was written in one of the forms."""

    def stored(table):
        path = tmp_path / f"A.{request.param.upper()}"
        if request.param == "npz":
            fields = {"labels": table.label, "membership": table.member}
            for field, prefix in (("posteriors", "p"), ("logits", "logit"), ("sensitivities", "s")):
                if f"{prefix}0" in table:
                    fields[field] = table.filter(regex=f"^{prefix}[0-9]").sort_index(axis=1)
            if "id" in table:
                fields["id"] = table["id"].to_numpy(str)
            with path.open("wb") as file:
                np.savez(file, **fields)
        elif request.param == "parquet":
            table.sample(len(table), random_state=0).sort_index().to_parquet(path)  # with an index
        else:
            table.to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
        return read(path)

    return stored


def test_the_same_answers_are_read_from_every_form(stored):
    signals = planted(60, 1.0, sensitivities=True)
    ids = [f"patient {i}" for i in range(60)]
    answers = stored(frame(signals, ids))

    assert answers.ids.tolist() == ids
    assert answers.content == Answers.of(signals, "a", ids).content


def test_logits_become_posteriors_and_rows_get_their_numbers_for_ids(stored):
    logits = np.log(P.astype(float)).rename(columns=lambda name: name.replace("p", "logit"))
    answers = stored(logits.assign(label=GOOD.label, member=GOOD.member))

    assert answers.signals.posteriors == pytest.approx(P, abs=1e-6)
    assert answers.ids.tolist() == [str(i) for i in range(40)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(label=t.label + 1), "labels: they run from 1 to 3 for 3 classes"),
        (lambda t: t.round(2), "because they are rounded to 2 decimals; each row was divided"),
        (lambda t: t.rename(columns=lambda n: n.replace("p", "logit")), "are probabilities alrea"),
    ],
    ids=["labels from one", "rounded", "probabilities"],
)
def test_what_is_unusual_is_read_and_told(stored, change, told):
    found = stored(change(GOOD))
    assert told in found.warnings[0]
    assert found.signals.labels.tolist() == GOOD.label.tolist()
    assert found.signals.posteriors.sum(axis=1) == pytest.approx(1, abs=1e-3)


def test_one_column_of_a_binary_network_is_that_of_class_one(tmp_path):
    binary = frame(planted(40, 1.0, classes=2))
    p = binary.p1.astype(float)
    for column in ({"p1": p}, {"logit1": np.log(p / (1 - p))}):
        table = binary[["label", "member"]].assign(**column, s1=0.5)
        table.to_csv(tmp_path / "t.csv", index=False)
        found = read(tmp_path / "t.csv").signals
        assert found.posteriors[:, 1] == pytest.approx(binary.p1, abs=1e-6)
        assert found.sensitivities.tolist() == [[0.5, 0.5]] * 40
