"""The threat model as a picture: who owns what, what is trained, what the adversary sees."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from prunemia.plots.style import MEMBERS, NONMEMBERS

Point = tuple[float, float]

VICTIM, ADVERSARY = 2.4, 7.5
"""Where the two columns stand, of 0 … 10."""
INK, PAPER, VALIDATION = "0.15", "#F2F2F2", "#BBBBBB"
PARTS = ((0.45, MEMBERS), (0.10, VALIDATION), (0.45, NONMEMBERS))
"""The shares of a half that a network trains on, validates on and tests on, with their colours."""
STYLE: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "fontsize": 13}


def threat_model(ax: Axes) -> None:
    """Draw the threat model: data at the top, networks below, the attack's decision at the bottom.

    It shows no measured number, so it needs no data. It fills axes about as high as they are wide.
    """
    ax.set(xlim=(0, 10), ylim=(0, 11.4))
    ax.axis("off")
    _box(ax, (5, 10.9), "One population of samples", width=6)
    for x, owner in ((VICTIM, "Victim's half"), (ADVERSARY, "Adversary's half")):
        _arrow(ax, (5 + (x - 5) / 2, 10.5), (x, 9.95))
        ax.text(x, 9.6, owner, weight="bold", **STYLE)
    _halves(ax)
    _networks(ax)
    _attack(ax)


def _halves(ax: Axes) -> None:
    """Draw each half, cut into members, validation samples and non-members."""
    _parts(ax, (VICTIM, 8.75))
    for back in (2, 1, 0):  # a shadow network each, with members of its own
        _parts(ax, (ADVERSARY + 0.2 * back, 8.75 + 0.15 * back))
    for x, name, color in ((1.25, "members", MEMBERS), (3.6, "non-members", NONMEMBERS)):
        ax.text(x, 8.05, name, **{**STYLE, "color": color})
    ax.text(ADVERSARY, 8.05, "split per shadow network", **STYLE)


def _networks(ax: Axes) -> None:
    """Draw the victim's networks on the left, the adversary's on the right."""
    left = ("Original network", "Pruned network,\nopen to queries")
    right = ("Shadow networks", "Pruned shadow\nnetworks")
    for x, (first, second) in ((VICTIM, left), (ADVERSARY, right)):
        _arrow(ax, (x, 7.7), (x, 6.95), "train on members")
        _box(ax, (x, 6.5), first)
        _arrow(ax, (x, 6.05), (x, 4.95), "prune, fine-tune")
        _box(ax, (x, 4.3), second, height=1.2)


def _attack(ax: Axes) -> None:
    """Draw what the attack learns from, what it asks, and what it decides."""
    _arrow(ax, (ADVERSARY, 3.65), (ADVERSARY, 2.85), "learn the rule")
    _box(ax, (ADVERSARY, 2.3), "Attack", height=1.0)
    _arrow(ax, (5.4, 2.55), (VICTIM + 0.6, 3.65))
    ax.text(4.75, 3.35, "sample", **STYLE)
    _arrow(ax, (VICTIM - 0.4, 3.65), (5.4, 2.05))
    ax.text(2.4, 2.2, "posterior", **STYLE)
    _arrow(ax, (ADVERSARY, 1.75), (ADVERSARY, 1.05))
    _box(ax, (ADVERSARY, 0.6), "member, or not?")


def _box(ax: Axes, at: Point, text: str, *, width: float = 4.4, height: float = 0.8) -> None:
    corner = (at[0] - width / 2, at[1] - height / 2)
    look: dict[str, Any] = {"boxstyle": "round,pad=0.05", "fc": PAPER, "ec": INK, "lw": 1}
    ax.add_patch(FancyBboxPatch(corner, width, height, **look))
    ax.text(*at, text, **STYLE)


def _parts(ax: Axes, at: Point, *, width: float = 4.2, height: float = 0.6) -> None:
    left = at[0] - width / 2
    for share, color in PARTS:
        corner = (left, at[1] - height / 2)
        ax.add_patch(Rectangle(corner, share * width, height, fc=color, ec="white", lw=1))
        left += share * width


def _arrow(ax: Axes, start: Point, end: Point, text: str = "") -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.3})
    if text:
        middle = ((start[0] + end[0]) / 2 + 0.15, (start[1] + end[1]) / 2)
        ax.text(*middle, text, **{**STYLE, "ha": "left", "fontsize": 12})
