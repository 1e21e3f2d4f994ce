"""A network beside its baselines: which there are, and what the verdict says."""

import math
import shutil

import numpy as np
import pytest
from planes import plane
from scipy import stats

from configs import tiny
from xseg_jax.errors import InputError
from xseg_jax.evaluation.boundaries import boundary_scores, read_sums
from xseg_jax.evaluation.evaluate import Evaluation
from xseg_jax.modes import evaluate, score, train
from xseg_jax.modes.score import check_baselines, draw_slices, verdict
from xseg_jax.scans.voxels import VoxelSize
from xseg_jax.training.runlog import read_json, write_json

pytestmark = pytest.mark.usefixtures("no_pictures")


def matrices(wrong_N, pixels=1000):
    """Two classes of half the pixels each, of which these are taken for the other."""
    half = pixels // 2
    return np.array([[[half - wrong, wrong], [wrong, half - wrong]] for wrong in wrong_N])


def miou(wrong, pixels=1000):
    return (pixels / 2 - wrong) / (pixels / 2 + wrong)


def planes(count, scan="a", axis=0, numbers=True):
    blank_HW = np.zeros((2, 2), np.uint8)
    found = [plane(f"s{z}", blank_HW, blank_HW, z if numbers else None, scan) for z in range(count)]
    for item in found:
        object.__setattr__(item.place, "axis", axis)
    return found


def test_the_verdict_is_over_the_best_baseline_with_its_interval():
    wrong = {
        "network": [10, 12, 8, 10, 14, 10, 9, 11],
        "forest": [20, 24, 16, 24, 20, 22, 19, 21],
        "thresholding": [90] * 8,
    }
    found = verdict({name: matrices(one) for name, one in wrong.items()}, planes(8))
    assert found is not None
    assert (found["against"], found["score"]) == ("forest", "miou")
    assert (found["units"], found["unit"]) == (4, "blocks of z")
    gain = miou(np.mean(wrong["network"])) - miou(np.mean(wrong["forest"]))
    assert found["difference"] == pytest.approx(gain, abs=1e-12)
    # Student's interval of four blocks: a mean IoU of so few errors is almost a straight line.
    gain_B = [
        miou(np.mean(wrong["network"][n : n + 2])) - miou(np.mean(wrong["forest"][n : n + 2]))
        for n in range(0, 8, 2)
    ]
    half = stats.t.ppf(0.975, 3) * np.std(gain_B, ddof=1) / 2
    assert found["low"] == pytest.approx(gain - half, rel=0.1)
    assert found["high"] == pytest.approx(gain + half, rel=0.1)


def test_one_slice_has_no_interval():
    found = verdict({"network": matrices([10]), "thresholding": matrices([20])}, planes(1))
    assert found is not None
    assert (found["low"], found["high"], found["units"], found["unit"]) == (None, None, 1, "slices")
    assert found["difference"] == pytest.approx(miou(10) - miou(20))


class Trained:
    """Stands for a run of two classes of which everything is the first."""

    config = tiny.get_config()
    config.report.formats = ("png", "pdf")

    class facts:
        grey_scales = None
        voxel_size = VoxelSize((math.nan, 0.5, 0.25), "um")

        class label_map:
            names = ("pore", "metal")

    def segment(self, planes):
        for item in planes:
            yield np.stack([np.ones(item.label_HW.shape), np.zeros(item.label_HW.shape)], -1)


