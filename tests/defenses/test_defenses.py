import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

import prunemia as pm
from prunemia import defenses, models, training
from prunemia.defenses import ppb_divergence
from prunemia.defenses.private import DELTA, MAX_GRAD_NORM
from prunemia.kinds import DEFENSES
from prunemia.pruning.masks import prune
from prunemia.training.fit import Job, Recipe, TrainingError, fit


@pytest.fixture(scope="module")
def series():
    """300 samples of 3 classes: a bump whose place is the class, in noise; shape (1, 12)."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % 3
    features = torch.randn(300, 1, 12, generator=draw) * 0.7
    features[torch.arange(300), 0, labels * 4 + 1] += 2
    return features, labels


def jobs(
    kind: str, count: int, *, method: str = "l1unstructured", sparsity: float = 0.6
) -> list[Job]:
    made = []
    for i in range(count):
        rows = torch.randperm(300, generator=torch.Generator().manual_seed(i))
        module = models.build(kind, (1, 12), 3, width=8 if kind == "cnn1d" else None, seed=i)
        masks = prune(module, method, sparsity)
        made.append(Job(f"network {i}", module, rows[:150], rows[150:200], rows[200:], i, masks))
    return made


def numpy_divergence(logits: np.ndarray) -> float:
    """Compute PPB's term row by row, from its definition."""
    half = len(logits) // 2
    total = 0.0
    for i in range(half):
        p, q = (
            np.exp(z) / np.exp(z).sum()
            for z in (sorted(logits[half + i])[::-1], sorted(logits[i])[::-1])
        )
        total += sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    return total / half if half else 0.0


# --- PPB ---


def test_ppb_by_hand():
    # Sorted, the first row's posterior is (3/4, 1/4), the second's (1/2, 1/2):
    # KL((1/2, 1/2) ‖ (3/4, 1/4)) = ½ ln(2/3) + ½ ln 2 = ½ ln(4/3). The classes' order does not
    # matter.
    logits = torch.tensor([[1.0, 3.0], [5.0, 5.0]], dtype=torch.float64).log()
    assert ppb_divergence(logits).item() == pytest.approx(0.5 * np.log(4 / 3), rel=1e-12)
    # The other way round it is KL((3/4, 1/4) ‖ (1/2, 1/2)) = ¾ ln(3/2) + ¼ ln(1/2).
    assert ppb_divergence(logits.flip(0)).item() == pytest.approx(
        0.75 * np.log(1.5) - 0.25 * np.log(2), rel=1e-12
    )


