"""Flights on the workers of an existing Dask scheduler; needs the extra ``dronesense[cluster]``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dronesense import __version__
from dronesense.cli.apart import (
    SHARED,
    Answer,
    Job,
    ProcessDiedError,
    error_of,
    job_of,
    outcome_of,
    run_apart,
)
from dronesense.cli.executors import Finished, Task
from dronesense.errors import DronesenseError, PluginError
from dronesense.writers.atomic import MANIFEST_NAME

if TYPE_CHECKING:
    from distributed import Client, Future

SCHEMES: Final = ("tcp", "tls")
CONNECT_S: Final = 10.0
"""For the scheduler to answer, s."""
RETRIES: Final = 1
"""Of a flight whose process died; one whose worker died is given out again by the scheduler itself."""
POLL_S: Final = 2.0
"""Between two looks at whether any worker is left, s."""
PATIENCE_S: Final = 120.0
"""Without any worker, s: then the flights that are left are given up."""
LOOKS: Final = 5
"""At products that a worker reports and that are not here yet: a network folder may lag."""
SHOWN: Final = 3
"""Workers named in one message."""


def check_address(address: str) -> None:
    """Refuse what is not ``tcp://host:port`` or ``tls://host:port``.

    Raises
    ------
    ValueError
        Saying what is expected.

    Examples
    --------
    >>> check_address("tcp://127.0.0.1:8786")
    >>> check_address("http://127.0.0.1:8786")
    Traceback (most recent call last):
    ...
    ValueError: must be tcp://HOST:PORT or tls://HOST:PORT, not 'http://127.0.0.1:8786'
    """
    try:
        parts = urlsplit(address)
        good = parts.scheme in SCHEMES and bool(parts.hostname) and bool(parts.port)
        good = good and not (parts.path or parts.query or parts.fragment or parts.username)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"must be tcp://HOST:PORT or tls://HOST:PORT, not {address!r}")


@dataclass(frozen=True)
class Dask:
    """Flights on a Dask cluster: each on one worker, in a process of its own there.

    A flight whose process dies is tried once more, and one whose worker dies is given to another worker
    (as often as the scheduler's ``allowed-failures`` says); then it fails alone.

    Parameters
    ----------
    address : str
        Of the scheduler, ``tcp://host:port`` or ``tls://host:port``.
    patience_s : float
        How long to wait while there is no worker at all, s.
    """

    address: str
    patience_s: float = PATIENCE_S

    def each(self, tasks: Sequence[Task]) -> Iterator[Finished]:
        """Yield how each of *tasks* ended.

        Raises
        ------
        PluginError
            If the package ``distributed`` is not installed.
        DronesenseError
            If no scheduler answers, it has no workers, or they have another version of dronesense.
        """
        with _connected(self.address) as client:
            _refuse_other_versions(client, self.address)
            for task in tasks:
                task.directory.resolve().parent.mkdir(parents=True, exist_ok=True)
            jobs = [job_of(task) for task in tasks]
            futures = dict(enumerate(client.map(at_worker, jobs, pure=False, retries=RETRIES)))
            done: SimpleQueue[int] = SimpleQueue()
            for number, future in futures.items():
                future.add_done_callback(partial(_note, done, number))
            for number in self._numbers(client, futures, done):
                yield _finished(number, tasks[number], futures.pop(number))
            for number in sorted(futures):
                yield Finished(number, error=_abandoned(tasks[number], self.address))

    def _numbers(self, client: Client, futures: dict[int, Future], done: SimpleQueue[int]) -> Iterator[int]:
        """Yield the numbers of futures that are done, until all are or no worker was left for long."""
        alone_since: float | None = None
        while futures:
            try:
                yield done.get(timeout=POLL_S)
            except Empty:
                now = time.monotonic()
                alone_since = None if _any_worker(client) else (alone_since or now)
                if alone_since is not None and now - alone_since > self.patience_s:
                    return


def at_worker(job: Job) -> Answer:
    """Process the flight of *job* on the worker that this is called on."""
    from distributed import get_worker

    worker = get_worker()
    limit = worker.memory_manager.memory_limit
    return run_apart(job, limit_bytes=int(limit / worker.state.nthreads) if limit else None)


def _connected(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise PluginError(
            "a cluster needs the package distributed", fix='pip install "dronesense[cluster]"'
        ) from error
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:  # TypeError, ValueError: tls without certificates
        raise DronesenseError(
            f"no Dask scheduler answers ({error})",
            where=address,
            fix="start one with `dask scheduler`, or check address and certificates",
        ) from error


def _refuse_other_versions(client: Client, address: str) -> None:
    workers: dict[str, Any] = client.get_versions(packages=["dronesense"])["workers"]
    if not workers:
        raise DronesenseError(
            "the scheduler has no workers",
            where=address,
            fix=f"start some with `dask worker {address} --nthreads 1`",
        )
    found = {name: told["packages"].get("dronesense") for name, told in workers.items()}
    other = {name: version for name, version in sorted(found.items()) if version != __version__}
    if other:
        told = ", ".join(f"{name}: {version or 'none'}" for name, version in list(other.items())[:SHOWN])
        raise DronesenseError(
            f"{len(other)} of {len(found)} workers have another dronesense than {__version__} here ({told})",
            where=address,
            fix="install the same version, from the same lock, everywhere",
        )


def _note(done: SimpleQueue[int], number: int, _: Future) -> None:
    done.put(number)


def _any_worker(client: Client) -> bool:
    try:
        return bool(client.nthreads())
    except (OSError, TimeoutError):  # the scheduler is gone
        return False


def _finished(number: int, task: Task, future: Future) -> Finished:
    if future.status == "finished":
        answer: Answer = future.result()
        if "failure" in answer:
            return Finished(number, error=error_of(answer["failure"]))
        if not _is_here(task):
            return Finished(number, error=_elsewhere(task))
        return Finished(number, outcome_of(answer["outcome"], task))
    if future.status == "error":
        return Finished(number, error=_lost(task, future.exception()))
    return Finished(number, error=_lost(task, None))


def _is_here(task: Task) -> bool:
    """Tell whether this computer sees the products."""
    for attempt in range(LOOKS):
        if attempt:
            time.sleep(1.0)
            _ = list(task.directory.parent.iterdir())  # makes a network file system look again
        if (task.directory / MANIFEST_NAME).is_file():
            return True
    return False


def _elsewhere(task: Task) -> DronesenseError:
    return DronesenseError(
        "the worker has written the products, but they are not here", where=task.directory, fix=SHARED
    )


def _abandoned(task: Task, address: str) -> DronesenseError:
    return DronesenseError(
        f"no worker is left at {address} to work on it",
        where=task.flight,
        fix="start workers and run it again",
    )


def _lost(task: Task, error: BaseException | None) -> Exception:
    """Return why a flight has no answer: its process or its worker died, or the scheduler forgot it."""
    from distributed import KilledWorker

    if isinstance(error, ProcessDiedError):
        what = f"the process that worked on it has died, twice, last {error}"
        fix = "run it alone to see why; if memory is short, use fewer workers a machine"
    elif isinstance(error, KilledWorker):
        what = f"every worker that had it has died, {error.allowed_failures + 1} in all"
        fix = "see the logs of the workers; run it alone"
    elif isinstance(error, ImportError):
        what, fix = f"a worker cannot load dronesense ({error})", "install the same version everywhere"
    elif error is None:
        what, fix = "the scheduler has dropped it", "see whether the scheduler still runs, and run it again"
    else:
        return error if isinstance(error, Exception) else RuntimeError(repr(error))
    return DronesenseError(what, where=task.flight, fix=fix)
