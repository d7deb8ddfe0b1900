"""Tracks in GPX 1.0 and 1.1. See ``docs/formats/gpx.md``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.model.trajectory import HeightRef
from dronesense.readers.assembly import Positions, Rank, assemble, choose, compare, plausible, rate_hz
from dronesense.readers.content import load, text_of
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, increasing, ordered
from dronesense.readers.tally import Tally
from dronesense.timescale import parse_times

FORMAT: Final = "GPX"
NAME: Final = "GPX"

FEED_BYTES: Final = 1 << 16
DEEPEST: Final = 64
"""Elements within each other; a track needs four."""
LONGEST_TEXT: Final = 64
"""Characters of a number or a stamp."""
NUMBERS: Final = ("ele", "geoidheight", "hdop", "vdop", "sat", "speed", "course")
TEXTS: Final = ("time", "fix")
EXTENDED: Final = ("speed", "course")
"""Read from extensions too (Garmin TrackPointExtension); the rest only as children of the point."""

FIX_OF_TEXT: Final = {"none": 0, "2d": 1, "3d": 2, "dgps": 3, "pps": 2}
UNSTATED_FIX: Final = 2
"""`Trajectory.fix` of a point that does not say: 3-D."""

_USE_A_TRACK: Final = "use the recorded track: a route, waypoints or a track without times cannot be used"
_STAMP: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?\s*(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* opens a ``gpx`` element before any other."""
    del path
    text = re.sub(r"(?s)<!--.*?-->", "", text_of(head)).lstrip()
    first = re.search(r"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)", text)
    return text.startswith("<") and first is not None and first[1] == "gpx"


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the tracks of a GPX file as one.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `zone` for stamps without an offset, which by the format are UTC.

    Returns
    -------
    Trajectory
        A row per track point with a time, in order of time; a new segment at every ``trkseg``. Heights are
        ellipsoidal only where ``geoidheight`` is given.
    IngestReport
        Points refused by reason.

    Raises
    ------
    ReadError
        If it is not GPX, defines entities, or has no track point with a time.
    """
    return track(load(path, label), label=label, options=options)


def track(
    data: NDArray[np.uint8],
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Make the track of the bytes of a GPX file; parameters, result and errors as of :func:`read`."""
    tally = Tally()
    found = parse(data, tally, label=label)
    if not found.lat:
        raise ReadError("holds no track point", where=label, fix=_USE_A_TRACK)
    columns = found.columns()
    rows, time = _stamps(found.texts["time"], options, tally, label)
    fix = _fixes(found.texts["fix"])
    solved = tally.keep(fix[rows] > 0, "no fix")
    rows, time = rows[solved], time[solved]
    place = _in_order(found.numbers_of_segments()[rows], time, tally)
    rows, time = rows[place], time[place]
    lat, lon = columns["lat"][rows], columns["lon"][rows]
    keep = plausible("", time, lon, lat, columns["ele"][rows], tally)
    if not keep.size:
        raise ReadError(
            f"holds no track point with a time and a position{tally.reasons()}",
            where=label,
            fix=_USE_A_TRACK,
        )
    rows, time, lat, lon = rows[keep], time[keep], lat[keep], lon[keep]
    segment = found.numbers_of_segments()[rows]
    columns = {name: values[rows] for name, values in columns.items()}
    height, ref = _heights(columns, tally)
    step_s = 10.0 ** -max(len(_decimals(found.texts["time"][row])) for row in rows)
    positions = Positions(
        name=NAME,
        rank=Rank.TABLE,
        time=time,
        lon=lon,
        lat=lat,
        height_m=height,
        height_source_m=columns["ele"],
        height_ref=ref,
        std_ned_m=_std(columns, tally),
        sigma_from="default",
        fix=fix[rows].astype(np.uint8),
        clock=Clock("exact", step_s / 12.0**0.5, note=f"stamps in steps of {step_s:g} s"),
        point="antenna",
        velocity_ned=_velocity(columns),
        reset=segment,
    )
    chosen = choose([positions], options.source, label=label)
    trajectory = assemble(chosen, label=label, tally=tally)
    tally.assumptions.append("time stamps taken as UTC of the position")
    details = {
        "source": NAME,
        "source_rate_hz": rate_hz(time),
        "sources": compare(chosen, [positions]),
        "clock": {"kind": "exact", "sigma_s": positions.clock.sigma_s},
        "version": found.version,
        "creator": found.creator,
        "tracks": found.tracks,
        "segments": len(set(segment.tolist())),
    }
    return trajectory, tally.report(FORMAT, len(found.lat), holes=found.holes, details=details)


