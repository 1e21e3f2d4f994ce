"""A folder of prepared data that lost anything is not whole."""

import pytest

from xseg_jax.data import manifest


@pytest.fixture
def folder(tmp_path):
    for name, size in (("a", 0), ("b", 3), ("c [1]", 1 << 21)):
        (tmp_path / name).write_bytes(b"x" * size)
    manifest.write(tmp_path, "the prepared data")
    return tmp_path


def test_what_was_listed_is_whole_and_other_files_do_no_harm(folder):
    assert manifest.damage(folder) == ""
    (folder / "notes.txt").write_text("mine")
    assert manifest.damage(folder) == ""


@pytest.mark.parametrize("name", ["a", "b", "c [1]", manifest.NAME])
def test_a_lost_file_is_named(folder, name):
    (folder / name).unlink()
    assert manifest.damage(folder) == f"{name} is missing"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("b", b"xx", "b has 2 bytes of 3"),
        ("b", b"xyx", "b has changed: its checksum is wrong"),
        ("c [1]", b"x" * (1 << 20), "c [1] has 1048576 bytes of 2097152"),
        (manifest.NAME, b'{"a": {"byt', "manifest.json is cut off"),
    ],
)
def test_a_cut_or_changed_file_is_named(folder, name, content, said):
    (folder / name).write_bytes(content)
    assert manifest.damage(folder) == said


def test_nothing_there_is_not_whole(tmp_path):
    assert manifest.damage(tmp_path / "none") == "manifest.json is missing"
