"""The first and the last lines of a mode, as text; each mode's own are in its tests."""

from types import SimpleNamespace

from xseg_jax.modes.lines import devices_of, first_lines, last_lines


def test_what_is_used_stands_in_one_column(capsys, tmp_path):
    first_lines(data="scan.tif, 4 slices", run=tmp_path, voxels=None, labels="", devices=2)
    assert capsys.readouterr().out == (
        f"data:    scan.tif, 4 slices\nrun:     {tmp_path}\ndevices: 2\n"
    )


def test_a_name_cannot_break_a_line(capsys):
    first_lines(data="two\nlines")
    assert capsys.readouterr().out == "data: two\\nlines\n"


def test_only_what_is_there_is_said_to_be_there(capsys, tmp_path):
    (tmp_path / "results.json").touch()
    (tmp_path / "a.csv").touch()
    last_lines(
        results=[tmp_path / "results.json", tmp_path / "b.csv", tmp_path / "a.csv"],
        figures=tmp_path / "figures",
        folder=tmp_path,
    )
    assert capsys.readouterr().out == (
        f"\nresults: {tmp_path}/results.json, {tmp_path}/a.csv\nfolder:  {tmp_path}\n"
    )


def test_nothing_to_say_prints_nothing(capsys, tmp_path):
    last_lines(page=tmp_path / "report.html")
    assert capsys.readouterr().out == ""


def test_devices_in_words():
    cpu = SimpleNamespace(platform="cpu")
    assert devices_of(SimpleNamespace(mode="pmap", devices=(cpu, cpu))) == "2 cpu, by pmap"
    assert devices_of(SimpleNamespace(mode="jit", devices=(cpu,))) == "1 cpu"
