"""GeoTIFF cubes and height models: written with rasterio, read back, cut, misled by sidecars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import CoverageError, ManifestError, ReadError
from dronesense.model import Instrument, LineCamera, LineScan, MapGrid, Mount
from dronesense.plugins import read_head
from dronesense.readers import geotiff, height_model

rasterio = pytest.importorskip("rasterio")

UTM = "EPSG:32643"
ORIGIN = (500000.0, 4800000.0)


def transform(pixel=2.0):
    return rasterio.Affine(pixel, 0, ORIGIN[0], 0, -pixel, ORIGIN[1])


def write(
    folder: Path, bands: np.ndarray, *, name="x.tif", crs=UTM, grid=None, nodata=None, **options
) -> Path:
    """Write (bands, rows, cols)."""
    path = folder / name
    tags = options.pop("tags", {})
    band_tags = options.pop("band_tags", [])
    descriptions = options.pop("descriptions", ())
    units = options.pop("units", None)
    mask = options.pop("mask", None)
    scales = options.pop("scales", None)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands.shape[0],
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        crs=crs,
        nodata=nodata,
        **({"transform": transform() if grid is None else grid} if crs else {}),
        **options,
    ) as out:
        out.write(bands)
        out.update_tags(**tags)
        for index, (namespace, values) in enumerate(band_tags, start=1):
            out.update_tags(index, ns=namespace, **values)
        for index, text in enumerate(descriptions, start=1):
            out.set_band_description(index, text)
        if units:
            out.units = units
        if scales:
            out.scales = scales
        if mask is not None:
            out.write_mask(mask)
    return path


def cube_of(shape=(3, 7, 5), dtype="uint16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def read(path: Path, **kwargs):
    return geotiff.read(path, label=path.name, name="x", **kwargs)


pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of writing


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("tiled", [False, True])
def test_round_trip(tmp_path, dtype, interleave, tiled):
    truth = cube_of((3, 40, 37)).astype(dtype)
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    cube, report = read(write(tmp_path, truth, interleave=interleave, compress="deflate", **options))
    assert cube.shape == (40, 3, 37)
    assert cube.geometry == cube.geometry
    assert isinstance(cube.geometry, MapGrid)
    assert cube.geometry.crs == UTM
    assert cube.geometry.transform == tuple(transform())[:6]
    blocks = list(cube.blocks(5000))
    assert len(blocks) > 1
    values = np.concatenate([block.values for block in blocks])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, truth.transpose(1, 0, 2))
    assert all(block.valid.all() for block in blocks)
    assert cube.quantity == ("counts" if np.dtype(dtype).kind in "iu" else "radiance")
    assert any("assumed" in each for each in report.assumptions)


def test_masks(tmp_path):
    truth = cube_of(dtype="float32")
    truth[1, 2, 3] = -9999
    truth[0, 4, 4] = np.nan
    valid = read(write(tmp_path, truth, nodata=-9999))[0].source.read(0, 7)[1]
    expected = np.ones((7, 5), dtype=bool)
    expected[2, 3] = expected[4, 4] = False
    np.testing.assert_array_equal(valid, expected)


def test_internal_mask(tmp_path):
    mask = np.full((7, 5), 255, dtype="uint8")
    mask[3, 1] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write(tmp_path, cube_of(), mask=mask)
    np.testing.assert_array_equal(read(path)[0].source.read(0, 7)[1], mask > 0)


def test_saturation(tmp_path):
    truth = cube_of()
    truth[2, 1, 1] = 4095
    camera = Instrument("cam", "line_scan", LineCamera(5, np.zeros((5, 2)), 4095), Mount(), "cam.toml")
    cube, _ = read(write(tmp_path, truth), instrument=camera)
    valid = cube.source.read(0, 7)[1]
    assert not valid[1, 1]
    assert valid.sum() == 34


@pytest.mark.parametrize(
    ("options", "centers"),
    [
        ({"descriptions": ["450 nm", "Band 2 (0.55 um)", "650.5 Nanometers"]}, [450, 550, 650.5]),
        (
            {
                "band_tags": [
                    ("", {"wavelength": str(w), "wavelength_units": "Nanometers"}) for w in (450, 550, 650)
                ]
            },
            [450, 550, 650],
        ),
        (
            {
                "band_tags": [
                    ("IMAGERY", {"CENTRAL_WAVELENGTH_UM": w, "FWHM_UM": "0.02"})
                    for w in ("0.4", "0.5", "0.6")
                ]
            },
            [400, 500, 600],
        ),
        ({"descriptions": ["450 nm", "red", "650 nm"]}, [np.nan] * 3),
        ({}, [np.nan] * 3),
    ],
)
def test_wavelengths(tmp_path, options, centers):
    if "band_tags" in options:
        options["band_tags"] = [(namespace or None, values) for namespace, values in options["band_tags"]]
    cube, report = read(write(tmp_path, cube_of(), **options))
    np.testing.assert_allclose(cube.bands.center_nm, centers)
    assert any("wavelengths" in each for each in report.assumptions) == np.isnan(centers[0])


def test_quantity_tag(tmp_path):
    cube, report = read(write(tmp_path, cube_of(), tags={"quantity": "radiance"}))
    assert cube.quantity == "radiance"
    assert not any("assumed" in each for each in report.assumptions)
    with pytest.raises(
        ReadError, match=r"no reflectance as a fraction: they are typically 30\b.*0\.01 for percent"
    ):
        read(write(tmp_path, np.full((2, 3, 4), 30.0, np.float32), tags={"quantity": "reflectance"}))
    with pytest.raises(ReadError, match="counts, radiance, reflectance"):
        read(write(tmp_path, cube_of(), tags={"quantity": "albedo"}))


def test_scale_is_applied_and_said(tmp_path):
    cube, report = read(write(tmp_path, cube_of(), scales=(0.005, 0.005, 0.0025), tags={"d": "Reflectance"}))
    factor = np.array([0.005, 0.005, 0.0025])[:, None, None]
    expected = (cube_of() * factor).transpose(1, 0, 2)
    np.testing.assert_allclose(cube.source.read(0, 7)[0], expected, rtol=1e-6)
    assert cube.quantity == "reflectance"
    assert any("scale" in each for each in report.assumptions)


def test_without_coordinates_line_times_count(tmp_path):
    path = write(tmp_path, cube_of(), crs=None)
    cube, report = read(path)
    assert cube.geometry is None
    assert report.warnings
    rows = "".join(f"{line},2026-06-14T05:00:0{line}Z\n" for line in range(7))
    (tmp_path / "x.lines.csv").write_text("line,utc\n" + rows)
    cube, report = read(path)
    assert isinstance(cube.geometry, LineScan)
    assert report.companions == (str(tmp_path / "x.lines.csv"),)
    assert read(path, line_times="none")[0].geometry is None


AUX = """<PAMDataset><SRS>EPSG:32601</SRS>
<GeoTransform> 1.0, 2.0, 0.0, 2.0, 0.0, -2.0</GeoTransform>
<PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>"""


def test_sidecars_move_nothing(tmp_path):
    path = write(tmp_path, cube_of())
    (tmp_path / "x.tif.aux.xml").write_text(AUX)
    (tmp_path / "x.tfw").write_text("9\n0\n0\n-9\n1\n1\n")
    cube, _ = read(path)
    assert cube.geometry.transform == tuple(transform())[:6]
    assert cube.geometry.crs == UTM
    assert cube.source.read(0, 7)[1].all()
    bare = write(tmp_path, cube_of(), name="y.tif", crs=None)
    (tmp_path / "y.tif.aux.xml").write_text(AUX)
    (tmp_path / "y.tfw").write_text("9\n0\n0\n-9\n1\n1\n")
    assert read(bare)[0].geometry is None


def test_a_vrt_by_another_name_is_refused(tmp_path):
    write(tmp_path, cube_of(), name="inner.tif")
    path = tmp_path / "x.tif"
    path.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="7"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">inner.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        "</VRTDataset>"
    )
    with pytest.raises(ReadError, match="not a TIFF"):
        read(path)


@pytest.mark.parametrize(
    "options", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"BIGTIFF": "YES"}]
)
@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_every_cut_is_refused(tmp_path, options, compress):
    path = write(tmp_path, cube_of((3, 20, 20)), compress=compress, **options)
    raw = path.read_bytes()
    read(path)
    step = max(1, len(raw) // 150)
    for length in [*range(0, len(raw), step), *range(len(raw) - 5, len(raw))]:
        path.write_bytes(raw[:length])
        with pytest.raises(ReadError):
            read(path)[0].source.read(0, 20)


def test_damage_in_a_block_is_refused(tmp_path):
    path = write(
        tmp_path,
        np.random.default_rng(0).integers(0, 60000, (2, 50, 50)).astype("uint16"),
        compress="deflate",
    )
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = bytes(64)
    path.write_bytes(raw)
    with pytest.raises(ReadError):
        read(path)[0].source.read(0, 50)


def test_a_small_file_that_asks_for_much_memory_is_refused(tmp_path):
    path = write(
        tmp_path,
        np.zeros((2, 16, 16), "uint8"),
        tiled=True,
        blockxsize=16384,
        blockysize=16384,
        SPARSE_OK=True,
    )
    with pytest.raises(ReadError, match="blocks of"):
        read(path)


def test_sniff(tmp_path):
    cube = write(tmp_path, cube_of())
    terrain = write(tmp_path, cube_of((1, 4, 4), "float32"), name="dem.tif")
    assert geotiff.sniff(cube, read_head(cube))
    assert not geotiff.sniff(terrain, read_head(terrain))
    text = tmp_path / "a.txt"
    text.write_text("II*")
    assert not geotiff.sniff(text, read_head(text))


def test_rows_outside_are_a_programming_error(tmp_path):
    cube, _ = read(write(tmp_path, cube_of()))
    with pytest.raises(ValueError, match="rows"):
        cube.source.read(0, 8)


# Terrain


def heights(rows=30, cols=40) -> np.ndarray:
    row, col = np.mgrid[:rows, :cols]
    return (300.0 + 0.5 * row + 0.25 * col)[None].astype("float32")


def terrain(path: Path, bounds=None, **kwargs):
    settings = {"label": "raw/dem.tif", "bounds": bounds, "height_ref": "ellipsoid", "sigma_m": 0.3} | kwargs
    return height_model.read_terrain(path, **settings)


def test_whole_terrain(tmp_path):
    record, report = terrain(write(tmp_path, heights()))
    np.testing.assert_array_equal(record.height_m, heights()[0])
    assert record.transform == tuple(transform())[:6]
    assert (record.crs, record.sigma_m, record.source) == (UTM, 0.3, "raw/dem.tif")
    assert not report.warnings


def test_window_covers_the_bounds_and_keeps_its_place(tmp_path):
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
    west, south = to_degrees.transform(ORIGIN[0] + 20, ORIGIN[1] - 40)
    east, north = to_degrees.transform(ORIGIN[0] + 40, ORIGIN[1] - 20)
    record, _ = terrain(write(tmp_path, heights()), (west, south, east, north))
    rows, cols = record.height_m.shape
    a, _, c, _, e, f = record.transform
    assert c <= ORIGIN[0] + 20
    assert c + a * cols >= ORIGIN[0] + 40
    assert f >= ORIGIN[1] - 20
    assert f + e * rows <= ORIGIN[1] - 40
    assert rows < 20
    assert cols < 20
    first_row, first_col = round((f - ORIGIN[1]) / e), round((c - ORIGIN[0]) / a)
    expected = heights()[0, first_row : first_row + rows, first_col : first_col + cols]
    np.testing.assert_array_equal(record.height_m, expected)


def test_no_data_becomes_nan(tmp_path):
    values = heights()
    values.view("uint32")[0, 6, 7] = 0x7F800001  # a signaling NaN, as damage leaves it
    values[0, 2, 3] = -9999
    values[0, 4, 5] = -32767  # undeclared
    record, report = terrain(write(tmp_path, values, nodata=-9999))
    assert np.isnan(record.height_m[[2, 4, 6], [3, 5, 7]]).all()
    assert np.isnan(record.height_m).sum() == 3
    assert report.dropped == {"no height": 3}
    assert any("1 heights outside" in warning for warning in report.warnings)


@pytest.mark.parametrize("reference", ["takeoff", "unknown", "receiver-geoid"])
def test_other_height_references_are_refused(tmp_path, reference):
    with pytest.raises(ManifestError, match="ellipsoid"):
        terrain(write(tmp_path, heights()), height_ref=reference)


@pytest.mark.parametrize("bounds", [None, (75.01, 43.31, 75.03, 43.33)])
def test_heights_above_the_geoid_are_lifted_pixel_by_pixel(tmp_path, bounds):
    """At 75° E, 43° N the geoid lies some 40 m below the ellipsoid and slopes."""
    from dronesense.geodesy import to_lonlat
    from dronesense.geodesy.geoid import undulation

    values = heights(60, 50)
    values[0, 3, 4] = np.nan
    path = write(tmp_path, values, grid=transform(100.0))
    plain, _ = terrain(path, bounds)
    lifted, report = terrain(path, bounds, height_ref="egm96")
    a, _, c, _, e, f = lifted.transform
    rows, cols = np.mgrid[: lifted.height_m.shape[0], : lifted.height_m.shape[1]] + 0.5
    expected = undulation(*to_lonlat(c + a * cols, f + e * rows, UTM))
    np.testing.assert_array_equal(np.isnan(lifted.height_m), np.isnan(plain.height_m))
    gap = lifted.height_m - plain.height_m
    np.testing.assert_allclose(gap[~np.isnan(gap)], expected[~np.isnan(gap)], atol=1e-3)
    assert report.details["geoid"] == "EGM96"
    assert report.details["undulation_m"] == pytest.approx(np.median(expected), abs=1e-3)


def test_terrain_above_egm2008_needs_a_grid(tmp_path):
    from dronesense.geodesy.geoid import GeoidGrid

    path = write(tmp_path, heights())
    with pytest.raises(ManifestError, match=r"EGM2008 is not packaged.*geoid = "):
        terrain(path, height_ref="egm2008")
    grid = GeoidGrid(np.full((4, 4), -39.5), 74.0, 42.0, 1.0, 1.0, "egm2008.gtx")
    record, report = terrain(path, height_ref="egm2008", geoid=grid)
    np.testing.assert_allclose(record.height_m, heights()[0] - 39.5, atol=1e-9)
    assert report.details["geoid"] == "egm2008.gtx"


@pytest.mark.parametrize(("code", "reference"), [(5773, "egm96"), (3855, "egm2008")])
def test_a_file_that_names_a_geoid_must_be_called_so(tmp_path, code, reference):
    from dronesense.geodesy.geoid import GeoidGrid

    path = write(tmp_path, heights(), crs=f"EPSG:32643+{code}")
    for wrong in ("ellipsoid", "egm96" if reference == "egm2008" else "ellipsoid"):
        with pytest.raises(ManifestError, match=rf'set height_ref = "{reference}" in \[terrain\]'):
            terrain(path, height_ref=wrong)
    grid = GeoidGrid(np.full((4, 4), -39.5), 74.0, 42.0, 1.0, 1.0, "own.gtx")
    record, _ = terrain(path, height_ref=reference, geoid=grid)
    np.testing.assert_allclose(record.height_m, heights()[0] - 39.5, atol=1e-9)


def test_a_file_that_names_an_unknown_datum_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="NAVD88"):
        terrain(write(tmp_path, heights(), crs="EPSG:32643+5703"), height_ref="egm96")


def test_refused_terrain(tmp_path):
    with pytest.raises(ReadError, match="3 bands"):
        terrain(write(tmp_path, cube_of()))
    with pytest.raises(ReadError, match="no map coordinates"):
        terrain(write(tmp_path, heights(), crs=None))
    with pytest.raises(ReadError, match="rotated"):
        terrain(write(tmp_path, heights(), grid=transform() @ rasterio.Affine.rotation(10)))
    with pytest.raises(ReadError, match='heights in "ft"'):
        terrain(write(tmp_path, heights(), units=("ft",)))
    with pytest.raises(CoverageError, match="does not cover"):
        terrain(write(tmp_path, heights()), (10.0, 50.0, 10.1, 50.1))
    with pytest.raises(CoverageError, match="no height"):
        terrain(write(tmp_path, np.full_like(heights(), -9999), nodata=-9999))
    with pytest.raises(ReadError, match="single pixel"):
        terrain(write(tmp_path, heights()[:, :1, :1]))
    with pytest.raises(ReadError, match="cannot be opened"):
        terrain(tmp_path / "no.tif")


def test_every_cut_of_a_terrain_is_refused(tmp_path):
    path = write(tmp_path, heights())
    raw = path.read_bytes()
    for length in range(0, len(raw), 37):
        path.write_bytes(raw[:length])
        with pytest.raises(ReadError):
            terrain(path)


def test_real_dem(shared_data):
    found = sorted((shared_data / "georef").rglob("*dem*.tif"))
    if not found:
        pytest.skip("no height model here")
    for path in found:
        with rasterio.open(path) as peer:
            expected = peer.read(1).astype(float)
            expected[peer.read_masks(1) == 0] = np.nan
        try:
            record, _ = terrain(path)
        except (ReadError, ManifestError) as error:
            assert error.fix  # noqa: PT017
            continue
        np.testing.assert_array_equal(record.height_m, expected)
