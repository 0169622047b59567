"""Say what the timings were made on."""

import os
import platform
from datetime import UTC, datetime

import torch

from prunemia.results.kept import processor


def main() -> None:
    print(
        f"{datetime.now(UTC).date()}, {processor()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}\n"
    )


if __name__ == "__main__":
    main()
