"""Counts of a push-broom camera to radiance in W/(m2 sr nm), row by row; values are flagged, never clipped.

``L = (raw - D) G`` with the dark signal D and the gain G of every detector element, both brought to the
cube's exposure, gain and binning; then the spectra of all samples are put on one wavelength axis (smile).
See ``docs/methods/radiance.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate.detector import (
    Repair,
    Smile,
    bin_frame,
    binning_ratio,
    repair_plan,
    smile,
    stray_lines,
)
from dronesense.errors import CalibrationError
from dronesense.model import SpectralCube
from dronesense.model.cube import CubeSource, Folded, fold
from dronesense.model.radiometry import CameraSettings, DarkFrame, RadianceNoise, Radiometry

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Between = Literal["nearest", "interpolate", "linear"]

SAME: Final = 0.01
"""Exposures that differ by less than this share are taken as equal."""
SAME_DB: Final = 0.05
"""Gains that differ by less are taken as equal, dB: 0.6 % of the signal."""
DB_PER_DECADE: Final = 20.0
"""``gain_db = 20 log10(factor)``: of amplitudes."""
MAX_BAD_SHARE: Final = 0.5
"""A band is not good when more than this share of its elements is not usable."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenDark:
    """The dark signal for a cube.

    Parameters
    ----------
    level : (bands, samples) float64
        DN, on the detector elements of the frames.
    settings : CameraSettings
        Binning of `level`.
    sigma : (bands, samples) float64 or None
        Standard uncertainty of `level`, DN.
    deviation : (bands, samples) float64 or None
        Standard deviation of a single line in the dark, DN.
    note : str
        What was done, for the history.
    exact : bool
        Whether exposure and gain are those of the cube.
    """

    level: Doubles
    settings: CameraSettings
    sigma: Doubles | None
    deviation: Doubles | None
    note: str
    exact: bool


def choose_dark(
    darks: tuple[DarkFrame, ...], settings: CameraSettings, *, between: Between = "nearest"
) -> ChosenDark:
    """Return the dark signal nearest to *settings*: by gain first, then by exposure.

    Parameters
    ----------
    darks : tuple of DarkFrame
        At least one.
    settings : CameraSettings
        Of the cube. What it does not know does not count; of equals the first is taken.
    between : {"nearest", "interpolate", "linear"}
        ``nearest``: the frame as it is. ``interpolate``: linear in exposure between the two frames of that
        gain around the cube's, never beyond them. ``linear``: the nearest frame times the ratio of exposures:
        only for a camera whose offset at no exposure is known to be 0.

    Raises
    ------
    CalibrationError
        If there is no dark frame, or scaling is asked for and an exposure is not known.

    Examples
    --------
    >>> levels = {5.0: 10.0, 9.0: 14.0}  # ms: DN
    >>> frames = tuple(DarkFrame(np.full((1, 1), dn), CameraSettings(t, 0.0)) for t, dn in levels.items())
    >>> choose_dark(frames, CameraSettings(6.0, 0.0)).level.item()
    10.0
    >>> choose_dark(frames, CameraSettings(6.0, 0.0), between="interpolate").level.item()
    11.0
    """
    if not darks:
        raise CalibrationError("there is no dark frame", fix="record one with the lens covered")
    if between not in ("nearest", "interpolate", "linear"):
        raise ValueError(f"between must be nearest, interpolate or linear, not {between!r}")
    same, off = _same_gain([dark.settings for dark in darks], settings)
    same_gain = [darks[i] for i in same]
    times = np.array([dark.settings.integration_ms for dark in same_gain])
    closest = darks[nearest([dark.settings for dark in darks], settings)]
    gain_note = "" if off <= SAME_DB else f", its gain is {off:.3g} dB off"
    if between == "interpolate":
        low, high = _around(same_gain, times, settings.integration_ms, closest)
        if low is not high:
            return _interpolated(low, high, settings, gain_note)
    t_dark, t_cube = closest.settings.integration_ms, settings.integration_ms
    same_time = not abs(t_dark - t_cube) > SAME * t_cube  # also where one is not known
    note = f"dark {closest.name or 'frame'} ({t_dark:g} ms)" + gain_note
    if len(darks) > 1:
        note += f", of {len(darks)} the nearest in gain and exposure"
    sigma = _sigma(closest)
    if between == "linear" and not np.isfinite(t_dark * t_cube):
        raise CalibrationError(
            "the dark signal cannot be scaled: an exposure is not known",
            where=closest.name or None,
            fix="state the exposures in the headers, or do not ask for scaling",
        )
    if between == "linear" and not same_time:
        ratio = t_cube / t_dark
        scaled = None if sigma is None else sigma * ratio
        note += f", scaled by {ratio:.4g} to {t_cube:g} ms"
        exact = not gain_note
        return ChosenDark(closest.level * ratio, closest.settings, scaled, closest.deviation, note, exact)
    if not same_time:
        note += f", used as it is for {t_cube:g} ms"
    exact = same_time and not gain_note
    return ChosenDark(closest.level, closest.settings, sigma, closest.deviation, note, exact)


