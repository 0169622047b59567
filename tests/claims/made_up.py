"""Small made-up tables of levels, as the tables of the control have them; claims of a table."""

import pandas as pd

from prunemia.claims import questions

RULES = ("warm-up", "published", "last")
BY_ATTACK = ("accuracy", "TPR at 0.01")


def answers(question, table, kind=""):
    """Return what a table (of a kind, if several answer) says of a question, by id, each once."""
    asked = [q for q in questions.QUESTIONS if q["question"] == question]
    asked = [q for q in asked if kind in ("", q["kind"])]
    found = [claim for each in asked for claim in questions.answers(each, table)]
    named = {claim.id: claim for claim in found}
    assert (len(asked) > 0, len(named)) == (True, len(found))
    return named


def table(
    pruned, *, dense=0.65, rules=None, runs=4, pruner="l1unstructured", dataset="d", fit=(1.0, 0.79)
):
    """Return levels of original (0.6), dense and pruned networks, the latter by sparsity.

    Run k adds k thousandths to the pruned networks. ``rules``: what each stopping rule adds to the
    dense and pruned ones. ``fit``: train and test accuracy of pruned networks; 1 and 0.8 of others.
    """
    rows = [
        {
            "dataset": dataset, "model": "m", "width": 8, "pruner": pruner, "sparsity": sparsity,
            "defense": "none", "stopping": rule, "seed": seed, "measure": measure,
            "attack": "samia" if measure in BY_ATTACK else "",
            "original": original, "dense": tuned, "pruned": level,
        }
        for rule, more in (rules or dict.fromkeys(RULES, 0.0)).items()
        for sparsity, leak in pruned.items()
        for seed in range(runs)
        for measure, original, tuned, level in (
            ("accuracy", 0.6, dense + more, leak + more + seed / 1000),
            ("TPR at 0.01", 0.1, 0.1, 0.1),
            ("train accuracy", 1.0, 1.0, fit[0]),
            ("test accuracy", 0.8, 0.8, fit[1]),
            ("generalization gap", 0.2, 0.2, fit[0] - fit[1]),
            ("confidence AUC", 0.7, 0.75, leak + 0.1 + more + seed / 1000),
        )
    ]  # fmt: skip
    found = pd.DataFrame(rows)
    weaker = found[found["attack"] == "samia"].assign(attack="conf", original=0.5, pruned=0.5)
    return pd.concat([found, weaker], ignore_index=True)[::-1]  # the order of rows does not matter
