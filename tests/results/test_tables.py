"""Tables on tiny networks: the paper's statements, dense networks stopped early, trade-offs."""

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia import results
from prunemia.divergence import class_spread, compare, relative_changes
from prunemia.lab.attacking import validation_leaks
from prunemia.lab.effects import FIELDS
from prunemia.results import kept, tables

EXP = pm.Experiment(samples=300, width=4, epochs=2, finetune_epochs=1, shadows=2)


@pytest.fixture(scope="module")
def table(lab):
    """Of one run, under two stopping rules."""
    asked = [EXP, EXP.replace(stopping="last")]
    return tables.papers(lab, asked, ["conf", "samia"])


def test_a_table_of_the_papers_statements_has_one_row_per_number(table):
    assert list(table.columns) == [*FIELDS, "statistic", "name", "value"]
    assert not table.duplicated([*FIELDS, "statistic", "name"]).any()
    names = table.groupby(["stopping", "statistic"], sort=False)["name"].agg(list).to_dict()
    expected = {
        "change": ["confidence", "sensitivity", "generalization gap"],
        "spread": ["confidence", "sensitivity"],
    }
    # attacks have no stopping rule: under others the divergence alone is measured
    last = {("last", statistic): each for statistic, each in expected.items()}
    expected |= {key: ["conf", "samia"] for key in ("accuracy", "adaptive", "non-adaptive")}
    expected |= {"assumed": ["sparsity 0.5", "sparsity 0.9", "no pruning"]}
    expected |= {"test": ["no defense", "ppb"]}
    assert names == last | {("warm-up", statistic): each for statistic, each in expected.items()}


def test_its_numbers_are_what_the_lab_says(table, lab):
    own = table[table["stopping"] == "warm-up"].set_index(["statistic", "name"])["value"]
    ppb = EXP.replace(defense="ppb")

    for statistic, name, attack, exp in (
        ("accuracy", "samia", "samia", EXP),
        ("assumed", "sparsity 0.5", "samia", EXP.replace(adversary={"sparsity": 0.5})),
        ("assumed", "no pruning", "samia", EXP.replace(adversary={"pruner": "none"})),
        ("adaptive", "conf", "conf", ppb),
        ("non-adaptive", "conf", "conf", ppb.replace(adversary={"defense": "none"})),
    ):
        assert own[statistic, name] == lab.attack(exp, attack).evaluation.accuracy.value
    for name, exp in {"no defense": EXP, "ppb": ppb}.items():
        assert own["test", name] == lab.pruned(exp).accuracy["test"]

    before, after = lab.target(EXP, "original"), lab.target(EXP, "pruned")
    changes = relative_changes(compare(before, after, bootstraps=20, seed=0))
    assert own["change", "confidence"] == changes["confidence, Wasserstein-1"]
    spread = class_spread(after, "sensitivity", permutations=1000, seed=0)
    assert own["spread", "sensitivity"] == spread["spread"] - spread["chance"]


def test_a_curve_has_each_dense_network_of_a_run_once(lab):
    found = tables.curve(lab, [EXP], ())

    assert not found.duplicated([*FIELDS, "role", "epochs"]).any()
    assert found.groupby("role")["epochs"].agg(list).to_dict() == {"training": [1, 2], "dense": [1]}
    assert (found[["attack", "measure"]] == ["", "confidence AUC"]).all(axis=None)
    tuned = EXP.replace(stopping="last", pruner="dense", finetune_epochs=1)
    row = found[found["role"] == "dense"].iloc[0]
    known = lab.pruned(tuned).accuracy
    assert (row["train_accuracy"], row["test_accuracy"]) == (known["train"], known["test"])
    target = lab.target(tuned)
    sure = target.posteriors[range(len(target)), target.labels]
    assert row["value"] == pytest.approx(roc_auc_score(target.membership, sure))


def test_a_row_says_what_the_lab_says(lab):
    naive = EXP.replace(defense="dp", strength=2.0, adversary=pm.Adversary(defense="none"))
    table = tables.tradeoffs(lab, [EXP.replace(pruner="dense"), naive], ["conf"])

    assert table["pruner"].tolist() == ["dense", "l1unstructured", "none"]
    assert table["adversary"].tolist() == ["adaptive", "non-adaptive", "adaptive"]
    found, network = lab.attack(naive, "conf").evaluation, lab.pruned(naive)
    expected = [found.accuracy.value, found.auc.value, network.accuracy["test"]]
    expected.append(network.privacy["epsilon"])
    columns = ["accuracy", "auc", "test_accuracy", "epsilon"]
    assert table.loc[1, columns].tolist() == pytest.approx(expected, abs=6e-5)
    found = lab.attack(EXP, "conf", of="original").evaluation
    assert table.loc[2, "accuracy"] == round(found.accuracy.value, 4)
    assert pd.isna(table.loc[2, "epsilon"])
    assert {*tables.WAY, *tables.WIDE, *tables.VALIDATION} <= set(table)
    assert table[list(tables.VALIDATION)].isna().all(axis=None)  # none of them trains on these


@pytest.mark.parametrize("defense", ["adv", "distill"])
def test_a_defense_that_trains_on_validation_samples_has_their_leak(lab, defense):
    exp = EXP.replace(defense=defense)

    (conf, rmia) = tables.tradeoffs(lab, [exp], ["conf", "rmia"]).to_dict("records")

    found = validation_leaks(lab, exp, ["conf", "rmia"])
    for row in (conf, rmia):
        expected = found[row["attack"]].row()
        for name in tables.WIDE:
            measured = row[f"validation_{name}"]
            assert measured == pytest.approx(round(expected[name], 4), nan_ok=True)
    assert conf["accuracy"] == round(lab.attack(exp, "conf").evaluation.accuracy.value, 4)


def test_the_ways_of_a_page_are_each_defense_and_both_adversaries():
    compared = tables.variants(EXP)
    assert [w.pruner for w in compared[:2]] == ["dense", "l1unstructured"]
    defended = {(w.defense, w.adversary is None) for w in compared[2:]}
    assert defended == {(d, a) for d in pm.registry.DEFENSES if d != "none" for a in (True, False)}
    assert all(w.defense != "earlystop" for w in tables.variants(EXP.replace(stopping="last")))


def test_a_kept_table_comes_whole_where_its_grid_has_the_experiments_else_a_new_one(monkeypatch):
    monkeypatch.setitem(kept.KINDS, "control", (lambda *given: given, "mnist1d"))
    has = list(results.experiments("control_mnist1d"))[:2]
    name, found = results.read_or_make("control", None, iter(has), ["conf"])

    assert name == results.holding("control", has) == "control_mnist1d"
    assert found.equals(results.read(name))
    other = [has[0], has[0].replace(weight_decay=1e-5)]
    assert results.holding("control", other) == ""
    made = results.read_or_make("control", "a lab", iter(other), ["conf"])
    assert made == ("", ("a lab", other, ["conf"]))
