"""Which weights stay, by hand; masks that hold; weights that layers share or compute; rounding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune
from torch.testing import assert_close

from prunemia import models
from prunemia.pruning import cut, prune, round_, rounded, schedule, survivors


def test_unstructured_zeroes_the_int_n_s_smallest_of_each_tensor_and_masks_hold():
    # |w| = 1..4, int(4 * 0.7) = 2: the second smallest is 2, only 3 and 4 are strictly greater.
    layer = nn.Linear(2, 2)
    layer.weight.data = torch.tensor([[1.0, -2.0], [-4.0, 3.0]])
    bias = layer.bias.detach().clone()
    masks = prune(nn.Sequential(layer), "l1unstructured", 0.7)
    assert layer.weight.tolist() == [[0, 0], [-4, 3]]
    assert torch.equal(layer.bias, bias)
    assert masks.sparsity == 0.5
    layer.weight.data += 1  # the weights move
    masks.apply_()
    assert layer.weight.tolist() == [[0, 0], [-3, 4]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_survivors_match_the_definition(scores, sparsity):
    gone = int(len(scores) * sparsity)
    threshold = sorted(scores)[gone - 1] if gone else -1
    expected = [score > threshold for score in scores]
    assert survivors(torch.tensor(scores, dtype=torch.float32), sparsity).tolist() == expected
    # The second smallest of 1, 2, 2, 2, 5 is 2: all three twos go, 5 stays.
    assert survivors(torch.tensor([2.0, 1, 2, 5, 2]), 0.4).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize(
    ("method", "stays"), [("l1structured", [0, 1, 0, 1]), ("l2structured", [1, 0, 0, 1])]
)
def test_structured_removes_whole_filters_with_their_bias(method, stays):
    # Four filters of two weights: L1 norms 3, 3.5, 2, 4; L2 norms 3, 2.5, 1.41, 2.83.
    conv, head = nn.Conv1d(1, 4, 2), nn.Linear(4, 2)
    conv.weight.data = torch.tensor([[3.0, 0], [1.5, -2], [1, 1], [2, 2]])[:, None]
    nn.init.ones_(conv.bias)
    masks = prune(nn.Sequential(conv, nn.BatchNorm1d(4), nn.Flatten(), head), method, 0.5)
    assert conv.weight.flatten(1).any(dim=1).tolist() == [bool(s) for s in stays]
    assert conv.bias.tolist() == stays
    assert (head.weight != 0).all()
    # Two filters of two weights are gone, of 8 convolution and 8 linear weights.
    assert masks.sparsity == 4 / 16


def test_slim_pools_scales_over_layers_and_empties_none():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm2d(4))
    module[0].weight.data = torch.tensor([0.1, -0.2])
    module[1].weight.data = torch.tensor([0.3, 0.9, -1.0, 0.8])
    for layer in module:
        nn.init.ones_(layer.bias)
    # int(6 * 0.5) = 3: 0.1, 0.2 and 0.3 go; the first layer keeps its largest, 0.2.
    masks = prune(module, "slim", 0.5)
    assert module[0].weight.tolist() == pytest.approx([0, -0.2])
    assert module[0].bias.tolist() == [0, 1]
    assert module[1].bias.tolist() == [0, 1, 1, 1]
    assert masks.sparsity == 2 / 6


@pytest.mark.parametrize(
    ("module", "method", "sparsity", "message"),
    [
        (nn.Linear(2, 2), "l1structured", 0.5, "ranks convolution filters"),
        (nn.Linear(2, 2), "slim", 0.5, "BatchNorm"),
        (nn.BatchNorm1d(2), "l1unstructured", 0.5, "ranks weights"),
        (nn.Linear(2, 2), "l1unstructured", float("nan"), "sparsity: nan"),
        (nn.Linear(2, 2), "magic", 0.5, "l1unstructured, l1structured"),
    ],
)
def test_refusals_name_what_is_allowed(module, method, sparsity, message):
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.raises(ValueError, match=message):
        prune(module, method, sparsity)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


class Sharing(nn.Module):
    """A convolution and two linear layers that each lend their weight to another module."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 4)
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.out = nn.Linear(4, 6)
        self.second.weight, self.out.weight = self.first.weight, self.words.weight


