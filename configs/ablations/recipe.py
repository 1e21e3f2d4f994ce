"""What of the recipe for scans pays?"""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "scan") -> Any:
    return study(
        "Which part of the recipe of configs/scan.py pays?",
        base,
        variants={
            "clean crops alone": {"augment.chance": 0.0},
            "chance 0.5": {"augment.chance": 0.5},
            "grey values and zoom too": {
                "augment.brightness": 0.3, "augment.contrast": 0.3, "augment.scale": 0.2,
            },
            "constant rate": {"optimizer.schedule": "constant"},
            "weights of the last step": {"optimizer.ema_decay": 0.0},
            "norm never frozen": {"optimizer.freeze_norm": 0.0},
            "best by validation": {"checkpoint.use": "best"},
            "dropout before the head": {"model.dropout": 0.2},
            "patches of 2": {"model.patch": 2, "model.features": (32, 64, 128, 256)},
            "batches of 16": {"batch_size": 16},
            "crops of 256": {"data.crop": 256, "data.crops_per_epoch": 225, "batch_size": 2},
        },
    )  # fmt: skip
