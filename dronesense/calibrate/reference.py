"""What dark and panel captures of a line scanner tell, element by element, and where in them the panel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import panel as panels
from dronesense.calibrate.radiance import DB_PER_DECADE, MAX_BAD_SHARE, nearest, settings_of
from dronesense.errors import CalibrationError
from dronesense.model import Frame, LineScan, Panel, SpectralCube

MIN_SIGNAL_TO_NOISE: Final = 3.0
"""Panel signal over dark, in standard deviations of single lines, below which an element is not used."""
EXPOSURE_TOLERANCE: Final = 0.01
"""Exposures that differ by less are taken as equal."""
MAX_LINE_SPREAD: Final = 0.05
"""Standard deviation over mean, from line to line, up to which a sample sees one surface throughout."""
MIN_STEADY: Final = 0.9
"""Share of the samples that must see one surface throughout for the whole capture to be the panel."""
LINE_ASPECT: Final = 0.05
"""Short over long side of a panel in the lines of a scanner: they are not square pixels on the ground."""
MIN_WHITE: Final = 1e-6
"""Reflectance of a panel below which nothing is divided by it."""

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Region = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Mean, standard deviation of single lines, and maximum of a capture, each (bands, samples)."""

    mean: Doubles
    deviation: Doubles
    highest: NDArray[np.float32]
    lines: int


@dataclass(frozen=True, slots=True, eq=False)
class DarkLevel:
    """The dark signal of a capture, DN (bands, samples); its standard uncertainty, None where not known."""

    level: Doubles
    sigma: Doubles | None
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class White:
    """What a surface of reflectance 1 would give, by one panel capture.

    Parameters
    ----------
    signal : (bands, samples) float64
        Above dark, at the exposure and gain of the cube; NaN where it is not known.
    unusable : (bands, samples) bool
        Elements that are saturated or too dark on the panel.
    lost : (bands,) bool
        Bands with too many of those.
    covered : (bands,) bool
        Bands where the panel's reflectance is known.
    noise, reflectance_sigma : (bands,) float64
        Relative standard uncertainty by noise of panel and dark (median over samples), and of the panel's
        reflectance (0 where it is not stated).
    time : int or None
        UTC ns.
    region : str
        What of the capture was used, in words; empty: all of it.
    found : bool
        The region was looked for, nobody stated it.
    note : str
        What is to be said about exposures.
    """

    signal: Doubles
    unusable: Mask
    lost: Mask
    covered: Mask
    noise: Doubles
    reflectance_sigma: Doubles
    time: int | None
    region: str
    found: bool
    note: str


def levels(
    cube: SpectralCube, rows: tuple[int, int] | None, samples: tuple[int, int] | None = None
) -> Levels:
    """Return mean, deviation and maximum over the lines *rows* (None: all), accumulated in float64.

    Lines without any valid pixel (remnants of the readout) are left out where others are there.

    Raises
    ------
    CalibrationError
        If the rows are not in the cube.
    """
    first, last = rows or (0, cube.shape[0])
    if not 0 <= first < last <= cube.shape[0]:
        raise CalibrationError(f"rows {first} to {last} are not in its {cube.shape[0]}", where=cube.path)
    used = slice(*(samples or (0, cube.shape[2])))
    found = _accumulated(cube, range(first, last), used, valid_only=True)
    if not found[0]:
        found = _accumulated(cube, range(first, last), used, valid_only=False)
    n, shift, total, square, highest = found
    variance = np.maximum(square - total**2 / n, 0.0) / max(n - 1, 1)
    return Levels(shift + total / n, np.sqrt(variance), highest, n)


