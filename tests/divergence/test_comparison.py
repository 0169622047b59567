import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

import prunemia as pm
from prunemia import divergence


def signals(confidence, *, labels=None, membership=None, seed=0):
    """Two-class signals whose true-class posterior is ``confidence``; sensitivities follow it."""
    confidence = np.asarray(confidence, dtype=float)
    labels = np.zeros(len(confidence), dtype=int) if labels is None else np.asarray(labels)
    posteriors = np.stack([confidence, 1 - confidence], axis=1)
    posteriors[labels == 1] = posteriors[labels == 1][:, ::-1]
    moved = np.random.default_rng(seed).random(posteriors.shape)
    half = np.arange(len(confidence)) < len(confidence) // 2
    return pm.Signals(posteriors, moved, labels, half if membership is None else membership)


@pytest.fixture
def shifted():
    draw = np.random.default_rng(1)
    member, other = draw.beta(8, 2, 400), draw.beta(4, 2, 400)
    return signals(np.concatenate([member, other]))


def row(table, quantity, distance):
    return table.set_index(["quantity", "distance"]).loc[(quantity, distance)]


def test_distances_match_scipys(shifted):
    table = divergence.compare(shifted, shifted, bootstraps=20)
    moved = divergence.sensitivity(shifted)
    quantities = {"sensitivity": moved, "log sensitivity": np.log10(moved)}
    quantities["confidence"] = divergence.confidence(shifted)
    for name, values in quantities.items():
        a, b = values[:400], values[400:]
        p, q = (np.histogram(x, np.histogram_bin_edges(values, 30))[0] for x in (a, b))
        expected = {
            "mean difference": a.mean() - b.mean(),
            "Kolmogorov–Smirnov": stats.ks_2samp(a, b).statistic,
            "Wasserstein-1": stats.wasserstein_distance(a, b),
            "Jensen–Shannon": jensenshannon(p, q, base=2) ** 2,
        }
        found = table[table.quantity == name].set_index("distance").original.to_dict()
        assert found == pytest.approx({distance: expected[distance] for distance in found})


def test_distances_by_hand():
    def found(confidences, *names):
        table = divergence.compare(*2 * [signals(confidences)], bootstraps=20)
        return pytest.approx(row(table, *names).original, rel=1e-6)

    # Members 0.5, 0.5, 0.9 and others 0.5, 0.9, 0.9: F differs by 1/3 from 0.5 to 0.9, for a tie
    # is one step.
    ties = [0.5, 0.5, 0.9, 0.5, 0.9, 0.9]
    assert found(ties, "confidence", "Kolmogorov–Smirnov") == 1 / 3
    assert found(ties, "confidence", "Wasserstein-1") == 0.4 / 3
    # Sorted means: members (0.8, 0.2), non-members (0.6, 0.4): KL = 0.8 ln(4/3) + 0.2 ln(1/2).
    # Members are right both times; of the non-members 0.4 is wrong: gap 1 - 1/2.
    kl = 0.8 * np.log(4 / 3) - 0.2 * np.log(2)
    assert found([0.8, 0.8, 0.6, 0.4], "sorted posterior", "Kullback–Leibler") == kl
    assert found([0.8, 0.8, 0.6, 0.4], "correctness", "mean difference") == 0.5


def test_change_is_paired_and_its_interval_covers_a_known_shift(shifted):
    # every member's confidence rises by 0.02, and so does the mean difference, in every resample
    confidence = divergence.confidence(shifted).copy()
    confidence[:400] = np.minimum(confidence[:400] + 0.02, 1)
    exact = confidence[:400].mean() - divergence.confidence(shifted)[:400].mean()
    table = divergence.compare(shifted, signals(confidence), bootstraps=200)
    change = row(table, "confidence", "mean difference")
    assert change.change == pytest.approx(exact, rel=1e-5)
    assert change.change_low <= exact <= change.change_high
    assert change.change_high - change.change_low < 0.1 * (change.pruned_high - change.pruned_low)


