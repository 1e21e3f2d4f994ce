"""Every field of a config has an effect or is refused, in each mode.

A new field of the default config fails here until it stands in a table below.
"""

import hashlib
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import default, tiny
from configs.ablations import study
from xseg_jax.data import builders
from xseg_jax.errors import InputError
from xseg_jax.modes import commandline, evaluate, fit, options, predict, score, sweep, train
from xseg_jax.modes import trained as shared
from xseg_jax.scans.scan import open_scan
from xseg_jax.training import runlog
from xseg_jax.training.parallel import Parallel
from xseg_jax.training.runlog import flatten

FIELDS = sorted(flatten(default.get_config().to_dict()))
FOLDER = {"data.source": "folder"}
WEIGHTED = {"loss.name": "weighted_cross_entropy"}
FOCAL = {"loss.name": "focal"}
RANGES = {
    "data.split.train": (0, 11),
    "data.split.validation": (13, 15),
    "data.split.test": (17, 23),
}
GROUPS = {"data.split.kind": "group"}

# Field to another value than that of `config_of`, and what it needs beside it.
OTHER = {
    "seed": (1, {}),
    "epochs": (3, {}),
    "batch_size": (8, {}),
    "log_every": (1, {}),
    "data.source": ("folder", {"data.root": "scan"}),
    "data.root": ("second", FOLDER | {"data.root": "scan"}),
    "data.images": ("second/images", FOLDER | {"data.root": "scan"}),
    "data.labels": ("second/labels", FOLDER | {"data.root": "scan"}),
    "data.number_pattern": (r"a(\d+)_", FOLDER | {"data.root": "scan"}),
    "data.skip_unlabelled": (True, FOLDER | {"data.root": "partly"}),
    "data.labelled": ("z=0-9", FOLDER | {"data.root": "volume"}),
    "data.classes": ("0:a,128:b,255:b", FOLDER | {"data.root": "scan"}),
    "data.ignore": ("255", FOLDER | {"data.root": "scan"}),
    "data.voxel_size": ("2 um", FOLDER | {"data.root": "scan"}),
    "data.normalize": ("image", {}),
    "data.context": (1, {}),
    "data.crop": (24, {}),
    "data.crops_per_epoch": (24, {}),
    "data.rare_fraction": (1.0, {}),
    "data.train_slices": (2, {}),
    "data.prepared_dir": ("elsewhere", {}),
    "data.memory_gib": (0.0, {}),
    "data.split.kind": ("random", {}),
    "data.split.fractions": ((0.4, 0.2, 0.4), {}),
    "data.split.gap": (4, {}),
    "data.split.between": (3, {}),
    "data.split.train": ((0, 9), RANGES),
    "data.split.validation": ((13, 13), RANGES),
    "data.split.test": ((19, 23), RANGES),
    "data.split.group_pattern": (r"(\d)$", GROUPS),
    "data.split.seed": (1, GROUPS),
    "data.phantom.size": (40, {}),
    "data.phantom.depth": (26, {}),
    "data.phantom.z_step": (2, {}),
    "data.phantom.fractions": ((0.3, 0.4, 0.3), {}),
    "data.phantom.correlation_length": (4.0, {}),
    "data.phantom.attenuation": ((0.0005, 0.0035, 0.006), {}),
    "data.phantom.texture": (0.1, {}),
    "data.phantom.photons": (900.0, {}),
    "data.phantom.ring_strength": (0.01, {}),
    "data.phantom.beam_hardening": (0.2, {}),
    "data.phantom.projections": (60, {}),
    "data.phantom.seed": (1, {}),
    "augment.flip": ("none", {}),
    "augment.rotate90": (False, {}),
    "augment.brightness": (0.1, {}),
    "augment.contrast": (0.1, {}),
    "augment.gamma": (0.1, {}),
    "augment.chance": (0.2, {"augment.noise": 0.1}),
    "augment.ramp": (0.1, {}),
    "augment.cupping": (0.1, {}),
    "augment.rings": (0.1, {}),
    "augment.noise": (0.1, {}),
    "augment.coloured_noise": (0.1, {}),
    "augment.blur": (0.1, {}),
    "augment.scale": (0.1, {}),
    "augment.rotation": (9.0, {}),
    "model.features": ((4, 6), {}),
    "model.patch": (2, {}),
    "model.norm": ("none", {}),
    "model.upsample": ("resize", {}),
    "model.dropout": (0.1, {}),
    "model.skip": (False, {}),
    "model.dtype": ("bfloat16", {}),
    "model.remat": (True, {}),
    "loss.name": ("dice", {}),
    "loss.class_weights": ((1.0, 2.0, 3.0), WEIGHTED),
    "loss.focal_gamma": (3.0, FOCAL),
    "optimizer.learning_rate": (1e-2, {}),
    "optimizer.schedule": ("cosine", {}),
    "optimizer.warmup_steps": (3, {}),
    "optimizer.clip_norm": (1.0, {}),
    "optimizer.weight_decay": (1e-4, {}),
    "optimizer.ema_decay": (0.9, {}),
    "optimizer.freeze_norm": (0.5, {}),
    "parallel.mode": ("jit", {}),
    "parallel.accumulate": (2, {"parallel.mode": "jit"}),
    "checkpoint.steps": (3, {}),
    "checkpoint.minutes": (1e-9, {}),
    "checkpoint.keep": (3, {}),
    "checkpoint.use": ("last", {}),
    "inference.tile": (32, {}),
    "inference.overlap": (8, {}),
    "inference.batch_size": (2, {}),
    "report.baselines": (("thresholding",), {}),
    "report.overlay_class": ("pore", {}),
    "report.tolerance": (3.0, {}),
    "report.page": (False, {}),
    "report.formats": (("png", "pdf"), {}),
    "report.quantities": (("fractions",), {}),
}  # fmt: skip
REFUSED = {  # What a field that names something says where it is not there.
    "init_from": ("nowhere", "nowhere/config.json is missing"),
}


