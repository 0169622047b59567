"""What identifies a result: one frozen, validated record, and its content key; without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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

from prunemia.files import pack_json
from prunemia.registry import (
    DEFENSES,
    NETWORKS,
    PRUNERS,
    SOURCES,
    TrainingConfig,
    allowed_pruners,
    suggest,
)

Stopping = Literal["warm-up", "published", "last"]
"""How fine-tuning ends. "warm-up" (ours): the first epochs neither count for patience nor are kept,
and patience never ends below 90 % of the original's validation accuracy. "published": neither.
"last": every epoch, and the last is kept; originals too."""


def _one_of(names: Any, *others: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Return what makes a text field name an entry of the table ``names``, or one of ``others``."""

    def known(value: str) -> str:
        allowed = dict.fromkeys([*others, *names])
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}{suggest(value, allowed)}")
        return value

    schema = {"type": "string", "enum": [*others, *names]}
    return AfterValidator(known), WithJsonSchema(schema)


ModelName = Annotated[str, *_one_of(NETWORKS)]
PrunerName = Annotated[str, *_one_of(PRUNERS)]
AssumedPruner = Annotated[str, *_one_of(PRUNERS, "none")]
DefenseName = Annotated[str, *_one_of(DEFENSES)]
Sparsity = Annotated[float, Field(gt=0, lt=1)]
Epochs = Annotated[int, Field(ge=1, le=1000)]


def _field(default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, **limits)


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
    """What the adversary assumes; None: the truth (Yuan & Zhang 2022, sections 6 and 7)."""

    pruner: AssumedPruner | None = _field(
        None,
        "the pruner of the shadow networks; "
        '"dense" fine-tunes them as they are, "none" leaves them as they are',
    )
    sparsity: Sparsity | None = _field(None, "the sparsity of the shadow networks")
    defense: DefenseName | None = _field(None, "the defense of the shadow networks")
    strength: float | None = _field(None, "that defense's strength", ge=0)


