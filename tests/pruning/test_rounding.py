"""Weights rounded to few bits, and the schedule of rounds."""

import pytest
import torch

from prunemia import models
from prunemia.pruning import prune, round_, rounded, schedule


def test_three_bits_by_hand():
    # Step 0.9 / 3 = 0.3: 0.9 is 3 steps, -0.4 one and a third, so 1, 0.14 less than half a step.
    # The second channel has the step 0.1 / 3; the third is all zeros and stays so.
    weight = torch.tensor([[0.9, -0.4, 0.14], [0.1, -0.1, 0.06], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.9, -0.3, 0.0], [0.1, -0.1, 0.2 / 3], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(rounded(weight, 3), expected)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_weight_moves_by_more_than_half_a_step(bits):
    weight = torch.randn(7, 40, generator=torch.Generator().manual_seed(1))
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


def test_rounds_remove_equal_shares_of_what_is_left():
    # To a quarter in two rounds: half each time. Seven epochs: three, then four.
    assert schedule(0.75, 7, 2) == [(pytest.approx(0.5), 3), (0.75, 4)]
    assert schedule(0.7, 5, 1) == [(0.7, 5)]
    assert [share for share, _ in schedule(0.0, 4, 4)] == [0.0] * 4
    assert sum(epochs for _, epochs in schedule(0.9, 13, 5)) == 13


def test_bits_and_rounds_out_of_range_are_refused():
    for bits in (1, 9):
        with pytest.raises(ValueError, match=f"bits: {bits} is not allowed; allowed: 2 to 8"):
            rounded(torch.ones(1, 1), bits)
    with pytest.raises(ValueError, match="rounds: 3 is not allowed; allowed: 1 to 2, its epochs"):
        schedule(0.5, 2, 3)
