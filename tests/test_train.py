"""Training as a whole, in this process: what a run is a function of, and how it fails."""

import json
import re
import shutil

import numpy as np
import pytest

from configs import tiny
from xseg_jax.errors import DivergedError, InputError
from xseg_jax.modes import fit, train
from xseg_jax.modes.run import checkpoint_used, read_config
from xseg_jax.modes.trained import TrainedRun
from xseg_jax.training.checkpoint import Checkpoints
from xseg_jax.training.runlog import read_metrics

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = tiny.get_config()
    config.optimizer.learning_rate = 0.01  # It learns enough for a temperature.
    config.data.prepared_dir = str(tmp_path_factory.mktemp("prepared"))
    return config


@pytest.fixture(scope="module")
def run(config, no_pictures, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train.run(config, workdir)


@pytest.mark.rounding
def test_the_checkpoint_that_is_asked_for_is_tested(run):
    """Of the run as it is, and of the same run if the config had asked for the last."""
    workdir, _ = run
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        best, last = checkpoints.best, checkpoints.last
    assert TrainedRun.load(workdir).step == best
    assert TrainedRun.load(workdir, changes={"checkpoint.use": "last"}).step == last
    config = read_config(workdir)
    assert checkpoint_used(config, validated=False) == "last"
    del config.checkpoint["use"]  # As in runs of earlier versions.
    assert checkpoint_used(config, validated=True) == "best"


def without_time(results):
    return {key: value for key, value in results.items() if key != "seconds"}


@pytest.mark.rounding
def test_same_config_same_results_to_the_last_digit(config, run, tmp_path):
    workdir, results = run
    assert without_time(train.run(config, tmp_path)) == without_time(results)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (workdir / "metrics.jsonl").read_bytes()


@pytest.mark.rounding
def test_resumed_run_equals_an_uninterrupted_one(config, run, tmp_path, monkeypatch):
    workdir, results = run
    validate = fit.Validation.__call__

    def interrupted(self, log, state, step):
        if step == 8:
            raise KeyboardInterrupt
        return validate(self, log, state, step)

    monkeypatch.setattr(fit.Validation, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.run(config, tmp_path)
    assert read_metrics(tmp_path)[-1]["step"] == 8  # Logged, but in no checkpoint.
    monkeypatch.setattr(fit.Validation, "__call__", validate)
    assert without_time(train.run(config, tmp_path)) == without_time(results)
    assert read_metrics(tmp_path) == read_metrics(workdir)


@pytest.mark.rounding
def test_a_run_keeps_the_temperature_of_its_checkpoint(run, tmp_path):
    workdir, results = run
    found, trained = results["calibration"], TrainedRun.load(workdir)
    kept = json.loads((workdir / "calibration.json").read_text())
    assert kept.pop("step") == trained.step
    assert kept == trained.calibration.to_json()
    assert kept == {key: found[key] for key in ("temperature", "reason")} | found["fitted"]
    assert (kept["slices"], kept["labelled"], kept["pixels"]) == (1, 48 * 48, 48 * 48)
    assert 1 < kept["temperature"] < 20
    assert kept["nll"] < kept["nll_before"]
    assert found["pixels"] == sum(found["bins"]["after"]["pixels"]) == results["pixels"]
    assert sum(found["bins"]["before"]["pixels"]) == results["pixels"]
    assert list(found["classes"]) == list(results["per_class"])
    probability_HWK = np.array([[[0.7, 0.2, 0.1]]], np.float32)
    scaled_HWK = probability_HWK ** (1 / kept["temperature"])
    np.testing.assert_allclose(
        trained.calibrated(probability_HWK), scaled_HWK / scaled_HWK.sum(), rtol=1e-5
    )

    for name, change, reason in (
        ("earlier", None, "of an earlier version, which fitted none"),
        ("other", {"step": 3}, f"for the checkpoint of step 3, not of step {trained.step}"),
    ):
        folder = shutil.copytree(workdir, tmp_path / name)
        (folder / "calibration.json").unlink()
        if change:
            (folder / "calibration.json").write_text(json.dumps(kept | change))
        without = TrainedRun.load(folder)
        assert without.calibration.temperature is None
        assert reason in without.calibration.reason
        assert without.calibrated(probability_HWK) is probability_HWK
    for text in ("{}", "[1]", json.dumps(kept | {"step": 8, "temperature": -1.0})):
        (folder / "calibration.json").write_text(text)
        with pytest.raises(InputError, match=r"calibration\.json: is not as the run wrote it"):
            TrainedRun.load(folder)


@pytest.mark.parametrize("missing", ["config.json", "data.json", "checkpoints"])
def test_init_from_that_is_no_run_names_itself_and_a_run_beside_it(
    config, run, tmp_path, missing, monkeypatch
):
    monkeypatch.setattr(train, "open_data", lambda config: pytest.fail("data were read"))
    workdir, _ = run
    (tmp_path / "scan1").mkdir()
    for name in ("config.json", "data.json", "checkpoints"):
        (tmp_path / "scan1" / name).symlink_to(workdir / name)
    shutil.copytree(tmp_path / "scan1", tmp_path / "scan2", symlinks=True)
    (tmp_path / "scan2" / missing).unlink()
    bad = config.copy_and_resolve_references()
    bad.init_from = str(tmp_path / "scan2")
    where = re.escape(str(tmp_path))
    with pytest.raises(
        InputError,
        match=rf"^config\.init_from='{where}/scan2': is no trained run, for {where}/scan2/"
        rf"{missing} is missing; did you mean --config\.init_from={where}/scan1\?$",
    ):
        train.run(bad, tmp_path / "new")
    bad.init_from = str(tmp_path / "quite another")
    with pytest.raises(InputError, match=r"give the folder of one, as --config\.init_from=runs"):
        train.run(bad, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_config_json_repeats_the_run(config, run, tmp_path):
    from configs import from_run

    workdir, _ = run
    repeated = from_run.get_config(str(workdir))
    assert repeated.to_dict() == config.to_dict()


def test_loss_that_is_not_finite_stops_the_run(config, tmp_path):
    bad = config.copy_and_resolve_references()
    bad.optimizer.learning_rate = 1e30
    with pytest.raises(DivergedError, match=r"step \d.*learning_rate") as caught:
        train.run(bad, tmp_path)
    (path,) = tmp_path.glob("diverged_step_*.npz")
    assert str(path) in str(caught.value)
    step = int(path.stem.rpartition("_")[2])
    assert f"step {step};" in str(caught.value)
    batch = np.load(path)
    assert batch["image_BHWC"].shape == (4, 32, 32, 1)
    assert batch["label_BHW"].shape == (4, 32, 32)
    assert not (tmp_path / "results.json").exists()


def test_run_records_which_slice_went_where(run):
    workdir, results = run
    data = json.loads((workdir / "data.json").read_text())
    assert {part: len(names) for part, names in data["split"].items()} == {
        "train": 6, "validation": 1, "test": 3, "between": 0,
    }  # fmt: skip
    z = {part: [int(name[-4:]) for name in names] for part, names in data["split"].items()}
    assert z["validation"][0] - z["train"][-1] >= 10
    assert z["test"][0] - z["validation"][-1] >= 10
    assert results["leak"]["smallest_distance"] == z["test"][0] - z["train"][-1]
    assert data["label_map"]["classes"] == ["pore", "ceramic", "metal"]


def test_changed_files_are_not_the_same_run(config, tmp_path, write_folder, write):
    write_folder(tmp_path / "scan", 30, shape=(40, 40))
    mine = config.copy_and_resolve_references()
    mine.epochs = 1
    mine.data.source = "folder"
    mine.data.root = str(tmp_path / "scan")
    mine.data.split.gap = 3
    train.run(mine, tmp_path / "run")
    # Moved but equal: the same run, finished.
    shutil.move(tmp_path / "scan", tmp_path / "moved")
    mine.data.root = str(tmp_path / "moved")
    train.run(mine, tmp_path / "run")
    write(tmp_path / "moved" / "images" / "slice_000.tif", np.eye(40, dtype=np.uint8))
    with pytest.raises(InputError, match=r"holds another run.*fingerprint"):
        train.run(mine, tmp_path / "run")


def test_fields_of_the_split_are_checked_before_anything_is_simulated(
    config, monkeypatch, tmp_path
):
    monkeypatch.setattr(train, "open_data", lambda config: pytest.fail("simulated"))
    bad = config.copy_and_resolve_references()
    for field, value in (("kind", "blocks"), ("gap", -1), ("between", 1), ("fractions", (1, 0, 0))):
        bad.data.split = config.data.split.copy_and_resolve_references()
        bad.data.split[field] = value
        with pytest.raises(InputError, match=rf"config\.data\.split\.{field}="):
            train.run(bad, tmp_path / "run")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, r"config\.epochs=0"),
        ("loss.name", "mse", r"config\.loss\.name='mse': choose one of cross_entropy"),
        ("optimizer.schedule", "step", "constant, cosine"),
        ("optimizer.ema_decay", 1.0, "ema_decay=1.0"),
        ("checkpoint.use", "first", "checkpoint.use='first': choose best or last"),
        ("optimizer.freeze_norm", 1.0, "freeze_norm=1.0"),
        ("augment.noise", -1.0, r"config\.augment\.noise=-1\.0"),
        ("data.source", "files", "phantom or folder"),
        ("data.crop", 64, r"smaller than config\.data\.crop=64; set it to at most 48"),
        ("data.normalize", "minmax", "choose one of volume, scan, image"),
        ("data.train_slices", 99, "train_slices=99: the training block has 6"),
        ("inference.tile", 50, "multiple of 32"),
        ("data.split.between", 2, "split.between=2: give 0, or at least 3"),
        ("report.overlay_class", "gold", "pore, ceramic, metal"),
        ("report.formats", ("png", "tiff"), r"there is no 'tiff'; choose among png, svg, pdf, as"),
        ("report.formats", (), r"formats=\(\): figures need a format; choose among png, svg, pdf"),
    ],
)
def test_bad_values_stop_before_any_training(config, tmp_path, field, value, message):
    bad = config.copy_and_resolve_references()
    bad.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=message):
        train.run(bad, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
