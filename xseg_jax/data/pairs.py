"""Which image has which label. No TensorFlow."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from xseg_jax.errors import InputError
from xseg_jax.scans.names import LAST_NUMBER, composed, list_images, number_in


@dataclass(frozen=True)
class Pair:
    """An image file, its label file, and the number in the image's name if it has one."""

    name: str
    image: Path
    label: Path
    number: int | None


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


def find_pairs(
    images: Path, labels: Path, *, number_pattern: str = LAST_NUMBER, skip_unlabelled: bool = False
) -> list[Pair]:
    """Pairs of image and label files, by equal stems or else by the number in the name.

    Args:
      images: folder of images.
      labels: folder of labels.
      number_pattern: regular expression whose first group is the number in a stem.
      skip_unlabelled: leave images without a label out instead of refusing them.

    Returns:
      Pairs in natural order of the image names.

    Raises:
      InputError: nothing pairs, some files have no partner, or a number stands twice.
    """
    image_of, label_of = dict(list_images(images)), dict(list_images(labels))
    numbers = {stem: number_in(stem, number_pattern) for stem in (*image_of, *label_of)}
    key_of: dict[str, str | int | None] = {stem: composed(stem) for stem in numbers}
    if not {key_of[stem] for stem in image_of} & {key_of[stem] for stem in label_of}:
        key_of = dict(numbers)
        for folder, stems in ((images, image_of), (labels, label_of)):
            unnumbered = [stem for stem in stems if numbers[stem] is None]
            counts = Counter(numbers[stem] for stem in stems)
            twice = [stem for stem in stems if counts[numbers[stem]] > 1]
            if unnumbered or twice:
                what = "no whole number" if unnumbered else "a number that stands twice"
                raise InputError(
                    f"{folder}: no image has its label's stem, and {(unnumbered or twice)[0]!r} "
                    f"has {what}; rename the files or set "
                    "--config.data.number_pattern"
                )
    label_by_key = {key_of[stem]: path for stem, path in label_of.items()}
    image_by_key = {key_of[stem]: path for stem, path in image_of.items()}
    paired = [key for key in image_by_key if key in label_by_key]
    if not paired:
        raise InputError(
            f"{images} and {labels}: no image pairs with a label, for example "
            f"{next(iter(image_of))} and {next(iter(label_of))}; give both the same stem or number"
        )
    unlabelled = [path for key, path in image_by_key.items() if key not in label_by_key]
    orphans = [path for key, path in label_by_key.items() if key not in image_by_key]
    if orphans:
        raise InputError(f"{_some(orphans)}: no image for this label; remove it or add its image")
    if unlabelled and not skip_unlabelled:
        raise InputError(
            f"{_some(unlabelled)}: no label for this image; add it, or train on the labelled "
            "images alone with --config.data.skip_unlabelled=True"
        )
    return [
        Pair(stem, path, label_by_key[key_of[stem]], numbers[stem])
        for stem, path in image_of.items()
        if key_of[stem] in label_by_key
    ]


def _some(paths: list[Path]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(str(path) for path in paths[:3]) + more
