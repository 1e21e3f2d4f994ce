"""Which planes to label next: those that the network doubts most, and not one beside the other."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xseg_jax.files import write_text

SPREAD = 16
"""Neighbours tell the same: in a round of ranks planes lie a sixteenth of the scan apart."""


def rank(doubt_Z: Sequence[float]) -> list[int]:
    """Places of planes by doubt, the largest first, in rounds.

    The first round takes the plane with the most doubt, then the one with the most of those that
    are a sixteenth of all planes away from every one taken, and so on; the next round begins with
    what is left.

    Args:
      doubt_Z: mean uncertainty of each plane, in order along the scan.
    """
    apart = -(-len(doubt_Z) // SPREAD)
    order = np.argsort(-np.asarray(doubt_Z), kind="stable").tolist()
    ranked: list[int] = []
    while order:
        taken: list[int] = []
        for place in order:
            if all(abs(place - other) >= apart for other in taken):
                taken.append(place)
        ranked += taken
        order = [place for place in order if place not in set(taken)]
    return ranked


def write_ranks(path: Path, names: Sequence[str], doubt_Z: Sequence[float]) -> None:
    """Writes a CSV: rank from 1, name of the plane, its mean uncertainty from 0 to 1.

    Raises:
      SaveError: as `files.saving`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "plane", "uncertainty"])
    for number, place in enumerate(rank(doubt_Z), start=1):
        writer.writerow([number, names[place], f"{doubt_Z[place]:.6f}"])
    write_text(path, text.getvalue(), "the ranks of planes")
