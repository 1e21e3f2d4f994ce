"""Segmentation of X-ray images with a U-Net in JAX."""
