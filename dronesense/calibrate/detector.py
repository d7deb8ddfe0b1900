"""The detector of a push-broom camera, element by element: binning, bad pixels, smile, readout remnants.

A frame is (bands, samples): one row a band, one column a sample across the track.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CalibrationError
from dronesense.model import SpectralCube
from dronesense.model.radiometry import CameraSettings, DarkFrame

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

OUTLIER_SIGMA: Final = 6.0
"""Of a normal distribution, 2e-9 lie beyond: no good element of a detector of 1e6."""
NEIGHBORS: Final = 9
"""Samples across which the dark level of a band is taken as smooth."""
LINES_FOR_NOISE: Final = 10
"""Dark lines from which the noise of an element is known well enough to judge it (to 24 %)."""
MAD_TO_SIGMA: Final = 1.482602218505602
"""1 / quantile(0.75) of the standard normal distribution."""
QUANTUM_SIGMA: Final = 1.0 / 12.0**0.5
"""Standard deviation of rounding to a whole count."""
MIN_KNOWN_SHARE: Final = 0.5
"""A flat with fewer elements above dark is none."""
FLAT_SIGMA: Final = 3.0
"""Signal of a flat over dark, in standard deviations of its mean, from which a response is known."""
SHUTTER_SHARE: Final = 0.02
"""A last line with less than this share of the usual signal was read with the shutter closed."""
REFERENCE_LINES: Final = 32
REFERENCE_QUANTILE: Final = 0.9
"""Of the signal of lines spread over the cube: the usual one, even if most of it was read in the dark."""
MIN_ELEMENTS: Final = 16
"""A line of fewer elements may well have one value, or that of the line before."""
TAIL_LINES: Final = 32
MAX_EXTRAPOLATION: Final = 0.5
"""Smile: a band further outside the wavelengths of a sample, in bands, is not known there."""
MAX_REPAIRED_SHARE: Final = 0.05
"""A sample is not usable when more than this share of its good bands would have to be interpolated."""


def bin_frame(frame: Doubles, *, samples: int, bands: int) -> Doubles:
    """Return the mean of each *bands* x *samples* group of elements.

    Parameters
    ----------
    frame : (b, s) float64
    samples, bands : int
        Elements that are added into one number; they divide the frame.

    Raises
    ------
    CalibrationError
        If they do not.

    Examples
    --------
    >>> bin_frame(np.arange(8.0).reshape(2, 4), samples=2, bands=2)
    array([[2.5, 4.5]])
    """
    b, s = frame.shape
    if b % bands or s % samples:
        raise CalibrationError(
            f"a frame of {b} bands x {s} samples cannot be binned {bands} x {samples}",
            fix="use the calibration of this camera",
        )
    return np.asarray(frame.reshape(b // bands, bands, s // samples, samples).mean(axis=(1, 3)))


def binning_ratio(own: CameraSettings, wanted: CameraSettings, name: str = "") -> tuple[int, int]:
    """Return by how much (bands, samples) a frame taken at *own* is binned to be as a cube at *wanted*.

    Raises
    ------
    CalibrationError
        If the frame is binned more, or not by a whole factor less.
    """
    pairs = (wanted.band_binning, own.band_binning), (wanted.sample_binning, own.sample_binning)
    if any(new % old for new, old in pairs):
        raise CalibrationError(
            f"binned {own.band_binning} x {own.sample_binning} (bands x samples), the cube "
            f"{wanted.band_binning} x {wanted.sample_binning}",
            where=name or None,
            fix="use frames that are binned as the cube is, or less",
        )
    return pairs[0][0] // pairs[0][1], pairs[1][0] // pairs[1][1]


@dataclass(frozen=True, slots=True, eq=False)
class BadPixels:
    """Elements not to be used, each (bands, samples) bool.

    Parameters
    ----------
    level : Mask
        Dark level far from that of the neighbors: hot or dead.
    noisy : Mask
        Far more noise than others: blinking.
    stuck : Mask
        No noise at all where others have some.
    """

    level: Mask
    noisy: Mask
    stuck: Mask

    @property
    def mask(self) -> Mask:
        """All of them."""
        return np.asarray(self.level | self.noisy | self.stuck)

    def __str__(self) -> str:
        parts = (("off in level", self.level), ("noisy", self.noisy), ("stuck", self.stuck))
        text = ", ".join(f"{int(mask.sum())} {name}" for name, mask in parts)
        return f"bad elements from the dark: {text}, of {self.level.size}"


def find_bad_pixels(dark: DarkFrame, *, threshold: float = OUTLIER_SIGMA) -> BadPixels:
    """Return the elements of *dark* that are off in level or noise, by robust statistics.

    The level is compared with the median of the nine neighbors of the same band, the noise (where the frame
    is the mean of ten lines or more) with the median of all elements, on a logarithmic scale; *threshold*
    counts in robust standard deviations (1.4826 times the median absolute deviation) of all elements.

    Parameters
    ----------
    dark : DarkFrame
    threshold : float
        Robust standard deviations.
    """
    from scipy.ndimage import median_filter

    window = min(NEIGHBORS, dark.level.shape[1])
    off = dark.level - median_filter(dark.level, size=(1, window), mode="nearest")
    floor = QUANTUM_SIGMA / np.sqrt(max(dark.lines, 1))
    level = ~(np.abs(off) <= threshold * max(_robust_sigma(off), floor))
    none = np.zeros(level.shape, dtype=bool)
    if dark.deviation is None or dark.lines < LINES_FOR_NOISE:
        return BadPixels(level, none, none)
    deviation = dark.deviation
    usual = float(np.median(deviation))
    stuck = (deviation == 0.0) & (usual > 0.0)
    if not usual > 0.0:
        return BadPixels(level, none, stuck)
    log = np.log(np.maximum(deviation, usual * 1e-6))
    spread = max(_robust_sigma(log[~stuck]), 1.0 / np.sqrt(2.0 * (dark.lines - 1)))
    noisy = (log - np.log(usual) > threshold * spread) & (deviation > usual + QUANTUM_SIGMA)
    return BadPixels(level, noisy, stuck)


def _robust_sigma(values: Doubles) -> float:
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """Single elements that are interpolated between bands of the same sample.

    Parameters
    ----------
    band, sample, below, above : (n,) int64
        Element, and the next usable bands around it (both the same at the ends).
    share : (n,) float32
        Where between them.
    usable : (samples,) bool
        False where too many bands of a sample would have to be interpolated.
    """

    band: Ints
    sample: Ints
    below: Ints
    above: Ints
    share: NDArray[np.float32]
    usable: Mask

    def apply(self, values: NDArray[np.float32]) -> None:
        """Interpolate in (rows, bands, samples) *values*, in place."""
        if self.band.size:
            low, high = values[:, self.below, self.sample], values[:, self.above, self.sample]
            values[:, self.band, self.sample] = low + (high - low) * self.share


def repair_plan(unusable: Mask, good: Mask, *, max_share: float = MAX_REPAIRED_SHARE) -> Repair:
    """Plan how *unusable* elements (bands, samples) of *good* bands (bands,) are interpolated."""
    unusable = unusable & good[:, None]
    usable = unusable.sum(axis=0) <= max_share * good.sum()
    band, sample = np.nonzero(unusable & usable)
    place, count = np.arange(len(good))[:, None], len(good)
    present = good[:, None] & ~unusable
    below = np.maximum.accumulate(np.where(present, place, -1), axis=0)[band, sample]
    above = np.minimum.accumulate(np.where(present, place, count)[::-1], axis=0)[::-1][band, sample]
    below, above = np.where(below < 0, above, below), np.where(above >= count, below, above)
    share = np.where(above > below, (band - below) / np.maximum(above - below, 1), 0.0)
    return Repair(band, sample, below, above, share.astype(np.float32), usable)


@dataclass(frozen=True, slots=True, eq=False)
class Smile:
    """Puts the spectra of all samples on one wavelength axis: linear interpolation between two bands.

    Parameters
    ----------
    below : (bands, samples) int64
        Lower band of the two; the other is the next.
    share : (bands, samples) float32
        Weight of the next band; -0.5 to 1.5 (the last half band is extrapolated).
    known : (bands,) bool
        False where a sample does not reach the band's wavelength.
    """

    below: Ints
    share: NDArray[np.float32]
    known: Mask

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (rows, bands, samples) *values* on the common axis."""
        sample = np.arange(self.below.shape[1])
        low = values[:, self.below, sample]
        high = values[:, self.below + 1, sample]
        high -= low
        high *= self.share
        high += low
        return high

    def reached(self, good: Mask) -> Mask:
        """Return the bands (bands,) that are known in every sample when only the *good* ones are there."""
        low = good[self.below] | (self.share == 1.0)
        high = good[self.below + 1] | (self.share == 0.0)
        return np.asarray(good & self.known & (low & high).all(axis=1))

    @property
    def noise_factor(self) -> Doubles:
        """What interpolation leaves of the noise of single elements, (bands, samples)."""
        share = self.share.astype(np.float64)
        return np.hypot(1.0 - share, share)


