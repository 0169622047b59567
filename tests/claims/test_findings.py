"""What the landing page and the README say in plain words is what the tables say.

Each finding that somebody typed is listed here with the claims that it rests on: where the registry
says otherwise, the test fails and the sentence has to change.
"""

import json
from pathlib import Path

import pytest

from prunemia import claims, results

ROOT = Path(__file__).parents[2]
THREE_RULES = {"digits", "location", "mnist1d"}
LEAK = (
    "The original networks leak on all five data sets. For three of them fine-tuning was ended "
    "by three rules: on none do all three say that removing 50 or 70 % of the single weights "
    "and fine-tuning changes what SAMIA, the paper's attack, finds. Removing 90 % makes the "
    "network leak less than one fine-tuned alike, on all three; on two of them it then no "
    "longer fits its members. At equal fit it leaks *more* on MNIST-1D, and Location-30 does "
    "not decide. Removing whole filters, 70 % of them, lowers what SAMIA finds on MNIST-1D "
    "without a loss of test accuracy."
)
MUCH = (
    "SAMIA, with at most five networks of its own, is right for 54 to 82 of 100 people before "
    "pruning, where a coin is right for 50, and finds 1 to 13 of 100 members while it accuses "
    "one non-member in a hundred. Other attacks find more: on Location-30, RMIA with the same "
    "networks finds 26, and LiRA with 64 networks that were trained on the same candidates 54."
)
DO = (
    "Measure your own network, and compare at equal test accuracy. On MNIST-1D filter pruning "
    "(l1structured 0.7) leaks least of all that cost at most a point; whether less than the "
    "original, five fresh runs do not decide. On Location-30 distillation takes the best of "
    "four attacks from 85 to 77 %, at less than a point of test accuracy."
)


@pytest.fixture(scope="module")
def table():
    return claims.registry()


def verdicts(table, known):
    return table[table["id"] == known].set_index("dataset")["verdict"].to_dict()


@pytest.mark.parametrize("sentence", [LEAK, MUCH, DO])
@pytest.mark.parametrize("place", ["notebooks/start.ipynb", "README.md"])
def test_each_finding_stands_where_it_is_typed(place, sentence):
    text = (ROOT / place).read_text(encoding="utf-8")
    if place.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)

    assert sentence in " ".join(text.split())


def test_originals_leak_on_all_five_data_sets():
    originals = claims.all_networks().query("network == 'original'")
    assert len(originals) == 5
    assert (originals["leak_low"] > 0.5).all()


def test_mild_pruning_decides_nothing_on_three_data_sets(table):
    for known in ("total-0.5", "total-0.7"):
        found = verdicts(table, known)
        assert {name for name, verdict in found.items() if verdict != "open"} == THREE_RULES
        assert {found[name] for name in THREE_RULES} == {"not decided"}


def test_removing_nine_weights_of_ten_lowers_the_leak_and_the_fit(table):
    found = verdicts(table, "pruning-0.9")
    assert {name for name, verdict in found.items() if verdict == "contradicted"} == THREE_RULES
    networks = claims.all_networks().set_index(["dataset", "network"])
    fits = [networks.loc[(name, "pruned 0.9"), "train"] >= 0.99 for name in THREE_RULES]
    assert sum(fits) == 1
    assert verdicts(table, "fit-0.9") == {"mnist1d": "supported", "location": "not decided"}


def test_filter_pruning_lowers_the_leak_at_no_price(table):
    assert verdicts(table, "total-l1structured-0.7") == {"mnist1d": "contradicted"}
    control = results.read("control_mnist1d").query(
        "pruner == 'l1structured' and measure == 'test accuracy' and stopping == 'warm-up'"
    )
    assert (control["pruned"] - control["original"]).mean() > 0


def test_how_much_leaks():
    originals = claims.all_networks().query("network == 'original'")
    assert (round(100 * originals["leak"].min()), round(100 * originals["leak"].max())) == (54, 82)
    assert (round(100 * originals["found"].min()), round(100 * originals["found"].max())) == (1, 13)
    rows = results.read("references_location").query(
        "by == 'attack' and measure == 'TPR at 0.01' and network == 'original' and sparsity == 0.7"
    )
    means = rows.groupby(["attack", "setting", "references"])["value"].mean()
    assert round(100 * means["rmia", "offline", 5]) == 26
    assert round(100 * means["lira", "online", 64]) == 54


def test_what_to_do():
    best = {
        name: claims.advice(table) for name, (_, table) in results.by_dataset("tradeoff").items()
    }
    location, mnist1d = best["location"], best["mnist1d"]
    assert location["chosen"].startswith("distillation")
    assert [round(location[name], 2) for name in ("before", "after")] == [0.85, 0.77]
    assert location["gain_low"] > 0
    assert location["price"] < 0.01
    assert mnist1d["chosen"] == "l1structured 0.7"
    assert mnist1d["gain_low"] < 0 < mnist1d["gain_high"]
