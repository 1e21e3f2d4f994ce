"""The slice viewer, driven in Chromium: what it paints is compared pixel by pixel with NumPy."""

import dataclasses
import json
import re

import numpy as np
import pytest

from xseg_jax.colours import class_rgb
from xseg_jax.report import figures, slices, viewer

COLOURS = np.array([(51, 34, 136), (68, 170, 153), (221, 204, 119)])
NOTHING = "\u2013"
FILLED = viewer.FILLED
NAMES = ("pore", "nickel", "<b>ysz</b>")


def record(i, shape=(24, 32), **changes):
    """A slice in which every combination of grey level, class and label may occur."""
    rng = np.random.default_rng(i)
    image_HW, doubt_HW = rng.integers(0, 256, (2, *shape), np.uint8)
    label_HW = np.repeat(np.repeat(rng.integers(0, 3, (6, 8), np.uint8), 4, 0), 4, 1)
    class_HW = np.where(rng.random(shape) < 0.1 + i / 50, 0, np.resize(label_HW, shape))
    label_HW = np.resize(label_HW, shape)
    label_HW[:5] = 255
    made = slices.SliceRecord(
        f"slice_{i:03d}.tif", image_HW, -1.0, 4.1, class_HW.astype(np.uint8), label_HW, doubt_HW
    )
    right, labelled = ((class_HW == label_HW) & (label_HW != 255)).sum(), (label_HW != 255).sum()
    known = {"z": 10 * i, "accuracy": right / max(labelled, 1)}
    return dataclasses.replace(made, **known | changes)


def many(count=6, pixel_size=0.065, **changes):
    return slices.Slices(
        [record(i, **changes) for i in range(count)], NAMES, COLOURS.tolist(), pixel_size, "µm"
    )


def whole(fragment):
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Slices</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>:root { color-scheme: light dark } body { margin: 0; background: Canvas }</style>"
        f"<main><h1>Slices</h1>{fragment}</main></body></html>"
    )


@pytest.fixture(name="open_viewer")
def _open_viewer(open_page):
    def open_viewer(shown=None, budget=12_000_000, *, as_it_opens=False, **options):
        """With the first slice, filled classes and no errors, unless it is left as it opens."""
        opened = open_page(whole(viewer.viewer_html(shown or many(), budget=budget)), **options)
        opened.page.wait_for_selector("[data-shown]")
        opened.page.focus(".xv-stage")
        if not as_it_opens:
            if opened.page.locator("[data-layer=errors]").count():
                press(opened, "e")
            press(opened, "o", "Home", shown=0)
        return opened

    return open_viewer


def press(opened, *keys, shown=None):
    for key in keys:
        opened.page.keyboard.press(key)
    if shown is not None:
        opened.page.wait_for_selector(f"[data-shown='{shown}']")


def pixels(opened, canvas):
    """What a canvas holds, named by an expression: rgba_HW4."""
    width, text = opened.page.evaluate(
        f"""() => {{
          const {{ width, height }} = {canvas};
          const {{ data }} = {canvas}.getContext("2d").getImageData(0, 0, width, height);
          return [width, Array.from(data, (value) => String.fromCharCode(value)).join("")];
        }}"""
    )
    return np.frombuffer(text.encode("latin-1"), np.uint8).reshape(-1, width, 4).astype(int)


def painted(opened):
    """The picture before it is zoomed: rgb_HW3."""
    rgba_HW4 = pixels(opened, "document.querySelector('.xv').viewer.view.source")
    assert (rgba_HW4[..., 3] == 255).all()
    return rgba_HW4[..., :3]


def view(opened):
    return opened.page.evaluate(
        """() => {
          const { scale, x, y, fitted } = document.querySelector(".xv").viewer.view;
          return { scale, x, y, fitted };
        }"""
    )


# What the viewer has to paint, written again.


def greys(image_HW, black=0, white=255, opacity=1.0):
    shade_HW = np.clip(255 * (image_HW.astype(float) - black) / (white - black), 0, 255)
    return np.repeat(np.rint(opacity * shade_HW)[..., None], 3, axis=2)


def mixed(under_HW3, colour_HW3, opacity_HW):
    opacity_HW1 = np.broadcast_to(opacity_HW, under_HW3.shape[:2])[..., None]
    return np.rint((1 - opacity_HW1) * under_HW3 + opacity_HW1 * np.asarray(colour_HW3))


