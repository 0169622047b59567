"""What there is of each kind: data sets, networks, pruners, defenses, attacks; one table each."""

from __future__ import annotations

from prunemia.registry.datasets import LABELS, SOURCES, Archive, Source
from prunemia.registry.tables import (
    ATTACKS,
    DEFENSES,
    NETWORKS,
    PRUNERS,
    AttackKind,
    DefenseKind,
    NetworkKind,
    PrivateConfig,
    PrunerKind,
    Registry,
    Strength,
    TrainingConfig,
    allowed_pruners,
    load,
    removing,
    suggest,
)

__all__ = [
    "ATTACKS",
    "DEFENSES",
    "LABELS",
    "NETWORKS",
    "PRUNERS",
    "SOURCES",
    "Archive",
    "AttackKind",
    "DefenseKind",
    "NetworkKind",
    "PrivateConfig",
    "PrunerKind",
    "Registry",
    "Source",
    "Strength",
    "TrainingConfig",
    "allowed_pruners",
    "load",
    "removing",
    "suggest",
]
