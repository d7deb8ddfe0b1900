"""Quicklooks: right colors at the right place, readable limits, the same bytes twice."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from dronesense import plot
from dronesense.model import (
    Ambient,
    Bands,
    CubeView,
    Detection,
    GasSeries,
    GasTrace,
    GroundPoints,
    ScoreMap,
    SpectralCube,
    colors,
)

T0 = 1_780_000_000_000_000_000


class Rows:
    """A cube in memory that counts how many rows are read at once."""

    def __init__(self, values: np.ndarray, valid: np.ndarray | None = None) -> None:
        self.values = values.astype(np.float32)
        self.valid = np.ones((values.shape[0], values.shape[2]), bool) if valid is None else valid
        self.most = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        self.most = max(self.most, stop - start)
        return self.values[start:stop], self.valid[start:stop]


def cube(values: np.ndarray, center=(460.0, 550.0, 640.0, 800.0), valid=None, name="line 1") -> SpectralCube:
    n = values.shape[1]
    bands = Bands(np.array(center[:n], float), np.full(n, 10.0), np.ones(n, bool))
    return SpectralCube(name, Rows(values, valid), bands, "reflectance", None, "cam", "raw/line_1.bil")


def pixel(row: int, col: int, score: float = 9.0, target: str = "t") -> Detection:
    return Detection(
        target, "spectral", "ace", "line 1", "raw/line_1.bil", np.array([[row, col]]), np.array([score]),
        0, score, 1e-6, 1e-3, 0.4, 0.05, "fraction",
    )  # fmt: skip


def score_map(score: np.ndarray, threshold: float = 5.0) -> ScoreMap:
    return ScoreMap("line 1", "t", "ace", score, "1", threshold, 1e-5, None)


def trace(n: int = 600, *, searched: bool = True, events: int = 1, species: str = "CH4") -> GasTrace:
    rng = np.random.default_rng(0)
    value = 2.0 + 0.01 * rng.standard_normal(n)
    value[n // 2 : n // 2 + 8] += 0.4
    flags = np.zeros(n, np.uint16)
    flags[:20] = 16
    series = GasSeries(
        T0 + np.arange(n) * 200_000_000, species, "mole_fraction", value, np.full(n, 0.01), "wet", flags,
        "calibrated", Ambient(), "example", "raw/gas.csv", np.arange(n) + 2,
    )  # fmt: skip
    points = GroundPoints(
        np.arange(n, dtype=float), np.zeros(n), np.zeros(n), np.tile(np.eye(2), (n, 1, 1)),
        np.zeros(n, np.uint8), "EPSG:32643", series.time,
    )  # fmt: skip
    found = tuple(
        Detection(
            species, "gas", "robust", species, "raw/gas.csv", np.arange(n // 2, n // 2 + 8), np.full(8, 0.4),
            3, 40.0 - k, 1e-9, 1e-9, 0.4, 0.01, "ppm",
        )
        for k in range(events)
    )  # fmt: skip
    if not searched:
        return GasTrace(series, points)
    return GasTrace(series, points, np.full(n, 2.0), (value - 2.0) / 0.01, 5.2, found)


def test_bands_nearest_to_red_green_blue_are_taken_and_bad_ones_left_out() -> None:
    center = np.array([450.0, 470.0, 545.0, 560.0, 630.0, 655.0, 900.0])
    good = np.array([True, True, False, True, True, True, True])
    assert colors.rgb_bands(Bands(center, np.full(7, 5.0), good)) == ([4, 3, 0], "true color")


@pytest.mark.parametrize("center", [np.full(5, np.nan), np.linspace(1000.0, 2400.0, 5)])
def test_cube_without_visible_bands_is_shown_in_false_color_and_says_so(center: np.ndarray) -> None:
    bands, name = colors.rgb_bands(Bands(center, np.full(5, 5.0), np.ones(5, bool)))
    assert bands == [4, 2, 0]
    assert name.startswith("false color")


def test_stretch_makes_two_percent_black_and_two_percent_full() -> None:
    ramp = np.repeat(np.arange(1000.0)[:, None, None], 3, axis=2)
    valid = np.ones((1000, 1), bool)
    valid[500] = False
    shown = colors.stretched(ramp, valid)
    assert np.all(shown[:20] == 0.0)
    assert np.all(shown[-20:] == 1.0)
    between = np.delete(shown, 500, axis=0)[25:974]
    assert np.all((between > 0.0) & (between < 1.0))
    assert np.isnan(shown[500]).all()


def test_one_hot_pixel_survives_the_decimation_of_the_score_map() -> None:
    score = np.zeros((37, 23), np.float32)
    score[36, 22] = 7.0
    score[0:5, 0:5] = np.nan
    small = plot._highest(score, 5)
    assert small.shape == (8, 5)
    assert small[7, 4] == 7.0
    assert np.isnan(small[0, 0])
    assert np.nansum(small) == 7.0


def test_a_long_strip_is_read_row_by_row_and_shown_small(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((4000, 3, 20))
    view = CubeView(cube(values), (), ())
    plot.cube_quicklook(view, tmp_path / "q.png")
    assert view.cube.source.most == 1
    picture = imread(tmp_path / "q.png")
    assert max(picture.shape) <= plot.MAX_SIDE_PIXELS


def test_left_half_red_right_half_blue_comes_out_so(tmp_path: Path) -> None:
    values = np.zeros((40, 3, 40))
    values[:, 2, :20], values[:, 0, 20:] = 1.0, 1.0
    values[:, 1, ::2] = 0.01  # something to stretch, evenly spread
    plot.cube_quicklook(CubeView(cube(values)), tmp_path / "q.png")
    picture = imread(tmp_path / "q.png")[..., :3]
    red = (picture[..., 0] > 0.9) & (picture[..., 2] < 0.1)
    blue = (picture[..., 2] > 0.9) & (picture[..., 0] < 0.1)
    assert red.sum() > 10_000
    assert blue.sum() > 10_000
    assert np.nonzero(red)[1].max() <= np.nonzero(blue)[1].min() + 1


def test_detection_is_circled_where_it_is(tmp_path: Path) -> None:
    """The pixels that differ with the mark lie around the planted place, in the quarter right and low."""
    values = np.random.default_rng(2).random((60, 3, 60))
    plot.cube_quicklook(CubeView(cube(values)), tmp_path / "a.png")
    plot.cube_quicklook(CubeView(cube(values), (), (pixel(45, 15),)), tmp_path / "b.png")
    a, b = imread(tmp_path / "a.png"), imread(tmp_path / "b.png")
    assert a.shape == b.shape
    rows, cols = np.nonzero(np.abs(a - b).max(axis=2) > 0.05)
    inside = np.nonzero((a[..., :3].max(axis=2) - a[..., :3].min(axis=2)) > 0.05)
    top, bottom, left, right = inside[0].min(), inside[0].max(), inside[1].min(), inside[1].max()
    assert (rows.mean() - top) / (bottom - top) == pytest.approx(45.5 / 60, abs=0.04)
    assert (cols.mean() - left) / (right - left) == pytest.approx(15.5 / 60, abs=0.04)


@pytest.mark.parametrize("kind", ["cube", "series"])
def test_same_picture_same_bytes_whatever_matplotlibrc_says(tmp_path: Path, kind: str) -> None:
    def draw(path: Path) -> bytes:
        if kind == "cube":
            values = np.random.default_rng(3).random((50, 4, 30))
            score = np.random.default_rng(4).random((50, 30)).astype(np.float32)
            plot.cube_quicklook(CubeView(cube(values), (score_map(score, 0.9),), (pixel(3, 4),)), path)
        else:
            plot.series_quicklook(trace(), path, title="x")
        return path.read_bytes()

    first = draw(tmp_path / "1.png")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 30, "axes.facecolor": "red"}):
        assert draw(tmp_path / "2.png") == first
    assert b"Software" not in first


@pytest.mark.parametrize(
    "view",
    [
        CubeView(cube(np.full((3, 1, 2), np.nan), center=(500.0,))),
        CubeView(cube(np.zeros((1, 3, 1)))),
        CubeView(cube(np.ones((5, 3, 900)), valid=np.zeros((5, 900), bool))),
        CubeView(cube(np.ones((5, 3, 6)), name="$x^{ 漢字"), (score_map(np.full((5, 6), np.nan)),) * 5, ()),
        CubeView(cube(np.ones((900, 3, 6))), (score_map(np.zeros((900, 6))),), (pixel(1, 1, np.nan),) * 50),
    ],
)  # fmt: skip
def test_odd_cubes_still_give_a_picture(tmp_path: Path, view: CubeView) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.cube_quicklook(view, tmp_path / "q.png")
    assert imread(tmp_path / "q.png").size


@pytest.mark.parametrize(
    "given",
    [
        trace(1),
        trace(2, searched=False),
        trace(50, events=60),
        trace(20, events=0),
        trace(30, species="$a_{"),
    ],
    ids=["one", "two-unsearched", "many-events", "none-found", "dollar"],
)
def test_odd_series_still_give_a_picture(tmp_path: Path, given: GasTrace) -> None:
    if len(given.series) == 1:
        given = GasTrace(given.series, given.points)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.series_quicklook(given, tmp_path / "q.png")
    assert imread(tmp_path / "q.png").size


def test_series_without_a_valid_sample_still_gives_a_picture(tmp_path: Path) -> None:
    t = trace(10)
    dead = GasSeries(
        t.series.time, "CH4", "mole_fraction", np.full(10, np.nan), np.full(10, np.nan), "wet",
        np.full(10, 4, np.uint16), "calibrated", Ambient(), "x", "y", t.series.row,
    )  # fmt: skip
    plot.series_quicklook(
        GasTrace(dead, t.points, np.full(10, np.nan), np.full(10, np.nan), 5.0), tmp_path / "q.png"
    )
    assert imread(tmp_path / "q.png").size


def test_event_of_one_sample_is_shaded_visibly() -> None:
    t = trace(1000)
    single = replace(t.detections[0], index=np.array([700]), weight=np.ones(1), peak=0)
    ((start, length),) = plot._spans(GasTrace(t.series, t.points, t.background, t.z, 5.0, (single,)))
    whole = 999 * 0.2 / 86400
    assert length == pytest.approx(plot.MIN_EVENT_FRACTION * whole, rel=1e-3)
    day = (T0 + 700 * 200_000_000) / 86400e9
    assert start + length / 2 == pytest.approx(day, abs=1e-8)
