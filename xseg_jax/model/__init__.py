"""Pure JAX: the network, its losses, its scores. No files, no config, no TensorFlow."""
