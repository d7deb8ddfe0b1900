"""Pressure, temperature and water by hand and against what real instruments write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.calibrate import ambient
from dronesense.errors import CalibrationError
from dronesense.model import Ambient, GasSeries


def series(value: Any, *, species: str = "CH4", basis: Any = "wet", air: Ambient | None = None) -> GasSeries:
    value = np.atleast_1d(np.asarray(value, dtype=np.float64))
    m = value.size
    return GasSeries(
        time=np.arange(m) * 1_000_000_000,
        species=species,
        quantity="mole_fraction",
        value=value,
        sigma=np.full(m, 0.1),
        basis=basis,
        flags=np.zeros(m),
        level="raw",
        ambient=Ambient() if air is None else air,
        instrument="x",
        source="raw/x.csv",
        row=np.arange(m) + 2,
    )


def test_an_open_cell_at_850_hpa_and_10_degrees() -> None:
    # 420 ppm times (850 / 1013.25) (298.15 / 283.15) reads 371.00.
    air = Ambient(np.array([850.0]), np.array([283.15]))
    found = ambient.number_density(series(371.0, species="CO2", air=air))
    assert found.value[0] == pytest.approx(420.0, abs=0.01)
    assert found.sigma[0] == pytest.approx(0.1 * 420.0 / 371.0, rel=1e-4)
    assert "number density" in found.history[-1]
    with pytest.raises(CalibrationError, match="has no pressure"):
        ambient.number_density(series(371.0))


def test_water_from_humidity_by_hand() -> None:
    # Buck 1981 at 25 degrees Celsius: 31.6853 hPa; half of it in 1000 hPa.
    assert float(ambient.saturation_hpa(298.15)) == pytest.approx(31.6853, abs=1e-4)
    air = Ambient(np.array([1000.0]), np.array([298.15]), np.array([50.0]))
    found = ambient.dry(series(2.0, air=air))
    assert found.value[0] == pytest.approx(2.0 * 1.016098, abs=2e-6)
    assert found.basis == "dry"


def test_the_uncertainty_of_the_water_enters() -> None:
    found = ambient.dry(series(2.0), water=[0.01], sigma_water=0.002)
    value = 2.0 / 0.99
    assert found.sigma[0] == pytest.approx(np.hypot(0.1 / 0.99, value * 0.002 / 0.99))


@pytest.mark.parametrize(
    ("given", "keys", "message"),
    [
        (series(2.0, basis="dry"), {}, "is dry, not wet"),
        (series(2.0), {}, "nothing in the file tells the water"),
        (series(2.0), {"water": [0.01], "model": "picaro"}, 'no water model "picaro"'),
        (series(2.0, species="N2O"), {"water": [0.01], "model": "picarro-g4301"}, "no coefficients for N2O"),
    ],
)
def test_what_cannot_be_dried_is_refused(given: GasSeries, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        ambient.dry(given, **keys)


def test_the_dry_columns_of_a_real_picarro_g4301(shared_data: Path) -> None:
    lines = (shared_data / "gas/analyser_formats/goFlux_G4301.dat").read_text("utf-8").splitlines()
    names = lines[0].split()
    rows = np.array([line.split()[2:] for line in lines[1:]], dtype=np.float64)
    column = {name: rows[:, index - 2] for index, name in enumerate(names) if index >= 2}
    for species in ("CH4", "CO2"):
        wet, stated = column[species], column[f"{species}_dry"]
        found = ambient.dry(
            series(wet, species=species), water=column["H2O"] / 100.0, model="picarro-g4301"
        ).value
        np.testing.assert_allclose(found, stated, rtol=1e-10, atol=1e-10)


def test_the_dry_columns_of_a_real_lgr_are_dilution(shared_data: Path) -> None:
    lines = (shared_data / "gas/analyser_formats/goFlux_UGGA.txt").read_text("utf-8").splitlines()
    names = [name.strip() for name in lines[1].split(",")]
    rows = [line.split(",") for line in lines[2:] if line.count(",") >= len(names) - 2]
    column = {
        name: np.array([row[names.index(name)] for row in rows], dtype=np.float64)
        for name in ("[CO2]_ppm", "[CO2]d_ppm", "[H2O]_ppm")
    }
    found = ambient.dry(series(column["[CO2]_ppm"], species="CO2"), water=column["[H2O]_ppm"] * 1e-6).value
    assert np.max(np.abs(found / column["[CO2]d_ppm"] - 1.0)) < 3e-6
