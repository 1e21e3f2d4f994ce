"""Files or physics in, batches out. The only package that touches TensorFlow."""
