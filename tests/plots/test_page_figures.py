import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from prunemia import plots


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