def nearest(candidates: Sequence[CameraSettings], wanted: CameraSettings) -> int:
    """Return which of *candidates* is nearest to *wanted*: by gain first, then by the ratio of exposures.

    What one of the two does not know does not count; of equals the first is taken.
    """
    same, _ = _same_gain(candidates, wanted)
    times = np.array([candidates[i].integration_ms for i in same])
    return int(same[int(np.argmin(_distance(np.log(times), np.log(wanted.integration_ms))))])


def _same_gain(
    candidates: Sequence[CameraSettings], wanted: CameraSettings
) -> tuple[NDArray[np.int64], float]:
    """Return those nearest in gain, and how far off in dB it is."""
    off = _distance([each.gain_db for each in candidates], wanted.gain_db)
    return np.flatnonzero(off <= off.min() + SAME_DB).astype(np.int64), float(off.min())


def settings_of(cube: SpectralCube) -> CameraSettings:
    """Return how a cube was taken, as far as its file tells."""
    if cube.settings is not None:
        return cube.settings
    return CameraSettings(cube.integration_ms if cube.integration_ms > 0.0 else float("nan"))


def _distance(values: list[float] | Doubles, wanted: float) -> Doubles:
    """Return how far *values* are from *wanted*; 0 where one of the two is not known, unless others are."""
    far = np.abs(np.asarray(values, dtype=np.float64) - wanted)
    known = far[np.isfinite(far)]
    return np.where(np.isfinite(far), far, known.max() + 1.0 if known.size else 0.0)


def _around(
    darks: list[DarkFrame], times: Doubles, wanted: float, nearest: DarkFrame
) -> tuple[DarkFrame, DarkFrame]:
    """Return the frames whose exposures lie next below and above *wanted*; twice *nearest* beyond them."""
    below, above = np.flatnonzero(times <= wanted), np.flatnonzero(times >= wanted)
    if not below.size or not above.size:
        return nearest, nearest
    low, high = below[np.argmax(times[below])], above[np.argmin(times[above])]
    return (nearest, nearest) if times[low] == times[high] else (darks[low], darks[high])


def _interpolated(low: DarkFrame, high: DarkFrame, settings: CameraSettings, gain_note: str) -> ChosenDark:
    t0, t1 = low.settings.integration_ms, high.settings.integration_ms
    weight = (settings.integration_ms - t0) / (t1 - t0)
    first, last = _sigma(low), _sigma(high)
    sigma = None if first is None or last is None else np.hypot((1.0 - weight) * first, weight * last)
    deviation = None
    if low.deviation is not None and high.deviation is not None:
        deviation = (1.0 - weight) * low.deviation + weight * high.deviation
    level = (1.0 - weight) * low.level + weight * high.level
    note = f"dark between {low.name or 'frame'} ({t0:g} ms) and {high.name or 'frame'} ({t1:g} ms)"
    return ChosenDark(level, low.settings, sigma, deviation, note + gain_note, not gain_note)


