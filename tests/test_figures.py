import errno
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from xseg_jax.colours import PALETTE
from xseg_jax.errors import SaveError
from xseg_jax.report import figures
from xseg_jax.report.confusion import compact, confusion
from xseg_jax.report.paper import DOUBLE, DPI, LINES

NAMES = ("pore", "ceramic", "metal")


def example(name="slice_017.tif", shape=(60, 80), classes=3, seed=0):
    """Blobs with a disturbed copy as their prediction, and an ignored corner."""
    rng = np.random.default_rng(seed)
    smooth_HW = gaussian_filter(rng.standard_normal(shape), 6)
    cuts = np.quantile(smooth_HW, np.linspace(0, 1, classes + 1)[1:-1])
    noise_HW = 0.3 * smooth_HW.std() * rng.standard_normal(shape)
    label_HW = np.digitize(smooth_HW, cuts).astype(np.uint8)
    prediction_HW = np.digitize(smooth_HW + noise_HW, cuts).astype(np.uint8)
    image_HW = (label_HW + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    label_HW[:9, :9] = 255
    return figures.Example(name, image_HW, label_HW, prediction_HW)


def shown(monkeypatch, draw, *args, **kwargs):
    """Give the figure that a function would have written."""
    kept = []
    module = sys.modules[draw.__module__]
    monkeypatch.setattr(module, "save_figure", lambda figure, path, formats: kept.append(figure))
    draw(None, *args, **kwargs)
    return kept[0]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text()]


def test_overlay_tints_each_case_and_leaves_the_rest_grey():
    image_HW = np.linspace(0, 1, 6, dtype=np.float32).reshape(1, 6)
    prediction_HW = np.array([[2, 0, 2, 1, 2, 0]], np.uint8)
    label_HW = np.array([[1, 2, 2, 0, 255, 255]], np.uint8)
    rgb_HW3 = figures.overlay(image_HW, prediction_HW, label_HW, overlay_class=2)

    np.testing.assert_array_equal(rgb_HW3[0, 3:], figures.grey(image_HW)[0, 3:])
    (red, blue, violet) = rgb_HW3[0, :3].astype(int)
    assert red[0] > 150
    assert red[0] > 5 * max(red[1:])
    assert blue[2] > 150
    assert blue[2] > 1.5 * max(blue[:2])
    grey = figures.grey(image_HW)[0, 2].astype(int)
    assert min(violet[0] - grey[0], violet[2] - grey[2]) > violet[1] - grey[1]
    # Agreement keeps the picture's contrast, disagreement hides it.
    assert figures.BOTH[1] <= 0.25
    assert figures.PREDICTED_ONLY[1] == figures.LABELLED_ONLY[1] == 1


def test_grey_clips_at_the_percentiles_and_survives_hot_pixels_nan_and_flat_images():
    image_HW = np.arange(1000, dtype=np.float32).reshape(20, 50)
    image_HW[0, 0], image_HW[0, 1] = 1e9, np.nan
    rgb_HW3 = figures.grey(image_HW)
    assert rgb_HW3.shape == (20, 50, 3)
    assert rgb_HW3.dtype == np.uint8
    assert rgb_HW3[0, 0, 0] == 255
    assert rgb_HW3[0, 1, 0] == 0
    assert abs(int(rgb_HW3[10, 0, 0]) - 127) <= 1
    assert np.ptp(figures.grey(np.full((4, 5), 7, np.uint16))) == 0


def test_palette_is_stable_and_every_colour_distinct():
    label_HW = np.append(np.arange(24), 255).astype(np.uint8)[None]
    rgb_C3 = figures.colourise(label_HW, 24)[0]
    assert len({tuple(rgb) for rgb in rgb_C3.tolist()}) == 25
    # Published pictures have these colours: change one and old and new no longer compare.
    assert rgb_C3[:3].tolist() == [[51, 34, 136], [68, 170, 153], [221, 204, 119]]
    assert rgb_C3[24].tolist() == [221, 221, 221]
    # The class count changes no colour.
    np.testing.assert_array_equal(figures.colourise(label_HW[:, :3], 3)[0], rgb_C3[:3])


# Machado, Oliveira and Fernandes 2009, full severity, on linear RGB.
PROTANOPE = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
DEUTERANOPE = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]


def lab_of(rgb_C3, eye_33=None):
    """What an eye sees, in CIELAB."""
    seen_C3 = (np.array(rgb_C3) / 255) ** 2.2 @ np.transpose(
        np.eye(3) if eye_33 is None else eye_33
    )
    return rgb2lab(np.clip(seen_C3, 0, 1) ** (1 / 2.2))


