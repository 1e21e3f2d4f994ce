"""Forests of few pixels: most tests look at where a forest stands, not at how good it is.

Imported by tests, and by the process that others are forked from.
"""

import sklearn.ensemble  # noqa: F401 - a second, once

from xseg_jax.evaluation import forest

forest.PIXELS = 1000
