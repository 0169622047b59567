"""Pooling to as many places as there are: the same answers and gradients, for nothing."""

import pytest
import torch
from torch import nn

from prunemia.models import Pool


@pytest.mark.parametrize("length", [4, 5, 6, 20])
def test_it_is_adaptive_pooling_bit_for_bit(length):
    x = torch.randn(3, 2, length, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mine, torchs = Pool(5)(x), nn.AdaptiveAvgPool1d(5)(x)

    assert torch.equal(mine, torchs)
    of = [torch.autograd.grad((y**2).sum(), x)[0] for y in (mine, torchs)]
    assert torch.equal(*of)
    assert (mine is x) == (length == 5)
