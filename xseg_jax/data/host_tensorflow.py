"""TensorFlow as a CPU library: it must never take accelerator memory from JAX."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # Silences a notice; unused by tf.data.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # Keras is unused: it stays out, 1 s less.

import tensorflow as tf
import tensorflow_datasets as tfds

tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")
tfds.disable_progress_bar()  # Ours shows slices and a rate.

__all__ = ["tf", "tfds"]
