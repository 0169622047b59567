import pytest
import torch
from torch import nn

from prunemia import models
from prunemia.pruning import cost, cut
from prunemia.pruning.cutting import Absorbed
from prunemia.pruning.masks import prune

SHAPES = {
    "cnn1d": (1, 40),
    "cnn2d": (3, 16, 16),
    "resnet18": (3, 8, 8),
    "densenet121": (3, 8, 8),
    "vgg16": (3, 32, 32),
}


def pruned(name: str, method: str, sparsity: float = 0.6) -> nn.Module:
    """A pruned network after training: no normalization's γ, β, mean or variance is special."""
    module = models.build(name, SHAPES[name], 7, width=8, seed=1)
    draw = torch.Generator().manual_seed(2)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (layer.weight, layer.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=draw)
            for tensor in (layer.bias, layer.running_mean):
                tensor.data.normal_(0, 0.3, generator=draw)
    prune(module, method, sparsity)
    return module.eval()


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, "l1structured") for name in SHAPES]
    + [(name, "slim") for name in SHAPES if name != "densenet121"],
)
def test_a_cut_network_is_smaller_and_answers_as_before(name, method):
    module = pruned(name, method)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(5, *SHAPES[name], generator=torch.Generator().manual_seed(3))

    small = cut(module, SHAPES[name])

    with torch.no_grad():
        torch.testing.assert_close(
            small(x), module(x), rtol=1e-4, atol=1e-4 * float(module(x).abs().max())
        )
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    was, now = (cost(m, SHAPES[name], repeats=1) for m in (module, small))
    assert now.parameters < was.parameters
    assert now.macs < was.macs
    assert now.bytes < was.bytes


def test_what_goes_are_the_pruned_filters_and_what_reads_them():
    # cnn1d of width 8 at sparsity 0.5: 4 filters of each block stay. Weights: 1·4·5 + 4·4·3 + 4·4·3
    # = 116; 3 blocks of 4 γ and β = 24; head 4·5·7 + 7 = 147. MACs at lengths 20, 10, 5: 20·20 +
    # 48·10 + 48·5, and 140.
    small = cut(pruned("cnn1d", "l1structured", 0.5), (1, 40))
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
    torch.testing.assert_close(small(x), module(x))


def test_a_channel_that_is_negative_for_every_probe_is_not_dead():
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    with torch.no_grad():
        module[0].bias[:] = torch.tensor([0.0, -100.0, 0.0])
    small = cut(module, (1, 2, 2))
    x = torch.full((1, 1, 2, 2), 1e4) * module[0].weight[1].sign()

    assert small[0].weight.shape[0] == 3
    torch.testing.assert_close(small(x), module(x))


def test_single_weights_leave_nothing_to_cut():
    module = pruned("cnn1d", "l1unstructured", 0.5)
    x = torch.randn(4, 1, 40)

    assert torch.equal(cut(module, (1, 40))(x), module(x))
    assert (
        cost(cut(module, (1, 40)), (1, 40), repeats=1).parameters
        == cost(module, (1, 40), repeats=1).parameters
    )


def test_a_layer_is_never_emptied():
    module = pruned("cnn1d", "l1structured", 0.5)
    with torch.no_grad():
        module[0].weight.zero_()
    x = torch.randn(4, 1, 40)

    small = cut(module, (1, 40))

    assert len(small[0].weight) == 1
    torch.testing.assert_close(small(x), module(x), rtol=1e-4, atol=1e-5)
