"""The networks: weights and multiplications by hand, random starts, dropout, what is refused."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from prunemia import models
from prunemia.pruning.masks import prune
from prunemia.registry import NETWORKS
from prunemia.signals.query import posteriors
from prunemia.training import FitSettings, Job, fit
from prunemia.training.stacking import stackable

# Weights by hand at width w, ten classes. ResNet-18: 3×3 and 1×1 kernels 36 w² + 32 (4 + 16 + 64)
# w², stem 27 w, normalizations 150 w, head 80 w + 10. VGG-16: kernels 9 · 399 w² + 27 w, three
# numbers for each of 66 w filters, the same head. DenseNet-121 with g = w / 2: its 58 layers read
# 985 g channels, so 985 · 4 g² + 58 · 36 g², transitions 672 g²; stem, normalizations and head
# 2988 g + 10. At 64 they are torchvision's, but for stem (7,680 weights fewer) and head (990
# classes fewer).
WEIGHTS = {
    "resnet18": lambda w: 2724 * w**2 + 257 * w + 10,
    "vgg16": lambda w: 3591 * w**2 + 305 * w + 10,
    "densenet121": lambda w: 1675 * w**2 + 1494 * w + 10,
}


@pytest.mark.parametrize("width", [8, None])
@pytest.mark.parametrize("name", WEIGHTS)
def test_published_networks_have_the_width_asked_for_and_keep_small_images_whole(name, width):
    with torch.device("meta"):  # shapes alone
        module = models.build(name, (3, 32, 32), 10, width=width).eval()
        assert module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
        stem = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
        assert stem(torch.zeros(1, 3, 32, 32)).shape == (1, width or 64, 32, 32)
    assert sum(p.numel() for p in module.parameters()) == WEIGHTS[name](width or 64)


def test_the_default_width_has_torchvisions_weights_but_for_stem_and_head():
    published = {"resnet18": 11_689_512 - 513 * 990, "densenet121": 7_978_856 - 1025 * 990}
    assert {name: WEIGHTS[name](64) + 64 * 3 * (49 - 9) for name in published} == published
    assert WEIGHTS["vgg16"](64) == 14_723_136 + 5_130
    # 446*256+256 + 256*128+128 + 128*30+30 = 151,198 parameters on Location
    paper = models.build("columnfc", (446,), 30)
    assert sum(p.numel() for p in paper.parameters()) == 151_198
    # Multiplications: ResNet-18 on 32×32 halves the places twice and doubles both channels in a
    # stage, so these cost 1024 (36 + 32 + 32 + 32) w², the stem 27 · 1024 w, the head 80 w.
    module = models.build("resnet18", (3, 32, 32), 10, width=8)
    assert models.macs(module, (3, 32, 32)) == 135_168 * 8**2 + 27_728 * 8


@pytest.mark.parametrize("name", WEIGHTS)
def test_published_networks_repeat_themselves_channels_last(name):
    both = [models.build(name, (3, 32, 32), 10, width=5, seed=1).state_dict() for _ in range(2)]
    assert_close(*both, rtol=0, atol=0)
    kernels = [value for value in both[0].values() if value.ndim == 4]
    assert all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)


@pytest.mark.parametrize("method", ["l2structured", "slim"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_published_networks_are_pruned_trained_and_queried(name, method):
    module = models.build(name, (1, 32, 32), 3, width=8, seed=0)
    for layer in module.modules():  # scales that differ, as training leaves them
        if isinstance(layer, nn.BatchNorm2d):
            draw = torch.Generator().manual_seed(layer.num_features)
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=draw)
    masks = prune(module, method, 0.5)
    x = torch.randn(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(6)
    job = Job("network", module, rows[:4], rows[4:], rows[4:], 0, masks)

    fit([job], x, rows % 3, FitSettings(epochs=1, batch_size=4))

    assert masks.sparsity == pytest.approx(0.5, abs=0.02)
    assert all(not module.get_parameter(n)[~keep].any() for n, keep in masks.keep.items())
    assert posteriors(module, x).sum(dim=1).tolist() == pytest.approx([1] * 6)


@pytest.mark.parametrize(
    ("name", "shape"), [("columnfc", (446,)), ("cnn1d", (1, 40)), ("cnn2d", (3, 32, 32))]
)
def test_each_network_answers_with_one_logit_a_class(name, shape):
    module = models.build(name, shape, 7, seed=3)
    assert module(torch.zeros(5, *shape)).shape == (5, 7)
    assert stackable(module) == NETWORKS[name].stacks


def test_weights_are_xavier_normal_and_seeded():
    # Variance 2 / (fan_in + fan_out) = 2 / (446 + 256); 114,176 draws: 1 % is five standard errors.
    before = torch.get_rng_state()
    first, again, other = (models.build("columnfc", (446,), 30, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first[1].weight.var().item() == pytest.approx(2 / (446 + 256), rel=0.03)
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)
    assert not first[1].bias.any()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("cnn1d", (446,), r"'cnn1d' takes samples of shape \(channels, length\); this data has"),
        ("vgg16", (1, 28, 28), "'vgg16' takes images of 32×32 or more"),
        ("resnet", (1, 40), "allowed: columnfc, cnn1d, cnn2d"),
    ],
)
def test_a_network_that_does_not_fit_the_data_says_so(name, shape, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, shape, 10)


@pytest.mark.parametrize("length", [4, 5, 20])
def test_pooling_is_torchs_bit_for_bit(length):
    x = torch.randn(3, 2, length, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mine, torchs = models.Pool(5)(x), nn.AdaptiveAvgPool1d(5)(x)
    assert torch.equal(mine, torchs)
    assert torch.equal(*(torch.autograd.grad((y**2).sum(), x)[0] for y in (mine, torchs)))
    assert (mine is x) == (length == 5)


def test_dropout_drops_a_share_p_and_keeps_the_mean_by_draws_of_its_generator():
    # 400,000 draws of probability 0.1: the share's standard error is 0.0005, the mean's 0.0005.
    layer = models.Dropout(0.1)
    layer.generator = torch.Generator().manual_seed(0)
    out = layer(torch.ones(400_000))
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=0.0025)
    assert out.mean().item() == pytest.approx(1, abs=0.0025)
    assert out.max().item() == pytest.approx(1 / 0.9)
    assert torch.equal(layer.eval()(torch.ones(9)), torch.ones(9))
    # Four entries share a 64-bit draw: their correlation over 100,000 draws has standard error
    # 0.003.
    mask, again, other = (
        models.dropout_mask((100_000, 4), 0.5, torch.Generator().manual_seed(s), "cpu")
        for s in (1, 1, 2)
    )
    assert torch.equal(mask, again)
    assert not torch.equal(mask, other)
    assert (torch.corrcoef(mask.T) - torch.eye(4)).abs().max() < 0.016
