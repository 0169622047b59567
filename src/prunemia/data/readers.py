"""Features and labels that are generated, built in, or published as text."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from prunemia.data.archives import explained, tar_members, zip_members

Arrays = tuple[NDArray[Any], NDArray[Any]]
"""Features, of any numeric type, and labels 0 … C-1, as many of each."""

_GLOBAL_RANDOM_STATE = threading.Lock()


def generate_mnist1d(samples: int, seed: int | None = None) -> Arrays:
    """Generate MNIST-1D, its training and test parts pooled; without a seed as published (by 42).

    Every other ``seed``, 0 to 2³¹-1, generates other samples, by 43 + seed.

    The generator makes equally many of each of the ten classes: the next
    multiple of ten samples is returned. It seeds Python's and NumPy's global
    generators: their state is put back.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    arguments.num_samples = -(-samples // 10) * 10
    if seed is not None:
        arguments.seed += 1 + seed
    with _GLOBAL_RANDOM_STATE:
        states = random.getstate(), np.random.get_state()  # noqa: NPY002 - to be restored
        try:
            generated = make_dataset(arguments)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
    features = np.concatenate([generated["x"], generated["x_test"]])[:, np.newaxis, :]
    return features, np.concatenate([generated["y"], generated["y_test"]])


def read_digits(_: Sequence[Path]) -> Arrays:
    """Read the digits of scikit-learn: 8×8 pixels of 0 … 16, scaled to 0 … 1."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images[:, np.newaxis] / 16, digits.target


def read_label_first(paths: Sequence[Path]) -> Arrays:
    """Read a tar archive of one file with lines ``label,f1,…``; labels from 1, quoted or not."""
    with explained(paths[0]):
        (table,) = [_numbers(content) for _, content in tar_members(paths[0])]
    return table[:, 1:], table[:, 0].astype(np.int64) - 1


def read_texas(paths: Sequence[Path]) -> Arrays:
    """Read ``texas/100/feats``, lines ``f1,…``, and ``texas/100/labels``, labels from 1."""
    with explained(paths[0]):
        names = ("texas/100/feats", "texas/100/labels")
        tables = {
            name: _numbers(content) for name, content in tar_members(paths[0]) if name in names
        }
        features, labels = (tables[name] for name in names)
    return features, labels[:, 0].astype(np.int64) - 1


def read_letter(paths: Sequence[Path]) -> Arrays:
    """Read ``letter-recognition.data``, lines ``T,2,8,…``: 16 attributes of 0 … 15, to 0 … 1."""
    with explained(paths[0]):
        (text,) = [
            content.read().decode("ascii")
            for name, content in zip_members(paths[0])
            if name == "letter-recognition.data"
        ]
        letters, *attributes = zip(*(line.split(",") for line in text.split()), strict=True)
        labels = np.array([ord(letter) for letter in letters]) - ord("A")
        features = np.array(attributes, dtype=np.float32).T / 15
    return features, labels


def _numbers(content: IO[bytes]) -> NDArray[np.uint8]:
    return np.loadtxt(content, delimiter=",", quotechar='"', dtype=np.uint8, ndmin=2)
