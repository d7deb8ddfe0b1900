"""A bare folder: what cannot be used is told, and what has a place of its own goes on without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dronesense as ds
from dronesense.errors import DronesenseError, ManifestError

SRT = """1
00:00:00,000 --> 00:00:01,000
<font size="28">SrtCnt : 1, DiffTime : 33ms
2023-08-03 12:10:31.123
[iso : 100] [latitude: 43.250000] [longitude: 76.900000] [rel_alt: 10.0 abs_alt: 700.0] </font>

2
00:00:01,000 --> 00:00:02,000
<font size="28">SrtCnt : 2, DiffTime : 33ms
2023-08-03 12:10:32.123
[iso : 100] [latitude: 43.250100] [longitude: 76.900000] [rel_alt: 10.0 abs_alt: 700.0] </font>
"""


def write_cube(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rng.uniform(0.1, 0.4, (20, 5, 30)).astype("<f4").tofile(folder / "map.img")
    (folder / "map.hdr").write_text(
        "ENVI\nsamples = 30\nlines = 20\nbands = 5\nheader offset = 0\ndata type = 4\ninterleave = bil\n"
        "byte order = 0\nwavelength units = Nanometers\nwavelength = {450, 550, 650, 750, 850}\n"
        "map info = {UTM, 1, 1, 600000, 4790000, 1, 1, 43, North, WGS-84, units=Meters}\n"
    )


def test_a_log_without_a_zone_does_not_stop_a_cube_on_a_map(tmp_path: Path) -> None:
    write_cube(tmp_path)
    (tmp_path / "DJI_0001.SRT").write_text(SRT, "utf-8")
    flight = ds.open_flight(tmp_path)
    assert flight.trajectory is None
    assert len(flight.cubes) == 1
    (why,) = [reason for path, reason in flight.rejected if "DJI_0001" in path]
    assert "zone" in why
    assert "tz" in why  # what to do


def test_alone_it_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "DJI_0001.SRT").write_text(SRT, "utf-8")
    with pytest.raises(DronesenseError, match="tz"):
        ds.open_flight(tmp_path)


def test_what_a_manifest_names_is_never_left_out(tmp_path: Path) -> None:
    write_cube(tmp_path)
    (tmp_path / "DJI_0001.SRT").write_text(SRT, "utf-8")
    (tmp_path / "flight.toml").write_text(
        'schema = 1\n[track]\npath = "DJI_0001.SRT"\n[[cube]]\npath = "map.hdr"\n', "utf-8"
    )
    with pytest.raises(DronesenseError, match="tz"):
        ds.open_flight(tmp_path)
    (tmp_path / "flight.toml").write_text(
        'schema = 1\n[terrain]\npath = "none.tif"\n[[cube]]\npath = "map.hdr"\n', "utf-8"
    )
    with pytest.raises(ManifestError, match=r"none\.tif"):
        ds.open_flight(tmp_path)
