"""A small problem that networks learn in seconds, for the tests of training and of the defenses."""

import functools

import torch

from prunemia import models
from prunemia.pruning import prune
from prunemia.training import Job


def bumps():
    """300 samples of 3 classes: a bump whose place is the class, in noise; shape (1, 12)."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % 3
    features = torch.randn(300, 1, 12, generator=draw) * 0.7
    features[torch.arange(300), 0, labels * 4 + 1] += 2
    return features, labels


def jobs(kind, count, *, method="l1unstructured", sparsity=None):
    """Networks of a kind, each with weights, batches and a split of its own."""
    width = 8 if kind == "cnn1d" else None
    networks = []
    for seed in range(count):
        samples = torch.randperm(300, generator=torch.Generator().manual_seed(seed))
        module = models.build(kind, (1, 12), 3, width=width, seed=seed)
        masks = prune(module, method, sparsity) if sparsity else None
        parts = samples.split([150, 50, 100])
        whole = models.build(kind, (1, 12), 3, width=width, seed=seed)
        networks.append(Job(f"network {seed}", module, *parts, seed, masks, original=whole))
    return networks


pruned_jobs = functools.partial(jobs, sparsity=0.6)  # as fine-tuning gets them
