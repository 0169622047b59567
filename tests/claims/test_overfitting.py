"""Over-fitting beside the leak, from a small table written by hand."""

import pandas as pd
import pytest

from prunemia.claims import overfitting


def control(**changes):
    """Two runs at two sparsities; each measure of the three networks by hand."""
    levels = {  # measure: (original, dense, pruned 0.5, pruned 0.9), run 0; run 1 has 0.02 more
        "train accuracy": (0.96, 0.99, 0.98, 0.80),
        "generalization gap": (0.10, 0.20, 0.15, 0.05),
        "accuracy": (0.60, 0.70, 0.55, 0.52),
    }
    rows = [
        {
            "dataset": "d", "pruner": "l1unstructured", "defense": "none", "stopping": "warm-up",
            "sparsity": sparsity, "seed": seed, "measure": measure,
            "attack": "samia" if measure == "accuracy" else "",
            "original": first + 0.02 * seed, "dense": dense + 0.005 * seed,
            "pruned": pruned[place] + 0.02 * seed,
        }
        for seed in (0, 1)
        for place, sparsity in enumerate((0.5, 0.9))
        for measure, (first, dense, *pruned) in levels.items()
    ]  # fmt: skip
    other = [row | {"stopping": "last", "original": 0.0} for row in rows]
    weaker = [row | {"attack": "conf", "original": 0.5} for row in rows if row["attack"]]
    return pd.DataFrame([*rows, *other, *weaker]).assign(**changes)


def test_each_network_counts_once_per_run_under_our_own_rule_by_samia():
    found = overfitting.networks_of(control()).set_index("network")

    assert list(found.index) == ["original", "dense", "pruned 0.5", "pruned 0.9"]
    assert set(found["runs"]) == {2}
    assert found.loc["original", "leak"] == pytest.approx(0.61)
    assert found.loc["original", "train"] == pytest.approx(0.97)
    assert found.loc["pruned 0.9", "gap"] == pytest.approx(0.06)
    assert found.loc["pruned 0.9", "role"] == "pruned"


def test_networks_that_moved_the_same_way_are_counted():
    # From gap .11 and leak .61: dense up and up, pruned 0.5 up and down, pruned 0.9 down and down.
    found = overfitting.networks_of(control())

    assert overfitting.together(found) == (2, 3)


def test_the_rank_correlation_is_over_original_networks():
    # gaps .11 < .12 < .13 with leaks .61, .53, .57: ranks 1 3 / 2 1 / 3 2, so 1 − 6 · 6 / 24 = −.5
    parts = [overfitting.networks_of(control(dataset=name)) for name in "abc"]
    for part, gap, leak in zip(parts, (0.11, 0.12, 0.13), (0.61, 0.53, 0.57), strict=True):
        part.loc[part["role"] == "original", ["gap", "leak"]] = gap, leak

    assert overfitting.rank(pd.concat(parts)) == pytest.approx(-0.5)


def test_data_sets_whose_members_are_not_fitted_are_named():
    found = overfitting.networks_of(control())

    assert overfitting.unfitted(found, 0.98) == "d (0.970)"
    assert overfitting.unfitted(found, 0.96) == "none"
