"""A bare folder: what cannot be used is told, and what has a place of its own goes on without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dronesense as ds
from dronesense.errors import DronesenseError, ManifestError
from dronesense.manifest.discover import discover
from dronesense.readers import captures

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


def write_counts(folder: Path, name: str, *, samples: int, lines: int = 6, data: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    if data:
        np.full((lines, 5, samples), 100, "<u2").tofile(folder / f"{name}.bil")
    (folder / f"{name}.bil.hdr").write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = 5\nheader offset = 0\ndata type = 12\n"
        "interleave = bil\nbyte order = 0\nwavelength units = Nanometers\nwavelength={450,550,650,750,850}\n"
    )


def test_darks_go_with_cubes_of_their_size_and_every_file_is_named(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", "line", samples=30)
    write_counts(tmp_path / "a", "dark", samples=30)
    write_counts(tmp_path / "b", "line", samples=40)
    write_counts(tmp_path / "b", "dark_of_another_camera", samples=50)
    write_counts(tmp_path / "b", "dark_header_alone", samples=30, data=False)
    write_counts(tmp_path / "c", "line", samples=30)
    found = discover(tmp_path)
    assert {table["path"]: table.get("dark") for table in found.tables["cube"]} == {
        "a/line.bil.hdr": "a/dark.bil.hdr",
        "b/line.bil.hdr": None,  # one is of another camera, the other cannot be read
        "c/line.bil.hdr": "a/dark.bil.hdr",
    }
    reasons = dict(found.ignored)
    assert set(reasons) == {"b/dark_of_another_camera.bil.hdr", "b/dark_header_alone.bil.hdr"}
    assert "cannot be read: has no data file" in reasons["b/dark_header_alone.bil.hdr"]
    assert "no cube of its size needs" in reasons["b/dark_of_another_camera.bil.hdr"]


def test_every_real_file_is_named(shared_data: Path) -> None:
    """Hundreds of files of many makers, as one card: each is used, or it is said why not."""
    found = discover(shared_data / "spectral")
    files = {
        path.relative_to(shared_data / "spectral").as_posix()
        for path in (shared_data / "spectral").rglob("*")
        if path.is_file()
    }
    ignored = {path for path, _ in found.ignored}
    named = {str(table[key]) for table in found.tables["cube"] for key in ("path", "dark") if key in table}
    stems = {(Path(each).parent, Path(each).name.split(".")[0]) for each in named | ignored}
    missing = [each for each in files if (Path(each).parent, Path(each).name.split(".")[0]) not in stems]
    signatures = {
        Path(str(table["signature"])).stem for table in found.tables["detect"] if "signature" in table
    }
    bands = {each for each in missing if captures.leader(shared_data / "spectral" / each) is not None}
    assert bands
    assert [each for each in missing if Path(each).stem not in signatures and each not in bands] == []
    assert all(reason for _, reason in found.ignored)


def test_a_li_cor_on_a_bare_card_is_an_analyser(tmp_path: Path) -> None:
    """Its files end in ``.data``: a whole season of them was called "no reader recognises it"."""
    head = "DATAH SECONDS NANOSECONDS NDX DIAG DATE TIME H2O CO2 CH4 RESIDUAL\n"
    head += "DATAU secs nsecs index diag date time ppm ppm ppb -\n"
    rows = "".join(
        f"DATA {1781413200 + i} 0 {i} 0 2026-06-14 05:00:00 6000 420 200{i} 0.001\n" for i in range(9)
    )
    (tmp_path / "TG10.data").write_text("Model: LI-7810\n" + (head + rows).replace(" ", "\t"), "utf-8")
    tables = discover(tmp_path).tables
    assert tables["gas"] == [{"path": "TG10.data", "instrument": "licor-li7810"}]
    assert [each["species"] for each in tables["detect"]] == ["CO2", "CH4"]
