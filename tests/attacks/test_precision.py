import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from shifted import drawn
from torch import nn

from prunemia import attacks
from prunemia.attacks import fitting
from prunemia.attacks.fitting import AttackFitConfig, FlatWeights, fit

LEARNED = ("nn", "top3nn", "nncls", "samia")


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


def test_a_fit_on_one_vector_takes_the_steps_of_plain_adamw():
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    members = (x.sum(dim=1) > 0).long()
    ours, plain = two_layers(), two_layers()
    fit(ours, x, members, AttackFitConfig("fast", 5))

    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=5)
    order = torch.Generator().manual_seed(0)
    for _ in range(5):
        samples = torch.randperm(64, generator=order)
        optimizer.zero_grad()
        F.cross_entropy(plain(x[samples]), members[samples]).backward()
        optimizer.step()
        schedule.step()

    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_small_steps_are_not_lost_in_bfloat16():
    # near 1, bfloat16 has a step of 2**-8: a hundred steps of 1e-4 must add up in the vector
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    weights = FlatWeights(layer, "bfloat16")
    optimizer = torch.optim.SGD([weights.vector], lr=1e-4)
    for _ in range(100):
        layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        weights.collect()
        optimizer.step()
        weights.publish()
    assert layer.weight.dtype == torch.bfloat16
    weights.release()

    assert layer.weight.dtype == torch.float32
    assert float(layer.weight.detach()) == pytest.approx(0.99, abs=1e-5)


def test_a_parameter_without_gradient_stays():
    module = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
    before = module[1].weight.detach().clone()
    weights = FlatWeights(module, "float32")
    module[0](torch.ones(1, 2)).sum().backward()
    weights.collect()
    torch.optim.SGD([weights.vector], lr=0.1).step()
    weights.release()

    assert torch.equal(module[1].weight, before)


@pytest.mark.parametrize("name", LEARNED)
def test_bfloat16_learns_what_float32_learns_and_decides_in_float32(name):
    shadow, target = drawn(600, shift=1.0), drawn(600, shift=1.0, seed=1)
    scores = {}
    for precision in ("float32", "bfloat16"):
        attack = attacks.get(name)(precision=precision, epochs=4).fit(shadow)
        assert {p.dtype for p in attack.network_.parameters()} == {torch.float32}
        scores[precision] = attack.decision_function(target)

    assert not np.array_equal(scores["float32"], scores["bfloat16"])
    assert np.corrcoef(*scores.values())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("abilities", "precision"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"avx2": True}, "float32"),
    ],
)
def test_the_processor_decides_and_bfloat16_alone_stands_in_the_key(
    monkeypatch, abilities, precision
):
    monkeypatch.setattr(fitting.torch.cpu, "get_capabilities", lambda: abilities)
    attack = attacks.get("samia")(device="cpu")

    assert attack.used_precision == precision
    assert attack.identity().get("precision", "float32") == precision
    assert attacks.get("samia")(device="cpu", recipe="paper").used_precision == "float32"
    assert "precision" not in attacks.get("nn")(device="cpu", precision="float32").identity()


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="precision: 'float16' is not allowed; allowed: None, 'f"):
        attacks.get("nn")(precision="float16").fit(drawn())
