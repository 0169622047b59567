"""What identifies a result: one frozen, validated record, and its content key.

Light on purpose: the command line needs this room alone to refuse a wrong parameter within a
second, so nothing here may import torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from prunemia.experiment.refusals import refusals
from prunemia.registry import DEFENSES, NETWORKS, PRUNERS, SOURCES, TrainingConfig, suggest

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


class PageParameters(Frozen):
    """Parameters of the book's pages that are no field of an `Experiment`."""

    seeds: int = Field(3, ge=1, le=100, description="runs, with seeds seed, seed + 1, …")
    sparsities: tuple[Sparsity, ...] = Field(
        (0.5, 0.6, 0.7, 0.8, 0.9), min_length=1, description="sparsities to compare"
    )
    pruners: tuple[PrunerName, ...] | None = Field(
        None, min_length=1, description="pruning methods to compare; None: all the network allows"
    )
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1, 4, 16), min_length=1, description="strengths of the defense to compare"
    )
    references: int = Field(
        64, ge=8, le=1024, description="networks that answer the same samples as the victim"
    )
    canaries: int = Field(
        200, ge=4, le=100_000, description="mislabelled samples planted for a bound on ε"
    )
    top: float = Field(0.05, gt=0, lt=1, description="share of samples called the most exposed")
    bootstraps: int = Field(
        1000, ge=20, le=100_000, description="resamples behind a bootstrap interval"
    )


def content_key(value: Any) -> str:
    """Hash a JSON value: 32 hexadecimal digits of SHA-256 of its canonical form."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def seed_of(*parts: Any) -> int:
    """Derive the 63-bit seed of one random draw from what it is for (JSON values)."""
    return int(content_key(list(parts))[:16], 16) >> 1


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
