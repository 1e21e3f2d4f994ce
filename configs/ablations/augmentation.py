"""Which augmentation?"""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    return study(
        "Which augmentation helps beyond flips and quarter turns?",
        base,
        variants={
            "none": {"augment.flip": "none", "augment.rotate90": False},
            "grey values": {
                "augment.brightness": 0.2,
                "augment.contrast": 0.2,
                "augment.gamma": 0.2,
            },
            "noise and blur": {"augment.noise": 0.2, "augment.blur": 1.0},
            "scale and rotation": {"augment.scale": 0.2, "augment.rotation": 30.0},
        },
    )
