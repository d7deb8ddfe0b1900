"""A writer of MAVLink telemetry logs for tests, from the format's description only.

It shares nothing with the reader: frames are packed with `struct` and the checksum is taken bit by bit; each
message states its checksum seed, as the public message set gives it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

UTC_US = 1_780_000_000_000_000
"""2026-05-28T20:26:40Z."""
LATE_US = 17_300_000
"""The ground station's clock is this much ahead, like a laptop that never asked for the time."""


@dataclass(frozen=True)
class Kind:
    """Id, checksum seed, struct code of base and extension fields, names in the order on the wire."""

    id: int
    seed: int
    base: str
    names: str
    extension: str = ""


KINDS = {
    "HEARTBEAT": Kind(0, 50, "IBBBBB", "custom_mode type autopilot base_mode system_status mavlink_version"),
    "SYSTEM_TIME": Kind(2, 137, "QI", "time_unix_usec time_boot_ms"),
    "PARAM_VALUE": Kind(22, 220, "fHH16sB", "param_value param_count param_index param_id param_type"),
    "GPS_RAW_INT": Kind(
        24, 24, "QiiiHHHHBB",
        "time_usec lat lon alt eph epv vel cog fix_type satellites_visible "
        "alt_ellipsoid h_acc v_acc vel_acc hdg_acc yaw",
        "iIIIIH",
    ),
    "SCALED_PRESSURE": Kind(
        29, 115, "Iffh", "time_boot_ms press_abs press_diff temperature temperature_press_diff", "h"
    ),
    "ATTITUDE": Kind(30, 39, "Iffffff", "time_boot_ms roll pitch yaw rollspeed pitchspeed yawspeed"),
    "ATTITUDE_QUATERNION": Kind(
        31, 246, "Ifffffff", "time_boot_ms q1 q2 q3 q4 rollspeed pitchspeed yawspeed repr_offset_q", "4f"
    ),
    "LOCAL_POSITION_NED": Kind(32, 185, "Iffffff", "time_boot_ms x y z vx vy vz"),
    "GLOBAL_POSITION_INT": Kind(33, 104, "IiiiihhhH", "time_boot_ms lat lon alt relative_alt vx vy vz hdg"),
    "CAMERA_TRIGGER": Kind(112, 174, "QI", "time_usec seq"),
    "GPS2_RAW": Kind(
        124, 87, "QiiiIHHHHBBB",
        "time_usec lat lon alt dgps_age eph epv vel cog fix_type satellites_visible dgps_numch "
        "yaw alt_ellipsoid h_acc v_acc vel_acc hdg_acc",
        "HiIIII",
    ),
    "BATTERY_STATUS": Kind(
        147, 154, "iih10HhBBBb",
        "current_consumed energy_consumed temperature voltages current_battery id battery_function type "
        "battery_remaining time_remaining charge_state voltages_ext mode fault_bitmask",
        "iB4HBI",
    ),
    "AUTOPILOT_VERSION": Kind(
        148, 178, "QQIIIIHH8B8B8B",
        "capabilities uid flight_sw_version middleware_sw_version os_sw_version board_version vendor_id "
        "product_id flight_custom_version middleware_custom_version os_custom_version uid2",
        "18B",
    ),
    "CAMERA_FEEDBACK": Kind(
        180, 52, "QiiffffffHBBB",
        "time_usec lat lng alt_msl alt_rel roll pitch yaw foc_len img_idx target_system cam_idx flags "
        "completed_captures",
        "H",
    ),
    "STATUSTEXT": Kind(253, 83, "B50s", "severity text id chunk_seq", "HB"),
    "CAMERA_IMAGE_CAPTURED": Kind(
        263, 133, "QIiiii4fiBb205s",
        "time_utc time_boot_ms lat lon alt relative_alt q image_index camera_id capture_result file_url",
    ),
}  # fmt: skip


def crc(data: bytes) -> int:
    """CRC-16/MCRF4XX, one bit at a time."""
    state = 0xFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ 0x8408 if state & 1 else state >> 1
    return state


def payload(name: str, *, extension: bool, **values: object) -> bytes:
    """Pack a payload; fields that are not given are 0, arrays and texts too."""
    kind = KINDS[name]
    code = kind.base + (kind.extension if extension else "")
    packed, names = b"", kind.names.split()
    unknown = set(values) - set(names)
    assert not unknown, unknown
    count = ""
    for letter in code:
        if letter.isdigit():
            count += letter
            continue
        value = values.get(names.pop(0), b"" if letter == "s" else 0)
        if count and letter != "s":
            value = value if isinstance(value, (list, tuple)) else [value] * int(count)
            packed += struct.pack(f"<{count}{letter}", *value)
        else:
            packed += struct.pack(f"<{count}{letter}", value)
        count = ""
    return packed


@dataclass
class Log:
    """Bytes of a log; `add` writes a message that arrives `late_us` after `boot_ms`."""

    version: int = 2
    system: int = 1
    component: int = 1
    signed: bool = False
    records: list[bytes] = field(default_factory=list)
    sequence: int = 0

    def frame(self, number: int, seed: int, body: bytes, *, flags: int | None = None) -> bytes:
        """Return a frame of any message id."""
        self.sequence = (self.sequence + 1) % 256
        if self.version == 1:
            header = struct.pack("<BBBBB", len(body), self.sequence, self.system, self.component, number)
            return b"\xfe" + header + body + struct.pack("<H", crc(header + body + bytes([seed])))
        body = body.rstrip(b"\0") or b"\0"
        flags = int(self.signed) if flags is None else flags
        header = struct.pack("<BBBBBB", len(body), flags, 0, self.sequence, self.system, self.component)
        header += number.to_bytes(3, "little")
        check = struct.pack("<H", crc(header + body + bytes([seed])))
        return b"\xfd" + header + body + check + (b"\7" * 13 if flags & 1 else b"")

    def record(self, frame: bytes, received_us: int) -> Log:
        """Append a frame with its stamp."""
        self.records.append(struct.pack(">Q", received_us) + frame)
        return self

    def add(self, name: str, received_us: int, **values: object) -> Log:
        """Append a message."""
        body = payload(name, extension=self.version == 2, **values)
        return self.record(self.frame(KINDS[name].id, KINDS[name].seed, body), received_us)

    def data(self) -> bytes:
        """Return the log."""
        return b"".join(self.records)
