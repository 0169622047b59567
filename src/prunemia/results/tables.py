"""What each kind of table says of an experiment: steps to carry out, and rows to read off them.

Attacks by references have their tables in `prunemia.results.references`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from prunemia import divergence
from prunemia.experiment import Adversary, Experiment
from prunemia.lab import Lab, lengths
from prunemia.lab.attacking import AttackResult, validation_leaks
from prunemia.lab.effects import OVERALL, dense, fields, leakage
from prunemia.lab.networks import TrainedModel
from prunemia.lab.steps import Of, Release, Step, attack_step, release_step
from prunemia.metrics import MEASURES
from prunemia.registry import ATTACKS, DEFENSES, PRUNERS
from prunemia.signals import Signals

WIDE = ("accuracy", "auc", "tpr@0.01")
"""The measures of the tables of releases and of trade-offs, by their columns (`MEASURES`)."""

Row = dict[str, Any]
Case = tuple[Row, Sequence[Step], Callable[..., Iterable[Row]]]
"""What rows have in common, the steps to what they are read off, and how they are read."""


def tabulate(lab: Lab, cases: Iterable[Case]) -> pd.DataFrame:
    """Carry out the steps of all cases, where the lab's scheduler says, and read their rows."""
    todo = list(cases)
    lab.run(step for _, steps, _ in todo for step in steps)
    return pd.DataFrame(
        {**about, **row}
        for about, steps, read in todo
        for row in read(*(lab.value(step) for step in steps))
    )


