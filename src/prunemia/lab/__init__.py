"""The pipeline: an experiment in, artefacts out, each computed once. `Lab` is its door."""

from __future__ import annotations

from prunemia.lab.lab import AttackResult, Lab

__all__ = ["AttackResult", "Lab"]
