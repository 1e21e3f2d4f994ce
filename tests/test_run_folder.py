import pytest
from result_folders import METRICS, UNTESTED, results, whole_run, write_results

from xseg_jax.errors import InputError
from xseg_jax.report.run_folder import RunFolder


def test_a_whole_run_and_an_evaluation(tmp_path):
    run = RunFolder.read(write_results(tmp_path / "a run", whole_run()))
    assert (run.name, run.is_run) == ("a run", True)
    assert run.metrics == tuple(METRICS)
    assert run.class_names == ("pore", "ceramic", "metal")
    assert run.warnings == ("slice s1: holds 3 grey values far outside all others",)
    other = RunFolder.read(write_results(tmp_path / "b", {"results.json": results()}))
    assert not other.is_run
    assert other.config is other.warnings is other.measured is None
    assert other.metrics == ()


def test_what_was_tested_is_whole_slices_or_parts_of_them(tmp_path):
    files = whole_run()
    assert RunFolder.read(write_results(tmp_path, files)).tested == "4 slices, each as a whole"
    files["data.json"]["slabs"] = {"gap": 50}
    cut = RunFolder.read(write_results(tmp_path, files))
    assert cut.tested == "the test blocks within 4 slices"


def test_values_of_equal_name_are_one_class(tmp_path):
    found = results()
    found["label_map"] |= {"values": list("0123"), "classes": ["pore", "ceramic", "metal", "pore"]}
    folder = RunFolder.read(write_results(tmp_path, {"results.json": found}))
    assert folder.class_names == ("pore", "ceramic", "metal")


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    write_results(tmp_path, whole_run())
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "spl')
    assert RunFolder.read(tmp_path).metrics == tuple(METRICS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", None, r"results\.json: no such file; .*finished run, or of an evaluation"),
        ("results.json", "{", r"results\.json: is no JSON .*bring back"),
        ("data.json", "{", r"data\.json: is no JSON"),
        ("config.json", b"\xff\xfe", r"config\.json: cannot be read"),
        ("metrics.jsonl", "{\n", r"metrics\.jsonl: is no JSON"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    write_results(tmp_path, whole_run() | {name: None})
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        RunFolder.read(tmp_path)


def test_results_of_an_untested_run_are_enough(tmp_path):
    found = {key: value for key, value in results().items() if key in UNTESTED}
    assert RunFolder.read(write_results(tmp_path, {"results.json": found})).results == found
