"""Results on disk: found by what they depend on, written whole or not at all, verified when read."""

from __future__ import annotations

from prunemia.store.serialize import pack_arrays, pack_json, unpack_arrays, unpack_json
from prunemia.store.store import (
    DamagedArtefactWarning,
    Entry,
    Problem,
    Store,
    StoreError,
    default_root,
)

__all__ = [
    "DamagedArtefactWarning",
    "Entry",
    "Problem",
    "Store",
    "StoreError",
    "default_root",
    "pack_arrays",
    "pack_json",
    "unpack_arrays",
    "unpack_json",
]
