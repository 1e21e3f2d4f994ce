"""No slice in two parts, no part empty, no pair of parts closer than the gap."""

import logging
import re
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.data.planes import Place
from xseg_jax.data.splits import PARTS, choose_evenly, hold_out, split_planes
from xseg_jax.errors import InputError

LABEL_HW = np.indices((60, 40)).sum(0, dtype=np.uint8) % 2
NO_RANGES = ((), (), ())


def split(kind="z", numbers: Any = range(100), names: Any = None, **changes):
    numbers = list(numbers)
    fields = {
        "fractions": (0.6, 0.15, 0.25),
        "ranges": NO_RANGES,
        "gap": 10,
        "group_pattern": "",
        "seed": 0,
    }
    held = {name: changes.pop(name, 0) for name in ("between", "train_slices")}
    names = names or [f"slice_{number}" for number in numbers]
    changes.setdefault("places", [Place("scan", 0, number) for number in numbers])
    fields |= {"label_of": lambda index: LABEL_HW, "classes": 2}
    fields |= changes
    return hold_out(split_planes(kind, names=names, **fields), fields["places"], **held)


def refused(message, *args, **kwargs):
    with pytest.raises(InputError, match=message):
        split(*args, **kwargs)


def check_parts(found, count, every=False):
    """Every part holds something, ascending, and none holds what another does."""
    members = [index for part in found.parts().values() for index in part]
    assert all(found.parts().values())
    assert all(list(part) == sorted(part) for part in found.parts().values())
    assert len(set(members)) == len(members)
    assert set(members) <= set(range(count))
    assert not every or len(members) == count


def smallest_distance(found, numbers):
    z = np.array(numbers)
    parts = [z[list(part)] for part in found.parts().values()]
    return min(int(np.abs(parts[a][:, None] - parts[b]).min()) for a, b in ((0, 1), (0, 2), (1, 2)))


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 2000), min_size=3, max_size=80, unique=True),
    fractions=st.tuples(*[st.integers(1, 20)] * 3),
    gap=st.integers(0, 60),
)
def test_blocks_never_overlap_and_keep_the_gap(numbers, fractions, gap):
    shares = [part / sum(fractions) for part in fractions]
    try:
        found = split(numbers=numbers, fractions=shares, gap=gap)
    except InputError:
        refused("block holds none of the", numbers=numbers, fractions=shares, gap=gap)
        hypothesis.reject()
    check_parts(found, len(numbers))
    assert smallest_distance(found, numbers) >= max(gap, 1)
    z = np.array(numbers)
    highest = [z[list(part)].max() for part in found.parts().values()]
    assert highest == sorted(highest)


@given(
    numbers=st.lists(st.integers(0, 300), min_size=3, max_size=40, unique=True),
    limits=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=3, max_size=3),
    gap=st.integers(0, 60),
)
def test_ranges_never_overlap_and_keep_the_gap(numbers, limits, gap):
    ranges = [tuple(sorted(pair)) for pair in limits]
    parts = [[z for z in numbers if low <= z <= high] for low, high in ranges]
    distances = [abs(x - y) for a in range(3) for b in range(a) for x in parts[a] for y in parts[b]]
    if not all(parts) or min(distances) < max(gap, 1):
        refused(r"block holds none|slices apart, less than gap", numbers=numbers, ranges=ranges,
                gap=gap)  # fmt: skip
        return
    found = split(numbers=numbers, ranges=ranges, gap=gap)
    assert [[numbers[i] for i in part] for part in found.parts().values()] == parts


def test_blocks_by_fractions():
    found = split(numbers=range(121), gap=10, fractions=(0.6, 0.15, 0.25))
    # 120 z high, less two gaps: 100, of which the parts are 60, 15 and 25.
    assert found.train == tuple(range(61))
    assert found.validation == tuple(range(70, 86))
    assert found.test == tuple(range(95, 121))


def test_gap_is_in_z_where_every_fifth_slice_is_labelled():
    numbers = list(range(1, 386, 5))
    found = split(numbers=numbers, gap=50)
    assert len(numbers) == 77
    check_parts(found, 77)
    # 380 z high, less two gaps: 280, of which 168, 42 and 70.
    z = [[numbers[i] for i in part] for part in found.parts().values()]
    assert z == [
        list(range(1, 170, 5)),
        list(range(221, 262, 5)),
        list(range(311, 382, 5)),
    ]
    assert smallest_distance(found, numbers) == 50


def test_blocks_by_ranges():
    numbers = list(range(1, 386, 5))
    found = split(numbers=numbers, gap=50, ranges=((1, 196), (246, 271), (321, 384)))
    z = [[numbers[i] for i in part] for part in found.parts().values()]
    assert [(part[0], part[-1], len(part)) for part in z] == [
        (1, 196, 40),
        (246, 271, 6),
        (321, 381, 13),
    ]


