"""`prunemia audit`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunemia.cli.options import say
from prunemia.errors import UsageError
from prunemia.files import require_file, write_text

if TYPE_CHECKING:
    from prunemia.audit import Audit, Limit

EXCEEDED = 3
"""The exit code where a limit is exceeded."""


def audit(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="What the network answered: .npz of Signals, .csv or .parquet."
        ),
    ],
    shadow: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What shadow networks answered. Without it the attacks are fitted on one half of "
            "the target and judged on the other, and the other way round.",
        ),
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the network before pruning answered to the same samples, or the dense "
            "control: the audit compares.",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What several other networks answered to the same samples, by model and id; "
            "member: whether that network trained on the sample. For lira and rmia.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report, for any browser.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the record, for programs.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a table with a row for each sample.")
    ] = None,
    attacks: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="As in conf,samia; default: every attack that takes at most a minute.",
        ),
    ] = None,
    fail_above: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE",
            help="As in tpr@0.01=0.05, auc=0.6, accuracy=0.55: exit code 3 if an attack's whole "
            "interval lies above, so that a larger leak is proved. Repeatable.",
        ),
    ] = [],  # noqa: B006
    require_below: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE",
            help="Likewise: exit code 3 unless every attack's whole interval lies below, so that "
            "a larger leak is excluded. Few samples cannot exclude much. Repeatable.",
        ),
    ] = [],  # noqa: B006
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the halves, and of attacks that draw at random.")
    ] = 0,
) -> None:
    """Say how much a network gives away about who is in its training data.

    It judges by the network's answers alone. Exit code 2: something is refused,
    and nothing was written; 3: --fail-above or --require-below is not met.
    """
    outputs = {"--html": html, "--json": json, "--csv": csv}
    inputs = [path for path in (target, shadow, original, reference) if path is not None]
    _require(outputs, inputs)
    from prunemia.audit import Audit, Limit, read
    from prunemia.audit.evidence import gather
    from prunemia.audit.references import beside

    limits = [Limit.parse(text) for text in fail_above]
    limits += [Limit.parse(text, excluded=True) for text in require_below]
    names = None if attacks is None else [name.strip() for name in attacks.split(",")]
    _tell(f"reading {target.name[:80]}")
    answers = read(target)
    if reference is not None:
        answers = beside(answers, read(reference, fewest=0))
    others = {} if original is None else {"original": (read(original), None)}
    evidence = gather(
        answers,
        None if shadow is None else read(shadow),
        others,
        names,
        seed=seed,
        delta=1e-5,
        command=shlex.join(["prunemia", *sys.argv[1:]]),
        tell=_tell,
    )
    _finish(Audit(evidence), limits, outputs)


def _finish(audit: Audit, limits: list[Limit], outputs: dict[str, Path | None]) -> None:
    """Write and say what came out; end with exit code 3 where a limit is exceeded."""
    exceeded = audit.exceeded(limits)  # may refuse: before anything is written
    texts = {"--html": audit.to_html, "--json": audit.to_json, "--csv": audit.to_csv}
    for option, path in outputs.items():
        if path is not None:
            write_text(path, texts[option]())
    say(str(audit))
    for name, why in audit.evidence.left_out.items():
        say(f"Left out: {name}, for {why}.")
    written = [str(path) for path in outputs.values() if path is not None]
    if written:
        say(f"Written: {', '.join(written)}")
    for text in exceeded:
        print(f"prunemia: {text}", file=sys.stderr)
    if exceeded:
        sys.exit(EXCEEDED)


def _require(outputs: dict[str, Path | None], inputs: list[Path]) -> None:
    """Refuse files that cannot be written, stand twice, or are what is read."""
    taken = {path.resolve(): str(path) for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        require_file(path, option)
        if path.resolve() in taken:
            raise UsageError(f"{option} {path}: is named already; name another file to write")
        taken[path.resolve()] = option


def _tell(line: str) -> None:
    print(f"{line} …", file=sys.stderr, flush=True)
