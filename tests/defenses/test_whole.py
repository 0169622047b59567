import pytest
from pydantic import ValidationError

import prunemia as pm
from prunemia.defenses.private import DELTA
from prunemia.experiment import explain

EXP = pm.Experiment(
    dataset="digits", model="columnfc", samples=300, shadows=2, epochs=3, finetune_epochs=2,
    defense="dp", strength=1.5, whole=True, stopping="last",
)  # fmt: skip


def refusal(**changes) -> str:
    with pytest.raises(ValidationError) as caught:
        EXP.replace(**changes)
    return explain(caught.value)


def test_one_epsilon_covers_the_steps_of_training_and_of_fine_tuning(tmp_path):
    from opacus.accountants import RDPAccountant

    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    members = len(lab.split(EXP).train)
    steps = -(-members // EXP.recipe.batch_size)
    trained, tuned = lab.original(EXP).privacy, lab.pruned(EXP).privacy
    oracle = RDPAccountant()
    oracle.history = [(1.5, 1 / steps, 3 * steps)]
    assert trained["epsilon"] == pytest.approx(oracle.get_epsilon(DELTA), rel=1e-12)
    oracle.history = [(1.5, 1 / steps, 5 * steps)]
    assert tuned["epsilon"] == pytest.approx(oracle.get_epsilon(DELTA), rel=1e-12)
    assert "training and fine-tuning together" in tuned["caveat"]
    assert lab.pruned(EXP, 1).privacy["epsilon"] == tuned["epsilon"]  # shadows, too


def test_without_it_the_original_is_trained_as_ever(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    partly = EXP.replace(whole=False)
    assert lab.original(partly).privacy == {}
    assert "fine-tuning alone" in lab.pruned(partly).privacy["caveat"]
    assert lab.pruned(partly).privacy["epsilon"] < lab.pruned(EXP).privacy["epsilon"]


def test_a_non_adaptive_adversary_trains_its_shadows_without_noise(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    naive = EXP.replace(adversary=pm.Adversary(defense="none"))
    assert not naive.assumed().whole
    plain = EXP.replace(defense="none", strength=None, whole=False)
    mine, theirs = lab.signals(naive).shadow, lab.signals(plain).shadow
    assert (mine.posteriors == theirs.posteriors).all()


def test_what_does_not_go_with_it_is_refused():
    assert refusal(defense="ppb", strength=None).startswith(
        "whole: True is not allowed with defense 'ppb'; allowed with 'dp'"
    )
    assert "standardize" in refusal(standardize=True)