def test_ranges_may_come_in_any_order_along_z():
    found = split(ranges=((60, 99), (30, 45), (0, 10)))
    assert (found.train[0], found.validation[0], found.test[0]) == (60, 30, 0)


def test_order_of_the_files_does_not_matter():
    numbers = np.random.default_rng(0).permutation(100).tolist()
    ordered, shuffled = split(), split(numbers=numbers)
    for part in PARTS:
        assert {numbers[i] for i in getattr(shuffled, part)} == set(getattr(ordered, part))


def test_without_gap_all_slices_are_used_once():
    for count in (5, 20, 21, 101):
        found = split(numbers=range(count), gap=0, fractions=(0.5, 0.25, 0.25))
        check_parts(found, count, every=True)


def test_negative_gap():
    refused(r"config.data.split.gap=-3: give 0 or more slices", gap=-3)


def test_ranges_that_share_a_slice_without_a_gap():
    refused(
        r"train and validation are 0 slices apart, less than gap=1; move the ranges",
        gap=0,
        ranges=((0, 50), (50, 70), (71, 99)),
    )


def test_ranges_closer_than_the_gap():
    refused(
        r"config.data.split: validation and test are 9 slices apart, less than gap=10; move the ra",
        ranges=((0, 40), (60, 70), (79, 99)),
    )
    split(ranges=((0, 40), (60, 70), (80, 99)))


def test_part_without_slices():
    refused(
        r"the validation block holds none of the 4 slices from z = 0 to 300; label more slices, or "
        r"change config.data.split: gap=10, fractions=\(0.6, 0.15, 0.25\), ranges=",
        numbers=[0, 100, 290, 300],
    )
    refused(r"the test block holds none .*\(200, 300\)", ranges=((0, 40), (60, 70), (200, 300)))
    refused(r"the train block holds none of the 100 slices from z = 0 to 99.*gap=50", gap=50)


@pytest.mark.parametrize("limits", [(), (5,), (9, 5), (1, 2, 3)])
def test_range_that_is_not_first_and_last(limits):
    refused(
        re.escape(f"config.data.split.validation={limits}: give the first and the last z"),
        ranges=((0, 40), limits, (80, 99)),
    )


def test_name_without_number():
    refused(
        r"mean: no whole slice number in the name.*kind='z' needs one; set --config.data.nu",
        numbers=[1, None, 3],
        names=["slice_1", "mean", "slice_3"],
    )


def test_numbers_that_stand_twice():
    refused(
        r"two images have the same slice number; set --config.data.number_pattern, or split",
        numbers=[1, 2, 2, 3],
    )


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5), (0.6, 0.2, 0.1), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1), (60, 15, 25), ()]
)
@pytest.mark.parametrize("kind", ["z", "group", "random"])
def test_fractions_that_do_not_sum_to_1(kind, fractions):
    refused(
        re.escape(f"config.data.split.fractions={fractions}: give three positive numbers that"),
        kind,
        fractions=fractions,
    )


def test_unknown_kind():
    refused(r"config.data.split.kind='blocks': choose one of auto, scan, z, tiles", "blocks")


# Groups.


@given(
    patients=st.lists(st.integers(0, 30), min_size=3, max_size=60).filter(
        lambda p: len(set(p)) > 2
    ),
    fractions=st.tuples(*[st.integers(1, 50)] * 3),
    seed=st.integers(0, 5),
)
def test_no_group_is_in_two_parts(patients, fractions, seed):
    names = [f"patient{patient}_view{view}" for view, patient in enumerate(patients)]
    shares = [part / sum(fractions) for part in fractions]
    changes = {"names": names, "fractions": shares, "group_pattern": r"patient(\d+)_"}
    found = split("group", patients, seed=seed, **changes)
    check_parts(found, len(names), every=True)
    of_part = [{patients[i] for i in part} for part in found.parts().values()]
    assert sum(map(len, of_part)) == len(set(patients))
    assert found == split("group", patients, seed=seed, **changes)


def test_groups_by_file_without_a_pattern():
    found = split("group", [None] * 40, names=[f"tooth{i}" for i in range(40)])
    check_parts(found, 40, every=True)
    assert [len(part) for part in found.parts().values()] == [24, 6, 10]
    other = split("group", [None] * 40, names=[f"tooth{i}" for i in range(40)], seed=1)
    assert other.test != found.test


def test_groups_do_not_depend_on_the_order_of_the_files():
    names = [f"p{i // 3}_{i}" for i in range(30)]
    order = np.random.default_rng(0).permutation(30).tolist()
    shuffled = [names[i] for i in order]
    for seed in range(5):
        changes = {"group_pattern": r"(p\d+)_", "seed": seed}
        found = split("group", range(30), names=names, **changes)
        other = split("group", range(30), names=shuffled, **changes)
        for part in PARTS:
            assert {names[i] for i in getattr(found, part)} == {
                shuffled[i] for i in getattr(other, part)
            }


