import hashlib

import numpy as np
import pytest
from pydantic import ValidationError

import prunemia as pm
from prunemia.experiment import PageParameters, content_key, explain, seed_of
from prunemia.registry import NETWORKS


def refusal(**fields) -> str:
    with pytest.raises(ValidationError) as caught:
        pm.Experiment(**fields)
    return explain(caught.value)


COLUMNFC = {"model": "columnfc"}
LOCATION = {"dataset": "location", **COLUMNFC}
DIGITS = {"dataset": "digits", "model": "cnn2d"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sparcity": 0.9}, "sparcity: no such field; allowed: dataset, samples"),
        ({"adversary": {"sparcity": 0.5}}, "adversary.sparcity: no such field; allowed: pruner, s"),
        ({"sparsity": 1.5}, "sparsity: 1.5 is not allowed: should be less than 1"),
        ({"sparsity": 0}, "sparsity: 0 is not allowed: should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate: nan is not allowed"),
        ({"rows": "new"}, "rows: 'new' is not allowed: should be 'same' or 'fresh'"),
        ({"seed": True}, "seed: True is a truth value, and this field takes none"),
        ({"pruner": "l1structred"}, "must be one of l1unstructured, l1structured, "),
        ({"dataset": "locatoin"}, "did you mean 'location'"),
        ({"dataset": "nowhere/a.npz"}, "there is no such file"),
        ({"stopping": "last", "defense": "earlystop"}, "stopping: 'last' keeps the last epoch"),
        ({"pruner": "dense", "adversary": {"pruner": "slim"}}, "adversary.sparsity: None is not"),
        (
            {**LOCATION, "rows": "fresh"},
            "rows: 'fresh' is not allowed with samples None of data se",
        ),
        (
            {**COLUMNFC, "pruner": "slim"},
            "'slim' ranks BatchNorm scales, of which model 'columnfc'",
        ),
        ({**COLUMNFC, "adversary": {"pruner": "slim"}}, "adversary.pruner: 'slim' ranks"),
        ({**COLUMNFC, "width": 8}, "width: 8 cannot be set for model 'columnfc'"),
        ({"dataset": "location"}, "'cnn1d' takes series, and data set 'location' holds features"),
        (
            {"dataset": "fashion_mnist", "model": "vgg16"},
            "takes images of 32×32 or more, and data ",
        ),
        ({"strength": 4.0}, "strength: 4.0 needs a defense that has one; defense is 'none'"),
        ({"defense": "ppb", "strength": 1e6}, "strength: 1000000.0 is not allowed: the weight λ"),
        ({"adversary": {"defense": "dp", "strength": 0.01}}, "adversary.strength: 0.01 is not al"),
        ({"rounds": 4, "epochs": 6}, "rounds: 4 is not allowed with 3 epochs of fine-tuning"),
        ({"rounds": 2, "defense": "dp"}, "ε would cover the last round only"),
        ({"quantize": "before"}, "'before' needs bits, which is None"),
    ],
)
def test_a_mistake_gets_one_sentence_with_field_value_and_what_is_allowed(fields, sentence):
    assert sentence in refusal(**fields)


def test_equal_fields_equal_key_and_every_field_enters_it():
    base = pm.Experiment(**DIGITS, samples=600)
    changes = {"dataset": "svhn", "samples": 500, "rows": "fresh", "standardize": True, "bits": 4,
               "model": "resnet18", "width": 8, "pruner": "slim", "sparsity": 0.5, "rounds": 2,
               "rewind": True, "defense": "ppb", "shadows": 3, "seed": 1, "epochs": 3, "draws": 3,
               "adversary": {"sparsity": 0.5}, "finetune_epochs": 2, "finetune_warmup": 1,
               "stopping": "last", "patience": 2, "batch_size": 64, "learning_rate": 0.1,
               "weight_decay": 0.0, "epsilon": 0.1, "precision": "bfloat16"}  # fmt: skip
    pairs = [{"defense": "ppb", "strength": 1}, {"bits": 4, "quantize": "before"}]
    pairs += [{name: value} for name, value in changes.items()] + [{"defense": "dp", "whole": True}]
    others = [base.replace(**fields) for fields in pairs]

    assert set(pm.Experiment.model_fields) - changes.keys() == {"strength", "whole", "quantize"}
    assert len({each.key for each in [base, *others]}) == len(others) + 1
    assert base.key == pm.Experiment(**DIGITS, samples=600).key == base.replace(seed=0).key


