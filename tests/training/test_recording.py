"""What GPUs do differently, proved on a CPU: a recorded step does what a plain one does."""

import contextlib
import copy
from types import SimpleNamespace

import pytest
import torch

from prunemia import defenses, models
from prunemia.defenses.losses import PosteriorAlignment
from prunemia.models import one_thread
from prunemia.pruning import prune
from prunemia.registry import DEFENSES
from prunemia.training import Defense, FitSettings, Job, Run
from prunemia.training.recording import WARM_UP, RecordedStep, recordable


def record(run, monkeypatch):
    """Let a run record its steps; a stand-in for CUDA undoes what runs while it is recorded."""
    log = []

    def replay():
        log.append("replayed")
        run.recorded.losses.copy_(run.recorded.step(run.recorded.batch))

    @contextlib.contextmanager
    def recording(_, capture_error_mode):
        log.append(f"recorded, {capture_error_mode}")
        state = run.networks.module, run.optimizer
        before = [copy.deepcopy(each.state_dict()) for each in state]
        yield
        for each, old in zip(state, before, strict=True):
            each.load_state_dict(old)

    stream = SimpleNamespace(wait_stream=lambda _: None)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=replay))
    monkeypatch.setattr(torch.cuda, "graph", recording)
    run.recorded = RecordedStep(run._take, run.optimizer)
    run.optimizer.param_groups[0]["capturable"] = False  # CPUs have no such thing
    return log


@pytest.mark.parametrize("defense", ["none", "ppb"])
@one_thread()
def test_recorded_steps_are_those_of_plain_training(monkeypatch, defense):
    # 150 samples in batches of 32: four full ones an epoch, and 22 that are never replayed
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(200, 1, 8, 8, generator=draw), torch.arange(200) % 3
    train, rest = torch.arange(200).split([150, 50])
    results = []
    for records in (False, True):
        module = models.build("cnn2d", (1, 8, 8), 3, width=4)
        job = Job("network", module, train, rest, rest, 0, prune(module, "l1unstructured", 0.6))
        settings = FitSettings(epochs=2, batch_size=32)
        run = Run([job], images, labels, settings, defenses.get(defense))
        log = record(run, monkeypatch) if records else []
        for epoch in range(2):
            run.train_epoch(epoch)
        results.append([*module.state_dict().values(), torch.tensor(run.histories[0].loss)])

    assert log == ["recorded, thread_local", *["replayed"] * (8 - WARM_UP)]
    assert all(map(torch.equal, *results))


def test_what_may_be_recorded_says_so_itself():
    class Reads(PosteriorAlignment):
        """Who derives from a defense may read numbers from the GPU."""

    images = models.build("cnn2d", (1, 8, 8), 3, width=4)
    able = {name for name in DEFENSES if recordable(defenses.get(name), images)}

    assert able == {"none", "ppb"}
    assert not recordable(Reads(1.0), images)
    assert not recordable(Defense(), models.build("columnfc", (4,), 2))  # its dropout draws
