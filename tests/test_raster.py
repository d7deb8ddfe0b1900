"""Score rasters: cloud-optimized, labelled, read back; nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from dronesense.errors import EvidenceError
from dronesense.model import GasMap, GroundRaster
from dronesense.writers import raster

TRANSFORM = (0.5, 0.0, 500_000.0, 0.0, -0.5, 4_800_000.0)


def made(values: np.ndarray) -> GroundRaster:
    return GroundRaster("line__t", values, TRANSFORM, "EPSG:32643", "1", "ACE score of t")


@pytest.fixture
def score() -> GroundRaster:
    values = np.random.default_rng(0).normal(size=(700, 900)).astype(np.float32)
    values[:5] = np.nan
    return made(values)


def test_values_place_unit_and_nodata_come_back(tmp_path: Path, score: GroundRaster) -> None:
    raster.write(score, tmp_path / "scores" / "a.tif")
    with rasterio.open(tmp_path / "scores" / "a.tif") as source:
        assert np.array_equal(source.read(1), score.values, equal_nan=True)
        assert source.transform[:6] == TRANSFORM
        assert source.crs.to_epsg() == 32643
        assert np.isnan(source.nodata)
        assert source.descriptions == ("ACE score of t [1]",)
        assert source.units == ("1",)
        assert float(source.tags(1)["STATISTICS_MAXIMUM"]) == pytest.approx(np.nanmax(score.values))
        assert float(source.tags(1)["STATISTICS_MEAN"]) == pytest.approx(
            np.nanmean(score.values, dtype=float)
        )
        assert source.dataset_mask()[:5].max() == 0


def test_is_a_cloud_optimized_geotiff(tmp_path: Path, score: GroundRaster) -> None:
    """What `rio cogeo validate` looks at: layout, tiles, overviews, image directories before the data."""
    path = tmp_path / "a.tif"
    raster.write(score, path)
    with rasterio.open(path) as source:
        structure = source.tags(ns="IMAGE_STRUCTURE")
        assert structure["LAYOUT"] == "COG"
        assert structure["COMPRESSION"] == "DEFLATE"
        assert structure["PREDICTOR"] == "3"
        assert source.block_shapes == [(256, 256)]
        assert source.overviews(1) == [2, 4]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[:1000]


def test_no_side_file_and_the_same_bytes_twice(tmp_path: Path, score: GroundRaster) -> None:
    raster.write(score, tmp_path / "a.tif")
    raster.write(score, tmp_path / "b.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    "values",
    [np.full((3, 4), np.nan), np.ones((1, 1)), np.array([[np.inf, -1.0]])],
    ids=["empty", "one", "inf"],
)
def test_odd_rasters_come_back(tmp_path: Path, values: np.ndarray) -> None:
    raster.write(made(values.astype(np.float32)), tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        assert np.array_equal(source.read(1), values.astype(np.float32), equal_nan=True)


def test_sidecar_beside_it_cannot_move_the_check(tmp_path: Path, score: GroundRaster) -> None:
    """QGIS writes .aux.xml beside rasters; a planted one must not make a good file look bad."""
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><GeoTransform>0,1,0,0,0,-1</GeoTransform></PAMDataset>"
    )
    raster.write(score, tmp_path / "a.tif")
    assert raster._reads_back((score,), tmp_path / "a.tif")


def test_what_reads_back_differently_is_refused_and_the_old_file_kept(
    tmp_path: Path, score: GroundRaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tif").write_bytes(b"old")
    monkeypatch.setitem(raster.CREATION, "dtype", "float64")
    raster.write(score, tmp_path / "b.tif")  # float64 holds the same numbers: not refused
    monkeypatch.setitem(raster.CREATION, "dtype", "int16")
    monkeypatch.setitem(raster.CREATION, "predictor", "STANDARD")
    monkeypatch.setitem(raster.CREATION, "nodata", 0)
    with pytest.raises(EvidenceError, match="read back"), np.errstate(invalid="ignore"):
        raster.write(score, tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


@pytest.mark.parametrize("change", ["value", "origin", "description"])
def test_check_notices_one_changed_thing(tmp_path: Path, score: GroundRaster, change: str) -> None:
    raster.write(score, tmp_path / "a.tif")
    values, transform, description = score.values.copy(), TRANSFORM, score.description
    if change == "value":
        values[300, 300] += 1e-3
    elif change == "origin":
        transform = (*TRANSFORM[:2], 500_000.001, *TRANSFORM[3:])
    else:
        description = "other"
    other = GroundRaster("x", values, transform, score.crs, "1", description)
    assert raster._reads_back((score,), tmp_path / "a.tif")
    assert not raster._reads_back((other,), tmp_path / "a.tif")


LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from dronesense.model import GasMap, GroundRaster
from dronesense.writers import raster
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
values = np.random.default_rng(0).normal(size=(600, 600)).astype(np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    made = GroundRaster("n", values, (1, 0, 9, 0, -1, 9), "EPSG:32643", "1", "d")
    raster.write(made, Path(sys.argv[1]) / "a.tif")
except OSError:
    print("OSError")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
@pytest.mark.parametrize("limit", [0, 10_000, 700_000, 1_200_000])
def test_full_disk_is_an_os_error_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "OSError", done.stderr
    assert not (tmp_path / "a.tif").exists()


def test_errors_of_gdal_become_os_errors(tmp_path: Path, score: GroundRaster, monkeypatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise RasterioIOError("disk says no")

    monkeypatch.setattr(rasterio, "open", refuse)
    with pytest.raises(OSError, match=r"a\.tif: GDAL could not write it \(disk says no\)"):
        raster.write(score, tmp_path / "a.tif")


def test_versions_name_gdal_and_proj() -> None:
    assert raster.gdal_versions()["gdal"] == rasterio.__gdal_version__
    assert set(raster.gdal_versions()) == {"gdal", "proj (rasterio)"}


def test_a_gas_map_has_its_uncertainty_and_its_support_as_bands(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    values[0, 0] = np.nan
    made_map = GasMap(
        "CH4", "ppm", values, values / 10.0, np.ones((3, 4)), TRANSFORM, "EPSG:32643", "kernel-dmv"
    )
    raster.write_map(made_map, tmp_path / "CH4_map.tif")
    with rasterio.open(tmp_path / "CH4_map.tif") as source:
        assert source.count == 3
        assert source.descriptions == (
            "CH4 by kernel-dmv: estimate [ppm]",
            "CH4 by kernel-dmv: standard uncertainty [ppm]",
            "CH4 by kernel-dmv: support by samples [1]",
        )
        assert source.units == ("ppm", "ppm", "1")
        np.testing.assert_array_equal(source.read(2), (values / 10.0).astype(np.float32))


def test_bands_of_two_grids_are_a_mistake(tmp_path: Path) -> None:
    one, other = made(np.ones((3, 4))), made(np.ones((4, 4)))
    with pytest.raises(ValueError, match="one grid"):
        raster.write([one, other], tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []
