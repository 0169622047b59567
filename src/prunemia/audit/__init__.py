"""A network from elsewhere, audited: its answers in, a report on how much it leaks out."""

from prunemia.audit.answers import Answers, read
from prunemia.audit.audit import Audit, Limit, signals
from prunemia.audit.networks import network
from prunemia.audit.report import SCHEMA

__all__ = ["SCHEMA", "Answers", "Audit", "Limit", "network", "read", "signals"]
