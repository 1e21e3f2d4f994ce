"""Which flag and field needs which other one: what would have no effect is refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from xseg_jax.errors import InputError
from xseg_jax.model.augment import ARTEFACTS

Config = Any

PROCESSES = ("coordinator", "processes", "process")
VOLUMES = (
    "axes", "anisotropic", "tta", "probabilities", "uncertainty", "ome_zarr", "share", "executor",
    "jobs", "slurm",
)  # fmt: skip
"""Flags of predict, that it takes by name."""
TEXTS = {
    "workdir": "Folder of the run, runs/<config name> by default; or of several: runs/a,runs/b.",
    "input": "Scan or folder to inspect, evaluate or predict; measure: a segmented volume.",
    "labels": "inspect, evaluate, measure: labels of --input, where it holds none.",
    "output": "What is written: a folder; predict: or a volume, as labels.tif or labels.ome.zarr.",
    "within": "measure: a mask of the sample, of --input's shape or one plane; 0 is outside.",
    "quantities": "measure: all, or names, as fractions,surfaces,tortuosity.",
    "meshes": "measure: surfaces of the phases too: ply, stl.",
    "runs": "compare: runs or evaluations, runs/a,runs/b; seeds of one are runs/a1+runs/a2.",
    "degrade": "evaluate: score it made worse too: all, or names.",
    "share": "predict: K/N, a share of a volume, as --jobs gives its processes.",
    "coordinator": "host:port of process 0, where no launcher tells.",
}
"""Flags that take a text, with what they mean."""
SWITCHES = {
    "tta": "evaluate, predict: mean over the mirror images and turns of the training.",
    "probabilities": "predict: also write class probabilities.",
    "uncertainty": "predict: also write where the network doubts.",
    "anisotropic": "predict: --axes=all though voxels are no cubes.",
}
"""Flags that are on or off, with what they do."""
CHOICES = {
    "axes": (("z", "all"), "predict: planes across z alone, or z, y and x."),
    "ome_zarr": (("0.4", "0.5"), "predict: version of OME-Zarr."),
    "executor": (("local", "slurm"), "sweep, predict: where they run."),
}
"""Flags that take one of some words, the first by default."""
NUMBERS = {
    "processes": (None, "Number of processes, where no launcher tells."),
    "process": (None, "Number of this process, from 0."),
    "jobs": (1, "sweep, predict: processes on this machine."),
}
"""Flags that take a whole number, with what stands without them."""
FLAGS = {
    "train": ("config", "workdir", *PROCESSES),
    "evaluate": ("config", "workdir", "input", "labels", "output", "degrade", "tta", *PROCESSES),
    "inspect": ("config", "input", "labels", "output"),
    "predict": ("config", "workdir", "input", "output", *VOLUMES, *PROCESSES),
    "measure": ("config", "input", "labels", "within", "output", "quantities", "meshes"),
    "sweep": ("config", "workdir", "executor", "jobs", "slurm"),
    "report": ("workdir",),
    "compare": ("runs", "output"),
}
"""Flags that a mode uses."""
NEEDED = {
    "train": ("config",),
    "evaluate": ("workdir", "input", "output"),
    "inspect": ("input", "output"),
    "predict": ("workdir", "input", "output"),
    "measure": ("input", "output"),
    "sweep": ("config",),
    "report": ("workdir",),
    "compare": ("runs", "output"),
}
"""Flags that a mode cannot do without."""
OPTIONS = {
    "train": (),
    "evaluate": ("labels", "degrade", "tta"),
    "inspect": ("labels", "config"),
    "predict": VOLUMES,
    "measure": ("labels", "within", "quantities", "meshes", "config"),
    "sweep": ("executor", "jobs", "slurm"),
    "report": (),
    "compare": (),
}
"""Flags that a mode takes by name, behind paths and config."""

MAY_DIFFER = {
    "evaluate": (
        "inference", "data.classes", "data.ignore", "data.number_pattern", "data.skip_unlabelled",
        "data.labelled", "data.voxel_size", "data.split.kind", "report.baselines",
        "report.tolerance", "report.page", "report.quantities", "report.overlay_class",
        "report.formats",
    ),
    "inspect": (
        "data.classes", "data.ignore", "data.number_pattern", "data.skip_unlabelled",
        "data.labelled", "data.normalize", "data.context", "data.split", "report.formats",
    ),
    "predict": ("inference", "data.voxel_size"),
    "measure": (
        "data.classes", "data.ignore", "data.number_pattern", "data.voxel_size", "data.split.kind",
    ),
}  # fmt: skip
"""Fields that may be given where a mode has its config from elsewhere. They may differ from a run's
own: a smaller machine takes smaller tiles, other labels have other values. Inspection writes them
as they are. One that holds fields stands for all of them."""

MEANT = (
    "data.root", "data.images", "data.labels", "data.classes", "data.ignore", "data.voxel_size",
    "loss.class_weights",
)  # fmt: skip
"""Fields that are empty unless somebody means them: they are checked wherever they come from.
Others may be left over in a config file whose other fields were overridden, and are checked where
they are given."""


@dataclass(frozen=True)
class Rule:
    """Fields that have an effect under a condition alone.

    Attributes:
      fields: dotted names, of fields or of what holds fields.
      used: whether a config uses them.
      otherwise: why they have no effect, and the remedy; {loss.name} stands for its value.
    """

    fields: tuple[str, ...]
    used: Callable[[Config], bool]
    otherwise: str


def _has_ranges(config: Config) -> bool:
    split = config.data.split
    return any(len(split[part]) for part in ("train", "validation", "test"))


FILES = (
    "root", "images", "labels", "classes", "ignore", "number_pattern", "skip_unlabelled",
    "labelled", "voxel_size",
)  # fmt: skip

RULES = (
    Rule(
        tuple(f"data.{field}" for field in FILES),
        lambda config: config.data.source != "phantom",
        "config.data.source='phantom' simulates its data; add --config.data.source=folder",
    ),
    Rule(
        ("data.phantom",),
        lambda config: config.data.source == "phantom",
        "config.data.source='{data.source}' simulates nothing; leave it out",
    ),
    Rule(
        ("data.root",),
        lambda config: not (config.data.images and config.data.labels),
        "config.data.images and config.data.labels name both folders; leave one of the three out",
    ),
    Rule(
        ("data.split.fractions",),
        lambda config: config.data.split.kind not in ("auto", "z") or not _has_ranges(config),
        "config.data.split has ranges of z, which decide; unset them with "
        "--config.data.split.train='()' --config.data.split.validation='()' "
        "--config.data.split.test='()'",
    ),
    Rule(
        ("data.split.fractions",),
        lambda config: config.data.split.kind != "none",
        "config.data.split.kind='none' trains on all; leave it out",
    ),
    Rule(
        tuple(f"data.split.{part}" for part in ("train", "validation", "test")),
        lambda config: config.data.split.kind in ("auto", "z"),
        "config.data.split.kind='{data.split.kind}' knows no z; add --config.data.split.kind=z",
    ),
    Rule(
        ("data.split.gap",),
        lambda config: config.data.split.kind in ("auto", "z", "tiles"),
        "config.data.split.kind='{data.split.kind}' has no gap; add --config.data.split.kind=z",
    ),
    Rule(
        ("data.split.between",),
        lambda config: config.data.split.kind in ("auto", "scan", "z"),
        "config.data.split.kind='{data.split.kind}' holds no planes out between those of training; "
        "leave it out",
    ),
    Rule(
        ("data.split.between",),
        lambda config: config.data.train_slices == 0,
        "config.data.train_slices={data.train_slices} leaves planes out, and these are scored as "
        "between; leave it out",
    ),
    Rule(
        ("data.split.group_pattern",),
        lambda config: config.data.split.kind == "group",
        "config.data.split.kind='{data.split.kind}' knows no groups; add "
        "--config.data.split.kind=group",
    ),
    Rule(
        ("data.split.seed",),
        lambda config: config.data.split.kind in ("auto", "scan", "group", "random"),
        "config.data.split.kind='{data.split.kind}' draws nothing; leave it out",
    ),
    Rule(
        ("augment.chance",),
        lambda config: any(config.augment[name] for name in ARTEFACTS),
        "config.augment has nothing that happens by chance; add one, as --config.augment.noise=0.3",
    ),
    Rule(
        ("loss.class_weights",),
        lambda config: config.loss.name == "weighted_cross_entropy",
        "config.loss.name='{loss.name}' weighs no classes; add "
        "--config.loss.name=weighted_cross_entropy",
    ),
    Rule(
        ("loss.focal_gamma",),
        lambda config: config.loss.name == "focal",
        "config.loss.name='{loss.name}' has no gamma; add --config.loss.name=focal",
    ),
    Rule(
        ("optimizer.freeze_norm",),
        lambda config: config.model.norm == "batch",
        "config.model.norm='{model.norm}' keeps no statistics; leave it out",
    ),
)  # fmt: skip


def check_flags(mode: str, given: Iterable[str], executor: str) -> None:
    """Refuses flags that a mode does not use.

    Args:
      mode: of main.py.
      given: flags on the command line; those that are no mode's own, as --help, are left alone.
      executor: value of --executor.

    Raises:
      InputError: names the flag, and where it has an effect.
    """
    for name in given:
        flag = name.partition(".")[0]  # --slurm.partition belongs to slurm.
        users = [f"--mode={other}" for other, used in FLAGS.items() if flag in used]
        if users and flag not in FLAGS[mode]:
            raise InputError(
                f"--{name}: has no effect with --mode={mode}; it is for {', '.join(users)}"
            )
        if flag == "slurm" and executor != "slurm":
            raise InputError(
                f"--{name}: has no effect with --executor={executor}; add --executor=slurm"
            )
        if flag == "jobs" and executor != "local" and mode == "sweep":
            raise InputError(
                f"--jobs: has no effect with --executor={executor}; give "
                "--slurm.array_parallelism=N"
            )


def may_differ(mode: str, field: str) -> bool:
    """Whether a dotted field can be given to a mode that takes the configuration of a run."""
    return any(_is_part_of(field, one) for one in MAY_DIFFER[mode])


def check_given(config: Config, given: Iterable[str]) -> None:
    """As `check_effects`, for the config of a run or of a study and what its command line gave."""
    base = "base." if "base" in config else ""
    check_effects(config.get("base", config), [name.removeprefix(base) for name in given], base)


def check_effects(config: Config, given: Iterable[str] = (), base: str = "") -> None:
    """Refuses fields that were given, or are meant, and would have no effect.

    Args:
      config: of a run.
      given: dotted fields that somebody set for this run, on the command line or in a study.
      base: what stands before a field on the command line; "base." for a study.

    Raises:
      InputError: names the field, its value, why it has no effect and the remedy.
    """
    meant = [field for field in MEANT if _value(config, field)]
    for field in [*given, *meant]:
        for rule in RULES:
            concerned = any(_is_part_of(field, one) for one in rule.fields)
            if concerned and not rule.used(config):
                why = rule.otherwise.format(**config)
                message = f"config.{field}={_value(config, field)!r}: has no effect: {why}"
                raise InputError(message.replace("config.", f"config.{base}"))


def _is_part_of(field: str, whole: str) -> bool:
    return field == whole or field.startswith(f"{whole}.")


def _value(config: Config, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config
