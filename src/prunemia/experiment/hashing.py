"""Content hashes, and the seeds that are derived from them."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_key(value: Any) -> str:
    """Hash a JSON value: 32 hexadecimal digits of SHA-256 of its canonical form."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def seed_of(*parts: Any) -> int:
    """Derive the 63-bit seed of one random draw from what it is for (JSON values)."""
    return int(content_key(list(parts))[:16], 16) >> 1
