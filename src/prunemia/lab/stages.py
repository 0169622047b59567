"""The table of the pipeline's stages, `STAGES`: a new stage is its functions and its row there."""

from collections.abc import Mapping

import pandas as pd

from prunemia.files import unpack_arrays, unpack_json
from prunemia.lab import attacking, networks, references
from prunemia.lab.context import Stage
from prunemia.lab.steps import Step
from prunemia.signals import Signals

NETWORKS = networks.make, networks.load, networks.settings, networks.needs
STAGES: Mapping[str, Stage] = {  # each after those that it needs
    "original": Stage(1, "training {networks}", *NETWORKS),
    "pruned": Stage(1, "pruning {networks}", *NETWORKS),
    "signals": Stage(
        2,
        "querying {networks}",
        networks.query,
        lambda files, *_: Signals.from_arrays(unpack_arrays(files["signals.npz"])),
        lambda step, _: {"epsilon": step.exp.epsilon, "draws": step.exp.draws},
    ),
    "references": Stage(
        1,
        "asking {networks} every sample",
        references.ask,
        lambda files, *_: unpack_arrays(files["answers.npz"]),
    ),
    "canaries": Stage(  # it needs the victim for its key alone
        1,
        "training {networks} with canaries",
        networks.ask_canaries,
        lambda files, *_: networks.Planted(
            **unpack_arrays(files["canaries.npz"]), privacy=unpack_json(files["privacy.json"])
        ),
        lambda step, _: dict(step.options),
    ),
    "fit": Stage(
        1,
        "fitting {attack}",
        attacking.fit_attack,
        lambda files, step, context: attacking.build(step, context).restore(
            unpack_arrays(files["attack.npz"])
        ),
        attacking.fit_settings,
        attacking.fit_needs,
    ),
    "attack": Stage(
        2,
        "deciding by {attack}",
        attacking.decide,
        attacking.load_result,
        needs=attacking.decision_needs,
    ),
    "releases": Stage(
        1,
        "attacking {releases} releases by {attack}",
        attacking.decide_on_releases,
        attacking.load_result,
        lambda step, context: attacking.fit_settings(step, context)[:3],
        attacking.release_needs,
    ),
    "cost": Stage(
        1,
        "measuring what {networks} costs",
        networks.measure_cost,
        lambda files, *_: pd.DataFrame.from_dict(
            unpack_json(files["costs.json"]), orient="index"
        ).loc[["original", "pruned", "cut"]],
        needs=lambda step: [Step(of, step.exp, of, step.group) for of in ("pruned", "original")],
    ),
}
