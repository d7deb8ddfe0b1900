"""Which calibration a cube gets: the quantity that is asked for, by the best that the flight folder has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import empirical_line, frames, radiance, reflectance
from dronesense.calibrate.detector import dark_frame
from dronesense.calibrate.reference import levels
from dronesense.errors import CalibrationError, DronesenseError
from dronesense.model import CameraCalibration, CubeInput, FrameCamera, LineCamera, Panel, SpectralCube
from dronesense.model.capture import CaptureCube
from dronesense.model.cube import CubeQuantity
from dronesense.model.radiometry import CameraSettings, DarkFrame, RadianceNoise, Radiometry
from dronesense.pipeline.account import Account

SHOWN_BANDS: Final = 6
"""Gated bands that are named one by one."""

Doubles = NDArray[np.float64]


def calibrated(given: CubeInput, wanted: CubeQuantity, account: Account) -> SpectralCube:
    """Return the cube of *given* in the quantity that is asked for, as far as it can be.

    A cube that is already in reflectance stays as it is, and so does one in radiance for which the flight has
    neither panel nor targets: the search says what does not fit.

    Raises
    ------
    CalibrationError
        If a record, panel or targets are missing, or do not fit.
    """
    cube = given.cube
    if wanted == "counts" or cube.quantity in (wanted, "reflectance"):
        return cube
    if isinstance(cube.source, CaptureCube):
        return _of_capture(given, wanted, account)
    if wanted == "radiance":
        return to_radiance(given, account)
    if given.targets:
        return _by_targets(given, account)
    if cube.quantity == "radiance" and not given.panels:
        return cube
    return _by_panels(given, account)


def to_radiance(given: CubeInput, account: Account) -> SpectralCube:
    """Return the counts of *given* as radiance, W/(m2 sr nm), by the record of its camera.

    Raises
    ------
    CalibrationError
        If the cube is in reflectance, or no record with a gain is valid.
    """
    if given.cube.quantity == "radiance":
        return given.cube
    if _radiometry(given) is None:
        raise CalibrationError(
            "radiance needs a calibration record with a gain",
            where=given.cube.path,
            fix='add gain = "gain.csv" (radiance per count per ms) to calibration/records/<camera>/',
        )
    cube, noise = _radiance(given, given.cube)
    _tell(account, given, cube, {"gain": noise.relative})
    return cube


def _of_capture(given: CubeInput, wanted: CubeQuantity, account: Account) -> SpectralCube:
    """Return a capture of a frame camera in radiance by its model, or in reflectance by its panels."""
    if wanted == "radiance":
        cube = frames.radiance(given.cube)
        _tell(account, given, cube, {})
        return cube
    result = frames.calibrate(given.cube, given.panels)
    cube = replace(result.cube, relative_sigma=result.sigma_relative)
    if result.disagreement is not None:
        account.warnings.append(f"{given.cube.path}: {result.disagreement.note}")
    _tell(account, given, cube, {"panel": result.sigma_relative})
    return cube


def saturation_of(given: CubeInput) -> float:
    """Return the count from which a pixel of the cube is saturated; inf where nobody states it."""
    spec = None if given.instrument is None else given.instrument.spec
    return spec.saturation_dn if isinstance(spec, LineCamera | FrameCamera) else float("inf")


def _radiometry(given: CubeInput) -> Radiometry | None:
    return None if given.calibration is None else given.calibration.radiometry


def _radiance(
    given: CubeInput, cube: SpectralCube, radiometry: Radiometry | None = None
) -> tuple[SpectralCube, RadianceNoise]:
    """Return one capture in radiance, with the darks of the flight or else of the record."""
    record, used = given.calibration, radiometry or _radiometry(given)
    assert used is not None
    used = _fitting(used, cube)
    darks = tuple(_dark_frame(dark, cube, used) for dark in given.darks)
    result, noise = radiance.calibrate(
        cube,
        used.with_darks(darks) if darks else used,
        between="nearest" if record is None else record.dark_between,
        smile_nm=None if record is None else record.smile_nm,
        saturation_dn=saturation_of(given),
        stray=None if cube is given.cube else 0,  # the lines of a panel may well be alike
    )
    return replace(result, relative_sigma=noise.relative), noise


def _fitting(used: Radiometry, cube: SpectralCube) -> Radiometry:
    """Take a calibration of as many elements as the cube has as one of its own binning."""
    if cube.settings is None or used.gain.shape != cube.shape[1:]:
        return used
    settings = _binned_as(used.settings, cube.settings)
    darks = tuple(
        replace(dark, settings=_binned_as(dark.settings, settings))
        if dark.level.shape == used.gain.shape
        else dark
        for dark in used.darks
    )
    return replace(used, settings=settings, darks=darks)


def _dark_frame(dark: SpectralCube, cube: SpectralCube, used: Radiometry) -> DarkFrame:
    settings = radiance.settings_of(dark)
    if dark.shape[1:] == cube.shape[1:]:
        own = used.settings if cube.settings is None else radiance.settings_of(cube)
        settings = replace(_binned_as(settings, own), flipped=own.flipped)
    return dark_frame(dark, settings=settings)


def _binned_as(settings: CameraSettings, other: CameraSettings) -> CameraSettings:
    return replace(settings, sample_binning=other.sample_binning, band_binning=other.band_binning)


def _by_panels(given: CubeInput, account: Account) -> SpectralCube:
    """Return the cube in reflectance by its panels; through radiance where that evens out more."""
    record = given.calibration
    cube, panels = given.cube, given.panels
    dark: Sequence[SpectralCube] | Doubles | None = given.darks or (None if record is None else record.dark)
    bad = None if record is None else record.bad_pixels
    saturation = saturation_of(given)
    if cube.quantity == "counts" and panels and _through_radiance(given):
        cube = _linear(given, cube)
        panels = tuple(replace(each, cube=_linear(given, each.cube)) for each in panels)
        dark, bad, saturation = None, None, float("inf")
    elif cube.quantity == "counts" and dark is None:
        account.warnings.append(
            f"{cube.path}: no dark capture: the dark signal is taken as zero, and reflectance is off"
        )
    result, report = reflectance.by_panels(
        cube, panels, dark=dark, bad_pixels=bad, saturation_dn=saturation, light=given.light
    )
    account.warnings += [f"{each}; check it in the quicklook" for each in report.regions]
    account.warnings += report.doubts
    change = {} if report.change is None else {"change_between_panels": _range(report.change)}
    _tell(account, given, result, report.sigma, **change)
    return result


def _through_radiance(given: CubeInput) -> bool:
    """Tell whether panels are better compared in radiance: smile, or panels that some samples only see."""
    record = given.calibration
    if record is None or (record.radiometry is None and record.smile_nm is None):
        return False
    partly = any(each.samples is not None or each.find == "auto" for each in given.panels)
    return record.smile_nm is not None or (partly and record.radiometry is not None)


def _linear(given: CubeInput, cube: SpectralCube) -> SpectralCube:
    """Return a capture in radiance, or where no gain is known in counts above dark (per ms, where known)."""
    if cube.quantity != "counts":
        return cube
    if _radiometry(given) is not None:
        return _radiance(given, cube)[0]
    record, shape = given.calibration, cube.shape[1:]
    captures = (given.cube, *(each.cube for each in (*given.panels, *given.targets)))
    known = all(np.isfinite(each.integration_ms) for each in captures)
    level = np.zeros(shape) if record is None or record.dark is None else record.dark
    relative = Radiometry(
        np.ones(shape),
        darks=(DarkFrame(level, name="of the record" if level.any() else "taken as 0"),),
        per_ms=known,
        bad_pixels=None if record is None else record.bad_pixels,
        name="counts above dark" + (" per ms" if known else ", exposures taken as equal"),
        notes=("relative units: no gain is known",),
    )
    return _radiance(given, cube, relative)[0]


def _by_targets(given: CubeInput, account: Account) -> SpectralCube:
    """Return the cube in reflectance by an empirical line through its targets."""
    cube = _linear(given, given.cube)
    if given.cube.quantity == "counts" and not given.darks and not _has_dark(given.calibration):
        account.warnings.append(
            f"{given.cube.path}: no dark capture: the empirical line takes off one dark signal a band"
        )
    rows = [_target(given, cube, each) for each in given.targets]
    radiances, spreads, rho, sigma = (np.array(each) for each in zip(*rows, strict=True))
    try:
        line = empirical_line.fit(
            radiances, rho, sigma_radiance=spreads, sigma_reflectance=np.nan_to_num(sigma, nan=0.0)
        )
        result = empirical_line.calibrate(cube, line)
    except DronesenseError as error:
        raise CalibrationError(error.what, where=given.cube.path, fix=error.fix) from error
    gated = np.flatnonzero(given.cube.bands.good & ~line.good)
    if gated.size:
        named = ", ".join(f"{i} ({line.reasons[i]})" for i in gated[:SHOWN_BANDS])
        more = f" and {gated.size - SHOWN_BANDS} more" if gated.size > SHOWN_BANDS else ""
        account.warnings.append(
            f"{given.cube.path}: the empirical line cannot be drawn in {gated.size} bands, which are not "
            f"used: {named}{more}"
        )
    _tell(account, given, result, {"line": line.relative_sigma}, gated_bands=gated.tolist())
    return result


def _has_dark(record: CameraCalibration | None) -> bool:
    if record is None:
        return False
    return record.dark is not None or (record.radiometry is not None and bool(record.radiometry.darks))


def _target(given: CubeInput, cube: SpectralCube, target: Panel) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return radiance and reflectance of a target with the standard uncertainties of both, each (bands,)."""
    own = cube if target.cube is given.cube else _linear(given, target.cube)
    if own.shape[1] != cube.shape[1]:
        raise CalibrationError(
            f"has {own.shape[1]} bands, the cube {cube.path} {cube.shape[1]}",
            where=own.path,
            fix="take the targets from cubes of the same camera",
        )
    if target.samples is not None and not target.samples[1] <= own.shape[2]:
        first, last = target.samples
        raise CalibrationError(
            f"samples {first} to {last} of a target are not in its {own.shape[2]}", where=own.path
        )
    seen = levels(own, target.rows, target.samples)
    rho, sigma, covered = target.reflectance.in_bands(
        center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm
    )
    spread = seen.mean.std(axis=1) if seen.mean.shape[1] > 1 else seen.deviation[:, 0] / np.sqrt(seen.lines)
    known = own.bands.good & cube.bands.good
    mean = np.where(known, seen.mean.mean(axis=1), np.nan)
    return mean, np.nan_to_num(spread, nan=0.0), np.where(covered, rho, np.nan), sigma


def _tell(
    account: Account, given: CubeInput, cube: SpectralCube, parts: dict[str, Doubles], **more: object
) -> None:
    """Enter into the books how a cube was calibrated and how well."""
    total = cube.relative_sigma
    account.radiometry(
        {
            "cube": given.cube.path,
            "quantity": cube.quantity,
            "steps": list(cube.history[len(given.cube.history) :]),
            "good_bands": int(cube.bands.good.sum()),
            "relative_sigma": None if total is None else [_rounded(each) for each in total.tolist()],
            "relative_sigma_by_part": {name: _range(part) for name, part in parts.items()},
            **more,
        }
    )


def _range(values: Doubles) -> dict[str, float] | None:
    """Return median, least and greatest of what is known; None where nothing is."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    least, middle, most = np.quantile(known, (0.0, 0.5, 1.0)).tolist()
    return {"median": _rounded(middle), "least": _rounded(least), "greatest": _rounded(most)}


def _rounded(value: float) -> float:
    return round(value, 6) if np.isfinite(value) else value
