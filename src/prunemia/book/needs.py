"""What a page needs computed, declared in its notebook's metadata, as steps of the pipeline.

The metadata hold ``"prunemia": {"needs": […]}``. Each need is a grid in the language of a sweep
(`prunemia.sweep.grid`), in which ``"$name"`` stands for the page's parameter ``name``. A field of
an `Experiment` that a need does not mention is the page's parameter of that name; the seeds are the
page's runs. Besides ``attacks`` and ``of`` a need takes

- ``result``: "attack" (the default), "target" (the victim's signals), "networks" (all of them with
  their accuracies), "cost", "canaries" (``count`` of them, planted in the victim), "effects" (the
  attacks on original, dense and pruned networks), "control" (the same under every stopping rule),
  "epochs" (along the epochs), "references" (attacks by ``count`` references), "exposure" (each of
  ``count`` networks a victim in turn), "tradeoff" (test accuracy against the leak, under every
  defense) or "releases" (several versions of the victim); all from "effects" on need nothing that
  a table of results/ has;
- ``options``: of the attacks, one mapping or a list of mappings, one after the other.

An experiment that is not allowed is left out: the page itself will say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from prunemia import attacks, results
from prunemia.claims import RULES
from prunemia.experiment import Experiment
from prunemia.lab import canaries, effects, in_turn, lengths
from prunemia.lab.steps import Step, attack_step, groups, merged
from prunemia.results import planes, references, releases
from prunemia.results.tables import kept_by_references, kept_releases, kept_tradeoff
from prunemia.sweep import grid

Steps = dict[Experiment, list[Step]]
KEPT = ("effects", "control", "epochs", "references", "exposure", "tradeoff", "releases")


def steps(needs: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> Steps:
    """Return the steps that a page needs with these values of all its parameters.

    Raises
    ------
    ValueError
        A need names a parameter, attack or result that there is not.
    """
    return merged(_part(_filled(need, parameters)) for need in needs)


def _part(fields: dict[str, Any]) -> Steps:
    """Return the steps that one need asks for."""
    how = [fields.pop(name, None) for name in ("attacks", "of", "options", "result")]
    names, *_, result = how
    count = fields.pop("count", results.MOST)
    experiments = list(_experiments(fields))
    if result == "canaries":
        return {exp: [canaries.step(exp, "pruned", count)] for exp in experiments}
    if result in KEPT:
        return _unkept(experiments, names, result, count)
    return merged({exp: _of(exp, *how)} for exp in experiments)


def _unkept(experiments: Sequence[Experiment], names: Any, result: str, count: int) -> Steps:
    """Return the steps to what a table of results/ may have; none where one has it."""
    asked = _names(names)
    if result in ("references", "exposure"):
        cases = [case for exp in experiments for case in effects.networks(exp).values()]
        if result == "references":
            kept = kept_by_references(references.compared, experiments, count)
            each = [{exp: references.steps(exp, of, asked, count)} for exp, of in cases]
        else:
            kept = kept_by_references(references.exposed, experiments, count)
            each = [{exp: in_turn.steps(exp, of, count, asked)} for exp, of in cases]
    elif result == "releases":
        kept = kept_releases(experiments)
        each = [releases.steps(exp, asked, releases.SHORT) for exp in experiments]
    elif result == "tradeoff":
        if kept_tradeoff(experiments):
            return {}
        kept = None
        each = [planes.steps(exp, asked) for exp in experiments]
    elif result == "epochs":
        kept = results.points(experiments)
        each = [lengths.steps(exp, asked) for exp in experiments]
    else:
        todo = experiments
        if result == "control":
            todo = [exp.replace(stopping=rule) for rule in RULES for exp in experiments]
        kept = results.control(todo)
        each = [effects.steps(exp, asked) for exp in todo]
    return merged(each) if kept is None else {}


def _filled(need: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the need with the page's values in place of their names, and the page's own fields."""
    own = {name: value for name, value in parameters.items() if name in Experiment.model_fields}
    first, count = parameters.get("seed", 0), parameters.get("seeds", 1)
    own["seed"] = [first + i for i in range(count)]
    return own | {name: _value(value, parameters) for name, value in need.items()}


def _value(value: Any, parameters: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        if value[1:] not in parameters:
            raise ValueError(f"{value}: the page has no such parameter")
        given = parameters[value[1:]]
        return list(given) if isinstance(given, tuple) else given
    if isinstance(value, list):
        return [_value(item, parameters) for item in value]
    if isinstance(value, Mapping):
        return {name: _value(item, parameters) for name, item in value.items()}
    return value


def _experiments(fields: Mapping[str, Any]) -> Iterator[Experiment]:
    for point in grid.points(fields):
        try:
            yield Experiment(**point)
        except ValidationError:
            continue


def _of(exp: Experiment, names: Any, of: Any, options: Any, result: Any) -> list[Step]:
    networks = _listed(of, "pruned")
    if result == "target":
        return [Step("signals", exp, which) for which in networks]
    if result == "networks":
        return [Step(which, exp, which, group) for which in networks for group in groups(exp)]
    if result == "cost":
        return [Step("cost", exp)]
    if result not in (None, "attack"):
        raise ValueError(
            f"result: {result!r} is not allowed; allowed: "
            f"attack, target, networks, cost, canaries, {', '.join(KEPT)}"
        )
    return [
        attack_step(exp, name, which, given)
        for which in networks
        for name in _names(names)
        for given in _listed(options, {})
    ]


def _names(chosen: Any) -> Sequence[str]:
    return attacks.names() if chosen is None else _listed(chosen, None)


def _listed(value: Any, default: Any) -> list[Any]:
    if value is None:
        return [default]
    return value if isinstance(value, list) else [value]
