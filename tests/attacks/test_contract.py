"""What holds for every attack: registry, estimator, blindness to membership, refusals."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import prunemia as pm
from prunemia import attacks
from prunemia.attacks.base import Attack
from prunemia.registry import ATTACKS

NAMES = attacks.names()
LEARNED = tuple(name for name, kind in ATTACKS.items() if kind.learned)


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


def test_the_papers_nine_in_its_order():
    nine = ["conf", "xent", "mentr", "top1conf", "nn", "top3nn", "nncls", "blindmi", "samia"]
    assert list(NAMES[:9]) == nine


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(
        ValueError, match=r"attack: 'lucky' is not allowed; allowed: conf, xent, .*samia"
    ):
        attacks.get("lucky")


def test_names_and_metrics_need_no_torch():
    code = (
        "import sys, prunemia as pm; pm.attacks.names(); import prunemia.metrics; "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_clones_and_keeps_its_options_verbatim(name):
    attack = build(name)

    assert isinstance(attack, Attack)
    assert clone(attack).get_params() == attack.get_params()
    assert attack.fit(drawn()) is attack
    assert clone(attack).set_params(**attack.get_params()).get_params() == attack.get_params()
    with pytest.raises(NotFittedError):
        clone(attack).predict(drawn())


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_numbers_and_zero_is_a_member(name):
    attack = build(name).fit(drawn(seed=1))
    scores = attack.decision_function(drawn())

    assert scores.dtype == np.float64
    assert scores.shape == (60,)
    assert np.isfinite(scores).all()
    assert np.array_equal(attack.predict(drawn()), scores >= 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_targets_membership_has_no_say(name):
    attack = build(name).fit(drawn(seed=1))
    truth = drawn()
    lie = drawn(membership=~truth.membership)

    assert np.array_equal(attack.decision_function(truth), attack.decision_function(lie))
    assert np.array_equal(
        attack.decision_function(truth), attack.decision_function(truth.observed())
    )


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


@pytest.mark.parametrize("method", ["fit", "decision_function", "predict", "_observed"])
def test_what_takes_the_membership_away_cannot_be_overridden(method):
    with pytest.raises(TypeError, match=f"Rogue overrides {method}; fill _fit and _decide instead"):
        type("Rogue", (Peeping,), {method: lambda _, signals: signals.membership})


def test_nor_can_another_parent_bring_an_override():
    class Peek:
        def decision_function(self, target):
            return np.where(target.membership, 1.0, -1.0)

    with pytest.raises(TypeError, match="Rogue overrides decision_function"):
        type("Rogue", (Peek, Peeping), {})


@pytest.mark.parametrize("name", NAMES)
def test_the_hook_of_each_attack_gets_the_rows_without_membership(name):
    class Spy(attacks.get(name)):
        def _decide(self, target):
            seen.append(target)
            return super()._decide(target)

    seen, target = [], drawn(12, seed=9)
    spy = Spy(**build(name).get_params()).fit(drawn())
    spy.predict(target)
    spy.decision_function(target)

    assert len(seen) == 2
    for each in seen:
        assert type(each) is pm.Signals
        assert "membership" not in each.arrays()
        assert np.array_equal(each.posteriors, target.posteriors)
    assert target.membership is not None


def test_attention_sees_a_fitted_attacks_classes_only():
    with pytest.raises(NotFittedError):
        build("samia").attention(drawn())
    with pytest.raises(ValueError, match="target: 4 classes; allowed: 3"):
        build("samia").fit(drawn()).attention(drawn(classes=4))


@pytest.mark.parametrize("name", NAMES)
def test_numpys_global_generator_is_neither_used_nor_moved(name):
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        before = np.random.get_state()  # noqa: NPY002
        found.append(build(name).fit(drawn(seed=1)).decision_function(drawn()))
        after = np.random.get_state()  # noqa: NPY002
        assert np.array_equal(before[1], after[1])
        assert before[2:] == after[2:]

    assert np.array_equal(*found)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_fit_forgets_the_first(name):
    attack = build(name).fit(drawn(classes=5, seed=4)).fit(drawn(seed=1))
    once = build(name).fit(drawn(seed=1))

    assert np.array_equal(attack.decision_function(drawn()), once.decision_function(drawn()))


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_attack_depends_on_its_seed_alone(name):
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    before = torch.get_rng_state()
    first = build(name, seed=3).fit(drawn(seed=1)).decision_function(drawn())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    torch.manual_seed(2)
    again = build(name, seed=3).fit(drawn(seed=1)).decision_function(drawn())
    other = build(name, seed=4).fit(drawn(seed=1)).decision_function(drawn())

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_fitted_attack_can_be_copied_and_kept(name):
    attack = build(name).fit(drawn(seed=1))
    expected = attack.decision_function(drawn())

    assert np.array_equal(copy.deepcopy(attack).decision_function(drawn()), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(attack)).decision_function(drawn()), expected)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_learned_can_be_kept_as_arrays_and_taken_back(name):
    attack = build(name).fit(drawn(seed=1))
    kept = {key: np.array(value) for key, value in attack.learned().items()}
    again = build(name).restore(kept)

    assert all(value.dtype.kind in "biuf" for value in kept.values())
    assert np.array_equal(again.decision_function(drawn()), attack.decision_function(drawn()))
    assert again.learned().keys() == kept.keys()
    with pytest.raises(NotFittedError):
        build(name).learned()


def test_what_is_neither_number_nor_array_is_not_kept_silently():
    attack = Peeping().fit(drawn())
    attack.seen_ = {"a": 1}

    with pytest.raises(
        TypeError, match=r"Peeping\.seen_ is no number or array: override learned and restore"
    ):
        attack.learned()


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_judged_one_by_one_where_the_decision_is_no_set(name):
    attack = build(name).fit(drawn(seed=1))
    target = drawn(n=20)
    if attack.ranks and not ATTACKS[name].needs_references:  # those take a spread from all samples
        single = [attack.decision_function(target.subset([row]))[0] for row in range(20)]
        assert attack.decision_function(target) == pytest.approx(single, abs=1e-5)
    else:
        assert len(attack.decision_function(target.subset([0]))) == 1


@pytest.mark.parametrize("name", NAMES)
def test_two_classes_are_enough(name):
    scores = build(name).fit(drawn(classes=2, seed=1)).decision_function(drawn(classes=2))

    assert np.isfinite(scores).all()


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_class_with_one_side_alone_or_no_rows_is_no_trouble(name, side):
    # Class 0 has members alone (or others) among the shadows, class 2 no rows; the target has rows
    # of all three.
    labels = np.where(np.arange(60) % 2 == side, np.arange(60) // 2 % 2, 1)
    scores = build(name).fit(drawn(seed=1, labels=labels)).decision_function(drawn())

    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_posteriors_of_zero_and_one_are_no_trouble(name):
    others = np.array([[-9.0, 1.0], [0.0, 2.0], [80.0, 81.0]])
    sure = pm.Signals(np.eye(3), np.zeros((3, 3)), np.array([0, 2, 1]), references=others)

    assert np.isfinite(build(name).fit(drawn()).decision_function(sure)).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(
    n=st.integers(2, 40), m=st.integers(1, 30), classes=st.integers(2, 7), seed=st.integers(0, 999)
)
def test_any_shape_will_do(name, n, m, classes, seed):
    scores = build(name).fit(drawn(n, classes, seed)).decision_function(drawn(m, classes, seed + 1))

    assert scores.shape == (m,)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shadow", "sentence"),
    [
        (lambda: drawn(membership=None), "membership: None; allowed here: one bool per row"),
        (
            lambda: drawn(membership=np.ones(60, dtype=bool)),
            "60 members and 0 non-members; allowed: 1 or more of each",
        ),
        (lambda: drawn(membership=np.zeros(60, dtype=bool)), "0 members and 60 non-members"),
        (lambda: drawn(1), "1 members and 0 non-members"),
    ],
)
def test_shadows_without_both_sides_are_refused(name, shadow, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(name).fit(shadow())


@pytest.mark.parametrize("name", NAMES)
def test_a_target_of_other_classes_is_refused(name):
    with pytest.raises(ValueError, match="target: 4 classes; allowed: 3, as the shadows have"):
        build(name).fit(drawn()).predict(drawn(classes=4))


def test_only_signals_are_accepted():
    with pytest.raises(TypeError, match="shadow: ndarray; allowed: Signals"):
        build("conf").fit(np.eye(3))
    with pytest.raises(TypeError, match="target: list; allowed: Signals"):
        build("conf").fit(drawn()).predict([1, 2])


def spoilt(value):
    posteriors = np.full((4, 3), 1 / 3)
    posteriors[2, 1] = value
    return posteriors


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"posteriors": spoilt(np.nan)},
            "row 2: posterior 1 is 'nan'; allowed: 0 to 1",
        ),
        ({"posteriors": spoilt(0.5)}, "posteriors: row 2: the sum of the posteriors is 1.16667"),
        ({"posteriors": spoilt(-0.1)}, "posteriors: row 2: posterior 1 is '-0.1'"),
        ({"labels": np.array([0, 1, 2, 3])}, "labels: row 3: label is '3'; allowed: 0 to 2"),
        ({"labels": np.array([0, 1, -1, 2])}, "labels: row 2: label is '-1'"),
        (
            {"sensitivities": -np.ones((4, 3))},
            "row 0: sensitivity 0 is '-1.0'; allowed",
        ),
    ],
)
def test_bad_rows_never_reach_an_attack(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        drawn(4, **fields)


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seed": -1}, "seed: -1 is not allowed; allowed: an integer from 0"),
        ({"seed": 1.5}, "seed: 1.5 is not allowed"),
        ({"seed": True}, "seed: True is not allowed"),
        ({"recipe": "slow"}, "recipe: 'slow' is not allowed; allowed: 'fast', 'paper'"),
        ({"epochs": 0}, "epochs: 0 is not allowed; allowed: an integer from 1"),
        ({"epochs": "many"}, "epochs: 'many' is not allowed"),
        ({"progress": 1}, "progress: 1 is not allowed; allowed: True, False"),
        ({"device": "abacus"}, "device: 'abacus' is not usable here"),
    ],
)
def test_options_are_checked_before_anything_is_fitted(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(name, **options).fit(drawn())


@pytest.mark.parametrize("name", ["nn", "samia"])
def test_progress_is_shown_on_stderr_when_wanted(name, capsys):
    build(name).fit(drawn())
    silent = capsys.readouterr()
    build(name, progress=True).fit(drawn())
    shown = capsys.readouterr()

    assert silent.out + silent.err == ""
    assert shown.out == ""
    assert f"{name}, fast recipe" in shown.err


@pytest.mark.parametrize("name", LEARNED)
def test_held_back_epochs_are_chosen_without_the_target(name):
    # Few rows take ten times the usual epochs; half, one or two times that are tried.
    attack = attacks.get(name)(epochs="held-back", device="cpu")
    type(attack).usual_epochs, usual = 1, type(attack).usual_epochs
    try:
        attack.fit(drawn())
    finally:
        type(attack).usual_epochs = usual

    assert attack.epochs_ in (5, 10, 20)


def test_nothing_can_be_held_back_of_one_network():
    with pytest.raises(
        ValueError, match=r"epochs: 'held-back' needs two or more shadow networks, .*; here: 1"
    ):
        build("nn", epochs="held-back").fit(drawn(model=np.zeros(60, dtype=int)))


@pytest.mark.parametrize("name", NAMES)
def test_without_sensitivities_only_those_refuse_that_need_them(name):
    bare = drawn(sensitivities=None)
    if ATTACKS[name].needs_sensitivity:
        with pytest.raises(ValueError, match="sensitivities: None; allowed here"):
            build(name).fit(bare)
        return
    whole = build(name).fit(drawn(seed=1)).decision_function(drawn())
    assert np.array_equal(
        build(name).fit(drawn(seed=1, sensitivities=None)).decision_function(bare), whole
    )


def test_samia_that_may_not_see_sensitivities_needs_none():
    blind = build("samia", inputs=("posterior", "label"))
    scores = blind.fit(drawn(seed=1)).decision_function(drawn())
    bare = (
        clone(blind)
        .fit(drawn(seed=1, sensitivities=None))
        .decision_function(drawn(sensitivities=None))
    )

    assert np.array_equal(scores, bare)
