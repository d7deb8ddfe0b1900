"""Encrypted flight records and aircraft logs: recognized, and always refused with what to do."""

from __future__ import annotations

import struct

import pytest

from dronesense.errors import ReadError
from dronesense.readers import dji_record


def record(version):
    """Return the head of a flight record: end of the records u64, length of the details u16, version u8."""
    return struct.pack("<QHB", 5000, 436, version) + bytes(range(256)) * 20


DAT = bytes(16) + b"BUILD Jun 14 2026 10:00:00" + bytes(200) + b"DJI_LOG_V3" + bytes(300)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("DJIFlightRecord_2026-06-14_[10-00-07].txt", record(14), "version 14, which is encrypted"),
        ("DJIFlightRecord_2018-06-14_[10-00-07].TXT", record(6), "version 6, which is a scrambled"),
        ("DJIFlightRecord_short.txt", b"\x01\x02", "flight record"),
        ("FLY042.DAT", DAT, r"\.DAT.*DatCon"),
        ("renamed.bin", DAT, "DatCon"),
        ("FLY001.DAT", b"\x00" * 60, "DatCon"),
    ],
)
def test_refused_with_what_to_do(tmp_path, name, content, match):
    path = tmp_path / name
    path.write_bytes(content)
    assert dji_record.sniff(path, content[:8192])
    with pytest.raises(ReadError, match=match) as caught:
        dji_record.read(path, label=name)
    assert "CSV" in caught.value.fix
    assert caught.value.where == name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("DJIFlightRecord_2026-06-14_[10-00-07].txt", b"OSD.latitude,OSD.longitude\r\n43.25,76.9\r\n"),
        ("DJIFlightRecord_2026-06-14_[10-00-07].csv", b"\x00\x01\x02binary"),
        ("log.BIN", b"\xa3\x95\x80" * 40),
        ("line.bil", bytes(400)),
        ("empty.txt", b""),
    ],
)
def test_other_files_are_not_claimed(tmp_path, name, content):
    assert not dji_record.sniff(tmp_path / name, content)


def test_missing_file(tmp_path):
    with pytest.raises(ReadError, match="cannot be opened"):
        dji_record.read(tmp_path / "DJIFlightRecord.txt", label="x")
