"""Tracks from tables: units, clock, refusals by hand; a real drone table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import DronesenseError, ManifestError, ReadError
from dronesense.model import (
    Column,
    FrameCamera,
    GasInstrument,
    IngestReport,
    Instrument,
    Mount,
    TimeColumn,
    TrackOptions,
    Trajectory,
)
from dronesense.readers import csv_track

COLUMNS = {
    "lat": Column("deg", field="latitude"),
    "lon": Column("rad", field="longitude"),
    "alt (ft)": Column("ft", field="height"),
    "p": Column("Pa", field="pressure"),
    "vn": Column("m/s", field="velocity_north"),
    "ve": Column("km/h", field="velocity_east"),
    "up": Column("m/s", field="velocity_up"),
    "roll": Column("deg", field="roll"),
    "pitch": Column("rad", field="pitch"),
    "yaw": Column("deg", field="yaw"),
    "CH4": Column("ppm", species="CH4"),
}
HEAD = "time,lat,lon,alt (ft),p,vn,ve,up,roll,pitch,yaw,CH4\n"
ROWS = [
    "2026-06-14 05:00:00.2,43.0,1.0,1000,90000,1.5,3.6,0.25,0,0,90,2.0\n",
    "2026-06-14 05:00:00.4,43.1,1.1,1001,90010,1.5,3.6,0.25,0,0,90,\n",
    "2026-06-14 05:00:00.6,43.2,1.2,1002,90020,1.5,3.6,0.25,0,0,90,2.1\n",
]


def instrument(
    columns=None, *, ref: str | None = "ellipsoid", zone: str | None = "UTC", **kwargs
) -> Instrument:
    spec = GasInstrument(
        TimeColumn(("time",), zone=zone), COLUMNS if columns is None else columns, height_ref=ref, **kwargs
    )
    return Instrument("logger", "gas", spec, Mount(), "calibration/instruments/logger.toml")


def read(tmp_path: Path, text: str, what: Instrument | None = None) -> tuple[Trajectory, IngestReport]:
    path = tmp_path / "track.csv"
    path.write_text(text)
    return csv_track.read(
        path, label="raw/track.csv", options=TrackOptions(instrument=instrument() if what is None else what)
    )


def test_values_come_in_the_units_of_the_record(tmp_path: Path) -> None:
    track, report = read(tmp_path, HEAD + "".join(ROWS))
    assert str(track.time[0].astype("datetime64[ns]")) == "2026-06-14T05:00:00.200000000"
    assert track.lat.tolist() == [43.0, 43.1, 43.2]
    np.testing.assert_allclose(track.lon, np.degrees([1.0, 1.1, 1.2]))
    np.testing.assert_allclose(track.height_m, [304.8, 305.1048, 305.4096])
    assert track.height_ref == "ellipsoid"
    np.testing.assert_allclose(track.pressure_hpa, [900.0, 900.1, 900.2])
    np.testing.assert_allclose(track.velocity_ned[0], [1.5, 1.0, -0.25])
    np.testing.assert_allclose(track.attitude[0], [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)], atol=1e-12)
    assert track.clock.kind == "exact"
    assert track.clock.sigma_s == pytest.approx(0.1 / 12**0.5)
    assert (report.records, report.dropped, report.warnings) == (3, {}, ())
    assert track.source == "raw/track.csv:logger"


def test_rows_are_refused_and_counted(tmp_path: Path) -> None:
    bad = [
        ",43.0,1.0,1000,90000,1,1,1,0,0,0,2\n",
        "2026-06-14 05:00:01,,1.0,1000,90000,1,1,1,0,0,0,2\n",
        "2026-06-14 05:00:01,0,0,1000,90000,1,1,1,0,0,0,2\n",
        "2026-06-14 05:00:01,95,1,1000,90000,1,1,1,0,0,0,2\n",
        "2026-06-14 05:00:00.6,43.0,1.0,1000,90000,1,1,1,0,0,0,2\n",
        "2026-06-14 04:59:00,43.0,1.0,1000,90000,1,1,1,0,0,0,2\n",
        "2026-06-14 05:00:09,43.0,1.0,1000,90000,1,1,1,0,0,0,2\n",
    ]
    hovering = [row.replace("43.1,1.1", "43.0,1.0").replace("43.2,1.2", "43.0,1.0") for row in ROWS]
    track, report = read(tmp_path, HEAD + "".join(hovering + bad))
    assert len(track) == 4
    assert track.segment.tolist() == [0, 0, 0, 1]
    assert report.dropped == {
        "no time stamp": 1,
        "no position": 1,
        "latitude and longitude 0": 1,
        "position out of range": 1,
        "time stamp not after the one before": 2,
    }


def test_heights_are_ellipsoidal_only_where_the_instrument_says_so(tmp_path: Path) -> None:
    text = HEAD + "".join(ROWS)
    track, report = read(tmp_path, text, instrument(ref="egm96"))
    assert np.isnan(track.height_m).all()
    assert (track.height_ref, round(track.height_source_m[0], 3)) == ("egm96", 304.8)
    assert "egm96" in report.warnings[0]
    track, report = read(tmp_path, text, instrument(ref=None))
    assert np.isnan(track.height_m).all()
    assert track.height_ref == "unknown"
    assert "state height_ref" in report.warnings[0]
    with pytest.raises(ManifestError, match='did you mean "ellipsoid"'):
        read(tmp_path, text, instrument(ref="elipsoid"))
    without = {name: column for name, column in COLUMNS.items() if column.field != "height"}
    track, report = read(tmp_path, text, instrument(without, ref=None))
    assert track.height_ref == "unknown"
    assert "no height" in report.warnings[0]


def test_attitude_needs_all_three_angles(tmp_path: Path) -> None:
    some = {name: column for name, column in COLUMNS.items() if name not in ("roll", "p", "vn", "ve", "up")}
    track, report = read(tmp_path, HEAD + "".join(ROWS), instrument(some))
    assert np.isnan(track.attitude).all()
    assert np.isnan(track.velocity_ned).all()
    assert track.pressure_hpa is None
    assert "all three" in report.warnings[0]


def test_a_row_with_an_unknown_angle_has_no_attitude(tmp_path: Path) -> None:
    text = HEAD + ROWS[0] + ROWS[1].replace(",0,0,90,", ",0,,90,") + ROWS[2]
    track, _ = read(tmp_path, text)
    assert np.isnan(track.attitude).all(axis=1).tolist() == [False, True, False]


def test_a_row_without_line_end_is_not_trusted(tmp_path: Path) -> None:
    track, report = read(tmp_path, (HEAD + "".join(ROWS))[:-3])
    assert len(track) == 2
    assert sum(report.dropped.values()) == 1
    assert report.warnings


@pytest.mark.parametrize(
    ("text", "what", "error", "match"),
    [
        (HEAD + ROWS[0], instrument(zone=None), ReadError, r"raw/track\.csv, row 2.*zone"),
        (HEAD + ROWS[0], instrument({"lat": COLUMNS["lat"]}), ManifestError, "no column is the longitude"),
        (HEAD + ROWS[0], instrument(COLUMNS | {"vn": COLUMNS["lat"]}), ManifestError, "two columns"),
        (
            HEAD + ROWS[0],
            instrument({"latt": COLUMNS["lat"], "lon": COLUMNS["lon"]}),
            ReadError,
            'no column "latt".*did you mean "lat"',
        ),
        (
            HEAD + ROWS[0],
            instrument(COLUMNS | {"p": Column("m", field="pressure")}),
            DronesenseError,
            "does not convert",
        ),
        (HEAD + ROWS[0].replace("43.0", "4x"), instrument(), ReadError, '"4x" is not a number'),
        (HEAD + ROWS[0].replace("43.0", ""), instrument(), ReadError, r"no row .*1 x no position"),
        (HEAD, instrument(), ReadError, "no row"),
        ("", instrument(), ReadError, "empty"),
        (
            HEAD + ROWS[0],
            Instrument("cam", "frame", FrameCamera(), Mount(), "cam.toml"),
            ManifestError,
            "no.* describe a table",
        ),
    ],
)
def test_refusals_name_what_is_wrong(tmp_path: Path, text: str, what: Instrument, error, match: str) -> None:
    with pytest.raises(error, match=match):
        read(tmp_path, text, what)


def test_instrument_and_source_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "track.csv"
    path.write_text(HEAD + ROWS[0])
    with pytest.raises(ManifestError, match="instrument"):
        csv_track.read(path, label="t")
    with pytest.raises(ReadError, match="source"):
        csv_track.read(path, label="t", options=TrackOptions(source="POS", instrument=instrument()))
    assert not csv_track.sniff(path, path.read_bytes())


def test_the_real_table_of_a_drone(shared_data: Path) -> None:
    path = shared_data / "gas" / "uav_aeris_nmt" / "level0.csv"
    columns = {
        "Lat": Column("deg", field="latitude"),
        "Lon": Column("deg", field="longitude"),
        "Alt": Column("m", field="height"),
        "P": Column("hPa", field="pressure"),
    }
    spec = GasInstrument(TimeColumn(("Timestamp_UTC",)), columns, height_ref="unknown")
    what = Instrument("aeris", "gas", spec, Mount(), "aeris.toml")
    track, report = csv_track.read(path, label="level0.csv", options=TrackOptions(instrument=what))
    assert str(track.time[0].astype("datetime64[ns]")) == "2023-04-19T14:10:05.669701000"
    assert (track.lat[0], track.lon[0], track.height_source_m[0]) == (32.6911159, -103.075253, 1155.37341)
    assert track.pressure_hpa[0] == 887.15
    lines = path.read_text().count("\n") - 1
    assert len(track) + sum(report.dropped.values()) == lines
    assert np.median(np.diff(track.time)) / 1e9 == pytest.approx(0.2, abs=0.02)
