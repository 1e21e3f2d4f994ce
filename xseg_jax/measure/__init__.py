"""Quantities of a segmented volume: arrays and spacings in, numbers out. No config, no files."""
