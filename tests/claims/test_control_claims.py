"""Claims on fine-tuning and removing weights, from small tables of levels."""

import pandas as pd
import pytest
from made_up import RULES, answers, table

from prunemia import results
from prunemia.claims import questions
from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, OPEN, SUPPORTED, UNDECIDED
from prunemia.claims.registry import all_networks

LEAK = {0.5: 0.70, 0.7: 0.65, 0.9: 0.55}
"""Beside 0.6 of the originals and 0.65 of the dense networks."""


def leaks(table):
    return answers("Does pruning leak?", table) | answers("Mild or heavy?", table)


def test_each_effect_is_a_difference_of_levels_paired_within_a_run():
    found = leaks(table(LEAK))

    assert found["total-0.5"].by_rule["last"] == pytest.approx((0.1, 0.101, 0.102, 0.103))
    assert found["pruning-0.5"].by_rule["warm-up"] == pytest.approx((0.05, 0.051, 0.052, 0.053))
    assert found["training"].by_rule["published"] == pytest.approx([0.05] * 4)
    assert found["mild"].by_rule["last"] == pytest.approx([0.15] * 4)
    assert {len(claim.by_rule) for claim in found.values()} == {3}
    verdicts = [found[f"pruning-{sparsity}"].verdict for sparsity in (0.5, 0.9)]
    assert verdicts == [SUPPORTED, CONTRADICTED]
    assert found["mild"].comparison == "pruned to 0.5 − pruned to 0.9"
    # fine-tuning is the same at each sparsity; the paper speaks of the sum of both effects
    assert len(found) == 3 + 1 + 3 + 1
    assert found["training"].sparsity is None
    papers = {known for known, claim in found.items() if claim.paper}
    assert papers == {"total-0.5", "total-0.7", "total-0.9", "mild"}


def test_under_one_rule_a_claim_is_open_and_where_rules_differ_it_is_not_decided():
    alone = leaks(table(LEAK, rules={"warm-up": 0.0}))
    differ = leaks(table(LEAK, rules={"warm-up": 0, "published": 0, "last": -0.2}))
    assert {claim.verdict for claim in alone.values()} == {OPEN}
    assert differ["total-0.5"].verdict == UNDECIDED
    assert differ["pruning-0.5"].verdict == SUPPORTED  # the rule moves both networks alike


def test_other_pruning_methods_have_their_own_two_effects():
    slim = table({0.7: 0.5}, pruner="slim")
    dense = table({0.7: 0.65}, pruner="dense")  # the control itself prunes nothing
    found = answers("By other pruning methods?", pd.concat([table(LEAK), slim, dense]))
    assert set(found) == {"total-slim-0.7", "pruning-slim-0.7"}
    assert found["total-slim-0.7"].effect.value == pytest.approx(-0.0985)
    assert found["pruning-slim-0.7"].effect.value == pytest.approx(-0.1485)


@pytest.mark.parametrize(
    ("fit", "inside"),
    [((0.99, 0.78), True), ((0.98, 0.79), False), ((1.0, 0.77), False), ((1.0, 0.85), True)],
)
def test_a_claim_outside_of_the_papers_regime_says_so(fit, inside):
    # originals have a test accuracy of 0.8: a loss of 0.02 is still inside
    found = leaks(table(LEAK, fit=fit))
    lost = f"test accuracy {100 * (fit[1] - 0.8):+.1f} points"
    said = f"training accuracy {fit[0]:.2f}, {lost}"
    note = "" if inside else f"outside of the paper's regime: {said}"
    assert {found[known].note for known in ("total-0.9", "pruning-0.5")} == {note}
    assert found["training"].note == ""


