"""A ULog writer for tests, from the format's description only: shares nothing with the reader."""

from __future__ import annotations

import struct

CODES = {
    "int8_t": "b", "uint8_t": "B", "int16_t": "h", "uint16_t": "H", "int32_t": "i", "uint32_t": "I",
    "int64_t": "q", "uint64_t": "Q", "float": "f", "double": "d", "bool": "?", "char": "c",
}  # fmt: skip
SYNC = bytes.fromhex("2F731320250CBB12")

GPS = (
    "uint64_t timestamp;uint64_t time_utc_usec;int32_t lat;int32_t lon;int32_t alt;int32_t alt_ellipsoid;"
    "float eph;float epv;float vel_n_m_s;float vel_e_m_s;float vel_d_m_s;uint8_t fix_type;bool vel_ned_valid;"
    "uint8_t[2] _padding0;"
)
GPS_DOUBLE = (
    "uint64_t timestamp;double latitude_deg;double longitude_deg;double altitude_msl_m;"
    "double altitude_ellipsoid_m;uint64_t time_utc_usec;float eph;float epv;float vel_n_m_s;float vel_e_m_s;"
    "float vel_d_m_s;uint8_t fix_type;bool vel_ned_valid;uint8_t[6] _padding0;"
)
GLOBAL = (
    "uint64_t timestamp;double lat;double lon;float alt;float eph;float epv;uint8_t lat_lon_reset_counter;"
    "uint8_t alt_reset_counter;bool dead_reckoning;uint8_t[1] _padding0;"
)
LOCAL = (
    "uint64_t timestamp;uint64_t ref_timestamp;double ref_lat;double ref_lon;float x;float y;float z;"
    "float vx;float vy;float vz;float ref_alt;float eph;float epv;bool v_xy_valid;bool v_z_valid;"
    "uint8_t xy_reset_counter;uint8_t z_reset_counter;bool xy_global;bool z_global;uint8_t[6] _padding0;"
)
ATTITUDE = "uint64_t timestamp;float[4] q;uint8_t quat_reset_counter;uint8_t[7] _padding0;"
AIR = "uint64_t timestamp;float baro_pressure_pa;uint8_t[4] _padding0;"
BARO = "uint64_t timestamp;uint32_t device_id;float pressure;"
CAPTURE = "uint64_t timestamp;uint64_t timestamp_utc;uint32_t seq;int8_t result;uint8_t[3] _padding0;"
TRIGGER = "uint64_t timestamp;uint64_t timestamp_utc;uint32_t seq;bool feedback;uint8_t[3] _padding0;"
LANDED = "uint64_t timestamp;bool landed;uint8_t[7] _padding0;"


class Log:
    """Bytes of a log; `add` takes the values of one row, arrays as sequences, without the last padding."""

    def __init__(self, start_us: int = 0) -> None:
        self.parts = [b"ULog\x01\x12\x35\x01" + struct.pack("<Q", start_us)]
        self.formats: dict[str, list[tuple[str, int, str]]] = {}
        self.ids: dict[tuple[str, int], int] = {}

    def message(self, kind: str, payload: bytes) -> Log:
        self.parts.append(struct.pack("<HB", len(payload), ord(kind)) + payload)
        return self

    def flags(self, compat: int = 0, incompat: int = 0, appended: tuple[int, int, int] = (0, 0, 0)) -> Log:
        return self.message("B", struct.pack("<QQ3Q", compat, incompat, *appended))

    def format(self, name: str, fields: str) -> Log:
        parsed = []
        for text in fields.rstrip(";").split(";"):
            kind, field = text.split(" ")
            kind, _, count = kind.partition("[")
            parsed.append((kind, int(count[:-1]) if count else 0, field))
        self.formats[name] = parsed
        return self.message("F", f"{name}:{fields}".encode())

    def keyed(self, key: str, value: bytes, kind: str = "I") -> Log:
        return self.message(kind, bytes([len(key)]) + key.encode() + value)

    def subscribe(self, name: str, multi_id: int = 0, ident: int | None = None) -> Log:
        ident = len(self.ids) if ident is None else ident
        self.ids[name, multi_id] = ident
        return self.message("A", struct.pack("<BH", multi_id, ident) + name.encode())

    def topic(self, name: str, fields: str) -> Log:
        return self.format(name, fields).subscribe(name)

    def flat(self, name: str) -> str:
        """Return the struct codes of a format, one letter per number."""
        code = ""
        for kind, count, _ in self.formats[name]:
            code += (CODES[kind] if kind in CODES else self.flat(kind)) * (count or 1)
        return code

    def padding(self, name: str) -> int:
        """Return the bytes of the padding at the end."""
        total = 0
        for kind, count, field in reversed(self.formats[name]):
            if not field.startswith("_padding"):
                break
            total += struct.calcsize("<" + CODES[kind]) * (count or 1)
        return total

    def row(self, name: str, *values: object, multi_id: int = 0, padded: bool = False) -> bytes:
        flat: list[object] = []
        for value in values:
            flat.extend(value if isinstance(value, list | tuple) else [value])
        pad = self.padding(name)
        code = self.flat(name)
        body = struct.pack("<" + code[: len(code) - pad], *flat) + bytes(pad if padded else 0)
        return struct.pack("<HBH", len(body) + 2, ord("D"), self.ids[name, multi_id]) + body

    def add(self, name: str, *values: object, multi_id: int = 0, padded: bool = False) -> Log:
        self.parts.append(self.row(name, *values, multi_id=multi_id, padded=padded))
        return self

    def dropout(self, milliseconds: int) -> Log:
        return self.message("O", struct.pack("<H", milliseconds))

    def text(self, level: int, stamp_us: int, text: str, tag: int | None = None) -> Log:
        middle = b"" if tag is None else struct.pack("<H", tag)
        body = bytes([ord("0") + level]) + middle + struct.pack("<Q", stamp_us) + text.encode()
        return self.message("L" if tag is None else "C", body)

    def sync(self) -> Log:
        return self.message("S", SYNC)

    def data(self) -> bytes:
        return b"".join(self.parts)
