"""Sources, search sectors and emission rates as GeoJSON (RFC 7946): indications with their limits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from dronesense.geodesy import to_lonlat
from dronesense.model import FluxEstimate, SearchSector, SourceEstimate
from dronesense.writers.atomic import write_bytes
from dronesense.writers.geojson import LIST_SEPARATOR, as_member, prepare

SIGNIFICANT_DIGITS: Final = 4
"""Of rates: an inversion is good to some ten per cent."""
WORDING: Final = (
    "Places and rates follow from a model of wind and dispersion and from what was sampled: indications with "
    "their limits, never proof."
)


def write(
    sources: Sequence[SourceEstimate],
    sectors: Sequence[SearchSector],
    fluxes: Sequence[FluxEstimate],
    path: Path,
    *,
    flight: str,
) -> None:
    """Write what was inferred about sources; properties are described in ``docs/products.md``.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    features = [*_sources(sources), *_sectors(sectors), *_fluxes(fluxes)]
    for each in features:
        each["properties"]["flight"] = flight
    head = json.dumps(
        {"type": "FeatureCollection", "dronesense": {"wording": WORDING}}, separators=(",", ":")
    )
    lines = ",\n".join(
        json.dumps(each, allow_nan=False, ensure_ascii=False, separators=(",", ":")) for each in features
    )
    write_bytes(path, f'{head[:-1]},"features":[\n{lines}\n]}}\n'.encode())


def _sources(sources: Sequence[SourceEstimate]) -> Iterator[dict[str, Any]]:
    for number, source in enumerate(sources, start=1):
        lon, lat = to_lonlat(source.x, source.y, source.crs)
        shared = {
            "species": source.species,
            "source": number,
            "lon": round(float(lon), 7),
            "lat": round(float(lat), 7),
            "rate_kg_h": _digits(source.rate_kg_h),
            "rate_low_90_kg_h": _digits(source.rate_90_kg_h[0]),
            "rate_high_90_kg_h": _digits(source.rate_90_kg_h[1]),
            "height_m": _digits(source.height_m),
            "method": source.method,
            "limits": LIST_SEPARATOR.join(source.warnings),
        }
        for share, region in ((0.5, source.region_50), (0.9, source.region_90)):
            kind = {"kind": "source-region", "probability": share}
            yield _feature(region, source.crs, {**kind, **shared})


def _sectors(sectors: Sequence[SearchSector]) -> Iterator[dict[str, Any]]:
    for sector in sectors:
        yield _feature(
            sector.geometry,
            sector.crs,
            {
                "kind": "search-sector",
                "hotspot": sector.hotspot,
                "target": sector.target,
                "probability": _digits(sector.confidence),
                "wind_from_deg": round(sector.wind_from_deg, 1),
                "wind_speed_m_s": round(sector.wind_speed_m_s, 2),
                "half_angle_deg": round(sector.half_angle_deg, 1),
                "reach_m": round(sector.reach_m, 1),
            },
        )


def _fluxes(fluxes: Sequence[FluxEstimate]) -> Iterator[dict[str, Any]]:
    for flux in fluxes:
        yield _feature(
            flux.outline,
            flux.crs,
            {
                "kind": "flux",
                "species": flux.species,
                "surface": flux.surface,
                "rate_kg_h": _digits(flux.rate_kg_h),
                "rate_sigma_kg_h": _digits(flux.sigma_kg_h),
                **{f"sigma_{cause}_kg_h": _digits(part) for cause, part in flux.budget_kg_h.items()},
                **{f"rate_{case}_kg_h": _digits(rate) for case, rate in flux.bounds_kg_h.items()},
                "limits": LIST_SEPARATOR.join(flux.warnings),
            },
        )


def _feature(geometry: BaseGeometry, crs: str, properties: dict[str, Any]) -> dict[str, Any]:
    def turned(xy: Any) -> Any:
        return np.column_stack(to_lonlat(xy[:, 0], xy[:, 1], crs))

    there = shapely.transform(shapely.force_2d(geometry), turned)
    place = (float(there.centroid.x), float(there.centroid.y))
    return {"type": "Feature", "geometry": as_member(prepare(there, place)), "properties": properties}


def _digits(value: float) -> float | None:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
