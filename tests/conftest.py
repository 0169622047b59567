"""Fixtures of several test modules: axes, the command line, served archives, a full disk."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from served import Publish, Server, serving

from prunemia import data


@pytest.fixture(scope="session")
def series() -> tuple[Any, Any]:
    """Return features and labels of the small problem of `bumps`."""
    from bumps import bumps  # torch takes seconds to import

    return bumps()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a lab of the module's own, whose store is empty at first."""
    import prunemia

    return prunemia.Lab(tmp_path_factory.mktemp("lab"), device="cpu", progress=False)


@pytest.fixture
def ax() -> Iterator[Any]:
    """Return the axes of a figure of the test's own."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("Agg")
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the test's own $PRUNEMIA_DATA; the cache folder is the test's own as well."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRUNEMIA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "data"


@pytest.fixture
def publish(server: Server, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:  # noqa: ARG001
    """Return a function that serves small files under the published names and their checksums."""

    def published(
        name: str,
        contents: Mapping[str, bytes],
        checksum: str | None = None,
        installed: Path | None = None,
        **changes: Any,
    ) -> data.Source:
        source = data.SOURCES[name]
        assert {archive.file for archive in source.archives} == set(contents)
        system = str(installed) if installed else None  # None: not what this machine has installed
        archives = []
        for archive in source.archives:
            content, path = contents[archive.file], f"/{archive.file}"
            server.files[path] = content
            digest = checksum or f"sha256:{hashlib.sha256(content).hexdigest()}"
            own = {"url": server.url + path, "checksum": digest, "installed": system}
            archives.append(dataclasses.replace(archive, **own))
        small = dataclasses.replace(source, archives=tuple(archives), **changes)
        monkeypatch.setitem(data.SOURCES, name, small)
        return small

    return published


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a disk of 64 kB, where mounting is permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount program")
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
