"""The test against look-alikes, on pixels made from its own model and against it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dronesense.detect import feasibility, weighing
from dronesense.detect.background import Background, factor

pytestmark = pytest.mark.once

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
    pixels: np.ndarray,
    *,
    model_error: float = 0.02,
    sigma: np.ndarray | None = None,
    around: np.ndarray | None = None,
) -> feasibility.Fit:
    unknown = np.full(BANDS, np.nan)
    model = feasibility.prepare(
        make_background(np.random.default_rng(99)),
        TARGET,
        sigma=unknown if sigma is None else sigma,
        center_nm=NM,
        model_error=model_error,
    )
    return feasibility.assess(pixels, model, around=around)


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


def make_site(
    rng: np.random.Generator, spectrum: np.ndarray, fill: float, n: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """A pixel that holds *fill* of a spectrum, and n around it, of one mixture but for 5 %."""
    ground = MEAN + rng.normal(size=3) @ MATERIALS
    around = ground + 0.05 * rng.normal(size=(n + 1, 3)) @ MATERIALS
    around[0] = (1 - fill) * around[0] + fill * spectrum
    around += NOISE * rng.normal(size=around.shape)
    return around[:1].astype(np.float32), around[1:]


def share_passing(spectrum: np.ndarray, fill: float, *, local: bool) -> float:
    rng = np.random.default_rng(8)
    sites = [make_site(rng, spectrum, fill) for _ in range(40)]
    fits = [assess(pixel, around=around if local else None) for pixel, around in sites]
    return float(np.mean([fit.feasible[0] for fit in fits]))


@pytest.mark.once
def test_what_is_around_tells_mixed_look_alikes_apart_that_the_scene_cannot() -> None:
    spectrum = look_alike(5.0, 550.0)  # the scene holds a feature at 550 nm of its own, this ground does not
    assert share_passing(spectrum, 0.4, local=False) > 0.5
    assert share_passing(spectrum, 0.4, local=True) <= 0.1
    for fill in (0.3, 0.6, 1.0):
        assert share_passing(TARGET, fill, local=True) >= 0.95


def test_pixels_around_count_as_their_covariance_does() -> None:
    # Dense algebra in place of the low-rank update, for groups of different sizes.
    rng = np.random.default_rng(7)
    half = rng.normal(size=(BANDS, BANDS)) + 3.0 * np.eye(BANDS)
    shared = half @ half.T
    root, fill, vectors = weighing.Root(shared), 0.4, rng.normal(size=(3, BANDS))
    pixels = [rng.normal(size=(n, BANDS)) for n in (1, 3, 2)]
    around = [rng.normal(size=(m, BANDS)) for m in (12, 9, 40)]
    groups = [weighing.Group.of(*both) for both in zip(pixels, np.zeros((3, BANDS)), around, strict=True)]
    found = weighing.weigh(groups, fill, root, root.whitened(vectors))
    for g, (y, ring) in enumerate(zip(pixels, around, strict=True)):
        s = shared + (1 - fill) ** 2 * weighing.RING_INFLATION * np.cov(ring.T)
        y = y - (1 - fill) * ring.mean(axis=0)
        n = len(y)
        np.testing.assert_allclose(found.own[g, :n], np.diag(y @ np.linalg.solve(s, y.T)), rtol=1e-9)
        np.testing.assert_allclose(found.along[g, :n], y @ np.linalg.solve(s, vectors.T), atol=1e-9)
        np.testing.assert_allclose(found.gram[g], vectors @ np.linalg.solve(s, vectors.T), atol=1e-9)
        assert found.log_det[g] == pytest.approx(np.linalg.slogdet(s)[1])


def test_many_groups_are_judged_as_each_alone() -> None:
    rng = np.random.default_rng(11)
    unknown = np.full(BANDS, np.nan)
    known = make_background(np.random.default_rng(99))
    model = feasibility.prepare(known, TARGET, sigma=unknown, center_nm=NM, model_error=0.02)
    groups, alone, fills = [], [], rng.uniform(0.1, 1.0, 40)
    for n, fill in enumerate(fills):
        around = draw_background(rng, 20 + n)
        pixels = mix(rng, 1 + n % 3, fill, TARGET if n % 2 else look_alike(5.0))
        groups.append(weighing.Group.of(pixels, known.mean, around))
        alone.append(feasibility.assess(pixels, model, around=around).feasible.any())
    found = feasibility.any_feasible(groups, model, fills.tolist())
    assert found.tolist() == alone
    assert 0 < found.sum() < len(found)


def test_noise_grows_with_the_light_of_a_bright_target() -> None:
    rng = np.random.default_rng(8)
    bright = 4.0 * MEAN
    model = feasibility.prepare(
        make_background(rng), bright, sigma=np.full(BANDS, np.nan), center_nm=NM, model_error=0.0
    )
    pixels = bright + 2.0 * NOISE * rng.normal(size=(2000, BANDS))  # shot noise: its variance as the signal
    assert feasibility.assess(pixels.astype(np.float32), model).feasible.mean() >= 0.99
    pixels = bright + 4.0 * NOISE * rng.normal(size=(200, BANDS))
    assert feasibility.assess(pixels.astype(np.float32), model).feasible.mean() <= 0.1


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
    model = feasibility.prepare(small, TARGET[pick], sigma=unknown, center_nm=unknown, model_error=0.02)
    fit = feasibility.assess(mix(rng, 100, 0.6, TARGET)[:, pick], model)
    assert fit.feasible.mean() > 0.98


def test_a_look_through_few_combinations_gives_up_nothing_that_fits() -> None:
    rng = np.random.default_rng(12)
    known, unknown = make_background(np.random.default_rng(99)), np.full(BANDS, np.nan)
    model = feasibility.prepare(known, TARGET, sigma=unknown, center_nm=NM, model_error=0.02)
    spectra = [TARGET, look_alike(3.0), look_alike(8.0), look_alike(8.0, 480.0), 2.0 * MEAN]
    pixels = np.concatenate([mix(rng, 40, fill, one) for fill in (0.1, 0.4, 0.7, 1.0) for one in spectra])
    whole = feasibility.assess(pixels, model).feasible
    possible = model.possible(pixels)
    assert not np.any(whole & ~possible)
    assert (~possible).sum() > 100
    guess = rng.uniform(-0.5, 1.5, len(pixels))
    assert feasibility.feasible(pixels, model, guess=guess).tolist() == whole.tolist()
