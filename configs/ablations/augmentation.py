"""Which augmentation?"""

from typing import Any

from configs.ablations.study import study

GREY = {"augment.brightness": 0.3, "augment.contrast": 0.3, "augment.gamma": 0.3}
NOISE = {"augment.noise": 1.0, "augment.coloured_noise": 0.6, "augment.blur": 2.0}
TRENDS = {"augment.ramp": 1.0, "augment.cupping": 0.5, "augment.rings": 0.3}
SHAPE = {"augment.scale": 0.2, "augment.rotation": 30.0}


def get_config(base: str = "default") -> Any:
    return study(
        "Which augmentation helps beyond mirrors and quarter turns?",
        base,
        variants={
            "none": {"augment.flip": "none", "augment.rotate90": False},
            "grey values": GREY,
            "noise and blur": NOISE,
            "trends and rings": TRENDS,
            "scale and rotation": SHAPE,
            "all": GREY | NOISE | TRENDS | SHAPE,
        },
    )
