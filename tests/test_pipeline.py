"""A batch is a function of the seed and the step alone, and a crop is what it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planes import AS_IS, find, fit_scales, plane

from xseg_jax.data.intensity import GreyScales, Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pipeline import Crops, batches
from xseg_jax.data.planes import Place, Plane
from xseg_jax.data.prepare import prepare_scans
from xseg_jax.errors import InputError

SHAPES = ((40, 50), (32, 32), (64, 33), (48, 40), (33, 70))


def position_slices(shapes=SHAPES):
    """Slices whose pixels hold where they are: slice, row and column; the label, their hash."""
    slices = []
    for index, shape in enumerate(shapes):
        y, x = np.indices(shape)
        image_HW = (index * 10000 + y * 100 + x).astype(np.float32)
        slices.append(plane(f"s{index}", image_HW, hash_of(image_HW)))
    return slices


def hash_of(image_HW):
    return (image_HW.astype(np.int64) * 2654435761 >> 7).astype(np.uint8) % 250


def make(slices=None, *, size=16, seed=0, rare_fraction=0.0, grey_scales=AS_IS):
    return Crops(
        slices or position_slices(),
        grey_scales=grey_scales,
        size=size,
        seed=seed,
        rare_fraction=rare_fraction,
    )


def taken(crops, batch_size, start, stop):
    images, labels = zip(
        *batches(crops, batch_size=batch_size, start=start, stop=stop), strict=True
    )
    return np.stack(images), np.stack(labels)


def drawn_slice(image_HWC):
    return int(image_HWC.min() // 10000)


@pytest.mark.parametrize("rare_fraction", [0.0, 0.5])
def test_resuming_gives_the_same_batches(rare_fraction):
    whole = taken(make(rare_fraction=rare_fraction), 4, 0, 12)
    assert whole[0].shape == (12, 4, 16, 16, 1)
    assert whole[1].shape == (12, 4, 16, 16)
    assert (whole[0].dtype, whole[1].dtype) == (np.float32, np.uint8)
    for start in (1, 5, 11):
        rest = taken(make(rare_fraction=rare_fraction), 4, start, 12)
        for one, other in zip(whole, rest, strict=True):
            np.testing.assert_array_equal(one[start:], other)


def test_batches_are_the_crops_in_order_whatever_the_batch_size():
    crops = make(rare_fraction=0.3)
    images, labels = zip(*(crops[n] for n in range(24)), strict=True)
    for batch_size in (1, 3, 8):
        image_SBHWC, label_SBHW = taken(crops, batch_size, 0, 24 // batch_size)
        np.testing.assert_array_equal(image_SBHWC.reshape(24, 16, 16, 1), images)
        np.testing.assert_array_equal(label_SBHW.reshape(24, 16, 16), labels)


def test_no_steps_no_batches():
    assert list(batches(make(), batch_size=4, start=3, stop=3)) == []


def test_another_seed_gives_other_crops():
    one, same, other = (taken(make(seed=seed), 10, 0, 2)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    equal = (one == other).all(axis=(2, 3, 4))
    assert equal.sum() <= 1  # Of 20 crops, one may coincide by chance.


def test_crops_of_a_later_shuffle_are_new():
    crops = make()
    seen = {crops[n][0].tobytes() for n in range(100)}
    assert len(seen) >= 98


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_slice_is_drawn_once_in_every_shuffle(count):
    crops = make(position_slices(SHAPES[:count]))
    orders = [
        [drawn_slice(crops[n][0]) for n in range(first, first + count)]
        for first in range(0, 40 * count, count)
    ]
    assert all(sorted(order) == list(range(count)) for order in orders)
    if count == 5:
        assert len({tuple(order) for order in orders}) > 20


@settings(deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(5, 60), st.integers(5, 60)), min_size=1, max_size=4),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    rare_fraction=st.sampled_from([0.0, 0.5, 1.0]),
    example=st.integers(0, 10**9),
)
def test_crops_lie_inside_and_labels_belong_to_them(shapes, size, seed, rare_fraction, example):
    slices = position_slices(shapes)
    crops = make(slices, size=size, seed=seed, rare_fraction=rare_fraction)
    image_HWC, label_HW = crops[example]
    assert image_HWC.shape == (size, size, 1)
    assert label_HW.shape == (size, size)
    index = drawn_slice(image_HWC)
    y, x = divmod(int(image_HWC[0, 0, 0]) - 10000 * index, 100)
    expected_HW = slices[index].image_HW[y : y + size, x : x + size]
    np.testing.assert_array_equal(image_HWC[..., 0], expected_HW)
    np.testing.assert_array_equal(label_HW, hash_of(expected_HW))


def test_every_place_is_cropped_equally_often():
    crops = make(position_slices([(10, 9)]), size=7)
    corners = [divmod(int(crops[n][0][0, 0, 0]), 100) for n in range(1200)]
    counts = np.zeros((4, 3), int)
    for corner in corners:
        counts[corner] += 1
    # 12 places, 100 each: chi-square with 11 degrees of freedom is below 31 in 99.9%.
    assert ((counts - 100) ** 2 / 100).sum() < 31


def test_crop_of_the_whole_slice():
    crops = make(position_slices([(16, 16)]), rare_fraction=0.5)
    for n in range(6):
        np.testing.assert_array_equal(crops[n][0][..., 0], position_slices([(16, 16)])[0].image_HW)


def rare_slices():
    """Class 1 is a square of 0.5% of the pixels, class 0 the rest."""
    slices = []
    for y, x in ((3, 5), (100, 80), (185, 150)):
        label_HW = np.zeros((200, 200), np.uint8)
        label_HW[y : y + 14, x : x + 14] = 1
        slices.append(plane("s", np.zeros((200, 200), np.float32), label_HW))
    return slices


def share_of_class_1(rare_fraction):
    crops = make(rare_slices(), size=32, rare_fraction=rare_fraction)
    return np.mean([(crops[n][1] == 1).mean() for n in range(600)])


def test_rare_class_is_drawn_more_often():
    area = 14 * 14 / 200**2
    assert area == pytest.approx(0.005, rel=0.03)
    plain, half, all_rare = (share_of_class_1(fraction) for fraction in (0, 0.5, 1))
    assert plain == pytest.approx(area, rel=0.5)
    # Half of the rare-centred crops hold a pixel of the square, and on average some half of it:
    # about 0.5 x 0.6 x 14² / 32² = 6% of their pixels, 10 times its share of the image.
    assert all_rare > 9 * area
    assert half > 4.5 * area
    assert half == pytest.approx((all_rare + plain) / 2, rel=0.25)
    assert all_rare < 0.5 * 14 * 14 / 32**2 + 2 * area


def test_crops_are_centred_on_a_class_with_the_same_chance_for_each():
    label_HW = np.zeros((90, 90), np.uint8)
    label_HW[45, 45], label_HW[0, 89] = 1, 2
    label_HW[80:] = IGNORED
    crops = make([plane("s", np.zeros((90, 90), np.float32), label_HW)], size=9, rare_fraction=1)
    holds = np.array([[(crops[n][1] == k).any() for k in (1, 2)] for n in range(900)]).mean(axis=0)
    # A third of the crops each; by chance another 1% of the third that is centred on class 0.
    np.testing.assert_allclose(holds, 1 / 3, atol=0.06)


def test_centre_may_be_anywhere_in_the_crop():
    label_HW = np.zeros((90, 90), np.uint8)
    label_HW[45, 45] = 1
    crops = make([plane("s", np.zeros((90, 90), np.float32), label_HW)], size=4, rare_fraction=1)
    counts = np.sum([crops[n][1] == 1 for n in range(1600)], axis=0)
    # 16 places, 50 each: chi-square with 15 degrees of freedom is below 38 in 99.9%.
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 38
    assert counts.mean() == pytest.approx(50, rel=0.1)


def test_slice_that_is_all_ignored():
    label_HW = np.full((20, 20), IGNORED, np.uint8)
    crops = make([plane("s", np.zeros((20, 20), np.float32), label_HW)], rare_fraction=1)
    assert np.unique(crops[3][1]).tolist() == [IGNORED]


def test_an_image_s_own_statistics_are_those_of_the_whole_image():
    slices = position_slices()
    for n in range(20):
        raw_HWC = make()[n][0]
        own_HWC = make(grey_scales=GreyScales("image"))[n][0]
        whole_HW = slices[drawn_slice(raw_HWC)].image_HW.astype(np.float64)
        expected_HWC = (raw_HWC - whole_HW.mean()) / whole_HW.std()
        np.testing.assert_allclose(own_HWC, expected_HWC, atol=1e-5)
        assert abs(own_HWC.std() - 1) > 0.1


def test_statistics_of_the_volume():
    raw, scaled = make(), make(grey_scales=GreyScales("volume", Normalizer(20000.0, 5000.0)))
    np.testing.assert_allclose(scaled[7][0], (raw[7][0] - 20000) / 5000, atol=1e-6)


def test_planes_on_disk_and_in_memory_give_the_same_batches(tmp_path, write_folder):
    found = find(*write_folder(tmp_path, 7, shape=(40, 30), dtype=np.uint16))
    taken_from = []
    for memory_gib in (0, 1):
        planes = prepare_scans(
            found, classes="", ignore="", context=1, one_type=True, own_scales=False,
            voxel_size=None, prepared_dir=tmp_path / "p", memory_gib=memory_gib,
        )  # fmt: skip
        assert (planes._kept is None) == (memory_gib == 0)
        crops = make(planes, rare_fraction=0.5, grey_scales=fit_scales("volume", planes))
        taken_from.append(taken(crops, 6, 2, 9))
    assert taken_from[0][0].shape == (7, 6, 16, 16, 3)
    for one, other in zip(*taken_from, strict=True):
        np.testing.assert_array_equal(one, other)
    assert taken_from[0][1].max() == 2


def test_each_scan_s_own_scale():
    slices = [
        Plane(s.name, s.image_HWC, s.label_HW, Place(f"scan{n % 2}"))
        for n, s in enumerate(position_slices())
    ]
    scales = {"scan0": Normalizer(20000.0, 5000.0), "scan1": Normalizer(-3.0, 0.5)}
    raw, scaled = make(slices), make(slices, grey_scales=GreyScales("scan", None, scales))
    for n in range(len(slices)):
        own = scales[f"scan{drawn_slice(raw[n][0]) % 2}"]
        np.testing.assert_array_equal(scaled[n][0], own(raw[n][0]))


# Neighbours as further channels.


def test_channels_are_the_same_window_of_every_neighbour():
    marks = np.array([0, 200000, 400000, 600000, 800000], np.float32)
    wide = [Plane(s.name, s.image_HWC + marks, s.label_HW, s.place) for s in position_slices()]
    image_SBHWC, label_SBHW = taken(make(wide, rare_fraction=0.3), 4, 0, 6)
    assert image_SBHWC.shape == (6, 4, 16, 16, 5)
    alone_SBHWC, alone_SBHW = taken(make(rare_fraction=0.3), 4, 0, 6)
    np.testing.assert_array_equal(image_SBHWC, alone_SBHWC + marks)
    np.testing.assert_array_equal(label_SBHW, alone_SBHW)


def test_an_image_s_own_statistics_are_those_of_the_plane_and_not_of_its_neighbours():
    slices = position_slices()
    wide = [Plane(s.name, s.image_HWC * [1, 1, 50], s.label_HW) for s in slices]
    image = GreyScales("image")
    for n in range(5):
        found_HWC = make(wide, grey_scales=image)[n][0]
        alone_HWC = make(slices, grey_scales=image)[n][0]
        np.testing.assert_array_equal(found_HWC[..., :2], alone_HWC.repeat(2, axis=-1))
        assert found_HWC[..., 2].min() > alone_HWC.max()


# Planes of which a part is labelled.


def scribbled(*pixels, shape=(60, 70), name="s"):
    """Position planes; all pixels but these, (y, x) to class, are unlabelled."""
    y, x = np.indices(shape)
    label_HW = np.full(shape, IGNORED, np.uint8)
    for (row, column), k in pixels:
        label_HW[row, column] = k
    return plane(name, (100 * y + x).astype(np.float32), label_HW)


PIXELS = [((0, 0), 0), ((59, 69), 1), ((30, 2), 1), ((31, 66), 0), ((7, 40), 2)]


@pytest.mark.parametrize("rare_fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 9, 60])
def test_each_crop_of_a_scribble_holds_a_labelled_pixel(rare_fraction, size):
    crops = make([scribbled(*PIXELS)], size=size, rare_fraction=rare_fraction)
    held = np.zeros(len(PIXELS), int)
    for n in range(200):
        image_HWC, label_HW = crops[n]
        y, x = divmod(int(image_HWC[0, 0, 0]), 100)
        inside = [(y <= row < y + size and x <= column < x + size) for (row, column), _ in PIXELS]
        assert (label_HW != IGNORED).sum() == sum(inside) >= 1
        held += inside
    assert (held > 0).all()


def test_every_labelled_pixel_is_drawn_as_often():
    crops = make([scribbled(*PIXELS)], size=1)
    found = [divmod(int(crops[n][0][0, 0, 0]), 100) for n in range(1000)]
    counts = np.array([found.count(place) for place, _ in PIXELS])
    assert counts.sum() == 1000
    # 5 pixels, 200 each: chi-square with 4 degrees of freedom is below 18.5 in 99.9%.
    assert ((counts - 200) ** 2 / 200).sum() < 18.5


def test_a_labelled_pixel_may_be_anywhere_in_the_crop():
    crops = make([scribbled(((30, 30), 1))], size=4)
    counts = np.sum([crops[n][1] == 1 for n in range(1600)], axis=0)
    assert counts.sum() == 1600
    # 16 places, 100 each: chi-square with 15 degrees of freedom is below 38 in 99.9%.
    assert ((counts - 100) ** 2 / 100).sum() < 38


def test_all_of_a_half_labelled_plane_can_be_drawn():
    half = scribbled(shape=(20, 24))
    half.label_HW[:10] = 1
    seen_HW = np.zeros((20, 24), bool)
    crops = make([half], size=5)
    for n in range(800):
        image_HWC, label_HW = crops[n]
        assert (label_HW != IGNORED).any()
        y, x = divmod(int(image_HWC[0, 0, 0]), 100)
        seen_HW[y : y + 5, x : x + 5] = True
    # All labelled pixels, and what lies within a crop of them; the rest is never drawn.
    assert seen_HW[:10].all()
    assert seen_HW[13].any()
    assert not seen_HW[14:].any()


def test_fully_labelled_planes_among_scribbles_are_cropped_as_before():
    whole = position_slices([(60, 70)])[0]
    beside = [make([whole, other], seed=3) for other in (whole, scribbled(*PIXELS))]
    same = 0
    for n in range(40):
        one, other = beside[0][n], beside[1][n]
        if (other[1] != IGNORED).all():
            np.testing.assert_array_equal(one[0], other[0])
            same += 1
    assert same == 20


@pytest.mark.parametrize("rare_fraction", [0.0, 0.5])
def test_batches_of_scribbles_are_the_same_when_resumed(rare_fraction):
    def crops():
        planes = [scribbled(*PIXELS), *position_slices(), scribbled(*PIXELS[:2], name="t")]
        return make(planes, rare_fraction=rare_fraction, seed=5)

    whole = taken(crops(), 3, 0, 20)
    for start in (1, 7, 19):
        for one, other in zip(whole, taken(crops(), 3, start, 20), strict=True):
            np.testing.assert_array_equal(one[start:], other)


@pytest.mark.parametrize("rare_fraction", [-0.1, 1.5, float("nan")])
def test_rare_fraction_out_of_range(rare_fraction):
    with pytest.raises(InputError, match=r"config.data.rare_fraction=.*: must be within 0 and 1"):
        make(rare_fraction=rare_fraction)


def test_crop_larger_than_a_slice():
    with pytest.raises(
        InputError,
        match=r"s1: \(32, 32\) is smaller than config.data.crop=33; set it to at most 32",
    ):
        make(size=33)
    assert make(size=32)[0][1].shape == (32, 32)


@pytest.mark.parametrize("size", [0, -8])
def test_crop_without_pixels(size):
    with pytest.raises(InputError, match=rf"config.data.crop={size}: must be at least 1 pixel"):
        make(size=size)


def test_an_ignored_pixel_draws_no_crops_to_the_edges():
    label_HW = np.zeros((100, 100), np.uint8)
    label_HW[50, 50] = IGNORED
    y, x = np.indices(label_HW.shape)
    crops = make([plane("s", (y * 100 + x).astype(np.float32), label_HW)], size=30)
    corners = np.array([int(crops[n][0].min()) for n in range(2000)])
    for place in (corners // 100, corners % 100):
        counts = np.bincount(place, minlength=71)
        assert counts[[0, 70]].max() < 0.08 * len(corners)
        assert (counts > 0).all()
