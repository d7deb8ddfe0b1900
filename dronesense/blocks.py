"""Loops over blocks: read-ahead, several workers, and one BLAS thread while they run."""

from __future__ import annotations

import operator
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")
U = TypeVar("U")

POLL_S: Final = 0.05
"""How often a waiting reader thread looks whether its consumer has gone away, s."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run the block with one BLAS thread.

    Blocks are small: threads that wait for each other cost more than they bring, and on busy cores many times
    more; and sums come out the same to the last bit whatever the machine.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def worker_count(limit: int) -> int:
    """Return how many threads may work at a time: at most *limit*, at most the processors that are ours."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(limit, ours))


def share_out(items: Iterable[T], workers: Sequence[Callable[[T], object]]) -> None:
    """Give every item to one of *workers*, each in a thread of its own, while the next item is being read.

    Which worker takes an item is left to chance: the work must not depend on it, and results must go to
    places of their own. NumPy works on large arrays in several threads at a time.

    Parameters
    ----------
    items : iterable
        Read ahead by a further thread.
    workers : sequence of callable
        At least one. An exception of one of them, or of *items*, ends all and is raised here.

    Examples
    --------
    >>> squares = [0] * 5
    >>> def square(i):
    ...     squares[i] = i * i
    >>> share_out(range(5), [square, square])
    >>> squares
    [0, 1, 4, 9, 16]
    """
    if not workers:
        raise ValueError("there must be a worker")
    stream = prefetch(items)
    if len(workers) == 1:
        for item in stream:
            workers[0](item)
        return
    turn = threading.Lock()
    failures: list[BaseException] = []

    def run(work: Callable[[T], object]) -> None:
        try:
            while not failures:
                with turn:
                    item = next(stream, _End)
                if item is _End:
                    return
                work(item)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001  (raised below, in the caller's thread)
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,), name="dronesense-worker") for work in workers[1:]]
    for thread in threads:
        thread.start()
    run(workers[0])
    for thread in threads:
        thread.join()
    stream.close()  # type: ignore[attr-defined]
    if failures:
        raise failures[0]


def together(first: Callable[[], T], second: Callable[[], U]) -> tuple[T, U]:
    """Return the results of both, each worked out in a thread of its own where there are processors.

    Examples
    --------
    >>> together(lambda: 1 + 1, lambda: "two")
    (2, 'two')
    """
    one: list[T] = []
    other: list[U] = []
    works = (lambda: one.append(first()), lambda: other.append(second()))
    share_out(works, [operator.call] * worker_count(2))
    return one[0], other[0]


class _Failure:
    """An exception on its way from the reader thread to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """The iterable is exhausted."""


def prefetch(iterable: Iterable[T], depth: int = 1) -> Iterator[T]:
    """Yield the items of *iterable*, the next *depth* of them fetched by a thread while the caller works.

    An exception of *iterable* is raised in the caller, at the place in the sequence where it happened. The
    thread ends when the sequence does, when it fails, and when the caller stops early (``break``, an
    exception, garbage collection).

    Parameters
    ----------
    iterable : iterable
        Usually :meth:`SpectralCube.blocks`; it is consumed in the thread.
    depth : int
        Items held in advance, at least 1: at most ``depth + 2`` are alive at a time.

    Raises
    ------
    ValueError
        If *depth* is less than 1.

    Examples
    --------
    >>> list(prefetch(range(4)))
    [0, 1, 2, 3]
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    return _consume(iterable, depth)


def _consume(iterable: Iterable[T], depth: int) -> Iterator[T]:
    ready: queue.Queue[T | _Failure | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(iterable, ready, stop), name="dronesense-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item
            del item
    finally:
        stop.set()
        thread.join()


def _fill(iterable: Iterable[T], ready: queue.Queue[T | _Failure | _End], stop: threading.Event) -> None:
    def put(item: T | _Failure | _End) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False

    try:
        for item in iterable:
            if not put(item):
                return
    except BaseException as error:  # noqa: BLE001  (handed to the consumer, which raises it)
        put(_Failure(error))
    else:
        put(_End())
