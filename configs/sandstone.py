"""Sandstone micro-CT: air, clay, quartz and heavy mineral, the second and last of them rare."""

from typing import Any

from configs import default


def get_config() -> Any:
    config = default.get_config()
    config.data.source = "folder"
    config.data.classes = "0:air,1:clay,2:quartz,3:heavy mineral"
    config.data.crops_per_epoch = 512
    config.batch_size = 8  # As many crops in twice as many steps.
    config.data.rare_fraction = 0.5
    # Nine slices, 50 apart: each block starts one slice after the last.
    config.data.split.train = (0, 200)
    config.data.split.validation = (250, 300)
    config.data.split.test = (350, 400)
    config.data.normalize = "scan"  # Another exposure changes nothing (docs/quality.md).
    config.loss.name = "cross_entropy_dice"
    config.optimizer.schedule = "cosine"
    config.optimizer.ema_decay = 0.99
    config.optimizer.freeze_norm = 0.5
    config.checkpoint.use = "last"
    config.report.overlay_class = "clay"
    return config
