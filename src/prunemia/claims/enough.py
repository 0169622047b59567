"""How many runs a verdict needs: the same claims, judged by fewer runs than there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from prunemia.claims.base import VERDICTS, Claim


def by_runs(claims: Iterable[Claim], most: int) -> pd.DataFrame:
    """Return which verdicts claims get from 2, 3, …, ``most`` of their runs.

    Every subset of a claim's runs judges it, with the family that it has; of claims with fewer than
    ``most`` runs there is none. Columns: runs; verdict; share, the mean over claims of the fraction
    of subsets that give this verdict; in `VERDICTS`' order.
    """
    asked = [claim for claim in claims if len(claim.values) >= most]
    if not asked:
        raise ValueError(f"no claim has {most} runs")
    rows = []
    for runs in range(2, most + 1):
        shares = pd.DataFrame([_shares(claim, runs) for claim in asked]).mean()
        rows += [{"runs": runs, "verdict": name, "share": shares[name]} for name in VERDICTS]
    return pd.DataFrame(rows)


def _shares(claim: Claim, runs: int) -> dict[str, float]:
    """Return the fraction of the subsets of so many runs that give each verdict."""
    subsets = [list(each) for each in itertools.combinations(range(len(claim.values)), runs)]
    verdicts = [_of(claim, subset).verdict for subset in subsets]
    return {name: verdicts.count(name) / len(subsets) for name in VERDICTS}


def _of(claim: Claim, subset: list[int]) -> Claim:
    """Return the claim as these runs would have it, under every stopping rule."""
    values, *also = (tuple(each[i] for i in subset) for each in (claim.values, *claim.also))
    return replace(claim, values=values, also=tuple(also))


def reversals(claims: Iterable[Claim], runs: int) -> float:
    """Return how often so few runs decide a claim against the verdict of all runs.

    A fraction of all decisions (supported or contradicted) by subsets, over claims that all runs
    decide; 0 where there is none.
    """
    decided, against = 0.0, 0.0
    for claim in claims:
        if claim.verdict in VERDICTS[:2] and len(claim.values) > runs:
            shares = _shares(claim, runs)
            other = VERDICTS[1 - VERDICTS.index(claim.verdict)]
            decided += shares[claim.verdict] + shares[other]
            against += shares[other]
    return against / decided if decided else 0.0
