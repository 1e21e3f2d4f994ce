"""The plain recipe on a synthetic tomogram; every field there is.

The comment behind a field, or above it, is what `python main.py --help_config` says of it: "a | b"
are all the values that it can have.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config() -> Any:
    config = ConfigDict()
    config.seed = 0  # Of what training draws: first weights, crops, augmentation.
    config.epochs = 10  # Each is data.crops_per_epoch crops, and ends with a validation.
    config.batch_size = 16  # Crops in a step, over all devices.
    config.log_every = 4  # Steps in a line of metrics.jsonl.
    config.init_from = ""  # Run folder whose weights this run starts from; "" for fresh ones.

    config.data = ConfigDict()  # What is read, and how it is shown to the network.
    config.data.source = "phantom"  # phantom | folder: a simulated tomogram, or files.
    config.data.root = ""  # Folder that holds images|data and labels|masks.
    # Or name both: a folder of images, or a file of any format, as file.h5::/entry/data.
    config.data.images = ""
    config.data.labels = ""  # Of the images: a folder or file, all planes or some of them.
    # Regular expression for the z in a file's name without its suffix: the first group.
    config.data.number_pattern = r"(\d+)(?!.*\d)"
    config.data.skip_unlabelled = False  # Leave images without a label out, instead of refusing.
    # Labelled planes of label volumes, "z=10,50; y=30"; "" finds them.
    config.data.labelled = ""
    # Label values and names of classes, "0:pore,128:YSZ,255:nickel"; "" maps by sorted order.
    config.data.classes = ""
    config.data.ignore = ""  # Label values left out of loss and scores, as "255" or "254,255".
    config.data.voxel_size = ""  # "0.5 um", or "2,0.5,0.5 um" along z, y, x; "" as files say.
    # volume | scan | image: one grey scale for all, one for each scan, or one for each image.
    config.data.normalize = "volume"
    # Neighbouring planes on each side that the network sees too, where training slices have them.
    config.data.context = 0
    config.data.crop = 128  # Height and width of what a step sees of an image, pixels.
    config.data.crops_per_epoch = 400  # Crops from one validation to the next.
    config.data.rare_fraction = 0.0  # Share of crops centred on a class drawn uniformly.
    config.data.train_slices = 0  # Use so many of the training block; 0 for all.
    config.data.prepared_dir = "~/.cache/xseg_jax"  # Folder of prepared data, a cache.
    config.data.memory_gib = 8.0  # Slices stay decoded in memory up to this size.

    config.data.split = ConfigDict()  # Which slices train, validate and test.
    # auto | scan | z | tiles | group | random | none: auto is the strictest of whole scans, blocks
    # of z, blocks within slices and none that the labels allow; group is for independent images.
    config.data.split.kind = "auto"
    config.data.split.fractions = (0.6, 0.15, 0.25)  # Training, validation, test.
    config.data.split.gap = 50  # Voxels between blocks, along z or within slices.
    # One training plane in so many of a scan is held out and scored as "between"; 0 for none.
    config.data.split.between = 10
    config.data.split.train = ()  # First and last z of training, instead of fractions.
    config.data.split.validation = ()  # First and last z of validation.
    config.data.split.test = ()  # First and last z of the test.
    # Regular expression whose first group images of one patient share; "" for one image each.
    config.data.split.group_pattern = ""
    config.data.split.seed = 0  # Of the order of scans, groups and random slices.

    config.data.phantom = ConfigDict()  # The simulated tomogram, where data.source is phantom.
    config.data.phantom.size = 256  # Height and width of a slice, pixels.
    config.data.phantom.depth = 240  # Slices of the structure.
    config.data.phantom.z_step = 2  # Every so many slices are imaged.
    config.data.phantom.fractions = (0.3, 0.42, 0.28)  # Of the volume: pore, ceramic, metal.
    config.data.phantom.correlation_length = 7.0  # Size of the structure, pixels.
    config.data.phantom.attenuation = (0.0005, 0.0035, 0.0055)  # Of each phase, 1/pixel.
    config.data.phantom.texture = 0.05  # Relative variation within a phase.
    config.data.phantom.photons = 5000.0  # In a detector pixel of the flat field.
    config.data.phantom.ring_strength = 0.005  # Relative gain error of detector pixels.
    config.data.phantom.beam_hardening = 0.15  # Relative width of the spectrum.
    config.data.phantom.projections = 360  # Angles that it is imaged from.
    config.data.phantom.seed = 0  # Of structure and noise.

    # How crops are changed at random; but for flip and rotate90 these are largest magnitudes, drawn
    # for each crop, and 0 leaves one out.
    config.augment = ConfigDict()
    config.augment.flip = "both"  # none | horizontal | vertical | both: crops are mirrored.
    config.augment.rotate90 = True  # Crops are turned by right angles.
    config.augment.chance = 0.5  # That a crop gets one of what follows, each by itself.
    config.augment.brightness = 0.0  # Standard deviations of the data.
    config.augment.contrast = 0.0  # Grey values spread by a factor of 1 +- this.
    config.augment.gamma = 0.0  # Exponents of grey values from 1 / (1 + this) to 1 + this.
    config.augment.ramp = 0.0  # Standard deviations of the data, from end to end.
    config.augment.cupping = 0.0  # Standard deviations of the data, from the middle to the edges.
    config.augment.rings = 0.0  # Standard deviations of the data, arcs about an axis of rotation.
    config.augment.noise = 0.0  # Standard deviations of the data, each pixel by itself.
    config.augment.coloured_noise = 0.0  # As noise, in grains as of reconstruction.
    config.augment.blur = 0.0  # Standard deviation of the Gaussian, pixels.
    config.augment.scale = 0.0  # Zoom by a factor of 1 +- this.
    config.augment.rotation = 0.0  # Degrees.

    config.model = ConfigDict()  # The U-Net.
    config.model.features = (16, 32, 64, 128)  # Channels of each level, the finest first.
    config.model.patch = 1  # Side of the squares of pixels that the network takes as one.
    config.model.norm = "batch"  # none | batch | group | instance: normalisation of features.
    config.model.upsample = "transposed"  # transposed | resize: the way up between levels.
    config.model.dropout = 0.0  # Share of features left out before the last layer.
    config.model.skip = True  # Connections from the way down to the way up.
    # auto | float32 | bfloat16 | float64: of what is computed; auto is bfloat16 on a GPU or TPU,
    # else float32. Parameters are float32. float64, to tell what is rounding, needs
    # JAX_ENABLE_X64=1.
    config.model.dtype = "auto"
    config.model.remat = False  # Compute features twice instead of keeping them: less memory.

    config.loss = ConfigDict()  # What training makes small.
    # cross_entropy | weighted_cross_entropy | dice | focal | cross_entropy_dice: over labelled
    # pixels.
    config.loss.name = "cross_entropy"
    # Of weighted_cross_entropy, one a class; () weighs by inverse frequency.
    config.loss.class_weights = ()
    config.loss.focal_gamma = 2.0  # Of focal: the higher, the less do pixels count that are right.

    config.optimizer = ConfigDict()  # Adam, or AdamW.
    config.optimizer.learning_rate = 1e-3  # The highest.
    config.optimizer.schedule = "constant"  # constant | cosine: cosine ends at 0.
    config.optimizer.warmup_steps = 0  # Steps in which the rate grows from 0.
    config.optimizer.clip_norm = 0.0  # Largest norm of a step's gradient; 0 does not clip.
    config.optimizer.weight_decay = 0.0  # Of kernels; above 0 it is AdamW.
    config.optimizer.ema_decay = 0.0  # Of a moving average of the weights; 0 keeps none.
    # Last share of the steps, in which BatchNorm keeps its statistics; 0 for none.
    config.optimizer.freeze_norm = 0.0

    config.parallel = ConfigDict()  # How a step is shared out to devices.
    # auto | jit | pmap | shard_map: jit on one device, the others on all; auto is pmap where there
    # are several.
    config.parallel.mode = "auto"
    config.parallel.accumulate = 1  # Parts a batch is taken in, for less memory.

    config.checkpoint = ConfigDict()  # When a run is saved, beside after each epoch.
    config.checkpoint.steps = 0  # Every so many steps; 0 for never.
    config.checkpoint.minutes = 10.0  # After so many minutes; 0 for never.
    config.checkpoint.keep = 2  # The latest that stay; the best stays too.
    # best | last: which is tested and predicts; best by mean IoU on the validation slices.
    config.checkpoint.use = "best"

    config.inference = ConfigDict()  # How whole images are segmented.
    config.inference.tile = 512  # Height and width of the tiles that images are cut into, pixels.
    config.inference.overlap = 64  # Of neighbouring tiles, pixels.
    config.inference.batch_size = 1  # Tiles of an image that a device takes at once.

    config.report = ConfigDict()  # What stands beside the scores.
    # forest | thresholding: baselines, any of them; () for none.
    config.report.baselines = ("forest", "thresholding")
    # fractions | surfaces | triple_lines | connectivity | chords | thickness | correlation |
    # objects | tortuosity: what is measured of test slices, any of them. The first three take
    # seconds; the others are of a volume of neighbouring slices and take minutes.
    config.report.quantities = ("fractions", "surfaces", "triple_lines")
    config.report.tolerance = 2.0  # Pixels that boundaries may be apart in the surface Dice.
    config.report.page = True  # Write report.html and model_card.md at the end.
    config.report.overlay_class = ""  # Class in the collage's overlay; "" for the most wrong.
    # png | svg | pdf: what figures are written as, any of them; the last two are for papers.
    config.report.formats = ("png",)
    return config
