"""One sentence for what pydantic refuses."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from prunemia.experiment.adversary import Adversary
from prunemia.experiment.record import Experiment


def explain(error: ValidationError) -> str:
    """Return one sentence for a ValidationError: the field, the value, what is allowed."""
    items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    named = {item["loc"][0] for item in items if len(item["loc"]) > 1}
    # a list whose only element is wrong counts as empty, too: that adds nothing
    told = [i for i in items if i["type"] != "too_short" or i["loc"][0] not in named]
    return "; ".join(_sentence(item) for item in told)


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
