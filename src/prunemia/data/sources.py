"""Data sets by name or path: published files found, or downloaded, verified, and read."""

import contextlib
import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import filelock
import numpy as np
import pandas as pd
import platformdirs

from prunemia.data.dataset import DataError, Dataset, as_features, check_samples
from prunemia.data.own import load_own
from prunemia.data.readers import Arrays
from prunemia.errors import RunError, UsageError
from prunemia.files import atomic_write, require_folder
from prunemia.registry import SOURCES, Archive, Source
from prunemia.registry import load as imported

MOST_GENERATED = 1_000_000  # samples: 0.2 GiB of MNIST-1D, and minutes to generate


def load(
    name_or_path: str | Path,
    samples: int | None = None,
    progress: bool = True,
    rows_seed: int | None = None,
) -> Dataset:
    """Return a data set by its name (see `sheets`), or your own by an .npz's path (`own.load_own`).

    ``samples``: how many (MNIST-1D: up to a million); None: all. ``rows_seed`` draws them; None:
    always the same. DataError: they cannot be had, are damaged, or too few.
    """
    if str(name_or_path).endswith(".npz"):
        return load_own(Path(name_or_path)).sample(samples, rows_seed)
    source = _source(str(name_or_path))
    check_samples(samples, source.name, MOST_GENERATED if source.generate else source.rows)
    if source.generate is not None:
        arrays = imported(source.generate)(samples or source.rows, rows_seed)
        rows_seed = None  # they are drawn by it already
    else:
        arrays = _read(source, progress)
    features, labels = as_features(arrays[0]), np.ascontiguousarray(arrays[1], dtype=np.int64)
    return Dataset(source.name, features, labels, source.classes).sample(samples, rows_seed)


def fetch(name: str, progress: bool = True) -> list[Path]:
    """Return a data set's verified published files (generated: none), downloaded where need be."""
    return [_find(archive, progress) for archive in _source(name).archives]


def sheets() -> pd.DataFrame:
    """Return the data sheets, one row per data set: what ``prunemia data list`` shows."""
    table = pd.DataFrame([vars(source) for source in SOURCES.values()])
    table["features"] = ["×".join(map(str, shape)) for shape in table["shape"]]
    checksums = [", ".join(a.checksum for a in source.archives) for source in SOURCES.values()]
    words = pd.Series(checksums).str.replace(":", " ").str.replace("gitblob", "git blob")
    table["integrity"] = words.replace("", "no download")
    table = table.rename(columns={"used_for": "used for", "origin": "source"}).set_index("name")
    shown = ["rows", "features", "classes", "about", "used for", "source", "license", "citation"]
    return table[[*shown, "integrity"]]


def folders() -> list[Path]:
    """Return where archives are looked up: $PRUNEMIA_DATA if set, then the user's cache."""
    chosen = os.environ.get("PRUNEMIA_DATA")
    cache = Path(platformdirs.user_cache_dir("prunemia")) / "data"
    return [Path(chosen).expanduser(), cache] if chosen else [cache]


def _source(name: str) -> Source:
    if name not in SOURCES:
        allowed = f"{', '.join(SOURCES)}, or the path of an .npz file"
        raise DataError(f"data set {name!r} is not known; allowed: {allowed}")
    return SOURCES[name]


def _read(source: Source, progress: bool) -> Arrays:
    files = fetch(source.name, progress)
    try:
        features, labels = imported(str(source.read))(files)
    except Exception as error:  # tarfile, zipfile, zlib, NumPy, Pillow, SciPy: whatever they raise
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{', '.join(map(str, files))}: cannot be read as what was published: {reason}"
        ) from error
    published, last = (source.rows, *source.shape), source.classes - 1
    if features.shape != published or labels.shape != (source.rows,):
        raise DataError(f"{source.name} has shape {features.shape}, not {published} as published")
    if (span := (labels.min(), labels.max())) != (0, last):
        raise DataError(f"{source.name} has labels {span[0]} to {span[1]}, not 0 to {last}")
    return features, labels


def _find(archive: Archive, progress: bool) -> Path:
    """Return a verified copy's path, downloaded where there is none; a wrong one is refused."""
    for folder in folders():
        if (path := folder / archive.file).is_file():
            if wrong := _wrong(path, archive.checksum):
                remedy = "remove it, and it is downloaded again"
                raise DataError(f"{path} cannot be used: {wrong}; {remedy}")
            return path
    if archive.installed and (system := Path(archive.installed, Path(archive.file).name)).is_file():
        return system
    for folder in folders():
        with contextlib.suppress(UsageError):
            require_folder(folder, "")
            break
    else:
        places = " and ".join(map(str, folders()))
        raise DataError(f"no data can be downloaded: {places} cannot be written")
    target = folder / archive.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock := target.with_name(f".{target.name}.lock")):
            try:
                if not target.is_file():
                    for killed in target.parent.glob(f".{target.name[:50]}.*.partial"):
                        killed.unlink()
                    with atomic_write(target) as aside:
                        _download(archive, aside, progress)
            finally:
                lock.unlink()  # who waits for it notices, and opens it anew
    except (OSError, RunError) as error:
        raise DataError(str(error)) from None
    return target


def _wrong(path: Path, checksum: str) -> str:
    """Return in what a file differs from what was published; "": in nothing."""
    algorithm, expected = checksum.split(":")
    git = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        digest = (lambda: git) if algorithm == "gitblob" else algorithm
        found = hashlib.file_digest(file, digest).hexdigest()
    differs = f"its {algorithm} checksum is {found}, not {expected} as published"
    return "" if found == expected else differs


def _download(archive: Archive, path: Path, progress: bool) -> None:
    import pooch
    import requests

    transfer = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16)
    try:
        transfer(archive.url, str(path), None)
    except requests.RequestException as error:
        reason = "the connection broke before the file was complete"
        if error.response is not None:
            reason = f"the server answered {error.response.status_code} {error.response.reason}"
        elif isinstance(error, requests.ConnectionError | requests.Timeout):
            reason = f"no connection to {urlsplit(archive.url).hostname}"
        raise DataError(
            f"{archive.url} cannot be downloaded: {reason}; "
            f"a copy of {Path(archive.file).name} in $PRUNEMIA_DATA is used as well"
        ) from None
    if wrong := _wrong(path, archive.checksum):
        raise DataError(f"{archive.url} was downloaded, but {wrong}; nothing was kept")
