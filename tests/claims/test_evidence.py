"""The same claims on several data sets."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prunemia import results
from prunemia.claims import evidence
from prunemia.claims.base import CONTRADICTED, SUPPORTED, UNDECIDED
from prunemia.claims.evidence import pooled


def control(dataset: str, total: float, training: float) -> pd.DataFrame:
    """A table in which pruned and dense networks leak so much more than the original."""
    rows = []
    for seed in range(5):
        swing = 0.001 * (-1) ** seed
        for sparsity in (0.5, 0.7, 0.9):
            for attack in ("conf", "samia"):
                start = 0.6 + (0.02 if attack == "samia" else 0.0)
                rows.append(
                    {
                        "dataset": dataset, "pruner": "l1unstructured", "sparsity": sparsity,
                        "defense": "none", "stopping": "warm-up", "seed": seed,
                        "measure": "accuracy", "attack": attack, "original": start,
                        "dense": start + training + swing, "pruned": start + total - swing,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def tables(monkeypatch):
    kept = {"control_a": control("a", 0.05, 0.08), "control_b": control("b", -0.05, 0.08)}
    monkeypatch.setattr(results, "TABLES", dict.fromkeys(kept))
    monkeypatch.setattr(results, "there", lambda name: name in kept)
    monkeypatch.setattr(results, "read", kept.__getitem__)
    return kept


@pytest.mark.usefixtures("tables")
def test_each_data_set_gets_its_effect_and_verdict():
    found = evidence.as_table(evidence.evidence()).set_index(["claim", "dataset"])
    total = "At sparsity 0.7 the pruned network leaks more to SAMIA than the original"

    assert found.loc[(total, "a"), "value"] == pytest.approx(0.05, abs=0.001)
    assert found.loc[(total, "a"), "verdict"] == SUPPORTED
    assert found.loc[(total, "b"), "verdict"] == CONTRADICTED
    pruning = "At sparsity 0.7 pruning raises the leak to SAMIA at equal training"
    assert found.loc[(pruning, "a"), "value"] == pytest.approx(-0.03, abs=0.001)
    assert set(found["runs"]) == {5}


@pytest.mark.usefixtures("tables")
def test_the_claims_of_a_row_are_one_family():
    for _, _, held in evidence.evidence():
        assert {claim.tests for claim in held.values()} == {len(held)}


def test_a_table_that_is_not_there_leaves_its_column_out(tables, monkeypatch):
    monkeypatch.setattr(results, "there", lambda name: name == "control_a")
    found = evidence.as_table(evidence.evidence())
    assert set(found["dataset"]) == {"a"}
    assert evidence.common(evidence.evidence()).empty
    assert set(tables) == {"control_a", "control_b"}


def test_the_mean_of_equal_data_sets_by_hand():
    # Two data sets, each of variance 0.01 / 2 within, means 1 and 3. Fixed weights 200 each, Q =
    # 200 + 200 = 400, DerSimonian–Laird: (400 - 1) / (400 - 200) = 1.995 between. Each then weighs
    # 1/2, the mean is 2; its scale (1 + 1) / 2 = 1 exceeds no fixed effect's: 1 / 2 · 2 / 1 = 1.
    values = [(1 - 0.07071068, 1 + 0.07071068), (3 - 0.07071068, 3 + 0.07071068)]
    mean, between = pooled(values)

    assert between == pytest.approx(np.sqrt(1.995), rel=1e-4)
    assert mean.value == pytest.approx(2)
    assert mean.high - mean.value == pytest.approx(stats.t.isf(0.025, 1) * 1, rel=1e-3)


def test_the_variance_between_data_sets_is_where_the_squares_add_up():
    # Three data sets of unequal precision; the root is checked by the equation that defines it.
    draw = np.random.default_rng(2)
    values = [tuple(draw.normal(m, s, 5)) for m, s in ((0.0, 0.01), (0.2, 0.1), (0.5, 0.3))]
    _, between = pooled(values)

    means = np.array([np.mean(each) for each in values])
    weights = 1 / (np.array([np.var(each, ddof=1) / 5 for each in values]) + between**2)
    centre = (weights * means).sum() / weights.sum()
    assert between > 0
    assert (weights * (means - centre) ** 2).sum() == pytest.approx(2, rel=1e-6)


def test_a_verdict_needs_every_stopping_rule_that_the_table_has(tables):
    own = tables["control_a"]
    tables["control_a"] = pd.concat(
        [own, own.assign(stopping="last", pruned=own["original"] + (own["seed"] - 2) * 0.01)]
    )
    found = evidence.as_table(evidence.evidence()).set_index(["claim", "dataset"])
    total = "At sparsity 0.7 the pruned network leaks more to SAMIA than the original"

    assert found.loc[(total, "a"), "value"] == pytest.approx(0.05, abs=0.001)
    assert found.loc[(total, "a"), "verdict"] == UNDECIDED  # zero on average by the other rule
    assert found.loc[("Fine-tuning alone raises the leak to SAMIA", "a"), "verdict"] == SUPPORTED


def test_two_data_sets_have_no_mean(tables):
    assert evidence.common(evidence.evidence()).empty
    tables["control_c"] = control("c", 0.01, 0.02)
    results.TABLES["control_c"] = None
    assert set(evidence.common(evidence.evidence())["data sets"]) == {3}


def test_data_sets_that_agree_have_nothing_between_them():
    draw = np.random.default_rng(0)
    values = [tuple(draw.normal(0.5, 0.1, 30)) for _ in range(8)]
    mean, between = pooled(values)
    assert between < 0.03
    assert mean.low < 0.5 < mean.high


def test_the_interval_covers_the_mean_of_the_population():
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        own = draw.normal(0.2, 0.3, 5)
        mean, _ = pooled([tuple(draw.normal(effect, 0.2, 5)) for effect in own])
        covered += mean.low < 0.2 < mean.high
    assert covered / 300 > 0.91
