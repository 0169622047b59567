"""What the page on evidence says of its claims."""

from dataclasses import replace

import pandas as pd

from prunemia import results
from prunemia.book import evidence_page
from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, SUPPORTED, UNDECIDED, over_runs
from prunemia.claims.evidence import QUESTIONS

CLAIM = "it leaks more"


def table(*verdicts):
    return pd.DataFrame(
        {"claim": CLAIM, "dataset": f"d{i}", "value": 0.01 * i, "verdict": verdict}
        for i, verdict in enumerate(verdicts)
    )


def test_a_claim_is_counted_over_its_data_sets():
    found = table(SUPPORTED, UNDECIDED, SUPPORTED, CONTRADICTED)

    assert evidence_page.said(found, CLAIM) == (
        "supported on 2 of 4 data sets, contradicted on 1 and undecided on 1"
    )
    assert evidence_page.said(table(NEGLIGIBLE, UNDECIDED), CLAIM) == (
        "too small to matter on 1 of 2 data sets and undecided on 1"
    )


def test_where_all_agree_one_word_is_enough():
    found = table(CONTRADICTED, CONTRADICTED)
    assert evidence_page.said(found, CLAIM) == "contradicted on all 2 data sets"


def test_a_span_names_its_ends():
    shuffled = table(SUPPORTED, SUPPORTED, SUPPORTED).iloc[[1, 2, 0]]
    assert evidence_page.span(shuffled, CLAIM) == "between +0.000 (d0) and +0.020 (d2)"


def test_levels_are_those_of_one_role():
    networks = pd.DataFrame(
        {
            "dataset": ["a", "b", "a"],
            "role": ["original", "original", "pruned"],
            "leak": [0.82, 0.54, 0.99],
        }
    )
    assert evidence_page.levels(networks, "original") == "between 54% (b) and 82% (a)"


def test_prices_are_falls_of_test_accuracy():
    networks = pd.DataFrame(
        {
            "dataset": ["a", "a", "b", "b"],
            "network": ["original", "pruned 0.9"] * 2,
            "train": [1.0, 0.9, 0.99, 0.98],
            "gap": [0.2, 0.3, 0.09, 0.07],
        }
    )
    found = evidence_page.prices(networks, "pruned 0.9")
    assert found == "between -0.010 (b) and 0.200 (a)"


def test_data_sets_with_every_rule_are_named(monkeypatch):
    kept = {
        "control_a": pd.DataFrame({"dataset": "a", "stopping": ["last", "warm-up"]}),
        "control_b": pd.DataFrame({"dataset": "b", "stopping": ["warm-up"]}),
    }
    monkeypatch.setattr(results, "TABLES", kept)
    monkeypatch.setattr(results, "there", lambda _: True)
    monkeypatch.setattr(results, "read", kept.__getitem__)
    assert evidence_page.ruled() == "a"


def test_claims_on_which_all_agree_and_on_which_data_sets_differ():
    alike = table(SUPPORTED, SUPPORTED)
    differ = table(SUPPORTED, CONTRADICTED).assign(claim="other")
    single = table(SUPPORTED).assign(claim="asked once")

    found = evidence_page.agreed(pd.concat([alike, differ, single]))

    assert found == {"supported": CLAIM, "contradicted": "none", "differ": "other"}


def test_a_cell_has_sign_effect_and_interval_and_an_unasked_one_is_empty():
    claim = over_runs(CLAIM, "difference", (0.03, 0.05, 0.04, 0.06, 0.02))
    rows = [(QUESTIONS[0], CLAIM, {"a": claim}), (QUESTIONS[0], "<other>", {"b": claim})]

    shown = evidence_page.verdict_map(rows).data

    assert shown.count("▲ +0.040<br><small>[0.020, 0.060]</small>") == 2
    assert shown.count("<td></td>") == 2
    assert "&lt;other&gt;" in shown
    assert shown.count(QUESTIONS[0].text) == 1


def test_a_claim_on_which_the_rules_disagree_has_a_sign_of_its_own():
    claim = over_runs(CLAIM, "difference", (0.03, 0.05, 0.04, 0.06, 0.02))
    claim = replace(claim, also=((0.01, -0.01, 0.02, -0.02, 0.0),))
    shown = evidence_page.verdict_map([(QUESTIONS[0], CLAIM, {"a": claim})]).data
    assert "≠ +0.040" in shown
    assert 'title="undecided, because the stopping rules disagree"' in shown


def test_an_effect_without_interval_says_why():
    claim = over_runs(CLAIM, "difference", (0.03,))
    shown = evidence_page.verdict_map([(QUESTIONS[0], CLAIM, {"a": claim})]).data
    assert claim.effect.note
    assert claim.effect.note in shown


def test_what_to_do_is_said_for_every_table(monkeypatch):
    kept = {"tradeoff_a": "mnist1d", "tradeoff_b": "location", "control_a": "mnist1d"}
    monkeypatch.setattr(results, "TABLES", kept)
    monkeypatch.setattr(results, "there", lambda _: True)
    read = {
        name: pd.DataFrame({"dataset": [data], "model": ["columnfc"]})
        for name, data in kept.items()
    }
    monkeypatch.setattr(results, "read", read.__getitem__)
    monkeypatch.setattr(
        evidence_page,
        "advice",
        lambda *_, defended: {"chosen": "AB"[defended], "judged_said": "nobody judged"},
    )

    difference = over_runs(CLAIM, "difference", (0.01, 0.02))
    monkeypatch.setattr(evidence_page, "compared", lambda *_: [difference])
    said = (
        "On {}, B leaks least: nobody judged. Without a defense, A does: nobody judged. "
        f"Between the two the difference is {difference.effect}."
    )
    assert evidence_page.what_to_do() == f"{said.format('mnist1d')} {said.format('location')}"
