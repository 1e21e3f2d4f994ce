"""Paths as users give them, whole files, and what a disk refuses."""

import errno
import os
import re
from pathlib import Path

import pytest

from xseg_jax import files
from xseg_jax.errors import InputError, SaveError
from xseg_jax.modes.commandline import check_system

ODD = (
    "[v1]",
    "a b",
    'it\'s "x"',
    "µ漢字",
    os.fsdecode(b"lat\xe4in"),
    "new\nline",
    "50%#?*",
    "a\\b",
)


@pytest.mark.parametrize("text", ["~/runs/a", "~", "runs/~/a", "/a/~"])
def test_home_is_expanded_where_a_shell_would(text, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    expected = {"~/runs/a": "/home/me/runs/a", "~": "/home/me"}
    assert files.user_path(text) == Path(expected.get(text, text))


def test_one_is_singular():
    said = [files.counted(count, "slice") for count in range(3)]
    assert said == ["0 slices", "1 slice", "2 slices"]


def test_a_home_that_nobody_knows_is_one_line():
    with pytest.raises(InputError, match=r"^~nobody_knows/a: the home folder cannot be told"):
        files.user_path("~nobody_knows/a")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb", r"a\nb"),
        (os.fsdecode(b"lat\xe4in"), r"lat\udce4in"),
        ("µ 漢字 [1]", "µ 漢字 [1]"),
        ("\x1b[2J", r"\x1b[2J"),
    ],
)
def test_a_name_does_not_break_a_line(text, line):
    assert files.one_line(text) == line


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room there, or choose another folder, and start the same command"),
        (errno.EDQUOT, "make room there, or choose another folder, and start the same command"),
        (errno.EROFS, "choose a folder that may be written to, or change its permissions"),
        (errno.EACCES, "choose a folder that may be written to, or change its permissions"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.EIO, "mend the disk, or choose another folder"),
    ],
)
def test_what_the_system_refuses_is_a_line_with_path_and_remedy(tmp_path, number, remedy):
    path = tmp_path / "a"
    with pytest.raises(SaveError) as caught, files.saving(path, "the figure"):
        raise OSError(number, os.strerror(number))
    said = f"{path}: the figure cannot be written ({os.strerror(number)}); {remedy}"
    assert str(caught.value).startswith(said)


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SaveError, match=r"file/run: the run .*; a file stands where a folder"):
        files.make_folder(tmp_path / "file" / "run", "the run")
    with pytest.raises(SaveError, match=r"file: the run .*; a file stands where a folder should"):
        files.make_folder(tmp_path / "file", "the run")
    assert (tmp_path / "file").read_text() == "mine"


def test_any_error_of_the_system_names_its_file(tmp_path):
    with pytest.raises(OSError, match="too long") as caught:
        (tmp_path / ("x" * 300)).stat()
    said = files.line_of(caught.value)
    assert said == f"error: {tmp_path}/{'x' * 300}: File name too long; choose a shorter name"


@pytest.mark.parametrize("name", [*ODD, "x" * 255])
def test_a_file_is_written_whole_or_not_at_all(tmp_path, name):
    path = tmp_path / name
    files.write_text(path, "old ±", "it")

    def half():
        with files.replacing(path, "it") as draft:
            draft.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_text(encoding="utf-8") == "old ±"
    files.write_text(path, "new", "it")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_the_root_of_a_librarys_error_is_found(number):
    library = RuntimeError(f"Failed to finalize: write() failed: {os.strerror(number)} [a=b]")
    assert files.number_of(library) == number
    wrapped = ValueError("cannot save")
    wrapped.__cause__ = OSError(number, "words")
    assert files.number_of(wrapped) == number
    assert files.number_of(ValueError("a bug")) is None


@pytest.mark.parametrize("name", ODD)
def test_a_plain_name_leads_to_any_folder_and_goes_without_it(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    plain = files.PlainName(folder)
    assert re.fullmatch(r"[\w/.-]+", str(plain.path), re.ASCII)
    (plain.path / "a").write_text("1")
    assert (folder / "a").read_text() == "1"
    assert plain.real(f"{plain.path}/a: is gone") == f"{folder}/a: is gone"
    plain.path.unlink()  # As those do who sweep up temporary files.
    plain.path.parent.rmdir()
    plain.renew()
    assert (plain.path / "a").read_text() == "1"
    plain.close()
    assert not plain.path.parent.exists()
    assert (folder / "a").read_text() == "1"


def test_a_plain_name_needs_a_plain_folder_for_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "[tmp]").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "[tmp]"))
    with pytest.raises(InputError, match=r"\[tmp\]: libraries cannot work .*; set TMPDIR"):
        files.PlainName(tmp_path)
    assert not any((tmp_path / "[tmp]").iterdir())


def test_windows_is_refused_and_others_are_not(monkeypatch):
    for system in ("linux", "darwin"):
        monkeypatch.setattr("sys.platform", system)
        check_system()
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(InputError, match=r"^Windows: xseg_jax runs on Linux and macOS; use"):
        check_system()
