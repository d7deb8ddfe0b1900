"""The tuner: truth on the ground, the threshold it picks, its picture with and without widgets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import dronesense as ds
from dronesense.detect.roc import truth_on
from dronesense.errors import CoverageError, ReadError
from dronesense.geodesy import to_lonlat
from dronesense.model import GroundRaster, HotspotLayer, ScoreMap

CRS = "EPSG:32632"


def scores() -> ScoreMap:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(30, 40)).astype(np.float32)
    values[10:13, 20:23] += 8.0
    return ScoreMap("cube", "sheet", "ace", values, "1", 4.0, 1e-3, None)


def mask() -> np.ndarray:
    truth = np.zeros((30, 40), dtype=bool)
    truth[10:13, 20:23] = True
    return truth


def ground(tmp_path: Path, **properties: str) -> tuple[GroundRaster, Path]:
    values = scores().score
    raster = GroundRaster("cube__sheet", values, (2.0, 0.0, 5e5, 0.0, -2.0, 5e6), CRS, "1", "")
    lon, lat = to_lonlat(5e5 + 2.0 * 21.5, 5e6 - 2.0 * 11.5, CRS)  # center of row 11, column 21
    point = {"type": "Point", "coordinates": [float(lon), float(lat)]}
    feature = {"type": "Feature", "geometry": point, "properties": properties}
    path = tmp_path / "truth.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), "utf-8")
    return raster, path


def test_a_point_covers_the_pixels_within_its_radius(tmp_path: Path) -> None:
    raster, path = ground(tmp_path)
    expected = np.zeros((30, 40), dtype=bool)
    expected[11, 20:23] = expected[10:13, 21] = True  # centers 2 m away, diagonals 2.83 m
    np.testing.assert_array_equal(truth_on(raster, path, radius_m=2.1), expected)


def test_other_targets_do_not_count(tmp_path: Path) -> None:
    raster, path = ground(tmp_path, target="other")
    assert not truth_on(raster, path, radius_m=2.1, target="sheet").any()
    path.write_text("{}", "utf-8")
    with pytest.raises(ReadError):
        truth_on(raster, path, radius_m=1.0)


def test_the_threshold_holds_its_rate() -> None:
    tuning = ds.tune(scores(), mask())
    at = tuning.threshold_at(0.01)
    background = scores().score[~mask()]
    assert (
        np.mean(background >= at)
        <= 0.01
        < np.mean(background >= np.nextafter(np.max(background[background < at]), -9))
    )
    assert tuning.curve.at(at)[0] == 1.0


def test_a_picture_is_left_where_there_are_no_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    bundle = ds.tune(scores(), mask())._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}
    assert bundle["image/png"].startswith(b"\x89PNG")


def test_a_slider_moves_the_picture() -> None:
    pytest.importorskip("ipywidgets")
    bundle = ds.tune(scores(), mask())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/png"].startswith(b"\x89PNG")
    tuning = ds.tune(scores(), mask())
    assert tuning.png(1.0) != tuning.png(5.0)


def test_what_cannot_be_tuned_says_so(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="layer"):
        ds.tune(scores(), tmp_path / "truth.geojson")
    with pytest.raises(CoverageError, match="no score raster"):
        ds.tune(HotspotLayer("f", ()), mask())
