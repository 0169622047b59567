import pandas as pd

import prunemia as pm
from prunemia.book import control_page
from prunemia.claims import Agreement, over_runs

UP, DOWN = [0.05, 0.06, 0.05], [-0.05, -0.06, -0.05]


def agreement(text, *by_rule):
    rules = ("warm-up", "published", "last")
    claims = [over_runs(text, "difference", values) for values in by_rule]
    return Agreement(text, dict(zip(rules, claims, strict=True)))


def test_verdicts_over_stopping_rules_are_one_sentence():
    said = control_page.verdicts_said(
        [
            agreement("The pruned network leaks more", UP, UP, UP),
            agreement("Fine-tuning raises the leak", UP, DOWN, UP),
            agreement("Pruning raises the leak", DOWN, DOWN, [0.1, -0.1, 0.0]),
        ]
    )

    assert said == (
        "the claim that the pruned network leaks more is supported, "
        "the claim that fine-tuning raises the leak depends on the rule, "
        "and the claim that pruning raises the leak is left undecided"
    )


def test_verdicts_that_are_the_same_are_said_once():
    same = [agreement(text, UP, DOWN, UP) for text in ("One leaks", "Two leaks", "Three leaks")]

    assert control_page.verdicts_said(same) == "all 3 claims depend on the rule"


def test_the_strongest_attack_is_named_once():
    # mentr finds more than conf on the seeds that choose, so the others test it.
    rows = [
        {
            "attack": attack, "measure": "accuracy", "label": -1, "seed": seed, "effect": effect,
            "pruned": {"conf": 0.6, "mentr": 0.7}[attack], "value": value + seed / 1000,
        }
        for attack in ("conf", "mentr")
        for seed in range(6)
        for effect, value in (("total", 0.0), ("training", 0.05), ("pruning", -0.05))
    ]  # fmt: skip
    name, said = control_page.strongest_said([pm.Experiment(samples=600)], pd.DataFrame(rows))

    assert name == "mentr"
    assert said.startswith("training raises its accuracy by 0.054 [")
    assert ", and pruning lowers its accuracy by 0.046 [" in said
