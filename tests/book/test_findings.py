"""What the landing page and the README say in plain words is what the tables say."""

import pytest

from prunemia import results
from prunemia.claims import equal_accuracy, evidence, overfitting
from prunemia.claims.base import CONTRADICTED, SUPPORTED


@pytest.fixture(scope="module")
def verdicts():
    found = evidence.as_table(evidence.evidence())
    return found.groupby("claim")["verdict"].agg(list)


def test_pruning_and_fine_tuning_can_raise_the_leak(verdicts):
    mild = verdicts["At sparsity 0.5 the pruned network leaks more to SAMIA than the original"]
    assert SUPPORTED in mild
    assert SUPPORTED in verdicts["Fine-tuning alone raises the leak to SAMIA"]


def test_strong_pruning_lowers_it_at_a_price(verdicts):
    equal = verdicts["At sparsity 0.9 pruning raises the leak to SAMIA at equal training"]
    assert set(equal) == {CONTRADICTED}  # "on every data set that this book has asked"
    total = verdicts["At sparsity 0.9 the pruned network leaks more to SAMIA than the original"]
    assert CONTRADICTED in total
    assert SUPPORTED not in total
    networks = overfitting.networks()
    test = (networks["train"] - networks["gap"]).groupby([networks["dataset"], networks["network"]])
    falls = test.first().unstack()
    assert (falls["pruned 0.9"] < falls["original"]).all()


def test_data_sets_differ_more_than_a_network_from_its_pruned_version():
    networks = overfitting.networks()
    wide = networks.pivot(index="dataset", columns="network", values="leak")
    between = wide["original"].max() - wide["original"].min()
    pruned = [name for name in wide if name.startswith("pruned")]
    assert between > 2 * wide[pruned].sub(wide["original"], axis=0).abs().max().max()


@pytest.mark.parametrize("name", ["tradeoff_mnist1d", "tradeoff_location"])
def test_no_defense_beats_undefended_pruning_of_its_accuracy(name):
    claims = equal_accuracy(results.read(name))
    assert len(claims) >= 7
    assert SUPPORTED not in {claim.verdict for claim in claims}
