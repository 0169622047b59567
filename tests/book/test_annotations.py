import pytest
from pydantic import TypeAdapter, ValidationError

from prunemia.book.annotations import parse_type


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        ("int", 3, "x"),
        ("None", None, 3),
        ("str | None", None, 3),
        ("None | int", 3, "x"),
        ("list[int]", [1, 2], ["x"]),
        ("list[list[float]]", [[0.5]], [0.5]),
        ("dict[str, int]", {"a": 1}, {"a": "x"}),
        ("tuple[int, str]", (1, "a"), (1, 2)),
        ("tuple[int, ...]", (1, 2, 3), ("x",)),
        ("int | str | None", "x", [1]),
    ],
)
def test_a_type_is_what_it_says(annotation, right, wrong):
    adapter = TypeAdapter(parse_type(annotation))

    assert adapter.validate_python(right) == right
    with pytest.raises(ValidationError):
        adapter.validate_python(wrong)


@pytest.mark.parametrize(
    "annotation",
    [
        "open('/tmp/evil', 'w')",
        "[x for x in ().__class__.__base__.__subclasses__()]",
        "int.__class__",
        "int if True else str",
        "list[open('x')]",
        "list[int, str]",
        "list[...]",
        "tuple[..., int]",
        "dict[str]",
        "int[str]",
        "object",
        "'int'",
        "int + str",
        "tuple[()]",
        "int |",
        "list[" * 5000 + "int" + "]" * 5000,
        "(" * 5000 + "int" + ")" * 5000,
        "",
    ],
)
def test_anything_else_is_refused_and_not_evaluated(annotation):
    with pytest.raises(ValueError, match="is no type") as caught:
        parse_type(annotation)
    assert len(str(caught.value)) < 300
