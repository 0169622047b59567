"""What a page calls: its experiment, checked and shown, and its answer."""

import base64
import re

import pandas as pd
import pytest

import prunemia as pm
from prunemia import results
from prunemia.book import page
from prunemia.book.page import ParameterError

PARAMETERS = 'dataset: str = "mnist1d"  # a data set\nseed: int = 3\nseeds: int = 5\n'


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed, as Markdown."""
    texts = []
    monkeypatch.setattr(page, "display", lambda output: texts.append(output.data))
    return texts


def test_an_experiment_takes_its_fields_from_a_pages_names_and_leaves_the_others(shown):
    names = {"dataset": "digits", "model": "cnn2d", "seeds": 3, "plots": object(), "seed": 7}

    exp = pm.experiment({**names, "_private": 1, "exit": print})

    assert exp == pm.Experiment(dataset="digits", model="cnn2d", seed=7)
    assert shown == ["*This run: digits · cnn2d · l1unstructured 0.7 · seed 7, computed here.*"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"sparsty": 0.9}, r"sparsty: no such parameter; did you mean 'sparsity'\?$"),
        ({"qqq": 1}, r"qqq: no such parameter; allowed: dataset, .*seeds, sparsities"),
        ({"sparsity": 1.9}, r"sparsity: 1\.9 is not allowed: should be less than 1$"),
        ({"seeds": 0}, r"seeds: 0 is not allowed: should be greater than or equal to 1$"),
        ({"model": "columnfc", "pruner": "slim"}, r"pruner: 'slim' ranks BatchNorm scales"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_in_a_notebook(shown, names, message):
    with pytest.raises(ParameterError, match=message) as caught:
        pm.experiment(names)

    assert caught.value._render_traceback_() == [f"ParameterError: {caught.value}"]
    assert "\n" not in str(caught.value)
    assert shown == []


def cells(*sources, **names):
    """What a notebook's ``globals()`` hold: the sources that were executed, and names."""
    return {"In": ["", *sources], **names}


def test_in_a_notebook_only_parameters_cells_are_read(shown):
    page_names = {"dataset": "mnist1d", "seed": 3, "seeds": 5}
    later = {"limit": 0.05, "name": "conf", "accuracies": [0.1, 0.2], "width_of_a_bar": 3}
    sources = [
        PARAMETERS,
        "import prunemia as pm\nexp = pm.experiment(globals())",
        'limit = 0.05\nname = "conf"',
        "accuracies = [lab.original(exp).accuracy for _ in seeds]",
        "seed_of_a_bar, width_of_a_bar = 1, 3",
        "%matplotlib inline",
    ]

    exp = pm.experiment(cells(*sources, **page_names, **later))

    assert exp.seed == 3
    # Run All, then the cell again: the names that later cells assigned are none of its parameters
    assert pm.experiment(cells(*sources, sources[1], **page_names, **later)) == exp
    assert len(shown) == 2


def test_in_a_notebook_what_papermill_wrote_is_read(shown):
    names = {"dataset": "mnist1d", "seed": 3, "seeds": 5, "sparsty": 0.9}
    injected = "# Parameters\nsparsty = 0.9\n"

    with pytest.raises(ParameterError, match="sparsty: no such parameter; did you mean"):
        pm.experiment(cells(PARAMETERS, injected, **names))
    with pytest.raises(ParameterError, match="sparsty"):
        pm.experiment(cells(PARAMETERS + "sparsty: float = 0.9", **names))
    assert shown == []


def test_an_edited_parameters_cell_counts_as_it_was_executed_last(shown):
    names = {"dataset": "mnist1d", "seed": 4, "seeds": 5}
    again = PARAMETERS.replace("seed: int = 3", "seed: int = 4")

    assert pm.experiment(cells(PARAMETERS, again, **names)).seed == 4
    assert "seed 4" in shown[0]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "mnist1d · cnn1d · l1unstructured 0.7 · seed 0"),
        ({"pruner": "dense"}, "mnist1d · cnn1d · dense · seed 0"),
        ({"defense": "ppb", "strength": 8}, "mnist1d · cnn1d · l1unstructured 0.7 · ppb 8"),
        ({"defense": "ppb"}, "mnist1d · cnn1d · l1unstructured 0.7 · ppb 4"),
        ({"stopping": "last", "seed": 2}, "l1unstructured 0.7 · stopping last · seed 2"),
        ({"finetune_epochs": 3}, "finetune epochs 3"),
    ],
)
def test_a_run_is_described_in_one_line(fields, line):
    assert line in page.described(pm.Experiment(**fields))


def test_a_run_names_the_table_that_has_more_of_it(shown, monkeypatch):
    holding = {"control": "control_mnist1d", "paper": ""}
    monkeypatch.setattr(results, "holding", lambda kind, asked: holding[kind] if asked else "")

    pm.experiment({"seed": 0}, "control", "paper")
    pm.experiment({"seed": 0}, "paper")

    assert shown[0].endswith("computed here; more runs from results/control_mnist1d.csv.*")
    assert shown[1].endswith("seed 0, computed here.*")


def test_an_answer_has_at_most_sixty_words_and_two_intervals(shown):
    longest = " ".join(["word"] * 58) + " +0.02 [0.01, 0.03] +0.05 [−0.02, 0.12] – ."
    pm.answer(longest)

    assert shown == [f"> **Answer.** {longest}"]
    with pytest.raises(ValueError, match=r"at most 60 words and 2 intervals; this has 61 and 2"):
        pm.answer(longest + " more")
    with pytest.raises(ValueError, match=r"this has 1 and 3"):
        pm.answer("[1, 2] [0.1, 0.2], [−3 %, 4 %] three")
    pm.answer("A link [to a page](page.md), a list [a, b] and [0.1, 0.2].")
    assert len(shown) == 2


def test_a_page_without_an_experiment_refuses_names_that_nothing_knows():
    assert page.known(cells("sparsity: float = 0.7", sparsity=0.5)) == {"sparsity": 0.5}
    with pytest.raises(ParameterError, match=r"sparsty: no such parameter; did you mean 'sparsi"):
        page.known(
            cells("sparsity: float = 0.7", "# Parameters\nsparsty = 1", sparsty=1, sparsity=0)
        )


def test_a_page_with_data_of_its_own_says_what_its_run_is(shown):
    page.experiment({"seed": 0}, own="my rows · my network")

    assert shown == ["*This run: my rows · my network, computed here.*"]


def test_a_table_is_saved_from_the_page_itself():
    table = pd.DataFrame({"text": ["ü, <b>"], "number": [1.5]})

    html = page.download(table, "a<b.csv").data

    (data,) = re.findall(r'href="data:text/csv;base64,([^"]+)"', html)
    assert base64.b64decode(data).decode() == 'text,number\n"ü, <b>",1.5\n'
    assert 'download="a&lt;b.csv"' in html
    assert "(1 rows)" in html