def smile(center_nm: Doubles, shift_nm: Doubles) -> Smile:
    """Return the resampling that undoes a shift of wavelengths between samples.

    Parameters
    ----------
    center_nm : (bands,) float64
        The common axis, rising or falling.
    shift_nm : (samples,) or (bands, samples) float64
        True center of each element minus `center_nm`.

    Raises
    ------
    CalibrationError
        If wavelengths are not known, do not rise or fall throughout, or there are fewer than two bands.
    """
    true = np.asarray(center_nm, dtype=np.float64)[:, None] + shift_nm
    axis = np.broadcast_to(np.asarray(center_nm, dtype=np.float64)[:, None], true.shape)
    step = np.diff(true, axis=0)
    if true.shape[0] < 2 or not (bool((step > 0.0).all()) or bool((step < 0.0).all())):
        raise CalibrationError(
            "wavelengths must rise or fall from band to band in every sample to be resampled",
            fix="leave the smile shift out, or calibrate the two detectors one by one",
        )
    if step[0, 0] < 0.0:
        true, axis = -true, -axis
    # One search for all samples: the axes are strung one behind the other, far enough apart.
    bands, samples = true.shape
    low = min(float(true.min()), float(axis.min()))
    stride = max(float(true.max()), float(axis.max())) - low + 1.0
    strung = (true - low + stride * np.arange(samples)).T.ravel()
    wanted = (axis - low + stride * np.arange(samples)).T
    below = np.searchsorted(strung, wanted.ravel(), side="right").reshape(samples, bands).T - 1
    below = np.clip(below - bands * np.arange(samples), 0, bands - 2)
    left = np.take_along_axis(true, below, axis=0)
    right = np.take_along_axis(true, below + 1, axis=0)
    share = (axis - left) / (right - left)
    known = ((share >= -MAX_EXTRAPOLATION) & (share <= 1.0 + MAX_EXTRAPOLATION)).all(axis=1)
    share = np.clip(share, -MAX_EXTRAPOLATION, 1.0 + MAX_EXTRAPOLATION)
    return Smile(below.astype(np.int64), share.astype(np.float32), np.asarray(known))


