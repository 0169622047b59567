import pandas as pd
import pytest

from prunemia import plots
from prunemia.metrics.intervals import Estimate


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
