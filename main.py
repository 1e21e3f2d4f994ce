"""Trains, evaluates and applies U-Nets for X-ray images: `python main.py --help`."""

import difflib
import importlib
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from configs import default
from xseg_jax.errors import DivergedError, InputError
from xseg_jax.progress import log_to_terminal

MODES = ("train", "evaluate", "predict")

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "Configuration, for example configs/default.py.")
flags.DEFINE_enum("mode", "train", MODES, "What to do.")
flags.DEFINE_string("workdir", None, "Folder of the run; runs/<config name> by default.")
flags.DEFINE_string("input", None, "Folder to evaluate or predict.")
flags.DEFINE_string("output", None, "Folder for what evaluate or predict writes.")
flags.DEFINE_bool("probabilities", False, "predict: also write class probabilities.")


def main(argv: list[str]) -> None:
    """Runs one mode; an error that is the user's to mend becomes one line and exit code 1."""
    logging.set_verbosity(logging.ERROR)  # Libraries speak through absl; this package does not.
    log_to_terminal()
    try:
        if len(argv) > 1:
            raise InputError(f"unknown argument {argv[1]!r}; flags begin with --")
        run(FLAGS.mode)
    except (InputError, DivergedError) as error:
        sys.exit(f"error: {error}")


def run(mode: str) -> None:
    """Hands a mode the flags it needs."""
    needed = ("config",) if mode == "train" else ("workdir", "input", "output")
    for flag in needed:
        if FLAGS[flag].value is None:
            raise InputError(f"--mode={mode} needs --{flag}; see README.md")
    # Imported late: --help answers at once, and predict needs no TensorFlow.
    module = importlib.import_module(f"xseg_jax.modes.{mode}")
    importlib.import_module("xseg_jax.training.parallel").one_device_a_core()
    if mode == "train":
        name = Path(config_flags.get_config_filename(FLAGS["config"]).partition(":")[0]).stem
        module.run(FLAGS.config, Path(FLAGS.workdir or f"runs/{name}"))
        return
    options = {"probabilities": FLAGS.probabilities} if mode == "predict" else {}
    module.run(Path(FLAGS.workdir), Path(FLAGS.input), Path(FLAGS.output), **options)


def parse(argv: list[str]) -> list[str]:
    """Parses flags; an unknown config field is one line that names the closest one."""
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError) as error:
        from xseg_jax.training.runlog import flatten

        names = list(flatten(default.get_config().to_dict()))
        for flag in argv:
            name = flag.partition("=")[0].removeprefix("--config.")
            if flag.startswith("--config.") and name not in names:
                close = difflib.get_close_matches(name, names, 1)
                hint = f"did you mean config.{close[0]}?" if close else "see configs/default.py"
                sys.exit(f"error: {flag}: no such field; {hint}")
        raise error


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
