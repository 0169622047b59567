"""Tables of attacks by references: how much they find, whom, and how unevenly the leak falls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import spearmanr

from prunemia.attacks import lira_scores, log_odds, rmia_scores
from prunemia.attacks.likelihood import on_both_sides
from prunemia.attacks.referenced import SETTINGS
from prunemia.experiment import Experiment
from prunemia.lab import Lab, references
from prunemia.lab.effects import fields, networks
from prunemia.lab.lengths import lengths
from prunemia.lab.references import InTurn, References
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.metrics import FPRS, evaluate
from prunemia.metrics.intervals import threshold_at
from prunemia.registry import ATTACKS

MOST = 64
"""References in the tables; the paper's setting has five. With few networks most exposures tie."""
FEW = 5
ONLINE = 8
"""References of the online setting from which on nearly all samples have networks on both sides."""
SECOND = "offline, sensitivity"
"""The setting's name in the table where the sensitivity is a second signal."""
SCORE = "lira online"
"""The score by which exposure is judged."""
HALVES = {"first": slice(0, None, 2), "second": slice(1, None, 2)}
OTHERS = ("confidence", "rmia online")
TENTH, TOP = 0.1, 0.05
CHANCE = TOP / (2 - TOP)
"""The Jaccard index of two random sets of `TOP` of the samples."""
FPR = 0.01

Case = tuple[Experiment, str, Experiment, Of]
"""An experiment, and one of its networks: its name, of which experiment, which of its two."""


def _cases(experiments: Sequence[Experiment]) -> list[Case]:
    return [(exp, n, *case) for exp in experiments for n, case in networks(exp).items()]


def compared(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how much attacks find with and without references: one row per measure.

    Columns: the experiment's fields, network, attack, setting ("shadows", "offline", "online", "in
    turn", `SECOND`), references (how many), by ("attack": options and threshold chosen on shadows;
    "formula": the public functions with their defaults), measure ("accuracy", "AUC", "TPR at …"),
    value.
    """
    cases = _cases(experiments)
    lab.run(step for _, _, each, of in cases for step in _steps(each, of, attacks, most))
    seen: dict[str, list[dict[str, Any]]] = {}
    rows = []
    for exp, network, each, of in cases:
        # original and dense networks are the same at all sparsities
        key = lab.key(Step("signals", each, of))
        if key not in seen:
            seen[key] = [
                *_by_attack(lab, each, of, attacks, most),
                *_by_formula(lab, each, of, most),
            ]
        rows += [{**fields(exp), "network": network, **row} for row in seen[key]]
    return pd.DataFrame(rows)


def _steps(exp: Experiment, of: Of, attacks: Sequence[str], most: int) -> list[Step]:
    asked = [step for s in SETTINGS for step in references.steps(exp, of, most, s)]
    cases = _variants(exp, attacks, most)
    fitted = [attack_step(each, name, of, how) for name, each, how, *_ in cases]
    return [Step("signals", exp, of), *asked, *fitted]


def _variants(
    exp: Experiment, names: Sequence[str], most: int
) -> Iterator[tuple[str, Experiment, dict[str, Any], str, int]]:
    """Yield each attack as it is carried out: name, experiment, options, setting, references."""
    for name in names:
        if not ATTACKS[name].needs_references:
            yield name, exp, {}, "shadows", exp.shadows
            continue
        for setting, count in (("offline", FEW), ("offline", most), ("online", most)):
            yield name, exp.replace(shadows=count), {"setting": setting}, setting, count
        few = exp.replace(shadows=FEW)
        yield name, few, {"setting": "offline", "second": "sensitivity"}, SECOND, FEW


def _by_attack(
    lab: Lab, exp: Experiment, of: Of, attacks: Sequence[str], most: int
) -> Iterator[dict[str, Any]]:
    for name, each, how, setting, count in _variants(exp, attacks, most):
        about = {"attack": name, "setting": setting, "references": count, "by": "attack"}
        for measure, value in lab.attack(each, name, of, **how).evaluation.measures().items():
            yield {**about, "measure": measure, "value": value}


def _by_formula(lab: Lab, exp: Experiment, of: Of, most: int) -> Iterator[dict[str, Any]]:
    target = lab.target(exp, of)
    member, odds = target.require_membership(), log_odds(target.posteriors, target.labels)
    for setting in SETTINGS:
        found = lab.references(exp, of, most, setting)
        for count in lengths(most):
            if setting == "online" and count < ONLINE:
                continue
            able, by_name = _formulas(odds, found, count, setting == "online")
            for name, scores in by_name.items():
                about = {"attack": name, "setting": setting, "references": count, "by": "formula"}
                measures = evaluate(member[able], scores, scores >= 0).measures()
                del measures["accuracy"]  # a formula has no threshold
                for measure, value in measures.items():
                    yield {**about, "measure": measure, "value": value}
    turn = InTurn(found, references.by_references(found))
    for score in turn.scores:
        about = {"attack": score, "setting": "in turn", "references": most - 1, "by": "formula"}
        for fpr in FPRS:
            rate = float(np.nanmean(turn.rates(score, fpr)[0]))
            yield {**about, "measure": f"TPR at {fpr:g}", "value": rate}


def _formulas(
    odds: NDArray[np.float64], found: References, count: int, online: bool
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Return which samples have networks on the sides that count, and the formulas' scores."""
    trained = found.trained_on[:count]
    able = on_both_sides(trained) if online else np.ones(len(odds), dtype=bool)
    sides = trained[:, able] if online else None
    others = found.log_odds[:count, able]
    mine, theirs = expit(odds[able]), expit(others.astype(np.float64))
    return able, {
        "lira": lira_scores(odds[able], others, sides),
        "rmia": rmia_scores(mine, theirs, mine, theirs, sides),
    }


