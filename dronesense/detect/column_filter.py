"""Columns of a gas over the pixels of a cube: a matched filter on its absorption, in ppm m.

Thompson et al. 2015, doi 10.5194/amt-8-4383-2015 (matched filter by detector column); Foote et al. 2020,
doi 10.1109/TGRS.2020.2976888. Equations and what they are worth: docs/methods/gas-columns-from-cubes.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import one_blas_thread
from dronesense.detect import column_statistics as statistics
from dronesense.detect import tail as tails
from dronesense.detect.column_statistics import Filters, Group, Window
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import Bands, Frame, MapGrid, ScoreMap, SpectralCube
from dronesense.model.absorption import AbsorptionTable, BandAbsorption, ColumnMap, absorption_window
from dronesense.model.cube import DEFAULT_BLOCK_BYTES

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

METHOD: Final = "column"
DEFAULT_FALSE_ALARM_RATE: Final = 1e-5
"""Per pixel, where neither a rate nor a threshold is stated."""
PIXELS_PER_BAND: Final = 10.0
"""Pixels for each band that a group of columns should have: the filter then keeps about 90 % of what it could
do with a known covariance (Reed, Mallett & Brennan 1974, doi 10.1109/TAES.1974.307893)."""
MAX_ROUNDS: Final = 5
"""Times that plumes are excluded and the background is estimated again, at most."""
SEED_SCORE: Final = 4.0
"""Pixels of this score are left out of the background; so are..."""
SMOOTH_PIXELS: Final = 5
"""...those whose mean over a square of so many pixels a side..."""
SMOOTH_SEED: Final = 5.0
"""...reaches this many of its own deviations; and with both..."""
SMOOTH_RIM: Final = 3.0
"""...pixels where the mean reaches this many, within..."""
RIM_STEPS: Final = 5
"""...this many steps from pixel to pixel."""
STRAY_SHARE: Final = 0.05
"""Share of the scene's pixels that stray farther from background and gas than a plume is taken to."""
STRAY_WITH_GAS: Final = 0.1
"""Squared deviations that a plume may stray for each that it scores: it dims each material's own light."""
SETTLED: Final = 1e-4
"""Share of the pixels that may change sides when rounds end."""
MIN_BRIGHTNESS: Final = 0.02
"""Pixels darker than this share of their column's mean have no value."""
BRIGHTNESS_BINS: Final = 16
"""Classes of brightness in which the scatter of the background is measured."""
PIXELS_PER_BIN: Final = 500
"""Fewest pixels of such a class."""
SCATTER_PIXELS: Final = 1 << 19
"""Pixels that the scatter is measured on, at most."""
TWO_SIDED_90: Final = 1.6448536269514722
"""Standard deviations on both sides that hold 90 % of a Gaussian."""
NODES_PER_STEP: Final = 4
"""Parts that each step of the table's columns is cut into for the curve of growth."""
EMITTED_NM: Final = 3000.0
"""From about here on the ground sends out more than it reflects of the sun (day, 300 K: 3 to 4 um), nm."""


