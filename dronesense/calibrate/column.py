"""Columns of a laser: what clean air adds along the light path is taken off, slants are made vertical."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import GasSeries

Floats = NDArray[np.float64]

MIN_SAMPLES: Final = 30
"""Fewer samples do not tell a background from a plume."""
MIN_SPREAD_M: Final = 1.0
"""Standard deviation of path lengths below which a background by length cannot be told from a constant."""
BINS: Final = 20
"""Bins of length in which the start of the fit takes a low quantile."""
LOW_QUANTILE: Final = 0.25
"""Of a bin: gas only adds, so plumes in up to half of the samples hardly lift it."""
CLIP_SIGMAS: Final = 2.5
"""Samples farther from the line are plume, or no readings."""
CLIPPED_STD: Final = 0.9546
"""Standard deviation of a normal distribution cut at 2.5 sigma: sqrt(1 - 5 phi(2.5) / (2 Phi(2.5) - 1))."""
MAX_ROUNDS: Final = 30
MAD_TO_STD: Final = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""
MAX_CORRELATION: Final = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class PathBackground:
    """The column of clean air, ``offset + slope (length - center)``.

    Parameters
    ----------
    offset_ppm_m, slope_ppm : float
        At the center, and by length: the slope is the mole fraction of clean air, ppm.
    cov : (2, 2) float64
        Covariance of the two; neighbors of a series share their noise, which is counted.
    center_m : float
        Mean length.
    noise_ppm_m : float
        Standard deviation of clean samples around the line.
    shortest_m, longest_m : float
        Lengths that took part.
    clean : (m,) bool
        Samples that did.
    """

    offset_ppm_m: float
    slope_ppm: float
    cov: Floats
    center_m: float
    noise_ppm_m: float
    shortest_m: float
    longest_m: float
    clean: NDArray[np.bool_]

    def at(self, length_m: Floats) -> tuple[Floats, Floats]:
        """Return the background of paths, ppm m, and its standard uncertainty."""
        away = length_m - self.center_m
        variance = self.cov[0, 0] + 2.0 * self.cov[0, 1] * away + self.cov[1, 1] * away**2
        return self.offset_ppm_m + self.slope_ppm * away, np.sqrt(variance)

    @property
    def sigma_slope_ppm(self) -> float:
        """Standard uncertainty of the slope."""
        return math.sqrt(float(self.cov[1, 1]))


def path_background(
    column: Floats, length_m: Floats, *, usable: NDArray[np.bool_] | None = None
) -> PathBackground | None:
    """Fit the column of clean air against the length of the path, from the samples that meet no plume.

    A line through low quantiles of bins of length starts it; then least squares and clipping at 2.5 standard
    deviations take turns, the standard deviation being that of the samples below the line, where no gas is.

    Parameters
    ----------
    column : (m,) float64
        Slant columns in order of time, ppm m.
    length_m : (m,) float64
        Lengths of their paths; NaN where unknown.
    usable : (m,) bool, optional
        Samples that may take part; default: the finite ones.

    Returns
    -------
    PathBackground or None
        None where there are fewer than 30 samples, or where the lengths hardly differ: then a constant
        background does as well.

    Examples
    --------
    Clean air of 1.9 ppm over 20 to 60 m, and a plume of 50 ppm m over a tenth of it:

    >>> length = np.linspace(20.0, 60.0, 400)
    >>> column = 1.9 * length + np.tile([0.2, -0.2], 200)
    >>> column[100:140] += 50.0
    >>> found = path_background(column, length)
    >>> round(found.slope_ppm, 3), int(found.clean.sum())
    (1.9, 360)
    """
    given = np.isfinite(column) & np.isfinite(length_m)
    if usable is not None:
        given &= usable
    if np.count_nonzero(given) < MIN_SAMPLES or float(np.std(length_m[given])) < MIN_SPREAD_M:
        return None
    value, length = column[given], length_m[given]
    center = float(length.mean())
    away = length - center
    slope, offset = _start(value, away)
    rest = value - offset - slope * away
    offset += float(np.median(rest))
    scale = MAD_TO_STD * float(np.median(np.abs(rest - np.median(rest))))
    kept = np.ones(value.size, dtype=bool)
    for _ in range(MAX_ROUNDS):
        close = np.abs(value - offset - slope * away) <= CLIP_SIGMAS * scale
        if np.count_nonzero(close) < MIN_SAMPLES // 2 or float(np.std(away[close])) == 0.0:
            break
        slope, offset = np.polyfit(away[close], value[close], 1)
        if np.array_equal(close, kept):
            break
        kept = close
        rest = value - offset - slope * away
        scale = MAD_TO_STD * float(np.median(-rest[rest < 0.0])) if (rest < 0.0).any() else scale
    rest = (value - offset - slope * away)[kept]
    noise = float(np.sqrt(np.sum(rest**2) / max(rest.size - 2, 1))) / CLIPPED_STD
    design = np.column_stack([np.ones(rest.size), away[kept]])
    cov = noise**2 * _inflation(rest) * np.linalg.inv(design.T @ design)
    clean = np.zeros(column.size, dtype=bool)
    clean[np.flatnonzero(given)[kept]] = True
    ends = float(length[kept].min()), float(length[kept].max())
    return PathBackground(float(offset), float(slope), cov, center, noise, *ends, clean=clean)


def without_path(
    series: GasSeries, background: PathBackground, *, length_m: Floats, sigma_length_m: Floats
) -> GasSeries:
    """Return the series of what the column holds above clean air; NaN where the length is unknown.

    The uncertainty of the line and of the length joins `sigma`.
    """
    level, sigma = background.at(length_m)
    spread = np.sqrt(series.sigma**2 + sigma**2 + (background.slope_ppm * np.nan_to_num(sigma_length_m)) ** 2)
    line = (
        f"column: clean air of {background.slope_ppm:.4g} ± {background.sigma_slope_ppm:.2g} ppm x path "
        f"taken off ({background.shortest_m:.1f} to {background.longest_m:.1f} m, "
        f"{background.clean.sum()} of {len(series)} samples)"
    )
    return replace(series, value=series.value - level, sigma=spread, history=(*series.history, line))


def to_vertical(series: GasSeries, *, cos_vertical: Floats, sigma_cos: Floats) -> GasSeries:
    """Return vertical columns of slant ones: times the cosine of the beam's angle to the vertical.

    Right for gas in a layer that is wider than the beam is aslant; a plume narrower than ``length x sin`` is
    met by a part of the beam only, and its column depends on the side it is looked at from.

    Parameters
    ----------
    series : GasSeries
        Slant columns.
    cos_vertical, sigma_cos : (m,) float64
        From :func:`dronesense.geotag.beam.locate_beams`; NaN where unknown.

    Examples
    --------
    Pitch 10 and roll 5 degrees: 100 ppm m become 98.106.

    >>> float(np.round(100.0 * np.cos(np.radians(10.0)) * np.cos(np.radians(5.0)), 3))
    98.106
    """
    sigma = np.hypot(series.sigma * cos_vertical, series.value * sigma_cos)
    tilt = np.degrees(np.arccos(np.clip(cos_vertical[np.isfinite(cos_vertical)], 0.0, 1.0)))
    middle = f"median tilt {np.median(tilt):.1f} deg" if tilt.size else "no tilt known"
    line = f"column: slant to vertical ({middle})"
    return replace(series, value=series.value * cos_vertical, sigma=sigma, history=(*series.history, line))


def _start(value: Floats, away: Floats) -> tuple[float, float]:
    """Return slope and offset of a line through low quantiles of bins: the median of slopes between them."""
    order = np.argsort(away, kind="stable")
    bins = np.array_split(order, min(BINS, max(2, value.size // (MIN_SAMPLES // 3))))
    x = np.array([float(np.mean(away[each])) for each in bins])
    y = np.array([float(np.quantile(value[each], LOW_QUANTILE)) for each in bins])
    i, j = np.triu_indices(x.size, 1)
    apart = x[j] - x[i] > 0.0
    slope = float(np.median((y[j] - y[i])[apart] / (x[j] - x[i])[apart])) if apart.any() else 0.0
    return slope, float(np.median(y - slope * x))


def _inflation(rest: Floats) -> float:
    """Return by how much the variance of a mean grows as neighbors hang together: (1 + r) / (1 - r)."""
    variance = float(np.mean(rest**2))
    if rest.size < MIN_SAMPLES or variance == 0.0:
        return 1.0
    r = float(np.clip(np.mean(rest[1:] * rest[:-1]) / variance, 0.0, MAX_CORRELATION))
    return (1.0 + r) / (1.0 - r)
