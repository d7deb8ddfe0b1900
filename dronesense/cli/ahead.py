"""Cubes of one flight searched at a time, each in a process, while this one puts them on the ground.

The others keep what they found (:mod:`dronesense.evidence.stages`); the run takes it up as it would take up
what a killed run had kept. What another process could not do, this one does, so that errors stand where they
always stand and the products are the same bytes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, connection, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from dronesense.model import Flight

if TYPE_CHECKING:
    from dronesense.evidence import HashedInput


@contextmanager
def searching(
    path: Path, flight: Flight, inputs: tuple[HashedInput, ...], folder: Path, *, jobs: int
) -> Iterator[dict[str, Future[None]]]:
    """Search the cubes of *flight*, *jobs* at a time, and give what is under way by path of the cube.

    Parameters
    ----------
    path : Path
        That the flight was opened at.
    flight, inputs : Flight, tuple of HashedInput
        Opened and hashed.
    folder : Path
        Of the stages.
    jobs : int
        Processes; none with one, or one cube.
    """
    if jobs == 1 or len(flight.cubes) < 2:
        yield {}
        return
    pool = ProcessPoolExecutor(
        min(jobs, len(flight.cubes)), mp_context=get_context("spawn"), initializer=_follow_parent
    )
    try:
        names = [given.cube.path for given in flight.cubes]
        yield {name: pool.submit(_search, path, name, inputs, folder) for name in names}
    except BaseException:  # Ctrl-C, or an error that ends the run: nobody waits for what is under way
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _search(path: Path, name: str, inputs: tuple[HashedInput, ...], folder: Path) -> None:
    from dronesense.evidence.manifest import refuse_changed
    from dronesense.evidence.stages import Stages
    from dronesense.model.cube import DEFAULT_BLOCK_BYTES
    from dronesense.pipeline.cube_lane import search_cube

    flight = _opened(path)
    given = next(each for each in flight.cubes if each.cube.path == name)
    stages = Stages(folder, lambda: refuse_changed(flight, inputs), least_s=0.0)
    search_cube(given, flight=flight, budget_bytes=DEFAULT_BLOCK_BYTES, keep=stages)


def _follow_parent() -> None:
    """Leave Ctrl-C to the run, and leave at once when it is gone: nobody keeps anything behind its back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@cache
def _opened(path: Path) -> Flight:
    from dronesense.manifest import open_flight

    return open_flight(path)
