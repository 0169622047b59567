"""Canaries: guesses by hand; a victim betrays them, and noise alone does not."""

import numpy as np
import pytest

import prunemia as pm
from prunemia.audit.epsilon import in_few_runs
from prunemia.errors import UsageError
from prunemia.lab.networks import Planted

EXP = pm.Experiment(model="columnfc", samples=800, shadows=1, epochs=30, stopping="last", seed=1)


def test_guesses_by_hand():
    # eight canaries: two guessed included (scores 7 and 6: one is), two not (0 and 1: right)
    included = np.array([False, False, True, True, False, True, False, True])
    planted = Planted(np.arange(8.0), included, {})
    assert planted.guesses() == (3, 4)


def test_without_noise_a_victim_betrays_its_canaries_and_more_with_training(lab):
    known, early = (lab.canaries(EXP.replace(epochs=epochs), "original", 100) for epochs in (30, 2))
    right, guesses = known.guesses()
    assert guesses == 50
    assert in_few_runs(right, guesses, 100) > max(1, in_few_runs(*early.guesses(), 100))
    assert known.privacy == {}
    # fine-tuning sees the same canaries
    right, guesses = lab.canaries(EXP, "pruned", 100).guesses()
    assert in_few_runs(right, guesses, 100) > 1


def test_noise_alone_betrays_nothing(lab):
    # So much noise that what is learned is noise: over two runs the bound stays at zero, although
    # training and fine-tuning saw the canaries.
    noisy = EXP.replace(defense="dp", strength=100, whole=True, epochs=2)
    runs = [lab.canaries(noisy.replace(seed=seed), "pruned", 100) for seed in range(2)]
    right, guesses = map(sum, zip(*(run.guesses() for run in runs), strict=True))
    assert in_few_runs(right, guesses, 200) == 0
    assert 0 < runs[0].privacy["epsilon"] < 1


@pytest.mark.parametrize(("count", "bits"), [(3, None), (2.5, None), (50, 4)])
def test_wrong_canaries_are_refused(lab, count, bits):
    allowed = "canaries: .* is not allowed; allowed: a number from 4, in networks that are not rou"
    with pytest.raises(UsageError, match=allowed):
        lab.canaries(EXP.replace(bits=bits), count=count)
