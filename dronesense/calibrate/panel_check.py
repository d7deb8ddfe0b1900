"""What one capture of a reflectance panel is worth: where the panel is, and what each band tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import frames
from dronesense.calibrate.panel import PanelRegion
from dronesense.calibrate.reference import MIN_WHITE, DarkLevel, levels, region, white
from dronesense.errors import CalibrationError
from dronesense.model import Panel, SpectralCube
from dronesense.model.capture import CaptureCube

UNEVEN: Final = 0.05
"""Standard deviation over mean of the panel's face from which shade, dirt or vignetting is on it."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PanelCheck:
    """One panel capture, band by band.

    Parameters
    ----------
    rows, samples : (first, last)
        Where the panel is, last not included; None for a capture whose bands have places of their own.
    where : str
        The same in words, with what is to be said about it.
    center_nm : (bands,) float64
    level : (bands,) float64
        Mean over the panel above dark, in counts, or radiance as the camera's model gives it.
    spread : (bands,) float64
        Standard deviation over the panel's face over `level`; of a line scanner from line to line, sample by
        sample: what differs between samples is the detector's own.
    noise : (bands,) float64
        Relative standard uncertainty of `level` by noise of panel and dark.
    saturated : (bands,) float64
        Share of the face's elements that are saturated.
    reflectance, reflectance_sigma : (bands,) float64
        Of the panel, as the band sees it; NaN where it is not known.
    per_level : (bands,) float64
        Reflectance that one unit of `level` stands for, in the light and at the exposure of this capture; NaN
        for a band that cannot be used.
    sigma : (bands,) float64
        Its relative standard uncertainty: `noise` and that of the panel's reflectance.
    reasons : tuple of str
        Why a band cannot be used; empty for one that can.
    assumed : bool
        Nobody said where the panel is, and no edge of one is in sight: all of the capture is taken for it.
    """

    rows: tuple[int, int] | None
    samples: tuple[int, int] | None
    where: str
    center_nm: Doubles
    level: Doubles
    spread: Doubles
    noise: Doubles
    saturated: Doubles
    reflectance: Doubles
    reflectance_sigma: Doubles
    per_level: Doubles
    sigma: Doubles
    reasons: tuple[str, ...]
    assumed: bool = False

    @property
    def good(self) -> NDArray[np.bool_]:
        """Bands that can be used."""
        return np.array([not each for each in self.reasons])

    def doubts(self) -> list[str]:
        """Return what a user should know before this panel is trusted, in words."""
        good = self.good
        found = []
        if self.assumed:
            found.append(
                "no edge of a panel is in sight: all of the capture is taken for it; make sure that it shows "
                "nothing else"
            )
        uneven = good & (self.spread > UNEVEN)
        if uneven.any():
            found.append(
                f"the panel differs by {self.spread[uneven].max():.0%} (1 sigma) over its face in "
                f"{int(uneven.sum())} bands: shade, dirt, or a region that is more than the panel"
            )
        if not np.any(self.reflectance_sigma[good] > 0.0):
            found.append("the uncertainty of the panel's reflectance is not stated: it counts as 0")
        return found


