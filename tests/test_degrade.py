from dataclasses import replace

import jax
import numpy as np
import pytest
from planes import find, fit_scales, plane
from sklearn.metrics import confusion_matrix, jaccard_score

from xseg_jax.data.checks import CheckedPlanes, check
from xseg_jax.data.intensity import GreyScales, Normalizer
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.sources import Source, open_sources
from xseg_jax.errors import InputError
from xseg_jax.evaluation.baselines import Thresholds
from xseg_jax.evaluation.degrade import (
    DEGRADATIONS,
    NETWORK,
    Degraded,
    Segmenters,
    choose,
    degrade,
    score,
    score_degraded,
    strengths_of,
)  # fmt: skip
from xseg_jax.evaluation.evaluate import Scorer
from xseg_jax.model.losses import cross_entropy
from xseg_jax.training.parallel import Parallel

pytestmark = pytest.mark.rounding

SCORER = Scorer(Parallel("jit", tuple(jax.devices()[:1])), cross_entropy, 3)
WHOLE_SCAN = ("gain", "offset", "contrast")
"""What a grey scale that is measured anew undoes."""


class Grey(Source):
    """Slices in memory."""

    def __init__(self, image_DHW, name="scan"):
        self.image_DHW, self.name, self.numbers = image_DHW, name, range(len(image_DHW))

    def image(self, index, axis=0):
        return self.image_DHW[index]

    def neighbour(self, index, distance, axis=0):
        return min(max(index + distance, 0), len(self) - 1)

    def where(self, index, axis=0):
        return f"z = {index}"

    plane_name = where


def grey(dtype=np.uint16, depth=3, name="scan"):
    rng = np.random.default_rng(0)
    return Grey(rng.normal(120, 20, (depth, 66, 65)).clip(30, 210).astype(dtype), name)


def scales_of(source, kind="scan"):
    scale = source.grey_scale()
    return GreyScales(kind, scale if kind == "volume" else None, {source.name: scale})


def worse(name, strength, source, kind="scan"):
    return Degraded(source, name, strength, scales_of(source, kind))


def test_names_are_chosen_and_an_unknown_one_lists_those_there_are():
    assert choose("all") == list(DEGRADATIONS)
    assert choose("blur,rings,blur") == ["blur", "rings"]
    listed = ",".join(DEGRADATIONS)
    message = "--degrade=blur,snow: there is no degradation 'snow'; give all, or some of "
    with pytest.raises(InputError, match=f"^{message}{listed}$"):
        choose("blur,snow")
    with pytest.raises(InputError, match="no degradation ''"):
        choose("")


