import copy
import math

import numpy as np
import pytest
import torch
from bumps import jobs, pruned_jobs
from pydantic import ValidationError
from torch.testing import assert_close

import prunemia as pm
from prunemia import defenses
from prunemia.defenses.private import DELTA
from prunemia.lab.steps import Step
from prunemia.training import FitSettings, TrainingError, fit

STACKED = [name for name in defenses.names() if not defenses.get(name).one_by_one]


def histories(name, jobs, series, one_by_one=False, **options):
    """Fit networks together, or one by one; return their histories."""
    parts = [[job] for job in jobs] if one_by_one else [jobs]
    settings = FitSettings(batch_size=32, **options)
    fits = [fit(part, *series, settings, defense=defenses.get(name)) for part in parts]
    return [history for histories in fits for history in histories]


@pytest.mark.parametrize(("name", "sparsity"), [("none", None), *((n, 0.6) for n in STACKED)])
@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
def test_a_stack_trains_each_network_as_it_would_alone(name, kind, sparsity, series):
    epochs, exact = (3, 1) if name == "none" else (2, 10)  # defenses' rounding adds up
    stacked, alone = (jobs(kind, 2, sparsity=sparsity) for _ in range(2))
    together = histories(name, stacked, series, epochs=epochs)
    apart = histories(name, alone, series, one_by_one=True, epochs=epochs)
    for a, b in zip(together, apart, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-4 * exact)
    for a, b in zip(stacked, alone, strict=True):
        states = a.module.state_dict(), b.module.state_dict()
        assert_close(*states, rtol=1e-3 * exact, atol=1e-4 * exact)


@pytest.mark.parametrize("name", ["none", "adv", "relaxloss", "distill", "wemem"])
def test_networks_that_stop_leave_the_others_as_they_would_be(name, series):
    together, apart = (
        histories(name, pruned_jobs("columnfc", 3), series, alone, epochs=20, patience=1)
        for alone in (False, True)
    )
    ends = [(len(history.loss), history.best_epoch) for history in together]
    assert len({length for length, _ in ends}) > 1
    assert ends == [(len(history.loss), history.best_epoch) for history in apart]


@pytest.mark.parametrize("name", defenses.names())
@pytest.mark.parametrize(
    ("kind", "method"),
    [("cnn1d", "l1structured"), ("cnn1d", "slim"), ("columnfc", "l1unstructured")],
)
def test_every_defense_keeps_the_sparsity_to_the_weight(name, kind, method, series):
    count = 1 if defenses.get(name).one_by_one else 2
    networks = pruned_jobs(kind, count, method=method)
    before = [copy.deepcopy(job.module.state_dict()) for job in networks]
    fit(networks, *series, FitSettings(epochs=2, batch_size=64), defense=defenses.get(name))
    for job, old in zip(networks, before, strict=True):
        for parameter, keep in job.masks.keep.items():
            zero = job.module.get_parameter(parameter) == 0
            assert bool(zero[~keep].all())
            assert torch.equal(zero, ~keep) or parameter not in job.masks.counted
        state = job.module.state_dict()
        assert any(not torch.equal(value, old[name]) for name, value in state.items())
        assert all(parameter.requires_grad for parameter in job.module.parameters())


@pytest.mark.parametrize("name", defenses.names())
def test_a_defense_repeats_itself_and_leaves_the_global_random_state(name, series):
    states = []
    for state in (1, 2):
        torch.manual_seed(state)
        (job,) = pruned_jobs("columnfc", 1)
        before = torch.get_rng_state()
        fit([job], *series, FitSettings(epochs=2), defense=defenses.get(name))
        assert torch.equal(torch.get_rng_state(), before)
        states.append(job.module.state_dict())
    assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "strength", "sentence"),
    [
        ("nothing", None, "defense: 'nothing' is not allowed; allowed: none, earlystop, ppb, adv"),
        ("dp", 0, "strength: 0 is not allowed: the noise multiplier σ of DP-SGD is 0.1 to 1000"),
    ],
)
def test_a_wrong_name_or_strength_gets_one_sentence(name, strength, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        defenses.get(name, strength)


def test_a_diverging_defense_names_the_way_out(series):
    features, labels = series
    settings, defense = FitSettings(epochs=3), defenses.get("ppb", 1000)
    sentence = r"network 0: the .*loss is .* try a smaller learning_rate, or a strength"
    with pytest.raises(TrainingError, match=sentence):
        fit(pruned_jobs("columnfc", 1), features * math.inf, labels, settings, defense=defense)


# --- in the lab ---

EXP = pm.Experiment(
    dataset="digits", model="columnfc", samples=300, shadows=2, epochs=3, finetune_warmup=0,
    defense="dp", strength=2,
)  # fmt: skip


WHOLE = EXP.replace(strength=1.5, whole=True, stopping="last", finetune_epochs=2)


@pytest.mark.parametrize("exp", [EXP, WHOLE], ids=["fine-tuning", "whole"])
def test_a_naive_adversarys_shadows_are_not_defended_and_an_adaptive_ones_are(lab, exp):
    naive = exp.replace(adversary=pm.Adversary(defense="none"))
    plain = exp.replace(defense="none", strength=None, whole=False)
    assert not naive.assumed().whole
    assert lab.pruned(plain).privacy == {}
    assert lab.pruned(exp).sparsity == lab.pruned(plain).sparsity
    mine, theirs, adaptive = (lab.signals(each) for each in (naive, plain, exp))
    assert np.array_equal(mine.shadow.posteriors, theirs.shadow.posteriors)
    assert np.array_equal(mine.target.posteriors, adaptive.target.posteriors)
    assert not np.array_equal(adaptive.shadow.posteriors, theirs.shadow.posteriors)


def test_a_default_strength_spelled_out_is_the_same_network(lab):
    default, same, other = (
        lab.key(Step("pruned", EXP.replace(defense="ppb", strength=each))) for each in (None, 4, 5)
    )
    assert default == same != other


def test_epsilon_is_the_accountants_for_the_steps_of_training_and_of_fine_tuning(lab):
    from opacus.accountants import RDPAccountant

    steps = -(-len(lab.split(WHOLE).train) // WHOLE.recipe.batch_size)
    trained, tuned = lab.original(WHOLE).privacy, lab.pruned(WHOLE).privacy
    alone = lab.pruned(WHOLE.replace(whole=False)).privacy
    quiet = lab.pruned(WHOLE.replace(whole=False, strength=0.5)).privacy
    oracle = RDPAccountant()
    # each sample enters with probability 1 / steps; less noise costs more
    bills = (trained, 1.5, 3), (tuned, 1.5, 3 + 2), (alone, 1.5, 2), (quiet, 0.5, 2)
    for bill, sigma, epochs in bills:
        oracle.history = [(sigma, 1 / steps, epochs * steps)]
        assert bill["epsilon"] == pytest.approx(oracle.get_epsilon(DELTA), rel=1e-12)
        assert bill["delta"] == DELTA == 1e-5
    assert "training and fine-tuning together" in tuned["caveat"]
    assert lab.pruned(WHOLE, 1).privacy["epsilon"] == tuned["epsilon"]  # shadows, too
    assert lab.original(WHOLE.replace(whole=False)).privacy == {}
    assert "fine-tuning alone" in alone["caveat"]


def test_what_does_not_go_with_it_is_refused():
    with pytest.raises(ValidationError, match="whole: True is not allowed with defense 'ppb'"):
        WHOLE.replace(defense="ppb", strength=None)
    with pytest.raises(ValidationError, match="standardize"):
        WHOLE.replace(standardize=True)
