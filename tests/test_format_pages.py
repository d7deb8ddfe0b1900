"""The TOML and CSV blocks of docs/formats are read by the readers that they describe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dronesense.manifest.catalog import Catalog, shipped_folder
from dronesense.model import CameraCalibration, GasCalibration
from dronesense.readers import csv_signature, instrument, record
from dronesense.readers.gas_correct import CorrectKeys

FORMATS = Path(__file__).parents[1] / "docs" / "formats"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (FORMATS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


TABLES = blocks("instrument-toml.md", "toml")
INSTRUMENTS = [block for block in TABLES if "[cells." not in block and "[sensors." not in block]


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


def test_sheets_of_sensors_are_what_the_correction_block_asks_for(tmp_path):
    """The blocks of the page belong together: its nose finds its cell and its metal oxide."""
    calibration = tmp_path / "calibration"
    for number, block in enumerate(TABLES):
        kinds = {"[cells.": "electrochemical/cells", "[sensors.": "mox"}
        room = next((room for mark, room in kinds.items() if mark in block), "instruments")
        name = re.search(r'^id = "(.*)"', block, re.MULTILINE)
        path = calibration / room / f"{number if name is None else name[1]}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
    (calibration / "electrochemical/cells/other.toml").write_text(
        next(block for block in TABLES if "[cells." in block).replace("202000001", "204000001"),
        encoding="utf-8",
    )
    nose = instrument.read(calibration / "instruments/example-nose.toml")
    sheets, used = Catalog(calibration, shipped_folder()).sheets(nose)
    assert set(sheets) == {"NO2", "O3", "CH4", "VOC"}
    assert {path.parent.name for path in used} == {"cells", "electrochemical", "mox", "pid"}


def test_every_key_of_a_correction_is_on_the_page():
    page = (FORMATS / "instrument-toml.md").read_text(encoding="utf-8")
    assert [key for key in CorrectKeys.__struct_fields__ if key not in page] == []


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
