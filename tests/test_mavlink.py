"""MAVLink bytes to columns: hand-packed frames, damage of every kind, and pymavlink as oracle."""

from __future__ import annotations

import importlib
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers import mavlink_scan
from dronesense.readers.mavlink_frames import Telemetry, load
from dronesense.readers.mavlink_messages import checksum, definitions, step_byte, step_word

sys.path.insert(0, str(Path(__file__).parent))
import tlog_writer as writer

REAL = ("vtol.tlog", "capture.mav2.battery_status.tlog")


def decoded(data: bytes) -> Telemetry:
    return Telemetry(np.frombuffer(data, dtype=np.uint8))


def small_log(rows: int = 40, version: int = 2, **settings: Any) -> writer.Log:
    log = writer.Log(version=version, **settings)
    for k in range(rows):
        t = writer.UTC_US + 100_000 * k
        log.add("ATTITUDE", t, time_boot_ms=100 * k, roll=0.1, pitch=-0.2, yaw=3.0, rollspeed=k / 8)
        log.add(
            "GLOBAL_POSITION_INT", t, time_boot_ms=100 * k, lat=515_000_000 + k, lon=-2, alt=61_000, hdg=0
        )
        log.add("GPS_RAW_INT", t, time_usec=100_000 * k, lat=k, fix_type=3, alt=9, h_acc=1500)
        log.add("STATUSTEXT", t, severity=6, text=b"mark %d" % k)
    return log


def pymavlink() -> Any:
    """Return `mavutil` with the definitions that have extension fields."""
    os.environ["MAVLINK20"] = "1"
    from pymavlink import mavutil

    mavutil.set_dialect("ardupilotmega")
    return mavutil


def peer_messages(path: Path) -> list[Any]:
    """Return every good message that pymavlink reads."""
    reader = pymavlink().mavlogfile(str(path))
    found = []
    try:
        while True:
            try:
                message = reader.recv_msg()
            except Exception:  # noqa: BLE001 - the peer raises what it likes on damaged files
                break
            if message is None:
                break
            if message.get_type() != "BAD_DATA" and not message.get_type().startswith("UNKNOWN"):
                found.append(message)
    finally:
        reader.close()
    return found


# -- definitions and checksum


@pytest.mark.parametrize("dialect", ["ardupilotmega", "development"])
def test_every_definition_is_the_one_that_pymavlink_has(dialect: str) -> None:
    peers = importlib.import_module(f"pymavlink.dialects.v20.{dialect}").mavlink_map
    assert set(peers) <= set(definitions())
    for number, peer in peers.items():
        ours = definitions()[number]
        assert (ours.id, ours.name) == (number, peer.msgname)
        assert list(ours.columns) == peer.fieldnames
        assert [field.name for field in ours.wire] == peer.ordered_fieldnames
        assert ours.crc_extra == peer.crc_extra
        assert ours.payload_bytes == peer.unpacker.size == ours.dtype().itemsize
        assert [max(field.elements, 1) for field in ours.wire if field.kind != "char"] == [
            length for length, field in zip(peer.lengths, ours.wire, strict=True) if field.kind != "char"
        ]
        whole = bytes(range(1, ours.payload_bytes + 1))
        values = iter(peer.unpacker.unpack(whole))
        record = np.frombuffer(whole, dtype=ours.dtype())[0]
        for field in ours.wire:
            count = 1 if field.kind == "char" else max(field.elements, 1)
            expected = np.array([next(values) for _ in range(count)])
            numbers = expected.dtype.kind == "f"
            assert np.array_equal(np.atleast_1d(record[field.name]), expected, equal_nan=numbers)


def test_no_definition_is_left_unproven() -> None:
    known: set[int] = set()
    for dialect in ("ardupilotmega", "development"):
        known |= set(importlib.import_module(f"pymavlink.dialects.v20.{dialect}").mavlink_map)
    assert set(definitions()) == known


def test_base_lengths_are_those_of_mavlink_1() -> None:
    peers = importlib.import_module("pymavlink.dialects.v10.ardupilotmega").mavlink_map
    for number, peer in peers.items():
        # the peer's table for MAVLink 1 has no extension fields
        assert definitions()[number].base_bytes == peer.unpacker.size