def config_of(changes):
    config = tiny.get_config()
    config.data.crop = 16
    config.data.split.gap = 1
    config.data.phantom.update({"size": 32, "depth": 24, "z_step": 1, "projections": 40})
    config.data.prepared_dir = "prepared"
    config.checkpoint.minutes = 0.0
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def place(tmp_path_factory, write_folder):
    """A folder with scans, in which every test of this file works."""
    folder = tmp_path_factory.mktemp("place")
    names = {"image_name": "a{0}0_{0:03d}.tif", "label_name": "a{0}0_{0:03d}.png"}
    write_folder(folder / "scan", 12, shape=(40, 36), **names)
    write_folder(folder / "second", 12, shape=(40, 36), seed=1, **names)
    write_folder(folder / "partly", 13, shape=(40, 36), **names)
    (folder / "partly" / "labels" / "a120_012.png").unlink()
    rng = np.random.default_rng(0)
    for kind, values in (("images", (200, 50)), ("labels", (0, 128, 255))):
        (folder / "volume" / kind).mkdir(parents=True)
        array = rng.choice(np.array(values, np.uint8), (12, 40, 36))
        np.save(folder / "volume" / kind / "scan.npy", array)
    write_folder(folder / "odd", 3, shape=(40, 36), values=(0, 9, 128, 255), **names)
    names["label_name"] = "a{0}0_7.png"
    write_folder(folder / "numbered", 3, shape=(40, 36), **names)
    return folder


@pytest.fixture(autouse=True)
def _work_there(place, monkeypatch):
    monkeypatch.chdir(place)


