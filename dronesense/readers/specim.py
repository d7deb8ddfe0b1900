"""Specim AFX cameras: navigation ``.nav``, NMEA sentences with marks of the camera's frames.

Positions and attitude are read as of any NMEA log; ``$SPTSMP`` ties every 50th frame to them. See
``docs/formats/specim-nav.md``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory
from dronesense.readers import envi_header, nmea
from dronesense.readers.nmea_sentences import Sentences, plain
from dronesense.readers.nmea_time import NO_STAMP, stamped
from dronesense.readers.tally import Tally

FORMAT: Final = "Specim nav"
ONE_FILE_PER_LINE: Final = True
"""The camera starts a file with every capture: the files of a flight are one track."""

SYNC: Final = "SPTSMP"
FRAME_FIELD: Final = 2
"""Field of the sync sentence with the frame, counted from 1; it starts again after some thousands."""
DATE_KEY: Final = "acquisition date"
_DATE: Final = re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)", re.ASCII)
_DAY_FIRST: Final = re.compile(
    r"dd-mm-yyyy\)\s*:\s*(\d{1,2})-(\d{1,2})-(\d{4})(?!\d)", re.ASCII | re.IGNORECASE
)
"""``DATE(dd-mm-yyyy): 29-01-2019``: the order is stated with it."""


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* holds NMEA sentences with frame marks, or is a ``.nav`` with attitude."""
    if not nmea.looks_like_nmea(head):
        return False
    text = plain(head)
    return b"$SPTSMP" in text or (path.suffix.lower() == ".nav" and b"$PASHR" in text)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a ``.nav`` file.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `date`, the UTC day of the first sentence; without, that of the ENVI header beside the file.

    Returns
    -------
    Trajectory
        A row per position and per attitude.
    IngestReport
        Sentences refused by reason.

    Raises
    ------
    ReadError
        If no sentence has a position, or nothing says which day it was.
    """
    header, date = (None, None) if options.date is not None else header_date(path)
    return _decode(nmea.load(path), header=header, date=date, label=label, options=options)


def decode(
    data: NDArray[np.uint8],
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track from the bytes of a file, see :func:`read`; no header is looked for."""
    return _decode(data, header=None, date=None, label=label, options=options)


def _decode(
    data: NDArray[np.uint8], *, header: Path | None, date: dt.date | None, label: str, options: TrackOptions
) -> tuple[Trajectory, IngestReport]:
    sentences = Sentences(data)
    tally = Tally()
    if date is not None:
        options = dataclasses.replace(options, date=date)
    trajectory, details = nmea.track(sentences, label=label, options=options, tally=tally)
    if header is not None and "date" in tally.answered:
        tally.answered.remove("date")
        tally.assumptions.append(f"{date} of {header.name} is the UTC day of the first sentence")
    details["frame_marks"] = int(sentences.by_address.get(SYNC, np.zeros(0)).size)
    companions = () if header is None else (str(header.resolve()),)
    return trajectory, tally.report(FORMAT, len(sentences), companions=companions, details=details)


def header_date(path: Path) -> tuple[Path | None, dt.date | None]:
    """Return the ENVI header beside *path*, its namesake before others, and the day that it states.

    None where no header states one, or headers that are no namesakes state different ones.
    """
    headers = sorted(path.parent.glob("*.hdr"))
    own = [each for each in headers if each.name.split(".")[0] == path.stem.split(".")[0]]
    found: dict[dt.date, Path] = {}
    for header in own or headers:
        day = acquisition_day(header)
        if day is not None:
            found.setdefault(day, header)
    if len(found) != 1:
        return None, None
    ((day, header),) = found.items()
    return header, day


def acquisition_day(header: Path) -> dt.date | None:
    """Return the day that an ENVI header states, or None: ``DATE(yyyy-mm-dd): 2019-01-29``."""
    try:
        text = envi_header.read(header).text(DATE_KEY)
    except ReadError:  # another file with that suffix, or a damaged one: it says nothing here
        return None
    return day_of(text)


