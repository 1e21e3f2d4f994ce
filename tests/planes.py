"""Planes and grey scales for tests of what is done with them."""

from xseg_jax.data.annotations import Labels
from xseg_jax.data.intensity import GreyScales, Normalizer
from xseg_jax.data.planes import Place, Plane
from xseg_jax.data.sources import open_sources
from xseg_jax.scans.names import LAST_NUMBER

AS_IS = GreyScales("volume", Normalizer(0.0, 1.0))


def plane(name, image_HW, label_HW, number=None, scan=""):
    """A plane without neighbours."""
    return Plane(name, image_HW[..., None], label_HW, Place(scan, 0, number))


def fit_scales(kind, planes):
    """Grey scales of planes, each scan's measured on the planes that are here."""
    scans = dict.fromkeys(item.place.scan for item in planes)
    by_scan = {s: Normalizer.fit([p.image_HW for p in planes if p.place.scan == s]) for s in scans}
    return GreyScales.fit(kind, planes, by_scan)


def find(images, labels, *, number_pattern=LAST_NUMBER, independent=False, **options):
    """The labelled planes of scans on disk."""
    sources = open_sources(str(images), number_pattern=number_pattern, independent=independent)
    return Labels(number_pattern=number_pattern, **options).find(sources, str(labels))[0]