def test_bootstrap_interval_of_a_mean_difference_is_as_wide_as_theory(shifted):
    # 1.96 sqrt(var_1/400 + var_0/400) on each side. One class: that of `compare`, quicker.
    values = divergence.confidence(shifted)
    error = np.sqrt(values[:400].var() / 400 + values[400:].var() / 400)
    found = divergence.by_class(shifted, shifted, bootstraps=2000).iloc[0]
    assert found.quantity == "confidence"
    assert found.original_high - found.original_low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_signed_difference_grows_with_its_absolute_value():
    # Grown, shrunk, both from below zero, and with another sign. -0.74 shrinks by 0.31 to -0.43.
    table = pd.DataFrame({"quantity": "sensitivity", "distance": list("abcdef")})
    table["original"] = [0.4, 0.5, -0.4, -0.74, -0.4, 0.5]
    table["pruned"] = [0.5, 0.4, -0.5, -0.43, 0.5, -0.4]
    changes = divergence.relative_changes(table)
    assert changes["sensitivity, a"] == pytest.approx(0.25)
    assert changes.tolist() == pytest.approx([0.25, -0.2, 0.25, -0.31 / 0.74, 0.25, -0.2])


def test_distances_of_sensitivities_do_not_depend_on_their_unit(shifted):
    # Sensitivity per unit of input: measured in another unit, all are a thousand times as large.
    moved = 1000 * shifted.sensitivities
    scaled = pm.Signals(shifted.posteriors, moved, shifted.labels, shifted.membership)
    table = divergence.compare(shifted, scaled, bootstraps=20)
    table = table[table.quantity.str.contains("sensitivity")].set_index("distance")
    means = table.loc["mean difference"]
    assert means.pruned == pytest.approx(1000 * means.original, rel=1e-4)
    others = table.drop("mean difference")
    assert others.pruned.to_numpy() == pytest.approx(others.original, rel=1e-3, abs=1e-4)
    still = pm.Signals(np.full((2, 2), 0.5), np.array([[0.0, 0.0], [5.0, 5.0]]), np.array([0, 1]))
    assert divergence.log_sensitivity(still).tolist() == [-12.0, 1.0]  # of zero, too


def test_a_null_reads_like_chance():
    draw = np.random.default_rng(5)
    null = signals(draw.beta(5, 2, 600))
    table = divergence.compare(null, null, bootstraps=400)
    ks = row(table, "confidence", "Kolmogorov–Smirnov")
    # Under the null sqrt(n m / (n + m)) KS has mean 0.869 (Kolmogorov): 0.869 / sqrt(150) = 0.071.
    assert ks.chance == pytest.approx(0.869 / np.sqrt(150), rel=0.25)
    mean = row(table, "confidence", "mean difference")
    assert mean.original_low < 0 < mean.original_high


def test_by_class_is_the_mean_difference_in_each_class():
    labels = np.tile([0, 1], 100)
    confidence = np.where((labels == 0) & (np.arange(200) < 100), 0.9, 0.7)
    table = divergence.by_class(*2 * [signals(confidence, labels=labels)], bootstraps=50)
    values = table[table.quantity == "confidence"].set_index("class").original
    assert values.tolist() == pytest.approx([0.2, 0.0], abs=1e-6)
    assert set(table["members"]) == {50}
    # a class without members is left out
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1, 2, 2])
    three = pm.Signals(np.full((10, 3), 1 / 3), np.zeros((10, 3)), labels, np.arange(10) < 4)
    assert set(divergence.by_class(three, three, bootstraps=20)["class"]) == {0, 1}


def test_class_spread_finds_a_planted_difference_and_not_a_null():
    draw, alternating, halves = np.random.default_rng(2), np.arange(400) % 2, np.arange(400) // 200

    def p(values, permutations, labels=alternating):
        made = signals(values, labels=labels)
        return divergence.class_spread(made, permutations=permutations)["p"]

    planted = draw.normal(0.6, 0.05, 400) + 0.05 * ((alternating == 0) & (halves == 0))
    assert p(planted, 200) < 0.01
    # Uniform under the null: the mean of 40 has standard error 0.046.
    nulls = [p(draw.normal(0.6, 0.05, 400), 99) for _ in range(40)]
    assert np.mean(nulls) == pytest.approx(0.5, abs=0.19)
    # the deviation over one class is no number, which no permutation exceeds
    for labels in (halves, 0 * halves):  # members and non-members share no class, or one alone
        with pytest.raises(ValueError, match="fewer than two classes have members and non-members"):
            p(planted, 9, labels)


def test_other_rows_are_refused(shifted):
    with pytest.raises(ValueError, match="the same rows"):
        divergence.compare(shifted, shifted.subset(np.arange(800) != 3))
    with pytest.raises(ValueError, match="membership: None"):
        divergence.compare(shifted, shifted.observed())
    with pytest.raises(ValueError, match="sensitivities: None"):
        divergence.sensitivity(pm.Signals([[0.5, 0.5]], None, [0]))
