"""How many labelled slices."""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    return study(
        "How many labelled slices are enough? The base has all.",
        base,
        grid={"data.train_slices": (1, 3, 10, 30)},
        axis="train_slices",
    )