@dataclass(slots=True, eq=False)
class Points:
    """Receives the elements of a GPX file and keeps the track points; holds no tree."""

    lat: list[str] = field(default_factory=list)
    lon: list[str] = field(default_factory=list)
    segment: list[int] = field(default_factory=list)
    numbers: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in NUMBERS})
    texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in TEXTS})
    tracks: int = 0
    version: str = ""
    creator: str = ""
    holes: tuple[tuple[int, int], ...] = ()
    _path: list[str] = field(default_factory=list)
    _segments: int = 0
    _point: dict[str, str] | None = None
    _text: str = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        name = tag.rpartition("}")[2]
        self._path.append(name)
        self._text = ""
        if len(self._path) > DEEPEST:
            raise _NotATrackError(f"has more than {DEEPEST} elements within each other")
        if len(self._path) == 1:
            if name != "gpx":
                raise _NotATrackError(f'holds "{name[:LONGEST_TEXT]}", not "gpx"')
            self.version, self.creator = attributes.get("version", ""), attributes.get("creator", "")
        elif name == "trk":
            self.tracks += 1
        elif name == "trkseg":
            self._segments += 1
        elif name == "trkpt" and self._path[-2] == "trkseg" and self._point is None:
            self._point = {"lat": attributes.get("lat", ""), "lon": attributes.get("lon", "")}

    def data(self, text: str) -> None:
        """Take text within an element."""
        if self._point is not None and len(self._text) <= LONGEST_TEXT:
            self._text += text[: LONGEST_TEXT + 1]

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        name = tag.rpartition("}")[2]
        self._path.pop()
        point = self._point
        if point is None:
            return
        parent = self._path[-1]
        if name == "trkpt" and parent == "trkseg":
            self.lat.append(point["lat"])
            self.lon.append(point["lon"])
            self.segment.append(self._segments)
            for store in (self.numbers, self.texts):
                for key, values in store.items():
                    values.append(point.get(key, ""))
            self._point = None
        elif parent == "trkpt" or name in EXTENDED:
            point.setdefault(name, self._text.strip())
        self._text = ""

    def close(self) -> None:
        """Take the end of the file."""

    def columns(self) -> dict[str, Float]:
        """Return the numbers of the points, NaN where there is none."""
        texts = {"lat": self.lat, "lon": self.lon, **self.numbers}
        return {name: np.array([_number(text) for text in values]) for name, values in texts.items()}

    def numbers_of_segments(self) -> NDArray[np.int64]:
        """Return the number of the ``trkseg`` of each point."""
        return np.array(self.segment, dtype=np.int64)


class _NotATrackError(Exception):
    """What the parser's caller turns into a `ReadError`."""


