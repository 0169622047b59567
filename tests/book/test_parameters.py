import pytest
from minibook import write_page, write_profile, write_repository

from prunemia.book import parameters
from prunemia.book.pages import Page, discover
from prunemia.errors import UsageError


@pytest.fixture
def root(tmp_path):
    return write_repository(tmp_path)


@pytest.fixture
def page(root):
    return discover(root)["first"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.9", 0.9),
        ("null", None),
        ("slim", "slim"),
        ("[0.5, 0.7]", [0.5, 0.7]),
        ("3", 3),
        ("true", True),
        ("a=b", "a=b"),
    ],
)
def test_values_are_read_as_yaml(text, value):
    assert parameters.parse([f"x={text}"]) == {"x": value}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sparsity", "-p sparsity: a parameter needs a name and a value"),
        ("=3", "-p =3: a parameter needs a name"),
        ("x=[1", "x: is not YAML"),
        ("x=: :", "x: is not YAML"),
        ("x=2024-99-99", "x: '2024-99-99' is no timestamp"),
        ("seed=" + "9" * 5000, r"seed: a number of 5,000 characters"),
        ("seed=" + "[" * 9000, r"seed: nested more than"),
        ("y" * 5000 + "=[", "yyy… is not YAML".replace("…", ".*…:")),
    ],
)
def test_what_is_no_assignment_is_refused(assignment, message):
    with pytest.raises(UsageError, match=message) as caught:
        parameters.parse([assignment])
    assert len(str(caught.value)) < 400


def test_a_truth_value_is_one_where_the_page_wants_one(root):
    cell = (
        "standardize: bool = False\nflags: list = [True]\nsteps: list = [1]\nnumber: int = None\n"
    )
    page = Page("p", write_page(root, "p", parameters=cell))

    assert parameters.check(page, {"standardize": True}) == {"standardize": True}
    assert parameters.check(page, {"flags": [False]}) == {"flags": [False]}
    for name, value in {"steps": [True], "number": False}.items():
        with pytest.raises(UsageError, match=f"{name}: .* is not allowed: should be a number"):
            parameters.check(page, {name: value})


def test_the_type_of_a_parameter_is_read_and_never_evaluated(root):
    cell = "note: open('evil', 'w') = None\n"
    page = Page("p", write_page(root, "p", parameters=cell))

    with pytest.raises(
        UsageError, match=r"p: the type of note: \"open\('evil', 'w'\)\" is no type"
    ):
        parameters.check(page, {"note": 1})
    assert not (root / "evil").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sparcity": 0.9},
            r"sparcity: no such parameter \(did you mean 'sparsity'\?\); allowed: dataset, model",
        ),
        ({"sparsity": 1.5}, "sparsity: 1.5 is not allowed: should be less than 1"),
        ({"dataset": "nosuch"}, "dataset: 'nosuch' must be one of mnist1d, digits, location"),
        (
            {"model": "columnfc", "pruner": "slim"},
            "pruner: 'slim' ranks BatchNorm scales, of which model 'columnfc' has none",
        ),
        ({"seed": "many"}, "seed: 'many' is not allowed"),
        ({"note": 3}, "note: 3 is not allowed; allowed: str | None"),
        ({"seed": True}, "seed: true is not allowed: should be a number"),
        ({"sparsity": [True]}, "sparsity: .* is not allowed"),
        (
            {"dataset": "x" * 300 + ".npz"},
            "dataset: 'xxx.*…' is a path, but there is no such file",
        ),
        ({"note": "x" * 5000}, "note: 'xxx.*…' is longer than 4,096 characters"),
        ({"dataset": "gone.npz"}, "dataset: 'gone.npz' is a path, but there is no such file"),
        ({"note": "gone.npz"}, "note: 'gone.npz' is a path, but there is no such file"),
    ],
)
def test_a_wrong_parameter_ends_in_one_sentence(page, values, message):
    with pytest.raises(UsageError, match=message) as caught:
        parameters.check(page, values)
    assert "\n" not in str(caught.value)


def test_values_that_go_together_are_checked_with_the_pages_defaults(root):
    page = Page(
        "p", write_page(root, "p", parameters='model: str = "cnn1d"\npruner: str = "slim"\n')
    )

    with pytest.raises(UsageError, match="'slim' ranks BatchNorm scales"):
        parameters.check(page, {"model": "columnfc"})


