"""``truth.geojson``: what is really there, and what was planted in the instruments."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from dronesense.synthetic import plan as p
from dronesense.synthetic.analyzer import Analyzer, Gas, crossings
from dronesense.synthetic.autopilot import Clocks
from dronesense.synthetic.camera import Camera, Sighting
from dronesense.synthetic.folder import iso
from dronesense.synthetic.frames import Site
from dronesense.synthetic.ground import Surface, Thing
from dronesense.synthetic.motion import Motion

DECIMALS: Final = 9
"""Decimals of a true coordinate, degrees (0.1 mm)."""


def _feature(
    name: str, place: np.ndarray[Any, np.dtype[np.float64]], site: Site, properties: dict[str, Any]
) -> dict[str, Any]:
    lon, lat, height = (float(v[0]) for v in site.to_geodetic(place))
    point = [round(lon, DECIMALS), round(lat, DECIMALS), round(height, 4)]
    spot = {"lon": point[0], "lat": point[1], "height_m": point[2]}
    return {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Point", "coordinates": point},
        "properties": {"id": name, **properties, **spot},
    }


def thing_feature(thing: Thing, sightings: list[Sighting], site: Site, surface: Surface) -> dict[str, Any]:
    """Return the feature of a target or confuser."""
    up = float(surface.up(np.float64(thing.east_m), np.float64(thing.north_m)))  # type: ignore[arg-type]
    properties = {
        "kind": thing.kind,
        "target": thing.material,
        "size_m": round(thing.size_m, 4),
        "size_gsd": round(thing.size_m / p.gsd_m(), 3),
        "azimuth_deg": round(float(np.degrees(thing.turn_rad)), 3),
        "fill_fraction": round(max((s.fill for s in sightings), default=0.0), 4),
        "n_strips": len(sightings),
        "strips": {
            s.strip: {
                "fill_fraction": round(s.fill, 4),
                "row": s.row,
                "col": s.col,
                "gsd_m": round(s.gsd_m, 4),
            }
            for s in sightings
        },
    }
    return _feature(thing.id, np.array([thing.east_m, thing.north_m, up]), site, properties)


def plume_feature(
    analyzer: Analyzer, gas: Gas, plan: p.Plan, motion: Motion, site: Site, surface: Surface
) -> dict[str, Any]:
    """Return the feature of the plume, at the place of the inlet when it breathed the highest enhancement."""
    top = int(np.argmax(gas.enhancement_ppm))
    source = np.array([*plan.source, float(surface.up(plan.source[0], plan.source[1]))])
    lon, lat, height = (float(v[0]) for v in site.to_geodetic(source))
    passes = []
    for k in crossings(gas, motion):
        at = [float(v[0]) for v in site.to_geodetic(gas.inlet[k])]
        passes.append(
            {
                "time": iso(plan.boot_s + float(gas.time_s[k]), 3),
                "peak_ppm": round(float(gas.enhancement_ppm[k]), 5),
                "lon": round(at[0], DECIMALS),
                "lat": round(at[1], DECIMALS),
                "height_m": round(at[2], 3),
            }
        )
    properties = {
        "kind": "plume",
        "target": "CH4",
        "peak_ppm": round(float(gas.enhancement_ppm[top]), 5),
        "basis": "wet",
        "water_percent": round(analyzer.water_percent, 4),
        "time": iso(plan.boot_s + float(gas.time_s[top]), 3),
        "crossings": passes,
        "source_lon": round(lon, DECIMALS),
        "source_lat": round(lat, DECIMALS),
        "source_height_m": round(height, 3),
        "rate_kg_h": round(gas.rate_kg_h, 5),
        "wind_from_deg": round(plan.wind_from_deg, 3),
        "wind_m_s": round(plan.wind_m_s, 3),
        "background_ppm": round(analyzer.background_ppm, 5),
        "clock_offset_s": round(analyzer.clock_offset_s, 4),
        "clock_drift_ppm": round(analyzer.clock_drift * 1e6, 3),
        "zero_ppm": round(analyzer.zero_ppm, 6),
        "span": round(analyzer.span, 6),
        "tau_s": round(analyzer.tau_s, 4),
        "delay_s": round(analyzer.delay_s, 4),
    }
    return _feature("plume-1", gas.inlet[top], site, properties)


def flight_facts(
    flight_id: str,
    seed: int,
    plan: p.Plan,
    motion: Motion,
    site: Site,
    camera: Camera,
    analyzer: Analyzer,
    clocks: Clocks,
) -> dict[str, Any]:
    """Return what was planted in the aircraft and its instruments."""
    return {
        "id": flight_id,
        "seed": seed,
        "gsd_m": round(p.gsd_m(), 5),
        "boot": iso(plan.boot_s),
        "take_off": iso(plan.boot_s + motion.take_off_s, 3),
        "landing": iso(plan.boot_s + motion.landed_s, 3),
        "crs": site.utm,
        "undulation_m": round(site.undulation_m, 4),
        "boresight_deg": dict(
            zip(("roll", "pitch", "yaw"), (round(float(v), 5) for v in camera.boresight_deg), strict=True)
        ),
        "camera_lever_arm_m": [round(float(v), 5) for v in camera.lever_arm_m],
        "inlet_lever_arm_m": [round(float(v), 5) for v in analyzer.lever_arm_m],
        "gps_latency_s": round(clocks.latency_s, 5),
        "gps_latency_spread_s": round(clocks.spread_s, 4),
        "rtk_fixed": clocks.rtk_fixed,
        "boot_clock_ppm": round(clocks.rate * 1e6, 4),
        "gas_clock_offset_s": round(analyzer.clock_offset_s, 4),
        "strip_start": [iso(plan.boot_s + s, 3) for s in motion.strip_start_s],
    }


def text(features: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Return the collection as GeoJSON (RFC 7946; `flight` is a foreign member)."""
    collection = {"type": "FeatureCollection", "flight": facts, "features": features}
    return json.dumps(collection, indent=1, allow_nan=False) + "\n"
