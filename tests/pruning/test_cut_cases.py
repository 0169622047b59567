"""Networks whose channels are hard to follow: cut ones answer as before, or a sentence says no."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import nn

from prunemia.models import macs
from prunemia.pruning import cost, cut, prune

SHAPE = (3, 8, 8)


class Net(nn.Module):
    """Two convolutions of eight filters, normalized, with ``between`` what stands between them."""

    def __init__(self, between, second=None, width=8):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = second or nn.Conv2d(width, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.between = between

    def forward(self, x):
        h = self.second(self.between(self.norm(self.first(x))))
        return self.head(h.relu().mean((2, 3)))


def shuffled(x):
    """Move channels as ShuffleNet does: the two halves are interleaved."""
    n, c, *places = x.shape
    return x.reshape(n, 2, c // 2, *places).transpose(1, 2).reshape(n, c, *places)


class Twice(nn.Module):
    """Its second layer is called twice, on different inputs."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        h = F.relu(self.norm(self.first(x)))
        return self.head(F.relu(self.again(F.relu(self.again(h)))).mean((2, 3)))


class Gated(nn.Module):
    """Sums two branches of one layer, and scales channels by what they hold (squeeze, excite)."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        h = self.norm(self.first(x))
        scale = self.excite(self.squeeze(h.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head((F.silu(h) * scale).mean((2, 3)))


CASES = {
    "method": lambda: Net(lambda x: x.relu()),
    "method in place": lambda: Net(lambda x: x.relu_()),
    "clamp": lambda: Net(lambda x: x.clamp(min=0)),
    "ReLU6": lambda: Net(nn.ReLU6()),
    "Hardswish": lambda: Net(nn.Hardswish()),
    "PReLU": lambda: Net(nn.PReLU(8)),
    "threshold": lambda: Net(lambda x: F.threshold(x, 0.1, 2.0)),
    "maximum": lambda: Net(lambda x: torch.maximum(x, torch.zeros(()))),
    "Softmax": lambda: Net(nn.Softmax(dim=1)),
    "GLU": lambda: Net(nn.GLU(dim=1), width=4),
    "chunk": lambda: Net(lambda x: x.chunk(2, 1)[0].relu() + x.chunk(2, 1)[1].tanh(), width=4),
    "split": lambda: Net(lambda x: torch.cat([p.relu() for p in x.split([3, 5], 1)], 1)),
    "unequal halves": lambda: Net(lambda x: x[:, :4].relu() + x[:, 4:].sigmoid(), width=4),
    "grouped": lambda: Net(nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1, groups=2)),
    "depthwise": lambda: Net(nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1, groups=8)),
    "multiplied": lambda: Net(nn.ReLU6(), nn.Conv2d(8, 16, 3, padding=1, groups=8)),
    "shuffle": lambda: Net(lambda x: shuffled(x.relu())),
    "pixel shuffle": lambda: Net(nn.PixelShuffle(2), width=2),
    "roll": lambda: Net(lambda x: x.relu().roll(1, dims=1)),
    "group norm": lambda: Net(nn.GroupNorm(4, 8)),
    "twice": Twice,
    "gated": Gated,
}


def pruned(case, method):
    torch.manual_seed(1)
    module = CASES[case]()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.normal_(0, 0.5)
    if case == "multiplied":
        module.head = nn.Linear(16, 4)
    prune(module, method, 0.5)
    return module.eval()


@pytest.mark.parametrize("method", ["l1structured", "slim", "l1unstructured"])
@pytest.mark.parametrize("case", CASES)
def test_a_cut_network_answers_as_before_however_it_is_written(case, method):
    module = pruned(case, method)
    samples = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(3))

    small = cut(module, SHAPE)

    for scale in (0.01, 1.0, 300.0):
        with torch.no_grad():
            expected, found = module(scale * samples), small(scale * samples)
        worst = (found - expected).abs().amax() / expected.abs().amax()
        assert worst < 1e-5, f"at {scale} times the samples"


@pytest.mark.parametrize("case", ["method", "clamp", "ReLU6", "threshold", "PReLU", "depthwise"])
def test_activations_of_any_form_do_not_stand_in_the_way(case):
    # Half of the first layer's eight filters go, and with them the channels that its successor
    # reads: from 8 · 27 + 8 · 72 weights at 64 places each, at least the first 4 · 27 are gone.
    module = pruned(case, "l1structured")

    assert macs(cut(module, SHAPE), SHAPE) <= macs(module, SHAPE) - 64 * 4 * 27


def test_a_filter_that_hardly_ever_fires_stays():
    # Filter 0 has no weight but 1e-3, and a bias of −100: below inputs of about 1e5 it is silent.
    module = Net(nn.ReLU6()).eval()
    prune(module, "l1structured", 0.5)
    with torch.no_grad():
        module.first.weight[0] = 1e-3
        module.first.bias[0] = -100.0
    kept = int(module.first.weight.flatten(1).any(dim=1).sum())
    bright = torch.full((1, *SHAPE), 1e5)

    small = cut(module, SHAPE)

    assert small.first.out_channels == kept
    torch.testing.assert_close(small(bright), module(bright))


class Choosing(nn.Module):
    """Which channels the head reads depends on the sample."""

    def __init__(self, choose):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 2)
        self.choose = choose

    def forward(self, x):
        return self.head(self.choose(self.body(x)).flatten(2).mean(2))


@pytest.mark.parametrize(
    ("choose", "named"),
    [
        (lambda x: x.sort(dim=1).values, "sort"),
        (lambda x: x * (x.mean((2, 3), keepdim=True) > 0), "gt"),
        (lambda x: x if x.sum() > 0 else -x, "gt"),
        (lambda x: x.nan_to_num(), "nan_to_num"),
    ],
)
def test_networks_that_choose_by_their_activations_are_refused(choose, named):
    module = Choosing(choose).eval()
    with pytest.raises(ValueError, match=rf"layer '' chooses by its activations \({named}\)"):
        cut(module, SHAPE)


class Hidden(nn.Module):
    """A convolution's weights are used by another function than its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = self.second(self.first(x).relu())
        h = h + torch.einsum("oc,nchw->nohw", self.second.weight[:, :, 0, 0], self.first(x))
        return self.head(h.mean((2, 3)))


