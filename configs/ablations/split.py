"""A split that leaks against one that does not."""

from typing import Any

from configs.ablations.study import study


def get_config(base: str = "default") -> Any:
    config = study(
        "How much does a split flatter that puts neighbours of training slices into the test?",
        base,
        variants={"random": {"data.split.kind": "random"}},
    )
    config.base.data.train_slices = 40  # As many in both: the gap costs a block split some.
    return config
