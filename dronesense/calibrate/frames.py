"""Captures of multispectral cameras through their radiometry: counts -> radiance -> reflectance.

Counts are converted on each band's own pixel grid, before the bands are brought together: vignetting and row
gradients belong to the detector. Nothing is clipped; what is wrong with a value stands in its flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.calibrate import dji_ms, downwelling, light_sensor, micasense, sequoia
from dronesense.calibrate import panel as panels
from dronesense.calibrate.downwelling import Disagreement
from dronesense.calibrate.panel import PanelLight, PanelRegion
from dronesense.errors import CalibrationError
from dronesense.model import Panel, SpectralCube
from dronesense.model.capture import BandFrame, Capture, CaptureCube, Flags, PixelFlag
from dronesense.model.signature import resample_spectrum

Doubles = NDArray[np.float64]
Corners = Sequence[Sequence[float]]

UNITS: Final = {
    "micasense": "W m-2 sr-1 nm-1",
    "sequoia": "relative units of the Sequoia, no W",
    "dji-p4m": "relative units of DJI, no W",
    "dji-m3m": "relative units of DJI, no W",
}


@dataclass(frozen=True, slots=True, eq=False)
class Reflectance:
    """A capture in reflectance.

    Parameters
    ----------
    cube : SpectralCube
        Reflectance, computed when rows are read.
    sigma_relative : (bands,) float64
        Standard uncertainty of the scale of each band, as a share of the value; NaN where it is not known.
    disagreement : Disagreement or None
        What panel and light sensor say against each other, where both are there.
    notes : tuple of str
        For the report.
    """

    cube: SpectralCube
    sigma_relative: Doubles
    disagreement: Disagreement | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Radiance:
    """Converts counts of a capture, see :data:`~dronesense.model.capture.Convert`."""

    capture: Capture
    factors: tuple[float, ...]
    reflectance: bool = False

    def __call__(self, band: int, counts: NDArray[Any], first_row: int) -> tuple[NDArray[np.float32], Flags]:
        values, flags = band_radiance(self.capture, band, counts, first_row=first_row)
        values *= self.factors[band]
        if self.reflectance:
            flags |= np.where(values > 1.0, PixelFlag.ABOVE_ONE, 0).astype(np.uint8)
        return values.astype(np.float32), flags


def band_radiance(
    capture: Capture, band: int, counts: NDArray[Any], *, first_row: int = 0
) -> tuple[Doubles, Flags]:
    """Return radiance and flags of whole rows of one band, on its own pixel grid.

    The unit is W m-2 sr-1 nm-1 for MicaSense, the maker's own scale for the others.
    """
    frame, known = capture.frames[band], capture.frames[band].parameters
    flags = np.where(counts >= frame.saturation_dn, PixelFlag.SATURATED, 0)
    if capture.family == "micasense":
        values = micasense.radiance(
            counts,
            coefficients=known["RadiometricCalibration"],
            exposure_s=frame.exposure_s,
            gain=frame.gain,
            black_level=frame.black_level,
            vignetting_center=known["VignettingCenter"],
            vignetting_polynomial=known["VignettingPolynomial"],
            bits=frame.bits,
            first_row=first_row,
        )
    elif capture.family == "sequoia":
        values = _sequoia(frame, counts, first_row)
    else:
        values = dji_ms.camera_signal(
            counts,
            camera=capture.family,
            black_level=frame.black_level,
            gain=frame.gain,
            exposure_s=frame.exposure_s,
            vignetting_center=known["VignettingCenter"],
            vignetting_data=known["VignettingData"],
            bits=frame.bits,
            first_row=first_row,
        )
    flags = flags | np.where(values < 0.0, PixelFlag.BELOW_DARK, 0)
    return values, flags.astype(np.uint8)


def _sequoia(frame: BandFrame, counts: NDArray[Any], first_row: int) -> Doubles:
    known = frame.parameters
    fall_off = sequoia.vignetting(
        (counts.shape[0], counts.shape[1]),
        size=frame.shape,
        powers=known["VignettingPolynomial2DName"],
        coefficients=known["VignettingPolynomial2D"],
        first_row=first_row,
    )
    return sequoia.intensity(
        counts,
        fall_off,
        model=known["SensorModel"],
        exposure_s=frame.exposure_s,
        iso=frame.gain,
        f_number=frame.f_number,
    )


def source_of(cube: SpectralCube) -> CaptureCube:
    """Return the source of a cube that is a capture.

    Raises
    ------
    CalibrationError
        If it is no capture of a known camera, or not in counts.
    """
    if not isinstance(cube.source, CaptureCube):
        raise CalibrationError(
            "is no capture of a multispectral camera",
            where=cube.path,
            fix="use a dark and a panel capture for a line scanner",
        )
    if cube.quantity != "counts":
        raise CalibrationError(f"is already in {cube.quantity}", where=cube.path, fix="convert it only once")
    return cube.source


def radiance(cube: SpectralCube) -> SpectralCube:
    """Return a capture in radiance, computed when rows are read.

    Raises
    ------
    CalibrationError
        If it is no capture in counts.
    """
    source = source_of(cube)
    convert = _Radiance(source.capture, (1.0,) * len(source.capture.frames))
    note = f"radiance by the model of {source.capture.camera}, {UNITS[source.capture.family]}"
    return replace(cube, source=source.converted(convert), quantity="radiance", history=(*cube.history, note))


def panel_light(
    cube: SpectralCube,
    *,
    reflectance: ArrayLike | None = None,
    sigma_reflectance: ArrayLike = 0.0,
    corners: Sequence[Corners | None] | None = None,
    rows: tuple[int, int] | None = None,
    samples: tuple[int, int] | None = None,
) -> tuple[PanelLight, tuple[PanelRegion, ...]]:
    """Return the light that a capture of a panel tells of.

    Where the panel is, is looked up band by band: *corners*; else *rows* and *samples*; else what the camera
    found (``ReflectArea``); else it is searched.

    Parameters
    ----------
    cube : SpectralCube
        Capture of the panel, counts.
    reflectance : (bands,) float, optional
        Of the panel as each band sees it; None: what the camera knows of its panel (``Albedo``).
    sigma_reflectance : (bands,) float
        Its standard uncertainty.
    corners : per band (k, 2), optional
        (x, y) on the band's own pixel grid; None for a band: looked up as said above.
    rows, samples : (first, last), optional
        The same rectangle in all bands, on their own grids; last not included.

    Raises
    ------
    CalibrationError
        If the panel is not found, saturated, or its reflectance is not known in any band.
    """
    source = source_of(cube)
    capture = source.capture
    if capture.time is None:
        raise CalibrationError("the panel capture has no UTC", where=cube.path, fix="set the camera's clock")
    known = [frame.panel_reflectance for frame in capture.frames]
    rho = np.asarray(known if reflectance is None else reflectance, dtype=np.float64)
    rho = np.broadcast_to(rho, (len(capture.frames),))
    if not np.isfinite(rho).any():
        raise CalibrationError(
            "the reflectance of the panel is not known", where=cube.path, fix="state it for each band"
        )
    regions = tuple(
        _region(source, band, None if corners is None else corners[band], rows, samples)
        for band in range(len(capture.frames))
    )
    light = panels.light(
        capture.time,
        [each.mean for each in regions],
        spread=[each.spread for each in regions],
        reflectance=rho,
        sigma_reflectance=sigma_reflectance,
    )
    return light, regions


def _region(
    source: CaptureCube,
    band: int,
    corners: Corners | None,
    rows: tuple[int, int] | None,
    samples: tuple[int, int] | None,
) -> PanelRegion:
    """Return the panel in one band on its own grid."""
    capture = source.capture
    frame = capture.frames[band]
    values, flags = band_radiance(capture, band, source.counts(band))
    if corners is None and rows is None and samples is None:
        corners = frame.panel or None
    if corners is None and (rows is not None or samples is not None):
        top, bottom = rows or (0, frame.shape[0])
        left, right = samples or (0, frame.shape[1])
        corners = [(left, top), (right - 1, top), (right - 1, bottom - 1), (left, bottom - 1)]
    found = panels.find(values) if corners is None else None
    outline = corners if found is None else found.corners
    use = panels.inside(frame.shape, outline or ())
    face = values[use]
    where = f"{frame.path}, band {frame.band}"
    if not face.size:
        raise CalibrationError(
            "the panel's region is outside the image", where=where, fix="check its corners"
        )
    if (flags[use] & PixelFlag.SATURATED).any():
        share = float(((flags[use] & PixelFlag.SATURATED) != 0).mean())
        raise CalibrationError(
            f"the panel is saturated in {share:.1%} of its region",
            where=where,
            fix="take the panel again with a shorter exposure",
        )
    mean = float(face.mean())
    if not mean > 0.0:
        raise CalibrationError("the panel is darker than the dark level", where=where, fix="check its region")
    square = float("nan") if found is None else found.squareness
    corners_used = tuple((float(x), float(y)) for x, y in outline or ())
    return PanelRegion(corners_used, mean, float(face.std() / mean), square)


def reflectance(
    cube: SpectralCube, lights: Sequence[PanelLight], *, sensor: ArrayLike | None = None
) -> Reflectance:
    """Return a capture in reflectance by panel captures before, after, or around it.

    ``R = pi L / E(t)`` with E between the panels. A band whose panel cannot be used is set not good.

    Parameters
    ----------
    cube : SpectralCube
        Capture in counts.
    lights : sequence of PanelLight
        From :func:`panel_light`, at least one.
    sensor : (bands,) float, optional
        Irradiance by the light sensor at the capture, W m-2 nm-1: only compared, never mixed in.

    Raises
    ------
    CalibrationError
        If there is no panel, its bands are others, or the capture has no UTC.
    """
    source = source_of(cube)
    capture = source.capture
    if capture.time is None:
        raise CalibrationError("has no UTC, so its light is not known", where=cube.path)
    count = len(capture.frames)
    if any(len(each.irradiance) != count for each in lights):
        raise CalibrationError(
            f"the panel capture has other bands than its {count}",
            where=cube.path,
            fix="use a panel capture of the same camera",
        )
    now, note = panels.at(capture.time, lights)
    good = cube.bands.good & np.isfinite(now.irradiance)
    if not good.any():
        raise CalibrationError("no band of the panel can be used", where=cube.path)
    factors = np.pi / now.irradiance
    convert = _Radiance(capture, tuple(float(each) for each in factors), reflectance=True)
    notes = [f"reflectance: {note}"]
    disagreement = None
    if sensor is not None:
        disagreement = downwelling.compare(now.irradiance, sensor)
        notes.append(disagreement.note)
    with np.errstate(invalid="ignore"):
        sigma = now.sigma / now.irradiance
    known = sigma[np.isfinite(sigma)]
    if known.size:
        notes.append(
            f"scale good to {100.0 * known.min():.1f} to {100.0 * known.max():.1f} % (1 sigma) by band"
        )
    result = replace(
        cube,
        source=source.converted(convert, good),
        bands=replace(cube.bands, good=good),
        quantity="reflectance",
        history=(*cube.history, *notes),
    )
    return Reflectance(result, sigma, disagreement, tuple(notes))


def calibrate(cube: SpectralCube, captures: Sequence[Panel]) -> Reflectance:
    """Return a capture in reflectance by the captures of panels around it; the light sensor is only compared.

    Parameters
    ----------
    cube : SpectralCube
        Capture in counts.
    captures : sequence of Panel
        Captures of panels, in counts, with the panel's measured reflectance. Without rows and samples the
        panel is looked for.

    Raises
    ------
    CalibrationError
        As :func:`panel_light` and :func:`reflectance`.
    """
    source = source_of(cube)
    lights, notes = [], []
    for each in captures:
        rho, covered = resample_spectrum(
            each.reflectance.wavelength_nm,
            each.reflectance.value,
            center_nm=each.cube.bands.center_nm,
            fwhm_nm=each.cube.bands.fwhm_nm,
        )
        sigma = np.interp(each.cube.bands.center_nm, each.reflectance.wavelength_nm, each.reflectance.sigma)
        if not np.isfinite(sigma[covered]).any():
            notes.append(f"uncertainty of the reflectance of {each.reflectance.name} not stated: taken as 0")
        light, _ = panel_light(
            each.cube,
            reflectance=np.where(covered, rho, np.nan),
            sigma_reflectance=np.nan_to_num(sigma),
            rows=each.rows,
            samples=each.samples,
        )
        lights.append(light)
    sensor = _sensor(source.capture, notes)
    if sensor is not None and len(lights) > 1:
        notes.append(_change(captures, lights))
    result = reflectance(cube, lights, sensor=sensor)
    told = tuple(note for note in notes if note)
    return replace(
        result,
        cube=replace(result.cube, history=(*result.cube.history, *told)),
        notes=(*result.notes, *told),
    )


def _sensor(capture: Capture, notes: list[str]) -> Doubles | None:
    """Return what the light sensor says, None where it says nothing that can be compared."""
    try:
        sensor, told = light_sensor.irradiance(capture)
    except CalibrationError as error:
        notes.append(f"light sensor not compared: {error.what}")
        return None
    notes.extend(told)
    return sensor


def _change(captures: Sequence[Panel], lights: Sequence[PanelLight]) -> str:
    """Return what panels and sensor say of the change of light from first to last; empty if unknown."""
    order = np.argsort([each.time for each in lights])
    first, last = int(order[0]), int(order[-1])
    said = [_sensor(source_of(captures[place].cube).capture, []) for place in (first, last)]
    if said[0] is None or said[1] is None:
        return ""
    return downwelling.compare(
        lights[first].irradiance,
        said[0],
        panel_after=lights[last].irradiance,
        sensor_after=said[1],
    ).note
