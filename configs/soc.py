"""Solid oxide cell tomogram: pore, YSZ and nickel."""

from typing import Any

from configs import default


def get_config() -> Any:
    config = default.get_config()
    config.data.source = "folder"
    config.data.classes = "0:pore,128:YSZ,255:nickel"
    config.data.crops_per_epoch = 900
    config.data.split.train = (1, 196)
    config.data.split.validation = (246, 271)
    config.data.split.test = (321, 384)
    return config
