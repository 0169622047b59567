"""How DP-SGD's clip, batch and learning rate are chosen: validation accuracy of shadow networks.

No victim and no attack is looked at. One row per choice: the validation accuracy of shadow networks
that are pruned and fine-tuned (or, with --whole, trained) at σ = 1, and the ε that it costs.

    .venv/bin/python bench/dp_tuning.py mnist1d cnn1d
    .venv/bin/python bench/dp_tuning.py location columnfc --whole
"""

import argparse
import itertools
from dataclasses import replace
from unittest import mock

import numpy as np

import prunemia as pm
from prunemia.lab import networks
from prunemia.lab.steps import Step
from prunemia.registry import NETWORKS, PrivateConfig

SHADOWS = (1, 2, 3)
CLIPS = (0.1, 0.3, 1.0, 3.0)
BATCHES = (1, 4)
RATES = (0.3, 1.0, 3.0)
"""Batch and learning rate are multiples of the network's own."""


def fitted(lab, exp, group: tuple[int, ...], private: PrivateConfig) -> list:
    tried = {exp.model: replace(NETWORKS[exp.model], private=private)}
    with mock.patch.dict(NETWORKS, tried):
        if exp.whole:
            return networks.train(Step("original", exp, "original", group), lab)
        plain = pm.Experiment(dataset=exp.dataset, model=exp.model, shadows=exp.shadows)
        originals = [lab.original(plain, number) for number in group]
        return networks.prune(Step("pruned", exp, "pruned", group), lab, originals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("model")
    parser.add_argument("--whole", action="store_true")
    for name, values in (("batch", BATCHES), ("rate", RATES), ("clip", CLIPS)):
        parser.add_argument(f"--{name}", nargs="+", type=float, default=values)
    parser.add_argument("--shadow", nargs="+", type=int, default=SHADOWS)
    asked = parser.parse_args()
    lab = pm.Lab(progress=False)
    own = pm.Experiment(dataset=asked.dataset, model=asked.model)
    for batch, rate, clip in itertools.product(asked.batch, asked.rate, asked.clip):
        exp = own.replace(
            defense="dp",
            strength=1.0,
            whole=asked.whole,
            shadows=max(asked.shadow),
            batch_size=int(batch * own.recipe.batch_size),
        )
        done = fitted(lab, exp, tuple(asked.shadow), PrivateConfig(clip, rate))
        accuracy = np.mean([network.accuracy["validation"] for network in done])
        epsilon = done[0].privacy["epsilon"]
        print(
            f"batch {exp.recipe.batch_size:4d}  rate × {rate:3.1f}  clip {clip:4.1f}  "
            f"ε {epsilon:6.2f}  validation accuracy {accuracy:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
