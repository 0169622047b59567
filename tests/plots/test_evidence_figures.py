import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from prunemia import plots
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
