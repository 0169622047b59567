import math

import pytest
import torch
from bumps import bumps, pruned_jobs

from prunemia import defenses
from prunemia.defenses.helpers import weights
from prunemia.training import FitSettings, Run, fit


def test_weights_by_hand():
    # s = ln 4: a member that an unseen network gets right weighs 1, one at 1/2 weighs 1/2, one at 0
    # weighs 1/4; their mean is 7/12.
    got = weights(torch.tensor([1.0, 0.5, 0.0]), math.log(4))
    torch.testing.assert_close(got, torch.tensor([12 / 7, 6 / 7, 3 / 7]))


def test_without_slope_it_is_no_defense():
    settings = FitSettings(epochs=3, batch_size=32)
    with_it, without = pruned_jobs("columnfc", 2), pruned_jobs("columnfc", 2)
    one = fit(with_it, *bumps(), settings, defense=defenses.get("wemem", 0))
    other = fit(without, *bumps(), settings)
    for a, b in zip(one, other, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)


def test_members_with_a_wrong_label_weigh_least():
    features, labels = bumps()
    (job,) = pruned_jobs("columnfc", 1)
    wrong = job.train[::10]
    labels = labels.clone()
    labels[wrong] = (labels[wrong] + 1) % 3
    defense = defenses.get("wemem", 2)
    settings = FitSettings(epochs=12, batch_size=32, learning_rate=3e-3)
    run = Run([job], features, labels, settings, defense)
    defense.start(run)
    others = torch.tensor(sorted(set(job.train.tolist()) - set(wrong.tolist())))
    mine = defense.weights[0]
    assert mine[wrong].mean() < mine[others].mean() / 2
    assert mine[job.train].mean().item() == pytest.approx(1, rel=1e-5)


def test_no_helper_judges_a_member_that_it_trained_on(monkeypatch):
    # Helpers that answer by memory alone would be sure of every member; held back they are not.
    from prunemia.defenses import helpers as wemem

    seen = []
    real = wemem.fit
    monkeypatch.setattr(wemem, "fit", lambda jobs, *rest: (seen.append(jobs), real(jobs, *rest)))
    asked = []
    truth = wemem._true_class

    def noted(helper, run, samples):
        asked.append((helper, samples))
        return truth(helper, run, samples)

    monkeypatch.setattr(wemem, "_true_class", noted)
    (job,) = pruned_jobs("columnfc", 1)
    defense = defenses.get("wemem")
    defense.start(Run([job], *bumps(), FitSettings(epochs=1), defense))
    assert len(seen) == len(asked) == 2
    judged = torch.cat([samples for _, samples in asked])
    assert sorted(judged.tolist()) == sorted(job.train.tolist())
    for helper, samples in asked:
        assert not set(helper.train.tolist()) & set(samples.tolist())
