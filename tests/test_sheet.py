"""Which planes are drawn, and that it is said of how many."""

from pathlib import Path

import numpy as np
import pytest
from planes_seen import Arrays, seen

from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.planes import Place
from xseg_jax.modes.sheet import ALONE, LABELLED, OTHERS, panels_of


def drawn(planes, labelled, suspect=(), noun="plane"):
    source = Arrays([np.full((8, 8), z) for z in range(planes)])
    marked = [
        LabelledPlane(f"scan_z{z:02d}", source, z, Place("scan", 0, z), Path("labels.tif"))
        for z in labelled
    ]
    panels, said = panels_of(
        [source], [seen(range(planes), {}, suspect=suspect)], marked,
        lambda index: np.full((8, 8), labelled[index] % 3, np.uint8), noun,
    )  # fmt: skip
    for panel in panels:
        z = int(panel.title.partition(":")[0][-2:])
        assert (panel.image_HW == z).all()
        assert panel.label_HW is None or (panel.label_HW == z % 3).all()
    return panels, said


@pytest.mark.parametrize(
    ("planes", "labelled", "suspect", "noun", "said"),
    [
        (9, 9, (), "plane", "all 9 labelled planes"),
        (47, 47, (), "image", "10 of 47 labelled images"),
        (64, 20, (), "plane", "6 of 20 labelled planes, 8 of 44 planes without a label"),
        (9, 1, (), "plane", "1 labelled plane, all 8 planes without a label"),
        (2, 1, (), "plane", "1 labelled plane, 1 plane without a label"),
        (64, 0, (), "image", "8 of 64 images"),
        (64, 0, (3,), "plane", "8 of 64 planes, 1 under suspicion"),
        (20, 20, (3, 4), "plane", "6 of 20 labelled planes, 2 under suspicion"),
    ],
)
def test_it_says_how_many_of_how_many(planes, labelled, suspect, noun, said):
    panels, words = drawn(planes, range(labelled), suspect, noun)
    assert words == said
    with_label = [panel for panel in panels if panel.label_HW is not None]
    assert len(with_label) <= (ALONE if len(panels) == len(with_label) else LABELLED)
    assert len(panels) - len(with_label) <= OTHERS
    titles = [panel.title for panel in panels]
    assert [f"scan_z{z:02d}: broken?" in titles for z in suspect] == [True] * len(suspect)
    # No plane that has a label is drawn as if it had none, but where it is suspected.
    alone = {panel.title for panel in panels if panel.label_HW is None}
    assert not alone & {f"scan_z{z:02d}" for z in range(labelled)}


def test_planes_are_drawn_evenly_and_no_more_than_once():
    panels, _ = drawn(64, range(0, 64, 4))
    titles = [panel.title for panel in panels]
    assert len(set(titles)) == len(titles) == LABELLED + OTHERS
    z = sorted(int(title[-2:]) for title in titles[:LABELLED])
    assert max(np.diff(z)) <= 2 * min(np.diff(z))