class Footprint(dict):
    """What a training run does, seen where it leaves the code that reads the config.

    Nothing is computed on a device: a step is traced, not taken.
    """

    def __init__(self, config, workdir):
        super().__init__(saved=[], drawn=[], tiles=[])
        self.steps = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "run_once", lambda init: zeros(jax.eval_shape(init)))
            patch.setattr(Parallel, "spread", self.spread(Parallel.spread))
            patch.setattr(fit, "Checkpoints", self.checkpoints)
            patch.setattr(fit, "Validation", self.validation)
            patch.setattr(fit, "draw_history", self.history)
            patch.setattr(train, "TrainedRun", Loaded)
            patch.setattr(train, "score_and_report", lambda *arguments, **options: {})
            patch.setattr(train, "keep_sample", lambda *arguments: self.update(sampled=True))
            patch.setattr(train, "fit_baselines", lambda trained: {})
            patch.setattr(train, "write_reports", lambda workdir: self.update(page=True))
            patch.setattr(train, "with_temperature", lambda trained, validation: trained)
            patch.setattr(builders, "PreparedPlanes", self.prepared(builders.PreparedPlanes))
            patch.setattr(train, "find_facts", self.facts(train.find_facts))
            train.run(config, workdir)
        self["steps"] = self.steps
        self["drawn as"] = Loaded.changes
        self["lines"] = (workdir / "metrics.jsonl").read_text()

    def history(self, workdir, best, formats):
        self.update(best=best, formats=formats)

    def prepared(self, open_prepared):
        def opened(folder, memory_gib):
            self["prepared"] = str(folder)
            return open_prepared(folder, memory_gib)

        return opened

    def facts(self, find):
        def found(config, planes, split, context):
            facts = find(config, planes, split, context)
            self["facts"] = facts.to_json()
            self["overlaid"] = score.overlaid_class(config, facts)
            self["tolerance"] = score.tolerance_of(config)
            self["quantities"] = score.check_quantities(config)
            self["kept"] = planes._kept is not None
            return facts

        return found

    def spread(self, spread):
        def spread_step(parallel, function, **options):
            real = spread(parallel, function, **options)

            def step(state, image_BHWC, label_BHW):
                if not self.steps:
                    trace = jax.make_jaxpr(real)(state, image_BHWC, label_BHW)
                    self["step"] = str(trace), list(constants(trace))
                self.steps += 1
                self["drawn"].append(hashlib.sha256(image_BHWC.tobytes()).hexdigest())
                one = np.float32(1)
                return state, {"loss_sum": one, "weight": one, "correct": one, "pixels": one}

            return step

        return spread_step

    def checkpoints(self, folder, *, keep):
        self["keep"] = keep
        return NoCheckpoints(self)

    def validation(self, config, learner, facts, parallel, planes):
        predictor = shared.Predictor(learner.model, parallel, **config.inference)
        self["tiles"] = [predictor.tile, predictor.overlap, predictor.batch_size]
        return lambda log, state, step: {}


class NoCheckpoints:
    best = 1

    def __init__(self, footprint):
        self.footprint = footprint

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        pass

    def restore_latest(self, like):
        return None

    def save(self, state, notes):
        self.footprint["saved"].append(self.footprint.steps)

    def wait(self):
        pass


class Loaded:
    step = 1
    changes: dict[str, object]

    @classmethod
    def load(cls, workdir, parallel, changes):
        cls.changes = changes
        return cls()


def constants(trace):
    """Arrays in a traced function, which its text leaves out."""
    yield from map(str, getattr(trace, "consts", ()))
    for equation in trace.eqns:
        for part in jax.tree.leaves(list(equation.params.values())):
            if hasattr(part, "eqns"):
                yield from constants(part)


def zeros(tree):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)


@pytest.fixture(scope="module")
def footprint_of(tmp_path_factory):
    """Footprints, each found once."""
    found = {}

    def footprint(changes):
        key = repr(sorted(changes.items()))
        if key not in found:
            found[key] = Footprint(config_of(changes), tmp_path_factory.mktemp("run"))
        return found[key]

    return footprint