def over_classes(under_HW3, class_HW, opacity, where_HW=True):
    known_HW = (class_HW != 255) & where_HW
    return mixed(under_HW3, COLOURS[np.where(class_HW == 255, 0, class_HW)], opacity * known_HW)


def edges(class_HW):
    padded_HW = np.pad(class_HW, 1, "edge")
    return np.any(
        [
            padded_HW[1 + dy : 1 + dy + len(class_HW), 1 + dx : 1 + dx + class_HW.shape[1]]
            != class_HW
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        ],
        axis=0,
    )


def only(opened, layer=None, opacity=None):
    """Shows the image and one more layer."""
    for name in ("predicted", "truth", "overlay", "doubt", "errors"):
        row = opened.page.locator(f"[data-layer={name}]")
        row.locator("[type=checkbox]").set_checked(name == layer)
        if name == layer and opacity is not None:
            row.locator("[type=range]").fill(str(opacity))


# What is painted


def test_it_opens_with_errors_of_the_worst_slice_over_outlines(open_viewer):
    shown = many(5)
    worst = min(range(5), key=lambda i: shown.records[i].accuracy)
    assert worst > 0
    opened = open_viewer(shown, as_it_opens=True)
    assert opened.page.locator(".xv").get_attribute("data-shown") == str(worst)
    assert opened.page.text_content(".xv-count") == f"{worst + 1} / 5"
    sent = shown.records[worst]
    outlined_HW3 = over_classes(greys(sent.image_HW), sent.class_HW, 1.0, edges(sent.class_HW))
    wrong_HW = (sent.label_HW != 255) & (sent.label_HW != sent.class_HW)
    seen_HW3 = painted(opened)
    np.testing.assert_array_equal(seen_HW3, mixed(outlined_HW3, viewer.ERRORS_RGB, 1.0 * wrong_HW))
    # What is outlined has the colour of the legend, whatever is below.
    lines_HW = edges(sent.class_HW) & ~wrong_HW
    np.testing.assert_array_equal(seen_HW3[lines_HW], COLOURS[sent.class_HW[lines_HW]])
    alone = many(2, label_HW=None, accuracy=None)
    opened = open_viewer(alone, as_it_opens=True)
    assert opened.page.locator(".xv").get_attribute("data-shown") == "0"


@pytest.mark.parametrize("grey", [0, 64, 128, 192, 255])
def test_areas_have_the_colour_of_their_class_on_any_grey(grey):
    """Of the colours of the legend the nearest one is that of the class."""
    shown = np.array([class_rgb(k) for k in range(3)], float)
    filled = (1 - FILLED) * grey + FILLED * shown
    distance = np.linalg.norm(filled[:, None] - shown[None], axis=-1)
    assert distance.argmin(axis=1).tolist() == [0, 1, 2]


def test_the_image_alone_is_its_grey_levels(open_viewer):
    opened = open_viewer()
    only(opened)
    np.testing.assert_array_equal(painted(opened), greys(record(0).image_HW))
    assert opened.messages == []
    assert opened.requests == []


def test_every_byte_arrives_as_it_was_sent(open_viewer):
    """All 256 levels of all four maps, on whatever way they come."""
    every_HW = np.arange(256, dtype=np.uint8).reshape(16, 16)
    made = slices.SliceRecord("all", every_HW, 0, 1, every_HW, every_HW[::-1], every_HW.T)
    names = [str(k) for k in range(255)]
    opened = open_viewer(slices.Slices([made], names, [(k, 0, 0) for k in range(255)], None, ""))
    arrived = opened.page.evaluate(
        """() => {
          const { slice } = document.querySelector(".xv").viewer.state;
          return ["image", "predicted", "truth", "doubt"].map((name) => [...slice[name]]);
        }"""
    )
    sent = (every_HW, every_HW, every_HW[::-1], every_HW.T)
    np.testing.assert_array_equal(arrived, [pixels_HW.ravel() for pixels_HW in sent])


def test_classes_are_mixed_into_the_image(open_viewer):
    opened, sent = open_viewer(), record(0)
    grey_HW3 = greys(sent.image_HW)
    np.testing.assert_array_equal(painted(opened), over_classes(grey_HW3, sent.class_HW, FILLED))
    only(opened, "truth", 75)
    np.testing.assert_array_equal(painted(opened), over_classes(grey_HW3, sent.label_HW, 0.75))
    press(opened, "p")
    both_HW3 = over_classes(over_classes(grey_HW3, sent.class_HW, FILLED), sent.label_HW, 0.75)
    np.testing.assert_array_equal(painted(opened), both_HW3)


