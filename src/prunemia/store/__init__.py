"""Results on disk: found by what they depend on, written whole, verified when read."""

from __future__ import annotations

from prunemia.store.errors import DamagedArtefactWarning, StoreError
from prunemia.store.root import default_root, repository
from prunemia.store.serialize import pack_arrays, pack_json, unpack_arrays, unpack_json
from prunemia.store.store import Store
from prunemia.store.survey import Entry, Problem

__all__ = [
    "DamagedArtefactWarning",
    "Entry",
    "Problem",
    "Store",
    "StoreError",
    "default_root",
    "pack_arrays",
    "pack_json",
    "repository",
    "unpack_arrays",
    "unpack_json",
]
