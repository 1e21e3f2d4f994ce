"""What the runs of a study are compared by: a score of pixels, or the error of a quantity."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.quantity_score import SUFFIX, QuantityScore, error_sums, mean_error
from xseg_jax.measure.quantities import FAMILIES
from xseg_jax.model.metrics import macro_scores
from xseg_jax.modes.quantities import MEASURED, NETWORK
from xseg_jax.modes.run import Config
from xseg_jax.modes.score import SLICES
from xseg_jax.modes.tested import FEWEST, are_volume, check_quantities
from xseg_jax.training.runlog import read_json

logger = logging.getLogger(__name__)

SCORES = {
    "accuracy": "pixel accuracy", "precision": "macro precision", "recall": "macro recall",
    "f1": "macro F1", "miou": "mean IoU",
}  # fmt: skip
"""Scores of pixels, in words."""
VOLUME, SLICES_OF, IMAGES = "volume", "slices", "images"
"""What is tested: a volume, slices of one, or images that are no slices of one."""


class StudyScore(Protocol):
    """A score that runs are compared by."""

    @property
    def name(self) -> str:
        """A column of study.csv."""
        ...

    @property
    def label(self) -> str:
        """In words."""
        ...

    @property
    def lower_is_better(self) -> bool:
        """As of an error."""
        ...

    def columns(self, folder: Path) -> dict[str, float]:
        """The score of a run, and of each baseline beside it; NaN where it is not defined."""
        ...

    def blocks(self, folder: Path) -> tuple[Sequence[str], np.ndarray]:
        """Names of what was tested, and what adds up over its blocks, (B, ...)."""
        ...

    def __call__(self, sums: np.ndarray, /) -> np.ndarray:
        """Scores of sums over blocks."""
        ...

    def unit(self, blocks: int) -> str:
        """What so many blocks are, in words."""
        ...


class PixelScore:
    """One of the macro scores of whole slices, over stretches of them."""

    lower_is_better = False

    def __init__(self, name: str, blocks: int) -> None:
        self.name, self.label, self._blocks = name, SCORES[name], blocks

    def columns(self, folder: Path) -> dict[str, float]:
        """As `StudyScore`."""
        results = read_json(folder / "results.json")
        beside = results["baselines"].items()
        return {self.name: results[self.name]} | {
            f"{name}_{self.name}": (found or {}).get(self.name, np.nan) for name, found in beside
        }

    def blocks(self, folder: Path) -> tuple[Sequence[str], np.ndarray]:
        """As `StudyScore`: confusion matrices (B, K, K)."""
        slices = read_json(folder / SLICES)[NETWORK]
        return tuple(slices), statistics.blocks_of(np.array([*slices.values()]), self._blocks)

    def __call__(self, sums: np.ndarray, /) -> np.ndarray:
        """As `StudyScore`."""
        return macro_scores(sums)[self.name]

    def unit(self, blocks: int) -> str:
        """As `StudyScore`."""
        return f"{blocks} blocks of z"


class ErrorOfQuantity:
    """The absolute relative error of a quantity, over parts of the tested volume."""

    lower_is_better = True

    def __init__(self, score: QuantityScore) -> None:
        self.score, self.name, self.label = score, score.name, score.label

    def columns(self, folder: Path) -> dict[str, float]:
        """As `StudyScore`."""
        rows = self._rows(folder)
        baselines = dict.fromkeys(
            name for row in rows for name in (row["against"] or {}).get("baselines", ())
        )
        return {self.name: self._error(rows)} | {
            f"{name}_{self.name}": self._error(rows, name) for name in baselines
        }

    def blocks(self, folder: Path) -> tuple[Sequence[str], np.ndarray]:
        """As `StudyScore`: values and truths (P, K, 2)."""
        names = tuple(read_json(folder / SLICES)[NETWORK])
        return names, error_sums(self._rows(folder))

    def __call__(self, sums: np.ndarray, /) -> np.ndarray:
        """As `StudyScore`."""
        return mean_error(sums)

    def unit(self, blocks: int) -> str:
        """As `StudyScore`."""
        return f"{blocks} parts of the tested volume" if blocks > 1 else "the tested volume as one"

    def _error(self, rows: Sequence[Mapping[str, Any]], baseline: str | None = None) -> float:
        return float(mean_error(error_sums(rows, baseline).sum(axis=0)))

    def _rows(self, folder: Path) -> list[Mapping[str, Any]]:
        path = folder / MEASURED
        rows = self.score.rows(read_json(path)["quantities"]) if path.exists() else []
        if not rows:  # What else the runs show is not lost for that.
            logger.warning("%s: %s is not known, for %s has nothing of it; the run's log says why",
                           folder, self.name, MEASURED)  # fmt: skip
        return rows


def scores_of(text: str, blocks: int) -> list[StudyScore]:
    """The scores of a study, "miou" or several as "miou, tortuosity_error/pore/z".

    Raises:
      InputError: there is none of a name, or it stands twice; names `config.score`.
    """
    names = [name.strip() for name in text.split(",")]
    found: list[StudyScore] = []
    for name in names:
        if name in SCORES:
            found.append(PixelScore(name, blocks))
        elif SUFFIX in name:
            found.append(ErrorOfQuantity(QuantityScore.parse(name)))
        else:
            raise InputError(
                f"config.score={text!r}: choose one of {', '.join(SCORES)}, or the error of a "
                "quantity as tortuosity_error/pore/z; several with commas"
            )
    if len({one.name for one in found}) < len(found):
        raise InputError(f"config.score={text!r}: name each once")
    return found


def check_scores(
    scores: Sequence[StudyScore], variants: Mapping[str, Config], folders: Mapping[str, Path]
) -> None:
    """Refuses errors of quantities that the runs would not have, before any is trained.

    Args:
      scores: of the study.
      variants: configs by name.
      folders: of the first run of each variant; what a finished one has measured tells most.

    Raises:
      InputError: names `config.score`, the reason and the remedy.
    """
    wanted = [one.score for one in scores if isinstance(one, ErrorOfQuantity)]
    if not wanted:
        return
    for name, config in variants.items():
        measured = check_quantities(config)
        missing = {one.family for one in wanted} - set(measured)
        if missing:
            every = tuple(family for family in FAMILIES if family in {*measured, *missing})
            raise InputError(
                f"config.score={_first(wanted, missing).name!r}: {_of(name)}config.base.report."
                f"quantities={measured} does not measure {', '.join(sorted(missing))}; add "
                f'--config.base.report.quantities="{every}"'
            )
    told: dict[str, tuple[Sequence[str], str]] = {}
    by_data: dict[str, tuple[Sequence[str], str]] = {}
    for name, config in variants.items():
        path = folders[name] / MEASURED
        if path.exists():
            found = read_json(path)
            kind = VOLUME if found["dimension"] == 3 else SLICES_OF
            told[name] = found["phases"], IMAGES if found.get("independent") else kind
            continue
        data = config.data.to_dict() | {"train_slices": 0}  # They change nothing of the test.
        if repr(data) not in by_data:
            by_data[repr(data)] = _tested(config)
        told[name] = by_data[repr(data)]
    for name, (phases, kind) in told.items():
        for score in wanted:
            score.check(phases)
            if (kind == IMAGES) != score.of_images:
                has = (
                    "images that are no slices of one volume, and have areas alone; choose "
                    "area_fraction_error"
                    if kind == IMAGES
                    else "slices of a volume; choose volume_fraction_error"
                )
                raise InputError(
                    f"config.score={score.name!r}: {_of(name)}what is tested are {has}"
                )
            if kind == SLICES_OF and score.needs_volume:
                raise InputError(
                    f"config.score={score.name!r}: {_of(name)}the test slices are no volume, which "
                    f"this needs: {FEWEST} or more neighbours across z; test such, as by "
                    "--config.base.data.split.test='(321, 384)', or with "
                    "--config.base.data.phantom.z_step=1 for a simulated scan"
                )
    if len({kind for _, kind in told.values()}) > 1:
        flat = [name for name, (_, kind) in told.items() if kind == SLICES_OF]
        raise InputError(
            f"config.score={wanted[0].name!r}: the test slices of {', '.join(flat)} are no volume "
            "and those of the others are; estimates from slices are not compared to a volume's"
        )


def _tested(config: Config) -> tuple[Sequence[str], str]:
    """Names of the phases of a data set, and what its test part is."""
    # Imported late: TensorFlow takes seconds, and is in need of none where runs are finished.
    from xseg_jax.modes.data import open_data, split_data

    planes = open_data(config).prepare()
    split = split_data(config, planes)
    test = split.test
    if not test:
        raise InputError(
            f"config.score: config.base.data.split.kind={config.data.split.kind!r} tests on nothing"
        )
    places, shapes = [planes.places[n] for n in test], [planes.shapes[n] for n in test]
    if split.kind == "group":
        return planes.label_map.names, IMAGES
    volume = are_volume(places, shapes, planes.voxel_size)
    return planes.label_map.names, VOLUME if volume else SLICES_OF


def _first(wanted: Sequence[QuantityScore], families: set[str]) -> QuantityScore:
    return next(one for one in wanted if one.family in families)


def _of(variant: str) -> str:
    return "" if variant == "base" else f"variant {variant!r}: "
