"""A run in the words of a paper: how it was trained, split and scored, with its sources."""

from collections.abc import Mapping, Sequence
from typing import Any

from xseg_jax.report.leaks import leak_sentence, noun
from xseg_jax.report.numbers import TIMES, count, number, percent, score
from xseg_jax.report.run_folder import RunFolder
from xseg_jax.report.scores import methods_of, verdict
from xseg_jax.report.table import too_few

Json = Mapping[str, Any]

AUTHORS = "The xseg_jax developers"
SOFTWARE = "xseg_jax: segmentation of X-ray images with a U-Net in JAX"
SOURCES = {
    "unet": "Ronneberger O, Fischer P, Brox T (2015). U-Net: convolutional networks for biomedical "
    "image segmentation. MICCAI, LNCS 9351, 234-241. doi:10.1007/978-3-319-24574-4_28",
    "adam": "Kingma DP, Ba J (2015). Adam: a method for stochastic optimization. ICLR. "
    "arXiv:1412.6980",
    "adamw": "Loshchilov I, Hutter F (2019). Decoupled weight decay regularization. ICLR. "
    "arXiv:1711.05101",
    "batch": "Ioffe S, Szegedy C (2015). Batch normalization: accelerating deep network training "
    "by reducing internal covariate shift. ICML. arXiv:1502.03167",
    "group": "Wu Y, He K (2018). Group normalization. ECCV. arXiv:1803.08494",
    "instance": "Ulyanov D, Vedaldi A, Lempitsky V (2016). Instance normalization: the missing "
    "ingredient for fast stylization. arXiv:1607.08022",
    "dice": "Milletari F, Navab N, Ahmadi S-A (2016). V-Net: fully convolutional neural networks "
    "for volumetric medical image segmentation. 3DV. doi:10.1109/3DV.2016.79",
    "focal": "Lin T-Y, Goyal P, Girshick R, He K, Dollár P (2017). Focal loss for dense object "
    "detection. ICCV. arXiv:1708.02002",
    "forest": "Breiman L (2001). Random forests. Machine Learning 45, 5-32. "
    "doi:10.1023/A:1010933404324",
    "thresholding": "Liao P-S, Chen T-S, Chung P-C (2001). A fast algorithm for multilevel "
    "thresholding. Journal of Information Science and Engineering 17, 713-727",
    "temperature": "Guo C, Pleiss G, Sun Y, Weinberger KQ (2017). On calibration of modern neural "
    "networks. ICML. arXiv:1706.04599",
    "pigeonhole": "Owen AB (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1, "
    "386-411. doi:10.1214/07-AOAS122",
    "rescaled": "Rao JNK, Wu CFJ (1988). Resampling inference with complex survey data. Journal of "
    "the American Statistical Association 83, 231-241. doi:10.1080/01621459.1988.10478591",
}
"""What a paper cites, by what a run used."""
IN_TEXT = {
    "unet": "Ronneberger et al. 2015",
    "adam": "Kingma and Ba 2015",
    "adamw": "Loshchilov and Hutter 2019",
    "batch": "Ioffe and Szegedy 2015",
    "group": "Wu and He 2018",
    "instance": "Ulyanov et al. 2016",
    "dice": "Milletari et al. 2016",
    "focal": "Lin et al. 2017",
    "forest": "Breiman 2001",
    "thresholding": "Liao et al. 2001",
    "temperature": "Guo et al. 2017",
    "pigeonhole": "Owen 2007",
    "rescaled": "Rao and Wu 1988",
}
SPLITS = {
    "scan": "by whole scans",
    "z": "by contiguous blocks of slices along z of each scan, {gap} voxels apart or more",
    "tiles": "by blocks within the labelled slices, {gap} voxels apart or more",
    "group": "by groups of images that belong together",
    "random": "at random, so that neighbouring slices, which are near-copies, stand in several "
    "parts",
    "none": "not at all: every label trained the network",
}
SCHEDULES = {
    "constant": "a constant learning rate of",
    "cosine": "a learning rate that falls as a cosine from",
}
LOSSES = {
    "cross_entropy": "cross-entropy",
    "weighted_cross_entropy": "class-weighted cross-entropy",
    "dice": "the Dice loss",
    "focal": "the focal loss",
    "cross_entropy_dice": "the sum of cross-entropy and the Dice loss",
}
GREY_SCALES = {
    "volume": "by the mean and standard deviation of the training slices",
    "scan": "by the mean and standard deviation of each scan",
    "image": "by the mean and standard deviation of each image",
}


