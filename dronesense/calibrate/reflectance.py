"""Counts to reflectance with a dark capture and a panel, row by row, nothing forced into memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CalibrationError
from dronesense.model import Panel, SpectralCube
from dronesense.model.cube import CubeSource, Folded, fold

MIN_SIGNAL_TO_NOISE: Final = 3.0
"""Panel signal over dark, in standard deviations of single lines, below which an element is not used."""
MAX_BAD_SHARE: Final = 0.5
"""A band is not good when more than this share of its elements is not usable."""
MAX_REPAIRED_SHARE: Final = 0.05
"""A sample is not valid when more than this share of its good bands would have to be interpolated."""
EXPOSURE_TOLERANCE: Final = 0.01
"""Exposures that differ by less are taken as equal."""

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Levels:
    """Mean, standard deviation of single lines, and maximum of a capture, each (bands, samples)."""

    mean: Doubles
    deviation: Doubles
    highest: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Reflectance:
    """A source of reflectance: ``(raw - dark) * gain``, with single bad elements interpolated over bands."""

    raw: CubeSource
    dark: NDArray[np.float32]
    gain: NDArray[np.float32]
    saturation_dn: float
    good: Mask
    usable: Mask
    repair: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    share: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.raw.shape

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], Mask]:
        raw, valid = self.raw.read(start, stop)
        valid = valid & self.usable
        if np.isfinite(self.saturation_dn):
            valid &= ~(raw[:, self.good] >= self.saturation_dn).any(axis=1)
        values = raw - self.dark
        values *= self.gain
        band, sample, below, above = self.repair
        if band.size:
            low, high = values[:, below, sample], values[:, above, sample]
            values[:, band, sample] = low + (high - low) * self.share
        return values, valid

    def folded(self) -> Folded:
        """Return the raw numbers and the linear map that makes reflectance of them."""
        raw = fold(self.raw)
        saturation = self.saturation_dn

        def read(start: int, stop: int) -> tuple[NDArray[np.generic], Mask]:
            stored, valid = raw.read(start, stop)
            valid = valid & self.usable
            if np.isfinite(saturation):
                valid &= ~np.greater_equal(stored[:, self.good], saturation).any(axis=1)
            return stored, valid

        if raw.repair or (np.isfinite(saturation) and not (raw.gain is None and raw.offset is None)):
            return Folded(self.read)
        gain = self.gain if raw.gain is None else raw.gain * self.gain
        offset = -self.dark * self.gain
        if raw.offset is not None:
            offset = offset + raw.offset * self.gain
        return Folded(read, gain, offset, self.repair if self.repair[0].size else (), self.share)


def calibrate(
    cube: SpectralCube,
    *,
    dark: SpectralCube | NDArray[np.float64] | None,
    panel: Panel | None,
    bad_pixels: NDArray[np.bool_] | None = None,
    saturation_dn: float = float("inf"),
) -> SpectralCube:
    """Return *cube* in reflectance, computed when rows are read.

    For each band and sample ``R = (raw - D) / (W - D) * rho * t_panel / t_cube`` with the mean dark D and
    panel W over the lines of their captures, the panel's reflectance rho as the band sees it, and the
    exposures t. Values outside 0..1 are kept as they are: clipping would hide errors and glints.

    - A panel region that spans only some samples calibrates all of them by its mean per band; what differs
    between
      samples (vignetting) then stays in, and the history says so.
    - A band is set not good where the panel's reflectance is not known, or where more than half of its
    elements are
      saturated on the panel or do not rise above the noise.
    - Other unusable elements (bad pixels of the detector, saturated on the panel) are interpolated between
    the next
      usable bands of the same sample; a sample with more than 5 % such bands is not valid.
    - Pixels at *saturation_dn* in any good band are not valid.

    Parameters
    ----------
    cube : SpectralCube
        Counts.
    dark : SpectralCube or (bands, samples) float64 or None
        Dark signal, DN; None: taken as 0, and the history says so.
    panel : Panel or None
    bad_pixels : (bands, samples) bool, optional
        Detector elements not to be used.
    saturation_dn : float
        Count from which a reading is saturated.

    Raises
    ------
    CalibrationError
        If the cube is not in counts, there is no panel, shapes or exposures do not fit, dark and panel look
        swapped, or no band is left.
    """
    panel = _check(cube, panel)
    dark_mean, history = _dark(cube, panel, dark)
    rho, _, covered = panel.reflectance.in_bands(center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm)
    signal, unusable, lost = _panel_signal(cube, panel, dark_mean, saturation_dn, history)
    good = cube.bands.good & covered & ~lost
    if not good.any():
        raise CalibrationError(
            "no band is left: the panel is saturated, dark, or its reflectance is not known there",
            where=panel.cube.path,
            fix="check the panel's exposure, its region and the wavelengths of its reflectance",
        )
    exposure, note = _exposure_ratio(cube, panel.cube)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(signal > 0.0, rho[:, None] * exposure / signal, np.nan)
    gain[~good] = np.nan
    history.append(_summary(cube, panel, good, covered, lost) + note)
    if bad_pixels is not None:
        unusable = unusable | _bad_pixels(cube, bad_pixels)
    source = _source(cube, dark_mean, gain, good, unusable, saturation_dn, history)
    return replace(
        cube,
        source=source,
        bands=replace(cube.bands, good=good),
        quantity="reflectance",
        history=(*cube.history, *history),
    )


def _check(cube: SpectralCube, panel: Panel | None) -> Panel:
    """Return the panel, or refuse what cannot be turned into reflectance."""
    if cube.quantity != "counts":
        raise CalibrationError(
            f"is already in {cube.quantity}", where=cube.path, fix="leave out dark and panel for this cube"
        )
    if panel is None:
        keys = 'panel = { path = "raw/panel.hdr", reflectance = "raw/panel.csv" }'
        raise CalibrationError(
            "reflectance needs a panel capture",
            where=cube.path,
            fix=f"add {keys} to its [[cube]], or use a signature in counts",
        )
    _check_shape(cube, panel.cube, "panel")
    return panel


def _panel_signal(
    cube: SpectralCube, panel: Panel, dark: Doubles, saturation_dn: float, history: list[str]
) -> tuple[Doubles, Mask, Mask]:
    """Return panel minus dark and unusable elements (bands, samples), and which bands (bands,) are lost."""
    samples = cube.shape[2]
    first, last = panel.samples or (0, samples)
    if not 0 <= first < last <= samples:
        raise CalibrationError(
            f"the panel's samples {first} to {last} are not in its {samples}", where=panel.cube.path
        )
    region = slice(first, last)
    white = _levels(panel.cube, panel.rows)
    if float(np.mean(white.mean[:, region])) <= float(np.mean(dark[:, region])):
        raise CalibrationError(
            "the panel is not brighter than the dark capture",
            where=panel.cube.path,
            fix="check that dark and panel are not swapped, and the panel's region",
        )
    signal = white.mean - dark
    weak = (signal <= MIN_SIGNAL_TO_NOISE * white.deviation) | ~(signal > 0.0)
    unusable = weak | (white.highest >= saturation_dn)
    lost = unusable[:, region].mean(axis=1) > MAX_BAD_SHARE
    if (first, last) == (0, samples):
        return signal, unusable, lost
    history.append(
        f"panel seen by samples {first} to {last - 1} only: one gain per band, vignetting not removed"
    )
    usable = ~unusable[:, region]
    mean = np.where(usable, signal[:, region], 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
    spread = np.broadcast_to(mean[:, None], signal.shape).copy()
    return spread, np.zeros_like(unusable), lost


def _source(
    cube: SpectralCube,
    dark: Doubles,
    gain: Doubles,
    good: Mask,
    unusable: Mask,
    saturation_dn: float,
    history: list[str],
) -> _Reflectance:
    """Plan the repair of single elements and wrap the raw source."""
    unusable = unusable & good[:, None]
    repairable = unusable.sum(axis=0) <= MAX_REPAIRED_SHARE * good.sum()
    band, sample = np.nonzero(unusable & repairable)
    present = good[:, None] & ~unusable
    place = np.arange(len(good))[:, None]
    below = np.maximum.accumulate(np.where(present, place, -1), axis=0)[band, sample]
    above = np.minimum.accumulate(np.where(present, place, len(good))[::-1], axis=0)[::-1][band, sample]
    below, above = np.where(below < 0, above, below), np.where(above >= len(good), below, above)
    share = np.where(above > below, (band - below) / np.maximum(above - below, 1), 0.0)
    if band.size or not repairable.all():
        lost = int((~repairable).sum())
        history.append(f"{band.size} unusable elements interpolated over bands, {lost} samples not valid")
    return _Reflectance(
        raw=cube.source,
        dark=dark.astype(np.float32),
        gain=gain.astype(np.float32),
        saturation_dn=saturation_dn,
        good=good,
        usable=repairable,
        repair=(band, sample, below, above),
        share=share.astype(np.float32),
    )


def _levels(cube: SpectralCube, rows: tuple[int, int] | None) -> _Levels:
    """Return mean, deviation and maximum over the lines *rows* (None = all), accumulated in float64."""
    first, last = rows or (0, cube.shape[0])
    if not 0 <= first < last <= cube.shape[0]:
        raise CalibrationError(f"rows {first} to {last} are not in its {cube.shape[0]}", where=cube.path)
    shift = cube.source.read(first, first + 1)[0][0]
    total = np.zeros(shift.shape)
    square = np.zeros(shift.shape)
    highest = np.full(shift.shape, -np.inf, dtype=np.float32)
    offset = np.empty_like(shift)
    for row in range(first, last):
        line = cube.source.read(row, row + 1)[0][0]
        np.maximum(highest, line, out=highest)
        np.subtract(line, shift, out=offset)
        np.add(total, offset, out=total)
        np.multiply(offset, offset, out=offset)
        np.add(square, offset, out=square)
    n = last - first
    variance = np.maximum(square - total**2 / n, 0.0) / max(n - 1, 1)
    return _Levels(shift + total / n, np.sqrt(variance), highest)


def _dark(cube: SpectralCube, panel: Panel, dark: SpectralCube | Doubles | None) -> tuple[Doubles, list[str]]:
    """Return the dark signal (bands, samples) and what is to be said about it."""
    shape = cube.shape[1:]
    if dark is None:
        return np.zeros(shape), ["no dark capture: dark signal taken as 0"]
    if isinstance(dark, SpectralCube):
        _check_shape(cube, dark, "dark capture")
        if _differs(cube.integration_ms, dark.integration_ms):
            raise CalibrationError(
                f"was exposed {dark.integration_ms:g} ms, the cube {cube.path} {cube.integration_ms:g} ms",
                where=dark.path,
                fix="record the dark at the cube's exposure: how the dark signal grows is not known",
            )
        note = f"dark {dark.path}: mean of {dark.shape[0]} lines"
        if _differs(panel.cube.integration_ms, dark.integration_ms):
            note += f", also used for the panel's {panel.cube.integration_ms:g} ms"
        return _levels(dark, None).mean, [note]
    if dark.shape != shape:
        raise CalibrationError(
            f"the dark signal of the calibration record has {dark.shape} bands x samples, the cube {shape}",
            where=cube.path,
            fix="use the record of this camera and binning",
        )
    return np.asarray(dark, dtype=np.float64), ["dark signal from the calibration record"]


def _check_shape(cube: SpectralCube, other: SpectralCube, role: str) -> None:
    if cube.shape[1:] != other.shape[1:]:
        raise CalibrationError(
            f"the {role} has {other.shape[1]} bands x {other.shape[2]} samples, "
            f"the cube {cube.path} {cube.shape[1]} x {cube.shape[2]}",
            where=other.path,
            fix=f"use a {role} of the same camera and binning",
        )
    if other.quantity != "counts":
        raise CalibrationError(
            f"the {role} is in {other.quantity}, not in counts", where=other.path, fix=f"use the raw {role}"
        )


def _bad_pixels(cube: SpectralCube, bad_pixels: Mask) -> Mask:
    if bad_pixels.shape != cube.shape[1:]:
        raise CalibrationError(
            f"the bad-pixel map has {bad_pixels.shape} bands x samples, the cube {cube.shape[1:]}",
            where=cube.path,
            fix="use the record of this camera and binning",
        )
    return np.asarray(bad_pixels, dtype=np.bool_)


def _differs(a_ms: float, b_ms: float) -> bool:
    """Tell whether two exposures are both known and not the same."""
    return bool(np.isfinite(a_ms) and np.isfinite(b_ms) and abs(a_ms - b_ms) > EXPOSURE_TOLERANCE * abs(b_ms))


def _exposure_ratio(cube: SpectralCube, panel: SpectralCube) -> tuple[float, str]:
    """Return panel exposure / cube exposure, and what is to be said about it."""
    a, b = panel.integration_ms, cube.integration_ms
    if np.isfinite(a) and np.isfinite(b):
        return a / b, f", exposures {b:g} ms and panel {a:g} ms"
    return 1.0, ", exposures not known and taken as equal"


def _summary(cube: SpectralCube, panel: Panel, good: Mask, covered: Mask, lost: Mask) -> str:
    before = cube.bands.good
    return (
        f"reflectance by panel {panel.cube.path} ({panel.reflectance.name}): {int(good.sum())} good bands; "
        f"set not good: {int((before & ~covered).sum())} outside the panel's wavelengths, "
        f"{int((before & covered & lost).sum())} saturated or too dark on the panel"
    )
