"""Tests of reading ahead and writing behind."""

import threading
import time

import pytest

from xseg_jax.inference.stream import Stream


def test_all_is_read_and_written_in_order():
    written = []
    with Stream(lambda item: 10 * item, lambda *result: written.append(result)) as stream:
        for item, found in zip(range(5), stream.read(range(5)), strict=True):
            stream.put(item, found)
        stream.finish()
    assert written == [(n, 10 * n) for n in range(5)]


def test_one_item_is_read_ahead_and_no_more():
    begun = []
    with Stream(lambda item: begun.append(item), print) as stream:
        for item, _ in enumerate(stream.read(range(6))):
            time.sleep(0.05)
            assert begun == list(range(min(item + 2, 6)))


def test_nothing_to_read_is_nothing_read():
    with Stream(print, print) as stream:
        assert list(stream.read([])) == []
        stream.finish()


def test_waits_are_counted():
    slow = 0.05
    with Stream(lambda _: time.sleep(slow), lambda: time.sleep(2 * slow)) as stream:
        for _ in stream.read(range(4)):
            stream.put()
        stream.finish()
    # The first reading, and four writings one after the other.
    assert stream.waited_to_read >= slow
    assert stream.waited_to_write >= 3 * slow


def test_what_writing_raises_is_raised_and_what_was_begun_is_waited_for():
    ended = threading.Event()

    def write():
        time.sleep(0.02)
        ended.set()
        raise OSError("disk full")

    def run():
        with Stream(lambda item: item, write) as stream:
            for _ in stream.read(range(3)):
                stream.put()

    with pytest.raises(OSError, match="disk full"):
        run()
    assert ended.is_set()
