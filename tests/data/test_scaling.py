"""Standardized features, and the warning that asks for them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.data import ScaleWarning, standardized


def test_standardized_by_the_training_samples_counted_by_hand() -> None:
    # Training samples 0 and 2: means 2 and 7, deviations 1 and 0.
    features = np.array([[1, 7], [5, 9], [3, 7]], np.float32)
    scaled = standardized(features, [0, 2])
    assert scaled.tolist() == [[-1, 0], [3, 2], [1, 0]]
    assert scaled.dtype == np.float32


def test_training_samples_have_mean_0_and_deviation_1_and_the_others_not() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(1000, 50, (40, 2, 3)).astype(np.float32)
    features[20:] += 100
    scaled = standardized(features, np.arange(20))
    np.testing.assert_allclose(scaled[:20].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[:20].std(axis=0), 1, rtol=1e-5)
    assert scaled[20:].mean() > 1


def saved(path: Path, features: np.ndarray) -> Path:
    np.savez(path, features=features, labels=np.arange(len(features)))
    return path


def test_features_that_are_not_on_one_scale_bring_one_warning(tmp_path: Path) -> None:
    path = saved(tmp_path / "own.npz", np.array([[0, 5, 3], [1, 5, 104], [0.5, 5, 3]]))
    # The ranges are 1, 0 (constant, not counted) and 101.
    with pytest.warns(ScaleWarning, match="set standardize=True in the Experiment") as caught:
        data.load(path)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.check_own(saved(path, np.tile([[0, 0], [1, 200]], (40, 1))))


def test_who_standardizes_is_not_warned(tmp_path: Path) -> None:
    path = saved(tmp_path / "own.npz", np.tile([[0, 0], [1, 200]], (40, 1)))
    lab = pm.Lab(store=tmp_path / "store", progress=False)
    exp = pm.Experiment(dataset=str(path), model="columnfc", standardize=True)
    assert len(lab.dataset(exp)) == 80  # pytest makes an error of a warning


@pytest.mark.parametrize(
    "features",
    [
        np.array([[0, 3], [1, 103], [0.5, 3]]),  # a ratio of 100
        np.eye(20_000, 2),  # rare binary features
        np.ones((3, 2)),  # all constant
        np.array([[[[0]], [[0]], [[0]]], [[[1]], [[1]], [[1000]]]]),  # images
        np.array([[-3e38, 0], [3e38, 6e38 / 10]]),  # beyond float32
    ],
)
def test_features_on_one_scale_bring_none(tmp_path: Path, features: np.ndarray) -> None:
    data.load(saved(tmp_path / "own.npz", features))
