"""Shipped gas instruments on real files of each analyser, and on files made here in the same layout.

Counts, first and last rows of the real files were read with awk and date, not with this package.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.errors import DronesenseError, ManifestError, ReadError, UnitsError
from dronesense.model import Column, Flag, GasInstrument, Instrument, Mount, TimeColumn
from dronesense.readers import csv_gas, csv_track, csv_wind, instrument
from dronesense.readers.gas_clock import of_file
from dronesense.timescale import to_iso

SHIPPED = Path(__file__).parents[1] / "calibration" / "instruments"
EVERY = [
    each for each in (instrument.read(path) for path in sorted(SHIPPED.glob("*.toml"))) if each.kind == "gas"
]
FORMATS = "gas/analyser_formats/goFlux_"


def claimants(path: Path) -> list[str]:
    """Return who claims a file; those that are for any file only where no other does."""
    fitting = [each for each in EVERY if instrument.header_matches(each, path)]
    return [each.id for each in fitting if not each.spec.match.last] or [each.id for each in fitting]


def shipped(name: str, **clock: str) -> Instrument:
    return instrument.with_clock(instrument.read(SHIPPED / f"{name}.toml"), **clock)  # type: ignore[arg-type]


def read(path: Path, name: str, **clock: str):
    return csv_gas.read(path, label=path.name, instrument=shipped(name, **clock))


Species = tuple[str, str, int, str, str, float, float]
"""Species, basis, samples, first and last stamp, first and last value in ppm."""

REAL: list[tuple[str, str, dict[str, str], int, dict[str, int], list[Species]]] = [
    (
        f"{FORMATS}LI7810.data", "licor-li7810", {}, 331, {"row of units below the headings": 1},
        [("CO2", "dry", 330, "2022-12-05T08:38:30.837Z", "2022-12-05T08:43:59.824Z", 459.38455, 458.28149),
         ("CH4", "dry", 330, "2022-12-05T08:38:30.837Z", "2022-12-05T08:43:59.824Z", 2.0676235, 2.0693325)],
    ),
    (
        f"{FORMATS}LI7820.data", "licor-li7820", {}, 462, {"row of units below the headings": 1},
        [("N2O", "dry", 461, "2022-09-28T10:37:50.561Z", "2022-09-28T10:45:30.541Z", 0.34771262, 0.34730872)],
    ),
    (
        f"{FORMATS}G4301.dat", "picarro-g4301", {}, 712,
        {f"{gas}: reading held by the logger until the next one": 208 for gas in ("CH4", "CO2")},
        [("CH4", "dry", 504, "2022-07-15T16:42:31.223Z", "2022-07-15T16:55:00.672Z",
          2.3184202444, 2.2527127981),
         ("CO2", "dry", 504, "2022-07-15T16:42:31.223Z", "2022-07-15T16:55:00.672Z",
          -4.2978109695, 498.83159364)],
    ),
    (
        f"{FORMATS}G2201i.dat", "picarro-g2201i", {}, 966,
        {"last row cut short": 1,
         **{f"{gas}: reading held by the logger until the next one": 723 for gas in ("CH4", "CO2")}},
        [("CH4", "dry", 242, "2025-05-13T07:51:14.496Z", "2025-05-13T08:06:08.764Z", 2.05598184, 3.15843669),
         ("CO2", "dry", 242, "2025-05-13T07:51:14.496Z", "2025-05-13T08:06:10.615Z",
          476.34090166, 470.77466793)],
    ),
    (
        f"{FORMATS}UGGA.txt", "abb-lgr", {"zone": "+02:00"}, 1786, {},
        [("CH4", "dry", 1786, "2022-09-28T10:10:44.998Z", "2022-09-28T10:40:20.476Z", 2.02786, 2.02979),
         ("CO2", "dry", 1786, "2022-09-28T10:10:44.998Z", "2022-09-28T10:40:20.476Z", 428.459, 439.318)],
    ),
    (
        f"{FORMATS}N2OM1.txt", "abb-lgr", {"zone": "UTC", "date_order": "dmy"}, 856, {},
        [("N2O", "dry", 856, "2023-04-02T15:35:35.282Z", "2023-04-02T15:49:45.705Z", 0.3328288, 0.3328399),
         ("CH4", "dry", 856, "2023-04-02T15:35:35.282Z", "2023-04-02T15:49:45.705Z", 1.966187, 1.965761)],
    ),
    (
        f"{FORMATS}N2OM1.txt", "abb-lgr", {"zone": "UTC", "date_order": "mdy"}, 856, {},
        [("N2O", "dry", 856, "2023-02-04T15:35:35.282Z", "2023-02-04T15:49:45.705Z", 0.3328288, 0.3328399),
         ("CH4", "dry", 856, "2023-02-04T15:35:35.282Z", "2023-02-04T15:49:45.705Z", 1.966187, 1.965761)],
    ),
    (
        f"{FORMATS}uCH4.txt", "aeris-mira", {"zone": "UTC", "date_order": "dmy"}, 450, {},
        [("CH4", "unknown", 450, "2024-07-03T11:05:00.477Z", "2024-07-03T11:12:30.432Z", 2.07284, 2.07539),
         ("C2H6", "unknown", 450, "2024-07-03T11:05:00.477Z", "2024-07-03T11:12:30.432Z",
          0.00775724, 0.00757144)],
    ),
    (
        "gas/uav_aeris_nmt/Pico100048_240626_134234.txt", "aeris-mira", {"zone": "-06:00"}, 99, {},
        [("CH4", "unknown", 99, "2024-06-26T19:42:34.790Z", "2024-06-26T19:44:15.142Z", 6.92395, 6.8608),
         ("C2H6", "unknown", 99, "2024-06-26T19:42:34.790Z", "2024-06-26T19:44:15.142Z",
          0.014357, 0.0145011)],
    ),
    (
        "gas/uav_aeris_nmt/Pico100048_240626_134540.txt", "aeris-mira", {"zone": "UTC"}, 425, {},
        [("CH4", "unknown", 425, "2024-06-26T13:45:40.236Z", "2024-06-26T13:52:55.334Z", 6.51798, 1.86811),
         ("C2H6", "unknown", 425, "2024-06-26T13:45:40.236Z", "2024-06-26T13:52:55.334Z",
          0.0133024, 0.0122819)],
    ),
    (
        "gas/uav_aeris_nmt/Pico100048_240626_135645.txt", "aeris-mira", {"zone": "UTC"}, 391, {},
        [("CH4", "unknown", 391, "2024-06-26T13:56:45.734Z", "2024-06-26T14:03:25.504Z", 1.8699, 1.87728),
         ("C2H6", "unknown", 391, "2024-06-26T13:56:45.734Z", "2024-06-26T14:03:25.504Z",
          0.0121767, 0.0109771)],
    ),
    (
        f"{FORMATS}DX4015.TXT", "gasmet-ftir", {"zone": "UTC"}, 43, {},
        [(gas, "wet", 43, "2023-09-03T08:16:02.000Z", "2023-09-03T08:30:44.000Z", first, last)
         for gas, first, last in (("CO2", 406.08, 958.57), ("CH4", 1.913, 1.215), ("N2O", 0.3131, 0.3215),
                                  ("NH3", 0.034, 0.036), ("CO", 0.076, 0.0))],
    ),
    (
        f"{FORMATS}GasmetPD.txt", "gasmet-table", {}, 74, {},
        [(gas, "unknown", 74, "2022-07-15T13:11:34.000Z", "2022-07-15T13:20:05.000Z", first, last)
         for gas, first, last in (("CO2", 2529.45624029001, 1117.06685986338),
                                  ("CH4", 2.37907819782496, 2.28524115090044),
                                  ("N2O", 3.79678922837908, 1.92682674394535),
                                  ("NH3", 0.0994303469704816, 0.0227696129165804))],
    ),
    (
        f"{FORMATS}HT8850.txt", "healthyphoton-ht8850", {"zone": "UTC"}, 181, {"last row cut short": 1},
        [("CO2", "unknown", 180, "2025-10-31T07:12:00.000Z", "2025-10-31T07:14:59.000Z", 8818.581, 8805.289),
         ("CH4", "unknown", 180, "2025-10-31T07:12:00.000Z", "2025-10-31T07:14:59.000Z", 8.067, 8.083),
         ("N2O", "unknown", 180, "2025-10-31T07:12:00.000Z", "2025-10-31T07:14:59.000Z", 1.14652, 1.14698)],
    ),
    (
        f"{FORMATS}EGM5.TXT", "ppsystems-egm5", {"zone": "UTC", "date_order": "dmy"}, 123,
        {"fewer cells than headings": 6, "same time stamp as a row before": 2},
        [("CO2", "unknown", 121, "2023-10-11T09:23:59.000Z", "2023-10-11T09:40:10.000Z", 415.0, 428.0)],
    ),
    (
        f"{FORMATS}GAIA.csv", "gaia-licor-slot2", {}, 378, {"row of units below the headings": 1},
        [("CH4", "dry", 377, "2023-06-18T22:01:49.531Z", "2023-06-18T22:08:05.531Z", 2.045656, 2.037398),
         ("CO2", "dry", 377, "2023-06-18T22:01:49.531Z", "2023-06-18T22:08:05.531Z", 478.033, 504.603)],
    ),
    (
        f"{FORMATS}GAIA.csv", "gaia-licor-slot3", {}, 378, {"row of units below the headings": 1},
        [("N2O", "dry", 377, "2023-06-18T22:01:50.124Z", "2023-06-18T22:08:06.124Z", 0.354988, 0.355295)],
    ),
    (
        f"{FORMATS}skyline.csv", "skyline-picarro", {"zone": "UTC"}, 382,
        {"last row cut short": 1, "no time stamp": 1, "same time stamp as a row before": 3 * 192},
        [("N2O", "dry", 188, "2025-08-14T00:00:28.400Z", "2025-08-14T00:06:49.060Z", 0.3366, 0.3461),
         ("CH4", "dry", 188, "2025-08-14T00:00:28.400Z", "2025-08-14T00:06:49.060Z", 2.287, 2.298),
         ("CO2", "unknown", 188, "2025-08-14T00:00:28.400Z", "2025-08-14T00:06:49.060Z", 442.617, 443.906)],
    ),
    *(
        (
            f"gas/picarro_mobile_survey/CFADS2274-{name}Z-DataLog_User.dat", "picarro-cfads-survey", {}, rows,
            dropped, [("CH4", "wet", rows, first, last, value, end)],
        )
        for name, rows, dropped, first, last, value, end in (
            ("20170315-162958", 120, {"last row cut short": 1},
             "2017-03-15T16:29:55.979Z", "2017-03-15T16:30:59.939Z", 1.9979303315, 2.01573798),
            ("20170321-190407", 336, {},
             "2017-03-21T18:59:21.069Z", "2017-03-21T19:02:10.055Z", 2.1455261562, 2.00832608),
            ("20170322-155740", 311, {},
             "2017-03-22T15:42:38.517Z", "2017-03-22T15:46:49.616Z", 2.00675668, 2.00673205),
            ("20170323-145918", 542, {},
             "2017-03-23T14:57:45.868Z", "2017-03-23T15:01:59.316Z", 2.3304385988, 1.98636181),
        )
    ),
    (
        "gas/chilbolton_controlled_release/20170510_POS1_rel07_processed.txt", "mirico-lds",
        {"zone": "+01:00"}, 944, {},
        [("CH4", "unknown", 944, "2017-05-10T14:03:58.000Z", "2017-05-10T15:23:26.000Z",
          2.0631389, 1.8073755)],
    ),
    (
        "gas/electrochem_alphasense/smartcitizen_example.csv", "smartcitizen-afe", {}, 1009,
        {"row of units below the headings": 3},
        [("A.we", "unknown", 1009, "2020-09-02T15:35:19.000Z", "2020-09-02T23:59:19.000Z", 204.281, 210.141),
         ("A.ae", "unknown", 1009, "2020-09-02T15:35:19.000Z", "2020-09-02T23:59:19.000Z", 212.750, 216.867),
         ("B.we", "unknown", 1009, "2020-09-02T15:35:19.000Z", "2020-09-02T23:59:19.000Z", 218.586, 229.797),
         ("B.ae", "unknown", 1009, "2020-09-02T15:35:19.000Z", "2020-09-02T23:59:19.000Z", 209.000, 216.234),
         ("VOC", "unknown", 999, "2020-09-02T15:40:19.000Z", "2020-09-02T23:59:19.000Z", 0.0, 0.017),
         ("eCO2", "unknown", 999, "2020-09-02T15:40:19.000Z", "2020-09-02T23:59:19.000Z", 400.0, 518.0)],
    ),
    (
        "gas/uci_air_quality/AirQualityUCI.csv", "uci-air-quality", {"zone": "+01:00"}, 9357, {},
        [*((f"MOX{number}", "unknown", 8991, "2004-03-10T17:00:00.000Z", "2005-04-04T13:00:00.000Z", a, b)
           for number, a, b in ((1, 1360, 1071), (2, 1046, 1047), (3, 1056, 654), (4, 1692, 1129),
                                (5, 1268, 816))),
         ("NOx", "unknown", 7718, "2004-03-10T17:00:00.000Z", "2005-04-04T13:00:00.000Z", 0.166, 0.265)],
    ),
    (
        "gas/gasflux_testdata/testdata.csv", "gasflux-merged", {"zone": "UTC"}, 1000, {},
        [("CH4", "unknown", 1000, "2022-09-26T02:03:00.000Z", "2022-09-26T02:19:39.000Z",
          1.9500281451845713, 2.3947926564515765),
         ("CO2", "unknown", 1000, "2022-09-26T02:03:00.000Z", "2022-09-26T02:19:39.000Z",
          380.00001357720237, 380.02130695),
         ("C2H6", "unknown", 1000, "2022-09-26T02:03:00.000Z", "2022-09-26T02:19:39.000Z",
          1.1292820243772104e-05, 0.004516716004716476)],
    ),
    (
        "gas/uav_aeris_nmt/level0.csv", "nmt-uav-aeris", {}, 7303, {},
        [("CH4", "unknown", 1418, "2023-04-19T14:10:06.063Z", "2023-04-19T14:34:23.064Z", 2.17984, 2.47227),
         ("C2H6", "unknown", 1418, "2023-04-19T14:10:06.063Z", "2023-04-19T14:34:23.064Z",
          0.0576695, 0.0582982)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "name", "clock", "records", "dropped", "species"),
    REAL,
    ids=[f"{Path(each[0]).stem}-{each[1]}-{'-'.join(each[2].values())}" for each in REAL],
)
def test_real_files(shared_data, file, name, clock, records, dropped, species):
    series, report = read(shared_data / file, name, **clock)
    assert report.records == records
    assert report.dropped == dropped
    got = [
        (each.species, each.basis, len(each), to_iso(each.time[0]), to_iso(each.time[-1])) for each in series
    ]
    assert got == [each[:5] for each in species]
    for each, (*_, first, last) in zip(series, species, strict=True):
        np.testing.assert_allclose(each.value[[0, -1]], [first, last], rtol=2e-8)
        assert np.isfinite(each.sigma).all()


@pytest.mark.parametrize(("file", "name"), sorted({(each[0], each[1]) for each in REAL}))
def test_a_file_is_claimed_by_its_own_instrument_only(shared_data, file, name):
    claims = set(claimants(shared_data / file))
    assert name in claims
    assert claims <= {name} or all(each.startswith("gaia-licor-slot") for each in claims)


@pytest.mark.parametrize(
    ("file", "name", "clock", "error", "match"),
    [
        (f"{FORMATS}N2OM1.txt", "abb-lgr", {"zone": "UTC"}, ManifestError, 'date_order = "dmy" or "mdy"'),
        (f"{FORMATS}UGGA.txt", "abb-lgr", {}, ManifestError, "set zone"),
        (f"{FORMATS}UGGA.txt", "abb-lgr", {"zone": "UTC", "date_order": "mdy"}, ManifestError,
         "correct date_order"),
        (f"{FORMATS}uCH4.txt", "aeris-mira", {"zone": "UTC"}, ManifestError, 'date_order = "dmy" or "mdy"'),
        ("gas/uav_aeris_nmt/Pico100048_240626_134234.txt", "aeris-mira", {}, ManifestError, "set zone"),
        (f"{FORMATS}DX4015.TXT", "gasmet-ftir", {}, ManifestError, "set zone"),
        (f"{FORMATS}HT8850.txt", "healthyphoton-ht8850", {}, ManifestError, "set zone"),
        (f"{FORMATS}EGM5.TXT", "ppsystems-egm5", {"zone": "UTC"}, ManifestError, "date_order"),
        (f"{FORMATS}skyline.csv", "skyline-picarro", {}, ManifestError, "set zone"),
        ("gas/chilbolton_controlled_release/20170510_POS1_rel07_processed.txt", "mirico-lds", {},
         ManifestError, "set zone"),
        ("gas/uci_air_quality/AirQualityUCI.csv", "uci-air-quality", {}, ManifestError, "set zone"),
        ("gas/gasflux_testdata/testdata.csv", "gasflux-merged", {}, ManifestError, "set zone"),
        # No headings: which of 121 columns is what, the file does not say.
        (f"{FORMATS}eosMX12.log", "generic-csv", {}, ReadError, "no heading line"),
        # No headings and no clock: a table of features, not a time series.
        ("gas/uci_gas_drift/batch1.dat", "generic-csv", {}, ReadError, "no gas column"),
        # A time of day without a date, and no column of the names that are asked for.
        (f"{FORMATS}LI6400.txt", "generic-csv", {}, ReadError, "no gas column"),
    ],
)  # fmt: skip
def test_real_files_that_are_refused_name_what_to_set(shared_data, file, name, clock, error, match):
    with pytest.raises(error, match=match):
        read(shared_data / file, name, **clock)


def test_a_time_of_day_alone_is_refused(shared_data):
    """LI-6400: the date stands once, in words, at the top; the rows have HH:MM:SS."""
    spec = GasInstrument(
        TimeColumn(("HHMMSS",), "%H:%M:%S", "UTC"), {"Cdry": Column("ppm", species="CO2")}, delimiter="\t"
    )
    with pytest.raises(ManifestError, match="no year"):
        csv_gas.read(
            shared_data / f"{FORMATS}LI6400.txt",
            label="x",
            instrument=Instrument("li6400", "gas", spec, Mount(), "li6400.toml"),
        )


def test_hours_that_do_not_exist_in_a_zone_are_counted(shared_data):
    """A station that keeps winter time all year, read on the clock of its town: three hours in two years."""
    path = shared_data / "gas/uci_air_quality/AirQualityUCI.csv"
    _, report = read(path, "uci-air-quality", zone="Europe/Rome")
    assert report.dropped == {"garbled time stamp": 3}
    assert any("garbled time stamp" in each for each in report.warnings)


def test_flags_of_real_files(shared_data):
    def flagged(file: str, name: str, **clock: str) -> list[dict[str, int]]:
        _, report = read(shared_data / file, name, **clock)
        return [each["flagged"] for each in report.details["series"]]

    survey = "gas/picarro_mobile_survey/CFADS2274-20170323-145918Z-DataLog_User.dat"
    assert flagged(survey, "picarro-cfads-survey") == [{"STATUS": 216}]
    assert flagged(f"{FORMATS}G4301.dat", "picarro-g4301") == [{}, {"RANGE": 3}]  # CO2 below 0 in three rows
    assert flagged(f"{FORMATS}DX4015.TXT", "gasmet-ftir", zone="UTC") == [{"STATUS": 27}] * 5
    # 105 M5 and 15 M5 rows, 3 R5; 15 of error 21; two of the R5 repeat the stamp of the row before
    assert flagged(f"{FORMATS}EGM5.TXT", "ppsystems-egm5", zone="UTC", date_order="dmy") == [{"STATUS": 16}]


def test_li_cor_seconds_are_unix(shared_data):
    (co2, _), report = read(shared_data / f"{FORMATS}LI7810.data", "licor-li7810")
    assert co2.time[0] == 1670229510_836930990
    np.testing.assert_allclose(co2.ambient.water_ppm[[0, -1]], [6233.8008, 6281.4888])
    assert co2.ambient.pressure_hpa is None  # that of the cavity is not that of the air
    assert report.details["preamble"] == {
        "model": "LI-7810", "serial": "TG10-01449", "software": "2.3.3", "timezone": "Europe/Copenhagen",
    }  # fmt: skip


def test_signature_block_is_said_and_not_read(shared_data):
    _, report = read(shared_data / f"{FORMATS}UGGA.txt", "abb-lgr", zone="UTC")
    assert any("932 line(s)" in each for each in report.assumptions)  # 1790 to 2721
    assert any('"[CH4]d_ppm" used, "[CH4]_ppm" not' in each for each in report.assumptions)
    assert any('"dmy"' in each for each in report.assumptions)


def test_dry_columns_of_the_g4301_are_wet_over_one_minus_water(shared_data):
    """checks.json g4301_dry: CH4 0.0109, CO2 0.010345 per percent, exact to 1e-10."""
    path = shared_data / f"{FORMATS}G4301.dat"
    dry = {each.species: each for each in read(path, "picarro-g4301")[0]}
    spec = shipped("picarro-g4301").spec
    columns = {name: Column("ppm", species=name) for name in ("CH4", "CO2")}
    columns["H2O"] = Column("percent", field="water")
    wet_spec = GasInstrument(spec.time, columns, delimiter=" ")
    wet, _ = csv_gas.read(path, label="x", instrument=Instrument("w", "gas", wet_spec, Mount(), "w.toml"))
    for each, factor in zip(wet, (0.0109, 0.010345), strict=True):
        _, mine, its = np.intersect1d(each.time, dry[each.species].time, return_indices=True)
        percent = each.ambient.water_ppm[mine] / 1e4
        np.testing.assert_allclose(
            dry[each.species].value[its], each.value[mine] / (1 - factor * percent), rtol=1e-9
        )
        assert mine.size == 504


def test_chilbolton_beams_carry_their_uncertainty_and_path(shared_data):
    folder = shared_data / "gas" / "chilbolton_controlled_release"
    for beam in range(1, 8):
        path = folder / f"20170510_POS{beam}_rel07_processed.txt"
        (ch4,), report = read(path, "mirico-lds", zone="UTC")
        rows = [line.split() for line in path.read_text().splitlines()[14:]]
        assert len(ch4) == len(rows)
        np.testing.assert_array_equal(ch4.value, [float(row[8]) for row in rows])
        np.testing.assert_array_equal(ch4.sigma, [float(row[9]) for row in rows])
        np.testing.assert_allclose(ch4.ambient.pressure_hpa, [float(row[2]) / 100 for row in rows])
        assert float(report.details["preamble"]["beam"]) == beam
    assert float(report.details["preamble"]["path_length_m"]) > 0


def test_eco2_is_never_called_co2(shared_data):
    """506 of 999 readings at exactly 400 ppm, r = 0.9994 with the VOC channel (awk and numpy on the file)."""
    path = shared_data / "gas" / "electrochem_alphasense" / "smartcitizen_example.csv"
    co2 = {"CCS811_ECO2": Column("ppm", species="CO2")}
    voc = {"CCS811_VOCS": Column("ppb", species="VOC")}
    for columns in (co2, co2 | voc):
        spec = GasInstrument(TimeColumn(("TIME",)), columns, missing=("null", "ISO 8601"))
        series, report = csv_gas.read(
            path, label="s.csv", instrument=Instrument("s", "gas", spec, Mount(), "s.toml")
        )
        assert series[0].species == "eCO2"
        assert ((series[0].flags & Flag.DERIVED) != 0).all()
        assert not series[0].valid.any()
        assert any("506 of 999" in each for each in report.warnings)


# --- the same layouts, made here


@pytest.fixture
def made(tmp_path) -> Callable[..., Path]:
    def _made(text: str, name: str = "made.txt", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return _made


LICOR = (
    "Model:\tLI-7810\nSN:\tTG10-1\nSoftware Version:\t2.3.3\nTimestamp:\t2026-06-14 08:00:00\n"
    "Timezone:\tEurope/Copenhagen\n"
    "DATAH\tSECONDS\tNANOSECONDS\tNDX\tDIAG\tREMARK\tDATE\tTIME\tH2O\tCO2\tCH4\tCAVITY_P\tRESIDUAL\n"
    "DATAU\tsecs\tnsecs\tindex\tdiag\t\tdate\ttime\tppm\tppm\tppb\tkPa\t\n"
    'DATA\t1781413200\t500000000\t1\t0\t""\t2026-06-14\t07:00:00\t6000\t420.5\t2000\t39.7\t0.001\n'
    'DATA\t1781413201\t500000000\t2\t64\t""\t2026-06-14\t07:00:01\t6000\t421\t2500\t39.7\t0.001\n'
)


def test_made_li_cor(made):
    path = made(LICOR, "x.data")
    (co2, ch4), report = read(path, "licor-li7810")
    assert to_iso(co2.time[0]) == "2026-06-14T05:00:00.500Z"
    np.testing.assert_array_equal(co2.value, [420.5, 421])
    np.testing.assert_array_equal(ch4.value, [2, 2.5])
    np.testing.assert_array_equal(ch4.flags, [0, Flag.STATUS])
    assert report.details["preamble"]["timezone"] == "Europe/Copenhagen"
    assert claimants(path) == ["licor-li7810"]


def test_made_li_cor_of_other_gases_is_told_by_its_headings(made):
    one = made(LICOR.replace("\tCO2\tCH4\t", "\tN2O\tXX\t").replace("\tppm\tppb\t", "\tppb\t\t"), "n.data")
    assert claimants(one) == ["licor-li7820"]
    two = made(LICOR.replace("\tCH4\t", "\tXX\t"), "c.data")
    assert claimants(two) == ["licor-li7815"]
    (co2,), report = read(two, "licor-li7815")
    np.testing.assert_array_equal(co2.value, [420.5, 421])
    assert any("not verified" in each for each in report.assumptions)


def test_a_line_of_units_that_contradicts_the_instrument_is_refused(made):
    with pytest.raises(UnitsError, match=r'says "ppm" below "CH4", the instrument "ppb"'):
        read(made(LICOR.replace("ppm\tppm\tppb", "ppm\tppm\tppm")), "licor-li7810")


def test_the_zone_line_of_the_file_is_used_for_local_stamps(made):
    spec = GasInstrument(
        TimeColumn(("DATE", "TIME"), zone_line="Timezone:"), {"CH4": Column("ppb", species="CH4")}
    )
    (ch4,), report = csv_gas.read(
        made(LICOR), label="x", instrument=Instrument("x", "gas", spec, Mount(), "x.toml")
    )
    assert to_iso(ch4.time[0]) == "2026-06-14T05:00:00.000Z"  # 07:00 in summer in Copenhagen
    assert any("Europe/Copenhagen" in each for each in report.assumptions)


def _picarro(names: list[str], rows: list[list[str]]) -> str:
    return "".join("".join(f"{cell:<26}" for cell in row) + "\n" for row in [names, *rows])


def test_made_picarro_holds_readings(made):
    """CO2 is held on rows 2 and 4; its dry column moves with the water all the same."""
    names = [
        "DATE", "TIME", "EPOCH_TIME", "ALARM_STATUS", "INST_STATUS", "CH4", "CH4_dry", "CO2", "CO2_dry",
        "H2O",
        "Battery_Voltage",
        "GPS_ABS_LAT", "GPS_ABS_LONG",
    ]  # fmt: skip
    zero = "0.0000000000E+00"
    rows = [
        ["2026-06-14", f"05:00:0{k}.000", f"{1781413200 + k}.000", alarm, "899", ch4, ch4, co2, dry,
         "1.5E+00", "19", zero, zero]
        for k, (alarm, ch4, co2, dry) in enumerate([
            ("0", "2.0E+00", "-4.2293E+00", "-4.3E+00"),
            ("0", "2.1E+00", "-4.2293E+00", "-4.4E+00"),
            ("65536", "2.1E+00", "4.1E+02", "4.2E+02"),
            ("0", "2.2E+00", "4.1E+02", "4.3E+02"),
            ("0", zero, "4.11E+02", "4.4E+02"),
        ])
    ]  # fmt: skip
    path = made(_picarro(names, rows), "x.dat")
    (ch4, co2), report = read(path, "picarro-g4301")
    np.testing.assert_array_equal(ch4.row, [2, 3, 5])  # row 4 repeats, row 6 was not measured
    np.testing.assert_array_equal(ch4.value, [2.0, 2.1, 2.2])
    np.testing.assert_array_equal(co2.row, [2, 4, 6])
    np.testing.assert_array_equal(co2.value, [-4.3, 420, 440])
    np.testing.assert_array_equal(co2.flags, [Flag.RANGE, Flag.STATUS, 0])
    assert report.dropped["CO2: reading held by the logger until the next one"] == 2
    assert claimants(path) == ["picarro-g4301"]


def test_a_species_that_is_held_for_long_is_stuck_not_lost(made):
    names = ["EPOCH_TIME", "CavityPressure", "ALARM_STATUS", "INST_STATUS", "CH4", "CO2"]
    rows = [
        [f"{1781413200 + k}", "140", "0", "963", "2.5" if k < 30 else f"2.{k}", f"4{k}"] for k in range(40)
    ]
    (ch4, co2), _ = read(made(_picarro(names, rows), "x.dat"), "picarro-g2301")
    np.testing.assert_array_equal(ch4.flags, [Flag.STUCK] * 30 + [0] * 10)
    assert (ch4.basis, len(co2)) == ("wet", 40)


def test_picarro_dry_columns_go_before_wet_ones(made):
    names = ["EPOCH_TIME", "CavityPressure", "ALARM_STATUS", "INST_STATUS", "CH4", "CH4_dry"]
    (ch4,), report = read(
        made(_picarro(names, [["1781413200", "140", "0", "963", "2.0", "2.1"]])), "picarro-g2301"
    )
    assert (ch4.basis, ch4.value[0]) == ("dry", 2.1)
    assert any('"CH4_dry" used, "CH4" not' in each for each in report.assumptions)


LGR = (
    "SN:3K1 BD:Jun 13 2018 VC:1b MD5:0\n"
    "                     Time,      [CH4]_ppm,   [CH4]_ppm_sd,     [CO]_ppm,   [H2O]_ppm,  [CH4]d_ppm,"
    "  GasP_torr,  Fit_Flag,  MIU_DESC\n"
    "  {0} 05:00:00.250,  1.9e+0, 0.0e+0, 1.0e-1, 1.0e+4, 2.0e+0, 8.4e+1, 3, Disabled\n"
    "  {0} 05:00:01.250,  1.9e+0, 0.0e+0, 1.1e-1, 1.0e+4, 2.1e+0, 8.4e+1, 1, Disabled\n"
)
BLOCK = "-----BEGIN PGP MESSAGE-----\nVersion: 1,2,3\n\njA0E,AwMC\n-----END PGP MESSAGE-----\n"


@pytest.mark.parametrize("block", ["", BLOCK])
def test_made_lgr(made, block):
    path = made(LGR.format("14/06/2026") + block)
    (ch4, co), report = read(path, "abb-lgr", zone="UTC")
    assert (ch4.species, ch4.basis, co.species, co.basis) == ("CH4", "dry", "CO", "wet")
    assert to_iso(ch4.time[0]) == "2026-06-14T05:00:00.250Z"
    np.testing.assert_array_equal(ch4.value, [2.0, 2.1])
    np.testing.assert_array_equal(ch4.flags, [0, Flag.STATUS])
    np.testing.assert_array_equal(ch4.ambient.water_ppm, 1e4)
    assert not report.dropped
    assert bool(block) == any("5 line(s)" in each for each in report.assumptions)
    assert claimants(path) == ["abb-lgr"]


def test_day_and_month_are_proven_or_asked_for(made):
    with pytest.raises(ManifestError, match=r'"02/04/2026 05:00:00\.250" may be read as dmy or mdy'):
        read(made(LGR.format("02/04/2026")), "abb-lgr", zone="UTC")
    (ch4, _), _ = read(made(LGR.format("06/14/2026")), "abb-lgr", zone="UTC")
    assert to_iso(ch4.time[0]) == "2026-06-14T05:00:00.250Z"
    for order, day in (("dmy", "2026-04-02"), ("mdy", "2026-02-04")):
        (ch4, _), _ = read(made(LGR.format("02/04/2026")), "abb-lgr", zone="UTC", date_order=order)
        assert to_iso(ch4.time[0]).startswith(day)


def test_no_order_of_day_and_month_fits(made):
    text = LGR.format("14/06/2026") + LGR.format("06/14/2026").split("\n", 2)[2]
    with pytest.raises(ReadError, match="no order of day and month"):
        read(made(text), "abb-lgr", zone="UTC")


@given(
    st.lists(st.integers(946_684_800_000_000, 4_102_444_799_999_999), min_size=1, max_size=8),
    st.sampled_from(["dmy", "mdy", "ymd"]),
    st.sampled_from("/.-"),
)
def test_dates_in_figures_come_back(micros, order, mark):
    moments = [datetime.fromtimestamp(0, UTC) + timedelta(microseconds=each) for each in micros]
    pattern = mark.join({"d": "%d", "m": "%m", "y": "%Y"}[each] for each in order)
    texts = [f"{each.strftime(pattern)} {each.strftime('%H:%M:%S.%f')}" for each in moments]
    clock = of_file(TimeColumn(("t",), "numeric", "UTC", order), texts, (), "f")
    np.testing.assert_array_equal(clock.parse(texts, rows=None, where="f"), np.array(micros) * 1000)


@given(st.text(max_size=30))
def test_no_text_breaks_the_clock(text):
    for form in ("numeric", "elapsed"):
        column = TimeColumn(("t",), form, "UTC", start="2026-06-14T05:00:00Z" if form == "elapsed" else None)
        try:
            of_file(column, [text], (), "f").parse([text], rows=None, where="f")
        except DronesenseError:
            continue


def test_made_aeris_gases_are_found_by_name(made):
    """Another gas set and order of columns; units stand in the headings."""
    path = made(
        "Time Stamp,Inlet Number,T (degC),N2O (ppb),H2O (ppm),CO (ppb),Battery Charge (V),"
        "Latitude,Longitude\n"
        "06/14/2026 05:00:00.500,0,35,330,12000,110,-1,No Data,No Data\n"
        "06/14/2026 05:00:01.500,0,35,331,12000,No Data,-1,No Data,No Data\n"
    )
    (n2o, co), _ = read(path, "aeris-mira", zone="UTC")
    assert (n2o.species, co.species) == ("N2O", "CO")
    np.testing.assert_allclose(n2o.value, [0.330, 0.331])
    np.testing.assert_array_equal(co.row, [2])
    assert n2o.ambient.temperature_k is None  # that of the box
    assert claimants(path) == ["aeris-mira"]


def test_an_unknown_unit_in_a_heading_is_refused(made):
    path = made("timestamp,CH4 (ppx)\n2026-06-14T05:00:00Z,2\n")
    with pytest.raises(UnitsError, match=r'unknown unit "ppx".*did you mean'):
        read(path, "generic-csv")


GASMET = (
    "Line\tDate\tTime\tSpectrumFile\tLibraryFile\tWater vapor H2O\tUnit\t Compensation\t Residual\t"
    "Methane CH4\tUnit\t Compensation\t Residual\t"
    "Ambient pressure\tUnit\t Compensation\t Residual\t Status\r\n"
    "0\t2026-06-14\t05:00:00\ta.SPE\tb.LIB\t 1.0\tvol-%\twet\t0.0004\t"
    " 2000\tppb\twet\t0.0051\t989.00\tmbar\tN/A\t0\tOK\r\n"
    "0\t2026-06-14\t05:00:20\ta.SPE\tb.LIB\t 1.1\tvol-%\twet\t0.0004\t"
    " 2.100\t{unit}\t{basis}\t0.02\t989.00\tmbar\tN/A\t0\tWarning\r\n"
)


def test_made_gasmet_takes_unit_and_basis_from_the_file(made):
    path = made(GASMET.format(unit="ppb", basis="wet"), "x.TXT", "latin-1")
    (ch4,), _ = read(path, "gasmet-ftir", zone="UTC")
    np.testing.assert_allclose(ch4.value, [2.0, 0.0021])
    assert ch4.basis == "wet"
    np.testing.assert_array_equal(ch4.flags, [0, Flag.STATUS])
    np.testing.assert_allclose(ch4.ambient.pressure_hpa, 989.0)
    np.testing.assert_allclose(ch4.ambient.water_ppm, [1e4, 1.1e4])
    assert claimants(path) == ["gasmet-ftir"]


@pytest.mark.parametrize(
    ("unit", "basis", "match"), [("ppm", "wet", "ppb and ppm"), ("ppb", "dry", "dry and wet")]
)
def test_two_units_in_one_column_are_refused(made, unit, basis, match):
    with pytest.raises(ReadError, match=match):
        read(made(GASMET.format(unit=unit, basis=basis)), "gasmet-ftir", zone="UTC")


def test_the_residual_of_a_fit_can_be_a_gate(made):
    spec = GasInstrument(
        TimeColumn(("Date", "Time"), zone="UTC"),
        {
            "Methane CH4": Column("ppb", species="CH4"),
            "Methane CH4: Residual": Column(field="status", of="CH4", within=(0.0, 0.01)),
        },
    )
    (ch4,), _ = csv_gas.read(
        made(GASMET.format(unit="ppb", basis="wet")),
        label="x",
        instrument=Instrument("g", "gas", spec, Mount(), "g.toml"),
    )
    np.testing.assert_array_equal(ch4.flags, [0, Flag.STATUS])


SNIFFER = (
    "\ufeff#Created by: Sniffer4DMapper 2.2.06.29\nproject\n"
    "采样点时间,相对高度 m,经度,纬度,温度 ℃,湿度 %,{pressure},"
    "VOCs ppm,SO2 μg/m3,CO mg/m3,O3+NO2 μg/m3,PM2.5 μg/m3\n"
    "2026-06-14 05:00:00,30,76.9,43.2,25.00,40,101325,0.1,261.857,1.14489,80,12\n"
    "2026-06-14 05:00:01,30,76.9,43.2,25.00,40,101325,0.2,523.714,1.14489,80,12\n"
)


def test_made_sniffer4d_converts_at_the_state_of_the_sample(made):
    """mg/m3 per ppm at 25 degC and 1 atm, checks.json: SO2 2.6186, CO 1.1449."""
    path = made(SNIFFER.format(pressure="气压 Pa"))
    series, report = read(path, "sniffer4d-mapper", zone="+05:00")
    by_name = {each.species: each for each in series}
    assert sorted(by_name) == ["CO", "SO2", "VOC"]  # the sum of two gases is not read
    np.testing.assert_allclose(by_name["SO2"].value, [0.1, 0.2], rtol=2e-4)
    np.testing.assert_allclose(by_name["CO"].value, 1.0, rtol=2e-4)
    np.testing.assert_allclose(by_name["VOC"].value, [0.1, 0.2])
    assert to_iso(series[0].time[0]) == "2026-06-14T00:00:00.000Z"
    assert any("temperature and pressure of the sample" in each for each in report.assumptions)
    assert report.details["preamble"] == {"software": "Sniffer4DMapper 2.2.06.29"}
    assert claimants(path) == ["sniffer4d-mapper"]


def test_a_mass_concentration_without_pressure_is_refused(made):
    with pytest.raises(UnitsError, match=r"without.*pressure_hpa"):
        read(made(SNIFFER.format(pressure="PM10 μg/m3")), "sniffer4d-mapper", zone="UTC")


def test_the_same_gas_in_ppm_needs_no_pressure(made):
    text = (
        SNIFFER.format(pressure="PM10 μg/m3").replace("SO2 μg/m3", "SO2(ppm)").replace("CO mg/m3", "CO(ppb)")
    )
    series, _ = read(made(text), "sniffer4d-mapper", zone="UTC")
    by_name = {each.species: each for each in series}
    np.testing.assert_allclose(by_name["SO2"].value, [261.857, 523.714])
    np.testing.assert_allclose(by_name["CO"].value, 1.14489e-3)


def test_made_sniffer4d_stream(made):
    path = made(
        "utcTime,latitude,longitude,altitude,sateNum,temperature,pressure,CO(ppm),Ox(ppm)\n"
        "06/03/2026-05:00:00,43.2,76.9,800,17,21.5,91000,0.5,0.03\n"
    )
    (co, ox), _ = read(path, "sniffer4d-stream")
    assert to_iso(co.time[0]) == "2026-06-03T05:00:00.000Z"
    assert (co.value[0], ox.species, ox.value[0]) == (0.5, "Ox", 0.03)
    assert co.ambient.pressure_hpa[0] == 910.0


def test_made_tdlas_is_a_column_and_saturates(made):
    path = made(
        "unix_s,CH4 (ppm*m),light (mV),latitude,longitude\n"
        "1781413200.25,95,800,43,77\n1781413201.25,65535,800,43,77\n1781413202.25,99,3,43,77\n"
        "1781413203.25,4294967295,800,43,77\n"
    )
    (ch4,), _ = read(path, "tdlas-column")
    assert (ch4.quantity, ch4.unit) == ("column", "ppm m")
    expected = [0, Flag.SATURATED, Flag.STATUS, Flag.SATURATED | Flag.RANGE]
    np.testing.assert_array_equal(ch4.flags, expected)


LDS = (
    "Processed LDS file generated on\nFri Jul 07 22:52:23 2017\nTime stamp for record start\n"
    "05/10/2017  15:03:58.5000\nOpen Path length (m)\n       34.890000\n*** Temporal data record ***\n"
    "Elapsedtime_sec Temp_K Press_Pa Humidity_ppmv CH4vmr_ppmv CH4vmrerror_ppmv\n"
    "      0.00000000  290.5  99620.4  8010.5  2.06  0.0095\n"
    "      5.0000131  290.5  99620.4  8010.5  2.13  0.0085\n"
)


def test_made_lds_counts_from_its_start(made):
    (ch4,), report = read(made(LDS), "mirico-lds", zone="UTC")
    start = int(np.datetime64("2017-05-10T15:03:58.5", "ns").astype(np.int64))
    np.testing.assert_array_equal(ch4.time, [start, start + 5_000_013_100])
    np.testing.assert_array_equal(ch4.sigma, [0.0095, 0.0085])
    np.testing.assert_allclose(ch4.ambient.pressure_hpa, 996.204)
    assert report.details["preamble"]["path_length_m"] == "34.890000"
    with pytest.raises(ReadError, match="no line"):
        read(made(LDS.replace("Time stamp for", "Stamp for")), "mirico-lds", zone="UTC")


def test_seconds_without_a_start_are_refused(made):
    spec = GasInstrument(TimeColumn(("# t (s)",), "elapsed"), {"C (ppm)": Column("ppm", species="X")})
    path = made("# t (s),C (ppm)\n0.0,1\n0.5,2\n")
    with pytest.raises(ManifestError, match="set start ="):
        csv_gas.read(path, label="x", instrument=Instrument("x", "gas", spec, Mount(), "x.toml"))


def test_made_electrodes_come_out_in_millivolts(made):
    path = made(
        "TIME,TEMP,HUM,PRESS,CCS811_VOCS,CCS811_ECO2,ADC_48_0,ADC_48_1,ADC_48_2,ADC_48_3\n"
        "ISO 8601,C,%,kPa,ppb,ppm,V,V,V,V\nTime,Temperature,Humidity,Pressure,VOC,eCO2,a,b,c,d\n"
        ",55,56,58,113,112,0,0,0,0\n"
        "2026-06-14T05:00:00Z,20,50,101.3,null,null,0.310,0.300,0.2,0.1\n"
        "2026-06-14T05:00:30Z,20,50,101.3,12,480,0.311,0.300,0.2,0.1\n"
    )
    series, _ = read(path, "smartcitizen-afe")
    by_name = {each.species: each for each in series}
    np.testing.assert_allclose(by_name["A.we"].value, [310.0, 311.0])
    np.testing.assert_allclose(by_name["A.ae"].value, [300.0, 300.0])
    assert by_name["A.we"].quantity == "relative"
    assert by_name["eCO2"].flags.tolist() == [Flag.DERIVED]
    np.testing.assert_allclose(by_name["A.we"].ambient.temperature_k, 293.15)
    assert claimants(path) == ["smartcitizen-afe"]


def _chip(made, co2: np.ndarray, voc: np.ndarray):
    stamps = np.datetime64("2026-06-14T05:00:00") + np.arange(co2.size)
    rows = "".join(f"{a}Z,{b!r},{c!r}\n" for a, b, c in zip(stamps, co2.tolist(), voc.tolist(), strict=True))
    return read(made("timestamp,CO2 (ppm),VOC (ppb)\n" + rows), "generic-csv")


def test_a_floor_of_400_is_told(made):
    rng = np.random.default_rng(3)
    co2 = np.maximum(400.0, np.round(395 + 20 * rng.random(200)))
    (co2_series, _), report = _chip(made, co2, rng.random(200))
    assert co2_series.species == "eCO2"
    assert (co2_series.flags == Flag.DERIVED).all()
    assert any("sits on exactly 400 ppm" in each for each in report.warnings)
    co2[0] = 399.0  # a sensor that goes below has no floor
    assert _chip(made, co2, rng.random(200))[0][0].species == "CO2"


def test_a_channel_collinear_with_voc_is_told(made):
    rng = np.random.default_rng(4)
    voc = 100.0 + 50.0 * rng.random(100)
    (chip, _), report = _chip(made, 420.0 + 6.0 * voc + rng.normal(0, 5, 100), voc)
    assert chip.species == "eCO2"
    assert any("follows VOC" in each for each in report.warnings)
    (real, _), report = _chip(made, 420.0 + 6.0 * voc + rng.normal(0, 40, 100), voc)
    assert real.species == "CO2"
    assert not real.flags.any()
    assert not report.warnings


def test_made_mox_array(made):
    path = made(
        "Date,Time,CO_GT,PT08_S1_CO,PT08_S2_NMHC,PT08_S3_NOx,PT08_S4_NO2,PT08_S5_O3,NOx_GT,T,RH\n"
        "10/03/2026,18:00:00,2.6,1360,1046,1056,1692,1268,166,13.6,48.9\n"
        "31/03/2026,9:00:00,2,-200,955,1174,1559,972,-200,-200,47.7\n"
    )
    series, _ = read(path, "uci-air-quality", zone="UTC")
    assert [(each.species, each.quantity, len(each)) for each in series] == [
        ("MOX1", "relative", 1), *((f"MOX{k}", "relative", 2) for k in range(2, 6)),
        ("NOx", "mole_fraction", 1),
    ]  # fmt: skip
    assert np.isnan(series[1].ambient.temperature_k[1])
    assert to_iso(series[1].time[1]) == "2026-03-31T09:00:00.000Z"


def test_made_egm_rows_have_more_cells_than_headings(made):
    path = made(
        "Tag(M3),Date,Time,CO2,Error,Tair\n\nR5,11/10/26,09:23:59, 415, 0, 22.3, 13, 95\nZero\nStart\n"
        "M5,11/10/26,09:37:14, 421, 0, 27.2, 20, 0\nM5,11/10/26,09:37:15, 422, 21, 27.2, 20, 0\n"
    )
    (co2,), _ = read(path, "ppsystems-egm5", zone="UTC", date_order="mdy")
    np.testing.assert_array_equal(co2.value, [415, 421, 422])
    np.testing.assert_array_equal(co2.flags, [Flag.STATUS, 0, Flag.STATUS])
    assert to_iso(co2.time[0]) == "2026-11-10T09:23:59.000Z"


def test_made_status_words_ground_and_warm_up(made):
    spec = GasInstrument(
        TimeColumn(("t",), "unix"),
        {
            "CH4": Column("ppm", species="CH4", sigma=0.01, saturation=9.0),
            "CO2": Column("ppm", species="CO2", sigma=0.1),
            "bits": Column(field="status", bad_bits=0b0110),
            "mode": Column(field="status", ok=("RUN", "OK"), of="CO2"),
            "sts": Column(field="status", ok=(1.0, 2.0), flag="ON_GROUND"),
        },
        warm_up_s=2.0,
    )
    rows = [
        ("0", "2", "RUN", "0"),
        ("8", "2", "wait", "1"),
        ("9", "2", "OK", "1"),
        ("2", "9", "OK", "2"),
        ("", "2", "OK", "2"),
    ]
    text = "".join(f"{1781413200 + k},{ch4},400,{b},{m},{s}\n" for k, (b, ch4, m, s) in enumerate(rows))
    (ch4, co2), _ = csv_gas.read(
        made("t,CH4,CO2,bits,mode,sts\n" + text),
        label="x",
        instrument=Instrument("x", "gas", spec, Mount(), "x.toml"),
    )
    ground, warm, status, full = Flag.ON_GROUND, Flag.WARM_UP, Flag.STATUS, Flag.SATURATED
    np.testing.assert_array_equal(ch4.flags, [warm | ground, warm, 0, status | full, status])
    np.testing.assert_array_equal(co2.flags, [warm | ground, warm | status, 0, status, status])


def test_headings_once_more_are_left_out(made):
    """A logger that was started twice on one file."""
    path = made("timestamp,CH4_ppm\n2026-06-14T05:00:00Z,2\ntimestamp,CH4_ppm\n2026-06-14T05:00:01Z,3\n")
    (ch4,), report = read(path, "generic-csv")
    np.testing.assert_array_equal(ch4.value, [2, 3])
    assert report.dropped == {"headings once more": 1}


def test_decimals_with_a_comma_can_be_stated(made):
    text = """schema = 1
