"""What the nine attack pages share: their numbers as words, and their tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from prunemia.book.glue import say
from prunemia.claims import words
from prunemia.lab import AttackResult
from prunemia.metrics import Estimate, Evaluation, by_class, compare
from prunemia.metrics.comparison import NO_ROC
from prunemia.signals import Signals

SMALL = 20
"""Samples of which a share is said as a count."""
FEW = 3
"""Classes without a leak that are named one by one."""
COLLAPSE = 0.05
"""An attack that calls fewer samples than this share members, or non-members, has collapsed."""


def attack_page(results: Mapping[str, AttackResult], target: Signals) -> None:
    """Glue what every attack page says about its attack on the original and the pruned victim.

    ``results``: "original" and "pruned", on the same samples; ``target``: the pruned one's signals.
    Glued: accuracy, few_alarms and share of the pruned one, accuracy_original and share_original,
    and change, answers, leaking.
    """
    before, after = results["original"], results["pruned"]
    # Both networks are asked about the same samples, so the difference is paired.
    decided = [(result.scores, result.predictions) for result in (after, before)]
    gain = compare(after.membership, *decided, ranks=after.evaluation.auc.resolved).accuracy
    now = after.evaluation
    say(accuracy=now.accuracy, accuracy_original=before.evaluation.accuracy)
    say(few_alarms=few_alarms(now), change=change(gain))
    say(leaking=leaking(by_class(after.membership, after.predictions, target.labels)))
    say(answers=answers(by_answer(after, target)))
    say(share=share_taken(after.predictions), share_original=share_taken(before.predictions))


def class_tables(
    results: Mapping[str, AttackResult], labels: np.ndarray
) -> dict[str, pd.DataFrame]:
    """Return each result's `metrics.by_class`, under the result's name."""
    return {
        name: by_class(result.membership, result.predictions, labels)
        for name, result in results.items()
    }


def by_answer(result: AttackResult, signals: Signals) -> pd.DataFrame:
    """Return the attack's decisions on the samples that the network gets right, and wrong.

    One line for "right" and one for "wrong"; columns members and non-members (how many), members
    found and false alarms (the share of each that is called a member, NaN where there are none).
    """
    right = signals.posteriors.argmax(axis=1) == signals.labels
    table = {}
    for answer, group in (("right", right), ("wrong", ~right)):
        members, others = (result.predictions[group & s] for s in _both(result.membership))
        table[answer] = {
            "members": len(members),
            "non-members": len(others),
            "members found": members.mean() if len(members) else np.nan,
            "false alarms": others.mean() if len(others) else np.nan,
        }
    whole = {"members": int, "non-members": int}
    return pd.DataFrame(table).T.astype(whole).rename_axis("the network's answer")


def answers(table: pd.DataFrame) -> str:
    """Say whom the attack calls members, where the network is right and where it is wrong.

    ``table``: of `by_answer`.
    """
    parts = []
    for answer, line in table.iterrows():
        found = _share(line["members found"], line["members"], "member")
        accused = _share(line["false alarms"], line["non-members"], "non-member")
        parts.append(f"{found} and {accused} where the network is {answer}")
    return f"The attack accuses {', and '.join(parts)}"


def _share(share: float, count: float, who: str) -> str:
    """Say which share of a group is accused; of a small one, how many."""
    if count >= SMALL:
        return f"{100 * share:.0f} % of the {who}s"
    accused = round(share * count) if count else 0
    return f"{accused} of {int(count)} {who}{'' if count == 1 else 's'}"


def change(gain: Estimate) -> str:
    """Say what pruning does to the accuracy: a verb, its object, and the paired difference."""
    if not gain.resolved or np.isnan(gain.low):
        return "changes its accuracy by an amount that cannot be measured here"
    return words.changes(gain, "its accuracy")


def few_alarms(evaluation: Evaluation) -> str:
    """Say in a sentence which share of members is found at 1 % and 5 % FPR, or why not.

    ``evaluation``: of the attack on the pruned network.
    """
    if evaluation.auc.note == NO_ROC:
        return (
            "It labels a whole set of samples without ranking them, so it cannot be tuned to a "
            "low false-positive rate."
        )
    one, five = evaluation.tpr[0.01], evaluation.tpr[0.05]
    if one.resolved and five.resolved:
        return (
            f"On the pruned network, it finds {one.percent} of the members at a false-positive "
            f"rate of 1 %, and {five.percent} at a rate of 5 %."
        )
    if five.resolved:
        return (
            f"On the pruned network, it finds {five.percent} of the members at a "
            f"false-positive rate of 5 %; {evaluation.nonmembers} non-members are too few to "
            "measure a rate of 1 %."
        )
    return (
        f"With only {evaluation.nonmembers} non-members, false-positive rates of 1 % and 5 % "
        "cannot be measured."
    )


def leaking(table: pd.DataFrame) -> str:
    """Say how many classes of a `metrics.by_class` have an interval that stays above 0.5."""
    measured = table.dropna(subset="accuracy")
    above, count = int((measured["low"] > 0.5).sum()), len(measured)
    if count == 0:
        return "No class has both members and non-members, so no class has an accuracy of its own"
    subject = f"{above or 'None'} of {count} {'class' if count == 1 else 'classes'}"
    verb = "have" if above > 1 else "has"
    said = f"{subject} {verb} an interval that lies above chance level"
    others = [str(label) for label in measured.index[measured["low"] <= 0.5]]
    if above and len(others) == 1:
        return f"{said}; the exception is class {others[0]}"
    if above and 1 < len(others) <= FEW:
        return f"{said}; the exceptions are the classes {', '.join(others)}"
    return said


def cost(whole: AttackResult, less: AttackResult) -> str:
    """Say what an attack reaches with less, and what with everything."""
    now, before = less.evaluation, whole.evaluation
    said = f"the accuracy goes from {before.accuracy.value:.3f} to {now.accuracy.value:.3f}"
    if not (now.auc.resolved and before.auc.resolved):
        return said
    return f"{said}, and the AUC from {before.auc.value:.3f} to {now.auc.value:.3f}"


def share_taken(decided: np.ndarray) -> str:
    """Say which share of the samples is called members; a share near 0 or 1 is a collapse.

    ``decided``: shape (n,), True for those called members.
    """
    share = float(decided.mean())
    said = f"calls {100 * share:.1f} % of the samples members"
    if COLLAPSE <= share <= 1 - COLLAPSE:
        return said
    decided_all = "non-members" if share < COLLAPSE else "members"
    return f"{said}, so it has collapsed: it says little more than that all are {decided_all}"


def most_needed(whole: AttackResult, without: Mapping[str, AttackResult]) -> str:
    """Say which input costs most accuracy when left out, and whether that can be measured.

    ``without`` maps an input's name to the attack that was trained without it, on the same samples.
    """
    full = (whole.scores, whole.predictions)
    losses = {
        name: compare(whole.membership, full, (less.scores, less.predictions)).accuracy
        for name, less in without.items()
    }
    name, loss = max(losses.items(), key=lambda item: item[1].value)
    if loss.low > 0:
        return f"leaving out the {name} costs the most accuracy: {loss}"
    return (
        "leaving out a single input costs no measurable accuracy "
        f"(the largest loss is that of the {name}: {loss})"
    )


def highest(table: pd.DataFrame, column: str, place: int = 0) -> str:
    """Return the attack with the highest value of ``column``, and that value.

    ``table``: columns attack, ``column``, and ``column`` with _low and _high. ``place``: 1 for the
    second highest, and so on.
    """
    measured = table.dropna(subset=column).sort_values(column, ascending=False, kind="stable")
    if len(measured) <= place:
        return "none that could be measured here: there are too few non-members"
    best = measured.iloc[place]
    low, high = (float(best[f"{column}_{end}"]) for end in ("low", "high"))
    estimate = Estimate(float(best[column]), low, high, "one seed: no interval")
    return f"{best['attack']}, with {estimate}"


def _both(membership: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the members and the non-members, as masks."""
    return membership, ~membership
