"""What each kind of table says of an experiment: steps to carry out, and rows to read off them."""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from prunemia import divergence
from prunemia.experiment import Adversary, Experiment
from prunemia.lab import Lab, effects, lengths
from prunemia.lab.attacking import AttackResult, validation_leaks
from prunemia.lab.effects import Case, Row, dense, fields, leakage
from prunemia.lab.networks import TrainedModel
from prunemia.lab.steps import Of, Release, Step, attack_step, release_step
from prunemia.metrics import MEASURES
from prunemia.registry import ATTACKS, DEFENSES, PRUNERS
from prunemia.signals import Signals

WIDE = ("accuracy", "auc", "tpr@0.01")  # measures, by columns, of releases and trade-offs

Names = Sequence[str]


def _table(cases: Callable[..., Iterable[Case]]) -> Callable[..., pd.DataFrame]:
    """Make of what yields an experiment's cases what returns the table of many."""

    @functools.wraps(cases)
    def table(lab: Lab, experiments: Sequence[Experiment], *rest: Any, **more: Any) -> pd.DataFrame:
        return lab.tabulate(case for exp in experiments for case in cases(exp, *rest, **more))

    return table


levels = _table(effects.cases)
"""Each measure on the original, dense and pruned network: the three effects' source."""


@_table
def recipes(exp: Experiment, attacks: Names) -> Iterator[Case]:
    """Return each learned attack by its fast and by the paper's recipe, on the same victims."""

    def read(result: AttackResult) -> Iterator[Row]:
        row = result.evaluation.row()
        yield {name: row[name] for name in ("accuracy", "auc")}

    known = {name: getattr(exp, name) for name in ("dataset", "model", "sparsity", "seed")}
    options: dict[str, Row] = {"fast": {}, "paper": {"recipe": "paper"}}
    for attack in attacks:
        for recipe, given in options.items():
            step = attack_step(exp, attack, "pruned", given)
            yield known | {"attack": attack, "recipe": recipe}, [step], read


CURVE_MEASURE = "confidence AUC"  # cheap: it needs no shadow networks


@_table
def curve(exp: Experiment, _: Names) -> Iterator[Case]:
    """Return the dense networks of each run along the epochs: one row per network.

    Originals that stop after 1, 2, 4, … epochs (role "training"), or are fine-tuned for so many
    ("dense"). Columns: those of `Lab.along_epochs`; there is no attack.
    """

    def read(networks: Sequence[TrainedModel], signals: Signals) -> Iterator[Row]:
        measured = {"attack": "", "measure": CURVE_MEASURE}
        value = leakage(signals)[CURVE_MEASURE]
        yield {**lengths.accuracies(networks), **measured, "value": value}

    for role, epochs, each, of in lengths.networks(exp):
        if role in lengths.CURVE:
            about = fields(exp) | {"role": role, "epochs": epochs}
            yield about, [Step(of, each, of), Step("signals", each, of)], read


# --- What the paper's own claims are about: divergence, nine attacks, knowledge, PPB --------------

CHANGES = {  # each quantity's divergence, as `divergence.relative_changes` names it
    "confidence": "confidence, Wasserstein-1",
    "sensitivity": "sensitivity, Kolmogorov–Smirnov",
    "generalization gap": "correctness, mean difference",
}


