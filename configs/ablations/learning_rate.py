"""Learning rate and its schedule."""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    return study(
        "Which learning rate, and does it have to fall?",
        base,
        grid={
            "optimizer.schedule": ("constant", "cosine"),
            "optimizer.learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        },
    )
