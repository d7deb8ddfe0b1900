"""Counts or radiance to reflectance with panels before and after, row by row, nothing forced into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate.detector import Repair, repair_plan
from dronesense.calibrate.light_course import Course, course_of, light_at
from dronesense.calibrate.reference import DarkLevel, White, check_shape, dark_level, white
from dronesense.errors import CalibrationError
from dronesense.model import LineScan, Panel, SpectralCube
from dronesense.model.cube import CubeSource, Folded, fold
from dronesense.model.radiometry import LightSeries

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PanelReport:
    """What panels said, for people and for the books.

    Parameters
    ----------
    sigma : mapping of str to (bands,) float64
        Relative standard uncertainty by part: ``noise`` of panel and dark, ``panel`` reflectance, ``light``.
    change : (bands,) float64 or None
        Last panel over first, minus 1: how the light changed; with a light sensor, how far panels and sensor
        disagree about that. None with one panel.
    regions : tuple of str
        Panels that were looked for, and where they are.
    doubts : tuple of str
        What a user should know before he trusts the reflectance.
    """

    sigma: dict[str, Doubles]
    change: Doubles | None
    regions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class _Checked:
    """Which pixels of a source can be used: no saturated count, no sample with too many bad elements."""

    raw: CubeSource
    saturation_dn: float
    good: Mask
    repair: Repair

    def valid(self, raw: NDArray[np.generic], valid: Mask) -> Mask:
        valid = valid & self.repair.usable
        if np.isfinite(self.saturation_dn):
            valid &= ~np.greater_equal(raw[:, self.good], self.saturation_dn).any(axis=1)
        return valid


@dataclass(frozen=True, slots=True, eq=False)
class _Reflectance:
    """A source of reflectance: ``(raw - dark) * gain``, with single bad elements interpolated over bands."""

    checked: _Checked
    dark: Floats
    gain: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.checked.raw.shape

    def read(self, start: int, stop: int) -> tuple[Floats, Mask]:
        raw, valid = self.checked.raw.read(start, stop)
        valid = self.checked.valid(raw, valid)
        values = raw - self.dark
        values *= self.gain
        self.checked.repair.apply(values)
        return values, valid

    def folded(self) -> Folded:
        """Return the raw numbers and the linear map that makes reflectance of them."""
        raw, checked = fold(self.checked.raw), self.checked
        limited = np.isfinite(checked.saturation_dn)
        if raw.repair or (limited and not (raw.gain is None and raw.offset is None)):
            return Folded(self.read)

        def read(start: int, stop: int) -> tuple[NDArray[np.generic], Mask]:
            stored, valid = raw.read(start, stop)
            return stored, checked.valid(stored, valid)

        gain = self.gain if raw.gain is None else raw.gain * self.gain
        offset = -self.dark * self.gain
        if raw.offset is not None:
            offset = offset + raw.offset * self.gain
        plan = checked.repair
        elements = (plan.band, plan.sample, plan.below, plan.above) if plan.band.size else ()
        return Folded(read, gain, offset, elements, plan.share)


@dataclass(frozen=True, slots=True, eq=False)
class _Changing:
    """A source of reflectance under light that changes from line to line: ``(raw - dark) / white(line)``."""

    checked: _Checked
    dark: Floats
    course: Course
    white: Floats
    time: NDArray[np.int64] | None
    light: LightSeries | None
    center_nm: Doubles

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.checked.raw.shape

    def read(self, start: int, stop: int) -> tuple[Floats, Mask]:
        raw, valid = self.checked.raw.read(start, stop)
        valid = self.checked.valid(raw, valid)
        values = raw - self.dark
        first, weight = self.course.first[start:stop], self.course.weight[start:stop]
        now = self.white[first]
        now += weight[:, None, None] * (self.white[np.minimum(first + 1, len(self.white) - 1)] - now)
        if self.light is not None and self.time is not None:
            now *= light_at(self.light, self.time[start:stop], self.center_nm)[:, :, None].astype(np.float32)
        values /= now
        self.checked.repair.apply(values)
        return values, valid


def calibrate(
    cube: SpectralCube,
    *,
    dark: SpectralCube | Sequence[SpectralCube] | Doubles | None,
    panel: Panel | Sequence[Panel] | None,
    bad_pixels: Mask | None = None,
    saturation_dn: float = float("inf"),
    light: LightSeries | None = None,
) -> SpectralCube:
    """Return *cube* in reflectance, computed when rows are read; see :func:`by_panels`."""
    panels = (panel,) if isinstance(panel, Panel) else tuple(panel or ())
    return by_panels(
        cube, panels, dark=dark, bad_pixels=bad_pixels, saturation_dn=saturation_dn, light=light
    )[0]


def by_panels(
    cube: SpectralCube,
    panels: Sequence[Panel],
    *,
    dark: SpectralCube | Sequence[SpectralCube] | Doubles | None = None,
    bad_pixels: Mask | None = None,
    saturation_dn: float = float("inf"),
    light: LightSeries | None = None,
) -> tuple[SpectralCube, PanelReport]:
    """Return *cube* in reflectance, and what the panels said about light and uncertainty.

    For each band and sample ``R = (raw - D) / (W - D) * rho * t_panel / t_cube`` with the mean dark D and
    panel W over the lines of their captures, the panel's reflectance rho as the band sees it, and the
    exposures t (times the gains, where known). Values outside 0..1 are kept as they are: clipping would hide
    errors and glints.

    - With panels at several times, what a white surface gives is a straight line in time between the two
      around a line of the cube; before the first and after the last it is the nearest one's.
    - With a light sensor, the ratio of panel to sensor is that line, and the sensor gives the course.
    - A panel region that spans only some samples calibrates all of them by its mean per band; what differs
      between samples (vignetting) then stays in, and the history says so.
    - A band is set not good where the panel's reflectance is not known, or where more than half of its
      elements are saturated on the panel or do not rise above the noise.
    - Other unusable elements (bad pixels of the detector, saturated on the panel) are interpolated between
      the next usable bands of the same sample; a sample with more than 5 % such bands is not valid.
    - Pixels at *saturation_dn* in any good band are not valid.

    Parameters
    ----------
    cube : SpectralCube
        Counts, or radiance with panels in radiance (dark, bad pixels and saturation were dealt with then).
    panels : sequence of Panel
        At least one.
    dark : SpectralCube, sequence of them, (bands, samples) float64, or None
        Dark signal, DN; of several captures the nearest in gain and exposure; None: taken as 0, and the
        history says so.
    bad_pixels : (bands, samples) bool, optional
        Detector elements not to be used.
    saturation_dn : float
        Count from which a reading is saturated.
    light : LightSeries, optional
        Irradiance over time.

    Returns
    -------
    cube : SpectralCube
        In reflectance; `relative_sigma` is set.
    report : PanelReport

    Raises
    ------
    CalibrationError
        If the cube is in reflectance, there is no panel, shapes, exposures or times do not fit, dark and
        panel look swapped, or no band is left.
    """
    _check(cube, panels)
    own = dark_level(cube, dark)
    whites = [_white(cube, panel, dark, own, saturation_dn) for panel in panels]
    good, told = _good_bands(cube, panels, whites)
    history = [own.note] if own.note else []
    history += [each.region for each in whites if each.region]
    course = course_of(cube, panels, whites, good, light)
    history.append(told)
    history += course.notes
    plan = _repair(cube, whites, good, bad_pixels, history)
    source = _source(cube, own, course, _Checked(cube.source, saturation_dn, good, plan), light)
    report = _report(panels, whites, course, good)
    result = replace(
        cube,
        source=source,
        bands=replace(cube.bands, good=good),
        quantity="reflectance",
        history=(*cube.history, *history),
        relative_sigma=np.where(
            good, np.sqrt(np.sum(np.square(list(report.sigma.values())), axis=0)), np.nan
        ),
    )
    return result, report


def _good_bands(cube: SpectralCube, panels: Sequence[Panel], whites: Sequence[White]) -> tuple[Mask, str]:
    """Return the bands that all panels calibrate, and what is to be said about it."""
    covered = np.all([each.covered for each in whites], axis=0)
    lost = np.any([each.lost for each in whites], axis=0)
    good = cube.bands.good & covered & ~lost
    if not good.any():
        raise CalibrationError(
            "no band is left: the panel is saturated, dark, or its reflectance is not known there",
            where=panels[0].cube.path,
            fix="check the panel's exposure, its region and the wavelengths of its reflectance",
        )
    before = cube.bands.good
    names = " and ".join(f"{each.cube.path} ({each.reflectance.name})" for each in panels)
    told = (
        f"reflectance by panel {names}: {int(good.sum())} good bands; set not good: "
        f"{int((before & ~covered).sum())} outside the panel's wavelengths, "
        f"{int((before & covered & lost).sum())} saturated or too dark on the panel{whites[0].note}"
    )
    return good, told


def _repair(
    cube: SpectralCube, whites: Sequence[White], good: Mask, bad_pixels: Mask | None, history: list[str]
) -> Repair:
    """Plan the repair of single elements."""
    unusable = np.any([each.unusable for each in whites], axis=0)
    if bad_pixels is not None:
        unusable = unusable | _bad_pixels(cube, bad_pixels)
    plan = repair_plan(unusable, good)
    if plan.band.size or not plan.usable.all():
        gone = int((~plan.usable).sum())
        history.append(
            f"{plan.band.size} unusable elements interpolated over bands, {gone} samples not valid"
        )
    return plan


def _white(
    cube: SpectralCube,
    panel: Panel,
    dark: SpectralCube | Sequence[SpectralCube] | Doubles | None,
    own: DarkLevel,
    saturation_dn: float,
) -> White:
    """Return what a panel says, with the dark nearest to it where there are several captures."""
    check_shape(cube, panel.cube, "panel")
    several = dark is not None and not isinstance(dark, np.ndarray | SpectralCube) and len(dark) > 1
    nearest = dark_level(panel.cube, dark, strict=False) if several else own
    return white(cube, panel, dark=nearest, saturation_dn=saturation_dn)


def _source(
    cube: SpectralCube, own: DarkLevel, course: Course, checked: _Checked, light: LightSeries | None
) -> CubeSource:
    """Wrap the raw source: one gain for all lines where the light does not change, else line by line."""
    dark, bad = own.level.astype(np.float32), ~checked.good
    if light is None and course.constant is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(course.constant > 0.0, 1.0 / course.constant, np.nan)
        gain[bad] = np.nan
        return _Reflectance(checked, dark, gain.astype(np.float32))
    whites = course.white.astype(np.float32)
    whites[~(whites > 0.0)] = np.nan
    whites[:, bad] = np.nan
    time = cube.geometry.time if isinstance(cube.geometry, LineScan) else None
    return _Changing(checked, dark, course, whites, time, light, cube.bands.center_nm)


def _report(panels: Sequence[Panel], whites: Sequence[White], course: Course, good: Mask) -> PanelReport:
    parts = {
        "noise": np.sqrt(np.mean([each.noise**2 for each in whites], axis=0)),
        "panel": np.max([each.reflectance_sigma for each in whites], axis=0),
        "light": course.sigma,
    }
    regions = tuple(
        f"{panel.cube.path}: {each.region}" for panel, each in zip(panels, whites, strict=True) if each.found
    )
    change = None if course.change is None else np.where(good, course.change, np.nan)
    return PanelReport(
        {name: np.where(good, part, np.nan) for name, part in parts.items()}, change, regions, course.doubts
    )


def _check(cube: SpectralCube, panels: Sequence[Panel]) -> None:
    """Refuse what cannot be turned into reflectance."""
    if cube.quantity == "reflectance":
        raise CalibrationError(
            f"is already in {cube.quantity}", where=cube.path, fix="leave out dark and panel for this cube"
        )
    if not panels:
        keys = 'panel = { path = "raw/panel.hdr", reflectance = "raw/panel.csv" }'
        raise CalibrationError(
            "reflectance needs a panel capture",
            where=cube.path,
            fix=f"add {keys} to its [[cube]], or use a signature in {cube.quantity}",
        )


def _bad_pixels(cube: SpectralCube, bad_pixels: Mask) -> Mask:
    if bad_pixels.shape != cube.shape[1:]:
        raise CalibrationError(
            f"the bad-pixel map has {bad_pixels.shape} bands x samples, the cube {cube.shape[1:]}",
            where=cube.path,
            fix="use the record of this camera and binning",
        )
    return np.asarray(bad_pixels, dtype=np.bool_)
