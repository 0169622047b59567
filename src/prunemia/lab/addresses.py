"""Addresses of Dask schedulers: checked before anything connects, and whom they let in.

A Dask scheduler runs what its clients send it. Over tcp anybody who reaches the port is a client;
over tls only who holds a certificate that the scheduler trusts.
"""

from __future__ import annotations

import ipaddress
import socket
import warnings
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from prunemia.errors import UsageError

PROTOCOLS = ("tcp", "tls", "ws", "wss", "inproc")
ENCRYPTED = ("tls", "wss")
TLS = {
    "distributed.comm.tls.ca-file": "DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
    "distributed.comm.tls.client.cert": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT",
    "distributed.comm.tls.client.key": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY",
}
"""Dask's settings that a client of a tls scheduler needs, and the variables that set them."""


class OpenSchedulerWarning(UserWarning):
    """The scheduler takes code from anybody who reaches it."""


def check(address: str) -> None:
    """Refuse what is no address of a scheduler; nothing is connected to.

    Raises
    ------
    UsageError
        The address has another form than ``tcp://HOST:PORT`` or ``tls://HOST:PORT``, its host is
        unknown, or it is encrypted and Dask is not told with which certificate.
    """
    form = f"--scheduler {address[:80]}: is no address of a Dask scheduler"
    likeness = "an address looks like tls://10.0.0.5:8786 or tcp://127.0.0.1:8786"
    try:
        parts = _split(address)
        complete = bool(parts.hostname and parts.port)
    except ValueError as error:  # brackets that do not match, a port above 65,535
        raise UsageError(f"{form} ({error}); {likeness}") from error
    if parts.scheme not in PROTOCOLS:
        raise UsageError(f"{form} (no protocol {parts.scheme!r}); {likeness}")
    if parts.scheme == "inproc":  # in this very process: no host, no port
        return
    if not complete:
        raise UsageError(f"{form}; {likeness}")
    if not _resolved(parts):
        raise UsageError(f"--scheduler {address}: there is no host {parts.hostname!r}")
    if parts.scheme in ENCRYPTED:
        _require_certificates(address)


def risk(address: str) -> str:
    """Return a sentence on a scheduler that strangers may reach and use; "" where they cannot."""
    parts = _split(address)
    if parts.scheme in ENCRYPTED or parts.scheme == "inproc":
        return ""
    if all(ipaddress.ip_address(host).is_loopback for host in _resolved(parts)):
        return ""
    return (
        f"--scheduler {address}: whoever reaches this address can run code on its workers and "
        "on this machine; use tls:// (the book's page on sweeps says how)"
    )


def warn_if_open(address: str) -> None:
    """Warn of a risk, with an `OpenSchedulerWarning`."""
    if text := risk(address):
        warnings.warn(text, OpenSchedulerWarning, stacklevel=2)


def _split(address: str) -> SplitResult:
    return urlsplit(address if "://" in address else f"tcp://{address}")


def _resolved(parts: SplitResult) -> list[str]:
    """Return the numeric addresses of the host; none where there is no such host."""
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(place[0]).partition("%")[0] for *_, place in found]  # without an IPv6 zone


def _require_certificates(address: str) -> None:
    import dask.config

    for setting, variable in TLS.items():
        value = dask.config.get(setting, None)
        if not value:
            raise UsageError(f"--scheduler {address}: needs a certificate; set {variable}")
        # Dask also takes the text of a certificate, which has several lines.
        if "\n" not in str(value) and not Path(value).is_file():
            raise UsageError(f"--scheduler {address}: {variable} names no file: {value}")
