"""A folder is somebody's: what each mode refuses to write to or over."""

import json
import shutil

import pytest

from configs import tiny
from configs.ablations import smoke
from xseg_jax import locks
from xseg_jax.errors import InputError, SaveError
from xseg_jax.modes import evaluate, folders, predict, sweep, train

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def config(prepared):
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(prepared)
    return config


@pytest.fixture(scope="module")
def trained(config, no_pictures, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    train.run(config, workdir)
    return workdir


@pytest.fixture
def scan(tmp_path, write_folder):
    write_folder(tmp_path / "scan", 2, shape=(48, 48), dtype="u2", values=(0, 1, 2))
    return tmp_path / "scan"


def start(mode, folder, config, trained, scan):
    if mode == "train":
        train.run(config, folder)
    elif mode == "sweep":
        sweep.run(smoke.get_config(), folder, executor="local", jobs=1, slurm={})
    elif mode == "predict":
        predict.run(trained, scan / "images", folder, probabilities=False)
    else:
        evaluate.run(trained, scan, folder)


MODES = ("train", "sweep", "predict", "evaluate")


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_in_use_is_refused_before_any_work(mode, config, trained, scan, tmp_path):
    folder = tmp_path / "folder"
    with (
        locks.hold(folder, "--x"),
        pytest.raises(InputError, match=r"folder: is in use by process \d+ on .*; wait until it"),
    ):
        start(mode, folder, config, trained, scan)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("mode", "name", "writer"),
    [
        ("train", "metrics.jsonl", "a run"),
        ("train", "results.json", "a run"),
        ("train", "checkpoints", "a run"),
        ("train", "forest.npz", "a run"),
        ("sweep", "study.csv", "a study"),
        ("sweep", "study.png", "a study"),
        ("sweep", "study.pdf", "a study"),
        ("evaluate", "results.json", "an evaluation"),
        ("evaluate", "slices.json", "an evaluation"),
        ("evaluate", "boundaries.npz", "an evaluation"),
        ("evaluate", "figures", "an evaluation"),
    ],
)
def test_files_of_somebody_else_stay(mode, name, writer, config, trained, scan, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: is there already .* by {writer} \(1 such file"):
        start(mode, folder, config, trained, scan)
    assert files(folder) == {(folder / name).relative_to(folder): b"mine"}


@pytest.mark.parametrize("mode", MODES)
def test_a_file_where_the_folder_should_be(mode, config, trained, scan, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises((SaveError, InputError), match=r"file/a: .*a file stands where a folder sh"):
        start(mode, tmp_path / "file" / "a", config, trained, scan)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_evaluation_is_claimed_and_another_refused(trained, scan, tmp_path, write_folder):
    output = tmp_path / "out"
    first = evaluate.run(trained, scan, output)
    claimed = json.loads((output / "evaluation.json").read_text())
    assert claimed["input"] == str(scan.resolve())
    assert claimed["run"] == str(trained.resolve())
    # Drawn otherwise it is the same evaluation.
    again = evaluate.run(trained, scan, output, changes={"report.formats": ("png", "svg")})
    assert again["confusion"] == first["confusion"]
    assert json.loads((output / "evaluation.json").read_text()) == claimed
    with pytest.raises(
        InputError, match=r"holds no labels or masks; say where labels are with --labels"
    ):
        evaluate.run(trained, scan / "images", tmp_path / "nowhere")
    before = files(output)
    write_folder(tmp_path / "other", 2, shape=(48, 48), dtype="u2", values=(0, 1, 2), seed=1)
    with pytest.raises(InputError, match=r"evaluation\.json: .* another --output .*input: "):
        evaluate.run(trained, tmp_path / "other", output)
    assert files(output) == before
    (output / "evaluation.json").unlink()  # As an earlier version left it.
    with pytest.raises(InputError, match=r"results\.json: is there already .* \(7 such files\)"):
        evaluate.run(trained, scan, output)


def test_a_finished_run_is_shown_where_nothing_can_be_written(
    config, trained, tmp_path, monkeypatch, capsys
):
    shutil.copytree(trained, tmp_path / "run")

    def hold(*_):
        raise AssertionError("a finished run was locked")

    monkeypatch.setattr(locks, "hold", hold)
    results = train.run(config, tmp_path / "run")
    assert f"U-Net {results['accuracy']:.4f}" in capsys.readouterr().out


def test_a_finished_run_says_how_its_figures_are_drawn_otherwise(config, trained, caplog):
    drawn = trained / "figures" / "history.png"  # No pictures are drawn here.
    drawn.parent.mkdir(exist_ok=True)
    drawn.write_bytes(b"")
    train.run(config, trained)
    assert "figures" not in caplog.text
    other = config.copy_and_resolve_references()
    other.report.formats = ("png", "pdf")
    train.run(other, trained)
    assert f"{trained}: has no figures as pdf; remove {trained / 'results.json'} and" in caplog.text


def test_of_several_processes_all_are_refused(tmp_path, monkeypatch):
    """As the others see it: the first one's check failed, and they know no more."""
    monkeypatch.setattr(folders, "is_first_process", lambda: False)
    monkeypatch.setattr(folders, "any_process", lambda *wishes: (True,))
    with pytest.raises(InputError, match="process 0 cannot go on, and says why"):
        folders.agree(lambda: None)
    with pytest.raises(InputError, match="process 0"), folders.working_in(tmp_path / "a", "--x"):
        pass
    assert not (tmp_path / "a").exists()
