"""An ArduPilot DataFlash log, written record by record in the layouts of firmware 4.2.

Layouts as logged by a flight controller with firmware 4.2.3 (columns, format letters, unit and
multiplier letters); see https://ardupilot.org/copter/docs/logmessages.html. A record is ``A3 95``, a
type byte and a packed little-endian body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dronesense.synthetic.frames import Array

MAGIC: Final = b"\xa3\x95"
HEADER_BYTES: Final = 3

LETTERS: Final = {
    # letter: (NumPy type, stored units per unit)
    "b": ("i1", 1.0),
    "B": ("u1", 1.0),
    "M": ("u1", 1.0),
    "h": ("<i2", 1.0),
    "H": ("<u2", 1.0),
    "i": ("<i4", 1.0),
    "I": ("<u4", 1.0),
    "q": ("<i8", 1.0),
    "Q": ("<u8", 1.0),
    "f": ("<f4", 1.0),
    "d": ("<f8", 1.0),
    "c": ("<i2", 100.0),
    "C": ("<u2", 100.0),
    "e": ("<i4", 100.0),
    "E": ("<u4", 100.0),
    "L": ("<i4", 1e7),
    "n": ("S4", 1.0),
    "N": ("S16", 1.0),
    "Z": ("S64", 1.0),
}


class Layout(NamedTuple):
    """One message type: number, format letters, columns, unit and multiplier letters."""

    type: int
    letters: str
    columns: str
    units: str
    multipliers: str

    @property
    def names(self) -> list[str]:
        """Column names."""
        return self.columns.split(",")

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Packed type of the whole record."""
        fields = [(name, LETTERS[letter][0]) for name, letter in zip(self.names, self.letters, strict=True)]
        return np.dtype([("", "S2"), (" ", "u1"), *fields])


LAYOUTS: Final = {
    "FMT": Layout(128, "BBnNZ", "Type,Length,Name,Format,Columns", "-b---", "-----"),
    "UNIT": Layout(109, "QbZ", "TimeUS,Id,Label", "s--", "F--"),
    "MULT": Layout(110, "Qbd", "TimeUS,Id,Mult", "s--", "F--"),
    "FMTU": Layout(108, "QBNN", "TimeUS,FmtType,UnitIds,MultIds", "s---", "F---"),
    "PARM": Layout(32, "QNf", "TimeUS,Name,Value", "s--", "F--"),
    "MSG": Layout(59, "QZ", "TimeUS,Message", "s-", "F-"),
    "MODE": Layout(112, "QMBB", "TimeUS,Mode,ModeNum,Rsn", "s---", "F---"),
    "GPS": Layout(
        84,
        "QBBIHBcLLeffffB",
        "TimeUS,I,Status,GMS,GWk,NSats,HDop,Lat,Lng,Alt,Spd,GCrs,VZ,Yaw,U",
        "s#---SmDUmnhnh-",
        "F----0BGGB000--",
    ),
    "GPA": Layout(
        85, "QBCCCCfBIHf", "TimeUS,I,VDop,HAcc,VAcc,SAcc,YAcc,VV,SMS,Delta,Und", "s#mmmnd-ssm", "F-BBBB0-CC0"
    ),
    "ORGN": Layout(69, "QBLLe", "TimeUS,Type,Lat,Lng,Alt", "s#DUm", "F-GGB"),
    "POS": Layout(70, "QLLfff", "TimeUS,Lat,Lng,Alt,RelHomeAlt,RelOriginAlt", "sDUmmm", "FGG000"),
    "ATT": Layout(
        68,
        "QccccCCCCB",
        "TimeUS,DesRoll,Roll,DesPitch,Pitch,DesYaw,Yaw,ErrRP,ErrYaw,AEKF",
        "sddddhhdh-",
        "FBBBBBBBB-",
    ),
    "BARO": Layout(
        64, "QBffcfIffB", "TimeUS,I,Alt,Press,Temp,CRt,SMS,Offset,GndTemp,Health", "s#mPOnsmO-", "F-00B0C?0-"
    ),
    "IMU": Layout(
        162,
        "QBffffffIIfBBHH",
        "TimeUS,I,GyrX,GyrY,GyrZ,AccX,AccY,AccZ,EG,EA,T,GH,AH,GHz,AHz",
        "s#EEEooo--O--zz",
        "F-000000-----00",
    ),
    "XKF1": Layout(
        44,
        "QBccCfffffffccce",
        "TimeUS,C,Roll,Pitch,Yaw,VN,VE,VD,dPD,PN,PE,PD,GX,GY,GZ,OH",
        "s#ddhnnnnmmmkkkm",
        "F-BBB0000000BBBB",
    ),
}
"""Message types that the log holds."""

