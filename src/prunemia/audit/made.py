"""How a report was made: versions, content hashes, options, the command."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from prunemia.audit.evidence import Evidence

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")


def record(evidence: Evidence) -> dict[str, Any]:
    """Return what another run needs to come to the same record; no date, so equal bytes."""
    target = evidence.target
    answers = [
        target,
        target.reference,
        evidence.shadow,
        *(other.answers for other in evidence.others),
    ]
    return {
        "versions": {"prunemia": metadata.version("prunemia"), "python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        "inputs": [{"name": a.name, "sha256": a.content} for a in answers if a is not None],
        "attacks": list(evidence.verdicts),
        "seed": evidence.seed,
        "delta": evidence.delta,
        "command": evidence.command,
    }
