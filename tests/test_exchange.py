"""Records as xarray datasets and geopandas tables: values, coordinates, units; and without the packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely

from dronesense.errors import PluginError
from dronesense.geodesy import to_grid
from dronesense.model import (
    Ambient,
    Bands,
    Clock,
    Detection,
    Flag,
    Frame,
    GasSeries,
    GasTrace,
    GroundPoints,
    GroundRaster,
    Hotspot,
    HotspotLayer,
    LineScan,
    MapGrid,
    ScoreMap,
    SpectralCube,
    Trajectory,
)
from dronesense.writers import columns

xr = pytest.importorskip("xarray")
gpd = pytest.importorskip("geopandas")
pd = pytest.importorskip("pandas")

S = 1_000_000_000
SHAPE = (5, 3, 4)
VALUES = np.arange(60, dtype=np.float32).reshape(SHAPE)
UTM = "EPSG:32632"


class Counted:
    """Rows in memory that remember what was read."""

    def __init__(self) -> None:
        self.shape, self.asked = SHAPE, []  # type: ignore[var-annotated]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((start, stop))
        valid = np.ones((SHAPE[0], SHAPE[2]), bool)
        valid[2, 1] = False
        return VALUES[start:stop], valid[start:stop]


def cube(geometry: object = None, center: tuple[float, ...] = (450.0, 550.0, 650.0)) -> SpectralCube:
    bands = Bands(np.array(center), np.full(3, 10.0), np.array([True, True, False]))
    return SpectralCube(
        "c", Counted(), bands, "reflectance", geometry, "cam", "c.hdr", history=("a", "b"),  # type: ignore[arg-type]
        relative_sigma=np.array([0.1, 0.2, np.nan]),
    )  # fmt: skip


def series() -> GasSeries:
    flags = np.array([0, 4, 68], dtype=np.uint16)
    return GasSeries(
        np.array([0, 1, 2], dtype=np.int64) * S, "CH4", "mole_fraction", np.array([2.0, 3.0, 4.0]),
        np.array([0.1, 0.2, np.nan]), "dry", flags, "calibrated",
        Ambient(pressure_hpa=np.array([1000.0, 999.0, 998.0])), "analyzer", "gas.csv", np.array([5, 6, 7]),
    )  # fmt: skip


def trace() -> GasTrace:
    x, y = to_grid([9.0, 9.001, 9.002], [48.0, 48.0, 48.001], UTM)
    cov = np.broadcast_to([[4.0, 1.0], [1.0, 9.0]], (3, 2, 2))
    status = np.array([0, 0, 1], dtype=np.uint8)
    x[2] = y[2] = np.nan
    points = GroundPoints(x, y, np.array([10.0, 11.0, np.nan]), cov, status, UTM, series().time)
    event = Detection(
        "leak", "gas", "robust-z", "CH4", "gas.csv", np.array([1, 2]), np.array([1.0, 2.0]), 1, 9.0,
        0.1, 0.1, 1.0, 0.1, "ppm",
    )  # fmt: skip
    return GasTrace(series(), points, np.array([2.0, 2.0, 2.0]), np.array([0.0, 5.0, 9.0]), 4.0, (event,))


def track() -> Trajectory:
    n = 5
    time = np.arange(n, dtype=np.int64) * S
    ones = np.ones((n, 3))
    attitude = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    lon, lat, height = 9.0 + np.arange(n) * 1e-4, np.full(n, 48.0), np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    return Trajectory(
        time, lon, lat, height, height + 40.0, "egm96", ones * 2.0, attitude, ones * 0.1,
        ones * 0.5, np.full(n, 5, np.uint8), np.array([0, 0, 0, 1, 2], np.int32),
        Clock("exact", 0.01), "imu", "log.BIN", history=("read",),
    )  # fmt: skip


def hotspot(number: int, kind: str) -> Hotspot:
    shape = shapely.box(9.0, 48.0, 9.001, 48.001)
    return Hotspot(
        f"id{number}", "tarp", kind, "ace", shape, 9.0005, 48.0005, float("nan"), 0.9, 1e-7, float("nan"),  # type: ignore[arg-type]
        0.123456789, 0.01, "1", 2.5, 1.0, 0.5, 30.0, 0, 1_500_000_000, 12, 2, 90.0, ("a#1", "b#2"),
        flags=("truncated", "edge"), members=("x", "y") if number else (),
    )  # fmt: skip


# --- cubes ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["with dask", "without dask"])
def _maybe_dask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "with dask":
        pytest.importorskip("dask")
    else:
        monkeypatch.setitem(sys.modules, "dask", None)


@pytest.mark.usefixtures("_maybe_dask")
def test_a_cube_is_read_when_it_is_looked_at() -> None:
    record = cube(LineScan(np.arange(5, dtype=np.int64) * S))
    made = record.to_xarray()
    assert record.source.asked == []  # type: ignore[attr-defined]
    assert made["reflectance"].dims == ("line", "band", "sample")
    assert made["reflectance"].attrs["units"] == "1"
    assert made["wavelength"].attrs["units"] == "nm"
    expected = VALUES.copy()
    expected[2, :, 1] = np.nan
    np.testing.assert_array_equal(made["reflectance"].to_numpy(), expected)
    assert made["reflectance"].dtype == np.float32
    np.testing.assert_array_equal(made["valid"].sum("sample"), [4, 4, 3, 4, 4])
    np.testing.assert_array_equal(made["relative_sigma"], [0.1, 0.2, np.nan])
    assert made.attrs["history"] == "a\nb"


@pytest.mark.usefixtures("_maybe_dask")
@pytest.mark.parametrize(
    "key",
    [
        (3, slice(None), slice(None)),
        (slice(None, None, -2), 1, slice(1, 3)),
        (slice(1, 4, 2), slice(None, None, -1), 2),
        ([4, 0, 0], slice(None), [1, 3]),
        (slice(2, 2), slice(None), 0),
        (-1, -1, -1),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_parts_are_those_of_the_array(
    key: tuple[object, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer: xarray on the same numbers in memory, whatever the size of blocks."""
    from dronesense.model.exchange import rows as module

    monkeypatch.setattr(module, "DEFAULT_BLOCK_BYTES", rows * SHAPE[1] * SHAPE[2] * module.BYTES)
    expected = VALUES.copy()
    expected[2, :, 1] = np.nan
    peer = xr.DataArray(expected, dims=("line", "band", "sample"))
    np.testing.assert_array_equal(cube().to_xarray()["reflectance"][key].to_numpy(), peer[key].to_numpy())


