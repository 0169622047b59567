import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from prunemia import plots
from prunemia.kinds import DEFENSES
from prunemia.metrics.intervals import Estimate


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


def test_each_attack_has_a_row_and_each_defense_its_place_in_it(ax):
    table = pd.DataFrame(
        [
            ("none", "conf", 0.7),
            ("none", "samia", 0.8),
            ("ppb", "conf", 0.6),
            ("ppb", "samia", np.nan),
        ],
        columns=["defense", "attack", "accuracy"],
    ).assign(accuracy_low=0.5, accuracy_high=0.9)

    plots.by_defense(table, ax, value="accuracy", xlabel="Accuracy")

    assert [text.get_text() for text in ax.get_yticklabels()] == ["conf", "samia"]
    assert list(ax.get_yticks()) == [1, 0]
    none, ppb = points(ax)
    assert none == (
        "none",
        plots.DEFENSES["none"].lower(),
        [0.7, 0.8],
        [pytest.approx(1.3), pytest.approx(0.3)],
    )
    assert (ppb[1], ppb[2][0], ppb[3][0]) == (
        plots.DEFENSES["ppb"].lower(),
        0.6,
        pytest.approx(0.7),
    )
    assert np.isnan(ppb[2][1])
    assert reach(ax.containers[0], 0) == [pytest.approx((0.5, 0.9))] * 2


@pytest.fixture
def traded():
    rows = [("none", 0.8, 0.7), ("ppb", 0.7, 0.6), ("adv", 0.65, 0.65), ("dp", 0.5, np.nan)]
    table = pd.DataFrame(rows, columns=["defense", "test", "leak"])
    for name in ("test", "leak"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.03
    return table


def test_the_front_is_what_no_other_beats(traded):
    assert plots.front(traded.iloc[:3], "test", "leak").tolist() == [True, True, False]
    same = pd.DataFrame({"test": [0.8, 0.8, 0.8], "leak": [0.6, 0.6, 0.7]})
    assert plots.front(same, "test", "leak").tolist() == [True, True, False]


def test_a_trade_off_is_drawn_with_both_intervals_and_names(ax, traded):
    plots.pareto(traded, ax, x="test", y="leak")

    assert [(c, x, y) for _, c, x, y in points(ax)] == [
        (plots.DEFENSES["none"].lower(), [0.8], [0.7]),
        (plots.DEFENSES["ppb"].lower(), [0.7], [0.6]),
        (plots.DEFENSES["adv"].lower(), [0.65], [0.65]),
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["none", "ppb", "adv"]
    assert len({bars.lines[0].get_marker() for bars in ax.containers}) == 3
    assert reach(ax.containers[1], 0) == [pytest.approx((0.68, 0.73))]
    assert reach(ax.containers[1], 1) == [pytest.approx((0.58, 0.63))]
    joined = ax.lines[0]
    assert (list(joined.get_xdata()), list(joined.get_ydata())) == ([0.7, 0.8], [0.6, 0.7])


def test_classes_stand_side_by_side(ax):
    table = pd.DataFrame({"class": [1, 0], "none": [0.2, 0.1], "ppb": [0.05, -0.1]})
    for name in ("none", "ppb"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.01, table[name] + 0.01

    plots.class_differences(table, ax, "Δ confidence", sides=("none", "ppb"))

    assert points(ax) == [
        ("none", plots.DEFENSES["none"].lower(), [-0.15, 0.85], [0.1, 0.2]),
        ("ppb", plots.DEFENSES["ppb"].lower(), [0.15, 1.15], [-0.1, 0.05]),
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Class", "Δ confidence")
