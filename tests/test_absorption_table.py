"""Tables of absorption: what is read, what is refused, and how a sensor's bands see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ManifestError, ReadError
from dronesense.model.absorption import AbsorptionTable, absorption_window
from dronesense.readers import absorption_table


def write_envi(folder: Path, radiance: np.ndarray, nm: np.ndarray, *, interleave="bsq", order=0) -> Path:
    """Write (columns, wavelengths) as mag1c does: a band for each wavelength, a sample for each column."""
    m, k = radiance.shape
    kind = "<f8" if order == 0 else ">f8"
    stored = radiance if interleave == "bip" else radiance.T
    (folder / "gas.lut").write_bytes(np.ascontiguousarray(stored).astype(kind).tobytes())
    header = folder / "gas.hdr"
    header.write_text(
        f"ENVI\nsamples = {m}\nlines = 1\nbands = {k}\nheader offset = 0\nfile type = ENVI Standard\n"
        f"data type = 5\ninterleave = {interleave}\nbyte order = {order}\nwavelength units = Nanometers\n"
        f"wavelength = {{{', '.join(f'{v:.6f}' for v in nm)}}}\n"
    )
    return header


def simple() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nm = np.arange(2000.0, 2400.0, 0.5)
    column = np.array([0.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0])
    k = 1e-5 * np.exp(-0.5 * ((nm - 2200.0) / 20.0) ** 2)
    return nm, column, 3.0 * np.exp(-np.outer(column, k))


@pytest.mark.parametrize(("interleave", "order"), [("bsq", 0), ("bil", 1), ("bip", 0)])
def test_envi_either_file(tmp_path: Path, interleave: str, order: int) -> None:
    nm, _column, radiance = simple()
    header = write_envi(tmp_path, radiance, nm, interleave=interleave, order=order)
    (tmp_path / "gas.toml").write_text(
        'species = "CH4"\nversion = "2"\nlicense = "CC0"\n'
        "concentration_ppm_m = [0, 500, 1000, 2000, 4000, 8000, 16000]\nwindow_nm = [2150, 2250]\n"
        '[geometry]\nsolar_zenith_deg = 30.0\nsensor = "nadir"\n'
    )
    for path in (header, tmp_path / "gas.lut"):
        table, report = absorption_table.read(path)
        np.testing.assert_allclose(table.radiance, radiance)
        np.testing.assert_allclose(table.wavelength_nm, nm)
        assert (table.species, table.version, table.window_nm) == ("CH4", "2", (2150.0, 2250.0))
        assert table.geometry == {"solar_zenith_deg": 30.0, "sensor": "nadir"}
        assert len(report.companions) == 2
        assert not report.assumptions
        assert not report.warnings


def test_mag1c_columns_are_assumed_and_said(tmp_path: Path) -> None:
    nm, column, radiance = simple()
    table, report = absorption_table.read(write_envi(tmp_path, radiance, nm), species="CH4")
    np.testing.assert_array_equal(table.concentration_ppm_m, column)
    assert any("mag1c" in each for each in report.assumptions)
    assert any("geometry" in each for each in report.warnings)


def test_envi_refusals(tmp_path: Path) -> None:
    nm, _, radiance = simple()
    header = write_envi(tmp_path, radiance[:5], nm)
    with pytest.raises(ReadError, match="5 columns of gas, 0 concentrations"):
        absorption_table.read(header, species="CH4")
    header = write_envi(tmp_path, radiance, nm)
    with pytest.raises(ReadError, match="gas is not known"):
        absorption_table.read(header)
    (tmp_path / "gas.toml").write_text('species = "CO2"\n')
    with pytest.raises(ReadError, match='"CO2", not of "CH4"'):
        absorption_table.read(header, species="CH4")
    (tmp_path / "gas.toml").write_text('specie = "CO2"\n')
    with pytest.raises(ManifestError, match="species"):
        absorption_table.read(header)
    (tmp_path / "gas.toml").unlink()
    (tmp_path / "gas.lut").write_bytes(b"\0" * 100)
    with pytest.raises(ReadError, match="has 100 bytes"):
        absorption_table.read(header, species="CH4")
    header = write_envi(tmp_path, -radiance, nm)
    with pytest.raises(ReadError, match="greater than 0"):
        absorption_table.read(header, species="CH4")


def test_csv_is_the_same_absorption(tmp_path: Path) -> None:
    path = tmp_path / "nh3.csv"
    path.write_text("wavelength_um,absorption_per_ppm_m,note\n2.0,0,a\n2.1,1e-5,b\n2.2,3e-5,c\n2.3,0,d\n")
    table, report = absorption_table.read(path, species="NH3")
    np.testing.assert_allclose(table.wavelength_nm, [2000.0, 2100.0, 2200.0, 2300.0])
    np.testing.assert_allclose(np.log(table.radiance[2]), [0.0, -0.01, -0.03, 0.0], atol=1e-15)
    assert any("note" in each for each in report.assumptions)
    bands = table.in_bands(center_nm=np.array([2150.0]), fwhm_nm=np.array([1.0]))
    assert bands.per_ppm_m[0] == pytest.approx(-2e-5, rel=1e-3)  # halfway between two points of the table


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("wavelength_nm,depth\n2000,1\n2001,1\n", "no column absorption_per_ppm_m"),
        ("nm,absorption_per_ppm_m\n2000,1e-5\n2001,1e-5\n", "wavelength_nm or wavelength_um"),
        ("wavelength_nm,absorption_per_ppm_m\n2000,1e-5\n2001,x\n", "not a number"),
        ("wavelength_nm,absorption_per_ppm_m\n2000,1.0\n2001,1.0\n", "strongest absorption"),
        ("wavelength_nm,absorption_per_ppm_m\n2001,1e-5\n2000,1e-5\n", "strictly increasing"),
    ],
)
def test_csv_refusals(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "gas.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match=what):
        absorption_table.read(path, species="CH4")


def test_bands_of_a_smooth_absorption_see_its_mean() -> None:
    """A Gaussian dip seen by a Gaussian band: widths add in squares (weak absorption)."""
    nm, column, _ = simple()
    k = 1e-9 * np.exp(-0.5 * ((nm - 2200.0) / 20.0) ** 2)
    table = AbsorptionTable("X", nm, column, np.exp(-np.outer(column, k)), "x")
    sigma = 15.0
    center = np.array([2180.0, 2200.0, 2230.0, 2395.0])
    bands = table.in_bands(center_nm=center, fwhm_nm=np.full(4, sigma * 2.3548200450309493))
    wide = np.hypot(20.0, sigma)
    expected = -1e-9 * 20.0 / wide * np.exp(-0.5 * ((center - 2200.0) / wide) ** 2)
    np.testing.assert_allclose(bands.per_ppm_m[:3], expected[:3], rtol=1e-4)
    assert bands.covered.tolist() == [True, True, True, False]
    assert np.isnan(bands.per_ppm_m[3])


def test_radiance_is_averaged_not_absorption() -> None:
    """Half of a band is opaque: its light never falls below the other half's."""
    nm = np.arange(2000.0, 2400.0, 0.01)
    column = np.array([0.0, 1000.0])
    stripes = (np.floor(nm / 0.5) % 2) * 0.05
    table = AbsorptionTable("X", nm, column, np.exp(-np.outer(column, stripes)), "x")
    bands = table.in_bands(center_nm=np.array([2200.0]), fwhm_nm=np.array([20.0]))
    assert bands.log_ratio[1, 0] == pytest.approx(np.log(0.5), abs=1e-3)


