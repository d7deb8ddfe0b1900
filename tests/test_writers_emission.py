"""Sources, sectors and rates as GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import LineString, Point, Polygon, shape

from dronesense.model import FluxEstimate, SearchSector, SourceEstimate
from dronesense.writers import emission

CRS = "EPSG:32632"
X, Y = 500_000.0, 5_316_000.0  # on the central meridian, 9 degrees east


def test_every_statement_is_a_feature_with_its_probability(tmp_path: Path) -> None:
    source = SourceEstimate(
        "CH4", X, Y, np.eye(2), CRS, Point(X, Y).buffer(2.0), Point(X, Y).buffer(5.0), 1.36, (1.1, 1.6),
        (0.9, 2.2), 0.3, "gaussian-plume", warnings=("one wind direction only",),
    )  # fmt: skip
    sector = SearchSector(
        "abc", "CH4", Polygon([(X, Y), (X + 10, Y + 50), (X - 10, Y + 50)]), CRS, 1.0, 4.0, 11.3, 50.0, 0.9
    )
    flux = FluxEstimate(
        "CH4", 2000.4, 300.0, {"wind": 250.0}, {"zero_below": 1800.0}, "curtain",
        LineString([(X, Y), (X + 100, Y)]), CRS,
    )  # fmt: skip
    path = tmp_path / "sources.geojson"
    emission.write([source], [sector], [flux], path, flight="demo")
    collection = json.loads(path.read_text("utf-8"))
    inner, outer, search, rate = collection["features"]
    assert "never proof" in collection["dronesense"]["wording"]
    assert [inner["properties"]["probability"], outer["properties"]["probability"]] == [0.5, 0.9]
    assert outer["properties"]["rate_low_90_kg_h"] == 0.9
    assert outer["properties"]["limits"] == "one wind direction only"
    assert inner["properties"]["lon"] == pytest.approx(9.0)
    assert shape(outer["geometry"]).contains(shape(inner["geometry"]))
    assert search["properties"]["hotspot"] == "abc"
    assert search["properties"]["flight"] == "demo"
    assert rate["properties"]["rate_kg_h"] == 2000.0
    assert rate["properties"]["sigma_wind_kg_h"] == 250.0
    assert rate["properties"]["rate_zero_below_kg_h"] == 1800.0
    # 100 m of easting at 48 N, where a degree of longitude is 74.6 km.
    lon = [place[0] for place in rate["geometry"]["coordinates"]]
    assert lon[1] - lon[0] == pytest.approx(100.0 / 74_600.0, rel=0.01)
