"""How wide, how deep?"""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    shapes = {
        "width / 2": (8, 16, 32, 64),
        "width x 2": (32, 64, 128, 256),
        "2 levels": (16, 32),
        "3 levels": (16, 32, 64),
        "5 levels": (16, 32, 64, 128, 256),
    }
    return study(
        "How many channels and levels does the network need?",
        base,
        variants={name: {"model.features": features} for name, features in shapes.items()},
    )
