"""Attacks that are networks: SAMIA's network and attention, the two recipes, what they find."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from answers import drawn
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.testing import assert_close

import prunemia as pm
from prunemia import attacks
from prunemia.attacks.neural import FlatWeights, optimizer
from prunemia.attacks.samia import Layer, Network, PooledDropout, softmax_
from prunemia.models import initialize
from prunemia.training import TrainingError


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- SAMIA's network


def test_samia_has_the_papers_parameters_and_starts():
    for classes, count in ((10, 141_886), (30, 223_926), (100, 511_066)):
        assert sum(p.numel() for p in Network(classes, fast=False).parameters()) == count
    # Attention Xavier-uniform: (192, 64) has deviation sqrt(2 / 256) and is bounded by sqrt(6 /
    # 256), which a normal one exceeds in a share 0.083 of its entries. All else is Xavier-normal:
    # (128, 64) has deviation sqrt(2 / 192), so that some exceed the uniform bound.
    torch.manual_seed(0)
    layer = initialize(Network(5, fast=False)).layers[0]
    for weight, fans in ((layer.mix.weight.detach(), 256), (layer.up.weight.detach(), 192)):
        assert float(weight.std()) == pytest.approx((2 / fans) ** 0.5, rel=0.03)
        assert (weight.abs().max() <= (6 / fans) ** 0.5) == (fans == 256)
    assert not layer.mix.bias.any()


@pytest.mark.parametrize("training", [False, True])
def test_the_encoder_is_torchs_in_values_and_gradients(training, monkeypatch):
    monkeypatch.setattr("prunemia.attacks.samia.CHUNK", 200)  # chunks of two samples, and one
    torch.manual_seed(0)
    network = Network(5, fast=False).train(training)
    template = nn.TransformerEncoderLayer(64, 4, 128, 0.0, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(template, 3, enable_nested_tensor=False).train(training)
    renamed = {"mix.": "self_attn.in_proj_", "out": "self_attn.out_proj", "up": "linear1"}
    for ours, theirs in zip(network.layers, encoder.layers, strict=True):
        weights = ours.state_dict()
        for old, new in (renamed | {"down": "linear2"}).items():
            weights = {name.replace(old, new): value for name, value in weights.items()}
        theirs.load_state_dict(weights)
    x = torch.randn(7, 5, 64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()

    h = ours
    for layer in network.layers:
        h = layer(h, PooledDropout(0.0))
    expected = encoder(theirs)
    weights = torch.randn_like(expected)
    (h * weights).sum().backward()
    (expected * weights).sum().backward()

    assert_close(h, expected, rtol=1e-4, atol=1e-5)
    assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    grad = encoder.layers[0].self_attn.in_proj_weight.grad
    assert_close(network.layers[0].mix.weight.grad, grad, rtol=1e-3, atol=1e-5)


def test_gradients_with_dropout_are_those_of_the_same_masks():
    # Finite differences through one layer, the masks held fixed by reseeding their generator.
    torch.manual_seed(1)
    layer = Layer().double()
    x = torch.randn(2, 3, 64, dtype=torch.float64)

    def answer(x):
        drop = PooledDropout(0.3)
        drop.generator = seeded(5)
        return layer(x, drop).square().sum()

    point = x.clone().requires_grad_()
    answer(point).backward()
    for place in [(0, 0, 0), (1, 2, 40)]:
        step = torch.zeros_like(x)
        step[place] = 1e-6
        slope = float((answer(x + step) - answer(x - step)).detach()) / 2e-6
        assert float(point.grad[place]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_pooled_masks_drop_a_share_p():
    # 60 masks of 10,000 entries at p = 0.2: the share's standard error is below 0.002, reuse
    # included.
    drop = PooledDropout(0.2)
    drop.generator = seeded(0)
    masks = torch.stack([drop.cut((100, 100), torch.device("cpu")) for _ in range(60)])
    assert float((masks == 0).float().mean()) == pytest.approx(0.2, abs=0.006)
    assert drop(torch.ones(70, 30)).max() == pytest.approx(1 / 0.8)
    assert torch.equal(drop.eval()(torch.ones(7)), torch.ones(7))


@pytest.mark.parametrize("spread", [1, 30])  # within the limit of scores, and beyond it
@pytest.mark.parametrize("classes", [2, 100])
def test_the_softmax_in_place_is_torchs(classes, spread):
    scores = torch.randn(6, classes, classes, generator=seeded(0)) * spread
    expected = scores.double().softmax(dim=-1)
    assert torch.allclose(softmax_(scores).double(), expected, atol=1e-6)
    extreme = softmax_(torch.tensor([[1e4, 0.0, -1e4]]))  # no overflow
    assert extreme.tolist() == [[1.0, 0.0, 0.0]]


def test_attention_is_a_distribution_over_classes_and_the_mean_over_samples():
    attack = attacks.get("samia")(epochs=1).fit(drawn(60, classes=5))
    target = drawn(6, classes=5, seed=8)
    weights = attack.attention(target, batch=4)
    one_by_one = [attack.attention(target.subset([i])) for i in range(6)]
    assert weights.shape == (3, 4, 5, 5)
    assert weights.min() >= 0
    assert weights.sum(axis=-1) == pytest.approx(np.ones((3, 4, 5)), abs=1e-5)
    assert weights == pytest.approx(np.mean(one_by_one, axis=0), abs=1e-6)


# -- the recipes


@pytest.mark.parametrize(("epochs", "steps"), [(100, 7), (4, 3), (8, 1)])
def test_the_papers_steps_fall_at_half_and_three_quarters_of_its_epochs(epochs, steps):
    moves, schedule = optimizer("paper", nn.Parameter(torch.zeros(2)), epochs, steps)
    rates = []
    for _ in range(epochs * steps):
        rates.append(schedule.get_last_lr()[0])
        moves.step()
        schedule.step()
    expected = np.repeat([1e-3, 1e-4, 1e-5], np.multiply([2, 1, 1], epochs * steps // 4))
    assert rates == pytest.approx(expected)


class Small(pm.attacks.NeuralAttack):
    """Two layers on the posteriors."""

    name, usual_epochs = "small", 5

    def features(self, signals):
        return signals.posteriors

    def network(self, width, classes):  # noqa: ARG002
        return nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 2))


def test_a_fit_on_one_vector_takes_the_steps_of_plain_adamw():
    shadow = drawn(64, shift=1.0)
    attack = Small(epochs=5, precision="float32", device="cpu").fit(shadow)
    x = torch.from_numpy(((shadow.posteriors - attack.mean_) / attack.scale_).astype(np.float32))
    members = torch.from_numpy(shadow.membership.astype(np.int64))
    torch.manual_seed(0)
    plain = initialize(attack.network(4, 4))
    adam = torch.optim.AdamW(plain.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=1e-3, total_steps=5)
    order = seeded(0)
    for _ in range(5):
        samples = torch.randperm(64, generator=order)
        adam.zero_grad()
        F.cross_entropy(plain(x[samples]), members[samples]).backward()
        adam.step()
        schedule.step()
    assert_close(attack.network_.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-6)


def test_small_steps_are_not_lost_in_bfloat16():
    # near 1, bfloat16 has a step of 2**-8: a hundred steps of 1e-4 must add up in the vector
    unused, layer = nn.Linear(1, 1), nn.Linear(1, 1, bias=False)
    before = unused.weight.detach().clone()
    nn.init.ones_(layer.weight)
    weights = FlatWeights(nn.ModuleList([unused, layer]), "bfloat16")
    sgd = torch.optim.SGD([weights.vector], lr=1e-4)
    for _ in range(100):
        layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        weights.collect()
        sgd.step()
        weights.publish()
    assert layer.weight.dtype == torch.bfloat16
    weights.release()

    assert layer.weight.dtype == torch.float32
    assert float(layer.weight.detach()) == pytest.approx(0.99, abs=1e-5)
    assert torch.equal(unused.weight, before)  # it has no gradient, and stays


@pytest.mark.parametrize("ability", ["avx512_bf16", "amx_bf16", "avx2"])
def test_the_processor_decides_and_bfloat16_alone_stands_in_the_key(monkeypatch, ability):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {ability: True, "other": False})
    attack = attacks.get("samia")(device="cpu")
    precision = "bfloat16" if "bf16" in ability else "float32"
    assert attack.used_precision == precision
    assert attack.identity().get("precision", "float32") == precision
    assert attacks.get("samia")(device="cpu", recipe="paper").used_precision == "float32"
    assert "precision" not in attacks.get("nn")(device="cpu", precision="float32").identity()


# -- what they find


@pytest.mark.parametrize(
    ("name", "recipe", "epochs"),
    [
        *((name, "fast", 8) for name in ("nn", "top3nn", "nncls", "samia")),
        *(("nncls", "paper", 60), ("samia", "paper", 12)),
    ],
)
def test_a_planted_signal_is_found_and_a_null_is_not(name, recipe, epochs):
    attack = attacks.get(name)(recipe=recipe, epochs=epochs).fit(drawn(shift=3, seed=1))
    strong = attack.decision_function(drawn(shift=3, seed=2))
    null = attack.set_params(epochs=3).fit(drawn(seed=3)).decision_function(drawn(seed=4))
    members = drawn(seed=2).membership
    # Without a shift the AUC of 200 against 200 has standard error 0.029.
    assert roc_auc_score(members, strong) > 0.75
    assert roc_auc_score(members, null) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", ["nncls", "samia"])
def test_bfloat16_learns_what_float32_learns_and_decides_in_float32(name):
    shadow, target = drawn(400, shift=1.0), drawn(200, shift=1.0, seed=1)
    scores = []
    for precision in ("float32", "bfloat16"):
        attack = attacks.get(name)(precision=precision, epochs=2).fit(shadow)
        assert {p.dtype for p in attack.network_.parameters()} == {torch.float32}
        scores.append(attack.decision_function(target))
    assert not np.array_equal(*scores)
    assert np.corrcoef(*scores)[0, 1] > 0.98


def test_an_input_that_is_left_out_has_no_influence():
    # The sensitivities alone carry the signal; without them samia cannot find it.
    member = np.arange(400) % 2 == 0

    def leaking(seed):
        draw = np.random.default_rng(seed)
        moved = np.exp(draw.normal(size=(400, 3)) - 2 * member[:, None])
        return pm.Signals(np.full((400, 3), 1 / 3), moved, draw.integers(0, 3, 400), member)

    for inputs, found in (
        (("sensitivity",), pytest.approx(1, abs=0.1)),
        (("posterior", "label"), pytest.approx(0.5, abs=0.12)),
    ):
        attack = attacks.get("samia")(inputs=inputs, epochs=6).fit(leaking(0))
        assert roc_auc_score(member, attack.decision_function(leaking(1))) == found
    seen = attacks.get("samia")(inputs=["label"]).features(drawn(5))
    assert seen.any(axis=0).tolist()[:8] == [False] * 8  # four posteriors, four sensitivities


def test_a_loss_that_is_no_number_is_said():
    class Broken(Small):
        def features(self, signals):
            return np.full_like(signals.posteriors, np.nan)

    with pytest.raises(TrainingError, match="small, fast recipe: the loss is nan in epoch 1"):
        Broken().fit(drawn(8))
