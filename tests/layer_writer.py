"""A small layer with everything in it, in memory and as the products that a run writes."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from shapely.geometry import LineString, Point, box

from dronesense.model import (
    Ambient,
    Clock,
    GasMap,
    GasSeries,
    GasTrace,
    GroundPoints,
    GroundRaster,
    Hotspot,
    HotspotLayer,
    Trajectory,
)
from dronesense.writers import geojson, raster, table, track

T0 = 1_781_431_200_000_000_000  # 2026-06-14T10:00:00Z
CRS = "EPSG:32643"
LON, LAT = 76.9, 43.25
EVIL = "<b>&\"'\x00]]> цель"


def hotspot(geometry: Any, **changes: Any) -> Hotspot:
    given: dict[str, Any] = {
        "id": "0123456789ab", "target": "blue-cover", "kind": "spectral", "method": "ace",
        "geometry": geometry, "lon": LON + 5e-5, "lat": LAT + 5e-5, "height_m": 712.3456, "score": 0.81,
        "p_value": 1e-7, "q_value": 1e-4, "value": 0.3, "value_sigma": 0.04, "unit": "fraction",
        "ce90_m": 0.41234, "ellipse_major_m": 0.25, "ellipse_minor_m": 0.12, "ellipse_azimuth_deg": 33.3,
        "start": T0 + 123_000_000, "end": T0 + 10**9, "n_obs": 7, "n_passes": 2, "area_m2": 88.9,
        "sources": ("raw/l1.bil#line 1-3 sample 4",), "flags": (),
    }  # fmt: skip
    return Hotspot(**{**given, **changes})


def three(**changes: Any) -> tuple[Hotspot, ...]:
    way = LineString([(LON, LAT), (LON + 2e-4, LAT + 1e-4)])
    return (
        hotspot(box(LON, LAT, LON + 1e-4, LAT + 1e-4), **changes),
        hotspot(way, id="ba9876543210", kind="gas", method="peak", target="CH4", area_m2=math.nan,
                q_value=0.01, unit="ppm", flags=("partly-without-position",)),
        hotspot(Point(LON, LAT), id="cc0000000000", target=EVIL, p_value=math.nan, q_value=math.nan,
                ce90_m=math.nan, height_m=math.nan),
    )  # fmt: skip


def grid(name: str, *, unit: str = "1", hole: bool = True) -> GroundRaster:
    """Scores 0 to 1 on 40 x 60 pixels of 0.5 m, north up; north-western corner at LON, LAT + 2e-4."""
    x, y = pyproj.Transformer.from_crs(4326, CRS, always_xy=True).transform(LON, LAT + 2e-4)
    values = np.linspace(0.0, 1.0, 40 * 60).reshape(40, 60).astype(np.float32)
    if hole:
        values[:5] = np.nan
    return GroundRaster(name, values, (0.5, 0.0, x, 0.0, -0.5, y), CRS, unit, "ACE score of blue-cover")


def gas_map() -> GasMap:
    base = grid("m", hole=False)
    return GasMap("CH4", "ppm", base.values, base.values, base.values, base.transform, CRS, "kernel-dmv")


def trajectory() -> Trajectory:
    n = 30
    return Trajectory(
        time=T0 + np.arange(n) * 100_000_000,
        lon=LON + np.arange(n) * 2e-5,
        lat=np.full(n, LAT),
        height_m=np.full(n, 750.0),
        height_source_m=np.full(n, 750.0),
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan),
        attitude=np.full((n, 4), np.nan),
        std_ned_m=np.tile([0.3, 0.4, 0.5], (n, 1)),
        std_rpy_deg=np.ones((n, 3)),
        fix=np.full(n, 5, dtype=np.uint8),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("fitted", 0.05),
        reference_point="antenna",
        source="raw/a.BIN:GPS[0]",
    )


def trace() -> GasTrace:
    lon, lat = np.array([LON, LON + 1e-4, LON + 2e-4]), np.full(3, LAT)
    x, y = pyproj.Transformer.from_crs(4326, CRS, always_xy=True).transform(lon, lat)
    series = GasSeries(
        T0 + np.array([0, 200_000_000, 1_250_000_000]), "CH4", "mole_fraction",
        np.array([2.0123, np.nan, 12.5]),
        np.array([0.01, np.nan, 0.02]), "wet", np.array([0, 2, 0], np.uint16), "calibrated", Ambient(), "a",
        "raw/gas.csv", np.array([2, 3, 9]),
    )  # fmt: skip
    points = GroundPoints(
        np.where([1, 1, 0], x, np.nan), np.where([1, 1, 0], y, np.nan), np.array([712.3456, 712.0, np.nan]),
        np.tile(np.eye(2), (3, 1, 1)), np.array([0, 0, 1], np.uint8), CRS, series.time,
    )  # fmt: skip
    return GasTrace(series, points, np.array([2.0, 2.0, 2.0]), np.array([1.23, np.nan, 1050.0]), 5.0)


def layer(*hotspots: Hotspot, **more: Any) -> HotspotLayer:
    return HotspotLayer(
        "2026-06-14-steppe", hotspots, trajectory(), (trace(),), (), (grid("line_1__blue-cover"),),
        (gas_map(),), statements={"run_id": "0011223344556677"}, **more,
    )  # fmt: skip


def products(folder: Path, made: HotspotLayer | None = None) -> Path:
    """Write the products of *made* as a run does, with a run.json that lists their hashes."""
    made = layer(*three()) if made is None else made
    geojson.write(made, folder / "hotspots.geojson")
    assert made.trajectory is not None
    track.write(made.trajectory, folder / "track.geojson", flight=made.flight)
    table.write_gas(made.gas[0], folder / "gas" / "CH4.csv")
    raster.write(made.rasters[0], folder / "scores" / f"{made.rasters[0].name}.tif")
    raster.write_map(made.maps[0], folder / "gas" / "CH4_map.tif")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    outputs = [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size,
         "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in files
    ]  # fmt: skip
    manifest = {"schema": "dronesense.run/1", "run_id": "0011223344556677", "outputs": outputs}
    (folder / "run.json").write_text(json.dumps(manifest), "utf-8")
    return folder


def broken_seals(folder: Path) -> list[str]:
    """Return the products that are not as run.json lists them, by an independent hash."""
    rows = json.loads((folder / "run.json").read_bytes())["outputs"]
    return [
        row["path"]
        for row in rows
        if hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest() != row["sha256"]
    ]
