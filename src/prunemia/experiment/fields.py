"""What the fields of a record may hold, and what every record refuses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from prunemia.registry import DEFENSES, NETWORKS, PRUNERS, suggest

Stopping = Literal["warm-up", "published", "last"]
"""How fine-tuning ends. "warm-up" (ours): the first epochs neither count for patience nor are kept,
and patience never ends below 90 % of the original's validation accuracy. "published": neither, so
the first epoch may be the one kept. "last": every epoch, and the last is kept; originals too."""

Sparsity = Annotated[float, Field(gt=0, lt=1)]


def _one_of(names: Any, *others: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Return what makes a text field name an entry of the table ``names``, or one of ``others``."""

    def known(value: str) -> str:
        if value not in names and value not in others:
            allowed = [*others, *names]
            hint = suggest(value, dict.fromkeys(allowed))
            raise ValueError(f"must be one of {', '.join(allowed)}{hint}")
        return value

    schema = {"type": "string", "enum": [*others, *names]}
    return AfterValidator(known), WithJsonSchema(schema)


ModelName = Annotated[str, *_one_of(NETWORKS)]
PrunerName = Annotated[str, *_one_of(PRUNERS)]
AssumedPruner = Annotated[str, *_one_of(PRUNERS, "none")]
DefenseName = Annotated[str, *_one_of(DEFENSES)]


class Frozen(BaseModel):
    """A record that cannot be changed and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes True for 1, but `seed: true` is a slip of the pen, not seed 1
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and annotation is not bool:
            raise ValueError("is a truth value, and this field takes none")
        return value