def day_of(text: str) -> dt.date | None:
    """Return the date within *text*, or None; the day comes first only where the text says so.

    Examples
    --------
    >>> day_of("DATE(yyyy-mm-dd): 2019-01-29"), day_of("DATE(dd-mm-yyyy): 05-06-2019")
    (datetime.date(2019, 1, 29), datetime.date(2019, 6, 5))
    """
    found, day_first = _DATE.search(text), _DAY_FIRST.search(text)
    parts = found.groups() if found is not None else day_first.groups()[::-1] if day_first is not None else ()
    try:
        return dt.date(*map(int, parts)) if parts else None
    except ValueError:
        return None


def line_utc(
    path: Path, lines: int, *, date: dt.date | None, tally: Tally, label: str | None = None
) -> NDArray[np.int64]:
    """Return when each of the *lines* of a cube was taken, UTC ns.

    The time of a marked frame is that of the last attitude before its mark; frames between are interpolated,
    those outside extrapolated with the camera's own rate.

    Parameters
    ----------
    path : Path
        The ``.nav`` file.
    lines : int
        Lines of the cube; the first is frame 1.
    date : datetime.date or None
        UTC day of the first sentence.
    tally : Tally
        Takes what was assumed.
    label : str, optional
        What messages call the file.

    Raises
    ------
    ReadError
        If fewer than two frames are marked, or nothing says which day it was.
    """
    where = str(path) if label is None else label
    sentences = Sentences(nmea.load(path))
    spare = Tally(warnings=tally.warnings)
    stamps = stamped(sentences, date, spare, label=where)
    frames, time = frame_marks(sentences, stamps.utc)
    if frames.size < 2:
        raise ReadError(
            f"marks {frames.size} frame(s) of the cube with ${SYNC}: two are needed",
            where=where,
            fix="write <name>.lines.csv with the columns line and utc beside the cube",
        )
    origin = int(time[0])
    since = (time - origin).astype(np.float64)
    period = float(since[-1] / (frames[-1] - frames[0]))
    line = np.arange(lines)
    ns = np.interp(line, frames, since)
    ns = np.where(line < frames[0], (line - frames[0]) * period, ns)
    ns = np.where(line > frames[-1], since[-1] + (line - frames[-1]) * period, ns)
    beyond = lines - 1 - int(frames[-1])
    if beyond > int(np.max(np.diff(frames))):
        tally.warnings.append(
            f"{beyond} lines come after the last frame mark of {path.name}: their times are extrapolated"
        )
    tally.assumptions.append(
        f"line 1 is frame 1 of {path.name}, and times are those of the middle of the exposure"
    )
    return np.asarray(origin + np.rint(ns).astype(np.int64), dtype=np.int64)


def frame_marks(sentences: Sentences, utc: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the marked frames, counted on from 0 over restarts of their counter, and the time of each."""
    rows = sentences.by_address.get(SYNC, np.zeros(0, dtype=np.intp))
    turns = sentences.by_address.get("PASHR", np.zeros(0, dtype=np.intp))
    turns = turns[utc[turns] != NO_STAMP]
    (frame,), sound = sentences.columns(rows, [FRAME_FIELD])
    before = np.searchsorted(turns, rows) - 1
    good = sound & np.isfinite(frame) & (frame >= 1.0) & (frame < 2**31) & (before >= 0)
    if not good.any():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    number, time = frame[good].astype(np.int64), utc[turns[before[good]]]
    later = np.append(True, time[1:] > np.maximum.accumulate(time)[:-1])
    number, time = number[later], time[later]
    return counted_on(number, time) - 1, time


def counted_on(number: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return frame numbers counted on where the counter starts again.

    How many frames passed there is told by the time that passed, in whole usual steps.

    Examples
    --------
    >>> counted_on(np.array([1, 51, 101, 1, 51]), np.array([0, 10, 20, 30, 40])).tolist()
    [1, 51, 101, 151, 201]
    """
    step, passed = np.diff(number), np.diff(time).astype(np.float64)
    usual = step > 0
    if not usual.any():
        return number
    stride = int(np.median(step[usual]))
    rate = float(np.median(step[usual] / passed[usual]))
    expected = np.maximum(np.rint(passed * rate / stride), 1.0).astype(np.int64) * stride
    missed = usual & (np.abs(step - expected) > stride)
    return np.concatenate([number[:1], number[0] + np.cumsum(np.where(usual & ~missed, step, expected))])
