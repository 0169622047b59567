"""The command line; exit code 1: it failed as it ran; 2: it is refused; 3: a limit is exceeded."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import prunemia  # whose lab, results, audit and data are imported when they are first used
from prunemia.book.build import Book, execute, print_book, standalone
from prunemia.book.pages import answer_of, find_page, find_root, require_known
from prunemia.errors import RunError, UsageError, shortened
from prunemia.files import atomic_write, require_file, require_folder, write_text
from prunemia.store import Entry, Store, default_root

_group = partial(typer.Typer, no_args_is_help=True, rich_markup_mode=None)
app = _group(
    help="Membership inference in pruned networks: build the book, run its pages, look after data "
    "and results.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app := _group(help="The data sets."), name="data")
app.add_typer(store_app := _group(help="The results on disk."), name="store")


def _opt(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, **more)


def _arg(text: str, **more: Any) -> Any:
    return typer.Argument(help=text, **more)


_file, _folder = partial(_opt, metavar="FILE"), partial(_opt, metavar="FOLDER")
_limit = partial(_opt, metavar="NAME=VALUE")
GIVEN = "A parameter; VALUE is YAML: 0.9, null, '[0.5, 0.7]'. Repeatable."
PROFILE = "The book's parameters: a file of notebooks/profiles/."
TABLE = "A .csv or .parquet; default: the grid's name, .csv, here."
HERE = "Processes on this machine; default: this one alone."
DASK = "A Dask scheduler whose workers share the store's folder."
TABLES = "Tables of results/; none: all."
OLDER = "Also remove results that are older; with --stage, of it alone."
TARGET = "What the network answered: .npz of Signals, .csv or .parquet."
SHADOW = """What shadow networks answered. Without it the attacks are fitted on one half of the
target and judged on the other, and the other way round."""
ORIGINAL = """What the network before pruning answered to the same samples, or the dense control:
the audit compares."""
REFERENCE = """What several other networks answered to the same samples, by model and id; member:
whether that network trained on the sample. For lira and rmia."""
ATTACKS = "As in conf,samia; default: every attack that takes at most a minute."
SEED = "Seed of the halves, and of attacks that draw at random."
ABOVE = """As in tpr@0.01=0.05, auc=0.6, accuracy=0.55: exit code 3 if an attack's whole interval
lies above, so that a larger leak is proved. Repeatable."""
BELOW = """Likewise: exit code 3 unless every attack's whole interval lies below, so that a larger
leak is excluded. Few samples cannot exclude much. Repeatable."""
Some = Path | None
Given = Annotated[list[str], _opt(GIVEN, "-p", metavar="NAME VALUE")]
Where = Annotated[Some, _folder("Default: $PRUNEMIA_STORE, or .prunemia/ here.", "--store")]
say = partial(print, flush=True)


def book(
    profile: Annotated[str, _opt(PROFILE)] = "default",
    jobs: Annotated[int, _opt("Pages executed at a time.", min=1)] = min(2, os.cpu_count() or 1),
    only: Annotated[list[str], _opt("Execute this page alone. Repeatable.", metavar="PAGE")] = [],
    given: Given = [],
    force: Annotated[bool, _opt("Execute and build even what has not changed.", "--force")] = False,
    html: Annotated[bool, _opt("Build the book after executing.", "--build/--no-build")] = True,
    to: Annotated[Some, _folder("Where to build; default: build/.")] = None,
) -> None:
    """Execute the pages that changed, and build the book.

    A page is executed again when its source, its parameters, the package or the libraries changed.
    With --only, the other pages stay as they were last executed on the profile; one that never was
    appears without results. Each page uses the given parameters that it has.
    """
    root = find_root()
    whole = Book(root, (to or root / "build").resolve(), profile, say, jobs, force)
    whole.make(only, parse(given), html)


def pdf(out: Annotated[Some, _arg("The file to write; default: build/book.pdf.")] = None) -> None:
    """Print the built book as one PDF.

    Needs a browser (chromium) and pdfunite (poppler-utils), and a book that `prunemia book` built.
    """
    root = find_root()
    target = (out or root / "build" / "book.pdf").resolve()
    if target.suffix != ".pdf" or not target.parent.is_dir():
        raise UsageError(f"{target}: allowed: a name that ends in .pdf, in a folder that exists")
    print_book(root, root / "build" / "_build" / "html", target, say)
    say(f"The book: {target.as_uri()}")


def run(
    notebook: Annotated[str, _arg("A page, as in attacks/conf, or a notebook's path.")],
    output: Annotated[Path, _arg("Where to write the executed notebook.")],
    given: Given = [],
    html: Annotated[Some, _file("Also write a page for any browser; it needs no network.")] = None,
) -> None:
    """Execute one notebook with other parameters, and print its answer.

    Names and values are checked before anything runs; where a cell fails, no output is written.
    """
    page = find_page(notebook)
    values = page.check({}, parse(given))
    outputs = _outputs({"": output, "--html": html}, page.path)
    require_folder(default_root(), f"the store {default_root()}")
    started = time.monotonic()
    say(f"Executing {page.path} …")
    result = execute(page.path, output, values, sys.stderr)
    if html is not None:
        write_text(html, standalone(result, page.path))
    seconds = time.monotonic() - started
    say(f"Written in {seconds:.0f} s: {' and '.join(map(str, outputs.values()))}")
    if text := answer_of(result):
        say(f"\n{text}")


def _outputs(named: dict[str, Some], *inputs: Some) -> dict[str, Path]:
    """Return the files to write, by option; none can stand twice, or be what is read."""
    taken = [path.resolve() for path in inputs if path is not None]
    outputs = {option: path for option, path in named.items() if path is not None}
    for option, path in outputs.items():
        require_file(path, option)
        if path.resolve() in taken:
            shown = f"{option} {path}".strip()
            raise UsageError(f"{shown}: is named already; name another file to write")
        taken.append(path.resolve())
    return outputs


def sweep(
    grid: Annotated[Path, _arg("Fields of an experiment; lists are crossed.", metavar="GRID.yml")],
    output: Annotated[Some, _opt(TABLE, metavar="TABLE")] = None,
    plan: Annotated[bool, _opt("Say what there is to do; do nothing.", "--plan")] = False,
    workers: Annotated[int | None, _opt(HERE, min=1, max=1024)] = None,
    scheduler: Annotated[str | None, _opt(DASK, metavar="ADDRESS")] = None,
    where: Where = None,
) -> None:
    """Carry out many experiments, and write one table of their attacks.

    Interrupted, it resumes with what the store has. An experiment that fails
    does not stop the others; it is listed at the end, with exit code 1.
    """
    from prunemia.lab import grid as grids

    if workers is not None and scheduler is not None:
        raise UsageError("--workers starts a cluster, --scheduler names one: give one of the two")
    asked = grids.read(grid)
    table = output or Path(f"{grid.stem}.csv")
    lab = prunemia.Lab(_store(where).root, scheduler)
    grids.run(asked, lab, None if plan else table, workers, say)


def results(
    names: Annotated[list[str] | None, _arg(TABLES, metavar="[NAME]...")] = None,
    workers: Annotated[int, _opt("Processes on this machine.", min=1, max=1024)] = 1,
    anew: Annotated[bool, _opt("Compute all, not what is missing.", "--anew")] = False,
    where: Where = None,
) -> None:
    """Compute what the tables of results/ lack of their grids, which can take hours.

    Pages read what is too long to compute while the book is built from these tables. Interrupted,
    it resumes with what the store has. Rows of a grid that has not changed are kept; --anew
    computes them, too.
    """
    root = _store(where).root
    for name in names or prunemia.results.TABLES:
        try:
            table = prunemia.results.make(name, prunemia.Lab(root), workers, anew)
        except RunError as error:
            raise RunError(f"results/{name}.csv: not written: {error}") from error
        say(f"results/{name}.csv: {len(table):,} rows")


def audit(
    target: Annotated[Path, _arg(TARGET, metavar="TARGET")],
    shadow: Annotated[Some, _file(SHADOW)] = None,
    original: Annotated[Some, _file(ORIGINAL)] = None,
    reference: Annotated[Some, _file(REFERENCE)] = None,
    html: Annotated[Some, _file("Write the report, for any browser.")] = None,
    json: Annotated[Some, _file("Write the record, for programs.")] = None,
    csv: Annotated[Some, _file("Write a table with a row for each sample.")] = None,
    attacks: Annotated[str | None, _opt(ATTACKS, metavar="NAMES")] = None,
    fail_above: Annotated[list[str], _limit(ABOVE)] = [],
    require_below: Annotated[list[str], _limit(BELOW)] = [],
    seed: Annotated[int, _opt(SEED, min=0)] = 0,
) -> None:
    """Say how much a network gives away about who is in its training data.

    It judges by the network's answers alone. Exit code 2: something is refused,
    and nothing was written; 3: --fail-above or --require-below is not met.
    """
    inputs = (target, shadow, original, reference)
    outputs = _outputs({"--html": html, "--json": json, "--csv": csv}, *inputs)
    from prunemia.audit import Limit, read, signals

    tell = partial(print, end=" …\n", file=sys.stderr, flush=True)
    limits = [Limit.parse(text) for text in fail_above]
    limits += [Limit.parse(text, excluded=True) for text in require_below]
    tell(f"reading {target.name[:80]}")
    answers = [None if path is None else read(path) for path in inputs[1:]]
    done = signals(
        read(target),
        *answers,
        attacks=None if attacks is None else [name.strip() for name in attacks.split(",")],
        seed=seed,
        command=shlex.join(["prunemia", *sys.argv[1:]]),
        tell=tell,
    )
    exceeded = done.exceeded(limits)  # may refuse: before anything is written
    texts = {"--html": done.to_html, "--json": done.to_json, "--csv": done.to_csv}
    for option, path in outputs.items():
        write_text(path, texts[option]())
    say(str(done))
    for name, why in done.left_out.items():
        say(f"Left out: {name}, for {why}.")
    if outputs:
        say(f"Written: {', '.join(map(str, outputs.values()))}")
    if exceeded:
        _end("\nprunemia: ".join(exceeded), 3)


@data_app.command("list")
def data_list() -> None:
    """List the data sets: size, license, source, checksum."""
    for name, sheet in prunemia.data.sheets().iterrows():
        say(f"{name}: {sheet['about']}")
        size = f"{sheet['rows']:,} samples of {sheet['features']}, {sheet['classes']} classes"
        say(f"    {size}; {sheet['used for']}")
        say(f"    {sheet['source']}; license: {sheet['license']}; {sheet['integrity']}")
    say(f"Downloads are looked up in, and go to: {', '.join(map(str, prunemia.data.folders()))}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, _arg("A data set of `prunemia data list`.")],
    to: Annotated[Some, _folder("Default: $PRUNEMIA_DATA, else the cache.")] = None,
) -> None:
    """Download a data set, verified."""
    require_known([name], prunemia.data.SOURCES, what="data set")
    if to is not None:
        require_folder(to, f"--to {to}")
        os.environ["PRUNEMIA_DATA"] = str(to)
    files = prunemia.data.fetch(name)
    for number, found in enumerate(files):
        if to is not None and not found.is_relative_to(to):  # it was there already, elsewhere
            files[number] = to / found.name
            with atomic_write(files[number]) as aside:
                shutil.copyfile(found, aside)
    say("\n".join(map(str, files)) if files else f"{name} needs no download")


def _store(where: Some) -> Store:
    """Return the store in a folder; None: where the pages keep theirs."""
    if where is not None and not where.is_dir():
        raise UsageError(f"--store {where}: there is no such folder")
    return Store(where or default_root())


def _size(*entries: Entry) -> str:
    count = sum(entry.bytes for entry in entries)
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _row(entry: Entry, more: str) -> str:
    return f"{entry.stage:<10} {entry.key}  {_size(entry):>9}  {more}".rstrip()


@store_app.command("list")
def store_list(where: Where = None) -> None:
    """List the results: stage, key, size, time."""
    store = _store(where)
    for entry in (entries := store.entries()):
        say(_row(entry, f"{entry.created:%Y-%m-%d %H:%M}"))
    say(f"{len(entries)} results, {_size(*entries)}, in {store.root}")


@store_app.command("verify")
def store_verify(where: Where = None) -> None:
    """Compare every checksum; exit code 1 if one differs."""
    store = _store(where)
    if problems := store.verify():
        say("\n".join(map(str, problems)))
        remedy = "`prunemia store clean` removes them"
        raise RunError(f"{len(problems)} problems in {store.root}; {remedy}")
    say(f"Every result is sound: {store.root}")


@store_app.command("prune", hidden=True)  # its name until 0.1
@store_app.command("clean")
def store_clean(
    where: Where = None,
    stage: Annotated[str | None, _opt("Also remove the results of this stage.")] = None,
    older_than: Annotated[float | None, _opt(OLDER, metavar="DAYS", min=0, max=100_000)] = None,
    dry_run: Annotated[bool, _opt("Say what would be removed, and leave it.", "--dry-run")] = False,
) -> None:
    """Remove damaged and left-over results, and those that the options select."""
    store = _store(where)
    removed = store.clean(stage=stage, older_than_days=older_than, dry_run=dry_run)
    for entry in removed:
        say(_row(entry, entry.problem))
    verb = "Would remove" if dry_run else "Removed"
    say(f"{verb} {len(removed)} results, {_size(*removed)}, from {store.root}")


def pair_up(arguments: Sequence[str]) -> list[str]:
    """Join each ``-p NAME VALUE`` to ``-p NAME=VALUE``: Typer repeats no option of two values."""
    joined: list[str] = []
    for argument in arguments:
        if joined[-2:-1] == ["-p"] and "=" not in joined[-1]:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def parse(given: Sequence[str]) -> dict[str, str]:
    """Split ``NAME=VALUE`` texts."""
    for text in given:
        if "=" not in text[1:]:
            example = "a parameter needs a name and a value, as in -p sparsity 0.9"
            raise UsageError(f"-p {shortened(text)}: {example}")
    return dict(text.split("=", 1) for text in given)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what is refused ends in one sentence, not in a traceback."""
    try:
        app(pair_up(sys.argv[1:] if arguments is None else arguments), prog_name="prunemia")
    except KeyboardInterrupt:
        _end("stopped", 130)
    except (UsageError, RunError) as error:
        _end(error, 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else error, 1)


def _end(message: object, code: int) -> None:
    print(f"prunemia: {message}", file=sys.stderr)
    sys.exit(code)


for command in (book, pdf, run, sweep, results, audit):
    app.command()(command)

if __name__ == "__main__":
    main()