@_table
def papers(exp: Experiment, attacks: Names) -> Iterator[Case]:
    """Return what the paper's claims need of each victim: one row per number.

    Columns: the experiment's fields; statistic, name, value. "change": of a divergence (`CHANGES`),
    relative, by pruning and fine-tuning; "spread": over classes, above that of shuffled ones;
    "accuracy": balanced, of an attack; "assumed": of SAMIA by an adversary who assumes "sparsity
    0.5", …; "adaptive", "non-adaptive": of an attack under PPB; "test": without and with PPB. The
    divergence alone without ``attacks``, and under stopping rules other than ours.
    """

    def changes(before: Signals, after: Signals) -> Iterator[Row]:
        found = divergence.compare(before, after, bootstraps=20, seed=exp.seed)
        relative = divergence.relative_changes(found)
        for name, distance in CHANGES.items():
            yield about("change", name) | {"value": float(relative[distance])}

    def spreads(after: Signals) -> Iterator[Row]:
        for name in ("confidence", "sensitivity"):
            found = divergence.class_spread(after, name, permutations=1000, seed=exp.seed)
            yield about("spread", name) | {"value": found["spread"] - found["chance"]}

    def about(statistic: str, name: str) -> Row:
        return {**fields(exp), "statistic": statistic, "name": name}

    def attacked(statistic: str, name: str, attack: str, each: Experiment) -> Case:
        return about(statistic, name), [attack_step(each, attack, "pruned")], accuracy

    def accuracy(result: AttackResult) -> Iterator[Row]:
        yield {"value": result.evaluation.accuracy.value}

    def test_accuracy(networks: Sequence[TrainedModel]) -> Iterator[Row]:
        yield {"value": networks[0].accuracy["test"]}

    before, after = (Step("signals", exp, of) for of in ("original", "pruned"))
    yield {}, [before, after], changes
    yield {}, [after], spreads
    if exp.stopping != "warm-up" or not attacks:
        return
    yield from (attacked("accuracy", name, name, exp) for name in attacks)
    guesses = {f"sparsity {s:g}": Adversary(sparsity=s) for s in (0.5, 0.9) if s != exp.sparsity}
    for name, guess in {**guesses, "no pruning": Adversary(pruner="none")}.items():
        yield attacked("assumed", name, "samia", exp.replace(adversary=guess))
    ppb = exp.replace(defense="ppb", strength=None)
    for adversary, believed in ((ADAPTIVE, None), (NAIVE, Adversary(defense="none"))):
        for name in ("conf", "samia"):
            yield attacked(adversary, name, name, ppb.replace(adversary=believed))
    for name, each in {"no defense": exp, "ppb": ppb}.items():
        yield about("test", name), [Step("pruned", each, "pruned")], test_accuracy


# --- Several releases of one network: what they give away, together and each alone ---------------

COPY = 4  # bits
ROUNDS = 4  # of pruning, compared with one shot; fewer where there are fewer epochs
MAIN = ("original", "dense", "pruned", "original + dense", "original + pruned")
"""The releases that attacks by sensitivities are fitted on as well, which take longest."""
SHORT = (  # what a page computes itself where no table has more
    "original", "dense", "pruned", "original + pruned", "pruned, 2 bits", "one shot", "rounds"
)  # fmt: skip


@_table
def released(exp: Experiment, attacks: Names, only: Collection[str] = ()) -> Iterator[Case]:
    """Return how much releases give away, alone and together: one row per measure.

    Columns: the experiment's fields; release (of `holdings`); held, how many networks that are;
    attack (on several also "conf, difference" and "conf, change"); measure ("accuracy", "AUC", "TPR
    at 0.01"); value; test_accuracy of the last network. ``only``: the releases wanted, or all.
    """

    def read(result: AttackResult, networks: Sequence[TrainedModel]) -> Iterator[Row]:
        measures, test = result.evaluation.measures(), networks[0].accuracy["test"]
        for measure in (MEASURES[name] for name in WIDE):
            yield {"measure": measure, "value": measures[measure], "test_accuracy": test}

    for release, held in holdings(exp, only).items():
        last, of = held[-1]
        able = [n for n in attacks if release in MAIN or not ATTACKS[n].needs_sensitivity]
        for name in able:
            tried: dict[str, Row] = {name: {}}
            if name == "conf" and len(held) > 1:
                tried |= {f"conf, {s}": {"statistic": s} for s in ("difference", "change")}
            for label, options in tried.items():
                alone = attack_step(last, name, of)
                step = release_step(held, name, options) if len(held) > 1 else alone
                about = {"release": release, "held": len(held), "attack": label}
                yield fields(exp) | about, [step, Step(of, last, of)], read


