"""Tables of attacks by references: how much they find, and whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from prunemia.attacks import lira_scores, log_odds, rmia_scores
from prunemia.attacks.likelihood import on_both_sides
from prunemia.attacks.referenced import SETTINGS
from prunemia.experiment import Experiment
from prunemia.lab import Lab, in_turn, references
from prunemia.lab.effects import fields, networks
from prunemia.lab.in_turn import InTurn
from prunemia.lab.lengths import lengths
from prunemia.lab.references import References
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.metrics import FPRS, Evaluation, evaluate
from prunemia.registry import ATTACKS

MOST = 64
"""References in the tables; the paper's setting has five."""
FEW = 5
ONLINE = 8
"""References of the online setting from which on nearly all samples have networks on both sides."""
SECOND = "offline, sensitivity"
"""The setting's name in the table where the sensitivity is a second signal."""
HALVES = {"first": slice(0, None, 2), "second": slice(1, None, 2)}


def compared(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how much attacks find with and without references: one row per measure.

    Columns: the experiment's fields, network, attack, setting ("shadows", "offline", "online", "in
    turn", `SECOND`), references (how many), by ("attack": options and threshold chosen on shadows;
    "formula": the public functions with their defaults), measure ("accuracy", "AUC", "TPR at …"),
    value.
    """
    seen: dict[str, list[dict[str, Any]]] = {}
    cases = _cases(experiments)
    lab.run(step for _, _, each, of in cases for step in steps(each, of, attacks, most))
    rows = []
    for exp, network, each, of in cases:
        # original and dense networks are the same at all sparsities
        key = lab.pipeline.key(Step("signals", each, of))
        if key not in seen:
            seen[key] = list(_rows(lab, each, of, attacks, most))
        rows += [{**fields(exp), "network": network, **row} for row in seen[key]]
    return pd.DataFrame(rows)


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
    lab.run(step for _, _, each, of in cases for step in in_turn.steps(each, of, most, attacks))
    parts = []
    for exp, network, each, of in cases:
        turn = lab.in_turn(each, of, most, attacks)
        about = {**fields(exp), "network": network, "sample": turn.references.samples}
        table = pd.DataFrame({**about, "label": turn.references.labels}).join(turn.exposure())
        for half, part in HALVES.items():
            scores, trained = turn.scores["lira online"][part], turn.trained_on[part]
            table[f"lira online, {half}"] = in_turn.aucs(scores, trained)
        table["memorization"] = turn.memorization()
        table["alarms"] = turn.rates("lira online", 0.01)[1]
        parts.append(table)
    # an AUC over 64 networks moves in steps of about a thousandth
    return pd.concat(parts, ignore_index=True).round(3)


def _cases(experiments: Sequence[Experiment]) -> list[tuple[Experiment, str, Experiment, Of]]:
    """Return for each experiment and network: experiment, name, whose network, which of it."""
    return [(exp, n, *case) for exp in experiments for n, case in networks(exp).items()]


def steps(exp: Experiment, of: Of, attacks: Sequence[str], most: int) -> list[Step]:
    """Return what `compared` needs of one network."""
    asked = [step for s in SETTINGS for step in references.steps(exp, of, most, s)]
    cases = _attacks(exp, attacks, most)
    fitted = [attack_step(each, name, of, how) for name, each, how, *_ in cases]
    return [Step("signals", exp, of), *asked, *fitted]


def _attacks(
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


def _rows(
    lab: Lab, exp: Experiment, of: Of, attacks: Sequence[str], most: int
) -> Iterator[dict[str, Any]]:
    for name, each, how, setting, count in _attacks(exp, attacks, most):
        about = {"attack": name, "setting": setting, "references": count, "by": "attack"}
        yield from _measures(lab.attack(each, name, of, **how).evaluation, about)
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
                judged = evaluate(member[able], scores, scores >= 0)
                yield from _measures(judged, about, accuracy=False)
    turn = InTurn(found, in_turn.by_references(found))
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


def _measures(
    evaluation: Evaluation, about: dict[str, Any], *, accuracy: bool = True
) -> Iterator[dict[str, Any]]:
    if accuracy:
        yield {**about, "measure": "accuracy", "value": evaluation.accuracy.value}
    yield {**about, "measure": "AUC", "value": evaluation.auc.value}
    for fpr, estimate in evaluation.tpr.items():
        yield {**about, "measure": f"TPR at {fpr:g}", "value": estimate.value}
