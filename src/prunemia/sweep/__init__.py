"""Sweeps: a GRID.yml read, carried out, and written as one table."""
