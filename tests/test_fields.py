"""What --help_config says of a field, which stands in configs/default.py once."""

import ast

import pytest

from configs import default
from xseg_jax.data import intensity, splits
from xseg_jax.errors import InputError
from xseg_jax.measure.quantities import FAMILIES
from xseg_jax.model import augment, losses, unet
from xseg_jax.modes.fields import WIDTH, help_on_fields, read_fields
from xseg_jax.modes.score import BASELINES
from xseg_jax.report.paper import FORMATS
from xseg_jax.training import parallel, state
from xseg_jax.training.runlog import flatten

DEFAULTS = flatten(default.get_config().to_dict())
FIELDS = {one.name: one for one in read_fields()}
TABLES = {
    "data.source": ("phantom", "folder"),
    "data.normalize": intensity.KINDS,
    "data.split.kind": splits.KINDS,
    "augment.flip": augment.FLIPS,
    "model.norm": unet.NORMS,
    "model.upsample": unet.UPSAMPLES,
    "model.dtype": unet.DTYPES,
    "loss.name": losses.LOSSES,
    "optimizer.schedule": state.SCHEDULES,
    "parallel.mode": parallel.MODES,
    "checkpoint.use": ("best", "last"),
    "report.baselines": BASELINES,
    "report.quantities": FAMILIES,
    "report.formats": FORMATS,
}
"""What the code accepts, of each field that has choices."""


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_field_has_a_line_and_its_default(name):
    field = FIELDS[name]
    assert len(field.text) > 5, f"{name}: write a comment behind it, or above it"
    assert field.text[0].isupper() or field.text[0] in '"(' or field.choices, field.text
    assert field.text.endswith((".", ".)", "=1.")), field.text
    assert ast.literal_eval(field.default) == DEFAULTS[name]


def test_there_is_no_field_beside_those_of_the_config_and_its_groups():
    groups = {name for name, one in FIELDS.items() if not one.default}
    assert FIELDS.keys() - groups == DEFAULTS.keys()
    assert groups == {name.rpartition(".")[0] for name in DEFAULTS if "." in name}
    assert all(FIELDS[name].text for name in groups)


@pytest.mark.parametrize(
    "name", sorted({*TABLES, *(n for n, one in FIELDS.items() if one.choices)})
)
def test_choices_are_those_that_the_code_accepts(name):
    assert set(FIELDS[name].choices) == set(TABLES[name])


def test_comments_behind_and_above_are_read(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(
        "def get_config():\n"
        "    config = ConfigDict()\n"
        "    config.a = ConfigDict()  # A group.\n"
        "    # Of two\n"
        "    # lines.\n"
        "    config.a.b = 1e-3\n"
        "    # Not of c.\n"
        "    config.a.c = 'x # y'  # x | z: one of them.\n"
        "    config.d = (1, 2)\n"
        "    return config\n"
    )
    fields = read_fields(path)
    assert [(one.name, one.default, one.text) for one in fields] == [
        ("a", "", "A group."),
        ("a.b", "1e-3", "Of two lines."),
        ("a.c", "'x # y'", "x | z: one of them."),
        ("d", "(1, 2)", ""),
    ]
    assert [one.choices for one in fields] == [(), (), ("x", "z"), ()]


def test_help_shows_all_or_a_part_in_lines_that_fit():
    text = help_on_fields()
    assert all(f"  {name} = " in text for name in DEFAULTS)
    assert max(map(len, text.splitlines())) <= WIDTH
    for prefix in ("data.split", "--config.data.split", "data.split."):
        lines = help_on_fields(prefix).splitlines()[3:]
        assert lines[0] == "data.split: Which slices train, validate and test."
        shown = {line.split()[0] for line in lines if line.startswith("  data")}
        assert shown == {name for name in DEFAULTS if name.startswith("data.split.")}
    assert "data.split.gap" not in help_on_fields("data.split.kind")


def test_a_field_that_there_is_not_is_one_line():
    with pytest.raises(
        InputError, match=r"^--help_config=data\.spl: no such field; the groups are"
    ):
        help_on_fields("data.spl")
