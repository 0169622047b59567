"""Tables of attacks by references: how much they find, whom, and how unevenly the leak falls."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import spearmanr

from prunemia.attacks import lira_scores, log_odds, rmia_scores
from prunemia.attacks.likelihood import SETTINGS, on_both_sides
from prunemia.experiment import Experiment
from prunemia.lab import Lab, references
from prunemia.lab.effects import fields, networks
from prunemia.lab.lengths import lengths
from prunemia.lab.references import InTurn
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.metrics import FPRS, evaluate
from prunemia.metrics.intervals import threshold_at
from prunemia.registry import ATTACKS

MOST = 64  # references in the tables (the paper has five); with few, most exposures tie
FEW = 5
ONLINE = 8  # references online from which on nearly all samples have networks on both sides
SCORE = "lira online"  # by which exposure is judged
OTHERS = ("confidence", "rmia online")
TENTH, TOP = 0.1, 0.05
CHANCE = TOP / (2 - TOP)  # the Jaccard index of two random sets of `TOP` of the samples
FPR = 0.01

Floats = NDArray[np.float64]
Row = dict[str, Any]
Network = tuple[Experiment, str, Experiment, Of]  # of an experiment: its name, then as a release


def _cases(experiments: Sequence[Experiment]) -> list[Network]:
    return [(exp, n, *case) for exp in experiments for n, case in networks(exp).items()]


def compared(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how much attacks find with and without references: one row per measure.

    Columns: the experiment's fields, network, attack, setting ("shadows", "offline", "online", "in
    turn", or "offline, sensitivity": a second signal), references (how many), by ("attack": tuned
    on shadows; "formula": the public functions), measure ("accuracy", "AUC", "TPR at …"), value.
    """
    cases = _cases(experiments)
    asked = []
    for _, _, each, of in cases:
        asked += [Step("signals", each, of)]
        asked += [step for s in SETTINGS for step in references.steps(each, of, most, s)]
        variants = _variants(each, attacks, most)
        asked += [attack_step(variant, name, of, how) for name, variant, how, *_ in variants]
    lab.run(asked)
    seen: dict[str, list[Row]] = {}
    rows = []
    for exp, network, each, of in cases:
        # original and dense networks are the same at all sparsities
        key = lab.key(Step("signals", each, of))
        if key not in seen:
            seen[key] = []
            for name, variant, how, setting, count in _variants(each, attacks, most):
                about = {"attack": name, "setting": setting, "references": count, "by": "attack"}
                found = lab.attack(variant, name, of, **how).evaluation.measures()
                seen[key] += [{**about, "measure": m, "value": v} for m, v in found.items()]
            seen[key] += _by_formula(lab, each, of, most)
        rows += [{**fields(exp), "network": network, **row} for row in seen[key]]
    return pd.DataFrame(rows)


def _variants(
    exp: Experiment, names: Sequence[str], most: int
) -> Iterator[tuple[str, Experiment, Row, str, int]]:
    """Yield each attack as it is carried out: name, experiment, options, setting, references."""
    for name in names:
        if not ATTACKS[name].needs_references:
            yield name, exp, {}, "shadows", exp.shadows
            continue
        for setting, count in (("offline", FEW), ("offline", most), ("online", most)):
            yield name, exp.replace(shadows=count), {"setting": setting}, setting, count
        second = {"setting": "offline", "second": "sensitivity"}
        yield name, exp.replace(shadows=FEW), second, "offline, sensitivity", FEW


def _by_formula(lab: Lab, exp: Experiment, of: Of, most: int) -> Iterator[Row]:
    target = lab.target(exp, of)
    member, odds = target.require_membership(), log_odds(target.posteriors, target.labels)
    for setting in SETTINGS:
        found = lab.references(exp, of, most, setting)
        for count in lengths(most):
            if setting == "online" and count < ONLINE:
                continue
            trained, sides, able = found.trained_on[:count], None, np.ones(len(odds), dtype=bool)
            if setting == "online":
                able = on_both_sides(trained)
                sides = trained[:, able]
            others = found.log_odds[:count, able]
            mine, theirs = expit(odds[able]), expit(others.astype(np.float64))
            by_name = {
                "lira": lira_scores(odds[able], others, sides),
                "rmia": rmia_scores(mine, theirs, mine, theirs, sides),
            }
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


