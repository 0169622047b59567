"""The pipeline: an experiment in, artefacts out, each computed once.

Each stage's result is stored under the hash of what it depends on: its part of the experiment, its
inputs' keys, and the stage's version (raise it when the stage computes something else). The networks of
one group (the victim alone; shadows in stacks) are trained side by side and stored as one artefact.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from prunemia import attacks, data, stages
from prunemia.attacks import names as attack_names
from prunemia.experiment import Experiment, content_key
from prunemia.metrics import Evaluation, evaluate
from prunemia.models import STACKED
from prunemia.signals import SignalPair, Signals
from prunemia.stages import VICTIM, TrainedModel
from prunemia.store import Store, default_root, pack_arrays, pack_json, unpack_arrays, unpack_json

VERSIONS = {"original": 1, "pruned": 1, "signals": 1, "attack": 1}
STACK = 16
"""Most networks that are trained in one stack."""

Of = Literal["pruned", "original"]
Files = dict[str, bytes]
Group = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack said of the target's n samples, and how right it was.

    Attributes
    ----------
    scores : shape (n,), float64; larger = more likely a member, 0 = the threshold.
    predictions, membership : shape (n,), bool.
    evaluation : accuracy, AUC, TPR at low FPR, each with its 95 % interval.
    """

    scores: NDArray[np.float64]
    predictions: NDArray[np.bool_]
    membership: NDArray[np.bool_]
    evaluation: Evaluation


