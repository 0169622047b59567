"""Tables on tiny networks: the paper's statements, dense networks stopped early, trade-offs."""

import pandas as pd
import pytest

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
    names = table.groupby(["stopping", "statistic"], sort=False)["name"].agg(tuple).to_dict()
    assert names == {
        ("warm-up", "change"): ("confidence", "sensitivity", "generalization gap"),
        ("warm-up", "spread"): ("confidence", "sensitivity"),
        ("warm-up", "accuracy"): ("conf", "samia"),
        ("warm-up", "assumed"): ("sparsity 0.5", "sparsity 0.9", "no pruning"),
        ("warm-up", "adaptive"): ("conf", "samia"),
        ("warm-up", "non-adaptive"): ("conf", "samia"),
        ("warm-up", "test"): ("no defense", "ppb"),
        # attacks have no stopping rule: under others the divergence alone is measured
        ("last", "change"): ("confidence", "sensitivity", "generalization gap"),
        ("last", "spread"): ("confidence", "sensitivity"),
    }


def test_its_numbers_are_what_the_lab_says(table, lab):
    own = table[table["stopping"] == "warm-up"].set_index(["statistic", "name"])["value"]

    for statistic, name, attack, changes in (
        ("accuracy", "samia", "samia", {}),
        ("assumed", "sparsity 0.5", "samia", {"adversary": {"sparsity": 0.5}}),
        ("assumed", "no pruning", "samia", {"adversary": {"pruner": "none"}}),
        ("adaptive", "conf", "conf", {"defense": "ppb"}),
        ("non-adaptive", "conf", "conf", {"defense": "ppb", "adversary": {"defense": "none"}}),
    ):
        found = lab.attack(EXP.replace(**changes), attack).evaluation
        assert own[statistic, name] == found.accuracy.value
    assert own["test", "no defense"] == lab.pruned(EXP).accuracy["test"]
    assert own["test", "ppb"] == lab.pruned(EXP.replace(defense="ppb")).accuracy["test"]

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
    sure = pd.Series(target.posteriors[range(len(target)), target.labels])
    ranks = sure.rank()[target.membership].sum()
    m, n = target.membership.sum(), (~target.membership).sum()
    assert row["value"] == pytest.approx((ranks - m * (m + 1) / 2) / (m * n))  # Mann and Whitney


def test_a_row_says_what_the_lab_says(lab):
    naive = EXP.replace(defense="dp", strength=2.0, adversary=pm.Adversary(defense="none"))
    table = tables.tradeoffs(lab, [EXP.replace(pruner="dense"), naive], ["conf"])

    assert table["pruner"].tolist() == ["dense", "l1unstructured", "none"]
    assert table["adversary"].tolist() == ["adaptive", "non-adaptive", "adaptive"]
    row = table.iloc[1]
    found = lab.attack(naive, "conf").evaluation
    assert row["accuracy"] == round(found.accuracy.value, 4)
    assert row["auc"] == round(found.auc.value, 4)
    assert row["test_accuracy"] == round(lab.pruned(naive).accuracy["test"], 4)
    assert row["epsilon"] == round(lab.pruned(naive).privacy["epsilon"], 4)
    original = table.iloc[2]
    found = lab.attack(EXP, "conf", of="original").evaluation
    assert original["accuracy"] == round(found.accuracy.value, 4)
    assert pd.isna(original["epsilon"])
    assert {*tables.WAY, *tables.WIDE, *tables.VALIDATION} <= set(table)
    assert table[list(tables.VALIDATION)].isna().all(axis=None)  # none of them trains on these


@pytest.mark.parametrize("defense", ["adv", "distill"])
def test_a_defense_that_trains_on_validation_samples_has_their_leak(lab, defense):
    exp = EXP.replace(defense=defense)

    (conf, rmia) = tables.tradeoffs(lab, [exp], ["conf", "rmia"]).to_dict("records")

    found = validation_leaks(lab, exp, ["conf", "rmia"])
    for row in (conf, rmia):
        of_validation = found[row["attack"]]
        assert row["validation_accuracy"] == round(of_validation.accuracy.value, 4)
        assert row["validation_auc"] == round(of_validation.auc.value, 4)
        tpr = of_validation.tpr[0.01].value
        assert row["validation_tpr@0.01"] == pytest.approx(round(tpr, 4), nan_ok=True)
    assert conf["accuracy"] == round(lab.attack(exp, "conf").evaluation.accuracy.value, 4)


def test_the_ways_of_a_page_are_each_defense_and_both_adversaries():
    compared = tables.variants(EXP)
    assert [w.pruner for w in compared[:2]] == ["dense", "l1unstructured"]
    defended = {(w.defense, w.adversary is None) for w in compared[2:]}
    assert defended == {(d, a) for d in pm.registry.DEFENSES if d != "none" for a in (True, False)}
    assert all(w.defense != "earlystop" for w in tables.variants(EXP.replace(stopping="last")))


@pytest.fixture
def made(monkeypatch):
    """A kept table "control_x" of two experiments, and what is asked of the tables' makers."""
    whole, asked = pd.DataFrame({"seed": [0, 1, 1]}), []

    def maker(lab, experiments, attacks):
        asked.append((lab, experiments, attacks))
        return pd.DataFrame({"seed": [exp.seed for exp in experiments]})

    grid = frozenset([EXP, EXP.replace(seed=1)])
    monkeypatch.setattr(kept, "TABLES", {"control_x": maker, "paper_x": maker})
    monkeypatch.setattr(kept, "KINDS", {"control": (maker, "x"), "paper": (maker, "x")})
    monkeypatch.setattr(kept, "exists", lambda name: name == "control_x")
    monkeypatch.setattr(kept, "read", {"control_x": whole}.__getitem__)
    monkeypatch.setattr(kept, "experiments", {"control_x": grid}.__getitem__)
    return whole, asked


def test_a_kept_table_comes_whole_where_its_grid_has_the_experiments_else_a_new_one(made):
    name, found = results.read_or_make("control", None, [EXP], ["conf"])

    assert name == "control_x"
    assert found is made[0]
    assert made[1] == []
    assert results.holding("control", [EXP, EXP.replace(seed=1)]) == "control_x"
    other = [EXP, EXP.replace(seed=2)]
    name, found = results.read_or_make("control", "a lab", iter(other), ["conf"])

    assert (name, found["seed"].tolist()) == ("", [0, 2])
    assert made[1] == [("a lab", other, ["conf"])]
    assert results.holding("control", other) == ""
    assert results.read_or_make("paper", None, [EXP], ())[0] == ""  # its table is not there
