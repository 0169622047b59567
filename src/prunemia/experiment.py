"""What identifies a result: one frozen, validated record, and its content key.

Light on purpose: the command line imports this module alone to refuse a wrong
parameter within a second, so nothing here may import torch.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

DatasetName = Literal[
    "mnist1d",
    "digits",
    "location",
    "texas",
    "purchase",
    "cifar10",
    "cifar100",
    "svhn",
    "chmnist",
    "fashion_mnist",
]
ModelName = Literal["columnfc", "cnn1d", "cnn2d", "resnet18", "vgg16", "densenet121"]
PrunerName = Literal["l1unstructured", "l1structured", "l2structured", "slim"]
AssumedPruner = Literal["none", "l1unstructured", "l1structured", "l2structured", "slim"]
DefenseName = Literal["none", "earlystop", "ppb", "adv", "dp"]

DATASETS: tuple[str, ...] = get_args(DatasetName)
MODELS: tuple[str, ...] = get_args(ModelName)
PRUNERS: tuple[PrunerName, ...] = get_args(PrunerName)

# Feature networks have no filters and no BatchNorm: nothing for these to rank.
CONVOLUTIONAL: frozenset[str] = frozenset(MODELS) - {"columnfc"}
_FOR_FEATURES: tuple[PrunerName, ...] = ("l1unstructured",)
WIDTHS: dict[str, int] = {"cnn1d": 32, "cnn2d": 16}
"""Channels of the first block where the network's width can be chosen."""

_FEATURES, _SERIES, _IMAGES = "features", "series", "images"
_HOLDS = {"mnist1d": _SERIES, "location": _FEATURES, "texas": _FEATURES, "purchase": _FEATURES}
_TAKES = {
    "cnn1d": _SERIES,
    "cnn2d": _IMAGES,
    "resnet18": _IMAGES,
    "vgg16": _IMAGES,
    "densenet121": _IMAGES,
}
"""What a data set holds (images where nothing else is said) and a network takes (columnfc: anything)."""
_SMALL_IMAGES = {"digits": "8×8", "fashion_mnist": "28×28"}
"""Images that VGG-16 would halve five times to nothing."""


@dataclass(frozen=True)
class Strength:
    """A defense's strength: what it is, its default, and its range (ends included); no default: it has none."""

    meaning: str
    default: float | None = None
    low: float = 0.0
    high: float = math.inf

    def refusal(self, strength: float | None) -> str:
        """Return why ``strength`` is not allowed, "" where it is; None stands for the default."""
        if strength is None or (self.default is not None and self.low <= strength <= self.high):
            return ""
        if self.default is None:
            return f"{strength} needs a defense that has one; {self.meaning}"
        return f"{strength} is not allowed: {self.meaning} is {self.low:g} to {self.high:g}"


DEFENSES: dict[str, Strength] = {
    "none": Strength("defense is 'none'"),
    "earlystop": Strength("defense 'earlystop' has none"),
    "ppb": Strength("the weight λ of PPB's divergence", 4.0, 0.0, 1000.0),
    "adv": Strength("the weight α of the inference network's gain", 1.0, 0.0, 1000.0),
    "dp": Strength("the noise multiplier σ of DP-SGD", 1.0, 0.1, 1000.0),
}
"""Each defense's strength. PPB: Yuan & Zhang (2022) sweep 1 … 16. Adversarial regularization: Nasr et al. (2018) take
2 … 6 on far larger data sets; here 3 leaves Location less than half of its test accuracy, so the
default is 1."""