def test_every_field_has_its_place():
    assert sorted([*OTHER, *REFUSED]) == FIELDS


@pytest.mark.parametrize("field", OTHER)
def test_a_field_has_an_effect_on_training(footprint_of, field):
    value, beside = OTHER[field]
    options.check_effects(config_of(beside | {field: value}), [field])
    before = None
    if field not in ("data.source", "data.skip_unlabelled"):  # Without these there is no run.
        before = footprint_of(beside)
    assert footprint_of(beside | {field: value}) != before


def test_the_same_config_has_the_same_footprint(tmp_path, footprint_of):
    assert Footprint(config_of({}), tmp_path) == footprint_of({})


def test_a_run_that_goes_on_is_drawn_as_its_command_says(tmp_path):
    Footprint(config_of({}), tmp_path)
    found = Footprint(config_of({"report.formats": ("png", "pdf")}), tmp_path)
    assert found["drawn as"] == {"report.formats": ("png", "pdf"), "report.overlay_class": ""}
    kept = runlog.read_json(tmp_path / "config.json")
    assert kept["report"]["formats"] == ["png"]


@pytest.mark.parametrize("field", REFUSED)
def test_a_field_that_names_what_is_not_there_is_refused(field, tmp_path):
    value, message = REFUSED[field]
    with pytest.raises(InputError, match=message):
        train.run(config_of({field: value}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("field", FIELDS)
def test_a_study_trains_with_the_field(field):
    """So it has the effect that it has on training."""
    value, beside = OTHER.get(field) or (REFUSED[field][0], {})
    one = study.study("?", config_of({}), variants={"other": beside | {field: value}})
    assert sweep.expand(one)["other"].to_dict() == config_of(beside | {field: value}).to_dict()


STUDY = {  # Field of a study to another value.
    "question": "Does it?",
    "variants": {"other": {"seed": 3}},
    "grid": {"epochs": (1, 2)},
    "seeds": (5,),
    "score": "f1",
    "blocks": 2,
    "axis": "seconds",
    "note": "It means nothing.",
}


@pytest.fixture(scope="module")
def study_of(tmp_path_factory):
    """What a study writes whose runs end at once."""

    def written(**changes):
        folder = tmp_path_factory.mktemp("study")
        one = study.study("Is it?", config_of({}), variants={"more": {"batch_size": 8}})
        one.update(changes)
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweep, "run_here", lambda todo, jobs: (finish(c, seen) for c in todo))
            patch.setattr(sweep.report, "write", lambda _, *told: seen.append(repr(told)))
            sweep.run(one, folder, executor="local", jobs=1, slurm={})
        return str(seen).replace(str(folder), "")

    return written


def finish(command, seen):
    folder = command.log.parent
    seen.append((folder / "config.json").read_text())
    runlog.write_json(folder / "data.json", {"split": {"train": []}})
    scores = dict.fromkeys(("accuracy", "precision", "recall", "f1", "miou"), 0.5)
    others = {"baselines": {"forest": {"miou": 0.4}}, "parameters": 1, "seconds": 1.0}
    runlog.write_json(folder / "results.json", scores | others)
    slices = {str(z): [[z, 2], [1, 5]] for z in range(8)}
    runlog.write_json(folder / "slices.json", {"network": slices})


def test_every_field_of_a_study_has_its_place():
    assert sorted([*STUDY, "base"]) == sorted(study.study("?", config_of({})))


@pytest.mark.parametrize("field", STUDY)
def test_a_field_has_an_effect_on_a_study(study_of, field):
    assert study_of(**{field: STUDY[field]}) != study_of()


INFERENCE = {"inference.tile": 32, "inference.overlap": 8, "inference.batch_size": 2}
LABELS = {
    "data.classes": "0:0,255:128,128:255",
    "data.ignore": "9",
    "data.number_pattern": r"a(\d+)_",
    "data.skip_unlabelled": True,
    "data.labelled": "z=0-9",
}
BESIDE = {
    "report.baselines": ("thresholding",), "report.tolerance": 1.0, "report.page": False,
    "report.quantities": ("fractions",), "report.overlay_class": "255",
    "report.formats": ("png", "svg"),
}  # fmt: skip
VOXELS = {"data.voxel_size": "2 um"}
SPLIT = {"data.split.kind": "group"}
TAKEN = {"evaluate": INFERENCE | LABELS | SPLIT | VOXELS | BESIDE, "predict": INFERENCE | VOXELS}


# What the written config says; tests/test_inspect.py shows it.
# tests/test_measure.py
MEASURED = ["data.classes", "data.ignore", "data.number_pattern", *SPLIT, *VOXELS]
WRITTEN = [*LABELS, "data.normalize", "data.context", "report.formats"] + [
    field for field in FIELDS if field.startswith("data.split.")
]


@pytest.mark.parametrize("mode", options.MAY_DIFFER)
@pytest.mark.parametrize("field", FIELDS)
def test_a_mode_that_has_a_config_takes_no_other(mode, field):
    def given():
        commandline.find_config(["main.py", f"--mode={mode}", f"--config.{field}=1"])

    if field in (TAKEN | {"inspect": WRITTEN, "measure": MEASURED})[mode]:
        given()
        return
    with pytest.raises(InputError, match=rf"^--config\.{field}: --mode={mode} takes the configur"):
        given()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, place, no_pictures):
    """A run on the scan of this file."""
    workdir = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        train.run(config_of(FOLDER | {"data.root": "scan"}), workdir)
    return workdir


