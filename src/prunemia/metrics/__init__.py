"""How well an attack tells members from non-members, with intervals; and one attack against another."""

from __future__ import annotations

from prunemia.metrics.comparison import Comparison, compare, holm, pairs
from prunemia.metrics.evaluation import (
    FPRS,
    Evaluation,
    by_class,
    evaluate,
    over_seeds,
    summarize,
    table,
)
from prunemia.metrics.intervals import LEVEL, Estimate

__all__ = [
    "FPRS",
    "LEVEL",
    "Comparison",
    "Estimate",
    "Evaluation",
    "by_class",
    "compare",
    "evaluate",
    "holm",
    "over_seeds",
    "pairs",
    "summarize",
    "table",
]