@pytest.mark.parametrize("eye_33", [np.eye(3), PROTANOPE, DEUTERANOPE])
def test_the_overlay_is_safe_for_the_colour_blind_and_on_any_class(eye_33):
    red, blue = figures.PREDICTED_ONLY[0], figures.LABELLED_ONLY[0]
    lab_C3 = lab_of([red, blue, *PALETTE[:4]], eye_33)
    assert np.linalg.norm(lab_C3[0] - lab_C3[1]) > 50
    assert np.linalg.norm(lab_C3[1] - lab_C3[2:], axis=1).min() > 25
    # Beside agreement, on whatever grey.
    greys_G3 = np.linspace(0, 255, 18)[:, None] * np.ones(3)
    mixed_G3 = (1 - figures.BOTH[1]) * greys_G3 + figures.BOTH[1] * np.array(figures.BOTH[0])
    for grey_G3 in (greys_G3, mixed_G3):
        apart_2G = np.linalg.norm(lab_of(grey_G3, eye_33)[None] - lab_C3[:2, None], axis=2)
        assert apart_2G.min() > 25


def test_the_overlay_survives_a_grey_printer():
    red, blue = lab_of([figures.PREDICTED_ONLY[0], figures.LABELLED_ONLY[0]])[:, 0]
    assert blue - red > 15
    lightness = np.sort(lab_of(PALETTE[:4])[:, 0])
    assert np.diff(lightness).min() > 15  # Just over a tenth of black to white.
    lines = [tuple(bytes.fromhex(colour[1:])) for colour, _, _ in LINES]
    assert len({(line, marker) for _, line, marker in LINES}) == len(LINES)
    lightness = lab_of(lines)[:, 0]
    assert lightness.max() < 75  # On white paper.


@pytest.mark.parametrize("eye_33", [np.eye(3), PROTANOPE, DEUTERANOPE])
@pytest.mark.parametrize(("classes", "least"), [(4, 20), (12, 5)])
def test_palette_is_safe_for_the_colour_blind(eye_33, classes, least):
    """The least distance in CIELAB, ignored grey included; 2.3 is just noticeable."""
    lab_C3 = lab_of([*PALETTE[:classes], figures.IGNORED_RGB], eye_33)
    distance_CC = np.linalg.norm(lab_C3[:, None] - lab_C3[None], axis=2)
    np.fill_diagonal(distance_CC, np.inf)
    assert distance_CC.min() > least


def test_colourise_names_a_value_in_no_class():
    with pytest.raises(ValueError, match=r"\[3, 64\].*0 to 2"):
        figures.colourise(np.array([[0, 3, 64, 255]], np.uint8), 3)


def test_wrong_counts_no_ignored_pixel():
    label_HW = np.array([[0, 1, 2, 255], [0, 1, 2, 255]], np.uint8)
    prediction_HW = np.array([[0, 1, 1, 1], [1, 1, 2, 0]], np.uint8)
    assert np.argwhere(figures.wrong(label_HW, prediction_HW)).tolist() == [[0, 2], [1, 0]]


def test_example_refuses_shapes_that_differ():
    mask_HW = np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"a\.tif.*\(5, 4\)"):
        figures.Example("a.tif", np.zeros((4, 5), np.float32), mask_HW, mask_HW.T)


def test_errors_writes_full_size_accuracy_and_marks_exactly_the_wrong(monkeypatch):
    one = example(shape=(70, 50))
    figure = shown(monkeypatch, figures.errors, [one], NAMES)
    wrong_HW = (one.label_HW != 255) & (one.label_HW != one.prediction_HW)
    accuracy = 1 - wrong_HW.sum() / (one.label_HW != 255).sum()
    (title,) = [text.get_text() for text in figure.axes[0].texts]
    assert title == f"slice_017.tif: pixel accuracy {accuracy:.4f} ({wrong_HW.sum():,} wrong)"
    marked_HW = (figure.axes[3].images[0].get_array() == figures.WRONG[0]).all(axis=2)
    np.testing.assert_array_equal(marked_HW, wrong_HW)
    assert legend_of(figure) == [*NAMES, "ignored", "wrong"]


def test_errors_without_a_labelled_pixel_says_so(monkeypatch):
    blank_HW = np.full((20, 30), 255, np.uint8)
    one = figures.Example("a", example(shape=(20, 30)).image_HW, blank_HW, 0 * blank_HW)
    figure = shown(monkeypatch, figures.errors, [one], NAMES)
    assert figure.axes[0].texts[0].get_text() == "a: no labelled pixel"


def columns_of(figure, count):
    return [axes.get_title().strip() for axes in figure.axes[:count]]


def test_columns_stand_in_one_order_under_one_name(monkeypatch):
    order = ["image", "labelled", "predicted"]
    for draw, arguments in (
        (figures.comparison, ()),
        (figures.errors, ()),
        (figures.collage, (1,)),
    ):
        figure = shown(monkeypatch, draw, [example()], NAMES, *arguments)
        found = columns_of(figure, len(figure.axes))
        known = [name for name in found if name in order]
        assert known == [name for name in order if name in found]
        assert found[: len(known)] == known
    assert found == ["image", "predicted", "overlay of ceramic"]


