"""The background of a cube: mean, covariance and noise from a bounded sample, without its targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.model import SpectralCube

SAMPLE_PIXELS: Final = 65_536
"""Pixels of the strided sample: 240 per band of a 270-band camera, of which the covariance needs some 10."""
TRIM_SHARE: Final = 0.01
"""Share of the sample, the farthest from the mean, that is left out as possible targets."""
NOISE_TRIM_SHARE: Final = 0.2
"""Share of the neighbor differences, the farthest from zero, that is left out as edges of materials."""
PIXELS_PER_BAND: Final = 2
"""Fewest pixels per band: below, the sample covariance says nothing about some directions."""
SAMPLE_BUDGET_SHARE: Final = 4
"""The sample may take 1 / this of the budget: pixels, neighbors and float64 copies live at a time."""
MIN_SAMPLE_BYTES: Final = 16 * 1024 * 1024
"""The sample is never cut below this, whatever the budget."""
CHUNK_PIXELS: Final = 8192
"""Pixels turned to float64 at a time."""
KEPT_PIXELS: Final = 8192
"""Pixels that stay with the statistics."""
NOISE_FLOOR: Final = 1e-6
"""Share of the background's variance per band below which no noise is believed (quantized or smoothed
data)."""


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Statistics of the background in the bands that are used.

    Parameters
    ----------
    bands : (k,) int64
        Index of the bands used, into the bands of the cube.
    mean : (k,) float64
    covariance : (k, k) float64
        Without ridge.
    noise : (k, k) float64
        Covariance of the noise of one pixel, from differences of neighbors; an upper bound where texture is
        fine.
    ridge : float
        As a share of the mean eigenvalue, ``trace(covariance) / k``.
    whitening : (k, k) float64
        Lower triangular ``W`` with ``W' W = (covariance + ridge trace / k I)^-1``.
    condition : float
        Condition number of the correlation matrix that was factored, after the ridge.
    sample : (n, k) float32
        Some pixels, spread evenly over the cube, trimmed ones included: to see how the background really
        spreads.
    pixels, trimmed : int
        Pixels that the statistics come from, and those that were left out.
    history : tuple of str
        One line per step.
    """

    bands: NDArray[np.int64]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    noise: NDArray[np.float64]
    ridge: float
    whitening: NDArray[np.float64]
    condition: float
    sample: NDArray[np.float32]
    pixels: int
    trimmed: int
    history: tuple[str, ...]


