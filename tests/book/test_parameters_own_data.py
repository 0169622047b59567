"""The reader's own arrays, refused before a kernel starts."""

import numpy as np
import pytest
from minibook import PARAMETERS, write_page, write_repository

from prunemia.book import parameters
from prunemia.book.pages import Page, discover
from prunemia.errors import UsageError


@pytest.fixture
def root(tmp_path):
    return write_repository(tmp_path)


@pytest.fixture
def page(root):
    return discover(root)["first"]


@pytest.fixture
def arrays(tmp_path):
    """Write an .npz of features and labels, and return its path."""

    def written(**changes):
        fields = {"features": np.zeros((200, 8), "float32"), "labels": np.arange(200) % 2}
        np.savez(tmp_path / "rows.npz", **(fields | changes))
        return str(tmp_path / "rows.npz")

    return written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.full((200, 8), np.nan)}, "'features' holds a value in sample 0"),
        ({"labels": np.zeros(200, int)}, "'labels' has 1 different values"),
        ({"labels": np.arange(100)}, "'labels' has 100 samples"),
        ({"features": np.array(["x"] * 200)}, "'features' has shape"),
    ],
)
def test_bad_arrays_are_refused_before_a_page_runs_whatever_else_is_given(
    page, root, arrays, changes, message
):
    path = arrays(**changes)
    default = PARAMETERS.replace("mnist1d", path).replace("cnn1d", "columnfc")
    by_default = Page("d", write_page(root, "d", parameters=default))

    for where, values in (
        (page, {"dataset": path, "model": "columnfc"}),
        (by_default, {"sparsity": 0.5}),
        (by_default, {}),
    ):
        with pytest.raises(UsageError, match=f"dataset: .*{message}"):
            parameters.check(where, values)


def test_arrays_are_read_once_and_again_where_they_changed(page, arrays, monkeypatch):
    reads = []
    monkeypatch.setattr(parameters, "check_own", lambda *what: reads.append(what) or (8,))
    parameters._read_once.cache_clear()
    path = arrays()
    for _ in range(3):
        parameters.check(page, {"dataset": path, "model": "columnfc"})
    assert len(reads) == 1

    arrays(features=np.ones((200, 8), "float32"))
    parameters.check(page, {"dataset": path, "model": "columnfc"})
    assert len(reads) == 2


def test_fewer_samples_than_asked_for_are_refused(root, arrays):
    cell = 'dataset: str = "mnist1d"\nmodel: str = "columnfc"\nsamples: int = None\n'
    page = Page("p", write_page(root, "p", parameters=cell))

    with pytest.raises(UsageError, match=r"dataset: .*200"):
        parameters.check(page, {"dataset": arrays(), "samples": 500})


@pytest.mark.parametrize(
    ("shape", "model", "message"),
    [
        ((8,), "cnn1d", "'cnn1d' takes series, and .* holds features; allowed with it: columnfc$"),
        (
            (1, 40),
            "cnn2d",
            "'cnn2d' takes images, and .* holds series; allowed .*: columnfc, cnn1d$",
        ),
        ((3, 8, 8), "vgg16", "'vgg16' takes images of 32×32 or more, and .* holds 8×8"),
    ],
)
def test_a_network_that_cannot_take_the_arrays_is_refused(page, arrays, shape, model, message):
    path = arrays(features=np.random.default_rng(0).normal(size=(200, *shape)))

    with pytest.raises(UsageError, match=f"model: {message}"):
        parameters.check(page, {"dataset": path, "model": model})