def test_outlines_are_drawn_on_both_sides_of_a_boundary(open_viewer):
    opened, sent = open_viewer(), record(0)
    press(opened, "o")
    assert opened.page.is_checked("[value=outlined]")
    outlined_HW3 = over_classes(greys(sent.image_HW), sent.class_HW, 1.0, edges(sent.class_HW))
    np.testing.assert_array_equal(painted(opened), outlined_HW3)
    opened.page.check("[value=filled]")
    filled_HW3 = over_classes(greys(sent.image_HW), sent.class_HW, FILLED)
    np.testing.assert_array_equal(painted(opened), filled_HW3)


def test_errors_are_where_the_label_says_otherwise(open_viewer):
    opened, sent = open_viewer(), record(0)
    only(opened, "errors")
    wrong_HW = (sent.label_HW != 255) & (sent.label_HW != sent.class_HW)
    assert wrong_HW.any()
    expected_HW3 = mixed(greys(sent.image_HW), viewer.ERRORS_RGB, wrong_HW.astype(float))
    np.testing.assert_array_equal(painted(opened), expected_HW3)


def test_the_overlay_tells_of_one_class_what_the_collage_tells(open_viewer):
    opened, sent = open_viewer(), record(0)
    press(opened, "c")
    # The areas of all classes make way.
    assert not opened.page.is_checked("[data-layer=predicted] [type=checkbox]")
    for k in (None, 0, 2):
        if k is None:
            k = int(opened.page.input_value(".xv-overlaid select"))
            shown = [record(i) for i in range(6)]
            label, found = (
                np.stack([getattr(one, name)[one.label_HW != 255] for one in shown])
                for name in ("label_HW", "class_HW")
            )
            iou_K = [((label == n) & (found == n)).sum() / ((label == n) | (found == n)).sum()
                     for n in range(3)]  # fmt: skip
            assert k == int(np.argmin(iou_K))
        else:
            opened.page.select_option(".xv-overlaid select", str(k))
        known_HW = sent.label_HW != 255
        labelled_HW, predicted_HW = (sent.label_HW == k), (sent.class_HW == k) & known_HW
        expected_HW3 = greys(sent.image_HW)
        for where_HW, (rgb, opacity) in (
            (predicted_HW & ~labelled_HW, figures.PREDICTED_ONLY),
            (labelled_HW & ~predicted_HW, figures.LABELLED_ONLY),
            (labelled_HW & predicted_HW, figures.BOTH),
        ):
            expected_HW3 = mixed(expected_HW3, rgb, opacity * where_HW)
        assert (labelled_HW != predicted_HW).any()
        np.testing.assert_array_equal(painted(opened), expected_HW3)


def test_doubt_is_as_opaque_as_it_is_large(open_viewer):
    opened, sent = open_viewer(), record(0)
    only(opened, "doubt", 60)
    expected_HW3 = mixed(greys(sent.image_HW), viewer.DOUBT_RGB, 0.6 * sent.doubt_HW / 255)
    np.testing.assert_array_equal(painted(opened), expected_HW3)


def test_a_class_can_be_left_out(open_viewer):
    opened, sent = open_viewer(), record(0)
    opened.page.uncheck(".xv-classes [value='1']")
    expected_HW3 = over_classes(greys(sent.image_HW), sent.class_HW, FILLED, sent.class_HW != 1)
    np.testing.assert_array_equal(painted(opened), expected_HW3)


def test_the_range_of_grey_values_stretches_the_image(open_viewer):
    opened, sent = open_viewer(), record(0)
    only(opened)
    opened.page.fill(".xv-black", "51")
    opened.page.fill(".xv-white", "102")
    np.testing.assert_array_equal(painted(opened), greys(sent.image_HW, 51, 102))
    assert opened.page.text_content(".xv-black-at") == "0.02"  # -1 + 51/255 of 5.1
    assert opened.page.text_content(".xv-white-at") == "1.04"
    opened.page.fill(".xv-black", "200")  # White gives way.
    np.testing.assert_array_equal(painted(opened), greys(sent.image_HW, 200, 201))
    press(opened, "r")
    np.testing.assert_array_equal(painted(opened), greys(sent.image_HW))


