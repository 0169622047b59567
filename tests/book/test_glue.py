import pytest
from pydantic import ValidationError

import prunemia as pm
from prunemia.book import glue
from prunemia.metrics import Estimate


def test_an_experiment_takes_its_fields_from_a_pages_names_and_leaves_the_others():
    names = {"dataset": "digits", "model": "cnn2d", "seeds": 3, "plots": object(), "seed": 7}

    assert glue.experiment(names) == pm.Experiment(dataset="digits", model="cnn2d", seed=7)


def test_an_experiment_refuses_what_experiment_refuses():
    with pytest.raises(ValidationError, match="sparsity"):
        glue.experiment({"sparsity": 1.5})


def test_estimates_are_said_with_their_interval(monkeypatch):
    said = {}
    monkeypatch.setattr(glue, "glue", lambda name, value, **_: said.update({name: value}))

    glue.say(gain=Estimate(0.1, 0.05, 0.15), count=3)

    assert said == {"gain": "0.100 [0.050, 0.150]", "count": 3}