def estimate(
    cube: SpectralCube,
    *,
    ridge: float,
    budget_bytes: int,
    exclude: NDArray[np.bool_] | None = None,
    bands: NDArray[np.int64] | None = None,
) -> Background:
    """Estimate the background from a sample of rows and columns spread evenly over the cube.

    Mean and covariance are accumulated in float64 on shifted values; the 1 % of the sample that lies farthest
    from the mean (Mahalanobis distance) is then left out, once, because targets in their own background hide
    themselves. Some background outliers go with them: the statistics describe the bulk.

    Parameters
    ----------
    cube : SpectralCube
    ridge : float
        Share of the mean eigenvalue that is added to the diagonal, >= 0.
    budget_bytes : int
        Bounds the sample; a block is never larger.
    exclude : (rows, cols) bool, optional
        Pixels not to be used.
    bands : (k,) int64, optional
        Bands to use; all good bands that vary when not given.

    Raises
    ------
    CoverageError
        If there are fewer valid pixels than twice the number of bands, or the covariance is singular.
    ValueError
        If *ridge* is negative.
    """
    if not ridge >= 0.0:
        raise ValueError(f"ridge must be >= 0, not {ridge}")
    index = np.flatnonzero(cube.bands.good) if bands is None else np.asarray(bands, dtype=np.int64)
    if index.size == 0:
        raise CoverageError("the cube has no good band", where=cube.path, fix="check the bad-band list (bbl)")
    sample, difference = _sample(cube, index, budget_bytes, exclude)
    varies = np.ptp(sample, axis=0) > 0.0 if len(sample) else np.ones(len(index), dtype=np.bool_)
    if not varies.all():
        index, sample, difference = index[varies], sample[:, varies], difference[:, varies]
    if len(sample) < PIXELS_PER_BAND * max(1, len(index)):
        raise CoverageError(
            f"{len(sample)} valid pixels are too few for the statistics of {len(index)} bands",
            where=cube.path,
            fix=f"give a cube of at least {PIXELS_PER_BAND * max(1, len(index))} pixels, or exclude bands",
        )
    mean, covariance = _moments(sample)
    distance = distances(sample, mean, factor(covariance, ridge=ridge, where=cube.path)[0])
    kept = distance <= np.quantile(distance, 1.0 - TRIM_SHARE)
    mean, covariance = _moments(sample[kept])
    noise = _noise(difference, covariance)
    whitening, condition = factor(covariance, ridge=ridge, where=cube.path)
    history = (
        (
            f"background: {int(kept.sum())} of {len(sample)} sampled pixels in {len(index)} bands "
            f"(farthest {TRIM_SHARE:.0%} left out), ridge {ridge:g} of the mean eigenvalue, "
            f"condition {condition:.3g}"
        ),
    )
    return Background(
        bands=index,
        mean=mean,
        covariance=covariance,
        noise=noise,
        ridge=ridge,
        whitening=whitening,
        condition=condition,
        sample=sample[kept][:: -(-int(kept.sum()) // KEPT_PIXELS)].copy(),
        pixels=int(kept.sum()),
        trimmed=int(len(sample) - kept.sum()),
        history=history,
    )


def subset(background: Background, keep: NDArray[np.bool_], *, where: str) -> Background:
    """Return *background* in the bands that *keep* (k,) bool selects."""
    if keep.all():
        return background
    covariance = background.covariance[np.ix_(keep, keep)]
    whitening, condition = factor(covariance, ridge=background.ridge, where=where)
    return replace(
        background,
        bands=background.bands[keep],
        mean=background.mean[keep],
        covariance=covariance,
        noise=background.noise[np.ix_(keep, keep)],
        sample=background.sample[:, keep],
        whitening=whitening,
        condition=condition,
    )


def factor(covariance: NDArray[np.float64], *, ridge: float, where: str) -> tuple[NDArray[np.float64], float]:
    """Return the lower triangular whitening matrix of a covariance, and the condition number behind it.

    The *correlation* is factored and scaled by the deviations of the bands, so that bands of very different
    variance do not spoil it (float32 products stay good to condition numbers of 1e7 and more).

    Raises
    ------
    CoverageError
        If the matrix is not positive definite.
    """
    from scipy.linalg import solve_triangular

    k = len(covariance)
    loaded = covariance + np.eye(k) * (ridge * np.trace(covariance) / k)
    deviation = np.sqrt(np.diag(loaded))
    correlation = loaded / np.outer(deviation, deviation)
    eigenvalue = np.linalg.eigvalsh(correlation)
    if not eigenvalue[0] > np.finfo(np.float64).eps * k:
        raise CoverageError(
            f"the covariance of {k} bands is singular (ridge {ridge:g})",
            where=where,
            fix="use a ridge of 1e-3, or exclude bands that repeat others",
        )
    lower = np.linalg.cholesky(correlation)
    whitening = solve_triangular(lower, np.diag(1.0 / deviation), lower=True)
    return np.asarray(whitening), float(eigenvalue[-1] / eigenvalue[0])


def _sample(
    cube: SpectralCube, index: NDArray[np.int64], budget_bytes: int, exclude: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return valid pixels (n, k) on a strided grid, and differences to the right-hand neighbor (m, k)."""
    rows, _, cols = cube.shape
    room = max(MIN_SAMPLE_BYTES, budget_bytes // SAMPLE_BUDGET_SHARE) // (4 * len(index))
    step = max(1, int(np.ceil(np.sqrt(rows * cols / max(1, min(SAMPLE_PIXELS, room))))))
    col = np.arange(step // 2 if step // 2 < cols else 0, cols, step)
    pair = col[col + 1 < cols]
    pixels: list[NDArray[np.float32]] = []
    differences: list[NDArray[np.float32]] = []
    for row in range(min(step // 2, rows - 1), rows, step):
        values, valid = cube.source.read(row, row + 1)
        line = values[0][index]
        usable = valid[0] & np.isfinite(line).all(axis=0)
        if exclude is not None:
            usable = usable & ~exclude[row]
        pixels.append(line[:, col[usable[col]]].T)
        both = pair[usable[pair] & usable[pair + 1]]
        differences.append((line[:, both + 1] - line[:, both]).T)
    return np.concatenate(pixels), np.concatenate(differences)


def _moments(sample: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and covariance, accumulated in float64 on values shifted by a first mean."""
    shift = sample[:CHUNK_PIXELS].mean(axis=0, dtype=np.float64)
    total = np.zeros(sample.shape[1])
    product = np.zeros((sample.shape[1], sample.shape[1]))
    for start in range(0, len(sample), CHUNK_PIXELS):
        chunk = sample[start : start + CHUNK_PIXELS].astype(np.float64) - shift
        total += chunk.sum(axis=0)
        product += chunk.T @ chunk
    n = len(sample)
    return shift + total / n, (product - np.outer(total, total) / n) / (n - 1)


def distances(
    sample: NDArray[np.float32], mean: NDArray[np.float64], whitening: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared Mahalanobis distance (n,) of each pixel of *sample* (n, k) from *mean*."""
    result = np.empty(len(sample))
    for start in range(0, len(sample), CHUNK_PIXELS):
        z = (sample[start : start + CHUNK_PIXELS].astype(np.float64) - mean) @ whitening.T
        result[start : start + CHUNK_PIXELS] = np.einsum("ij,ij->i", z, z)
    return result


def _noise(difference: NDArray[np.float32], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise covariance of one pixel: half that of the differences of neighbors, edges left out.

    The trim shrinks the covariance of a Gaussian by a known factor, which is put back (Croux & Haesbroeck
    1999, doi 10.1006/jmva.1999.1839). Too few pairs: the background's own covariance, an upper bound.
    """
    from scipy.special import gammainc, gammaincinv

    k = len(covariance)
    floor = np.diag(np.diag(covariance)) * NOISE_FLOOR
    if len(difference) < PIXELS_PER_BAND * k:
        return covariance
    _, noise = _moments(difference)
    whitening, _ = factor(noise + 2.0 * floor, ridge=0.0, where="noise")
    distance = distances(difference, np.zeros(k), whitening)
    kept = distance <= np.quantile(distance, 1.0 - NOISE_TRIM_SHARE)
    if kept.sum() < PIXELS_PER_BAND * k:
        return covariance
    radius = float(gammaincinv(k / 2.0, 1.0 - NOISE_TRIM_SHARE))
    consistency = (1.0 - NOISE_TRIM_SHARE) / float(gammainc(k / 2.0 + 1.0, radius))
    _, noise = _moments(difference[kept])
    return noise * (consistency / 2.0) + floor
