import numpy as np
import pytest
import torch
from shifted import drawn
from sklearn.metrics import roc_auc_score
from torch import nn

import prunemia as pm
from prunemia import attacks
from prunemia.attacks.fitting import AttackFitConfig, fit, start
from prunemia.attacks.samia import Layer, Network, PooledDropout, softmax_
from prunemia.training import TrainingError

LEARNED = ("nn", "top3nn", "nncls", "samia")


@pytest.mark.parametrize(("classes", "count"), [(10, 141_886), (30, 223_926), (100, 511_066)])
def test_samia_has_the_papers_parameters(classes, count):
    assert sum(p.numel() for p in Network(classes, fast=False).parameters()) == count


@pytest.mark.parametrize(("epochs", "steps"), [(100, 7), (4, 3), (8, 1)])
def test_the_papers_steps_fall_at_half_and_three_quarters_of_its_epochs(epochs, steps):
    optimizer, schedule = AttackFitConfig("paper", epochs).optimizer(
        nn.Parameter(torch.zeros(2)), steps
    )
    rates = []
    for _ in range(epochs * steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()

    expected = np.repeat([1e-3, 1e-4, 1e-5], np.multiply([2, 1, 1], epochs * steps // 4))
    assert rates == pytest.approx(expected)


def test_one_paper_epoch_of_one_batch_steps_at_the_full_rate():
    _, schedule = AttackFitConfig("paper", 1).optimizer(nn.Parameter(torch.zeros(2)), 1)

    assert schedule.get_last_lr() == [1e-3]


def test_attention_starts_xavier_uniform_and_all_else_xavier_normal():
    # Xavier-uniform of (192, 64) has deviation sqrt(2 / 256) and is bounded by sqrt(6 / 256), which
    # a normal one exceeds in a share 0.083 of its entries.
    torch.manual_seed(0)
    layer = start(Network(5, fast=False)).layers[0]

    assert layer.mix.weight.abs().max() <= (6 / 256) ** 0.5
    assert float(layer.mix.weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.03)
    assert not layer.mix.bias.any()
    # (128, 64): normal with deviation sqrt(2 / 192), so that some exceed the uniform bound
    assert float(layer.up.weight.detach().std()) == pytest.approx((2 / 192) ** 0.5, rel=0.03)
    assert layer.up.weight.abs().max() > (6 / 192) ** 0.5


@pytest.mark.parametrize(
    ("name", "options", "version"),
    [
        ("nn", {}, 1),
        ("nn", {"epochs": 40}, 1),
        ("nncls", {"recipe": "paper"}, 1),
        ("nncls", {"recipe": "paper", "epochs": 100}, 1),
        ("top3nn", {"recipe": "paper", "epochs": 40}, 2),
        ("top3nn", {"recipe": "paper", "epochs": "held-back"}, 2),
        ("samia", {}, 3),
        ("samia", {"recipe": "paper"}, 2),
        ("blindmi", {}, 2),
        ("conf", {}, 1),
    ],
)
def test_versions_are_raised_where_results_changed(name, options, version):
    assert attacks.get(name)(**options).version == version


def encoder_of(network: Network, dropout: float) -> nn.TransformerEncoder:
    """torch's own encoder with the weights of ``network``."""
    template = nn.TransformerEncoderLayer(64, 4, 128, dropout, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(template, 3, enable_nested_tensor=False)
    for ours, theirs in zip(network.layers, encoder.layers, strict=True):
        pairs = {
            "self_attn.in_proj_weight": ours.mix.weight, "self_attn.in_proj_bias": ours.mix.bias,
            "self_attn.out_proj.weight": ours.out.weight, "self_attn.out_proj.bias": ours.out.bias,
            "linear1.weight": ours.up.weight, "linear1.bias": ours.up.bias,
            "linear2.weight": ours.down.weight, "linear2.bias": ours.down.bias,
            "norm1.weight": ours.norm1.weight, "norm1.bias": ours.norm1.bias,
            "norm2.weight": ours.norm2.weight, "norm2.bias": ours.norm2.bias,
        }  # fmt: skip
        theirs.load_state_dict(pairs)
    return encoder


@pytest.mark.parametrize("training", [False, True])
def test_the_encoder_is_torchs_in_values_and_gradients(training):
    torch.manual_seed(0)
    network = Network(5, fast=False).train(training)
    drop = PooledDropout(0.0)
    encoder = encoder_of(network, 0.0).train(training)
    x = torch.randn(7, 5, 64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()

    h = ours
    for layer in network.layers:
        h = layer(h, drop)
    expected = encoder(theirs)
    weights = torch.randn_like(expected)
    (h * weights).sum().backward()
    (expected * weights).sum().backward()

    torch.testing.assert_close(h, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    grad = encoder.layers[0].self_attn.in_proj_weight.grad
    torch.testing.assert_close(network.layers[0].mix.weight.grad, grad, rtol=1e-3, atol=1e-5)


def test_gradients_with_dropout_are_those_of_the_same_masks():
    # Finite differences through one layer, the masks held fixed by reseeding their generator.
    torch.manual_seed(1)
    layer = Layer().double()
    x = torch.randn(2, 3, 64, dtype=torch.float64)

    def answer(x):
        drop = PooledDropout(0.3)
        drop.generator = torch.Generator().manual_seed(5)
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
    drop.generator = torch.Generator().manual_seed(0)
    shares = [
        float((drop.cut((100, 100), torch.device("cpu")) == 0).float().mean()) for _ in range(60)
    ]

    assert np.mean(shares) == pytest.approx(0.2, abs=0.006)
    assert drop(torch.ones(70, 30)).max() == pytest.approx(1 / 0.8)
    assert torch.equal(drop.eval()(torch.ones(7)), torch.ones(7))


@pytest.mark.parametrize("recipe", ["fast", "paper"])
@pytest.mark.parametrize("name", LEARNED)
def test_a_planted_signal_is_found_and_a_null_is_not(name, recipe):
    epochs = {"fast": 8, "paper": 60}[recipe]
    if recipe == "paper" and name == "samia":
        epochs = 12
    kind = attacks.get(name)
    strong = (
        kind(recipe=recipe, epochs=epochs)
        .fit(drawn(shift=3, seed=1))
        .decision_function(drawn(shift=3, seed=2))
    )
    null = kind(recipe=recipe, epochs=3).fit(drawn(seed=3)).decision_function(drawn(seed=4))
    members = drawn(seed=2).membership

    # Without a shift the AUC of 200 against 200 has standard error 0.029.
    assert roc_auc_score(members, strong) > 0.75
    assert roc_auc_score(members, null) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", LEARNED)
def test_a_last_batch_of_one_row_is_no_trouble(name):
    for n in (257, 129):
        recipe = "fast" if n == 257 else "paper"
        scores = (
            attacks.get(name)(recipe=recipe, epochs=1)
            .fit(drawn(n))
            .decision_function(drawn(31, seed=5))
        )
        assert np.isfinite(scores).all()


def test_an_input_that_is_left_out_has_no_influence():
    # The sensitivities alone carry the signal; without them samia cannot find it.
    member = np.arange(400) % 2 == 0
    flat = np.full((400, 3), 1 / 3)

    def leaking(seed):
        draw = np.random.default_rng(seed)
        return pm.Signals(
            flat,
            np.exp(draw.normal(size=(400, 3)) - 2 * member[:, None]),
            draw.integers(0, 3, 400),
            member,
        )

    both = [
        attacks.get("samia")(inputs=i, epochs=6).fit(leaking(0))
        for i in (("sensitivity",), ("posterior", "label"))
    ]
    found = [roc_auc_score(member, attack.decision_function(leaking(1))) for attack in both]

    assert found[0] > 0.9
    assert found[1] == pytest.approx(0.5, abs=0.12)


def test_attention_is_a_distribution_over_classes():
    attack = attacks.get("samia")(epochs=1).fit(drawn(classes=5))
    weights = attack.attention(drawn(40, classes=5, seed=8))

    assert weights.shape == (3, 4, 5, 5)
    assert weights.min() >= 0
    assert weights.sum(axis=-1) == pytest.approx(np.ones((3, 4, 5)), abs=1e-5)


def test_attention_is_the_mean_over_rows():
    attack = attacks.get("samia")(epochs=1).fit(drawn(classes=3))
    rows = drawn(6, classes=3, seed=8)
    one_by_one = [attack.attention(rows.subset([i])) for i in range(6)]

    assert attack.attention(rows) == pytest.approx(np.mean(one_by_one, axis=0), abs=1e-6)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (("posterior", "weights"), "inputs: .* allowed: one or more of posterior"),
        ((), "inputs: "),
        ("posterior", "inputs: 'posterior' is not allowed"),
    ],
)
def test_what_samia_may_see_is_checked_before_anything_is_fitted(inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        attacks.get("samia")(inputs=inputs).fit(drawn(8))


def test_a_loss_that_is_no_number_is_said():
    broken = torch.full((8, 3), float("nan"))
    config = AttackFitConfig("fast", 1, title="samia")
    with pytest.raises(TrainingError, match="samia, fast recipe: the loss is nan in epoch 1"):
        fit(nn.Linear(3, 2), broken, torch.zeros(8, dtype=torch.int64), config)


def test_top_three_does_not_depend_on_the_order_of_classes():
    shadow, target = drawn(classes=5), drawn(50, classes=5, seed=3)
    shuffled = pm.Signals(target.posteriors[:, ::-1], target.sensitivities, target.labels)
    attack = attacks.get("top3nn")(epochs=2).fit(shadow)

    assert attack.decision_function(shuffled) == pytest.approx(
        attack.decision_function(target), abs=1e-6
    )


@pytest.mark.parametrize("spread", [1, 30])  # within the limit of scores, and beyond it
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_softmax_in_place_is_torchs(classes, spread):
    scores = torch.randn(6, classes, classes, generator=torch.Generator().manual_seed(0)) * spread
    expected = scores.double().softmax(dim=-1)

    result = softmax_(scores.clone())

    assert torch.allclose(result.double(), expected, atol=1e-6)
    assert torch.allclose(result.sum(dim=-1), torch.ones(6, classes), atol=1e-5)
    extreme = softmax_(torch.tensor([[1e4, 0.0, -1e4]]))  # no overflow
    assert extreme.tolist() == [[1.0, 0.0, 0.0]]
