"""Which image has which label. No TensorFlow."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from xseg_jax.errors import InputError
from xseg_jax.scans.names import LAST_NUMBER, composed, number_in
from xseg_jax.scans.scan import some

FOLDERS = {"images": ("images", "data"), "labels": ("labels", "masks")}


def folder_of(root: Path, kind: str) -> Path:
    """The folder of "images" or of "labels" below `root`.

    Raises:
      InputError: there is none, or there are two.
    """
    found = [root / name for name in FOLDERS[kind] if (root / name).is_dir()]
    if len(found) != 1:
        raise InputError(
            f"{root}: expected one folder of {kind} called {' or '.join(FOLDERS[kind])}, found "
            f"{len(found)}; rename the one that is meant"
        )
    return found[0]


def pair_names(
    images: Sequence[str],
    labels: Sequence[str],
    *,
    folder: Path,
    number_pattern: str = LAST_NUMBER,
    skip_unlabelled: bool = False,
) -> list[tuple[str, str]]:
    """Pairs of stems of images and labels, by equal stems or else by the number in the name.

    Args:
      images: stems of the images.
      labels: stems of the labels.
      folder: of the labels, for errors.
      number_pattern: regular expression whose first group is the number in a stem.
      skip_unlabelled: leave images without a label out instead of refusing them.

    Returns:
      Pairs in the order of the images.

    Raises:
      InputError: nothing pairs, some files have no partner, or a number stands twice.
    """
    stems = {"image": list(images), "label": list(labels)}
    keys: dict[str, dict[str, str | int | None]] = {
        kind: {stem: composed(stem) for stem in these} for kind, these in stems.items()
    }
    if not set(keys["image"].values()) & set(keys["label"].values()):
        for kind, these in stems.items():
            numbers = {stem: number_in(stem, number_pattern) for stem in these}
            counts = Counter(numbers.values())
            unnumbered = [stem for stem, number in numbers.items() if number is None]
            twice = [stem for stem, number in numbers.items() if counts[number] > 1]
            if unnumbered or twice:
                what = "no whole number" if unnumbered else "a number that stands twice"
                raise InputError(
                    f"{folder}: no image has its label's stem, and the {kind} "
                    f"{(unnumbered or twice)[0]!r} has {what}; rename the files or set "
                    "--config.data.number_pattern"
                )
            keys[kind] = dict(numbers)
    label_of = {key: stem for stem, key in keys["label"].items()}
    paired = [stem for stem in images if keys["image"][stem] in label_of]
    if not paired:
        raise InputError(
            f"{folder}: no image pairs with a label, for example {images[0]} and {labels[0]}; "
            "give both the same stem or number"
        )
    known = set(keys["image"].values())
    orphans = [stem for stem in labels if keys["label"][stem] not in known]
    if orphans:
        raise InputError(
            f"{folder}: no image for the label {some(orphans, 3)}; remove it or add its image"
        )
    unlabelled = [stem for stem in images if keys["image"][stem] not in label_of]
    if unlabelled and not skip_unlabelled:
        raise InputError(
            f"{folder}: no label for the image {some(unlabelled, 3)}; add it, or train on the "
            "labelled images alone with --config.data.skip_unlabelled=True"
        )
    return [(stem, label_of[keys["image"][stem]]) for stem in paired]
