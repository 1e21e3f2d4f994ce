"""What is measured of scans and labels: planted faults are found, and clean phantoms raise none."""

import functools
import itertools

import numpy as np
import pytest
from planes_seen import Arrays

from xseg_jax.data import faults, phantom
from xseg_jax.data.fingerprint import (
    LOOKED_VOXELS,
    Look,
    fingerprint,
    planes_to_look_at,
)
from xseg_jax.data.label_facts import label_facts
from xseg_jax.data.planes import Place
from xseg_jax.errors import InputError

SIZE, DEPTH = 96, 24


@functools.cache
def tomogram(seed=0, ring_strength=0.0, size=SIZE, depth=DEPTH):
    slices = list(phantom.tomogram(
        size=size, depth=depth, z_step=1, fractions=(0.3, 0.42, 0.28), correlation_length=5.0,
        attenuation=(0.0005, 0.0035, 0.0055), texture=0.05, photons=5000.0,
        ring_strength=ring_strength, beam_hardening=0.15, projections=120, seed=seed,
    ))  # fmt: skip
    return np.stack([image for _, image, _ in slices]), np.stack([one for _, _, one in slices])


@pytest.fixture(scope="module")
def clean():
    return tomogram()


def suspicions(volume_DHW, **options):
    found = fingerprint(Arrays(volume_DHW), **options)
    return {(one.kind, one.plane): one for one in found.suspicions}


@pytest.mark.parametrize("seed", range(2))
def test_a_clean_phantom_raises_no_suspicion(seed):
    found = fingerprint(Arrays(tomogram(seed)[0]))
    assert [one.text for one in found.suspicions] == []
    assert found.rings[0] < faults.RING_CORRELATION
    assert abs(found.drift[0]) < faults.DRIFT
    assert found.air < 0.08


@pytest.mark.parametrize("seed", range(2))
def test_rings_are_found_and_grow_with_what_the_detector_does(seed):
    rings = [fingerprint(Arrays(tomogram(seed, s)[0])).rings for s in (0.0, 0.005, 0.02)]
    assert rings[0][0] < faults.RING_CORRELATION < rings[1][0] < rings[2][0]
    assert rings[0][1] < rings[1][1] < rings[2][1]


@pytest.mark.parametrize(("dy", "dx"), [(5, 0), (-4, 7)])
def test_a_shifted_plane_is_named_with_its_shift(clean, dy, dx):
    volume = clean[0].copy()
    volume[9] = np.roll(volume[9], (dy, dx), (0, 1))
    found = suspicions(volume)
    assert list(found) == [("shifted", "z9")]
    text = f"z9: may be shifted by {dy} rows and {dx} columns against its neighbours"
    assert found["shifted", "z9"].text == text
    assert found["shifted", "z9"].value == pytest.approx(np.hypot(dy, dx), abs=0.5)


def test_a_jump_of_all_planes_from_one_on_is_named(clean):
    volume = clean[0].copy()
    volume[14:] = np.roll(volume[14:], (6, -3), (1, 2))
    found = suspicions(volume)
    assert list(found) == [("shifted", "z14")]
    assert "from here on the planes may be shifted by 6 rows and -3 columns" in (
        found["shifted", "z14"].text
    )


