"""Data sets that are generated or built in; the split; canaries."""

import random

import numpy as np
import pytest
from scipy import stats

from prunemia import data
from prunemia.data import DataError, Dataset, plant, split


def random_dataset(samples, classes=3, seed=0):
    features = np.random.default_rng(seed).normal(size=(samples, 4)).astype(np.float32)
    return Dataset("random", features, np.arange(samples) % classes, classes)


def test_sheets_are_complete():
    sheets = data.sheets()
    assert tuple(sheets.index) == tuple(data.SOURCES)
    assert sheets.loc["location", ["rows", "features", "classes"]].tolist() == [5010, "446", 30]
    texts = sheets[["about", "used for", "source", "license", "citation", "integrity"]]
    assert texts.map(len).min().min() > 2


def test_mnist1d_is_what_is_published():
    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    assert arguments.num_samples == data.SOURCES["mnist1d"].rows
    arguments.num_samples = 500
    published = make_dataset(arguments)
    features = np.concatenate([published["x"], published["x_test"]]).astype(np.float32)
    labels = np.concatenate([published["y"], published["y_test"]])

    state, drawn = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    dataset = data.load("mnist1d", samples=500)
    assert random.getstate() == state  # the generator's own global seeds are put back
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)  # noqa: NPY002
    np.testing.assert_array_equal(dataset.features[:, 0], features, strict=True)
    np.testing.assert_array_equal(dataset.labels, labels, strict=True)
    assert (dataset.classes, dataset.shape) == (10, (1, 40))
    sizes = [data.load("mnist1d", samples=105).features for _ in range(2)]
    np.testing.assert_array_equal(*sizes)  # of any size, the same each time
    assert len(sizes[0]) == 105


def test_digits_of_which_samples_are_fixed_and_nested():
    dataset = data.load("digits")
    assert (dataset.features.shape, dataset.classes) == ((1797, 1, 8, 8), 10)
    assert (dataset.features.min(), dataset.features.max()) == (0, 1)
    for seed in (None, 7):
        large, small = (data.load("digits", samples, rows_seed=seed) for samples in (500, 200))
        np.testing.assert_array_equal(large.features[:200], small.features)
        np.testing.assert_array_equal(large.labels[:200], small.labels)
    assert data.load("digits", samples=1797).fingerprint == dataset.fingerprint


@pytest.mark.parametrize(("name", "samples"), [("mnist1d", 50), ("digits", 205)])
def test_a_seed_draws_samples_of_its_own_and_the_same_each_time(name, samples):
    def rows(seed):
        features = data.load(name, samples, rows_seed=seed).features
        assert len(features) == samples
        return {row.tobytes() for row in features}

    assert rows(3) == rows(3)
    shared = [len(rows(3) & rows(seed)) for seed in (None, 4)]
    # Of 1,797 digits 205² / 1797 = 23.4 are expected in both draws, and no sample that is generated
    assert all(10 < count < 40 for count in shared) if name == "digits" else shared == [0, 0]


def test_samples_that_there_are_not_are_refused():
    for name, samples, seed, sentence in (
        ("digits", None, 0, "rows: 'fresh' is not allowed with all 1797 samples of data set 'dig"),
        ("digits", 1798, None, "samples: 1798 of data set 'digits'; allowed: 1 to 1797"),
        ("mnist1d", 1_000_001, None, "samples: 1000001 of .*; allowed: 1 to 1000000"),
        ("nosuch", None, None, "'nosuch' is not known; allowed: mnist1d, digits"),
    ):
        with pytest.raises(DataError, match=sentence):
            data.load(name, samples, rows_seed=seed)


def test_the_fingerprint_is_of_the_contents_alone():
    dataset = random_dataset(10)
    x, y = dataset.features, dataset.labels
    assert Dataset("other", x.copy(), y.copy(), 3).fingerprint == dataset.fingerprint
    changed = x.copy()
    changed[3, 1] += 1
    contents = [(changed, y, 3), (x, y[::-1].copy(), 3), (x.reshape(10, 2, 2), y, 3), (x, y, 4)]
    others = [Dataset("random", *each) for each in contents]
    assert len({other.fingerprint for other in [dataset, *others]}) == 5


