"""Readers of the published data sets: from verified archives, in order, to all parts, pooled."""

import gzip
import random
import re
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], NDArray[Any]]  # features of any numeric type; labels 0 … C-1, as many
TILE = re.compile(r"(\d\d)_[A-Z]+/[^./][^/]*\.tif$")  # the folder's number is the class, from 1

_GLOBAL_RANDOM_STATE = threading.Lock()


def generate_mnist1d(samples: int, seed: int | None = None) -> Arrays:
    """Generate MNIST-1D, its parts pooled, as published (by 42), or by 43 + ``seed``, 0 to 2³¹-1.

    ``samples`` are rounded up to tens (equally many per class); global generators are put back.
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
    (table,) = _tables(paths[0])
    return table[:, 1:], table[:, 0].astype(np.int64) - 1


def read_texas(paths: Sequence[Path]) -> Arrays:
    """Read ``texas/100/feats``, lines ``f1,…``, and ``texas/100/labels``, labels from 1."""
    features, labels = _tables(paths[0], "texas/100/feats", "texas/100/labels")
    return features, labels[:, 0].astype(np.int64) - 1


def _tables(path: Path, *names: str) -> list[NDArray[np.uint8]]:
    """Read the tables of bytes in a tar archive that have these names; none given: all of them."""
    with tarfile.open(path) as archive:
        members = {str(PurePosixPath(each.name)): each for each in archive if each.isreg()}
        files: Any = [archive.extractfile(members[name]) for name in names or members]
        return [pd.read_csv(file, header=None, dtype=np.uint8).to_numpy() for file in files]


def read_letter(paths: Sequence[Path]) -> Arrays:
    """Read ``letter-recognition.data``, lines ``T,2,8,…``: 16 attributes of 0 … 15, to 0 … 1."""
    with zipfile.ZipFile(paths[0]) as archive, archive.open("letter-recognition.data") as file:
        table = pd.read_csv(file, header=None)
    return table.loc[:, 1:].to_numpy(np.float32) / 15, table[0].map(ord).to_numpy() - ord("A")


def read_cifar(paths: Sequence[Path]) -> Arrays:
    """Read CIFAR-10, or CIFAR-100's fine labels, as torchvision does: verified, then unpickled."""
    from torchvision.datasets import CIFAR10, CIFAR100

    reader: Any = CIFAR100 if "cifar-100" in paths[0].name else CIFAR10
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(paths[0]) as archive:
            archive.extractall(folder, filter="data")  # refuses what would leave the folder
        parts = [reader(folder, train=train) for train in (True, False)]
    pixels = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
    return pixels, np.concatenate([part.targets for part in parts])


def read_svhn(paths: Sequence[Path]) -> Arrays:
    """Read SVHN's two cropped-digit files as torchvision does: label 10 becomes 0."""
    from torchvision.datasets import SVHN

    split = {"train": paths[0].parent, "test": paths[1].parent}
    parts = [SVHN(folder, split=part) for part, folder in split.items()]
    labels = np.concatenate([part.labels for part in parts])
    return np.concatenate([part.data for part in parts]), labels


def read_fashion_mnist(paths: Sequence[Path]) -> Arrays:
    """Read Fashion-MNIST's four files: images and labels for training, then for testing."""
    parts = []
    for content in (gzip.decompress(path.read_bytes()) for path in paths):
        # IDX: 0, 0, type 8, how many dimensions, their sizes in four bytes each, the bytes
        if content[:3] != b"\0\0\x08":
            raise ValueError("it is not in IDX format")
        shape = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
        parts.append(np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape))
    return np.concatenate(parts[::2])[:, np.newaxis], np.concatenate(parts[1::2])


def read_chmnist(paths: Sequence[Path]) -> Arrays:
    """Read CHMNIST's tiles by name, 150×150 pixels reduced to 32×32 (bilinear, antialiased)."""
    from PIL import Image

    tiles = {}
    with zipfile.ZipFile(paths[0]) as archive:
        for name in archive.namelist():
            if match := TILE.search(name):
                with archive.open(name) as content, Image.open(content) as tile:
                    small = tile.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
                tiles[name] = int(match[1]) - 1, np.asarray(small).transpose(2, 0, 1)
    labels, images = zip(*(tiles[name] for name in sorted(tiles)), strict=True)
    return np.stack(images), np.array(labels)
