"""Tables of dense networks stopped early: leak as a function of how well a network fits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.effects import OVERALL, fields, leakage
from prunemia.lab.lengths import CURVE, networks
from prunemia.lab.steps import Step

MEASURE = "confidence AUC"
"""The AUC of telling members by their confidence: it needs no shadow networks, so that a curve of
many networks stays cheap, and the tables of the control have it for every pruned network."""


def curve(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return the dense networks of each run along the epochs: one row per network.

    Originals that stop after 1, 2, 4, … epochs (role "training"), and originals that are fine-tuned
    for so many ("dense"), each kept as it is after its last epoch. Columns: the experiment's
    fields, role, epochs, train_accuracy, test_accuracy, attack (none), measure, value. ``attacks``
    play no part.
    """
    del attacks
    cases = [
        (exp, *network) for exp in experiments for network in networks(exp) if network[0] in CURVE
    ]
    lab.run(Step("signals", each, of) for _, _, _, each, of in cases)
    rows = []
    for exp, role, epochs, each, of in cases:
        network = lab.original(each) if of == "original" else lab.pruned(each)
        rows.append(
            {
                **fields(exp),
                "role": role,
                "epochs": epochs,
                "train_accuracy": network.accuracy["train"],
                "test_accuracy": network.accuracy["test"],
                "attack": "",
                "measure": MEASURE,
                "value": leakage(lab.target(each, of))[MEASURE, "", OVERALL],
            }
        )
    return pd.DataFrame(rows)
