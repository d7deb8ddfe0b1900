"""Tables of unknown loggers: what can only be read in one way is read, the rest says what to set.

The layouts are those of public repositories (see docs/formats/gas-instruments.md); all rows are made here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import dronesense as ds
from dronesense.errors import ManifestError, ReadError, UnitsError
from dronesense.manifest.discover import discover
from dronesense.model import GasSeries, TrackOptions
from dronesense.readers import csv_gas, csv_track, instrument
from dronesense.timescale import to_iso

SHIPPED = Path(__file__).parents[1] / "calibration" / "instruments"
START = datetime(2026, 6, 14, 5, 0, 0)  # noqa: DTZ001 - what the loggers of this file write
UNIX = 1_781_413_200


def shipped(name: str = "generic-csv", **clock: str):
    return instrument.with_clock(instrument.read(SHIPPED / f"{name}.toml"), **clock)  # type: ignore[arg-type]


def table(
    path: Path,
    head: str,
    row: Callable[[int, datetime], str],
    *,
    encoding: str = "utf-8",
    end: str = "\n",
) -> Path:
    """Write *head* and ten rows, a second apart."""
    rows = [row(each, START + timedelta(seconds=each)) for each in range(10)]
    path.write_bytes((end.join([head, *rows]) + end).encode(encoding))
    return path


def read(path: Path, name: str = "generic-csv", **clock: str) -> tuple[GasSeries, ...]:
    return csv_gas.read(path, label=path.name, instrument=shipped(name, **clock))[0]


def check(series: GasSeries) -> None:
    assert to_iso(series.time[0]) == "2026-06-14T05:00:00.000Z"
    np.testing.assert_array_equal(np.diff(series.time), 10**9)
    np.testing.assert_allclose(series.value, 2.0 + 0.01 * np.arange(10))


def ch4(number: int) -> str:
    return f"{2.0 + 0.01 * number:.2f}"


CLOCKS = {
    "time": lambda i, t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "Timestamp (UTC)": lambda i, t: t.strftime("%Y-%m-%d %H:%M:%S"),
    "UTCDateTime": lambda i, t: t.strftime("%Y/%m/%dT%H:%M:%Sz"),
    "datetime_utc": lambda i, t: t.strftime("%d.%m.%Y %H:%M:%S"),
    "Date,Time": lambda i, t: t.strftime("%Y/%m/%d,%H:%M:%S:000 UTC"),
    "epoch": lambda i, t: str(UNIX + i),
    "timestamp": lambda i, t: f"{UNIX + i}.0",
    "unix_ms": lambda i, t: str((UNIX + i) * 1000),
    "Epoch": lambda i, t: str((UNIX + i) * 10**6),
    "%time": lambda i, t: str((UNIX + i) * 10**9),
}


@pytest.mark.parametrize("heading", CLOCKS)
def test_clocks_that_can_only_be_read_in_one_way(tmp_path: Path, heading: str) -> None:
    path = table(tmp_path / "x.csv", f"{heading},CH4_ppm", lambda i, t: f"{CLOCKS[heading](i, t)},{ch4(i)}")
    assert instrument.header_matches(shipped(), path)
    check(*read(path))


def test_clocks_of_twelve_hours(tmp_path: Path) -> None:
    stamps = [
        "6/14/2026 11:59:59 AM",
        "6/14/2026 12:00:00 PM",
        "6/14/2026 1:00:00 p.m.",
        "6/15/2026 12:00:01 AM",
    ]
    path = tmp_path / "x.csv"
    path.write_text("Time,CH4 (ppm)\n" + "".join(f"{each},2.{i}\n" for i, each in enumerate(stamps)))
    (series,) = read(path, zone="UTC")
    assert to_iso(series.time, 0).tolist() == [
        "2026-06-14T11:59:59Z",
        "2026-06-14T12:00:00Z",
        "2026-06-14T13:00:00Z",
        "2026-06-15T00:00:01Z",
    ]
    path.write_text("Time,CH4 (ppm)\n6/14/2026 13:00:00 AM,2\n")
    with pytest.raises(ReadError, match="does not exist in the calendar"):
        read(path, zone="UTC")


def test_numbers_that_may_be_anything_are_no_clock(tmp_path: Path) -> None:
    """Excel's days may as well be seconds of a day; seconds since power-on have no date."""
    for stamp in (46187.2083333, 12.0, 20260614050000.0, 1.0):
        path = table(
            tmp_path / "x.csv", "time,CH4_ppm", lambda i, t, s=stamp: f"{s + i / 86400:.7f},{ch4(i)}"
        )
        with pytest.raises(ManifestError, match=r"no POSIX time.*excel.*elapsed"):
            read(path)


