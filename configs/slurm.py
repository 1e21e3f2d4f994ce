"""What a study's runs ask SLURM for; the names are submitit's."""

from typing import Any

from ml_collections import ConfigDict


def get_config() -> Any:
    config = ConfigDict()
    config.partition = ""
    config.timeout_min = 240
    config.cpus_per_task = 4
    config.gpus_per_node = 0
    config.mem_gb = 16
    config.array_parallelism = 64  # Runs at a time.
    return config