def test_strengths_rise_and_none_means_nothing():
    assert len(strengths_of(DEGRADATIONS)) == 39
    for name, one in DEGRADATIONS.items():
        assert list(one.strengths) == sorted(set(one.strengths)), name
        assert one.clean not in one.strengths


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("gain", 0.9, lambda grey, mean, std: 0.9 * grey),
        ("gain", 1.25, lambda grey, mean, std: 1.25 * grey),
        ("offset", -0.3, lambda grey, mean, std: grey - 0.3 * std),
        ("contrast", 0.8, lambda grey, mean, std: mean + 0.8 * (grey - mean)),
    ],
)
@pytest.mark.parametrize("kind", ["scan", "volume"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_whole_scans_change_as_they_would_have_been_measured(dtype, kind, name, strength, expected):
    source = grey(dtype)
    scale = source.grey_scale()
    found_HW = worse(name, strength, source, kind).image(1)
    assert found_HW.dtype == np.float32  # 1.25 of 210 is more than a uint8 holds.
    expected_HW = expected(source.image(1).astype(float), scale.mean, scale.std)
    np.testing.assert_allclose(found_HW, expected_HW, rtol=1e-5)


@pytest.mark.parametrize("name", ["white_noise", "coloured_noise"])
def test_noise_is_in_units_of_the_spread_and_another_one_in_each_plane(name):
    source = grey(np.float32)
    added = [worse(name, 0.6, source).image(z) - source.image(z) for z in range(3)]
    assert np.std(added) == pytest.approx(0.6 * source.grey_scale().std, rel=0.03)
    flat = np.reshape(added, (3, -1))
    assert np.abs(np.corrcoef(flat)[np.triu_indices(3, 1)]).max() < 0.06


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_what_is_made_worse_is_fixed_by_name_strength_scan_and_plane(name):
    source = grey()
    strength = DEGRADATIONS[name].strengths[-1]
    first_HW = worse(name, strength, source).image(1)
    np.testing.assert_array_equal(first_HW, worse(name, strength, grey()).image(1))
    spread = source.grey_scale().std
    assert np.abs(first_HW - source.image(1)).max() > 0.1 * spread
    other_HW = worse(name, DEGRADATIONS[name].strengths[0], source).image(1)
    assert np.abs(first_HW - other_HW).max() > 0.1 * spread
    by_key = name in ("white_noise", "coloured_noise", "rings", "streaks", "ramp")
    renamed_HW = worse(name, strength, grey(name="other")).image(1)
    assert (np.abs(first_HW - renamed_HW).max() > 0.1 * spread) == by_key


def test_a_ramp_has_one_direction_in_a_scan_and_rings_one_centre():
    source = grey(np.float32)
    ramp = worse("ramp", 1.0, source)
    added = [ramp.image(z) - source.image(z) for z in range(3)]
    np.testing.assert_allclose(added[0], added[2], atol=1e-3)
    assert np.ptp(added[0]) == pytest.approx(source.grey_scale().std, rel=1e-3)
    rings = worse("rings", 0.6, source)
    added = [rings.image(z) - source.image(z) for z in range(3)]
    for added_HW in added:  # About the middle, so that a mirrored image has the same.
        np.testing.assert_allclose(added_HW, added_HW[::-1, ::-1], atol=1e-3)
    assert np.abs(added[0] - added[1]).max() > 1


def test_a_plane_is_the_same_as_a_plane_and_as_a_neighbour():
    source = worse("white_noise", 0.3, grey())
    wide_HWC = source.image_with(1, 1)
    for place in range(3):
        np.testing.assert_array_equal(wide_HWC[..., place], source.image(place))


def test_what_stands_for_no_data_is_clipped_before_it_spreads():
    source = grey(np.float32)
    source.image_DHW[:, :20] = -3.4e38
    scale = source.grey_scale()
    for name, one in DEGRADATIONS.items():
        image_HW = worse(name, one.strengths[-1], source).image(0)
        assert np.isfinite(image_HW).all(), name
        assert np.abs((image_HW - scale.mean) / scale.std).max() < 60, name


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("kind", ["volume", "scan", "image"])
def test_a_scale_that_is_the_scans_own_is_measured_anew(kind, name):
    source = grey(depth=2)
    scales, strength = scales_of(source, kind), DEGRADATIONS[name].strengths[0]
    changed = Degraded(source, name, strength, scales)
    anew = replace(scales, by_scan={"scan": changed.grey_scale()}) if kind == "scan" else scales
    before, after = (s.input_of(one.plane(1, 0)) for s, one in ((scales, source), (anew, changed)))
    same = kind != "volume" and name in WHOLE_SCAN
    assert (np.abs(after - before).max() < 1e-4) == same


@pytest.fixture(scope="module")
def scan(tmp_path_factory, write):
    """A scan whose grey values tell the classes, and its labelled planes."""
    root = tmp_path_factory.mktemp("scan")
    rng = np.random.default_rng(0)
    for z in range(4):
        label_HW = np.kron(rng.integers(0, 3, (8, 9)), np.ones((6, 6), int))
        image_HW = rng.normal(1000 + 400 * label_HW, 40).astype(np.uint16)
        write(root / "images" / f"s{z:03d}.tif", image_HW)
        write(root / "labels" / f"s{z:03d}.png", np.uint8(100 * label_HW))
    found = find(root / "images", root / "labels")
    checked = check(found, LabelMap.guess({0, 100, 200}))
    sources = open_sources(str(root / "images"))
    return sources, CheckedPlanes(found, checked)


def onehot(method, scales):
    """A network that gives what a method gives."""

    def segment(planes):
        for item in planes:
            yield np.eye(3, dtype=np.float32)[method(scales.of(item)(item.image_HW))]

    return segment


def never(values_HW):
    return np.zeros(values_HW.shape, np.uint8)


def test_scores_are_those_of_scikit_learn_for_each_method():
    rng = np.random.default_rng(0)
    image_DHW = rng.normal(size=(3, 20, 31)).astype(np.float32)
    label_DHW = rng.integers(0, 3, image_DHW.shape).astype(np.uint8)
    planes = [plane(str(n), image_DHW[n], label_DHW[n]) for n in range(3)]
    planes[1].label_HW[:5] = 255
    scales = fit_scales("image", planes)
    method = Thresholds((-0.5, 0.5), (1, 0, 2))
    others = {"thresholding": method, "never": never}
    found = score(SCORER, Segmenters(onehot(never, scales), scales, others), planes, 3)
    assert list(found) == [NETWORK, "thresholding", "never"]
    assert found["never"] == found[NETWORK]
    valid = [item.label_HW != 255 for item in planes]
    truth = np.concatenate([p.label_HW[v] for p, v in zip(planes, valid, strict=True)])
    for name, one in others.items():
        guess = [one(scales.of(p)(p.image_HW))[v] for p, v in zip(planes, valid, strict=True)]
        counts = confusion_matrix(truth, np.concatenate(guess))
        assert found[name]["accuracy"] == pytest.approx(np.trace(counts) / counts.sum())
        iou = jaccard_score(truth, np.concatenate(guess), average="macro")
        assert found[name]["miou"] == pytest.approx(iou)


@pytest.mark.parametrize("kind", ["scan", "volume"])
def test_every_method_is_scored_on_the_same_planes_made_worse(scan, kind, monkeypatch):
    sources, planes = scan
    own = {sources[0].name: sources[0].grey_scale()}
    scales = GreyScales.fit(kind, list(planes), own)
    method = Thresholds.fit(list(planes), scales, 3)
    assert method is not None
    read, done = [], []
    read_one = CheckedPlanes.__getitem__
    monkeypatch.setattr(
        CheckedPlanes, "__getitem__", lambda self, n: read.append(n) or read_one(self, n)
    )

    def on(scans):
        by_scan = {one.name: one.grey_scale() for one in scans}
        there = replace(scales, by_scan=by_scan) if kind == "scan" else scales
        return Segmenters(onehot(method, there), there, {"thresholding": method})

    names = ["white_noise", "gain", "blur"]
    found = score_degraded(
        names, sources, planes, scales, on, SCORER, 3, lambda: done.append(len(read))
    )
    ways = 1 + len(strengths_of(names))
    assert len(done) == len(read) == ways * len(planes)
    assert found["planes"] == 4
    assert found["clean"][NETWORK]["accuracy"] > 0.99
    rows = found["rows"]
    assert [(row["degradation"], row["strength"]) for row in rows] == strengths_of(names)
    for row in rows:
        assert row["scores"][NETWORK] == row["scores"]["thresholding"]
    accuracy = {
        name: [r["scores"][NETWORK]["accuracy"] for r in rows if r["degradation"] == name]
        for name in names
    }
    assert accuracy["white_noise"] == sorted(accuracy["white_noise"], reverse=True)
    assert 0.4 < accuracy["white_noise"][-1] < 0.75
    assert accuracy["blur"][-1] < accuracy["blur"][1] < 0.95
    if kind == "scan":
        assert min(accuracy["gain"]) > 0.99
    else:
        assert max(accuracy["gain"][0], accuracy["gain"][-1]) < 0.6


def test_planes_made_worse_keep_names_places_and_labels(scan):
    sources, planes = scan
    scales = GreyScales("image")
    changed, degraded = degrade(sources, planes, scales, "white_noise", 1.0)
    assert [len(one) for one in changed] == [4]
    assert changed[0].grey_scale().std > 1.3 * sources[0].grey_scale().std
    for before, after in zip(planes, degraded, strict=True):
        assert (before.name, before.place) == (after.name, after.place)
        np.testing.assert_array_equal(before.label_HW, after.label_HW)
        assert (before.image_HW.dtype, after.image_HW.dtype) == (np.uint16, np.float32)
        assert np.abs(after.image_HW - before.image_HW).max() > 500


def test_a_grey_scale_without_its_range_is_no_measured_one():
    scales = GreyScales("volume", Normalizer(0.0, 1.0))
    with pytest.raises(ValueError, match="does not say what is usual"):
        Degraded(grey(), "gamma", 1.5, scales).image(0)