class _Cited:
    """Gives in-text citations, and remembers which there were."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}

    def __call__(self, *keys: str) -> str:
        self.keys |= dict.fromkeys(keys)
        return f"({'; '.join(IN_TEXT[key] for key in keys)})"


def methods_text(folder: RunFolder) -> tuple[str, list[str]]:
    """How the results came about, as plain text for the methods section of a paper.

    Args:
      folder: of a run, or of an evaluation.

    Returns:
      The paragraphs, with an empty line between, and the sources that they cite.
    """
    cite = _Cited()
    paragraphs = []
    if folder.config is not None and folder.data is not None:
        paragraphs += [
            _data(folder.config, folder.data),
            _training(folder, folder.config, cite),
        ]
    elif folder.evaluation is not None:
        paragraphs.append(_evaluated(folder.evaluation, folder.results))
    paragraphs += [_scoring(folder, cite), _software(folder.results)]
    text = "\n\n".join(" ".join(one) for one in paragraphs if one)
    return text, [SOURCES[key] for key in cite.keys]


def split_words(kind: str, gap: object) -> str:
    """How labelled slices were divided into training, validation and test."""
    return SPLITS[kind].format(gap=gap)


def source_words(config: Json) -> str:
    """What was segmented."""
    data = config["data"]
    if data["source"] == "phantom":
        phantom = data["phantom"]
        return (
            f"a synthetic tomogram of {phantom['depth']} slices of {phantom['size']} {TIMES} "
            f"{phantom['size']} voxels, reconstructed from {phantom['projections']} projections "
            f"with {number(phantom['photons'], 3)} photons a detector pixel"
        )
    named = data["images"] or data["root"]
    return f"the images of {last_part(named)}"


def last_part(path: str) -> str:
    """The name of a file or folder: where it lies is nobody's business."""
    return path.rstrip("/").rpartition("/")[2] or path


def _data(config: Json, data: Json) -> list[str]:
    parts = {name: len(found) for name, found in data["split"].items()}
    classes = list(dict.fromkeys(data["label_map"]["classes"]))
    named = ", ".join(classes[:-1]) + f" and {classes[-1]}"
    said = [
        f"The data are {source_words(config)} ({data['dtype']}), with labels of {len(classes)} "
        f"classes ({named})."
    ]
    kind = data["split_kind"]
    what = "image" if kind == "group" else "slice"  # Images of groups are no slices of a scan.
    if kind == "none":
        said.append(f"All {count(parts['train'], f'labelled {what}')} trained the network.")
    elif data["slabs"] is not None:
        said.append(
            f"Labelled pixels were divided {split_words(kind, config['data']['split']['gap'])}."
        )
    else:
        said.append(
            f"Labelled {what}s were divided {split_words(kind, config['data']['split']['gap'])}: "
            f"{parts['train']} for training, {parts['validation']} for validation and "
            f"{parts['test']} for testing."
        )
    if parts.get("between"):
        said.append(
            f"{count(parts['between'], 'more slice')} between those of training "
            f"{'was' if parts['between'] == 1 else 'were'} held out and scored separately."
        )
    pixels = data["train_pixels"]
    shares = ", ".join(
        f"{name} {percent(n / sum(pixels))}" for name, n in zip(classes, pixels, strict=True)
    )
    said.append(f"Training had {sum(pixels):,} labelled pixels ({shares}).")
    if leak := leak_sentence(data.get("leak"), what):
        said.append(leak)
    return said


def _training(folder: RunFolder, config: Json, cite: _Cited) -> list[str]:
    model, optimizer, loss = config["model"], config["optimizer"], config["loss"]
    features = [str(n) for n in model["features"]]
    levels = f"{', '.join(features[:-1])} and {features[-1]}" if features[1:] else features[0]
    norm, unet = model["norm"], cite("unet")  # Sources stand in the order of the text.
    normed = "without normalisation layers" if norm == "none" else (
        f"{norm} normalisation {cite(norm)}"
    )  # fmt: skip
    joined = "" if norm == "none" else "with "
    sees = 2 * config["data"]["context"] + 1
    said = [
        f"A U-Net {unet} of {levels} features on its {len(features)} levels, {joined}"
        f"{normed} and {folder.results['parameters']:,} parameters, was trained from "
        + (f"the weights of another run ({config['init_from']})" if config["init_from"] else
           "random weights")
        + f" (seed {config['seed']})."
    ]  # fmt: skip
    if sees > 1:
        said.append(f"It sees {sees} neighbouring slices and segments the middle one.")
    steps = max((row["step"] for row in folder.metrics), default=None)
    decay = optimizer["weight_decay"]
    keys = ("adam", "adamw") if decay else ("adam",)
    adam = f"{'AdamW' if decay else 'Adam'} {cite(*keys)}"
    schedule = SCHEDULES[optimizer["schedule"]]
    crop = config["data"]["crop"]
    took = f" ({count(steps, 'step')})" if steps else ""
    said.append(
        f"Training took {count(config['epochs'], 'epoch')}{took} of batches of "
        f"{config['batch_size']} crops of {crop} {TIMES} {crop} "
        f"pixels with {adam} at {schedule} {optimizer['learning_rate']:g}"
        + (f" and a weight decay of {decay:g}" if decay else "")
        + f", and minimised {LOSSES[loss['name']]}{_loss_source(loss['name'], cite)}."
    )
    said.append(_augmentation(config["augment"]))
    said.append(f"Grey values were normalised {GREY_SCALES[config['data']['normalize']]}.")
    used = config["checkpoint"].get("use", "best")
    validated = bool(folder.data and folder.data["split"]["validation"])
    which = (
        f"the highest mean IoU on the validation {noun(folder.results)}s"
        if used == "best" and validated
        else None
    )
    said.append(
        f"The checkpoint with {which} was used." if which else "The last checkpoint was used."
    )
    return said


