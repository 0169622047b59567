import dataclasses

import pytest
import torch
from bumps import jobs
from torch import nn
from torch.testing import assert_close

from prunemia import models
from prunemia.training import FitSettings, TrainingError, accuracy, batches, fit


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
    fit([job], features, labels, FitSettings(epochs=1, batch_size=50))
    assert_close(job.module.state_dict(), oracle.state_dict(), rtol=1e-4, atol=1e-6)


def test_patience_and_the_epoch_kept(series):
    (job,) = jobs("columnfc", 1)
    (history,) = fit([job], *series, FitSettings(epochs=60, patience=3, batch_size=32))
    best = max(history.validation)
    assert history.best_epoch == history.validation.index(best)
    assert len(history.validation) == history.best_epoch + 3 + 1 < 60
    assert accuracy(job.module, *series, job.validation) == best


def test_selection_counts_no_warm_up_and_may_be_left_out(series):
    (job,) = jobs("columnfc", 1)
    settings = FitSettings(epochs=25, patience=1, warmup=3, batch_size=32, keeps_last=True)
    (history,) = fit([job], *series, settings)
    assert (len(history.validation), history.best_epoch) == (25, 24)
    assert accuracy(job.module, *series, job.validation) == history.validation[-1]

    settings = FitSettings(epochs=20, patience=1, warmup=12, batch_size=32)
    (history,) = fit(jobs("columnfc", 1), *series, settings)
    assert history.best_epoch >= 12
    assert len(history.loss) >= 14
    # below its floor patience does not end a training
    job = dataclasses.replace(jobs("columnfc", 1)[0], floor=1.1)
    (history,) = fit([job], *series, FitSettings(epochs=20, patience=1, batch_size=32))
    assert len(history.loss) == 20


def test_divergence_names_network_epoch_and_learning_rate(series):
    features, labels = series
    broken = features.clone()
    networks = jobs("columnfc", 2)
    only_second = networks[1].train[~torch.isin(networks[1].train, networks[0].train)]
    broken[only_second] = float("nan")
    sentence = r"network 1: the loss is nan in epoch 1 at learning rate 0\.001"
    with pytest.raises(TrainingError, match=sentence):
        fit(networks, broken, labels, FitSettings(epochs=2))


def test_a_last_batch_of_one_sample_joins_the_one_before():
    cuts = {1: [(0, 1)], 8: [(0, 4), (4, 8)], 9: [(0, 4), (4, 9)], 10: [(0, 4), (4, 8), (8, 10)]}
    assert {n: batches(n, 4) for n in cuts} == cuts


def test_bfloat16_steps_end_near_float32_ones_with_float32_weights(series):
    # bfloat16 keeps 8 bits: a relative error of 2**-8 a product, which averages out over a loss of
    # 100 samples.
    losses = {}
    for precision in ("float32", "bfloat16"):
        (job,) = jobs("cnn1d", 1)
        settings = FitSettings(epochs=3, batch_size=32, precision=precision)
        losses[precision] = fit([job], *series, settings)[0].loss
        assert {value.dtype for value in job.module.parameters()} == {torch.float32}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]
