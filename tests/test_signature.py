"""A spectrum as the bands of a sensor see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dronesense.detect.likeness import likeness
from dronesense.errors import ReadError
from dronesense.model.signature import Signature, SignatureSet, resample_spectrum
from dronesense.readers import csv_signature
from dronesense.writers.signature import to_csv, to_toml


def test_a_narrow_line_is_spread_by_the_band() -> None:
    # A Gaussian line seen by a Gaussian band: the variances add, the height is s / sqrt(s^2 + b^2).
    wavelength = np.arange(400.0, 700.0, 0.1)
    line, band_fwhm = 3.0, 10.0
    band = band_fwhm / (2 * np.sqrt(2 * np.log(2)))
    value = np.exp(-0.5 * ((wavelength - 550.0) / line) ** 2)
    seen, covered = resample_spectrum(
        wavelength, value, center_nm=np.array([550.0, 553.0]), fwhm_nm=np.array([band_fwhm] * 2)
    )
    total = line**2 + band**2
    expected = line / np.sqrt(total) * np.exp(-0.5 * np.array([0.0, 3.0]) ** 2 / total)
    assert covered.all()
    np.testing.assert_allclose(seen, expected, rtol=5e-3)  # the response is cut at 3 sigma


def test_without_width_it_is_linear_interpolation_and_never_extrapolation() -> None:
    seen, covered = resample_spectrum(
        np.array([500.0, 600.0]),
        np.array([0.0, 1.0]),
        center_nm=np.array([499.9, 525.0, 600.0, np.nan]),
        fwhm_nm=np.full(4, np.nan),
    )
    assert covered.tolist() == [False, True, True, False]
    np.testing.assert_allclose(seen[1:3], [0.25, 1.0])
    assert np.isnan(seen[[0, 3]]).all()


def ramp(name: str, slope: float, low: float = 400.0, high: float = 900.0) -> Signature:
    wavelength = np.arange(low, high + 1.0, 10.0)
    unknown = np.full(len(wavelength), np.nan)
    return Signature(name, wavelength, slope * wavelength, unknown, "reflectance", source=f"{name} field")


def test_a_band_that_lies_mostly_within_a_gap_is_not_covered() -> None:
    bands = {
        "center_nm": np.array([500.0, 545.0, 560.0, 600.0]),
        "fwhm_nm": np.array([20.0, 20.0, 20.0, np.nan]),
    }
    value, covered = resample_spectrum(
        np.array([400.0, 550.0, 650.0, 800.0]), np.ones(4), **bands, gaps_nm=[(550.0, 650.0)]
    )
    assert covered.tolist() == [True, True, False, False]  # 545: a quarter of it is lost; 560: all of it
    assert np.isnan(value[2:]).all()


def test_variants_in_the_bands_of_a_sensor() -> None:
    target = SignatureSet("tarp", (ramp("dry", 1e-3), ramp("wet", 5e-4, high=700.0)))
    value, sigma, covered = target.in_bands(
        center_nm=np.array([500.0, 800.0]), fwhm_nm=np.array([10.0, 10.0])
    )
    np.testing.assert_allclose(value, [[0.5, 0.8], [0.25, np.nan]])
    assert np.isnan(sigma).all()
    assert covered.tolist() == [True, False]


def test_mean_of_variants_has_their_spread() -> None:
    mean = SignatureSet("tarp", (ramp("dry", 1e-3), ramp("wet", 5e-4, low=600.0))).mean()
    np.testing.assert_allclose(mean.wavelength_nm, np.arange(600.0, 901.0, 10.0))
    np.testing.assert_allclose(mean.value, 7.5e-4 * mean.wavelength_nm)
    np.testing.assert_allclose(mean.sigma, 5e-4 / np.sqrt(2.0) * mean.wavelength_nm)  # of two values
    assert mean.source == "dry field; wet field"


@pytest.mark.parametrize(
    "members",
    [
        (),
        (ramp("a", 1e-3), ramp("a", 2e-3)),
        (ramp("a", 1e-3), replace(ramp("b", 1e-3), quantity="counts")),
        (ramp("a", 1e-3), replace(ramp("b", 1e-3), by_band=True)),
    ],
)
def test_members_that_do_not_fit_together(members: tuple[Signature, ...]) -> None:
    with pytest.raises(ValueError, match=r"members|signature"):
        SignatureSet("x", members)


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    wet = replace(
        ramp("wet", 1 / 3000.0, low=405.0),
        license="CC0-1.0",
        gaps_nm=((505.0, 525.0),),
        sha256="ab",
        entry='a "b"',
    )
    target = SignatureSet("Blue tarp", (ramp("dry", 1 / 7000.0), wet))
    path = tmp_path / "tarp.csv"
    path.write_text(to_csv(target), encoding="utf-8")
    path.with_suffix(".toml").write_text(to_toml(target), encoding="utf-8")
    members, report = csv_signature.read_all(path)
    assert not report.warnings
    for ours, theirs in zip(members, target.members, strict=True):
        np.testing.assert_array_equal(ours.wavelength_nm, theirs.wavelength_nm)
        np.testing.assert_array_equal(ours.value, theirs.value)
        for field in ("name", "source", "license", "gaps_nm", "sha256", "entry"):
            assert getattr(ours, field) == getattr(theirs, field)
    mean, report = csv_signature.read(path)
    assert mean.name == "Blue tarp"
    assert any("mean of 2 variants" in each for each in report.assumptions)


def test_variants_that_the_table_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "tarp.csv"
    path.write_text("wavelength_nm,reflectance: dry,reflectance: wet\n400,0.1,0.2\n500,0.3,\n600,0.4,0.5\n")
    dry, wet = csv_signature.read_all(path)[0]
    assert [len(dry.value), len(wet.value)] == [3, 2]
    path.with_suffix(".toml").write_text('[variants.damp]\nlicense = "x"\n')
    with pytest.raises(ReadError, match="damp"):
        csv_signature.read_all(path)
    path.write_text("wavelength_nm,reflectance: dry,reflectance\n400,0.1,0.2\n500,0.3,0.4\n")
    with pytest.raises(ReadError, match="2 value columns"):
        csv_signature.read_all(path)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 0.0], [0.0, 1.0], (90.0, None, -1.0)),
        ([1.0, 1.0], [1.0, 0.0], (45.0, None, None)),
        ([1.0, 3.0], [2.0, 2.0], (None, 0.25 * np.log(3.0), None)),  # p = 1/4, 3/4; q = 1/2, 1/2
    ],
)
def test_likeness_by_hand(
    first: list[float], second: list[float], expected: tuple[float | None, ...]
) -> None:
    result = likeness(np.array(first), np.array(second))
    for got, want in zip((result.angle_deg, result.sid, result.correlation), expected, strict=True):
        if want is not None:
            assert got == pytest.approx(want)


def test_likeness_of_nothing() -> None:
    nothing = likeness(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    assert nothing.bands == 0
    assert np.isnan([nothing.angle_deg, nothing.sid, nothing.correlation]).all()
    assert np.isnan(likeness(np.array([0.0, 0.0]), np.array([1.0, 2.0])).angle_deg)
