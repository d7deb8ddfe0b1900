"""The empirical line: radiance to reflectance from targets on the ground whose reflectance was measured.

``rho = gain * L + offset`` band by band; the offset takes the path radiance off. G. M. Smith, E. J. Milton,
Int. J. Remote Sensing 20 (1999) 2653, doi 10.1080/014311699211994. A line through two targets that hardly
differ in a band points anywhere: such bands are gated, and a set that fails in most bands is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CalibrationError
from dronesense.model import SpectralCube
from dronesense.model.capture import PixelFlag
from dronesense.model.cube import CubeSource, Folded, fold

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_CONTRAST: Final = 0.20
"""Radiance range over mean radiance of the targets below which a band is gated."""
MIN_PASSING: Final = 0.5
"""Share of the bands with data that must pass; below, the targets are refused."""
REACH: Final = 0.25
"""How far beyond the range of the targets, in parts of it, a radiance may lie before it is flagged."""


@dataclass(frozen=True, slots=True, eq=False)
class EmpiricalLine:
    """Lines of all bands.

    Parameters
    ----------
    gain, offset : (bands,) float64
        ``reflectance = gain * radiance + offset``; NaN where gated.
    covariance : (bands, 2, 2) float64
        Of gain and offset; NaN where it cannot be known (two targets without stated sigma).
    good : (bands,) bool
        Bands that pass the gate.
    contrast : (bands,) float64
        Range of radiance over mean radiance of the targets.
    low, high : (bands,) float64
        Radiance that the targets span.
    reasons : tuple of str
        Per band why it was gated; empty for good ones.
    note : str
        One line for a report.
    """

    gain: Doubles
    offset: Doubles
    covariance: Doubles
    good: Mask
    contrast: Doubles
    low: Doubles
    high: Doubles
    reasons: tuple[str, ...]
    note: str

    @property
    def relative_sigma(self) -> Doubles:
        """Standard uncertainty of the line midway between its targets, as a share of the value, (bands,)."""
        middle = (self.low + self.high) / 2.0
        value, sigma, _ = self.apply(middle)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(value > 0.0, sigma / value, np.nan))

    def apply(self, radiance: NDArray[np.floating]) -> tuple[Doubles, Doubles, NDArray[np.uint8]]:
        """Return reflectance, standard uncertainty of the line in it, and flags; nothing is clipped.

        Parameters
        ----------
        radiance : (..., bands)
            In the unit of the targets'.

        Returns
        -------
        reflectance, sigma : (..., bands) float64
            NaN in gated bands.
        flags : (..., bands) uint8
            ``BELOW_DARK`` for a negative reflectance, ``ABOVE_ONE``, and ``EXTRAPOLATED`` beyond the targets
            by more than a quarter of their range; ``OUTSIDE`` in gated bands.
        """
        values = np.asarray(radiance, dtype=np.float64)
        reflectance = values * self.gain + self.offset
        c = self.covariance
        with np.errstate(invalid="ignore"):
            variance = values**2 * c[:, 0, 0] + 2.0 * values * c[:, 0, 1] + c[:, 1, 1]
            sigma = np.sqrt(np.maximum(variance, 0.0))
            margin = REACH * (self.high - self.low)
            beyond = self.good & ((values < self.low - margin) | (values > self.high + margin))
            flags = np.where(reflectance < 0.0, PixelFlag.BELOW_DARK, 0)
            flags = flags | np.where(reflectance > 1.0, PixelFlag.ABOVE_ONE, 0)
            flags = flags | np.where(beyond, PixelFlag.EXTRAPOLATED, 0)
        flags = flags | np.where(self.good, 0, PixelFlag.OUTSIDE)
        return reflectance, sigma, flags.astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _Lined:
    """A source of reflectance by a line per band."""

    raw: CubeSource
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.raw.shape

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], Mask]:
        values, valid = self.raw.read(start, stop)
        return values * self.gain[:, None] + self.offset[:, None], valid

    def folded(self) -> Folded:
        """Return the raw numbers and the linear map that makes reflectance of them."""
        raw = fold(self.raw)
        if raw.repair:
            return Folded(self.read)
        shape = self.raw.shape[1:]
        own = np.ones(shape, dtype=np.float32) if raw.gain is None else raw.gain
        gain, offset = own * self.gain[:, None], np.broadcast_to(self.offset[:, None], shape)
        if raw.offset is not None:
            offset = offset + raw.offset * self.gain[:, None]
        return Folded(raw.read, gain, np.ascontiguousarray(offset))


def calibrate(cube: SpectralCube, line: EmpiricalLine) -> SpectralCube:
    """Return *cube* in reflectance by the lines of its bands, when rows are read; nothing is clipped.

    Gated bands are set not good.

    Parameters
    ----------
    cube : SpectralCube
        Radiance, or counts of one exposure, in the unit that the targets were measured in.
    line : EmpiricalLine

    Raises
    ------
    CalibrationError
        If the cube is already in reflectance, has other bands, or no band is left.
    """
    if cube.quantity == "reflectance":
        raise CalibrationError("is already in reflectance", where=cube.path, fix="calibrate it only once")
    if len(line.gain) != len(cube.bands):
        raise CalibrationError(
            f"has {len(cube.bands)} bands, the empirical line {len(line.gain)}",
            where=cube.path,
            fix="take the targets from cubes of the same camera",
        )
    good = cube.bands.good & line.good
    if not good.any():
        raise CalibrationError("no good band of it passes the gate of the empirical line", where=cube.path)
    source = _Lined(cube.source, line.gain.astype(np.float32), line.offset.astype(np.float32))
    return replace(
        cube,
        source=source,
        bands=replace(cube.bands, good=good),
        quantity="reflectance",
        history=(*cube.history, line.note),
        relative_sigma=line.relative_sigma,
    )


def fit(
    radiance: ArrayLike,
    reflectance: ArrayLike,
    *,
    sigma_radiance: ArrayLike = 0.0,
    sigma_reflectance: ArrayLike = 0.0,
    min_contrast: float = MIN_CONTRAST,
) -> EmpiricalLine:
    r"""Return the line through targets, gated band by band.

    A band passes if its radiance range is more than *min_contrast* of its mean radiance and the brighter
    target is the one of higher reflectance. Two targets give the line through both; more give least squares.

    Parameters
    ----------
    radiance, reflectance : (targets, bands) float
        Of each target; NaN where it was not measured.
    sigma_radiance, sigma_reflectance : (targets, bands) float
        Standard uncertainties; 0 = not stated.
    min_contrast : float
        Gate.

    Raises
    ------
    CalibrationError
        If there are fewer than two targets, or fewer than half of the bands with data pass.
    """
    x, y = np.asarray(radiance, dtype=np.float64), np.asarray(reflectance, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"radiance and reflectance must be (targets, bands), not {x.shape} and {y.shape}")
    if len(x) < 2:
        raise CalibrationError(
            "an empirical line needs at least two targets", fix="measure a dark and a bright target"
        )
    known = np.isfinite(x + y).all(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high, mean = x.min(axis=0), x.max(axis=0), x.mean(axis=0)
        contrast = np.where(known & (mean > 0.0), (high - low) / mean, np.nan)
        dx, dy = x - mean, y - y.mean(axis=0)
        square = (dx**2).sum(axis=0)
        gain = (dx * dy).sum(axis=0) / square
        offset = y.mean(axis=0) - gain * mean
        weak = ~(contrast > min_contrast)
        falling = ~(gain > 0.0)
    good: Mask = np.logical_and(known, ~(weak | falling))
    covariance = _covariance(x, y, gain, offset, sigma_radiance, sigma_reflectance)
    reasons = tuple(
        "" if ok else "not measured" if not here else "too little contrast" if flat else "wrong sign"
        for ok, here, flat in np.stack([good, known, weak], axis=1)
    )
    _refuse(good, np.asarray(known), contrast, min_contrast)
    gain, offset = np.where(good, gain, np.nan), np.where(good, offset, np.nan)
    gated = int((known & ~good).sum())
    note = (
        f"empirical line of {len(x)} targets: {int(good.sum())} bands good, {gated} gated (contrast below "
        f"{min_contrast:.0%} or reflectance the other way around)"
    )
    return EmpiricalLine(gain, offset, covariance, good, contrast, low, high, reasons, note)


def _refuse(good: Mask, known: Mask, contrast: Doubles, min_contrast: float) -> None:
    passing, total = int(good.sum()), int(known.sum())
    if total and passing >= MIN_PASSING * total:
        return
    typical = float(np.median(contrast[known])) if total else float("nan")
    raise CalibrationError(
        f"the targets of the empirical line are too alike: {passing} of {total} bands pass (median contrast "
        f"{typical:.0%}, more than {min_contrast:.0%} needed)",
        fix="use a dark and a bright target that differ in all bands",
    )


def _covariance(
    x: Doubles, y: Doubles, gain: Doubles, offset: Doubles, sigma_x: ArrayLike, sigma_y: ArrayLike
) -> Doubles:
    """Return the covariance of gain and offset: from stated sigmas, or from the residuals if there are more.

    To first order a target's uncertainty is that of ``y - gain x``; the larger one of the two is kept.
    """
    stated = np.asarray(sigma_y, dtype=np.float64) ** 2 + (gain * np.asarray(sigma_x, dtype=np.float64)) ** 2
    each = np.broadcast_to(stated, x.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = x.mean(axis=0)
        dx = x - mean
        square = (dx**2).sum(axis=0)
        slopes = dx / square  # d gain / d y of each target
        levels = 1.0 / len(x) - mean * slopes  # d offset / d y of each target
        to = np.stack([slopes, levels])
        covariance = np.einsum("itb,tb,jtb->bij", to, each, to)
        if len(x) > 2:
            residual = ((y - gain * x - offset) ** 2).sum(axis=0) / (len(x) - 2)
            scattered = np.einsum("itb,jtb->bij", to, to) * residual[:, None, None]
            larger = scattered[:, 0, 0] > covariance[:, 0, 0]
            covariance = np.where(larger[:, None, None], scattered, covariance)
    unknown = (each.sum(axis=0) == 0.0) & (len(x) == 2)
    covariance[unknown] = np.nan
    return np.asarray(covariance, dtype=np.float64)
