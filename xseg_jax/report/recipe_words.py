"""The recipe of a run in the words of a paper: network, training, augmentation."""

from collections.abc import Mapping, Sequence
from typing import Any

from xseg_jax.report.numbers import TIMES, count, percent
from xseg_jax.report.sources import Cited

Json = Mapping[str, Any]

SCHEDULES = {
    "constant": "a constant learning rate of",
    "cosine": "a learning rate that falls as a cosine{cited} from",
}
LOSSES = {
    "cross_entropy": "cross-entropy",
    "weighted_cross_entropy": "class-weighted cross-entropy",
    "dice": "the Dice loss",
    "focal": "the focal loss",
    "cross_entropy_dice": "the sum of cross-entropy and the Dice loss",
}
GREY_SCALES = {
    "volume": "by the mean and standard deviation of the training {what}s",
    "scan": "by the mean and standard deviation of each scan",
    "image": "by the mean and standard deviation of each image",
}
FLIPS = {
    "both": "mirror images",
    "horizontal": "mirror images from left to right",
    "vertical": "mirror images upside down",
}
UNITS = {
    "brightness": " SD", "ramp": " SD", "cupping": " SD", "rings": " SD", "noise": " SD",
    "coloured_noise": " SD", "blur": " pixels", "rotation": "°",
}  # fmt: skip
"""Of the largest magnitudes of changes; others are relative."""


def listed(some: Sequence[object]) -> str:
    """ "a, b and c"."""
    *first, last = map(str, some)
    return f"{', '.join(first)} and {last}" if first else last


def network(config: Json, parameters: int, context: int, cite: Cited) -> list[str]:
    """What was trained, and from which weights.

    Args:
      config: of the run; those of earlier versions lack some fields.
      parameters: how many the network has.
      context: neighbours on each side that it sees.
      cite: gives citations.
    """
    model = config["model"]
    unet = cite("unet")  # Sources stand in the order of the text.
    norm = model["norm"]
    made = [] if norm == "none" else [f"{norm} normalisation {cite(norm)}"]
    if model["dropout"]:
        made.append(f"a dropout {cite('dropout')} of {model['dropout']:g} before the last layer")
    made.append(f"{parameters:,} parameters")
    without = ["normalisation layers"] if norm == "none" else []
    without += [] if model["skip"] else ["connections from the way down to the way up"]
    lacks = f", without {listed(without)}" if without else ""
    source = last_part(config["init_from"]) if config["init_from"] else ""
    said = [
        f"A U-Net {unet} of {listed(model['features'])} features on its "
        f"{count(len(model['features']), 'level')}{lacks}, with {listed(made)}, was trained from "
        + (f"the weights of another run ({source})" if source else "random weights")
        + f" (seed {config['seed']})."
    ]
    if (patch := model.get("patch", 1)) > 1:
        said.append(f"It takes squares of {patch} {TIMES} {patch} pixels as one.")
    if model["upsample"] == "resize":
        said.append("On its way up features are resized, in place of transposed convolutions.")
    if model["dtype"] != "auto":
        said.append(f"It was computed in {model['dtype']}.")
    sees = 2 * context + 1
    if sees > 1:
        said.append(f"It sees {sees} neighbouring slices and segments the middle one.")
    return said


def training(config: Json, steps: int | None, cite: Cited) -> list[str]:
    """How the network was trained.

    Args:
      config: of the run.
      steps: that were taken, where that is known.
      cite: gives citations.
    """
    data, optimizer = config["data"], config["optimizer"]
    decay, schedule = optimizer["weight_decay"], optimizer["schedule"]
    adam = "AdamW" if decay else "Adam"
    adam += f" {cite(*(('adam', 'adamw') if decay else ('adam',)))}"
    falls = SCHEDULES[schedule].format(cited=f" {cite('cosine')}" if schedule == "cosine" else "")
    more = [f"a weight decay of {decay:g}"] if decay else []
    if optimizer["warmup_steps"]:
        more.append(f"a rise of the rate over the first {count(optimizer['warmup_steps'], 'step')}")
    if optimizer["clip_norm"]:
        more.append(f"gradients clipped to a norm of {optimizer['clip_norm']:g}")
    took = f" ({count(steps, 'step')})" if steps else ""
    said = [
        f"Training took {count(config['epochs'], 'epoch')} of {data['crops_per_epoch']:,} crops"
        f"{took}, in batches of {config['batch_size']} crops of {data['crop']} {TIMES} "
        f"{data['crop']} pixels, with {adam} at {falls} {optimizer['learning_rate']:g}"
        + (f", {listed(more)}" if more else "")
        + f", and minimised {_loss(config['loss'], cite)}."
    ]
    if rare := data.get("rare_fraction"):
        said.append(
            f"{percent(rare)} of the crops were centred on a pixel of a class drawn uniformly."
        )
    if average := optimizer.get("ema_decay"):
        said.append(
            f"The weights used are a moving average over the steps {cite('average')} with a decay "
            f"of {average:g}."
        )
    if frozen := optimizer.get("freeze_norm"):
        said.append(
            f"In the last {percent(frozen)} of the steps batch normalisation kept its statistics."
        )
    return said


def _loss(loss: Json, cite: Cited) -> str:
    name, keys = loss["name"], [key for key in ("dice", "focal") if key in loss["name"]]
    said = LOSSES[name] + (f" {cite(*keys)}" if keys else "")
    if name == "focal":
        said += f" with a focusing parameter of {loss['focal_gamma']:g}"
    if name == "weighted_cross_entropy":
        weights = loss["class_weights"]
        said += f" (weights {listed(weights)})" if weights else " (by inverse frequency)"
    return said


def augmentation(augment: Json) -> str:
    """How crops were changed."""
    ways = [FLIPS[augment["flip"]]] if augment["flip"] != "none" else []
    ways += ["quarter turns"] if augment["rotate90"] else []
    drawn = {
        name: f"{name.replace('_', ' ')} up to {value:g}{UNITS.get(name, '')}"
        for name, value in augment.items()
        if name not in ("flip", "rotate90", "chance") and value
    }
    said = [listed(ways)] if ways else []
    if drawn:
        spread = any(UNITS.get(name) == " SD" for name in drawn)
        means = "SD: standard deviation of the grey values; " if spread else ""
        chance = f"each with a chance of {augment['chance']:g}"
        said.append(f"{listed(list(drawn.values()))} ({means}{chance})")
    return f"Crops were augmented by {', and by '.join(said)}." if said else (
        "Crops were not augmented."
    )  # fmt: skip


def inference(config: Json) -> str:
    """How whole images were segmented."""
    tile, overlap = (config["inference"][key] for key in ("tile", "overlap"))
    return (
        f"Whole images were segmented in tiles of up to {tile} {TIMES} {tile} pixels that overlap "
        f"by {overlap}."
    )


def last_part(path: str) -> str:
    """The name of a file or folder: where it lies is nobody's business."""
    return path.rstrip("/").rpartition("/")[2] or path


def data_name(path: str) -> str:
    """As `last_part`; of a folder that is called as those of every data set, that above it too."""
    name = last_part(path)
    above = last_part(path.rstrip("/").rpartition("/")[0])
    return f"{above}/{name}" if above and name in ("images", "data", "labels", "masks") else name
