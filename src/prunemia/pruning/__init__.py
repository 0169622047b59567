"""The pruners and the masks that they leave behind; and pruned filters cut out for good."""

from __future__ import annotations

from prunemia.pruning.costs import Cost, cost
from prunemia.pruning.cutting import cut
from prunemia.pruning.masks import Masks, prune, survivors

__all__ = ["Cost", "Masks", "cost", "cut", "prune", "survivors"]
