import numpy as np
import pytest
from scipy import stats

from prunemia import data
from prunemia.data import DataError, Dataset, plant, split


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Give a thousand samples of four classes."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(1000, 3)).astype(np.float32)
    return Dataset("planted", features, draw.integers(0, 4, 1000), 4)


def test_canaries_are_test_samples_of_a_wrong_label(dataset):
    canaries = plant(dataset, 3, 100)
    assert len(set(canaries.samples)) == 100
    assert set(canaries.samples) <= set(split(dataset, 3, 0).test)
    assert not (canaries.labels == dataset.labels[canaries.samples]).any()
    assert set(canaries.labels) <= {0, 1, 2, 3}


def test_a_fair_coin_decides_and_every_seed_throws_its_own(dataset):
    heads = np.array([plant(dataset, seed, 100).included for seed in range(40)])
    assert stats.binomtest(int(heads.sum()), heads.size).pvalue > 0.001
    assert len(set(heads.sum(axis=1))) > 5  # a coin each, not a fixed half
    again = plant(dataset, 7, 100)
    assert np.array_equal(again.included, heads[7])


def test_too_many_canaries_are_refused(dataset):
    with pytest.raises(DataError, match=r"canaries: 224 is not allowed: .* allowed: at most 223"):
        plant(dataset, 0, 224)
    assert len(data.plant(dataset, 0, 223).samples) == 223