def test_networks_are_counted_once_a_run_under_one_rule_by_one_attack(monkeypatch):
    levels = {"d": ("control_d", table(LEAK, fit=(0.9, 0.7)))}
    monkeypatch.setattr(results, "by_dataset", lambda _: levels)
    found = all_networks().set_index("network")

    leak = {"original": 0.6, "dense": 0.65}
    leak |= {"pruned 0.5": 0.7015, "pruned 0.7": 0.6515, "pruned 0.9": 0.5515}
    assert found["leak"].to_dict() == pytest.approx(leak)
    assert set(found["runs"]) == {4}
    assert found.loc["pruned 0.9", "role"] == "pruned"
    assert found.loc["pruned 0.5", ["train", "test"]].tolist() == pytest.approx([0.9, 0.7])


# Dense networks of every run: (train accuracy, test accuracy, AUC), on two straight lines.
CURVE = [("training", 0.8, 0.70, 0.62), ("training", 0.9, 0.75, 0.67), ("dense", 1.0, 0.80, 0.72)]


@pytest.fixture
def beside(monkeypatch):
    """Return the claims on a table of levels of data set "d", beside five runs of `CURVE`."""
    same = {"dataset": "d", "model": "m", "width": 8, "pruner": "l1unstructured", "sparsity": 0.5}
    same |= {"defense": "none", "stopping": "last", "attack": "", "measure": "confidence AUC"}
    columns = ["role", "train_accuracy", "test_accuracy", "value"]
    run = pd.DataFrame(CURVE, columns=columns).assign(**same, epochs=range(3))
    curve = pd.concat([run.assign(seed=seed) for seed in range(5)])

    def compared(levels=None):
        kept = {} if levels is None else {"d": ("control_d", levels)}
        monkeypatch.setattr(results, "by_dataset", lambda kind: kept if kind == "control" else {})
        return answers("At equal fit and accuracy?", curve)

    return compared


def test_pruned_networks_are_compared_with_dense_ones_as_good(beside):
    # At train accuracy 0.95 the dense networks leak 0.695, at test accuracy 0.75 they leak 0.67.
    # The pruned ones leak 0.7, 0.701, …: 0.005 more and 0.03 more; the price at equal fit is 0.75
    # − 0.775. The least leaking dense network at least as accurate is the second: 0.67, too.
    found = beside(table({0.7: 0.6}, fit=(0.95, 0.75), runs=5))

    assert found["fit-0.7"].by_rule["last"] == pytest.approx((0.005, 0.006, 0.007, 0.008, 0.009))
    assert found["fit-0.7"].verdict == NEGLIGIBLE  # within 0.01
    for claim in (found["test-0.7"], found["least-0.7"]):
        assert claim.by_rule["last"] == pytest.approx((0.03, 0.031, 0.032, 0.033, 0.034))
        assert claim.verdict == SUPPORTED
    assert found["fit-0.7"].note == "test accuracy -2.5 points"
    assert found["test-0.7"].note == ""  # equal by construction
    assert set(found["fit-0.7"].by_rule) == set(RULES)


def test_comparators_that_differ_in_sign_leave_both_open(beside):
    # At test accuracy 0.74 the curve leaks 0.66, the least leaking dense network as accurate 0.67:
    # the pruned ones leak 0.664 on average.
    found = beside(table({0.7: 0.562}, fit=(1.0, 0.74), runs=5))
    assert found["test-0.7"].effect.value == pytest.approx(0.004)
    assert found["least-0.7"].effect.value == pytest.approx(-0.006)
    assert (found["test-0.7"].verdict, found["least-0.7"].verdict) == (OPEN, OPEN)
    assert "disagree in sign" in found["test-0.7"].remark
    assert found["fit-0.7"].verdict == CONTRADICTED  # 0.664 − 0.72, whatever the other two say


def test_where_there_are_too_few_numbers_there_is_no_claim(beside):
    unfit = table({0.7: 0.6}, fit=(0.7, 0.75), runs=5)  # fits less than any on the curve
    assert set(beside(unfit)) == {"test-0.7", "least-0.7"}
    assert beside(table({0.7: 0.6}, fit=(0.95, 0.75), runs=questions.FEWEST - 1)) == {}
    assert beside(None) == {}  # no table of levels
