"""Skip connections."""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    return study(
        "Does the skip connection matter?", base, variants={"no skip": {"model.skip": False}}
    )