def _sigma(dark: DarkFrame) -> Doubles | None:
    """Return the standard uncertainty of the mean of a dark frame, DN; None where it is not known."""
    return None if dark.deviation is None or dark.lines < 1 else dark.deviation / np.sqrt(dark.lines)


@dataclass(frozen=True, slots=True, eq=False)
class _Radiance:
    """A source of radiance, see :class:`~dronesense.model.CubeSource`."""

    raw: CubeSource
    dark: Floats
    gain: Floats
    good: Mask
    repair: Repair
    smile: Smile | None
    saturation_dn: float
    rows: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.raw.shape

    def read(self, start: int, stop: int) -> tuple[Floats, Mask]:
        raw, valid = self.raw.read(start, stop)
        valid = self._valid(raw, valid, start)
        values = raw - self.dark
        values *= self.gain
        self.repair.apply(values)
        if self.smile is not None:
            values = self.smile.apply(values)
            values[:, ~self.good] = np.nan
        return values, valid

    def _valid(self, raw: NDArray[np.generic], valid: Mask, start: int) -> Mask:
        valid = valid & self.repair.usable
        if np.isfinite(self.saturation_dn):
            valid &= ~np.greater_equal(raw[:, self.good], self.saturation_dn).any(axis=1)
        valid[max(0, self.rows - start) :] = False
        return valid

    def folded(self) -> Folded:
        """Return the raw numbers and the linear map that makes radiance of them."""
        raw = fold(self.raw)
        if self.smile is not None or raw.repair or raw.gain is not None or raw.offset is not None:
            return Folded(self.read)

        def read(start: int, stop: int) -> tuple[NDArray[np.generic], Mask]:
            stored, valid = raw.read(start, stop)
            return stored, self._valid(stored, valid, start)

        plan = self.repair
        elements = (plan.band, plan.sample, plan.below, plan.above) if plan.band.size else ()
        return Folded(read, self.gain, -self.dark * self.gain, elements, plan.share)


def calibrate(
    cube: SpectralCube,
    radiometry: Radiometry,
    *,
    settings: CameraSettings | None = None,
    between: Between = "nearest",
    smile_nm: Doubles | None = None,
    bad_pixels: Mask | None = None,
    saturation_dn: float = float("inf"),
    stray: int | None = None,
) -> tuple[SpectralCube, RadianceNoise]:
    """Return *cube* in W/(m2 sr nm), computed when rows are read, and how well each band is known.

    Parameters
    ----------
    cube : SpectralCube
        Counts.
    radiometry : Radiometry
        Gain and dark frames of this camera.
    settings : CameraSettings, optional
        How the cube was taken; without, the exposure that the cube knows, and gain and binning of the
        calibration.
    between : {"nearest", "interpolate", "linear"}
        How the dark signal is brought to the cube's exposure, see :func:`choose_dark`.
    smile_nm : (samples,) or (bands, samples) float64, optional
        True wavelengths of the elements of the cube minus its `center_nm`.
    bad_pixels : (bands, samples) bool, optional
        Elements of the cube not to be used, besides those of the calibration.
    saturation_dn : float
        Count from which a reading is saturated: a pixel is then not valid.
    stray : int, optional
        Lines at the end that are not the ground: not valid. Found by
        :func:`~dronesense.calibrate.detector.stray_lines` if left out.

    Returns
    -------
    cube : SpectralCube
        In radiance. Values below 0 stay. Bad elements are interpolated between the bands of their sample; a
        sample with more than 5 % of them is not valid. A band is not good where half of its gain is not known
        or a sample does not reach its wavelength.
    noise : RadianceNoise
        NaN where nothing states it.

    Raises
    ------
    CalibrationError
        If the cube is not in counts, there is no dark frame, binning or shapes do not fit, an exposure that
        is needed is not known, or no band is left.
    """
    if cube.quantity != "counts":
        raise CalibrationError(f"is already in {cube.quantity}", where=cube.path, fix="leave the record out")
    settings = settings or _own_settings(cube, radiometry)
    chosen = choose_dark(radiometry.darks, settings, between=between)
    dark, spread = _dark(chosen, settings)
    gain, notes = _gain(radiometry, settings, cube.path)
    _check_shapes(cube, dark, gain)
    unusable = _unusable(radiometry, settings, gain, dark, bad_pixels, cube)
    present, good, resampling = _bands(cube, gain, smile_nm, notes)
    plan = repair_plan(unusable, present)
    lines = stray_lines(cube, dark) if stray is None else stray
    notes.append(_told(plan, good, cube, lines))
    if lines >= cube.shape[0]:
        raise CalibrationError("every line looks like a remnant of the readout", where=cube.path)
    missing = np.nan if resampling is None else 0.0  # interpolation would spread NaN over good bands
    filled = np.where(np.isnan(gain) | ~present[:, None], missing, gain)
    source = _Radiance(
        raw=cube.source,
        dark=dark.astype(np.float32),
        gain=filled.astype(np.float32),
        good=good,
        repair=plan,
        smile=resampling,
        saturation_dn=saturation_dn,
        rows=cube.shape[0] - lines,
    )
    named = f"radiance in W/(m2 sr nm) by {radiometry.name or 'calibration'}"
    history = (*cube.history, f"{named}; {chosen.note}", *(note for note in notes if note))
    bands = replace(cube.bands, good=good)
    result = replace(cube, source=source, bands=bands, quantity="radiance", history=history)
    return result, _noise(radiometry, np.where(present[:, None], gain, np.nan), spread, resampling, settings)