def test_a_bar_takes_the_place_of_numbered_pixels_where_their_size_is_known(monkeypatch):
    one = replace(example(shape=(60, 200)), pixel_size=0.065, unit="um")
    figure = shown(monkeypatch, figures.comparison, [one], NAMES)
    first = figure.axes[0]
    assert list(first.get_xticks()) == []
    (bar,) = [artist for artist in first.artists if isinstance(artist, AnchoredSizeBar)]
    # At most 0.3 of 200 pixels of 0.065 um are 3.9 um.
    assert bar.txt_label.get_text() == "2 µm"
    (line,) = bar.size_bar.get_children()
    assert line.get_width() == pytest.approx(2 / 0.065)
    assert first.get_xlim() == (-0.5, 199.5)
    assert not any(axes.artists for axes in figure.axes[1:])
    numbered = shown(monkeypatch, figures.comparison, [example()], NAMES).axes[0]
    assert list(numbered.get_xticks()) == [0, 20, 40, 60]
    assert not numbered.artists


def test_numbers_of_pixels_stand_below_rows_of_one_size_once(monkeypatch):
    rows = [example(), example(seed=1), example(shape=(40, 90))]
    figure = shown(monkeypatch, figures.comparison, rows, NAMES)
    said = [
        any(tick.label1.get_visible() for tick in figure.axes[3 * n].xaxis.get_major_ticks())
        for n in range(3)
    ]
    assert said == [False, True, True]


def test_comparison_shows_image_label_prediction_in_this_order(monkeypatch):
    examples = [example(shape=(60, 60)), example(shape=(96, 40), seed=1)]
    figure = shown(monkeypatch, figures.comparison, examples, NAMES)
    assert len(figure.axes) == 6
    for row, one in enumerate(examples):
        panels = [axes.images[0].get_array() for axes in figure.axes[3 * row : 3 * row + 3]]
        np.testing.assert_array_equal(panels[0], figures.grey(one.image_HW))
        np.testing.assert_array_equal(panels[1], figures.colourise(one.label_HW, 3))
        np.testing.assert_array_equal(panels[2], figures.colourise(one.prediction_HW, 3))
    assert legend_of(figure) == [*NAMES, "ignored"]


def test_comparison_shows_another_method_at_the_end(monkeypatch):
    examples = [example(shape=(60, 60)), example(shape=(96, 40), seed=1)]
    others = [replace(one, prediction_HW=one.prediction_HW[::-1]) for one in examples]
    figure = shown(monkeypatch, figures.comparison, examples, NAMES, ("forest", others))
    assert len(figure.axes) == 8
    titles = columns_of(figure, 4)
    assert titles == ["image", "labelled", "predicted: U-Net", "predicted: forest"]
    for row, one in enumerate(examples):
        panels = [axes.images[0].get_array() for axes in figure.axes[4 * row : 4 * row + 4]]
        np.testing.assert_array_equal(panels[1], figures.colourise(one.label_HW, 3))
        np.testing.assert_array_equal(panels[2], figures.colourise(one.prediction_HW, 3))
        np.testing.assert_array_equal(panels[3], figures.colourise(one.prediction_HW[::-1], 3))


def test_collage_legend_names_the_class_and_its_three_cases(monkeypatch):
    one = example()
    figure = shown(monkeypatch, figures.collage, [one], NAMES, 2)
    # Column by column: the classes above, the cases of the overlay below.
    assert legend_of(figure)[::2] == list(NAMES)
    assert legend_of(figure)[1::2] == ["metal: predicted only", "labelled only", "both"]
    expected_HW3 = figures.overlay(one.image_HW, one.prediction_HW, one.label_HW, 2)
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), expected_HW3)


def test_large_slice_is_thinned_but_keeps_its_scale_and_its_classes(monkeypatch):
    label_HW = np.zeros((2100, 3001), np.uint8)
    label_HW[:, 1500:] = 2
    one = figures.Example("big", label_HW.astype(np.float32), label_HW, label_HW)
    figure = shown(monkeypatch, figures.comparison, [one], NAMES)
    image, _, mask = [axes.images[0] for axes in figure.axes]
    assert mask.get_array().shape == (700, 1000, 3)
    assert mask.get_extent() == [-0.5, 2999.5, 2099.5, -0.5]
    colours = {tuple(rgb) for rgb in mask.get_array().reshape(-1, 3).tolist()}
    assert colours == {PALETTE[0], PALETTE[2]}
    assert (image.get_array()[:, 500:] == 255).all()


