"""Records as geopandas tables in EPSG:4326, with the columns of the GIS layers, typed and not rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.geodesy import WGS84, to_lonlat
from dronesense.model.exchange import need
from dronesense.model.gas import Flag

need("geopandas")

import geopandas as gpd  # noqa: E402 - asked for first, so that its absence is said in words
import pandas as pd  # noqa: E402

if TYPE_CHECKING:
    from dronesense.model.hotspot import GasTrace, HotspotLayer
    from dronesense.model.trajectory import Trajectory

BETWEEN: Final = "; "
"""Between sources and between flags in a text."""
HIT: Final = 0
"""Status of a sample with a place."""
TEXT: Final = "string"
WHOLE: Final = "Int64"
REAL: Final = "float64"


def hotspots(record: HotspotLayer) -> gpd.GeoDataFrame:
    """Return the hotspots, best first; see :meth:`.HotspotLayer.to_geopandas`."""
    each = record.hotspots
    observed = [(h.n_obs, h.kind == "gas") for h in each]
    columns: dict[str, Any] = {name: _of(each, name, TEXT) for name in ("id", "target", "kind", "method")}
    columns |= {name: _of(each, name, REAL) for name in ("score", "p_value", "q_value", "value")}
    columns["unit"] = _of(each, "unit", TEXT)
    columns["value_sigma"] = _of(each, "value_sigma", REAL)
    columns["n_pixels"] = pd.array([None if gas else count for count, gas in observed], dtype=WHOLE)
    columns["n_samples"] = pd.array([count if gas else None for count, gas in observed], dtype=WHOLE)
    columns["n_passes"] = _of(each, "n_passes", WHOLE)
    for name in (
        "area_m2", "lon", "lat", "height_m", "ce90_m", "ellipse_major_m", "ellipse_minor_m",
        "ellipse_azimuth_deg",
    ):  # fmt: skip
        columns[name] = _of(each, name, REAL)
    columns["start"] = _moments([h.start for h in each])
    columns["end"] = _moments([h.end for h in each])
    columns["flight"] = pd.array([record.flight] * len(each), dtype=TEXT)
    columns["sources"] = pd.array([BETWEEN.join(h.sources) for h in each], dtype=TEXT)
    columns["status"] = _of(each, "status", TEXT)
    columns["flags"] = pd.array([BETWEEN.join(h.flags) for h in each], dtype=TEXT)
    columns["members"] = pd.array([BETWEEN.join(h.members) or None for h in each], dtype=TEXT)
    return gpd.GeoDataFrame(columns, geometry=[h.geometry for h in each], crs=WGS84)


def gas_trace(record: GasTrace) -> gpd.GeoDataFrame:
    """Return the samples with a place as points; see :meth:`.GasTrace.to_geopandas`."""
    series, points = record.series, record.points
    lon, lat = to_lonlat(points.x, points.y, points.crs)
    at = np.flatnonzero((points.status == HIT) & np.isfinite(lon) & np.isfinite(lat))
    unknown = np.full(len(series), np.nan)
    variance = points.cov[at][:, (0, 1), (0, 1)]
    columns: dict[str, Any] = {
        "species": pd.array([series.species] * len(at), dtype=TEXT),
        "time": _moments(series.time[at]),
        "value": series.value[at],
        "unit": pd.array([series.unit] * len(at), dtype=TEXT),
        "value_sigma": series.sigma[at],
        "background": (unknown if record.background is None else record.background)[at],
        "z": (unknown if record.z is None else record.z)[at],
        "height_m": points.height_m[at],
        "position_sigma_m": np.sqrt(variance.max(axis=1)),
        "flags": pd.array(_flag_names(series.flags[at]), dtype=TEXT),
        "source": pd.array([series.source] * len(at), dtype=TEXT),
        "row": pd.array(series.row[at], dtype=WHOLE),
    }
    return gpd.GeoDataFrame(columns, geometry=shapely.points(lon[at], lat[at]), crs=WGS84)


def trajectory(record: Trajectory) -> gpd.GeoDataFrame:
    """Return the track, a line for each stretch; see :meth:`.Trajectory.to_geopandas`."""
    cuts = np.flatnonzero(np.diff(record.segment)) + 1
    begins, ends = np.r_[0, cuts], np.r_[cuts, len(record)]
    heights = [record.height_m[a:b] for a, b in zip(begins, ends, strict=True)]
    columns: dict[str, Any] = {
        "segment": pd.array(record.segment[begins], dtype=WHOLE),
        "start": _moments(record.time[begins]),
        "end": _moments(record.time[ends - 1]),
        "samples": pd.array(ends - begins, dtype=WHOLE),
        "source": pd.array([record.source] * len(begins), dtype=TEXT),
        "height_ref": pd.array([record.height_ref] * len(begins), dtype=TEXT),
        "height_min_m": np.array([np.fmin.reduce(each) for each in heights]),
        "height_max_m": np.array([np.fmax.reduce(each) for each in heights]),
        "clock": pd.array([record.clock.kind] * len(begins), dtype=TEXT),
        "sigma_clock_s": np.full(len(begins), record.clock.sigma_s),
    }
    places = np.column_stack([record.lon, record.lat])
    lines = [
        shapely.LineString(places[a:b]) if b - a > 1 else shapely.Point(places[a])
        for a, b in zip(begins, ends, strict=True)
    ]
    return gpd.GeoDataFrame(columns, geometry=lines, crs=WGS84)


def _of(records: Sequence[object], name: str, kind: str) -> Any:
    return (
        pd.array([getattr(each, name) for each in records], dtype=kind)
        if kind != REAL
        else np.array([getattr(each, name) for each in records], dtype=REAL)
    )


def _moments(time_ns: Sequence[int] | NDArray[np.int64]) -> Any:
    stamps = np.asarray(time_ns, np.int64).astype("datetime64[ns]")
    return pd.DatetimeIndex(stamps).tz_localize("UTC")


def _flag_names(flags: NDArray[np.uint16]) -> list[str]:
    sets, inverse = np.unique(flags, return_inverse=True)
    names = np.array(
        ["|".join(flag.name or "" for flag in Flag if flag and flag & int(bits)) for bits in sets], object
    )
    return names[inverse].tolist() if len(sets) else []
