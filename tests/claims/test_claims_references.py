"""Claims on attacks by references and on exposure, from tables made for the purpose."""

import pandas as pd
import pytest

import prunemia as pm
from prunemia import claims, results
from prunemia.claims.base import CONTRADICTED, SUPPORTED
from prunemia.results.concentration import CHANCE


def compared(gain: float) -> pd.DataFrame:
    rows = [
        {
            "network": "pruned", "by": "attack", "seed": seed, "attack": attack,
            "setting": setting, "references": 5, "measure": measure,
            "value": 0.1 + (gain + 0.001 * seed) * ("sens" in setting),
        }
        for seed in range(4)
        for attack in ("lira", "rmia")
        for setting in ("offline", "offline, sensitivity")
        for measure in ("TPR at 0.001", "TPR at 0.01", "AUC")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_second_signal_is_a_paired_gain():
    found = claims.second_signal(compared(0.05))

    assert [claim.text for claim in found] == [
        f"The sensitivity adds to {attack} at {rate}"
        for rate in ("0.1 %", "1 %")
        for attack in ("lira", "rmia")
    ]
    assert all(claim.values == pytest.approx((0.05, 0.051, 0.052, 0.053)) for claim in found)
    assert {claim.verdict for claim in found} == {SUPPORTED}
    assert {claim.tests for claim in found} == {4}


def test_without_that_setting_there_is_no_claim():
    table = compared(0.05)
    assert claims.second_signal(table[table["setting"] == "offline"]) == []


def test_exposure_is_judged_against_chance(monkeypatch):
    rows = [
        {"seed": seed, "statistic": name, "value": value + 0.001 * seed}
        for seed in range(3)
        for name, value in {
            "share of a tenth": 0.5,
            "rank correlation": 0.9,
            "overlap with the original": 0.4,
            "overlap with confidence": 0.3,
        }.items()
    ]
    monkeypatch.setattr(results, "concentrated", lambda _: "made")
    monkeypatch.setattr(results, "read", lambda _: pd.DataFrame(rows))
    concentrated, attacks, same = claims.who_is_exposed(None, pm.Experiment(), 3)

    assert concentrated.values == pytest.approx((0.3, 0.301, 0.302))
    assert (
        attacks.text == "The samples most exposed to LiRA and to confidence overlap beyond chance"
    )
    assert attacks.values[0] == pytest.approx(0.3 - CHANCE)
    assert same.values[0] == pytest.approx(0.4 - CHANCE)
    assert {claim.source for claim in (concentrated, attacks, same)} == {"made"}


def test_without_a_table_nobody_is_said_to_be_exposed(monkeypatch):
    monkeypatch.setattr(results, "concentrated", lambda _: "")
    assert claims.who_is_exposed(None, pm.Experiment(), 3) == []


def test_effects_on_the_strongest_attack_are_of_most_references_online():
    levels = {"original": 0.10, "dense": 0.15, "pruned": 0.12}
    rows = [
        {
            "network": network, "sparsity": sparsity, "by": "attack", "seed": seed,
            "attack": attack, "setting": setting, "references": count, "measure": "TPR at 0.01",
            "value": value + 0.001 * seed * (network == "pruned")
            + (1.0 if (attack, setting, count) != ("lira", "online", 64) else 0.0),
        }
        for seed in range(3)
        for sparsity in (0.5, 0.9)
        for attack, setting, count in (
            ("lira", "online", 64), ("lira", "online", 5), ("lira", "offline", 64),
            ("rmia", "online", 64), ("conf", "shadows", 5),
        )
        for network, value in levels.items()
    ]  # fmt: skip
    found = {claim.text: claim for claim in claims.strongest_claims(pd.DataFrame(rows))}

    assert len(found) == 5  # one of fine-tuning: it is the same at each sparsity
    text = "At sparsity 0.9 pruning lets LiRA find more members at equal training"
    assert found[text].values == pytest.approx((-0.03, -0.029, -0.028))
    assert found[text].verdict == CONTRADICTED
    assert found["Fine-tuning alone lets LiRA find more members"].values == pytest.approx(
        [0.05] * 3
    )
    assert {claim.tests for claim in found.values()} == {5}