def levels(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each measure on the original, dense and pruned network: the three effects' source."""
    table = lab.effects(experiments, attacks)
    overall = table[(table["label"] == OVERALL) & (table["effect"] == "total")]
    return overall.drop(columns=["label", "effect", "value"])


RECIPES: Mapping[str, Row] = {"fast": {}, "paper": {"recipe": "paper"}}
"""The options of a learned attack by which its recipes are compared."""


def recipes(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each learned attack by its fast and by the paper's recipe, on the same victims."""

    def cases(exp: Experiment) -> Iterator[Case]:
        known = {name: getattr(exp, name) for name in ("dataset", "model", "sparsity", "seed")}
        for attack in attacks:
            for recipe, options in RECIPES.items():
                step = attack_step(exp, attack, "pruned", options)
                yield known | {"attack": attack, "recipe": recipe}, [step], _accuracy_and_auc

    return tabulate(lab, (case for exp in experiments for case in cases(exp)))


def _accuracy_and_auc(result: AttackResult) -> Iterator[Row]:
    row = result.evaluation.row()
    yield {name: row[name] for name in ("accuracy", "auc")}


# --- Dense networks stopped early: leak as a function of how well a network fits -----------------

CURVE_MEASURE = "confidence AUC"
"""The AUC of telling members by their confidence: it needs no shadow networks, so that a curve of
many networks stays cheap, and the tables of the control have it for every pruned network."""


def curve(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return the dense networks of each run along the epochs: one row per network.

    Originals that stop after 1, 2, 4, … epochs (role "training"), and originals that are fine-tuned
    for so many ("dense"), each kept as it is after its last epoch. Columns: the experiment's
    fields, role, epochs, train_accuracy, test_accuracy, attack (none), measure, value. ``attacks``
    play no part.
    """
    del attacks

    def cases(exp: Experiment) -> Iterator[Case]:
        for role, epochs, each, of in lengths.networks(exp):
            if role in lengths.CURVE:
                about = fields(exp) | {"role": role, "epochs": epochs}
                yield about, [Step(of, each, of), Step("signals", each, of)], _fit_and_leak

    return tabulate(lab, (case for exp in experiments for case in cases(exp)))


def _fit_and_leak(networks: Sequence[TrainedModel], signals: Signals) -> Iterator[Row]:
    accuracy = networks[0].accuracy
    leak = leakage(signals)[CURVE_MEASURE]
    yield {
        "train_accuracy": accuracy["train"], "test_accuracy": accuracy["test"],
        "attack": "", "measure": CURVE_MEASURE, "value": leak,
    }  # fmt: skip


# --- What the paper's own claims are about: divergence, nine attacks, knowledge, PPB --------------

CHANGES = {
    "confidence": "confidence, Wasserstein-1",
    "sensitivity": "sensitivity, Kolmogorov–Smirnov",
    "generalization gap": "correctness, mean difference",
}
"""Each quantity's divergence, as `divergence.relative_changes` names it."""
SPREADS = ("confidence", "sensitivity")
PERMUTATIONS = 1000
WRONG = (0.5, 0.9)
"""Sparsities that an adversary assumes by mistake, besides that nothing was pruned."""
RULE = "warm-up"
"""Under the other stopping rules the divergence alone is measured: the rest is about attacks."""
ATTACKS_ON_PPB = ("conf", "samia")


def papers(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return what the paper's claims need of each victim: one row per number.

    Columns: the experiment's fields; statistic, name and value:

    "change"     relative change of a divergence from the original to the pruned network (`CHANGES`)
    "spread"     spread of the pruned network's divergence over classes, above that of shuffled ones
    "accuracy"   balanced accuracy of an attack on the pruned network
    "assumed"    of SAMIA by an adversary who assumes "sparsity 0.5", …, "no pruning"
    "adaptive", "non-adaptive"  of an attack on the network under PPB
    "test"       test accuracy with "no defense" and with "ppb"

    Without ``attacks`` the divergence alone is measured.
    """
    return tabulate(lab, (case for exp in experiments for case in _papers(exp, attacks)))


def _papers(exp: Experiment, attacks: Sequence[str]) -> Iterator[Case]:
    def about(statistic: str, name: str) -> Row:
        return fields(exp) | {"statistic": statistic, "name": name}

    before, after = (Step("signals", exp, of) for of in ("original", "pruned"))
    yield about("change", ""), [before, after], partial(_changes, exp.seed)
    for name in SPREADS:
        yield about("spread", name), [after], partial(_spread, name, exp.seed)
    if exp.stopping != RULE or not attacks:
        return
    for name in attacks:
        yield about("accuracy", name), [attack_step(exp, name, "pruned")], _accuracy
    guesses = {f"sparsity {s:g}": Adversary(sparsity=s) for s in WRONG if s != exp.sparsity}
    for name, guess in {**guesses, "no pruning": Adversary(pruner="none")}.items():
        step = attack_step(exp.replace(adversary=guess), "samia", "pruned")
        yield about("assumed", name), [step], _accuracy
    ppb = exp.replace(defense="ppb", strength=None)
    for adversary, believed in ((ADAPTIVE, None), (NAIVE, Adversary(defense="none"))):
        for name in ATTACKS_ON_PPB:
            step = attack_step(ppb.replace(adversary=believed), name, "pruned")
            yield about(adversary, name), [step], _accuracy
    for name, each in {"no defense": exp, "ppb": ppb}.items():
        yield about("test", name), [Step("pruned", each, "pruned")], _test_accuracy


def _changes(seed: int, before: Signals, after: Signals) -> Iterator[Row]:
    found = divergence.compare(before, after, bootstraps=20, seed=seed)
    changes = divergence.relative_changes(found)
    for name, distance in CHANGES.items():
        yield {"name": name, "value": float(changes[distance])}


def _spread(name: str, seed: int, after: Signals) -> Iterator[Row]:
    found = divergence.class_spread(after, name, permutations=PERMUTATIONS, seed=seed)
    yield {"value": found["spread"] - found["chance"]}


def _accuracy(result: AttackResult) -> Iterator[Row]:
    yield {"value": result.evaluation.accuracy.value}


def _test_accuracy(networks: Sequence[TrainedModel]) -> Iterator[Row]:
    yield {"value": networks[0].accuracy["test"]}


# --- Several releases of one network: what they give away, together and each alone ---------------

SPARSITIES = (0.5, 0.7, 0.9)
"""Releases of one network at several sparsities."""
BITS = (8, 4, 2)
"""To how many bits weights are rounded, and to how many those of a quantized copy."""
COPY = 4
ROUNDS = 4
"""Rounds of pruning that are compared with one shot; fewer where there are fewer epochs."""
MAIN = ("original", "dense", "pruned", "original + dense", "original + pruned")
"""The releases that attacks by sensitivities are fitted on as well, which take longest."""
SHORT = (
    "original", "dense", "pruned", "original + pruned", "pruned, 2 bits", "one shot", "rounds"
)  # fmt: skip
"""What a page compares where no table has more: it computes these itself."""


def released(
    lab: Lab,
    experiments: Sequence[Experiment],
    attacks: Sequence[str],
    only: Collection[str] = (),
) -> pd.DataFrame:
    """Return how much releases give away, alone and together: one row per measure.

    Columns: the experiment's fields; release (what the adversary holds: a name of `holdings`);
    held, how many networks that are; attack (on several releases also "conf, difference" and "conf,
    change"); measure ("accuracy", "AUC", "TPR at 0.01"); value; test_accuracy of the victim, where
    several are held that of the last. ``only``: the releases wanted; none: all.
    """
    return tabulate(lab, (case for exp in experiments for case in _released(exp, attacks, only)))


def holdings(exp: Experiment, only: Collection[str] = ()) -> dict[str, list[Release]]:
    """Return what the adversary holds, by name.

    "one shot", "rounds", "rewound" and their controls fine-tune for as many epochs as one another:
    all that are allowed, of which the last is kept.
    """
    control, pruned = dense(exp), (exp, "pruned")
    found: dict[str, list[Any]] = {
        "original": [(exp, "original")],
        "dense": [(control, "pruned")],
        "pruned": [pruned],
        "original + dense": [(exp, "original"), (control, "pruned")],
        "original + pruned": [(exp, "original"), pruned],
    }
    at = {f"{s:g}": (exp.replace(sparsity=s), "pruned") for s in SPARSITIES}
    found |= {f"pruned to {s}": [release] for s, release in at.items()}
    found[" + ".join(at)] = list(dict.fromkeys(at.values()))
    for bits in BITS:
        found[f"original, {bits} bits"] = [(exp.replace(bits=bits), "original")]
        found[f"pruned, {bits} bits"] = [(exp.replace(bits=bits), "pruned")]
        before = exp.replace(bits=bits, quantize="before")
        found[f"{bits} bits, then pruned"] = [(before, "pruned")]
    found[f"pruned + its {COPY} bits"] = [pruned, (exp.replace(bits=COPY), "pruned")]
    shot = _last_epoch(exp)
    turns = min(ROUNDS, exp.tuning_epochs)
    longer = _last_epoch(exp.replace(finetune_epochs=exp.training_epochs))
    alike = {
        "one shot": shot,
        "rounds": shot.replace(rounds=turns),
        "dense, rounds": dense(shot).replace(rounds=turns),
        "rewound": shot.replace(rewind=True),
        "dense, rewound": dense(shot).replace(rewind=True),
        "rewound, longer": longer.replace(rewind=True),
    }
    found |= {name: [(each, "pruned")] for name, each in alike.items()}
    return {name: held for name, held in found.items() if not only or name in only}


def _last_epoch(exp: Experiment) -> Experiment:
    """Return the experiment with a warm-up of all its epochs: the last one is kept."""
    if exp.stopping == "last":
        return exp
    warmup = max(exp.recipe.warmup, exp.tuning_epochs)
    return exp.replace(stopping="warm-up", finetune_warmup=warmup)


def _released(exp: Experiment, attacks: Sequence[str], only: Collection[str]) -> Iterator[Case]:
    for release, held in holdings(exp, only).items():
        last, of = held[-1]
        network = Step(of, last, of)
        for label, name, options in _attacks_on(release, held, attacks):
            alone = attack_step(last, name, of)
            step = release_step(held, name, options) if len(held) > 1 else alone
            about = {"release": release, "held": len(held), "attack": label}
            yield fields(exp) | about, [step, network], _measures_and_test


def _attacks_on(
    release: str, held: Sequence[Release], names: Sequence[str]
) -> Iterator[tuple[str, str, Row]]:
    """Yield each attack on what is held: what it is called, its name, its options."""
    for name in names:
        if release in MAIN or not ATTACKS[name].needs_sensitivity:
            yield name, name, {}
        if name == "conf" and len(held) > 1:
            for statistic in ("difference", "change"):
                yield f"{name}, {statistic}", name, {"statistic": statistic}


def _measures_and_test(result: AttackResult, networks: Sequence[TrainedModel]) -> Iterator[Row]:
    test = networks[0].accuracy["test"]
    for measure, value in result.evaluation.measures().items():
        if measure in map(MEASURES.get, WIDE):
            yield {"measure": measure, "value": value, "test_accuracy": test}


# --- Test accuracy against the leak: every way to prune, to fine-tune and to defend ---------------

WAY = ("pruner", "sparsity", "defense", "strength", "whole", "stopping", "finetune_epochs")
"""The columns that tell one way to make a network from another."""
VALIDATION = tuple(f"validation_{name}" for name in WIDE)
"""The same measures of the leak of validation samples, under defenses that train on them."""
ORIGINAL = "none"
"""In the column ``pruner``: the original network, before pruning and fine-tuning."""
ADAPTIVE, NAIVE = "adaptive", "non-adaptive"
"""In the column ``adversary``: whether the shadow networks are defended as the victim is."""


def tradeoffs(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return test accuracy and leak of every experiment's victim: one row per attack.

    Columns: dataset, model, `WAY`, seed, adversary ("adaptive", "non-adaptive"), test_accuracy,
    epsilon (of DP-SGD, else missing), attack, accuracy, auc, tpr@0.01; and `VALIDATION`: how well
    the attack tells validation from test samples, missing but for defenses that train on them.
    Where the control is among the experiments, its original networks are added.
    """
    networks: list[Release] = [(exp, "pruned") for exp in experiments]
    networks += [
        (exp, "original")
        for exp in experiments
        if PRUNERS[exp.pruner].control and exp.defense == "none"
    ]
    cases: list[Case] = [
        (
            label(exp) | ({"pruner": ORIGINAL} if of == "original" else {}),
            [Step(of, exp, of), *(attack_step(exp, name, of) for name in attacks)],
            partial(_tradeoff, lab, exp, of, attacks),
        )
        for exp, of in networks
    ]
    return tabulate(lab, cases).astype(dict.fromkeys(VALIDATION, float)).round(4)


def _tradeoff(
    lab: Lab,
    exp: Experiment,
    of: Of,
    attacks: Sequence[str],
    networks: Sequence[TrainedModel],
    *results: AttackResult,
) -> Iterator[Row]:
    (victim,) = networks
    moves = of == "pruned" and DEFENSES[exp.defense].uses_validation
    moved = validation_leaks(lab, exp, attacks) if moves else {}
    for attack, result in zip(attacks, results, strict=True):
        of_members = result.evaluation.row()
        of_validation = moved[attack].row() if moved else {}
        yield {
            "test_accuracy": victim.accuracy["test"],
            "epsilon": victim.privacy.get("epsilon"),
            "attack": attack,
            **{name: of_members[name] for name in WIDE},
            **{f"validation_{name}": of_validation.get(name) for name in WIDE},
        }


def label(exp: Experiment) -> Row:
    """Return the columns that tell an experiment from all others of a table of trade-offs."""
    known = exp.model_dump(mode="json") | {
        "strength": exp.defense_strength,
        "finetune_epochs": exp.tuning_epochs,
        "adversary": ADAPTIVE if exp.adversary is None else NAIVE,
    }
    return {name: known[name] for name in ("dataset", "model", *WAY, "seed", "adversary")}


def variants(exp: Experiment) -> list[Experiment]:
    """Return the experiments that a page compares where no table has more of them.

    Dense fine-tuning, pruning without a defense, and each defense at its default strength, for an
    adversary who knows of it and for one who does not.
    """
    plain = exp.replace(defense="none", strength=None, whole=False, adversary=None)
    defended = [
        plain.replace(defense=name, strength=kind.strength.default, adversary=believed)
        for name, kind in DEFENSES.items()
        if name != "none" and not (name == "earlystop" and exp.stopping == "last")
        for believed in (None, Adversary(defense="none"))
    ]
    return [dense(plain), plain, *defended]
