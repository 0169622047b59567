"""The registry: one place for each claim, and the same numbers from the tables by other code."""

import importlib
import math
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import yaml
from made_up import table
from scipy import stats

import prunemia as pm
from prunemia import results
from prunemia.claims.base import CONTRADICTED, LEAST_RUNS, OPEN, SUPPORTED, VERDICTS
from prunemia.claims.registry import pooled
from prunemia.errors import UsageError

registry = importlib.import_module("prunemia.claims.registry")  # the function has its name
PRUNED = {0.5: 0.70, 0.7: 0.65, 0.9: 0.55}
EXP, LETTER = pm.Experiment(), pm.Experiment(dataset="letter", model="columnfc")


@pytest.fixture
def tables(monkeypatch):
    """Kept tables of levels on two data sets: "mnist1d" under three rules, "letter" under one."""
    one = {"warm-up": 0.0}
    kept = {
        "mnist1d": ("control_mnist1d", table(PRUNED, dataset="mnist1d")),
        "letter": ("control_letter", table(PRUNED, dataset="letter", rules=one)),
    }
    grids = {"control_mnist1d": [EXP], "control_letter": [LETTER]}
    monkeypatch.setattr(results, "by_dataset", lambda kind: kept if kind == "control" else {})
    monkeypatch.setattr(results, "experiments", grids.__getitem__)
    registry._claims.cache_clear()
    yield kept
    registry._claims.cache_clear()


@pytest.fixture(scope="module")
def landed():
    """The registry of the tables in results/, and its claims."""
    registry._claims.cache_clear()
    yield registry.registry().set_index(["id", "dataset"]), [c for _, c in registry.claims()]
    registry._claims.cache_clear()


@pytest.mark.usefixtures("tables")
def test_a_row_is_a_claim_on_a_data_set_with_its_number_and_verdict():
    found = registry.registry().set_index(["id", "dataset"])
    row = found.loc[("total-0.5", "mnist1d")]
    assert row["effect"] == pytest.approx(0.1015)  # 0.1, 0.101, 0.102, 0.103
    # of two claims: t of three degrees of freedom at 1 − 0.05/4, deviation 0.00129
    half = stats.t.ppf(1 - 0.05 / 4, 3) * math.sqrt(5 / 3) / 1000 / 2
    assert (row["low"], row["high"]) == pytest.approx((0.1015 - half, 0.1015 + half))
    assert (row["verdict"], row["runs"], row["family"]) == (SUPPORTED, 4, 2)
    assert row["rules"] == "warm-up, published, last"
    assert (row["source"], row["question"]) == ("control_mnist1d", "Does pruning leak?")
    assert row["paper"]
    assert found.loc[("total-0.5", "letter"), "verdict"] == OPEN
    # mnist1d: total 0.9 and pruning 0.9 are down; letter: all seven under one rule
    counts = registry.counts(registry.registry())
    assert list(counts.columns) == list(VERDICTS)
    assert counts.loc["Does pruning leak?", [CONTRADICTED, OPEN]].tolist() == [2, 7]
    assert counts.to_numpy().sum() == len(found)


@pytest.mark.usefixtures("tables")
def test_of_gives_no_claim_to_an_experiment_that_the_table_lacks():
    assert registry.of(EXP, "total-0.5").effect.value == pytest.approx(0.1015)
    assert registry.of(EXP.replace(seed=7), "total-0.5") is None
    assert registry.of(EXP.replace(dataset="digits", model="cnn2d"), "total-0.5") is None
    assert registry.of(EXP, "no-such-claim") is None
    assert registry.find("training", "letter").verdict == OPEN
    with pytest.raises(UsageError, match="no claim 'training' on data set 'digits'"):
        registry.find("training", "digits")


@pytest.mark.usefixtures("tables")
def test_a_claim_is_said_in_a_clause_and_without_one_this_run_decides_nothing(monkeypatch):
    effect = registry.find("total-0.5", "mnist1d").effect
    said = registry.said(EXP, "total-0.5", what="it")
    assert said == f"raises it (+10.1 points [{100 * effect.low:.1f}, {100 * effect.high:.1f}])"
    assert registry.said(LETTER, "total-0.5").startswith("is not shown to change the leak (")
    assert registry.said(EXP, "pruning-0.9").startswith("lowers the leak (-")
    other = registry.said(EXP.replace(seed=7), "total-0.5", 0.02)
    assert other == "+2.0 points in this one run, which decides nothing"
    wide = replace(registry.find("total-0.5", "mnist1d"), by_rule={"last": (-0.1, 0.0, 0.13)})
    monkeypatch.setattr(registry, "of", lambda *_: wide)
    assert re.search(r"change the leak \(-.* to \+.* points\)", registry.said(EXP, "x"))


