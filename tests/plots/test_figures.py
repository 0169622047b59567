"""What each figure draws: where points, bars and lines stand, and what is said beside them."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from prunemia import plots, registry
from prunemia.metrics import Estimate
from prunemia.plots.networks import SIGNS


def table(names, *rows):
    """A table of these columns; each number also has _low, 0.02 below, and _high, 0.03 above."""
    made = pd.DataFrame(rows, columns=names.split())
    for name in made.select_dtypes(float):
        made[f"{name}_low"], made[f"{name}_high"] = made[name] - 0.02, made[name] + 0.03
    return made


def points(ax):
    """Return (label, x, y) of each series of points with intervals."""
    series = [(bars.get_label(), bars.lines[0]) for bars in ax.containers]
    return [(label, list(line.get_xdata()), list(line.get_ydata())) for label, line in series]


def bars(container, axis):
    """Return the ends of the intervals along x (0) or y (1)."""
    segments = [segment for part in container.lines[2] for segment in part.get_segments()]
    return [tuple(segment[:, axis]) for segment in segments if segment[0, axis] != segment[1, axis]]


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ys(lines):
    return [list(line.get_ydata()) for line in lines]


def said(ax):
    return [(text.get_text(), getattr(text, "xy", text.get_position())) for text in ax.texts]


def dotted(ax):
    return [line for line in ax.lines if line.get_linestyle() == ":"]


def test_the_setting_shows_the_victim_and_what_the_shadows_span(ax):
    # The victim's 0.99 lies outside of its shadows' 0.90 … 0.96: both must be seen as they are.
    columns = "sparsity members members_low members_high nonmembers nonmembers_low nonmembers_high"
    row = (0.5, 0.99, 0.90, 0.96, 0.8, 0.7, 0.85)
    shown = pd.DataFrame([row], columns=columns.split())
    plots.accuracy_by_sparsity(shown, {"members": 1.0, "nonmembers": 0.9}, ax)
    assert ys(line for line in ax.lines if line.get_marker() == "o") == [[0.99], [0.8]]
    spans = [tuple(c.get_segments()[0][:, 1]) for c in ax.collections]
    assert spans == [pytest.approx((0.90, 0.96)), pytest.approx((0.7, 0.85))]
    assert [y[0] for y in ys(dotted(ax))] == [1.0, 0.9]


@pytest.mark.parametrize("draw", ["class_accuracy", "class_differences", "attack_intervals"])
def test_a_legend_stands_above_the_axes_where_no_bar_is(ax, draw):
    rows = table("class attack accuracy original pruned", (0, "conf", 0.5, 0.1, 0.1))
    by_class = rows.set_index("class").assign(low=0.4, high=0.6)[["accuracy", "low", "high"]]
    both = ["original", "pruned"]
    two, labels = dict.fromkeys(both, rows), {"value": "accuracy", "xlabel": ""}
    {
        "class_accuracy": lambda: plots.class_accuracy(dict.fromkeys(both, by_class), ax),
        "class_differences": lambda: plots.class_differences(rows, ax, "confidence"),
        "attack_intervals": lambda: plots.attack_intervals(two, ax, **labels),
    }[draw]()
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert names(ax) == both


def test_each_of_two_distributions_sums_to_one_also_without_samples(ax):
    values, membership = np.array([0.1, 0.2, 0.9, 0.9]), np.array([False, True, True, True])
    plots.distributions(values, membership, ax)
    areas = [p for p in ax.patches if isinstance(p, mpl.patches.Polygon) and p.get_fill()]
    tops = [list(np.unique(area.get_xy()[:, 1])) for area in areas]
    assert tops == [pytest.approx([0, 1 / 3, 2 / 3]), pytest.approx([0, 1])]
    ax.clear()
    plots.distributions([0.1, 0.2], [True, True], ax, names=("taken", "the rest"))
    assert names(ax) == ["taken", "the rest"]


def test_a_learned_score_is_drawn_against_the_largest_posterior_with_its_threshold(ax):
    plots.learned([0.5, 0.9], {"right": [-1.0, 2.0], "wrong": [-3.0, -2.0]}, ax)
    assert ys(ax.lines) == [[-1, 2], [-3, -2], [0, 0]]
    assert len({line.get_linestyle() for line in ax.lines}) == 3


def test_roc_axes_end_where_the_sample_can_resolve_no_smaller_rate(ax, monkeypatch):
    toy = dataclasses.replace(registry.ATTACKS["conf"], colour="#123456")
    monkeypatch.setitem(registry.ATTACKS, "toy", toy)  # registered later than the figures
    scores = np.array([True] * 4 + [False] * 5), np.arange(9.0)
    plots.roc({"conf": scores, "toy": scores}, ax)
    assert ax.get_xlim() == (0.2, 1)
    colors = [line.get_color() for line in ax.lines[:2]]
    assert colors == [registry.ATTACKS["conf"].colour, "#123456"]


def test_no_two_kinds_of_one_table_share_a_colour():
    removing = {name: registry.PRUNERS[name] for name in registry.removing()}
    for kinds in (registry.ATTACKS, registry.DEFENSES, removing):
        assert len({kind.colour for kind in kinds.values()}) == len(kinds)


def test_the_threat_model_names_both_sides_and_divides_each_half_alike(ax):
    plots.threat_model(ax)
    words = " ".join(text.get_text() for text in ax.texts)
    named = ("Victim", "Adversary", "members", "non-members", "Shadow", "posterior", "Attack")
    assert [word for word in named if word not in words] == []
    # One bar for the victim, three for shadow networks: 45 % members, 10 % validation, 45 % others.
    parts = [p for p in ax.patches if isinstance(p, mpl.patches.Rectangle)]
    widths = np.array([p.get_width() for p in parts]).reshape(4, 3)
    shares = widths / widths.sum(axis=1, keepdims=True)
    assert shares == pytest.approx(np.tile([0.45, 0.10, 0.45], (4, 1)))
    colors = [to_hex(p.get_facecolor()).upper() for p in parts[:3:2]]
    assert colors == [plots.COLORS["members"], plots.COLORS["non-members"]]


def test_a_matrix_says_each_number_in_its_cell(ax):
    cells = pd.DataFrame([[0.5, 0.61], [0.72, 0.833]], index=["a", "b"], columns=["c", "d"])
    plots.matrix(cells.rename_axis(index="Assumed", columns="True"), ax, label="Accuracy")
    centres = (0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)
    assert said(ax) == list(zip(("0.50", "0.61", "0.72", "0.83"), centres, strict=True))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("True", "Assumed")
    assert ticks(ax.yaxis) == ["a", "b"]


LOW = table("sparsity accuracy", (0.5, 0.6), (0.9, 0.52))


def test_lines_over_sparsity_stand_side_by_side_with_intervals_and_the_originals_band(ax):
    levels = {"original": Estimate(0.58, 0.57, 0.59)}
    both = {"slim": LOW, "l1structured": LOW}
    plots.over_sparsity(both, ax, value="accuracy", ylabel="conf", levels=levels)
    assert points(ax) == [
        ("slim", pytest.approx([0.496, 0.896]), [0.6, 0.52]),
        ("l1structured", pytest.approx([0.504, 0.904]), [0.6, 0.52]),
    ]
    assert bars(ax.containers[0], 1) == [pytest.approx((0.58, 0.63)), pytest.approx((0.5, 0.55))]
    assert ax.get_lines()[0].get_color() == registry.PRUNERS["slim"].colour
    assert list(ax.get_lines()[-1].get_ydata()) == [0.58, 0.58]
    (band,) = ax.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.57, 0.02))


def test_the_leak_by_pruner_tells_the_sparsity_by_the_points_shape(ax):
    slim, filters = LOW.assign(pruner="slim", kept=[0.4, 0.1]), LOW.assign(pruner="l1structured")
    plots.leak_by_pruner(pd.concat([slim, filters.assign(kept=[0.41, 0.11])]), "kept", ax)
    shown = [(line.get_marker(), *line.get_xdata(), *line.get_ydata()) for line in ax.lines]
    shapes = [each for each in shown if each[0] in ("o", "s") and len(each) > 1]
    assert shapes == [("o", 0.4, 0.6), ("s", 0.1, 0.52), ("o", 0.41, 0.6), ("s", 0.11, 0.52)]
    assert names(ax) == ["slim", "l1structured", "sparsity 0.5", "sparsity 0.9"]
    assert not ax.texts  # numbers beside the points overlapped


def test_networks_stand_at_gap_and_leak_joined_without_the_original(ax):
    tuned = [("dense", 0.20, 0.70), ("pruned 0.5", 0.15, 0.65), ("pruned 0.9", 0.05, 0.52)]
    rows = [("d", name, name.split()[0], *at) for name, *at in (("original", 0.1, 0.6), *tuned)]
    networks = table("dataset network role gap leak", *rows)
    plots.overfitting(networks, ax, ylabel="SAMIA")
    line, *others = ax.get_lines()
    assert list(line.get_xdata()) == [0.20, 0.15, 0.05]
    marks = {each.get_label(): each for each in others}
    assert list(marks["pruned"].get_ydata()) == [0.65, 0.52]
    assert list(marks["original"].get_xdata()) == [0.10]
    assert said(ax) == [("d", (0.20, 0.73)), (".5", (0.15, 0.65)), (".9", (0.05, 0.52))]


def test_each_data_set_has_a_panel_with_its_networks():
    leaks, rows = {"mnist1d": 0.5, "x": 0.6, "digits": 0.7}, []
    for name, leak in leaks.items():
        rows += [(name, "original", "original", 0.6, leak), (name, "dense", "dense", 0.65, 0.7)]
        rows += [(name, "pruned 0.9", "pruned", 0.5, 0.52)]
    figure = plots.leak_and_accuracy(table("dataset network role test leak", *rows))

    *panels, rest = figure.axes
    assert [ax.get_title() for ax in panels] == ["MNIST-1D", "x", "Digits"]
    assert not rest.axison
    for ax, leak in zip(panels, leaks.values(), strict=True):
        x, y = ax.get_lines()[0].get_data()
        assert (list(x), list(y)) == ([0.6, 0.65, 0.5], pytest.approx([leak, 0.7, 0.52]))
        assert said(ax) == [(".9", (0.5, 0.52))]
    plt.close(figure)


def test_the_map_has_a_cell_for_each_verdict_with_its_sign_and_effect():
    rows = [
        ("Up?", "a", "At 0.5 it grows", 0.5, "mnist1d", 0.05, "supported"),
        ("Up?", "a", "At 0.5 it grows", 0.5, "digits", -0.0204, "contradicted"),
        ("Up?", "c", "At 0.9 it grows", 0.9, "digits", 0.1, "not decided"),
        ("Down?", "b", "It shrinks", np.nan, "digits", 0.001, "open"),
        ("Down?", "b", "It shrinks", np.nan, "mnist1d", np.nan, "not decided"),
    ]
    columns = ["question", "id", "text", "sparsity", "dataset", "effect", "verdict"]
    claims = pd.DataFrame(rows, columns=columns)
    figure = plots.verdict_map(claims)
    (ax,) = figure.axes

    assert [text for text, _ in said(ax)] == [
        "Digits", "MNIST-1D", "Up?", "At s it grows", "s = 0.5", f"{SIGNS['supported']} +0.050",
        f"{SIGNS['contradicted']} −0.020", "s = 0.9", f"{SIGNS['not decided']} +0.100",
        "Down?", "It shrinks", "", f"{SIGNS['open']} +0.001", "",
    ]  # fmt: skip
    colors = [to_hex(box.get_facecolor()) for box in ax.patches]
    assert colors == [to_hex(plots.VERDICTS[row[-1]]) for row in rows]
    assert [box.get_x() for box in ax.patches] == pytest.approx([1.02, 0.02, 0.02, 0.02, 1.02])
    texts = [f"SAMIA is more accurate than {name} on pruned networks" for name in ("conf", "nn")]
    attacks = claims[:2].assign(id=["a", "b"], text=texts, sparsity=0.7, dataset="digits")
    rivals = [text for text, _ in said(plots.verdict_map(attacks, ["x", "digits"]).axes[0])]
    assert rivals[3] == "SAMIA is more accurate than this attack on pruned networks"
    assert (rivals[:2], rivals[4::2]) == (["Digits", "x"], ["conf", "nn"])
    plt.close("all")


def test_strengths_stand_at_their_powers_of_two(ax):
    aware = table("strength auc", (1, 0.7), (4, 0.6))
    weaker = aware.assign(auc=[0.6, 0.5], auc_low=np.nan, auc_high=np.nan)
    both, none = {"adaptive": aware, "non-adaptive": weaker}, Estimate(0.72, 0.7, 0.74)
    plots.strengths(both, ax, value="auc", ylabel="AUC", none=none)

    assert points(ax) == [
        ("adaptive", pytest.approx([2**-0.04, 2**1.96]), [0.7, 0.6]),
        ("non-adaptive", pytest.approx([2**0.04, 2**2.04]), [0.6, 0.5]),
    ]
    first, second = ax.containers
    assert first.lines[0].get_color() != second.lines[0].get_color()
    assert bars(first, 1) == [pytest.approx((0.68, 0.73)), pytest.approx((0.58, 0.63))]
    assert bars(second, 1) == []
    assert (ax.get_xscale(), ticks(ax.xaxis)) == ("log", ["1", "4"])
    assert ys(line for line in ax.lines if line.get_label() == "no defense") == [[0.72, 0.72]]


@pytest.fixture
def ways():
    rows = [(0.80, 0.70), (0.78, 0.69), (0.70, 0.60), (0.69, 0.61), (0.75, 0.62), (0.50, 0.51)]
    made = table("test leak", *rows).assign(name=[f"way {i}" for i in range(6)])
    return made.assign(defense=["none"] * 3 + ["ppb", "ppb", "dp"])


def test_the_plane_is_grey_but_for_the_front_and_names_what_the_text_speaks_of(ax, ways):
    front = pd.Series([True, False, False, False, True, True])
    plots.plane(ways, front, ax, {"way 0": "original", "way 4": "do this"})

    def drawn(color, marker):
        lines = [line for line in ax.lines if len(line.get_xdata()) and line.get_marker() == marker]
        (found,) = [line for line in lines if line.get_color() == color]
        return list(zip(*found.get_data(), strict=True))

    assert drawn("0.75", "o") == [(0.78, 0.69), (0.70, 0.60)]
    assert drawn("0.75", "^") == [(0.69, 0.61)]
    assert drawn("#0072B2", "o") == [(0.80, 0.70)]
    assert drawn("#0072B2", "^") == [(0.75, 0.62), (0.50, 0.51)]
    assert list(dotted(ax)[0].get_xdata()) == [0.50, 0.75, 0.80]
    assert said(ax) == [("original", (0.80, 0.70)), ("do this", (0.75, 0.62))]


def test_both_adversaries_stand_in_a_row(ax, ways):
    naive = ways.assign(leak=ways["leak"] - 0.1).iloc[::-1]
    plots.knowing({"non-adaptive": naive, "adaptive": ways}, ax)
    assert ticks(ax.yaxis) == list(naive["name"])
    dots = {line.get_label(): line for line in ax.lines}
    assert dots["adaptive"].get_xdata() == pytest.approx(ways["leak"].to_numpy()[::-1])
    assert dots["non-adaptive"].get_xdata() == pytest.approx(naive["leak"].to_numpy())
