"""Subtitles of DJI's videos as columns: what each cue says, in whichever of the dialects.

See ``docs/formats/dji-srt.md``. Bytes in, arrays out; no clock, no axes: those are :mod:`dji_srt`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.content import text_of
from dronesense.readers.streams import Float, Mask
from dronesense.timescale import NS_PER_MS, NS_PER_S
from dronesense.units import convert

KEYS: Final = "keys"
"""Layout with names: ``[latitude: 41.4] [longitude: 2.2]``."""
TUPLE: Final = "tuple"
"""Layout ``GPS(149.0251,-20.2533,16) BAROMETER:1.9``."""
LINE: Final = "line"
"""Layout on one line: ``F/5.6, SS 400, ..., GPS (8.2, 47.5, 18), D 49.21m, H 45.60m, ...``."""
NONE: Final = "none"
"""A cue without any position."""

COUNT: Final = "count"
METERS: Final = "meters"
DECIMAL: Final = "decimal"
"""Third value in the parentheses of GPS: a whole number, a number with M, another number."""

MANY_VALUES: Final = 10
"""So many different coordinates do not all end with a zero by chance (1 in 10^10)."""

_NUM: Final = r"([+-]?\d{1,9}(?:\.\d{1,15})?)"
_INDEX: Final = re.compile(r"^[ \t]*\d{1,9}[ \t]*$", re.MULTILINE | re.ASCII)
_ARROW: Final = re.compile(r"(\d{1,3}):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*\d", re.ASCII)
_ARROW_LINE: Final = re.compile(r"^.*-->.*$", re.MULTILINE)
_STAMP: Final = re.compile(
    r"(?<!\d)(\d{4})([-.])(\d{1,2})\2(\d{1,2})[ T]+(\d{1,2}:\d{2}:\d{2})(?:[.,](\d{1,9})(?:,(\d{3}))?)?",
    re.ASCII,
)
_PAIR: Final = re.compile(r"\bGPS\s*\(([^()\n]*)\)")
_HOME: Final = re.compile(rf"\bHOME\s*\(\s*{_NUM}\s*,\s*{_NUM}\s*[,)]", re.ASCII)
_THIRD: Final = re.compile(rf"{_NUM}\s*([Mm]?)", re.ASCII)
_COORDINATE: Final = re.compile(_NUM, re.ASCII)
_KEY: Final = re.compile(
    rf"\b(latitude|longt?itude|altitude|rel_alt|abs_alt|gb_yaw|gb_pitch|gb_roll)\s*:\s*{_NUM}(?=[\s\],<])",
    re.ASCII | re.IGNORECASE,
)
_BAROMETER: Final = re.compile(
    rf"(?:BAROMETER\s*[:(]|\bHb\s*:)\s*{_NUM}\s*(M|ft)?(?=[\s),])", re.ASCII | re.IGNORECASE
)
_H: Final = re.compile(rf"(?:^|[\s,])H[ =:]+{_NUM}\s*(m|ft)\b", re.ASCII | re.MULTILINE)
_FLIGHT: Final = re.compile(rf"F\.PRY\s*\(\s*{_NUM}[^,()]*,\s*{_NUM}[^,()]*,\s*{_NUM}[^,()]*\)")
_DRONE: Final = re.compile(
    rf"Drone\s*:\s*Yaw\s*:\s*{_NUM}\s*,\s*Pitch\s*:\s*{_NUM}\s*,\s*Roll\s*:\s*{_NUM}\s*\]", re.ASCII
)
_GIMBAL: Final = re.compile(r"G\.PRY\s*\(|\bgb_yaw\s*:")
_LINE_MARK: Final = re.compile(r"\bF/\d|\bSS \d|\bISO \d", re.ASCII)


@dataclass(slots=True)
class Cue:
    """What one cue says; texts of coordinates are kept for their number of decimals."""

    layout: str = NONE
    clock_ns: int = -1
    stamp: str = ""
    first: str = ""
    second: str = ""
    third: float = float("nan")
    third_kind: str = ""
    home: tuple[float, float] = (float("nan"), float("nan"))
    takeoff_m: float = float("nan")
    other_m: float = float("nan")
    pitch_roll_yaw: tuple[float, float, float] = (float("nan"),) * 3
    gimbal: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Cues:
    """Cues as columns, a value per cue; NaN where a cue does not have it.

    Parameters
    ----------
    layout : (n,) str
        :data:`KEYS`, :data:`TUPLE`, :data:`LINE` or :data:`NONE`.
    clock_ns : (n,) int64
        Start by the clock of the video, -1 where there is none.
    stamps : list of str
        Date and time of the camera, ``2017-08-05 14:11:51.393525``, or empty.
    first, second : (n,) float64
        The coordinates in the order of the file; latitude and longitude for :data:`KEYS`.
    decimals : int
        Decimals of the coordinates.
    third : (n,) float64
    third_kind : (n,) str
        Value after the coordinates, and its kind.
    home : (n, 2) float64
        In the order of the file.
    takeoff_m, other_m : (n,) float64
        Height above take-off, and the height that the cue states beside it or alone.
    pitch_roll_yaw : (n, 3) float64
        Of the aircraft, degrees.
    gimbal : (n,) bool
        The cue has angles of a gimbal.
    """

    layout: NDArray[np.str_]
    clock_ns: NDArray[np.int64]
    stamps: list[str]
    first: Float
    second: Float
    decimals: int
    third: Float
    third_kind: NDArray[np.str_]
    home: Float
    takeoff_m: Float
    other_m: Float
    pitch_roll_yaw: Float
    gimbal: Mask
    texts: list[tuple[str, str]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.stamps)

    def take(self, keep: Mask) -> Cues:
        """Return some of the cues; `decimals` are counted among them."""
        index = np.flatnonzero(keep)
        texts = [self.texts[each] for each in index]
        return Cues(
            layout=self.layout[index],
            clock_ns=self.clock_ns[index],
            stamps=[self.stamps[each] for each in index],
            first=self.first[index],
            second=self.second[index],
            decimals=_decimals(texts),
            third=self.third[index],
            third_kind=self.third_kind[index],
            home=self.home[index],
            takeoff_m=self.takeoff_m[index],
            other_m=self.other_m[index],
            pitch_roll_yaw=self.pitch_roll_yaw[index],
            gimbal=self.gimbal[index],
            texts=texts,
        )


def decode(data: bytes) -> Cues:
    """Read the cues of a file."""
    text = text_of(data).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    starts = [match.start() for match in _INDEX.finditer(text)]
    arrows = [match.start() for match in _ARROW_LINE.finditer(text)]
    if len(arrows) > len(starts):  # cues without their numbers
        starts = arrows
    ends = [*starts, len(text)][1:]
    return _columns([_cue(text[start:end]) for start, end in zip(starts, ends, strict=True)])


def _cue(text: str) -> Cue:
    cue = Cue(gimbal=_GIMBAL.search(text) is not None)
    arrow = _ARROW.search(text)
    if arrow is not None:
        hours, minutes, seconds = (int(arrow[k]) for k in (1, 2, 3))
        cue.clock_ns = ((hours * 60 + minutes) * 60 + seconds) * NS_PER_S + int(f"{arrow[4]:0<3}") * NS_PER_MS
    stamp = _STAMP.search(text)
    if stamp is not None:
        year, _, month, day, clock, part, micro = stamp.groups()
        decimals = f".{part}{micro or ''}"[:10] if part else ""
        cue.stamp = f"{year}-{int(month):02d}-{int(day):02d} {clock}{decimals}"
    pair = _PAIR.search(text)
    keys = {name.lower(): value for name, value in _KEY.findall(text)}
    if pair is not None:
        _read_pair(cue, pair[1], text)
    elif "latitude" in keys:
        cue.layout, cue.first = KEYS, keys["latitude"]
        cue.second = keys.get("longitude", keys.get("longtitude", ""))
    _read_heights(cue, keys, text)
    flown, drone = _FLIGHT.search(text), _DRONE.search(text)
    if flown is not None:
        cue.pitch_roll_yaw = (float(flown[1]), float(flown[2]), float(flown[3]))
    elif drone is not None:
        cue.pitch_roll_yaw = (float(drone[2]), float(drone[3]), float(drone[1]))
    return cue


def _read_pair(cue: Cue, inside: str, text: str) -> None:
    """Read ``149.0251,-20.2533,16``: coordinates that are no numbers (``N/A``) leave the cue without any."""
    cue.layout = LINE if _LINE_MARK.search(text) else TUPLE
    parts = [part.strip() for part in inside.split(",")]
    if len(parts) < 2 or not all(_COORDINATE.fullmatch(part) for part in parts[:2]):
        return
    cue.first, cue.second = parts[0], parts[1]
    third = _THIRD.fullmatch(parts[2]) if len(parts) > 2 else None
    if third is not None:
        cue.third = float(third[1])
        cue.third_kind = METERS if third[2] else DECIMAL if "." in third[1] else COUNT
    home = _HOME.search(text)
    if home is not None:
        cue.home = (float(home[1]), float(home[2]))


def _read_heights(cue: Cue, keys: dict[str, str], text: str) -> None:
    """Read the height above take-off, and the other one."""
    if "rel_alt" in keys:
        cue.takeoff_m = float(keys["rel_alt"])
    else:
        height = _BAROMETER.search(text) or _H.search(text)
        if height is not None:
            cue.takeoff_m = convert(float(height[1]), "ft" if (height[2] or "").lower() == "ft" else "m", "m")
    other = keys.get("abs_alt", keys.get("altitude"))
    if other is not None:
        cue.other_m = float(other)


def _columns(cues: list[Cue]) -> Cues:
    texts = [(cue.first, cue.second) for cue in cues]
    pairs = np.array([[float(value or "nan") for value in pair] for pair in texts]).reshape(-1, 2)
    return Cues(
        layout=np.array([cue.layout for cue in cues], dtype=np.str_),
        clock_ns=np.array([cue.clock_ns for cue in cues], dtype=np.int64),
        stamps=[cue.stamp for cue in cues],
        first=pairs[:, 0],
        second=pairs[:, 1],
        decimals=_decimals(texts),
        third=np.array([cue.third for cue in cues], dtype=np.float64),
        third_kind=np.array([cue.third_kind for cue in cues], dtype=np.str_),
        home=np.array([cue.home for cue in cues], dtype=np.float64).reshape(-1, 2),
        takeoff_m=np.array([cue.takeoff_m for cue in cues], dtype=np.float64),
        other_m=np.array([cue.other_m for cue in cues], dtype=np.float64),
        pitch_roll_yaw=np.array([cue.pitch_roll_yaw for cue in cues], dtype=np.float64).reshape(-1, 3),
        gimbal=np.array([cue.gimbal for cue in cues], dtype=bool),
        texts=texts,
    )


def _decimals(texts: list[tuple[str, str]]) -> int:
    """Return the decimals of the coordinates; zeros at the end of every one of many are padding."""
    values = {value for pair in texts for value in pair if value}
    padded = len(values) >= MANY_VALUES
    parts = (value.partition(".")[2] for value in values)
    return max((len(part.rstrip("0") if padded else part) for part in parts), default=0)
