"""Headwall cameras: navigation ``imu_gps.txt`` and the times of the lines, ``frameIndex_N.txt``.

Both count the ticks of one clock, whose unit and origin are fitted to the UTC that the navigation states. See
``docs/formats/headwall.md``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.camera_clock import quantum_s
from dronesense.readers.camera_track import camera_track, roll_sign
from dronesense.readers.streams import Float
from dronesense.readers.table import Table, read_table
from dronesense.readers.tally import Tally
from dronesense.timescale import ClockFit, fit_latency_envelope, parse_times

FORMAT: Final = "Headwall imu_gps"
ONE_FILE_PER_LINE: Final = True
"""The camera starts a folder with every capture: the files of a flight are one track."""

ANGLES: Final = ("Roll", "Pitch", "Yaw")
PLACES: Final = ("Lon", "Lat", "Alt")
UTC: Final = "Gps_UTC_Date&Time"
TICKS: Final = ("Timestamp", "SystemTime")
"""Headings of the camera's clock, in the new and in the old layout."""
FRAME: Final = "Frame#"
TICK: Final = "Timestamp"
STATUS: Final = "Status"

TICKS_NS: Final = (1, 100, 1000, 1_000_000, 1_000_000_000)
"""What a tick may be: 1 ns, 100 ns, 1 us, 1 ms, 1 s."""
TICK_TOLERANCE: Final = 0.02
"""A tick that differs by more from all of them is none: 2 %."""
LONGEST_NS: Final = 2**62
"""Half of what an int64 count of ns holds: no flight lasts 146 years."""
TICKED_SHARE: Final = 0.5
"""A column of ticks has whole numbers in at least this share of its rows, else it is something else."""
REPEATED_SHARE: Final = 0.1
"""From this share of rows that repeat the UTC of the row before on, the receiver is slower than the rows."""

_MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DATE: Final = re.compile(r"(\d{4})[/-](\d\d|[A-Za-z]{3})[/-](\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d*)?)", re.ASCII)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether the first line of *head* has the headings of the navigation, parted by tabs."""
    del path
    cells = {cell.strip() for cell in head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].split(b"\t")}
    return all(name.encode() in cells for name in (*ANGLES, *PLACES, UTC))


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an ``imu_gps.txt``.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `roll_positive`; ``"auto"``: right wing down.

    Returns
    -------
    Trajectory
        A row per row with a solution. What heights refer to is not known. Rows are on their own UTC; where
        that repeats, on the camera's clock fitted to it.
    IngestReport
        Rows refused by reason, and the fit of the camera's clock.

    Raises
    ------
    ReadError
        If a column is missing or no row is usable.
    """
    tally = Tally()
    rows = Navigation.of(path, tally)
    time, clock = rows.times(label)
    aligned = np.asarray(np.any(rows.angles_deg != 0.0, axis=1), dtype=bool)
    tally.keep(aligned, "row before alignment")
    sign = roll_sign(options, tally, usual=1.0, why="the file does not say")
    trajectory, details = camera_track(
        rows.places[aligned],
        rows.angles_deg[aligned] * (sign, 1.0, 1.0),
        time[aligned],
        name="imu_gps",
        clock=clock,
        ellipsoidal=False,
        options=options,
        label=label,
        tally=tally,
    )
    details |= {"tick_ns": rows.tick_ns, "status": rows.status}
    return trajectory, tally.report(FORMAT, rows.records, details=details)


