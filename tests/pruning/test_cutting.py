"""A cut network is smaller and answers as before, however it is written, or a sentence says no."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import nn
from torch.testing import assert_close
from torchvision.models import DenseNet

from prunemia import models
from prunemia.models import macs
from prunemia.pruning import cost, cut, prune
from prunemia.pruning.cutting import Absorbed

SHAPE = (3, 8, 8)
PUBLISHED = {"cnn1d": (1, 40), "resnet18": SHAPE, "vgg16": (3, 32, 32)}
PUBLISHED |= dict.fromkeys(["cnn2d", "densenet"], (3, 16, 16))


class Net(nn.Module):
    """Two convolutions of eight filters, normalized, with ``between`` what stands between them.

    ``answer``: what is made of the network and of what its first layers give, in place of that.
    """

    def __init__(self, between=None, second=None, width=8, answer=None):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = second or nn.Conv2d(width, 8, 3, padding=1)
        self.head = nn.Linear(self.second.out_channels, 4)
        self.between, self.answer = between, answer

    def forward(self, x):
        h = self.norm(self.first(x))
        h = self.answer(self, h) if self.answer else self.second(self.between(h)).relu()
        return self.head(h.mean((2, 3)))


def shuffled(x):
    """Move channels as ShuffleNet does: the two halves are interleaved."""
    n, c, *places = x.shape
    return x.reshape(n, 2, c // 2, *places).transpose(1, 2).reshape(n, c, *places)


def gated(net, h):
    """Sum two branches of one layer, and scale channels by what they hold (squeeze, excite)."""
    return F.silu(h) * net.second(h.mean((2, 3), keepdim=True).expand(-1, -1, 8, 8)).sigmoid()


class Standardized(nn.Conv2d):
    """A convolution with a forward pass of its own, which standardizes its weights."""

    def forward(self, x):
        weight = self.weight / (self.weight.std(dim=(1, 2, 3), keepdim=True) + 1e-5)
        return self._conv_forward(x, weight, self.bias)


def hidden(net, h):
    """Use a convolution's weights by another function than its own."""
    return net.second(h.relu()) + torch.einsum("oc,nchw->nohw", net.second.weight[:, :, 0, 0], h)


CASES = {
    "method": lambda: Net(lambda x: x.relu()),
    "method in place": lambda: Net(lambda x: x.relu_()),
    "clamp": lambda: Net(lambda x: x.clamp(min=0)),
    "ReLU6": lambda: Net(nn.ReLU6()),
    "PReLU": lambda: Net(nn.PReLU(8)),
    "threshold": lambda: Net(lambda x: F.threshold(x, 0.1, 2.0)),
    "maximum": lambda: Net(lambda x: torch.maximum(x, torch.zeros(()))),
    "Softmax": lambda: Net(nn.Softmax(dim=1)),
    "GLU": lambda: Net(nn.GLU(dim=1), width=4),
    "chunk": lambda: Net(lambda x: x.chunk(2, 1)[0].relu() + x.chunk(2, 1)[1].tanh(), width=4),
    "split": lambda: Net(lambda x: torch.cat([p.relu() for p in x.split([3, 5], 1)], 1)),
    "grouped": lambda: Net(nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1, groups=2)),
    "depthwise": lambda: Net(nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1, groups=8)),
    "multiplied": lambda: Net(nn.ReLU6(), nn.Conv2d(8, 16, 3, padding=1, groups=8)),
    "own forward": lambda: Net(nn.ReLU(), Standardized(8, 8, 3, padding=1)),
    "batch's statistics": lambda: Net(lambda x: F.relu(F.batch_norm(x, None, None, training=True))),
    "shuffle": lambda: Net(lambda x: shuffled(x.relu())),
    "pixel shuffle": lambda: Net(nn.PixelShuffle(2), width=2),
    "roll": lambda: Net(lambda x: x.relu().roll(1, dims=1)),
    "group norm": lambda: Net(nn.GroupNorm(4, 8)),
    "twice": lambda: Net(answer=lambda net, h: net.second(net.second(h.relu()).relu()).relu()),
    "gated": lambda: Net(answer=gated),
    "hidden": lambda: Net(answer=hidden),
}
CUT = ("method", "clamp", "threshold", "PReLU", "depthwise")  # activations of any form


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def pruned(module, method="l1structured", sparsity=0.5):
    """Prune a network as training leaves it: no γ, β, mean or variance is special."""
    draw = torch.Generator().manual_seed(2)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5, generator=draw)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.normal_(0, 0.5, generator=draw)
    prune(module, method, sparsity)
    return module.eval()


def case(name, method="l1structured"):
    torch.manual_seed(1)
    return pruned(CASES[name](), method)


def published(name, method="l1structured", sparsity=0.6):
    torch.manual_seed(1)
    own = DenseNet(4, (2, 2), 8, num_classes=7) if name == "densenet" else None
    module = own or models.build(name, PUBLISHED[name], 7, width=8, seed=1)
    return pruned(module, method, sparsity)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "l1structured") for name in CASES),
        *((name, "slim") for name in ("threshold", "GLU", "depthwise", "twice", "gated")),
        ("method", "l1unstructured"),
    ],
)
def test_a_cut_network_answers_as_before_however_it_is_written(name, method):
    module = case(name, method)
    samples, small = noise(64, *SHAPE), cut(module, SHAPE)
    for scale in (0.01, 1.0, 300.0):
        with torch.no_grad():
            expected, found = module(scale * samples), small(scale * samples)
        worst = (found - expected).abs().amax() / expected.abs().amax()
        assert worst < 1e-5, f"at {scale} times the samples"
    # Half of the first layer's eight filters go, and with them the channels that its successor
    # reads: from 8 · 27 + 8 · 72 weights at 64 places each, at least the first 4 · 27 are gone.
    if name in CUT and method == "l1structured":
        assert macs(small, SHAPE) <= macs(module, SHAPE) - 64 * 4 * 27


