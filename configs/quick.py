"""A first answer in a minute on two cores: configs/scan.py, shorter and untested."""

from typing import Any

from configs import scan


def get_config() -> Any:
    config = scan.get_config()
    config.data.split.kind = "none"  # All labels train; configs/scan.py tests.
    config.epochs = 1
    config.data.crops_per_epoch = 1440
    config.report.baselines = ()
    return config
