"""The slice viewer: one piece of a page that shows slices, with all that it needs inside.

The pixels travel as deflated bytes and are inflated by the browser's own `DecompressionStream`.
PNGs would have to be read back through a canvas, where colour management and protection against
fingerprinting change values; these bytes stay what they are.
"""

import base64
import functools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from xseg_jax.colours import Rgb
from xseg_jax.files import one_line
from xseg_jax.report.figures import BOTH, LABELLED_ONLY, PREDICTED_ONLY, WRONG
from xseg_jax.report.paper import unit_sign
from xseg_jax.report.slices import NOT_LABELLED, SliceRecord, Slices, shrink

ROOM = Path(__file__).with_suffix("")
WORST = 6
"""How many of the least accurate slices have a button."""
FLAT, TALL = 3, 0.75
"""Widest and narrowest shape of the picture, as width over height."""

DOUBT_RGB, ERRORS_RGB = (255, 222, 0), WRONG[0]
# Of one class: what is told of it, in the colours and with the opacities of the collage.
OVERLAY = {
    "predicted only": PREDICTED_ONLY,
    "labelled only": LABELLED_ONLY,
    "both": BOTH,
}
FILLED = 0.75
"""Opacity of areas: with less a class over bright grey has the colour of another."""
# What can be shown, in the order of the figures' columns, and how it is at first: classes are
# outlined, so that each has the colour of the legend, and what is wrong is marked.
LAYERS: tuple[Mapping[str, Any], ...] = (
    {"name": "image", "title": "Image", "key": "i", "on": True, "opacity": 100},
    {"name": "truth", "title": "Labelled", "key": "l", "on": False, "opacity": 100},
    {"name": "predicted", "title": "Predicted", "key": "p", "on": True, "opacity": 100},
    {"name": "overlay", "title": "One class", "key": "c", "on": False, "opacity": 100},
    {"name": "doubt", "title": "Doubt", "key": "d", "on": False, "opacity": 90},
    {"name": "errors", "title": "Errors", "key": "e", "on": True, "opacity": 100},
)


def viewer_html(slices: Slices, *, budget: int = 12_000_000) -> markupsafe.Markup:
    """Makes the viewer of some slices: markup, style, script and data, which load nothing.

    It fills the width that it is given, follows `prefers-color-scheme`, and may stand in a page
    more than once. Where the pixels would take more than the budget, `shrink` makes all slices
    smaller by the least factor that fits, and the page says so.

    Args:
      slices: as `read_slices` gives them, at least one.
      budget: the most bytes of text that the pixels may take; markup and script add 40 kB, and
        each slice up to 1 kB.

    Raises:
      ValueError: there is no slice, or not even a pixel a slice fits into the budget.
    """
    if not slices.records:
        raise ValueError("there is no slice to show")
    factor, pixels = _fitting(slices.records, budget)
    records = [replace(record, name=one_line(record.name)) for record in slices.records]
    worst = _worst(records)
    data = {
        "slices": [
            _described(record, factor) | {"pixels": texts}
            for record, texts in zip(records, pixels, strict=True)
        ],
        "names": list(map(one_line, slices.names)),
        "colours": {
            "classes": slices.colours,
            "doubt": DOUBT_RGB,
            "errors": ERRORS_RGB,
            "overlay": list(OVERLAY.values()),
        },
        "overlaid": _most_wrong(slices),
        "filled": FILLED,
        "factor": factor,
        "pixel_size": slices.pixel_size and slices.pixel_size * factor,
        "unit": unit_sign(slices.unit),
        "worst": [shown["index"] for shown in worst],
    }
    H, W = np.max([record.image_HW.shape for record in records], 0).tolist()
    has_truth = any(record.label_HW is not None for record in records)
    has_doubt = any(record.doubt_HW is not None for record in records)
    absent = {
        "truth": not has_truth, "errors": not has_truth, "overlay": not has_truth,
        "doubt": not has_doubt,
    }  # fmt: skip
    colours = {"doubt": _css(DOUBT_RGB), "errors": _css(ERRORS_RGB)}
    template = _templates().get_template("viewer.html")
    text = template.render(
        slices=records,
        layers=[
            {**layer, "colour": colours.get(layer["name"])}
            for layer in LAYERS
            if not absent.get(layer["name"])
        ],
        classes=[
            {"name": name, "colour": _css(rgb)}
            for name, rgb in zip(data["names"], slices.colours, strict=True)
        ],
        overlaid=data["overlaid"],
        tints=[{"name": name, "colour": _css(rgb)} for name, (rgb, _) in OVERLAY.items()],
        worst=worst,
        aspect=min(max(W / H, TALL), FLAT),
        pixel_size=slices.pixel_size,
        factor=factor,
        has_doubt=has_doubt,
        data=data,
        style=_asset("viewer.css"),
        script=_asset("view.js") + _asset("controls.js"),
    )
    return markupsafe.Markup(text)


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOM),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> markupsafe.Markup:
    return markupsafe.Markup((ROOM / name).read_text(encoding="utf-8"))


