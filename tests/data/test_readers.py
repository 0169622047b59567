"""The paper's data sets, read from small files in the very formats in which they are published."""

import gzip
import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from served import kept, tar_gz

from prunemia import data
from prunemia.data import DataError

GENERATOR = np.random.default_rng(0)
FASHION = [archive.file for archive in data.SOURCES["fashion_mnist"].archives]
FETCHED = [source.name for source in data.SOURCES.values() if source.archives]


def pixels(*shape):
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def lines(table):
    return "".join(",".join(map(str, row)) + "\n" for row in table).encode()


def md5(content):
    return hashlib.md5(content).hexdigest()


def assert_read(name, features, labels, rtol=1e-6):
    dataset = data.load(name, progress=False)
    assert dataset.features.dtype == np.float32
    np.testing.assert_allclose(dataset.features, features, rtol=rtol)
    np.testing.assert_array_equal(dataset.labels, labels)


def test_checksums_are_those_of_torchvision():
    from torchvision.datasets import CIFAR10, CIFAR100, SVHN, FashionMNIST

    for name, published in {
        "cifar10": [(CIFAR10.url, CIFAR10.tgz_md5)],
        "cifar100": [(CIFAR100.url, CIFAR100.tgz_md5)],
        "svhn": [SVHN.split_list[part][::2] for part in ("train", "test")],
        "fashion_mnist": [(FashionMNIST.mirrors[0] + f, md5) for f, md5 in FashionMNIST.resources],
    }.items():
        archives = [(archive.url, archive.checksum) for archive in data.SOURCES[name].archives]
        assert archives == [(url, f"md5:{md5}") for url, md5 in published]


def test_texas(publish):
    features = GENERATOR.integers(0, 2, (200, 69), dtype=np.uint8)
    labels = GENERATOR.permutation(np.arange(200) % 100 + 1)
    members = {"texas/100/labels": lines(labels[:, None]), "texas/75/feats": b"1\n"}
    members |= {"texas/100/feats": lines(features)}
    publish("texas", {"dataset_texas.tgz": tar_gz(members)}, rows=200, shape=(69,))
    assert_read("texas", features, labels - 1, rtol=0)


@pytest.mark.parametrize(
    ("name", "classes", "key"), [("cifar10", 10, "labels"), ("cifar100", 100, "fine_labels")]
)
def test_cifar(publish, monkeypatch, name, classes, key):
    """An archive of Python pickles as published, of rows of bytes and labels."""
    import torchvision

    reader = getattr(torchvision.datasets, name.upper())
    names = [batch for batch, _ in (*reader.train_list, *reader.test_list)]
    rows = pixels(len(names), classes, 3072)
    labels = [GENERATOR.permutation(classes).tolist() for _ in names]
    batches = [{"data": of, key: told} for of, told in zip(rows, labels, strict=True)]
    members = {n: pickle.dumps(b, protocol=2) for n, b in zip(names, batches, strict=True)}
    lists = [[batch, md5(content)] for batch, content in members.items()]
    monkeypatch.setattr(reader, "train_list", lists[: len(reader.train_list)])
    monkeypatch.setattr(reader, "test_list", lists[len(reader.train_list) :])
    meta = pickle.dumps({reader.meta["key"]: [f"class {i}" for i in range(classes)]}, protocol=2)
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5(meta)})
    members |= {reader.meta["filename"]: meta, "readme.html": b"text"}
    archive = tar_gz({f"{reader.base_folder}/{n}": content for n, content in members.items()})
    publish(name, {data.SOURCES[name].archives[0].file: archive}, rows=len(names) * classes)
    assert_read(name, rows.reshape(-1, 3, 32, 32) / 255, np.concatenate(labels))


@pytest.mark.parametrize(
    ("folder", "reason"),
    [("cifar-10-batches-py", "not found or corrupted"), ("..", "outside the destination")],
)
def test_a_batch_that_is_not_the_published_one_is_not_unpickled(publish, folder, reason):
    class Evil:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    names = ("data_batch_1", "batches.meta")
    batch = {f"{folder}/{name}": pickle.dumps(Evil()) for name in names}
    publish("cifar10", {"cifar-10-python.tar.gz": tar_gz(batch)}, rows=1)
    with pytest.raises(DataError, match=f"cannot be read as what was published: .* {reason}"):
        data.load("cifar10", progress=False)


def test_svhn(publish, monkeypatch):
    from torchvision.datasets import SVHN

    images, labels, files = pixels(30, 32, 32, 3), np.arange(30) % 10 + 1, {}
    for part, chosen in (("train", slice(0, 20)), ("test", slice(20, 30))):
        x, y = images[chosen].transpose(1, 2, 3, 0), labels[chosen, None].astype(np.uint8)
        scipy.io.savemat(buffer := io.BytesIO(), {"X": x, "y": y}, do_compression=True)
        files[f"{part}_32x32.mat"] = buffer.getvalue()
        url, file, _ = SVHN.split_list[part]
        monkeypatch.setitem(SVHN.split_list, part, [url, file, md5(buffer.getvalue())])
    publish("svhn", files, rows=30)
    assert_read("svhn", images.transpose(0, 3, 1, 2) / 255, labels % 10)


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


