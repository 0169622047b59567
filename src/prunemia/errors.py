"""What the package raises for a user's mistake, and for what fails while it runs."""

from __future__ import annotations


class UsageError(ValueError):
    """What was asked for cannot be done; the text is one sentence that says why and what is allowed."""


class RunError(Exception):
    """A page, the book or a sweep failed while it was made; the text says what, and where to look."""
