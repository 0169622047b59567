"""What the package raises for a user's mistake, and for what fails while it runs."""


class UsageError(ValueError):
    """What was asked for is refused; the text says in one sentence why, and what is allowed."""

    def _render_traceback_(self) -> list[str]:  # a notebook shows the sentence alone
        return [f"{type(self).__name__}: {self}"]


class RunError(Exception):
    """A page, the book or a sweep failed as it was made; the text says what, and where to look."""


def shortened(text: str, most: int = 200) -> str:
    """Return a text, or its beginning and an ellipsis: what people typed, in a message."""
    return text if len(text) <= most else f"{text[:most]}…"
