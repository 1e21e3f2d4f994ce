"""What `python main.py --help` says: each mode with an example and its flags."""

import textwrap

from xseg_jax.modes.options import FLAGS, NEEDED

PROGRAM = "python main.py"
LAUNCHED = ("coordinator", "processes", "process")
"""Flags that launchers make needless."""
MODES = {
    "inspect": (
        "looks at a scan and its labels before training, and writes a config",
        "--input=scan.tif --labels=labels.tif --output=inspect/",
    ),
    "train": (
        "trains a network, and scores it on slices that it has not seen; needs no --mode",
        "--config=inspect/config.py --workdir=runs/scan",
    ),
    "predict": (
        "segments a scan, or every image of a folder, with a trained run",
        "--workdir=runs/scan --input=other.tif --output=segmented.tif",
    ),
    "evaluate": (
        "scores a trained run on another scan and its labels",
        "--workdir=runs/scan --input=other.tif --labels=other_labels.tif --output=scores/",
    ),
    "measure": (
        "measures a segmented volume: fractions, surfaces, tortuosity and more",
        "--input=segmented.tif --output=measured/",
    ),
    "sweep": (
        "trains variants of a config with several seeds, and compares them",
        "--config=configs/ablations/loss.py --workdir=runs/loss",
    ),
    "compare": (
        "compares finished runs that were scored on the same slices",
        "--runs=runs/a,runs/b --output=compared/",
    ),
    "report": ("writes the page of a finished run anew", "--workdir=runs/scan"),
}
"""Of each mode what it does, and the flags of an example, in the order of a first day's work."""
END = f"""\
What each flag means:   {PROGRAM} --helpshort
Fields of a config:     {PROGRAM} --help_config   (--help_config=data.split for some)
A first run, of minutes, that needs no data:   {PROGRAM} --config=configs/default.py
README.md explains all of it."""


def usage() -> str:
    """The modes, on one screen."""
    width = max(map(len, MODES)) + 2
    lines = ["Trains, evaluates and applies U-Nets for X-ray images. What --mode can be:", ""]
    for mode, (what, flags) in MODES.items():
        lines += [f"{mode:<{width}}{what}", f"{'':<{width}}{command(mode)}"]
        used = [flag for flag in FLAGS[mode] if flag not in (*NEEDED[mode], *LAUNCHED)]
        more = ["--config.FIELD" if flag == "config" else f"--{flag}" for flag in used]
        if more := [flag for flag in more if f"{flag}=" not in flags]:
            lines += textwrap.wrap(
                f"also {' '.join(more)}", 100, initial_indent=" " * width,
                subsequent_indent=" " * (width + 5), break_on_hyphens=False,
            )  # fmt: skip
    return "\n".join([*lines, "", END])


def command(mode: str) -> str:
    """The example of a mode."""
    chosen = "" if mode == "train" else f" --mode={mode}"
    return f"{PROGRAM}{chosen} {MODES[mode][1]}"
