import os
import subprocess
import sys

import pytest
import torch

from prunemia.results import kept

CODE = "from prunemia.results import kept; print(kept.probe(), kept.processor())"


def elsewhere(**changes):
    """Return probe and name in a process of its own."""
    environment = os.environ | changes
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split(maxsplit=1)


def test_another_process_has_the_same_probe_and_name():
    assert elsewhere() == [kept.probe(), f"{kept.processor()}\n"]
    kept.probe.cache_clear()
    assert elsewhere(OMP_NUM_THREADS="1")[0] == kept.probe()


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch has no older instructions to fall back to",
)
def test_other_instructions_have_another_probe_and_name():
    # vectors of another length add in another order
    probe, name = elsewhere(ATEN_CPU_CAPABILITY="default")

    assert len(probe) == 16
    assert probe != kept.probe()
    assert name != f"{kept.processor()}\n"
