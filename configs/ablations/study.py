"""What every study has: a question, a base, variants and grids of it, seeds."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict


def small(name: str) -> Any:
    """One of the configs with fewer steps: a run takes two minutes on two cores."""
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.crops_per_epoch = 160
    config.optimizer.schedule = "cosine"  # Ends where the rate is 0: less chance in the last step.
    return config


def study(
    question: str,
    base: Any,
    *,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    axis: str = "",
    note: str = "",
) -> Any:
    """A study as `--mode=sweep` takes it.

    Args:
      question: one sentence that the study answers.
      base: the config that variants are compared to, or the name of one to make `small`.
      variants: fields of the base that differ, by the name of the variant.
      grid: values of fields; every combination is a variant.
      axis: column of study.csv to draw scores over; "" draws them over the one numeric field that
        varies, if it is so.
      note: what the study must not be taken for; it stands in its table and figure.
    """
    config = ConfigDict(convert_dict=False)  # Names of fields hold dots, which ConfigDict refuses.
    config.question = question
    config.base = small(base) if isinstance(base, str) else base
    config.variants = {name: dict(delta) for name, delta in (variants or {}).items()}
    config.grid = {field: tuple(values) for field, values in (grid or {}).items()}
    config.seeds = (0, 1, 2)
    # Or accuracy, precision, recall, f1; or the error of a quantity, as tortuosity_error/pore/z; or
    # several with commas.
    config.score = "miou"
    config.blocks = 4  # Of the test slices along z; what chance of place is measured by.
    config.axis = axis
    config.note = note
    return config
