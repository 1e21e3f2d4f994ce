"""From what was measured to fields of a config: independent images have the radiographs' recipe."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planes_seen import seen

from configs import radiograph, scan
from xseg_jax.data.label_facts import LabelFacts
from xseg_jax.data.symmetry import Swap
from xseg_jax.modes.options import check_effects
from xseg_jax.modes.recipe import FINE, choose
from xseg_jax.training.runlog import flatten

LEFT_RIGHT = Swap("horizontal", ("left", "right"), 0.9, 0.1)


def facts(side=256, within=65, swaps=(), labelled=47):
    names = tuple(f"a{place}" for place in range(labelled))
    return LabelFacts(
        ("rest", "lung"), (0.5, 0.5), 1.0, names, {}, (side, side), 0.0, {}, {}, 0.5, None, within,
        tuple(swaps),
    )  # fmt: skip


def chosen(labels, images=47, side=256, **given_fields):
    """The config of independent images, and the fields that were chosen."""
    config = radiograph.get_config()
    config.update_from_flattened_dict({"data.classes": "", "data.skip_unlabelled": True})
    prints = [replace(seen(range(images), {}), shape=(images, side, side))]
    choices = choose(
        config, prints, labels, images="x", labels_path="y" if labels else "", independent=True,
        classes="0:rest,1:lung" if labels else "", to_label=None, given=given_fields,
    )  # fmt: skip
    fresh = radiograph.get_config()
    fresh.update_from_flattened_dict({one.field: one.value for one in choices})
    return fresh, {one.field: one for one in choices}


def test_images_as_large_as_radiographs_have_their_whole_recipe():
    config, choices = chosen(facts(swaps=[LEFT_RIGHT]))
    expected = radiograph.get_config()
    differing = {
        field for field, value in flatten(config.to_dict()).items()
        if value != flatten(expected.to_dict())[field]
    }  # fmt: skip
    assert differing == {"data.images", "data.labels", "data.classes"}
    assert all(one.why for one in choices.values())
    assert "mirrored left to right, left and right change places" in (
        choices["augment.flip"].why.lower()
    )


def test_mirrors_are_for_labels_that_stay_what_they_are():
    assert chosen(facts())[0].augment.flip == "horizontal"
    assert chosen(facts(swaps=[LEFT_RIGHT]))[0].augment.flip == "none"
    config, choices = chosen(None)
    assert config.augment.flip == "none"  # Nobody knows yet.
    assert "labels will tell" in choices["augment.flip"].why
    assert (config.data.classes, config.data.labels) == ("", "")


@pytest.mark.parametrize(("labelled", "skips"), [(47, False), (46, True), (1, True)])
def test_images_without_a_label_are_left_out_where_there_are_some(labelled, skips):
    config, choices = chosen(facts(labelled=labelled))
    assert config.data.skip_unlabelled == skips
    assert ("data.skip_unlabelled" in choices) == skips
    if skips:
        rest = 47 - labelled
        assert choices["data.skip_unlabelled"].why == (
            f"{rest} of 47 images without a label: left out."
        )


def test_fine_structures_are_looked_at_pixel_by_pixel_for_as_long_a_time():
    coarse, fine = (chosen(facts(within=within))[0] for within in (FINE, FINE - 1))
    assert (coarse.model.patch, fine.model.patch) == (2, 1)
    work = [
        one.data.crops_per_epoch * one.data.crop**2 / one.model.patch**2 for one in (coarse, fine)
    ]
    assert work[0] == work[1]
    assert fine.batch_size == coarse.batch_size // 2


@settings(deadline=None)
@given(side=st.integers(8, 700), within=st.sampled_from([None, 5, 65]), labels=st.booleans())
def test_a_crop_fits_the_images_and_the_network_the_crop(side, within, labels):
    config, _ = chosen(facts(side, within) if labels else None, side=side)
    levels, patch = len(config.model.features), config.model.patch
    assert config.data.crop <= min(side, 256)
    assert levels == 2 or config.data.crop % (patch * 2 ** (levels - 1)) == 0
    assert config.batch_size >= 2
    check_effects(config, [])


def test_a_drift_of_nothing_is_not_said():
    for drift, said in (((0.11, 0.06, 0.16), True), ((0.02, -0.1, 0.1), False), (None, False)):
        prints = [replace(seen(range(9), {}), drift=drift)]
        choices = choose(
            scan.get_config(), prints, None, images="x", labels_path="", classes="",
            independent=False, to_label=None, given={},
        )  # fmt: skip
        (why,) = [one.why for one in choices if one.field == "data.normalize"]
        assert ("it drifts by" in why) == said
