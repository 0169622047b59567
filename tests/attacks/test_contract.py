"""What holds for every attack: registry, estimator, blindness to membership, refusals."""

import copy
import pickle
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import prunemia as pm
from prunemia import attacks
from prunemia.attacks.base import Attack
from prunemia.registry import ATTACKS

NAMES = attacks.names()
LEARNED = tuple(name for name, kind in ATTACKS.items() if kind.learned)
every_attack = pytest.mark.parametrize("name", NAMES)


def build(name, **options):
    quick = {"epochs": 1, "device": "cpu"} if name in LEARNED else {}
    return attacks.get(name)(**(quick | options))


def drawn(n=60, classes=3, seed=0, **fields):
    draw = np.random.default_rng(seed)
    given = {
        "posteriors": draw.dirichlet(np.ones(classes), n),
        "sensitivities": draw.exponential(size=(n, classes)),
        "labels": draw.integers(0, classes, n),
        "membership": np.arange(n) % 2 == 0,
        "model": np.arange(n) // 2 % 3,
        "references": draw.normal(size=(n, 6)),
        "trained_on": np.arange(6) < 3 + np.zeros((n, 1), int),
    }
    return pm.Signals(**(given | fields))


@cache
def fitted(name):
    return build(name).fit(drawn(seed=1))


def test_attacks_are_found_by_name_the_papers_nine_first():
    nine = ["conf", "xent", "mentr", "top1conf", "nn", "top3nn", "nncls", "blindmi", "samia"]
    assert list(NAMES[:9]) == nine
    with pytest.raises(ValueError, match="attack: 'lucky' is not allowed; allowed: conf, xent"):
        attacks.get("lucky")


@every_attack
def test_it_is_an_estimator_that_scores_samples_one_by_one_without_their_membership(name):
    attack, truth = build(name), drawn()
    assert attack.fit(drawn()) is attack
    assert clone(attack).get_params() == attack.get_params() == build(name).get_params()
    for unfitted in (lambda: clone(attack).predict(drawn()), clone(attack).learned):
        with pytest.raises(NotFittedError):
            unfitted()
    scores = fitted(name).decision_function(truth)
    assert (scores.dtype, scores.shape) == (np.float64, (60,))
    assert np.isfinite(scores).all()
    assert np.array_equal(fitted(name).predict(truth), scores >= 0)
    for other in (drawn(membership=~truth.membership), truth.observed()):
        assert np.array_equal(fitted(name).decision_function(other), scores)
    if fitted(name).ranks and not ATTACKS[name].needs_references:  # else a set, or their spread
        single = [fitted(name).decision_function(truth.subset([i]))[0] for i in range(20)]
        assert scores[:20] == pytest.approx(single, abs=1e-5)


class Peeping(Attack):
    """Hands out whatever membership it can get hold of."""

    def _fit(self, shadow, membership):
        pass

    def _decide(self, target):
        self.seen_ = target.membership
        with pytest.raises(ValueError, match="membership: None"):
            target.require_membership()
        return np.zeros(len(target))


def test_an_attack_that_looks_for_the_membership_finds_none():
    attack = Peeping().fit(drawn())
    attack.predict(drawn())
    assert attack.seen_ is None
    attack.seen_ = {"a": 1}
    with pytest.raises(TypeError, match=r"Peeping\.seen_ is no number or array: override learned"):
        attack.learned()


@pytest.mark.parametrize("method", ["fit", "decision_function", "predict", "_observed"])
def test_what_takes_the_membership_away_cannot_be_overridden(method):
    peek = {method: lambda _, signals: signals.membership}
    for bases, body in (((Peeping,), peek), ((type("Peek", (), peek), Peeping), {})):
        with pytest.raises(TypeError, match=f"Rogue overrides {method}; fill _fit and _decide"):
            type("Rogue", bases, body)


@every_attack
def test_it_depends_on_no_global_generator_moves_none_and_forgets_an_earlier_fit(name):
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    states = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    again = build(name).fit(drawn(classes=5, seed=4)).fit(drawn(seed=1))
    scores = again.decision_function(drawn())

    assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])
    assert torch.get_num_threads() == threads
    assert np.array_equal(scores, fitted(name).decision_function(drawn()))
    if name in LEARNED:
        other = build(name, seed=4).fit(drawn(seed=1))
        assert not np.array_equal(scores, other.decision_function(drawn()))