# Field to the folder that shows its effect.
SHOWN_BY = dict.fromkeys(INFERENCE | BESIDE | SPLIT | VOXELS, "scan") | {
    "data.classes": "scan",
    "data.ignore": "odd",
    "data.number_pattern": "numbered",
    "data.skip_unlabelled": "partly",
    "data.labelled": "volume",
}


@pytest.fixture(scope="module")
def unchanged():
    """What a mode does in a folder without changes, by their names: found once."""
    return {}


@pytest.mark.parametrize(
    ("mode", "field"), [(mode, field) for mode, fields in TAKEN.items() for field in fields]
)
def test_a_field_that_may_differ_has_an_effect(
    trained, unchanged, tmp_path, monkeypatch, mode, field
):
    seen = []

    class Spy(shared.Predictor):
        def __init__(self, *arguments, **inference):
            seen.append(inference)
            super().__init__(*arguments, **inference)

    def outcome(name, changes):
        seen.clear()
        try:
            if mode == "evaluate":
                output = tmp_path / name
                results = evaluate.run(trained, Path(SHOWN_BY[field]), output, changes=changes)
                told = (
                    results[key] for key in ("confusion", "label_map", "baselines", "boundaries")
                )
                measured = runlog.read_json(output / "measured.json")
                quantities = [(row["unit"], row["value"]) for row in measured["quantities"]]
                return *told, (output / "report.html").exists(), quantities, *seen
            source = Path(SHOWN_BY[field]) / "images"
            output = tmp_path / (f"{name}.tif" if field in VOXELS else name)
            predict.run(trained, source, output, probabilities=False, changes=changes)
            if field in VOXELS:
                with open_scan(output) as volume:
                    return volume.geometry
        except InputError as error:
            return str(error)
        return seen[0]

    def draw(folder, planes, trained, found, calibrated, overlaid, *rest):
        seen.append((overlaid, trained.config.report.formats))

    monkeypatch.setattr(shared, "Predictor", Spy)
    monkeypatch.setattr(score, "draw_slices", draw)
    changed = outcome("changed", {field: TAKEN[mode][field]})
    assert not isinstance(changed, str), changed
    case = mode, SHOWN_BY[field]
    if case not in unchanged:
        unchanged[case] = outcome("same", {})
    assert changed != unchanged[case]
