"""Bytes for arrays and records: equal values give equal bytes, and nothing is ever pickled."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pack_arrays(arrays: Mapping[str, ArrayLike]) -> bytes:
    """Return the bytes of an uncompressed .npz; equal arrays, equal bytes.

    ``numpy.savez`` is not used: since Python 3.14 its zip members may carry the
    time of day.

    Raises
    ------
    ValueError
        An array holds Python objects, which only pickle could store.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.asarray(arrays[name], order="C"), allow_pickle=False
            )
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `pack_arrays`, by name."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def pack_json(value: Any) -> bytes:
    """Return the canonical JSON of a value: keys sorted, no spaces, no NaN.

    Raises
    ------
    ValueError
        A number is infinite or not a number.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def unpack_json(data: bytes) -> Any:
    """Return the value of `pack_json`.

    Raises
    ------
    ValueError
        The bytes are no JSON, or are nested too deeply to be read.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