def stray_lines(cube: SpectralCube, dark: Doubles | None = None) -> int:
    """Return how many lines at the end of a cube in counts are remnants of the readout, not the ground.

    Such a line has one value throughout, or is an exact copy of the line before, or (where the dark signal is
    given) has less than 2 % of the usual signal above it: the shutter was closed. Only whole runs up to the
    last line count.

    Parameters
    ----------
    cube : SpectralCube
        Counts.
    dark : (bands, samples) float64, optional
        Dark signal, DN.
    """
    rows = cube.shape[0]
    good = cube.bands.good if cube.bands.good.any() else np.ones(cube.shape[1], dtype=bool)
    usual = 0.0
    if dark is not None:
        picked = np.unique(np.linspace(0, rows - 1, REFERENCE_LINES).astype(int))
        signals = [_signal(cube.source.read(row, row + 1)[0], dark, good)[0] for row in picked]
        usual = float(np.quantile(signals, REFERENCE_QUANTILE))
    stop = rows
    while stop > 0:
        start = max(0, stop - TAIL_LINES)
        first = max(0, start - 1)
        lines = cube.source.read(first, stop)[0][:, good].reshape(stop - first, -1)
        stray = np.zeros(len(lines), dtype=bool)
        if lines.shape[1] >= MIN_ELEMENTS:
            stray |= (lines == lines[:, :1]).all(axis=1)
            stray[1:] |= (lines[1:] == lines[:-1]).all(axis=1)
        if dark is not None and usual > 0.0:
            values = cube.source.read(first, stop)[0]
            stray |= _signal(values, dark, good) < SHUTTER_SHARE * usual
        own = stray[start - first :]
        if not own.all():
            return rows - stop + int(np.argmin(own[::-1]))
        stop = start
    return rows


