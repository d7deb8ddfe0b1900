"""The test against look-alikes, on pixels made from its own model and against it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dronesense.detect import feasibility
from dronesense.detect.background import Background, factor

BANDS = 80
NM = np.linspace(400.0, 1000.0, BANDS)
NOISE = 0.002


def bump(center: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((NM - center) / width) ** 2)


TARGET = 0.12 + 0.3 * bump(465.0, 38.0) + 0.25 / (1.0 + np.exp(-(NM - 820.0) / 25.0))
MATERIALS = np.stack([bump(600.0, 300.0), bump(900.0, 120.0), bump(550.0, 40.0)]) * [[0.1], [0.15], [0.02]]
MEAN = 0.1 + 0.2 * (NM - 400.0) / 600.0


def make_background(rng: np.random.Generator) -> Background:
    covariance = MATERIALS.T @ MATERIALS + NOISE**2 * np.eye(BANDS)
    whitening, condition = factor(covariance, ridge=0.0, where="")
    return Background(
        bands=np.arange(BANDS),
        mean=MEAN,
        covariance=covariance,
        noise=NOISE**2 * np.eye(BANDS),
        ridge=0.0,
        whitening=whitening,
        condition=condition,
        sample=draw_background(rng, 4000).astype(np.float32),
        pixels=4000,
        trimmed=0,
        history=(),
    )


def draw_background(rng: np.random.Generator, n: int) -> np.ndarray:
    return MEAN + rng.normal(size=(n, 3)) @ MATERIALS + NOISE * rng.normal(size=(n, BANDS))


def mix(
    rng: np.random.Generator, n: int, fill: float, spectrum: np.ndarray, *, gain: float = 1.0
) -> np.ndarray:
    """Pixels filled by *fill*, with background and noise of their own."""
    behind = MEAN + rng.normal(size=(n, 3)) @ MATERIALS
    pixels = (1 - fill) * behind + fill * gain * spectrum + NOISE * rng.normal(size=(n, BANDS))
    return pixels.astype(np.float32)


def assess(
    pixels: np.ndarray, *, model_error: float = 0.02, sigma: np.ndarray | None = None
) -> feasibility.Fit:
    unknown = np.full(BANDS, np.nan)
    return feasibility.assess(
        pixels,
        make_background(np.random.default_rng(99)),
        TARGET,
        sigma=unknown if sigma is None else sigma,
        center_nm=NM,
        model_error=model_error,
    )


def look_alike(degrees: float, center: float = 700.0) -> np.ndarray:
    """A spectrum at this angle from the target, different by one broad feature."""
    change = bump(center, 50.0)
    change -= TARGET * (change @ TARGET) / (TARGET @ TARGET)
    return TARGET + np.tan(np.radians(degrees)) * np.linalg.norm(TARGET) * change / np.linalg.norm(change)


@pytest.mark.parametrize("fill", [0.2, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("gain", [0.8, 1.0, 1.2])
def test_the_target_passes_and_its_fill_is_found(fill: float, gain: float) -> None:
    fit = assess(mix(np.random.default_rng(1), 500, fill, TARGET, gain=gain))
    assert fit.feasible.mean() >= 0.995  # stated: two tests at 1e-3
    product = fit.fill * fit.gain
    assert np.median(product) == pytest.approx(fill * gain, abs=0.05)


@pytest.mark.parametrize("degrees", [5.0, 8.0])
@pytest.mark.parametrize("fill", [0.4, 0.7, 1.0])
@pytest.mark.parametrize("center", [480.0, 700.0, 820.0])
def test_look_alikes_are_told_apart(degrees: float, fill: float, center: float) -> None:
    spectrum = look_alike(degrees, center)
    cosine = spectrum @ TARGET / np.linalg.norm(spectrum) / np.linalg.norm(TARGET)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(degrees)
    fit = assess(mix(np.random.default_rng(2), 200, fill, spectrum))
    assert fit.feasible.mean() <= 0.1


def test_a_difference_that_the_background_also_makes_cannot_be_seen_in_a_mixed_pixel() -> None:
    # Stated limit: the background holds a feature at 550 nm of its own; a full pixel has no background left.
    spectrum = look_alike(5.0, 550.0)
    assert assess(mix(np.random.default_rng(2), 200, 0.4, spectrum)).feasible.mean() > 0.5
    assert assess(mix(np.random.default_rng(2), 200, 1.0, spectrum)).feasible.mean() < 0.1


def test_smooth_errors_of_the_stated_size_are_forgiven_and_larger_ones_are_not() -> None:
    rng = np.random.default_rng(3)
    kernel = np.exp(-0.5 * (np.subtract.outer(NM, NM) / 150.0) ** 2) + 1e-9 * np.eye(BANDS)
    shape = np.linalg.cholesky(kernel) @ rng.normal(size=(BANDS, 60))

    def share(error: float) -> float:
        pixels = [mix(rng, 5, 1.0, TARGET * (1 + error * one)) for one in shape.T]
        return float(assess(np.concatenate(pixels)).feasible.mean())

    assert share(0.02) >= 0.99
    assert share(0.10) <= 0.3


def test_the_uncertainty_of_the_signature_widens_the_test() -> None:
    pixels = mix(np.random.default_rng(4), 100, 1.0, look_alike(8.0))
    assert assess(pixels).feasible.mean() == 0.0
    assert assess(pixels, sigma=0.3 * TARGET).feasible.mean() > 0.9


def test_the_statistics_are_chi_square_where_the_model_holds() -> None:
    # Plain background, nothing to fit: misfit 1 is the 1e-3 quantile of the larger of two chi-squares.
    fit = assess(draw_background(np.random.default_rng(5), 20_000).astype(np.float32))
    assert 2e-4 < np.mean(~fit.feasible) < 4e-3
    assert stats.chi2.isf(1e-3, BANDS) > stats.chi2.isf(1e-3, feasibility.SMOOTH_TERMS)


def test_few_bands_and_no_wavelengths_work() -> None:
    rng = np.random.default_rng(6)
    pick = np.arange(5, BANDS, 16)
    whole = make_background(rng)
    covariance = whole.covariance[np.ix_(pick, pick)]
    whitening, condition = factor(covariance, ridge=0.0, where="")
    small = Background(
        bands=np.arange(len(pick)),
        mean=MEAN[pick],
        covariance=covariance,
        noise=whole.noise[np.ix_(pick, pick)],
        ridge=0.0,
        whitening=whitening,
        condition=condition,
        sample=whole.sample[:, pick],
        pixels=4000,
        trimmed=0,
        history=(),
    )
    unknown = np.full(len(pick), np.nan)
    fit = feasibility.assess(
        mix(rng, 100, 0.6, TARGET)[:, pick],
        small,
        TARGET[pick],
        sigma=unknown,
        center_nm=unknown,
        model_error=0.02,
    )
    assert fit.feasible.mean() > 0.98