def _loss_source(name: str, cite: _Cited) -> str:
    keys = [key for key in ("dice", "focal") if key in name]
    return f" {cite(*keys)}" if keys else ""


def _augmentation(augment: Json) -> str:
    ways = ["mirror images"] if augment["flip"] != "none" else []
    ways += ["quarter turns"] if augment["rotate90"] else []
    drawn = [
        f"{name.replace('_', ' ')} up to {value:g}"
        for name, value in augment.items()
        if name not in ("flip", "rotate90", "chance") and value
    ]
    if drawn:
        ways.append(f"{', '.join(drawn)} (each with a chance of {augment['chance']:g})")
    return f"Crops were augmented by {' and '.join(ways)}." if ways else "Crops were not augmented."


def _evaluated(evaluation: Json, results: Json) -> list[str]:
    run = last_part(evaluation["run"])
    runs = 1 + len(evaluation.get("others") or ())
    mean = f", and {count(runs - 1, 'other')}, whose mean was taken" if runs > 1 else ""
    return [
        f"The network of the run {run} (step {evaluation['step']}){mean} was scored on "
        f"{count(results['slices'], 'labelled image')} of {last_part(evaluation['input'])}."
    ]


def _scoring(folder: RunFolder, cite: _Cited) -> list[str]:
    results = folder.results
    if not results["slices"]:
        return ["Nothing was left to test the network on."]
    said = [
        f"Scores are of all labelled pixels together of {folder.tested} "
        f"({results['pixels']:,} pixels): the U-Net has a pixel accuracy of "
        f"{score(results['accuracy'])} and a mean IoU of {score(results['miou'])}."
    ]
    beside = [
        f"{found['method']}{f' {cite(name)}' if name in IN_TEXT else ''}, "
        f"{score(found['accuracy'])} and {score(found['miou'])}"
        for name, found in list(methods_of(results).items())[1:]
    ]
    if beside:
        said.append(
            f"Baselines, fitted to the same training {noun(results)}s: {'; '.join(beside)}."
        )
    if results.get("verdict"):
        said.append(verdict(results)["line"])
        if results["verdict"]["low"] is not None and not too_few(results["verdict"]):
            said.append(
                f"Intervals are bootstrapped over these {results['verdict']['unit']} "
                f"{cite('pigeonhole', 'rescaled')}; they do not cover the chance of another seed."
            )
    calibration = results.get("calibration") or {}
    if calibration.get("temperature") is not None and "ece" in calibration:
        said.append(
            f"Probabilities were calibrated by a temperature of {calibration['temperature']:.2f} "
            f"{cite('temperature')}, fitted on the validation {noun(results)}s; their expected "
            f"calibration error goes from {score(calibration['ece_before'])} to "
            f"{score(calibration['ece'])}."
        )
    return said


def _software(results: Json) -> list[str]:
    packages = results["packages"]
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("jax", "flax", "optax") if name in packages
    )
    commit = f", commit {results['git_commit'][:12]}" if results["git_commit"] else ""
    python = f", Python {packages['python']}" if "python" in packages else ""
    return [f"Software: xseg_jax{commit}, with {versions}{python}, on {results['device']}."]


def citation(results: Json, sources: Sequence[str]) -> dict[str, Any]:
    """How to cite the software, and what a run with it stands on."""
    commit = results["git_commit"]
    at = f" Commit {commit}." if commit else ""
    bibtex = "\n".join((
        "@misc{xseg_jax,",
        "  author = {{" + AUTHORS + "}},",
        "  title = {{" + SOFTWARE + "}},",
        *([f"  note = {{Commit {commit}}},"] if commit else []),
        "}",
    ))  # fmt: skip
    return {"text": f"{AUTHORS}. {SOFTWARE}.{at}", "bibtex": bibtex, "sources": list(sources)}
