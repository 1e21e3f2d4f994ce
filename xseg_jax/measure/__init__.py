"""Quantities of a segmented volume: arrays and a spacing in, numbers with units out."""