def test_parts_have_the_sizes_counted_by_hand():
    # 5010 → 2505 each; ⌈.45·2505 = 1127.25⌉ = 1128; ⌈.1818·1377 = 250.3⌉ = 251; the rest is 1126.
    # 1797 → 898 and 899; ⌈404.1⌉ = 405, ⌈.1818·493 = 89.6⌉ = 90; ⌈404.55⌉ = 405, ⌈.1818·494⌉ = 90.
    # 40 → 20; exactly 9 for testing; ⌈.1818·11 = 1.9998⌉ = 2.
    for samples, victim, shadow in (
        (5010, (1126, 251, 1128), (1126, 251, 1128)),
        (1797, (403, 90, 405), (404, 90, 405)),
        (40, (9, 2, 9), (9, 2, 9)),
    ):
        for index, expected in ((0, victim), (1, shadow), (7, shadow)):
            parts = data.split(random_dataset(samples), 0, index)
            assert (len(parts.train), len(parts.validation), len(parts.test)) == expected


def indices_of(parts):
    return [*parts.train, *parts.validation, *parts.test]


def test_victim_and_adversary_share_no_sample_and_use_all():
    victim, *shadows = (indices_of(split(random_dataset(201), 3, i)) for i in (0, 1, 2, 9))
    for shadow in shadows:
        assert sorted(victim + shadow) == list(range(201))
    assert shadows[0] != shadows[1]


def test_a_split_depends_on_data_seed_and_index_alone():
    def train(rows, seed, index):
        return tuple(data.split(random_dataset(100, seed=rows), seed, index).train.tolist())

    assert train(0, 0, 2) == train(0, 0, 2)
    assert len({train(0, 0, 1), train(0, 0, 2), train(0, 1, 1), train(1, 0, 1)}) == 4
    assert train(0, 0, 0) != tuple(sorted(train(0, 0, 0)))  # in random order


def test_data_that_cannot_be_split_are_one_sentence():
    with pytest.raises(DataError, match="'random': 20 samples are too few to split"):
        data.split(random_dataset(20), 0, 0)
    dataset = Dataset("random", np.zeros((100, 2), np.float32), np.zeros(100, np.int64), 2)
    with pytest.raises(DataError, match="training samples of network 1 are all of one class"):
        data.split(dataset, 0, 1)


def test_references_come_in_pairs_that_train_on_what_tests_the_other():
    dataset = random_dataset(201)  # the victim's half has 100: 45 to test, 10, 45 to train
    half = set(data.victims_half(dataset, 3))
    first, second = (data.split(dataset, 3, data.OWN + index) for index in (4, 5))
    assert half == set(indices_of(data.split(dataset, 3, 0))) == set(indices_of(first))
    assert set(second.train) == set(first.test)
    assert set(second.test) == set(first.train)


THOUSAND = random_dataset(1000, classes=4)


def test_canaries_are_test_samples_of_a_wrong_label_and_each_seed_throws_a_fair_coin_of_its_own():
    canaries = plant(THOUSAND, 3, 100)
    assert len(set(canaries.samples)) == 100
    assert set(canaries.samples) <= set(split(THOUSAND, 3, 0).test)
    assert not (canaries.labels == THOUSAND.labels[canaries.samples]).any()
    assert set(canaries.labels) <= {0, 1, 2, 3}
    with pytest.raises(DataError, match=r"canaries: 224 is not allowed: .* allowed: at most 223"):
        plant(THOUSAND, 0, 224)
    assert len(data.plant(THOUSAND, 0, 223).samples) == 223
    heads = np.array([plant(THOUSAND, seed, 100).included for seed in range(40)])
    assert stats.binomtest(int(heads.sum()), heads.size).pvalue > 0.001
    assert len(set(heads.sum(axis=1))) > 5  # a coin each, not a fixed half
    assert np.array_equal(plant(THOUSAND, 7, 100).included, heads[7])
