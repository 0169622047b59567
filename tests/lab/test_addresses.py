import socket
import warnings

import pytest

from prunemia.errors import UsageError
from prunemia.lab import addresses
from prunemia.lab.addresses import OpenSchedulerWarning, check, warn_if_open


@pytest.fixture(autouse=True)
def hosts(monkeypatch):
    """Name resolution without a network: some names, and what is numeric."""
    known = {"localhost": "127.0.0.1", "cluster": "10.0.0.5", "both": "127.0.0.1"}
    real = socket.getaddrinfo

    def resolve(host, port, **options):
        if host in known:
            return [(0, 0, 0, "", (known[host], port))]
        return real(host, port, flags=socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(addresses.socket, "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("gibberish", "is no address of a Dask scheduler; an address looks like tls://10"),
        ("", "is no address"),
        ("tcp://127.0.0.1", "is no address"),
        ("tcp://:8786", "is no address"),
        ("tcp://127.0.0.1:99999", "Port out of range 0-65535"),
        ("tcp://127.0.0.1:port", "Port could not be cast"),
        ("tcp://[::1:8786", "Invalid IPv6 URL"),
        ("ftp://127.0.0.1:8786", r"no protocol 'ftp'"),
        ("tcp://no.such.host.invalid:8786", "there is no host 'no.such.host.invalid'"),
        ("tcp://a..b:8786", "there is no host 'a..b'"),
        ("x" * 5_000, "is no address"),
    ],
)
def test_what_is_no_address_is_refused_at_once_in_one_sentence(address, reason):
    with pytest.raises(UsageError, match=f"^--scheduler .*{reason}") as caught:
        check(address)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786", "inproc://10.0.0.5/1/1"],
)
def test_addresses_that_only_this_machine_reaches_bring_no_warning(address):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(address)
        warn_if_open(address)


@pytest.mark.parametrize("address", ["tcp://cluster:8786", "10.0.0.5:8786", "ws://cluster:80"])
def test_a_scheduler_that_others_reach_unencrypted_brings_a_warning(address):
    check(address)
    with pytest.warns(OpenSchedulerWarning, match=r"can run code .* use tls://"):
        warn_if_open(address)


def test_tls_needs_certificates_and_then_brings_no_warning(tmp_path):
    import dask

    key = tmp_path / "key.pem"
    settings = dict.fromkeys(addresses.TLS, str(key))
    with pytest.raises(UsageError, match=r"needs a certificate; set DASK_.*__CA_FILE"):
        check("tls://cluster:8786")
    with dask.config.set(settings):
        with pytest.raises(UsageError, match=r"CA_FILE names no file: .*key\.pem"):
            check("tls://cluster:8786")
        key.touch()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check("tls://cluster:8786")
            warn_if_open("tls://cluster:8786")
