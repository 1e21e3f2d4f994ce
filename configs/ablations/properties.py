"""What is published, over the number of labelled slices."""

import importlib
from typing import Any

from configs import scan
from configs.ablations.study import study

MEASURED = ("fractions", "surfaces", "triple_lines", "connectivity", "tortuosity")


def get_config(data: str = "default") -> Any:
    """The recipe of configs/scan.py on the data of another config, whose test is a volume."""
    config = scan.get_config()
    config.data = importlib.import_module(f"configs.{data}").get_config().data
    config.data.normalize = "scan"
    config.data.crops_per_epoch = scan.get_config().data.crops_per_epoch
    config.data.phantom.z_step = 1  # Neighbouring slices are a volume,
    config.data.phantom.depth = 320  # and the test has 55 of them.
    config.report.quantities = MEASURED  # Minutes a run, of which tortuosity takes most.
    found = study(
        "How large are the errors of what is published, over the number of labelled slices?",
        config,
        grid={"data.train_slices": (1, 3, 10)},
        axis="train_slices",
    )
    found.score = (
        "volume_fraction_error, surface_density_error, triple_line_density_error, "
        "tortuosity_error/pore/z"
    )
    return found
