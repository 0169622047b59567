"""A network from elsewhere, audited: its answers in, a report on how much it leaks out."""

from __future__ import annotations

from prunemia.audit.audit import SCHEMA, Audit, signals
from prunemia.audit.limits import Limit
from prunemia.audit.networks import network
from prunemia.audit.reading import Answers, read

__all__ = ["SCHEMA", "Answers", "Audit", "Limit", "network", "read", "signals"]