def test_dragging_with_the_right_button_changes_contrast_and_brightness(open_viewer):
    opened, sent = open_viewer(), record(0)
    only(opened)
    box = opened.page.locator("canvas").bounding_box()
    opened.page.mouse.move(box["x"] + 100, box["y"] + 100)
    opened.page.mouse.down(button="right")
    opened.page.mouse.move(box["x"] + 180, box["y"] + 60, steps=8)
    opened.page.mouse.up(button="right")
    # Half the width loses 80/4 levels, the middle 40/4.
    black, white = 127.5 - 10 - (127.5 - 20), 127.5 - 10 + (127.5 - 20)
    np.testing.assert_allclose(painted(opened), greys(sent.image_HW, black, white), atol=1)
    assert view(opened)["fitted"]


def test_an_image_less_opaque_is_darker_and_without_it_all_is_black(open_viewer):
    opened, sent = open_viewer(), record(0)
    only(opened)
    opened.page.fill("[data-layer=image] [type=range]", "50")
    np.testing.assert_array_equal(painted(opened), greys(sent.image_HW, opacity=0.5))
    press(opened, "i")
    assert painted(opened).max() == 0


# Which slice is shown


def test_slices_follow_slider_keys_and_buttons(open_viewer):
    opened = open_viewer()
    only(opened)
    opened.page.focus(".xv-stage")
    press(opened, "ArrowRight", "ArrowRight", shown=2)
    np.testing.assert_array_equal(painted(opened), greys(record(2).image_HW))
    press(opened, "ArrowLeft", shown=1)
    press(opened, "End", shown=5)
    press(opened, "ArrowRight", shown=5)
    press(opened, "Home", shown=0)
    opened.page.fill(".xv-slider", "4")
    opened.page.wait_for_selector("[data-shown='4']")
    np.testing.assert_array_equal(painted(opened), greys(record(4).image_HW))
    opened.page.click(".xv-back")
    opened.page.wait_for_selector("[data-shown='3']")
    opened.page.focus(".xv-slider")
    press(opened, "ArrowRight", shown=4)  # The slider's own key moves by one, not by two.
    opened.page.focus("[data-layer=image] [type=range]")
    press(opened, "ArrowLeft", shown=4)
    assert opened.page.input_value("[data-layer=image] [type=range]") == "99"
    opened.page.focus("[data-layer=image] [type=checkbox]")
    press(opened, "ArrowLeft", shown=3)
    press(opened, "ArrowRight", shown=4)
    assert opened.page.text_content(".xv-count") == "5 / 6"
    assert opened.page.text_content(".xv-name") == "slice_004.tif"
    accuracy = record(4).accuracy
    assert opened.page.text_content(".xv-facts") == f"z 40 · accuracy {accuracy:.4f}"


def test_the_worst_slices_are_one_click_away(open_viewer):
    shown = many(9)
    order = sorted(range(9), key=lambda i: shown.records[i].accuracy)
    opened = open_viewer(shown)
    buttons = opened.page.locator(".xv-worst button")
    assert buttons.all_text_contents() == [
        f"{shown.records[i].accuracy:.4f} z {10 * i}" for i in order[: viewer.WORST]
    ]
    buttons.nth(0).click()
    opened.page.wait_for_selector(f"[data-shown='{order[0]}']")
    assert buttons.nth(0).get_attribute("aria-current") == "true"
    press(opened, "w", shown=order[1])
    press(opened, "Home", shown=0)
    press(opened, "w", shown=order[0])


def test_slices_far_away_are_let_go(open_viewer):
    opened = open_viewer(many(12))
    for i in range(1, 12):
        press(opened, "ArrowRight", shown=i)
    kept = opened.page.evaluate("[...document.querySelector('.xv').viewer.loaded.keys()]")
    assert set(kept) <= {9, 10, 11}


# Zoom and pan


def expected_on_screen(picture_HW3, shape, at):
    """Pixels of the picture under the middles of pixels of the screen; -1 beside the picture."""
    rows, columns = (
        np.floor((np.arange(n) + 0.5 - at[axis]) / at["scale"]).astype(int)
        for n, axis in zip(shape, "yx", strict=True)
    )
    inside = np.ix_(
        (rows >= 0) & (rows < len(picture_HW3)), (columns >= 0) & (columns < picture_HW3.shape[1])
    )
    expected_HW3 = np.full((*shape, 3), -1)
    expected_HW3[inside] = picture_HW3[np.ix_(rows.clip(0, 23), columns.clip(0, 31))][inside]
    return expected_HW3


