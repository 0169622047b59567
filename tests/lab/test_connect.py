"""Connecting to a scheduler: over TLS with the book's own commands, and what cannot be reached."""

import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster, Security

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.lab import on_dask
from prunemia.lab.addresses import TLS

BOOK = Path(__file__).parents[2] / "book" / "scaling.md"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A folder with the key and the certificate that the book's lines make."""
    folder = tmp_path_factory.mktemp("tls")
    (block,) = re.findall(r"```shell\n([^`]*openssl[^`]*)```", BOOK.read_text(encoding="utf-8"))
    lines = block.replace("/shared/tls", str(folder))
    subprocess.run(["bash", "-ec", lines], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def encrypted(certificate):
    """The address of a scheduler that lets in who has the certificate, and nobody else."""
    pair = {"cert": str(certificate / "cert.pem"), "key": str(certificate / "key.pem")}
    security = Security(
        tls_ca_file=pair["cert"],
        require_encryption=True,
        **{f"tls_{role}_{what}": pair[what] for role in ("scheduler", "worker", "client")
           for what in pair},
    )  # fmt: skip
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        protocol="tls",
        security=security,
        dashboard_address="127.0.0.1:0",  # None would take port 8787, which may be in use
        worker_dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster.scheduler_address


def settings(folder):
    values = [folder / name for name in ("cert.pem", "cert.pem", "key.pem")]
    return dict(zip(TLS, map(str, values), strict=True))


def test_the_books_key_is_its_owners_alone(certificate):
    assert (certificate / "key.pem").stat().st_mode & 0o077 == 0


def test_a_sweep_runs_on_a_tls_scheduler(encrypted, certificate, tmp_path):
    exp = pm.Experiment(
        dataset="digits",
        model="columnfc",
        samples=300,
        epochs=1,
        finetune_epochs=1,
        shadows=1,
        draws=1,
    )
    with dask.config.set(settings(certificate)):
        table = pm.Lab(tmp_path, scheduler=encrypted, progress=False).map([exp], ["conf"])

    assert encrypted.startswith("tls://")
    assert list(table["attack"]) == ["conf"]


def greet(address: str) -> None:
    """Connect as somebody without a certificate, who trusts whatever answers."""
    host, port = address.removeprefix("tls://").split(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as client:
        # In TLS 1.3 the server reads our certificate after our side of the handshake is done.
        client.sendall(b"x")
        if not client.recv(1):
            raise ConnectionResetError("reset")


def test_nobody_is_let_in_without_the_certificate(encrypted):
    with pytest.raises(OSError, match=r"(?i)certificate required|reset|handshake|EOF"):
        greet(encrypted)


def test_another_certificate_is_refused_in_one_sentence(encrypted, tmp_path):
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    with (
        dask.config.set(settings(tmp_path)),
        pytest.raises(UsageError, match="no Dask scheduler answers there") as caught,
        on_dask.connect(encrypted),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_gibberish_is_refused_at_once(tmp_path):
    lab = pm.Lab(tmp_path, scheduler="gibberish", progress=False)
    started = time.perf_counter()
    with pytest.raises(UsageError, match="gibberish: is no address"), on_dask.connect("gibberish"):
        pass
    assert lab.scheduler == "gibberish"
    assert time.perf_counter() - started < 1
