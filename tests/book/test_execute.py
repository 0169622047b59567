import io
import json
import os
import sys

import nbformat
import pytest
from minibook import write_page

from prunemia.book.execute import clean, execute
from prunemia.book.kernel import own_kernel
from prunemia.errors import RunError

WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "bar"}


@pytest.fixture
def execute_one(tmp_path):
    """Execute a page of these cells; return the output's path and what went to stderr."""

    def run(*code, name="page", **parameters):
        source, output, stderr = (
            write_page(tmp_path, name, *code),
            tmp_path / f"{name}.out.ipynb",
            io.StringIO(),
        )
        with own_kernel():
            execute(source, output, parameters, stderr)
        return output, stderr.getvalue()

    return run


def test_an_executed_page_holds_results_and_no_trace_of_the_run(execute_one):
    cells = [
        "import sys\nprint('told', file=sys.stderr)\nprint('set', {'a', 'b', 'c'})\nsparsity",
        "print(seed)",
    ]
    output, stderr = execute_one(*cells, sparsity=0.5)
    again, _ = execute_one(*cells, sparsity=0.5, name="elsewhere/again")

    notebook = nbformat.read(output, as_version=4)
    assert [cell.id for cell in notebook.cells] == [
        "title",
        "parameters",
        "cell-2",
        "code-0",
        "code-1",
    ]
    assert notebook.cells[3].outputs[1].data["text/plain"] == "0.5"
    assert "told" in stderr
    assert "told" not in "".join(o.get("text", "") for o in notebook.cells[3].outputs)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    # The title differs; all that executing adds is the same, byte for byte.
    assert again.read_text().replace("# Elsewhere/Again", "# Page") == output.read_text()


def test_a_failing_cell_leaves_no_output_not_even_an_older_one(execute_one, tmp_path):
    (tmp_path / "page.out.ipynb").write_text("an older one")

    with pytest.raises(RunError) as caught:
        execute_one("x = 0\n1 / x", "print('never')")

    assert str(caught.value).splitlines() == [
        "in the cell",
        "    | x = 0",
        "    | 1 / x",
        "    ZeroDivisionError: division by zero",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks"]


def test_cleaning_keeps_what_the_book_needs_and_nothing_else():
    v4 = nbformat.v4
    stream = {name: v4.new_output("stream", name=name, text=name) for name in ("stdout", "stderr")}
    widget = v4.new_output("display_data", data=WIDGET)
    kept = {"tags": ["hide-input"], "mystnb": {"figure": {"name": "fig"}}}
    styles = [
        f'<style>#T_{i} {{}}</style><table id="T_{i}"><td id="T_{i}_row0">T_12</td>'
        for i in ("0fe3a", "1_0")
    ]
    data = {"text/html": styles[0], "text/plain": "<Styler at 0x7f366b560890>"}
    table = v4.new_output("execute_result", data=data, execution_count=1)
    record = {f"application/papermill.record/{kind}": text for kind, text in data.items()}
    glued = v4.new_output("display_data", data=record)
    outputs = [stream["stderr"], widget, stream["stdout"], table, glued]
    code = v4.new_code_cell("1", outputs=outputs)
    code.metadata = kept | {"papermill": {"duration": 3}, "execution": {"started": "now"}}
    injected = v4.new_code_cell("x = 1", id="random", metadata={"tags": ["injected-parameters"]})
    notebook = v4.new_notebook(
        cells=[injected, code],
        metadata={"papermill": {}, "widgets": {}, "language_info": {"name": "python"}},
    )

    cleaned = clean(notebook)

    assert cleaned.cells[1].metadata == kept
    assert cleaned.cells[1].outputs[0] == stream["stdout"]
    assert cleaned.cells[1].outputs[1].data == {"text/html": styles[1], "text/plain": "<Styler>"}
    assert list(cleaned.cells[1].outputs[2].data.values()) == [styles[1], "<Styler>"]
    assert len(cleaned.cells[1].outputs) == 3
    assert cleaned.cells[0].id == "cell-0"
    assert set(cleaned.metadata) == {"language_info"}


def test_kernels_started_here_are_this_interpreter(execute_one, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    output, _ = execute_one(
        "import json, os, sys\nprint(json.dumps([sys.prefix, os.environ['OMP_NUM_THREADS']]))"
    )

    printed = nbformat.read(output, as_version=4).cells[-1].outputs[0].text
    assert json.loads(printed) == [sys.prefix, "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "JUPYTER_PATH" not in os.environ


def test_messages_that_do_not_fit_on_the_disk_name_their_file(tmp_path):
    page = write_page(tmp_path, "page", "import sys\nprint('x', file=sys.stderr)")

    class FullDisk(io.StringIO):
        name = "page.log"

        def write(self, _):
            raise OSError(28, "No space left on device")

    with own_kernel(), pytest.raises(RunError, match=r"page\.log: cannot be written: No space"):
        execute(page, tmp_path / "out.ipynb", {}, FullDisk())
    assert not (tmp_path / "out.ipynb").exists()
