"""`python -m prunemia.cli` is `prunemia`."""

from prunemia.cli import main

main()
