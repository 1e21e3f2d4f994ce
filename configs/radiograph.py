"""Chest radiographs: lungs, one image a patient."""

from typing import Any

from configs import default


def get_config() -> Any:
    config = default.get_config()
    config.data.source = "folder"
    config.data.classes = "0:background,1:lung"
    config.data.split.kind = "group"
    config.data.normalize = "image"
    config.data.crop = 256
    config.data.crops_per_epoch = 256
    config.batch_size = 8
    config.data.split.fractions = (0.7, 0.1, 0.2)
    config.model.features = (8, 16, 32, 64, 128, 256)  # Deep enough to see a whole lung.
    config.optimizer.schedule = "cosine"  # The last epoch's score would be chance without.
    config.augment.rotate90 = False
    config.augment.brightness = 0.3
    config.augment.contrast = 0.3
    return config
