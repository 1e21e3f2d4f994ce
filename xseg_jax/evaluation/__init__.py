"""Scores on whole slices, beside the baseline that needs no training."""