def test_too_few_groups():
    names = ["a_1", "a_2", "b_1", "b_2"]
    refused(
        r"2 groups of images cannot be split in three; label more, or change .*group_pattern",
        "group",
        range(4),
        names,
        group_pattern=r"^(.)",
    )
    assert [len(p) for p in split("group", range(3), list("abc")).parts().values()] == [1, 1, 1]


@pytest.mark.parametrize("pattern", [r"patient(\d+)", r"s", r"s(x)?"])
def test_group_pattern_that_finds_no_group(pattern):
    refused(
        re.escape(f"slice_0: config.data.split.group_pattern={pattern!r} finds no group in this"),
        "group",
        group_pattern=pattern,
    )


def test_group_pattern_that_is_none():
    refused(
        r"config.data.split.group_pattern='\(': is no regular expression \(missing \), ",
        "group",
        group_pattern="(",
    )


# Random.


def test_random_warns_that_it_leaks(caplog):
    with caplog.at_level(logging.WARNING, "xseg_jax.data.splits"):
        found = split("random")
    (record,) = [r for r in caplog.records if r.name == "xseg_jax.data.splits"]
    assert record.levelname == "WARNING"
    assert "near-copies" in record.message
    assert "the scores measure memory" in record.message
    check_parts(found, 100, every=True)
    assert [len(part) for part in found.parts().values()] == [60, 15, 25]
    assert smallest_distance(found, range(100)) == 1


def test_blocks_and_groups_do_not_warn(caplog):
    split("z")
    split("group")
    assert not caplog.records


# Few labels: the strictest split that they allow.


@pytest.mark.parametrize(
    ("scans", "numbers", "kind"),
    [
        ("abcde", range(5), "scan"),
        ("aabbcc", (0, 1, 0, 1, 0, 1), "scan"),
        ("a" * 100, range(100), "z"),
        ("a" * 50 + "b" * 40, (*range(50), *range(40)), "z"),
        ("aaa", (10, 50, 90), "z"),
        ("aa", (10, 50), "tiles"),
        ("a", (7,), "tiles"),
        ("ab", (7, 90), "tiles"),
        ("aaa", (10, 11, 12), "tiles"),
    ],
)
def test_auto_takes_the_strictest_split(scans, numbers, kind):
    places = [Place(scan, 0, number) for scan, number in zip(scans, numbers, strict=True)]
    found = split("auto", numbers, places=places)
    assert found.kind == kind
    assert all(found.parts().values())
    if kind == "scan":
        of_part = [{scans[i] for i in part} for part in found.parts().values()]
        assert sum(map(len, of_part)) == len(set(scans))
    if kind == "z":
        for scan in set(scans):
            mine = [
                {numbers[i] for i in part if scans[i] == scan} for part in found.parts().values()
            ]
            assert max(mine[0]) + 10 <= min(mine[1])
            assert max(mine[1]) + 10 <= min(mine[2])


def test_auto_trains_on_all_where_nothing_can_be_tested():
    scribble_HW = np.full((60, 40), 255, np.uint8)
    scribble_HW[30, 20:22] = (0, 1)
    found = split("auto", [7], label_of=lambda index: scribble_HW)
    assert (found.kind, found.train, found.validation, found.test) == ("none", (0,), (), ())
    refused("'tiles': the labelled planes cannot be cut so that each part has labelled pixels",
            "tiles", [7], label_of=lambda index: scribble_HW)  # fmt: skip


def test_none_trains_on_all():
    found = split("none")
    assert (found.train, found.validation, found.test) == (tuple(range(100)), (), ())


def test_ranges_decide_over_auto():
    assert split("auto", ranges=((0, 40), (60, 70), (80, 99))).kind == "z"
    refused("slices apart, less than gap", "auto", ranges=((0, 40), (45, 70), (80, 99)))


def test_whole_scans_need_three():
    places = [Place(scan, 0, z) for z, scan in enumerate("aabb")]
    refused("2 scans cannot be split in three", "scan", range(4), places=places)


def test_planes_across_another_axis_are_no_blocks_of_z():
    places = [Place("scan", axis, 30) for axis in (0, 1, 2)]
    refused(r"is across y, but config.data.split.kind='z' needs planes across z; use .*tiles",
            "z", [0, 1, 2], places=places)  # fmt: skip


# Fewer training slices.


