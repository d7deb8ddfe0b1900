"""Detections on the ground, and the layer that is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from dronesense import plugins
from dronesense.model import showing
from dronesense.model.checks import freeze
from dronesense.model.cube import SpectralCube
from dronesense.model.detection import Detection, ScoreMap
from dronesense.model.emission import FluxEstimate, GasMap, SearchSector, SourceEstimate
from dronesense.model.gas import GasSeries
from dronesense.model.trajectory import Trajectory

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr


@dataclass(frozen=True, slots=True, eq=False)
class GroundPoints:
    """Places with their uncertainty, in a metric CRS.

    Parameters
    ----------
    x, y : (k,) float64
        Easting and northing in `crs`, m; NaN where `status` is not 0.
    height_m : (k,) float64
        Above the ellipsoid.
    cov : (k, 2, 2) float64
        Covariance of (x, y), m².
    status : (k,) uint8
        0 hit; 1 no trajectory at that time; 2 no terrain data; 3 outside the terrain; 4 the ray does not go
        down; 5 grazing.
    crs : str
        Metric CRS of x and y.
    time : (k,) int64
        UTC ns.
    cov_own : (k, 2, 2) float64 or None
        The part of `cov` that is independent from point to point: the place within a pixel. None: no part.
    shared : (k, 2, m) float64 or None
        Shift of (x, y) by one standard deviation of each of m errors that are the same for the whole flight
        (boresight, lever arm, clock, terrain). They are part of `cov`, and tie passes together: an error that
        shifts one strip to the east shifts the opposite one to the west.
    rig : str
        Whose errors `shared` holds: only points of one rig share them.
    cov_white : (k, 2, 2) float64 or None
        The part of `cov` from errors of navigation that jump from sample to sample: over a time of several
        samples they average out.
    white_s : float
        Time between two samples of navigation, s; 0 when not known.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    height_m: NDArray[np.float64]
    cov: NDArray[np.float64]
    status: NDArray[np.uint8]
    crs: str
    time: NDArray[np.int64]
    cov_own: NDArray[np.float64] | None = None
    shared: NDArray[np.float64] | None = None
    rig: str = ""
    cov_white: NDArray[np.float64] | None = None
    white_s: float = 0.0

    def __post_init__(self) -> None:
        k = len(self.x)
        freeze(self, np.float64, (k,), "x", "y", "height_m")
        freeze(self, np.float64, (k, 2, 2), "cov", "cov_own", "cov_white")
        freeze(self, np.float64, (k, 2, None), "shared")
        freeze(self, np.uint8, (k,), "status")
        freeze(self, np.int64, (k,), "time")
        if not self.crs:
            raise ValueError("ground points need a CRS")

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True, eq=False)
class GroundRaster:
    """A raster on the ground.

    Parameters
    ----------
    name : str
        ``<cube>__<target>``.
    values : (ny, nx) float32
        NaN for no data.
    transform : (a, b, c, d, e, f)
        As in :class:`~dronesense.model.MapGrid`; north up when we made the grid, the cube's own otherwise.
    crs, unit, description : str
        CRS of the grid, unit of the values, what they are.
    """

    name: str
    values: NDArray[np.float32]
    transform: tuple[float, float, float, float, float, float]
    crs: str
    unit: str
    description: str

    def __post_init__(self) -> None:
        freeze(self, np.float32, (None, None), "values")

    def to_xarray(self) -> xr.Dataset:
        """Return `value` with x and y of the pixels' centers and the CRS as `spatial_ref` (CF).

        Raises
        ------
        PluginError
            If xarray is not installed.
        """
        from dronesense.model.exchange import arrays

        return arrays.ground_raster(self)


@dataclass(frozen=True, slots=True, eq=False)
class GroundPicture:
    """A picture on the ground, to look at.

    Parameters
    ----------
    name : str
        Of the cube.
    rgba : (4, ny, nx) uint8
        Red, green, blue, opacity (0: not seen).
    transform, crs : as in :class:`GroundRaster`
    description : str
        Which bands are shown.
    """

    name: str
    rgba: NDArray[np.uint8]
    transform: tuple[float, float, float, float, float, float]
    crs: str
    description: str

    def __post_init__(self) -> None:
        freeze(self, np.uint8, (4, None, None), "rgba")


