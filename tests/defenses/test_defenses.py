import copy

import numpy as np
import pytest
import torch
from bumps import bumps, pruned_jobs
from torch import nn

import prunemia as pm
from prunemia import defenses
from prunemia.registry import DEFENSES
from prunemia.training import FitSettings, TrainingError, fit


@pytest.fixture(scope="module")
def series():
    """Give features and labels."""
    return bumps()


STACKED = [name for name in defenses.names() if not defenses.get(name).one_by_one]


@pytest.mark.parametrize("name", [name for name in STACKED if name != "none"])
@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
def test_a_defended_stack_trains_each_network_as_it_would_alone(name, kind, series):
    stacked, alone = pruned_jobs(kind, 3), pruned_jobs(kind, 3)
    settings = FitSettings(epochs=3, batch_size=32)
    together = fit(stacked, *series, settings, defense=defenses.get(name))
    apart = [fit([job], *series, settings, defense=defenses.get(name))[0] for job in alone]
    for a, b in zip(together, apart, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-3)
    for a, b in zip(stacked, alone, strict=True):
        for x, y in zip(
            a.module.state_dict().values(), b.module.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(x, y, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["ppb", "adv", "relaxloss", "distill", "wemem"])
def test_networks_that_stop_leave_the_others_as_they_would_be(name, series):
    settings = FitSettings(epochs=25, patience=2, batch_size=32)
    together = fit(pruned_jobs("columnfc", 4), *series, settings, defense=defenses.get(name))
    apart = [
        fit([job], *series, settings, defense=defenses.get(name))[0]
        for job in pruned_jobs("columnfc", 4)
    ]
    assert len({len(h.loss) for h in together}) > 1
    assert [len(h.loss) for h in together] == [len(h.loss) for h in apart]


GRID = [("cnn1d", m) for m in ("l1unstructured", "l1structured", "l2structured", "slim")]


@pytest.mark.parametrize("name", defenses.names())
@pytest.mark.parametrize(("kind", "method"), [*GRID, ("columnfc", "l1unstructured")])
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
        assert any(
            not torch.equal(value, old[key]) for key, value in job.module.state_dict().items()
        )
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
    assert all(
        torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True)
    )


def test_the_names_are_the_experiments():
    assert defenses.names() == tuple(DEFENSES)


def test_early_stopping_keeps_the_best_validation_loss_even_of_the_warm_up(series):
    (job,) = pruned_jobs("columnfc", 1)
    settings = FitSettings(epochs=60, patience=4, warmup=30, batch_size=32, learning_rate=5e-3)
    (history,) = fit([job], *series, settings, defense=defenses.get("earlystop"))
    best = min(history.validation_loss)
    assert history.best_epoch == history.validation_loss.index(best) < 30
    assert len(history.loss) == 31  # the warm-up's end: patience is long exhausted
    features, labels = series
    logits = job.module(features[job.validation])
    assert nn.functional.cross_entropy(logits, labels[job.validation]).item() == pytest.approx(
        best, rel=1e-5
    )


@pytest.mark.parametrize(
    ("name", "strength", "sentence"),
    [
        (
            "nothing",
            None,
            "defense: 'nothing' is not allowed; allowed: none, earlystop, ppb, adv, dp",
        ),
        ("none", 1, "strength: 1 needs a defense that has one; defense is 'none'"),
        ("earlystop", 1, "strength: 1 needs a defense that has one; defense 'earlystop' has none"),
        ("ppb", -1, "strength: -1 is not allowed: the weight λ of PPB's divergence is 0 to 1000"),
        ("dp", 0, "strength: 0 is not allowed: the noise multiplier σ of DP-SGD is 0.1 to 1000"),
        ("adv", float("nan"), "strength: nan is not allowed"),
        (
            "relaxloss",
            11,
            "strength: 11 is not allowed: the target ω",
        ),
        (
            "distill",
            0,
            "strength: 0 is not allowed: the temperature T of distillation",
        ),
        ("wemem", -1, "strength: -1 is not allowed: the slope s of the weights"),
    ],
)
def test_a_wrong_name_or_strength_gets_one_sentence(name, strength, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        defenses.get(name, strength)


def test_a_diverging_defense_names_the_way_out(series):
    features, labels = series
    with pytest.raises(
        TrainingError,
        match=r"network 0: the .*loss is .* try a smaller learning_rate, or a strength",
    ):
        fit(
            pruned_jobs("columnfc", 1),
            features * float("inf"),
            labels,
            FitSettings(epochs=3),
            defense=defenses.get("ppb", 1000),
        )


def test_the_lab_tells_naive_from_adaptive_and_keeps_the_privacy_bill(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(
        dataset="digits",
        model="columnfc",
        samples=300,
        shadows=2,
        epochs=3,
        finetune_warmup=0,
        defense="dp",
        strength=2,
    )
    naive = exp.replace(adversary=pm.Adversary(defense="none"))
    plain = exp.replace(defense="none", strength=None)

    bill = lab.pruned(exp).privacy
    assert bill == lab.pruned(exp).privacy
    assert bill["epsilon"] > 0
    assert lab.pruned(plain).privacy == {}
    assert lab.pruned(exp).sparsity == lab.pruned(plain).sparsity
    same = np.array_equal
    assert same(lab.signals(naive).shadow.posteriors, lab.signals(plain).shadow.posteriors)
    assert same(lab.signals(naive).target.posteriors, lab.signals(exp).target.posteriors)
    assert not same(lab.signals(exp).shadow.posteriors, lab.signals(plain).shadow.posteriors)


def test_a_default_strength_spelled_out_is_the_same_network(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(
        dataset="digits", model="columnfc", samples=300, shadows=1, epochs=1, defense="ppb"
    )
    lab.pruned(exp)
    stored = sum(1 for _ in tmp_path.rglob("manifest.json"))
    lab.pruned(exp.replace(strength=4))
    assert sum(1 for _ in tmp_path.rglob("manifest.json")) == stored