def test_keys_do_not_change_between_versions_and_seeds_of_63_bits_differ_by_purpose():
    # SHA-256 of the canonical JSON, first 32 hexadecimal digits.
    by_hand = hashlib.sha256(b'{"a":[1,0.5,null],"b":"\\u00fc"}').hexdigest()[:32]
    assert content_key({"b": "ü", "a": [1, 0.5, None]}) == by_hand
    seeds = {seed_of(0, what, i) for what in ("weights", "query") for i in range(100)}
    assert len(seeds) == 200
    assert all(0 <= s < 2**63 for s in seeds)


@pytest.mark.parametrize(
    ("adversary", "changes"),
    [
        (None, {}),
        ({"sparsity": 0.5, "pruner": "slim"}, {"sparsity": 0.5, "pruner": "slim"}),
        ({"pruner": "none"}, {}),
        ({"defense": "ppb"}, {}),
        ({"strength": 2}, {"strength": 2}),
        ({"defense": "adv"}, {"defense": "adv", "strength": None}),
        ({"defense": "dp", "strength": 2}, {"defense": "dp", "strength": 2}),
        ({"pruner": "none", "defense": "none"}, {"defense": "none", "strength": None}),
    ],
)
def test_what_the_adversary_assumes(adversary, changes):
    victim = pm.Experiment(defense="ppb", strength=8, seed=3)
    assert victim.replace(adversary=adversary).assumed() == victim.replace(**changes)


def test_a_defenses_strength_and_a_networks_recipe_stand_in_for_what_is_not_set():
    for name, strength in {"none": None, "earlystop": None, "ppb": 4, "adv": 1, "dp": 1}.items():
        assert pm.Experiment(defense=name).defense_strength == strength
    assert pm.Experiment(defense="ppb", strength=2).defense_strength == 2
    image = pm.Experiment(dataset="cifar10", model="resnet18")
    assert (image.training_epochs, image.tuning_epochs) == (100, 50)
    assert (image.recipe.batch_size, image.recipe.learning_rate) == (128, 1e-3)
    series = pm.Experiment()
    assert series.recipe == NETWORKS["cnn1d"].recipe
    assert (series.channels, series.replace(width=8).channels) == (NETWORKS["cnn1d"].width, 8)
    given = {"epochs": 3, "batch_size": 7, "learning_rate": 0.5}
    assert vars(series.replace(**given, finetune_warmup=0).recipe) == {**given, "warmup": 0}
    assert series.replace(finetune_warmup=5).recipe.warmup == 5
    assert series.replace(finetune_warmup=5, stopping="published").recipe.warmup == 0
    column = pm.Experiment(**LOCATION)
    assert (column.training_epochs, column.tuning_epochs) == (50, 25)
    assert column.replace(epochs=3).tuning_epochs == 2
    shown = image.replace(seed=7).describe()
    assert (shown["seed"], shown["batch_size"], shown["finetune_epochs"]) == (7, 128, 50)
    assert shown["key"] == image.replace(seed=7).key
    assert "strength" not in shown


def test_own_arrays_may_be_named_by_their_path(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, features=np.zeros((200, 3)), labels=np.arange(200) % 2)
    assert pm.Experiment(dataset=str(path)).dataset == str(path)
    own = {"dataset": str(path), "model": "columnfc", "rows": "fresh"}
    assert "allowed: 'same', or samples below its size" in refusal(**own)
    assert pm.Experiment(**own, samples=150, seed=3).rows_seed == 3
    assert pm.Experiment(seed=3).rows_seed is None


def test_every_field_is_described():
    for model in (pm.Experiment, pm.Adversary, PageParameters):
        assert all(field.description for field in model.model_fields.values())


def test_the_package_names_what_it_offers():
    assert set(pm.__all__) <= set(dir(pm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pm.nothing


def test_the_control_has_one_sparsity_whatever_is_given():
    dense = pm.Experiment(pruner="dense", sparsity=0.9)
    assert dense == pm.Experiment(pruner="dense") == pm.Experiment().replace(pruner="dense")
    assert (dense.sparsity, dense.key) == (0, pm.Experiment(pruner="dense", sparsity=0.5).key)
    assert dense.replace(pruner="slim", sparsity=0.5).sparsity == 0.5
    misled = pm.Experiment(adversary={"pruner": "dense"}).assumed()
    assert (misled.pruner, misled.sparsity) == ("dense", 0)
