"""What the page on the defenses says of its plane of test accuracy and leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from prunemia import claims
from prunemia.audit.epsilon import DELTA, in_few_runs, lower_bound
from prunemia.claims import MARGIN, TEST_MARGIN, words
from prunemia.experiment import Experiment
from prunemia.lab import Lab

ATTACK = "conf"
"""The attack whose counts bound ε; it was named beforehand."""


def advice(
    table: pd.DataFrame, start: str, measure: str, *, defended: bool = True
) -> dict[str, str]:
    """Return what to do about the leak, if at most so much test accuracy may be lost.

    Against the undefended way called ``start``: chosen on the first runs, judged on the others;
    from all ways, or from those without a defense.
    """
    plane = claims.points(claims.halves(table)[0], measure)
    chosen = claims.recommended(table, start, TEST_MARGIN, measure, defended=defended)
    by_name = plane.set_index("name")
    lost = by_name["test"][start] - by_name["test"][chosen]
    leaks = (by_name["leak"][name] for name in (start, chosen))
    return {
        "chosen": chosen,
        "chosen_said": words.chosen_way(chosen, start, lost, *leaks),
        "judged_said": _judged(table, chosen, start, measure),
    }


def _judged(table: pd.DataFrame, chosen: str, start: str, measure: str) -> str:
    """Say what the runs that had no part in choosing say of the choice."""
    if chosen == start:
        return "there is nothing to judge"
    judged = claims.compared(table, chosen, start, measure)
    if not judged:
        return "no run was left to judge it"
    leak, price = judged
    fresh = words.counted(len(leak.values), "fresh run")
    gained = [value - TEST_MARGIN for value in price.values]
    lost = words.turned(claims.simultaneous(gained, price.tests))
    dear = ", which is more than allowed" if lost.value > TEST_MARGIN else ""
    return (
        f"on {fresh} it "
        f"{words.changes(words.turned(leak.effect), 'the strongest attack', MARGIN)}, at "
        f"{words.price(lost)}{dear}"
    )


def front(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the ways on the front of the runs that choose: what they are, and if confirmed."""
    plane = claims.points(claims.halves(table)[0], measure).set_index("name")
    held = dict(claims.confirmed(table, measure))
    shown = plane.loc[list(held), ["test", "leak", "attack"]].round(3)
    verdicts = [{True: "yes", False: "no", None: "–"}[held[name]] for name in shown.index]
    return shown.assign(confirmed=verdicts).sort_values("test", ascending=False)


def epsilons(lab: Lab, cases: Mapping[str, Sequence[Experiment]], canaries: int) -> pd.DataFrame:
    """Return what is known of ε, one row per case: proved from above, shown from below.

    Columns: promised (the accountant's, the largest of the runs; missing without DP-SGD), by attack
    (Clopper–Pearson from the counts of `ATTACK` over all runs), by canaries (their guesses over all
    runs). Bounds hold at 95 %, at δ of `DELTA`.
    """
    return pd.DataFrame(
        {
            name: {
                "promised": max(
                    lab.pruned(run).privacy.get("epsilon", float("nan")) for run in runs
                ),
                "by attack": _by_attack(lab, runs),
                "by canaries": _by_canaries(lab, runs, canaries),
            }
            for name, runs in cases.items()
        }
    ).T


def _by_attack(lab: Lab, runs: Sequence[Experiment]) -> float:
    counts = [0, 0, 0, 0]
    for run in runs:
        result = lab.attack(run, ATTACK)
        member, accused = result.membership, result.predictions
        found = (accused & member, member, accused & ~member, ~member)
        counts = [total + int(part.sum()) for total, part in zip(counts, found, strict=True)]
    return lower_bound(*counts, DELTA)  # type: ignore[call-arg]


def _by_canaries(lab: Lab, runs: Sequence[Experiment], count: int) -> float:
    guesses = [lab.canaries(run, count=count).guesses() for run in runs]
    right, made = (sum(part) for part in zip(*guesses, strict=True))
    return in_few_runs(right, made, count * len(runs))
