"""A random forest on multi-scale filters: what is used instead of a network.

It is the pixel classifier of ilastik (Berg et al. 2019, doi:10.1038/s41592-019-0582-9), of
Trainable Weka Segmentation (Arganda-Carreras et al. 2017, doi:10.1093/bioinformatics/btx180) and
of scikit-image's trainable segmentation: each pixel is a row of filter responses, and a random
forest (Breiman 2001, doi:10.1023/A:1010933404324) tells its class.

Pixels, trees and leaves are few enough for seconds; docs/forest.md has what was measured.
"""

import functools
import operator
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from skimage.feature import multiscale_basic_features

from xseg_jax.data.intensity import GreyScales
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane
from xseg_jax.data.splits import choose_evenly
from xseg_jax.errors import InputError
from xseg_jax.files import replacing
from xseg_jax.progress import Progress
from xseg_jax.training.parallel import cores, share_of, sum_over_processes

SIGMA_MIN, SIGMA_MAX = 0.5, 8
"""Of the narrowest and the widest filters, pixels; the others double in between."""
FEATURES = 20
"""Five widths: the smoothed image, its slope, and the two eigenvalues of its Hessian."""
HALO = 34
"""Pixels that a feature sees on each side: four sigmas, and two more for the second derivative."""
STRIP_PIXELS = 2**19
"""Of a plane at a time: features take 0.2 GiB, however large the plane."""

PIXELS, TREES, LEAF = 30_000, 50, 2
"""Of the sample; in the forest; pixels in a leaf at least."""
TREES_AT_A_TIME = 10
MOST_PIXELS = 2**25
"""Training pixels whose features are computed, in planes that are spread evenly."""