def test_the_checksum_steps_are_those_of_the_bitwise_definition() -> None:
    rng = random.Random(1)
    for length in (0, 1, 2, 9, 60):
        text = rng.randbytes(length)
        assert checksum(text) == writer.crc(text)
    state = np.array([0, 1, 0x8000, 0xFFFF, 0x1234], dtype=np.uint16)
    for expected in state.tolist():
        shifted = expected
        for _ in range(16):
            shifted = (shifted >> 1) ^ 0x8408 if shifted & 1 else shifted >> 1
        assert step_word(np.array([expected], dtype=np.uint16))[0] == shifted
    low = np.array([0x31], dtype=np.uint16)
    assert (step_byte(low ^ np.uint16(0xFF)) ^ np.uint16(0xFF))[0] == writer.crc(b"1")


# -- frames


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("signed", [False, True])
def test_fields_read_what_was_packed(version: int, signed: bool) -> None:
    log = writer.Log(version=version, system=7, component=190, signed=signed and version == 2)
    log.add(
        "GPS_RAW_INT", 11, time_usec=2**63 + 5, lat=-(2**31), lon=2**31 - 1, alt=-7, eph=65535, vel=12,
        cog=35_999, fix_type=6, satellites_visible=17,
    )  # fmt: skip
    log.add("BATTERY_STATUS", 12, voltages=list(range(10)), current_battery=-1, battery_remaining=-1)
    log.add("PARAM_VALUE", 13, param_value=0.5, param_id=b"SIXTEEN_LETTERS_", param_index=65535)
    log.add("STATUSTEXT", 14, text=b"gr\xc3\xbc\xc3\x9fe\0rest", severity=2)
    read = decoded(log.data())
    assert list(read) == ["PARAM_VALUE", "GPS_RAW_INT", "BATTERY_STATUS", "STATUSTEXT"]
    gps, battery = read["GPS_RAW_INT"], read["BATTERY_STATUS"]
    assert gps["time_usec"].tolist() == [2**63 + 5]
    assert [gps[name][0] for name in ("lat", "lon", "alt", "eph", "vel", "cog", "fix_type")] == [
        -(2**31), 2**31 - 1, -7, 65535, 12, 35_999, 6,
    ]  # fmt: skip
    assert gps["alt_ellipsoid"].tolist() == [0]
    assert battery["voltages"].tolist() == [list(range(10))]
    assert (battery["current_battery"][0], battery["battery_remaining"][0]) == (-1, -1)
    assert read["PARAM_VALUE"].text("param_id") == ["SIXTEEN_LETTERS_"]
    assert read["PARAM_VALUE"]["param_value"].tolist() == [0.5]
    assert read["STATUSTEXT"].text("text") == ["grüße"]
    assert (gps.system[0], gps.component[0], gps.sequence[0], gps.received_us[0]) == (7, 190, 1, 11)
    assert gps.offsets.tolist() == [8]
    assert (read.records, read.holes, read.sources()) == (4, (), {(7, 190): 4})
    with pytest.raises(KeyError, match='did you mean "lat"'):
        gps["latt"]


def test_extension_fields_are_zero_where_a_frame_lacks_them() -> None:
    one = small_log(2, version=1).add("GPS_RAW_INT", 5, alt=1)
    two = writer.Log().add("GPS_RAW_INT", 5, alt=1, alt_ellipsoid=-45_000, h_acc=300)
    gps = decoded(one.data() + two.data())["GPS_RAW_INT"]
    assert gps["alt_ellipsoid"].tolist() == [0, 0, 0, -45_000]
    assert gps["h_acc"].tolist() == [0, 0, 0, 300]


def test_fields_that_a_newer_definition_adds_are_cut_off() -> None:
    log = small_log(1)
    body = writer.payload("GLOBAL_POSITION_INT", extension=False, lat=5, hdg=9) + b"\1\2\3"
    read = decoded(log.record(log.frame(33, 104, body), 5).data())
    assert read["GLOBAL_POSITION_INT"]["hdg"].tolist() == [0, 9]
    assert read.holes == ()


@pytest.mark.parametrize("version", [1, 2])
def test_unknown_messages_are_stepped_over_and_counted(version: int) -> None:
    log = small_log(5, version)
    number = max(set(range(256)) - set(definitions())) if version == 1 else 60_000
    for k in range(3):
        log.record(log.frame(number, 77, bytes([k + 1] * 30)), 5)
    log.add("ATTITUDE", 6, time_boot_ms=1)
    log.record(log.frame(number, 77, bytes(range(9, 20))), 5)
    read = decoded(log.data())
    assert dict(read.unknown) == {number: 4}
    assert (read.records, read.holes) == (25, ())


