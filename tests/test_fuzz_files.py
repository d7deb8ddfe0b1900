"""Every parser of foreign files reads sound ones, and refuses damaged ones in words; see fuzz/files.py."""

from __future__ import annotations

import struct
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.errors import DronesenseError, ReadError
from dronesense.readers import exif, spectra, tiff_directory, zip_pack

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


# --- what was found, by hand ----------------------------------------------------------------------------


def test_names_in_archives_may_be_no_text_or_none(tmp_path: Path) -> None:
    """Found: the name in front of a member's bytes is no UTF-8; the name in the directory is empty."""
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w") as pack:
        pack.writestr("é.kml", b"<kml/>")
    sound = path.read_bytes()
    path.write_bytes(sound.replace("é".encode(), b"\x93\xff", 1))
    (info,) = zip_pack.names(path).values()
    with pytest.raises(ReadError, match="cannot be unpacked"):
        zip_pack.member(path, info)
    entry = sound.index(b"PK\x01\x02")
    nameless = bytearray(sound)
    length = int.from_bytes(sound[entry + 28 : entry + 30], "little")
    nameless[entry + 28 : entry + 30] = bytes(2)
    nameless[entry + 30 : entry + 32] = length.to_bytes(2, "little")  # its bytes count as something else
    path.write_bytes(bytes(nameless))
    with pytest.raises(ReadError, match=r"without a name|no whole zip"):
        zip_pack.names(path)


def test_a_directory_beyond_every_file_is_not_there(tmp_path: Path) -> None:
    """Found: a BigTIFF whose first directory lies at byte 2**64 - 1."""
    path = tmp_path / "big.tif"
    path.write_bytes(b"II+\0" + struct.pack("<HHQ", 8, 0, 2**64 - 1))
    with pytest.raises(ReadError):
        tiff_directory.check(path)
    with pytest.raises(ReadError):
        exif.read(path)


def test_a_reference_next_to_nothing_gives_no_reflectance() -> None:
    """Found: the ratio of a spectrum to 5e-324 is more than a number can be."""
    found = spectra.ratio(np.array([1.0, 1.0, 1.0]), np.array([2.0, 5e-324, 0.0]))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan])
