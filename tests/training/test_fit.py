import dataclasses

import pytest
import torch
from torch import nn

from prunemia import models
from prunemia.pruning.masks import prune
from prunemia.training.fit import Job, Recipe, TrainingError, accuracy, batches, fit
from prunemia.training.stacking import Alone, gather, stackable


@pytest.fixture(scope="module")
def series():
    """300 samples of 3 classes: a bump whose place is the class, in noise; shape (1, 12)."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % 3
    features = torch.randn(300, 1, 12, generator=draw) * 0.7
    features[torch.arange(300), 0, labels * 4 + 1] += 2
    return features, labels


def jobs(kind: str, count: int, *, sparsity: float | None = None, seed: int = 0) -> list[Job]:
    made = []
    for i in range(count):
        rows = torch.randperm(300, generator=torch.Generator().manual_seed(i))
        module = models.build(kind, (1, 12), 3, width=8 if kind == "cnn1d" else None, seed=seed + i)
        masks = prune(module, "l1unstructured", sparsity) if sparsity else None
        made.append(
            Job(f"network {i}", module, rows[:150], rows[150:200], rows[200:], seed + i, masks)
        )
    return made


@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
@pytest.mark.parametrize("sparsity", [None, 0.6])
def test_a_stack_trains_each_network_as_it_would_alone(kind, sparsity, series):
    stacked, alone = jobs(kind, 4, sparsity=sparsity), jobs(kind, 4, sparsity=sparsity)
    recipe = Recipe(epochs=3, batch_size=32)

    together = fit(stacked, *series, recipe)
    apart = [fit([job], *series, recipe)[0] for job in alone]

    for a, b in zip(together, apart, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-4)
    for a, b in zip(stacked, alone, strict=True):
        for (name, x), y in zip(
            a.module.state_dict().items(), b.module.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4, msg=name)


def test_a_stack_equals_the_plain_module_trained_by_plain_torch(series):
    # The oracle: the same batches, Adam, weight decay and no dropout, written with torch alone.
    features, labels = series
    (job,) = jobs("cnn1d", 1)
    oracle = models.build("cnn1d", (1, 12), 3, width=8, seed=0)
    adam = torch.optim.Adam(oracle.parameters(), lr=1e-3, weight_decay=5e-4)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(job.seed))
    for batch in job.train[order].split(50):
        adam.zero_grad()
        nn.functional.cross_entropy(oracle(features[batch]), labels[batch]).backward()
        adam.step()

    fit([job], features, labels, Recipe(epochs=1, batch_size=50))

    for x, y in zip(job.module.state_dict().values(), oracle.state_dict().values(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)


def test_networks_that_stop_early_leave_the_others_as_they_would_be(series):
    # Patience 2 ends these networks at different epochs: the stack shrinks on the way.
    recipe = Recipe(epochs=25, patience=2, batch_size=32)
    together = fit(jobs("columnfc", 5), *series, recipe)
    apart = [fit([job], *series, recipe)[0] for job in jobs("columnfc", 5)]

    assert len({len(h.loss) for h in together}) > 1
    assert [h.best_epoch for h in together] == [h.best_epoch for h in apart]
    assert [len(h.loss) for h in together] == [len(h.loss) for h in apart]


def test_patience_and_the_epoch_kept(series):
    history = fit(jobs("columnfc", 1), *series, Recipe(epochs=60, patience=3, batch_size=32))[0]

    best = max(history.validation)
    assert history.best_epoch == history.validation.index(best)
    assert len(history.validation) == history.best_epoch + 3 + 1 < 60


def test_the_kept_network_is_the_best_epochs(series):
    (job,) = jobs("columnfc", 1)
    history = fit([job], *series, Recipe(epochs=60, patience=3, batch_size=32))[0]

    assert accuracy(job.module, *series, job.validation) == history.validation[history.best_epoch]


def test_no_epoch_of_the_warm_up_is_kept_or_counted(series):
    history = fit(
        jobs("columnfc", 1), *series, Recipe(epochs=20, patience=1, warmup=12, batch_size=32)
    )[0]

    assert history.best_epoch >= 12
    assert len(history.loss) >= 14


def test_patience_does_not_end_a_training_below_its_floor(series):
    job = dataclasses.replace(jobs("columnfc", 1)[0], floor=1.1)

    history = fit([job], *series, Recipe(epochs=30, patience=1, batch_size=32))[0]

    assert len(history.loss) == 30


def test_masked_weights_stay_zero(series):
    for job in (made := jobs("cnn1d", 3, sparsity=0.8)):
        assert job.masks is not None
    before = [job.masks.sparsity for job in made]
    fit(made, *series, Recipe(epochs=2, batch_size=32))

    for job, sparsity in zip(made, before, strict=True):
        zeros = sum(int((job.module.get_parameter(n) == 0).sum()) for n in job.masks.keep)
        entries = sum(job.module.get_parameter(n).numel() for n in job.masks.keep)
        assert zeros / entries == sparsity


def test_divergence_names_network_epoch_and_learning_rate(series):
    features, labels = series
    broken = features.clone()
    made = jobs("columnfc", 2)
    only_second = made[1].train[~torch.isin(made[1].train, made[0].train)]
    broken[only_second] = float("nan")

    with pytest.raises(
        TrainingError, match=r"network 1: the loss is nan in epoch 1 at learning rate 0\.001"
    ):
        fit(made, broken, labels, Recipe(epochs=2))


def test_the_global_random_state_is_neither_used_nor_touched(series):
    runs = []
    for state in (1, 2):
        torch.manual_seed(state)
        (job,) = jobs("columnfc", 1)
        before = torch.get_rng_state()
        fit([job], *series, Recipe(epochs=2))
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(job.module.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(runs[0].values(), runs[1].values(), strict=True))


def test_a_last_batch_of_one_row_joins_the_one_before():
    assert batches(9, 4) == [(0, 4), (4, 9)]
    assert batches(8, 4) == [(0, 4), (4, 8)]
    assert batches(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert batches(1, 4) == [(0, 1)]


def test_other_modules_train_alone(series):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(12, 3)

        def forward(self, x):
            return self.head(x.flatten(1))

    assert not stackable(Own())
    generator = torch.Generator()
    assert isinstance(gather([Own()], [generator]), Alone)
    with pytest.raises(ValueError, match="Own cannot be stacked"):
        gather([Own(), Own()], [generator, generator])
    template = jobs("columnfc", 1)[0]
    job = dataclasses.replace(template, module=Own())
    history = fit([job], *series, Recipe(epochs=40, learning_rate=1e-2, batch_size=32))[0]
    assert history.validation[history.best_epoch] > 0.8


@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
def test_bfloat16_steps_end_near_float32_ones_with_float32_weights(kind, series):
    # bfloat16 keeps 8 bits: a relative error of 2**-8 a product, which averages out over a loss of
    # 100 rows.
    losses = {}
    for precision in ("float32", "bfloat16"):
        (job,) = jobs(kind, 1)
        losses[precision] = fit(
            [job], *series, Recipe(epochs=3, batch_size=32, precision=precision)
        )[0].loss
        assert {value.dtype for value in job.module.parameters()} == {torch.float32}

    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]
