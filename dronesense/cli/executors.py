"""Who does the work of ``dronesense run``: this process, several, or the workers of a cluster.

All of them make the products of a flight by one function, :func:`dronesense.cli.products.make_products`, and
answer every flight: with its outcome or with the error that it ended with, in the order in which they end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dronesense.cli.products import Outcome, make_products
from dronesense.languages import SOURCE


@dataclass(frozen=True)
class Task:
    """One flight to be processed.

    Parameters
    ----------
    flight : Path
        Folder or TOML file.
    directory : Path
        For its products.
    language : str
        Of page and report.
    again : bool
        Also when the products of a finished run are up to date.
    """

    flight: Path
    directory: Path
    language: str = SOURCE
    again: bool = False


@dataclass(frozen=True)
class Finished:
    """How one task ended: with an outcome or with an error, never with both.

    Parameters
    ----------
    number : int
        Of the task, from 0.
    outcome : Outcome or None
        What was made.
    error : Exception or None
        Why nothing was.
    """

    number: int
    outcome: Outcome | None = None
    error: Exception | None = None


class Executor(Protocol):
    """Something that processes flights."""

    def each(self, tasks: Sequence[Task]) -> Iterator[Finished]:
        """Yield how each of *tasks* ended, as it ends; a flight that fails costs only itself."""
        ...


@dataclass(frozen=True)
class InProcess:
    """One flight after the other in this process, with progress bars on a terminal.

    Parameters
    ----------
    language : str
        Of the bars.
    jobs : int
        Cubes of a flight that are searched at a time, in further processes.
    below : bool
        Products go into a folder of their own in that of the task.
    """

    language: str = SOURCE
    jobs: int = 1
    below: bool = False

    def each(self, tasks: Sequence[Task]) -> Iterator[Finished]:
        """Yield how each of *tasks* ended."""
        from dronesense.cli.talk import Talk

        for number, task in enumerate(tasks):
            try:
                with Talk(language=self.language) as talk:
                    outcome = make_products(
                        task.flight,
                        task.directory,
                        progress=talk.progress,
                        language=task.language,
                        again=task.again,
                        jobs=self.jobs,
                        below=self.below,
                    )
            except Exception as error:  # noqa: BLE001 - whoever asked decides what an error means
                yield Finished(number, error=error)
            else:
                yield Finished(number, outcome)


@dataclass(frozen=True)
class Processes:
    """Several flights at a time, each in a process.

    Parameters
    ----------
    jobs : int
        Processes.
    """

    jobs: int

    def each(self, tasks: Sequence[Task]) -> Iterator[Finished]:
        """Yield how each of *tasks* ended."""
        from dronesense.cli.parallel import each_in_a_process

        given = [(task.flight, task.directory, task.language, task.again) for task in tasks]
        for number, outcome, error in each_in_a_process(process_one, given, jobs=self.jobs):
            yield Finished(number, outcome, error)


def process_one(flight: Path, directory: Path, language: str, again: bool) -> Outcome:
    """Make the products of one flight, quietly."""
    return make_products(flight, directory, language=language, again=again)
