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
XKF4 = ("QBcccccfffHBIHb", "TimeUS,C,SV,SP,SH,SM,SVT,errRP,OFN,OFE,FS,TS,SS,GPS,PI")
XKQ = ("QBffff", "TimeUS,C,Q1,Q2,Q3,Q4")
CAM = ("QBHIHLLeeefff", "TimeUS,I,Img,GPSTime,GPSWeek,Lat,Lng,Alt,RelAlt,GPSAlt,R,P,Y")
CAM_OLD = ("QIHLLeeeccC", "TimeUS,GPSTime,GPSWeek,Lat,Lng,Alt,RelAlt,GPSAlt,Roll,Pitch,Yaw")
GPS_30 = ("BIBcLLeeEe", "Status,Time,NSats,HDop,Lat,Lng,RelAlt,Alt,Spd,GCrs")
GPS_31 = ("BIHBcLLeeEefI", "Status,TimeMS,Week,NSats,HDop,Lat,Lng,RelAlt,Alt,Spd,GCrs,VZ,T")
GPS_32 = ("IBIHBcLLeEef", "TimeMS,Status,GPSTimeMS,Week,NSats,HDop,Lat,Lng,Alt,Spd,GCrs,VZ")
ATT_30 = ("cccccCC", "RollIn,Roll,PitchIn,Pitch,YawIn,Yaw,NavYaw")
ATT_31 = ("IccccCCCC", "TimeMS,DesRoll,Roll,DesPitch,Pitch,DesYaw,Yaw,ErrRP,ErrYaw")


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

    def line(self, name: str, *values: object) -> str:
        """The row as a text log has it: what the binary row stores, written with all its digits."""
        cells = []
        for letter, value in zip(self.types[name][1], values, strict=True):
            if letter in SCALE:
                digits = len(str(SCALE[letter])) - 1
                value = f"{round(value * SCALE[letter]) / SCALE[letter]:.{digits}f}"  # type: ignore[operator]
            elif letter in "gf":
                code = STRUCT[letter]
                value = repr(struct.unpack("<" + code, struct.pack("<" + code, value))[0])
            elif isinstance(value, bytes):
                value = value.decode("latin-1")
            cells.append(str(value))
        return ", ".join([name, *cells])

    def definitions(self) -> list[str]:
        """The FMT lines of a text log."""
        lines = []
        for record in self.records:
            if record[2] == 0x80:
                kind, length, *texts = struct.unpack("<BB4s16s64s", record[3:])
                name, letters, columns = (text.rstrip(b"\0").decode() for text in texts)
                lines.append(f"FMT, {kind}, {length}, {name}, {letters}, {columns}")
        return lines
