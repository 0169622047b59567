import pytest

from prunemia.book.files import naming, require_file, require_folder, write_whole
from prunemia.errors import RunError, UsageError


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")

    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_names_the_file_and_leaves_no_half_of_it(small_disk):
    path = small_disk / "page.ipynb"

    with pytest.raises(RunError, match=r"disk/page\.ipynb: cannot be written: No space left"):
        write_whole(path, "x" * 100_000)
    assert list(small_disk.iterdir()) == []


def test_an_error_without_a_file_gets_one():
    with pytest.raises(RunError, match=r"table: cannot be written: No space"), naming("table"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder; name another file to write"),
        ("x" * 300, "cannot be written: File name too long"),
        ("file/out", "cannot be written: Not a directory"),
        ("/dev/null", "is no ordinary file"),
        ("/proc/none/out", "cannot be written: "),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, message):
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=f"--html .*: {message}"):
        require_file(tmp_path / name, "--html")


def test_trying_leaves_nothing_behind(tmp_path):
    require_file(tmp_path / "deep" / "er" / "out")
    require_folder(tmp_path / "deep", "the folder")

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_refused_beforehand(small_disk):
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(b"x" * 100_000)

    with pytest.raises(UsageError, match="the store: cannot be written: No space"):
        require_folder(small_disk / "store", "the store")