def test_a_flipped_id_is_damage_and_no_unknown_message() -> None:
    log = small_log(5)
    record = bytearray(log.records[7])
    record[8 + 8] ^= 0xEB  # the middle byte of the id
    log.records[7] = bytes(record)
    read = decoded(log.data())
    assert dict(read.refused) == {"wrong checksum": 1}
    start = sum(map(len, log.records[:7]))
    assert read.holes == ((start, len(record)),)
    assert (read.records, read.unknown.total()) == (19, 0)


def test_frames_with_unknown_flags_are_not_used() -> None:
    log = small_log(3)
    log.record(log.frame(30, 39, writer.payload("ATTITUDE", extension=False, roll=1.0), flags=2), 5)
    log.add("ATTITUDE", 6, time_boot_ms=1)
    read = decoded(log.data())
    assert dict(read.refused) == {mavlink_scan.UNKNOWN_FLAGS: 1}
    assert read.count("ATTITUDE") == 4
    assert read.holes == ()


def test_a_frame_in_a_payload_is_no_message() -> None:
    inner = writer.Log()
    frame = inner.frame(30, 39, writer.payload("ATTITUDE", extension=False, roll=1.0))
    log = small_log(2)
    body = struct.pack("<HBBB", 5, 1, 1, len(frame)) + frame + b"\1" * (128 - len(frame))
    log.record(log.frame(385, definitions()[385].crc_extra, body), 5)  # TUNNEL
    log.add("ATTITUDE", 6, time_boot_ms=1)
    read = decoded(log.data())
    assert (read.count("ATTITUDE"), read.count("TUNNEL"), read.holes) == (3, 1, ())


def test_blocks_of_the_scan_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_log().data()
    whole = decoded(data)
    for size in (1, 37, 1000):
        monkeypatch.setattr(mavlink_scan, "SCAN_BYTES", size)
        parts = decoded(data)
        assert parts.records == whole.records == 160
        assert parts["STATUSTEXT"].text("text") == whole["STATUSTEXT"].text("text")


# -- damage


@pytest.mark.parametrize("version", [1, 2])
def test_a_cut_anywhere_is_noticed(version: int) -> None:
    log = small_log(4, version)
    data = log.data()
    ends = np.cumsum([len(record) for record in log.records])
    for cut in range(1, len(data)):
        read = decoded(data[:cut])
        whole = int(np.searchsorted(ends, cut, side="right"))
        kept = int(ends[whole - 1]) if whole else 0
        assert read.records == whole, cut
        assert read.holes == (() if kept == cut else ((kept, cut - kept),)), cut


def test_lost_stamps_do_not_lose_messages() -> None:
    log = small_log(3)
    del_stamp = b"".join(log.records[:4]) + log.records[4][5:] + b"".join(log.records[5:])
    read = decoded(del_stamp)
    assert read.records == 12
    assert read["ATTITUDE"].received_us.tolist() == [writer.UTC_US, -1, writer.UTC_US + 200_000]
    assert read.holes == ((sum(map(len, log.records[:4])), 3),)
    bare = decoded(b"".join(record[8:] for record in log.records))
    assert (bare.records, bare.holes) == (12, ())
    assert set(bare["ATTITUDE"].received_us.tolist()) == {-1}


@pytest.mark.parametrize("data", [b"\xfe" * 20, b"\xfd" * 20, bytes(20), b"\xfd", bytes(3000)])
def test_nothing_is_made_of_nothing(data: bytes) -> None:
    read = decoded(data)
    assert (read.records, read.holes, dict(read)) == (0, ((0, len(data)),), {})


def test_empty_and_missing_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty.tlog").write_bytes(b"")
    with pytest.raises(ReadError, match="flight: is empty"):
        load(tmp_path / "empty.tlog", where="flight")
    with pytest.raises(ReadError, match="cannot be read"):
        load(tmp_path / "none.tlog")
    assert decoded(b"").records == 0