def retrieve(
    cube: SpectralCube,
    table: AbsorptionTable,
    *,
    window_nm: tuple[float, float] | None = None,
    dark_removed: bool = False,
    pixels_per_band: float = PIXELS_PER_BAND,
    shrinkage: float | None = None,
    max_rounds: int = MAX_ROUNDS,
    threshold: float | None = None,
    false_alarm_rate: float | None = None,
    target: str = "",
    budget_bytes: int = DEFAULT_BLOCK_BYTES,
) -> ColumnMap:
    """Return how much of a gas stands over each pixel, above what the background holds.

    The background is learned by detector column (groups of adjacent ones where there are fewer lines than the
    bands need); pixels that stand out are left out of it and it is learned again, until they settle. The
    cube is passed over twice, and twice more for each such round; no more than blocks, sums and maps are in
    memory.

    Parameters
    ----------
    cube : SpectralCube
        Radiance; or counts whose dark signal was taken off (*dark_removed*): the gain of each element drops
        out. Reflectance is radiance over a smooth spectrum and does as well, unless the gas was taken out of
        it by a correction of the atmosphere.
    table : AbsorptionTable
        What the gas takes out of the light.
    window_nm : (low, high), optional
        Bands to use; None: those of the table (:func:`~dronesense.model.absorption.absorption_window`).
    dark_removed : bool
        Counts are proportional to light.
    pixels_per_band : float
        That a group of columns has at least, if the scene does.
    shrinkage : float, optional
        Share of the scene's covariance in that of each group; None: by the number of pixels.
    max_rounds : int
        Of exclusion; 0: plumes stay in their own background, and values come out too low.
    threshold, false_alarm_rate : float, optional
        Score from which a pixel counts, or how often the background may exceed it; neither: 1e-5.
    target : str
        Name of what is found; the species if empty.
    budget_bytes : int
        For the blocks of the cube.

    Raises
    ------
    CalibrationError
        If the cube holds counts with their dark signal.
    CoverageError
        If wavelengths are missing, the bands do not cover what the gas absorbs, or there are too few pixels.
    """
    _check_quantity(cube, dark_removed)
    absorption, chosen, notes = _bands(cube, table, window_nm)
    by_column = not isinstance(cube.geometry, MapGrid | Frame)
    with one_blas_thread():
        window = statistics.window(cube, np.flatnonzero(chosen), by_column=by_column)
        groups = statistics.grouping(window, pixels_per_band)
        found = _search(window, groups, absorption, shrinkage, max_rounds, budget_bytes)
    if window.dark_bands:
        notes.append(f"{window.dark_bands} bands without light left out")
    return _finish(
        cube, table, window, groups, absorption, found, notes, (threshold, false_alarm_rate, target)
    )


def _check_quantity(cube: SpectralCube, dark_removed: bool) -> None:
    if cube.quantity == "counts" and not dark_removed:
        raise CalibrationError(
            "a column of gas needs numbers proportional to light, these are raw counts",
            where=cube.path,
            fix="give a dark capture (and a calibration, if there is one)",
        )


def _bands(
    cube: SpectralCube, table: AbsorptionTable, window_nm: tuple[float, float] | None
) -> tuple[BandAbsorption, Mask, list[str]]:
    """Return the absorption in the cube's bands, which of them to use, and what was assumed for it."""
    center, notes = cube.bands.center_nm, []
    if not np.isfinite(center).any():
        raise CoverageError(
            "the wavelengths of its bands are not known",
            where=cube.path,
            fix="add wavelength and fwhm to its header",
        )
    width, assumed = _widths(cube.bands)
    if assumed:
        notes.append(f"widths of {assumed} bands not known: the distance to their neighbors assumed")
    absorption = table.in_bands(center_nm=center, fwhm_nm=width)
    if window_nm is None:
        inside = absorption_window(absorption)
    else:
        inside = absorption.covered & (center >= window_nm[0]) & (center <= window_nm[1])
    chosen = inside & cube.bands.good
    depth = np.where(absorption.covered, np.abs(absorption.per_ppm_m), 0.0)
    if int(chosen.sum()) < 3 or not depth[chosen].max() > 0.0:
        nm = table.wavelength_nm
        raise CoverageError(
            f"{int(chosen.sum())} of its good bands ({np.nanmin(center):.0f} to {np.nanmax(center):.0f} nm) "
            f"lie where {table.name} has {table.species} ({nm[0]:.0f} to {nm[-1]:.0f} nm)",
            where=cube.path,
            fix="use a camera that sees the gas, or a table for its wavelengths",
        )
    strongest = table.wavelength_nm[int(np.argmin(table.radiance[-1] / table.radiance[0]))]
    nearest = float(np.min(np.abs(center[chosen] - strongest)))
    if window_nm is None and table.window_nm is None and nearest > 0.1 * strongest:
        notes.append(f"the strongest lines of {table.species} ({strongest:.0f} nm) lie beyond its bands")
    if float(center[chosen].max()) > EMITTED_NM:
        notes.append(
            "thermal infrared: a ppm m holds for the contrast of gas and ground that the table was made for"
        )
    return absorption, chosen, notes