def test_days_of_a_spreadsheet(tmp_path: Path) -> None:
    """46187 is 14 June 2026 (1 January 2026 is 46023)."""
    (tmp_path / "days.toml").write_text(
        'schema = 1\nid = "days"\nkind = "gas"\n[time]\ncolumn = "t"\nformat = "excel"\nzone = "+05:00"\n'
        '[columns]\nch4 = { species = "CH4", unit = "ppm" }\n'
    )
    spec = instrument.read(tmp_path / "days.toml")
    path = table(tmp_path / "x.csv", "t,ch4", lambda i, t: f"{46187 + (10 * 3600 + i) / 86400:.9f},{ch4(i)}")
    check(*csv_gas.read(path, label="x", instrument=spec)[0])
    path.write_text("t,ch4\n1781413200,2\n")
    with pytest.raises(ReadError, match="days since 1899-12-30"):
        csv_gas.read(path, label="x", instrument=spec)


def test_local_stamps_ask_for_their_zone_and_order(tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", "Timestamp,CH4 (ppm)", lambda i, t: f"{t:%Y-%m-%d %H:%M:%S},{ch4(i)}")
    with pytest.raises(ManifestError, match="no zone"):
        read(path)
    check(*read(path, zone="UTC"))
    path = table(tmp_path / "x.csv", "Timestamp,CH4 (ppm)", lambda i, t: f"05/06/2026 {t:%H:%M:%S},{ch4(i)}")
    with pytest.raises(ManifestError, match="may be read as dmy or mdy"):
        read(path, zone="UTC")


@pytest.mark.parametrize(
    "heading",
    ["CH4 (ppm)", "CH4(ppm)", "CH4 [ppm]", "CH4[ppm]", "CH4_ppm", "ch4_ppm", "Methane (PPM)", "methane ppm"],
)
def test_headings_of_gases(tmp_path: Path, heading: str) -> None:
    path = table(tmp_path / "x.csv", f"time,{heading}", lambda i, t: f"{t:%Y-%m-%dT%H:%M:%SZ},{ch4(i)}")
    (series,) = read(path)
    assert (series.species, series.quantity) == ("CH4", "mole_fraction")
    check(series)


def test_units_stand_in_the_heading_or_the_gas_is_not_read(tmp_path: Path) -> None:
    row = "2026-06-14T05:00:00Z,2000,410,3\n"
    path = tmp_path / "x.csv"
    path.write_text("time,CH4 (ppb),CO2,CO (%LEL)\n" + row)
    (series,) = read(path)
    assert (series.species, series.value.tolist()) == ("CH4", [2.0])
    path.write_text("time,CH4 (ppm.m),T,U\n" + row)
    assert read(path)[0].quantity == "column"
    path.write_text("time,CH4 (%LEL),CO2,T\n" + row)
    with pytest.raises(UnitsError, match="LEL"):
        read(path)


def test_a_table_of_tabs_and_blanks_within_headings(tmp_path: Path) -> None:
    """A blank in "CH4 (ppm)" parted its table, where all else agreed."""
    path = table(
        tmp_path / "x.txt",
        "timestamp\tCH4 (ppm)",
        lambda i, t: f"{t:%Y-%m-%dT%H:%M:%SZ}\t{ch4(i)}",
        encoding="utf-16",
        end="\r\n",
    )
    check(*read(path))


@pytest.mark.parametrize("nothing", ["#N/A", "-nan", "-NaN(ind)", "***", "--", "-", "-9999.00", "NULL", ""])
def test_words_for_no_value(tmp_path: Path, nothing: str) -> None:
    path = table(
        tmp_path / "x.csv",
        "time,CH4_ppm",
        lambda i, t: f"{t:%Y-%m-%dT%H:%M:%SZ},{nothing if i in (3, 4, 5, 6) else ch4(i)}",
    )
    (series,) = read(path)
    assert len(series) == 6
    assert series.value.min() == 2.0


def test_an_instrument_of_its_own_goes_before_the_one_for_any_table(tmp_path: Path) -> None:
    head = "Time Stamp,Inlet Number,CH4 (ppm),C2H6 (ppb)"
    table(tmp_path / "Pico.txt", head, lambda i, t: f"{t:%m/%d/%Y %H:%M:%S}.000,1,{ch4(i)},1")
    assert discover(tmp_path).tables["gas"] == [{"path": "Pico.txt", "instrument": "aeris-mira"}]


def test_an_analyser_whose_table_was_saved_with_commas(tmp_path: Path) -> None:
    names = "DATE,TIME,EPOCH_TIME,ALARM_STATUS,INST_STATUS,CavityPressure,CH4,CH4_dry,H2O"
    path = table(
        tmp_path / "x.csv",
        names,
        lambda i, t: f"{t:%Y-%m-%d},{t:%H:%M:%S},{UNIX + i}.000,0,963,148.0,{1.9 + 0.01 * i},{ch4(i)},1.2",
    )
    assert discover(tmp_path).tables["gas"] == [{"path": "x.csv", "instrument": "picarro-g2301"}]
    check(*read(path, "picarro-g2301"))


SKYHUB = (
    "Elapsed,Date,Time,Pitch,Roll,Yaw,Latitude,Longitude,Altitude,Next WP,Velocity,Status RTK,Latitude RTK,"
    "Longitude RTK,Altitude RTK,ALT:Altitude,ALT:Filtered Altitude,ALT:ID,GAS:Methane,GAS:Status"
)


def test_skyhub_log_is_track_and_column(tmp_path: Path) -> None:
    """Unix milliseconds, a hundred rows a second, readings held, a laser that looks down."""
    path = tmp_path / "falcon.csv"
    rows = [
        f"{UNIX * 1000 + 10 * i},2026/06/14,05:00:00.{10 * i:03d},-0.5,1.5,90.0,{50 + i * 1e-6:.6f},8.0,"
        f"120.0,,5.0,OFF,,,,40.0,,radar,{'' if i == 7 else 80 + i // 10},{2 if i > 49 else 1}"
        for i in range(60)
    ]
    path.write_text("\n".join([SKYHUB, *rows]) + "\n")
    flight = ds.open_flight(tmp_path)
    assert flight.trajectory is not None
    assert len(flight.trajectory) == 60
    (series,) = flight.gas[0].series
    assert (series.species, series.quantity) == ("CH4", "column")
    np.testing.assert_array_equal(series.value, [80, 81, 82, 83, 84, 85])
    np.testing.assert_array_equal(series.time, UNIX * 10**9 + np.arange(6) * 10**8)
    assert (series.flags != 0).tolist() == [False] * 5 + [True]
    assert series.beam.length_m is not None
    track, _ = csv_track.read(
        path, label="x", options=TrackOptions(instrument=shipped("ugcs-skyhub-methane"))
    )
    assert np.isfinite(track.attitude).all()
    path.write_text("\n".join([SKYHUB, *[row.replace(row[:13], "1.78141E+12") for row in rows]]) + "\n")
    with pytest.raises(ReadError, match="not a plain number"):  # saved by a spreadsheet
        read(path, "ugcs-skyhub-methane")


def gas_beside(folder: Path) -> None:
    table(folder / "gas.csv", "timestamp,CH4_ppm", lambda i, t: f"{t:%Y-%m-%dT%H:%M:%SZ},{ch4(i)}")


TRACKS = {
    "generic-csv": (
        "time,lat,lon,hMSL\n,(deg),(deg),(m)",
        lambda i, t: f"{t:%Y-%m-%dT%H:%M:%S}.00Z,{50 + i * 1e-5:.6f},8.0,120",
        "unknown",
    ),
    "ros-navsatfix": (
        "%time,field.header.stamp,field.status.status,field.latitude,field.longitude,field.altitude",
        lambda i, t: f"{(UNIX + i) * 10**9 + 5},{(UNIX + i) * 10**9},2,{50 + i * 1e-5:.6f},8.0,120",
        "ellipsoid",
    ),
    "px4-gps-csv": (
        "timestamp,time_utc_usec,lat,lon,alt,alt_ellipsoid,vel_n_m_s,vel_e_m_s,vel_d_m_s",
        lambda i, t: f"{i * 10**6},{(UNIX + i) * 10**6},{500000000 + i * 100},80000000,120000,167000,1,0,0",
        "receiver-geoid",
    ),
    "inertial-explorer": (
        "Project: x\n\n  UTCDate  UTCTime  Latitude  Longitude  H-Ell\n  (YMD)  (HMS)  (Deg)  (Deg)  (m)",
        lambda i, t: f"  {t:%Y/%m/%d}  {t:%H:%M:%S}.00  {50 + i * 1e-5:.8f}  8.0  120.0",
        "ellipsoid",
    ),
}


@pytest.mark.parametrize("name", TRACKS)
def test_tables_of_positions_are_tracks(tmp_path: Path, name: str) -> None:
    head, row, ref = TRACKS[name]
    table(tmp_path / "nav.csv", head, row)
    gas_beside(tmp_path)
    found = discover(tmp_path)
    assert found.tables["track"] == {"path": "nav.csv", "reader": "csv", "instrument": name}
    track = ds.open_flight(tmp_path).trajectory
    assert track is not None
    assert to_iso(track.time[0]) == "2026-06-14T05:00:00.000Z"
    np.testing.assert_allclose(track.lat, 50 + 1e-5 * np.arange(10))
    assert track.height_ref == ref
    if ref != "unknown":
        np.testing.assert_allclose(track.height_source_m, 120.0)


def test_a_gas_table_without_positions_is_no_track(tmp_path: Path) -> None:
    """The instrument may name them; this table has none, and was taken for the track."""
    gas_beside(tmp_path)
    assert "track" not in discover(tmp_path).tables


def test_local_clock_of_a_track_asks_for_tz(tmp_path: Path) -> None:
    head = "Timestamp,roll,pitch,heading,altitudeRelative,gps.lat,gps.lon"
    table(
        tmp_path / "v.csv", head, lambda i, t: f"{t:%Y-%m-%d %H:%M:%S}.123,1,2,90,20,{50 + i * 1e-5:.6f},8.0"
    )
    gas_beside(tmp_path)
    with pytest.raises(ReadError, match=r"tz = .* under \[track\]"):
        ds.open_flight(tmp_path)


def test_positions_between_tabs_with_blanks_in_headings(tmp_path: Path) -> None:
    head = "UTC Time\tLatitude\tLongitude\tAltitude MSL"
    table(tmp_path / "n.txt", head, lambda i, t: f"{t:%Y-%m-%d %H:%M:%S}\t{50 + i * 1e-5:.6f}\t8.0\t1")
    gas_beside(tmp_path)
    assert discover(tmp_path).tables["track"]["path"] == "n.txt"


def test_a_gas_without_a_unit_says_what_to_write(tmp_path: Path) -> None:
    table(tmp_path / "x.csv", "timestamp,ch4,temp", lambda i, t: f"{t:%Y-%m-%dT%H:%M:%SZ},{ch4(i)},20")
    ((_, why),) = discover(tmp_path).ignored
    assert '"ch4" = { species = "CH4", unit = "ppm" }' in why
    (tmp_path / "x.csv").rename(tmp_path / "x.kml")
    ((_, why),) = discover(tmp_path).ignored
    assert "GPX" in why
