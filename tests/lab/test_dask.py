"""Dask's schedulers: what is submitted, who is let in, what cannot be reached."""

import contextlib
import re
import socket
import subprocess
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster, Security

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.lab import sweep
from prunemia.lab.context import Context
from prunemia.lab.lab import table_steps
from prunemia.lab.stages import STAGES

BOOK = Path(__file__).parents[2] / "book" / "scaling.md"
FIELDS = {"dataset": "digits", "model": "columnfc", "samples": 300, "finetune_epochs": 1}
EXP = pm.Experiment(**FIELDS, epochs=1, shadows=1, draws=1)


HERE = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "host": "127.0.0.1"}
# dashboards of None would take port 8787, which may be in use
HERE |= {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}


def test_sweeps_on_one_scheduler_ask_for_a_gpu_where_there_is_one_and_keep_apart(
    tmp_path, monkeypatch
):
    sent, submit = [], Client.submit

    def noted(*arguments, **options):
        sent.append((options["key"], options["resources"]))
        return submit(*arguments, **options)

    def work(step, *_):
        if (step.stage, step.attack) == ("fit", "conf"):
            raise MemoryError("too large")

    monkeypatch.setattr(Client, "submit", noted)
    monkeypatch.setattr(sweep, "work", work)
    with LocalCluster(**HERE, protocol="tcp", resources={"GPU": 1}) as cluster:
        for store in (tmp_path / "a", tmp_path / "b"):
            steps = table_steps([EXP], ["conf", "mentr"], "pruned")
            plan = sweep.Plan(Context(STAGES, store, progress=False), steps)
            plan.compute(cluster.scheduler_address)
            # what needs a failed task has its error, the others have none
            failed = [plan.tasks[name].step for name in plan.errors]
            assert [(s.stage, s.attack) for s in failed] == [("fit", "conf"), ("attack", "conf")]
            (text,) = set(plan.errors.values())
            assert text.startswith("fitting conf, digits/columnfc")
            assert text.endswith("MemoryError: too large")
    assert len(dict(sent)) == len(sent) == 2 * len(plan.tasks)
    assert all(resources == {"GPU": 1} for _, resources in sent)


@pytest.fixture
def hosts(monkeypatch):
    """Name resolution without a network: the machine's own name, and what is numeric."""
    real = socket.getaddrinfo

    def resolve(host, *port, **options):
        flags = 0 if host == "localhost" else socket.AI_NUMERICHOST
        return real(host, *port, flags=flags, **options)

    monkeypatch.setattr(sweep.socket, "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:99999", "Port out of range 0-65535"),
        ("tcp://no.such.host.invalid:8786", "Name or service not known"),
        ("tcp://a..b:8786", "label"),
        ("http://127.0.0.1:8786", "no protocol 'http'"),
        ("x" * 5_000, "no HOST:PORT"),
    ],
)
@pytest.mark.usefixtures("hosts")
def test_what_is_no_address_is_refused_at_once_in_one_sentence(address, reason):
    with pytest.raises(UsageError, match=r"^--scheduler .*is no address") as caught:
        sweep.risk(address)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("address", "open_to_others"),
    [
        ("localhost:8786", False),
        ("tcp://[::1]:8786", False),
        ("tls://10.0.0.5:8786", False),
        ("10.0.0.5:8786", True),
    ],
)
@pytest.mark.usefixtures("hosts")
def test_a_scheduler_that_others_reach_unencrypted_brings_a_warning(
    address, open_to_others, monkeypatch, capsys
):
    monkeypatch.setattr("distributed.Client", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(Security, "get_connection_args", lambda *_: {"ssl_context": "there"})
    with sweep.connect(address):
        pass
    said = capsys.readouterr().err
    assert bool(re.fullmatch("Warning: .* can run code .* use tls://.*\n", said)) == open_to_others


def certified(folder):
    """Return the folder, with the key and the certificate that the book's lines make."""
    (block,) = re.findall(r"```shell\n([^`]*openssl[^`]*)```", BOOK.read_text(encoding="utf-8"))
    lines = block.replace("/shared/tls", str(folder))
    subprocess.run(["bash", "-ec", lines], check=True, capture_output=True)
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0  # its owner's alone
    return folder


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def encrypted(certificate):
    """The address of a scheduler that lets in who has the certificate, and nobody else."""
    pair = {what: str(certificate / f"{what}.pem") for what in ("cert", "key")}
    roles = ("scheduler", "worker", "client")
    files = {f"tls_{role}_{what}": file for role in roles for what, file in pair.items()}
    security = Security(tls_ca_file=pair["cert"], require_encryption=True, **files)
    with LocalCluster(**HERE, protocol="tls", security=security) as cluster:
        yield cluster.scheduler_address


def settings(folder):
    """Return Dask's settings as the variables of the book's page make them."""
    names = re.findall(r"export DASK_(\w+)=/shared/tls/(\S+)", BOOK.read_text(encoding="utf-8"))
    assert len(names) == 3
    keys = [name.lower().replace("__", ".").replace("ca_file", "ca-file") for name, _ in names]
    return {key: str(folder / file) for key, (_, file) in zip(keys, names, strict=True)}


def test_a_sweep_runs_on_a_tls_scheduler(encrypted, certificate, tmp_path, capsys):
    with dask.config.set(settings(certificate)):
        table = pm.Lab(tmp_path, scheduler=encrypted, progress=False).map([EXP], ["conf"])
    assert encrypted.startswith("tls://")
    assert "Warning" not in capsys.readouterr().err
    assert list(table["attack"]) == ["conf"]


def test_another_certificate_or_none_is_refused_in_one_sentence(encrypted, tmp_path, monkeypatch):
    refused = pytest.raises(UsageError, match=r"^.*no Dask scheduler answers there.*$")
    with dask.config.set(settings(certified(tmp_path))), refused, sweep.connect(encrypted):
        pass
    # without one, no client is made that would hang
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a client was made"))
    refused = pytest.raises(UsageError, match=r"^.*no certificate in Dask's settings.*$")
    with refused, sweep.connect(encrypted):
        pass