def _widths(bands: Bands) -> tuple[Doubles, int]:
    """Return the widths of bands, and how many were set to the distance of their neighbors."""
    unknown = np.isfinite(bands.center_nm) & ~(bands.fwhm_nm > 0.0)
    known = np.flatnonzero(np.isfinite(bands.center_nm))
    if not unknown.any() or len(known) < 2:
        return bands.fwhm_nm, 0
    order = known[np.argsort(bands.center_nm[known], kind="stable")]
    spacing = np.full(len(bands), np.nan)
    spacing[order] = np.abs(np.gradient(bands.center_nm[order]))
    return np.where(unknown, spacing, bands.fwhm_nm), int(unknown.sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What the passes over a cube gave: filter outputs, brightness, and how they came about."""

    filters: Filters
    output: Floats
    brightness: Floats
    scatter: Floats
    other: Mask
    plume: Mask
    rounds: tuple[int, ...]
    settled: bool


def _search(
    window: Window,
    groups: tuple[Group, ...],
    absorption: BandAbsorption,
    shrinkage: float | None,
    max_rounds: int,
    budget_bytes: int,
) -> _Found:
    """Learn the background, look for what stands out, leave it out, and learn again."""
    k = absorption.per_ppm_m[window.bands]
    strong = 1.0 - np.exp(-absorption.log_ratio[-1, window.bands])
    rows, _, cols = window.cube.shape
    plume, settled = np.zeros((rows, cols), dtype=np.bool_), False
    rounds: list[int] = []
    odd = np.zeros_like(plume)
    while True:
        sums = statistics.add_up(window, groups, plume=plume if rounds else None, budget_bytes=budget_bytes)
        learned = statistics.filters(window, groups, sums, k, strong, shrinkage=shrinkage)
        output, brightness, stray = _apply(window, groups, learned, k, budget_bytes)
        scatter = _scatter(output, brightness, plume)
        other = _strays(output, stray, plume)
        found = _Found(learned, output, brightness, scatter, other, plume, tuple(rounds), settled)
        if settled or len(rounds) >= max_rounds:
            return found
        # A plume in its own background distorts the filter: only once it is out can its kind be told.
        odd = odd | other if rounds else odd
        before, plume = plume, _standing_out(output / scatter, odd)
        changed = int(np.count_nonzero(plume != before))
        if not changed:
            return replace(found, settled=True)
        rounds.append(int(plume.sum()))
        settled = changed <= SETTLED * plume.size


def _apply(
    window: Window, groups: tuple[Group, ...], learned: Filters, k: Doubles, budget_bytes: int
) -> tuple[Floats, Floats, Floats]:
    """Return the filter's output in deviations, the brightness, and the squared deviations across the gas."""
    rows, _, cols = window.cube.shape
    output = np.full((rows, cols), np.nan, dtype=np.float32)
    brightness, stray = output.copy(), output.copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = learned.weight / np.sqrt(learned.energy)
        light = learned.weight * k[:, None] / learned.energy
    still = np.einsum("bc,bc->c", learned.curved, learned.mean)
    offset, dim = np.einsum("bc,bc->c", weight, learned.mean), light.sum(axis=0)
    for start, y, valid in window.blocks(budget_bytes):
        at = slice(start, start + len(valid))
        along = np.where(valid, np.einsum("rbc,bc->rc", y, weight) - offset, np.nan)
        output[at] = along
        brightness[at] = np.where(valid, np.einsum("rbc,bc->rc", y, light) + dim, np.nan)
        curved = np.einsum("rbc,bc->rc", y, learned.curved) - still
        stray[at] = statistics.distances(y, groups, learned) - along**2 - curved**2
        output[at][y.mean(axis=1) < MIN_BRIGHTNESS - 1.0] = np.nan
    return output, brightness, stray


def _strays(output: Floats, stray: Floats, plume: Mask) -> Mask:
    """Return pixels that are neither the background's kind nor that with gas: rare materials."""
    known = stray[np.isfinite(output) & ~plume]
    if not known.size:
        return np.zeros(output.shape, dtype=np.bool_)
    place = int((1.0 - STRAY_SHARE) * (known.size - 1))
    limit = np.partition(known, place)[place]
    return np.asarray(stray > limit + STRAY_WITH_GAS * np.square(np.maximum(output, 0.0)))


def _scatter(output: Floats, brightness: Floats, plume: Mask) -> Floats:
    """Return by how much the background's outputs scatter at the brightness of each pixel.

    Half the width that holds 90 % of them, over that of a Gaussian. The filter's own figure is 1 for the
    average pixel; clutter grows with the light, detector noise does not.
    """
    step = max(1, output.size // SCATTER_PIXELS)
    some = np.isfinite(output) & ~plume
    u, g = output[some][::step], brightness[some][::step]
    bins = min(BRIGHTNESS_BINS, len(u) // PIXELS_PER_BIN)
    if bins < 1:
        return np.ones_like(output)
    order = np.argsort(g, kind="stable")
    parts = [order[a:b] for a, b in pairwise(np.linspace(0, len(u), bins + 1).astype(int).tolist())]
    nodes = [float(np.median(g[part])) for part in parts]
    spread = [float(np.subtract(*np.quantile(u[part], (0.95, 0.05)))) / 2 / TWO_SIDED_90 for part in parts]
    return np.interp(brightness, nodes, spread).astype(np.float32)


def _standing_out(score: Floats, other: Mask) -> Mask:
    """Return the pixels of plumes: high scores, or raised ones side by side, and what lies around them.

    Patches most of whose high scores are rare materials (*other*) are background that looks like the gas.
    """
    from scipy.ndimage import binary_dilation, label, uniform_filter

    known = np.isfinite(score)
    filled = np.where(known, score, np.float32(0.0))
    smooth = uniform_filter(filled, SMOOTH_PIXELS, mode="nearest")
    low, middle = np.quantile(smooth[known], (0.05, 0.5)) if known.any() else (-1.0, 0.0)
    smooth = (smooth - middle) * TWO_SIDED_90 / max(float(middle - low), float(np.finfo(np.float32).tiny))
    seeds: Mask = known & ((score >= SEED_SCORE) | (smooth >= SMOOTH_SEED))
    around = np.ones((3, 3), dtype=np.bool_)
    joins = seeds | (known & (smooth >= SMOOTH_RIM))
    grown = binary_dilation(seeds, around, iterations=RIM_STEPS, mask=joins)
    labels, count = label(grown, around)
    strange = np.bincount(labels[seeds & other], minlength=count + 1)
    every = np.bincount(labels[seeds], minlength=count + 1)
    is_plume = 2 * strange < every
    is_plume[0] = False
    return np.asarray(is_plume[labels])


def _growth(window: Window, learned: Filters, absorption: BandAbsorption) -> tuple[Doubles, Doubles]:
    """Return columns (m,) and what the linear filter makes of them (m, cols), for light of brightness 1.

    A pixel ``x = L T(c)`` differs from its background by ``x (1 - 1 / T(c))``: with the pixel's own light,
    which the gas has already dimmed.
    """
    stated, ratio = absorption.table.concentration_ppm_m, absorption.log_ratio[:, window.bands]
    c = np.concatenate([np.linspace(a, b, NODES_PER_STEP + 1)[:-1] for a, b in pairwise(stated.tolist())])
    c = np.append(c, stated[-1])
    slope = ratio[1:] / stated[1:, None]
    at = np.clip(np.searchsorted(stated[1:], c, side="right") - 1, 0, max(0, len(stated) - 3))
    if len(slope) == 1:
        log = c[:, None] * slope
    else:
        share = (c - stated[1:][at]) / (stated[1:][at + 1] - stated[1:][at])
        log = c[:, None] * (slope[at] + (slope[at + 1] - slope[at]) * share[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = (1.0 - np.exp(-log)) @ (learned.weight * (1.0 + learned.mean)) / learned.energy
    return c, seen


def _inverted(linear: Doubles, c: Doubles, seen: Doubles) -> tuple[Doubles, Doubles]:
    """Return the columns that look like *linear* (rows, cols) to the filter, and their slope there.

    Straight on beyond both ends of the table.
    """
    value, slope = np.empty_like(linear), np.empty_like(linear)
    for j in range(len(c) - 1):
        step = np.maximum(seen[j + 1] - seen[j], np.finfo(np.float64).tiny)
        rise = np.broadcast_to((c[j + 1] - c[j]) / step, linear.shape)
        here = linear >= seen[j] if j else np.ones(linear.shape, dtype=np.bool_)
        np.copyto(slope, rise, where=here)
        np.copyto(value, c[j] + (linear - seen[j]) * rise, where=here)
    return value, slope


def _finish(
    cube: SpectralCube,
    table: AbsorptionTable,
    window: Window,
    groups: tuple[Group, ...],
    absorption: BandAbsorption,
    found: _Found,
    notes: list[str],
    asked: tuple[float | None, float | None, str],
) -> ColumnMap:
    """Turn the filter's output into ppm m, and learn the tail of the background."""
    learned, (threshold, rate, target) = found.filters, asked
    b = len(window.bands)
    with np.errstate(invalid="ignore", divide="ignore"):
        light = np.where(found.brightness >= MIN_BRIGHTNESS, found.brightness, np.nan)
        unit = 1.0 / (np.sqrt(learned.energy) * light)
        loss = np.where(learned.pixels > b, learned.pixels / (learned.pixels - b), np.nan)
        value, slope = _inverted(found.output * unit, *_growth(window, learned, absorption))
        sigma = np.abs(unit * slope) * (found.scatter * loss)
        score = (found.output / (found.scatter * loss)).astype(np.float32)
        score[np.isnan(value)] = np.nan
    tail = None
    if threshold is None or int(np.isfinite(score).sum()) >= tails.MIN_SCORES:
        tail = tails.fit(score, exclude=found.plume)
    if threshold is None:
        assert tail is not None
        rate = DEFAULT_FALSE_ALARM_RATE if rate is None else rate
        threshold = tails.score_at(tail, rate)
    beyond = int(np.count_nonzero(value > table.concentration_ppm_m[-1]))
    if beyond:
        notes.append(f"{beyond} pixels hold more than the table ({table.concentration_ppm_m[-1]:g} ppm m)")
    if not found.settled and found.rounds:
        notes.append("what stands out has not settled")
    parameters = {
        **_parameters(cube, table, window, groups, found),
        "median_sigma_ppm_m": float(np.nanmedian(sigma)) if np.isfinite(sigma).any() else float("nan"),
        "tail": "not fitted" if tail is None else tail.note,
        "history": notes,
    }
    score_map = ScoreMap(
        cube=cube.name,
        target=target or table.species,
        method=METHOD,
        score=score,
        unit="1",
        threshold=threshold,
        false_alarm_rate=float("nan") if asked[0] is not None else float(rate or 0.0),
        tail=tail,
        parameters=parameters,
    )
    return ColumnMap(
        species=table.species,
        value=value.astype(np.float32),
        sigma=sigma.astype(np.float32),
        brightness=found.brightness,
        plume=found.plume,
        other=found.other,
        score=score_map,
        parameters=parameters,
    )


def _parameters(
    cube: SpectralCube,
    table: AbsorptionTable,
    window: Window,
    groups: tuple[Group, ...],
    found: _Found,
) -> dict[str, object]:
    """Return what values depend on, ready for JSON."""
    nm = cube.bands.center_nm[window.bands]
    learned = found.filters
    return {
        "species": table.species,
        "unit": "ppm m",
        "table": table.name,
        "table_version": table.version,
        "table_sha256": table.sha256,
        "table_source": table.source,
        "geometry": dict(table.geometry),
        "bands": len(window.bands),
        "window_nm": [float(nm.min()), float(nm.max())],
        "quantity": cube.quantity,
        "background": "detector columns" if window.by_column else "the whole map",
        "group_columns": sorted({group.width for group in groups}),
        "shrinkage": float(learned.shrinkage.max()),
        "condition": learned.condition,
        "background_pixels": int(np.min(learned.pixels)),
        "excluded_pixels": list(found.rounds),
        "excluded_share": float(found.plume.mean()),
    }
