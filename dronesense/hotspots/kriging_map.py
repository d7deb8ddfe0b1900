"""A gas map by local ordinary kriging, with a band that unseen flight lines have been held against."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.hotspots.kernel_map import Grid
from dronesense.hotspots.kriging import TILE, Variogram, fit_variogram, krige
from dronesense.model import GasMap

Floats = NDArray[np.float64]

NEIGHBORS: Final = 32
"""Samples in an estimate of the map: against 200 it changes by 0.3 % of the map's standard deviation."""
VARIOGRAM_WIDTHS: Final = 8.0
"""The variogram is fitted up to this many kernel widths: local kriging asks for no more."""
MAX_TILE: Final = 8
"""Largest side of a tile of cells with the same neighbors."""
BAND_QUANTILE: Final = 1.645
"""Half width of a 90 % interval of a normal error, in standard deviations."""
CHECKED: Final = 800
"""Averages of unseen lines that the band is held against."""
LEAST_SHARE: Final = 1e-6
"""Part of the sill that a field keeps when all of it seems to be nugget."""


def kriging_map(
    x: Floats,
    y: Floats,
    value: Floats,
    line: NDArray[np.int64],
    *,
    species: str,
    unit: str,
    grid: Grid,
    inside: NDArray[np.bool_],
    width_m: float,
    spacing_m: float,
    rng: np.random.Generator,
    sigma: float = 0.0,
) -> GasMap:
    """Return the map of averaged readings by ordinary kriging; the nugget counts as noise of the averages.

    `GasMap.sigma` is the standard deviation of a further average there (of its error). Each flight line is
    also kriged from all others: where its standardized errors are larger than 1 (root mean square), sigma
    is enlarged by that much (``band_factor``). `GasMap.support` is ``1 - variance / sill``, the share of the
    field's variance that the samples explain.

    Parameters
    ----------
    x, y, value : (m,) float64
        Places in meters and averages.
    line : (m,) int64
        Flight line of each.
    species, unit : str
        What is mapped.
    grid : Grid
        Where to.
    inside : (ny, nx) bool
        Cells that were sampled near enough; the others are NaN.
    width_m, spacing_m : float
        Width of the kernel that suits the readings, and distance of averages along a line.
    rng : numpy.random.Generator
        Draws pairs and lines where there are too many.
    sigma : float
        Standard uncertainty of one average: the nugget is at least its square, whatever the variogram says.

    Raises
    ------
    ValueError
        If there are fewer than 10 averages or they do not vary.
    """
    fitted = fit_variogram(x, y, value, max_distance_m=VARIOGRAM_WIDTHS * width_m, rng=rng)
    field = replace(fitted, sill=max(fitted.sill - fitted.nugget, LEAST_SHARE * fitted.sill), nugget=0.0)
    nugget = max(fitted.nugget, sigma**2)
    error = unseen_errors(x, y, value, line, variogram=field, noise_variance=nugget, rng=rng)
    factor = max(1.0, math.sqrt(float(np.mean(error**2)))) if error.size else 1.0
    tile = int(np.clip(round(spacing_m / grid.cell), TILE, MAX_TILE))
    about: dict[str, Any] = {"variogram": field, "neighbors": NEIGHBORS, "noise_variance": nugget}
    mean, variance = krige(x, y, value, *np.meshgrid(grid.x, grid.y), **about, tile=tile, inside=inside)
    return GasMap(
        species,
        unit,
        mean.astype(np.float32),
        (factor * np.sqrt(variance + nugget)).astype(np.float32),
        np.clip(1.0 - variance / field.sill, 0.0, 1.0).astype(np.float32),
        grid.transform,
        grid.crs,
        "kriging",
        {
            "variogram": fitted.model,
            "sill": field.sill + nugget,
            "range_m": fitted.range_m,
            "nugget": nugget,
            "neighbors": NEIGHBORS,
            "cell_m": grid.cell,
            "samples": int(value.size),
            "band_factor": factor,
            "unseen_samples": int(error.size),
            "unseen_within_90_percent_band": _share(error, factor),
        },
    )


def unseen_errors(
    x: Floats,
    y: Floats,
    value: Floats,
    line: NDArray[np.int64],
    *,
    variogram: Variogram,
    noise_variance: float,
    rng: np.random.Generator,
    neighbors: int = NEIGHBORS,
    most: int = CHECKED,
) -> Floats:
    """Return the errors of samples kriged from all other flight lines, over their stated standard deviation.

    Lines are drawn until there are *most* samples; (k,) float64, empty where there is one line only.
    """
    numbers = np.unique(line)
    if numbers.size < 2:
        return np.zeros(0)
    found, count = [], 0
    about: dict[str, Any] = {"variogram": variogram, "neighbors": neighbors, "noise_variance": noise_variance}
    for number in rng.permutation(numbers):
        own = line == number
        mean, variance = krige(x[~own], y[~own], value[~own], x[own], y[own], **about)
        found.append((value[own] - mean) / np.sqrt(variance + noise_variance))
        count += int(np.count_nonzero(own))
        if count >= most:
            break
    return np.concatenate(found)


def _share(error: Floats, factor: float) -> float | None:
    if not error.size:
        return None
    return round(float(np.mean(np.abs(error) <= BAND_QUANTILE * factor)), 3)