@pytest.mark.parametrize("density", [1, 2])
@pytest.mark.parametrize("keys", [[], ["+", "+"], ["+", "+", "Shift+ArrowRight"]])
def test_pixels_stay_crisp_squares(open_viewer, keys, density):
    opened = open_viewer(width=400, height=300, device_scale_factor=density)
    press(opened, *keys)
    rgba_HW4, at = pixels(opened, "document.querySelector('canvas')"), view(opened)
    expected_HW3 = expected_on_screen(painted(opened), rgba_HW4.shape[:2], at)
    beside_HW = expected_HW3[..., 0] < 0
    assert (rgba_HW4[beside_HW] == 0).all()
    same_HW = (rgba_HW4[..., :3] == expected_HW3).all(-1) | beside_HW
    # The middle of a pixel of the screen may lie on the edge between two of the picture.
    sides = [
        (np.arange(n) + 0.5 - at[axis]) / at["scale"] % 1
        for n, axis in zip(same_HW.shape, "yx", strict=True)
    ]
    sure_HW = np.ix_(*[(side > 0.06) & (side < 0.94) for side in sides])
    assert same_HW[sure_HW].all()
    assert rgba_HW4.shape[1] == density * opened.page.locator("canvas").bounding_box()["width"]


def test_the_wheel_zooms_about_the_cursor_once_the_slice_has_the_focus(open_viewer):
    opened = open_viewer()
    canvas = opened.page.locator("canvas")
    box = canvas.bounding_box()
    point = box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"]
    opened.page.locator(".xv-fit").focus()
    opened.page.evaluate("document.activeElement.blur()")
    opened.page.mouse.move(*point)
    opened.page.mouse.wheel(0, -400)
    opened.page.wait_for_timeout(50)
    assert view(opened)["fitted"]
    opened.page.mouse.click(*point)
    before, where = view(opened), opened.page.text_content(".xv-at-place")
    opened.page.mouse.wheel(0, -400)
    opened.page.wait_for_function("!document.querySelector('.xv').viewer.view.fitted")
    assert view(opened)["scale"] / before["scale"] == pytest.approx(1.5)
    assert opened.page.text_content(".xv-at-place") == where
    opened.page.mouse.wheel(0, 4000)
    opened.page.wait_for_function("document.querySelector('.xv').viewer.view.fitted")
    assert view(opened) == before


def test_a_drag_moves_the_slice_and_0_fits_it_again(open_viewer):
    opened = open_viewer()
    fitted = view(opened)
    press(opened, "+", "+")
    before = view(opened)
    assert before["scale"] / fitted["scale"] == pytest.approx(1.5**2)
    box = opened.page.locator("canvas").bounding_box()
    opened.page.mouse.move(box["x"] + 200, box["y"] + 200)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 230, box["y"] + 185, steps=3)
    opened.page.mouse.up()
    after = view(opened)
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((30, -15))
    press(opened, "ArrowRight", shown=1)
    assert view(opened) == after  # The same place in the next slice.
    press(opened, "0")
    assert view(opened) == fitted
    press(opened, "+", "-")
    assert view(opened) == fitted


