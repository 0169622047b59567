"""What GPUs do differently, proved on a CPU: recorded steps, images with the channels last."""

import contextlib
import copy

import pytest
import torch
from bumps import bumps, jobs
from torch import nn

from prunemia import defenses, models
from prunemia.defenses.ppb import PosteriorAlignment
from prunemia.pruning import prune
from prunemia.training import Defense, FitSettings, Job, Run, fit
from prunemia.training.capture import capturable


@pytest.fixture
def recorder(monkeypatch):
    """Stand in for CUDA: what runs while a graph is recorded is undone; a replay runs it again."""
    log = []

    class Graph:
        def replay(self):
            log.append("replayed")
            captured = recorder.run.captured
            captured.losses.copy_(captured.step(captured.batch))

    @contextlib.contextmanager
    def recording(graph, stream):  # noqa: ARG001
        log.append("recorded")
        run = recorder.run
        tensors = [*run.networks.parameters.values(), *run.networks.buffers.values()]
        tensors += [value for state in run.optimizer.state.values() for value in state.values()]
        before = copy.deepcopy([value.detach() for value in tensors])
        yield
        with torch.no_grad():
            for value, old in zip(tensors, before, strict=True):
                value.copy_(old)

    class Stream:
        def __init__(self, device=None):
            pass

        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    recorder.log = log
    return recorder


@pytest.mark.parametrize("defense", ["none", "ppb"])
def test_recorded_steps_are_those_of_plain_training(recorder, defense):
    # 150 samples in batches of 32: four full ones, and 22 that are never replayed. Three networks
    # of which the first leaves after the second epoch: the smaller stack is recorded anew.
    results = []
    for captures in (False, True):
        networks = jobs("cnn1d", 3, sparsity=0.6)
        settings = FitSettings(epochs=4, batch_size=32, keeps_last=True)
        run = Run(networks, *bumps(), settings, defenses.get(defense))
        run.captures = captures
        recorder.run = run
        for epoch in range(4):
            run.train_epoch(epoch)
            run.validate(epoch)
            if epoch == 1:
                run._keep([1, 2])
        results.append([run.networks.state(slot) for slot in range(2)])
        results[-1].append({"loss": torch.tensor([run.histories[i].loss for i in (1, 2)])})

    # 16 full batches; of each of the two stacks the first three are taken plainly.
    assert recorder.log == ["recorded", *["replayed"] * 5] * 2
    for plain, captured in zip(*results, strict=True):
        assert all(torch.equal(captured[name], value) for name, value in plain.items())


def test_on_a_cpu_nothing_is_recorded():
    results = []
    for graph in (False, True):
        networks = jobs("cnn1d", 1, sparsity=0.6)
        fit(networks, *bumps(), FitSettings(epochs=2, batch_size=32, graph=graph))
        results.append(networks[0].module.state_dict())
    assert all(torch.equal(results[1][name], value) for name, value in results[0].items())


def test_what_may_be_recorded_says_so_itself():
    class Readers(PosteriorAlignment):
        """Who derives from a defense may read numbers from the GPU."""

    plain = [nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))]
    able = {name for name in defenses.names() if capturable(type(defenses.get(name)), plain)}

    assert able == {"none", "earlystop", "ppb"}
    assert not capturable(Readers, plain)
    assert not capturable(Defense, [models.build("columnfc", (4,), 2)])  # its dropout draws


@pytest.mark.parametrize("kind", ["cnn2d", "resnet18"])
def test_images_with_their_channels_last_train_the_same_network(kind):
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(40, 3, 8, 8, generator=draw), torch.arange(40) % 3
    rows = torch.arange(40)
    results = []
    for form in (torch.contiguous_format, torch.channels_last):
        module = models.build(kind, (3, 8, 8), 3, width=4)
        job = Job("network", module, rows[:24], rows[24:], rows, 0, prune(module, "slim", 0.5))
        history = fit([job], images.contiguous(memory_format=form), labels, FitSettings(2, 2))[0]
        results.append({**module.state_dict(), "loss": torch.tensor(history.loss)})
    assert all(torch.equal(results[1][name], value) for name, value in results[0].items())


@pytest.mark.parametrize("kind", ["cnn1d", "resnet18"])
def test_masks_lie_in_memory_as_their_weights_do(kind):
    # only then does one kernel apply them all
    if kind == "cnn1d":
        networks, (features, labels) = jobs(kind, 2, sparsity=0.5), bumps()
    else:
        module, rows = models.build(kind, (3, 8, 8), 3, width=4), torch.arange(8)
        networks = [Job("n", module, rows, rows, rows, 0, prune(module, "l1structured", 0.5))]
        features, labels = torch.zeros(8, 3, 8, 8), rows % 3
    run = Run(networks, features, labels, FitSettings(1), Defense())

    assert run.masks
    for name, mask in run.masks.items():
        assert mask.stride() == run.networks.parameters[name].stride()
        kept = [job.masks.keep[name] for job in networks]
        assert torch.equal(mask.bool(), torch.stack(kept) if kind == "cnn1d" else kept[0])
