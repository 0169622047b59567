"""Images from their published files, all parts of a data set pooled.

Readers return bytes of shape (n, channels, height, width).
"""

from __future__ import annotations

import gzip
import io
import math
import re
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from prunemia.data.archives import explained, tar_members, zip_members
from prunemia.data.readers import Arrays

TILE = re.compile(r"(\d\d)_[A-Z]+/[^./][^/]*\.tif$")
"""CHMNIST's members: ``…/01_TUMOR/name.tif``; the folder's number is the class, from 1."""
TILE_SIZE = (150, 150)
LARGEST_TILE = 1 << 20
"""Bytes of a tile's file; published ones have 75 kB."""
LARGEST_IDX = 1 << 28
"""Bytes of an IDX file once unpacked; the largest published one has 45 MiB."""


def read_cifar10(paths: Sequence[Path]) -> Arrays:
    """Read the archive of CIFAR-10, training and test batches, as torchvision does."""
    from torchvision.datasets import CIFAR10

    return _read_cifar(paths[0], CIFAR10)


def read_cifar100(paths: Sequence[Path]) -> Arrays:
    """Read the archive of CIFAR-100 with its 100 fine labels, as torchvision does."""
    from torchvision.datasets import CIFAR100

    return _read_cifar(paths[0], CIFAR100)


def _read_cifar(path: Path, reader: Any) -> Arrays:
    """Let torchvision read the batches; it verifies each of them before it unpickles it."""
    names = {name for name, _ in (*reader.train_list, *reader.test_list)} | {
        reader.meta["filename"]
    }
    with explained(path), tempfile.TemporaryDirectory() as folder:
        batches = Path(folder, reader.base_folder)
        batches.mkdir()
        for member, content in tar_members(path):
            if PurePosixPath(member).name in names:
                with (batches / PurePosixPath(member).name).open("wb") as file:
                    shutil.copyfileobj(content, file)
        parts = [reader(folder, train=train) for train in (True, False)]
    pixels = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
    return pixels, np.concatenate([part.targets for part in parts])


def read_svhn(paths: Sequence[Path]) -> Arrays:
    """Read SVHN's two cropped-digit files as torchvision does: label 10 becomes 0."""
    from torchvision.datasets import SVHN

    parts = []
    for path, part in zip(paths, ("train", "test"), strict=True):
        with explained(path):
            parts.append(SVHN(path.parent, split=part))
    return np.concatenate([part.data for part in parts]), np.concatenate(
        [part.labels for part in parts]
    )


def read_fashion_mnist(paths: Sequence[Path]) -> Arrays:
    """Read Fashion-MNIST's four files: images and labels for training, then for testing."""
    images, labels, more_images, more_labels = (_read_idx(path) for path in paths)
    return np.concatenate([images, more_images])[:, np.newaxis], np.concatenate(
        [labels, more_labels]
    )


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read bytes in IDX format.

    Its header: 0, 0, type 8, how many dimensions, and the size of each in four bytes, most
    significant first.
    """
    with explained(path), gzip.open(path) as file:
        if file.read(3) != b"\0\0\x08":
            raise ValueError("it is not in IDX format")
        dimensions = file.read(1)[0]
        shape = np.frombuffer(file.read(4 * dimensions), ">u4", count=dimensions).tolist()
        size = math.prod(shape)
        if size > LARGEST_IDX:
            raise ValueError(f"its shape is {tuple(shape)}; at most {LARGEST_IDX:,} bytes are read")
        # One byte more shows that there are more, without unpacking however many there are.
        content = file.read(size + 1)
        if len(content) != size:
            raise ValueError(f"it does not hold the {size:,} bytes that its header declares")
        return np.frombuffer(content, np.uint8).reshape(shape)


def read_chmnist(paths: Sequence[Path]) -> Arrays:
    """Read CHMNIST's tiles of 150×150 pixels, in the order of their names.

    They are reduced to 32×32 pixels (bilinear, antialiased).
    """
    with explained(paths[0]):
        tiles = {}
        for name, content in zip_members(paths[0]):
            if match := TILE.search(name):
                tiles[name] = int(match[1]) - 1, _small(content)
        ordered = [tiles[name] for name in sorted(tiles)]
        return np.stack([tile for _, tile in ordered]), np.array([label for label, _ in ordered])


def _small(content: IO[bytes]) -> NDArray[np.uint8]:
    from PIL import Image

    packed = content.read(LARGEST_TILE + 1)
    if len(packed) > LARGEST_TILE:
        raise ValueError(f"a tile has more than {LARGEST_TILE:,} bytes")
    with warnings.catch_warnings():
        # Pillow warns of an image bomb, and refuses a larger one; either is refused here.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            opened = Image.open(io.BytesIO(packed))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(str(error)) from None
    with opened as tile:
        if tile.size != TILE_SIZE:  # known before any pixel is decoded
            raise ValueError(f"a tile has {tile.size} pixels, not {TILE_SIZE}")
        pixels = tile.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(pixels).transpose(2, 0, 1)