@dataclass(frozen=True, slots=True, eq=False)
class Hotspot:
    """An indication with its limits; never proof.

    Parameters
    ----------
    id : str
        Stable: the same inputs and settings give the same id.
    target : str
        Rule that it answers to.
    kind : {"gas", "spectral", "fused"}
        Kind of evidence.
    method : str
        Detector.
    geometry : shapely geometry
        WGS84 lon/lat; for a gas hotspot the stretch of track, for a spectral one the pixels' outline.
    lon, lat, height_m : float
        The peak; height above the ellipsoid, NaN when unknown.
    score, p_value, q_value : float
        NaN when unknown.
    value, value_sigma : float
        Enhancement or filled fraction, in `unit`.
    ce90_m : float
        Radius of the circle that holds the true place with 90 % probability.
    ellipse_major_m, ellipse_minor_m, ellipse_azimuth_deg : float
        One-sigma semi-axes and azimuth (clockwise from true north) of the major one.
    start, end : int
        UTC ns.
    n_obs : int
        Pixels (spectral) or samples (gas).
    n_passes : int
        Strips or passes that saw it.
    area_m2 : float
        Geodesic area; NaN for a gas track.
    sources : tuple of str
        ``file#line 12-15 sample 3-9`` or ``file#row 100-120``.
    status : str
        ``candidate`` until a person says ``confirmed`` or ``rejected``.
    flags : tuple of str
        What limits it.
    members : tuple of str
        Of a fused hotspot: the ids of those that it was made of.
    """

    id: str
    target: str
    kind: Literal["gas", "spectral", "fused"]
    method: str
    geometry: BaseGeometry
    lon: float
    lat: float
    height_m: float
    score: float
    p_value: float
    q_value: float
    value: float
    value_sigma: float
    unit: str
    ce90_m: float
    ellipse_major_m: float
    ellipse_minor_m: float
    ellipse_azimuth_deg: float
    start: int
    end: int
    n_obs: int
    n_passes: int
    area_m2: float
    sources: tuple[str, ...]
    status: Literal["candidate", "confirmed", "rejected"] = "candidate"
    flags: tuple[str, ...] = ()
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (-180.0 <= self.lon <= 180.0 and -90.0 <= self.lat <= 90.0):
            raise ValueError(f"hotspot {self.id} lies at lon {self.lon}, lat {self.lat}")
        if self.end < self.start:
            raise ValueError(f"hotspot {self.id} ends before it starts")


@dataclass(frozen=True, slots=True, eq=False)
class GasTrace:
    """A calibrated gas series with a place for every sample, and what was searched in it.

    Parameters
    ----------
    series : GasSeries
        Calibrated.
    points : GroundPoints
        Inlet position of every sample.
    background, z : (m,) float64 or None
        Background under the series and its standardized enhancement; None when no rule asked for the species.
    threshold : float
        Of `z`; NaN when no rule asked.
    detections : tuple of Detection
        Events.
    """

    series: GasSeries
    points: GroundPoints
    background: NDArray[np.float64] | None = None
    z: NDArray[np.float64] | None = None
    threshold: float = float("nan")
    detections: tuple[Detection, ...] = ()

    def _repr_html_(self) -> str:
        facts = {
            "file": self.series.source,
            "samples": len(self.series),
            "threshold": f"{self.threshold:.4g} sigma" if np.isfinite(self.threshold) else "not searched",
            "events": len(self.detections),
        }
        return showing.card(f"Gas trace {self.series.species}", facts)

    def to_xarray(self) -> xr.Dataset:
        """Return the series with place, uncertainty of the place, background, z and event of every sample.

        Raises
        ------
        PluginError
            If xarray is not installed.
        """
        from dronesense.model.exchange import arrays

        return arrays.gas_trace(self)

    def to_geopandas(self) -> gpd.GeoDataFrame:
        """Return every sample with a place as a point, EPSG:4326; columns as in the layer `gas_samples`.

        Raises
        ------
        PluginError
            If geopandas is not installed.
        """
        from dronesense.model.exchange import tables

        return tables.gas_trace(self)