def _accumulated(
    cube: SpectralCube, rows: range, used: slice, *, valid_only: bool
) -> tuple[int, Doubles, Doubles, Doubles, NDArray[np.float32]]:
    """Return the number of lines used, the first, sums and squares of their differences, the maximum."""
    shape = (cube.shape[1], len(range(*used.indices(cube.shape[2]))))
    n, shift = 0, np.zeros(shape, dtype=np.float32)
    offset = np.empty_like(shift)
    total, square = np.zeros(shape), np.zeros(shape)
    highest = np.full(shape, -np.inf, dtype=np.float32)
    for row in rows:
        values, valid = cube.source.read(row, row + 1)
        if valid_only and not valid.any():
            continue
        line = values[0][:, used]
        if n == 0:
            shift = line.copy()
        n += 1
        np.maximum(highest, line, out=highest)
        np.subtract(line, shift, out=offset)
        np.add(total, offset, out=total)
        np.multiply(offset, offset, out=offset)
        np.add(square, offset, out=square)
    return n, shift.astype(np.float64), total, square, highest


def dark_level(
    cube: SpectralCube, dark: SpectralCube | Doubles | Sequence[SpectralCube] | None, *, strict: bool = True
) -> DarkLevel:
    """Return the dark signal for *cube*: of several captures the one nearest in gain, then in exposure.

    Parameters
    ----------
    cube : SpectralCube
        Counts; anything else has no dark signal any more.
    dark : SpectralCube, sequence of them, (bands, samples) float64, or None
        Captures with the lens covered; or the level itself; None: taken as 0.
    strict : bool
        Refuse a dark of another exposure: how the dark signal grows with it is not known. Else it is said.

    Raises
    ------
    CalibrationError
        If shapes or exposures do not fit, or a capture is not in counts.
    """
    shape = cube.shape[1:]
    if cube.quantity != "counts":
        return DarkLevel(np.zeros(shape), None, "")
    if isinstance(dark, np.ndarray):
        if dark.shape != shape:
            raise CalibrationError(
                f"the dark signal of the calibration record has {dark.shape} bands x samples, "
                f"the cube {shape}",
                where=cube.path,
                fix="use the record of this camera and binning",
            )
        return DarkLevel(np.asarray(dark, dtype=np.float64), None, "dark signal from the calibration record")
    captures = (dark,) if isinstance(dark, SpectralCube) else tuple(dark or ())
    if not captures:
        return DarkLevel(np.zeros(shape), None, "no dark capture: dark signal taken as 0")
    best = captures[nearest([settings_of(each) for each in captures], settings_of(cube))]
    check_shape(cube, best, "dark capture")
    note = f"dark {best.path}: mean of {best.shape[0]} lines"
    if len(captures) > 1:
        note += f", of {len(captures)} captures the nearest in gain and exposure"
    if _differs(cube.integration_ms, best.integration_ms):
        if strict:
            raise CalibrationError(
                f"was exposed {best.integration_ms:g} ms, the cube {cube.path} {cube.integration_ms:g} ms",
                where=best.path,
                fix="record the dark at the cube's exposure: how the dark signal grows is not known",
            )
        note += f", also used for the panel's {cube.integration_ms:g} ms"
    found = levels(best, None)
    return DarkLevel(found.mean, found.deviation / np.sqrt(found.lines), note)


def check_shape(cube: SpectralCube, other: SpectralCube, role: str) -> None:
    """Refuse a reference capture of another camera, binning or quantity than the cube."""
    if cube.shape[1:] != other.shape[1:]:
        raise CalibrationError(
            f"the {role} has {other.shape[1]} bands x {other.shape[2]} samples, "
            f"the cube {cube.path} {cube.shape[1]} x {cube.shape[2]}",
            where=other.path,
            fix=f"use a {role} of the same camera and binning",
        )
    if other.quantity != cube.quantity:
        raise CalibrationError(
            f"the {role} is in {other.quantity}, not in {cube.quantity}",
            where=other.path,
            fix=f"use the raw {role}" if cube.quantity == "counts" else f"use a {role} in {cube.quantity}",
        )


