import time
import tracemalloc

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prunemia import bounded
from prunemia.bounded import load_yaml, read_yaml
from prunemia.errors import UsageError


def laughs(levels: int, merge: bool = False) -> str:
    """Each level names the one before ten times: 10**levels values."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * 10)
        content = f"{{<<: [{names}], y{level}: 1}}" if merge else f"[{names}]"
        lines.append(f"a{level}: &a{level} {content}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("0.5", 0.5),
        ("[1, two, {three: null}]", [1, "two", {"three": None}]),
        ("base: &base {a: 1}\nb: {<<: *base, c: 2}", {"base": {"a": 1}, "b": {"a": 1, "c": 2}}),
        ("[" * bounded.MAX_DEPTH + "]" * bounded.MAX_DEPTH, None),
    ],
)
def test_ordinary_yaml_is_read_as_pyyaml_reads_it(text, value):
    if text.startswith("[["):
        value = []
        for _ in range(bounded.MAX_DEPTH - 1):
            value = [value]
    assert load_yaml(text, "grid.yml") == value


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (laughs(12), "more than 100,000 values once aliases are expanded"),
        (laughs(12, merge=True), "more than 100,000 values once aliases are expanded"),
        ("&a [*a]", "an alias refers to the value that contains it"),
        ("[" * 90_000, "nested more than 20 levels deep"),
        ("- " * 90_000, "nested more than 20 levels deep"),
        ("{a: " * 40_000, "nested more than 20 levels deep"),
        ("[" * 21 + "]" * 21, "nested more than 20 levels deep"),
        ("seed: " + "9" * 5_000, r"a number of 5,000 characters \(999999999999…\)"),
        ("seed: 0x" + "f" * 5_000, "a number of 5,002 characters"),
        ("seed: 2024-99-99", "'2024-99-99' is no timestamp"),
        ("!!bool maybe", "'maybe' is no bool"),
        ("!!timestamp noon", "'noon' is no timestamp"),
        ("!!int x", "'x' is no int"),
        ("{seed: 0, seed: 1}", "seed: given twice"),
        ("a: [", "is not YAML: while parsing"),
        ("{[1]: 2}", "is not YAML: .* unhashable key"),
        ("a: 1\n--- \nb: 2", "is not YAML: expected a single document"),
        ("!!python/object/apply:os.system [ls]", "is not YAML: could not determine a constructor"),
        ("\0", "is not YAML"),
        ("x" * 200_001, "longer than 200,000 bytes"),
        ("é" * 100_001, "longer than 200,000 bytes"),
    ],
)
def test_a_refusal_is_one_sentence_that_names_the_source(text, refusal):
    started = time.perf_counter()
    with pytest.raises(UsageError, match=f"^mine: .*{refusal}") as caught:
        load_yaml(text, "mine")

    assert time.perf_counter() - started < 2  # these took minutes, or all memory
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(max_examples=200, deadline=None)
@given(st.text("[]{}:,-&*a1.!<|#'\" \n\t%?é", max_size=30))
def test_any_text_is_read_as_pyyaml_reads_it_or_refused_in_one_sentence(text):
    try:
        value = load_yaml(text, "mine")
    except UsageError as refusal:
        message = str(refusal)
    else:
        message = f"mine: {value!r}"
        assert repr(value) == repr(yaml.safe_load(text))

    assert message.startswith("mine: ")
    assert "\n" not in message


def test_a_bomb_takes_no_memory():
    text = laughs(12)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError):
            load_yaml(text, "mine")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_the_largest_text_is_read_in_bounded_time():
    text = "[" + ",".join(["1"] * 99_990) + "]"
    started = time.perf_counter()

    assert len(load_yaml(text, "mine")) == 99_990
    assert time.perf_counter() - started < 60


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yml").write_bytes(b"a: \xff")
    (tmp_path / "long.yml").write_bytes(b"#" * 300_000)
    for path, refusal in [
        (tmp_path / "none.yml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / ("x" * 5_000), "cannot be read: File name too long"),
        (tmp_path / "nul\0", "cannot be read: embedded null byte"),
        (tmp_path / "latin.yml", "is not YAML: byte 3 is not UTF-8"),
        (tmp_path / "long.yml", "longer than 200,000 bytes"),
    ]:
        with pytest.raises(UsageError, match=refusal):
            read_yaml(path)


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.yml").write_text("sparsity: [0.5, 0.7]  # é\n", encoding="utf-8")

    assert read_yaml(tmp_path / "a.yml") == {"sparsity": [0.5, 0.7]}