@pytest.mark.parametrize(("overlaid", "shown"), [(None, 1), (0, 0)])
def test_what_is_drawn(monkeypatch, tmp_path, overlaid, shown):
    drawn = {}

    def keep(name):
        return lambda path, *arguments: drawn.update({path.name: (name, *arguments)})

    for name in ("comparison", "collage", "errors"):
        monkeypatch.setattr(score.figures, name, keep(name))
    monkeypatch.setattr(score, "confusion", keep("confusion"))
    monkeypatch.setattr(score.reliability, "draw", keep("calibration"))
    tested = planes(5)
    object.__setattr__(tested[4].place, "axis", 2)
    # Slices 0, 2 and 4 are shown, where metal is the most wrong; pore is so in the others.
    confusion_NKK = np.array([[[90, 0], [5, 5]], [[0, 90], [0, 9]]] * 2 + [[[90, 0], [5, 5]]])
    draw_slices(
        tmp_path, tested, Trained(), Evaluation(0.1, confusion_NKK), {}, overlaid, None, None
    )
    assert set(drawn) == {
        f"{name}.png" for name in ("comparison", "collage", "errors", "confusion", "calibration")
    }
    assert all(arguments[-1] == ("png", "pdf") for arguments in drawn.values())
    _, examples, names, overlay, _ = drawn["collage.png"]
    assert [one.name for one in examples] == ["s0", "s2", "s4"]
    assert (names, overlay) == (("pore", "metal"), shown)
    # The rows of a plane across x run along y.
    assert [one.pixel_size for one in examples] == [0.25, 0.25, 0.5]
    assert {one.unit for one in examples} == {"um"}


def test_without_a_baseline_there_is_no_verdict():
    assert verdict({"network": matrices([1, 2])}, planes(2)) is None


@pytest.mark.parametrize(
    ("tested", "units", "unit"),
    [
        (planes(9), 4, "blocks of z"),
        (planes(4), 4, "slices"),
        (planes(3), 3, "slices"),
        (planes(5, numbers=False), 4, "blocks of slices"),
        (planes(5, axis=1), 4, "blocks of slices"),
        (planes(3) + planes(3, scan="b"), 4, "blocks of slices"),
    ],
)
def test_stretches_are_called_what_they_are(tested, units, unit):
    found_NKK = matrices(range(1, len(tested) + 1))
    found = verdict({"network": found_NKK, "forest": found_NKK}, tested)
    assert found is not None
    assert (found["units"], found["unit"]) == (units, unit)
    ends = (0, 0) if units == 4 else (None, None)
    assert (found["difference"], found["low"], found["high"]) == (0, *ends)
    assert found["parts"] == [0.0] * units


@pytest.mark.parametrize("names", [(), ("forest",), ("thresholding", "forest")])
def test_baselines_are_those_that_are_asked_for_in_their_order(names):
    config = tiny.get_config()
    config.report.baselines = names
    assert check_baselines(config) == names


def test_a_baseline_that_there_is_not_is_refused_before_any_work(tmp_path):
    config = tiny.get_config()
    config.report.baselines = ("forest", "otsu")
    message = r"config\.report\.baselines=\('forest', 'otsu'\): there is no 'otsu'; choose among "
    with pytest.raises(InputError, match=message + "forest, thresholding, as --"):
        train.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, prepared, no_pictures):
    """A tiny run without a forest, and the results of training it."""
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(prepared)
    config.data.split.fractions = (0.4, 0.2, 0.4)  # Four test slices, the fewest with intervals.
    config.report.baselines = ("thresholding",)
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train.run(config, workdir)


@pytest.fixture(scope="module")
def scan(tmp_path_factory, write_folder):
    root = tmp_path_factory.mktemp("scan")
    write_folder(root, 2, shape=(48, 48), dtype=np.uint16, values=(0, 1, 2))
    return root


def test_a_run_without_a_forest_keeps_nothing_for_it(trained):
    workdir, results = trained
    assert not (workdir / "forest.npz").exists()
    assert list(results["baselines"]) == ["thresholding"]
    assert results["verdict"]["against"] == "thresholding"


