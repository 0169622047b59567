"""What the adversary assumes."""

from __future__ import annotations

from pydantic import Field

from prunemia.experiment.fields import AssumedPruner, DefenseName, Frozen


class Adversary(Frozen):
    """What the adversary assumes of the victim; None where it knows the truth.

    Source: Yuan & Zhang (2022), section 6 (adversary knowledge) and section 7
    (an adaptive adversary applies the victim's defense to its shadow networks).
    """

    pruner: AssumedPruner | None = Field(
        None,
        description="the pruner of the shadow networks; "
        '"dense" fine-tunes them as they are, "none" leaves them as they are',
    )
    sparsity: float | None = Field(
        None, gt=0, lt=1, description="the sparsity of the shadow networks"
    )
    defense: DefenseName | None = Field(None, description="the defense of the shadow networks")
    strength: float | None = Field(None, ge=0, description="that defense's strength")
