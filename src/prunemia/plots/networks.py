"""The figures of networks, of the evidence on all data sets, and of the defenses' price."""

import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from prunemia import registry
from prunemia.metrics import Estimate, summarize
from prunemia.plots.style import COLORS, POINTS, crosses, figure, intervals, legend_above, spread

LABELS = {
    "total": "pruning + fine-tuning",
    "training": "fine-tuning alone",
    "pruning": "removing weights",
}
SPARSITY = "Sparsity (fraction removed)"
ROLES = {"original": "s", "dense": "D", "pruned": "o"}
VERDICTS = {  # blue and orange: green would say that a leak is good
    "supported": "#0072B2",
    "contradicted": "#D55E00",
    "no difference that matters": "#CC79A7",
    "not decided": "#999999",
    "open": "#CCCCCC",
}
SIGNS = dict(zip(VERDICTS, "▲▼=?○", strict=True))  # nobody needs to see colours
ADVERSARIES = {"non-adaptive": ("#56B4E9", "--"), "adaptive": ("#D55E00", "-")}
BLUE = "#0072B2"


def training_history(histories: Mapping[str, Any], ax: Axes) -> None:
    """Draw each `training.History`'s validation accuracy; a dot marks the epoch that was kept."""
    for name, history in histories.items():
        epochs = np.arange(1, len(history.validation) + 1)
        ax.plot(epochs, history.validation, color=COLORS[name], label=name)
        best = history.best_epoch
        ax.plot(best + 1, history.validation[best], "o", color=COLORS[name])
    ax.set(xlabel="Epoch", ylabel="Validation accuracy")
    ax.legend(loc="lower right")


def accuracy_by_sparsity(table: pd.DataFrame, original: Mapping[str, float], ax: Axes) -> None:
    """Draw the victim's accuracy on both sides against sparsity; dotted: unpruned (``original``).

    ``table``: columns sparsity, and members, nonmembers, each with the shadows' _low and _high.
    """
    for name in ("members", "non-members"):
        column, color = name.replace("-", ""), COLORS[name]
        ends = table[f"{column}_low"], table[f"{column}_high"]
        ax.vlines(table["sparsity"], *ends, color=color, alpha=0.3, lw=6, label=f"{name}, shadows")
        ax.plot(table["sparsity"], table[column], "o-", ms=5, lw=1, color=color, label=name)
        ax.axhline(original[column], color=color, ls=":", label=f"{name}, original")
    ax.set(xlabel=SPARSITY, ylabel="Accuracy", ylim=(None, 1.03), xticks=table["sparsity"])
    ax.legend(ncols=2, loc="lower left")


