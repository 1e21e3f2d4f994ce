"""The seed recipe on a synthetic tomogram; every field there is."""

from typing import Any

from ml_collections import ConfigDict


def get_config() -> Any:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 10
    config.batch_size = 16
    config.log_every = 4  # Steps in a line of metrics.jsonl.
    config.init_from = ""  # Run folder whose weights this run starts from.

    config.data = ConfigDict()
    config.data.source = "phantom"  # Or "folder".
    config.data.root = ""  # Holds images|data and labels|masks.
    config.data.images = ""  # Or name both: a folder, a file of any format, file.h5::/entry/data.
    config.data.labels = ""
    config.data.number_pattern = r"(\d+)(?!.*\d)"  # First group: the z in a file's stem.
    config.data.skip_unlabelled = False  # Leave images without a label out.
    config.data.labelled = ""  # Labelled planes of label volumes, "z=10,50; y=30"; "" finds them.
    config.data.classes = ""  # "0:pore,128:YSZ,255:nickel"; "" maps values by sorted order.
    config.data.ignore = ""  # Label values left out of loss and scores, as "255" or "254,255".
    config.data.voxel_size = ""  # "0.5 um", or "2,0.5,0.5 um" along z, y, x; "" as files say.
    # One grey scale; "scan" for each scan's own, "image" for each image's own.
    config.data.normalize = "volume"
    config.data.context = 0  # Neighbouring planes on each side that the network sees too.
    config.data.crop = 128  # Height and width, pixels.
    config.data.crops_per_epoch = 400
    config.data.rare_fraction = 0.0  # Share of crops centred on a class drawn uniformly.
    config.data.train_slices = 0  # Use so many of the training block; 0 for all.
    config.data.prepared_dir = "~/.cache/xseg_jax"
    config.data.memory_gib = 8.0  # Slices stay decoded in memory up to this size.

    config.data.split = ConfigDict()
    # auto, the strictest that the labels allow; scan, z, tiles within slices, none; group for
    # independent images; random.
    config.data.split.kind = "auto"
    config.data.split.fractions = (0.6, 0.15, 0.25)  # Training, validation, test.
    config.data.split.gap = 50  # Voxels between blocks, along z or within slices.
    # One training plane in so many of a scan is held out and scored as "between"; 0 for none.
    config.data.split.between = 10
    config.data.split.train = ()  # First and last z, instead of fractions.
    config.data.split.validation = ()
    config.data.split.test = ()
    config.data.split.group_pattern = ""  # First group: what images of one patient share.

    config.data.phantom = ConfigDict()
    config.data.phantom.size = 256  # Pixels.
    config.data.phantom.depth = 240  # Slices.
    config.data.phantom.z_step = 2  # Every so many slices are imaged.
    config.data.phantom.fractions = (0.3, 0.42, 0.28)  # Pore, ceramic, metal.
    config.data.phantom.correlation_length = 7.0  # Pixels.
    config.data.phantom.attenuation = (0.0005, 0.0035, 0.0055)  # 1/pixel.
    config.data.phantom.texture = 0.05  # Relative variation within a phase.
    config.data.phantom.photons = 5000.0  # In a detector pixel of the flat field.
    config.data.phantom.ring_strength = 0.005  # Relative gain error of detector pixels.
    config.data.phantom.beam_hardening = 0.15  # Relative width of the spectrum.
    config.data.phantom.projections = 360
    config.data.phantom.seed = 0

    config.augment = ConfigDict()
    config.augment.flip = "both"  # none, horizontal, vertical or both.
    config.augment.rotate90 = True
    # What follows are largest magnitudes, drawn for each crop; 0 leaves one out.
    config.augment.chance = 0.5  # That a crop gets one of them, each by itself.
    config.augment.brightness = 0.0  # Standard deviations of the data.
    config.augment.contrast = 0.0  # Relative.
    config.augment.gamma = 0.0
    config.augment.ramp = 0.0  # Standard deviations of the data, from end to end.
    config.augment.cupping = 0.0
    config.augment.rings = 0.0
    config.augment.noise = 0.0
    config.augment.coloured_noise = 0.0  # As reconstruction makes it.
    config.augment.blur = 0.0  # Pixels.
    config.augment.scale = 0.0  # Relative.
    config.augment.rotation = 0.0  # Degrees.

    config.model = ConfigDict()
    config.model.features = (16, 32, 64, 128)
    config.model.patch = 1  # Side of the squares of pixels that the network takes as one.
    config.model.norm = "batch"  # none, batch, group or instance.
    config.model.upsample = "transposed"  # Or "resize".
    config.model.dropout = 0.0  # Before the last layer.
    config.model.skip = True
    # bfloat16, float32, or auto: bfloat16 on a GPU or TPU, else float32. Parameters are float32.
    # Or float64, with JAX_ENABLE_X64=1, to tell what is rounding.
    config.model.dtype = "auto"
    config.model.remat = False

    config.loss = ConfigDict()
    # cross_entropy, weighted_cross_entropy, dice, focal or cross_entropy_dice.
    config.loss.name = "cross_entropy"
    config.loss.class_weights = ()  # () weighs by inverse frequency.
    config.loss.focal_gamma = 2.0

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "constant"  # Or "cosine".
    config.optimizer.warmup_steps = 0
    config.optimizer.clip_norm = 0.0  # 0 does not clip.
    config.optimizer.weight_decay = 0.0
    config.optimizer.ema_decay = 0.0  # 0 keeps no average of the parameters.
    # Last share of the steps, in which BatchNorm keeps its statistics; 0 for none.
    config.optimizer.freeze_norm = 0.0

    config.parallel = ConfigDict()
    # jit on one device, pmap or shard_map on all; auto is pmap where there are several.
    config.parallel.mode = "auto"
    config.parallel.accumulate = 1  # Parts a batch is taken in, for less memory.

    config.checkpoint = ConfigDict()  # After each epoch, and
    config.checkpoint.steps = 0  # every so many steps; 0 for never,
    config.checkpoint.minutes = 10.0  # after so many minutes; 0 for never.
    config.checkpoint.keep = 2  # The latest; the best stays too.
    # Which is tested and predicts: the best by mean IoU on the validation slices, or the last.
    config.checkpoint.use = "best"

    config.inference = ConfigDict()
    config.inference.tile = 512  # Pixels.
    config.inference.overlap = 64
    config.inference.batch_size = 1  # Tiles of an image that a device takes at once.

    config.report = ConfigDict()
    config.report.baselines = ("forest", "thresholding")  # Beside the scores; () for none.
    # What is measured of test slices: fractions, surfaces, triple_lines in seconds; of a volume of
    # neighbouring slices also connectivity, chords, thickness, correlation, objects in minutes.
    config.report.quantities = ("fractions", "surfaces", "triple_lines")
    config.report.tolerance = 2.0  # Pixels that boundaries may be apart in the surface Dice.
    config.report.page = True  # report.html and model_card.md, at the end.
    config.report.overlay_class = ""  # Class in the collage's overlay; "" for the most wrong.
    # png | svg | pdf: what figures are written as, any of them; the last two are for papers.
    config.report.formats = ("png",)
    return config
