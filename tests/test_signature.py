"""A spectrum as the bands of a sensor see it."""

from __future__ import annotations

import numpy as np

from dronesense.model.signature import resample_spectrum


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
