import math

import pytest

from prunemia.claims import MARGIN, over_runs, words
from prunemia.metrics import Estimate

UP, DOWN = Estimate(0.05, 0.03, 0.07), Estimate(-0.05, -0.07, -0.03)
OPEN, SMALL = Estimate(0.01, -0.02, 0.04), Estimate(0.001, -0.002, 0.004)
ALONE = Estimate(0.3, note="one seed: no interval")
MISSING = Estimate.missing("not measurable with every seed")

STEADY = [0.5, 0.501, 0.502]
SUPPORTED = over_runs("it grows", "points", STEADY)
CONTRADICTED = over_runs("it shrinks", "points", [-x for x in STEADY])
NEGLIGIBLE = over_runs("it stays", "points", [-0.001, 0.0, 0.001], MARGIN)
UNDECIDED = over_runs("who knows", "points", [-0.2, 0.5, 0.6])


@pytest.mark.parametrize(
    ("effect", "margin", "said"),
    [
        (UP, 0, "raises the leak by 0.050 [0.030, 0.070]"),
        (DOWN, 0, "lowers the leak by 0.050 [0.030, 0.070]"),
        (OPEN, 0, "has an undecided effect on the leak (difference 0.010 [-0.020, 0.040])"),
        (SMALL, MARGIN, "hardly changes the leak (difference 0.001 [-0.002, 0.004])"),
        (
            ALONE,
            0,
            "has an undecided effect on the leak (difference 0.300 (one seed: no interval))",
        ),
        (
            MISSING,
            0,
            "changes the leak by an amount that cannot be measured "
            "(not measurable with every seed)",
        ),
    ],
)
def test_a_change_knows_its_sign_and_its_number(effect, margin, said):
    assert words.changes(effect, "the leak", margin) == said


@pytest.mark.parametrize(
    ("effect", "margin", "said"),
    [
        (UP, 0, "raises"),
        (DOWN, 0, "lowers"),
        (OPEN, 0, "has an undecided effect on"),
        (SMALL, 0, "has an undecided effect on"),
        (SMALL, MARGIN, "hardly changes"),
        (MISSING, 0, "has an undecided effect on"),
    ],
)
def test_the_verb_follows_the_verdict(effect, margin, said):
    assert words.verb(effect, margin) == said


def test_a_turned_effect_keeps_its_interval_in_order():
    assert words.turned(DOWN) == UP
    assert math.isnan(words.turned(ALONE).low)
    assert words.turned(ALONE).note == ALONE.note


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        (
            [SUPPORTED],
            "1 claim is supported, no claim is contradicted and no claim is left undecided",
        ),
        (
            [SUPPORTED] * 2 + [CONTRADICTED, NEGLIGIBLE] + [UNDECIDED] * 3,
            "2 claims are supported, 1 claim is contradicted, 1 claim shows a difference "
            "too small to matter and 3 claims are left undecided",
        ),
    ],
)
def test_a_tally_agrees_in_number(tested, said):
    assert words.tally(tested) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "no seed"), (1, "1 seed"), (2, "2 seeds"), (11, "11 seeds")]
)
def test_a_count_agrees_with_its_noun(count, said):
    assert words.counted(count, "seed") == said


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (Estimate(0.029, -0.0, 0.059), "a loss of 2.9 points of test accuracy [0.0, 5.9]"),
        (Estimate(-0.02, -0.03, 0.01), "a gain of 2.0 points of test accuracy [-1.0, 3.0]"),
        (Estimate(0.01), "a loss of 1.0 points of test accuracy"),
    ],
)
def test_a_price_is_said_in_points(lost, said):
    assert words.price(lost) == said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (([0.7, 0.8], [0.5, 0.599]), "a ranks better than b, by 0.201 [0.194, 0.207]"),
        (([0.5, 0.599], [0.7, 0.8]), "b ranks better than a, by 0.201 [0.194, 0.207]"),
        (
            ([0.5, 0.7], [0.6, 0.6]),
            "whether a or b ranks better is not decided (difference 0.000 [-1.271, 1.271])",
        ),
        (
            ([0.5], [0.6]),
            "whether a or b ranks better is not decided "
            "(difference -0.100 (one seed: no interval))",
        ),
    ],
)
def test_the_better_of_two_is_named_where_seeds_agree(values, said):
    assert words.better_of(dict(zip("ab", values, strict=True))) == said