def test_two_fingers_pinch(open_viewer):
    opened = open_viewer(width=360, height=700, has_touch=True)
    fitted = view(opened)
    box = opened.page.locator("canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = opened.page.context.new_cdp_session(opened.page)

    def touch(kind, *offsets):
        points = [{"x": x + dx, "y": y, "id": i} for i, dx in enumerate(offsets)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20, 20)
    for half in range(22, 61, 2):
        touch("touchMove", -half, half)
    touch("touchEnd")
    opened.page.wait_for_function("!document.querySelector('.xv').viewer.view.fitted")
    assert view(opened)["scale"] / fitted["scale"] == pytest.approx(3, rel=0.15)


# What is said


def test_values_under_the_cursor(open_viewer):
    opened, sent = open_viewer(), record(0)
    box, at = opened.page.locator("canvas").bounding_box(), view(opened)
    for y, x in ((2, 3), (13, 20)):
        where = [(n + 0.5) * at["scale"] + at[axis] for n, axis in ((x, "x"), (y, "y"))]
        opened.page.mouse.move(box["x"] + where[0], box["y"] + where[1])
        said = {
            name: opened.page.text_content(f".xv-at-{name}")
            for name in ("place", "image", "predicted", "truth", "doubt")
        }
        label, level = sent.label_HW[y, x], int(sent.image_HW[y, x])
        assert said == {
            "place": f"{x}, {y}",
            "image": f"{float(f'{-1 + level / 255 * 5.1:.4g}'):g}",
            "predicted": NAMES[sent.class_HW[y, x]],
            "truth": "not labelled" if label == 255 else NAMES[label],
            "doubt": f"{sent.doubt_HW[y, x] / 255:.2f}",
        }
    opened.page.mouse.move(0, 0)
    assert opened.page.text_content(".xv-at-place") == NOTHING


def test_the_scale_bar_is_as_long_as_it_says(open_viewer):
    opened = open_viewer()
    for keys in ([], ["+"], ["+", "+"]):
        press(opened, *keys)
        text = opened.page.text_content(".xv-scale-text")
        length = float(re.fullmatch(r"([\d.]+) µm", text)[1])
        assert re.fullmatch(r"0*[125]0*", str(length).replace(".", ""))
        width = opened.page.locator(".xv-scale-bar").bounding_box()["width"]
        assert width == pytest.approx(length / 0.065 * view(opened)["scale"], abs=0.1)
        stage = opened.page.locator("canvas").bounding_box()["width"]
        assert stage / 10.1 <= width <= stage / 4 + 0.1


def test_without_a_pixel_size_there_is_no_scale_bar():
    assert "xv-scale-bar" not in viewer.viewer_html(many(pixel_size=None)).partition("</style>")[2]


def test_what_there_is_not_has_no_control(open_viewer):
    sent = many(2, label_HW=None, doubt_HW=None)
    opened = open_viewer(
        dataclasses.replace(sent, records=[record(0, label_HW=None), *sent.records])
    )
    # Doubt is there for the first slice alone.
    assert opened.page.locator("[data-layer]").count() == 3
    assert opened.page.is_enabled("[data-layer=doubt] [type=checkbox]")
    press(opened, "d", "l", "c", "e", "ArrowRight", shown=1)
    assert opened.page.is_disabled("[data-layer=doubt] [type=checkbox]")
    assert opened.messages == []


def test_slices_of_other_sizes_fit(open_viewer):
    records = [record(0), record(1, (60, 9)), record(2, (1, 1))]
    opened = open_viewer(slices.Slices(records, NAMES, COLOURS.tolist(), 1.0, "µm"))
    only(opened)
    opened.page.focus(".xv-stage")
    for i in (1, 2):
        press(opened, "+", "ArrowRight", shown=i)
        np.testing.assert_array_equal(painted(opened), greys(records[i].image_HW))
        assert view(opened)["fitted"]
    assert opened.layout_shift() == 0


# The page around it


@pytest.mark.parametrize("width", [320, 640, 1100])
def test_nothing_moves_or_overflows(open_viewer, width):
    records = list(many().records)
    records[3] = dataclasses.replace(records[3], name="a very long name of a slice " * 8)
    records[4] = dataclasses.replace(records[4], z=None, accuracy=None)
    opened = open_viewer(dataclasses.replace(many(), records=records), width=width)
    for i in range(1, 6):
        press(opened, "ArrowRight", shown=i)
        assert opened.overflow() == 0
    press(opened, "+", "o", "e", "0")
    opened.page.mouse.move(100, 300)
    assert opened.layout_shift() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_everybody_can_use_it(open_viewer, scheme, width):
    opened = open_viewer(scheme=scheme, width=width)
    opened.page.click(".xv-keys summary")
    assert opened.violations() == []


def test_keys_belong_to_the_page_until_the_viewer_has_the_focus(open_viewer):
    opened = open_viewer()
    opened.page.evaluate("document.activeElement.blur()")
    press(opened, "ArrowRight", "e")
    assert opened.page.text_content(".xv-count") == "1 / 6"
    assert not opened.page.is_checked("[data-layer=errors] [type=checkbox]")


def test_paper_has_the_slice_and_no_controls(open_viewer):
    opened = open_viewer()
    press(opened, "e", "ArrowRight", shown=1)
    opened.page.emulate_media(media="print")
    assert opened.page.locator("input:visible, button:visible, summary:visible").count() == 0
    assert opened.page.locator(".xv label:visible").all_text_contents() == [
        *("Image", "Predicted", "Errors"),
        *NAMES,
    ]
    assert opened.page.locator("canvas:visible").count() == 1


def test_two_viewers_on_a_page_keep_apart(open_page):
    both = viewer.viewer_html(many(2)) + viewer.viewer_html(many(3))
    opened = open_page(whole(both))
    second = opened.page.locator(".xv").nth(1)
    opened.page.wait_for_selector(".xv:nth-of-type(2)[data-shown]")
    second.locator("[data-layer=errors] label").click()
    second.locator("[value=filled]").check()
    second.locator(".xv-slider").fill("0")
    counts = opened.page.locator(".xv-count").all_text_contents()
    worst = [min(range(n), key=lambda i: many(n).records[i].accuracy) for n in (2, 3)]
    assert counts == [f"{worst[0] + 1} / 2", "1 / 3"]
    assert worst[0] == 1
    boxes = opened.page.locator("[data-layer=errors] [type=checkbox]")
    assert [boxes.nth(i).is_checked() for i in range(2)] == [True, False]
    outlined = opened.page.locator("[value=outlined], [value=filled]")
    assert [outlined.nth(i).is_checked() for i in range(4)] == [False, True, True, False]
    assert opened.messages == []


# The text


def sent_data(html):
    found = re.search(r'<script type="application/json" class="xv-data">(.*?)</script>', html)
    return json.loads(found[1])


def test_names_are_text_and_no_markup():
    odd = "</script><script>alert(1)</script>\udcff"
    html = viewer.viewer_html(dataclasses.replace(many(1), records=[record(0, name=odd)]))
    assert html.count("<script") == 2
    assert "<b>ysz" not in html
    data = sent_data(html)
    assert data["slices"][0]["name"] == "</script><script>alert(1)</script>\\udcff"
    assert data["names"] == list(NAMES)
    html.encode("utf-8")


def test_slices_become_smaller_until_they_fit():
    shown = many(4, shape=(48, 64))
    whole_size = sum(
        len(text)
        for each in sent_data(viewer.viewer_html(shown))["slices"]
        for text in each["pixels"].values()
    )
    for budget, factor in ((whole_size, 1), (whole_size - 1, 2), (whole_size // 5, 3)):
        html = viewer.viewer_html(shown, budget=budget)
        data = sent_data(html)
        assert data["factor"] == factor
        assert data["pixel_size"] == pytest.approx(0.065 * factor)
        assert {(each["height"], each["width"]) for each in data["slices"]} == {
            (48 // factor, -(-64 // factor))
        }
        sizes = [len(text) for each in data["slices"] for text in each["pixels"].values()]
        assert sum(sizes) <= budget
        assert len(html) < budget + 40_000 + 4 * 1000
        assert (f"one pixel for {factor} \u00d7 {factor}" in html) == (factor > 1)
    with pytest.raises(ValueError, match="4 slices do not fit into 10 bytes"):
        viewer.viewer_html(shown, budget=10)


def test_places_are_those_of_the_whole_slice(open_viewer):
    shown = many(1, shape=(48, 64))
    opened = open_viewer(shown, budget=6_000)
    assert painted(opened).shape == (24, 32, 3)
    only(opened)
    small = slices.shrink(shown.records[0], 2)
    np.testing.assert_array_equal(painted(opened), greys(small.image_HW))
    box, at = opened.page.locator("canvas").bounding_box(), view(opened)
    opened.page.mouse.move(
        box["x"] + at["x"] + 10.5 * at["scale"], box["y"] + at["y"] + 7.5 * at["scale"]
    )
    assert opened.page.text_content(".xv-at-place") == "20, 14"


def test_without_a_slice_there_is_no_viewer():
    with pytest.raises(ValueError, match="no slice to show"):
        viewer.viewer_html(slices.Slices([], NAMES, COLOURS.tolist(), None, ""))


def test_nothing_is_loaded_and_the_same_slices_give_the_same_text():
    html = viewer.viewer_html(many(2))
    assert html == viewer.viewer_html(many(2))
    assert re.findall(r"(?:src|href|url|import)\s*[=(]", html) == []
    assert "http" not in html