def test_what_torch_pruning_does_not_follow_is_refused_with_the_layers_name():
    torch.manual_seed(1)
    module = Net(lambda x: torch.cat([p.relu() for p in x.chunk(2, 1)][::-1], 1)).eval()
    prune(module, "l1structured", 0.5)
    with pytest.raises(ValueError, match="does not follow where layer 'second' has its channels"):
        cut(module, SHAPE)


def test_what_cannot_be_proved_is_not_returned():
    torch.manual_seed(0)
    module = Hidden().eval()
    prune(module, "l1structured", 0.5)
    x = torch.randn(9, *SHAPE)

    torch.testing.assert_close(cut(module, SHAPE)(x), module(x), rtol=1e-4, atol=1e-5)


def test_the_samples_are_part_of_the_proof():
    module = pruned("method", "l1structured")
    with pytest.raises(ValueError, match=r"does not answer samples of shape \(3, 8, 8\)"):
        cut(module, SHAPE, torch.zeros(5, 4, 8, 8))
    assert cut(module, SHAPE, torch.randn(70, *SHAPE)).first.out_channels == 4


def test_other_precisions_come_back_as_they_were():
    module = pruned("ReLU6", "l1structured").bfloat16()
    small = cut(module, SHAPE)
    x = torch.randn(5, *SHAPE).bfloat16()

    assert {p.dtype for p in small.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(small(x), module(x), rtol=0.05, atol=0.05)
    module.head.float()
    with pytest.raises(ValueError, match="parameters of one type"):
        cut(module, SHAPE)


def test_costs_and_cuts_restore_each_layers_mode():
    module = pruned("method", "l1structured").train()
    module.norm.eval()
    for work in (lambda: macs(module, SHAPE), lambda: cost(module, SHAPE, repeats=1),
                 lambda: cut(module, SHAPE)):  # fmt: skip
        work()
        assert [m.training for m in (module, module.first, module.norm)] == [True, True, False]
