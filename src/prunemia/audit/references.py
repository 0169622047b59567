"""Reference networks of an audit: other networks' answers to the target's samples, laid beside."""

from __future__ import annotations

import numpy as np

from prunemia.attacks import log_odds
from prunemia.attacks.likelihood import on_both_sides
from prunemia.audit.reading import Answers
from prunemia.errors import UsageError, shortened
from prunemia.signals import Signals


def beside(target: Answers, reference: Answers) -> Answers:
    """Return the target's answers with the reference networks' log-odds of the same samples.

    ``reference``: for each of k networks (the field model) one row per sample of the target, told
    by id; its membership says whether that network trained on the sample.

    Raises
    ------
    UsageError
        A network was not asked all samples, or others; labels or classes differ.
    """
    mine, theirs = target.signals, reference.signals
    if mine.classes != theirs.classes:
        raise UsageError(
            f"{reference.name}: {theirs.classes} classes; allowed: {mine.classes}, as {target.name}"
        )
    assert theirs.model is not None
    assert theirs.membership is not None
    places = {name: place for place, name in enumerate(target.ids.tolist())}
    if len(places) < len(mine):
        raise UsageError(f"{target.name}: an id is there twice; allowed with references: once each")
    numbers = np.unique(theirs.model)
    odds = np.full((len(mine), len(numbers)), np.nan)
    trained = np.zeros(odds.shape, dtype=bool)
    values = log_odds(theirs.posteriors, theirs.labels)
    for row, name in enumerate(reference.ids.tolist()):
        if name not in places:
            raise UsageError(
                f"{reference.name}: row {row}: id {shown(name)} is none of {target.name}"
            )
        place, network = places[name], int(np.searchsorted(numbers, theirs.model[row]))
        if theirs.labels[row] != mine.labels[place]:
            raise UsageError(f"{reference.name}: row {row}: label differs from {target.name}'s")
        odds[place, network] = values[row]
        trained[place, network] = theirs.membership[row]
    if np.isnan(odds).any():
        place, network = np.argwhere(np.isnan(odds))[0]
        raise UsageError(
            f"{reference.name}: network {numbers[network]} has no row for id "
            f"{shown(target.ids[place])}; allowed: one for each sample of {target.name}"
        )
    both = on_both_sides(trained.T)
    if trained.any() and not both.all():
        name = shown(target.ids[int(both.argmin())])
        raise UsageError(
            f"{reference.name}: id {name}: all networks trained on it, or none; "
            "allowed: some and others for each sample, or none for all"
        )
    fields = {"references": odds, "trained_on": trained}
    signals = Signals.from_arrays({**mine.arrays(), **fields})
    return Answers(signals, target.ids, target.name, reference)


def shown(name: object) -> str:
    """Return an id for a message: quoted, and cut where it is long."""
    return repr(shortened(str(name), 60))
