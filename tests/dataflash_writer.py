"""A DataFlash writer for tests, from the format's description only: shares nothing with the reader."""

from __future__ import annotations

import struct

STRUCT = {
    "a": "32h", "b": "b", "B": "B", "h": "h", "H": "H", "i": "i", "I": "I", "q": "q", "Q": "Q",
    "g": "e", "f": "f", "d": "d", "n": "4s", "N": "16s", "Z": "64s",
    "c": "h", "C": "H", "e": "i", "E": "I", "L": "i", "M": "B",
}  # fmt: skip
SCALE = {"c": 100, "C": 100, "e": 100, "E": 100, "L": 10_000_000}
GPS = ("QBBIHBcLLeffffB", "TimeUS,I,Status,GMS,GWk,NSats,HDop,Lat,Lng,Alt,Spd,GCrs,VZ,Yaw,U")
GPS_OLD = ("QBIHBcLLefffB", "TimeUS,Status,GMS,GWk,NSats,HDop,Lat,Lng,Alt,Spd,GCrs,VZ,U")
GPA = ("QBCCCCfBIHf", "TimeUS,I,VDop,HAcc,VAcc,SAcc,YAcc,VV,SMS,Delta,Und")
POS = ("QLLfff", "TimeUS,Lat,Lng,Alt,RelHomeAlt,RelOriginAlt")
ATT = ("QccccCCCCB", "TimeUS,DesRoll,Roll,DesPitch,Pitch,DesYaw,Yaw,ErrRP,ErrYaw,AEKF")
BARO = ("QBffcfIffB", "TimeUS,I,Alt,Press,Temp,CRt,SMS,Offset,GndTemp,Health")
ORGN = ("QBLLe", "TimeUS,Type,Lat,Lng,Alt")
XKF1 = ("QBccCfffffffccce", "TimeUS,C,Roll,Pitch,Yaw,VN,VE,VD,dPD,PN,PE,PD,GX,GY,GZ,OH")
MSG = ("QZ", "TimeUS,Message")


class Log:
    """Bytes of a log; `add` takes physical values."""

    def __init__(self, *, own: bool = True) -> None:
        self.records: list[bytes] = []
        self.types: dict[str, tuple[int, str]] = {}
        if own:
            self.define("FMT", "BBnNZ", "Type,Length,Name,Format,Columns", kind=128)

    def define(self, name: str, letters: str, columns: str, *, kind: int | None = None) -> Log:
        kind = 10 + len(self.types) if kind is None else kind
        self.types[name] = (kind, letters)
        length = 3 + struct.calcsize("<" + "".join(STRUCT[letter] for letter in letters))
        body = struct.pack("<BB4s16s64s", kind, length, name.encode(), letters.encode(), columns.encode())
        self.records.append(b"\xa3\x95\x80" + body)
        return self

    def add(self, name: str, *values: object) -> Log:
        self.records.append(self.pack(name, *values))
        return self

    def pack(self, name: str, *values: object) -> bytes:
        kind, letters = self.types[name]
        flat: list[object] = []
        for letter, value in zip(letters, values, strict=True):
            if letter == "a":
                flat.extend(value)  # type: ignore[arg-type]
            elif letter in SCALE:
                flat.append(round(value * SCALE[letter]))  # type: ignore[operator]
            else:
                flat.append(value)
        code = "<" + "".join(STRUCT[letter] for letter in letters)
        return b"\xa3\x95" + bytes([kind]) + struct.pack(code, *flat)

    def data(self) -> bytes:
        return b"".join(self.records)