UNITS: Final = {
    "-": "",
    "?": "UNKNOWN",
    "d": "deg",
    "b": "B",
    "k": "deg/s",
    "D": "deglatitude",
    "E": "rad/s",
    "h": "degheading",
    "m": "m",
    "n": "m/s",
    "o": "m/s/s",
    "O": "degC",
    "S": "satellites",
    "s": "s",
    "U": "deglongitude",
    "P": "Pa",
    "z": "Hz",
    "#": "instance",
}
MULTIPLIERS: Final = {"-": 0.0, "?": 1.0, "0": 1.0, "B": 1e-2, "C": 1e-3, "F": 1e-6, "G": 1e-7}


class Rows(NamedTuple):
    """Records of one type: when they were logged (µs since boot), and their bytes (n, length)."""

    time_us: NDArray[np.int64]
    raw: NDArray[np.uint8]


def _column(letter: str, values: object, count: int) -> NDArray[np.generic]:
    kind, scale = LETTERS[letter]
    given = np.broadcast_to(np.asarray(values), (count,))
    if kind.startswith("S"):
        return given.astype(kind)
    if kind.startswith("<f"):
        return given.astype(kind)
    return np.rint(given.astype(np.float64) * scale).astype(kind) if scale != 1.0 else given.astype(kind)


def rows(name: str, time_us: NDArray[np.int64], **columns: object) -> Rows:
    """Return records of type *name*; columns are in the message's own units and may be scalars.

    Raises
    ------
    ValueError
        If a column is missing or does not belong to the message.
    """
    layout = LAYOUTS[name]
    wanted = set(layout.names) - {"TimeUS"}
    if set(columns) != wanted:
        raise ValueError(f"{name} has columns {sorted(wanted)}, not {sorted(columns)}")
    out = np.zeros(len(time_us), layout.dtype)
    out[out.dtype.names[0]] = MAGIC  # type: ignore[index]
    out[" "] = layout.type
    for column, letter in zip(layout.names, layout.letters, strict=True):
        values = time_us if column == "TimeUS" else columns[column]
        out[column] = _column(letter, values, len(time_us))
    return Rows(time_us, out.view(np.uint8).reshape(len(time_us), layout.dtype.itemsize))


def once(name: str, time_us: int, **columns: object) -> Rows:
    """Return one record."""
    return rows(name, np.array([time_us], dtype=np.int64), **columns)


def preamble(time_us: int) -> bytes:
    """Return the self-description that a log opens with: FMT of all types, units, multipliers, FMTU."""
    out = []
    for name, layout in LAYOUTS.items():
        text = {"Name": name.encode(), "Format": layout.letters.encode(), "Columns": layout.columns.encode()}
        record = rows("FMT", np.zeros(1, np.int64), Type=layout.type, Length=layout.dtype.itemsize, **text)
        out.append(record.raw.tobytes())
    out += [
        once("UNIT", time_us, Id=ord(k), Label=label.encode()).raw.tobytes() for k, label in UNITS.items()
    ]
    out += [once("MULT", time_us, Id=ord(k), Mult=factor).raw.tobytes() for k, factor in MULTIPLIERS.items()]
    for layout in LAYOUTS.values():
        units = {"UnitIds": layout.units.encode(), "MultIds": layout.multipliers.encode()}
        out.append(once("FMTU", time_us, FmtType=layout.type, **units).raw.tobytes())
    return b"".join(out)


def interleave(groups: Iterable[Rows]) -> bytes:
    """Return the records of all *groups* in the order of their time stamps."""
    parts = [g for g in groups if len(g.time_us)]
    time = np.concatenate([g.time_us for g in parts])
    length = np.concatenate([np.full(len(g.time_us), g.raw.shape[1]) for g in parts])
    order = np.argsort(time, kind="stable")
    offset = np.empty(len(time), np.int64)
    offset[order] = np.concatenate([[0], np.cumsum(length[order])[:-1]])
    out = np.empty(int(length.sum()), np.uint8)
    first = 0
    for group in parts:
        place = offset[first : first + len(group.time_us), None] + np.arange(group.raw.shape[1])
        out[place] = group.raw
        first += len(group.time_us)
    return out.tobytes()


def correlated(
    count: int, step_s: float, correlation_s: float, sigma: float, rng: np.random.Generator
) -> Array:
    """Return a stationary first-order autoregressive error of standard deviation *sigma*."""
    from scipy.signal import lfilter

    keep = float(np.exp(-step_s / correlation_s))
    shock = rng.standard_normal(count) * np.sqrt(1.0 - keep**2)
    shock[0] = rng.standard_normal()
    return sigma * np.asarray(lfilter([1.0], [1.0, -keep], shock))
