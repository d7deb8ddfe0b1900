"""NMEA 0183 logs to trajectories: positions, velocity and attitude of a receiver's sentences.

Sentences of one epoch make one row. See ``docs/formats/nmea.md``; the sentences themselves are found by
:mod:`~dronesense.readers.nmea_sentences`, their days by :mod:`~dronesense.readers.nmea_time`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory
from dronesense.readers.assembly import (
    Attitude,
    Positions,
    Velocity,
    assemble,
    choose,
    compare,
    gnss_rank,
    plausible,
    rate_hz,
)
from dronesense.readers.nmea_sentences import Sentences, plain
from dronesense.readers.nmea_time import NO_STAMP, Stamps, sound_rows, stamped
from dronesense.readers.streams import (
    ATTITUDE_SIGMA_DEG,
    Float,
    Mask,
    between,
    gap_ns,
    ordered,
    quaternions_of,
)
from dronesense.readers.tally import Tally
from dronesense.timescale import to_iso
from dronesense.units import convert

FORMAT: Final = "NMEA 0183"

FIX_OF_QUALITY: Final = np.array([0, 2, 3, 2, 5, 4, 1, 0, 2, 3], dtype=np.uint8)
"""Quality of GGA (0 none, 1 single, 2 differential, 3 PPS, 4 RTK fixed, 5 RTK float, 6 dead reckoning,
7 entered by hand, 8 simulator, 9 SBAS with some makers) -> `Trajectory.fix`; NMEA 0183, GGA."""
FIX_OF_MODE: Final = {b"D": 3, b"F": 4, b"R": 5, b"P": 2, b"E": 1, b"N": 0, b"M": 0, b"S": 2}
"""Mode indicator of RMC and GLL (NMEA 0183 2.3 and later) -> `Trajectory.fix`; others and none: 2."""
SIMULATED: Final = 8

UERE_M: Final = {1: 10.0, 2: 2.8, 3: 1.0, 4: 0.42, 5: 0.042}
"""`Trajectory.fix` -> error of a range, m (1 sigma): times HDOP it is the horizontal error (drms) of a small
receiver in the open; float and fixed carrier solutions as decimeters and centimeters."""
DOP_UNKNOWN: Final = 1.0
VERTICAL_SHARE: Final = 1.5
"""VDOP is usually this many times HDOP, for sentences without it."""

COMPASS_SIGMA_DEG: Final = 10.0
"""Yaw of a magnetic compass whose declination nobody states: the declination of inhabited places, degrees."""
COMPASS_SOUND: Final = (b"N", b"M", b"O")
"""Status of PTNTHPR: normal, low and high warning; not alarms (Honeywell HMR3000 manual)."""

_POSITIONS: Final = ("GGA", "RMC", "GLL")
_LINE: Final = re.compile(
    rb"^[ \t\xef\xbb\xbf]*\$(?:[A-Z]{2}(?:GGA|RMC|GLL|GSA|GSV|ZDA|VTG|GST|TXT)|PASHR|PMGNTRK|PTNTHPR),"
    rb"[ -~]{4,}",
    re.MULTILINE,
)
_YPR: Final = re.compile(rb"\d\s+ypr\s*$", re.MULTILINE)


def looks_like_nmea(head: bytes) -> bool:
    """Tell whether a line of *head* starts with a sentence of navigation."""
    return _LINE.search(plain(head)) is not None


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* holds sentences of navigation that are not those of a Specim camera."""
    if not looks_like_nmea(head):
        return False
    text = plain(head)
    return not (b"$SPTSMP" in text or (path.suffix.lower() == ".nav" and b"$PASHR" in text))


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an NMEA log.

    Parameters
    ----------
    path : Path
        Text, also UTF-16; lines may end as they like and other text may stand between the sentences.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: a talker's first position sentence (``"GPGGA"``, ``"GNRMC"``), ``"PMGNTRK"``, or
        ``"auto"``: the best fix, then most rows. Its `date`: the UTC day of the first sentence of a log
        without dates; or any day near the flight, to undo the rollover of the 10-bit week.

    Returns
    -------
    Trajectory
        A row per epoch. Heights are ellipsoidal where the receiver states the geoid separation.
    IngestReport
        Sentences refused by reason.

    Raises
    ------
    ReadError
        If no sentence has a position, or none a date and the options have none either.
    """
    return decode(load(path), label=label, options=options)


def load(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of *path*, one a character.

    Raises
    ------
    ReadError
        If it cannot be opened.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    return np.frombuffer(plain(raw), dtype=np.uint8)


def decode(
    data: NDArray[np.uint8],
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track from the bytes of a log, see :func:`read`."""
    sentences = Sentences(data)
    if not len(sentences):
        raise _nothing(data, sentences, label)
    tally = Tally()
    trajectory, details = track(sentences, label=label, options=options, tally=tally)
    return trajectory, tally.report(FORMAT, len(sentences), details=details)


