"""The pruners and the masks that they leave behind; filters cut out for good; rounded weights."""

from __future__ import annotations

from prunemia.pruning.costs import Cost, cost
from prunemia.pruning.cutting import cut
from prunemia.pruning.masks import Masks, prune, survivors
from prunemia.pruning.rounding import round_, rounded
from prunemia.pruning.rounds import schedule

__all__ = [
    "Cost",
    "Masks",
    "cost",
    "cut",
    "prune",
    "round_",
    "rounded",
    "schedule",
    "survivors",
]
