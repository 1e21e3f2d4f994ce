"""Forests of few pixels: most tests look at where a forest stands, not at how good it is.

Imported by tests, and by the processes that they start.
"""

import sklearn.ensemble  # noqa: F401 - a second, once

from xseg_jax.evaluation import forest

forest.PIXELS = 1000
