"""ENVI files of geometry as GDAL, SPy and the bytes themselves have them; the command from end to end."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import spectral

from dronesense import geodesy, synthetic
from dronesense.cli import run_cli
from dronesense.writers import geometry, raster

GRID = (0.5, 0.0, 500_000.0, 0.0, -0.5, 5_300_000.0)


def layout(dtype: str = "float32", interleave: geometry.Interleave = "bil") -> geometry.Layout:
    return geometry.Layout(
        4,
        3,
        2,
        dtype,
        interleave,
        ("a", "b {c}, d"),
        "made\nup",
        GRID,
        "EPSG:32632",
        (450.0, 650.5),
        (5.0, 6.0),
    )


@pytest.mark.parametrize("interleave", ["bil", "bip", "bsq"])
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "uint16"])
def test_gdal_and_spy_read_what_was_written(
    interleave: geometry.Interleave, dtype: str, tmp_path: Path
) -> None:
    values = np.arange(24).reshape(2, 4, 3)
    path = tmp_path / "x.img"
    with geometry.envi(path, layout(dtype, interleave)) as sink:
        sink.lines(0, values[:, :2])
        rows, cols = np.array([3, 2, 2, 3, 3, 2]), np.array([0, 1, 2, 1, 2, 0])
        sink.cells(rows, cols, values[:, rows, cols].T)
    with rasterio.open(path) as source:
        assert source.driver == "ENVI"
        np.testing.assert_array_equal(source.read(), values)
        assert source.transform[:6] == GRID
        assert source.crs.to_epsg() == 32632
        assert source.dtypes == (dtype, dtype)
    image = spectral.io.envi.open(path.with_suffix(".hdr"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SPy 0.24 under numpy 2.5
        loaded = np.asarray(image.load())
    np.testing.assert_array_equal(np.moveaxis(loaded, 2, 0), values)
    assert image.bands.centers == [450.0, 650.5]
    assert image.metadata["band names"][0] == "a"
    assert len(image.metadata["band names"]) == 2
    assert (
        np.fromfile(path, dtype=np.dtype(dtype).newbyteorder("<"))[1]
        == {"bil": 1, "bip": 12, "bsq": 1}[interleave]
    )


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # sensor geometry
def test_grids_beyond_utm_and_without_a_map(tmp_path: Path) -> None:
    for crs, grid in (("EPSG:3035", GRID), ("", None)):
        made = geometry.Layout(2, 2, 1, "float32", "bil", ("a",), "b", grid, crs, nodata=-1.0)
        with geometry.envi(tmp_path / "y.img", made):
            pass
        with rasterio.open(tmp_path / "y.img") as source:
            assert (source.read() == -1.0).all()
            assert source.nodata == -1.0
            if crs:
                assert source.crs == rasterio.CRS.from_user_input(crs)
                assert source.transform[:6] == GRID


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), geometry.envi(tmp_path / "x.img", layout()):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "int8"}, "dtype"),
        ({"band_names": ("a",)}, "names"),
        ({"interleave": "bsx"}, "interleave"),
        ({"transform": (1.0, 0.1, 0.0, 0.0, -1.0, 0.0)}, "turned"),
    ],
)
def test_impossible_layouts(change: dict[str, object], message: str) -> None:
    size = {"rows": 1, "cols": 1, "bands": 2}
    plain = {**size, "dtype": "uint8", "interleave": "bil", "band_names": ("a", "b"), "description": ""}
    with pytest.raises(ValueError, match=message):
        geometry.Layout(**{**plain, **change})  # type: ignore[arg-type]


def test_picture_reads_back(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (4, 40, 30), dtype=np.uint8)
    raster.write_picture(rgba, tmp_path / "p.tif", transform=GRID, crs="EPSG:32632", description="d")
    with rasterio.open(tmp_path / "p.tif") as source:
        np.testing.assert_array_equal(source.read(), rgba)
        assert [each.name for each in source.colorinterp] == ["red", "green", "blue", "alpha"]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("geometry")
    synthetic.write_flight(folder / "flight", seed=3)
    assert run_cli(["geometry", str(folder / "flight"), "-o", str(folder / "out"), "--cubes"]) == 0
    return folder / "out"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # sensor geometry
def test_products_of_a_flight_agree_with_each_other(products: Path) -> None:
    for found in sorted(products.glob("*__glt.img")):
        name = found.name.removesuffix("__glt.img")
        with rasterio.open(products / f"{name}__igm.img") as source:
            x, y, height = source.read()
        with rasterio.open(found) as source:
            sample, line = source.read().astype(int)
            grid, crs = source.transform, source.crs
        shown = sample != 0
        assert shown.any()
        assert (np.sign(sample) == np.sign(line)).all()
        assert np.mean(sample[shown] < 0) < 0.05  # what is filled in is the exception
        assert grid.c / grid.a == pytest.approx(round(grid.c / grid.a), abs=1e-6)
        at = np.abs(line[shown]) - 1, np.abs(sample[shown]) - 1
        row, col = np.nonzero(shown)
        off = np.hypot(x[at] - (grid.c + grid.a * (col + 0.5)), y[at] - (grid.f + grid.e * (row + 0.5)))
        assert np.median(off) < 0.75 * grid.a
        assert np.quantile(off, 0.99) < 3.0 * grid.a
        with rasterio.open(products / f"{name}__obs.img") as source:
            path, azimuth, zenith, sun_azimuth, sun_zenith, phase, slope, _, cosine, hour, distance = (
                source.read()
            )
            assert source.descriptions[0].startswith("path length")
        known = np.isfinite(x)
        assert np.array_equal(known, np.isfinite(path))
        # Straight down the path is the height above ground, to the side it is longer by the zenith's cosine.
        above = path[known] * np.cos(np.radians(zenith[known]))
        assert np.ptp(above + height[known]) < 6.0
        lon, lat = geodesy.to_lonlat(x[known][:1], y[known][:1], f"EPSG:{crs.to_epsg()}")
        assert (np.abs(lat) <= 90).all()
        assert (np.abs(lon) <= 180).all()
        assert 0.0 <= np.nanmin(azimuth) <= np.nanmax(azimuth) <= 360.0
        # The angle between two directions by the cosine rule of spherical trigonometry.
        z, sz = np.radians(zenith[known]), np.radians(sun_zenith[known])
        by_rule = np.cos(z) * np.cos(sz) + np.sin(z) * np.sin(sz) * np.cos(
            np.radians(azimuth[known] - sun_azimuth[known])
        )
        np.testing.assert_allclose(np.cos(np.radians(phase[known])), by_rule, atol=2e-3)
        flat = slope[known] < 0.5
        np.testing.assert_allclose(cosine[known][flat], np.cos(sz)[flat], atol=0.01)
        assert (hour[known] >= 0.0).all()
        assert (hour[known] < 24.0).all()
        assert (np.abs(distance[known] - 1.0) < 0.0172).all()
        with rasterio.open(products / f"{name}__ortho.img") as source:
            assert source.shape == shown.shape
            cube = source.read(1)
        assert (np.isfinite(cube) <= shown).all()
        assert np.isfinite(cube)[shown].mean() > 0.9
        with rasterio.open(products / f"{name}__rgb.tif") as source:
            assert source.crs == crs
            assert (source.read(4)[~shown] == 0).all()
            assert source.read(1)[shown].std() > 5.0


def test_flight_without_cubes_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flight.toml").write_text("")
    assert run_cli(["geometry", str(tmp_path), "-o", str(tmp_path / "out")]) != 0
    assert capsys.readouterr().err
