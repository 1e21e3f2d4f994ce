"""Runs beside each other: the real command line on small folders, and what it refuses."""

import csv
import json
import shutil
from pathlib import Path

import forked
import numpy as np
import pytest

from configs import tiny
from xseg_jax.errors import InputError
from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.boundaries import BoundaryTally, write_sums
from xseg_jax.evaluation.intervals import intervals, sums_of
from xseg_jax.files import user_path
from xseg_jax.model.metrics import macro_scores, scores
from xseg_jax.modes import compare
from xseg_jax.modes.scored import Scored, different_fields
from xseg_jax.report import comparison
from xseg_jax.training.runlog import flatten, read_json, write_json

NAMES = ("pore", "metal")
SLICES = 8


def labels(count=SLICES, size=48):
    """Stripes that lie elsewhere in every slice."""
    x = np.arange(size)
    return [np.tile(((x + 3 * z) // 12 % 2).astype(np.uint8), (size, 1)) for z in range(count)]


def segmented(label_HW, shift, rng):
    """The stripes, so many pixels off in some rows."""
    moved_HW = np.roll(label_HW, shift, axis=1)
    return np.where(rng.random((len(label_HW), 1)) < 0.7, moved_HW, label_HW)


def make_run(
    folder, shift, *, seed=0, names=NAMES, slices=None, changes=None, evaluation=False,
    tolerance=2.0,
):  # fmt: skip
    """A finished run, as training leaves it: what comparison reads of it."""
    rng = np.random.default_rng([seed, shift])
    planes = labels()
    slices = slices or [f"slice_{z:03d}" for z in range(len(planes))]
    tally, confusion = BoundaryTally(planes, len(names), tolerance), []
    for label_HW in planes:
        guess_HW = segmented(label_HW, shift, rng)
        tally(label_HW, guess_HW)
        cells = label_HW.ravel().astype(int) * len(names) + guess_HW.ravel()
        confusion.append(np.bincount(cells, minlength=len(names) ** 2))
    confusion_NKK = np.reshape(confusion, (-1, len(names), len(names)))
    edges = tally.sums()
    units = {"level": 0.95, "units": 4, "unit": "blocks of z"}
    results = (
        {"split": "test", "slices": len(planes)}
        | scores(confusion_NKK.sum(axis=0), names)
        | {"intervals": units | intervals(sums_of(confusion_NKK, edges), names, 4)}
    )
    folder.mkdir(parents=True)
    write_json(folder / "results.json", results)
    write_json(
        folder / "slices.json", {"network": dict(zip(slices, confusion_NKK.tolist(), strict=True))}
    )
    write_sums(folder / "boundaries.npz", {"network": edges})
    if evaluation:
        write_json(folder / "evaluation.json", {"run": "x", "fingerprint": "f"})
        return folder
    config = tiny.get_config()
    config.seed = seed
    config.update_from_flattened_dict(changes or {})
    write_json(folder / "config.json", config.to_dict())
    split = {"train": ["t"] * 3, "validation": [], "test": slices}
    write_json(folder / "data.json", {"fingerprint": "f", "split": split})
    return folder


@pytest.fixture
def two(tmp_path):
    """A good run and a worse one."""
    return make_run(tmp_path / "good", 1), make_run(tmp_path / "poor", 4)


def said_by(*flags, fails=False):
    process = forked.Main("--mode=compare", *flags)
    said, errors = process.communicate()
    assert (process.returncode != 0) == fails, said + errors
    assert "Traceback" not in errors
    return errors if fails else said


def test_two_runs_on_the_command_line(two, tmp_path):
    output = tmp_path / "compared"
    said = said_by(f"--runs={two[0]},{two[1]}", f"--output={output}")
    assert said.startswith("data: 8 slices, on which all were scored\nruns: good, poor\n")
    assert said.endswith(
        f"\n\nresults: {output}/compared.json\nfigures: {output}/compared.png\n"
        f"page:    {output}/report.html\n"
    )
    found = json.loads((output / "compared.json").read_text())
    assert (found["slices"], found["units"], found["unit"]) == (8, 4, "blocks of z")
    assert found["tolerance"] == 2.0
    rows = {(row["score"], row["class"]): row for row in found["pairs"]}
    assert list(rows) == [
        ("miou", None), ("accuracy", None), ("surface_dice", None), ("iou", "pore"),
        ("iou", "metal"),
    ]  # fmt: skip
    good, poor = (read_json(folder / "results.json") for folder in two)
    for key in ("miou", "accuracy"):
        row = rows[key, None]
        assert (row["base"], row["variant"]) == ("good", "poor")
        assert (row["base_value"], row["value"]) == (good[key], poor[key])
        assert row["difference"] == pytest.approx(poor[key] - good[key])
        assert row["low"] < row["difference"] < row["high"] < 0
        assert row["verdict"] == "worse"
        line = f"{poor[key]:.4f}     {poor[key] - good[key]:+.4f}"
        assert line in said
    assert rows["surface_dice", None]["base_value"] == 1.0  # A pixel is within two.
    assert rows["surface_dice", None]["value"] < 0.7
    for row in found["scores"]:
        if row["side"] == "good" and row["score"] == "miou":
            assert {"low": row["low"], "high": row["high"]} == good["intervals"]["miou"]
    assert "8 slices, 18,432 pixels, scored by all" in said
    assert "poor minus good" in said
    assert "intervals: 95% over 4 blocks of z, corrected" in said
    assert "one run of each: another seed may differ by more\nsurface Dice: boundaries with" in said
    with (output / "compared.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 5
    assert float(table[0]["difference"]) == rows["miou", None]["difference"]
    assert (output / "compared.png").stat().st_size > 10_000
    assert sorted(path.name for path in output.iterdir()) == sorted(
        [*comparison.WRITTEN, "report.html"]
    )


def test_the_difference_is_that_of_studies(two, tmp_path):
    found = compare.run(_paths(*two), tmp_path / "out")
    blocks = [
        statistics.blocks_of(np.array(list(read_json(f / "slices.json")["network"].values())), 4)
        for f in two
    ]
    wanted = statistics.difference(
        blocks[0][None], blocks[1][None], lambda sums: macro_scores(sums)["miou"], paired=True
    )
    row = found["pairs"][0]
    keys = ("difference", "low", "high", "p")
    assert tuple(row[key] for key in keys) == pytest.approx(
        (wanted.estimate, wanted.low, wanted.high, wanted.p)
    )


def _paths(*folders):
    return user_path(",".join(map(str, folders)))


def test_three_runs_are_compared_pair_by_pair_and_corrected(two, tmp_path):
    third = make_run(tmp_path / "third", 2)
    alone = compare.run(_paths(*two), tmp_path / "two")["pairs"]
    found = compare.run(_paths(*two, third), tmp_path / "three")["pairs"]
    couples = {(row["base"], row["variant"]) for row in found}
    assert couples == {("good", "poor"), ("good", "third"), ("poor", "third")}
    of_both = [row for row in found if (row["base"], row["variant"]) == ("good", "poor")]
    for one, both in zip(alone, of_both, strict=True):
        assert both["difference"] == one["difference"]
        assert both["p"] >= one["p"]
        assert both["high"] - both["low"] >= one["high"] - one["low"]


def test_seeds_of_a_side_are_taken_together(tmp_path):
    sides = {
        name: [make_run(tmp_path / f"{name}{seed}", shift, seed=seed) for seed in (1, 0)]
        for name, shift in (("a", 1), ("b", 3))
    }
    text = ",".join("+".join(map(str, side)) for side in sides.values())
    output = tmp_path / "out"
    found = compare.run(user_path(text), output)
    miou = {
        name: np.mean([read_json(folder / "results.json")["miou"] for folder in side])
        for name, side in sides.items()
    }
    row = found["pairs"][0]
    assert (row["base"], row["variant"]) == ("a1+a0", "b1+b0")
    assert row["difference"] == pytest.approx(miou["b"] - miou["a"])
    facts = read_json(output / "compared.json")
    assert facts["seeds"] == 2
    assert "over 2 seeds and 4 blocks of z" in comparison.footnote(facts)
    assert "another seed" not in comparison.footnote(facts)
    # Each side by its seeds, however they are ordered.
    assert facts["of"]["a1+a0"] == [str(tmp_path / "a0"), str(tmp_path / "a1")]


def test_a_side_holds_seeds_alone(tmp_path):
    a0, b0 = make_run(tmp_path / "a0", 1), make_run(tmp_path / "b0", 3)
    a1 = make_run(tmp_path / "a1", 1, seed=1, changes={"loss.name": "dice"})
    with pytest.raises(InputError, match=r"a0 and .*a1: differ by loss\.name, not by their seed"):
        compare.run(_paths(f"{a0}+{a1}", b0), tmp_path / "out")
    b2 = make_run(tmp_path / "b2", 3, seed=2)
    shutil.rmtree(a1)
    a1 = make_run(a1, 1, seed=1)
    with pytest.raises(InputError, match=r"the seeds are \[0, 1\] in .* \[0, 2\] in .*b0 and its"):
        compare.run(_paths(f"{a0}+{a1}", f"{b0}+{b2}"), tmp_path / "out")
    scored = make_run(tmp_path / "scored", 3, evaluation=True)
    with pytest.raises(InputError, match=r"scored: is no folder of a run, so that its seed is not"):
        compare.run(_paths(f"{a0}+{a1}", f"{scored}+{b0}"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_evaluation_and_a_run_may_stand_beside_each_other(tmp_path):
    pair = make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 3, evaluation=True)
    found = compare.run(_paths(*pair), tmp_path / "out")
    assert found["pairs"][0]["verdict"] == "worse"


def test_the_figure_has_the_formats_of_the_runs(tmp_path):
    one = make_run(tmp_path / "a", 1)
    other = make_run(tmp_path / "b", 4, changes={"report.formats": ("pdf", "svg")})
    compare.run(_paths(one, other), tmp_path / "out")
    drawn = {path.name for path in (tmp_path / "out").glob("compared.*")} - {*comparison.WRITTEN}
    assert drawn == {"compared.svg", "compared.pdf"}
    assert (tmp_path / "out" / "compared.png").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "compared.pdf").write_text("mine")
    with pytest.raises(InputError, match=r"compared\.pdf: is there already"):
        compare.run(_paths(one, other), tmp_path / "mine")


def test_what_differs_is_said(tmp_path, capsys):
    pair = [make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 3, changes={"loss.name": "dice"})]
    data = read_json(pair[1] / "data.json")
    write_json(pair[1] / "data.json", data | {"fingerprint": "g", "split": {"train": ["t"]}})
    results = read_json(pair[1] / "results.json")
    leak = {"trained_on": ["slice_003", "slice_004"]}
    write_json(pair[1] / "results.json", results | {"leak": leak})
    compare.run(_paths(*pair), tmp_path / "out")
    said = capsys.readouterr().out
    notes = read_json(tmp_path / "out" / "compared.json")["notes"]
    assert notes == [
        "prepared data of the training: f in a, g in b",
        "training slices: 3 in a, 1 in b",
        "fields that differ: loss.name",
        "b: trained on 2 of these slices, slice_003 for one",
    ]
    assert all(note in said for note in notes)


def test_runs_without_boundaries_or_with_other_tolerances_are_compared_by_pixels(tmp_path):
    one, other = make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 3, tolerance=1.0)
    found = compare.run(_paths(one, other), tmp_path / "out")
    assert "surface_dice" not in {row["score"] for row in found["pairs"]}
    (note,) = read_json(tmp_path / "out" / "compared.json")["notes"]
    assert note.startswith("no surface Dice: other tolerances (2 pixels in ")
    (other / "boundaries.npz").unlink()
    compare.run(_paths(one, other), tmp_path / "out")
    (note,) = read_json(tmp_path / "out" / "compared.json")["notes"]
    assert note.startswith(f"no surface Dice: {other} was scored by an earlier version")


def refused(runs, output):
    said = said_by(f"--runs={runs}", f"--output={output}", fails=True)
    assert said.count("\n") == 1
    return said


def test_runs_on_other_slices_are_refused_on_the_command_line(two, tmp_path):
    names = [f"slice_{z + 2:03d}" for z in range(SLICES)]
    other = make_run(tmp_path / "other", 1, slices=names)
    said = refused(f"{two[0]},{other}", tmp_path / "out")
    assert "were scored on other slices (8 and 8, 6 of the same name; slice_000 in " in said
    assert "score both on the same labels with --mode=evaluate" in said
    assert not (tmp_path / "out").exists()


def test_runs_on_other_splits_are_not_to_be_scored_on_their_training_slices(two, tmp_path):
    other = make_run(tmp_path / "other", 1, slices=[f"slice_{z + 2:03d}" for z in range(SLICES)])
    trained = {"split": {"train": ["slice_000", "slice_020"], "validation": [], "test": []}}
    write_json(other / "data.json", trained)
    said = refused(f"{two[0]},{other}", tmp_path / "out")
    assert f"{other} was trained on 1 of those of {two[0]}; train both with the same " in said
    assert "--mode=evaluate" not in said


def test_other_mistakes_are_one_line_each(two, tmp_path):
    good, poor = two
    output = tmp_path / "out"

    def fails(runs, message):
        with pytest.raises(InputError, match=message) as caught:
            compare.run(user_path(runs), output)
        assert "\n" not in str(caught.value)
        assert not output.exists()

    fails(f"{good}", "give two folders or more, as --runs=")
    fails(f"{good},{good}", "names a folder twice")
    fails(
        f"{good},{tmp_path / 'nothing'}", r"nothing: holds no results\.json: it is no run, or not"
    )
    classes = make_run(tmp_path / "classes", 1, names=("pore", "ceramic"))
    fails(f"{good},{classes}", "other classes, pore, metal and pore, ceramic; compare runs that")
    slices = read_json(poor / "slices.json")
    slices["network"]["slice_002"][0][0] += 1
    write_json(poor / "slices.json", slices)
    fails(f"{good},{poor}", r"other labels: 1 of 8 slices have other .*, slice_002 for one; score")
    del slices["network"]["slice_002"]
    write_json(poor / "slices.json", slices)
    fails(f"{good},{poor}", r"boundaries\.npz: is of 8 slices, slices\.json of 7; bring back")
    write_json(poor / "slices.json", slices["network"])
    fails(
        f"{good},{poor}", r"slices\.json: was written by an earlier version of xseg_jax; score th"
    )
    (poor / "slices.json").unlink()
    fails(f"{good},{poor}", r"poor: holds no slices\.json, which says what every slice scored; bri")
    write_json(poor / "results.json", {"slices": 0})
    fails(f"{good},{poor}", "poor: was trained on every label and tested on none; score it on")


def test_a_folder_of_something_else_stays(two, tmp_path):
    output = tmp_path / "out"
    compare.run(_paths(*two), output)
    compare.run(_paths(*two), output)  # The same again takes its place.
    third = make_run(tmp_path / "third", 2)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(InputError, match=r"compared\.json: is of other runs; choose another --out"):
        compare.run(_paths(two[0], third), output)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    with pytest.raises(InputError, match="third: holds a run or an evaluation; choose another"):
        compare.run(_paths(*two), third)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "compared.csv").write_text("mine")
    with pytest.raises(InputError, match=r"compared\.csv: is there already .* by a comparison"):
        compare.run(_paths(*two), mine)
    assert (mine / "compared.csv").read_text() == "mine"


def test_configs_differ_by_what_counts(tmp_path):
    one = make_run(tmp_path / "a", 1, changes={"log_every": 9, "epochs": 4})
    other = make_run(tmp_path / "b", 1, seed=3)
    scored = [Scored.read(folder) for folder in (one, other)]
    assert different_fields(scored) == ["epochs"]
    config = read_json(other / "config.json")
    del config["augment"]["chance"]
    write_json(other / "config.json", config)
    earlier = [scored[0], Scored.read(other)]
    assert different_fields(earlier) == ["epochs", "augment.chance"]
    assert flatten(read_json(one / "config.json"))["log_every"] == 9


@pytest.mark.parametrize(
    ("sides", "names"),
    [
        (("/a/one", "/b/two"), ["one", "two"]),
        (("/a/one/seed_0", "/a/two/seed_0"), ["one/seed_0", "two/seed_0"]),
        (("/a/x/s+/a/x/t", "/b/x/s+/b/x/t"), ["a/x/s+a/x/t", "b/x/s+b/x/t"]),
    ],
)
def test_sides_are_called_by_as_little_as_tells_them_apart(sides, names):
    parts = [[Path(folder) for folder in side.split("+")] for side in sides]
    assert compare._names_of(parts) == names
