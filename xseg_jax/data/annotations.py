"""Labels as people have them -> which plane of which scan is labelled, and by what."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from xseg_jax.data.images import check_label
from xseg_jax.data.pairs import pair_names
from xseg_jax.data.planes import AXES, Place
from xseg_jax.data.sources import Slices, Source, Volume
from xseg_jax.data.sparse import Planes, find_planes, parse_planes
from xseg_jax.errors import InputError
from xseg_jax.scans.folders import beside_pictures, is_store, scans_in
from xseg_jax.scans.names import LAST_NUMBER, list_images, number_in
from xseg_jax.scans.picture import SUFFIXES, read_picture
from xseg_jax.scans.scan import Scan, open_scan, some
from xseg_jax.scans.shown import Picture

AXIS_NUMBER = re.compile(r"(?:^|[^a-z])([xyz])[=_-]?(\d+)(?!.*\d)", re.IGNORECASE)
"""A plane across an axis in the name of a label file: slice_y030, scan-x=12."""


@dataclass(frozen=True)
class LabelledPlane:
    """A plane of a scan and where its label is.

    Attributes:
      name: of the plane, as results call it.
      source: the scan.
      index: of the plane among those across its axis.
      place: of the plane.
      label: a file, or a volume of labels.
      label_index: of the plane in the volume.
    """

    name: str
    source: Source
    index: int
    place: Place
    label: Path | Scan
    label_index: int = 0

    @property
    def where(self) -> str:
        """What an error calls the image."""
        return self.source.where(self.index, self.place.axis)

    @property
    def label_where(self) -> str:
        """What an error calls the label."""
        if isinstance(self.label, Path):
            return str(self.label)
        return f"{self.label.source}, {AXES[self.place.axis]} = {self.label_index}"

    def picture(self) -> Picture:
        """What the label shows.

        Raises:
          InputError: as `read_label_picture`.
        """
        if isinstance(self.label, Path):
            return check_label(read_picture(self.label), self.label)
        return check_label(self.label.picture(self.label_index, self.place.axis), self.label_where)


@dataclass(frozen=True)
class Labels:
    """How labels are found.

    Attributes:
      number_pattern: regular expression whose first group is the number in a stem.
      skip_unlabelled: slices or scans without a label are left out instead of refused.
      labelled: planes of label volumes that are labelled, as in "z=10,50; y=30"; "" finds them.
      ignored: label values that say that a voxel is not labelled; colours as `images.COLOUR` says.
    """

    number_pattern: str = LAST_NUMBER
    skip_unlabelled: bool = False
    labelled: str = ""
    ignored: Collection[int] = ()

    def find(self, sources: Sequence[Source], path: str) -> tuple[list[LabelledPlane], list[str]]:
        """The labelled planes of scans.

        Args:
          sources: of one data set.
          path: of the labels: a folder, a file, or a data set inside one.

        Returns:
          The planes in the order of the scans, and lines that say what was taken for labelled.

        Raises:
          InputError: labels belong to no scan, do not fit it, or are missing.
        """
        notices: list[str] = []
        independent = len(sources) > 1 and all(isinstance(one, Slices) for one in sources)
        if independent and not scans_below(path):
            return self._pair(sources, Path(path).expanduser()), notices
        if len(sources) == 1:
            entries = scans_below(path) or [path]
            return self._of_one(sources[0], entries, path, notices), notices
        entries = label_entries(path)
        planes: list[LabelledPlane] = []
        for source in sources:
            mine = [entry for entry in entries if owner(entry, sources) is source]
            if mine:
                planes += self._of_one(source, mine, path, notices)
            elif not self.skip_unlabelled:
                raise InputError(
                    f"{path}: no label for the scan {source.name}; add a file of that name, or "
                    "train on the labelled scans alone with --config.data.skip_unlabelled=True"
                )
        strays = [str(entry) for entry in entries if owner(entry, sources) is None]
        if strays:
            names = some([source.name for source in sources], 3)
            raise InputError(
                f"{some(strays, 3)}: no scan for this label; name labels as the scans, {names}, "
                "or remove it"
            )
        return planes, notices

    def _pair(self, sources: Sequence[Source], folder: Path) -> list[LabelledPlane]:
        """Independent images and label files by their names."""
        images = {source.name: source for source in sources}
        labels = list_images(folder)
        pairs = pair_names(
            list(images), list(labels), folder=folder, number_pattern=self.number_pattern,
            skip_unlabelled=self.skip_unlabelled,
        )  # fmt: skip
        return [
            LabelledPlane(
                image, images[image], 0, Place(image, 0, images[image].numbers[0]), labels[label]
            )
            for image, label in pairs
        ]

    def _of_one(
        self, source: Source, entries: Sequence[Path | str], path: str, notices: list[str]
    ) -> list[LabelledPlane]:
        """Labelled planes of one scan from files of labels of it."""
        planes: list[LabelledPlane] = []
        slices = []
        for entry in entries:
            if is_single_slice(entry):
                slices.append(Path(entry).expanduser())
                continue
            folder = Path(entry).expanduser()
            if folder.is_dir() and not is_store(folder):
                slices += list_images(folder).values()
                continue
            labels = open_scan(entry, colours=True)
            if labels.shape[0] == 1 and len(source) > 1 and isinstance(entry, Path):
                slices.append(entry)
                continue
            planes += self._of_volume(source, labels, notices)
        if slices and isinstance(source, Slices):
            planes += self._of_slices(source, slices, path)
        elif slices:
            planes += [self._of_file(source, file) for file in slices]
        seen: dict[tuple[int, int], LabelledPlane] = {}
        for plane in planes:
            other = seen.setdefault((plane.place.axis, plane.index), plane)
            if other is not plane:
                raise InputError(
                    f"{plane.label_where}: labels the same plane as {other.label_where}; remove one"
                )
        return sorted(planes, key=lambda plane: (plane.place.axis, plane.index))

    def _of_slices(self, source: Slices, files: Sequence[Path], path: str) -> list[LabelledPlane]:
        """Label files of the slices of a folder, by stem or number."""
        stems = {file.stem: index for index, file in enumerate(source.files)}
        labels: dict[str, Path] = {}
        for file in files:
            if labels.setdefault(file.stem, file) != file:
                raise InputError(
                    f"{file}: labels the same slice as {labels[file.stem]}; remove one of them"
                )
        pairs = pair_names(
            list(stems), list(labels), folder=Path(path), number_pattern=self.number_pattern,
            skip_unlabelled=self.skip_unlabelled,
        )  # fmt: skip
        planes = []
        for stem, label in pairs:
            index = stems[stem]
            place = Place(source.name, 0, source.numbers[index])
            planes.append(LabelledPlane(stem, source, index, place, labels[label]))
        return planes

    def _of_file(self, source: Source, file: Path) -> LabelledPlane:
        """One label file of a plane of a volume, by axis and number in its name."""
        assert isinstance(source, Volume)
        shape = source.scan.shape
        found = AXIS_NUMBER.search(file.stem)
        if self.number_pattern == LAST_NUMBER and found:
            axis, number = AXES.index(found[1].lower()), int(found[2])
        else:
            axis, number = 0, number_in(file.stem, self.number_pattern)
        if shape[0] == 1 and axis == 0:
            number = 0
        if number is None or number >= shape[axis]:
            what = "no number" if number is None else f"the number {number}"
            raise InputError(
                f"{file}: its name has {what}, but the scan has planes {AXES[axis]} = 0 to "
                f"{shape[axis] - 1}; name the label after its plane, as slice_z105 or slice_y030"
            )
        return self._plane(source, axis, number, file)

    def _of_volume(self, source: Source, labels: Scan, notices: list[str]) -> list[LabelledPlane]:
        """The labelled planes of a volume of labels."""
        shape = (
            source.scan.shape if isinstance(source, Volume)
            else (len(source), *source.image(0).shape)
        )  # fmt: skip
        if labels.shape != shape:
            raise InputError(
                f"{labels.source}: is {labels.shape} voxels (z, y, x), but the scan {source.name} "
                f"is {shape}; export the labels of this scan, or single planes named after their z"
            )
        found: Planes = (
            parse_planes(self.labelled, labels.shape)
            if self.labelled
            else find_planes(labels, self.ignored)
        )
        notices.append(f"{labels.source}: labelled planes are {found} ({found.why})")
        if isinstance(source, Slices) and any(found.indices[1:]):
            raise InputError(
                f"{labels.source}: labelled planes are {found}, but a folder of slices has none "
                "across y and x; convert the images to one volume, or name the planes by "
                "--config.data.labelled=z=NUMBERS"
            )
        return [
            self._plane(source, axis, index, labels, index)
            for axis, indices in enumerate(found.indices)
            for index in indices
        ]

    def _plane(
        self, source: Source, axis: int, index: int, label: Path | Scan, label_index: int = 0
    ) -> LabelledPlane:
        number = source.numbers[index] if axis == 0 else index
        name, place = source.plane_name(index, axis), Place(source.name, axis, number)
        return LabelledPlane(name, source, index, place, label, label_index)


def scans_below(path: str) -> list[Path]:
    """Volumes, stores and folders in a folder of labels; none where it holds slices."""
    folder = Path(path).expanduser()
    return scans_in(folder) if folder.is_dir() and not is_store(folder) else []


def label_entries(path: str) -> Sequence[Path | str]:
    """The files and folders that a path to labels stands for."""
    folder = Path(path).expanduser()
    if not folder.is_dir() or is_store(folder):
        return [path]
    return scans_below(path) or [*list_images(folder).values(), *beside_pictures(folder)]


def is_single_slice(entry: Path | str) -> bool:
    """Whether a label is a file of one slice, which is read as the picture that it shows."""
    file = Path(entry).expanduser()
    if not file.is_file() or file.suffix.lower() not in SUFFIXES:
        return False
    with open_scan(file, colours=True) as scan:
        return scan.shape[0] == 1


def owner(entry: Path | str, sources: Sequence[Source]) -> Source | None:
    """The scan whose name a label's name is, or begins with; the longest such name."""
    name = Path(entry).name
    best = None
    for source in sources:
        rest = name[len(source.name) :]
        fits = name.startswith(source.name) and (not rest or rest[0] in "._- ")
        if fits and (best is None or len(source.name) > len(best.name)):
            best = source
    return best
