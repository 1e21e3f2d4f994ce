"""What to label first: that it can be split and tested, and that planes resemble as it says."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planes_seen import Arrays, exponential, seen

from configs import scan
from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.planes import Place
from xseg_jax.modes import recipe
from xseg_jax.modes.inputs import split_at
from xseg_jax.modes.to_label import ALIKE, PLANES, beside, what_to_label


def split_of(found, asked, prints, **changes):
    """The split of the planes that are to be labelled, by the config that inspection writes."""
    config = scan.get_config()
    choices = recipe.choose(
        config, prints, None, images="scan.tif", labels_path="", classes="", independent=False,
        to_label=found, given={},
    )  # fmt: skip
    config.update_from_flattened_dict({one.field: one.value for one in choices} | changes)
    places = {look.name: Place(one.name, 0, look.number) for one in prints for look in one.looks}
    label_HW = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 2
    return split_at(config, asked, [places[name] for name in asked], lambda _: label_HW, 2)


@settings(deadline=None)
@given(
    planes=st.integers(1, 80),
    step=st.sampled_from([1, 5, 50]),
    length=st.floats(0.5, 200),
    suspect=st.sets(st.integers(0, 79), max_size=6),
)
def test_planes_of_a_tested_run_are_split_into_three_parts_and_no_copies_test(
    planes, step, length, suspect
):
    numbers = [step * place for place in range(planes)]
    decay = exponential(numbers, length)
    one = seen(numbers, decay, suspect=[place for place in suspect if place < planes])
    found = what_to_label([one], scan.get_config(), independent=False)
    assert len(found.first) == 1
    if not found.tested:
        return
    assert set(found.first) <= set(found.tested)
    split = split_of(found, found.tested, [one])
    assert split.kind == "z"
    z = [int(name.rpartition("z")[2]) for name in found.tested]
    away = z[split.test[0]] - z[split.train[-1]]
    counts = [len(part) for part in split.parts().values()]
    assert all(counts)
    assert f": {counts[0]} train" in found.tested_why
    assert f"checkpoint, {counts[2]} test" in found.tested_why
    assert decay[away] <= ALIKE
    assert (
        f"{away} from those that train; planes that far apart correlate by {decay[away]:.2f}"
        in (found.tested_why)
    )
    doubted = {look.name for look in one.looks} & {said.plane for said in one.suspicions}
    if len(doubted) < planes:
        assert not doubted & set(found.tested)


def test_a_core_whose_outline_is_alike_is_worth_five_planes():
    numbers = list(range(0, 401, 50))
    found = what_to_label(
        [seen(numbers, exponential(numbers, 30))], scan.get_config(), independent=False
    )
    assert found.first == ("scan_z200",)
    assert found.tested == ("scan_z00", "scan_z100", "scan_z200", "scan_z300", "scan_z400")
    assert found.gap == 100
    assert found.tested_why == (
        "5 of 9 planes: 3 train, 1 chooses the checkpoint, 1 tests, 200 from those that train; "
        "planes that far apart correlate by 0.00 within the sample, planes 50 apart by 0.19"
    )


def test_fewer_planes_where_they_have_to_be_further_apart_and_none_in_a_thin_scan():
    numbers = list(range(40))
    counts = [
        len(
            what_to_label(
                [seen(numbers, exponential(numbers, length))], scan.get_config(), independent=False
            ).tested
        )
        for length in (1, 24, 30, 34, 60)
    ]
    assert counts == [PLANES, 4, 3, 3, 0]
    thin = what_to_label(
        [seen(numbers, exponential(numbers, 60))], scan.get_config(), independent=False
    )
    assert thin.tested_why == (
        "planes 26 apart, as three of a scan can be, still correlate by 0.65 within the sample; "
        "blocks within planes test"
    )
    two = what_to_label([seen([0, 1], {1: 0.1})], scan.get_config(), independent=False)
    assert (two.tested, two.first) == ((), ("scan_z01",))
    assert two.tested_why == "2 planes; a test on whole ones needs 3"


@pytest.mark.parametrize("scans", [2, 3, 4, 7])
def test_of_several_scans_whole_ones_are_tested_from_three_on(scans):
    numbers = list(range(30))
    prints = [
        seen(numbers, exponential(numbers, 3), name=f"s{place}", suspect=[4] * (place == 1))
        for place in range(scans)
    ]
    found = what_to_label(prints, scan.get_config(), independent=False)
    split = split_of(found, found.tested, prints)
    assert split.kind == ("scan" if scans > 2 else "z")
    assert all(split.parts().values())
    assert len(found.tested) == {2: 10, 3: 6, 4: 8, 7: 7}[scans]
    assert found.tested_why.endswith("; 1 under suspicion left out")


@pytest.mark.parametrize(
    ("labelled", "rest"),
    [
        ([20], [6, 32, 44, 57]), ([18, 19, 20, 21], [6, 32, 44, 57]), ([0, 43], [19, 32, 57]),
        ([], [6, 19, 32, 44, 57]),
    ],
)  # fmt: skip
def test_a_labelled_plane_stands_for_the_nearest_that_is_wanted(labelled, rest):
    one = seen(range(64), exponential(range(64), 10))
    wanted = what_to_label([one], scan.get_config(), independent=False)
    source = Arrays([None] * 64)
    planes = [
        LabelledPlane(f"scan_z{z:02d}", source, z, Place("scan", 0, z), Path("labels.tif"))
        for z in labelled
    ]
    found = beside(wanted, [one], planes)
    assert [int(name[-2:]) for name in found.tested] == rest
    assert (found.first, found.tested_why) == ((), wanted.tested_why)


@pytest.mark.parametrize("images", [1, 2, 3, 12, 47])
def test_independent_images_are_told_how_many_train_and_test(images):
    one = seen(range(images), {})
    found = what_to_label([one], scan.get_config(), independent=True)
    assert len(found.tested) == (0 if images < 3 else min(images, 20))
    if images < 3:
        assert found.first == tuple(look.name for look in one.looks)
        assert "--config.data.split.kind=none" in found.first_why
        return
    assert len(found.first) == 3
    assert set(found.first) <= set(found.tested)
    for asked in (found.first, found.tested):
        split = split_of(found, asked, [one], **{"data.split.kind": "group"})
        assert all(split.parts().values())
