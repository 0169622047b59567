"""Say what the timings were made on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch


def processor() -> str:
    """Return the processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    print(
        f"{datetime.now(UTC).date()}, {processor()} ({torch.backends.cpu.get_cpu_capability()}), "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}\n"
    )


if __name__ == "__main__":
    main()
