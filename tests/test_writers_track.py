"""The track as GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.model import Clock, Trajectory, Triggers
from dronesense.writers import track

T0 = 1_700_000_000_000_000_000


def flown(lon: Any, lat: Any, *, height: float = 100.0, segment: Any = None, **more: Any) -> Trajectory:
    n = len(lon)
    return Trajectory(
        time=T0 + np.arange(n) * 100_000_000,
        lon=np.asarray(lon, dtype=np.float64),
        lat=np.asarray(lat, dtype=np.float64),
        height_m=np.full(n, height),
        height_source_m=np.full(n, height),
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan),
        attitude=np.full((n, 4), np.nan),
        std_ned_m=np.tile([0.3, 0.4, 0.5], (n, 1)),
        std_rpy_deg=np.ones((n, 3)),
        fix=np.full(n, 5, dtype=np.uint8),
        segment=np.zeros(n, dtype=np.int32) if segment is None else np.asarray(segment, dtype=np.int32),
        clock=Clock("fitted", 0.05),
        reference_point="antenna",
        source="raw/a.BIN:GPS[0]",
        **more,
    )


def written(trajectory: Trajectory, folder: Path) -> list[dict[str, Any]]:
    path = folder / "track.geojson"
    track.write(trajectory, path, flight="demo")
    collection = json.loads(path.read_text("utf-8"))
    assert collection["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = collection["features"]
    return features


def test_a_line_has_its_ends_its_length_and_a_vertex_for_each_half_meter(tmp_path: Path) -> None:
    # 0.1 m steps along the equator: 1 m is 1 / 111319.49 degrees there.
    lon = 9.0 + np.arange(101) * 0.1 / 111_319.49
    (line,) = written(flown(lon, np.zeros(101), height=0.0), tmp_path)
    assert line["properties"]["length_m"] == pytest.approx(10.0, abs=0.01)
    assert line["properties"]["samples"] == 101
    assert line["properties"]["start"] == "2023-11-14T22:13:20.000Z"
    assert line["properties"]["end"] == "2023-11-14T22:13:30.000Z"
    assert line["properties"]["sigma_horizontal_m"] == pytest.approx(0.354, abs=1e-3)  # sqrt((0.09+0.16)/2)
    coordinates = line["geometry"]["coordinates"]
    assert coordinates[0] == [9.0, 0.0, 0.0]
    assert coordinates[-1] == [round(float(lon[-1]), 7), 0.0, 0.0]
    assert 20 <= len(coordinates) <= 22


def test_every_segment_is_a_line_of_its_own_and_a_lone_sample_a_point(tmp_path: Path) -> None:
    lon = np.array([9.0, 9.001, 9.5, 9.501, 9.9])
    features = written(flown(lon, np.full(5, 48.0), segment=[0, 0, 1, 1, 2]), tmp_path)
    assert [each["geometry"]["type"] for each in features] == ["LineString", "LineString", "Point"]
    assert [each["properties"]["segment"] for each in features] == [0, 1, 2]


def test_a_line_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    (line,) = written(flown([179.999, -179.999], [10.0, 10.002]), tmp_path)
    assert line["geometry"]["type"] == "MultiLineString"
    west, east = line["geometry"]["coordinates"]
    assert west == [[179.999, 10.0, 100.0], [180.0, 10.001, 100.0]]
    assert east == [[-180.0, 10.001, 100.0], [-179.999, 10.002, 100.0]]


def test_without_heights_there_is_no_third_coordinate(tmp_path: Path) -> None:
    (line,) = written(flown([9.0, 9.1], [48.0, 48.0], height=np.nan), tmp_path)
    assert line["geometry"]["coordinates"] == [[9.0, 48.0], [9.1, 48.0]]
    assert line["properties"]["height_min_m"] is None


def test_pictures_are_points_where_the_track_was_and_none_outside(tmp_path: Path) -> None:
    triggers = Triggers(np.array([T0 + 120_000_000, T0 + 60_000_000_000]), np.array([7, 8]), "CAM")
    features = written(flown([9.0, 9.1, 9.2], [48.0] * 3, triggers=triggers), tmp_path)
    (picture,) = [each for each in features if each["properties"]["kind"] == "picture"]
    assert picture["geometry"]["coordinates"] == [9.1, 48.0, 100.0]
    assert picture["properties"]["number"] == 7
    assert picture["properties"]["time"] == "2023-11-14T22:13:20.120Z"
