"""Why fields of an experiment that are each allowed do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prunemia.registry import DEFENSES, NETWORKS, PRUNERS, SOURCES, allowed_pruners


def refusals(exp: Any) -> Iterator[str]:
    """Yield what does not go together in an `Experiment`: field, value, what is allowed."""
    for check in (
        _nothing_removed,
        _nothing_to_rank,
        _nothing_to_select,
        _wrong_samples,
        _nothing_fresh,
        _wrong_width,
        _wrong_strength,
        _nothing_whole,
        _too_many_rounds,
        _nothing_to_round,
    ):
        if refusal := check(exp):
            yield refusal


def _nothing_removed(exp: Any) -> str:
    if exp.sparsity == 0 and not PRUNERS[exp.pruner].control:
        return "sparsity: 0 is not allowed: should be greater than 0; pruner 'dense' has 0"
    believed = exp.adversary
    if exp.sparsity or believed is None or believed.sparsity or believed.pruner is None:
        return ""
    if believed.pruner == "none" or PRUNERS[believed.pruner].control:
        return ""
    return f"adversary.sparsity: None is not allowed: {believed.pruner!r} needs one"


def _nothing_to_select(exp: Any) -> str:
    if exp.stopping != "last" or exp.defense != "earlystop":
        return ""
    return "stopping: 'last' keeps the last epoch, and defense 'earlystop' chooses another"


def _nothing_whole(exp: Any) -> str:
    """Refuse the whole to a defense that cannot train, and what it would not cover."""
    if not exp.whole:
        return ""
    if not DEFENSES[exp.defense].whole:
        able = ", ".join(repr(name) for name, kind in DEFENSES.items() if kind.whole)
        return f"whole: True is not allowed with defense {exp.defense!r}; allowed with {able}"
    if exp.standardize:
        return "whole: True is not allowed with standardize: means of members would go uncovered"
    return ""


def _too_many_rounds(exp: Any) -> str:
    """Refuse rounds without an epoch each, and those whose last alone a guarantee would cover."""
    if exp.rounds > exp.tuning_epochs:
        epochs = f"{exp.tuning_epochs} epochs of fine-tuning"
        return f"rounds: {exp.rounds} is not allowed with {epochs}; allowed: one epoch or more each"
    believed = exp.adversary and exp.adversary.defense
    if exp.rounds > 1 and "dp" in (exp.defense, believed):
        return "rounds: with defense 'dp' 1 alone is allowed: ε would cover the last round only"
    return ""


def _nothing_to_round(exp: Any) -> str:
    if exp.quantize == "after" or exp.bits is not None:
        return ""
    return "quantize: 'before' needs bits, which is None; allowed: 'after', or bits from 2 to 8"


def _nothing_to_rank(exp: Any) -> str:
    allowed = allowed_pruners(exp.model)
    pruners = {"pruner": exp.pruner}
    if exp.adversary and exp.adversary.pruner not in (None, "none"):
        pruners["adversary.pruner"] = str(exp.adversary.pruner)
    for field, pruner in pruners.items():
        if pruner not in allowed:
            return (
                f"{field}: {pruner!r} ranks {PRUNERS[pruner].ranks}, of which model "
                f"{exp.model!r} has none; allowed with it: {', '.join(allowed)}"
            )
    return ""


def _wrong_samples(exp: Any) -> str:
    source = SOURCES.get(exp.dataset)
    network = NETWORKS[exp.model]
    if source is None or network.takes is None:
        return ""  # the reader's own data: only the file will tell
    if source.holds != network.takes:
        fitting = [n for n, kind in NETWORKS.items() if kind.takes in (None, source.holds)]
        return (
            f"model: {exp.model!r} takes {network.takes}, and data set {exp.dataset!r} "
            f"holds {source.holds}; allowed with it: {', '.join(fitting)}"
        )
    if source.holds == "images" and min(source.shape[1:]) < network.smallest:
        least = network.smallest
        size = "×".join(map(str, source.shape[1:]))
        return (
            f"model: {exp.model!r} takes images of {least}×{least} or more, "
            f"and data set {exp.dataset!r} holds {size}"
        )
    return ""


def _nothing_fresh(exp: Any) -> str:
    """Refuse fresh rows where every row is used anyhow; the size of own arrays the file tells."""
    source = SOURCES.get(exp.dataset)
    if exp.rows == "same" or (source is not None and source.generate is not None):
        return ""
    if exp.samples is not None and (source is None or exp.samples < source.rows):
        return ""
    most = "its size" if source is None else source.rows
    return (
        f"rows: 'fresh' is not allowed with samples {exp.samples} of data set {exp.dataset!r}: "
        f"every seed would have all rows; allowed: 'same', or samples below {most}"
    )


def _wrong_width(exp: Any) -> str:
    if exp.width is None or NETWORKS[exp.model].width is not None:
        return ""
    allowed = ", ".join(name for name, kind in NETWORKS.items() if kind.width)
    return f"width: {exp.width} cannot be set for model {exp.model!r}; only for {allowed}"


def _wrong_strength(exp: Any) -> str:
    if refusal := DEFENSES[exp.defense].strength.refusal(exp.strength):
        return f"strength: {refusal}"
    if exp.adversary is None:
        return ""
    believed = DEFENSES[exp.adversary.defense or exp.defense].strength
    refusal = believed.refusal(exp.adversary.strength)
    return f"adversary.strength: {refusal}" if refusal else ""
