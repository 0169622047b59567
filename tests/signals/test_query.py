import math

import pytest
import torch
from torch import nn

from prunemia import models
from prunemia.signals.query import posteriors, sensitivity


def confident_network(scale: float) -> nn.Module:
    """A random network whose posteriors are as close to one as trained networks' are on members."""
    module = models.build("columnfc", (20,), 5, seed=4)
    with torch.no_grad():
        module[-1].weight.mul_(scale)
    return module.eval()


def test_posteriors_are_the_softmax_of_the_logits():
    module = nn.Linear(2, 2)
    module.weight.data, module.bias.data = torch.eye(2), torch.zeros(2)

    # softmax(0, ln 3) = (1/4, 3/4)
    assert posteriors(module, torch.tensor([[0.0, math.log(3)]])).tolist()[0] == pytest.approx(
        [0.25, 0.75]
    )


def test_sensitivity_of_two_logits_tends_to_its_expectation():
    # p_1 = sigmoid(x) at x = 0: slope 1/4; E|u| = sqrt(2/pi), so s = 0.25 * 0.798 for both classes.
    # 20,000 draws: |u| has standard deviation 0.6, the mean's relative standard error is 0.5 %.
    module = nn.Linear(1, 2)
    module.weight.data, module.bias.data = torch.tensor([[1.0], [0.0]]), torch.zeros(2)
    s = sensitivity(
        module, torch.zeros(1, 1), draws=20_000, generator=torch.Generator().manual_seed(0)
    )

    assert s[0].tolist() == pytest.approx([0.25 * math.sqrt(2 / math.pi)] * 2, rel=0.02)


def test_sensitivity_is_the_mean_over_the_same_draws_one_by_one():
    module, x = confident_network(1), torch.randn(7, 20, generator=torch.Generator().manual_seed(2))
    folded = sensitivity(module, x, 1e-2, 3, torch.Generator().manual_seed(9))

    noise = torch.randn(3, 7, 20, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        p = module(x).softmax(1)
        loop = torch.stack(
            [(module(x + 1e-2 * u).softmax(1) - p).abs() / 1e-2 for u in noise]
        ).mean(0)
    torch.testing.assert_close(folded.float(), loop, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1, 30, 300])
def test_sensitivity_keeps_its_digits_where_the_posterior_is_near_one(scale):
    # The oracle: the same perturbations, a float64 copy of the network and of the input.
    module, x = (
        confident_network(scale),
        torch.randn(200, 20, generator=torch.Generator().manual_seed(2)),
    )
    s = sensitivity(module, x, generator=torch.Generator().manual_seed(3))
    exact = confident_network(scale).double()
    generator = torch.Generator().manual_seed(3)
    draws = [torch.randn(10, len(part), 20, generator=generator) for part in x.split(256 // 11)]
    with torch.inference_mode():
        p = exact(x.double()).softmax(1)
        noise = torch.cat(draws, dim=1).double()
        oracle = torch.stack(
            [(exact(x.double() + 1e-3 * u).softmax(1) - p).abs() / 1e-3 for u in noise]
        ).mean(0)

    top = p.argmax(1, keepdim=True)
    error = ((s - oracle).abs() / oracle.clamp_min(1e-300)).gather(1, top)
    assert (p.max(1).values > 0.9999).sum() >= (60 if scale == 300 else 0)
    assert error.median() < 1e-2
    assert error.quantile(0.95) < 0.05


def test_the_same_generator_gives_the_same_bits_and_the_mode_is_restored():
    module, x = models.build("columnfc", (20,), 5).train(), torch.randn(60, 20)
    first, again = (
        sensitivity(module, x, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )

    assert torch.equal(first, again)
    assert module.training
    assert first.shape == (60, 5)


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"epsilon": float("nan")}, {"draws": 0}])
def test_refusals(wrong):
    with pytest.raises(ValueError, match="allowed: epsilon > 0 and draws >= 1"):
        sensitivity(nn.Linear(2, 2), torch.zeros(1, 2), **wrong)