Sparsity = Annotated[float, Field(gt=0, lt=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Adversary(_Frozen):
    """What the adversary assumes of the victim; None where it knows the truth.

    Source: Yuan & Zhang (2022), section 6 (adversary knowledge) and section 7
    (an adaptive adversary applies the victim's defense to its shadow networks).
    """

    pruner: AssumedPruner | None = Field(
        None, description='the pruner of the shadow networks; "none" leaves them unpruned'
    )
    sparsity: float | None = Field(
        None, gt=0, lt=1, description="the sparsity of the shadow networks"
    )
    defense: DefenseName | None = Field(None, description="the defense of the shadow networks")
    strength: float | None = Field(None, ge=0, description="that defense's strength")


class Experiment(_Frozen):
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
    samples: int | None = Field(None, ge=100, description="rows to use; None: all (mnist1d: 5,000)")
    model: ModelName = Field("cnn1d", description="the network")
    width: int | None = Field(
        None,
        ge=2,
        le=512,
        description="channels of the first block of cnn1d or cnn2d; None: the network's own",
    )
    pruner: PrunerName = Field("l1unstructured", description="how weights are ranked for pruning")
    sparsity: float = Field(
        0.7, gt=0, lt=1, description="fraction of what the pruner ranks that is removed"
    )
    defense: DefenseName = Field("none", description="the defense used while fine-tuning")
    strength: float | None = Field(
        None, ge=0, description="the defense's strength; None: its default"
    )
    shadows: int = Field(5, ge=1, le=256, description="shadow networks of the adversary")
    seed: int = Field(0, ge=0, lt=2**31, description="the seed of every random draw")
    adversary: Adversary | None = Field(
        None, description="what the adversary assumes; None: the truth"
    )
    epochs: int | None = Field(
        None, ge=1, le=1000, description="most training epochs; None: 100, columnfc 50"
    )
    finetune_epochs: int | None = Field(
        None, ge=1, le=1000, description="most fine-tuning epochs; None: half"
    )
    finetune_warmup: int = Field(
        15, ge=0, le=1000, description="fine-tuning epochs before patience counts"
    )
    patience: int = Field(
        6, ge=1, le=1000, description="epochs in a row without a better validation accuracy"
    )
    batch_size: int = Field(128, ge=2, le=65536, description="rows a training step")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Adam's step size")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="L2 weight decay")
    epsilon: float = Field(
        1e-3, gt=0, le=1, description="size of the perturbation behind a sensitivity"
    )
    draws: int = Field(10, ge=1, le=1000, description="perturbations behind a sensitivity")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the arithmetic while training; bfloat16 is faster on a GPU"
    )

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, value: str) -> str:
        if value in DATASETS:
            return value
        if not value.endswith(".npz"):
            near = difflib.get_close_matches(value, DATASETS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(
                f"must be one of {', '.join(DATASETS)}, or the path of an .npz file{hint}"
            )
        if not Path(value).is_file():
            raise ValueError("is a path, but there is no such file")
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        for who, pruner in (
            ("", self.pruner),
            ("adversary.", self.adversary and self.adversary.pruner),
        ):
            if pruner in PRUNERS and pruner not in allowed_pruners(self.model):
                ranked = "BatchNorm scales" if pruner == "slim" else "convolution filters"
                raise ValueError(
                    f"{who}pruner: {pruner!r} ranks {ranked}, of which model {self.model!r} has none; "
                    f"allowed with it: {', '.join(allowed_pruners(self.model))}"
                )
        if mismatch := _mismatch(self.dataset, self.model):
            raise ValueError(mismatch)
        if self.width is not None and self.model not in WIDTHS:
            allowed = ", ".join(WIDTHS)
            raise ValueError(
                f"width: {self.width} cannot be set for model {self.model!r}; only for {allowed}"
            )
        if refusal := DEFENSES[self.defense].refusal(self.strength):
            raise ValueError(f"strength: {refusal}")
        believed = self.adversary
        if believed and (
            refusal := DEFENSES[believed.defense or self.defense].refusal(believed.strength)
        ):
            raise ValueError(f"adversary.strength: {refusal}")
        return self

    @property
    def training_epochs(self) -> int:
        """Most epochs of the original network (Yuan & Zhang: 100, columnfc 50)."""
        return self.epochs or (50 if self.model == "columnfc" else 100)

    @property
    def tuning_epochs(self) -> int:
        """Most epochs of fine-tuning: half of training, rounded up, unless given."""
        return self.finetune_epochs or -(-self.training_epochs // 2)

    @property
    def defense_strength(self) -> float | None:
        """The defense's strength, or its default where none is given; None where it has none."""
        return DEFENSES[self.defense].default if self.strength is None else self.strength

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
        return self.replace(adversary=None, **known)

    def describe(self) -> pd.Series:
        """Return the fields that a reader wants to see, by name."""
        fields = self.model_dump(mode="json", exclude_none=True)
        return pd.Series(fields | {"key": self.key}, name="experiment", dtype=object)


class PageParameters(_Frozen):
    """Parameters of the book's pages that are no field of an `Experiment`."""

    seeds: int = Field(3, ge=1, le=100, description="runs, with seeds seed, seed + 1, …")
    sparsities: tuple[Sparsity, ...] = Field(
        (0.5, 0.6, 0.7, 0.8, 0.9), min_length=1, description="sparsities to compare"
    )
    pruners: tuple[PrunerName, ...] = Field(
        PRUNERS, min_length=1, description="pruning methods to compare"
    )
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1, 2, 4, 8, 16), min_length=1, description="strengths of the defense to compare"
    )
    paper_epochs: int = Field(
        100, ge=1, le=1000, description="epochs of the paper's recipe for SAMIA"
    )
    bootstraps: int = Field(
        1000, ge=20, le=100_000, description="resamples behind a bootstrap interval"
    )


def allowed_pruners(model: str) -> tuple[PrunerName, ...]:
    """Return the pruners that find in this network what they rank."""
    return PRUNERS if model in CONVOLUTIONAL else _FOR_FEATURES


def _mismatch(dataset: str, model: str) -> str:
    """Say why the network cannot take the data set's samples; "" where it can, or where only the data will tell."""
    if dataset not in DATASETS or model not in _TAKES:
        return ""
    holds, takes = _HOLDS.get(dataset, _IMAGES), _TAKES[model]
    if holds != takes:
        fitting = ", ".join(name for name in MODELS if _TAKES.get(name, holds) == holds)
        return f"model: {model!r} takes {takes}, and data set {dataset!r} holds {holds}; allowed with it: {fitting}"
    if model == "vgg16" and dataset in _SMALL_IMAGES:
        return f"model: 'vgg16' takes images of 32×32 or more, and data set {dataset!r} holds {_SMALL_IMAGES[dataset]}"
    return ""


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
    return f"{field}: {item['input']!r} {'' if message.startswith(('must', 'is ')) else 'is not allowed: '}{message}"
