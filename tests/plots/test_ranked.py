"""A value per name, from the top, with its interval."""

import pandas as pd
import pytest

from prunemia import plots


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
