"""Dask's schedulers: what is submitted, who is let in, what cannot be reached."""

import contextlib
import re
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import dask
import pytest
from distributed import LocalCluster, Security

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.lab import sweep
from prunemia.lab.context import Context
from prunemia.lab.lab import table_steps
from prunemia.lab.stages import STAGES

BOOK = Path(__file__).parents[2] / "book" / "scaling.md"
FIELDS = {"dataset": "digits", "model": "columnfc", "samples": 300, "finetune_epochs": 1}
EXP = pm.Experiment(**FIELDS, epochs=1, shadows=1, draws=1)


class Client:
    """A scheduler that computes nothing: it notes what is submitted; fits of conf fail."""

    loop = None

    def __init__(self, resources):
        self.submitted = {}
        self.resources = resources

    def scheduler_info(self, n_workers):
        assert n_workers == -1
        return {"workers": {"a": {"resources": self.resources}}}

    def submit(self, function, *arguments, key, resources):
        assert function is sweep.work
        self.submitted[key] = (arguments, resources)
        fails = arguments[0].stage == "fit" and arguments[0].attack == "conf"
        status = "error" if fails else "finished"
        return SimpleNamespace(key=key, status=status, exception=lambda: MemoryError("too large"))


def submitted(root, monkeypatch, resources):
    """Return the plan, carried out, what was submitted, and the titles that were told."""
    monkeypatch.setattr("distributed.as_completed", lambda futures, **_: futures)
    context = Context(STAGES, root, progress=False)
    planned = sweep.Plan(context, table_steps([EXP], ["conf", "mentr"], "pruned"))
    client, told = Client(resources), []
    planned._compute_on(client, told.append)
    return planned, client.submitted, told


@pytest.mark.parametrize("resources", [{}, {"GPU": 1}])
def test_tasks_wait_for_their_inputs_and_ask_for_a_gpu_where_there_are_some(
    tmp_path, monkeypatch, resources
):
    planned, sent, told = submitted(tmp_path / "a", monkeypatch, resources)

    tasks = list(planned.todo.values())
    assert told == [planned.context.title(task.step) for task in tasks]
    for (arguments, wanted), task in zip(sent.values(), tasks, strict=True):
        step, root, device, inputs = arguments
        assert (step, root, device) == (task.step, str((tmp_path / "a").resolve()), None)
        assert [future.key.rsplit("-", 1)[0] for future in inputs] == task.needs
        assert wanted == (resources or None)
    # what needs a failed task has its error, the others have none
    steps = [planned.tasks[name].step for name in planned.errors]
    assert [(step.stage, step.attack) for step in steps] == [("fit", "conf"), ("attack", "conf")]
    (text,) = set(planned.errors.values())
    assert text.startswith("fitting conf, digits/columnfc")
    assert text.endswith("MemoryError: too large")
    # stores of two sweeps on one scheduler keep apart
    other = submitted(tmp_path / "b", monkeypatch, resources)[1]
    assert len(sent) == len(other)
    assert not set(sent) & set(other)


@pytest.fixture
def hosts(monkeypatch):
    """Name resolution without a network: some names, and what is numeric."""
    known = {"localhost": "127.0.0.1", "cluster": "10.0.0.5"}
    real = socket.getaddrinfo

    def resolve(host, port, **options):
        if host in known:
            return [(0, 0, 0, "", (known[host], port))]
        return real(host, port, flags=socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(sweep.socket, "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("gibberish", "no HOST:PORT"),
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
        ("tls://cluster:8786", False),
        ("tcp://cluster:8786", True),
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


def test_without_a_certificate_no_client_is_made_that_would_hang(monkeypatch):
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a client was made"))
    refused = pytest.raises(UsageError, match=r"^.*no certificate in Dask's settings.*$")
    with refused, sweep.connect("tls://127.0.0.1:9"):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A folder with the key and the certificate that the book's lines make."""
    folder = tmp_path_factory.mktemp("tls")
    (block,) = re.findall(r"```shell\n([^`]*openssl[^`]*)```", BOOK.read_text(encoding="utf-8"))
    lines = block.replace("/shared/tls", str(folder))
    subprocess.run(["bash", "-ec", lines], check=True, capture_output=True)
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0  # its owner's alone
    return folder


@pytest.fixture(scope="module")
def encrypted(certificate):
    """The address of a scheduler that lets in who has the certificate, and nobody else."""
    pair = {what: str(certificate / f"{what}.pem") for what in ("cert", "key")}
    roles = ("scheduler", "worker", "client")
    files = {f"tls_{role}_{what}": file for role in roles for what, file in pair.items()}
    security = Security(tls_ca_file=pair["cert"], require_encryption=True, **files)
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


def test_another_certificate_or_none_is_refused_in_one_sentence(encrypted, tmp_path):
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    refused = pytest.raises(UsageError, match=r"^.*no Dask scheduler answers there.*$")
    for given in (settings(tmp_path), {}):
        with dask.config.set(given), refused, sweep.connect(encrypted):
            pass