def test_thin_averages_the_image_and_picks_the_central_label(monkeypatch):
    monkeypatch.setattr(figures, "DISPLAY_PIXELS", 2)
    image_HW = np.arange(42, dtype=np.uint16).reshape(6, 7)
    mask_HW = image_HW.astype(np.uint8)
    thin, step = figures._thin(figures.Example("a", image_HW, mask_HW, mask_HW))
    assert step == 4
    assert thin.image_HW.tolist() == [[np.mean(image_HW[:4, :4])]]
    assert thin.label_HW.tolist() == thin.prediction_HW.tolist() == [[image_HW[2, 2]]]


def test_confusion_cells_hold_row_fractions_and_counts(monkeypatch):
    counts_KK = np.array([[1_200_000, 400_000, 0], [0, 0, 0], [1, 0, 999]])
    figure = shown(monkeypatch, confusion, counts_KK, NAMES)
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[1, 0] == "0.250\n400k"  # x is the prediction, y the truth
    assert cells[0, 0] == "0.750\n1.2M"
    assert cells[2, 2] == "0.999\n999"
    assert cells[1, 1] == "-\n0"
    rows = axes.images[0].get_array().sum(axis=1)
    assert rows[[0, 2]].tolist() == pytest.approx([1, 1])
    with pytest.raises(ValueError, match=r"\(3, 3\) for 2"):
        confusion(None, counts_KK, NAMES[:2])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (999_499, "999k")),
        *((999_500, "1M"), (1_234_567, "1.23M"), (4_200_000_000, "4.2G")),
    ],
)
def test_compact_has_three_digits(count, text):
    assert compact(count) == text


def test_history_draws_every_record_and_the_rerun_epoch_once(monkeypatch):
    records = [
        {"epoch": epoch, "split": split, "loss": 1 / epoch, "accuracy": 0.5 + 0.1 * epoch}
        for split in ("train", "validation")
        for epoch in (1, 2, 3)
    ]
    records.append({"epoch": 2, "split": "train", "loss": 9.0, "accuracy": 0.1})
    alone = shown(monkeypatch, figures.history, records)
    assert [axes.get_ylabel() for axes in alone.axes] == ["loss", "accuracy"]
    records[4]["miou"] = 0.25
    figure = shown(monkeypatch, figures.history, records, best_epoch=2)
    loss_axes, accuracy_axes, miou_axes = figure.axes
    assert miou_axes.get_ylabel() == "mean IoU"
    assert [line.get_ydata().tolist() for line in loss_axes.lines[:2]] == [
        [1.0, 9.0, 1 / 3],
        [1.0, 0.5, 1 / 3],
    ]
    assert [list(line.get_xdata()) for line in accuracy_axes.lines] == [
        *([1, 2, 3], [1, 2, 3], [2, 2]),
    ]
    assert [list(line.get_ydata()) for line in miou_axes.lines] == [[0.25], [0, 1]]
    assert legend_of(figure) == ["training", "validation", "best epoch (2)"]
    assert all(tick == int(tick) for tick in loss_axes.get_xticks())


DRAWS = {
    "history": (
        figures.history,
        [{"epoch": 1, "split": "train", "loss": 1.0, "accuracy": 0.5}],
    ),
    "comparison": (figures.comparison, [example(), example("x" * 300, (50, 40))], NAMES),
    "comparison beside": (figures.comparison, [example()], NAMES, ("thresholding", [example()])),
    "collage": (figures.collage, [example("$a$_b^")], NAMES, 1),
    "errors": (figures.errors, [example(shape=(40, 90), classes=2)], NAMES[:2]),
    "confusion": (
        confusion,
        np.arange(144).reshape(12, 12),
        [f"phase number {k}" for k in range(12)],
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_png_is_whole_wide_and_alone_in_its_folder(tmp_path, name):
    path = tmp_path / "figure.png"
    draw, *arguments = DRAWS[name]
    draw(path, *arguments)
    rgba_HW4 = imread(path)
    assert rgba_HW4.shape[1] == pytest.approx(DOUBLE * DPI, abs=1)
    assert rgba_HW4[..., :3].std() > 0.05
    # Nothing is cut off: the outermost dots are paper.
    for edge in (rgba_HW4[0], rgba_HW4[-1], rgba_HW4[:, 0], rgba_HW4[:, -1]):
        assert (edge == 1).all()
    assert list(tmp_path.iterdir()) == [path]


def test_same_arrays_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        figures.comparison(tmp_path / name, [example()], NAMES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_failing_draw_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def half(figure, draft, **_):
        draft.write_bytes(b"ha")
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(SaveError, match=rf"^{path}: .*\(Disk quota exceeded\); make room"):
        figures.errors(path, [example()], NAMES)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("count", [0, 4])
def test_figure_takes_one_to_three_examples(tmp_path, count):
    with pytest.raises(ValueError, match=f"1 to 3 examples, not {count}"):
        figures.errors(tmp_path / "a.png", [example()] * count, NAMES)
