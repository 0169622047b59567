"""The pruners and the masks that they leave behind; filters cut out for good; rounded weights."""

from prunemia.pruning.cutting import Cost, cost, cut
from prunemia.pruning.masks import Masks, prune, round_, rounded, schedule, survivors
