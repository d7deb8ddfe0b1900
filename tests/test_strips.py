"""Lookup tables, resampling, mosaics, coverage: worked out by hand, by brute force, and by moved pictures."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.ndimage import gaussian_filter, map_coordinates

from dronesense.geotag import coverage, glt, mosaic, resample
from dronesense.model import Bands, GroundRaster, SpectralCube

CRS = "EPSG:32632"


def places(rows: int, cols: int, *, turn_deg: float = 0.0, gsd: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centers of a strip that runs south from (1000, 2000), turned about its first pixel."""
    line, sample = np.mgrid[0:rows, 0:cols] * gsd
    z = (sample - 1j * line) * np.exp(1j * np.radians(turn_deg))
    return 1000.0 + z.real, 2000.0 + z.imag


def table(
    x: np.ndarray, y: np.ndarray, *, gsd: float = 1.0, block: int = 1000, **settings: object
) -> glt.Lookup:
    blocks = (
        (start, x[start : start + block], y[start : start + block]) for start in range(0, len(x), block)
    )
    return glt.from_places(blocks, shape=x.shape, gsd_m=gsd, crs=CRS, **settings)  # type: ignore[arg-type]


def test_a_strip_on_the_grid_is_its_own_table() -> None:
    x, y = places(5, 4)
    made = table(x + 0.5, y - 0.5)  # pixel centers at cell centers
    np.testing.assert_array_equal(made.number, np.arange(1, 21).reshape(5, 4))
    assert made.transform == (1.0, 0.0, 1000.0, 0.0, -1.0, 2000.0)
    line, sample = made.pixel(slice(1, 3))
    np.testing.assert_array_equal(line, [[1] * 4, [2] * 4])
    np.testing.assert_array_equal(sample, [[0, 1, 2, 3]] * 2)
    assert not made.filled.any()


