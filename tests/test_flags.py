"""Every flag has an effect or is refused, in each mode; and every remedy is one that there is.

A new flag fails here until it stands in the table below.
"""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from ml_collections import config_flags

import main
from configs import default, slurm, tiny
from xseg_jax.errors import InputError
from xseg_jax.modes import commandline, options
from xseg_jax.training import compilation, interrupt, parallel
from xseg_jax.training.runlog import flatten

ROOT = Path(__file__).parent.parent
FIELDS = sorted(flatten(default.get_config().to_dict()))

# Flag to what arrives where it is used.
ARRIVES = {
    "workdir": "somewhere",
    "input": "somewhere",
    "output": "somewhere",
    "runs": "here,there",
    "labels": "somewhere",
    "within": "somewhere",
    "quantities": "fractions",
    "meshes": "ply",
    "degrade": "blur",
    "probabilities": True,
    "uncertainty": True,
    "axes": "all",
    "anisotropic": True,
    "tta": True,
    "ome_zarr": "0.5",
    "share": "0/2",
    "coordinator": "here:1234",
    "processes": 3,
    "process": 2,
    "executor": "slurm",
    "jobs": 3,
    "slurm": {"partition": "fast"},
    "config": 7,
}
NEEDED = {"config": f"--config={Path(tiny.__file__)}"} | {
    flag: f"--{flag}=x" for flag in ("workdir", "input", "output", "runs")
}
DEFINED = [flag for one in (main, commandline) for flag in main.FLAGS.get_flags_for_module(one)]
OURS = {flag.name for flag in DEFINED} - {"mode"}


def written(flag):
    """The flag as it is typed."""
    if flag == "config":
        return [NEEDED["config"], "--config.seed=7"]
    if flag == "slurm":
        return ["--slurm.partition=fast"]
    return [f"--{flag}={ARRIVES[flag]}"]


@pytest.fixture
def arrived(monkeypatch):
    """Parses flags, runs a mode up to its door, and gives what arrives there."""
    flags = main.FLAGS
    before = set(flags)

    def arrive(mode, *given):
        seen = {}
        monkeypatch.setattr(sys, "argv", ["main.py", f"--mode={mode}", *given])
        delattr(flags, "slurm")  # Defined with the command line at hand.
        config_flags.DEFINE_config_dict("slurm", slurm.get_config())
        flags(sys.argv)

        def join(coordinator, processes, process):
            seen.update(coordinator=coordinator, processes=processes, process=process)
            return 0

        def run(*arguments, **options):
            seen.update(options)
            for argument in arguments:
                if isinstance(argument, Path):
                    seen.setdefault("paths", []).append(str(argument))
                else:
                    seen["config"] = argument.get("base", argument).seed

        for module, name, fake in (
            (parallel, "join_processes", join),
            (import_module(f"xseg_jax.modes.{mode}"), "run", run),
            (compilation, "keep_compiled", lambda: None),
            (interrupt, "obey_signals", lambda: None),
        ):
            monkeypatch.setattr(module, name, fake)
        main.run(mode)
        return seen

    yield arrive
    flags.unparse_flags()
    for name in flags:
        flags[name].unparse()
        flags[name].using_default_value = True
    for name in set(flags) - before:
        delattr(flags, name)


def test_every_flag_has_its_place():
    assert OURS == ARRIVES.keys() == set().union(*options.FLAGS.values())


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # Of ml_collections.
@pytest.mark.parametrize("mode", options.FLAGS)
@pytest.mark.parametrize("flag", ARRIVES)
def test_a_flag_has_an_effect_or_is_refused(arrived, mode, flag):
    given = written(flag)
    if flag not in options.FLAGS[mode]:
        with pytest.raises(InputError, match=rf"--{flag}.*: has no effect with --mode={mode}; it "):
            arrived(mode, *given)
        return
    if flag == "config" and mode in options.MAY_DIFFER:
        with pytest.raises(InputError, match=rf"^--config: --mode={mode} takes the configuration"):
            commandline.find_config(["main.py", f"--mode={mode}", NEEDED["config"]])
        return
    given += ["--executor=slurm"] * (flag == "slurm")
    given += [NEEDED[other] for other in options.NEEDED[mode] if other != flag]
    seen = arrived(mode, *given)
    if flag in ("workdir", "input", "output", "runs"):
        needed = options.NEEDED[mode]
        place = needed.index(flag) if flag in needed else 0
        assert seen["paths"][place] == ARRIVES[flag]
    elif flag == "slurm":
        assert seen["slurm"]["partition"] == "fast"
    else:
        assert seen[flag] == ARRIVES[flag]