def check(panel: Panel, *, dark: DarkLevel | None = None, saturation_dn: float = np.inf) -> PanelCheck:
    """Return what a capture of a panel is worth, by the rules by which a run uses it.

    Parameters
    ----------
    panel : Panel
        The capture; without rows and samples the panel is looked for unless `find` says otherwise.
    dark : DarkLevel, optional
        Of a line scanner; None: taken as 0. Frame cameras know their own.
    saturation_dn : float
        Count from which a reading is saturated.

    Raises
    ------
    CalibrationError
        If the panel is not found, not brighter than the dark, saturated or of unknown reflectance in all
        bands, or its region lies outside.
    """
    if isinstance(panel.cube.source, CaptureCube):
        return _of_capture(panel)
    cube = panel.cube
    level = dark or DarkLevel(np.zeros(cube.shape[1:]), None, "no dark capture: dark signal taken as 0")
    seen = white(cube, panel, dark=level, saturation_dn=saturation_dn)
    rows, columns, told, _ = region(panel, level.level)
    face = levels(cube, rows, (columns.start, columns.stop))
    signal = face.mean - level.level[:, columns]
    rho, rho_sigma, _ = panel.reflectance.in_bands(center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm)
    saturated = np.mean(face.highest >= saturation_dn, axis=1)
    mean = signal.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.median(face.deviation / np.abs(signal), axis=1)
    reasons = []
    for band in range(len(mean)):
        if not cube.bands.good[band]:
            reasons.append("marked as bad in the file")
        elif not seen.covered[band]:
            reasons.append("reflectance of the panel not known")
        elif seen.lost[band]:
            reasons.append("saturated" if saturated[band] > 0.0 else "too dark")
        else:
            reasons.append("")
    place = f"rows {rows[0]} to {rows[1] - 1}, samples {columns.start} to {columns.stop - 1}"
    return _made(
        rows=rows,
        samples=(columns.start, columns.stop),
        where=told or f"the whole capture: {place}",
        cube=cube,
        level=mean,
        spread=spread,
        noise=seen.noise,
        saturated=saturated,
        reflectance=np.where(seen.covered, rho, np.nan),
        reflectance_sigma=np.nan_to_num(rho_sigma, nan=0.0),
        reasons=reasons,
        assumed=not told and panel.rows is None and panel.samples is None and panel.find is None,
    )


def _of_capture(panel: Panel) -> PanelCheck:
    """Return the same of the pictures of a frame camera, in radiance by its model."""
    cube = panel.cube
    rho, rho_sigma, covered = panel.reflectance.in_bands(
        center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm
    )
    known = np.where(covered & (rho > MIN_WHITE), rho, np.nan)
    light, regions = frames.panel_light(
        cube,
        reflectance=known,
        sigma_reflectance=np.nan_to_num(rho_sigma, nan=0.0),
        rows=panel.rows,
        samples=panel.samples,
    )
    places = "; ".join(
        f"{center:.0f} nm {_corners(each)}"
        for center, each in zip(cube.bands.center_nm, regions, strict=True)
    )
    reasons = ["" if np.isfinite(each) else "reflectance of the panel not known" for each in light.irradiance]
    spread = np.array([each.spread for each in regions])
    return _made(
        rows=panel.rows,
        samples=panel.samples,
        where=f"panel in {places}",
        cube=cube,
        level=np.array([each.mean for each in regions]),
        spread=spread,
        noise=spread,  # taken in full, see dronesense.calibrate.panel.light
        saturated=np.zeros(len(regions)),
        reflectance=known,
        reflectance_sigma=np.nan_to_num(rho_sigma, nan=0.0),
        reasons=reasons,
    )


def _corners(region: PanelRegion) -> str:
    return " ".join(f"({x:.0f}, {y:.0f})" for x, y in region.corners)


def _made(
    *,
    rows: tuple[int, int] | None,
    samples: tuple[int, int] | None,
    where: str,
    cube: SpectralCube,
    level: Doubles,
    spread: Doubles,
    noise: Doubles,
    saturated: Doubles,
    reflectance: Doubles,
    reflectance_sigma: Doubles,
    reasons: list[str],
    assumed: bool = False,
) -> PanelCheck:
    good = np.array([not each for each in reasons])
    if not good.any():
        raise CalibrationError(
            f"no band of the panel can be used: {', '.join(sorted(set(reasons)))}",
            where=cube.path,
            fix="check the panel's exposure, its region and the wavelengths of its reflectance",
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        per_level = np.where(good, reflectance / level, np.nan)
        sigma = np.where(good, np.hypot(noise, reflectance_sigma / reflectance), np.nan)
    return PanelCheck(
        rows,
        samples,
        where,
        cube.bands.center_nm,
        level,
        spread,
        noise,
        saturated,
        reflectance,
        reflectance_sigma,
        per_level,
        sigma,
        tuple(reasons),
        assumed,
    )