def exposed(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how exposed each sample of the victim's half is: one row per network and sample.

    Columns: the experiment's fields, network, sample, label; one per score of `Lab.in_turn` with
    the sample's AUC over ``most`` networks; "lira online, first" and "…, second" by half of the
    networks; memorization; "alarms": the sample's false-positive rate by lira online, where over
    all samples it is 1 %.
    """
    cases = _cases(experiments)
    lab.run(
        step
        for _, _, each, of in cases
        for step in references.steps_in_turn(each, of, most, attacks)
    )
    parts = []
    for exp, network, each, of in cases:
        turn = lab.in_turn(each, of, most, attacks)
        about = {**fields(exp), "network": network, "sample": turn.references.samples}
        table = pd.DataFrame({**about, "label": turn.references.labels}).join(turn.exposure())
        scores, trained = turn.scores[SCORE], turn.trained_on
        for half, part in HALVES.items():
            table[f"{SCORE}, {half}"] = references.aucs(scores[part], trained[part])
        table["memorization"] = turn.memorization()
        table["alarms"] = turn.rates(SCORE, FPR)[1]
        parts.append(table)
    # an AUC over 64 networks moves in steps of about a thousandth
    return pd.concat(parts, ignore_index=True).round(3)


def concentration(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how unevenly the leak falls on samples, one row per run and statistic.

    Columns: the experiment's fields, statistic, value. The statistics, all of LiRA online on the
    pruned network: "share of a tenth" (`share_of_a_tenth`), "rank correlation" and "overlap"
    (`overlap`) with the exposure on the original network, and the overlap with the exposure to each
    of `OTHERS`. ``attacks`` play no part.
    """
    del attacks
    cases = [case for case in _cases(experiments) if case[1] != "dense"]
    lab.run(
        step for _, _, each, of in cases for step in references.steps_in_turn(each, of, most, ())
    )
    return pd.DataFrame(
        {**fields(exp), "statistic": name, "value": float(value)}
        for exp in experiments
        for name, value in _statistics(lab, exp, most).items()
    )


def _statistics(lab: Lab, exp: Experiment, most: int) -> dict[str, float]:
    known = networks(exp)
    turn = lab.in_turn(*known["pruned"], most)
    pruned = turn.exposure()
    original = lab.in_turn(*known["original"], most).exposure()[SCORE]
    rank = spearmanr(pruned[SCORE], original, nan_policy="omit").statistic
    beside = {"the original": original, **{name: pruned[name] for name in OTHERS}}
    overlaps = {
        f"overlap with {name}": overlap(pruned[SCORE].to_numpy(), other.to_numpy())
        for name, other in beside.items()
    }
    return {"share of a tenth": share_of_a_tenth(turn), "rank correlation": rank, **overlaps}


def share_of_a_tenth(turn: InTurn) -> float:
    """Return the share of the members found that the tenth of samples most exposed holds.

    Exposed by the even networks, found at 1 % FPR on the odd ones, so that neither is counted on
    itself; 0.1 is chance level.
    """
    scores, trained = turn.scores[SCORE], turn.trained_on
    exposed = references.aucs(scores[::2], trained[::2])
    usable = np.isfinite(exposed)
    most = most_exposed(np.where(usable, exposed, -np.inf), TENTH, np.random.default_rng(0))
    judging, members = scores[1::2], trained[1::2]
    known = np.isfinite(judging)
    threshold = threshold_at(judging[known & ~members], FPR)
    if threshold is None:
        return float("nan")
    found = (judging > threshold) & members & known & usable
    return float(found[:, most].sum() / max(found.sum(), 1))


def overlap(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the Jaccard index of the most exposed `TOP` of the samples by two exposures."""
    usable = np.isfinite(one) & np.isfinite(two)
    draw = np.random.default_rng(0)
    return jaccard(*(most_exposed(values[usable], TOP, draw) for values in (one, two)))


def jaccard(one: NDArray[np.int64], two: NDArray[np.int64]) -> float:
    """Return how many elements two sets share, of all that are in one of them."""
    return len(np.intersect1d(one, two)) / len(np.union1d(one, two))


def agreement(table: pd.DataFrame, columns: Sequence[str], share: float = TOP) -> pd.DataFrame:
    """Return how much of the most exposed samples two columns share: Jaccard indices.

    ``share`` of the samples count as most exposed; chance level is share / (2 − share).
    """
    draw = np.random.default_rng(0)
    values = table[[*columns]].fillna(-np.inf)
    tops = {n: most_exposed(values[n].to_numpy(dtype=float), share, draw) for n in columns}
    return pd.DataFrame({a: {b: jaccard(tops[a], tops[b]) for b in columns} for a in columns})


def most_exposed(
    values: NDArray[np.float64], share: float, draw: np.random.Generator
) -> NDArray[np.int64]:
    """Return the indices of the largest ``share`` of the values, ties in random order.

    Many samples are exposed to the full. Taken by their place in the data, the same ones would come
    first in every ranking, and rankings without anything in common would overlap.
    """
    count = max(1, round(share * len(values)))
    return np.lexsort((draw.random(len(values)), -values))[:count]
