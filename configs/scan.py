"""A scan of your own: one file or folder of any format, with the labels that there are."""

from typing import Any

from configs import default


def get_config() -> Any:
    config = default.get_config()
    config.data.source = "folder"
    config.data.skip_unlabelled = True
    config.data.normalize = "scan"
    config.data.crops_per_epoch = 900
    config.optimizer.schedule = "cosine"  # Ends where the rate is 0: less chance in the last step.
    return config