def _nothing(data: NDArray[np.uint8], sentences: Sentences, label: str) -> ReadError:
    if _YPR.search(data.tobytes()):
        return ReadError(
            'is a table of picture positions ("... ypr"), not NMEA: it states neither the zone of its times '
            "nor what its heights refer to",
            where=label,
            fix='give it headings and describe it as a table: [track] reader = "csv" and an instrument',
        )
    reasons = ", ".join(f"{count} x {reason}" for reason, count in sentences.refused.items())
    return ReadError(
        f"holds no sound NMEA sentence{f' ({reasons})' if reasons else ''}",
        where=label,
        fix="copy it again from the card",
    )


def track(
    sentences: Sentences, *, label: str, options: TrackOptions, tally: Tally
) -> tuple[Trajectory, dict[str, object]]:
    """Return the trajectory of *sentences* and the details of its report; *tally* takes the refusals."""
    for reason, count in sentences.refused.items():
        tally.dropped[reason] += count
    if sentences.unchecked:
        tally.warnings.append(f"{sentences.unchecked} sentence(s) have no checksum: damage in them shows not")
    stamps = stamped(sentences, options.date, tally, label=label)
    candidates = [each for each in _candidates(sentences, stamps, tally) if each.time.size]
    if not candidates:
        raise ReadError(
            f"holds no sentence with a position{tally.reasons()}",
            where=label,
            fix="log GGA and RMC; until the receiver has a fix there is no position",
        )
    chosen = choose(candidates, options.source, label=label)
    if not np.isfinite(chosen.height_source_m).any():
        tally.warnings.append(f"{chosen.name}: the log has no height")
    trajectory = assemble(
        chosen,
        label=label,
        tally=tally,
        attitude=_attitude(sentences, stamps, tally),
        velocity=_velocity(sentences, stamps, chosen.name[:-3]),
    )
    addresses = {name: int(rows.size) for name, rows in sorted(sentences.by_address.items())}
    details = {
        "source": chosen.name,
        "source_rate_hz": rate_hz(chosen.time),
        "sources": compare(chosen, candidates),
        "sentences": addresses,
        "without_checksum": sentences.unchecked,
        "clock": {
            "kind": stamps.clock.kind,
            "sigma_s": stamps.clock.sigma_s,
            "note": stamps.clock.note,
            "start": to_iso(int(trajectory.time[0])),
        },
    }
    return trajectory, details


@dataclass(frozen=True, slots=True, eq=False)
class Fixes:
    """Positions of one kind of sentence, in increasing time.

    `quality` are values of `Trajectory.fix`; `piece` grows where the clock jumped back; the rest is NaN where
    the sentence does not tell. Heights and separation in m, `hdop` without unit.
    """

    time: NDArray[np.int64]
    lon: Float
    lat: Float
    fix: NDArray[np.uint8]
    hdop: Float
    altitude: Float
    separation: Float
    piece: NDArray[np.int64]


