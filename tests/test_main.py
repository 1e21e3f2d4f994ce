"""The real command line, a mode at a time, on a tiny run."""

import json
import re
import shutil
import subprocess
import sys

import forked
import numpy as np
import pytest
import tifffile
from sklearn.metrics import confusion_matrix

from xseg_jax.data import phantom


def main(*flags, fails=False, fresh=False):
    """What main.py says, on all channels or as an error; fresh is as a user starts it."""
    if fresh:
        process = subprocess.Popen(
            [sys.executable, "main.py", *flags], cwd=forked.ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    else:
        process = forked.Main(*flags)
    said, errors = process.communicate(timeout=300)
    assert (process.returncode != 0) == fails, said + errors
    return errors if fails else said + errors


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished tiny run, and what training it printed."""
    folder = tmp_path_factory.mktemp("tiny")
    flags = ["--config=configs/tiny.py", f"--config.data.prepared_dir={folder / 'prepared'}"]
    flags.append("--config.optimizer.learning_rate=0.01")  # It learns enough for a temperature.
    said = main(*flags, f"--workdir={folder / 'run'}", fresh=True)
    return folder, flags, said


@pytest.fixture(scope="module")
def other_scan(tmp_path_factory):
    """A folder of slices of another seed and size, with labels 0, 128 and 255."""
    root = tmp_path_factory.mktemp("scan")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    slices = phantom.tomogram(
        size=70, depth=3, z_step=1, fractions=(0.3, 0.42, 0.28), correlation_length=3.0,
        attenuation=(0.0005, 0.0035, 0.0055), texture=0.05, photons=5000.0, ring_strength=0.005,
        beam_hardening=0.15, projections=48, seed=1,
    )  # fmt: skip
    for z, image_HW, label_HW in slices:
        # Unequal sides, and one slice smaller than the others.
        crop = np.s_[: 70 - 9 * z, :65]
        tifffile.imwrite(root / "images" / f"scan{z:03d}.tif", image_HW[crop])
        tifffile.imwrite(root / "labels" / f"mask_{z:03d}.tif", label_HW[crop])
    return root


def test_train_leaves_a_whole_run(tiny):
    folder, _, said = tiny
    run = folder / "run"
    results = json.loads((run / "results.json").read_text())
    wanted = (
        "split slices pixels accuracy precision recall f1 miou per_class confusion baselines "
        "verdict calibration leak label_map git_commit packages device seconds"
    )
    assert set(wanted.split()) <= results.keys()
    assert results["split"] == "test"
    assert np.sum(results["confusion"]) == results["pixels"] == results["slices"] * 48 * 48
    assert results["baselines"].keys() == {"forest", "thresholding"}
    for baseline in results["baselines"].values():
        assert baseline["pixels"] == results["pixels"]
    assert f"U-Net {results['accuracy']:.4f}" in said
    calibration = results["calibration"]
    errors = (calibration[key] for key in ("temperature", "ece_before", "ece"))
    line = (
        "calibration: temperature {:.2f} (fitted on 1 validation slice): expected error {:.4f}, "
        "and {:.4f} with it"
    )
    assert line.format(*errors) in said
    kept = json.loads((run / "calibration.json").read_text())
    assert kept["temperature"] == calibration["temperature"]
    for part in (calibration, calibration["boundary"]):
        assert sum(part["bins"]["after"]["pixels"]) == part["pixels"]
    assert 0 < calibration["boundary"]["pixels"] < calibration["pixels"] == results["pixels"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r["split"]) for r in rows] == [
        (4, "train"), (4, "validation"), (8, "train"), (8, "validation"),
    ]  # fmt: skip
    figures = {path.name for path in (run / "figures").iterdir()}
    assert figures == {
        "history.png", "comparison.png", "collage.png", "confusion.png", "errors.png",
        "calibration.png",
    }  # fmt: skip
    assert list((run / "tensorboard").glob("events.*"))
    assert "# run\n" in (run / "model_card.md").read_text()
    page = (run / "report.html").read_text()
    assert f"{results['miou']:.4f}" in page
    assert "All tested slices." in page  # The viewer has slices.npz.
    assert isinstance(json.loads((run / "warnings.json").read_text()), list)


def test_training_begins_with_what_it_uses_and_ends_with_where_things_are(tiny):
    folder, _, said = tiny
    run = folder / "run"
    lines = said.splitlines()
    assert lines[:2] == [
        "data:    synthetic tomogram, 20 slices of 48 x 48, uint16",
        f"run:     {run}",
    ]
    assert lines[2].startswith("devices: ")
    last = lines.index(f"results:     {run}/results.json")
    assert lines[last - 1 : last + 4] == [
        "",
        f"results:     {run}/results.json",
        f"figures:     {run}/figures",
        f"checkpoints: {run}/checkpoints",
        f"page:        {run}/report.html",
    ]
    assert "not used: 10 slices in gaps of 10 voxels (split.gap)" in lines
    parameters = (run / "parameters.txt").read_text().splitlines()
    total = json.loads((run / "results.json").read_text())["parameters"]
    assert (
        f"network: {total:,} parameters, 2 levels of 4, 8 channels ({run}/parameters.txt)" in lines
    )
    assert parameters[-1].split() == ["total", f"{total:,}"]
    assert not any("kernel" in line for line in lines)


def test_finished_run_prints_its_table_again(tiny):
    folder, flags, said = tiny
    before = {path: path.read_bytes() for path in (folder / "run").iterdir() if path.is_file()}
    again = main(*flags, f"--workdir={folder / 'run'}")
    assert "this run is finished" in again
    start = said.index("test: 3 slices, 6,912 pixels")
    table = said[start : said.index("report.html", start)]
    assert (folder / "run" / "results.txt").read_text() in table
    assert again.startswith(
        "data: synthetic tomogram, 20 slices of 48 x 48, uint16\n"
        f"run:  {folder / 'run'}\n{table}report.html\n"
    )
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_stopped_behind_its_last_step_takes_none_again(tiny, tmp_path):
    folder, flags, _ = tiny
    run = shutil.copytree(folder / "run", tmp_path / "run")
    for name in ("results.json", "results.txt", "report.html"):
        (run / name).unlink()
    process = forked.Main(*flags, f"--workdir={run}", pictures=False)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "all 8 steps are taken; going on with what follows them\n" in errors
    assert "epoch 2: " not in errors
    table = (folder / "run" / "results.txt").read_text()
    assert (run / "results.txt").read_text() == table
    assert f"{table}\nresults:     {run}/results.json\n" in said
    assert said.endswith(f"page:        {run}/report.html\n")


def test_folder_of_another_configuration_is_refused(tiny):
    folder, flags, _ = tiny
    said = main(*flags, f"--workdir={folder / 'run'}", "--config.epochs=1", fails=True)
    assert "holds another run" in said
    assert "epochs: 2 there, 1 here" in said
    said = main(*flags, f"--workdir={folder / 'run'}", "--config.epochs=3", fails=True)
    assert f"--config.epochs=1 --config.init_from={folder / 'run'} --workdir=" in said


def test_evaluate_and_predict_agree_to_the_pixel(tiny, other_scan, tmp_path):
    folder, _, _ = tiny
    common = [f"--workdir={folder / 'run'}"]
    output = [f"--output={tmp_path / 'scores'}"]
    said = main("--mode=evaluate", *common, f"--input={other_scan}", *output, fresh=True)
    images, run, scores = other_scan / "images", folder / "run", tmp_path / "scores"
    lines = said.splitlines()
    assert lines[0] == (
        f"data:    {images}, 3 slices of several sizes, as 70 x 65, uint16; 3 labelled by "
        f"{other_scan / 'labels'}"
    )
    assert re.fullmatch(rf"run:     {re.escape(str(run))} \(step [48]\)", lines[1])
    assert lines[2].startswith("devices: ")
    last = lines.index(f"results: {scores}/results.json")
    assert lines[last + 1 : last + 3] == [
        f"figures: {scores}/figures", f"page:    {scores}/report.html",
    ]  # fmt: skip
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert results["slices"] == 3
    assert (tmp_path / "scores" / "figures" / "collage.png").stat().st_size > 10_000
    kept = json.loads((folder / "run" / "calibration.json").read_text())
    assert results["calibration"]["temperature"] == kept["temperature"]
    assert results["calibration"]["pixels"] == results["pixels"]

    flags = [*common, f"--input={other_scan / 'images'}", f"--output={tmp_path / 'masks'}"]
    said = main("--mode=predict", *flags, fresh=True)
    lines = said.splitlines()
    assert lines[0] == f"data:    {images}, 3 slices of several sizes, as 70 x 65, uint16"
    assert [line.partition(":")[0] for line in lines[1:3]] == ["run", "devices"]
    last = lines.index(f"labels: {tmp_path / 'masks'}")
    assert lines[last + 1] == f"record: {tmp_path / 'masks' / 'prediction.json'}"
    masks = sorted((tmp_path / "masks").glob("*.tif"))
    assert [path.stem for path in masks] == ["scan000", "scan001", "scan002"]
    truth = [tifffile.imread(path).ravel() for path in sorted((other_scan / "labels").iterdir())]
    found = [tifffile.imread(path).ravel() for path in masks]
    counts = confusion_matrix(np.concatenate(truth), np.concatenate(found), labels=[0, 1, 2])
    np.testing.assert_array_equal(counts, results["confusion"])

    # An interrupted prediction goes on: what is there stays, what is missing is made again.
    kept = masks[0].stat().st_mtime_ns
    lost = masks[1].read_bytes()
    masks[1].unlink()
    # The folder that holds images and labels is as good as that of the images.
    main("--mode=predict", *common, f"--input={other_scan}", *flags[2:])
    assert masks[0].stat().st_mtime_ns == kept
    assert masks[1].read_bytes() == lost

    # Maps come later into folders beside, and the labels stay.
    said = main("--mode=predict", *flags, "--probabilities")
    assert f"probabilities: {tmp_path / 'masks'}_probabilities\n" in said
    assert masks[1].read_bytes() == lost
    said = main("--mode=predict", *flags, "--config.inference.tile=32", fails=True)
    assert "what was predicted otherwise; choose another --output" in said
    assert "inference.tile: 64 there, 32 here" in said

    # One image is called as in its folder.
    one = [f"--input={images / 'scan001.tif'}", f"--output={tmp_path / 'one'}"]
    said = main("--mode=predict", *common, *one)
    assert f"data:    {images / 'scan001.tif'}, 1 slice of 61 x 65, uint16\n" in said
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "one" / "scan001.tif"), tifffile.imread(masks[1])
    )


def test_two_processes_predict_a_volume_of_the_same_bytes_as_one(tiny, tmp_path):
    folder, _, _ = tiny
    rng = np.random.default_rng(0)
    scan_ZYX = rng.integers(20000, 45000, (40, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "my scan [1].tif", scan_ZYX)
    flags = [f"--workdir={folder / 'run'}", f"--input={tmp_path / 'my scan [1].tif'}"]
    stores = []
    for jobs in (1, 2):
        output = tmp_path / f"{jobs}" / "labels.ome.zarr"
        said = main(
            "--mode=predict", *flags, f"--output={output}", "--uncertainty", f"--jobs={jobs}"
        )
        assert ("3 blocks are shared out to 2 processes" in said) == (jobs == 2)
        assert f"napari {output}" in said
        assert said.startswith(
            f"data:    {tmp_path}/my scan [1].tif, 40 slices of 40 x 50, uint16\nrun:     "
        )
        assert f"\nlabels: {output}\nrecord: {output}.json\nnext:   {output}.next.csv\n" in said
        names = sorted(path.name for path in output.parent.iterdir())
        assert names == [f"labels.ome.zarr{end}" for end in ("", ".json", ".next.csv")]
        stores.append({
            str(path.relative_to(output)): path.read_bytes()
            for path in output.rglob("*") if path.is_file()
        })  # fmt: skip
    assert len(stores[0]) > 8
    assert stores[0] == stores[1]


def test_evaluate_degrades_the_scan_and_scores_it_again(tiny, other_scan, tmp_path):
    folder, _, _ = tiny
    output = tmp_path / "scores"
    common = [f"--workdir={folder / 'run'}", f"--input={other_scan}", f"--output={output}"]
    said = main("--mode=evaluate", *common, "--degrade=snow", fails=True)
    assert "there is no degradation 'snow'; give all, or some of white_noise,coloured" in said
    assert not output.exists()

    formats = "--config.report.formats=('png', 'svg', 'pdf')"
    said = main("--mode=evaluate", *common, "--degrade=white_noise,offset", formats)
    assert "3 planes, as they are and in 8 strengths of 2 degradations: 27 to segment" in said
    assert "Degrading: 27 of 27 planes" in said
    results = json.loads((output / "results.json").read_text())
    found = json.loads((output / "degraded.json").read_text())
    assert found["packages"] == results["packages"]
    clean = found["clean"]
    methods = {"U-Net": results} | results["baselines"]
    assert list(clean) == list(methods) == ["U-Net", "forest", "thresholding"]
    for name, whole in methods.items():
        assert clean[name] == {"accuracy": whole["accuracy"], "miou": whole["miou"]}
    rows = {(row["degradation"], row["strength"]): row["scores"] for row in found["rows"]}
    assert len(rows) == 8
    # One grey scale for all: an offset is a fault, and noise is one for a threshold.
    threshold = [rows["white_noise", s]["thresholding"]["accuracy"] for s in (0.1, 0.3, 0.6, 1.0)]
    assert sorted(threshold, reverse=True) == threshold
    assert threshold[-1] < clean["thresholding"]["accuracy"] - 0.1
    assert rows["offset", 0.5]["thresholding"] != clean["thresholding"]
    cells = [f"{one['accuracy']:>11.4f}{one['miou']:>9.4f}" for one in clean.values()]
    row = "none" + " " * 28 + "".join(cells)
    assert row in said
    assert len((output / "degraded.csv").read_text().splitlines()) == 1 + 3 * 9
    assert (output / "figures" / "degraded.png").stat().st_size > 10_000
    drawn = "degraded", "comparison", "collage", "confusion", "errors", "calibration"
    files = {f"{name}.{form}" for name in drawn for form in ("png", "svg", "pdf")}
    assert {path.name for path in (output / "figures").iterdir()} == files
    assert not list(output.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode=evaluate"], "--mode=evaluate needs --workdir"),
        ([], "--mode=train needs --config"),
        (["--config=configs/tiny.py", "stray"], "unknown argument 'stray'"),
        (["--config=configs/tiny.py", "--config.model.norm=layer"], "none, batch, group, instance"),
        (["--config=configs/tiny.py", "--config.model.feature=3"], "config.model.features"),
        (["--config=configs/soc.py"], "--config.data.root=FOLDER"),
        (["--config=configs/nothing.py"], "--config=configs/nothing.py: no such file; see con"),
        (["--config=configs/defalt.py"], "did you mean --config=configs/default.py?"),
        (["--config=configs/ablations/los.py"], "did you mean --config=configs/ablations/loss.py"),
        (["--config=sandston.py"], "did you mean --config=configs/sandstone.py?"),
        (["--help_config=data.spl"], "--help_config=data.spl: no such field"),
        (
            ["--config=configs/tiny.py", "--config.epochs=abc"],
            "--config.epochs=abc: give a whole num",
        ),
        (
            ["--config=configs/tiny.py", "--config.init_from=runs/nowhere"],
            "config.init_from='runs/nowhere': is no trained run, for runs/nowhere/config.json",
        ),
        (["--config=configs/from_run.py:nowhere"], "nowhere/config.json: no such file"),
        (["--config=configs/tiny.py", "--config.data.root=x"], "add --config.data.source=folder"),
        (
            ["--config=configs/tiny.py", "--config.loss.focal_gamma=2.0"],
            "add --config.loss.name=fo",
        ),
        (
            ["--mode=sweep", "--config=configs/ablations/smoke.py", "--config.base.data.root=x"],
            "add --config.base.data.source=folder",
        ),
        (
            ["--mode=evaluate", "--workdir=a", "--config=configs/tiny.py"],
            "takes the configuration of the run",
        ),
        (
            ["--mode=evaluate", "--workdir=a", "--config.data.crop=32"],
            "--config.data.crop: --mode=evaluate takes the configuration of the run",
        ),
        (["--config=configs/tiny.py", "--jobs=2"], "--jobs: has no effect with --mode=train"),
    ],
)
def test_mistakes_in_flags_are_one_line(flags, message, tmp_path):
    workdir = [] if any("evaluate" in flag for flag in flags) else [f"--workdir={tmp_path}"]
    said = main(*flags, *workdir, fails=True)
    assert message in said
    assert "Traceback" not in said
    assert not any(tmp_path.iterdir())