id = "x"
kind = "gas"
delimiter = ";"
[layout]
decimal = ","
[time]
column = "t"
[columns]
a = { species = "CH4", unit = "ppm" }
"""
    of = instrument.read(made(text, "x.toml"))
    path = made("t;a\n2026-06-14T05:00:00Z;1,234\n2026-06-14T05:00:01Z;2\n")
    (ch4,), _ = csv_gas.read(path, label="x", instrument=of)
    np.testing.assert_array_equal(ch4.value, [1.234, 2.0])


# --- wind


def test_made_wind_in_si(made):
    path = made(
        "timestamp,CH4_ppm,wind_speed_m_s,wind_from_deg\n2026-06-14T05:00:01Z,2,5,270\n2026-06-14T05:00:00Z,2,,90\n"
    )
    columns, report = csv_wind.read(path, label="w.csv", instrument=shipped("generic-csv"))
    assert np.all(np.diff(columns["time"]) > 0)
    np.testing.assert_array_equal(columns["wind_speed"], [np.nan, 5])
    np.testing.assert_array_equal(columns["wind_from"], [90, 270])
    assert report.details["fields"] == ["wind_from", "wind_speed"]
    with pytest.raises(ManifestError, match="names no wind"):
        csv_wind.read(
            made("timestamp,CH4_ppm\n2026-06-14T05:00:01Z,2\n"), label="w", instrument=shipped("generic-csv")
        )


def test_wind_units_are_converted_and_checked(made):
    def of(unit: str) -> Instrument:
        columns = {"e": Column(unit, field="wind_east"), "n": Column("kn", field="wind_north")}
        return Instrument("w", "gas", GasInstrument(TimeColumn(("t",)), columns), Mount(), "w.toml")

    path = made("t,e,n\n2026-06-14T05:00:01Z,36,10\n")
    columns, _ = csv_wind.read(path, label="w", instrument=of("km/h"))
    np.testing.assert_allclose([columns["wind_east"][0], columns["wind_north"][0]], [10.0, 5.144444444444445])
    with pytest.raises(UnitsError, match=r"w\.toml"):
        csv_wind.read(path, label="w", instrument=of("deg"))


def test_wind_columns_of_the_real_flight_give_the_reference_wind(shared_data):
    """U = Um cos(yaw) + Vm sin(yaw) + Vx, V likewise: every row of the reference program's output."""
    folder = shared_data / "gas" / "uav_aeris_nmt"
    columns, _ = csv_wind.read(folder / "level0.csv", label="l", instrument=shipped("nmt-uav-aeris"))
    with (folder / "expected_wind_from_nmt_reference.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert columns["time"].size == len(rows) == 7303
    yaw = np.radians(columns["yaw"])
    right, ahead = columns["wind_right"], columns["wind_forward"]
    east = right * np.cos(yaw) + ahead * np.sin(yaw) + columns["velocity_east"]
    north = -right * np.sin(yaw) + ahead * np.cos(yaw) + columns["velocity_north"]
    np.testing.assert_allclose(east, [float(row["U"]) for row in rows], atol=1e-6)
    np.testing.assert_allclose(north, [float(row["V"]) for row in rows], atol=1e-6)


def test_real_survey_is_a_track_with_wind(shared_data):
    from dronesense.model import TrackOptions

    path = shared_data / "gas/picarro_mobile_survey/CFADS2274-20170321-190407Z-DataLog_User.dat"
    of = shipped("picarro-cfads-survey")
    trajectory, _ = csv_track.read(path, label="t", options=TrackOptions(instrument=of))
    assert trajectory.lat[0] == pytest.approx(33.5, abs=0.1)
    assert trajectory.lon[0] == pytest.approx(-86.8, abs=0.1)
    columns, _ = csv_wind.read(path, label="t", instrument=of)
    assert columns["wind_north"][0] == 4.2325179528
    assert columns["wind_east"][0] == -1.7101172579


# --- speed


@pytest.mark.slow
def test_an_hour_at_10_hz_is_read_in_a_second(tmp_path):
    count = 36_000
    values = np.random.default_rng(0).normal(2.0, 0.01, (count, 9))
    stamps = np.datetime64("2026-06-14T05:00:00.000") + np.arange(count) * np.timedelta64(100, "ms")
    names = [
        "CH4_ppm",
        "CO2_ppm",
        "CO_ppb",
        "NH3_ppb",
        "pressure_hpa",
        "temperature_c",
        "humidity_percent",
        "x",
        "y",
    ]
    path = tmp_path / "hour.csv"
    with path.open("w") as stream:
        stream.write(",".join(["timestamp", *names]) + "\n")
        for stamp, row in zip(stamps, values, strict=True):
            stream.write(f"{stamp}Z," + ",".join(f"{each:.5f}" for each in row) + "\n")
    taken = []
    for _ in range(3):
        begin = time.process_time()
        series, _ = read(path, "generic-csv")
        taken.append(time.process_time() - begin)
    assert [len(each) for each in series] == [count] * 4
    assert min(taken) < 1.0


# --- damage


MADE = {
    "licor-li7810": LICOR,
    "abb-lgr": LGR.format("14/06/2026") + BLOCK,
    "gasmet-ftir": GASMET.format(unit="ppb", basis="wet"),
    "sniffer4d-mapper": SNIFFER.format(pressure="气压 Pa"),
    "mirico-lds": LDS,
}


@given(
    st.sampled_from(sorted(MADE)),
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 8), st.text('0129-:/,;\t\n" .eE+nNaA[]ÿ', max_size=4)),
        min_size=1,
        max_size=6,
    ),
)
def test_damaged_files_are_read_or_refused_and_never_break(tmp_path_factory, name, edits):
    text = MADE[name]
    for at, cut, put in edits:
        at %= len(text)
        text = text[:at] + put + text[at + cut :]
    path = tmp_path_factory.mktemp("damaged") / "x.txt"
    path.write_bytes(text.encode())
    try:
        series, _ = read(path, name, zone="UTC")
    except DronesenseError:
        return
    for each in series:
        assert np.isfinite(each.value).all() or each.quantity != "mole_fraction"
        assert np.all(np.diff(each.time) > 0)