def _bands(
    cube: SpectralCube, gain: Doubles, smile_nm: Doubles | None, notes: list[str]
) -> tuple[Mask, Mask, Smile | None]:
    """Return the bands with a gain, those that are good after resampling, and the resampling."""
    present = cube.bands.good & ~(np.isnan(gain).mean(axis=1) > MAX_BAD_SHARE)
    good, resampling = present, None
    if smile_nm is not None:
        resampling = smile(cube.bands.center_nm, smile_nm)
        good = resampling.reached(present)
        notes.append(f"smile of up to {np.abs(smile_nm).max():.3g} nm undone by linear interpolation")
    if not good.any():
        raise CalibrationError("no band is left", where=cube.path, fix="check the calibration's gain")
    return present, good, resampling


def _check_shapes(cube: SpectralCube, dark: Doubles, gain: Doubles) -> None:
    for name, frame in (("dark", dark), ("gain", gain)):
        if frame.shape != cube.shape[1:]:
            raise CalibrationError(
                f"the {name} of the calibration is {frame.shape[0]} bands x {frame.shape[1]} samples at the "
                f"cube's binning, the cube {cube.shape[1]} x {cube.shape[2]}",
                where=cube.path,
                fix="use the calibration of this camera; cubes of a part of the detector are not calibrated",
            )


def _own_settings(cube: SpectralCube, radiometry: Radiometry) -> CameraSettings:
    """Return how the cube was taken; what its file does not tell is as in the calibration.

    A calibration of as many elements as the cube has is one for its binning, whatever the header calls it.
    """
    known, own = settings_of(cube), radiometry.settings
    if cube.settings is None or radiometry.gain.shape == cube.shape[1:]:
        gain_db = own.gain_db if cube.settings is None else known.gain_db
        flipped = cube.settings is not None and known.flipped
        return replace(own, integration_ms=known.integration_ms, gain_db=gain_db, flipped=flipped)
    return known


