import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from prunemia import plots
from prunemia.metrics import Estimate
from prunemia.plots.evidence import DATA, SIGNS

mpl.use("Agg")


def test_networks_stand_at_gap_and_leak_joined_without_the_original(ax):
    rows = [
        ("d", "original", "original", 0.10, 0.60),
        ("d", "dense", "dense", 0.20, 0.70),
        ("d", "pruned 0.5", "pruned", 0.15, 0.65),
        ("d", "pruned 0.9", "pruned", 0.05, 0.52),
    ]
    table = pd.DataFrame(rows, columns=["dataset", "network", "role", "gap", "leak"])
    for name in ("gap", "leak"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.03

    plots.overfitting(table, ax, ylabel="SAMIA")

    line, *others = ax.get_lines()
    assert list(line.get_xdata()) == [0.20, 0.15, 0.05]
    marks = {each.get_label(): each for each in others}
    assert list(marks["pruned"].get_ydata()) == [0.65, 0.52]
    assert list(marks["original"].get_xdata()) == [0.10]
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("d", (0.20, 0.73))]


def test_each_data_set_has_a_panel_with_its_networks():
    rows = [
        (name, network, network.split(" ")[0], test, leak)
        for name, shift in (("mnist1d", 0.0), ("x", 0.1), ("digits", 0.2))
        for network, test, leak in (
            ("original", 0.6, 0.5 + shift), ("dense", 0.65, 0.7), ("pruned 0.9", 0.5, 0.52)
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["dataset", "network", "role", "test", "leak"])
    for name in ("test", "leak"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.03
    figure = plots.leak_and_accuracy(table)

    *panels, rest = figure.axes
    assert [ax.get_title() for ax in panels] == [DATA["mnist1d"], "x", DATA["digits"]]
    assert not rest.axison
    for ax, leak in zip(panels, (0.5, 0.6, 0.7), strict=True):
        line = ax.get_lines()[0]
        assert list(line.get_xdata()) == [0.6, 0.65, 0.5]
        assert list(line.get_ydata()) == pytest.approx([leak, 0.7, 0.52])
        assert [(text.get_text(), text.xy) for text in ax.texts] == [("0.9", (0.5, 0.52))]
    plt.close(figure)


def test_the_map_has_a_cell_for_each_verdict_with_its_sign_and_effect():
    columns = ["id", "text", "dataset", "effect", "verdict"]
    rows = [
        ("a", "It grows", "mnist1d", 0.05, "supported"),
        ("a", "It grows", "digits", -0.0204, "contradicted"),
        ("b", "It shrinks", "digits", 0.001, "open"),
        ("b", "It shrinks", "mnist1d", np.nan, "not decided"),
    ]
    figure = plots.verdict_map(pd.DataFrame(rows, columns=columns), ("mnist1d", "digits"))
    (ax,) = figure.axes

    texts = [text.get_text() for text in ax.texts]
    assert texts[:3] == [DATA["mnist1d"], DATA["digits"], "It grows"]
    assert texts[3].endswith(" +0.050")
    assert texts[4].endswith(" −0.020")
    assert texts[5:] == ["It shrinks", f"{SIGNS['open']} +0.001", ""]
    colors = [to_hex(box.get_facecolor()) for box in ax.patches]
    assert colors == [to_hex(plots.VERDICTS[row[-1]]) for row in rows]
    assert [box.get_x() for box in ax.patches] == pytest.approx([0.02, 1.02, 1.02, 0.02])
    plt.close(figure)


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


def test_names_stand_in_the_tables_order_from_the_top(ax):
    rows = [("original", 0.7, 0.6, 0.75), ("pruned", 0.5, 0.45, 0.6)]
    table = pd.DataFrame(rows, columns=["release", "value", "value_low", "value_high"])
    plots.ranked(table, ax, name="release", value="value", xlabel="accuracy")

    assert [text.get_text() for text in ax.get_yticklabels()] == ["original", "pruned"]
    bottom, top = ax.get_ylim()
    assert bottom > 1
    assert top < 0  # the first name is on top
    (container,) = ax.containers
    assert list(container.lines[0].get_xdata()) == [0.7, 0.5]
    assert [tuple(s[:, 0]) for s in container.lines[2][0].get_segments()] == [
        pytest.approx((0.6, 0.75)), pytest.approx((0.45, 0.6)),
    ]  # fmt: skip
