"""Registries: what they refuse, and that one line registers a toy of each kind."""

import numpy as np
import pytest
import torch
from torch import nn

import prunemia as pm
from prunemia import defenses
from prunemia import registry as kinds
from prunemia.attacks.threshold import ThresholdAttack
from prunemia.registry import ATTACKS, DEFENSES, NETWORKS, PRUNERS, SOURCES, load
from prunemia.training import Defense

HERE = "test_registry"  # pytest puts this file's folder on the path


class Loudest(ThresholdAttack):
    """A toy attack: the largest sensitivity, smaller means more likely a member."""

    def values(self, signals):
        return -signals.sensitivities.max(axis=1).astype(np.float64)


class Shrink(Defense):
    """A toy defense: the strength times the mean square of the logits."""

    def penalty(self, run, x, labels, logits):  # noqa: ARG002
        return self.strength * logits.square().mean(dim=(1, 2))


def first_half(module: nn.Module, sparsity: float) -> dict[str, torch.Tensor]:
    """A toy pruner: the first weights of the linear layer go, however large."""
    weight = module[1].weight
    gone = int(weight.numel() * sparsity)
    return {"1.weight": (torch.arange(weight.numel()) >= gone).view_as(weight)}


def linear(shape, classes, width):  # noqa: ARG001
    """A toy network: one linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


def blobs(rows: int, seed: int | None = None):
    """A toy data set: two Gaussian clouds."""
    labels = np.arange(rows) % 2
    noise = np.random.default_rng(seed or 0).normal(size=(rows, 3))
    return noise + 3 * labels[:, np.newaxis], labels


def test_one_line_registers_a_toy_of_each_kind(tmp_path, monkeypatch):
    words = ("Clouds", "Tests", "here", "none", "none")
    sheet = kinds.Source("toy-blobs", 400, (3,), 2, *words, generate=f"{HERE}:blobs")
    strength = kinds.Strength("the weight of the logits' mean square", 0.1, 0.0, 10.0)
    recipe = kinds.TrainingConfig(epochs=7)
    for table, name, kind in (
        (ATTACKS, "toy-loudest", kinds.AttackKind(f"{HERE}:Loudest", "#000000")),
        (DEFENSES, "toy-shrink", kinds.DefenseKind(f"{HERE}:Shrink", strength, "#000000", "x")),
        (PRUNERS, "toy-half", kinds.PrunerKind(f"{HERE}:first_half", "weights", "#000000")),
        (NETWORKS, "toy-linear", kinds.NetworkKind(f"{HERE}:linear", None, recipe, ("weights",))),
        (SOURCES, "toy-blobs", sheet),
    ):
        monkeypatch.setitem(table, name, kind)
    toys = {"dataset": "toy-blobs", "model": "toy-linear", "pruner": "toy-half"}
    exp = pm.Experiment(**toys, sparsity=0.5, defense="toy-shrink", shadows=2, draws=2)
    lab = pm.Lab(tmp_path, progress=False)

    assert (exp.training_epochs, exp.defense_strength) == (7, 0.1)
    assert kinds.allowed_pruners("toy-linear") == ("l1unstructured", "dense", "toy-half")
    weight = lab.pruned(exp).module[1].weight.flatten()
    assert torch.equal(weight[:3], torch.zeros(3))  # 6 weights, the first half gone
    assert (weight[3:] != 0).all()
    assert lab.attack(exp, "toy-loudest").evaluation.members == len(lab.split(exp).train)
    assert "toy-loudest" in set(lab.map([exp], ["toy-loudest"])["attack"])


def test_a_name_that_is_unknown_is_refused():
    table = kinds.Registry("colour", {"red": 1, "green": 2})
    said = r"colour: 'gren' is not allowed; allowed: red, green \(did you mean 'green'\?\)$"
    with pytest.raises(ValueError, match=said):
        table.find("gren")
    with pytest.raises(ValueError, match=r"allowed: red, green$"):
        table.find("octarine")
    assert table.find("red") == 1
    assert [kinds.label(name, True) for name in ("a.npz", "cifar10")] == ["a.npz", "natural images"]


def test_every_entry_names_what_can_be_imported_and_built():
    paths = [kind.import_path for table in (ATTACKS, PRUNERS) for kind in table.values()]
    paths += [kind.together for kind in ATTACKS.values() if kind.together]
    paths += [source.read or source.generate for source in SOURCES.values()]
    assert all(callable(load(path)) for path in paths)
    for name in defenses.names():
        assert defenses.get(name).strength == (DEFENSES[name].strength.default or 0.0)
    shapes = {"features": (5,), "series": (1, 40), "images": (3, 32, 32), None: (5,)}
    with torch.device("meta"):  # no weight is drawn
        for kind in NETWORKS.values():
            assert isinstance(load(kind.import_path)(shapes[kind.takes], 4, 8), nn.Module)
