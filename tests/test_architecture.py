"""Imports point down one list, and TensorFlow stays where it is allowed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "xseg_jax"

# From the base up; a part imports from itself and from the rows above its own.
LAYERS = (
    ("colours", "errors", "memory"),
    ("files",),
    ("locks", "progress"),
    ("scans",),
    ("data", "model"),
    ("training",),
    ("inference",),
    ("measure",),
    ("evaluation",),
    ("report",),
    ("modes",),
    ("main",),
)
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
# Stricter than the order: what draws takes arrays and knows no other part.
ONLY = {
    "report": {"colours", "errors", "files", "progress"},
    "measure": {"errors", "files", "progress"},
    "model": {"errors", "memory", "progress"},
    "main": {"errors", "files", "memory", "progress", "training", "modes"},
}

MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))
SOURCES = [*MODULES, ROOT / "main.py", *sorted((ROOT / "configs").glob("*.py"))]


def path_of(file):
    return file.relative_to(ROOT).as_posix()


def part_of(file):
    """The part of the package that a file is in: `model`, or `errors`, or `main`."""
    names = file.relative_to(ROOT).with_suffix("").parts
    return names[1] if names[0] == PACKAGE else names[0]


def imports(source):
    """Dotted names of all that a source imports, late and by `import_module` too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import is relative; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            name = node.args[0]
            # The constant beginning of an f-string tells the part.
            first = name.values[0] if isinstance(name, ast.JoinedStr) else name
            assert isinstance(first, ast.Constant), f"cannot tell what {ast.unparse(node)} imports"
            yield str(first.value)


def wrong_imports(part, source):
    """Imports of a part of the package that this part may not know."""
    for name in imports(source):
        root, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if root == "main" or (root == PACKAGE and other not in LEVEL):
            yield name
        elif root == PACKAGE and other != part:
            below = LEVEL[other] < LEVEL[part]
            if not below or other not in ONLY.get(part, LEVEL):
                yield name


def test_every_module_is_in_a_layer():
    found = {part_of(file) for file in MODULES} - {"__init__"}
    assert found == LEVEL.keys() - {"main"}


@pytest.mark.parametrize("file", [f for f in SOURCES if part_of(f) in LEVEL], ids=path_of)
def test_imports_point_down(file):
    assert list(wrong_imports(part_of(file), file.read_text())) == []


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("model", "from xseg_jax.training.state import TrainState"),
        ("data", "import xseg_jax.model.unet"),
        ("model", "from xseg_jax.data import labels"),
        ("data", "def late():\n    from xseg_jax.inference.tiling import cut"),
        ("training", "from xseg_jax import inference"),
        ("report", "from xseg_jax.model.metrics import scores"),
        ("evaluation", "importlib.import_module('xseg_jax.modes.train')"),
        ("training", "importlib.import_module(f'xseg_jax.modes.{mode}')"),
        ("errors", "from xseg_jax.progress import Progress"),
        ("modes", "import main"),
        ("modes", "from xseg_jax.utils import things"),
    ],
)
def test_a_wrong_import_is_found(part, source):
    assert len(list(wrong_imports(part, source))) == 1


def files_importing(*roots):
    """Places of the files that import one of these modules or what is in it."""
    prefixes = tuple(f"{root}." for root in roots)
    return {
        path_of(file)
        for file in SOURCES
        if any(f"{name}.".startswith(prefixes) for name in imports(file.read_text()))
    }


def test_tensorflow_is_imported_in_data_only():
    assert files_importing("tensorflow", "tensorflow_datasets") == {
        "xseg_jax/data/host_tensorflow.py"
    }
    users = files_importing("xseg_jax.data.host_tensorflow")
    assert users == {"xseg_jax/data/builders.py", "xseg_jax/data/pipeline.py"}


def test_file_formats_are_known_in_scans_only():
    found = files_importing("PIL", "imagecodecs", "tifffile")
    # Prediction writes; what it writes is no matter of what files show.
    assert {path for path in found if not path.startswith("xseg_jax/scans/")} == {
        "xseg_jax/modes/images.py"
    }
    rooms = files_importing("jax", "flax", "tensorflow", "ml_collections")
    assert not [path for path in rooms if path.startswith("xseg_jax/scans/")]


def test_a_reader_is_imported_when_its_format_is_met(tmp_path):
    (tmp_path / "scan.raw").write_bytes(bytes(24))
    program = (
        "import sys; from xseg_jax.scans.scan import open_scan; "
        f"scan = open_scan({str(tmp_path / 'scan.raw')!r} + '::2x3x4,uint8'); scan.plane(0); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    extras = {"h5py", "hdf5plugin", "nibabel", "SimpleITK", "olefile", "tensorstore"}
    assert set(said.stdout.split()).isdisjoint({"jax", "tensorflow", *extras})


def test_only_modes_configs_and_main_see_a_config():
    seers = files_importing("ml_collections")
    assert seers >= {"main.py", "configs/default.py"}
    assert all(path.startswith(("xseg_jax/modes/", "configs/", "main.py")) for path in seers)


def test_predict_and_evaluate_import_no_tensorflow():
    program = (
        "import sys, xseg_jax.modes.predict, xseg_jax.modes.evaluate; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(said.stdout.split())
    assert loaded >= {"jax", "flax", "xseg_jax"}
    assert loaded.isdisjoint({"tensorflow", "tensorflow_datasets", "keras"})


def test_the_accelerator_path_needs_jax_flax_and_optax_alone():
    program = (
        "import sys, xseg_jax.training.steps, xseg_jax.model.augment; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    unwanted = {"tensorflow", "tensorboardX", "ml_collections", "skimage", "matplotlib", "tifffile"}
    assert set(said.stdout.split()).isdisjoint(unwanted)


def test_files_stay_short():
    lines = {path_of(file): len(file.read_text().splitlines()) for file in SOURCES}
    assert lines["main.py"] < 80
    assert {path: count for path, count in lines.items() if count >= 400} == {}
