"""From the command line to flags: where the config is, and what is wrong with it in one line."""

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from xseg_jax.errors import InputError
from xseg_jax.files import one_line, paths_in, user_path
from xseg_jax.modes import options
from xseg_jax.modes.fields import help_on_fields
from xseg_jax.modes.usage import usage

flags.disclaim_key_flags()  # Those that are defined here are main.py's.

CONFIGS = Path(__file__).parents[2] / "configs"
WORDS = {
    r"invalid literal for int\(\) with base 10: .*": "give a whole number",
    r"could not convert string to float: .*": "give a number",
    r"\('Non-boolean argument to boolean flag', .*\)": "give true or false",
    r"value should be one of <(.*)>": r"choose one of \1",
    r"Unknown command line flag '(\S+)'\.": r"--\1: no such flag.",
    r"Did you mean: (\S+) \?": r"Did you mean --\1?",
}
"""What absl says of a flag, and what that means."""
SEVERAL_NAMES = ("report.baselines", "report.formats", "report.quantities", "score")
"""Fields that hold several words; all others that hold several hold numbers."""
WITHOUT_RUN = ("inspect", "measure")
"""Modes that have a config of their own, and no run's."""
FROM_RUN, OF_SCAN = CONFIGS / "from_run.py", CONFIGS / "scan.py"


def define_flags(slurm: Any) -> None:
    """Defines all flags but --config; an unknown field of --slurm is one line."""
    flags.DEFINE_enum("mode", "train", list(options.OPTIONS), "What to do.")
    for name, meaning in options.TEXTS.items():
        flags.DEFINE_string(name, None, meaning)
    for name, meaning in options.SWITCHES.items():
        flags.DEFINE_bool(name, False, meaning)
    for name, (choices, meaning) in options.CHOICES.items():
        flags.DEFINE_enum(name, choices[0], choices, meaning)
    for name, (number, meaning) in options.NUMBERS.items():
        flags.DEFINE_integer(name, number, meaning)
    # It looks at the command line as it is defined.
    given = [flag[8:].partition("=")[0] for flag in sys.argv if flag.startswith("--slurm.")]
    if wrong := [name for name in given if name not in slurm]:
        sys.exit(f"error: --slurm.{wrong[0]}: no such field; it has {', '.join(slurm)}")
    config_flags.DEFINE_config_dict("slurm", slurm)


def parse(argv: list[str], *, fields: Any) -> list[str]:
    """Parses flags; a config that is missing, or an unknown field of it, is one line.

    Args:
      argv: the program and its flags.
      fields: a config with every field that there is.
    """
    try:
        check_system()
        if (text := help_in(argv)) is not None:
            print(text)
            sys.exit()
        # Alone it means all; a flag of absl would take the next one for its value.
        argv = ["--degrade=all" if flag == "--degrade" else flag for flag in argv]
        find_config(argv)
        try:
            rest = flags.FLAGS(argv)
        except (AttributeError, KeyError):
            runlog().check_flags(argv, fields)
            raise
        except flags.Error as error:
            raise InputError(_in_words(str(error))) from error
        if rest[1:]:
            raise InputError(f"unknown argument {rest[1]!r}; flags begin with --")
        if flags.FLAGS.config:
            check_numbers(config_flags.get_override_values(flags.FLAGS["config"]))
        return rest
    except InputError as error:
        sys.exit(f"error: {one_line(str(error))}")


def _in_words(said: str) -> str:
    """What is wrong with a flag, as absl says it, with the remedy."""
    said = said.removeprefix("flag ")
    for pattern, words in WORDS.items():
        said = re.sub(pattern, words, said)
    field = re.match(r"--config\.(?:base\.)?([\w.]+)", said)
    return f"{said}; see python main.py --help" + (f"_config={field[1]}" if field else "")


def check_numbers(given: Mapping[str, Any]) -> None:
    """Refuses words where a field holds several numbers: absl takes them for what is meant.

    Raises:
      InputError: names the field and its value.
    """
    for name, value in given.items():
        words = [one for one in value if isinstance(one, str)] if isinstance(value, tuple) else []
        if words and name.removeprefix("base.") not in SEVERAL_NAMES:
            raise InputError(
                f"--config.{name}={','.join(map(str, value))}: {words[0]!r} is no number; see "
                f"python main.py --help_config={name.removeprefix('base.')}"
            )


def help_in(argv: Sequence[str]) -> str | None:
    """What --help or --help_config prints; None where neither is asked for.

    Raises:
      InputError: there is no such field.
    """
    for flag, _, part in (text.partition("=") for text in argv[1:]):
        if flag in ("--help", "-help", "-h", "-?"):
            return usage()
        if flag == "--help_config":
            return help_on_fields(part)
    return None


def check_system() -> None:
    """Refuses a system whose files and locks are others.

    Raises:
      InputError: it is Windows.
    """
    if sys.platform == "win32":
        raise InputError(
            "Windows: xseg_jax runs on Linux and macOS; use the Windows Subsystem for Linux, see "
            "https://learn.microsoft.com/windows/wsl"
        )


def runlog() -> Any:
    """The module of run folders, imported late: --help answers at once."""
    return import_module("xseg_jax.training.runlog")


def config_of(run: str) -> Path:
    """The file that holds a run's configuration."""
    return user_path(run) / "config.json"


def _nearest(file: str) -> str:
    """The configs whose paths are most like one that is not there; else where they are."""
    beside = Path(file).parent
    known = [path.relative_to(CONFIGS.parent) for path in sorted(CONFIGS.rglob("*.py"))]
    known += sorted(beside.glob("*.py")) if beside.is_dir() else []
    names = {path.stem: path for path in reversed(known)}
    near = difflib.get_close_matches(Path(file).stem, names, 2)
    if not near:
        return "see configs/ for those there are"
    flags = [shlex.quote(f"--config={names[name]}") for name in near]
    return f"did you mean {' or '.join(flags)}?"


def find_config(argv: list[str]) -> None:
    """Lets evaluate and predict take some --config.FIELD, on top of the run's own config.

    Inspection and measurement take some on top of configs/scan.py.

    Raises:
      InputError: the config is missing, or one is given, or another field, where a mode has its
        own.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--mode", "--workdir", "--config"):
        parser.add_argument(flag)
    known, others = parser.parse_known_args(argv[1:])
    if known.mode not in options.MAY_DIFFER:
        file, _, run = (known.config or "").partition(":")
        if file and not Path(file).is_file():
            raise InputError(f"--config={file}: no such file; {_nearest(file)}")
        if Path(file).name == "from_run.py":
            runlog().read_json(config_of(run))
        return
    given = [flag.partition("=")[0] for flag in others if flag.startswith("--config.")]
    wrong = [
        flag for flag in given if not options.may_differ(known.mode, flag.removeprefix("--config."))
    ]
    if known.config or wrong:
        fields = ", ".join(f"--config.{field}" for field in options.MAY_DIFFER[known.mode])
        own = known.mode in WITHOUT_RUN
        whose = "configs/scan.py" if own else "the run in --workdir"
        example = "--config.data.ignore=255" if own else "--config.inference.tile=256"
        raise InputError(
            f"{wrong[0] if wrong else '--config'}: --mode={known.mode} takes the configuration of "
            f"{whose}; what can be given is {fields}, as in {example}"
        )
    if known.mode in WITHOUT_RUN:
        argv.insert(1, f"--config={OF_SCAN}")
    elif given and known.workdir:
        first = str(paths_in(known.workdir)[0])
        runlog().read_json(config_of(first))
        argv.insert(1, f"--config={FROM_RUN}:{first}")
