import itertools

import pandas as pd
import pytest

from prunemia import claims
from prunemia.claims import CONTRADICTED, NEGLIGIBLE, SUPPORTED


def points(excess, runs=6):
    """Runs whose dense networks leak 0.5 … 0.7 for accuracies 0.6 … 0.8, pruned ones more."""
    rows = []
    for seed, (sparsity, (accuracy, more)) in itertools.product(range(runs), excess.items()):
        base = {"dataset": "d", "model": "m", "width": 8, "seed": seed, "sparsity": sparsity}
        base |= {"attack": "conf", "measure": "accuracy"}
        for epochs, (x, y) in enumerate([(0.6, 0.5), (0.8, 0.7)]):
            rows.append(base | {"role": "dense", "epochs": epochs, "test_accuracy": x, "value": y})
        leak = accuracy - 0.1 + more + 0.0005 * (-1) ** seed
        rows.append(base | {"role": "kept", "epochs": 7, "test_accuracy": accuracy, "value": leak})
    return pd.DataFrame(rows)


def test_excess_of_each_sparsity_gets_its_verdict_and_unreached_ones_none():
    found = claims.excess_claims(
        points({0.5: (0.7, 0.05), 0.7: (0.65, 0.0), 0.8: (0.75, -0.05), 0.9: (0.4, 0.0)}), "conf"
    )

    assert [claim.verdict for claim in found] == [SUPPORTED, NEGLIGIBLE, CONTRADICTED]
    assert found[0].effect.value == pytest.approx(0.05)
    assert "6 of 6 runs" in found[0].text
    assert {claim.tests for claim in found} == {3}


def effects(seed, attack, original, dense, pruned, **more):
    levels = {"original": original, "dense": dense, "pruned": pruned}
    values = {"total": pruned - original, "training": dense - original, "pruning": pruned - dense}
    base = {"seed": seed, "attack": attack, "measure": "accuracy", "label": -1} | levels | more
    return [base | {"effect": effect, "value": value} for effect, value in values.items()]


def test_the_strongest_attack_is_chosen_on_one_half_and_tested_on_the_other():
    rows = []
    for seed in range(6):
        jitter = 0.001 * (-1) ** seed
        # on the seeds that choose, samia is better; on the others it gains from training alone
        strong = 0.7 if seed < 3 else 0.66
        rows += effects(seed, "conf", 0.6, 0.6, 0.68 + jitter)
        rows += effects(seed, "samia", 0.6, strong + jitter, strong)
    table = pd.DataFrame(rows)
    name, fresh = claims.strongest(table)
    tested = claims.effect_claims(table[table["seed"].isin(fresh)], name)

    assert (name, fresh) == ("samia", [3, 4, 5])
    assert [len(claim.values) for claim in tested] == [3, 3, 3]
    assert tested[1].effect.value == pytest.approx(0.06, abs=1e-3)


def test_one_seed_chooses_and_leaves_nothing_to_test():
    assert claims.strongest(pd.DataFrame(effects(0, "conf", 0.6, 0.6, 0.7))) == ("conf", [])


def test_the_map_of_capacity_has_each_cell_with_its_sign_and_regime():
    rows = []
    for seed, width in itertools.product(range(6), (8, 64)):
        gain = (0.05 if width == 64 else -0.05) + 0.001 * (-1) ** seed
        more = {"width": width, "sparsity": 0.7}
        rows += effects(seed, "conf", 0.6, 0.6 + 0.001 * (-1) ** seed, 0.6 + gain, **more)
        for measure, original, pruned in [
            ("train accuracy", 1.0, 1.0 if width == 64 else 0.9),
            ("test accuracy", 0.8, 0.79),
        ]:
            said = effects(seed, "", original, original, pruned, **more)
            rows += [row | {"measure": measure} for row in said]
    cells = claims.capacity(pd.DataFrame(rows), "conf").set_index(["effect", "width"])

    assert cells.loc[("total", 64), "verdict"] == SUPPORTED
    assert cells.loc[("total", 8), "verdict"] == CONTRADICTED
    assert cells.loc[("total", 64), "value"] == pytest.approx(0.05)
    assert cells["regime"].groupby("width").all().to_dict() == {8: False, 64: True}
