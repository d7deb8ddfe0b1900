"""The door through which a run hands its long work to somebody who may keep what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Keep(Protocol):
    """Somebody who may have kept what a piece of work gave, and may keep it."""

    def __call__(self, name: Sequence[str], kind: Any, work: Callable[[], T]) -> T:
        """Return what *work* returns, of type *kind*; *name* is path of the cube and what is sought."""
        ...


def at_once(name: Sequence[str], kind: Any, work: Callable[[], T]) -> T:  # noqa: ARG001 - nothing is kept
    """Do the work."""
    return work()
