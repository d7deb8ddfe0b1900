"""Several flights at a time, each in a process: one that dies takes no other with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from dronesense.errors import DronesenseError


def each_in_a_process(
    work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, jobs: int
) -> Iterator[tuple[int, Any, Exception | None]]:
    """Yield number, result and error of each task as it is done.

    Where a process dies (no memory left, a library that crashes) nobody knows which task it had: those that
    are left are done one by one, each in a process of its own, and the one that dies again fails alone.

    Parameters
    ----------
    work : callable
        That a new process can import.
    tasks : sequence of tuple
        Its arguments.
    jobs : int
        Processes.
    """
    left = dict(enumerate(tasks))
    for number, result, error in _pooled(work, left, jobs):
        if not isinstance(error, BrokenProcessPool):
            del left[number]
            yield number, result, error
    for number, task in left.items():
        for _, result, error in _pooled(work, {number: task}, 1):
            lost = isinstance(error, BrokenProcessPool)
            yield number, result, _lost(task) if lost else error


def _pooled(
    work: Callable[..., Any], tasks: dict[int, tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, Any, Exception | None]]:
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=get_context("spawn"))
    try:
        futures: dict[Future[Any], int] = {pool.submit(work, *task): number for number, task in tasks.items()}
        for future in as_completed(futures):
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield futures[future], None if error else future.result(), error
    finally:  # also on Ctrl-C: what has not begun never does
        pool.shutdown(wait=True, cancel_futures=True)


def _lost(task: tuple[Any, ...]) -> DronesenseError:
    return DronesenseError(
        "the process that worked on it has died, twice",
        where=str(task[0]) if task else None,
        fix="run it alone to see why; if memory is short, close other programs or use fewer --jobs",
    )
