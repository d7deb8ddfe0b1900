"""``custody.jsonl``: who did what with the evidence and when, each line sealed by the next.

A line is a JSON object; its ``prev`` is the SHA-256 of the line before, newline included, so that
``sed -n 3p custody.jsonl | sha256sum`` checks it by hand. The file beside it, ``custody.jsonl.head``, holds
number and SHA-256 of the last line, the *head code*.

The chain shows a change to somebody who knows a later head code. It does not stop the owner of both files
from writing them anew from the start: note the head code on paper, or in a signed ``run.json``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dronesense.errors import EvidenceError
from dronesense.writers.atomic import lock, write_bytes

NAME: Final = "custody.jsonl"
HEAD_SUFFIX: Final = ".head"
FIRST_PREV: Final = "0" * 64
"""``prev`` of the first line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Parameters
    ----------
    seq : int
        1 for the first line.
    utc : str
        When, RFC 3339, by the clock of the machine: nothing proves that clock.
    actor, tool, action, note : str
        Who, with what, did what, and why.
    subject_sha256 : tuple of str
        Hashes of the files that it is about.
    prev : str
        SHA-256 of the line before.
    host : str, optional
        Machine.
    """

    seq: int
    utc: str
    actor: str
    tool: str
    action: str
    subject_sha256: tuple[str, ...]
    note: str
    prev: str
    host: str = ""

    def line(self) -> bytes:
        """Return the line as it stands in the file, newline included."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", errors="replace") + b"\n"


@dataclass(frozen=True, slots=True)
class Chain:
    """What a log holds.

    Parameters
    ----------
    entries : tuple of Entry
        Lines up to the first that is damaged.
    codes : tuple of str
        SHA-256 of each of them.
    problems : tuple of str
        What does not fit; empty for a whole chain.
    """

    entries: tuple[Entry, ...]
    codes: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def head(self) -> str:
        """SHA-256 of the last line."""
        return self.codes[-1] if self.codes else FIRST_PREV


def read(path: Path, *, heads: tuple[str, ...] = ()) -> Chain:
    """Read and check a log.

    Parameters
    ----------
    path : Path
        ``custody.jsonl``.
    heads : tuple of str
        Head codes noted elsewhere (paper, run.json), whole or their first digits: each must be a line's.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    data = path.read_bytes()
    entries: list[Entry] = []
    codes: list[str] = []
    problems: list[str] = []
    for number, line in enumerate(data.splitlines(keepends=True) if data else [], start=1):
        problem = "is cut off" if not line.endswith(b"\n") else ""
        entry = None if problem else _parsed(line)
        if entry is not None and entry.line() == line:
            if entry.seq != number:
                problem = f"says it is number {entry.seq}"
            elif entry.prev != (codes[-1] if codes else FIRST_PREV):
                problem = "does not fit the line before: a line was changed, moved, added or taken out"
        else:
            problem = problem or "is not a line that dronesense wrote"
        if problem:
            problems.append(f"line {number} {problem}")
            break
        assert entry is not None
        entries.append(entry)
        codes.append(hashlib.sha256(line).hexdigest())
    if not data:
        problems.append("it is empty")
    problems += _against_head_file(path, codes, entries) if not problems else []
    problems += [
        f"no line has the head code {head}: lines were changed or taken out after it was noted"
        for head in heads
        if not head or not any(code.startswith(head.lower()) for code in codes)
    ]
    return Chain(tuple(entries), tuple(codes), tuple(problems))


def append(
    path: Path,
    action: str,
    *,
    utc: str,
    actor: str,
    tool: str,
    subject_sha256: tuple[str, ...] = (),
    note: str = "",
    host: str = "",
) -> Chain:
    """Add a line to the log at *path*, which is made when it is not there, and return the whole chain.

    The file is replaced as a whole, under the lock of its folder: no line is ever half there.

    Raises
    ------
    EvidenceError
        If the log is damaged; nothing is added to it then.
    LockedError
        If another program works on the folder.
    OSError
        If it cannot be written.
    """
    with lock(path):
        data = b""
        chain = Chain((), (), ())
        if path.exists():
            data, chain = path.read_bytes(), read(path)
        elif _head_path(path).exists():
            raise EvidenceError(
                "is gone, but its head file is there", where=path, fix="put the log back as it was"
            )
        if chain.problems:
            raise EvidenceError(
                f"is damaged: {'; '.join(chain.problems)}",
                where=path,
                fix="keep it as it is for those who look into it, and begin a new log elsewhere",
            )
        seq = len(chain.entries) + 1
        entry = Entry(seq, utc, actor, tool, action, subject_sha256, note, chain.head, host)
        line = _settled(entry).line()
        write_bytes(path, data + line)
        code = hashlib.sha256(line).hexdigest()
        write_bytes(_head_path(path), f"{seq} {code}\n".encode())
    return Chain((*chain.entries, entry), (*chain.codes, code), ())


def _settled(entry: Entry) -> Entry:
    """Return *entry* with text as it reads back: no lone surrogates."""
    parsed = _parsed(entry.line())
    assert parsed is not None
    return parsed


def _head_path(path: Path) -> Path:
    return path.with_name(path.name + HEAD_SUFFIX)


def _against_head_file(path: Path, codes: list[str], entries: list[Entry]) -> list[str]:
    try:
        noted = _head_path(path).read_text("ascii", errors="replace").split()
    except FileNotFoundError:
        return [f"{path.name}{HEAD_SUFFIX} is gone: nobody can tell whether the last lines are still there"]
    last = entries[-1]
    # a program that was killed between the two files leaves the head one line behind
    if noted in ([str(last.seq), codes[-1]], [str(last.seq - 1), last.prev]):
        return []
    return ["the last line is not the one in the head file: it was changed, or lines were taken out"]


def _parsed(line: bytes) -> Entry | None:
    """Return the entry of a line, or None if it is not one."""
    try:
        row: Any = json.loads(line)
        entry = Entry(**{**row, "subject_sha256": tuple(row["subject_sha256"])})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = (entry.utc, entry.actor, entry.tool, entry.action, entry.note, entry.prev, entry.host)
    whole = isinstance(entry.seq, int) and all(
        isinstance(each, str) for each in (*texts, *entry.subject_sha256)
    )
    return entry if whole else None
