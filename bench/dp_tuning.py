"""How DP-SGD's clip, batch and learning rate are chosen: validation accuracy of shadow networks.

No victim and no attack is looked at. One row per choice: the validation accuracy of shadow networks
that are pruned and fine-tuned (or, with --whole, trained) at σ = 1, and the ε that it costs.

    .venv/bin/python bench/dp_tuning.py mnist1d cnn1d
    .venv/bin/python bench/dp_tuning.py location columnfc --whole
"""

import argparse
import itertools
from unittest import mock

import numpy as np

import prunemia as pm
from prunemia.defenses import private
from prunemia.lab import networks
from prunemia.lab.steps import Step

SHADOWS = (1, 2, 3)
CLIPS = (0.3, 1.0, 3.0)
BATCHES = (1, 4)
RATES = (0.3, 1.0, 3.0)
"""Batch and learning rate are multiples of the network's own."""


def fitted(lab, exp, clip: float) -> list:
    data = lab.dataset(exp)
    with mock.patch.object(private, "MAX_GRAD_NORM", clip):
        if exp.whole:
            return networks.train(Step("original", exp, "original", SHADOWS), data, lab.device)
        plain = pm.Experiment(dataset=exp.dataset, model=exp.model, shadows=len(SHADOWS))
        originals = [lab.original(plain, number) for number in SHADOWS]
        return networks.prune(Step("pruned", exp, "pruned", SHADOWS), data, originals, lab.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("model")
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args()
    lab = pm.Lab(progress=False)
    own = pm.Experiment(dataset=asked.dataset, model=asked.model)
    for batch, rate, clip in itertools.product(BATCHES, RATES, CLIPS):
        exp = own.replace(
            defense="dp",
            strength=1.0,
            whole=asked.whole,
            shadows=len(SHADOWS),
            batch_size=batch * own.recipe.batch_size,
            learning_rate=rate * own.recipe.learning_rate,
        )
        done = fitted(lab, exp, clip)
        accuracy = np.mean([network.accuracy["validation"] for network in done])
        epsilon = done[0].privacy["epsilon"]
        print(
            f"batch {exp.recipe.batch_size:4d}  rate {exp.recipe.learning_rate:.4f}  "
            f"clip {clip:3.1f}  ε {epsilon:6.2f}  validation accuracy {accuracy:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