def test_a_part_of_a_cube_reads_only_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    record = cube()
    record.to_xarray()["reflectance"][1:3].to_numpy()
    assert record.source.asked == [(1, 3)]  # type: ignore[attr-defined]


def test_bands_and_lines_are_chosen_by_wavelength_and_time() -> None:
    made = cube(LineScan(np.arange(5, dtype=np.int64) * S)).to_xarray()
    near = made["reflectance"].sel(wavelength=560.0, method="nearest")
    np.testing.assert_array_equal(near.isel(line=0), VALUES[0, 1])
    part = made.sel(time=slice("1970-01-01T00:00:01", "1970-01-01T00:00:03"))
    assert part.sizes["line"] == 3
    unknown = cube(None, (450.0, np.nan, 650.0)).to_xarray()
    assert "wavelength" not in unknown.xindexes
    assert "time" not in unknown.coords
    assert cube(Frame(7 * S)).to_xarray()["time"].item() == 7 * S


def test_a_cube_on_a_grid_has_x_y_and_a_crs() -> None:
    made = cube(MapGrid((2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0), UTM)).to_xarray()
    assert made["reflectance"].dims == ("y", "band", "x")
    np.testing.assert_array_equal(made["x"], [500_001.0, 500_003.0, 500_005.0, 500_007.0])  # centers
    np.testing.assert_array_equal(made["y"], 5_000_000.0 - np.array([1.0, 3.0, 5.0, 7.0, 9.0]))
    assert made["x"].attrs["standard_name"] == "projection_x_coordinate"
    assert made["reflectance"].attrs["grid_mapping"] == "spatial_ref"
    said = made["spatial_ref"].attrs
    assert said["grid_mapping_name"] == "transverse_mercator"
    assert said["GeoTransform"] == "500000.0 2.0 0.0 5000000.0 0.0 -2.0"
    assert said["crs_wkt"].startswith("PROJCRS")