class Lab:
    """Where experiments are carried out and their results kept.

    Parameters
    ----------
    store : a folder; None: ``$PRUNEMIA_STORE``, else ``.prunemia/`` at the repository's root,
        else the user's cache folder.
    device : where networks compute; None: cuda where there is one, else cpu.
    progress : show on stderr what is being computed.
    """

    def __init__(
        self, store: str | Path | None = None, device: str | torch.device | None = None, progress: bool = True
    ) -> None:
        self.store = Store(default_root() if store is None else Path(store))
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.progress = progress

    def dataset(self, exp: Experiment) -> data.Dataset:
        """Return the experiment's data set."""
        return _dataset(exp.dataset, exp.samples)

    def split(self, exp: Experiment, network: int = VICTIM) -> data.Split:
        """Return which rows a network trains, validates and tests on; 0 is the victim, 1 … k the shadows."""
        return data.split(self.dataset(exp), exp.seed, network)

    def original(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return the unpruned network; 0 is the victim, 1 … k the shadows."""
        return self._network(exp, "original", network)

    def pruned(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return the pruned and fine-tuned network; 0 is the victim, 1 … k the shadows."""
        return self._network(exp, "pruned", network)

    def accuracies(self, exp: Experiment, of: Of = "pruned") -> pd.DataFrame:
        """Return one row a network (0 the victim, 1 … k the shadows): its accuracies (0 … 1) and sparsity."""
        networks = [network for group in _groups(exp) for network in self._networks(exp, of, group)]
        rows = [n.accuracy | {"sparsity": n.sparsity} for n in networks]
        return pd.DataFrame(rows, columns=["train", "validation", "test", "sparsity"]).rename_axis("network")

    def signals(self, exp: Experiment, of: Of = "pruned") -> SignalPair:
        """Return what the adversary learns on and what it attacks.

        The shadow networks are pruned as ``exp.adversary`` assumes; the target is the victim as it is.
        Members are a network's training rows, non-members its test rows.
        """
        shadow = [self._signals(*side) for side in self._shadow_sides(exp, of)]
        return SignalPair(Signals.concatenate(shadow), self._signals(exp, of, (VICTIM,)))

    def attack(self, exp: Experiment, name: str, of: Of = "pruned", **options: Any) -> AttackResult:
        """Fit the attack on the shadow networks' signals and decide on the victim's samples.

        ``options`` go to the attack, e.g. ``recipe="paper"`` for samia. A learned attack is seeded by ``exp.seed``.

        Raises
        ------
        ValueError
            There is no such attack, option, or side (``of``).
        """
        attack = self._prepare(name, exp, options)
        learned_on = [self._signals_key(*side) for side in self._shadow_sides(exp, of)]
        decided_on = self._signals_key(exp, of, (VICTIM,))
        settings = {k: v for k, v in attack.get_params().items() if k not in ("device", "progress")}
        key = content_key([VERSIONS["attack"], name, settings, learned_on, decided_on])
        title = f"{name} on the {of} network, {_title(exp)}"
        files = self._stored("attack", key, title, lambda: _carry_out(attack, self.signals(exp, of)))
        arrays = unpack_arrays(files["decisions.npz"])
        evaluation = Evaluation.from_dict(unpack_json(files["evaluation.json"]))
        return AttackResult(arrays["scores"], arrays["predictions"], arrays["membership"], evaluation)

    def compare(self, exp: Experiment, attacks: Iterable[str] | None = None, of: Of = "pruned") -> pd.DataFrame:
        """Return one row an attack (None: all), with accuracy, AUC and TPR at low FPR and their intervals."""
        table = self.map([exp], attacks, of)
        return table.loc[:, "attack":]

    def map(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None, of: Of = "pruned"
    ) -> pd.DataFrame:
        """Return one row an (experiment, attack): the experiment's fields, then the evaluation."""
        names = attack_names() if attacks is None else tuple(attacks)
        rows = []
        for exp in experiments:
            fields = exp.model_dump(mode="json", exclude={"adversary"}) | {"key": exp.key, "of": of}
            rows += [fields | {"attack": name} | self.attack(exp, name, of).evaluation.row() for name in names]
        return pd.DataFrame(rows)

    def _prepare(self, name: str, exp: Experiment, options: dict[str, Any]) -> attacks.Attack:
        kind = attacks.get(name)
        allowed = kind().get_params()
        if unknown := sorted(options.keys() - allowed.keys()):
            raise ValueError(f"{name}: no option {', '.join(unknown)}; allowed: {', '.join(sorted(allowed)) or 'none'}")
        given = {"seed": exp.seed, "device": str(self.device), "progress": self.progress}
        return kind(**{k: v for k, v in given.items() if k in allowed} | options)

    def _shadow_sides(self, exp: Experiment, of: Of) -> list[tuple[Experiment, Of, Group]]:
        """Return what the adversary's shadow networks are: experiment, pruned or original, group."""
        if of not in get_args(Of):
            raise ValueError(f"of: {of!r} is not allowed; allowed: {', '.join(get_args(Of))}")
        unpruned = of == "pruned" and exp.adversary is not None and exp.adversary.pruner == "none"
        assumed = exp.assumed()
        return [(assumed, "original" if unpruned else of, group) for group in _groups(assumed)[1:]]

    def _network(self, exp: Experiment, of: Of, network: int) -> TrainedModel:
        for group in _groups(exp):
            if network in group:
                return self._networks(exp, of, group)[group.index(network)]
        raise ValueError(f"network: {network} is not allowed; allowed: 0 (the victim) to {exp.shadows}")

    def _networks(self, exp: Experiment, of: Of, group: Group) -> list[TrainedModel]:
        dataset = self.dataset(exp)
        who = "victim" if group == (VICTIM,) else f"shadow networks {group[0]}–{group[-1]}"
        title = f"{'training' if of == 'original' else 'pruning'} the {who}, {_title(exp, of)}"

        def compute() -> Files:
            if of == "original":
                with self._progress(title, exp.training_epochs) as report:
                    return stages.pack(stages.train(exp, dataset, group, self.device, report))
            originals = self._networks(exp, "original", group)
            with self._progress(title, exp.tuning_epochs) as report:
                return stages.pack(stages.prune(exp, dataset, group, originals, self.device, report))

        files = self._stored(of, self._networks_key(exp, of, group), title, compute)
        return stages.unpack(files, exp, dataset, self.device)

    def _networks_key(self, exp: Experiment, of: Of, group: Group) -> str:
        recipe = [exp.patience, exp.batch_size, exp.learning_rate, exp.weight_decay, exp.precision]
        if of == "original":
            own = [self.dataset(exp).fingerprint, exp.seed, group, exp.model, exp.width, exp.training_epochs]
        else:
            own = [self._networks_key(exp, "original", group), exp.pruner, exp.sparsity, exp.defense, exp.strength]
            own += [exp.tuning_epochs, exp.finetune_warmup]
        return content_key([of, VERSIONS[of], own, recipe])

    def _signals(self, exp: Experiment, of: Of, group: Group) -> Signals:
        def compute() -> Files:
            networks = self._networks(exp, of, group)
            return {
                "signals.npz": pack_arrays(stages.ask(exp, self.dataset(exp), group, networks, self.device).arrays())
            }

        files = self._stored("signals", self._signals_key(exp, of, group), f"signals, {_title(exp, of)}", compute)
        return Signals(**unpack_arrays(files["signals.npz"]))

    def _signals_key(self, exp: Experiment, of: Of, group: Group) -> str:
        return content_key([VERSIONS["signals"], self._networks_key(exp, of, group), exp.epsilon, exp.draws])

    def _stored(self, stage: str, key: str, title: str, compute: Callable[[], Files]) -> Files:
        """Return the artefact, computed first if nobody has; another process that is at it is waited for."""
        files = self.store.get(stage, key)
        if files is not None:
            return files
        with self.store.lock(stage, key, on_wait=lambda: self._say(f"waiting for another process: {title}")):
            files = self.store.get(stage, key)
            if files is None:
                started = time.process_time()
                files = compute()
                self.store.put(stage, key, files, {"what": title, "cpu_seconds": time.process_time() - started})
        return files

    def _say(self, text: str) -> None:
        if self.progress:
            tqdm.write(text, file=sys.stderr)

    @contextlib.contextmanager
    def _progress(self, title: str, epochs: int) -> Iterator[stages.Report]:
        pause = 0.2 if sys.stderr.isatty() else 5.0  # seconds between lines: a log wants fewer
        with tqdm(total=epochs, desc=title, unit="epoch", disable=not self.progress, mininterval=pause) as bar:

            def report(line: str) -> None:
                bar.set_postfix_str(line, refresh=False)
                bar.update()

            yield report


def _groups(exp: Experiment) -> list[Group]:
    """Cut networks 0 … k into what is trained side by side: the victim, then stacks of shadows."""
    size = STACK if exp.model in STACKED else 1
    last = exp.shadows + 1
    return [(VICTIM,), *(tuple(range(start, min(start + size, last))) for start in range(1, last, size))]


def _carry_out(attack: attacks.Attack, pair: SignalPair) -> Files:
    membership = pair.target.require_membership()
    hidden = pair.target.observed()
    scores = attack.fit(pair.shadow).decision_function(hidden)
    predictions = scores >= 0
    evaluation = evaluate(membership, scores, predictions, ranks=attack.ranks)
    decisions = {"scores": scores, "predictions": predictions, "membership": membership}
    return {"decisions.npz": pack_arrays(decisions), "evaluation.json": pack_json(evaluation.to_dict())}


def _title(exp: Experiment, of: Of = "pruned") -> str:
    how = f", {exp.pruner} {exp.sparsity:g}" if of == "pruned" else ""
    return f"{Path(exp.dataset).name}/{exp.model}{how}, seed {exp.seed}"


@lru_cache(maxsize=4)
def _dataset(name: str, samples: int | None) -> data.Dataset:
    return data.load(name, samples)
