"""Quantities of a labelled volume: arrays and a spacing in, numbers with units out."""
