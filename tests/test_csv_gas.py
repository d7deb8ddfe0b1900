"""Gas tables: what is a sample, what is flagged, what is said."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import DronesenseError, ManifestError, ReadError, UnitsError
from dronesense.model import Column, Flag, FrameCamera, GasInstrument, Instrument, Mount, TimeColumn
from dronesense.plugins import read_head
from dronesense.readers import csv_gas, instrument
from dronesense.readers.stamps import CLOCK_NOT_SET, NO_STAMP, SAME_STAMP, UNITS_ROW

SHIPPED = Path(__file__).parents[1] / "calibration" / "instruments"
START = int(np.datetime64("2026-06-14T05:00:00", "ns").astype(np.int64))
S = 1_000_000_000


def analyser(columns: dict[str, Column], **kwargs) -> Instrument:
    time = kwargs.pop("time", TimeColumn(("t",), "iso", "UTC"))
    return Instrument("an", "gas", GasInstrument(time, columns, **kwargs), Mount(), "an.toml")


CH4 = {"CH4": Column("ppm", species="CH4", sigma=0.01)}


def stamps(count: int, step_s: float = 1.0) -> list[str]:
    return [str(np.datetime64(START + round(index * step_s * S), "ns")) for index in range(count)]


def table(folder: Path, head: str, rows: list[str]) -> Path:
    path = folder / "g.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def read(path: Path, of: Instrument):
    return csv_gas.read(path, label="raw/g.csv", instrument=of)


def test_plain(tmp_path):
    path = table(tmp_path, "t,CH4", [f"{t},{2 + i / 8}" for i, t in enumerate(stamps(3))])
    (series,), report = read(path, analyser(CH4))
    np.testing.assert_array_equal(series.time, START + np.arange(3) * S)
    np.testing.assert_array_equal(series.value, [2, 2.125, 2.25])
    np.testing.assert_array_equal(series.sigma, 0.01)
    np.testing.assert_array_equal(series.row, [2, 3, 4])
    np.testing.assert_array_equal(series.flags, 0)
    assert (series.species, series.quantity, series.unit, series.level) == (
        "CH4",
        "mole_fraction",
        "ppm",
        "raw",
    )
    assert (series.instrument, series.source) == ("an", "raw/g.csv")
    assert report.records == 3
    assert not report.warnings
    assert not report.assumptions
    assert report.details["series"][0]["rate_hz"] == 1.0
    assert report.details["series"][0]["gap_count"] == 0


@pytest.mark.parametrize(
    ("unit", "cell", "quantity", "value", "sigma"),
    [
        ("ppm", "2", "mole_fraction", 2.0, 0.1),
        ("ppb", "2000", "mole_fraction", 2.0, 1e-4),
        ("percent", "0.5", "mole_fraction", 5000.0, 1000.0),
        ("ppm m", "95", "column", 95.0, 0.1),
        ("mV", "310", "relative", 310.0, 0.1),
        ("ohm", "1e5", "relative", 1e5, 0.1),
        ("1", "7", "relative", 7.0, 0.1),
    ],
)
def test_units(tmp_path, unit, cell, quantity, value, sigma):
    (series,), _ = read(
        table(tmp_path, "t,x", [f"{t},{cell}" for t in stamps(2)]),
        analyser({"x": Column(unit, species="X", sigma=0.1)}),
    )
    assert series.quantity == quantity
    np.testing.assert_allclose(series.value, value, rtol=1e-12)
    np.testing.assert_allclose(series.sigma, sigma, rtol=1e-12)


@pytest.mark.parametrize(
    ("unit", "match"), [("ppmm", "did you mean"), ("hPa", "pressure"), ("mg/m3", "mass")]
)
def test_wrong_units_name_the_key(tmp_path, unit, match):
    path = table(tmp_path, "t,x", [f"{t},1" for t in stamps(2)])
    with pytest.raises(UnitsError, match=match) as error:
        read(path, analyser({"x": Column(unit, species="X")}))
    assert 'an.toml, key columns."x".unit' in str(error.value)


def test_rows_without_a_reading_are_no_samples(tmp_path):
    rows = [f"{t},{'' if i % 5 else 2.0 + i},{i}" for i, t in enumerate(stamps(11, 0.2))]
    of = analyser({**CH4, "b": Column("ppb", species="C2H6", sigma=1.0)})
    (ch4, c2h6), report = read(table(tmp_path, "t,CH4,b", rows), of)
    np.testing.assert_array_equal(ch4.value, [2, 7, 12])
    np.testing.assert_array_equal(ch4.row, [2, 7, 12])
    assert len(c2h6) == 11
    assert report.details["series"][0]["rate_hz"] == 1.0
    assert report.details["series"][1]["rate_hz"] == 5.0


def test_flags(tmp_path):
    of = analyser(
        {"x": Column("ppb", species="X", sigma=1.0), "s": Column(field="status", ok=(0.0, 4.0))},
        valid_range={"X": (0.0, 100.0)},
    )
    rows = [
        f"{t},{x},{s}"
        for t, x, s in zip(stamps(6), [1, -1, 101, 2, 3, 100], [0, 0, 0, 1, "", 4], strict=True)
    ]
    (series,), report = read(table(tmp_path, "t,x,s", rows), of)
    expected = [Flag.OK, Flag.RANGE, Flag.RANGE, Flag.STATUS, Flag.STATUS, Flag.OK]
    np.testing.assert_array_equal(series.flags, expected)
    assert report.details["series"][0]["flagged"] == {"STATUS": 2, "RANGE": 2}


def _noisy(count: int) -> np.ndarray:
    return np.round(np.random.default_rng(1).normal(2.0, 0.01, count), 4)


@pytest.mark.parametrize(("repeats", "flagged"), [(20, 0), (21, 21), (40, 40)])
def test_stuck_readings(tmp_path, repeats, flagged):
    values = _noisy(100)
    values[30 : 30 + repeats] = 2.0033
    values[29] = values[30 + repeats] = 2.1
    (series,), _ = read(
        table(tmp_path, "t,CH4", [f"{t},{v}" for t, v in zip(stamps(100), values, strict=True)]),
        analyser(CH4),
    )
    assert int(((series.flags & Flag.STUCK) != 0).sum()) == flagged
    if flagged:
        assert ((series.flags[30 : 30 + repeats] & Flag.STUCK) != 0).all()


def test_a_coarse_display_is_not_stuck(tmp_path):
    values = [400] * 50 + [401] * 50
    path = table(tmp_path, "t,CH4", [f"{t},{v}" for t, v in zip(stamps(100), values, strict=True)])
    assert not read(path, analyser(CH4))[0][0].flags.any()  # steps of 1 ppm, noise of 0.01 ppm
    dead = table(tmp_path, "t,CH4", [f"{t},2.0" for t in stamps(30)])
    assert (read(dead, analyser(CH4))[0][0].flags == Flag.STUCK).all()


def test_noise_is_estimated_and_said(tmp_path):
    values = np.random.default_rng(2).normal(2.0, 0.05, 4000)
    values[1000:1100] += 3.0  # a plume does not count
    rows = [f"{t},{v:.6f}" for t, v in zip(stamps(4000), values, strict=True)]
    (series,), report = read(table(tmp_path, "t,x", rows), analyser({"x": Column("ppm", species="X")}))
    assert series.sigma[0] == pytest.approx(0.05, rel=0.05)
    assert any("sigma" in each and "estimated" in each for each in report.assumptions)


def test_noise_of_a_coarse_display_is_that_of_its_step(tmp_path):
    rows = [f"{t},{400 + (i > 50)}" for i, t in enumerate(stamps(100))]
    (series,), _ = read(table(tmp_path, "t,x", rows), analyser({"x": Column("ppm", species="X")}))
    np.testing.assert_allclose(series.sigma, 1 / np.sqrt(12))


def test_backwards_and_repeated_stamps(tmp_path):
    t = stamps(5)
    rows = [f"{t[0]},1", f"{t[2]},3", f"{t[1]},2", f"{t[2]},9", f"{t[4]},5"]
    (series,), report = read(table(tmp_path, "t,CH4", rows), analyser(CH4))
    np.testing.assert_array_equal(series.value, [1, 2, 3, 5])  # of the two at t[2] the first in the file
    np.testing.assert_array_equal(series.row, [2, 4, 3, 6])
    assert report.dropped == {SAME_STAMP: 1}
    assert any("backwards 1 time" in warning and "line 4" in warning for warning in report.warnings)


@pytest.mark.parametrize("stamp", ["1970-01-01T00:00:05", "1980-01-06T00:00:00", "2226-06-14T05:00:00"])
def test_rows_of_a_clock_that_was_not_set_are_left_out(tmp_path, stamp):
    rows = [f"{stamp},9", *(f"{t},2" for t in stamps(3))]
    (series,), report = read(table(tmp_path, "t,CH4", rows), analyser(CH4))
    np.testing.assert_array_equal(series.row, [3, 4, 5])
    assert report.dropped == {CLOCK_NOT_SET: 1}
    assert any("1 row" in warning for warning in report.warnings)


def test_gaps_are_listed(tmp_path):
    t = stamps(100)
    rows = [f"{each},2" for each in (*t[:20], *t[50:])]
    _, report = read(table(tmp_path, "t,CH4", rows), analyser(CH4))
    detail = report.details["series"][0]
    assert detail["gap_count"] == 1
    assert detail["gaps"] == [{"start": "2026-06-14T05:00:19.000Z", "duration_s": 31.0}]


def test_ambient(tmp_path):
    of = analyser(
        {
            **CH4,
            "P": Column("kPa", field="pressure"),
            "T": Column("degC", field="temperature"),
            "RH": Column("percent", field="humidity"),
            "gone": Column("deg", field="yaw"),
        }
    )
    (series,), _ = read(table(tmp_path, "t,CH4,P,T,RH", [f"{stamps(1)[0]},2,88.715,20,50"]), of)
    np.testing.assert_allclose(series.ambient.pressure_hpa, 887.15)
    np.testing.assert_allclose(series.ambient.temperature_k, 293.15)
    np.testing.assert_allclose(series.ambient.humidity_percent, 50.0)
    (series,), report = read(table(tmp_path, "t,CH4", [f"{stamps(1)[0]},2"]), of)
    assert series.ambient.pressure_hpa is None
    assert any('"P"' in warning for warning in report.warnings)


def test_two_time_columns_missing_texts_and_delimiter(tmp_path):
    of = analyser(
        CH4,
        time=TimeColumn(("day", "clock"), "%d/%m/%Y %H:%M:%S", "+05:00"),
        missing=("No Data",),
        delimiter=";",
    )
    rows = ["14/06/2026;10:00:00;2", "14/06/2026;10:00:01;No Data", "14/06/2026;10:00:02;3", ";;4"]
    (series,), report = read(table(tmp_path, "day;clock;CH4", rows), of)
    np.testing.assert_array_equal(series.time, [START, START + 2 * S])
    assert report.dropped == {NO_STAMP: 1}


@pytest.mark.parametrize(
    ("text", "time", "columns", "missing", "dropped", "assumption"),
    [
        pytest.param(
            "Model:\tX-1\nTimezone:\tEurope/Oslo\nHEAD\tSECONDS\tNANOSECONDS\tCH4\n"
            "UNIT\tsecs\tnsecs\tppb\nDATA\t1781413200\t36930990\t2000\nDATA\t1781413201\t5\t2500\n",
            TimeColumn(("SECONDS", "NANOSECONDS"), "unix_s_ns"),
            {"CH4": Column("ppb", species="CH4")},
            (),
            {UNITS_ROW: 1},
            "headings found on line 3",
            id="lines and a row of units around the headings",
        ),
        pytest.param(
            'sep=\t\n"Titles:"\t"XT1_CH4 Dry"\n"Units:"\t"ppm"\n2026-06-14 05:00:00.036930990\t2\n'
            "2026-06-14 05:00:01.000000005\t2.5\n",
            TimeColumn(("Titles:",), "iso", "UTC"),
            {"XT1_CH4 Dry": Column("ppm", species="CH4")},
            (),
            {UNITS_ROW: 1},
            "headings found on line 2",
            id="a line for spreadsheets first",
        ),
        pytest.param(
            "DATE        TIME                CH4      \n"
            "2026-06-14  05:00:00.036930990  2.0E+00  \n2026-06-14  05:00:01.000000005  2.5E+00  \n",
            TimeColumn(("DATE", "TIME"), "iso", "UTC"),
            {"CH4": Column("ppm", species="CH4")},
            (),
            {},
            "",
            id="columns of fixed width",
        ),
        pytest.param(
            "Zeit;CH4 [ppm]\n14.06.2026 05:00:00,036930;2,0\n14.06.2026 05:00:01,000000;2,5\n",
            TimeColumn(("Zeit",), "%d.%m.%Y %H:%M:%S,%f", "UTC"),
            {"CH4 [ppm]": Column("ppm", species="CH4")},
            (),
            {},
            "decimals are written with a comma",
            id="decimal comma",
        ),
        pytest.param(
            "TIME,CH4\nISO 8601,ppm\n,113\n2026-06-14T05:00:00.036930990Z,2\n"
            "2026-06-14T05:00:01.000000005Z,2.5\n"
            "-----BEGIN SIGNATURE-----\nQk8=\n-----END SIGNATURE-----\n",
            TimeColumn(("TIME",)),
            CH4,
            ("ISO 8601",),
            {NO_STAMP: 2, "fewer cells than headings": 3},
            "",
            id="units with digits in them, a signature at the end",
        ),
    ],
)
def test_tables_as_loggers_write_them(tmp_path, text, time, columns, missing, dropped, assumption):
    """Made up after LI-COR, GAIA, Picarro, Smart Citizen and LGR files."""
    path = tmp_path / "g.csv"
    path.write_text(text, encoding="utf-8")
    of = analyser(columns, time=time, missing=missing)
    assert instrument.header_matches(of, path)
    (series,), report = read(path, of)
    assert np.abs(series.time - START - [36_930_990, S + 5]).max() < 1000  # %f has microseconds
    np.testing.assert_array_equal(series.value, [2, 2.5])
    assert report.dropped == dropped
    assert assumption in " ".join(report.assumptions)


def test_rows_that_do_not_fit_the_headings_are_named_when_none_is_left(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("Tag,t,CH4\nM,2026-06-14T05:00:00,2,7,7\nM,2026-06-14T05:00:01,2,7,7\nEnd\n")
    with pytest.raises(ReadError, match="2 x more cells than headings, 1 x fewer cells than headings"):
        read(path, analyser(CH4))


def test_every_cut_is_noticed(tmp_path):
    path = table(tmp_path, "t,CH4", [f"{t},{2 + i / 8}" for i, t in enumerate(stamps(3))])
    raw = path.read_bytes()
    ends = [at + 1 for at, char in enumerate(raw) if char == ord("\n")]
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        try:
            (series,), report = read(path, analyser(CH4))
        except DronesenseError:
            continue
        whole = sum(end <= length for end in ends) - 1
        np.testing.assert_array_equal(
            series.value, [2, 2.125, 2.25][:whole]
        )  # no half-read number comes through
        assert report.warnings or length in ends


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        ([], ReadError, "no row"),
        (["2026-06-14T05:00:00,abc"], ReadError, "line 2, column CH4"),
        (["14.06.2026,1"], ReadError, "ISO"),
    ],
)
def test_refused(tmp_path, rows, error, match):
    with pytest.raises(error, match=match):
        read(table(tmp_path, "t,CH4", rows), analyser(CH4))


def test_refused_instruments(tmp_path):
    path = table(tmp_path, "t,CH4", [f"{stamps(1)[0]},2"])
    with pytest.raises(ReadError, match='no column "CO2"'):
        read(path, analyser({"CO2": Column("ppm", species="CO2")}))
    with pytest.raises(ManifestError, match="no column with a species"):
        read(path, analyser({"P": Column("hPa", field="pressure")}))
    with pytest.raises(ManifestError, match="not an analyser"):
        read(path, Instrument("cam", "frame", FrameCamera(), Mount(), "cam.toml"))
    with pytest.raises(ManifestError, match="zone"):
        read(path, analyser(CH4, time=TimeColumn(("t",), "iso", None)))


def test_sniff(tmp_path):
    path = table(tmp_path, "t,CH4", ["1,2"])
    assert csv_gas.sniff(path, read_head(path))
    path.write_bytes(b"\xa3\x95\x80\x00\x01,")
    assert not csv_gas.sniff(path, read_head(path))


def test_real_merged_flight(shared_data):
    """Counts and values against csv and datetime of the standard library."""
    path = shared_data / "gas" / "uav_aeris_nmt" / "level0.csv"
    series, report = csv_gas.read(
        path, label="level0.csv", instrument=instrument.read(SHIPPED / "nmt-uav-aeris.toml")
    )
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [each.species for each in series] == ["CH4", "C2H6"]
    for each, factor in zip(series, (1.0, 1e-3), strict=True):
        truth = [
            (number, row) for number, row in enumerate(rows, start=2) if row[each.species] not in ("", "nan")
        ]
        assert len(each) == len(truth)
        np.testing.assert_array_equal(each.row, [number for number, _ in truth])
        np.testing.assert_allclose(
            each.value, [float(row[each.species]) * factor for _, row in truth], rtol=1e-15
        )
        seconds = [datetime.fromisoformat(row["Timestamp_UTC"]).timestamp() for _, row in truth]
        np.testing.assert_allclose(each.time / 1e9, seconds, atol=1e-6, rtol=0)
        np.testing.assert_array_equal(each.ambient.pressure_hpa, [float(row["P"]) for _, row in truth])
        assert each.unit == "ppm"
        ground = [Flag.ON_GROUND if float(row["Sts"]) == 0.0 else Flag.OK for _, row in truth]
        np.testing.assert_array_equal(each.flags, ground)
    # counted with awk -F, 'NR>1 && $21!=""', first and last line likewise
    assert [len(each) for each in series] == [1418, 1418]
    np.testing.assert_allclose(series[0].value[[0, -1]], [2.17984, 2.47227])
    np.testing.assert_allclose(series[1].value[[0, -1]] * 1e3, [57.6695, 58.2982])
    assert report.records == 7303
    assert report.details["series"][0]["rate_hz"] == pytest.approx(1.0, abs=0.01)


def test_noise_of_the_real_flight_is_the_stated_one(shared_data):
    """The estimator, asked without a stated sigma, finds what the reference measured: 2.47 and 0.51 ppb."""
    path = shared_data / "gas" / "uav_aeris_nmt" / "level0.csv"
    of = analyser(
        {"CH4": Column("ppm", species="CH4"), "C2H6": Column("ppb", species="C2H6")},
        time=TimeColumn(("Timestamp_UTC",), "iso", None),
    )
    (ch4, c2h6), _ = read(path, of)
    assert ch4.sigma[0] * 1e3 == pytest.approx(2.47, abs=0.01)
    assert c2h6.sigma[0] * 1e3 == pytest.approx(0.51, abs=0.01)


def test_a_few_garbled_cells_and_stamps_cost_only_themselves(tmp_path):
    rows = [f"{t},{2 + i / 8}" for i, t in enumerate(stamps(20))]
    rows[4] = rows[4].split(",")[0] + ",##ERR"
    rows[7] = "2026-06-1?T05:00:07,2.5"
    (series,), report = read(table(tmp_path, "t,CH4", rows), analyser(CH4))
    assert series.row.tolist() == [line for line in range(2, 22) if line not in (6, 9)]
    assert any('line 6: "##ERR"' in each for each in report.warnings)
    assert any("line 9" in each and "garbled time stamp" in each for each in report.warnings)
    assert report.dropped["garbled time stamp"] == 1


def test_a_column_of_garbage_is_refused(tmp_path):
    rows = [f"{t},##ERR" if i % 3 else f"{t},2.0" for i, t in enumerate(stamps(60))]
    with pytest.raises(ReadError, match="is not a number"):
        read(table(tmp_path, "t,CH4", rows), analyser(CH4))
