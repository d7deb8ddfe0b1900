"""The corrections of a gas in their order: planted air through simulated sensors, and back by a whole run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dronesense as ds
from dronesense.calibrate import ambient, chain, response
from dronesense.calibrate.electrochemical import factor
from dronesense.cli import run_cli
from dronesense.errors import CalibrationError, ManifestError
from dronesense.manifest import discover, draft
from dronesense.manifest.catalog import Catalog, shipped_folder
from dronesense.model import (
    Ambient,
    Flag,
    GasInstrument,
    GasSeries,
    Instrument,
    Response,
)
from dronesense.readers import csv_gas, gas_tables
from dronesense.readers import instrument as instrument_reader
from dronesense.timescale import to_iso

Floats = NDArray[np.float64]

S = 1_000_000_000
START = 1_780_000_000
N = 900
TAU, DELAY = 3.0, 2.0
TABLE = gas_tables.read_compensation(shipped_folder() / "electrochemical" / "aan803-04.toml")

INSTRUMENT = """schema = 1
id = "nose"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "t"
format = "unix"
zone = "UTC"
[columns]
lat = { field = "latitude", unit = "deg" }
lon = { field = "longitude", unit = "deg" }
alt = { field = "height", unit = "m" }
P = { field = "pressure", unit = "hPa" }
T = { field = "temperature", unit = "degC" }
RH = { field = "humidity", unit = "percent" }
H2O = { field = "water", unit = "percent" }
co2 = { species = "CO2", unit = "ppm", basis = "wet", sigma = 0.3 }
we1 = { field = "we", of = "A", unit = "V", sigma = 2e-5 }
ae1 = { field = "ae", of = "A", unit = "V", sigma = 2e-5 }
we2 = { field = "we", of = "B", unit = "mV", sigma = 0.02 }
ae2 = { field = "ae", of = "B", unit = "mV", sigma = 0.02 }
mox = { species = "CH4", unit = "V", sigma = 1e-4 }
pid = { species = "VOC", unit = "ppm", sigma = 0.01 }
[correct.CO2]
ndir = { reference_hpa = 1000.0, reference_degc = 20.0 }
dry = "dilution"
[correct.NO2]
cell = "202000001"
electrodes = "A"
algorithm = 1
sigma_temperature_k = 0.0
[correct.O3]
cell = "204000001"
electrodes = "B"
no2 = "NO2"
algorithm = 1
sigma_temperature_k = 0.0
[correct.CH4]
mox = "mq-17"
[correct.VOC]
pid = { vendor = "rae", lamp_ev = 10.6, compound = "benzene" }
"""

CELLS = """schema = 1
[cells.202000001]
type = "NO2-B4"
we_electronic_zero_mv = 295.0
ae_electronic_zero_mv = 290.0
we_sensor_zero_mv = 12.0
ae_sensor_zero_mv = 8.0
sensitivity_mv_ppb = 0.3
relative_sigma_sensitivity = 0.04
[cells.204000001]
type = "OX-B4"
we_electronic_zero_mv = 200.0
ae_electronic_zero_mv = 210.0
we_sensor_zero_mv = -14.0
ae_sensor_zero_mv = -20.0
sensitivity_mv_ppb = 0.4
no2_sensitivity_mv_ppb = 0.36
"""

MOX = """schema = 1
[sensors.mq-17]
r0_ohm = 12000.0
relative_sigma_r0 = 0.01
supply_v = 5.0
load_ohm = 10000.0
species = "CH4"
climate = { constant = 1.4, linear = -0.02, humidity = -0.002, reference_percent = 30.0 }
law = { scale = 50.0, exponent = -2.0, sigma_log_scale = 0.1, low = 0.1, high = 20.0 }
"""

RECORD = """schema = 1
instrument = "nose"
valid_from = 2026-05-01T00:00:00Z
[species.CO2]
zero = 2.0
span = 1.03
sigma_span = 0.01
standards = [[0.0, 2.0, 0.1], [400.0, 414.1, 0.1], [800.0, 825.9, 0.1]]
[species.NO2]
zero = 0.0
span = 1.0
[species.O3]
zero = 0.0
span = 1.0
[species.CH4]
zero = 0.0
span = 1.0
[species.VOC]
zero = 0.0
span = 1.0
[response]
tau_s = 3.0
delay_s = 2.0
"""

MANIFEST = """schema = 1
[track]
path = "nose.csv"
instrument = "nose"
[terrain]
height_m = 100.0
[[gas]]
path = "nose.csv"
instrument = "nose"
clock_offset_s = 0.0
[[detect]]
target = "CO2"
species = "CO2"
false_alarms_per_hour = 1.0
[[detect]]
target = "NO2"
species = "NO2"
false_alarms_per_hour = 1.0
"""


def plumes(time: Floats, base: float, height: float) -> Floats:
    """Air at the inlet: three passes through a plume, each of 12 s."""
    passes = np.exp(-0.5 * ((time[:, None] - [250.0, 480.0, 700.0]) / 12.0) ** 2)
    return np.asarray(base + height * passes.sum(axis=1))


AIR: dict[str, Callable[[Floats], Floats]] = {
    "CO2": lambda time: plumes(time, 420.0, 60.0),
    "NO2": lambda time: plumes(time, 0.02, 0.05),
    "O3": lambda time: plumes(time, 0.04, 0.02),
    "CH4": lambda time: plumes(time, 2.0, 3.0),
    "VOC": lambda time: plumes(time, 1.0, 4.0),
}
"""True mole fractions, ppm; VOC is benzene, CO2 is dry."""


def flown(seed: int = 0) -> dict[str, Floats]:
    """The table of a flight whose sensors stand behind an inlet and answer slowly."""
    noise = np.random.default_rng(seed)
    fine = np.arange(-50.0, N, 0.02)
    time = np.arange(N, dtype=np.float64)

    def cell(air: Floats) -> Floats:
        """What the cell holds at each stamp, of *air* at the inlet on the fine clock."""
        return np.interp(time, fine + DELAY, response.lag(fine, air, Response(tau_s=TAU)))

    height = 100.0 + 60.0 * np.clip((time - 60.0) / 300.0, 0.0, 1.0)
    pressure = 1000.0 * np.exp(-height / 8300.0) - 60.0
    celsius = 18.0 - 0.01 * height + 2.0 * np.sin(time / 200.0)
    humidity, water = 45.0 + 5.0 * np.sin(time / 90.0), 1.2 + 0.3 * np.sin(time / 150.0)
    table = {"lat": 60.0 + 1e-5 * np.abs((time % 240.0) - 120.0), "lon": 17.0 + 1e-6 * time, "alt": height}
    table |= {"P": pressure, "T": celsius, "RH": humidity, "H2O": water}
    read = 2.0 + 1.03 * cell(AIR["CO2"](fine))  # record: zero 2, span 1.03
    table["co2"] = read * (1.0 - water / 100.0) * (pressure / 1000.0) * (293.15 / (celsius + 273.15))
    drift = 6.0 + 2.0 * np.sin(time / 300.0)
    no2, o3 = (1e3 * cell(AIR[name](fine)) for name in ("NO2", "O3"))
    n = factor(TABLE, "NO2-B4", 1, celsius)
    table["we1"], table["ae1"] = (295.0 + 0.3 * no2 + n * drift) / 1e3, (290.0 + drift) / 1e3
    n = factor(TABLE, "OX-B4", 1, celsius)
    table["we2"], table["ae2"] = 200.0 + 0.4 * o3 + 0.36 * no2 + n * drift, 210.0 + drift
    ratio = cell((AIR["CH4"](fine) / 50.0) ** -0.5)
    ohms = 12000.0 * ratio * (1.4 - 0.02 * celsius - 0.002 * (humidity - 30.0))
    table["mox"] = 5.0 * 10000.0 / (ohms + 10000.0)
    table["pid"] = cell(AIR["VOC"](fine)) / 0.53
    for name, sigma in (("co2", 0.3), ("we1", 2e-5), ("we2", 0.02), ("mox", 1e-4), ("pid", 0.01)):
        table[name] = table[name] + sigma * noise.standard_normal(N)
    return table


def write(folder: Path, table: dict[str, Floats], *, instrument: str = INSTRUMENT) -> Path:
    calibration = folder / "calibration"
    for name in ("instruments", "records/nose", "electrochemical/cells", "mox"):
        (calibration / name).mkdir(parents=True)
    (calibration / "instruments/nose.toml").write_text(instrument)
    (calibration / "records/nose/2026-05-01.toml").write_text(RECORD)
    (calibration / "electrochemical/cells/board.toml").write_text(CELLS)
    (calibration / "mox/mine.toml").write_text(MOX)
    (folder / "flight.toml").write_text(MANIFEST)
    rows = ["t," + ",".join(table)]
    rows += [
        f"{START + k}," + ",".join("" if math.isnan(x) else f"{x:.9g}" for x in row)
        for k, row in enumerate(zip(*table.values(), strict=True))
    ]
    (folder / "nose.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "flight", flown())


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> ds.model.HotspotLayer:
    return ds.process(ds.open_flight(write(tmp_path_factory.mktemp("chain") / "flight", flown())))


def read(folder: Path) -> tuple[tuple[GasSeries, ...], Instrument]:
    instrument = instrument_reader.read(folder / "calibration/instruments/nose.toml")
    return csv_gas.read(folder / "nose.csv", label="nose.csv", instrument=instrument)[0], instrument


@pytest.mark.parametrize(
    ("species", "bias", "steps"),
    [
        ("CO2", 0.6, ["number density", "dry = wet", "first-order lag", "calibrate:"]),
        ("NO2", 1.5e-4, ["electrochemical: aan803-04 algorithm 1", "first-order lag", "calibrate:"]),
        ("O3", 2.5e-4, ["electrochemical:", "NO2 taken off", "first-order lag", "calibrate:"]),
        ("CH4", 0.05, ["Rs = 10000", "Rs / R0", "first-order lag", "(Rs/R0)^-2", "calibrate:"]),
        ("VOC", 0.05, ["first-order lag", "calibrate:", "pid: times 0.53"]),
    ],
)
def test_a_run_gives_back_what_was_planted(
    layer: ds.model.HotspotLayer, species: str, bias: float, steps: list[str]
) -> None:
    """Pressure falls in the climb, the auxiliary electrodes drift, the climate changes: all is taken off."""
    assert layer.rejected == ()
    (trace,) = [each for each in layer.gas if each.series.species == species]
    found = trace.series
    text = "\n".join(found.history)
    places = [text.index(step) for step in steps]
    assert places == sorted(places), "steps are told, in their order"
    assert found.quantity == "mole_fraction"
    assert found.basis == {"CO2": "dry", "NO2": "wet", "O3": "wet"}.get(species, "unknown")
    seconds = found.time / S - START
    inside = (seconds > 30.0) & (seconds < N - 30.0)
    off = (found.value - AIR[species](seconds))[inside]
    assert abs(off.mean()) < bias
    assert np.abs(off).max() < 10.0 * bias
    assert not np.any(found.flags[inside] & int(Flag.RANGE | Flag.STATUS))


def test_noise_is_amplified_and_common_uncertainty_is_not(folder: Path) -> None:
    """4 % of a sensitivity shared by all samples stays 4 % of the value through the response."""
    series, instrument = read(folder)
    sheets, used = Catalog(folder / "calibration", shipped_folder()).sheets(instrument)
    assert set(used.values()) >= {"cell calibration sheet", "compensation table", "PID factors"}
    channel = chain.linear("NO2", series, instrument, sheets=sheets)
    assert channel.relative_sigma == 0.04
    slope = factor(TABLE, "NO2-B4", 1, series[0].ambient.temperature_k - 273.15)  # type: ignore[operator]
    by_hand = 0.02 * np.hypot(1.0, slope) / 0.3 / 1e3  # two electrodes of 0.02 mV, ppm
    np.testing.assert_allclose(channel.noise, by_hand, rtol=1e-9)
    np.testing.assert_allclose(
        channel.series.sigma, np.hypot(by_hand, 0.04 * channel.series.value), rtol=1e-9
    )
    restored = response.deconvolve(channel.series, Response(tau_s=TAU), noise=channel.noise)
    plain = response.deconvolve(channel.series, Response(tau_s=TAU))
    middle = slice(100, 800)
    assert np.median(plain.sigma[middle] / restored.sigma[middle]) > 1.2
    expected = 0.04 * channel.series.value[middle]
    assert np.all(restored.sigma[middle] >= 0.999 * expected)
    done = chain.finish(channel, instrument, sheets=sheets)
    assert done.relative_sigma == pytest.approx(0.04)
    lamp = chain.finish(chain.linear("VOC", series, instrument, sheets=sheets), instrument, sheets=sheets)
    assert lamp.relative_sigma >= 0.25
    oxide = chain.finish(chain.linear("CH4", series, instrument, sheets=sheets), instrument, sheets=sheets)
    assert oxide.relative_sigma == pytest.approx(math.hypot(2.0 * 0.01, 0.1))


def test_sheets_are_evidence_and_limits_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["run", str(folder), "-o", str(folder.parent / "out")]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Noise and limits: ")]
    assert len(told) == 2, "a line a species that was searched"
    assert "Allan deviation" in told[0]
    assert "critical value" in told[0]
    assert "ISO 11843-2, 3 points" in told[0]
    manifest = json.loads((folder.parent / "out/run.json").read_text("utf-8"))
    inputs = {each["path"]: each for each in manifest["inputs"]}
    for path, role in (
        ("calibration/electrochemical/cells/board.toml", "cell calibration sheet"),
        ("calibration/electrochemical/aan803-04.toml (shipped)", "compensation table"),
        ("calibration/mox/mine.toml", "sensor calibration sheet"),
        ("calibration/pid/rae-10.6.toml (shipped)", "PID factors"),
        ("calibration/pid/ion-science-10.6.toml (shipped)", "PID factors"),
    ):
        assert inputs[path]["role"] == role
        assert len(inputs[path]["sha256"]) == 64
    (search,) = [each for each in manifest["statements"]["searches"] if each["target"] == "CO2"]
    noise = search["noise_and_limits"]
    assert noise["limits"][0]["critical_value"] == pytest.approx(
        1.645 * noise["noise_of_a_reading"], rel=1e-3
    )
    assert noise["allan_deviation"]["1 s"] > 0.0
    assert noise["limits"][1]["quantification_limit"] is None


@pytest.mark.parametrize(
    ("column", "species", "message"),
    [
        ("P", "CO2", 'field = "pressure"'),
        ("T", "CO2", 'field = "temperature"'),
        ("T", "NO2", 'field = "temperature"'),
        ("RH", "CH4", 'field = "humidity"'),
    ],
)
def test_a_missing_channel_is_named(tmp_path: Path, column: str, species: str, message: str) -> None:
    """The species that needs it is refused with the key to set; those that do not are there."""
    without = "\n".join(line for line in INSTRUMENT.splitlines() if not line.startswith(f"{column} = "))
    folder = write(tmp_path / "flight", flown(), instrument=without + "\n")
    series, instrument = read(folder)
    sheets, _ = Catalog(folder / "calibration", shipped_folder()).sheets(instrument)
    with pytest.raises(CalibrationError) as refused:
        chain.linear(species, series, instrument, sheets=sheets)
    assert message in str(refused.value)
    assert len(chain.linear("VOC", series, instrument, sheets=sheets).series) == N


def test_a_species_that_cannot_be_corrected_goes_alone(tmp_path: Path) -> None:
    without = "\n".join(line for line in INSTRUMENT.splitlines() if not line.startswith("P = "))
    layer = ds.process(ds.open_flight(write(tmp_path / "flight", flown(), instrument=without + "\n")))
    ((path, why),) = layer.rejected
    assert path == "nose.csv (CO2)"
    assert 'field = "pressure"' in why
    assert {each.series.species for each in layer.gas} == {"NO2", "O3", "CH4", "VOC"}


def test_water_of_the_analyser_goes_before_humidity(folder: Path) -> None:
    series, instrument = read(folder)
    wet = next(each for each in series if each.species == "CO2")
    dry = chain.linear("CO2", series, instrument).series
    assert wet.ambient.water_ppm is not None
    assert wet.ambient.pressure_hpa is not None
    assert wet.ambient.temperature_k is not None
    expected = (
        wet.value
        * (1000.0 / wet.ambient.pressure_hpa)
        * (wet.ambient.temperature_k / 293.15)
        / (1.0 - wet.ambient.water_ppm * 1e-6)
    )
    np.testing.assert_allclose(dry.value, expected, rtol=1e-12)


def test_pressure_comes_off_before_the_response() -> None:
    """Air of 420 ppm in a climb of 5 m/s: a lag of 10 s undone on the raw signal would make 2.5 ppm of it.

    Pressure acts on the cell at once, its gas does not: ``tau s d(ln P)/dt = 10 s * 420 ppm * 5 / 8300 s``.
    """
    time = np.arange(240.0)
    pressure = 1013.25 * np.exp(-5.0 * np.clip(time - 60.0, 0.0, 100.0) / 8300.0)
    air = Ambient(pressure, np.full(240, 298.15))
    raw = GasSeries(
        time=(S * time).astype(np.int64), species="CO2", quantity="mole_fraction",
        value=420.0 * pressure / 1013.25, sigma=np.full(240, 0.1), basis="wet",
        flags=np.zeros(240, np.uint16), level="raw", ambient=air, instrument="", source="",
        row=np.arange(240),
    )  # fmt: skip
    lag = Response(tau_s=10.0)
    climb = slice(80, 140)
    right = response.deconvolve(ambient.number_density(raw), lag).value[climb]
    wrong = ambient.number_density(response.deconvolve(raw, lag)).value[climb]
    np.testing.assert_allclose(right, 420.0, atol=1e-6)
    np.testing.assert_allclose(wrong - 420.0, -10.0 * 420.0 * 5.0 / 8300.0, rtol=0.01)


def test_samples_without_air_are_told(tmp_path: Path) -> None:
    table = flown()
    table["P"][100:120] = np.nan
    series, instrument = read(write(tmp_path / "flight", table))
    channel = chain.linear("CO2", series, instrument)
    assert np.isnan(channel.series.value[100:120]).all()
    assert channel.remarks[0].startswith("20 of 900 samples of CO2 have no value")


def test_electrodes_on_different_rows_meet_where_both_have_a_reading(tmp_path: Path) -> None:
    table = flown() | {"R": np.full(N, 40.0)}
    table["ae1"][10:15] = np.nan
    ranged = INSTRUMENT.replace("[correct.CO2]", 'R = { field = "range", unit = "m" }\n[correct.CO2]')
    folder = write(tmp_path / "flight", table, instrument=ranged)
    series, instrument = read(folder)
    sheets, _ = Catalog(folder / "calibration", shipped_folder()).sheets(instrument)
    channel = chain.linear("NO2", series, instrument, sheets=sheets)
    assert len(channel.series) == N - 5
    assert channel.remarks == ("5 samples of NO2 lack one of the readings that the cell needs",)
    assert chain.species_of(series, instrument) == ("CO2", "NO2", "O3", "CH4", "VOC")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('cell = "202000001"', 'cell = "202000002"', "no calibration sheet of cell"),
        ('mox = "mq-17"', 'mox = "mq-71"', "no calibration sheet of the sensor"),
        ('electrodes = "B"', 'electrodes = "B"\ntable = "aan803-9"', 'no factors "aan803-9"'),
        ('electrodes = "A"', 'electrodes = "C"', "no column is the working electrode"),
        ('no2 = "NO2"', 'no2 = "NO"', "is no other species"),
        ('mox = "mq-17"', 'mox = "mq-17"\nndir = true', "is ndir and mox at once"),
        ('mox = "mq-17"', 'mox = "mq-17"\ndry = "dilution"', "dry is for mole fractions"),
        ('mox = "mq-17"', "algorithm = 2", "asks for nothing"),
        ('[correct.VOC]', '[correct.VOX]', 'no column has the species "VOX"'),
        ('dry = "dilution"', 'dry = "dilution"\nsigma_water_percent = -1.0', "sigmas must be 0 or greater"),
        ("lamp_ev = 10.6", "lamp_ev = 0.0", "must be greater than 0"),
        ("algorithm = 1", "algorithm = 5", "has no algorithm 5"),
        ('dry = "dilution"', "wet = true", 'unknown key "wet"'),
    ],
)  # fmt: skip
def test_keys_are_checked_and_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in INSTRUMENT
    folder = write(tmp_path / "flight", flown(), instrument=INSTRUMENT.replace(old, new, 1))

    def opened() -> None:
        instrument = instrument_reader.read(folder / "calibration/instruments/nose.toml")
        Catalog(folder / "calibration", shipped_folder()).sheets(instrument)

    with pytest.raises(ManifestError, match=message):
        opened()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('vendor = "rae"', 'vendor = "ray"', "no factors for ray"),
        ('compound = "benzene"', 'compound = "CH4"', "does not ionize CH4"),
        (
            'mox = { species = "CH4", unit = "V"',
            'mox = { species = "CH4", unit = "1"',
            "neither a resistance",
        ),
        ('dry = "dilution"', 'dry = "dilutoin"', 'did you mean "dilution"'),
        ('basis = "wet"', 'basis = "dry"', "is dry, not wet"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = write(tmp_path / "flight", flown(), instrument=INSTRUMENT.replace(old, new, 1))
    series, instrument = read(folder)
    sheets, _ = Catalog(folder / "calibration", shipped_folder()).sheets(instrument)
    refused = []
    for species in chain.species_of(series, instrument):
        try:
            chain.finish(chain.linear(species, series, instrument, sheets=sheets), instrument, sheets=sheets)
        except CalibrationError as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert message in refused[0]


def test_a_metal_oxide_without_a_law_stays_relative(folder: Path) -> None:
    sheet = folder / "calibration/mox/mine.toml"
    text = "\n".join(line for line in MOX.splitlines() if not line.startswith(("species", "law")))
    sheet.write_text(text)
    series, instrument = read(folder)
    sheets, _ = Catalog(folder / "calibration").sheets(_without(instrument, "NO2", "O3"))
    channel = chain.finish(chain.linear("CH4", series, instrument, sheets=sheets), instrument, sheets=sheets)
    assert channel.series.quantity == "relative"
    assert any("stays relative" in line for line in channel.series.history)


def test_a_law_is_fitted_to_the_points_of_its_sheet(folder: Path) -> None:
    """ppm = 50 ratio^-2, planted in three points."""
    sheet = folder / "calibration/mox/mine.toml"
    lines = [line for line in MOX.splitlines() if not line.startswith("law")]
    sheet.write_text("\n".join([*lines, "points = [[1.0, 50.0], [2.0, 12.5], [5.0, 2.0]]"]))
    series, instrument = read(folder)
    sheets, _ = Catalog(folder / "calibration").sheets(_without(instrument, "NO2", "O3"))
    channel = chain.linear("CH4", series, instrument, sheets=sheets)
    done = chain.finish(channel, instrument, sheets=sheets).series
    np.testing.assert_allclose(done.value, 50.0 * channel.series.value**-2.0, rtol=1e-6)
    beyond = (channel.series.value > 5.0) | (channel.series.value < 1.0)
    assert np.array_equal((done.flags & int(Flag.RANGE)) != 0, beyond)
    sheet.write_text(sheet.read_text().replace('species = "CH4"', 'species = "CO"'))
    sheets, _ = Catalog(folder / "calibration").sheets(_without(instrument, "NO2", "O3"))
    with pytest.raises(CalibrationError, match="was calibrated with CO"):
        chain.finish(channel, instrument, sheets=sheets)


def _without(instrument: Instrument, *species: str) -> Instrument:
    from dataclasses import replace

    spec = instrument.spec
    assert isinstance(spec, GasInstrument)
    kept = {name: each for name, each in spec.correct.items() if name not in (*species, "VOC")}
    return replace(instrument, spec=replace(spec, correct=kept))


def test_delay_and_time_constant_count_together_in_the_place() -> None:
    """Fitted together they are confounded: errors of +0.3 and -0.3 s cancel in the sum of both."""
    apart = Response(tau_s=2.0, delay_s=1.0, sigma_tau_s=0.3, sigma_delay_s=0.4)
    assert apart.sigma_lag_s == pytest.approx(0.5)
    bound = Response(2.0, 1.0, 0.3, 0.4, covariance_tau_delay=-0.9 * 0.3 * 0.4)
    assert bound.sigma_lag_s == pytest.approx(math.sqrt(0.25 - 2.0 * 0.108))
    either = Response(2.0, 1.0, 0.3, 0.4, 5.0, 0.5, -0.9 * 0.3 * 0.4, -0.5 * 0.5 * 0.4)
    assert either.sigma_lag_s == pytest.approx(math.sqrt(0.16 + 0.25 - 0.2)), "the larger of both"


def test_the_place_of_a_sample_knows_the_covariance(folder: Path) -> None:
    record = folder / "calibration/records/nose/2026-05-01.toml"

    def along_m(more: str) -> float:
        record.write_text(RECORD + more)
        (trace,) = [each for each in ds.process(ds.open_flight(folder)).gas if each.series.species == "CO2"]
        return float(np.sqrt(np.nanmedian(trace.points.cov[:, 1, 1])))

    none = along_m("")
    apart = along_m("sigma_tau_s = 2.0\nsigma_delay_s = 2.0\n")
    bound = along_m("sigma_tau_s = 2.0\nsigma_delay_s = 2.0\ncovariance_tau_delay = -3.8\n")
    speed = 1e-5 * 111_400.0  # m/s north
    assert math.sqrt(apart**2 - none**2) == pytest.approx(speed * math.sqrt(8.0), rel=0.05)
    assert math.sqrt(bound**2 - none**2) == pytest.approx(speed * math.sqrt(0.4), rel=0.1)


def test_stamps_are_those_of_the_air(layer: ds.model.HotspotLayer) -> None:
    (trace,) = [each for each in layer.gas if each.series.species == "CO2"]
    assert to_iso(trace.series.time[0]) == to_iso((START - 2) * S)


def test_a_drafted_manifest_looks_for_what_cells_make(tmp_path: Path) -> None:
    folder = write(tmp_path / "flight", flown())
    (folder / "flight.toml").unlink()
    text = draft(discover(folder))
    assert [species for species in AIR if f'species = "{species}"' not in text] == []
