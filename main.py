"""Trains, evaluates and applies U-Nets for X-ray images: `python main.py --help`."""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Who stops imports is told nothing.

import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from configs import default, slurm
from xseg_jax.errors import InputError, RunError
from xseg_jax.files import line_of, user_path
from xseg_jax.memory import use_huge_pages
from xseg_jax.modes.commandline import define_flags, parse
from xseg_jax.modes.options import NEEDED, OPTIONS, check_flags, check_given
from xseg_jax.progress import log_to_terminal, mute

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "Configuration, for example configs/default.py.")
define_flags(slurm.get_config())


def main(_: list[str]) -> None:
    """Runs one mode; what its user can act on becomes one line and an exit code."""
    log_to_terminal()
    try:
        run(FLAGS.mode)
    except (RunError, OSError) as error:
        print(line_of(error), file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


def run(mode: str) -> None:
    """Hands a mode the flags it needs."""
    trains = mode in ("train", "sweep")
    check_flags(mode, [name for name in FLAGS if FLAGS[name].present], FLAGS.executor)
    for flag in NEEDED[mode]:
        if not FLAGS[flag].value:
            raise InputError(f"--mode={mode} needs --{flag}; see python main.py --help")
    interrupt = import_module("xseg_jax.training.interrupt")
    interrupt.obey_signals()
    parallel = interrupt.unbroken(import_module, "xseg_jax.training.parallel")
    if parallel.join_processes(FLAGS.coordinator, FLAGS.processes, FLAGS.process) > 0:
        mute()
    interrupt.obey_signals()  # Once more: JAX takes SIGTERM for itself when processes join.
    options = {flag: FLAGS[flag].value for flag in OPTIONS[mode]}
    given = config_flags.get_override_values(FLAGS["config"]) if FLAGS.config else {}
    if trains:
        check_given(FLAGS.config, given)
        name = Path(config_flags.get_config_filename(FLAGS["config"]).partition(":")[0]).stem
        workdir = user_path(FLAGS.workdir) if FLAGS.workdir else Path("runs") / name
        if mode == "train" and import_module("xseg_jax.modes.finished").show(FLAGS.config, workdir):
            return
        arguments = [FLAGS.config, workdir]
    else:
        arguments = [user_path(FLAGS[flag].value or "") for flag in NEEDED[mode]]
        options |= {"changes": given} if given else {}
    import_module("xseg_jax.training.compilation").keep_compiled()
    # Imported late: --help answers at once, and predict needs no TensorFlow.
    interrupt.unbroken(import_module, f"xseg_jax.modes.{mode}").run(*arguments, **options)


if __name__ == "__main__":
    use_huge_pages()
    app.run(main, flags_parser=partial(parse, fields=default.get_config()))
