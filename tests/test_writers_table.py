"""Gas series as CSV: every number in its column with its unit, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyproj
import pytest

from dronesense.model import Ambient, Flag, GasSeries, GasTrace, GroundPoints
from dronesense.writers.table import headings, safe_text, write_gas

T0 = 1_781_431_200_000_000_000  # 2026-06-14T10:00:00Z


@pytest.fixture
def trace() -> GasTrace:
    lon, lat = np.array([76.9, 76.9001, 76.9002]), np.array([43.25, 43.25, 43.25])
    x, y = pyproj.Transformer.from_crs(4326, 32643, always_xy=True).transform(lon, lat)
    series = GasSeries(
        T0 + np.array([0, 200_000_000, 1_250_500_000]), "CH4", "mole_fraction",
        np.array([2.0123456, np.nan, 12.5]), np.array([0.01, np.nan, 0.02]), "wet",
        np.array([0, int(Flag.RANGE | Flag.WARM_UP), 0], np.uint16), "calibrated", Ambient(), "a",
        "raw/gas.csv", np.array([2, 3, 9]),
    )  # fmt: skip
    points = GroundPoints(
        np.where([1, 1, 0], x, np.nan), np.where([1, 1, 0], y, np.nan), np.array([712.3456, 712.0, np.nan]),
        np.tile(np.eye(2), (3, 1, 1)), np.array([0, 0, 1], np.uint8), "EPSG:32643", series.time,
    )  # fmt: skip
    return GasTrace(series, points, np.array([2.0, 2.0, 2.0]), np.array([1.23, np.nan, 1050.0]), 5.0)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_rows_by_hand(tmp_path: Path, trace: GasTrace) -> None:
    write_gas(trace, tmp_path / "gas" / "CH4.csv")
    first, second, third = read(tmp_path / "gas" / "CH4.csv")
    assert first == {
        "time_utc": "2026-06-14T10:00:00.000Z",
        "lon_deg": "76.9000000",
        "lat_deg": "43.2500000",
        "height_m": "712.346",
        "CH4_ppm": "2.01235",
        "CH4_sigma_ppm": "0.01",
        "CH4_background_ppm": "2",
        "z": "1.23",
        "flags": "",
        "source": "raw/gas.csv",
        "row": "2",
    }
    assert (second["CH4_ppm"], second["CH4_sigma_ppm"], second["z"]) == ("", "", "")
    assert second["flags"] == "RANGE|WARM_UP"
    assert (third["lon_deg"], third["lat_deg"], third["height_m"]) == ("", "", "")
    assert (third["time_utc"], third["CH4_ppm"], third["row"]) == ("2026-06-14T10:00:01.251Z", "12.5", "9")


def test_one_header_no_comments_no_nan(tmp_path: Path, trace: GasTrace) -> None:
    write_gas(trace, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text("utf-8")
    assert len(text.splitlines()) == 4
    assert "#" not in text
    assert "nan" not in text.lower()
    assert text.splitlines()[0].split(",") == headings(trace)


def test_series_without_search_has_empty_columns(tmp_path: Path, trace: GasTrace) -> None:
    write_gas(GasTrace(trace.series, trace.points), tmp_path / "a.csv")
    assert {row["CH4_background_ppm"] + row["z"] for row in read(tmp_path / "a.csv")} == {""}


@pytest.mark.parametrize(
    ("quantity", "species", "column"),
    [
        ("column", "NH3", "NH3_ppm_m"),
        ("relative", "PID (all)", "PID_all__relative"),
        ("mole_fraction", "=A1", "_A1_ppm"),
    ],
)
def test_unit_stands_in_the_heading(trace: GasTrace, quantity: str, species: str, column: str) -> None:
    series = replace(trace.series, quantity=quantity, species=species)
    assert headings(replace(trace, series=series))[4] == column


@pytest.mark.parametrize(
    "name", ["=cmd|'/c calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'a,"b"\n', "ру.csv"]
)
def test_text_never_runs_and_comes_back(tmp_path: Path, trace: GasTrace, name: str) -> None:
    write_gas(replace(trace, series=replace(trace.series, source=name)), tmp_path / "a.csv")
    for row in read(tmp_path / "a.csv"):
        assert row["source"][0] not in "=+-@\t\r"
        assert row["source"].removeprefix("'") == name
        assert set(row) == set(headings(trace))


def test_negative_numbers_stay_numbers(tmp_path: Path, trace: GasTrace) -> None:
    series = replace(trace.series, value=np.array([-0.5, 1e-9, -3e7]))
    write_gas(replace(trace, series=series), tmp_path / "a.csv")
    assert [float(row["CH4_ppm"]) for row in read(tmp_path / "a.csv")] == [-0.5, 1e-9, -3e7]
    assert safe_text("-0.5") == "'-0.5"


def test_points_of_another_series_are_a_mistake(tmp_path: Path, trace: GasTrace) -> None:
    p = trace.points
    fewer = GroundPoints(p.x[:2], p.y[:2], p.height_m[:2], p.cov[:2], p.status[:2], p.crs, p.time[:2])
    with pytest.raises(ValueError, match="2 points for 3 samples"):
        write_gas(replace(trace, points=fewer), tmp_path / "a.csv")


def test_an_hour_at_ten_hertz_is_written_in_a_moment(tmp_path: Path) -> None:
    """Vectorized: no time is asserted, but a loop over samples would hit the test's limit of patience."""
    n = 36_000
    series = GasSeries(
        T0 + np.arange(n) * 100_000_000, "CH4", "mole_fraction", np.full(n, 2.0), np.full(n, 0.01), "wet",
        np.zeros(n, np.uint16), "calibrated", Ambient(), "a", "g", np.arange(n) + 2,
    )  # fmt: skip
    points = GroundPoints(
        5e5 + np.arange(n), np.full(n, 4.8e6), np.zeros(n), np.zeros((n, 2, 2)), np.zeros(n, np.uint8),
        "EPSG:32643", series.time,
    )  # fmt: skip
    write_gas(GasTrace(series, points), tmp_path / "a.csv")
    rows = read(tmp_path / "a.csv")
    assert len(rows) == n
    assert rows[-1]["row"] == str(n + 1)


PRODUCTS = Path(__file__).parents[1] / "docs" / "products.md"


@pytest.mark.skipif(not PRODUCTS.is_file(), reason="the documentation is not here")
def test_every_column_and_flag_is_documented(trace: GasTrace) -> None:
    text = PRODUCTS.read_text("utf-8").split("## `gas/<species>.csv`")[1].split("\n## ")[0]
    for name in headings(trace):
        assert f"`{name.replace('CH4', '<species>').replace('ppm', '<unit>')}`" in text
    assert all(f"`{flag.name}`" in text for flag in Flag if flag)