@pytest.mark.parametrize(("method", "removed"), [("l1unstructured", 20), ("l1structured", 8)])
def test_a_shared_weight_is_pruned_once(method, removed):
    # The convolutions' 16 weights and the linear layer's 24, which torch lists under the embedding.
    module = Sharing()
    masks = prune(module, method, 0.5)
    assert masks.counted == ("first.weight", "words.weight")
    assert masks.sparsity == removed / 40
    assert int((module.first.weight == 0).sum()) == 8
    assert module.second.weight is module.first.weight
    module.first.weight.data += 1
    masks.apply_()
    assert int((module.second.weight == 0).sum()) == 8


def test_a_shared_normalization_is_pruned_once():
    norm = nn.BatchNorm2d(4)
    module = nn.Sequential(norm, nn.ReLU(), norm, nn.BatchNorm2d(4))
    module[3].weight = norm.weight
    norm.weight.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert prune(module, "slim", 0.5).sparsity == 0.5
    assert norm.weight.tolist() == [0, 0, 3, 4]


def computed(layer):
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = 2 * weight


@pytest.mark.parametrize(
    "wrap",
    [
        lambda layer: torch_prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: torch_prune.random_unstructured(layer, "bias", 0.5),
        parametrizations.weight_norm,
        nn.utils.spectral_norm,
        computed,
    ],
)
def test_computed_weights_are_refused_before_anything_changes(wrap):
    module = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Flatten(), nn.Linear(4, 4))
    wrap(module[2])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for work, *more in ((prune, "l1unstructured", 0.5), (round_, 4), (cut, (2, 1, 1))):
        with pytest.raises(ValueError, match=r"'2' computes its (weight|bias).*prune\.remove"):
            work(module, *more)
    assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_three_bits_by_hand_and_no_weight_moves_by_more_than_half_a_step():
    # Step 0.9 / 3 = 0.3: 0.9 is 3 steps, -0.4 one and a third, so 1, 0.14 less than half a step.
    # The second channel has the step 0.1 / 3; the third is all zeros and stays so.
    weight = torch.tensor([[0.9, -0.4, 0.14], [0.1, -0.1, 0.06], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.9, -0.3, 0.0], [0.1, -0.1, 0.2 / 3], [0.0, 0.0, 0.0]])
    assert_close(rounded(weight, 3), expected)
    weight = torch.randn(7, 40, generator=torch.Generator().manual_seed(1))
    for bits in (2, 4, 8):
        step = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert bool(((rounded(weight, bits) - weight).abs() <= step / 2 + 1e-6).all())


def test_what_pruning_removed_stays_zero_and_the_rest_of_the_network_stays():
    module = models.build("cnn1d", (1, 40), 10, width=8, seed=0)
    masks = prune(module, "l1unstructured", 0.7)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    round_(module, 4)
    for name, keep in masks.keep.items():
        assert bool((module.get_parameter(name)[~keep] == 0).all())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in masks.keep)


def test_rounds_remove_equal_shares_of_what_is_left_or_are_refused():
    # To a quarter in two rounds: half each time. Seven epochs: three, then four.
    assert schedule(0.75, 7, 2) == [(pytest.approx(0.5), 3), (0.75, 4)]
    assert schedule(0.7, 5, 1) == [(0.7, 5)]
    assert [share for share, _ in schedule(0.0, 4, 4)] == [0.0] * 4
    assert sum(epochs for _, epochs in schedule(0.9, 13, 5)) == 13
    with pytest.raises(ValueError, match="bits: 9 is not allowed; allowed: 2 to 8"):
        rounded(torch.ones(1, 1), 9)
    with pytest.raises(ValueError, match="rounds: 3 is not allowed; allowed: 1 to 2, its epochs"):
        schedule(0.5, 2, 3)