def test_every_score_has_an_interval_and_every_plane_its_boundaries(trained):
    workdir, results = trained
    slices = read_json(workdir / "slices.json")
    planes = len(slices["network"])
    for name, scored in (
        ("network", results),
        ("thresholding", results["baselines"]["thresholding"]),
    ):
        confusion_NKK = np.array(list(slices[name].values()))
        sums = read_sums(workdir / "boundaries.npz", name)
        assert len(sums.length_XKDE) == planes == len(confusion_NKK)
        names = list(scored["per_class"])
        assert scored["boundaries"] == boundary_scores(sums.total, names)
        assert scored["boundaries"]["tolerance"] == 2.0
        found = scored["intervals"]
        assert (found["level"], found["units"]) == (0.95, min(4, planes))
        assert found["unit"] == ("blocks of z" if planes > 4 else "slices")
        assert planes == 4
        for key in ("accuracy", "precision", "recall", "f1", "miou"):
            assert 0 <= found[key]["low"] <= scored[key] <= found[key]["high"] <= 1
        for one, row in found["per_class"].items():
            assert row["f1"]["low"] <= scored["per_class"][one]["f1"] <= row["f1"]["high"]
            dice = scored["boundaries"]["per_class"][one]["surface_dice"]
            assert row["surface_dice"]["low"] <= dice <= row["surface_dice"]["high"]


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused_before_any_work(tmp_path, tolerance):
    config = tiny.get_config()
    config.report.tolerance = tolerance
    with pytest.raises(InputError, match=r"config\.report\.tolerance=.*: must be from 0 to 1000"):
        train.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_forest_that_the_run_does_not_have_is_refused(trained, scan, tmp_path):
    changes = {"report.baselines": ("forest",)}
    with pytest.raises(InputError, match=r"forest\.npz: no such file, so that no forest"):
        evaluate.run(trained[0], scan, tmp_path / "out", changes=changes)
    assert not (tmp_path / "out").exists()


def test_no_baselines_at_all(trained, scan, tmp_path, capsys):
    results = evaluate.run(trained[0], scan, tmp_path / "out", changes={"report.baselines": ()})
    assert (results["baselines"], results["verdict"]) == ({}, None)
    assert list(read_json(tmp_path / "out" / "slices.json")) == ["network"]
    said = capsys.readouterr().out
    assert "thresholding" not in said
    assert "verdict" not in said


def test_a_run_of_an_earlier_version_is_scored_beside_what_it_has(trained, scan, tmp_path, caplog):
    earlier = shutil.copytree(trained[0], tmp_path / "earlier")
    config = read_json(earlier / "config.json")
    del config["report"]["baselines"], config["report"]["tolerance"]
    write_json(earlier / "config.json", config)
    with caplog.at_level("INFO", "xseg_jax"):
        results = evaluate.run(earlier, scan, tmp_path / "out")
    assert "of an earlier version, which kept nothing that a forest needs" in caplog.text
    assert list(results["baselines"]) == ["thresholding"]
    assert results["boundaries"]["tolerance"] == 2.0
    # Training there says which field is new.
    config = tiny.get_config()
    with pytest.raises(InputError, match=r"report\.baselines: nothing there"):
        train.run(config, earlier)


def test_the_forest_is_the_one_that_the_run_was_tested_with(prepared, tmp_path, monkeypatch):
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(prepared)
    fitted = []
    fit = score.BASELINES["forest"]
    monkeypatch.setitem(score.BASELINES, "forest", lambda t: fitted.append(fit(t)) or fitted[-1])
    first = train.run(config, tmp_path)
    kept = (tmp_path / "forest.npz").read_bytes()
    (tmp_path / "results.json").unlink()
    # What is there is not drawn again.
    monkeypatch.setattr(train.Sample, "draw", lambda *arguments: pytest.fail("drawn"))
    again = train.run(config, tmp_path)
    assert again["baselines"] == first["baselines"]
    assert (tmp_path / "forest.npz").read_bytes() == kept
    values_HW = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    one_HW, other_HW = (classify(values_HW) for classify in fitted)
    np.testing.assert_array_equal(one_HW, other_HW)
