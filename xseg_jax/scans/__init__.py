"""The only place that knows file formats: NumPy in and out, no JAX, TensorFlow or config."""
