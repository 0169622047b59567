import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from prunemia import models
from prunemia.signals import SignalWarning
from prunemia.signals.query import answers, logits, posteriors, sensitivity


def test_sensitivity_of_two_logits_tends_to_its_expectation():
    # p_1 = sigmoid(x) at x = 0: slope 1/4; E|u| = sqrt(2/pi), so s = 0.25 * 0.798 for both classes.
    # 20,000 draws: |u| has standard deviation 0.6, the mean's relative standard error is 0.5 %.
    module = nn.Linear(1, 2)
    module.weight.data, module.bias.data = torch.tensor([[1.0], [0.0]]), torch.zeros(2)
    generator = torch.Generator().manual_seed(0)
    s = sensitivity(module, torch.zeros(1, 1), draws=20_000, generator=generator)

    assert s[0].tolist() == pytest.approx([0.25 * math.sqrt(2 / math.pi)] * 2, rel=0.02)


@pytest.mark.parametrize("scale", [1, 300])
def test_sensitivity_keeps_its_digits_where_the_posterior_is_near_one(scale):
    # The oracle: the same perturbations, a float64 copy of the network and of the input.
    # The last weights are scaled until posteriors are as near one as trained networks' on members.
    module = models.build("columnfc", (20,), 5, seed=4).eval()
    module[-1].weight.data.mul_(scale)
    x = torch.randn(200, 20, generator=torch.Generator().manual_seed(2))
    s = sensitivity(module, x, generator=torch.Generator().manual_seed(3))
    exact = module.double()
    generator = torch.Generator().manual_seed(3)
    draws = [torch.randn(10, len(part), 20, generator=generator) for part in x.split(256 // 11)]
    with torch.inference_mode():
        p = exact(x.double()).softmax(1)
        noise = torch.cat(draws, dim=1).double()
        moved = [(exact(x.double() + 1e-3 * u).softmax(1) - p).abs() / 1e-3 for u in noise]
        oracle = torch.stack(moved).mean(0)

    top = p.argmax(1, keepdim=True)
    error = ((s - oracle).abs() / oracle.clamp_min(1e-300)).gather(1, top)
    assert (p.max(1).values > 0.9999).sum() >= (60 if scale == 300 else 0)
    assert error.median() < 1e-2
    assert error.quantile(0.95) < 0.05


class Answering(nn.Module):
    """A perceptron whose answer is changed before it goes out."""

    def __init__(self, change, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)
        self.change = change

    def forward(self, x):
        return self.change(self.inner(x))


PLAIN = Answering(lambda z: z)
X = torch.randint(0, 200, (40, 6), generator=torch.Generator().manual_seed(0)) / 100


FORMS = {
    "an attribute": lambda z: SimpleNamespace(logits=z, hidden=z),
    "a mapping": lambda z: {"loss": z.mean(), "logits": z},
    "a tuple": lambda z: (z, torch.zeros(len(z), 64)),
    "a loss first": lambda z: [z.mean(), z],
    "half precision": lambda z: z.bfloat16().float(),
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
def test_the_logits_are_taken_out_of_what_a_network_answers(change):
    tolerance = 0.02 if change is FORMS["half precision"] else 1e-12
    asked = posteriors(Answering(change), X)
    expected = PLAIN(X).detach().double().softmax(1)
    torch.testing.assert_close(asked, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("x", [X.double(), X.half(), X.tolist()], ids=["double", "half", "list"])
def test_samples_are_brought_to_the_networks_type(x):
    torch.testing.assert_close(posteriors(PLAIN, x), posteriors(PLAIN, X), atol=1e-3, rtol=0)
    wide = Answering(lambda z: z, torch.float64)
    assert torch.equal(logits(wide, X), wide(X.double()).detach())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_whole_numbers_reach_a_network_of_numbers_as_such_and_an_embedding_as_indices(dtype):
    x = (X * 100).to(dtype)
    torch.testing.assert_close(logits(PLAIN, x).float(), PLAIN(x.float()).detach())
    assert answers(PLAIN, x)[1].shape == (40, 3)
    words = nn.Sequential(nn.Embedding(200, 4), nn.Flatten(), nn.Linear(24, 3))
    assert torch.equal(logits(words, x), words(x.long()).double().detach())
    with pytest.raises(ValueError, match="x: whole numbers, as indices; allowed for a sens"):
        answers(words, x)


WRONG = {
    "dropout": (lambda z: nn.functional.dropout(z), "two queries .* differ by up to .*F.dropout"),
    "one logit": (lambda z: z[:, :1], r"shape \(16, 1\); allowed: .*torch.stack"),
    "fewer": (lambda z: z.mean(0, keepdim=True), r"shape \(1, 3\); allowed: logits"),
    "NaN": (lambda z: z / 0, "answers sample 0 with NaN or infinity"),
    # statistics of a batch tell members apart
    "batch": (lambda z: nn.functional.batch_norm(z, None, None, training=True), "other samples"),
    "text": (lambda z: "a cat", "answers with str; allowed: logits"),  # noqa: ARG005
    "features first": (lambda z: (torch.zeros(len(z), 64), z), "allowed: the logits first"),
}


@pytest.mark.parametrize(("change", "sentence"), WRONG.values(), ids=WRONG)
def test_an_answer_that_cannot_be_trusted_is_refused(change, sentence):
    for query in (posteriors, sensitivity):
        with pytest.raises(ValueError, match=sentence):
            query(Answering(change), X)


def test_a_softmax_at_the_end_is_told_and_a_log_softmax_is_right():
    for query in (posteriors, answers):
        with pytest.warns(SignalWarning, match="its logits are probabilities already"):
            query(Answering(lambda z: z.softmax(1)), X)
    torch.testing.assert_close(
        posteriors(Answering(lambda z: z.log_softmax(1)), X), posteriors(PLAIN, X)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_perturbation_that_is_rounded_away_is_refused(dtype):
    half = Answering(lambda z: z, dtype)
    assert sensitivity(half, X, epsilon=0.5).shape == (40, 3)
    for module, x, options, sentence in (
        (half, X, {}, r"epsilon: 0\.001 is lost in the rounding of"),
        (PLAIN, X * 1e5, {}, "lost in the rounding of float32"),
        (PLAIN, X, {"epsilon": float("nan")}, "allowed: epsilon > 0 and draws >= 1"),
        (PLAIN, X, {"draws": 0}, "allowed: epsilon > 0 and draws >= 1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            sensitivity(module, x, **options)


def test_a_query_leaves_no_trace():
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    net.train()
    net[1].eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    given = posteriors(net, X)
    given += 1e-12  # an ordinary tensor
    assert not given.requires_grad
    with pytest.raises(ValueError, match=r"cannot be asked samples of shape \(2,\), torch.float32"):
        posteriors(net, X[:, :2])
    assert [layer.training for layer in net] == [True, False, True, True]
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    moved = sensitivity(net, X)
    (net(X).sum() + moved.mean()).backward()  # an inference tensor could not take part


def test_one_sample_left_over_meets_no_batch_statistics_and_rounding_is_none():
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).train()
    assert torch.allclose(posteriors(net, X[:33], batch=32), posteriors(net, X)[:33])
    assert posteriors(net, X[:1]).isfinite().all()
    for dtype in (torch.float16, torch.bfloat16):  # not taken for the other samples' influence
        wide = nn.Sequential(nn.Linear(6, 999), nn.ReLU(), nn.Linear(999, 3)).to(dtype)
        assert logits(wide, 100 * X).shape == (40, 3)


ARRAYS = {
    "read-only": np.broadcast_to(X.numpy(), X.shape),
    "backwards": X.numpy()[::-1].copy()[::-1],
    "big-endian": X.numpy().astype(">f4"),
    "objects": X.numpy().astype(object),
    "long double": X.numpy().astype(np.longdouble),
    "pandas": pd.DataFrame(X.numpy()),
}


@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_arrays_are_taken_however_they_lie_in_memory(x):
    assert torch.equal(logits(PLAIN, x), logits(PLAIN, X))


def test_samples_that_are_no_numbers_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="x: type <U1; allowed: numbers"):
        logits(PLAIN, ["a", "b"])
