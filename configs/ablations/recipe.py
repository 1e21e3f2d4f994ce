"""What of the recipe for scans pays?"""

from typing import Any

from configs.ablations.study import study

TRENDS = ("augment.gamma", "augment.ramp", "augment.cupping", "augment.rings")
NOISE = ("augment.noise", "augment.coloured_noise", "augment.blur")


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
            "noise and blur alone": dict.fromkeys(TRENDS, 0.0),
            "trends and rings alone": dict.fromkeys(NOISE, 0.0),
            "constant rate": {"optimizer.schedule": "constant"},
            "warm-up, then cosine": {"optimizer.warmup_steps": 20},
            "three times the rate": {"optimizer.learning_rate": 3e-3},
            "weights of the last step": {"optimizer.ema_decay": 0.0},
            "norm never frozen": {"optimizer.freeze_norm": 0.0},
            "best by validation": {"checkpoint.use": "best"},
            "dropout before the head": {"model.dropout": 0.2},
            "cross-entropy and Dice": {"loss.name": "cross_entropy_dice"},
            "no neighbours": {"data.context": 0},
            "width x 1.5": {"model.features": (24, 48, 96, 192)},
            "5 levels": {"model.features": (16, 32, 64, 128, 256)},
            "patches of 2": {"model.patch": 2, "model.features": (32, 64, 128, 256)},
            "batches of 4": {"batch_size": 4},
            "batches of 16": {"batch_size": 16},
            "crops of 256": {"data.crop": 256, "data.crops_per_epoch": 40, "batch_size": 2},
        },
    )  # fmt: skip