def test_ppb_pairs_the_first_half_with_the_next():
    # Rows 0 and 2, 1 and 3 are each other's permutation: nothing to align. Neighbours differ.
    a, b = [0.0, 1.0, 5.0], [2.0, 2.5, 0.0]
    logits = torch.tensor([a, b, a[::-1], b[::-1]])
    assert ppb_divergence(logits).item() == pytest.approx(0, abs=1e-6)
    assert ppb_divergence(logits[[0, 2, 1, 3]]).item() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(2, 6)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.floats(-8, 8, width=32))
    )
)
def test_ppb_equals_its_definition(logits):
    assert ppb_divergence(torch.tensor(logits)).item() == pytest.approx(
        numpy_divergence(logits), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("rows", [2, 6, 7])
def test_ppb_gradient_equals_finite_differences(rows):
    values = np.random.default_rng(rows).normal(size=(rows, 4)) * 2
    logits = torch.tensor(values, requires_grad=True)
    ppb_divergence(logits).backward()
    for i, c in np.ndindex(*values.shape):
        step = np.zeros_like(values)
        step[i, c] = 1e-6
        slope = (numpy_divergence(values + step) - numpy_divergence(values - step)) / 2e-6
        assert logits.grad[i, c].item() == pytest.approx(slope, abs=1e-8)
    assert bool((logits.grad[: rows // 2] != 0).any())
    assert bool((logits.grad[rows // 2 : rows // 2 * 2] != 0).any())


def test_ppb_leaves_an_odd_batchs_last_row_out():
    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == ppb_divergence(logits[:6]).item()
    assert bool((logits.grad[6] == 0).all())


def test_ppb_of_one_row_is_zero_with_zero_gradient():
    logits = torch.ones(1, 3, requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == 0
    assert bool((logits.grad == 0).all())


def test_ppb_with_ties_is_finite_and_zero_for_equal_rows():
    logits = torch.zeros(4, 5, requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(logits.grad, torch.zeros(4, 5))


def test_ppb_of_extreme_logits_is_finite():
    logits = torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]], requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    # KL(uniform ‖ q) with ln q = (0, −1000, −2000): −ln 3 + 3000 / 3.
    assert value.item() == pytest.approx(1000 - np.log(3))
    assert bool(logits.grad.isfinite().all())


def test_ppb_of_a_stack_is_each_networks_own():
    logits = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ppb_divergence(logits), torch.stack([ppb_divergence(z) for z in logits]))


def test_ppb_refuses_a_single_row_without_its_batch():
    with pytest.raises(ValueError, match=r"logits: shape \(3,\); allowed: \(B, C\)"):
        ppb_divergence(torch.zeros(3))


def test_ppb_lowers_the_divergence_of_the_trained_network(series):
    features, _ = series
    plain, aligned = jobs("columnfc", 1), jobs("columnfc", 1)
    fit(plain, *series, Recipe(epochs=30, patience=30, batch_size=32))
    fit(
        aligned,
        *series,
        Recipe(epochs=30, patience=30, batch_size=32),
        defense=defenses.get("ppb", 16),
    )
    before, after = (
        ppb_divergence(job.module(features[job.train])).item() for job in (*plain, *aligned)
    )
    assert after < before / 2


def test_ppb_without_weight_is_no_defense(series):
    plain, weightless = jobs("cnn1d", 2), jobs("cnn1d", 2)
    fit(plain, *series, Recipe(epochs=2, batch_size=32))
    fit(weightless, *series, Recipe(epochs=2, batch_size=32), defense=defenses.get("ppb", 0))
    for a, b in zip(plain, weightless, strict=True):
        assert all(
            torch.equal(x, y)
            for x, y in zip(a.module.parameters(), b.module.parameters(), strict=True)
        )


# --- what all have in common ---


@pytest.mark.parametrize("name", ["earlystop", "ppb", "adv"])
@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
def test_a_defended_stack_trains_each_network_as_it_would_alone(name, kind, series):
    stacked, alone = jobs(kind, 3), jobs(kind, 3)
    recipe = Recipe(epochs=3, batch_size=32)
    together = fit(stacked, *series, recipe, defense=defenses.get(name))
    apart = [fit([job], *series, recipe, defense=defenses.get(name))[0] for job in alone]
    for a, b in zip(together, apart, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-3)
    for a, b in zip(stacked, alone, strict=True):
        for x, y in zip(
            a.module.state_dict().values(), b.module.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(x, y, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["ppb", "adv"])
def test_networks_that_stop_leave_the_others_as_they_would_be(name, series):
    recipe = Recipe(epochs=25, patience=2, batch_size=32)
    together = fit(jobs("columnfc", 4), *series, recipe, defense=defenses.get(name))
    apart = [
        fit([job], *series, recipe, defense=defenses.get(name))[0] for job in jobs("columnfc", 4)
    ]
    assert len({len(h.loss) for h in together}) > 1
    assert [len(h.loss) for h in together] == [len(h.loss) for h in apart]


GRID = [("cnn1d", m) for m in ("l1unstructured", "l1structured", "l2structured", "slim")]


@pytest.mark.parametrize("name", defenses.names())
@pytest.mark.parametrize(("kind", "method"), [*GRID, ("columnfc", "l1unstructured")])
def test_every_defense_keeps_the_sparsity_to_the_weight(name, kind, method, series):
    count = 1 if defenses.get(name).one_by_one else 2
    made = jobs(kind, count, method=method)
    before = [copy.deepcopy(job.module.state_dict()) for job in made]
    fit(made, *series, Recipe(epochs=2, batch_size=64), defense=defenses.get(name))
    for job, old in zip(made, before, strict=True):
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
        (job,) = jobs("columnfc", 1)
        before = torch.get_rng_state()
        fit([job], *series, Recipe(epochs=2), defense=defenses.get(name))
        assert torch.equal(torch.get_rng_state(), before)
        states.append(job.module.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True)
    )


def test_the_names_are_the_experiments():
    assert defenses.names() == tuple(DEFENSES)


# --- early stopping ---


def test_early_stopping_keeps_the_best_validation_loss_even_of_the_warm_up(series):
    (job,) = jobs("columnfc", 1)
    recipe = Recipe(epochs=60, patience=4, warmup=30, batch_size=32, learning_rate=5e-3)
    (history,) = fit([job], *series, recipe, defense=defenses.get("earlystop"))
    best = min(history.validation_loss)
    assert history.best_epoch == history.validation_loss.index(best) < 30
    assert len(history.loss) == 31  # the warm-up's end: patience is long exhausted
    features, labels = series
    logits = job.module(features[job.validation])
    assert nn.functional.cross_entropy(logits, labels[job.validation]).item() == pytest.approx(
        best, rel=1e-5
    )


# --- adversarial regularization ---


def started(series, count: int = 1):
    defense = defenses.get("adv", 3)
    run = training.Run(jobs("columnfc", count), *series, Recipe(epochs=1), defense)
    defense.start(run)
    return defense, run


def test_the_inference_network_learns_to_tell_members_from_others(series):
    # Members are sure of class 0, non-members know nothing: told apart at sight. Guessing costs 2
    # ln 2.
    defense, _ = started(series)
    logits = torch.cat(
        [torch.tensor([8.0, 0.0, 0.0]).expand(1, 20, 3), torch.zeros(1, 20, 3)], dim=1
    )
    losses = [defense.learn(logits, torch.zeros(1, 40, dtype=torch.long)).item() for _ in range(80)]
    assert losses[0] == pytest.approx(2 * np.log(2), rel=0.2)
    assert losses[-1] < 0.1


def test_the_network_can_lower_the_inference_networks_gain(series):
    # Against a trained inference network, gradient steps on the members' logits alone fool it.
    defense, run = started(series)
    labels = torch.zeros(1, 20, dtype=torch.long)
    sure = torch.tensor([2.0, 0.0, 0.0]).expand(1, 20, 3)
    for _ in range(80):
        defense.learn(
            torch.cat([sure, torch.zeros(1, 20, 3)], dim=1), torch.cat([labels, labels], dim=1)
        )
    logits = sure.clone().requires_grad_()
    gains = []
    for _ in range(200):
        gain = nn.functional.logsigmoid(defense._guess(logits, labels)).mean()
        (slope,) = torch.autograd.grad(gain, logits)
        logits = (logits - 50 * slope).detach().requires_grad_()
        gains.append(gain.item())
    assert gains[-1] < gains[0] - 1
    penalty = defense.penalty(run, run.features[run.train[:, :20]], labels, logits)
    assert penalty.shape == (1,)
    assert bool((torch.autograd.grad(penalty.sum(), logits)[0] != 0).any())


def test_a_penalty_leaves_the_network_in_training_mode_and_its_statistics_alone(series):
    defense = defenses.get("adv", 3)
    run = training.Run(jobs("cnn1d", 2), *series, Recipe(epochs=1), defense)
    defense.start(run)
    run.networks.train(True)
    before = {name: value.clone() for name, value in run.networks.buffers.items()}
    rows = run.train[:, :16]
    logits = torch.zeros(2, 16, 3, requires_grad=True)
    defense.penalty(run, run.features[rows], run.labels[rows], logits)
    assert run.networks.training
    assert all(torch.equal(value, run.networks.buffers[name]) for name, value in before.items())


def test_adversarial_regularization_closes_the_gap_between_members_and_others(series):
    features, labels = series

    def gap(job):
        confidence = job.module(features).softmax(dim=1)[torch.arange(300), labels]
        return (confidence[job.train].mean() - confidence[job.test].mean()).item()

    plain, defended = jobs("columnfc", 1, sparsity=0.3), jobs("columnfc", 1, sparsity=0.3)
    recipe = Recipe(epochs=60, patience=60, warmup=59, batch_size=32)
    fit(plain, *series, recipe)
    fit(defended, *series, recipe, defense=defenses.get("adv", 10))
    assert gap(*defended) < gap(*plain)


# --- DP-SGD ---


def test_epsilon_is_the_accountants(series):
    from opacus.accountants import RDPAccountant

    (job,) = jobs("columnfc", 1)
    (history,) = fit(
        [job], *series, Recipe(epochs=4, batch_size=40), defense=defenses.get("dp", 1.5)
    )
    # 150 rows in batches of 40: 4 an epoch, so each row enters with probability 1/4; 4 epochs, 16
    # steps.
    oracle = RDPAccountant()
    oracle.history = [(1.5, 1 / 4, 16)]
    assert history.guarantee["epsilon"] == pytest.approx(oracle.get_epsilon(DELTA), rel=1e-12)
    assert history.guarantee["delta"] == DELTA == 1e-5
    assert "fine-tuning alone" in history.guarantee["caveat"]


def test_more_noise_costs_less_epsilon(series):
    spent = [
        fit(jobs("columnfc", 1), *series, Recipe(epochs=1), defense=defenses.get("dp", sigma))[
            0
        ].guarantee["epsilon"]
        for sigma in (0.5, 1, 4)
    ]
    assert spent[0] > spent[1] > spent[2] > 0


def test_clipping_is_per_example(series, monkeypatch):
    # One row with a huge gradient: clipped alone, it moves the sum by at most MAX_GRAD_NORM;
    # clipped as a batch, it would scale all others down. The oracle clips each row's own autograd
    # gradient; no noise, plain sums.
    from opacus.optimizers import DPOptimizer

    features, labels = (part.clone() for part in series)
    (job,) = jobs("columnfc", 1)
    features[job.train[0]] *= 1e4
    for layer in job.module:
        if isinstance(layer, models.Dropout):
            layer.p = 0.0
    silent = lambda self: [setattr(p, "grad", p.summed_grad.clone()) for p in self.params]  # noqa: E731
    monkeypatch.setattr(DPOptimizer, "add_noise", silent)
    oracle = copy.deepcopy(job.module)
    defense = defenses.get("dp")
    run = training.Run(
        [job], features, labels, Recipe(epochs=1, batch_size=200, weight_decay=0), defense
    )
    defense.start(run)
    run.networks.train(True)
    run._step(features[job.train][None], labels[job.train][None])
    got = [p.summed_grad for p in job.module.parameters()]

    expected = [torch.zeros_like(p) for p in oracle.parameters()]
    norms = []
    for row in job.train:
        loss = nn.functional.cross_entropy(oracle(features[row][None]), labels[row][None])
        slopes = torch.autograd.grad(loss, list(oracle.parameters()))
        norms.append(torch.stack([s.norm() for s in slopes]).norm().item())
        for total, slope in zip(expected, slopes, strict=True):
            total += slope * min(1.0, MAX_GRAD_NORM / norms[-1])
    assert norms[0] > 1000 * np.median(norms)
    for x, y in zip(got, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


def test_batches_are_poisson_samples(series):
    defense = defenses.get("dp")
    run = training.Run(jobs("columnfc", 1), *series, Recipe(epochs=1, batch_size=30), defense)
    defense.start(run)
    drawn = [batch for _ in range(200) for batch in defense.batches(run)]
    sizes = np.array([batch.shape[1] for batch in drawn])
    # 1,000 batches of Binomial(150, 1/5): mean 30, variance 24; five standard errors either side.
    assert len(drawn) == 1000
    assert abs(sizes.mean() - 30) < 5 * (24 / 1000) ** 0.5
    assert abs(sizes.var() - 24) < 5 * 24 * (2 / 1000) ** 0.5
    assert all(len(batch[0].unique()) == batch.shape[1] for batch in drawn[:20])
    assert bool(torch.isin(torch.cat([b[0] for b in drawn]), run.train).all())


def test_an_empty_batch_is_a_step_of_noise(series):
    for kind in ("columnfc", "cnn1d"):
        (job,) = jobs(kind, 1)
        features, labels = series
        defense = defenses.get("dp")
        run = training.Run([job], features, labels, Recipe(epochs=1), defense)
        defense.start(run)
        run.networks.train(True)
        before = copy.deepcopy(job.module.state_dict())
        empty = run.train[:, :0]
        assert run._step(features[empty], labels[empty]).item() == 0
        after = job.module.state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)
        assert all(bool(value.isfinite().all()) for value in after.values())


def test_dp_freezes_batch_normalization(series):
    (job,) = jobs("cnn1d", 1)
    before = copy.deepcopy(job.module.state_dict())
    fit([job], *series, Recipe(epochs=2, batch_size=64), defense=defenses.get("dp"))
    after = job.module.state_dict()
    for place, layer in enumerate(job.module):
        if isinstance(layer, nn.BatchNorm1d):
            assert all(
                torch.equal(before[n], after[n]) for n in before if n.startswith(f"{place}.")
            )
    assert not torch.equal(before["0.weight"], after["0.weight"])


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            nn.BatchNorm1d(1, track_running_stats=False),
            r"network 0: defense 'dp' cannot take layer '0': .* by the batch",
        ),
        (
            nn.InstanceNorm1d(1, affine=True, track_running_stats=True),
            "network 0: defense 'dp' cannot take this network",
        ),
    ],
)
def test_dp_refuses_a_network_whose_normalization_cannot_be_frozen(layer, sentence, series):
    (job,) = jobs("columnfc", 1)
    job = Job(job.name, nn.Sequential(layer, *job.module), job.train, job.validation, job.test, 0)
    with pytest.raises(TrainingError, match=sentence):
        fit([job], *series, Recipe(epochs=1), defense=defenses.get("dp"))


def test_dp_takes_one_network_at_a_time(series):
    with pytest.raises(ValueError, match="2 networks of a defense that takes one at a time"):
        fit(jobs("columnfc", 2), *series, Recipe(epochs=1), defense=defenses.get("dp"))


# --- refusals ---


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
            jobs("columnfc", 1),
            features * float("inf"),
            labels,
            Recipe(epochs=3),
            defense=defenses.get("ppb", 1000),
        )


# --- through the lab ---


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