def degrees(value: Float, side: NDArray[np.bytes_], positive: bytes, negative: bytes) -> tuple[Float, Mask]:
    """Return degrees of ``ddmm.mmmm`` with its side of the world, and whether both are as they should be.

    Examples
    --------
    >>> degrees(np.array([4231.8291]), np.array([b"S"]), b"N", b"S")[0].round(7)
    array([-42.530485])
    """
    whole = np.floor(value / 100.0)
    minutes = value - 100.0 * whole
    sound = ((side == positive) | (side == negative)) & (minutes < 60.0) & (value >= 0.0)
    return np.where(side == negative, -1.0, 1.0) * (whole + minutes / 60.0), sound | np.isnan(value)


def _fixes(
    sentences: Sentences, stamps: Stamps, rows: NDArray[np.intp], form: str, name: str, tally: Tally
) -> Fixes:
    """Return the usable positions of the sentences *rows* of the formatter *form*."""
    first = {"GGA": 2, "RMC": 3, "GLL": 1, "PMGNTRK": 1}[form]
    rows = sound_rows(rows, stamps.utc[rows] != NO_STAMP, f"{name} without a time", tally)
    (lat, lon), sound = sentences.columns(rows, [first, first + 2])
    lat, good = degrees(lat, sentences.texts(rows, first + 1), b"N", b"S")
    lon, fine = degrees(lon, sentences.texts(rows, first + 3), b"E", b"W")
    unknown = np.full(rows.size, np.nan)
    hdop, altitude, separation = unknown, unknown, unknown
    if form == "GGA":
        (quality, hdop, altitude, separation), right = sentences.columns(rows, [6, 8, 9, 11])
        right &= (quality >= 0) & (quality < FIX_OF_QUALITY.size)
        fix = FIX_OF_QUALITY[np.where(right, quality, 0).astype(np.intp)]
        if np.any(quality == SIMULATED):
            tally.warnings.append(f"{name}: positions of a simulator")
    elif form == "PMGNTRK":
        (altitude,), right = sentences.columns(rows, [5])
        altitude = np.where(sentences.texts(rows, 6) == b"F", convert(altitude, "ft", "m"), altitude)
        fix = np.where(sentences.texts(rows, 8) == b"A", 2, 0).astype(np.uint8)
    else:
        state, mode = {"RMC": (2, 12), "GLL": (6, 7)}[form]
        fix = _fix_of_mode(sentences.texts(rows, mode))
        fix[sentences.texts(rows, state) != b"A"] = 0
        right = np.ones(rows.size, dtype=bool)
    keep = np.flatnonzero(tally.keep(sound & good & fine & right, f"{name} with a field that makes no sense"))
    keep = keep[tally.keep(fix[keep] > 0, f"{name}: no fix")]
    keep = keep[plausible(name, stamps.utc[rows[keep]], lon[keep], lat[keep], altitude[keep], tally)]
    in_order, piece = ordered(stamps.utc[rows[keep]], tally, name)
    keep = keep[in_order]
    return Fixes(
        time=stamps.utc[rows[keep]],
        lon=lon[keep],
        lat=lat[keep],
        fix=fix[keep],
        hdop=hdop[keep],
        altitude=altitude[keep],
        separation=separation[keep],
        piece=piece,
    )