def parse(data: NDArray[np.uint8], tally: Tally, *, label: str) -> Points:
    """Return the track points of the bytes of a GPX file, as far as they are sound.

    Raises
    ------
    ReadError
        If it is no GPX from the start, or defines entities.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, XMLParser

    points = Points()
    parser = XMLParser(target=points)
    content = data.tobytes().lstrip(b" \t\r\n")
    skipped = data.size - len(content)
    damage = ""
    try:
        for begin in range(0, len(content), FEED_BYTES):
            parser.feed(content[begin : begin + FEED_BYTES])
        parser.close()
    except DefusedXmlException as error:
        fix = "export the track again, without a document type"
        raise ReadError("defines entities or refers to other files: refused", where=label, fix=fix) from error
    except _NotATrackError as error:
        raise ReadError(str(error), where=label, fix="use a GPX file") from error
    except (ParseError, LookupError, ValueError) as error:
        damage = str(error)
    if damage:
        at = skipped + max(0, int(parser.parser.ErrorByteIndex))
        if not points.lat:
            raise ReadError(f"is not sound XML: {damage}", where=label, fix="export the track again")
        points.holes = ((at, data.size - at),) if at < data.size else ()
        tally.warnings.append(f"damaged or cut at byte {at} ({damage}): read up to there")
    return points


def _number(text: str) -> float:
    try:
        return float(text) if text else float("nan")
    except ValueError:
        return float("nan")


def _fixes(texts: list[str]) -> NDArray[np.int64]:
    return np.array([FIX_OF_TEXT.get(text.lower(), UNSTATED_FIX) for text in texts], dtype=np.int64)


def _decimals(stamp: str) -> str:
    """Return the decimals of the seconds of a stamp, at most 9."""
    match = re.search(r"[.,](\d{1,9})", stamp)
    return "" if match is None else match[1]


def _stamps(
    texts: list[str], options: TrackOptions, tally: Tally, label: str
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the points that have a time, and their times as UTC."""
    matches = [_STAMP.fullmatch(text) for text in texts]
    stated = np.array([bool(text) for text in texts], dtype=bool)
    rows = np.flatnonzero(tally.keep(stated, "no time"))
    formed = np.array([matches[row] is not None for row in rows], dtype=bool)
    rows = rows[tally.keep(formed, "garbled time stamp")]
    zone = options.zone
    if any(match is not None and match[1] is None for match in matches):
        if zone is None:
            tally.assumptions.append("time stamps without an offset taken as UTC, as GPX has it")
        else:
            tally.answered.append("tz")
    wanted = [texts[row] for row in rows]
    zone = zone or "UTC"
    try:
        return rows, parse_times(wanted, zone=zone, where=label)
    except ReadError:
        exist = np.array([_exists(text, zone) for text in wanted], dtype=bool)
        rows = rows[tally.keep(exist, "garbled time stamp")]
        return rows, parse_times([texts[row] for row in rows], zone=zone, where=label)


def _exists(text: str, zone: str) -> bool:
    try:
        parse_times([text], zone=zone)
    except ReadError:
        return False
    return True


def _in_order(segment: NDArray[np.int64], time: NDArray[np.int64], tally: Tally) -> NDArray[np.intp]:
    """Return the places of the points in order of time: each segment on its own, then the segments."""
    starts = np.flatnonzero(np.diff(segment, prepend=-1))
    ends = np.append(starts[1:], segment.size)[: starts.size]
    parts = []
    for begin, end in zip(starts, ends, strict=True):
        keep, _ = ordered(time[begin:end], tally)
        parts.append(begin + np.flatnonzero(keep))
    parts.sort(key=lambda part: int(time[part[0]]) if part.size else 0)
    place = np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
    return place[tally.keep(increasing(time[place]), "time already covered by another segment")]


def _heights(columns: dict[str, Float], tally: Tally) -> tuple[Float, HeightRef]:
    """Return ellipsoidal heights (NaN where they cannot be had) and what ``ele`` refers to."""
    geoid = columns["geoidheight"]
    stated = geoid[np.isfinite(geoid)]
    if stated.size and not np.any(stated):
        tally.warnings.append("geoidheight is 0 throughout: taken as not stated")
    elif stated.size:
        return columns["ele"] + geoid, "receiver-geoid"
    if not np.isfinite(columns["ele"]).any():
        tally.warnings.append("the track has no heights")
    return np.full(geoid.shape, np.nan), "unknown"


def _std(columns: dict[str, Float], tally: Tally) -> Float:
    """Return (n, 3) standard uncertainty: that of a single fix, times the dilution of precision if stated."""
    level, upright = (
        np.where(columns[name] > 1.0, columns[name], 1.0) * sigma
        for name, sigma in zip(("hdop", "vdop"), SINGLE_FIX_SIGMA_M, strict=True)
    )
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    tally.assumptions.append(
        f"position uncertainty {sigma_h} m horizontal, {sigma_v} m vertical, "
        "times the dilution of precision where it is stated"
    )
    return np.column_stack([level, level, upright])


def _velocity(columns: dict[str, Float]) -> Float | None:
    """Return (n, 3) velocity of speed (m/s) and true course (degrees); vertical unknown."""
    speed, course = columns["speed"], np.radians(columns["course"])
    if not np.isfinite(speed + course).any():
        return None
    unknown = np.full(speed.shape, np.nan)
    return np.column_stack([speed * np.cos(course), speed * np.sin(course), unknown])
