"""What a binary log tells of its types: names, units, counts; by hand-packed records."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dronesense.readers import dataflash
from dronesense.readers.dataflash import DataFlash

_SPEC = importlib.util.spec_from_file_location(
    "dataflash_writer", Path(__file__).with_name("dataflash_writer.py")
)
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)

USUAL = {
    "UNIT": ("QbZ", "TimeUS,Id,Label"),
    "MULT": ("Qbd", "TimeUS,Id,Mult"),
    "FMTU": ("QBNN", "TimeUS,FmtType,UnitIds,MultIds"),
}


def read(log: writer.Log) -> DataFlash:
    return DataFlash(np.frombuffer(log.data(), dtype=np.uint8))


def two_types() -> writer.Log:
    log = (
        writer.Log()
        .define("MSG", *writer.MSG)
        .define("ONE", "QB", "TimeUS,A")
        .define("TWO", "QH", "TimeUS,B")
    )
    for k in range(4):
        log.add("ONE", k, 10 + k).add("TWO", k, 1000 + k).add("MSG", k, b"text")
    return log


def test_what_a_type_has() -> None:
    log = read(two_types())
    assert "A" in log["ONE"]
    assert "B" not in log["ONE"]
    assert log["ONE"].numeric == {"TimeUS", "A"}
    assert log["MSG"].numeric == {"TimeUS"}
    assert (log.count("ONE"), log.count("MSG"), log.count("absent")) == (4, 4, 0)


def test_types_are_told_apart_however_many_records_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (0, 5, dataflash.SORTED_RECORDS):
        for packed in (0, dataflash.PACKED_BYTES):
            monkeypatch.setattr(dataflash, "SORTED_RECORDS", most or 1)
            monkeypatch.setattr(dataflash, "PACKED_BYTES", packed)
            log = read(two_types())
            assert log["ONE"]["A"].tolist() == [10, 11, 12, 13]
            assert log["TWO"]["B"].tolist() == [1000, 1001, 1002, 1003]


def test_the_type_asked_for_last_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    real = DataFlash._decode

    def decode(self, form):
        decoded.append(form.name)
        return real(self, form)

    monkeypatch.setattr(DataFlash, "_decode", decode)
    log = read(two_types())
    for name in ("ONE", "ONE", "TWO", "ONE"):
        assert log[name].count == 4
    assert decoded == ["ONE", "TWO", "ONE"]


@pytest.mark.parametrize(("first", "second", "value"), [(1, 2, 2), (2, 1, 1), (1, 1, 1)])
def test_of_two_types_of_one_name_that_with_more_records_is_read(first: int, second: int, value: int) -> None:
    log = writer.Log()
    for kind, count in ((1, first), (2, second)):
        log.define("SAME", "QB", "TimeUS,A", kind=100 + kind)
        for k in range(count):
            log.add("SAME", k, kind)
    found = read(log)
    assert set(found["SAME"]["A"].tolist()) == {value}
    assert [each for each in found.warnings if "two types are named SAME" in each]


@pytest.mark.parametrize("broken", [*USUAL, None])
def test_units_need_their_usual_columns(broken: str | None) -> None:
    log = writer.Log().define("IMU", "BQ", "I,TimeUS")
    for name, (letters, columns) in USUAL.items():
        log.define(name, letters, columns.replace("Id", "Other") if name == broken else columns)
    log.add("UNIT", 0, ord("#"), b"instance").add("UNIT", 0, ord("s"), b"s").add("MULT", 0, ord("F"), 1e-6)
    log.add("FMTU", 0, log.types["IMU"][0], b"#s", b"-F").add("IMU", 0, 5)
    found = read(log)
    assert len(found.warnings) == (broken is not None)
    form = found["IMU"].format
    if broken is None:
        assert (form.instance, form.units) == ("I", ("instance", "s"))
        assert form.multipliers[1] == 1e-6
    else:
        assert "without their usual columns" in found.warnings[0]
        assert (form.instance, form.units) == (None, ())