def _signal(values: NDArray[np.float32], dark: Doubles, good: Mask) -> Doubles:
    """Return the mean of each line above dark."""
    return np.asarray((values[:, good] - dark[good]).mean(axis=(1, 2), dtype=np.float64))


def dark_frame(
    cube: SpectralCube, *, settings: CameraSettings | None = None, rows: tuple[int, int] | None = None
) -> DarkFrame:
    """Return mean and deviation of a dark capture, line by line in float64.

    Parameters
    ----------
    cube : SpectralCube
        Counts, taken in the dark.
    settings : CameraSettings, optional
        How it was taken; without, the exposure that the cube knows.
    rows : (int, int), optional
        First row and row after the last; all if left out.

    Raises
    ------
    CalibrationError
        If it is not in counts, or the rows are not in it.
    """
    if cube.quantity != "counts":
        raise CalibrationError(f"a dark capture must be in counts, not {cube.quantity}", where=cube.path)
    first, last = rows or (0, cube.shape[0])
    if not 0 <= first < last <= cube.shape[0]:
        raise CalibrationError(f"rows {first} to {last} are not in its {cube.shape[0]}", where=cube.path)
    level, deviation = _mean_and_deviation(lambda row: cube.source.read(row, row + 1)[0][0], first, last)
    known = cube.integration_ms if cube.integration_ms > 0.0 else float("nan")
    return DarkFrame(
        level=level,
        settings=CameraSettings(known) if settings is None else settings,
        deviation=deviation if last - first > 1 else None,
        lines=last - first,
        name=cube.path,
    )


def flat_field(flat: DarkFrame, dark: Doubles) -> Doubles:
    """Return what evens out the elements of each band: 1 over the relative response, from a uniform source.

    Multiplied with a gain per band it makes a gain per element; alone it removes stripes and vignetting.

    Parameters
    ----------
    flat : DarkFrame
        Mean counts of a uniform source, see :func:`dark_frame`.
    dark : (bands, samples) float64
        Dark signal at its exposure, DN.

    Returns
    -------
    (bands, samples) float64
        Median 1 in each band; NaN for elements whose signal is not greater than 0, or not greater than three
        standard deviations of its mean.

    Raises
    ------
    CalibrationError
        If the shapes differ, or less than half of it is brighter than the dark.

    Examples
    --------
    >>> flat_field(DarkFrame(np.array([[12.0, 6.0, 14.0]])), np.full((1, 3), 2.0)).round(3)
    array([[1.   , 2.5  , 0.833]])
    """
    if flat.level.shape != dark.shape:
        raise CalibrationError(
            f"the flat has {flat.level.shape} bands x samples, the dark {dark.shape}", where=flat.name or None
        )
    signal = flat.level - dark
    least = np.zeros_like(signal)
    if flat.deviation is not None and flat.lines > 0:
        least = FLAT_SIGMA * flat.deviation / np.sqrt(flat.lines)
    known = signal > least
    if known.mean() < MIN_KNOWN_SHARE:
        raise CalibrationError(
            f"only {int(known.sum())} of {known.size} elements of the flat are brighter than the dark",
            where=flat.name or None,
            fix="check that flat and dark are not swapped",
        )
    some = known.any(axis=1)
    factor = np.full(signal.shape, np.nan)
    masked = np.where(known, signal, np.nan)
    factor[some] = np.nanmedian(masked[some], axis=1, keepdims=True) / masked[some]
    return factor


def _mean_and_deviation(
    line: Callable[[int], NDArray[np.float32]], first: int, last: int
) -> tuple[Doubles, Doubles]:
    """Return mean and standard deviation over lines, by Welford's update."""
    mean = line(first).astype(np.float64)
    square = np.zeros_like(mean)
    for row in range(first + 1, last):
        values = line(row)
        off = values - mean
        mean += off / (row - first + 1)
        square += off * (values - mean)
    return mean, np.sqrt(square / max(last - first - 1, 1))