def damaged(data: bytes) -> dict[str, bytes]:
    """Return the same log with each of the usual damages."""
    rng = random.Random(7)
    middle = len(data) // 2
    flipped = bytearray(data)
    for _ in range(50):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    block = min(4096, len(data) // 4)
    return {
        "cut": data[: int(len(data) * 0.6) + 3],
        "zeroed": data[:middle] + bytes(block) + data[middle + block :],
        "removed": data[:middle] + data[middle + block :],
        "0xFF tail": data + b"\xff" * 65_536,
        "flips": bytes(flipped),
        "foreign": data[:middle] + rng.randbytes(777) + data[middle:],
        "fe in front": b"\xfe\xff\xfd" * 5 + data,
    }


@pytest.mark.parametrize("damage", damaged(b"none"))
@pytest.mark.parametrize("source", ["vtol", "made"])
def test_no_damage_costs_more_than_the_peer_loses(
    damage: str, source: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if source == "vtol":
        shared = request.getfixturevalue("shared_data")
        data = (shared / "logs/tlog/vtol.tlog").read_bytes()[:200_000]
    else:
        data = small_log(60).data()
    whole = set(identities(decoded(data)))
    broken = damaged(data)[damage]
    path = tmp_path / "log.tlog"
    path.write_bytes(broken)
    read = load(path)
    found = identities(read)
    assert set(found) <= whole, "ghost"
    assert len(found) >= len(peer_messages(path))
    assert read.holes
    assert sum(length for _, length in read.holes) < len(broken) // 3 + 66_000


def identities(read: Telemetry) -> list[tuple[str, int, tuple[str, ...]]]:
    """Return name, sequence number and values of every message."""
    found = []
    for name in read:
        messages = read[name]
        columns = [messages[field].tolist() for field in messages]
        rows = zip(messages.sequence.tolist(), *columns, strict=True)
        found += [(name, row[0], tuple(map(repr, row[1:]))) for row in rows]
    return found


@settings(max_examples=150)
@given(st.data())
def test_any_bytes_are_accounted_for(data: st.DataObject) -> None:
    seed = bytearray(small_log(3, version=data.draw(st.sampled_from([1, 2]))).data())
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(seed) - 1))
        if data.draw(st.booleans()):
            seed[place] = data.draw(st.sampled_from([0, 0xFD, 0xFE, 0xFF, 1, 14]))
        else:
            del seed[place : place + data.draw(st.integers(1, 30))]
            seed = seed or bytearray(1)
    read = decoded(bytes(seed))
    covered = sum(length for _, length in read.holes)
    frames = sum(len(read[name].offsets) for name in read)
    assert read.records == frames + read.unknown.total()
    assert 0 <= covered <= len(seed)
    assert all(length > 0 for _, length in read.holes)
    ends = [begin + length for begin, length in read.holes]
    assert all(end < begin for end, (begin, _) in zip(ends, read.holes[1:], strict=False))
    for name in read:
        for field in read[name]:
            assert len(read[name][field]) == read[name].count


# -- the peer


@pytest.mark.parametrize("name", REAL)
def test_every_field_of_every_message_equals_pymavlink(name: str, shared_data: Path) -> None:
    path = shared_data / "logs/tlog" / name
    messages: dict[str, list[Any]] = {}
    for message in peer_messages(path):
        messages.setdefault(message.get_type(), []).append(message)
    read = load(path)
    assert {kind: read.count(kind) for kind in read} == {kind: len(rows) for kind, rows in messages.items()}
    for kind, rows in messages.items():
        ours = read[kind]
        assert list(ours) == rows[0].get_fieldnames()
        assert ours.system.tolist() == [row.get_srcSystem() for row in rows]
        assert ours.component.tolist() == [row.get_srcComponent() for row in rows]
        assert ours.sequence.tolist() == [row.get_seq() for row in rows]
        assert np.allclose(ours.received_us / 1e6, [row._timestamp for row in rows], rtol=0, atol=1e-6)
        for column in ours:
            theirs = [getattr(row, column) for row in rows]
            if ours[column].dtype.kind == "S":
                assert [text.decode("latin-1") for text in ours[column].tolist()] == theirs
            else:
                assert np.array_equal(ours[column], theirs, equal_nan=True), (kind, column)


def test_counts_and_stamps_of_what_is_not_there() -> None:
    log = writer.Log(version=2)
    for stamp in (0, 1, 2**63 - 1, 2**63):
        log.add("HEARTBEAT", stamp, autopilot=3, base_mode=81, mavlink_version=3)
    found = Telemetry(np.frombuffer(log.data(), dtype=np.uint8))
    assert (found.count("HEARTBEAT"), found.count("ATTITUDE"), found.count("absent")) == (4, 0, 0)
    assert found["HEARTBEAT"].received_us.tolist() == [0, 1, 2**63 - 1, -1]