# --- rasters --------------------------------------------------------------------------------------------


def test_a_rotated_raster_has_a_place_for_every_pixel() -> None:
    values = np.array([[1.0, 2.0], [3.0, np.nan]], np.float32)
    made = GroundRaster(
        "r", values, (1.0, 2.0, 10.0, 3.0, -4.0, 20.0), "EPSG:32632", "deg", "angle"
    ).to_xarray()
    assert made["value"].dims == ("line", "sample")
    np.testing.assert_array_equal(made["x"], [[11.5, 12.5], [13.5, 14.5]])  # a*col + b*row + c by hand
    np.testing.assert_array_equal(made["y"], [[19.5, 22.5], [15.5, 18.5]])
    assert made["value"].attrs["units"] == "deg"
    np.testing.assert_array_equal(made["value"], values)


def test_scores_lie_where_their_cube_does() -> None:
    scores = ScoreMap("c", "tarp", "ace", np.ones((5, 4), np.float32), "1", 0.5, 0.01, None)
    plain = scores.to_xarray()
    assert plain["score"].attrs["threshold"] == 0.5
    assert "x" not in plain.coords
    grid = MapGrid((1.0, 0.0, 8.0, 0.0, -1.0, 50.0), "EPSG:4326")
    assert scores.to_xarray(grid)["x"].attrs["units"] == "degrees_east"
    times = scores.to_xarray(LineScan(np.arange(5, dtype=np.int64) * S))["time"]
    assert times.dtype == "datetime64[ns]"
    with pytest.raises(ValueError, match="4 line times for 5 rows"):
        scores.to_xarray(LineScan(np.arange(4, dtype=np.int64)))


# --- gas and track --------------------------------------------------------------------------------------


def test_a_gas_series_keeps_unit_uncertainty_and_flags() -> None:
    made = series().to_xarray()
    assert made["value"].attrs["units"] == made["sigma"].attrs["units"] == "ppm"
    assert made["value"].attrs["ancillary_variables"] == "sigma flags"
    np.testing.assert_array_equal(made["sigma"], [0.1, 0.2, np.nan])
    np.testing.assert_array_equal(made["pressure_hpa"], [1000.0, 999.0, 998.0])
    masks, names = made["flags"].attrs["flag_masks"], made["flags"].attrs["flag_meanings"].split()
    assert dict(zip(names, masks.tolist(), strict=True))["saturated"] == Flag.SATURATED == 4
    assert made["value"].sel(time="1970-01-01T00:00:01").item() == 3.0


