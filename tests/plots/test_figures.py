import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from prunemia import plots, registry
from prunemia.metrics import Estimate


def test_the_setting_shows_the_victim_and_what_the_shadows_span(ax):
    # The victim's 0.99 lies outside of its shadows' 0.90 … 0.96: both must be seen as they are.
    table = pd.DataFrame(
        {
            "sparsity": [0.5],
            "members": [0.99],
            "members_low": [0.90],
            "members_high": [0.96],
            "nonmembers": [0.8],
            "nonmembers_low": [0.7],
            "nonmembers_high": [0.85],
        }
    )
    plots.accuracy_by_sparsity(table, {"members": 1.0, "nonmembers": 0.9}, ax)

    victim = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in victim] == [[0.99], [0.8]]
    bars = [tuple(c.get_segments()[0][:, 1]) for c in ax.collections]
    assert bars == [pytest.approx((0.90, 0.96)), pytest.approx((0.7, 0.85))]
    dotted = [line.get_ydata()[0] for line in ax.get_lines() if line.get_linestyle() == ":"]
    assert dotted == [1.0, 0.9]


@pytest.mark.parametrize("draw", ["class_accuracy", "class_differences", "attack_intervals"])
def test_a_legend_stands_above_the_axes_where_no_bar_is(ax, draw):
    columns = {"class": [0, 1], "low": [0.4, 0.5], "high": [0.6, 0.7], "accuracy": [0.5, 0.6]}
    table = pd.DataFrame(columns)
    if draw == "class_accuracy":
        both = {"original": table.set_index("class"), "pruned": table.set_index("class")}
        plots.class_accuracy(both, ax)
    elif draw == "class_differences":
        for name in ("original", "pruned"):
            table = table.assign(**{name: 0.1, f"{name}_low": 0.0, f"{name}_high": 0.2})
        plots.class_differences(table, ax, "confidence")
    else:
        named = table.assign(attack=["conf", "samia"], accuracy_low=0.4, accuracy_high=0.7)
        plots.attack_intervals(
            {"original": named, "pruned": named}, ax, value="accuracy", xlabel=""
        )
    ax.figure.canvas.draw()

    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["original", "pruned"]


def test_each_of_two_distributions_sums_to_one(ax):
    values, membership = np.array([0.1, 0.2, 0.9, 0.95]), np.array([False, True, True, True])
    plots.distributions(values, membership, ax, bins=4)

    areas = [p for p in ax.patches if isinstance(p, mpl.patches.Polygon) and p.get_fill()]
    tops = [np.unique(area.get_xy()[:, 1]) for area in areas]
    assert [list(top) for top in tops] == [pytest.approx([0, 1 / 3, 2 / 3]), pytest.approx([0, 1])]


def test_a_side_without_samples_is_drawn_empty(ax):
    plots.distributions([0.1, 0.2], [True, True], ax, names=("taken", "the rest"))

    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["taken", "the rest"]


def test_a_learned_score_is_drawn_against_the_largest_posterior_with_its_threshold(ax):
    plots.learned([0.5, 0.9], {"right": [-1.0, 2.0], "wrong": [-3.0, -2.0]}, ax)

    right, wrong, threshold = ax.get_lines()
    assert list(right.get_ydata()) == [-1, 2]
    assert list(wrong.get_ydata()) == [-3, -2]
    assert list(threshold.get_ydata()) == [0, 0]
    assert right.get_linestyle() != wrong.get_linestyle()


def test_roc_axes_end_where_the_sample_can_resolve_no_smaller_rate(ax):
    membership = np.array([True] * 4 + [False] * 5)
    plots.roc({"conf": (membership, np.arange(9.0))}, ax)

    assert ax.get_xlim() == (0.2, 1)
    assert ax.get_lines()[0].get_color() == plots.ATTACKS["conf"]


def test_the_threat_model_names_both_sides_and_divides_each_half_alike(ax):
    plots.threat_model(ax)

    words = " ".join(text.get_text() for text in ax.texts)
    for word in ("Victim", "Adversary", "members", "non-members", "Shadow", "posterior", "Attack"):
        assert word in words
    # One bar for the victim and three for shadow networks: 45 % members, 10 % validation samples,
    # 45 % non-members each.
    parts = [p for p in ax.patches if isinstance(p, mpl.patches.Rectangle)]
    widths = np.array([p.get_width() for p in parts]).reshape(4, 3)
    assert widths / widths.sum(axis=1, keepdims=True) == pytest.approx(
        np.tile([0.45, 0.10, 0.45], (4, 1))
    )
    colors = [mpl.colors.to_hex(p.get_facecolor()).upper() for p in parts[:3]]
    assert (colors[0], colors[2]) == (plots.MEMBERS, plots.NONMEMBERS)


