"""Background statistics against brute force and planted truth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from dronesense.detect import background
from dronesense.errors import CoverageError
from dronesense.model import Bands, SpectralCube


@dataclass
class Rows:
    """Rows in memory; counts how many were read."""

    values: np.ndarray
    valid: np.ndarray
    read_rows: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.read_rows.extend(range(start, stop))
        return self.values[start:stop], self.valid[start:stop]


def make_cube(
    values: np.ndarray, *, valid: np.ndarray | None = None, good: np.ndarray | None = None
) -> SpectralCube:
    rows, bands, cols = values.shape
    ok = np.ones((rows, cols), dtype=bool) if valid is None else valid
    use = np.ones(bands, dtype=bool) if good is None else good
    nm = np.linspace(400.0, 1000.0, bands)
    return SpectralCube(
        "c",
        Rows(values.astype(np.float32), ok),
        Bands(nm, np.full(bands, np.nan), use),
        "reflectance",
        None,
        "",
        "c.hdr",
    )


def correlated(rng: np.random.Generator, rows: int, bands: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    root = rng.normal(size=(bands, bands)) / np.sqrt(bands) + np.eye(bands)
    return np.einsum("ij,rjc->ric", root, rng.normal(size=(rows, bands, cols))) + 5.0, root @ root.T


def test_small_cubes_use_every_pixel_and_match_brute_force() -> None:
    rng = np.random.default_rng(0)
    values, _ = correlated(rng, 40, 6, 50)
    found = background.estimate(make_cube(values), ridge=1e-3)
    x = values.astype(np.float32).transpose(0, 2, 1).reshape(-1, 6).astype(np.float64)

    def loaded(c: np.ndarray) -> np.ndarray:
        return c + 1e-3 * np.diag(np.diag(c))

    d = x - x.mean(axis=0)
    distance = np.einsum("ij,jk,ik->i", d, np.linalg.inv(loaded(np.cov(x.T))), d)
    kept = x[distance <= np.quantile(distance, 0.995)]
    assert found.pixels == len(kept) == 1990
    assert found.trimmed == 10
    np.testing.assert_allclose(found.mean, kept.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.covariance, np.cov(kept.T), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        found.whitening.T @ found.whitening, np.linalg.inv(loaded(found.covariance)), rtol=1e-8, atol=1e-10
    )


def test_targets_do_not_hide_in_their_own_background() -> None:
    rng = np.random.default_rng(1)
    values, truth = correlated(rng, 100, 8, 100)
    target = 5.0 + 40.0 * rng.normal(size=8)
    values[::20, :, ::20] = target[:, None]  # 25 of 10,000 pixels
    found = background.estimate(make_cube(values), ridge=0.0)
    direction = (target - 5.0) / np.linalg.norm(target - 5.0)
    assert direction @ found.covariance @ direction < 1.2 * (direction @ truth @ direction)


def test_noise_is_told_from_texture() -> None:
    rng = np.random.default_rng(2)
    smooth = np.cumsum(rng.normal(size=(60, 4, 200)) * 0.05, axis=2) * 3.0  # slow along a line
    values = smooth + rng.normal(size=smooth.shape) * np.array([1.0, 2.0, 0.5, 1.5])[None, :, None]
    found = background.estimate(make_cube(values), ridge=0.0)
    # half the variance of a difference: noise + 0.15^2 / 2 of texture
    expected = np.array([1.0, 4.0, 0.25, 2.25]) + 0.15**2 / 2
    np.testing.assert_allclose(np.diag(found.noise), expected, rtol=0.08)
    assert np.all(np.diag(found.covariance) > 1.2 * np.diag(found.noise))


def test_a_large_cube_is_sampled_evenly_and_rows_are_read_once() -> None:
    rng = np.random.default_rng(3)
    cube = make_cube(rng.normal(size=(400, 3, 700)).astype(np.float32))
    found = background.estimate(cube, ridge=0.0)
    read = cube.source.read_rows  # type: ignore[attr-defined]
    assert found.pixels + found.trimmed <= background.SAMPLE_PIXELS * 1.1
    assert len(read) == len(set(read)) < 400
    assert np.ptp(np.diff(read)) == 0


def test_invalid_excluded_and_bad_are_not_used() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(30, 4, 30))
    values[:, 2] = np.nan  # a band that is not good
    values[:, 3] = 7.0  # a band that does not vary
    valid = np.ones((30, 30), dtype=bool)
    values[:10, 0] += 1e6
    valid[:10] = False
    exclude = np.zeros((30, 30), dtype=bool)
    values[10:20, 1] += 1e6
    exclude[10:20] = True
    cube = make_cube(values, valid=valid, good=np.array([True, True, False, True]))
    found = background.estimate(cube, ridge=0.0, exclude=exclude)
    assert found.bands.tolist() == [0, 1]
    assert np.abs(found.mean).max() < 1.0
    assert found.pixels + found.trimmed == 300


def test_too_few_pixels_and_singular_covariances_are_refused_with_a_way_out() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(CoverageError, match=r"30 valid pixels are too few.*20 bands.*at least 40"):
        background.estimate(make_cube(rng.normal(size=(5, 20, 6))), ridge=1e-3)
    values = rng.normal(size=(40, 3, 40))
    values[:, 2] = values[:, 1]
    with pytest.raises(CoverageError, match=r"singular.*3e-3"):
        background.estimate(make_cube(values), ridge=0.0)
    assert background.estimate(make_cube(values), ridge=1e-3).pixels == 1592
    with pytest.raises(CoverageError, match="no good band"):
        background.estimate(make_cube(values, good=np.zeros(3, dtype=bool)), ridge=0.0)
    with pytest.raises(ValueError, match="ridge"):
        background.estimate(make_cube(values), ridge=-1.0)


def test_a_subset_of_bands_is_what_an_estimate_of_them_gives() -> None:
    rng = np.random.default_rng(6)
    values, _ = correlated(rng, 40, 6, 40)
    whole = background.estimate(make_cube(values), ridge=1e-3)
    keep = np.array([True, False, True, True, False, True])
    part = background.subset(whole, keep, where="c")
    c = whole.covariance[np.ix_(keep, keep)]
    expected = np.linalg.inv(c + 1e-3 * np.diag(np.diag(c)))
    np.testing.assert_allclose(part.whitening.T @ part.whitening, expected, rtol=1e-8)
    assert part.bands.tolist() == [0, 2, 3, 5]
