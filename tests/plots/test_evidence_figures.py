import pandas as pd
import pytest

from prunemia import plots


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


def test_bars_of_verdicts_follow_one_another_and_fill_the_row(ax):
    shares = {
        "supported": 0.25,
        "contradicted": 0.5,
        "no difference that matters": 0.05,
        "not decided by these runs": 0.2,
    }
    table = pd.DataFrame({"runs": 3, "verdict": list(shares), "share": list(shares.values())})

    plots.verdict_shares(table, ax)

    bars = {c.get_label(): c.patches[0] for c in ax.containers}
    assert [bars[name].get_width() for name in shares] == pytest.approx(list(shares.values()))
    assert [bars[name].get_x() for name in shares] == pytest.approx([0, 0.25, 0.75, 0.8])
    assert [text.get_text() for text in ax.texts] == ["25%", "50%", "", "20%"]  # 5 % has no room
