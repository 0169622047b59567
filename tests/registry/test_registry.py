"""Registries: what they refuse, and that one line registers a toy of each kind."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import prunemia as pm
from prunemia import data, defenses, models
from prunemia.attacks.threshold import ThresholdAttack
from prunemia.experiment import explain
from prunemia.registry import (
    ATTACKS,
    DEFENSES,
    NETWORKS,
    PRUNERS,
    SOURCES,
    AttackKind,
    DefenseKind,
    NetworkKind,
    PrunerKind,
    Registry,
    Source,
    Strength,
    TrainingConfig,
    allowed_pruners,
    load,
)
from prunemia.training import Defense

HERE = "test_registry"  # tests/ is on the path by its folders' names


class Loudest(ThresholdAttack):
    """A toy attack: the largest sensitivity, smaller means more likely a member."""

    def values(self, signals):
        return -signals.sensitivities.max(axis=1).astype(np.float64)


class Shrink(Defense):
    """A toy defense: the strength times the mean square of the logits."""

    def penalty(self, run, x, labels, logits):  # noqa: ARG002
        return self.strength * logits.square().mean(dim=(1, 2))


def first_half(module: nn.Module, sparsity: float) -> dict[str, torch.Tensor]:
    """A toy pruner: the first weights of each linear layer go, however large."""
    keep = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            count = layer.weight.numel()
            keep[f"{name}.weight"] = (torch.arange(count) >= int(count * sparsity)).view_as(
                layer.weight
            )
    return keep


def linear(shape, classes, width):  # noqa: ARG001
    """A toy network: one linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def blobs(rows: int, seed: int | None = None):
    """A toy data set: two Gaussian clouds."""
    labels = np.arange(rows) % 2
    noise = np.random.default_rng(seed or 0).normal(size=(rows, 3))
    return noise + 3 * labels[:, np.newaxis], labels


@pytest.fixture
def toys():
    """One toy of each kind, each by one line."""
    words = ("Clouds", "Tests", "here", "none", "none")
    sheet = Source("toy-blobs", 400, (3,), 2, *words, generate=f"{HERE}:blobs")
    strength = Strength("the weight of the logits' mean square", 0.1, 0.0, 10.0)
    with (
        ATTACKS.registered("toy-loudest", AttackKind(f"{HERE}:Loudest", "#000000")),
        DEFENSES.registered(
            "toy-shrink", DefenseKind(f"{HERE}:Shrink", strength, "#000000", "shrink")
        ),
        PRUNERS.registered("toy-half", PrunerKind(f"{HERE}:first_half", "weights", "#000000")),
        NETWORKS.registered(
            "toy-linear",
            NetworkKind(f"{HERE}:linear", None, TrainingConfig(epochs=7), ("weights",)),
        ),
        SOURCES.registered("toy-blobs", sheet),
    ):
        yield


@pytest.mark.usefixtures("toys")
def test_one_line_registers_a_toy_of_each_kind(tmp_path):
    exp = pm.Experiment(
        dataset="toy-blobs",
        model="toy-linear",
        pruner="toy-half",
        sparsity=0.5,
        defense="toy-shrink",
        shadows=2,
        draws=2,
    )
    lab = pm.Lab(tmp_path, progress=False)

    assert exp.training_epochs == 7
    assert exp.defense_strength == 0.1
    assert "slim" not in allowed_pruners("toy-linear")
    assert {"l1unstructured", "toy-half"} <= set(allowed_pruners("toy-linear"))
    weight = lab.pruned(exp).module[1].weight
    assert torch.equal(weight.flatten()[:3], torch.zeros(3))  # 6 weights, the first half gone
    assert (weight.flatten()[3:] != 0).all()
    result = lab.attack(exp, "toy-loudest")
    assert result.evaluation.members == len(lab.split(exp).train)
    assert "toy-loudest" in set(lab.map([exp], ["toy-loudest"])["attack"])


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="attack: 'conf' is taken"):
        ATTACKS.register("conf", AttackKind("a:b", "#000000"))


def test_without_the_toys_nothing_is_left_of_them():
    assert "toy-loudest" not in pm.attacks.names()
    assert "toy-blobs" not in data.SOURCES
    with pytest.raises(ValidationError) as caught:
        pm.Experiment(dataset="toy-blobs")
    assert "dataset: 'toy-blobs' must be one of" in explain(caught.value)


def test_an_unknown_name_is_refused_with_what_may_have_been_meant():
    table = Registry("colour", {"red": 1, "green": 2})

    with pytest.raises(ValueError, match="colour") as caught:
        table.find("gren")
    assert str(caught.value) == (
        "colour: 'gren' is not allowed; allowed: red, green (did you mean 'green'?)"
    )
    with pytest.raises(ValueError, match=r"allowed: red, green$"):
        table.find("octarine")
    assert table.find("red") == 1
    assert table.names() == ("red", "green")


@pytest.mark.parametrize(
    "table", [ATTACKS, DEFENSES, PRUNERS, NETWORKS], ids=lambda table: table.what
)
def test_every_entry_names_what_can_be_imported(table):
    assert all(callable(load(kind.import_path)) for kind in table.values())


def test_every_data_set_names_its_reader():
    assert all(callable(load(s.read or s.generate)) for s in SOURCES.values())


def test_every_defense_and_network_can_be_built():
    for name in defenses.names():
        assert defenses.get(name).strength == (DEFENSES[name].strength.default or 0.0)
    shapes = {"features": (5,), "series": (1, 40), "images": (3, 32, 32), None: (5,)}
    for name, kind in NETWORKS.items():
        assert isinstance(models.build(name, shapes[kind.takes], 4), nn.Module)
