"""A field that would have no effect is refused, with a remedy that works."""

import re

import pytest

from configs import default, radiograph, sandstone, soc, tiny
from configs.ablations import smoke
from xseg_jax.errors import InputError
from xseg_jax.modes.options import MEANT, RULES, check_effects
from xseg_jax.modes.sweep import expand
from xseg_jax.training.runlog import flatten

FOLDER = {"data.source": "folder", "data.root": "scan"}
RANGES = {"data.split.train": (1, 5), "data.split.validation": (7, 8), "data.split.test": (9, 12)}


def config_of(changes, base=default):
    config = base.get_config()
    config.update_from_flattened_dict(changes)
    return config


# What is set, and what of it has no effect.
REFUSED = [
    ({"data.root": "scan"}, "data.root"),
    ({"data.images": "scan/images"}, "data.images"),
    ({"data.labels": "scan/labels"}, "data.labels"),
    ({"data.classes": "0:a,1:b"}, "data.classes"),
    ({"data.ignore": "7"}, "data.ignore"),
    ({"data.voxel_size": "1 um"}, "data.voxel_size"),
    ({"data.skip_unlabelled": True}, "data.skip_unlabelled"),
    ({"data.number_pattern": r"z(\d+)"}, "data.number_pattern"),
    (FOLDER | {"data.images": "a", "data.labels": "b"}, "data.root"),
    (FOLDER | {"data.phantom.photons": 9.0}, "data.phantom.photons"),
    (RANGES | {"data.split.fractions": (0.4, 0.3, 0.3)}, "data.split.fractions"),
    ({"data.split.kind": "group", "data.split.gap": 3}, "data.split.gap"),
    ({"data.split.kind": "random", "data.split.test": (1, 3)}, "data.split.test"),
    ({"data.split.group_pattern": r"p(\d+)"}, "data.split.group_pattern"),
    ({"loss.class_weights": (1.0, 2.0, 3.0)}, "loss.class_weights"),
    ({"loss.name": "dice", "loss.class_weights": (1.0, 2.0, 3.0)}, "loss.class_weights"),
    ({"loss.focal_gamma": 3.0}, "loss.focal_gamma"),
    ({"optimizer.freeze_norm": 0.5, "model.norm": "group"}, "optimizer.freeze_norm"),
    ({"data.split.kind": "tiles", "data.split.between": 5}, "data.split.between"),
    ({"data.train_slices": 3, "data.split.between": 5}, "data.split.between"),
    ({"data.split.kind": "z", "data.split.seed": 1}, "data.split.seed"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_a_field_without_an_effect_is_refused_and_the_remedy_helps(changes, field):
    config = config_of(changes)
    with pytest.raises(InputError, match=rf"^config\.{re.escape(field)}=.*: has no effect: ") as no:
        check_effects(config, changes)
    remedies = dict(re.findall(r"--config\.([\w.]+)=([^\s;]+)", str(no.value)))
    if not remedies:  # To leave it out.
        assert "leave" in str(no.value)
        del changes[field]
        check_effects(config_of(changes), changes)
        return
    config.update_from_flattened_dict(
        {name: () if value == "'()'" else value for name, value in remedies.items()}
    )
    check_effects(config, [field])


@pytest.mark.parametrize("field", MEANT)
def test_what_somebody_means_is_checked_in_a_config_file_too(field):
    (changes,) = [changes for changes, one in REFUSED[:15] if one == field and len(changes) == 1]
    with pytest.raises(InputError, match="has no effect"):
        check_effects(config_of(changes))


@pytest.mark.parametrize(
    ("changes", "base"),
    [
        (FOLDER, tiny),  # Its phantom is left over.
        (FOLDER | {"data.labels": "better/labels"}, tiny),
        ({"data.source": "folder", "data.images": "a", "data.labels": "b"}, tiny),
        ({"data.root": "scan"}, soc),
        ({"data.root": "scan", "data.split.kind": "random"}, soc),  # So are its ranges.
        ({"data.root": "scan"}, sandstone),
        ({"data.root": "scan", "data.split.group_pattern": r"p(\d+)"}, radiograph),
        ({"loss.name": "focal", "loss.focal_gamma": 1.0}, default),
        ({"loss.name": "weighted_cross_entropy", "loss.class_weights": (1.0, 1.0, 2.0)}, default),
        ({"data.split.fractions": (0.4, 0.3, 0.3), "data.split.gap": 9}, default),
    ],
)
def test_what_has_an_effect_passes(changes, base):
    check_effects(config_of(changes, base), changes)


def test_a_studys_variant_that_changes_nothing_is_refused():
    study = smoke.get_config()
    study.variants = {"gamma": {"loss.focal_gamma": 1.0}}
    message = r"variant 'gamma': config\.base\.loss\.focal_gamma=1\.0.*add --config\.base\.loss\.n"
    with pytest.raises(InputError, match=message):
        expand(study)


def test_rules_name_fields_that_there_are():
    fields = flatten(default.get_config().to_dict())
    for rule in RULES:
        for one in rule.fields:
            assert any(field == one or field.startswith(f"{one}.") for field in fields), one