def test_window_stops_where_the_gas_does() -> None:
    nm = np.arange(1500.0, 2600.0, 1.0)
    column = np.array([0.0, 1000.0])
    k = 1e-5 * np.exp(-0.5 * ((nm - 2300.0) / 50.0) ** 2) + 2e-6 * np.exp(-0.5 * ((nm - 1660.0) / 20.0) ** 2)
    center = np.arange(1520.0, 2580.0, 5.0)
    table = AbsorptionTable("X", nm, column, np.exp(-np.outer(column, k)), "x")
    inside = center[absorption_window(table.in_bands(center_nm=center, fwhm_nm=np.full(len(center), 6.0)))]
    reach = 50.0 * np.sqrt(2.0 * np.log(200.0))  # 0.5 % of the peak
    assert abs(inside[0] - (2300.0 - reach)) <= 5.0
    assert abs(inside[-1] - (2300.0 + reach)) <= 5.0
    assert np.all(np.diff(inside) == 5.0)


def test_slope_of_the_given_table(shared_data: Path) -> None:
    """reference/spectral.md, section 9: lowest -1.5790e-5 per ppm m, at 2370.3 nm, of 73 channels."""
    folder = shared_data / "spectral"
    table, _ = absorption_table.read(folder / "gas" / "mag1c_ch4.lut", species="CH4")
    fit = np.loadtxt(next((folder / "calib" / "pasadena_avirisng").glob("*wavelength_fit.txt")))
    center, fwhm = fit[:, 1] * 1e3, fit[:, 2] * 1e3
    chosen = (center > 2122.0) & (center < 2488.0)
    slope = table.in_bands(center_nm=center[chosen], fwhm_nm=fwhm[chosen]).per_ppm_m
    assert chosen.sum() == 73
    assert slope.min() == pytest.approx(-1.5790e-5, rel=5e-5)
    assert center[chosen][np.argmin(slope)] == pytest.approx(2370.3, abs=0.05)