@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, "l1structured") for name in PUBLISHED), ("cnn1d", "slim"), ("resnet18", "slim")],
)
def test_a_published_network_gets_smaller_and_answers_as_before(name, method):
    module, shape = published(name, method), PUBLISHED[name]
    before, x = copy.deepcopy(module.state_dict()), noise(5, *shape)
    small = cut(module, shape)
    with torch.no_grad():
        expected = module(x)
        assert_close(small(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert_close(module.state_dict(), before, rtol=0, atol=0)
    was, now = (cost(m, shape, repeats=1) for m in (module, small))
    for what in ("parameters", "macs", "bytes"):
        assert getattr(now, what) < getattr(was, what)


def test_what_goes_are_the_pruned_filters_and_what_reads_them():
    # cnn1d of width 8 at sparsity 0.5: 4 filters of each block stay. Weights: 1·4·5 + 4·4·3 + 4·4·3
    # = 116; 3 blocks of 4 γ and β = 24; head 4·5·7 + 7 = 147. MACs at lengths 20, 10, 5: 20·20 +
    # 48·10 + 48·5, and 140.
    small = cut(published("cnn1d", sparsity=0.5), (1, 40))
    costs = cost(small, (1, 40), repeats=1)
    assert costs.parameters == 116 + 24 + 147
    assert costs.macs == 20 * 20 + 48 * 10 + 48 * 5 + 140
    assert costs.seconds > 0


def test_a_constant_is_absorbed_with_the_images_border():
    # A dead filter whose β is 1 emits 1 everywhere; the next 3×3 kernel of ones, zero-padded, sums
    # 9 of them inside, 6 at an edge, 4 in a corner.
    first, second = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(2)
    nn.init.ones_(second.weight)
    with torch.no_grad():
        first.weight[0], first.weight[1] = 1, 0
        norm.bias[1] = 1
    module = nn.Sequential(
        first, norm, nn.ReLU(), second, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 2)
    )
    x = torch.rand(3, 1, 5, 5)

    small = cut(module.eval(), (1, 5, 5))

    layer = small[3]
    assert isinstance(layer, Absorbed)
    assert layer.offset.flatten().tolist() == [4, 6, 4, 6, 9, 6, 4, 6, 4]
    assert small[0].weight.shape[0] == 1
    assert_close(small(x), module(x))


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
    assert_close(small(bright), module(bright))


def test_single_weights_leave_nothing_to_cut_and_a_layer_is_never_emptied():
    module = published("cnn1d", "l1unstructured", 0.5)
    assert_close(cut(module, (1, 40)).state_dict(), module.state_dict(), rtol=0, atol=0)
    module = published("cnn1d")
    nn.init.zeros_(module[0].weight)
    x = torch.randn(4, 1, 40)
    small = cut(module, (1, 40))
    assert len(small[0].weight) == 1
    assert_close(small(x), module(x), rtol=1e-4, atol=1e-5)


def test_refusals_say_what_is_wrong():
    for choose, named in (
        (lambda _, h: h.sort(dim=1).values, "sort"),
        (lambda _, h: h * (h.mean((2, 3), keepdim=True) > 0), "gt"),
        (lambda _, h: h if h.sum() > 0 else -h, "gt"),
        (lambda _, h: h.nan_to_num(), "nan_to_num"),
    ):
        with pytest.raises(ValueError, match=rf"network chooses by its activations \({named}\)"):
            cut(Net(answer=choose).eval(), SHAPE)
    swapped = pruned(Net(lambda x: torch.cat([p.relu() for p in x.chunk(2, 1)][::-1], 1)))
    with pytest.raises(ValueError, match="does not follow where layer 'second' has its channels"):
        cut(swapped, SHAPE)
    with pytest.raises(ValueError, match=r"does not answer samples of shape \(3, 8, 8\)"):
        cut(case("method"), SHAPE, torch.zeros(5, 4, 8, 8))
    noisy = Net(lambda x: F.dropout(x, 0.5)).eval()
    with pytest.raises(ValueError, match="answers the same samples differently each time"):
        cut(noisy, SHAPE)


def test_other_precisions_come_back_as_they_were():
    module = case("ReLU6").bfloat16()
    small = cut(module, SHAPE, torch.randn(70, *SHAPE))
    x = torch.randn(5, *SHAPE).bfloat16()
    assert small.first.out_channels == 4
    assert {p.dtype for p in small.parameters()} == {torch.bfloat16}
    assert_close(small(x), module(x), rtol=0.05, atol=0.05)
    module.head.float()
    with pytest.raises(ValueError, match="parameters of one type"):
        cut(module, SHAPE)


def test_costs_and_cuts_restore_each_layers_mode():
    module = case("method").train()
    module.norm.eval()
    for work in (macs, cut, cost):
        work(module, SHAPE)
        assert [m.training for m in (module, module.first, module.norm)] == [True, True, False]
