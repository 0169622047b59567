import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from prunemia import plots
from prunemia.metrics.intervals import Estimate
from prunemia.registry import DEFENSES


def points(ax):
    """Return (label, colour, x, y) of each series of points with intervals."""
    found = []
    for bars in ax.containers:
        line = bars.lines[0]
        found.append(
            (
                bars.get_label(),
                to_hex(line.get_color()),
                list(line.get_xdata()),
                list(line.get_ydata()),
            )
        )
    return found


def reach(bars, axis):
    """Return the ends of the intervals along x (0) or y (1)."""
    segments = [segment for part in bars.lines[2] for segment in part.get_segments()]
    return [tuple(segment[:, axis]) for segment in segments if segment[0, axis] != segment[1, axis]]


def test_every_defense_has_a_colour_of_its_own():
    assert plots.DEFENSES.keys() == DEFENSES.keys()
    assert len(set(plots.DEFENSES.values())) == len(DEFENSES)


def test_strengths_stand_at_their_powers_of_two(ax):
    table = pd.DataFrame(
        {"strength": [1, 4], "auc": [0.7, 0.6], "auc_low": [0.65, 0.5], "auc_high": [0.8, 0.7]}
    )
    weaker = table.assign(auc=[0.6, 0.5], auc_low=np.nan, auc_high=np.nan)

    plots.strengths(
        {"adaptive": table, "non-adaptive": weaker},
        ax,
        value="auc",
        ylabel="AUC",
        none=Estimate(0.72, 0.7, 0.74),
    )

    found = points(ax)
    assert [(label, x, y) for label, _, x, y in found] == [
        ("adaptive", pytest.approx([2**-0.04, 2**1.96]), [0.7, 0.6]),
        ("non-adaptive", pytest.approx([2**0.04, 2**2.04]), [0.6, 0.5]),
    ]
    assert found[0][1] != found[1][1]
    assert reach(ax.containers[0], 1) == [pytest.approx((0.65, 0.8)), pytest.approx((0.5, 0.7))]
    assert reach(ax.containers[1], 1) == []
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "4"]
    reference = next(line for line in ax.lines if line.get_label() == "no defense")
    assert list(reference.get_ydata()) == [0.72, 0.72]
    assert ax.get_ylabel() == "AUC"


def test_one_line_stands_exactly_at_its_strengths(ax):
    table = pd.DataFrame(
        {"strength": [2, 8], "test": [0.7, 0.6], "test_low": np.nan, "test_high": np.nan}
    )

    plots.strengths({"PPB": table}, ax, value="test", ylabel="Test accuracy")

    assert points(ax) == [("PPB", plots.DEFENSES["ppb"].lower(), [2, 8], [0.7, 0.6])]


@pytest.fixture
def ways():
    rows = [
        ("none", 0.0, "none", np.nan, False, 0.80, 0.70),
        ("slim", 0.5, "none", np.nan, False, 0.78, 0.69),
        ("slim", 0.9, "none", np.nan, False, 0.70, 0.60),
        ("slim", 0.5, "ppb", 4.0, False, 0.69, 0.61),
        ("slim", 0.5, "ppb", 1.0, False, 0.75, 0.62),
        ("slim", 0.5, "dp", 1.0, True, 0.50, 0.51),
    ]
    columns = ["pruner", "sparsity", "defense", "strength", "whole", "test", "leak"]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("test", "leak"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.03
    return table.assign(name=[f"way {i}" for i in range(len(table))])


def test_the_plane_is_grey_but_for_the_front_and_names_what_the_text_speaks_of(ax, ways):
    front = pd.Series([True, False, False, False, True, True])
    plots.plane(ways, front, ax, {"way 0": "original", "way 4": "do this"})

    def drawn(color, marker):
        lines = [
            line for line in ax.lines if line.get_marker() == marker and line.get_color() == color
        ]
        return [list(zip(*line.get_data(), strict=True)) for line in lines if len(line.get_xdata())]

    blue = "#0072B2"
    assert drawn("0.75", "o") == [[(0.78, 0.69), (0.70, 0.60)]]
    assert drawn("0.75", "^") == [[(0.69, 0.61)]]
    assert drawn(blue, "o") == [[(0.80, 0.70)]]
    assert drawn(blue, "^") == [[(0.75, 0.62), (0.50, 0.51)]]
    dotted = next(line for line in ax.lines if line.get_linestyle() == ":")
    assert list(dotted.get_xdata()) == [0.50, 0.75, 0.80]
    assert [(text.get_text(), text.xy) for text in ax.texts] == [
        ("original", (0.80, 0.70)), ("do this", (0.75, 0.62))
    ]  # fmt: skip


def test_both_adversaries_stand_in_a_row(ax, ways):
    naive = ways.assign(leak=ways["leak"] - 0.1).iloc[::-1]
    plots.knowing({"non-adaptive": naive, "adaptive": ways}, ax)

    assert [text.get_text() for text in ax.get_yticklabels()] == list(naive["name"])
    dots = {line.get_label(): line for line in ax.lines}
    assert dots["adaptive"].get_xdata() == pytest.approx(ways["leak"].to_numpy()[::-1])
    assert dots["non-adaptive"].get_xdata() == pytest.approx(naive["leak"].to_numpy())
