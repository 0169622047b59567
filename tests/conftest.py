"""Fixtures of several test modules: axes, a lab, served archives, a full disk."""

import dataclasses
import hashlib
import resource

import pytest
from served import serving

from prunemia import data


@pytest.fixture(scope="session")
def series():
    """Return features and labels of the small problem of `bumps`."""
    from bumps import bumps  # torch takes seconds to import

    return bumps()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return a lab of the module's own, whose store is empty at first."""
    import prunemia

    return prunemia.Lab(tmp_path_factory.mktemp("lab"), device="cpu", progress=False)


@pytest.fixture
def ax():
    """Return the axes of a figure of the test's own."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("Agg")
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """Return the test's own $PRUNEMIA_DATA; the cache folder is the test's own as well."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PRUNEMIA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "data"


@pytest.fixture
def publish(server, data_folder, monkeypatch):  # noqa: ARG001
    """Return a function that serves small files under the published names and their checksums."""

    def published(name, contents, checksum=None, installed=None, **changes):
        archives = []
        for archive in data.SOURCES[name].archives:
            content = server.files[path := f"/{archive.file}"] = contents[archive.file]
            own = {"url": server.url + path, "installed": installed}  # None: not this machine's
            own["checksum"] = checksum or f"sha256:{hashlib.sha256(content).hexdigest()}"
            archives.append(dataclasses.replace(archive, **own))
        changes["archives"] = tuple(archives)
        small = dataclasses.replace(data.SOURCES[name], **changes)
        monkeypatch.setitem(data.SOURCES, name, small)

    return published


@pytest.fixture
def full_disk():
    """Let no file grow beyond 1 kB, as where a disk is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
