import pandas as pd
import pytest

import prunemia as pm
from prunemia.lab.attacking import validation_leaks
from prunemia.results.tables import MEASURES, VALIDATION, WAY, tradeoffs, variants

EXP = pm.Experiment(
    dataset="mnist1d", samples=400, width=4, epochs=2, finetune_epochs=1, shadows=2, seed=1
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return pm.Lab(tmp_path_factory.mktemp("plane"), device="cpu", progress=False)


def test_a_row_says_what_the_lab_says(lab):
    naive = EXP.replace(defense="dp", strength=2.0, adversary=pm.Adversary(defense="none"))
    table = tradeoffs(lab, [EXP.replace(pruner="dense"), naive], ["conf"])

    assert table["pruner"].tolist() == ["dense", "l1unstructured", "none"]
    assert table["adversary"].tolist() == ["adaptive", "non-adaptive", "adaptive"]
    row = table.iloc[1]
    found = lab.attack(naive, "conf").evaluation
    assert row["accuracy"] == round(found.accuracy.value, 4)
    assert row["auc"] == round(found.auc.value, 4)
    assert row["test_accuracy"] == round(lab.pruned(naive).accuracy["test"], 4)
    assert row["epsilon"] == round(lab.pruned(naive).privacy["epsilon"], 4)
    original = table.iloc[2]
    assert original["accuracy"] == round(
        lab.attack(EXP, "conf", of="original").evaluation.accuracy.value, 4
    )
    assert pd.isna(original["epsilon"])
    assert set(WAY) | set(MEASURES) | set(VALIDATION) <= set(table)
    assert table[list(VALIDATION)].isna().all(axis=None)  # none of them trains on these


@pytest.mark.parametrize("defense", ["adv", "distill"])
def test_a_defense_that_trains_on_validation_samples_has_their_leak(lab, defense):
    exp = EXP.replace(defense=defense)

    (conf, rmia) = tradeoffs(lab, [exp], ["conf", "rmia"]).to_dict("records")

    found = validation_leaks(lab.context, exp, ["conf", "rmia"])
    for row in (conf, rmia):
        of_validation = found[row["attack"]]
        assert row["validation_accuracy"] == round(of_validation.accuracy.value, 4)
        assert row["validation_auc"] == round(of_validation.auc.value, 4)
        tpr = of_validation.tpr[0.01].value
        assert row["validation_tpr@0.01"] == pytest.approx(round(tpr, 4), nan_ok=True)
    assert conf["accuracy"] == round(lab.attack(exp, "conf").evaluation.accuracy.value, 4)


def test_the_defenses_that_train_on_validation_samples_are_known():
    using = {name for name, kind in pm.registry.DEFENSES.items() if kind.uses_validation}
    assert using == {"adv", "distill"}


def test_the_ways_of_a_page_are_each_defense_and_both_adversaries():
    compared = variants(EXP)

    assert [w.pruner for w in compared[:2]] == ["dense", "l1unstructured"]
    defended = {(w.defense, w.adversary is None) for w in compared[2:]}
    assert defended == {(d, a) for d in pm.registry.DEFENSES if d != "none" for a in (True, False)}
    assert all(w.defense != "earlystop" for w in variants(EXP.replace(stopping="last")))