def _fix_of_mode(mode: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    fix = np.full(mode.shape, 2, dtype=np.uint8)
    for letter, value in FIX_OF_MODE.items():
        fix[mode == letter] = value
    return fix


def _candidates(sentences: Sentences, stamps: Stamps, tally: Tally) -> list[Positions]:
    """Return a position source per talker, and that of Magellan's own sentence."""
    found = []
    talkers = sorted({who for form in _POSITIONS for who in sentences.talkers(form)})
    for who in talkers:
        kinds = [form for form in _POSITIONS if sentences.rows(form, who).size]
        parts = [
            _fixes(sentences, stamps, sentences.rows(form, who), form, who + form, tally) for form in kinds
        ]
        named = [(who + form, part) for form, part in zip(kinds, parts, strict=True) if part.time.size]
        if named:
            found.append(_merged(named, sentences, stamps, who, tally))
    if "PMGNTRK" in sentences.by_address:
        rows = sentences.by_address["PMGNTRK"]
        part = _fixes(sentences, stamps, rows, "PMGNTRK", "PMGNTRK", tally)
        if part.time.size:
            found.append(_merged([("PMGNTRK", part)], sentences, stamps, "", tally))
    return found


def _merged(
    parts: list[tuple[str, Fixes]], sentences: Sentences, stamps: Stamps, who: str, tally: Tally
) -> Positions:
    """Put the positions of several kinds of sentence of one receiver together; the first kind wins."""
    name, main = parts[0]
    time = np.unique(np.concatenate([part.time for _, part in parts]))
    n = time.size
    lon, lat, fix, hdop = np.empty(n), np.empty(n), np.zeros(n, np.uint8), np.full(n, np.nan)
    for _, part in reversed(parts):
        at = np.searchsorted(time, part.time)
        lon[at], lat[at], fix[at], hdop[at] = part.lon, part.lat, part.fix, part.hdop
    place = between(main.time, time, gap_ns(main.time))
    altitude = place.linear(main.altitude)
    separation = main.separation
    if separation.size and np.all((separation == 0.0) | np.isnan(separation)):
        if np.any(separation == 0.0):
            tally.assumptions.append(f"{name}: a geoid separation of 0 throughout counts as not stated")
        separation = np.full(separation.shape, np.nan)
    mode, vdop = _precision(sentences, stamps, time, who)
    fix = np.where((mode == 2.0) & (fix == 2), 1, fix).astype(np.uint8)
    std, stated = _std(sentences, stamps, time, who, fix, hdop, vdop)
    tally.assumptions.append(
        f"{name}: position uncertainty {'from GST' if stated else 'from the dilution of precision and fix'}"
    )
    return Positions(
        name=name,
        rank=gnss_rank(fix),
        time=time,
        lon=lon,
        lat=lat,
        height_m=altitude + place.linear(separation),
        height_source_m=altitude,
        height_ref="receiver-geoid" if name.endswith("GGA") else "unknown",
        std_ned_m=std,
        sigma_from="log" if stated else "default",
        fix=fix,
        clock=stamps.clock,
        point="antenna",
        reset=main.piece[np.maximum(np.searchsorted(main.time, time, side="right") - 1, 0)],
    )


def _joined(time: NDArray[np.int64], source: NDArray[np.int64], values: Float) -> Float:
    """Return *values* (k,) of the stamps *source* at the same stamps in *time*, NaN where there are none."""
    if not source.size:
        return np.full(time.shape, np.nan)
    known, first = np.unique(source, return_index=True)
    at = np.minimum(np.searchsorted(known, time), known.size - 1)
    return np.where(known[at] == time, values[first[at]], np.nan)


def _precision(
    sentences: Sentences, stamps: Stamps, time: NDArray[np.int64], who: str
) -> tuple[Float, Float]:
    """Return mode (2 or 3 dimensions) and VDOP of GSA at *time*."""
    rows = sentences.rows("GSA", who)
    stamp = stamps.borrowed(rows)
    (mode, vdop), _ = sentences.columns(rows, [2, 17])
    return _joined(time, stamp, mode), _joined(time, stamp, vdop)


def _std(
    sentences: Sentences,
    stamps: Stamps,
    time: NDArray[np.int64],
    who: str,
    fix: NDArray[np.uint8],
    hdop: Float,
    vdop: Float,
) -> tuple[Float, bool]:
    """Return (n, 3) standard uncertainty and whether it is all the receiver's own (GST)."""
    rows = sentences.rows("GST", who)
    sigma, _ = sentences.columns(rows, [6, 7, 8])
    own = np.column_stack([_joined(time, stamps.utc[rows], each) for each in sigma])
    uere = np.zeros(int(max(UERE_M)) + 1)
    uere[list(UERE_M)] = list(UERE_M.values())
    range_m = uere[np.minimum(fix, uere.size - 1)]
    hdop = np.where(hdop > 0.0, hdop, DOP_UNKNOWN)
    vdop = np.where(vdop > 0.0, vdop, VERTICAL_SHARE * hdop)
    flat = range_m * hdop / np.sqrt(2.0)
    own = np.where(own > 0.0, own, np.column_stack([flat, flat, range_m * vdop]))
    stated = bool(np.all(np.isin(time, stamps.utc[rows])))
    return own, stated


def _velocity(sentences: Sentences, stamps: Stamps, who: str) -> Velocity | None:
    """Return the velocity over ground of RMC, else of VTG; nothing is said of the vertical."""
    rows = sentences.rows("RMC", who)
    (knots, course), sound = sentences.columns(rows, [7, 8])
    sound &= sentences.texts(rows, 2) == b"A"
    time = stamps.utc[rows]
    if not np.any(sound & np.isfinite(knots + course)):
        rows = sentences.rows("VTG", who)
        (course, knots), sound = sentences.columns(rows, [1, 5])
        time = stamps.borrowed(rows)
    course = np.where(knots == 0.0, np.nan_to_num(course), course)
    keep = np.flatnonzero(sound & np.isfinite(knots + course) & (time != NO_STAMP))
    time, first = np.unique(time[keep], return_index=True)
    if not time.size:
        return None
    speed = convert(knots[keep[first]], "kn", "m/s")
    angle = np.radians(course[keep[first]])
    down = np.full(time.size, np.nan)
    return Velocity(time, np.column_stack([speed * np.cos(angle), speed * np.sin(angle), down]))


def _attitude(sentences: Sentences, stamps: Stamps, tally: Tally) -> Attitude | None:
    """Return the attitude of PASHR, else of PTNTHPR."""
    if "PASHR" in sentences.by_address:
        return _pashr(sentences, stamps, tally)
    if "PTNTHPR" in sentences.by_address:
        return _ptnthpr(sentences, stamps, tally)
    return None


def _pashr(sentences: Sentences, stamps: Stamps, tally: Tally) -> Attitude:
    rows = sentences.by_address["PASHR"]
    rows = sound_rows(rows, stamps.utc[rows] != NO_STAMP, "PASHR of another layout or without a time", tally)
    rows = sound_rows(rows, sentences.texts(rows, 3) == b"T", "PASHR: heading not from true north", tally)
    angles, sound = sentences.columns(rows, [4, 5, 2])
    sigma, _ = sentences.columns(rows, [7, 8, 9])
    known = np.isfinite(np.column_stack(angles)).all(axis=1)
    keep = np.flatnonzero(tally.keep(sound & known, "PASHR without a solution"))
    in_order, _ = ordered(stamps.utc[rows[keep]], tally, "PASHR")
    keep = keep[in_order]
    own = np.column_stack(sigma)[keep]
    std = np.where(own > 0.0, own, np.array(ATTITUDE_SIGMA_DEG))
    return Attitude("PASHR", stamps.utc[rows[keep]], quaternions_of(*(each[keep] for each in angles)), std)


def _ptnthpr(sentences: Sentences, stamps: Stamps, tally: Tally) -> Attitude:
    rows = sentences.by_address["PTNTHPR"]
    angles, sound = sentences.columns(rows, [5, 3, 1])
    time = stamps.borrowed(rows)
    for field in (2, 4, 6):
        sound &= np.isin(sentences.texts(rows, field), COMPASS_SOUND)
    sound &= np.char.count(sentences.texts(rows, 1, 8), b".") > 0
    sound &= np.isfinite(np.column_stack(angles)).all(axis=1) & (time != NO_STAMP)
    keep = np.flatnonzero(tally.keep(sound, "PTNTHPR with an alarm, in mils or without a time"))
    in_order, _ = ordered(time[keep], tally, "PTNTHPR")
    keep = keep[in_order]
    if keep.size:
        tally.warnings.append(
            "PTNTHPR: the heading of a magnetic compass, whose declination is not stated, is taken from true "
            f"north with an uncertainty of {COMPASS_SIGMA_DEG:g} degrees"
        )
    roll_sigma, pitch_sigma, yaw_sigma = ATTITUDE_SIGMA_DEG
    std = np.array([roll_sigma, pitch_sigma, float(np.hypot(yaw_sigma, COMPASS_SIGMA_DEG))])
    quaternion = quaternions_of(*(each[keep] for each in angles))
    return Attitude("PTNTHPR", time[keep], quaternion, np.tile(std, (keep.size, 1)))