def white(cube: SpectralCube, panel: Panel, *, dark: DarkLevel, saturation_dn: float = np.inf) -> White:
    """Return what a surface of reflectance 1 gives at the exposure of *cube*, by one panel capture.

    Raises
    ------
    CalibrationError
        If the panel does not fit the cube, is not found, or is not brighter than the dark.
    """
    check_shape(cube, panel.cube, "panel")
    rho, rho_sigma, covered = panel.reflectance.in_bands(
        center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm
    )
    rows, columns, told, found = region(panel, dark.level)
    seen = levels(panel.cube, rows)
    signal, unusable, lost = _signal(panel, seen, dark.level, columns, saturation_dn)
    spread = seen.deviation[:, columns] / np.sqrt(seen.lines)
    if dark.sigma is not None:
        spread = np.hypot(spread, dark.sigma[:, columns])
    with np.errstate(divide="ignore", invalid="ignore"):
        per_white = np.where(rho > MIN_WHITE, rho, np.nan)[:, None]
        ratio, note = _exposure_ratio(cube, panel.cube)
        noise = spread / np.abs(signal[:, columns])
        relative = np.where(np.isfinite(rho_sigma), rho_sigma, 0.0) / per_white[:, 0]
        scaled = np.where(signal > 0.0, signal / (per_white * ratio), np.nan)
    return White(
        signal=scaled,
        unusable=unusable,
        lost=lost,
        covered=covered & (rho > MIN_WHITE),
        noise=np.nan_to_num(_median(noise), nan=0.0),
        reflectance_sigma=np.nan_to_num(relative, nan=0.0),
        time=panel.time if panel.time is not None else capture_time(panel.cube, rows),
        region=told,
        found=found,
        note=note,
    )


def _signal(
    panel: Panel, seen: Levels, dark: Doubles, columns: slice, saturation_dn: float
) -> tuple[Doubles, Mask, Mask]:
    """Return panel minus dark and unusable elements (bands, samples), and which bands (bands,) are lost."""
    listed = panel.cube.bands.good if panel.cube.bands.good.any() else np.ones(len(dark), dtype=bool)
    bright = seen.mean[listed, columns]
    if float(np.nanmean(bright)) <= float(np.mean(dark[listed, columns])):
        raise CalibrationError(
            "the panel is not brighter than the dark capture",
            where=panel.cube.path,
            fix="check that dark and panel are not swapped, and the panel's region",
        )
    signal = seen.mean - dark
    weak = (signal <= MIN_SIGNAL_TO_NOISE * seen.deviation) | ~(signal > 0.0)
    unusable = weak | (seen.highest >= saturation_dn)
    lost = unusable[:, columns].mean(axis=1) > MAX_BAD_SHARE
    if columns == slice(0, signal.shape[1]):
        return signal, unusable, lost
    usable = ~unusable[:, columns]
    mean = np.where(usable, signal[:, columns], 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
    return np.broadcast_to(mean[:, None], signal.shape).copy(), np.zeros_like(unusable), lost


def region(panel: Panel, dark: Doubles) -> tuple[tuple[int, int], slice, str, bool]:
    """Return rows and samples of the panel in its capture, what is to be said, and if it was looked for.

    What the user states wins. Else all of the capture if it is alike from line to line, or if he says so;
    else the largest island that is bright and uniform, see :func:`dronesense.calibrate.panel.find`. Where
    there is none and nobody asked to look, all of it is taken, and that is told.

    Raises
    ------
    CalibrationError
        If it was asked to look and there is no panel, or the stated samples are not in the capture.
    """
    rows, _, samples = panel.cube.shape
    if panel.rows is not None or panel.samples is not None or panel.find == "whole":
        first, last = panel.samples or (0, samples)
        if not 0 <= first < last <= samples:
            raise CalibrationError(
                f"the panel's samples {first} to {last} are not in its {samples}", where=panel.cube.path
            )
        return panel.rows or (0, rows), slice(first, last), _of_samples(first, last, samples), False
    image = _brightness(panel.cube, dark)
    if panel.find is None and (rows < panels.MIN_FACE_PIXELS or _steady(image)):
        return (0, rows), slice(0, samples), "", False
    try:
        found = panels.find(image, aspect=LINE_ASPECT)
    except CalibrationError as error:
        if panel.find is None:
            told = (
                "differs from line to line and shows no panel as an island: all of it is taken for the panel"
            )
            return (0, rows), slice(0, samples), told, True
        raise CalibrationError(
            error.what, where=panel.cube.path, fix="state rows = [first, last] and samples of the panel"
        ) from error
    (top, bottom), (left, right) = panels.box(found)
    told = f"panel found in rows {top} to {bottom - 1}, samples {left} to {right - 1}"
    told += f", its spread is {found.spread:.1%}"
    partly = _of_samples(left, right, samples)
    return (top, bottom), slice(left, right), f"{told}; {partly}" if partly else told, True


def _of_samples(first: int, last: int, samples: int) -> str:
    if (first, last) == (0, samples):
        return ""
    return f"panel seen by samples {first} to {last - 1} only: one gain per band, vignetting not removed"


def _brightness(cube: SpectralCube, dark: Doubles) -> NDArray[np.float32]:
    """Return the mean over good bands above dark, (rows, samples); NaN where a pixel is not valid."""
    good = cube.bands.good if cube.bands.good.any() else np.ones(cube.shape[1], dtype=bool)
    image = np.empty((cube.shape[0], cube.shape[2]), dtype=np.float32)
    level = dark[good].mean(axis=0)
    for block in cube.blocks():
        rows = slice(block.start, block.start + len(block.values))
        used = block.values if good.all() else block.values[:, good]
        image[rows] = used.mean(axis=1) - level
        image[rows][~block.valid] = np.nan
    return image


def _steady(image: NDArray[np.float32]) -> bool:
    """Tell whether nearly all samples see one surface from the first line to the last."""
    known = np.isfinite(image)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, image, 0.0).astype(np.float64)
    mean = filled.sum(axis=0) / count
    spread = np.sqrt(np.maximum(np.where(known, (filled - mean) ** 2, 0.0).sum(axis=0) / count, 0.0))
    steady = (spread <= MAX_LINE_SPREAD * np.abs(mean)) | ~known.any(axis=0)
    return bool(np.mean(steady) >= MIN_STEADY)


