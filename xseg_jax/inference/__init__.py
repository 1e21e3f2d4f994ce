"""From a whole slice of any size to class probabilities."""