@pytest.mark.parametrize("installed", [False, True], ids=["downloaded", "of the system"])
def test_fashion_mnist(publish, server, tmp_path, installed):
    images, labels = pixels(40, 28, 28), (np.arange(40) % 10).astype(np.uint8)
    parts = [array[part] for part in (slice(30), slice(30, 40)) for array in (images, labels)]
    files = dict(zip(FASHION, map(idx, parts), strict=True))
    for file, content in files.items():
        (tmp_path / Path(file).name).write_bytes(content)
    publish("fashion_mnist", files, installed=str(tmp_path) if installed else None, rows=40)
    assert_read("fashion_mnist", images[:, None] / 255, labels)
    assert len(server.requests) == (0 if installed else 4)


BROKEN_IDX = bytes([0, 0, 13, 1, 0, 0, 0, 1, 1]), bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])


def chmnist(images):
    """Return a zip of folders 01_TUMOR … 08_EMPTY with a tile of each of ``images``, in turn."""
    kinds = ("TUMOR", "STROMA", "COMPLEX", "LYMPHO", "DEBRIS", "MUCOSA", "ADIPOSE", "EMPTY")
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("Kather_texture_2016_image_tiles_5000/", "")
        for number, image in enumerate(images):
            folder = f"Kather_texture_2016_image_tiles_5000/{number % 8 + 1:02}_{kinds[number % 8]}"
            name = f"{folder}/{number:05}_CRC-Prim-HE-03_009.tif_Row_301_Col_151.tif"
            Image.fromarray(image).save(tile := io.BytesIO(), "TIFF")
            archive.writestr(name, tile.getvalue())
            archive.writestr(f"{folder}/._{number:05}.tif", b"junk")
    return buffer.getvalue()


def test_chmnist(publish):
    colours = pixels(16, 1, 1, 3)
    images = np.broadcast_to(colours, (16, 150, 150, 3)).copy()
    images[0, :, :75] = 0  # black left half
    publish("chmnist", {"Kather_texture_2016_image_tiles_5000.zip": chmnist(images)}, rows=16)
    dataset = data.load("chmnist", progress=False)
    assert dataset.labels.tolist() == sorted(list(range(8)) * 2)  # in order of folders, then names
    order = [number for kind in range(8) for number in (kind, kind + 8)]
    flat = np.broadcast_to(colours[order].transpose(0, 3, 1, 2), (16, 3, 32, 32)) / 255
    np.testing.assert_allclose(dataset.features[1:], flat[1:], rtol=1e-6)
    assert (dataset.features[0, :, :, :15] == 0).all()
    np.testing.assert_allclose(dataset.features[0, :, :, 17:], flat[0, :, :, 17:], rtol=1e-6)


def letters(content):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("letter-recognition.data", content)
        archive.writestr("letter-recognition.names", "A,B,not,data")
    return {"letter+recognition.zip": buffer.getvalue()}


def test_letter(publish):
    drawn = np.random.default_rng(0).integers(0, 16, (26, 16))
    table = [[chr(65 + i), *row] for i, row in enumerate(drawn)]
    publish("letter", letters(lines(table)), rows=26)
    assert_read("letter", drawn / 15, range(26))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("letter", letters("A,1,2\nB,1\n")),
        ("letter", letters("A,x\n")),
        ("texas", {"dataset_texas.tgz": tar_gz({"texas/100/feats": b"0,1\n"})}),
        *(("fashion_mnist", dict.fromkeys(FASHION, gzip.compress(idx))) for idx in BROKEN_IDX),
    ],
)
def test_archives_of_something_else_are_one_sentence(publish, name, files):
    publish(name, files, rows=2)
    with pytest.raises(DataError, match=r"cannot be read as|as published"):
        data.load(name, progress=False)


@pytest.mark.parametrize("name", FETCHED)
def test_junk_is_one_sentence_and_not_kept_under_a_published_checksum(publish, data_folder, name):
    archives = data.SOURCES[name].archives
    junk, published = dict.fromkeys([a.file for a in archives], b"junk"), archives[0].checksum
    publish(name, junk, checksum=published)
    algorithm, _, _ = published.partition(":")
    with pytest.raises(DataError, match=f"its {algorithm} checksum is .* nothing was"):
        data.load(name, progress=False)
    assert kept(data_folder) == []
    publish(name, junk)
    with pytest.raises(DataError, match="cannot be read as what was published: "):
        data.load(name, progress=False)