class Experiment(Frozen):
    """One victim network, its shadow networks, and how they are pruned and queried.

    Equal fields make the same experiment: ``key`` is their content hash, and every random draw
    follows from them. ValidationError (`explain`): a wrong field, or two that do not go together.
    """

    dataset: str = _field(
        "mnist1d", "a data set's name, or the path of an .npz with features and labels"
    )
    samples: int | None = _field(None, "samples to use; None: all (mnist1d: 5,000)", ge=100)
    rows: Literal["same", "fresh"] = _field(
        "same", "the samples: the same for every seed, or each seed's own"
    )
    standardize: bool = _field(
        False, "give each feature mean 0 and deviation 1 on a network's training samples"
    )
    model: ModelName = _field("cnn1d", "the network")
    width: int | None = _field(
        None,
        "channels of the first block; columnfc has none; None: the network's own",
        ge=2,
        le=512,
    )
    pruner: PrunerName = _field("l1unstructured", "how weights are ranked for pruning")
    sparsity: float = _field(
        0.7, "fraction of what the pruner ranks that is removed; dense: 0", ge=0, lt=1
    )
    rounds: int = _field(
        1, "rounds of pruning and fine-tuning, which share the epochs", ge=1, le=100
    )
    rewind: bool = _field(
        False, "what pruning leaves goes back to its initial values (lottery ticket)"
    )
    bits: int | None = _field(
        None, "bits of the released networks' weights; None: not rounded", ge=2, le=8
    )
    quantize: Literal["after", "before"] = _field(
        "after", "weights are rounded after fine-tuning, or before pruning"
    )
    defense: DefenseName = _field("none", "the defense used while fine-tuning")
    strength: float | None = _field(None, "the defense's strength; None: its default", ge=0)
    whole: bool = _field(False, "the defense trains the original network, too, and covers both")
    shadows: int = _field(5, "shadow networks of the adversary", ge=1, le=256)
    seed: int = _field(0, "the seed of every random draw", ge=0, lt=2**31)
    adversary: Adversary | None = _field(None, "what the adversary assumes; None: the truth")
    epochs: Epochs | None = _field(None, "maximum of training epochs; None: the network's own")
    finetune_epochs: Epochs | None = _field(None, "maximum of fine-tuning epochs; None: half")
    finetune_warmup: int | None = _field(
        None, "fine-tuning epochs before patience counts; None: the network's own", ge=0, le=1000
    )
    stopping: Stopping = _field("warm-up", "which epoch of fine-tuning is kept, and when it ends")
    patience: Epochs = _field(6, "epochs in a row without a better validation accuracy")
    batch_size: int | None = _field(
        None, "samples per training step; None: the network's own", ge=2, le=65536
    )
    learning_rate: float | None = _field(
        None, "Adam's step size; None: the network's own", gt=0, le=10
    )
    weight_decay: float = _field(5e-4, "L2 weight decay", ge=0, le=1)
    epsilon: float = _field(1e-3, "size of the perturbation behind a sensitivity", gt=0, le=1)
    draws: int = _field(10, "perturbations behind a sensitivity", ge=1, le=1000)
    precision: Literal["float32", "bfloat16"] = _field(
        "float32", "of the arithmetic while training; bfloat16 is faster on a GPU"
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
            names, hint = ", ".join(SOURCES), suggest(value, SOURCES)
            raise ValueError(f"must be one of {names}, or the path of an .npz file{hint}")
        if not Path(value).is_file():
            raise ValueError("is a path, but there is no such file")
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if refusal := next(_refusals(self), ""):
            raise ValueError(refusal)
        return self

    @property
    def recipe(self) -> TrainingConfig:
        """How the networks are trained: the network's own recipe, but for what is set here."""
        given: dict[str, Any] = {
            "epochs": self.epochs,
            "warmup": self.finetune_warmup if self.stopping == "warm-up" else 0,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
        }
        known = {name: value for name, value in given.items() if value is not None}
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
        """Return the experiment as the adversary believes it to be (but for pruner "none")."""
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


def _refusals(exp: Experiment) -> Iterator[str]:
    guess = exp.adversary or Adversary()
    assumed = None if guess.pruner == "none" else guess.pruner
    if exp.sparsity == 0 and not PRUNERS[exp.pruner].control:
        yield "sparsity: 0 is not allowed: should be greater than 0; pruner 'dense' has 0"
    if assumed and not (exp.sparsity or guess.sparsity or PRUNERS[assumed].control):
        yield f"adversary.sparsity: None is not allowed: {assumed!r} needs one"
    allowed = allowed_pruners(exp.model)
    for field, pruner in ("pruner", exp.pruner), ("adversary.pruner", assumed):
        if pruner and pruner not in allowed:
            yield (
                f"{field}: {pruner!r} ranks {PRUNERS[pruner].ranks}, of which model "
                f"{exp.model!r} has none; allowed with it: {', '.join(allowed)}"
            )
    # data that the network does not take; of the reader's own only the file will tell
    source = SOURCES.get(exp.dataset)
    network = NETWORKS[exp.model]
    smallest = min(source.shape[1:], default=1) if source else 0
    fitting = [
        name
        for name, kind in NETWORKS.items()
        if source and kind.takes in (None, source.holds) and kind.smallest <= smallest
    ]
    if source and exp.model not in fitting:
        least = network.smallest
        takes = f"{network.takes} of {least}×{least} or more" if least > 1 else network.takes
        holds = f"{source.holds} of {'×'.join(map(str, source.shape))}"
        yield (
            f"model: {exp.model!r} takes {takes}, and data set {exp.dataset!r} holds {holds}; "
            f"allowed with it: {', '.join(fitting)}"
        )
    if exp.width is not None and network.width is None:
        able = ", ".join(name for name, kind in NETWORKS.items() if kind.width)
        yield f"width: {exp.width} cannot be set for model {exp.model!r}; only for {able}"
    generated = source is not None and source.generate is not None
    some = exp.samples is not None and (source is None or exp.samples < source.rows)
    if exp.rows == "fresh" and not generated and not some:
        most = "its size" if source is None else source.rows
        said = f"is not allowed with samples {exp.samples} of data set {exp.dataset!r}"
        others = f"allowed: 'same', or samples below {most}"
        yield f"rows: 'fresh' {said}: every seed would have all rows; {others}"
    for field, defense, strength in (
        ("strength", exp.defense, exp.strength),
        ("adversary.strength", guess.defense or exp.defense, guess.strength),
    ):
        if refusal := DEFENSES[defense].strength.refusal(strength):
            yield f"{field}: {refusal}"
    if exp.whole and not DEFENSES[exp.defense].whole:
        able = ", ".join(repr(name) for name, kind in DEFENSES.items() if kind.whole)
        yield f"whole: True is not allowed with defense {exp.defense!r}; allowed with {able}"
    if exp.whole and exp.standardize:
        yield "whole: True is not allowed with standardize: means of members would go uncovered"
    if exp.stopping == "last" and exp.defense == "earlystop":
        yield "stopping: 'last' keeps the last epoch, and defense 'earlystop' chooses another"
    if exp.rounds > exp.tuning_epochs:
        epochs = f"{exp.tuning_epochs} epochs of fine-tuning"
        yield f"rounds: {exp.rounds} is not allowed with {epochs}; allowed: one epoch or more each"
    if exp.rounds > 1 and "dp" in (exp.defense, guess.defense):
        yield "rounds: with defense 'dp' 1 alone is allowed: ε would cover the last round only"
    if exp.quantize == "before" and exp.bits is None:
        yield "quantize: 'before' needs bits, which is None; allowed: 'after', or bits from 2 to 8"


class PageParameters(Frozen):
    """Parameters of the book's pages that are no field of an `Experiment`."""

    seeds: int = _field(3, "runs, with seeds seed, seed + 1, …", ge=1, le=100)
    sparsities: tuple[Sparsity, ...] = _field(
        (0.5, 0.6, 0.7, 0.8, 0.9), "sparsities to compare", min_length=1
    )
    pruners: tuple[PrunerName, ...] | None = _field(
        None, "pruning methods to compare; None: all the network allows", min_length=1
    )
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = _field(
        (1, 4, 16), "strengths of the defense to compare", min_length=1
    )
    references: int = _field(
        64, "networks that answer the same samples as the victim", ge=8, le=1024
    )
    canaries: int = _field(200, "mislabelled samples planted for a bound on ε", ge=4, le=100_000)
    top: float = _field(0.05, "share of samples called the most exposed", gt=0, lt=1)
    bootstraps: int = _field(1000, "resamples behind a bootstrap interval", ge=20, le=100_000)


def content_key(value: Any) -> str:
    """Hash a JSON value: 32 hexadecimal digits of SHA-256 of its canonical form."""
    return hashlib.sha256(pack_json(value)).hexdigest()[:32]


def seed_of(*parts: Any) -> int:
    """Derive the 63-bit seed of one random draw from what it is for (JSON values)."""
    return int(content_key(list(parts))[:16], 16) >> 1


def explain(error: ValidationError) -> str:
    """Return one sentence for a ValidationError: the field, the value, what is allowed."""
    items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    named = {item["loc"][0] for item in items if len(item["loc"]) > 1}
    sentences = []
    for item in items:
        field = ".".join(str(part) for part in item["loc"])
        message: str = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if item["type"] == "too_short" and field in named:
            continue  # a list whose only element is wrong counts as empty, too
        if item["type"] == "extra_forbidden":
            of = Adversary if field.startswith("adversary.") else Experiment
            message = f"{field}: no such field; allowed: {', '.join(of.model_fields)}"
        elif field:
            verb = "" if message.startswith(("must", "is ")) else "is not allowed: "
            message = f"{field}: {item['input']!r} {verb}{message}"
        sentences.append(message)
    return "; ".join(sentences)