@pytest.mark.parametrize(
    ("regained", "said"),
    [
        ([0], "no removed weight came back in 1 run"),
        ([0, 0, 0], "no removed weight came back in 3 runs"),
        ([0, 1, 0], "1 removed weight came back, in 1 of 3 runs"),
        ([2, 1, 0], "3 removed weights came back, in 2 of 3 runs"),
    ],
)
def test_weights_that_came_back_are_counted(regained, said):
    assert words.weights_regained(regained) == said


@pytest.mark.parametrize(
    ("name", "lost", "said"),
    [
        ("dense", 0.0, "dense itself: within this price nothing makes the strongest attack weaker"),
        (
            "adv",
            0.031,
            "adv, which costs 3.1 points of test accuracy; the strongest attack goes from 0.700 "
            "to 0.650",
        ),
        (
            "adv",
            -0.012,
            "adv, which gains 1.2 points of test accuracy; the strongest attack goes from 0.700 "
            "to 0.650",
        ),
    ],
)
def test_a_chosen_way_is_described(name, lost, said):
    assert words.chosen_way(name, "dense", lost, 0.7, 0.65) == said


def test_the_table_shows_the_interval_that_decided_and_no_p():
    table = words.table([SUPPORTED, NEGLIGIBLE, UNDECIDED, over_runs("", "", [0.3])])

    # 0.501 ± 4.303 · 0.001 / √3
    assert table.iloc[0].to_list() == [
        "it grows",
        "points",
        "0.501 [0.499, 0.503]",
        "supported",
        "–",
    ]
    assert table["verdict"].to_list()[1:3] == [
        "no difference that matters",
        "not decided by these runs",
    ]
    assert table["runs needed (estimate)"].to_list()[1] == "–"
    assert table["runs needed (estimate)"].to_list()[2].startswith("about ")
    assert table["runs needed (estimate)"].to_list()[3] == "unknown"
    assert not [column for column in table if column.startswith("p ")]


def test_more_seeds_than_anyone_has_are_said_as_such():
    assert words.seeds_to_decide(over_runs("", "", [-1.0, 1.001])) == "over 1000"


@pytest.mark.parametrize("lost", [0.0, 0.0004, -0.0004])
def test_a_price_that_rounds_to_nothing_has_neither_sign(lost):
    said = words.chosen_way("ppb", "dense", lost, 0.7, 0.65)

    assert said.startswith("ppb, which costs no test accuracy; ")


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (
            {"the method, for conf": SMALL, "the sparsity, for samia": UP},
            "the mistake that costs most is about the sparsity, for samia: 0.050 [0.030, 0.070]",
        ),
        (
            {"the method, for conf": MISSING, "the sparsity, for samia": ALONE},
            "the mistake that costs most is about the sparsity, for samia: "
            "0.300 (one seed: no interval)",
        ),
        ({"the method": DOWN}, "no mistake about the pruning costs an attack accuracy"),
        ({"the method": Estimate(0.0)}, "no mistake about the pruning costs an attack accuracy"),
        ({"the method": MISSING}, "no mistake about the pruning could be measured"),
    ],
)
def test_the_dearest_mistake_is_one_that_costs_something(losses, said):
    assert words.dearest(losses) == said


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        (
            {"slim": [0.6], "l1": [0.7], "l2": [0.65]},
            "is most accurate on networks pruned by l1 (0.700 (one seed: no interval)) "
            "and least on those pruned by slim (0.600 (one seed: no interval))",
        ),
        (
            {"l1": [0.7]},
            "reaches 0.700 (one seed: no interval) on networks pruned by l1, the only method tried",
        ),
        (
            {"l1": [0.7], "l2": [0.7]},
            "is equally accurate whichever method pruned the network: "
            "0.700 (one seed: no interval)",
        ),
    ],
)
def test_pruning_methods_are_told_apart_only_where_they_differ(accuracies, said):
    assert words.extremes(accuracies) == said
