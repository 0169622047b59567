"""What the attack pages say, in each of its cases."""

import numpy as np
import pandas as pd
import pytest

import prunemia as pm
from prunemia.book import attack_page
from prunemia.lab import AttackResult
from prunemia.metrics import Estimate, evaluate

MEMBERSHIP = np.array([True, True, False, False])


def result(predictions, membership=MEMBERSHIP):
    taken = np.array(predictions, dtype=bool)
    scores = np.where(taken, 1.0, -1.0)
    return AttackResult(scores, taken, membership, evaluate(membership, scores, taken))


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (Estimate(0.03, 0.01, 0.05), "raises its accuracy by 0.030 [0.010, 0.050]"),
        (Estimate(-0.048, -0.06, -0.03), "lowers its accuracy by 0.048 [0.030, 0.060]"),
        (
            Estimate(0.01, -0.01, 0.03),
            "has an undecided effect on its accuracy (difference 0.010 [-0.010, 0.030])",
        ),
        (Estimate.missing("why"), "changes its accuracy by an amount that cannot be measured here"),
    ],
)
def test_a_change_is_said_with_a_positive_amount_and_the_right_verb(gain, said):
    assert attack_page.change(gain) == said


def few(n, ranks=True):
    membership = np.arange(2 * n) < n
    scores = -np.arange(2.0 * n)
    return attack_page.few_alarms(evaluate(membership, scores, membership, ranks=ranks))


def test_few_alarms_are_said_where_they_can_be_measured():
    assert few(4, ranks=False).startswith("It labels a whole set")
    assert few(5) == (
        "With only 5 non-members, false-positive rates of 1 % and 5 % cannot be measured."
    )
    assert few(50).startswith("On the pruned network, it finds 100.0 % [")
    assert few(50).endswith("; 50 non-members are too few to measure a rate of 1 %.")
    assert few(200).startswith("On the pruned network, it finds 100.0 % [")
    assert "] of the members at a false-positive rate of 1 %, and 100.0 % [" in few(200)


@pytest.mark.parametrize(
    ("low", "said"),
    [
        ([0.4, 0.3], "None of 2 classes has an interval that lies above chance level"),
        ([0.6, 0.3], "1 of 2 classes has an interval that lies above chance level"),
        ([0.6, 0.7], "2 of 2 classes have an interval that lies above chance level"),
        ([0.6, np.nan], "1 of 1 class has an interval that lies above chance level"),
        ([np.nan, np.nan], "No class has both members and non-members"),
    ],
)
def test_leaking_classes_are_counted_among_those_that_can_be_measured(low, said):
    table = pd.DataFrame({"accuracy": low, "low": low})

    assert attack_page.leaking(table).startswith(said)


@pytest.mark.parametrize(
    ("taken", "end"),
    [(1, "all are non-members"), (50, "of the samples members"), (99, "all are members")],
)
def test_a_share_near_none_or_all_is_called_a_collapse(taken, end):
    said = attack_page.share_taken(np.arange(100) < taken)

    assert said.startswith(f"calls {taken:.1f} % of the samples members")
    assert said.endswith(end)


def test_right_and_wrong_answers_are_told_apart():
    # Labels 0; the network says 0 to the first and the third: a member and a non-member.
    posteriors = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9]])
    signals = pm.Signals(posteriors, np.zeros((4, 2)), np.zeros(4, dtype=int))

    table = attack_page.by_answer(result([True, False, True, False]), signals)

    assert table.loc["right"].to_list() == [1, 1, 1.0, 1.0]
    assert table.loc["wrong"].to_list() == [1, 1, 0.0, 0.0]


def test_no_wrong_answer_is_no_share():
    posteriors = np.tile([0.9, 0.1], (4, 1))
    signals = pm.Signals(posteriors, np.zeros((4, 2)), np.zeros(4, dtype=int))

    table = attack_page.by_answer(result([True, True, True, False]), signals)

    assert table.loc["wrong", ["members", "non-members"]].to_list() == [0, 0]
    assert table.loc["wrong", ["members found", "false alarms"]].isna().all()
    assert table.loc["right", "false alarms"] == 0.5


def test_what_less_costs_is_said():
    membership = np.arange(400) < 200
    whole, half = result(membership, membership), result(np.zeros(400), membership)
    said = attack_page.cost(whole, half)
    assert said == "the accuracy goes from 1.000 to 0.500"


def test_few_classes_without_a_leak_are_named():
    table = pd.DataFrame({"accuracy": [0.6] * 3, "low": [0.55, 0.45, 0.6]}, index=[4, 7, 9])
    assert attack_page.leaking(table).endswith("; the exception is class 7")


def test_the_most_needed_input_is_the_one_whose_loss_is_largest():
    membership = np.arange(400) < 200
    guess = np.arange(400) % 2 == 0
    whole, half = result(membership, membership), result(guess, membership)

    said = attack_page.most_needed(whole, {"label": whole, "posterior": half})
    assert said.startswith("leaving out the posterior costs the most accuracy: 0.500 [")
    none = attack_page.most_needed(half, {"label": half})
    assert none.startswith("leaving out a single input costs no measurable accuracy")


def test_the_highest_is_named_or_said_to_be_missing():
    table = pd.DataFrame({"attack": ["conf", "blindmi"], "t": [0.1, np.nan]})
    table = table.assign(t_low=[0.05, np.nan], t_high=[0.2, np.nan])

    assert attack_page.highest(table, "t") == "conf, with 0.100 [0.050, 0.200]"
    both = pd.concat([table, table.assign(attack="samia", t=0.3, t_low=0.2, t_high=0.4)[:1]])
    assert attack_page.highest(both, "t").startswith("samia")
    assert attack_page.highest(both, "t", 1).startswith("conf")
    assert attack_page.highest(both, "t", 2).startswith("none that could be measured")
    assert attack_page.highest(table[1:], "t").startswith("none that could be measured")


def test_a_page_is_told_the_paired_change(monkeypatch):
    said = {}
    monkeypatch.setattr(attack_page, "say", lambda **values: said.update(values))
    posteriors = np.tile([0.9, 0.1], (400, 1))
    target = pm.Signals(posteriors, None, np.zeros(400, dtype=int))
    membership = np.arange(400) < 200
    none = result(np.zeros(400), membership)
    both = {"original": none, "pruned": result(membership, membership)}

    attack_page.attack_page(both, target)

    assert said["accuracy"].value == 1
    assert said["accuracy_original"].value == 0.5
    assert said["change"].startswith("raises its accuracy by 0.500 [")
    assert said["leaking"].startswith("1 of 1 class has an interval")
    assert said["answers"] == (
        "The attack accuses 100 % of the members and 0 % of the non-members where the network is "
        "right, and 0 of 0 members and 0 of 0 non-members where the network is wrong"
    )
    assert "few_alarms" in said
    assert list(attack_page.class_tables(both, target.labels)) == ["original", "pruned"]