@every_attack
def test_a_fitted_attack_can_be_copied_and_what_it_learned_kept_as_arrays(name):
    kept = {key: np.array(value) for key, value in fitted(name).learned().items()}
    restored = build(name).restore(kept)
    copies = copy.deepcopy(fitted(name)), pickle.loads(pickle.dumps(fitted(name))), restored
    assert all(value.dtype.kind in "biuf" for value in kept.values())
    assert restored.learned().keys() == kept.keys()
    for each in copies:
        expected = fitted(name).decision_function(drawn())
        assert np.array_equal(each.decision_function(drawn()), expected)


@every_attack
@settings(max_examples=4, deadline=None)
@given(
    n=st.integers(2, 40), m=st.integers(1, 30), classes=st.integers(2, 7), seed=st.integers(0, 999)
)
@example(n=2, m=1, classes=2, seed=0)
def test_any_shape_will_do(name, n, m, classes, seed):
    scores = build(name).fit(drawn(n, classes, seed)).decision_function(drawn(m, classes, seed + 1))
    assert scores.shape == (m,)
    assert np.isfinite(scores).all()


@every_attack
def test_one_sided_or_empty_classes_and_sure_answers_are_no_trouble(name):
    # Class 0 has members alone (or others) among the shadows, class 2 no samples; the target has
    # samples of all three.
    for side in (0, 1):
        labels = np.where(np.arange(60) % 2 == side, np.arange(60) // 2 % 2, 1)
        scores = build(name).fit(drawn(seed=1, labels=labels)).decision_function(drawn())
        assert np.isfinite(scores).all()
    others = np.array([[-9.0, 1.0], [0.0, 2.0], [80.0, 81.0]])
    sure = pm.Signals(np.eye(3), np.zeros((3, 3)), np.array([0, 2, 1]), references=others)
    assert np.isfinite(fitted(name).decision_function(sure)).all()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: build("conf").fit(drawn(membership=None)), ValueError, "membership: None; allow"),
        (lambda: build("conf").fit(drawn(membership=np.full(60, True))), ValueError, "60 members"),
        (lambda: fitted("conf").predict(drawn(classes=4)), ValueError, "4 classes; allowed: 3, as"),
        (lambda: fitted("samia").attention(drawn(classes=4)), ValueError, "4 classes; allowed: 3"),
        (lambda: build("samia").attention(drawn()), NotFittedError, "is not fitted"),
        (lambda: build("conf").fit(np.eye(3)), TypeError, "shadow: ndarray; allowed: Signals"),
        (lambda: fitted("conf").predict([1, 2]), TypeError, "target: list; allowed: Signals"),
    ],
)
def test_what_it_learns_on_and_attacks_is_checked(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("nn", {"seed": True}, "seed: True is not allowed: should be a valid integer"),
        ("samia", {"recipe": "slow"}, "recipe: 'slow' is not allowed: should be 'fast' or 'paper'"),
        ("samia", {"epochs": 0}, "epochs: 0 is not allowed: should be greater than 0"),
        ("samia", {"device": "abacus"}, "device: 'abacus' is not usable here; allowed: cpu, or"),
        ("samia", {"inputs": ()}, "inputs: .* at least 1 item"),
        ("rmia", {"a": 2}, "a: 2 is not allowed: should be less than or equal to 1"),
    ],
)
def test_options_are_checked_before_anything_is_fitted(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(name, **options).fit(drawn())


def test_numpys_numbers_are_options_and_progress_is_shown_on_stderr_when_wanted(capsys):
    assert build("nn", seed=np.int64(3), epochs=np.int64(1)).fit(drawn()).epochs_ == 1
    silent = capsys.readouterr()
    build("nn", progress=True).fit(drawn())
    shown = capsys.readouterr()
    assert silent.out + silent.err + shown.out == ""
    assert "nn, fast recipe" in shown.err


@pytest.mark.parametrize("name", [*NAMES, "samia without them"])
def test_without_sensitivities_only_those_refuse_that_need_them(name):
    options = {"inputs": ("posterior", "label")} if name.endswith("them") else {}
    attack, bare = build(name.split()[0], **options), drawn(sensitivities=None)
    if not options and ATTACKS[name].needs_sensitivity:
        with pytest.raises(ValueError, match="sensitivities: None; allowed here"):
            attack.fit(bare)
        return
    whole = attack.fit(drawn(seed=1)).decision_function(drawn())
    scores = attack.fit(drawn(seed=1, sensitivities=None)).decision_function(bare)
    assert np.array_equal(scores, whole)