@pytest.mark.parametrize("index", [0, 1, 11, DEPTH - 2, DEPTH - 1])
def test_a_broken_plane_is_named_wherever_it_is(clean, index):
    volume = clean[0].copy()
    volume[index, SIZE // 3 :] = 0
    assert ("broken", f"z{index}") in suspicions(volume)
    assert {kind for kind, _ in suspicions(volume)} <= {"broken", "saturated"}


def test_noise_does_not_break_planes(clean):
    rng = np.random.default_rng(0)
    noisy = clean[0] + rng.normal(0, 3 * clean[0].std(), clean[0].shape)
    assert suspicions(noisy.astype(np.float32)) == {}


def test_constant_and_unreadable_planes_are_named_and_the_others_measured(clean):
    planes = list(clean[0])
    planes[3], planes[7] = np.full((SIZE, SIZE), 9, np.uint16), None
    found = fingerprint(Arrays(planes))
    assert [one.text for one in found.suspicions] == [
        "z3: every pixel is 9",
        "z7: cannot be read: z7: is damaged; copy it again",
    ]
    assert len(found.looks) == DEPTH - 2


def test_a_scan_of_which_nothing_can_be_used_is_refused():
    with pytest.raises(InputError, match="z0: is damaged"):
        fingerprint(Arrays([None] * 3))
    with pytest.raises(InputError, match="no plane can be used: z0: every pixel is 0"):
        fingerprint(Arrays(np.zeros((4, 32, 32), np.uint8)))


def test_drift_is_measured_in_deviations_from_end_to_end(clean):
    image = clean[0].astype(np.float32)
    spread = fingerprint(Arrays(image)).std
    ramp = np.linspace(0, 1.5 * spread, DEPTH, dtype=np.float32)[:, None, None]
    before, after = (fingerprint(Arrays(one)) for one in (image, image + ramp))
    assert after.drift[0] - before.drift[0] == pytest.approx(1.5, abs=0.1)
    assert [one.kind for one in after.suspicions] == ["drift"]
    gone = fingerprint(Arrays(image), ordered=False)
    assert gone.drift is gone.rings is None


def test_saturated_pixels_are_counted_at_their_end(clean):
    limit = int(np.quantile(clean[0], 0.98))
    found = fingerprint(Arrays(np.minimum(clean[0], limit)))
    assert found.saturated[1] == pytest.approx(0.02, abs=0.002)
    assert [(one.kind, round(one.value, 2)) for one in found.suspicions] == [("saturated", 0.02)]
    assert f"greatest grey value, {limit}" in found.suspicions[0].text


def test_8_bits_may_be_cut_off_by_a_per_cent_or_so(clean):
    low, high = np.quantile(clean[0], (0.015, 0.97))
    volume = (np.clip((clean[0] - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    found = fingerprint(Arrays(volume))
    assert found.saturated[1] == pytest.approx(0.03, abs=0.003)
    assert found.suspicions == ()
    limit = int(np.quantile(volume, 0.9))
    found = suspicions(np.minimum(volume, limit))
    assert found["saturated", ""].value == pytest.approx(0.1, abs=0.02)
    # As many at 16 bits are suspected.
    assert [kind for kind, _ in suspicions(volume.astype(np.uint16))] == ["saturated"]


def test_zeros_around_the_sample_are_no_saturation_and_those_within_are(clean):
    position = np.linspace(-1, 1, SIZE)
    inside_HW = position**2 + position[:, None] ** 2 < 0.8**2
    volume = np.where(inside_HW, clean[0] + 20_000, 0).astype(np.uint16)
    found = fingerprint(Arrays(volume))
    assert found.saturated[0] == pytest.approx(1 - inside_HW.mean(), abs=1e-3)
    assert found.suspicions == ()
    rows, columns = np.nonzero(inside_HW)
    holes = np.random.default_rng(0).choice(len(rows), len(rows) // 50, replace=False)
    volume[:, rows[holes], columns[holes]] = 0
    (said,) = fingerprint(Arrays(volume)).suspicions
    assert said.value == pytest.approx(inside_HW.mean() / 50, rel=0.25)
    assert "have the least grey value, 0 and lie within the sample: they may be" in said.text


@pytest.mark.parametrize("radius", [0.6, 0.9])
def test_air_around_a_sample_is_its_share_and_pores_are_none(clean, radius):
    position = np.linspace(-1, 1, SIZE)
    inside_HW = position**2 + position[:, None] ** 2 < radius**2
    image_HW = np.where(inside_HW, clean[0][0] + 40_000.0, 0)
    hot_HW = image_HW.copy()
    hot_HW[5, 5] = 1e9  # Does not decide.
    for one_HW in (image_HW, hot_HW):
        found = Look.at(one_HW, "z0", 0, 0)
        assert found.air == pytest.approx(1 - np.pi * radius**2 / 4, abs=0.03)
    assert Look.at(clean[0][0], "z0", 0, 0).air < 0.1


def test_of_a_large_scan_some_tens_of_planes_are_looked_at_in_threes():
    indices = planes_to_look_at(2048, 2048 * 2048)
    assert len(indices) == LOOKED_VOXELS // (3 * 2048**2) * 3 == 63
    assert indices[:3] == [0, 1, 2]
    assert indices[-3:] == [2045, 2046, 2047]
    assert all(b - a == 1 for k in range(0, 63, 3) for a, b in [indices[k : k + 2]])
    assert planes_to_look_at(300, 500 * 500) == list(range(300))


def test_no_plane_is_read_that_is_not_looked_at(clean, monkeypatch):
    monkeypatch.setattr("xseg_jax.data.fingerprint.LOOKED_VOXELS", 1)
    source = Arrays(np.concatenate([clean[0]] * 5))
    found = fingerprint(source)
    assert len(found.looks) == 24
    assert set(source.read) == {look.index for look in found.looks}
    assert len(source.read) <= 24 + 1 + 8  # For size and type, and for rings.


def facts_of(label_DHW, names=("a", "b", "c")):
    planes = [f"z{z}" for z in range(len(label_DHW))]
    places = [Place("scan", 0, z) for z in range(len(label_DHW))]
    return label_facts(names, planes, places, lambda index: label_DHW[index])


def test_the_outline_of_a_core_does_not_make_labels_agree():
    """Air has one class in all planes; pores within have the same class, and count."""
    label_DHW = tomogram(depth=48, size=64)[1].copy()
    y, x = np.ogrid[-32:32, -32:32]
    air_HW = y**2 + x**2 >= 28**2
    label_DHW[:, air_HW] = 0
    found, pores = facts_of(label_DHW), label_DHW[:, ~air_HW]
    assert found.frame == pytest.approx(air_HW.mean(), abs=0.01)
    shares = [(pores == k).mean() for k in range(3)]
    assert found.chance == pytest.approx(sum(share**2 for share in shares), abs=0.01)
    assert found.shares[0] == pytest.approx((label_DHW == 0).mean())
    far = [agree for distance, agree in found.across.items() if distance >= 24]
    assert np.mean(far) == pytest.approx(found.chance, abs=0.04)
    assert found.across_forgotten is not None
    # So few planes may be alike by chance.
    few = facts_of(label_DHW[:7])
    assert few.frame == 0


def test_labels_are_counted_and_their_agreement_falls_to_chance():
    label_DHW = tomogram(depth=48, size=64)[1].copy()
    label_DHW[:, :8] = 255
    found = facts_of(label_DHW)
    valid = label_DHW[label_DHW != 255]
    assert found.shares == pytest.approx([(valid == k).mean() for k in range(3)])
    assert found.labelled == pytest.approx(56 / 64)
    assert found.chance == pytest.approx(sum(share**2 for share in found.shares))
    same = [(a == b)[8:].mean() for a, b in itertools.pairwise(label_DHW)]
    assert found.across[1] == pytest.approx(np.mean(same), abs=0.02)
    # The structure is isotropic: pixels forget each other as planes do.
    assert 8 <= found.within_forgotten <= 16
    assert 8 <= found.across_forgotten <= 20
    assert found.places == {"scan, z": tuple(range(48))}
    assert found.swaps == ()
