"""Seconds instead of minutes, to see that everything works; its scores mean nothing."""

from typing import Any

from configs import default


def get_config() -> Any:
    config = default.get_config()
    config.epochs = 2
    config.batch_size = 4
    config.data.crop = 32
    config.data.crops_per_epoch = 16
    config.data.split.gap = 10
    config.data.phantom.size = 48
    config.data.phantom.depth = 40
    config.data.phantom.z_step = 2
    config.data.phantom.correlation_length = 3.0
    config.data.phantom.projections = 48
    config.model.features = (4, 8)
    config.inference.tile = 64
    config.inference.overlap = 16
    return config
