"""Every parser of foreign files reads sound ones, and refuses damaged ones in words; see fuzz/files.py."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dronesense.errors import DronesenseError

sys.path[:0] = [str(Path(__file__).parent / "fuzz")]
import files  # noqa: E402

pytestmark = pytest.mark.once
CASES, SECONDS = 300, 0.5
UNSEEDED = ("time-stamp",)
"""Sound files of this kind need an authority: tests/test_timestamp.py has one."""


@cache
def targets() -> dict[str, Any]:
    return files.targets()


NAMES = sorted(targets())


def test_no_parser_is_forgotten() -> None:
    """Of every reader that is a plug-in there is a target, or it is said who else feeds it damage."""
    from dronesense import plugins

    elsewhere = {
        "ardupilot": "dataflash",
        "px4": "ulog",
        "dji-srt": "dji_srt",
        "hyspex": "test_hyspex",
        "headwall": "test_headwall",
        "specim": "test_specim",
        "geotiff": "tiff-directory",
        "hdf": "test_decoder",
        "multispectral": "tiff-directory",
        "envi": "envi-cube",
        "envi-library": "test_signature_readers",
        "csv": "gas-csv",
        "dji-datcon": "dji-tables",
        "dji-flightreader": "dji-tables",
        "dji-geotag": "dji-tables",
        "dji-record": "test_dji_record",
        "tlog": "tlog",
    }
    for group in plugins.GROUPS[:4]:
        for name in plugins.names(group):
            where = elsewhere.get(name, name)
            beside = Path(__file__).with_name(f"{where}.py")
            assert where in NAMES or beside.is_file(), f"{name} of {group}"


@pytest.mark.parametrize("name", NAMES)
def test_sound_files_are_read(name: str, tmp_path: Path) -> None:
    target = targets()[name]
    for other, data in target.beside:
        (tmp_path / other).write_bytes(data)
    read = 0
    for seed in target.seeds:
        path = tmp_path / target.name
        path.write_bytes(seed)
        try:
            target.read(path)
        except DronesenseError:
            continue
        read += 1
    assert read > 0 or name in UNSEEDED


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_and_nothing_else(name: str) -> None:
    files.run(targets()[name], CASES, seed=7, seconds=SECONDS)
