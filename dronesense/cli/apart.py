"""One flight in a process of its own, that ends with whoever started it: what a worker of a cluster does.

A worker lives for weeks, with the environment of a stranger, and other work beside ours in its threads. So
it starts ``python -m dronesense.cli.apart`` for every flight: with the environment of the client (same
settings, same bytes), without the worker's setting of the memory allocator, which costs a good part of the
processor, under a memory limit, and with all memory given back in the end. A crash of a library costs the
process, not the worker. Job and answer are JSON.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dronesense import __version__, errors
from dronesense.cli import POISON, prepare_environment
from dronesense.cli.executors import Task, process_one
from dronesense.cli.products import Outcome
from dronesense.errors import DronesenseError
from dronesense.evidence.environment import THREAD_SETTINGS
from dronesense.writers.atomic import LockedError

SETTINGS: Final = (*THREAD_SETTINGS, "MALLOC_TRIM_THRESHOLD_")
"""Variables that are as on the client, set or not."""
WATCH_S: Final = 0.2
"""Between two looks at a process and its memory, s."""
LOCK_TRIES: Final = 10
"""Attempts on a folder that is locked: a worker that was killed takes a moment to let go."""
LOCK_WAIT_S: Final = 1.0
"""Between two of them, s."""
EXIT_ORPHAN: Final = 75
"""Exit code of a process whose worker is gone."""
MB: Final = 10**6
SHARED: Final = "keep flights and products in a folder that every worker sees under the same path"

Job = dict[str, Any]
"""What :func:`job_of` makes, JSON-ready."""
Answer = dict[str, Any]
"""``{"outcome": ...}`` or ``{"failure": ...}``, JSON-ready."""


class ProcessDiedError(Exception):
    """The process that had a flight ended without an answer."""


def job_of(task: Task) -> Job:
    """Return *task* for a worker: absolute paths, and what has to be there as it is here."""
    return {
        "flight": str(task.flight.resolve()),
        "directory": str(task.directory.resolve()),
        "language": task.language,
        "again": task.again,
        "version": __version__,
        "settings": {name: os.environ.get(name) for name in SETTINGS},
    }


def run_apart(job: Job, *, limit_bytes: int | None = None) -> Answer:
    """Process the flight of *job* in a new process and return its answer.

    Parameters
    ----------
    job : dict
        From :func:`job_of`.
    limit_bytes : int, optional
        Memory of its own that the process may use; at the next look (:data:`WATCH_S`) it is ended.

    Raises
    ------
    ProcessDiedError
        If it ended without an answer.
    """
    answer = _once(job, limit_bytes)
    for _ in range(LOCK_TRIES):
        if not answer.get("failure", {}).get("locked"):
            break
        time.sleep(LOCK_WAIT_S)
        answer = _once(job, limit_bytes)
    return answer


def _once(job: Job, limit_bytes: int | None) -> Answer:
    command = [sys.executable, "-m", "dronesense.cli.apart"]
    with (
        tempfile.TemporaryFile() as written,
        subprocess.Popen(  # noqa: S603 - this Python, with no word from outside
            command, stdin=subprocess.PIPE, stdout=written, env=_environment(job)
        ) as process,
    ):
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()  # and left open: its end tells the process that this one is gone
            within = _ended_within(process, limit_bytes)
        finally:
            process.kill()
        code = process.wait()
        written.seek(0)
        text = written.read()
    if not within:
        assert limit_bytes is not None
        return {"failure": _failure(_too_large(job, limit_bytes))}
    if code != 0 or not text:
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ProcessDiedError(f"on {platform.node()} ({end})")
    answer: Answer = json.loads(text)
    return answer


def _environment(job: Job) -> dict[str, str]:
    """Return the environment of the worker, with what changes results as the client has it."""
    kept = {name: text for name, text in os.environ.items() if name not in (*POISON, *SETTINGS)}
    return kept | {name: text for name, text in job["settings"].items() if text is not None}


def _ended_within(process: subprocess.Popen[bytes], limit_bytes: int | None) -> bool:
    """Wait for *process*; return whether it ended before its memory passed *limit_bytes*."""
    while True:
        try:
            process.wait(timeout=WATCH_S)
        except subprocess.TimeoutExpired:
            if limit_bytes is not None and _memory_bytes(process.pid) > limit_bytes:
                return False
        else:
            return True


def _memory_bytes(pid: int) -> int:
    """Return the resident memory that no file backs, B, of a process and those it started; 0 if gone."""
    import psutil  # comes with the extra

    total = 0
    try:
        first = psutil.Process(pid)
        for each in (first, *first.children(recursive=True)):
            told = each.memory_info()
            total += told.rss - getattr(told, "shared", 0)
    except psutil.Error:
        return total
    return total


def _too_large(job: Job, limit_bytes: int) -> DronesenseError:
    return DronesenseError(
        f"needed more than the {limit_bytes / MB:.0f} MB that worker {platform.node()} has for a flight",
        where=job["flight"],
        fix="start workers with a larger --memory-limit, or with one thread each",
    )


def answer_of(job: Job) -> Answer:
    """Process the flight of *job* in this process; every error becomes part of the answer."""
    try:
        _refuse_other_machine(job)
        outcome = process_one(
            Path(job["flight"]), Path(job["directory"]), job["language"], bool(job.get("again"))
        )
    except Exception as error:  # noqa: BLE001 - the door of this process: errors travel as JSON
        return {"failure": _failure(error)}
    return {"outcome": outcome.to_json()}


def _refuse_other_machine(job: Job) -> None:
    """Refuse a job of another version, or about folders that are not here."""
    here = f"worker {platform.node()}"
    if job["version"] != __version__:
        raise DronesenseError(
            f"{here} has dronesense {__version__}, the client {job['version']}",
            fix="install the same version everywhere",
        )
    for path in (Path(job["flight"]), Path(job["directory"]).parent):
        if not path.exists():
            raise DronesenseError(f"is not there for {here}", where=path, fix=SHARED)


def _failure(error: Exception) -> dict[str, Any]:
    """Return *error* as plain values, see :func:`error_of`."""
    told: dict[str, Any] = {"type": type(error).__name__, "what": str(error)}
    if isinstance(error, DronesenseError):
        known = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
        told |= {"type": known.__name__, "what": error.what, "where": error.where, "fix": error.fix}
        told |= {"ours": True, "locked": isinstance(error, LockedError)}
    elif isinstance(error, OSError):
        told |= {"errno": error.errno, "strerror": error.strerror, "where": error.filename}
    else:
        told["trace"] = "".join(traceback.format_exception(error))
    return told


def error_of(failure: Mapping[str, Any]) -> Exception:
    """Return the error that *failure*, a part of an answer, tells of.

    Examples
    --------
    >>> error_of({"ours": True, "type": "UnitsError", "what": "no such unit", "where": "a.csv", "fix": None})
    UnitsError('no such unit')
    """
    if failure.get("locked"):
        return LockedError(failure["what"], where=failure["where"], fix=failure["fix"])
    if failure.get("ours"):
        kind: type[DronesenseError] = getattr(errors, failure["type"])
        return kind(failure["what"], where=failure["where"], fix=failure["fix"])
    if "strerror" in failure:
        number = failure["errno"] or errno.EIO
        return OSError(number, failure["strerror"] or failure["what"], failure["where"])
    bug = RuntimeError(f"{failure['type']} on a worker: {failure['what']}")
    bug.add_note(str(failure.get("trace", "")))
    return bug


def outcome_of(told: Mapping[str, Any], task: Task) -> Outcome:
    """Return the outcome of an answer, with the folder as *task* names it."""
    values = {name: value for name, value in told.items() if name != "schema"}
    for name in ("rejected", "ignored"):
        values[name] = [(path, reason) for path, reason in values[name]]
    return Outcome(**(values | {"directory": str(task.directory)}))


def _end_with_parent() -> None:
    """Wait until the worker closes our input, which its death does as well, and leave at once."""
    while os.read(0, 1):
        pass
    os._exit(EXIT_ORPHAN)


def main() -> None:
    """Read a job from stdin and write the answer to stdout."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not get between
    sys.stdout = sys.stderr  # made for a file, it would seek in what may now be a pipe
    prepare_environment()
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = answer_of(json.loads(line))
    with os.fdopen(answers, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)


if __name__ == "__main__":
    main()
