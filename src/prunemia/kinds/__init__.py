"""What there is of each kind: data sets, networks, pruners, defenses, attacks; one table each.

The tables import nothing of the rooms that carry the entries out: an entry names its class or
function as ``"package.module:attribute"``, which is imported when it is first used. So a wrong name
is refused in a second, without torch, and figures and messages know every entry.
"""

from __future__ import annotations

from prunemia.kinds.attacks import ATTACKS, AttackKind
from prunemia.kinds.datasets import SOURCES
from prunemia.kinds.defenses import DEFENSES, DefenseKind, Strength
from prunemia.kinds.networks import NETWORKS, NetworkKind, PrivateRecipe, Recipe, allowed_pruners
from prunemia.kinds.pruners import PRUNERS, PrunerKind, removing
from prunemia.kinds.registry import Registry, load, meant
from prunemia.kinds.source import Archive, Source

__all__ = [
    "ATTACKS",
    "DEFENSES",
    "NETWORKS",
    "PRUNERS",
    "SOURCES",
    "Archive",
    "AttackKind",
    "DefenseKind",
    "NetworkKind",
    "PrivateRecipe",
    "PrunerKind",
    "Recipe",
    "Registry",
    "Source",
    "Strength",
    "allowed_pruners",
    "load",
    "meant",
    "removing",
]
