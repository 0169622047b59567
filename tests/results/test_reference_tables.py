"""Tables of attacks by references and of exposure: complete, equal to what they are made of."""

import numpy as np
import pandas as pd
import pytest

import prunemia as pm
from prunemia import claims, results
from prunemia.results import references

TINY = pm.Experiment(samples=600, width=4, epochs=2, finetune_epochs=1, shadows=2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return pm.Lab(tmp_path_factory.mktemp("store"), progress=False)


@pytest.fixture(scope="module")
def compared(lab):
    todo = [TINY.replace(sparsity=s) for s in (0.5, 0.7)]
    source, table = results.read_or_make("references", lab, todo, ["conf", "lira", "rmia"], most=8)
    assert source == ""
    return table


def test_every_network_has_every_attack_in_every_setting(compared):
    fitted = compared[(compared["by"] == "attack") & (compared["measure"] == "AUC")]
    cases = fitted.groupby(["network", "sparsity"]).apply(
        lambda part: sorted(zip(part["attack"], part["setting"], part["references"], strict=True)),
        include_groups=False,
    )
    settings = [("offline", 5), ("offline, sensitivity", 5), ("offline", 8), ("online", 8)]
    expected = sorted(
        [("conf", "shadows", 2), *((name, *s) for name in ("lira", "rmia") for s in settings)]
    )
    assert len(cases) == 6
    assert all(case == expected for case in cases)


def test_the_original_is_the_same_at_all_sparsities(compared):
    parts = [
        compared.query("network == @name and sparsity == @s")["value"].to_numpy()
        for name in ("original", "dense", "pruned")
        for s in (0.5, 0.7)
    ]
    assert np.array_equal(parts[0], parts[1], equal_nan=True)
    assert np.array_equal(parts[2], parts[3], equal_nan=True)
    assert not np.array_equal(parts[4], parts[5], equal_nan=True)


def test_an_entry_is_what_the_lab_says(lab, compared):
    row = compared.query(
        "network == 'pruned' and sparsity == 0.7 and attack == 'lira' and setting == 'online' "
        "and by == 'attack' and measure == 'AUC'"
    )
    result = lab.attack(TINY.replace(shadows=8), "lira", setting="online")
    assert row["value"].item() == result.evaluation.auc.value

    found = lab.references(TINY, "pruned", 2, "offline")
    target = lab.target(TINY)
    odds = pm.attacks.log_odds(target.posteriors, target.labels)
    scores = pm.attacks.lira_scores(odds, found.log_odds)
    evaluation = pm.metrics.evaluate(target.membership, scores, scores >= 0)
    row = compared.query(
        "network == 'pruned' and sparsity == 0.7 and attack == 'lira' and setting == 'offline' "
        "and by == 'formula' and measure == 'AUC' and references == 2"
    )
    assert row["value"].item() == pytest.approx(evaluation.auc.value, abs=1e-6)


def test_exposure_has_a_row_per_network_and_sample(lab):
    _, table = results.read_or_make("exposure", lab, [TINY], ["conf"], most=8)

    assert list(table["network"].unique()) == ["original", "dense", "pruned"]
    assert (table.groupby("network")["sample"].nunique() == 300).all()
    turn = lab.in_turn(TINY, "pruned", 8, ["conf"])
    part = table[table["network"] == "pruned"]
    rounded = {"abs": 5.1e-4, "nan_ok": True}
    assert part["conf"].to_numpy() == pytest.approx(turn.exposure()["conf"], **rounded)
    assert part["memorization"].to_numpy() == pytest.approx(turn.memorization(), **rounded)


def test_the_most_exposed_by_two_scores_overlap_by_hand():
    table = pd.DataFrame(
        {"a": [9, 8, 7, 1, 0, 0], "b": [9, 0, 8, 7, 1, 0], "c": [0, 0, 0, 7, 8, 9]}
    )
    found = claims.agreement(table, ["a", "b", "c"], 0.5)

    # tops: {0, 1, 2}, {0, 2, 3}, {3, 4, 5}
    assert found.loc["a", "b"] == 2 / 4
    assert found.loc["a", "c"] == 0
    assert found.loc["b", "c"] == 1 / 5
    assert (np.diag(found) == 1).all()


def test_few_references_are_as_many_as_the_papers_shadow_networks():
    assert pm.Experiment().shadows == references.FEW
