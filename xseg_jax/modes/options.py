"""Which config field needs which other one: a field that would have no effect is refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from xseg_jax.errors import InputError

Config = Any

MEANT = (
    "data.root", "data.images", "data.labels", "data.classes", "data.ignore", "loss.class_weights",
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


FILES = ("root", "images", "labels", "classes", "ignore", "number_pattern", "skip_unlabelled")

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
        lambda config: config.data.split.kind != "z" or not _has_ranges(config),
        "config.data.split has ranges of z, which decide; unset them with "
        "--config.data.split.train='()' --config.data.split.validation='()' "
        "--config.data.split.test='()'",
    ),
    Rule(
        tuple(f"data.split.{field}" for field in ("gap", "train", "validation", "test")),
        lambda config: config.data.split.kind == "z",
        "config.data.split.kind='{data.split.kind}' knows no z; add --config.data.split.kind=z",
    ),
    Rule(
        ("data.split.group_pattern",),
        lambda config: config.data.split.kind == "group",
        "config.data.split.kind='{data.split.kind}' knows no groups; add "
        "--config.data.split.kind=group",
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
)  # fmt: skip


def check_effects(config: Config, given: Iterable[str] = ()) -> None:
    """Refuses fields that were given, or are meant, and would have no effect.

    Args:
      config: of a run.
      given: dotted fields that somebody set for this run, on the command line or in a study; there
        "base." may stand before them.

    Raises:
      InputError: names the field, its value, why it has no effect and the remedy.
    """
    meant = [field for field in MEANT if _value(config, field)]
    for field in [*(name.removeprefix("base.") for name in given), *meant]:
        for rule in RULES:
            concerned = any(field == one or field.startswith(f"{one}.") for one in rule.fields)
            if concerned and not rule.used(config):
                why = rule.otherwise.format(data=config.data, loss=config.loss)
                raise InputError(f"config.{field}={_value(config, field)!r}: has no effect: {why}")


def _value(config: Config, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config
