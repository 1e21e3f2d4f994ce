"""The configuration of an earlier run: --config=configs/from_run.py:runs/soc repeats it."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from configs import default


def get_config(run: str) -> Any:
    config = default.get_config()
    saved = ConfigDict(json.loads((Path(run) / "config.json").read_text()))
    # JSON has no tuples; the default's types give them back.
    config.update(saved)
    return config
