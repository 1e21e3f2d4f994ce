"""The forest is scikit-learn's on scikit-image's features, whatever shares the work."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from planes import AS_IS, fit_scales, plane
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Plane
from xseg_jax.errors import InputError, SaveError
from xseg_jax.evaluation import forest
from xseg_jax.evaluation.baselines import Thresholds, confusions
from xseg_jax.evaluation.forest import Forest, Sample


def textured(count=3, shape=(64, 72), classes=2, seed=0):
    """Blocks of 12 pixels whose classes differ in texture, and hardly in grey value."""
    rng = np.random.default_rng(seed)
    slices = []
    for z in range(count):
        blocks = rng.integers(0, classes, (-(-shape[0] // 12), -(-shape[1] // 12)))
        label_HW = blocks.repeat(12, 0).repeat(12, 1)[: shape[0], : shape[1]].astype(np.uint8)
        smooth_HW = rng.normal(size=shape).cumsum(axis=1) / 8
        smooth_HW -= smooth_HW.mean(axis=1, keepdims=True)
        grain_HW = rng.normal(size=shape)
        grey_HW = 0.3 * label_HW + np.choose(label_HW % 2, [grain_HW, smooth_HW])
        slices.append(plane(f"s{z}", grey_HW.astype(np.float32), label_HW))
    return slices


def whole(values_HW):
    """Features (H * W, F) of a whole plane."""
    return multiscale_basic_features(values_HW, sigma_min=0.5, sigma_max=8).reshape(
        values_HW.size, -1
    )


@pytest.fixture(scope="module")
def slices():
    return textured()


@pytest.fixture(scope="module")
def sample(slices):
    return Sample.draw(slices, AS_IS)


@pytest.mark.parametrize("shape", [(150, 40), (36, 200), (1, 70), (70, 1), (3, 3), (1, 1)])
@pytest.mark.parametrize("pixels", [1, 280, 2**19])
def test_features_of_strips_are_those_of_the_whole_plane_bit_for_bit(monkeypatch, shape, pixels):
    monkeypatch.setattr(forest, "STRIP_PIXELS", pixels)
    values_HW = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    rows = list(forest.strips(shape))
    assert [n for part in rows for n in range(part.start, part.stop)] == list(range(shape[0]))
    found_PF = np.concatenate([forest.features(values_HW, part) for part in rows])
    assert found_PF.shape == (values_HW.size, forest.FEATURES)
    assert found_PF.dtype == np.float32
    if min(shape) > 1:
        np.testing.assert_array_equal(found_PF, whole(values_HW))
    else:  # As if the plane went on; scikit-image knows no slope of one pixel.
        wide_HW = np.pad(values_HW, [(0, 2 - min(n, 2)) for n in shape], "edge")
        wide_HWF = whole(wide_HW).reshape(*wide_HW.shape, -1)
        expected_HWF = wide_HWF[: shape[0], : shape[1]]
        np.testing.assert_array_equal(found_PF, expected_HWF.reshape(found_PF.shape))


def test_it_is_the_forest_of_scikit_learn_with_any_number_of_threads(slices, sample, monkeypatch):
    monkeypatch.setattr(forest, "STRIP_PIXELS", 900)
    values_HW = textured(1, shape=(50, 45), seed=9)[0].image_HW
    reference = RandomForestClassifier(forest.TREES, min_samples_leaf=forest.LEAF, random_state=0)
    reference.fit(sample.features_PF, sample.class_P)
    expected_HW = reference.predict(whole(values_HW)).reshape(values_HW.shape)
    for threads in (1, 2, 5):
        found_HW = Forest(sample, threads=threads)(values_HW)
        assert found_HW.dtype == np.uint8
        np.testing.assert_array_equal(found_HW, expected_HW)


def test_warnings_of_the_process_stay_as_they_are(sample):
    """Threads of scikit-learn that set them aside leave them so now and then."""
    before = list(warnings.filters)
    values_HW = textured(1, shape=(200, 200), seed=9)[0].image_HW
    for _ in range(3):
        Forest(sample, threads=8)(values_HW)
    assert list(warnings.filters) == before


def test_it_sees_texture_that_no_threshold_sees(slices, sample):
    tested = textured(2, seed=5)
    thresholds = Thresholds.fit(slices, AS_IS, 2)
    assert thresholds is not None
    by_forest, by_threshold = (
        np.trace(found_KK) / found_KK.sum()
        for found_KK in (
            confusions(classify, tested, AS_IS, 2).sum(axis=0)
            for classify in (Forest(sample), thresholds)
        )
    )
    assert by_forest > 0.85
    assert by_forest > by_threshold + 0.2


def test_ignored_pixels_are_never_drawn(slices):
    marked = []
    for item in slices:
        label_HW = np.full_like(item.label_HW, IGNORED)
        label_HW[10:14, 20:] = item.label_HW[10:14, 20:]
        marked.append(replace(item, label_HW=label_HW))
    marked[1] = replace(marked[1], label_HW=np.full_like(marked[1].label_HW, IGNORED))
    found = Sample.draw(marked, AS_IS)
    used = [marked[0], marked[2]]
    # Fewer than are drawn: all of them, in order.
    labelled = [item.label_HW.ravel() != IGNORED for item in used]
    expected_P = np.concatenate(
        [item.label_HW.ravel()[known] for item, known in zip(used, labelled, strict=True)]
    )
    np.testing.assert_array_equal(found.class_P, expected_P)
    expected_PF = [whole(item.image_HW)[known] for item, known in zip(used, labelled, strict=True)]
    np.testing.assert_array_equal(found.features_PF, np.concatenate(expected_PF))


def test_pixels_are_drawn_once_and_classes_keep_their_shares(monkeypatch):
    monkeypatch.setattr(forest, "PIXELS", 4000)
    rng = np.random.default_rng(0)
    image_HW = rng.normal(size=(100, 100)).astype(np.float32)
    label_HW = rng.choice(np.array([0, 1, 2], np.uint8), (100, 100), p=[0.7, 0.27, 0.03])
    found = Sample.draw([plane("a", image_HW, label_HW)], AS_IS)
    assert found.class_P.dtype == np.uint8
    assert len(np.unique(found.features_PF, axis=0)) == 4000
    shares = np.bincount(found.class_P) / 4000
    np.testing.assert_allclose(shares, [0.7, 0.27, 0.03], atol=0.02)


def test_the_sample_is_the_same_every_time_and_in_two_processes(slices, sample, monkeypatch):
    again = Sample.draw(slices, AS_IS)
    np.testing.assert_array_equal(again.features_PF, sample.features_PF)
    np.testing.assert_array_equal(again.class_P, sample.class_P)
    parts = []
    monkeypatch.setattr(forest, "sum_over_processes", lambda arrays: parts.append(arrays) or arrays)
    for process in (0, 1):
        monkeypatch.setattr(forest, "share_of", lambda all_, p=process: range(p, len(all_), 2))
        Sample.draw(slices, AS_IS)
    assert all(0 < np.count_nonzero(class_P) < len(class_P) for _, class_P in parts)
    np.testing.assert_array_equal(sum(part[0] for part in parts), sample.features_PF)
    np.testing.assert_array_equal(sum(part[1] for part in parts), sample.class_P)


def test_of_many_planes_some_are_drawn_from_spread_evenly(monkeypatch):
    monkeypatch.setattr(forest, "MOST_PIXELS", 4 * 30 * 30 + 1)
    many = [
        plane(f"s{z}", np.full((30, 30), z, np.float32), np.full((30, 30), z % 2, np.uint8))
        for z in range(20)
    ]
    many[3] = replace(many[3], label_HW=np.full((30, 30), IGNORED, np.uint8))
    found = Sample.draw(many, AS_IS)
    from_planes = np.unique(found.features_PF[:, 0].round()).astype(int)
    assert len(from_planes) == 4
    assert 3 not in from_planes
    assert np.diff(from_planes).min() >= 4


def test_a_class_without_pixels_is_never_predicted(slices):
    holes = [replace(item, label_HW=2 * item.label_HW) for item in slices]
    found_HW = Forest(Sample.draw(holes, AS_IS))(slices[0].image_HW)
    assert np.unique(found_HW).tolist() == [0, 2]
    accuracy = (found_HW == holes[0].label_HW).mean()
    assert accuracy > 0.85


def test_one_class_alone_is_predicted_everywhere(slices):
    one = [replace(item, label_HW=np.full_like(item.label_HW, 1)) for item in slices]
    assert (Forest(Sample.draw(one, AS_IS))(slices[0].image_HW) == 1).all()


def test_neighbours_are_not_seen(slices, sample):
    rng = np.random.default_rng(0)
    among = []
    for item in slices:
        image_HWC = np.stack([rng.normal(size=item.image_HW.shape)] * 3, axis=-1)
        image_HWC[..., 1] = item.image_HW
        among.append(Plane(item.name, image_HWC.astype(np.float32), item.label_HW))
    found = Sample.draw(among, AS_IS)
    np.testing.assert_array_equal(found.features_PF, sample.features_PF)


@pytest.mark.parametrize("kind", ["volume", "scan", "image"])
def test_it_depends_on_no_gain_and_offset_where_the_grey_scale_does_not(slices, kind):
    # A power of two and no offset changes no bit.
    brighter = [replace(item, image_HWC=4 * item.image_HWC) for item in slices]
    samples = [Sample.draw(one, fit_scales(kind, one)) for one in (slices, brighter)]
    np.testing.assert_array_equal(samples[0].features_PF, samples[1].features_PF)


def test_what_is_read_back_gives_the_same_classes(slices, sample, tmp_path):
    path = tmp_path / "forest.npz"
    sample.write(path)
    assert [one.name for one in tmp_path.iterdir()] == ["forest.npz"]
    read = Sample.read(path)
    assert read.features_PF.dtype == np.float32
    assert read.class_P.dtype == np.uint8
    for item in slices:
        np.testing.assert_array_equal(Forest(read)(item.image_HW), Forest(sample)(item.image_HW))


def test_a_sample_that_cannot_be_written_leaves_nothing(sample, tmp_path):
    with pytest.raises(SaveError, match="nowhere"):
        sample.write(tmp_path / "nowhere" / "forest.npz")
    assert not any(tmp_path.iterdir())


def damaged(path, sample):
    good = path.with_name("good.npz")
    sample.write(good)
    whole_file = good.read_bytes()
    good.unlink()
    yield "cannot be read", whole_file[: len(whole_file) // 2]
    yield "cannot be read", b""
    yield "cannot be read", b"no archive"
    np.save(good.with_suffix(".npy"), sample.class_P)
    yield "cannot be read", good.with_suffix(".npy").read_bytes()
    for at in (5000, len(whole_file) - 300):
        yield "cannot be read", whole_file[:at] + bytes(60) + whole_file[at + 60 :]
    for fields in (
        {"features_PF": sample.features_PF},
        {"features_PF": np.array([{}], object), "class_P": sample.class_P},  # A pickle.
    ):
        np.savez(good, **fields)
        yield "cannot be read", good.read_bytes()
    for few in (3, 0):
        np.savez(good, features_PF=sample.features_PF[:4], class_P=sample.class_P[:few])
        yield r"holds features of shape \(4, 20\)", good.read_bytes()
    np.savez(good, features_PF=sample.features_PF[:, 1:], class_P=sample.class_P)
    yield r"holds features of shape \(1000, 19\) and 1000 classes", good.read_bytes()


def test_a_sample_that_is_missing_or_damaged_is_one_line(sample, tmp_path):
    path = tmp_path / "forest.npz"
    remedy = r"bring back the file that the run wrote.*--config\.report\.baselines"
    with pytest.raises(InputError, match=rf"{path}: no such file.*{remedy}"):
        Sample.read(path)
    for message, content in damaged(path, sample):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"^{path}: {message}.*{remedy}"):
            Sample.read(path)
