"""What must be known of the command line before its flags are parsed: where the config is."""

import argparse
from pathlib import Path

from xseg_jax.errors import InputError

FROM_RUN = Path(__file__).parents[2] / "configs" / "from_run.py"
INFERENCE = "inference."
"""Fields that may differ from the run's when it segments: a smaller machine takes smaller tiles."""


def config_of(run: str) -> Path:
    """The file that holds a run's configuration."""
    return Path(run).expanduser() / "config.json"


def find_config(argv: list[str]) -> None:
    """Lets evaluate and predict take --config.inference.FIELD, on top of the run's own config.

    Raises:
      InputError: the config is missing, or one is given, or another field, where a run has its own.
    """
    from xseg_jax.training.runlog import read_json  # Not where --help is all that is wanted.

    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--mode", "--workdir", "--config"):
        flags.add_argument(flag)
    known, others = flags.parse_known_args(argv[1:])
    if known.mode not in ("evaluate", "predict"):
        file, _, run = (known.config or "").partition(":")
        if file and not Path(file).is_file():
            raise InputError(f"--config={file}: no such file; see configs/ for those there are")
        if Path(file).name == "from_run.py":
            read_json(config_of(run))
        return
    fields = [flag.partition("=")[0] for flag in others if flag.startswith("--config.")]
    wrong = [field for field in fields if not field.startswith(f"--config.{INFERENCE}")]
    if known.config or wrong:
        raise InputError(
            f"{wrong[0] if wrong else '--config'}: --mode={known.mode} takes the configuration of "
            f"the run in --workdir; only --config.{INFERENCE}FIELD=VALUE can be given, as in "
            "--config.inference.tile=256"
        )
    if fields and known.workdir:
        read_json(config_of(known.workdir))
        argv.insert(1, f"--config={FROM_RUN}:{known.workdir}")
