"""Volumes to write and to read back, and what every scan promises."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32",
          "float64")  # fmt: skip
SHAPE = (5, 7, 9)


def volume(dtype="uint16", shape=SHAPE, seed=0):
    """Random values over the whole range of a type."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype.newbyteorder("="), endpoint=True)


def check(scan, expected_ZYX):
    """A scan gives exactly this volume: whole, by planes of each axis, by threads, and pickled."""
    expected_ZYX = np.asarray(expected_ZYX)
    assert scan.shape == expected_ZYX.shape
    assert scan.dtype == expected_ZYX.dtype.newbyteorder("=")
    assert scan.dtype.isnative
    whole_ZYX = scan.slab(0, scan.shape[0])
    assert whole_ZYX.dtype == scan.dtype
    np.testing.assert_array_equal(whole_ZYX, expected_ZYX)
    copy = pickle.loads(pickle.dumps(scan))
    for axis, length in enumerate(scan.shape):
        with ThreadPoolExecutor(4) as pool:
            planes = list(pool.map(lambda k, axis=axis: scan.plane(k, axis), range(length)))
        for k in {0, length // 2, length - 1}:
            assert planes[k].dtype == scan.dtype
            np.testing.assert_array_equal(planes[k], expected_ZYX.take(k, axis))
        np.testing.assert_array_equal(np.stack(planes, axis), expected_ZYX)
        last = length - 1
        np.testing.assert_array_equal(copy.plane(last, axis), expected_ZYX.take(last, axis))
    copy.close()
