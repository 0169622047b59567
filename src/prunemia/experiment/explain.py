"""One sentence for what pydantic refuses."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from prunemia.experiment.record import Adversary, Experiment


def explain(error: ValidationError) -> str:
    """Return one sentence for a ValidationError: the field, the value, what is allowed."""
    return "; ".join(_sentence(dict(item)) for item in error.errors())


def _sentence(item: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in item["loc"])
    message: str = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not field:
        return message
    if item["type"] == "extra_forbidden":
        allowed = (
            Adversary.model_fields if field.startswith("adversary.") else Experiment.model_fields
        )
        return f"{field}: no such field; allowed: {', '.join(allowed)}"
    verb = "" if message.startswith(("must", "is ")) else "is not allowed: "
    return f"{field}: {item['input']!r} {verb}{message}"