def test_degrade_alone_means_all_and_takes_no_other_flag_for_its_value(monkeypatch):
    seen = []

    class Flags:
        config = None

        def __call__(self, argv):
            seen.append(argv)
            return argv[:1]

    monkeypatch.setattr(commandline.flags, "FLAGS", Flags())
    given = ["main.py", "--mode=evaluate", "--degrade", "--input=x", "--degrade=blur"]
    commandline.parse(given, fields=default.get_config())
    assert seen[0][1:] == ["--mode=evaluate", "--degrade=all", "--input=x", "--degrade=blur"]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--config.epochs=abc", "--config.epochs=abc: give a whole number; see python main.py "
         "--help_config=epochs"),
        ("--config.optimizer.learning_rate=x", "give a number; .*--help_config=optimizer.learning"),
        ("--config.augment.rotate90=maybe", "--config.augment.rotate90=maybe: give true or false"),
        ("--config.model.features=a,b", "--config.model.features=a,b: 'a,b' is no number; see"),
        ("--mode=foo", "--mode=foo: choose one of train|evaluate|"),
        ("--jobs=x", "--jobs=x: give a whole number; see python main.py --help$"),
        ("--workdi=x", "--workdi: no such flag. Did you mean --workdir?"),
        ("--slurm.partitio=x", "--slurm.partitio: no such field; it has array_par"),
        ("stray", "unknown argument 'stray'; flags begin with --"),
    ],
)  # fmt: skip
def test_what_a_flag_cannot_be_is_told_in_one_line_with_what_it_can(flag, said):
    command = [sys.executable, "main.py", "--config=configs/tiny.py", flag]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(f"error: .*{said.replace('?', '[?]').replace('|', '[|]')}.*\n", done.stderr)


@pytest.mark.parametrize(
    ("given", "executor", "remedy"),
    [
        (["executor", "slurm.partition"], "local", "--slurm.partition: .*add --executor=slurm"),
        (["executor", "jobs"], "slurm", "--jobs: .*give --slurm.array_parallelism=N"),
    ],
)
def test_flags_of_another_executor_are_refused(given, executor, remedy):
    with pytest.raises(InputError, match=remedy):
        options.check_flags("sweep", given, executor)


def messages(module):
    """What a module may say: its texts but for docstrings, f-strings in one piece."""
    tree = ast.parse((ROOT / module).read_text())
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= set(node.values)
            yield "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inner.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value


def imported(module, found):
    """A module of the package and all that it imports of it."""
    if module not in found:
        found.add(module)
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if isinstance(node, ast.ImportFrom):
                name = (node.module or "").replace(".", "/")
                for path in (f"{name}.py", *(f"{name}/{one.name}.py" for one in node.names)):
                    if path.startswith("xseg_jax/") and (ROOT / path).exists():
                        imported(path, found)
    return found


MODULES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "xseg_jax").rglob("*.py"))
REMEDY = re.compile(r"--config\.([a-z_]+(?:\.[a-z_0-9]+)*)(\*?)")
FOR_TRAINING = "train with"
"""What a sentence says that names a remedy for another mode."""
NEVER_SAID = {
    "evaluate": ("data.split.",),
    "predict": ("data.",),
    "inspect": ("data.source", "data.root", "loss.", "augment."),
    "measure": ("data.n", "data.s", "data.r", "data.l", "data.context", "loss.", "augment."),
}
"""It splits nothing; it reads no labels and pairs no names; its config is configs/scan.py, and that
of a volume that is labelled already."""


@pytest.mark.parametrize("module", MODULES)
def test_remedies_name_fields_and_flags_that_there_are(module):
    for message in messages(module):
        for found, _ in REMEDY.findall(message):
            field = found.removeprefix("base.")  # Of the base of a study.
            assert any(one == field or one.startswith(f"{field}.") for one in FIELDS), message
        if " " not in message:
            continue  # A flag of another program.
        for flag in re.findall(r"(?<![\w-])--([a-z_]+)\b(?!\.)", message):
            assert flag in {*OURS, "mode", "help", "helpshort", "help_config"}, message


@pytest.mark.parametrize("mode", options.MAY_DIFFER)
def test_remedies_exist_in_the_mode_that_prints_them(mode):
    """Where a mode that takes a run's config can come to a message, it can do what that says."""
    said = 0
    for module in imported(f"xseg_jax/modes/{mode}.py", set()):
        for message in messages(module):
            for field, _ in REMEDY.findall(message):
                if field.startswith(NEVER_SAID[mode]) or FOR_TRAINING in message:
                    continue
                assert options.may_differ(mode, field), (module, message)
                said += 1
    assert said > 0 or mode == "predict"