@pytest.mark.usefixtures("tables")
def test_a_page_shows_claims_by_prefix_question_or_experiment():
    assert len(registry.show("total-").data) == 6
    assert len(registry.show("total-0.5", "training").data) == 4
    (attacks,) = set(registry.show(question="Which attack?").data["claim"])
    assert attacks == "SAMIA is more accurate than conf on pruned networks"
    assert registry.show("total-0.5").data["data set"].tolist() == ["MNIST-1D", "Letters"]
    own = registry.show("total-0.5", exp=EXP)
    assert own.data["verdict"].tolist() == [SUPPORTED]
    assert own.data["effect [95 %]"].tolist() == [str(registry.find("total-0.5", "mnist1d").effect)]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", own.to_html())
    assert heads == ["claim", "verdict", "effect [95 %]", "runs", "note"]
    assert "white-space: normal" in own.to_html()
    for other in (registry.show(exp=EXP.replace(sparsity=0.6)), registry.show("nothing like it")):
        assert "No claim" in other.data


def test_two_data_sets_have_no_mean_and_an_open_claim_counts_in_none(tables):
    steady = {"total-0.5", "total-0.7", "total-0.9", "pruning-0.5", "pruning-0.7", "pruning-0.9"}
    for name in ("a", "b"):
        tables[name] = (f"control_{name}", table(PRUNED, dataset=name))
    registry._claims.cache_clear()
    found = registry.common("last").set_index("id")

    assert set(found.index) == steady  # of the others all runs agree: they have no variance
    assert set(found["data sets"]) == {3}  # letter was tried under one rule
    assert found.loc["pruning-0.9", "effect"].startswith("-0.09")
    del tables["a"]
    registry._claims.cache_clear()
    assert registry.common("last").empty


def test_an_id_is_unique_on_a_data_set_and_its_family_is_the_data_sets_asked(landed):
    found, _ = landed

    assert found.index.is_unique
    # of two runs nothing can be said, so nobody is asked
    asked = found[found["runs"] >= LEAST_RUNS].groupby("id")
    family, size = asked["family"].agg(["min", "max"]), asked.size()
    assert (family["min"] == family["max"]).all()
    # at equal fit every curve was asked, also one that has no network as good
    everywhere = asked["question"].first().eq("At equal fit and accuracy?")
    assert (size == family["max"])[~everywhere].all()
    curves = [table["seed"].nunique() for _, table in results.by_dataset("curve").values()]
    assert set(family["max"][everywhere]) == {sum(runs >= LEAST_RUNS for runs in curves)}
    assert (size <= family["max"]).all()
    assert found.groupby("id")["text"].nunique().max() == 1


def test_every_entry_of_the_list_is_answered_by_a_table(landed):
    # a column that is misspelt makes no claim
    text = files("prunemia.claims").joinpath("claims.yml").read_text("utf-8")
    listed = [effect["id"] for entry in yaml.safe_load(text) for effect in entry.get("effects", ())]
    known = set(landed[0].index.get_level_values("id"))
    assert len(listed) > 25
    for pattern in (re.sub(r"\{[^}]*\}", ".+", each) for each in listed):
        assert any(re.fullmatch(pattern, name) for name in known), pattern


@pytest.mark.usefixtures("landed")
def test_a_real_experiment_of_a_grid_has_its_claims_and_another_has_none():
    exp = min(results.experiments("control_mnist1d"), key=lambda exp: (exp.seed, exp.sparsity))
    assert registry.of(exp, "total-0.7") == registry.find("total-0.7", "mnist1d")
    assert len(registry.show(question="Does pruning leak?", exp=exp).data) == 7
    assert "No claim" in registry.show(exp=exp.replace(weight_decay=1e-5)).data


# --- The oracle: thirty lines that share no code with the registry -----------------------------


