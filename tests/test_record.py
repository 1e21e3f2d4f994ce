"""A prediction knows its own files, whoever kills or changes what."""

import errno
import json
import os

import pytest

from xseg_jax.errors import SaveError
from xseg_jax.inference.record import NAME, Record, hash_of


def put(record, path, content, source):
    with record.writing(path, hash_of(source)) as draft:
        draft.write_text(content)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text("one")
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["a.tif", "µ [1]\n.tif", os.fsdecode(b"lat\xe4in.tif")])
def test_a_file_is_known_by_its_bytes_and_those_it_was_made_from(folder, source, name):
    path = folder / name
    put(Record(folder), path, "mask", source)
    record = Record(folder)
    assert list(record) == [name]
    assert path in record
    assert record.unchanged(path)
    assert record.made_from(path, hash_of(source))
    source.write_text("two")
    assert record.unchanged(path)
    assert not record.made_from(path, hash_of(source))
    path.write_text("corrected")
    assert not record.unchanged(path)
    assert folder / "other.tif" not in record


def test_what_was_made_anew_is_known_and_so_is_what_it_was(folder, source):
    path = folder / "a.tif"
    put(Record(folder), path, "mask", source)
    source.write_text("two")
    put(Record(folder), path, "other mask", source)
    record = Record(folder)
    assert record.made_from(path, hash_of(source))
    path.write_text("mask")  # As a kill between the line and the file leaves it.
    assert record.unchanged(path)
    assert not record.made_from(path, hash_of(source))


def test_the_same_again_is_no_second_line(folder, source):
    for _ in range(2):
        put(Record(folder), folder / "a.tif", "mask", source)
    assert (folder / NAME).read_text().count("\n") == 1


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_line_cut_off_by_a_kill_takes_no_other_with_it(folder, source, kept):
    for name in ("a.tif", "b.tif"):
        put(Record(folder), folder / name, name, source)
    first, second = (folder / NAME).read_bytes().splitlines(keepends=True)
    (folder / NAME).write_bytes(first + second[:kept])
    put(Record(folder), folder / "c.tif", "c", source)
    record = Record(folder)
    # Without its newline alone, a line is whole.
    assert list(record) == ["a.tif", *["b.tif"] * (kept == -1), "c.tif"]
    assert record.unchanged(folder / "c.tif")


@pytest.mark.parametrize("line", ["", "[]", "7", '{"file": 1}', "{", "\x00" * 8, "null"])
def test_lines_that_say_nothing_are_left_out(folder, source, line):
    (folder / NAME).write_text(f"{line}\n")
    put(Record(folder), folder / "a.tif", "mask", source)
    assert list(Record(folder)) == ["a.tif"]


def test_processes_write_files_of_their_own_and_read_all(folder, source):
    for process in range(3):
        put(Record(folder, process), folder / f"{process}.tif", "mask", source)
    assert sorted(p.name for p in folder.glob("*.jsonl")) == [
        "predictions.jsonl", "predictions_1.jsonl", "predictions_2.jsonl",
    ]  # fmt: skip
    assert sorted(Record(folder, 1)) == ["0.tif", "1.tif", "2.tif"]


def test_no_file_appears_without_its_line(folder, source, monkeypatch):
    def fails(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(SaveError, match=rf"{NAME}: this prediction cannot be written .*; make roo"):
        put(Record(folder), folder / "a.tif", "mask", source)
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert json.loads((folder / NAME).read_text())["file"] == "a.tif"
