"""Which loss?"""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    losses = ("weighted_cross_entropy", "dice", "focal", "cross_entropy_dice")
    return study(
        "Does another loss than cross-entropy score better?",
        base,
        variants={name: {"loss.name": name} for name in losses},
    )