# fmt: off
def recomputed(folder):
    """Return (effect, low, high, verdict) by (id, data set) of two questions, from the files."""
    runs = {}  # (id, data set) → the effects of the runs, one array per stopping rule
    for file in [*folder.glob("control_*.csv"), *folder.glob("paper_*.csv")]:
        t = pd.read_csv(file, keep_default_na=False).sort_values("seed")
        name, ours = t["dataset"].iloc[0], t["stopping"] == "warm-up"
        if file.name.startswith("paper"):
            t = t[(t["statistic"] == "accuracy") & ours]
            of = {n: t.loc[t["name"] == n, "value"].to_numpy(float) for n in set(t["name"])}
            runs |= {(f"samia-{n}", name): [of["samia"] - of[n]]
                     for n in of if n not in ("samia", "conf")}
            continue
        t = t[(t["measure"] == "accuracy") & (t["pruner"] == "l1unstructured")]
        for rule in [r for r in ("warm-up", "published", "last") if r in set(t["stopping"])]:
            o, d, p, c = ({s: t.loc[(t["sparsity"] == s) & (t["stopping"] == rule)
                                    & (t["attack"] == attack), level].to_numpy(float)
                           for s in (0.5, 0.7, 0.9)} for level, attack in LEVELS)
            each = {f"total-{s}": p[s] - o[s] for s in p} | {f"pruning-{s}": p[s] - d[s] for s in p}
            each |= {"training": d[0.5] - o[0.5], "mild": p[0.5] - p[0.9]}
            each |= {"samia-conf": p[0.7] - c[0.7]} if rule == "warm-up" else {}
            for known, values in each.items():
                runs.setdefault((known, name), []).append(values)
    found = {}
    for known, name in runs:
        m, x = sum(k == known and len(v[0]) > 2 for (k, _), v in runs.items()), runs[known, name]
        mean, few = np.array([v.mean() for v in x]), len(x[0]) < 3
        half = np.array([stats.t.ppf(1 - 0.025 / m, len(v) - 1) * stats.sem(v) for v in x])
        half = half * (np.nan if few else 1)
        low, high = (mean - half).min(), (mean + half).max()
        word = str(np.select([low > 0, high < 0, low > -0.01 and high < 0.01], WORDS, OTHER))
        word = "open" if few or ("samia" not in known and len(x) < 3) else word
        found[known, name] = (mean.mean(), low, high, word)
    return found
# fmt: on


WORDS, OTHER = ["supported", "contradicted", "no difference that matters"], "not decided"
LEVELS = [("original", "samia"), ("dense", "samia"), ("pruned", "samia"), ("pruned", "conf")]


def test_effects_intervals_and_verdicts_agree_with_other_code(landed, request):
    questions = ["Does pruning leak?", "Mild or heavy?", "Which attack?"]
    asked = landed[0][landed[0]["question"].isin(questions)]
    found = recomputed(request.config.rootpath / "results")

    assert set(found) == set(asked.index)
    assert len(found) >= 40
    for key, (*numbers, word) in found.items():
        row = asked.loc[key]
        assert row[["effect", "low", "high"]].tolist() == pytest.approx(
            numbers, abs=1e-9, nan_ok=True
        ), key
        assert row["verdict"] == word, key


# --- The mean over data sets --------------------------------------------------------------------


def test_the_mean_of_equal_data_sets_by_hand():
    # Two data sets, each of variance 0.01 / 2 within, means 1 and 3. Fixed weights 200 each, Q =
    # 200 + 200 = 400, so between = (400 - 1) / (400 - 200) = 1.995. Each then weighs 1/2, the mean
    # is 2; its scale (1 + 1) / 2 = 1 exceeds no fixed effect's: 1 / 2 · 2 / 1 = 1.
    values = [(1 - 0.07071068, 1 + 0.07071068), (3 - 0.07071068, 3 + 0.07071068)]
    mean, between = pooled(values)
    assert between == pytest.approx(np.sqrt(1.995), rel=1e-4)
    assert mean.value == pytest.approx(2)
    assert mean.high - mean.value == pytest.approx(stats.t.isf(0.025, 1) * 1, rel=1e-3)


def test_the_variance_between_data_sets_is_where_the_squares_add_up():
    # Three data sets of unequal precision; the root is checked by the equation that defines it.
    draw = np.random.default_rng(2)
    values = [tuple(draw.normal(m, s, 5)) for m, s in ((0.0, 0.01), (0.2, 0.1), (0.5, 0.3))]
    _, between = pooled(values)

    means = np.array([np.mean(each) for each in values])
    weights = 1 / (np.array([np.var(each, ddof=1) / 5 for each in values]) + between**2)
    centre = (weights * means).sum() / weights.sum()
    assert between > 0
    assert (weights * (means - centre) ** 2).sum() == pytest.approx(2, rel=1e-6)


def test_the_interval_covers_the_mean_of_the_population():
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        own = draw.normal(0.2, 0.3, 5)
        mean, _ = pooled([tuple(draw.normal(effect, 0.2, 5)) for effect in own])
        covered += mean.low < 0.2 < mean.high
    assert covered / 300 > 0.91
