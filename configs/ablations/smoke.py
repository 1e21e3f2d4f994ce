"""Minutes instead of hours, to see that studies work; its scores mean nothing."""

from typing import Any

from configs import tiny
from configs.ablations.study import study


def get_config() -> Any:
    config = study(
        "Does a study run?",
        tiny.get_config(),
        variants={"dice": {"loss.name": "dice"}, "no skip": {"model.skip": False}},
        note="These scores mean nothing: each run learns for seconds, to see that studies work.",
    )
    config.seeds = (0, 1)
    config.blocks = 3
    return config