@dataclass(frozen=True, slots=True, eq=False)
class CubeView:
    """A calibrated cube with the score map of every rule and what was detected in it."""

    cube: SpectralCube
    scores: tuple[ScoreMap, ...] = ()
    detections: tuple[Detection, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class HotspotSpectrum:
    """What one strip measured at a spectral hotspot, beside what was looked for.

    Parameters
    ----------
    hotspot : str
        Its id.
    cube, source : str
        Strip, and file with line and sample of the pixel.
    unit : str
        Of all values: ``"reflectance"``, ``"counts"`` ...
    center_nm, fwhm_nm : (k,) float64
        Bands; NaN when not known.
    good : (k,) bool
        Bands that can be trusted.
    pixel : (k,) float64
        The best pixel.
    background : (k,) float64
        Mean of the pixels around it that are no hotspot; NaN when there are none.
    signature : (k,) float64
        In these bands; NaN where it does not reach.
    fill : float
        Filled fraction of the pixel; NaN when unknown.
    """

    hotspot: str
    cube: str
    source: str
    unit: str
    center_nm: NDArray[np.float64]
    fwhm_nm: NDArray[np.float64]
    good: NDArray[np.bool_]
    pixel: NDArray[np.float64]
    background: NDArray[np.float64]
    signature: NDArray[np.float64]
    fill: float

    def __post_init__(self) -> None:
        k = len(self.center_nm)
        freeze(self, np.float64, (k,), "center_nm", "fwhm_nm", "pixel", "background", "signature")
        freeze(self, np.bool_, (k,), "good")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HotspotLayer:
    """Everything that a run has to say.

    Parameters
    ----------
    flight : str
        Flight id.
    hotspots : tuple of Hotspot
        Ranked, best first; empty when nothing was found.
    trajectory : Trajectory or None
        The track that was used.
    gas : tuple of GasTrace
        Calibrated series with a place for every sample.
    cubes : tuple of CubeView
        Calibrated cubes with their score maps.
    rasters : tuple of GroundRaster
        Ground-projected scores.
    maps : tuple of GasMap
        Gas maps.
    sources, sectors, fluxes : tuple
        What was inferred about sources, see :mod:`dronesense.model.emission`.
    spectra : tuple of HotspotSpectrum
        What was measured at the spectral hotspots.
    pictures : tuple of GroundPicture
        The cubes in color on the ground.
    statements : mapping
        False alarms, clocks, heights, coverage, in words and numbers, JSON-ready.
    warnings : tuple of str
        What a user should know before trusting the layer.
    rejected : tuple of (path, reason)
        Inputs that could not be used.
    mosaics : tuple of tuples of GroundRaster
        Score, number of the strip and its CE90, where several strips of a camera were searched for a target.
    """

    flight: str
    hotspots: tuple[Hotspot, ...]
    trajectory: Trajectory | None = None
    gas: tuple[GasTrace, ...] = ()
    cubes: tuple[CubeView, ...] = ()
    rasters: tuple[GroundRaster, ...] = ()
    maps: tuple[GasMap, ...] = ()
    sources: tuple[SourceEstimate, ...] = ()
    sectors: tuple[SearchSector, ...] = ()
    fluxes: tuple[FluxEstimate, ...] = ()
    spectra: tuple[HotspotSpectrum, ...] = ()
    pictures: tuple[GroundPicture, ...] = ()
    statements: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    mosaics: tuple[tuple[GroundRaster, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.hotspots)

    def __repr__(self) -> str:
        return f"<HotspotLayer {self.flight}: {len(self)} hotspots, {len(self.warnings)} warnings>"

    def _repr_html_(self) -> str:
        headings = ["id", "target", "kind", "score", "lon", "lat", "ce90_m", "status"]
        rows = [
            (
                h.id,
                h.target,
                h.kind,
                float(h.score),
                f"{h.lon:.6f}",
                f"{h.lat:.6f}",
                float(h.ce90_m),
                h.status,
            )
            for h in self.hotspots
        ]
        facts = {"hotspots": len(self), "are": "indications for a follow-up, not proof"}
        said = (*self.warnings, *(f"{path}: {why}" for path, why in self.rejected))
        from dronesense.model import thumbnail

        below = thumbnail.of_layer(self) + showing.table(headings, rows)
        return showing.card(f"Hotspots of {self.flight}", facts, warnings=said, below=below)

    def __iter__(self) -> Iterator[Hotspot]:
        return iter(self.hotspots)

    def to_geopandas(self) -> gpd.GeoDataFrame:
        """Return the hotspots with their outlines, best first, EPSG:4326; columns as in ``hotspots.geojson``.

        Raises
        ------
        PluginError
            If geopandas is not installed.
        """
        from dronesense.model.exchange import tables

        return tables.hotspots(self)

    def write(self, path: str | Path) -> Path:
        """Write the layer in the format that the suffix of *path* names, e.g. ``.geojson``.

        Raises
        ------
        PluginError
            If no writer has that suffix.
        """
        path = Path(path)
        plugins.find("dronesense.writers", path.suffix.lstrip(".").lower()).write(self, path)
        return path