@pytest.mark.parametrize("block", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("turn", [0.0, 33.0, 190.0])
def test_blocks_of_lines_make_no_difference(block: int, turn: float) -> None:
    x, y = places(50, 30, turn_deg=turn)
    whole = table(x, y, gsd=0.7, offsets=True)
    pieces = table(x, y, gsd=0.7, offsets=True, block=block)
    assert whole.transform == pieces.transform
    np.testing.assert_array_equal(whole.number, pieces.number)
    np.testing.assert_array_equal(whole.offset, pieces.offset)


def test_a_sheared_strip_by_brute_force() -> None:
    # Lines that lag: pixels are parallelograms, and each cell is in the one that its own axes say.
    line, sample = np.mgrid[0:40, 0:30].astype(float)
    x, y = 1000.0 + sample + 0.4 * line, 2000.0 - line + 0.1 * sample
    made = table(x, y, gsd=0.37)
    ny, nx = made.number.shape
    _, _, left, _, _, top = made.transform
    cx, cy = np.meshgrid(left + 0.37 * (np.arange(nx) + 0.5), top - 0.37 * (np.arange(ny) + 0.5))
    inverse = np.linalg.inv(np.array([[1.0, 0.4], [0.1, -1.0]]))
    s, r = np.einsum("ij,jkl->ikl", inverse, np.stack([cx - 1000.0, cy - 2000.0]))
    inside = (np.abs(s - 14.5) < 14.9) & (np.abs(r - 19.5) < 19.9)
    clear = (np.abs(s - np.rint(s)) < 0.499) & (np.abs(r - np.rint(r)) < 0.499)
    expected = np.rint(r) * 30 + np.rint(s) + 1
    np.testing.assert_array_equal(made.number[inside & clear], expected[inside & clear])
    far = (np.abs(s - 14.5) > 15.1) | (np.abs(r - 19.5) > 20.1)
    assert (made.number[far] == 0).all()


def test_narrow_gaps_are_filled_and_marked_and_wide_ones_stay() -> None:
    x, y = places(40, 30)
    x, y = x + 0.5, y - 0.5
    y[20:] -= 2.0  # two rows of the grid that no line saw
    y[30:] -= 8.0
    broken = np.zeros(39, dtype=bool)
    broken[[19, 29]] = True
    bare, made = table(x, y, broken=broken), table(x, y, broken=broken, fill=True)
    assert (bare.number[20:22] == 0).all()
    np.testing.assert_array_equal(made.number[20], -(19 * 30 + np.arange(30) + 1))
    np.testing.assert_array_equal(made.number[21], -(20 * 30 + np.arange(30) + 1))
    assert (made.number[33:39] == 0).all()
    np.testing.assert_array_equal(made.number[bare.number > 0], bare.number[bare.number > 0])
    assert made.number.shape == bare.number.shape
    line, sample = made.pixel(slice(20, 21))
    np.testing.assert_array_equal(line, [[19] * 30])
    np.testing.assert_array_equal(sample, [np.arange(30)])


def test_filling_does_not_depend_on_strips_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    number = np.where(rng.random((90, 40)) < 0.6, np.arange(1, 3601).reshape(90, 40), 0).astype(np.int32)
    whole = number.copy()
    glt._fill(whole)
    monkeypatch.setattr(glt, "_FILL_ROWS", 7)
    pieces = number.copy()
    glt._fill(pieces)
    np.testing.assert_array_equal(whole < 0, pieces < 0)
    assert (whole < 0).any()


def test_no_place_no_table() -> None:
    x, y = places(4, 3)
    assert table(x * np.nan, y).number.size == 0


def test_nearest_and_bilinear_of_a_plane() -> None:
    x, y = places(60, 50, turn_deg=28.0)
    made = table(x, y, gsd=0.5, offsets=True)
    values = (0.3 * x - 0.7 * y).astype(np.float32)
    ny, nx = made.number.shape
    _, _, left, _, _, top = made.transform
    cx, cy = np.meshgrid(left + 0.5 * (np.arange(nx) + 0.5), top - 0.5 * (np.arange(ny) + 0.5))
    line, sample = made.pixel()
    inside = (line > 0) & (line < 59) & (sample > 0) & (sample < 49)
    near = resample.nearest(values, made)
    assert np.array_equal(np.isfinite(near), made.number != 0)
    np.testing.assert_array_equal(near[inside], values[line[inside], sample[inside]])
    smooth = resample.bilinear(np.stack([values, -values]), made)
    np.testing.assert_allclose(smooth[0][inside], (0.3 * cx - 0.7 * cy)[inside], atol=2e-3)
    np.testing.assert_array_equal(smooth[0], -smooth[1])
    with pytest.raises(ValueError, match="offsets"):
        resample.bilinear(values, table(x, y))
    with pytest.raises(ValueError, match="table of a strip"):
        resample.nearest(values[:5], made)


def test_missing_neighbors_stay_out_of_the_mean() -> None:
    one, nan = np.float32(1.0), np.float32(np.nan)
    q, p = np.float32([0.25]), np.float32([0.5])

    def mix(*values: np.float32) -> float:
        return float(resample.mix(*(np.float32([each]) for each in values), q, p)[0])

    assert mix(one, np.float32(3.0), np.float32(5.0), np.float32(7.0)) == pytest.approx(3.0)
    # Weights 3/8, 3/8, 1/8, 1/8 without the second.
    assert mix(one, nan, np.float32(5.0), np.float32(7.0)) == pytest.approx((3 * 1 + 5 + 7) / 5)
    assert np.isnan(mix(nan, one, one, one))


class Numbers:
    """A cube in memory; some pixels are not valid."""

    def __init__(self, rows: int, bands: int, cols: int) -> None:
        rng = np.random.default_rng(3)
        self.values = rng.normal(size=(rows, bands, cols)).astype(np.float32)
        self.valid = rng.random((rows, cols)) > 0.1
        self.reads: list[tuple[int, int]] = []

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.reads.append((start, stop))
        return self.values[start:stop], self.valid[start:stop]


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_a_cube_streams_onto_the_grid(method: resample.Method) -> None:
    source = Numbers(90, 5, 40)
    bands = Bands(np.arange(5.0), np.full(5, np.nan), np.ones(5, bool))
    cube = SpectralCube("c", source, bands, "counts", None, "", "c.img")
    x, y = places(90, 40, turn_deg=70.0)
    made = table(x, y, gsd=0.8, offsets=True)
    planes = np.where(source.valid, source.values.transpose(1, 0, 2), np.nan).astype(np.float32)
    expected = getattr(resample, method)(planes, made)
    got = np.full(expected.shape, np.nan, dtype=np.float32)
    written = np.zeros(made.number.shape, dtype=int)
    for piece in resample.stream(cube, made, method=method, budget_bytes=5 * 40 * 4 * 8):
        got[:, piece.row, piece.col] = piece.values.T
        np.add.at(written, (piece.row, piece.col), 1)
    np.testing.assert_array_equal(written, made.number != 0)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert max(stop - start for start, stop in source.reads) <= 10  # a few lines at a time
    one = [piece.values for piece in resample.stream(cube, made, bands=np.array([3]))]
    assert {each.shape[1] for each in one} == {1}


# --- mosaics --------------------------------------------------------------------------------------------


def strip(name: str, values: np.ndarray, left: int, top: int, ce90: float, zenith: float) -> mosaic.Strip:
    raster = GroundRaster(
        name, values.astype(np.float32), (0.5, 0.0, left * 0.5, 0.0, -0.5, top * 0.5), CRS, "1", "score"
    )
    return mosaic.Strip(
        name, raster, np.full(values.shape, ce90, np.float32), np.full(values.shape, zenith, np.float32)
    )


def test_the_best_known_place_wins_then_the_steepest_view() -> None:
    a = strip("a", np.full((3, 4), 1.0), 10, 100, 0.5, 20.0)
    b = strip("b", np.full((3, 4), 2.0), 12, 99, 0.3, 30.0)
    c = strip("c", np.full((3, 4), 3.0), 12, 99, 0.3, 10.0)
    c.values.values.flags.writeable = True
    c.values.values[0, 0] = np.nan
    made = mosaic.mosaic([a, b, c])
    assert made.values.transform == (0.5, 0.0, 5.0, 0.0, -0.5, 50.0)
    nan = np.nan
    np.testing.assert_array_equal(
        made.values.values,
        [[1, 1, 1, 1, nan, nan], [1, 1, 2, 3, 3, 3], [1, 1, 3, 3, 3, 3], [nan, nan, 3, 3, 3, 3]],
    )
    np.testing.assert_array_equal(made.strip.values, made.values.values)
    np.testing.assert_allclose(made.ce90_m.values[1], [0.5, 0.5, 0.3, 0.3, 0.3, 0.3])
    assert made.names == ("a", "b", "c")
    assert [(each.first, each.second, each.cells) for each in made.overlaps] == [
        ("a", "b", 4), ("a", "c", 3), ("b", "c", 11)
    ]  # fmt: skip
    assert np.isnan(made.overlaps[0].median_difference)  # too few to say


@pytest.mark.parametrize("moved", [(0.0, 0.0), (1.5, -0.75), (-2.25, 3.0)])
def test_overlaps_tell_value_and_place(moved: tuple[float, float]) -> None:
    picture = gaussian_filter(np.random.default_rng(6).normal(size=(160, 160)), 2.0)
    picture /= picture.std()
    rows, cols = np.mgrid[0:100, 0:80].astype(float)
    south, east = moved  # what the second strip shows lies so many cells farther south and east
    first = map_coordinates(picture, [rows + 30, cols + 30], order=3)
    second = map_coordinates(picture, [rows + 30 - south, cols + 50 - east], order=3) + 0.25
    made = mosaic.mosaic([strip("a", first, 0, 0, 0.3, 1.0), strip("b", second, 20, 0, 0.3, 2.0)])
    (overlap,) = made.overlaps
    assert overlap.cells == 100 * 60
    np.testing.assert_allclose(overlap.offset_m, [0.5 * east, -0.5 * south], atol=0.05)
    if moved == (0.0, 0.0):
        assert overlap.median_difference == pytest.approx(0.25, abs=1e-3)


def test_strips_that_do_not_fit_together() -> None:
    a = strip("a", np.ones((3, 4)), 0, 0, 0.5, 20.0)
    shifted = GroundRaster(
        "b", np.ones((3, 4), np.float32), (0.5, 0.0, 0.2, 0.0, -0.5, 0.0), CRS, "1", "score"
    )
    with pytest.raises(ValueError, match="not on the grid"):
        mosaic.mosaic([a, mosaic.Strip("b", shifted, a.ce90_m, a.zenith_deg)])
    with pytest.raises(ValueError, match="no strips"):
        mosaic.mosaic([])
    with pytest.raises(ValueError, match="one shape"):
        mosaic.Strip("b", shifted, np.ones((2, 2), np.float32), a.zenith_deg)


# --- coverage -------------------------------------------------------------------------------------------


def test_coverage_keeps_holes_and_adds_up() -> None:
    seen = np.ones((40, 60), np.float32)
    seen[10:20, 20:40] = np.nan
    one = strip("a", seen, 0, 0, 1.0, 1.0).values
    x, y = places(40, 30)
    other = table((x - 1000.0) * 0.5 + 30.25, (y - 2000.0) * 0.5 - 0.25, gsd=0.5)
    found = coverage.outline([one, other])
    assert found.crs == CRS
    # 40 rows of 60 and of 30 columns side by side, but for the hole.
    assert found.area_m2 == pytest.approx((40 * 90 - 200) * 0.25)
    assert found.gap_m2 == pytest.approx(200 * 0.25)
    assert shapely.contains_xy(found.gaps, 15.0, -7.5)
    assert not shapely.contains_xy(found.seen, 15.0, -7.5)
    assert shapely.contains_xy(found.seen, 40.0, -10.0)
    wanted = coverage.outline([one], area=shapely.box(0.0, -40.0, 30.0, 0.0))
    assert wanted.gap_m2 == pytest.approx(30.0 * 20.0 + 50.0)
    assert coverage.outline([one], min_gap_m2=60.0).gap_m2 == 0.0
    with pytest.raises(ValueError, match="one CRS"):
        coverage.outline([])
