import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.errors import InputError
from xseg_jax.report.signed import is_as_written, sign, write_signed


@given(st.text())
def test_a_file_is_known_by_its_bytes(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("signed") / "page.html"
    assert write_signed(path, text, "this page")
    assert is_as_written(path)
    assert write_signed(path, text + "more", "this page")
    assert path.read_bytes().startswith((text + "more").encode(errors="backslashreplace"))


@pytest.mark.parametrize("change", ["prepended", "appended", "replaced", "cut"])
def test_a_file_that_was_changed_stays(tmp_path, change):
    path = tmp_path / "card.md"
    assert write_signed(path, "# A card\nwith text\n", "this card")
    text = path.read_text()
    changed = {
        "prepended": f"license: mit\n{text}",
        "appended": f"{text}more\n",
        "replaced": text.replace("with", "without"),
        "cut": text[:-40],
    }[change]
    path.write_text(changed)
    assert not write_signed(path, "another", "this card")
    assert path.read_text() == changed


@pytest.mark.parametrize("content", [b"", b"mine", b"\xff" * 100])
def test_a_file_of_somebody_else_stays(tmp_path, content):
    path = tmp_path / "report.html"
    path.write_bytes(content)
    assert not write_signed(path, "text", "this page")
    assert path.read_bytes() == content


def test_the_mark_is_a_comment_at_the_end():
    assert sign("text").startswith("text\n<!-- xseg_jax ")
    assert sign("text").endswith(" -->\n")
    assert sign("text") == sign("text\n")


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=r"report\.html: cannot be read .*move it away"):
        write_signed(tmp_path / "report.html", "text", "this page")