def class_differences(table: pd.DataFrame, ax: Axes, ylabel: str) -> None:
    """Draw mean differences per class; ``table``: one quantity of `divergence.by_class`."""
    order = table.sort_values("class")
    for name, shift in (("original", -0.15), ("pruned", 0.15)):
        intervals(order, "class", name, ax, color=COLORS[name], label=name, shift=shift)
    ax.axhline(0, color="0.4", lw=0.8)
    ax.set(xlabel="Class", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    ax.label_outer()
    legend_above(ax)


def changes(table: pd.DataFrame, ax: Axes) -> None:
    """Draw changes of distances, in units of the original's, one line each: value, low, high."""
    at = np.arange(len(table))[::-1]
    middle, bars = spread(table.rename(columns={"low": "value_low", "high": "value_high"}), "value")
    ax.errorbar(middle, at, xerr=bars, color=COLORS["pruned"], **POINTS)
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_yticks(at, table.index)
    ax.set(ylim=(-0.6, len(table) - 0.4), xlabel="Relative change, original to pruned")


def effects_over_sparsity(table: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw effects against sparsity: columns effect, sparsity, value, value_low, value_high."""
    for shift, effect, name in zip((-0.012, 0, 0.012), LABELS, ROLES, strict=True):
        part, label = table[table["effect"] == effect].sort_values("sparsity"), LABELS[effect]
        intervals(part, "sparsity", "value", ax, color=COLORS[name], label=label, shift=shift)
    ax.set(xlabel=SPARSITY, ylabel=ylabel, xticks=sorted(set(table["sparsity"])))
    ax.label_outer()
    legend_above(ax)


def along_epochs(points: pd.DataFrame, value: str, ax: Axes, *, ylabel: str) -> None:
    """Draw ``value`` of `Lab.along_epochs`, one case; fine-tuning goes on where training ended."""
    trained = points.loc[points["role"] == "training", "epochs"].max()
    colors = {**COLORS, "training": COLORS["original"]}
    for role, shift in {"training": 0.0, "dense": -0.12, "pruned": 0.12}.items():
        part = points[points["role"] == role]
        means = summarize(part, [value], by=["epochs"]).sort_values("epochs")
        means["epochs"] += 0 if role == "training" else trained
        intervals(means, "epochs", value, ax, color=colors[role], label=role, shift=shift)
        ax.plot(means["epochs"] + shift, means[value], color=colors[role], lw=1)
    ax.axvline(trained, color="0.7", lw=0.8, ls=":")
    ax.set(xlabel="Epochs since training began", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.label_outer()
    legend_above(ax)


def capacity(cells: pd.DataFrame, axes: Sequence[Axes], *, label: str) -> None:
    """Draw `claims.capacity`: a star where zero is excluded, a frame in the paper's regime."""
    most = cells["value"].abs().max()
    look = {"cmap": "RdBu", "center": 0, "vmin": -most, "vmax": most, "cbar": False}
    for ax, (effect, part) in zip(axes, cells.groupby("effect", sort=False), strict=True):
        if effect == "training":  # one network, whatever the sparsity
            part = part.drop_duplicates("width").assign(sparsity="any", regime=False)
        text = part["value"].map("{:+z.2f}".format).str.replace("-", "−")
        wide = part.assign(text=text + np.where(part["low"].gt(0) | part["high"].lt(0), "*", ""))
        wide = wide.pivot(index="sparsity", columns="width", values=["value", "text", "regime"])
        values = wide["value"].astype(float)
        sns.heatmap(values, ax=ax, annot=wide["text"], fmt="", annot_kws={"size": 9}, **look)
        for y, x in zip(*wide["regime"].to_numpy(dtype=bool).nonzero(), strict=True):
            ax.add_patch(Rectangle((x, y), 1, 1, fill=False, ec="black", lw=1.4))
        ax.set(title=LABELS[str(effect)], xlabel="", ylabel="")
        ax.tick_params(axis="y", rotation=0)
    axes[0].set_ylabel("Sparsity")
    axes[0].figure.supxlabel(label, fontsize=9)


def matrix(table: pd.DataFrame, ax: Axes, *, label: str, digits: int = 2) -> None:
    """Draw a table, whose index and columns name the axes, as a heat map of ``label``."""
    look = {"fmt": f".{digits}f", "annot_kws": {"size": 9}, "cbar_kws": {"label": label}}
    sns.heatmap(table.astype(float), ax=ax, cmap="cividis", annot=True, **look)
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=0 if pd.api.types.is_numeric_dtype(table.columns) else 20)


def over_sparsity(
    tables: Mapping[str, pd.DataFrame],
    ax: Axes,
    *,
    value: str,
    ylabel: str,
    levels: Mapping[str, Estimate] | None = None,
) -> None:
    """Draw ``value`` against sparsity with its interval, one line per pruning method.

    ``tables`` maps a method to columns sparsity, value, value_low, value_high. ``levels``: the same
    of "original" and "dense", which are not pruned: a dotted line each, its interval as a band.
    """
    for place, (name, table) in enumerate(tables.items()):
        shift, color = 0.008 * (place - (len(tables) - 1) / 2), registry.PRUNERS[name].colour
        intervals(table, "sparsity", value, ax, color=color, label=name, shift=shift)
        ax.plot(table["sparsity"] + shift, table[value], color=color, lw=1)
    for name, level in (levels or {}).items():
        ax.axhline(level.value, color=COLORS[name], ls=":", label=name)
        ax.axhspan(level.low, level.high, color=COLORS[name], alpha=0.15, lw=0)
    ax.set(xlabel=SPARSITY, ylabel=ylabel)
    ax.label_outer()


def leak_by_pruner(table: pd.DataFrame, x: str, ax: Axes) -> None:
    """Draw an attack's accuracy against the column ``x``, a line per pruning method.

    ``table``: columns pruner, sparsity, ``x``, accuracy, accuracy_low, accuracy_high.
    """
    shapes = dict(zip(sorted(table["sparsity"].unique()), "osD^vPX*" * 9, strict=False))
    for name, part in table.groupby("pruner", sort=False):
        color = registry.PRUNERS[str(name)].colour
        ordered = part.sort_values("sparsity")
        ax.plot(ordered[x], ordered["accuracy"], color=color, lw=0.8, alpha=0.6)
        for level, point in ordered.groupby("sparsity"):
            middle, bars = spread(point, "accuracy")
            look: dict[str, Any] = {"fmt": shapes[level], "ms": 6, "capsize": 2, "lw": 1}
            ax.errorbar(point[x], middle, yerr=bars, color=color, **look)
        ax.plot([], [], color=color, lw=3, label=str(name))
    for level, shape in shapes.items():
        ax.plot([], [], shape, color="0.4", label=f"sparsity {level:g}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _networks(networks: pd.DataFrame, x: str, ax: Axes) -> None:
    """Draw each network at ``x`` and its leak, hollow ones on top; in a pruned one its sparsity."""
    for role, marker in reversed(ROLES.items()):
        own, color = networks[networks["role"] == role], COLORS[role]
        at = crosses(own, x, "leak", ax, color=color, alpha=0.4)
        size, face = (12, color) if role == "pruned" else (8, "none")
        ax.plot(*at, marker, color=color, mfc=face, mew=2, ms=size, label=role)
    look: dict[str, Any] = {"fontsize": 7, "color": "white", "ha": "center", "va": "center"}
    for row in networks[networks["role"] == "pruned"].to_dict("records"):
        ax.text(row[x], row["leak"], row["network"].removeprefix("pruned 0"), clip_on=True, **look)


def leak_and_accuracy(networks: pd.DataFrame) -> Figure:
    """Draw the leak against test accuracy of `claims.all_networks`, a panel per data set."""
    parts = list(networks.groupby("dataset", sort=False))
    fig, axes = figure(-(-len(parts) // 2), height=2.4, columns=2, squeeze=False)
    for ax, (name, part) in zip(axes.flat, parts, strict=False):
        ax.plot(part["test"], part["leak"], color="0.75", lw=1, zorder=1)
        _networks(part, "test", ax)
        ax.axhline(0.5, color="0.4", ls=":", lw=1)
        ax.set_title(registry.label(str(name), short=True), fontsize=11)
        ax.margins(0.15)
    fig.supxlabel("Test accuracy", fontsize=11)
    fig.supylabel("Leak (accuracy of SAMIA)", fontsize=11)
    legend_above(axes.flat[0], gap=0.12)
    for ax in axes.flat[len(parts) :]:
        ax.axis("off")
    return fig


def verdict_map(table: pd.DataFrame, datasets: Sequence[str] = ()) -> Figure:
    """Draw a row per claim and a cell per data set, by question; ``table``: of `claims.registry`.

    Claims that differ in the sparsity alone, or in SAMIA's rival, stand below one heading, with
    that on the left. ``datasets``: the columns, where it is not those of the table.
    """
    known = sorted(
        {*(datasets or table["dataset"])}, key=registry.label
    )  # natural images come last
    levels = table["sparsity"].map("{:g}".format)  # "nan" is in no text
    rivals = table["text"].str.extract(r"^SAMIA is more accurate than (\w+) on")[0].fillna("nan")
    said = zip(table["text"], levels, rivals, strict=True)
    general = [t.replace(level, "s").replace(rival, "this attack") for t, level, rival in said]
    several = table.groupby(general)["id"].transform("nunique") > 1
    heads = pd.Series(general, table.index).where(several, table["text"])
    heads = heads.map(partial(textwrap.fill, width=66))
    levels = ("s = " + levels).where(rivals == "nan", rivals)
    table = table.assign(level=levels.where(several, ""), head=heads)
    heads = table["head"].drop_duplicates()
    rows, topics = table["id"].nunique(), table["question"].nunique()
    lines = sum(0.3 + 0.2 * head.count("\n") for head in heads)
    fig, ax = figure(height=0.4 * rows + lines + 0.5 + 0.35 * topics)
    for at, named in enumerate(registry.label(name, short=True) for name in known):
        ax.text(at + 0.5, -0.12, named, ha="center", va="bottom", fontsize=9)
    y, topic = 0.0, ""
    middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
    for (question, head), band in table.groupby(["question", "head"], sort=False):
        if question != topic:
            topic, y = str(question), y + 0.35
            ax.text(-0.6, y, topic, va="bottom", fontsize=11, fontweight="bold")
        y += 0.34 + 0.2 * str(head).count("\n")
        ax.text(0.02, y - 0.04, str(head), va="bottom", fontsize=10)
        for _, part in band.groupby("id", sort=False):
            ax.text(-0.05, y + 0.18, part["level"].iloc[0], ha="right", va="center", fontsize=9)
            for row in part.to_dict("records"):
                at, verdict = known.index(row["dataset"]), row["verdict"]
                weak = verdict not in ("supported", "contradicted")
                look: dict[str, Any] = {"fc": VERDICTS[verdict], "alpha": 0.3 if weak else 0.85}
                ax.add_patch(Rectangle((at + 0.02, y), 0.96, 0.36, **look))
                shown = "" if np.isnan(row["effect"]) else f"{SIGNS[verdict]} {row['effect']:+z.3f}"
                color = "0.2" if weak else "white"
                ax.text(at + 0.5, y + 0.18, shown.replace("-", "−"), color=color, **middle)
            y += 0.4
    ax.set(xlim=(-0.65, len(known)), ylim=(y, -0.45))
    ax.axis("off")
    return fig


def overfitting(networks: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw leak against generalization gap of `claims.all_networks`: data sets as lines."""
    look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "color": "0.25"}
    look |= {"bbox": {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5}}
    for name, part in networks.groupby("dataset", sort=False):
        tuned = part[part["role"] != "original"]
        ax.plot(tuned["gap"], tuned["leak"], color="0.7", lw=1, zorder=1)
        top = part.iloc[int(part["leak"].argmax())]
        place = top["gap"], np.nanmax([top["leak"], top["leak_high"]])  # two runs: no interval
        named = registry.label(str(name), short=True)
        ax.annotate(named, place, (0, 4), fontsize=9, zorder=4, **look)
    _networks(networks, "gap", ax)
    ax.axhline(0.5, color="0.4", ls=":", lw=1)
    ax.set(xlabel="Generalization gap (train − test accuracy)", ylabel=ylabel)
    legend_above(ax)


def strengths(
    tables: Mapping[str, pd.DataFrame], ax: Axes, *, value: str, ylabel: str, none: Estimate
) -> None:
    """Draw ``value`` against a defense's strength on a log2 axis; dotted: without it (``none``).

    ``tables`` maps "adaptive" and "non-adaptive" to columns strength (> 0), value, value_low,
    value_high.
    """
    for shift, (label, table) in zip((-0.04, 0.04), tables.items(), strict=True):
        color, line = ADVERSARIES[label]
        moved = table.assign(strength=table["strength"] * 2**shift)  # lest bars hide bars
        intervals(moved, "strength", value, ax, color=color, label=label)
        ax.plot(moved["strength"], moved[value], color=color, ls=line, lw=1.4)
    ax.axhline(none.value, color="0.4", ls=":", label="no defense")
    ax.axhspan(none.low, none.high, color="0.4", alpha=0.12, lw=0)
    ticks = sorted({float(x) for table in tables.values() for x in table["strength"]})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.set_ylabel(ylabel)
    legend_above(ax)


def plane(points: pd.DataFrame, front: pd.Series, ax: Axes, named: Mapping[str, str]) -> None:
    """Draw the leak against test accuracy of `claims.points`; ``front``, a mask, in colour.

    ``named`` maps a way's name to the label beside it.
    """
    for mask, color in ((~front, "0.75"), (front, BLUE)):
        part = points[mask]
        across, up = crosses(part, "test", "leak", ax, color=color, alpha=0.3)
        plain = part["defense"] == "none"
        for own, marker, face in ((plain, "o", "white"), (~plain, "^", color)):
            ax.plot(across[own], up[own], marker, ms=6, color=color, mfc=face)
    best = points[front].sort_values("test")
    ax.plot(best["test"], best["leak"], color=BLUE, ls=":", lw=1.2, zorder=1)
    look: dict[str, Any] = {"arrowprops": {"arrowstyle": "-", "color": "0.5", "lw": 0.6}}
    look |= {"textcoords": "offset points", "fontsize": 9}
    marked = points[points["name"].isin(named)]
    for row in marked.to_dict("records"):
        place = row["test"], row["leak"]
        right, up = marked["test"] - row["test"], marked["leak"] - row["leak"]
        crowded = (right.between(0, 0.1, "neither") & (up.abs() < 0.01)).any()
        at, side = ((-6, 5), "right") if crowded else ((6, 5), "left")
        ax.annotate(named[row["name"]], place, at, ha=side, **look)
        ax.plot(*place, "s", ms=9, mfc="none", color="0.2", mew=1.1)
    for label, marker, face in (("no defense", "o", "white"), ("a defense", "^", "0.5")):
        ax.plot([], [], marker, color="0.5", mfc=face, label=label)
    ax.plot([], [], ":", color=BLUE, label="on the front")
    legend_above(ax)


def knowing(points: Mapping[str, pd.DataFrame], ax: Axes) -> None:
    """Draw each way's leak under both adversaries; ``points``: columns name and leak, of each."""
    leaks = pd.concat({who: each.set_index("name")["leak"] for who, each in points.items()}, axis=1)
    rows = np.arange(len(leaks), dtype=float)
    ax.hlines(rows, leaks.min(axis=1), leaks.max(axis=1), color="0.75", lw=1.5, zorder=1)
    for who in points:
        ax.plot(leaks[who], rows, "o", ms=6, color=ADVERSARIES[who][0], label=who)
    ax.set_yticks(rows, leaks.index)
    ax.invert_yaxis()
    legend_above(ax)