@given(st.lists(st.integers(), min_size=1, max_size=50, unique=True), st.data())
def test_choose_evenly(indices, data):
    count = data.draw(st.integers(1, len(indices)))
    chosen = choose_evenly(indices, count)
    places = [indices.index(index) for index in chosen]
    assert len(places) == count
    assert places == sorted(set(places))
    steps = np.diff([-(places[0] + 1), *places, 2 * len(indices) - 1 - places[-1]])
    assert count == 1 or np.ptp(steps[1:-1]) <= 1
    # As far from the first as from the last, to within one.
    assert abs(places[0] - (len(indices) - 1 - places[-1])) <= 1
    assert choose_evenly(indices, 0) == choose_evenly(indices, len(indices)) == tuple(indices)


def test_planes_between_those_of_training_are_known():
    few = {"fractions": (0.6, 0.2, 0.2), "train_slices": 2}
    found = split("auto", range(0, 100, 10), **few)
    assert (found.train, found.between) == ((1, 3), (2,))
    # None are held out beside those that are left out.
    assert split("auto", range(0, 100, 10), between=3, **few) == found
    assert split().between == ()
    assert split(train_slices=1, between=3).between == ()


# Planes between those of training.


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 400), min_size=3, max_size=120, unique=True),
    every=st.integers(3, 15),
    gap=st.integers(0, 20),
)
def test_planes_held_out_lie_between_planes_that_train(numbers, every, gap):
    try:
        whole = split(numbers=numbers, gap=gap)
    except InputError:
        hypothesis.reject()
    found = split(numbers=numbers, gap=gap, between=every)
    assert (found.validation, found.test) == (whole.validation, whole.test)
    assert sorted((*found.train, *found.between)) == list(whole.train)
    assert len(found.between) == len(whole.train) // every
    assert list(found.between) == sorted(found.between)
    order = sorted(whole.train, key=lambda index: numbers[index])
    held = [order.index(index) for index in found.between]
    for place in held:  # Both neighbours are there and train.
        assert {order[place - 1], order[place + 1]} <= set(found.train)
        assert 0 < place < len(order) - 1
    steps = np.diff(sorted(held))
    assert len(held) < 3 or np.ptp(steps) <= 1


def test_one_plane_in_so_many_is_held_out():
    # 61 planes train, 0 to 60: six are held out, evenly.
    found = split(numbers=range(121), between=10)
    assert found.between == (5, 15, 25, 35, 45, 55)
    assert len(found.train) == 55
    assert split(numbers=range(121), between=61).between == (30,)
    assert split(numbers=range(121), between=62).between == ()
    assert split(numbers=range(121), between=0).between == ()


def test_each_scan_holds_out_planes_of_its_own():
    scans = "a" * 12 + "b" * 5 + "c" * 4 + "d" * 12
    places = [Place(scan, 0, number) for number, scan in enumerate(scans)]
    found = split("scan", range(33), places=places, between=5)
    trained = {scans[index] for index in found.train}
    of_scan = {scan: [i for i in found.between if scans[i] == scan] for scan in "abcd"}
    assert {scan: len(held) for scan, held in of_scan.items()} == {
        scan: scans.count(scan) // 5 if scan in trained else 0 for scan in "abcd"
    }
    assert sum(map(len, of_scan.values())) > 0


def test_planes_without_a_number_or_that_others_cross_are_not_held_out():
    def scan(name, axes, numbers):
        return [Place(name, axis, number) for axis, number in zip(axes, numbers, strict=True)]

    crossed = [0] * 9 + [1]
    places = [p for name in "abc" for p in scan(name, crossed, range(10))]
    assert split("scan", range(30), places=places, between=3).between == ()
    places = [p for name in "abc" for p in scan(name, [0] * 10, [None] * 10)]
    assert split("scan", range(30), places=places, between=3).between == ()
    twice = [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]  # Of a plane that is there twice a copy would train.
    places = [p for name in "abc" for p in scan(name, [0] * 10, twice)]
    assert split("scan", range(30), places=places, between=3).between == ()


@pytest.mark.parametrize("kind", ["group", "random", "tiles", "none"])
def test_other_splits_hold_nothing_out(kind):
    found = split(kind, between=3)
    assert found == split(kind)
    assert found.between == ()


@pytest.mark.parametrize("every", [-3, 1, 2])
def test_every_second_plane_is_too_much(every):
    refused(
        rf"config.data.split.between={every}: give 0, or at least 3, as every plane that is held "
        "out needs",
        between=every,
    )


def test_choose_the_middle_one():
    assert choose_evenly((3, 5, 7, 9, 11), 1) == (7,)
    assert choose_evenly((3, 5, 7, 9, 11), 2) == (5, 9)
    assert choose_evenly(range(100), 4) == (12, 37, 62, 87)


@pytest.mark.parametrize("count", [6, -1])
def test_more_than_there_are(count):
    with pytest.raises(
        InputError,
        match=rf"config.data.train_slices={count}: the training block has 5 slices; choose 1 to th",
    ):
        choose_evenly(range(5), count)
