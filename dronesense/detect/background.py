"""The background of a cube: mean, covariance and noise from a bounded sample, without its targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import together
from dronesense.detect import chi_square
from dronesense.detect.stored import picker
from dronesense.errors import CoverageError
from dronesense.model import SpectralCube
from dronesense.model.cube import fold

KINDS: Final = ("scene", "columns", "local", "clusters", "iterated")
"""Backgrounds of a spectral rule."""
SAMPLE_PIXELS: Final = 65_536
"""Pixels of the strided sample, at most."""
SAMPLE_BYTES: Final = 32 * 1024 * 1024
"""And bytes: 31,000 pixels, 115 per band, of a 270-band camera, where some 10 per band are enough."""
TRIM_SHARE: Final = 0.005
"""Share of the sample, the farthest from the mean, that is left out as possible targets."""
NOISE_TRIM_SHARE: Final = 0.2
"""Share of the neighbor differences, the farthest from zero, that is left out as edges of materials."""
PIXELS_PER_BAND: Final = 2
"""Fewest pixels per band: below, the sample covariance says nothing about some directions."""
MAX_TAKEN_OFF: Final = 1e4
"""Sums of trimmed pixels are taken off the sums of all where they are at most this many times what stays:
beyond, the difference would lose digits that matter, and the sums are made anew."""
CHUNK_PIXELS: Final = 4096
"""Pixels turned to float64 at a time."""
INVERTED_AT_ONCE: Final = 72
"""Size of the triangular blocks that are inverted as if they were full."""
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
        As a share of each band's own variance.
    whitening : (k, k) float64
        Lower triangular ``W`` with ``W' W = (covariance + ridge diag(covariance))^-1``.
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
    exclude: NDArray[np.bool_] | None = None,
    bands: NDArray[np.int64] | None = None,
) -> Background:
    """Estimate the background from a sample of rows and columns spread evenly over the cube.

    Mean and covariance are summed in float64 on shifted values; the 0.5 % of the sample that lies farthest
    from the mean (Mahalanobis distance) is then left out, once, because targets in their own background hide
    themselves. Some background outliers go with them: the statistics describe the bulk.

    Parameters
    ----------
    cube : SpectralCube
    ridge : float
        Share of each band's variance that is added to it, >= 0: one unit on the diagonal of the correlation,
        whatever the bands' units and gains.
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
    sample, difference = _sample(cube, index, exclude)
    varies = np.ptp(sample, axis=0) > 0.0 if len(sample) else np.ones(len(index), dtype=np.bool_)
    if not varies.all():
        index, sample, difference = index[varies], sample[:, varies], difference[:, varies]
    if len(sample) < PIXELS_PER_BAND * max(1, len(index)):
        raise CoverageError(
            f"{len(sample)} valid pixels are too few for the statistics of {len(index)} bands",
            where=cube.path,
            fix=f"give a cube of at least {PIXELS_PER_BAND * max(1, len(index))} pixels, or exclude bands",
        )
    sums, of_differences = together(lambda: _Sums.of(sample), lambda: _Sums.of(difference))
    first = sums.moments()

    def bulk() -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        distance = distances(sample, first[0], factor(first[1], ridge=ridge, where=cube.path)[0])
        near = distance <= np.quantile(distance, 1.0 - TRIM_SHARE)
        return near, *sums.without(sample, ~near).moments()

    (kept, mean, covariance), noise = together(
        bulk, lambda: _noise(difference, of_differences, np.diag(np.diag(first[1])) * NOISE_FLOOR)
    )
    whitening, condition = factor(covariance, ridge=ridge, where=cube.path)
    history = (
        (
            f"background: {int(kept.sum())} of {len(sample)} sampled pixels in {len(index)} bands "
            f"(farthest {TRIM_SHARE:.1%} left out), ridge {ridge:g} of each band's variance, "
            f"condition {condition:.3g}"
        ),
    )
    return Background(
        bands=index,
        mean=mean,
        covariance=covariance,
        noise=covariance if noise is None else noise,
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
    whitening, correlation = _whiten(covariance, ridge=ridge)
    eigenvalue = np.linalg.eigvalsh(correlation)
    if whitening is None or not eigenvalue[0] > np.finfo(np.float64).eps * len(covariance):
        raise CoverageError(
            f"the covariance of {len(covariance)} bands is singular (ridge {ridge:g})",
            where=where,
            fix="use a ridge of 3e-3, or exclude bands that repeat others",
        )
    return whitening, float(eigenvalue[-1] / eigenvalue[0])


def whiten(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower triangular ``W`` with ``W' W = covariance^-1``; see :func:`factor`.

    Raises
    ------
    ValueError
        If the matrix is not positive definite.
    """
    whitening, _ = _whiten(covariance, ridge=0.0)
    if whitening is None:
        raise ValueError("the covariance is not positive definite")
    return whitening


def _whiten(
    covariance: NDArray[np.float64], *, ridge: float
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return the whitening matrix, None for a singular covariance, and the correlation."""
    deviation = np.sqrt(np.diag(covariance) * (1.0 + ridge))
    correlation = covariance / deviation / deviation[:, None]
    np.fill_diagonal(correlation, 1.0)
    try:
        lower = np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        return None, correlation
    return np.asarray(_inverse_of_lower(np.asarray(lower)) / deviation), correlation


def _inverse_of_lower(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a lower triangular matrix, half by half."""
    k = len(lower)
    if k <= INVERTED_AT_ONCE:
        return np.tril(np.linalg.inv(lower))
    half = k // 2
    result = np.zeros_like(lower)
    result[:half, :half] = _inverse_of_lower(lower[:half, :half])
    result[half:, half:] = _inverse_of_lower(lower[half:, half:])
    result[half:, :half] = -result[half:, half:] @ (lower[half:, :half] @ result[:half, :half])
    return result


def _sample(
    cube: SpectralCube, index: NDArray[np.int64], exclude: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return valid pixels (n, k) on a strided grid, and differences to the right-hand neighbor (m, k)."""
    rows, _, cols = cube.shape
    room = max(1, SAMPLE_BYTES // (4 * len(index)))
    step = max(1, int(np.ceil(np.sqrt(rows * cols / min(SAMPLE_PIXELS, room)))))
    col = np.arange(step // 2 if step // 2 < cols else 0, cols, step)
    at = np.union1d(col, np.minimum(col + 1, cols - 1))
    here, right = np.searchsorted(at, col), np.searchsorted(at, np.minimum(col + 1, cols - 1))
    source = fold(cube.source)
    pick = picker(source, at)
    row_numbers = range(min(step // 2, rows - 1), rows, step)
    pixels = np.empty((len(row_numbers) * len(col), len(index)), dtype=np.float32)
    differences = np.empty_like(pixels)
    n = m = 0
    for row in row_numbers:
        stored, valid = source.read(row, row + 1)
        line = pick(stored[0])[index]
        usable = valid[0, at] & np.isfinite(line).all(axis=0)
        if exclude is not None:
            usable = usable & ~exclude[row, at]
        good = here[usable[here]]
        pixels[n : n + len(good)] = line[:, good].T
        both = usable[here] & usable[right] & (here != right)
        pairs = int(both.sum())
        differences[m : m + pairs] = (line[:, right[both]] - line[:, here[both]]).T
        n, m = n + len(good), m + pairs
    return pixels[:n], differences[:m]


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums of pixels and of their products, in float64, shifted by a first mean."""

    shift: NDArray[np.float64]
    total: NDArray[np.float64]
    product: NDArray[np.float64]
    count: int

    @classmethod
    def of(cls, sample: NDArray[np.float32], shift: NDArray[np.float64] | None = None) -> _Sums:
        k = sample.shape[1]
        if shift is None:
            shift = sample[:CHUNK_PIXELS].mean(axis=0, dtype=np.float64) if len(sample) else np.zeros(k)
        total, product = np.zeros(k), np.zeros((k, k))
        for start in range(0, len(sample), CHUNK_PIXELS):
            chunk = sample[start : start + CHUNK_PIXELS].astype(np.float64)
            chunk -= shift
            total += chunk.sum(axis=0)
            product += chunk.T @ chunk
        return cls(shift, total, product, len(sample))

    def without(self, sample: NDArray[np.float32], left_out: NDArray[np.bool_]) -> _Sums:
        """Return the sums without some pixels of *sample*."""
        off = _Sums.of(sample[left_out], self.shift)
        rest = self.product - off.product
        if np.any(np.diag(off.product) > MAX_TAKEN_OFF * np.maximum(np.diag(rest), 0.0)):
            return _Sums.of(sample[~left_out])
        return _Sums(self.shift, self.total - off.total, rest, self.count - off.count)

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and covariance."""
        offset = self.total / self.count
        scatter = self.product - np.outer(self.total, offset)
        return self.shift + offset, scatter / (self.count - 1)


def distances(
    sample: NDArray[np.float32], mean: NDArray[np.float64], whitening: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the squared Mahalanobis distance (n,) of each pixel of *sample* (n, k) from *mean*, float32."""
    result = np.empty(len(sample), dtype=np.float32)
    center, across = mean.astype(np.float32), whitening.T.astype(np.float32)
    for start in range(0, len(sample), CHUNK_PIXELS):
        z = (sample[start : start + CHUNK_PIXELS] - center) @ across
        result[start : start + CHUNK_PIXELS] = np.einsum("ij,ij->i", z, z)
    return result


def _noise(
    difference: NDArray[np.float32], sums: _Sums, floor: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the noise covariance of one pixel: half that of the differences of neighbors, edges left out.

    The trim shrinks the covariance of a Gaussian by a known factor, which is put back (Croux & Haesbroeck
    1999, doi 10.1006/jmva.1999.1839). None with too few pairs: then the background's own covariance is an
    upper bound.
    """
    k = len(floor)
    if len(difference) < PIXELS_PER_BAND * k:
        return None
    _, noise = sums.moments()
    distance = distances(difference, np.zeros(k), whiten(noise + 2.0 * floor))
    kept = distance <= np.quantile(distance, 1.0 - NOISE_TRIM_SHARE)
    if kept.sum() < PIXELS_PER_BAND * k:
        return None
    radius = chi_square.exceeded(NOISE_TRIM_SHARE, k)
    consistency = (1.0 - NOISE_TRIM_SHARE) / chi_square.below(radius, k + 2)
    _, noise = sums.without(difference, ~kept).moments()
    return noise * (consistency / 2.0) + floor