def _dark(chosen: ChosenDark, settings: CameraSettings) -> tuple[Doubles, Doubles | None]:
    """Return level and noise (of a line and of the level together) of the dark at the cube's binning, DN."""
    bands, samples = binning_ratio(chosen.settings, settings)
    n = bands * samples
    level = n * _turned(bin_frame(chosen.level, samples=samples, bands=bands), chosen.settings, settings)
    if chosen.deviation is None:
        return level, None
    square = chosen.deviation**2 + (0.0 if chosen.sigma is None else chosen.sigma**2)
    spread = np.sqrt(n * bin_frame(square, samples=samples, bands=bands))
    return level, _turned(spread, chosen.settings, settings)


def _turned(frame: Doubles, own: CameraSettings, wanted: CameraSettings) -> Doubles:
    return frame[:, ::-1] if own.flipped != wanted.flipped else frame


def _gain(radiometry: Radiometry, settings: CameraSettings, path: str) -> tuple[Doubles, list[str]]:
    """Return the gain at the cube's exposure, gain and binning, and what is to be said of it."""
    own, notes = radiometry.settings, list(radiometry.notes)
    bands, samples = binning_ratio(own, settings, radiometry.name)
    gain = bin_frame(radiometry.gain, samples=samples, bands=bands) / (bands * samples)
    if radiometry.per_ms or np.isfinite(own.integration_ms):
        if not np.isfinite(settings.integration_ms):
            raise CalibrationError(
                "its exposure is not known, and the calibration depends on it",
                where=path,
                fix='add "integration time = <ms>" to its header',
            )
        gain = gain * ((1.0 if radiometry.per_ms else own.integration_ms) / settings.integration_ms)
    if np.isfinite(own.gain_db) and np.isfinite(settings.gain_db):
        gain = gain * 10.0 ** ((own.gain_db - settings.gain_db) / DB_PER_DECADE)
    elif np.isfinite(own.gain_db):
        notes.append(f"the cube's gain is not known: taken as the calibration's {own.gain_db:g} dB")
    return _turned(gain, own, settings), notes


def _unusable(
    radiometry: Radiometry,
    settings: CameraSettings,
    gain: Doubles,
    dark: Doubles,
    bad_pixels: Mask | None,
    cube: SpectralCube,
) -> Mask:
    unusable = ~np.isfinite(gain) | ~np.isfinite(dark)
    if radiometry.bad_pixels is not None:
        bands, samples = binning_ratio(radiometry.settings, settings)
        share = bin_frame(radiometry.bad_pixels.astype(np.float64), samples=samples, bands=bands)
        unusable |= _turned(share, radiometry.settings, settings) > 0.0
    if bad_pixels is not None:
        if bad_pixels.shape != unusable.shape:
            raise CalibrationError(
                f"the bad-pixel map has {bad_pixels.shape} bands x samples, the cube {unusable.shape}",
                where=cube.path,
            )
        unusable |= bad_pixels
    return np.asarray(unusable)


def _told(plan: Repair, good: Mask, cube: SpectralCube, lines: int) -> str:
    lost = int((cube.bands.good & ~good).sum())
    parts = (
        (lost, f"{lost} bands set not good"),
        (plan.band.size, f"{plan.band.size} bad elements interpolated over bands"),
        (int((~plan.usable).sum()), f"{int((~plan.usable).sum())} samples not valid"),
        (lines, f"the last {lines} lines are remnants of the readout: not valid"),
    )
    return "; ".join(text for count, text in parts if count)


def _noise(
    radiometry: Radiometry,
    gain: Doubles,
    spread: Doubles | None,
    resampling: Smile | None,
    settings: CameraSettings,
) -> RadianceNoise:
    bands = gain.shape[0]
    additive = np.full(bands, np.nan)
    if spread is not None:
        noise = gain * spread
        if resampling is not None:
            noise = noise * resampling.noise_factor
        known = np.isfinite(noise).any(axis=1)
        additive[known] = np.nanmedian(noise[known], axis=1)
    relative = np.full(bands, np.nan)
    if radiometry.relative_sigma is not None:
        ratio = binning_ratio(radiometry.settings, settings)[0]
        relative = radiometry.relative_sigma.reshape(bands, ratio).mean(axis=1)
    return RadianceNoise(additive, relative)