@dataclass(frozen=True)
class Sample:
    """Labelled pixels of the training planes; all that a forest is fitted to.

    Attributes:
      features_PF: float32.
      class_P: class index of each pixel, uint8.
    """

    features_PF: np.ndarray
    class_P: np.ndarray

    @classmethod
    def draw(cls, planes: Sequence[Plane], grey_scales: GreyScales) -> Self:
        """Draws labelled pixels, each with the same chance, so that classes keep their shares.

        Equally many pixels of each class would make rare ones too frequent (docs/forest.md). The
        same planes give the same sample in any number of processes, which share the planes.

        Args:
          planes: of training, with labelled pixels; of many, some that are spread evenly.
          grey_scales: grey values to what features are computed from.
        """
        labelled_M = np.array([np.count_nonzero(item.label_HW != IGNORED) for item in planes])
        chosen = _spread(np.array([item.label_HW.size for item in planes]), labelled_M)
        end_N = np.cumsum(labelled_M[chosen])
        rng = np.random.default_rng(0)
        drawn = np.sort(rng.choice(end_N[-1], min(PIXELS, end_N[-1]), replace=False))
        part_N = np.split(drawn, np.searchsorted(drawn, end_N[:-1]))
        row_N = np.cumsum([0, *map(len, part_N)])
        features_PF = np.zeros((len(drawn), FEATURES), np.float32)
        class_P = np.zeros(len(drawn), np.int32)
        mine = share_of(chosen)
        with Progress("Sampling for the forest", len(mine), "image") as progress:
            for n in mine:
                item = planes[chosen[n]]
                label_P = item.label_HW.ravel()
                pixel_P = np.flatnonzero(label_P != IGNORED)
                pixel_P = pixel_P[part_N[n] - (end_N[n] - labelled_M[chosen[n]])]
                rows = slice(row_N[n], row_N[n + 1])
                class_P[rows] = label_P[pixel_P]
                features_PF[rows] = _features_at(grey_scales.of(item)(item.image_HW), pixel_P)
                progress.advance()
        # A plane is in one process alone: the sums are exact, and the same for any number.
        features_PF, class_P = sum_over_processes((features_PF, class_P))
        return cls(features_PF, class_P.astype(np.uint8))

    def write(self, path: Path) -> None:
        """Writes a whole file or none: the sample, for a fitted forest is of one version of a
        library alone, and reading one runs what stands in it.

        Raises:
          SaveError: the disk is full, or failed.
        """
        with replacing(path, "the forest's pixels") as draft, draft.open("wb") as file:
            np.savez_compressed(file, features_PF=self.features_PF, class_P=self.class_P)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write` wrote.

        Raises:
          InputError: there is no such file, or it is damaged.
        """
        remedy = (
            "bring back the file that the run wrote, or leave the forest out with "
            "--config.report.baselines=thresholding"
        )
        if not path.is_file():
            raise InputError(f"{path}: no such file, so that no forest can be fitted; {remedy}")
        try:
            with path.open("rb") as file:
                fields: Any = np.load(file, allow_pickle=False)
                sample = cls(fields["features_PF"], fields["class_P"])
        except (OSError, ValueError, LookupError, EOFError, BadZipFile, zlib.error) as error:
            raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
        shape = sample.features_PF.shape
        if shape != (len(sample.class_P), FEATURES) or not len(sample.class_P):
            raise InputError(
                f"{path}: holds features of shape {shape} and {len(sample.class_P)} classes, not "
                f"{FEATURES} features a pixel; {remedy}"
            )
        return sample


class Forest:
    """Gives each pixel the class that its filter responses speak for.

    The same sample gives the same classes with any number of threads: each tree has its own random
    numbers, and their votes are added in one order.

    Args:
      sample: what it is fitted to.
      threads: at work at a time; as many as cores where it is None.
    """

    def __init__(self, sample: Sample, *, threads: int | None = None) -> None:
        # Takes a second, for which no other mode should wait.
        from sklearn.ensemble import RandomForestClassifier

        self._threads = threads or cores()
        # A warm start draws the random numbers that fitting all trees at once would. In one thread:
        # scikit-learn's set the warnings of the whole process aside, each for itself, and now and
        # then leave them so.
        forest = RandomForestClassifier(
            min_samples_leaf=LEAF, warm_start=True, random_state=0, n_jobs=1
        )
        with Progress("Fitting the forest", TREES, "tree") as progress:
            for done in range(0, TREES, TREES_AT_A_TIME):
                forest.set_params(n_estimators=done + TREES_AT_A_TIME)
                forest.fit(sample.features_PF, sample.class_P)
                progress.advance(TREES_AT_A_TIME)
        self._forest: Any = forest  # Its methods have no types.

    def __call__(self, values_HW: np.ndarray) -> np.ndarray:
        """Class index uint8 (H, W) of normalised grey values (H, W) float32."""
        class_HW = np.empty(values_HW.shape, np.uint8)
        with ThreadPoolExecutor(self._threads) as pool:
            for rows in strips(values_HW.shape):
                features_PF = features(values_HW, rows)
                parts = np.array_split(features_PF, min(self._threads, len(features_PF)))
                votes_PK = np.concatenate(list(pool.map(self._votes, parts)))
                class_P = self._forest.classes_[votes_PK.argmax(axis=1)]
                class_HW[rows] = class_P.reshape(-1, values_HW.shape[1])
        return class_HW

    def _votes(self, features_PF: np.ndarray) -> np.ndarray:
        """What `predict_proba` gives, (P, K) float64, tree by tree and without its threads."""
        trees = self._forest.estimators_
        votes_PK = functools.reduce(operator.add, (t.tree_.predict(features_PF) for t in trees))
        return votes_PK / len(trees)


def _spread(pixels_M: np.ndarray, labelled_M: np.ndarray) -> list[int]:
    """Places of labelled planes, spread evenly, with about `MOST_PIXELS` pixels or fewer in all."""
    places = np.flatnonzero(labelled_M).tolist()
    count = int(MOST_PIXELS / pixels_M[places].mean())
    return list(choose_evenly(places, min(len(places), max(1, count))))


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a plane (H, W) that are worked on at a time."""
    height, width = shape
    step = max(1, STRIP_PIXELS // width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def features(values_HW: np.ndarray, rows: slice) -> np.ndarray:
    """Filter responses (rows * W, F) float32 of the pixels in some rows of a plane (H, W) float32.

    They are those of the whole plane, bit for bit.
    """
    height, width = values_HW.shape
    top, bottom = max(0, rows.start - HALO), min(height, rows.stop + HALO)
    part_HW = values_HW[top:bottom]
    # A slope needs two pixels.
    part_HW = np.pad(part_HW, [(0, max(0, 2 - n)) for n in part_HW.shape], "edge")
    found_HWF = multiscale_basic_features(part_HW, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)
    return found_HWF[rows.start - top : rows.stop - top, :width].reshape(-1, FEATURES)


def _features_at(values_HW: np.ndarray, pixel_P: np.ndarray) -> np.ndarray:
    """Filter responses (P, F) of ascending pixels of a plane."""
    width = values_HW.shape[1]
    found_SPF = [np.zeros((0, FEATURES), np.float32)]
    for rows in strips(values_HW.shape):
        first, last = np.searchsorted(pixel_P, (rows.start * width, rows.stop * width))
        if first < last:  # A scribble is in few strips.
            found_SPF.append(features(values_HW, rows)[pixel_P[first:last] - rows.start * width])
    return np.concatenate(found_SPF)