def table(values):
    columns = ["sparsity", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(values, columns=columns)


def test_a_matrix_says_each_number_in_its_cell(ax):
    cells = pd.DataFrame([[0.5, 0.61], [0.72, 0.833]], index=["a", "b"], columns=["c", "d"])
    plots.matrix(cells.rename_axis(index="Assumed", columns="True"), ax, label="Accuracy")

    assert [text.get_text() for text in ax.texts] == ["0.50", "0.61", "0.72", "0.83"]
    assert [text.get_position() for text in ax.texts] == [
        (0.5, 0.5),
        (1.5, 0.5),
        (0.5, 1.5),
        (1.5, 1.5),
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("True", "Assumed")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_lines_over_sparsity_have_intervals_and_the_originals_band(ax):
    tables = {"slim": table([(0.5, 0.6, 0.55, 0.65), (0.9, 0.52, 0.5, 0.56)])}
    plots.over_sparsity(
        tables, ax, value="accuracy", ylabel="conf", levels={"original": Estimate(0.58, 0.57, 0.59)}
    )

    points, line, dotted = ax.get_lines()[0], ax.get_lines()[-2], ax.get_lines()[-1]
    assert list(points.get_ydata()) == list(line.get_ydata()) == [0.6, 0.52]
    assert points.get_xdata() == pytest.approx([0.5, 0.9])
    assert points.get_color() == plots.PRUNERS["slim"]
    assert list(dotted.get_ydata()) == [0.58, 0.58]
    (band,) = ax.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.57, 0.02))
    bars = [path for c in ax.collections for path in c.get_segments()]
    assert [tuple(bar[:, 1]) for bar in bars] == [
        pytest.approx((0.55, 0.65)),
        pytest.approx((0.5, 0.56)),
    ]


def test_methods_stand_side_by_side(ax):
    tables = {name: table([(0.5, 0.6, 0.55, 0.65)]) for name in ("slim", "l1structured")}
    plots.over_sparsity(tables, ax, value="accuracy", ylabel="conf")

    places = sorted({float(line.get_xdata()[0]) for line in ax.get_lines()})
    assert places == pytest.approx([0.496, 0.504])


def test_privacy_against_compute_tells_the_sparsity_by_the_points_shape(ax):
    low = table([(0.5, 0.6, 0.55, 0.65), (0.9, 0.52, 0.5, 0.56)])
    slim, filters = low.assign(pruner="slim", kept=[0.4, 0.1]), low.assign(pruner="l1structured")
    plots.privacy_against_compute(pd.concat([slim, filters.assign(kept=[0.41, 0.11])]), ax)

    drawn = [line for line in ax.get_lines() if len(line.get_xdata())]
    points = [line for line in drawn if line.get_marker() in ("o", "s")]
    assert [(p.get_marker(), *p.get_xdata(), *p.get_ydata()) for p in points] == [
        ("o", 0.4, 0.6),
        ("s", 0.1, 0.52),
        ("o", 0.41, 0.6),
        ("s", 0.11, 0.52),
    ]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["slim", "l1structured", "sparsity 0.5", "sparsity 0.9"]
    assert not ax.texts  # numbers beside the points overlapped


def test_a_kind_that_is_registered_later_has_its_colour_in_every_figure(ax):
    toy = dataclasses.replace(registry.ATTACKS["conf"], colour="#123456")
    with registry.ATTACKS.registered("toy", toy):
        plots.roc({"toy": ([True, False, False], [1.0, 0.0, 0.5])}, ax)

        assert plots.ATTACKS["toy"] == "#123456"
        assert list(plots.ATTACKS)[-1] == "toy"
    assert ax.get_lines()[0].get_color() == "#123456"
    assert "toy" not in plots.ATTACKS


def test_no_two_kinds_of_one_table_share_a_colour():
    for colours in (plots.ATTACKS, plots.DEFENSES, plots.PRUNERS):
        assert len(set(colours.values())) == len(colours)
