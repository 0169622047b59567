"""Whether two machines compute alike: a small training whose result is hashed."""

from __future__ import annotations

import functools
import hashlib
import platform
import tempfile
from pathlib import Path

import torch

from prunemia.experiment import Experiment
from prunemia.lab import Lab

SMALL = {"samples": 300, "epochs": 2, "finetune_epochs": 1, "shadows": 2, "draws": 1}
NETWORKS = (
    Experiment(model="cnn1d", **SMALL),
    Experiment(model="columnfc", **SMALL),
    Experiment(dataset="digits", model="cnn2d", **SMALL),
)
"""One of each kind of network that tables are made of; their widths and batches are the tables'."""


@functools.cache
def probe(device: str = "cpu") -> str:
    """Return a hash of a small training and attack: equal where arithmetic is equal, bit for bit.

    Processors differ in the order in which they add, and library versions do, so the last bits of
    a sum differ, and each step of training magnifies that. Sixteen hexadecimal digits.
    """
    found = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, device=device, progress=False)
        for exp in NETWORKS:
            for tensor in lab.pruned(exp).module.state_dict().values():
                found.update(tensor.cpu().numpy().tobytes())
            found.update(lab.attack(exp, "samia", epochs=1).scores.tobytes())
    return found.hexdigest()[:16]


def name(device: str = "cpu") -> str:
    """Return what the processor is called, and the instructions that torch uses of it."""
    if device != "cpu":
        return str(torch.cuda.get_device_name(device))
    return f"{_model()} ({torch.backends.cpu.get_cpu_capability()})"


def _model() -> str:
    """Return the processor's name as Linux tells it, else as Python does."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