def exposed(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how exposed each sample of the victim's half is: one row per network and sample.

    Columns: the experiment's fields, network, sample, label; per score of `Lab.in_turn` its AUC
    over ``most`` networks; "lira online, first" and "…, second" by half of them; memorization;
    alarms, its false-positive rate by lira online where all samples' is 1 %.
    """
    parts = []
    for exp, network, turn in _turns(lab, _cases(experiments), most, attacks):
        about = {**fields(exp), "network": network, "sample": turn.references.samples}
        table = pd.DataFrame({**about, "label": turn.references.labels}).join(turn.exposure())
        scores, trained = turn.scores[SCORE], turn.trained_on
        for start, half in enumerate(("first", "second")):
            table[f"{SCORE}, {half}"] = references.aucs(scores[start::2], trained[start::2])
        table["memorization"] = turn.memorization()
        table["alarms"] = turn.rates(SCORE, FPR)[1]
        parts.append(table)
    # an AUC over 64 networks moves in steps of about a thousandth
    return pd.concat(parts, ignore_index=True).round(3)


def _turns(
    lab: Lab, cases: Sequence[Network], most: int, attacks: Sequence[str]
) -> Iterator[tuple[Experiment, str, InTurn]]:
    asked = [references.steps_in_turn(each, of, most, attacks) for _, _, each, of in cases]
    lab.run(step for steps in asked for step in steps)
    for exp, network, each, of in cases:
        yield exp, network, lab.in_turn(each, of, most, attacks)


def concentration(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], most: int = MOST
) -> pd.DataFrame:
    """Return how unevenly the leak falls on samples, one row per run and statistic.

    Of LiRA online on the pruned network: `share_of_a_tenth`, rank correlation and `overlap` with
    the exposure on the original network, overlap with that to each of `OTHERS`.
    """
    del attacks
    rows = []
    cases = [case for case in _cases(experiments) if case[1] != "dense"]
    for exp, network, turn in _turns(lab, cases, most, ()):
        exposure = turn.exposure()
        ours = exposure[SCORE]
        if network == "original":
            original = ours  # the pruned network's turn is next
            continue
        rank = spearmanr(ours, original, nan_policy="omit").statistic
        found = {"share of a tenth": share_of_a_tenth(turn), "rank correlation": rank}
        for name, other in {"the original": original, **exposure[list(OTHERS)]}.items():
            found[f"overlap with {name}"] = overlap(ours.to_numpy(), other.to_numpy())
        rows += [fields(exp) | {"statistic": n, "value": float(v)} for n, v in found.items()]
    return pd.DataFrame(rows)


def share_of_a_tenth(turn: InTurn) -> float:
    """Return the share of members found (1 % FPR, odd networks) in the tenth exposed (even)."""
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


def overlap(one: Floats, two: Floats) -> float:
    """Return the Jaccard index of the most exposed `TOP` of the samples by two exposures."""
    usable = np.isfinite(one) & np.isfinite(two)
    both = pd.DataFrame({"one": one[usable], "two": two[usable]})
    return float(agreement(both, ["one", "two"]).to_numpy()[0, 1])


def agreement(table: pd.DataFrame, columns: Sequence[str], share: float = TOP) -> pd.DataFrame:
    """Return Jaccard indices of the most exposed ``share``, s, by pairs; by chance s / (2 − s)."""
    draw = np.random.default_rng(0)
    values = table[[*columns]].fillna(-np.inf).astype(float)
    tops = {name: set(most_exposed(values[name].to_numpy(), share, draw)) for name in columns}
    jaccard = {a: {b: len(tops[a] & tops[b]) / len(tops[a] | tops[b]) for b in tops} for a in tops}
    return pd.DataFrame(jaccard)


def most_exposed(values: Floats, share: float, draw: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of the largest ``share`` of the values; the many ties at random."""
    count = max(1, round(share * len(values)))
    return np.lexsort((draw.random(len(values)), -values))[:count]
