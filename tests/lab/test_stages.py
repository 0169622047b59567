"""The table of stages: whole, and each entry says what it needs."""

import pytest

import prunemia as pm
from prunemia.lab.fingerprints import Facts
from prunemia.lab.pipeline import Pipeline, inputs_first
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step, shadow_signals
from prunemia.lab.work import Work

EXP = pm.Experiment(dataset="digits", model="columnfc", samples=300, shadows=2)
FACTS = Facts("f", 300, (1, 8, 8), 10)


def step(stage: str) -> Step:
    return Step(stage, EXP, "original" if stage == "original" else "pruned", attack="conf")


@pytest.mark.parametrize("stage", STAGES)
def test_an_entry_needs_stages_that_stand_before_it(stage):
    order = list(STAGES)
    needs = STAGES[stage].needs(step(stage))

    assert all(order.index(part.stage) < order.index(stage) for part in needs)


@pytest.mark.parametrize("stage", STAGES)
def test_an_entry_has_a_title_and_a_positive_amount_of_work_of_its_kind(stage, tmp_path):
    work = STAGES[stage].work(step(stage), FACTS)

    assert isinstance(work, Work)
    assert work.amount > 0
    assert work.kind.split()[0] == stage
    assert Pipeline(tmp_path).title(step(stage)).endswith("seed 0")


def test_titles_say_which_networks():
    titles = {s: STAGES[s].title(step(s)) for s in STAGES}

    assert titles["original"] == "training the victim"
    assert titles["fit"] == "fitting conf"
    assert STAGES["pruned"].title(Step("pruned", EXP, "pruned", (1, 2))) == (
        "pruning shadow networks 1–2"
    )
    assert STAGES["pruned"].title(Step("pruned", EXP, "pruned", (3,))) == "pruning shadow network 3"


def test_an_adversary_who_assumes_no_pruning_learns_on_originals():
    believed = EXP.replace(adversary={"pruner": "none"})
    stages = {s.stage for s in inputs_first(shadow_signals(believed, "pruned"))}

    assert stages == {"original", "signals"}
    assert {s.of for s in shadow_signals(believed, "pruned")} == {"original"}
    assert {s.exp.sparsity for s in shadow_signals(EXP.replace(adversary={"sparsity": 0.5}),
                                                   "pruned")} == {0.5}  # fmt: skip


@pytest.mark.parametrize("of", ["both", "", None])
def test_which_network_is_pruned_or_original(of):
    with pytest.raises(ValueError, match="allowed: pruned, original"):
        shadow_signals(EXP, of)
