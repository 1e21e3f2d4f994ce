"""The configuration of an earlier run: --config=configs/from_run.py:runs/soc repeats it."""

from typing import Any

from ml_collections import ConfigDict

from configs import default
from xseg_jax.files import user_path
from xseg_jax.training.runlog import read_json


def get_config(run: str) -> Any:
    config = default.get_config()
    saved = ConfigDict(read_json(user_path(run) / "config.json"))
    # Earlier versions drew the split by the seed of the training.
    config.data.split.seed = saved.seed
    # JSON has no tuples; the default's types give them back.
    config.update(saved)
    return config
