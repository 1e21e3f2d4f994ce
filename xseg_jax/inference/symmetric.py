"""Segmenting an image in every way that it can be turned and mirrored, and taking the mean."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Predict = Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
"""Probabilities (H, W, K) of images (H, W, C), in order."""


@dataclass(frozen=True)
class Symmetry:
    """A mirror image, left to right, that is then turned.

    Attributes:
      mirrored: whether it is mirrored.
      turns: by 90 degrees, counterclockwise, 0 to 3.
    """

    mirrored: bool
    turns: int

    def __call__(self, image_HWC: np.ndarray) -> np.ndarray:
        """The image as it then stands."""
        return np.rot90(image_HWC[:, ::-1] if self.mirrored else image_HWC, self.turns)

    def undo(self, image_HWC: np.ndarray) -> np.ndarray:
        """The image as it stood before."""
        back_HWC = np.rot90(image_HWC, -self.turns)
        return back_HWC[:, ::-1] if self.mirrored else back_HWC


def symmetries_of(flip: str, *, rotate90: bool) -> tuple[Symmetry, ...]:
    """The ways in which an augmented network has seen its images, as they are first.

    Args:
      flip: "none", "horizontal", "vertical" or "both".
      rotate90: whether it was turned by quarters, too.
    """
    # A mirror image turned by half is that of the other axis.
    ways = {
        "none": {(False, 0)},
        "horizontal": {(False, 0), (True, 0)},
        "vertical": {(False, 0), (True, 2)},
        "both": {(False, 0), (True, 0), (False, 2), (True, 2)},
    }[flip]
    turns = range(4) if rotate90 else (0,)
    found = {(mirrored, (k + turn) % 4) for mirrored, k in ways for turn in turns}
    # Those that keep height and width first: images of one shape go through the network together.
    return tuple(Symmetry(*way) for way in sorted(found, key=lambda way: (way[1] % 2, *way)))


def averaged(
    predict: Predict, images: Iterable[np.ndarray], symmetries: Sequence[Symmetry]
) -> Iterator[np.ndarray]:
    """Mean probabilities (H, W, K) float32 of each image over its symmetries, in order."""
    if len(symmetries) == 1:
        yield from predict(images)
        return
    stood = predict(
        np.ascontiguousarray(way(image_HWC)) for image_HWC in images for way in symmetries
    )
    while together := list(itertools.islice(stood, len(symmetries))):
        total_HWK = np.zeros_like(symmetries[0].undo(together[0]))
        for way, one_HWK in zip(symmetries, together, strict=True):
            total_HWK += way.undo(one_HWK)
        yield total_HWK / np.float32(len(symmetries))