@dataclass(frozen=True, slots=True, eq=False)
class Navigation:
    """Rows of an ``imu_gps.txt`` that have a UTC.

    Parameters
    ----------
    utc : (n,) int64
        As stated, ns.
    angles_deg, places : (n, 3) float64
        Roll, pitch, yaw; longitude, latitude, height.
    ticks : (n,) int64 or None
        The camera's clock, where the file has it.
    tick_ns : int
        What a tick is, ns; 0 where that cannot be told.
    status : dict of str to int
        Text of the column Status -> rows.
    records : int
        Rows of the file.
    """

    utc: NDArray[np.int64]
    angles_deg: Float
    places: Float
    ticks: NDArray[np.int64] | None
    tick_ns: int
    status: dict[str, int]
    records: int

    @classmethod
    def of(cls, path: Path, tally: Tally) -> Navigation:
        """Read *path*; *tally* takes what was refused.

        Raises
        ------
        ReadError
            If a column is missing, or no row has a UTC.
        """
        table = read_table(path, delimiter="\t")
        for reason, count in table.dropped.items():
            tally.dropped[reason] += count
        tally.warnings.extend(table.warnings)
        table = table.closed()
        stamps = [_DATE.fullmatch(text) for text in table.text(UTC)]
        dated = np.array([each is not None and _month(each[2]) is not None for each in stamps], dtype=bool)
        good = np.flatnonzero(tally.keep(dated, "row without a date and time"))
        if not good.size:
            raise ReadError(f"holds no row with a UTC{tally.reasons()}", where=path, fix="check the file")
        kept = [each for each, fine in zip(stamps, dated, strict=True) if fine and each is not None]
        texts = [f"{each[1]}-{_month(each[2])}-{each[3]} {each[4].rstrip('.')}" for each in kept]
        utc = parse_times(texts, zone="UTC", rows=table.row[good], where=path)
        table = table.take(good)
        name = next((name for name in TICKS if name in table.names), None)
        ticks = None if name is None else _whole(table.text(name))
        if ticks is not None and np.mean(ticks >= 0) > TICKED_SHARE:
            good = np.flatnonzero(tally.keep(ticks >= 0, f"{name} that is no count"))
            table, utc, ticks = table.take(good), utc[good], ticks[good]
        else:
            ticks = None
        angles = np.column_stack([_column(table, name, tally) for name in ANGLES])
        places = np.column_stack([_column(table, name, tally) for name in PLACES])
        status: dict[str, int] = {}
        for text in table.text(STATUS) if STATUS in table.names else ():
            status[text] = status.get(text, 0) + 1
        tick_ns = 0 if ticks is None else tick_length_ns(ticks, utc)
        return cls(utc, angles, places, ticks, tick_ns, status, len(dated))

    def fit(self, where: str | Path) -> ClockFit:
        """Return the camera's clock fitted to UTC.

        Raises
        ------
        ReadError
            If the file has no such clock, or it does not run with UTC.
        """
        if self.ticks is None or not self.tick_ns:
            raise ReadError(
                f"has no column {' or '.join(TICKS)} that runs with {UTC}",
                where=where,
                fix="write <name>.lines.csv with the columns line and utc beside the cube",
            )
        return fit_latency_envelope(self.since_ns(self.ticks), self.utc)

    def since_ns(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return *ticks* as ns since the first one of the file."""
        assert self.ticks is not None
        return np.asarray((ticks - self.ticks[0]) * self.tick_ns, dtype=np.int64)

    def times(self, where: str) -> tuple[NDArray[np.int64], Clock]:
        """Return the time of each row, UTC ns: as stated, or by the camera's clock where that repeats."""
        repeated = float(np.mean(np.diff(self.utc) == 0)) if self.utc.size > 1 else 0.0
        if repeated < REPEATED_SHARE or self.ticks is None or not self.tick_ns:
            sigma_s = quantum_s(self.utc) / math.sqrt(12.0)
            return self.utc, Clock("exact", sigma_s, note=f"{UTC} of each row")
        fit = self.fit(where)
        note = f"the camera's clock (ticks of {self.tick_ns} ns): {fit.note}"
        return fit.to_utc(self.since_ns(self.ticks)), Clock("fitted", fit.sigma_s, note=note)


def tick_length_ns(ticks: NDArray[np.int64], utc: NDArray[np.int64]) -> int:
    """Return what a tick is, ns: the power of ten (or 100 ns) nearest to UTC per tick; 0 if none is near.

    Examples
    --------
    >>> tick_length_ns(np.array([100, 350, 600]), np.array([0, 250_003_000, 500_001_000]))
    1000000
    """
    fresh = np.append(True, np.diff(utc) != 0)
    fresh[0] = np.count_nonzero(fresh) < 3  # how long the first UTC has stood is not known
    known = np.flatnonzero(fresh)
    if known.size < 2:
        return 0
    first, last = known[[0, -1]]
    passed = int(ticks[last]) - int(ticks[first])
    length = (int(utc[last]) - int(utc[first])) / passed if passed > 0 else 0.0
    near = [each for each in TICKS_NS if abs(length / each - 1.0) < TICK_TOLERANCE]
    return near[0] if near and int(np.ptp(ticks)) * near[0] < LONGEST_NS else 0


def line_utc(frames: Path, navigation: Path, *, tally: Tally) -> NDArray[np.int64]:
    """Return when each line of a cube was taken, UTC ns.

    Parameters
    ----------
    frames : Path
        ``frameIndex_N.txt``: the columns ``Frame#`` and ``Timestamp``, a row per line of ``raw_N``.
    navigation : Path
        The ``imu_gps.txt`` of the same capture.
    tally : Tally
        Takes what was assumed.

    Raises
    ------
    ReadError
        If a column is missing, frames do not follow each other, or the clocks do not fit.
    """
    table = read_table(frames, delimiter="\t")
    cells = table.text(TICK)
    if len(cells) > 1 and len(cells[-1]) < len(cells[-2]):  # digits are missing
        table = table.closed()
    if not len(table):
        raise ReadError("holds no frame", where=frames, fix="copy it again from the card")
    number, ticks = _whole(table.text(FRAME)), _whole(table.text(TICK))
    wrong = np.flatnonzero((number < 0) | (ticks < 0) | (np.diff(number, prepend=number[:1] - 1) != 1))
    if wrong.size:
        raise ReadError(
            "frames do not follow each other, or one has no time",
            where=f"{frames}, line {table.row[wrong[0]]}",
            fix="lines of the cube are missing there: write <name>.lines.csv with the columns line and utc",
        )
    rows = Navigation.of(navigation, Tally(warnings=tally.warnings))
    fit = rows.fit(navigation)
    tally.warnings.extend(filter(None, [fit.warning]))
    tally.assumptions.append(
        f"ticks of {rows.tick_ns} ns of {frames.name} put on UTC by {navigation.name}; times are those of "
        "the middle of the exposure"
    )
    assert rows.ticks is not None
    far = max(abs(int(each) - int(rows.ticks[0])) for each in (ticks.min(), ticks.max()))
    if far * rows.tick_ns > LONGEST_NS:
        raise ReadError(
            f"its times are not on the clock of {navigation.name}", where=frames, fix="check both files"
        )
    return fit.to_utc(rows.since_ns(ticks))


def _month(text: str) -> str | None:
    return text if text.isdigit() else _MONTHS.get(text.lower())


def _column(table: Table, name: str, tally: Tally) -> Float:
    """Return a column as numbers; the few cells that are none are NaN and counted."""
    cells = table.text(name)
    try:
        return np.array([cell or "nan" for cell in cells], dtype=np.str_).astype(np.float64)
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
        tally.keep(np.isfinite(values), f"{name} that is no number")
        return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _whole(cells: list[str]) -> NDArray[np.int64]:
    """Return cells as whole numbers, all digits kept; -1 where a cell is none."""
    found = [int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 19 else -1 for cell in cells]
    return np.array(found, dtype=np.int64)
