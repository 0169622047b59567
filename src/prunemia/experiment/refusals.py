"""Why fields of an experiment that are each allowed do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prunemia.registry import DEFENSES, NETWORKS, PRUNERS, SOURCES, allowed_pruners


def refusals(exp: Any) -> Iterator[str]:
    """Yield what does not go together in an `Experiment`: field, value, what is allowed."""
    yield from _pruning(exp)
    if exp.stopping == "last" and exp.defense == "earlystop":
        yield "stopping: 'last' keeps the last epoch, and defense 'earlystop' chooses another"
    yield from _samples(exp)
    if exp.width is not None and NETWORKS[exp.model].width is None:
        able = ", ".join(name for name, kind in NETWORKS.items() if kind.width)
        yield f"width: {exp.width} cannot be set for model {exp.model!r}; only for {able}"
    yield from _defense(exp)
    if exp.rounds > exp.tuning_epochs:
        epochs = f"{exp.tuning_epochs} epochs of fine-tuning"
        yield f"rounds: {exp.rounds} is not allowed with {epochs}; allowed: one epoch or more each"
    if exp.rounds > 1 and "dp" in (exp.defense, exp.adversary and exp.adversary.defense):
        yield "rounds: with defense 'dp' 1 alone is allowed: ε would cover the last round only"
    if exp.quantize == "before" and exp.bits is None:
        yield "quantize: 'before' needs bits, which is None; allowed: 'after', or bits from 2 to 8"


def _pruning(exp: Any) -> Iterator[str]:
    """Yield what is pruned without a sparsity, and pruners that find nothing to rank."""
    if exp.sparsity == 0 and not PRUNERS[exp.pruner].control:
        yield "sparsity: 0 is not allowed: should be greater than 0; pruner 'dense' has 0"
    believed = exp.adversary and exp.adversary.pruner
    assumed = None if believed == "none" else believed
    known = exp.sparsity or (exp.adversary and exp.adversary.sparsity)
    if assumed and not known and not PRUNERS[assumed].control:
        yield f"adversary.sparsity: None is not allowed: {assumed!r} needs one"
    allowed = allowed_pruners(exp.model)
    for field, pruner in {"pruner": exp.pruner, "adversary.pruner": assumed}.items():
        if pruner and pruner not in allowed:
            yield (
                f"{field}: {pruner!r} ranks {PRUNERS[pruner].ranks}, of which model "
                f"{exp.model!r} has none; allowed with it: {', '.join(allowed)}"
            )


def _samples(exp: Any) -> Iterator[str]:
    """Yield samples that the network does not take, and fresh ones where all are used anyhow.

    Of the reader's own data (without a source) only the file will tell.
    """
    source = SOURCES.get(exp.dataset)
    network = NETWORKS[exp.model]
    if source and network.takes not in (None, source.holds):
        fitting = [n for n, kind in NETWORKS.items() if kind.takes in (None, source.holds)]
        yield (
            f"model: {exp.model!r} takes {network.takes}, and data set {exp.dataset!r} "
            f"holds {source.holds}; allowed with it: {', '.join(fitting)}"
        )
    if source and network.takes and min(source.shape[1:], default=1) < network.smallest:
        least = network.smallest
        size = "×".join(map(str, source.shape[1:]))
        yield (
            f"model: {exp.model!r} takes images of {least}×{least} or more, "
            f"and data set {exp.dataset!r} holds {size}"
        )
    generated = source is not None and source.generate is not None
    enough = exp.samples is not None and (source is None or exp.samples < source.rows)
    if exp.rows == "fresh" and not generated and not enough:
        most = "its size" if source is None else source.rows
        yield (
            f"rows: 'fresh' is not allowed with samples {exp.samples} of data set {exp.dataset!r}: "
            f"every seed would have all rows; allowed: 'same', or samples below {most}"
        )


def _defense(exp: Any) -> Iterator[str]:
    """Yield strengths out of range, and a whole that the defense cannot train or cover."""
    if refusal := DEFENSES[exp.defense].strength.refusal(exp.strength):
        yield f"strength: {refusal}"
    if exp.adversary is not None:
        believed = DEFENSES[exp.adversary.defense or exp.defense].strength
        if refusal := believed.refusal(exp.adversary.strength):
            yield f"adversary.strength: {refusal}"
    if exp.whole and not DEFENSES[exp.defense].whole:
        able = ", ".join(repr(name) for name, kind in DEFENSES.items() if kind.whole)
        yield f"whole: True is not allowed with defense {exp.defense!r}; allowed with {able}"
    if exp.whole and exp.standardize:
        yield "whole: True is not allowed with standardize: means of members would go uncovered"