def test_a_gas_trace_has_places_and_events() -> None:
    made = trace().to_xarray()
    np.testing.assert_allclose(made["lon"], [9.0, 9.001, np.nan], atol=1e-9)
    np.testing.assert_array_equal(made["x_sigma_m"], [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(made["y_sigma_m"], [3.0, 3.0, 3.0])
    np.testing.assert_array_equal(made["event"], [0, 1, 1])
    assert made["z"].attrs["threshold"] == 4.0
    table = trace().to_geopandas()
    assert table.crs.to_epsg() == 4326
    assert len(table) == 2
    assert table["flags"].tolist() == ["", "SATURATED"]
    assert table["time"].dt.tz is not None
    assert table["row"].tolist() == [5, 6]
    np.testing.assert_allclose(table.geometry.x, [9.0, 9.001], atol=1e-9)
    assert set(table.columns) - {"geometry", "position_sigma_m"} == {each.name for each in columns.GAS}
    assert table["position_sigma_m"].tolist() == [3.0, 3.0]  # the larger axis


def test_a_track_keeps_its_uncertainty_and_its_gaps() -> None:
    made = track().to_xarray()
    assert made["std_ned_m"].sel(ned="down").to_numpy().tolist() == [0.1] * 5
    assert made["attitude"].sel(quaternion="w").to_numpy().tolist() == [1.0] * 5
    assert made["fix"].attrs["flag_meanings"].split()[5] == "rtk_fixed"
    assert made["fix"].attrs["flag_meanings"].split().index("filter") == 7
    assert made["height_source_m"].attrs["long_name"].endswith("egm96")
    table = track().to_geopandas()
    assert table.geometry.geom_type.tolist() == ["LineString", "Point", "Point"]
    assert table["samples"].tolist() == [3, 1, 1]
    assert table["height_max_m"].tolist() == [2.0, 4.0, 5.0]
    assert table["end"].tolist() == [pd.Timestamp(s, unit="s", tz="UTC") for s in (2, 3, 4)]


@pytest.mark.parametrize("name", ["series", "trace", "track", "cube", "raster"])
def test_datasets_survive_a_netcdf_file(name: str, tmp_path: Path) -> None:
    grid = (2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0)
    made = {
        "series": lambda: series().to_xarray(),
        "trace": lambda: trace().to_xarray(),
        "track": lambda: track().to_xarray(),
        "cube": lambda: cube(LineScan(np.arange(5, dtype=np.int64) * S)).to_xarray(),
        "raster": lambda: GroundRaster("r", VALUES[:, 0], grid, UTM, "1", "d").to_xarray(),
    }[name]()
    path = tmp_path / "x.nc"
    made.to_netcdf(path, engine="scipy")
    with xr.open_dataset(path, engine="scipy") as read:
        xr.testing.assert_equal(read.load().drop_attrs(), made.load().drop_attrs())


# --- hotspots -------------------------------------------------------------------------------------------


def test_hotspots_are_a_table_with_types_and_the_columns_of_the_layer() -> None:
    layer = HotspotLayer("f1", (hotspot(0, "spectral"), hotspot(1, "gas")))
    table = layer.to_geopandas()
    assert table.crs.to_epsg() == 4326
    assert [name for name in table.columns if name != "geometry"] == [each.name for each in columns.HOTSPOT]
    kinds = {"text": "string", "integer": "Int64", "real": "float64", "time": "datetime64[ns, UTC]"}
    assert {c.name: str(table[c.name].dtype) for c in columns.HOTSPOT} == {
        c.name: kinds[c.kind] for c in columns.HOTSPOT
    }
    assert table["value"].tolist() == [0.123456789] * 2  # not rounded
    assert table["n_pixels"].isna().tolist() == [False, True]
    assert table["n_samples"].tolist()[1] == 12
    assert table["sources"].tolist() == ["a#1; b#2"] * 2
    assert table["members"].tolist()[1] == "x; y"
    assert table["end"][0] == pd.Timestamp("1970-01-01T00:00:01.5Z")
    assert table.geometry[0].equals(layer.hotspots[0].geometry)


def test_no_hotspots_are_an_empty_table_with_the_same_types() -> None:
    full = HotspotLayer("f1", (hotspot(0, "spectral"),)).to_geopandas()
    empty = HotspotLayer("f1", ()).to_geopandas()
    assert len(empty) == 0
    assert empty.crs == full.crs
    assert empty.dtypes.astype(str).tolist() == full.dtypes.astype(str).tolist()


# --- without --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("xarray", lambda: cube().to_xarray()), ("xarray", lambda: series().to_xarray()),
        ("xarray", lambda: trace().to_xarray()), ("xarray", lambda: track().to_xarray()),
        ("geopandas", lambda: track().to_geopandas()), ("geopandas", lambda: trace().to_geopandas()),
        ("geopandas", lambda: HotspotLayer("f", ()).to_geopandas()),
    ],
)  # fmt: skip
def test_a_package_that_is_not_installed_is_named(
    package: str, call: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("arrays", "tables", "rows"):
        monkeypatch.delitem(sys.modules, f"dronesense.model.exchange.{module}", raising=False)
        monkeypatch.delattr(f"dronesense.model.exchange.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PluginError, match=package) as caught:
        call()  # type: ignore[operator]
    assert caught.value.fix == 'pip install "dronesense[notebook]"'


def test_records_import_neither_package() -> None:
    code = "import sys, dronesense.model; print({'xarray', 'geopandas', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
