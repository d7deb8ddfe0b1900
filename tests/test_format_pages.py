"""The TOML and CSV blocks of docs/formats are read by the readers that they describe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dronesense.model import CameraCalibration, GasCalibration
from dronesense.readers import csv_signature, instrument, record

FORMATS = Path(__file__).parents[1] / "docs" / "formats"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (FORMATS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


INSTRUMENTS = blocks("instrument-toml.md", "toml")


@pytest.mark.parametrize("block", INSTRUMENTS)
def test_instrument_blocks(tmp_path, block):
    if "valid_from" in block:
        path = tmp_path / "2026-06-01.toml"
        path.write_text(block, encoding="utf-8")
        assert isinstance(record.read(path), GasCalibration | CameraCalibration)
        return
    path = tmp_path / (re.search(r'^id = "(.*)"', block, re.MULTILINE)[1] + ".toml")
    path.write_text(block, encoding="utf-8")
    assert instrument.read(path).id == path.stem


def test_every_field_has_its_line():
    page = (FORMATS / "instrument-toml.md").read_text(encoding="utf-8")
    assert [field for field in instrument.FIELDS if f"`{field}`" not in page] == []


def test_signature_blocks(tmp_path):
    (table,) = blocks("signature-csv.md", "")
    (beside,) = blocks("signature-csv.md", "toml")
    path = tmp_path / "target.csv"
    path.write_text(table, encoding="utf-8")
    path.with_suffix(".toml").write_text(beside, encoding="utf-8")
    signature, report = csv_signature.read(path)
    assert signature.name == "Blue cover"
    assert not report.warnings
