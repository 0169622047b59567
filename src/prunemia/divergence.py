"""How differently a network answers members and non-members, and what pruning does to that.

Each distance between members and non-members, prepared for one set of samples, takes resampling
weights, (B, n), which sum to one over each side, and returns (B,) numbers. Both networks are
resampled alike (paired bootstrap). Source: Yuan & Zhang (2022), section 4 (prediction divergence).
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import rel_entr

from prunemia.metrics.intervals import LEVEL, Bools, Floats
from prunemia.signals import Signals

Quantity = Callable[[Signals], Floats]
Weighted = Callable[[Floats], Floats]
Distance = Callable[[Floats, Bools], Weighted]

SMALLEST_SENSITIVITY = 1e-12  # logarithms clip here: a saturated network's can be exactly zero
BINS = 30  # of the histogram that both samples share, for the Jensen-Shannon divergence
CHUNK = 100  # resamples that are weighed at once; bounds the memory


def confidence(signals: Signals) -> Floats:
    """Return p_y, the posterior of the true class: shape (n,)."""
    return np.asarray(signals.posteriors[np.arange(len(signals)), signals.labels], dtype=np.float64)


def sensitivity(signals: Signals) -> Floats:
    """Return ‖s‖₁, the sensitivities summed over classes: (n,), posterior per unit of input."""
    return np.asarray(signals.require_sensitivities().sum(axis=1, dtype=np.float64))


def log_sensitivity(signals: Signals) -> Floats:
    """Return log₁₀ ‖s‖₁, shape (n,), in decades: sensitivities spread over several of them."""
    return np.asarray(np.log10(np.maximum(sensitivity(signals), SMALLEST_SENSITIVITY)))


def correctness(signals: Signals) -> Floats:
    """Return 1 where the largest posterior is the true class's, else 0: shape (n,)."""
    return (signals.posteriors.argmax(axis=1) == signals.labels).astype(np.float64)


def _sorted_posteriors(signals: Signals) -> Floats:
    return -np.sort(-signals.posteriors.astype(np.float64), axis=1)


QUANTITIES: Mapping[str, Quantity]
QUANTITIES = {each.__name__: each for each in (confidence, sensitivity, correctness)}
"""What is compared by its mean, overall and class by class."""


def mean_difference(values: Floats, membership: Bools) -> Weighted:
    """Return the members' mean minus the non-members': the only distance with a sign."""
    signed = np.where(membership, values, -values)
    return lambda weights: weights @ signed


def _cumulative_gap(values: Floats, membership: Bools) -> tuple[Floats, Weighted]:
    """Return the steps between distinct values (a tie is one), and F_members − F_others before."""
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    ends = np.flatnonzero(steps > 0)
    sign = np.where(membership, 1.0, -1.0)[order]
    return steps[ends], lambda weights: np.cumsum(weights[:, order] * sign, axis=1)[:, ends]


def kolmogorov_smirnov(values: Floats, membership: Bools) -> Weighted:
    """Return the largest difference between the two distribution functions, 0 … 1."""
    _, gap = _cumulative_gap(values, membership)
    return lambda weights: np.abs(gap(weights)).max(axis=1, initial=0.0)


def wasserstein(values: Floats, membership: Bools) -> Weighted:
    """Return the area between the two distribution functions, in units of the quantity."""
    steps, gap = _cumulative_gap(values, membership)
    return lambda weights: np.abs(gap(weights)) @ steps