def holdings(exp: Experiment, only: Collection[str] = ()) -> dict[str, list[Release]]:
    """Return what the adversary holds, by name; rounds and rewound tune for one shot's epochs."""
    original, control, pruned = (exp, "original"), (dense(exp), "pruned"), (exp, "pruned")
    found: dict[str, list[Any]] = {"original": [original], "dense": [control], "pruned": [pruned]}
    found |= {"original + dense": [original, control], "original + pruned": [original, pruned]}
    at = {f"{s:g}": (exp.replace(sparsity=s), "pruned") for s in (0.5, 0.7, 0.9)}
    found |= {f"pruned to {s}": [release] for s, release in at.items()}
    found[" + ".join(at)] = list(dict.fromkeys(at.values()))
    for bits in (8, 4, 2):
        found[f"original, {bits} bits"] = [(exp.replace(bits=bits), "original")]
        found[f"pruned, {bits} bits"] = [(exp.replace(bits=bits), "pruned")]
        before = exp.replace(bits=bits, quantize="before")
        found[f"{bits} bits, then pruned"] = [(before, "pruned")]
    found[f"pruned + its {COPY} bits"] = [pruned, (exp.replace(bits=COPY), "pruned")]
    # a round is shorter than the warm-up, so all of them keep their last epoch
    warmup = max(exp.recipe.warmup, exp.tuning_epochs, exp.training_epochs)
    shot = exp.replace(finetune_warmup=warmup) if exp.stopping == "warm-up" else exp
    turns = min(ROUNDS, exp.tuning_epochs)
    longer = shot.replace(finetune_epochs=exp.training_epochs)
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


# --- Test accuracy against the leak: every way to prune, to fine-tune and to defend ---------------

WAY = ("pruner", "sparsity", "defense", "strength", "whole", "stopping", "finetune_epochs")
"""The columns that tell one way to make a network from another."""
VALIDATION = tuple(f"validation_{name}" for name in WIDE)  # the same of validation samples
ORIGINAL = "none"  # in the column ``pruner``: before pruning and fine-tuning
ADAPTIVE, NAIVE = "adaptive", "non-adaptive"  # shadows are defended as the victim is, or not


def tradeoffs(lab: Lab, experiments: Sequence[Experiment], attacks: Names) -> pd.DataFrame:
    """Return test accuracy and leak of every experiment's victim: one row per attack.

    Columns: dataset, model, `WAY`, seed, adversary, test_accuracy, epsilon (of DP-SGD), attack,
    `WIDE`; `VALIDATION`, for defenses that train on those. With a control comes its original.
    """

    def read(
        exp: Experiment, of: Of, networks: Sequence[TrainedModel], *results: AttackResult
    ) -> Iterator[Row]:
        moves = of == "pruned" and DEFENSES[exp.defense].uses_validation
        moved = validation_leaks(lab, exp, attacks) if moves else {}
        test, epsilon = networks[0].accuracy["test"], networks[0].privacy.get("epsilon")
        for attack, result in zip(attacks, results, strict=True):
            members = result.evaluation.row()
            validation = moved[attack].row() if moved else {}
            row = {"test_accuracy": test, "epsilon": epsilon, "attack": attack}
            row |= {name: members[name] for name in WIDE}
            yield row | {f"validation_{name}": validation.get(name) for name in WIDE}

    controls = [e for e in experiments if PRUNERS[e.pruner].control and e.defense == "none"]
    networks: list[Release] = [(exp, "pruned") for exp in experiments]
    networks += [(exp, "original") for exp in controls]
    cases: list[Case] = []
    for exp, of in networks:
        steps = [Step(of, exp, of), *(attack_step(exp, name, of) for name in attacks)]
        about = label(exp) | ({"pruner": ORIGINAL} if of == "original" else {})
        cases.append((about, steps, functools.partial(read, exp, of)))
    table = lab.tabulate(cases)
    return table.astype(dict.fromkeys(VALIDATION, float)).round(4)


def label(exp: Experiment) -> Row:
    """Return the columns that tell an experiment from all others of a table of trade-offs."""
    known = exp.model_dump(mode="json") | {
        "strength": exp.defense_strength,
        "finetune_epochs": exp.tuning_epochs,
        "adversary": ADAPTIVE if exp.adversary is None else NAIVE,
    }
    return {name: known[name] for name in ("dataset", "model", *WAY, "seed", "adversary")}


def variants(exp: Experiment) -> list[Experiment]:
    """Return the control, the pruned, and each default defense, adaptive or not, for a page."""
    plain = exp.replace(defense="none", strength=None, whole=False, adversary=None)
    defended = [
        plain.replace(defense=name, strength=kind.strength.default, adversary=believed)
        for name, kind in DEFENSES.items()
        if name != "none" and not (name == "earlystop" and exp.stopping == "last")
        for believed in (None, Adversary(defense="none"))
    ]
    return [dense(plain), plain, *defended]
