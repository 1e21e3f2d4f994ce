"""A scan of your own: one file or folder of any format, with the labels that there are."""

from typing import Any

from configs import default


def get_config() -> Any:
    config = default.get_config()
    config.data.source = "folder"
    config.data.skip_unlabelled = True
    config.data.normalize = "scan"
    config.data.context = 2  # Noise differs from plane to plane, the sample hardly.
    config.data.crops_per_epoch = 900
    config.batch_size = 8  # As many crops in twice as many steps.
    config.optimizer.schedule = "cosine"  # Ends where the rate is 0: less chance in the last step.
    # Less chance where labels are few: weights that are an average, BatchNorm that in the end
    # trains as it predicts, and no choice by the score on a small validation part.
    config.optimizer.ema_decay = 0.99
    config.optimizer.freeze_norm = 0.5
    config.checkpoint.use = "last"
    # The next scan of a beam time is noisier, blurred, or has another trend (docs/quality.md).
    config.augment.chance = 0.12  # Two crops in five stay clean.
    config.augment.gamma = 0.3
    config.augment.ramp = 1.0
    config.augment.cupping = 0.5
    config.augment.rings = 0.3
    config.augment.noise = 1.0
    config.augment.coloured_noise = 0.6
    config.augment.blur = 2.5
    return config
