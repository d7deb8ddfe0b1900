"""Read-ahead for loops over blocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.blocks import prefetch


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dronesense-prefetch"]


@given(st.lists(st.integers() | st.none()), st.integers(1, 4))
def test_prefetch_changes_neither_items_nor_order(items: list[int | None], depth: int) -> None:
    assert list(prefetch(items, depth)) == items
    assert not reader_threads()


def test_an_exception_arrives_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk gone")

    stream = prefetch(broken())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(stream)
    assert not reader_threads()


def test_the_thread_ends_when_the_consumer_stops_early() -> None:
    stream = prefetch(iter(range(10**9)))
    assert next(stream) == 0
    assert reader_threads()
    stream.close()  # type: ignore[attr-defined]
    assert not reader_threads()


def test_no_more_than_depth_plus_two_items_are_alive() -> None:
    made = []

    def source() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    stream = prefetch(source(), depth=2)
    next(stream)
    time.sleep(0.2)
    assert len(made) <= 4
    stream.close()  # type: ignore[attr-defined]


def test_reading_and_working_overlap() -> None:
    pause = 0.05

    def slow() -> Iterator[int]:
        for i in range(6):
            time.sleep(pause)
            yield i

    start = time.perf_counter()
    for _ in prefetch(slow()):
        time.sleep(pause)
    assert time.perf_counter() - start < 6 * 2 * pause  # one after the other would take at least this


def test_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="depth"):
        prefetch([1], depth=0)