def capture_time(cube: SpectralCube, rows: tuple[int, int] | None = None) -> int | None:
    """Return the middle of a capture (of its lines *rows*), UTC ns; None where it has no times."""
    if isinstance(cube.geometry, Frame):
        return cube.geometry.time
    if not isinstance(cube.geometry, LineScan):
        return None
    time = cube.geometry.time[slice(*(rows or (0, cube.shape[0])))]
    return int(time[0]) + (int(time[-1]) - int(time[0])) // 2


def _differs(a_ms: float, b_ms: float) -> bool:
    """Tell whether two exposures are both known and not the same."""
    return bool(np.isfinite(a_ms) and np.isfinite(b_ms) and abs(a_ms - b_ms) > EXPOSURE_TOLERANCE * abs(b_ms))


def _exposure_ratio(cube: SpectralCube, panel: SpectralCube) -> tuple[float, str]:
    """Return exposure times gain of the panel over that of the cube, and what is to be said about it."""
    if cube.quantity != "counts":
        return 1.0, ""
    a, b = panel.integration_ms, cube.integration_ms
    own, other = settings_of(cube).gain_db, settings_of(panel).gain_db
    factor, note = 1.0, ""
    if np.isfinite(own) and np.isfinite(other) and own != other:
        factor = 10.0 ** ((other - own) / DB_PER_DECADE)
        note = f", gains {own:g} dB and panel {other:g} dB"
    if np.isfinite(a) and np.isfinite(b):
        return factor * a / b, f", exposures {b:g} ms and panel {a:g} ms{note}"
    return factor, f", exposures not known and taken as equal{note}"


def _median(values: Doubles) -> Doubles:
    """Return the median over samples (bands,) of what is finite; NaN where nothing is."""
    result = np.full(len(values), np.nan)
    known = np.isfinite(values).any(axis=1)
    masked = np.where(np.isfinite(values), values, np.nan)
    result[known] = np.nanmedian(masked[known], axis=1)
    return result