def jensen_shannon(values: Floats, membership: Bools) -> Weighted:
    """Return the Jensen-Shannon divergence in bits, 0 … 1, of `BINS` bins over one range."""
    edges = np.histogram_bin_edges(values, BINS)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    members, nonmembers = (np.eye(BINS)[bins] * mask[:, None] for mask in (membership, ~membership))

    def distance(weights: Floats) -> Floats:
        p, q = weights @ members, weights @ nonmembers
        middle = (p + q) / 2
        return (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / (2 * np.log(2))

    return distance


def kullback_leibler(values: Floats, membership: Bools) -> Weighted:
    """Return KL(members ‖ non-members) in nats between mean posteriors; ``values``: (n, C)."""
    members, nonmembers = (values * mask[:, None] for mask in (membership, ~membership))

    def distance(weights: Floats) -> Floats:
        p, q = (np.clip(weights @ part, 1e-30, None) for part in (members, nonmembers))
        return rel_entr(p, q).sum(axis=1)

    return distance


MEASURES: Mapping[tuple[str, str], tuple[Quantity, Distance]] = {
    ("confidence", "mean difference"): (confidence, mean_difference),
    ("confidence", "Kolmogorov–Smirnov"): (confidence, kolmogorov_smirnov),
    ("confidence", "Wasserstein-1"): (confidence, wasserstein),
    ("confidence", "Jensen–Shannon"): (confidence, jensen_shannon),
    ("sensitivity", "mean difference"): (sensitivity, mean_difference),
    ("sensitivity", "Kolmogorov–Smirnov"): (sensitivity, kolmogorov_smirnov),
    ("log sensitivity", "Wasserstein-1"): (log_sensitivity, wasserstein),
    ("log sensitivity", "Jensen–Shannon"): (log_sensitivity, jensen_shannon),
    ("correctness", "mean difference"): (correctness, mean_difference),
    ("sorted posterior", "Kullback–Leibler"): (_sorted_posteriors, kullback_leibler),
}
"""Of sensitivities, whose heavy tail would rule, mostly scale-free distances or logarithms."""


def _uniform(membership: Bools) -> Floats:
    return np.asarray(np.where(membership, 1 / membership.sum(), 1 / (~membership).sum()))[None]


def _resample(membership: Bools, count: int, generator: np.random.Generator) -> Floats:
    """Return the weights of ``count`` resamples, (count, n), of members and others apart."""
    weights = np.empty((count, len(membership)))
    for mask in (membership, ~membership):
        n = int(mask.sum())
        weights[:, mask] = generator.multinomial(n, np.full(n, 1 / n), size=count) / n
    return weights


def _changes(before: Floats, after: Floats) -> dict[str, float]:
    """Return ``original``, ``pruned``, ``change`` with limits, of (1 + B,): all, then resamples."""
    row: dict[str, float] = {}
    for name, x in {"original": before, "pruned": after, "change": after - before}.items():
        low, high = np.quantile(x[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        row |= {name: float(x[0]), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def compare(
    original: Signals, pruned: Signals, *, bootstraps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return per (quantity, distance): before, after, and the change that pruning brought.

    Columns ``original``, ``pruned``, ``change`` (pruned − original), each with ``_low`` and
    ``_high`` (95 %, percentile), and ``chance``: the pruned network's mean distance when membership
    is shuffled, to read those by that are >= 0. ValueError: other samples, or no membership.
    """
    membership = _shared_membership(original, pruned)
    prepared = {
        name: [distance(quantity(each), membership) for each in (original, pruned)]
        for name, (quantity, distance) in MEASURES.items()
    }
    uniform = _uniform(membership)
    found = {name: [[distance(uniform) for distance in pair]] for name, pair in prepared.items()}
    generator = np.random.default_rng(seed)
    for start in range(0, bootstraps, CHUNK):
        # all distances see the same resamples: they are paired
        weights = _resample(membership, min(CHUNK, bootstraps - start), generator)
        for name, pair in prepared.items():
            found[name].append([distance(weights) for distance in pair])
    records = [
        {"quantity": quantity, "distance": name} | _changes(*np.concatenate(parts, axis=1))
        for (quantity, name), parts in found.items()
    ]
    generator = np.random.default_rng([seed, 1])
    measures = [(quantity(pruned), distance) for quantity, distance in MEASURES.values()]
    null = []
    for _ in range(max(20, bootstraps // 20)):
        shuffled = generator.permutation(membership)
        weights = _uniform(shuffled)
        null.append([distance(values, shuffled)(weights)[0] for values, distance in measures])
    return pd.DataFrame(records).assign(chance=np.mean(null, axis=0).tolist())


def _shared_membership(original: Signals, pruned: Signals) -> Bools:
    """Return the membership that both share; ValueError where they hold other samples."""
    membership = pruned.require_membership()
    before = original.require_membership()
    if not (np.array_equal(membership, before) and np.array_equal(original.labels, pruned.labels)):
        allowed = "allowed: the same rows in the same order"
        raise ValueError(f"original and pruned: labels or membership differ; {allowed}")
    return membership


def relative_changes(table: pd.DataFrame) -> pd.Series:
    """Return (|pruned| − |original|) / |original| of `compare`, by "quantity, distance"."""
    original = table["original"].abs()
    changes = (table["pruned"].abs() - original) / original
    return changes.set_axis(table["quantity"] + ", " + table["distance"])


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return `compare`'s table to read: three digits, the change with its interval in one cell."""
    change = [
        f"{r.change:+.3f} [{r.change_low:+.3f}, {r.change_high:+.3f}]" for r in table.itertuples()
    ]
    numbers = table[["original", "pruned", "chance"]].map("{:.3f}".format)
    return table[["quantity", "distance"]].join(numbers).assign(change=change)


def by_class(
    original: Signals, pruned: Signals, *, bootstraps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return per (class, quantity) the mean difference between members and non-members.

    Columns as `compare` but for ``chance``, and class, members, nonmembers (two or more of each).
    """
    membership = _shared_membership(original, pruned)
    generator = np.random.default_rng(seed)
    records = []
    for c in np.unique(original.labels):
        of_class = original.labels == c
        member = membership[of_class]
        counts = {"members": int(member.sum()), "nonmembers": int((~member).sum())}
        if min(counts.values()) < 2:
            continue
        # the same resamples for all quantities and both networks
        weights = _resample(member, bootstraps, generator)
        pair = original.subset(of_class), pruned.subset(of_class)
        for name, quantity in QUANTITIES.items():
            distances = [mean_difference(quantity(signals), member) for signals in pair]
            parts = [[distance(w) for distance in distances] for w in (_uniform(member), weights)]
            changes = _changes(*np.concatenate(parts, axis=1))
            records.append({"class": int(c), "quantity": name} | counts | changes)
    return pd.DataFrame(records)


def class_spread(
    signals: Signals, quantity: str = "confidence", *, permutations: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Test whether members and non-members differ by other amounts in other classes.

    ``spread``: the mean difference's deviation over classes; ``chance``: its mean with classes
    shuffled on both sides; ``p``: one-sided. ValueError: fewer than two classes have both.
    """
    membership, values = signals.require_membership(), QUANTITIES[quantity](signals)
    generator, labels = np.random.default_rng(seed), signals.labels.copy()
    observed = _spread(values, labels, membership, signals.classes)
    if np.isnan(observed):
        few = "fewer than two classes have members and non-members"
        raise ValueError(f"labels: {few}; allowed: 2 or more")
    null = []
    for _ in range(permutations):
        for mask in (membership, ~membership):
            labels[mask] = generator.permutation(labels[mask])
        null.append(_spread(values, labels, membership, signals.classes))
    # the observed labelling is one of the permutations, so p is never zero
    p = (1 + sum(value >= observed for value in null)) / (1 + permutations)
    return {"spread": observed, "chance": float(np.mean(null)), "p": p}


def _spread(values: Floats, labels: NDArray[np.int64], membership: Bools, classes: int) -> float:
    means = []
    for mask in (membership, ~membership):
        counts = np.bincount(labels[mask], minlength=classes)
        with np.errstate(invalid="ignore"):
            means.append(np.bincount(labels[mask], values[mask], minlength=classes) / counts)
    differences = means[0] - means[1]
    known = differences[np.isfinite(differences)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else np.nan
