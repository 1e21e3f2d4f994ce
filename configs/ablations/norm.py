"""Which normalisation?"""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    return study(
        "Which normalisation trains best?",
        base,
        variants={name: {"model.norm": name} for name in ("none", "group", "instance")},
    )
