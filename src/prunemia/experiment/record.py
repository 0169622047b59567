"""What identifies a result: one frozen, validated record, and its content key.

Light on purpose: the command line imports this module alone to refuse a wrong
parameter within a second, so nothing here may import torch.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from pydantic import Field, field_validator, model_validator

from prunemia.experiment.adversary import Adversary
from prunemia.experiment.fields import DefenseName, Frozen, ModelName, PrunerName, Stopping
from prunemia.experiment.hashing import content_key
from prunemia.experiment.refusals import refusals
from prunemia.registry import DEFENSES, NETWORKS, PRUNERS, SOURCES, TrainingConfig, suggest


class Experiment(Frozen):
    """One victim network, its shadow networks, and how they are pruned and queried.

    Two experiments with the same fields are the same experiment: ``key`` is
    their content hash, and every random draw is derived from the fields.

    Raises
    ------
    pydantic.ValidationError
        A field is unknown, out of range, or does not go with another. `explain`
        turns it into one sentence.
    """

    dataset: str = Field(
        "mnist1d", description="a data set's name, or the path of an .npz with features and labels"
    )
    samples: int | None = Field(
        None, ge=100, description="samples to use; None: all (mnist1d: 5,000)"
    )
    rows: Literal["same", "fresh"] = Field(
        "same", description="the samples: the same for every seed, or each seed's own"
    )
    standardize: bool = Field(
        False,
        description="give each feature mean 0 and deviation 1 on a network's training samples",
    )
    model: ModelName = Field("cnn1d", description="the network")
    width: int | None = Field(
        None,
        ge=2,
        le=512,
        description="channels of the first block; columnfc has none; None: the network's own",
    )
    pruner: PrunerName = Field("l1unstructured", description="how weights are ranked for pruning")
    sparsity: float = Field(
        0.7, ge=0, lt=1, description="fraction of what the pruner ranks that is removed; dense: 0"
    )
    rounds: int = Field(
        1, ge=1, le=100, description="rounds of pruning and fine-tuning, which share the epochs"
    )
    rewind: bool = Field(
        False, description="what pruning leaves goes back to its initial values (lottery ticket)"
    )
    bits: int | None = Field(
        None, ge=2, le=8, description="bits of the released networks' weights; None: not rounded"
    )
    quantize: Literal["after", "before"] = Field(
        "after", description="weights are rounded after fine-tuning, or before pruning"
    )
    defense: DefenseName = Field("none", description="the defense used while fine-tuning")
    strength: float | None = Field(
        None, ge=0, description="the defense's strength; None: its default"
    )
    whole: bool = Field(
        False, description="the defense trains the original network, too, and covers both"
    )
    shadows: int = Field(5, ge=1, le=256, description="shadow networks of the adversary")
    seed: int = Field(0, ge=0, lt=2**31, description="the seed of every random draw")
    adversary: Adversary | None = Field(
        None, description="what the adversary assumes; None: the truth"
    )
    epochs: int | None = Field(
        None, ge=1, le=1000, description="maximum of training epochs; None: the network's own"
    )
    finetune_epochs: int | None = Field(
        None, ge=1, le=1000, description="maximum of fine-tuning epochs; None: half"
    )
    finetune_warmup: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="fine-tuning epochs before patience counts; None: the network's own",
    )
    stopping: Stopping = Field(
        "warm-up", description="which epoch of fine-tuning is kept, and when it ends"
    )
    patience: int = Field(
        6, ge=1, le=1000, description="epochs in a row without a better validation accuracy"
    )
    batch_size: int | None = Field(
        None, ge=2, le=65536, description="samples per training step; None: the network's own"
    )
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="Adam's step size; None: the network's own"
    )
    weight_decay: float = Field(5e-4, ge=0, le=1, description="L2 weight decay")
    epsilon: float = Field(
        1e-3, gt=0, le=1, description="size of the perturbation behind a sensitivity"
    )
    draws: int = Field(10, ge=1, le=1000, description="perturbations behind a sensitivity")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the arithmetic while training; bfloat16 is faster on a GPU"
    )

    @model_validator(mode="before")
    @classmethod
    def _control_removes_nothing(cls, values: Any) -> Any:
        kind = PRUNERS.get(str(values.get("pruner"))) if isinstance(values, dict) else None
        return {**values, "sparsity": 0.0} if kind is not None and kind.control else values

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        if value in SOURCES:
            return value
        if not value.endswith(".npz"):
            names = ", ".join(SOURCES)
            hint = suggest(value, SOURCES)
            raise ValueError(f"must be one of {names}, or the path of an .npz file{hint}")
        if not Path(value).is_file():
            raise ValueError("is a path, but there is no such file")
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if refusal := next(refusals(self), ""):
            raise ValueError(refusal)
        return self

    @property
    def recipe(self) -> TrainingConfig:
        """How the networks are trained: the network's own recipe, but for what is set here."""
        given = {
            "epochs": self.epochs,
            "warmup": self.finetune_warmup,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
        }
        if self.stopping != "warm-up":
            given["warmup"] = 0
        known: dict[str, Any] = {n: value for n, value in given.items() if value is not None}
        return replace(NETWORKS[self.model].recipe, **known)

    @property
    def channels(self) -> int | None:
        """Channels of the first block; None where the network has no choice of them."""
        return self.width or NETWORKS[self.model].width

    @property
    def rows_seed(self) -> int | None:
        """The seed by which the data set's samples are drawn; None: the same for every seed."""
        return self.seed if self.rows == "fresh" else None

    @property
    def training_epochs(self) -> int:
        """Most epochs of the original network (Yuan & Zhang: 100, columnfc 50)."""
        return self.recipe.epochs

    @property
    def tuning_epochs(self) -> int:
        """Most epochs of fine-tuning: half of training, rounded up, unless given."""
        return self.finetune_epochs or -(-self.training_epochs // 2)

    @property
    def defense_strength(self) -> float | None:
        """The defense's strength, or its default where none is given; None where it has none."""
        if self.strength is not None:
            return self.strength
        return DEFENSES[self.defense].strength.default

    @property
    def key(self) -> str:
        """The content hash, 32 hexadecimal digits; equal fields, equal key."""
        return content_key(self.model_dump(mode="json"))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated anew."""
        return type(self)(**{**self.model_dump(), **changes})

    def assumed(self) -> Experiment:
        """Return the experiment as the adversary believes it to be.

        An assumed pruner ``"none"`` cannot be told here: ask ``adversary.pruner``.
        """
        if self.adversary is None:
            return self
        known = {k: v for k, v in self.adversary.model_dump().items() if v is not None}
        if known.get("pruner") == "none":
            del known["pruner"]
        if known.get("defense", self.defense) != self.defense:
            known.setdefault("strength", None)
            known["whole"] = self.whole and DEFENSES[known["defense"]].whole
        return self.replace(adversary=None, **known)

    def describe(self) -> pd.Series:
        """Return the fields by name, with what None stands for, and the key."""
        fields = self.model_dump(mode="json", exclude_none=True)
        recipe = asdict(self.recipe)
        recipe["finetune_warmup"] = recipe.pop("warmup")
        resolved = {"width": self.channels, **recipe, "finetune_epochs": self.tuning_epochs}
        fields |= {name: value for name, value in resolved.items() if value is not None}
        return pd.Series(fields | {"key": self.key}, name="experiment", dtype=object)