def test_a_page_gets_values_of_the_right_type_and_only_those_given(page):
    # YAML 1.1 reads 1e-2 as a string; the field is a float.
    checked = parameters.check(page, {"sparsity": "1e-2", "seed": 3.0, "note": None})

    assert checked == {"sparsity": 0.01, "seed": 3, "note": None}
    assert isinstance(checked["seed"], int)


def test_each_element_of_a_list_is_checked(root):
    page = Page("p", write_page(root, "p", parameters="sparsities: list = [0.5, 0.7]\n"))

    assert parameters.check(page, {"sparsities": [0.5, 0.9]}) == {"sparsities": [0.5, 0.9]}
    with pytest.raises(UsageError, match=r"sparsities\.1: 1\.5 is not allowed"):
        parameters.check(page, {"sparsities": [0.5, 1.5]})


@pytest.mark.parametrize(
    ("cell", "values", "message"),
    [
        (
            "pruners: list = ['slim']\nmodel: str = 'cnn1d'\n",
            {"model": "columnfc"},
            "'slim' ranks BatchNorm scales",
        ),
        ("pruners: list = ['slim']\n", {"pruners": ["slam"]}, r"pruners\.0: 'slam' must be one of"),
        (
            "strengths: list = [1, 4]\n",
            {"strengths": [0, 4]},
            r"strengths\.0: 0 is not allowed: should be greater than 0",
        ),
        (
            "strengths: list = [1, 4]\n",
            {"strengths": [1, 4000]},
            "strength: 4000.* is not allowed: the weight λ",
        ),
    ],
)
def test_what_a_list_would_make_of_the_experiment_is_checked(root, cell, values, message):
    with pytest.raises(UsageError, match=message):
        parameters.check(Page("p", write_page(root, "p", parameters=cell)), values)


def test_a_page_gets_from_a_profile_what_it_knows_and_its_own_values_win(root):
    write_profile(root, "mine", {"sparsity": 0.5, "seed": 1, "pages": {"deep/second": {"seed": 2}}})

    profile = parameters.load_profile(root / "notebooks" / "profiles", "mine", discover(root))

    assert profile == {"first": {"sparsity": 0.5, "seed": 1}, "deep/second": {"seed": 2}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"sparcity": 0.5},
            r"mine\.yml: sparcity: no such parameter \(did you mean 'sparsity'\?\)",
        ),
        (
            {"pages": {"deep/second": {"sparsity": 0.5}}},
            r"mine\.yml, page deep/second: sparsity: no such parameter",
        ),
        (
            {"pages": {"thrid": {"seed": 2}}},
            r"mine\.yml: there is no page 'thrid'; allowed: first, deep/second",
        ),
        ("- a\n- b\n", r"mine\.yml: a profile maps parameters to values"),
        ("a: [", r"mine\.yml: is not YAML"),
        ("pages: 3", r"mine\.yml: a profile maps parameters to values"),
        ("pages: {first: 3}", r"mine\.yml: a profile maps parameters to values"),
        ("a: " + "[" * 9000, r"mine\.yml: nested more than"),
        ("seed: " + "9" * 5000, r"mine\.yml: a number of 5,000 characters"),
    ],
)
def test_a_wrong_profile_is_refused(root, content, message):
    write_profile(root, "mine", content)

    with pytest.raises(UsageError, match=message):
        parameters.load_profile(root / "notebooks" / "profiles", "mine", discover(root))


def test_an_unknown_profile_is_refused(root):
    with pytest.raises(UsageError, match="--profile nosuch: no such profile; allowed: default"):
        parameters.load_profile(root / "notebooks" / "profiles", "nosuch", discover(root))


def test_lists_and_seeds_span_experiments(root):
    page = Page(
        "p",
        write_page(
            root, "p", parameters="sparsities: list = [0.5, 0.7]\nseeds: int = 3\nseed: int = 9\n"
        ),
    )

    assert parameters.experiments(page, {}) == 2 * 3
    assert parameters.experiments(page, {"sparsities": [0.5, 0.7, 0.9], "seeds": 1}) == 3