def _css(rgb: Rgb) -> str:
    return "rgb({} {} {})".format(*rgb)


def _worst(records: Sequence[SliceRecord]) -> list[dict[str, Any]]:
    """The slices with the lowest accuracies, the lowest first."""
    scored = [(r.accuracy, i) for i, r in enumerate(records) if r.accuracy is not None]
    return [
        {
            "index": i,
            "name": records[i].name,
            "accuracy": f"{accuracy:.4f}",
            # Names are long, and alike up to their last digits.
            "place": f"slice {i + 1}" if (z := records[i].z) is None else f"z {z}",
        }
        for accuracy, i in sorted(scored)[:WORST]
    ]


def _most_wrong(slices: Slices) -> int:
    """The class with the lowest IoU over all slices; the first where nothing is labelled."""
    counts_3K = np.zeros((3, len(slices.names)), np.int64)
    for record in slices.records:
        if record.label_HW is not None:
            known = record.label_HW != NOT_LABELLED
            label, predicted = record.label_HW[known], record.class_HW[known]
            counts_3K += [
                np.bincount(values[values != NOT_LABELLED], minlength=len(slices.names))
                for values in (label, predicted, label[label == predicted])
            ]
    labelled_K, predicted_K, both_K = counts_3K
    either_K = labelled_K + predicted_K - both_K
    return int(np.argmin(np.where(either_K > 0, both_K / np.maximum(either_K, 1), np.inf)))


def _described(record: SliceRecord, factor: int) -> dict[str, Any]:
    H, W = record.image_HW.shape
    return {
        "name": record.name,
        "z": record.z,
        "accuracy": record.accuracy,
        "low": record.low,
        "high": record.high,
        "width": -(-W // factor),
        "height": -(-H // factor),
    }


def _fitting(records: Sequence[SliceRecord], budget: int) -> tuple[int, list[dict[str, str]]]:
    """The least factor with which the pixels fit into the budget, and the pixels as text."""
    for factor in range(1, max(max(record.image_HW.shape) for record in records) + 1):
        size, pixels = 0, []
        for record in records:
            pixels.append(_texts(shrink(record, factor)))
            size += sum(map(len, pixels[-1].values()))
            if size > budget:
                break
        else:
            return factor, pixels
    raise ValueError(f"{len(records)} slices do not fit into {budget} bytes")


def _texts(record: SliceRecord) -> dict[str, str]:
    """Base64 of the deflated bytes of each map that there is, by the name of its layer."""
    maps = {
        "image": record.image_HW,
        "predicted": record.class_HW,
        "truth": record.label_HW,
        "doubt": record.doubt_HW,
    }
    return {
        name: base64.b64encode(zlib.compress(pixels_HW.tobytes(), 9)).decode("ascii")
        for name, pixels_HW in maps.items()
        if pixels_HW is not None
    }
