"""How well an attack tells members from non-members, with intervals; attack against attack."""

from prunemia.metrics.comparison import Comparison, compare, holm, paired, pairs
from prunemia.metrics.evaluation import FPRS, MEASURES, Evaluation, by_class, evaluate, table
from prunemia.metrics.intervals import LEVEL, Estimate, over_seeds, summarize
