"""Records show themselves in a notebook: escaped, small; regions of cubes become signatures."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from dronesense.errors import CoverageError, ReadError
from dronesense.geodesy import to_grid, to_lonlat
from dronesense.model import (
    Ambient,
    Bands,
    Flight,
    GasSeries,
    GroundPicture,
    Hotspot,
    HotspotLayer,
    ScoreMap,
    Signature,
    SpectralCube,
    thumbnail,
)
from dronesense.model.showing import MAX_ROWS, card, table

ATTACK = "<script>alert('x')</script>&"


class Held:
    """Rows of a cube that lie in memory."""

    def __init__(self, values: np.ndarray, valid: np.ndarray) -> None:
        self.values, self.valid, self.shape = values, valid, values.shape

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.values[start:stop], self.valid[start:stop]


def cube_of(values: np.ndarray, *, center: list[float], good: list[bool] | None = None) -> SpectralCube:
    rows, bands, cols = values.shape
    named = Bands(np.array(center), np.full(bands, 10.0), np.array(good or [True] * bands))
    source = Held(values.astype(np.float32), np.ones((rows, cols), dtype=bool))
    return SpectralCube(ATTACK, source, named, "reflectance", None, ATTACK, ATTACK, history=(ATTACK,))


def series() -> GasSeries:
    m = 3
    return GasSeries(
        time=np.arange(m, dtype=np.int64) * 1_000_000_000,
        species=ATTACK,
        quantity="mole_fraction",
        value=np.array([2.0, np.nan, 4.0]),
        sigma=np.full(m, 0.1),
        basis="dry",
        flags=np.zeros(m, dtype=np.uint16),
        level="raw",
        ambient=Ambient(),
        instrument=ATTACK,
        source=ATTACK,
        row=np.arange(m, dtype=np.int64),
    )


def records() -> list[object]:
    two = np.array([400.0, 500.0])
    score = np.array([[0.1, np.nan], [0.9, 0.2]], dtype=np.float32)
    return [
        cube_of(np.ones((2, 2, 2)), center=[450.0, 550.0]),
        series(),
        Signature(ATTACK, two, two, two, "reflectance", source=ATTACK, license=ATTACK, file=ATTACK),
        ScoreMap(ATTACK, ATTACK, ATTACK, score, ATTACK, 0.5, 0.01, None),
        HotspotLayer(ATTACK, (), warnings=(ATTACK,), rejected=((ATTACK, ATTACK),)),
        Flight(ATTACK, Path(), None, warnings=(ATTACK,), rejected=((ATTACK, ATTACK),)),
    ]


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
def test_text_of_a_file_stays_text(record: object) -> None:
    shown = record._repr_html_()  # type: ignore[attr-defined]
    assert "<script" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;" in shown


def test_numbers_shown_are_those_of_the_record() -> None:
    _, gas, _, score, *_ = records()
    assert "2 of 3 without a flag" in gas._repr_html_()  # type: ignore[attr-defined]
    assert "2 to 4 ppm" in gas._repr_html_()  # type: ignore[attr-defined]
    assert "<th>over it</th><td>1</td>" in score._repr_html_()  # type: ignore[attr-defined]
    assert "3 of 4 with a score" in score._repr_html_()  # type: ignore[attr-defined]


def test_long_lists_are_cut_and_counted() -> None:
    assert "and 3 more" in table(["n"], [(n,) for n in range(MAX_ROWS + 3)])
    assert "and 2 more" in card("t", {}, warnings=[str(n) for n in range(MAX_ROWS + 2)])


def test_showing_a_record_needs_no_matplotlib() -> None:
    code = (
        "import sys, dronesense.model as m; "
        "m.HotspotLayer('f', ())._repr_html_(); print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_region_is_its_mean_its_spread_and_its_origin() -> None:
    values = np.arange(2 * 3 * 4, dtype=np.float64).reshape(2, 3, 4)
    cube = cube_of(values, center=[700.0, 500.0, 600.0], good=[True, True, False])
    region = cube.region((0, 2), (1, 3))
    flat = np.array([[1, 5, 9], [2, 6, 10], [13, 17, 21], [14, 18, 22]], dtype=np.float64)  # by hand
    np.testing.assert_array_equal(region.pixels(), flat)
    np.testing.assert_allclose(region.covariance(), np.cov(flat.T))
    signature = region.mean("sheet")
    assert signature.name == "sheet"
    np.testing.assert_array_equal(signature.wavelength_nm, [500.0, 700.0])  # sorted; the bad band left out
    np.testing.assert_allclose(signature.value, [11.5, 7.5])
    np.testing.assert_allclose(signature.sigma, np.sqrt(np.diag(np.cov(flat.T)))[[1, 0]])
    assert signature.entry == "rows 0:2, samples 1:3"
    assert hashlib.sha256(flat.astype("<f8").tobytes()).hexdigest() in signature.source


def test_a_region_without_valid_pixels_says_so() -> None:
    cube = cube_of(np.ones((2, 2, 2)), center=[450.0, 550.0])
    cube.source.valid[:] = False  # type: ignore[attr-defined]
    with pytest.raises(CoverageError, match="0 valid pixels"):
        cube.region((0, 2), (0, 2)).mean()
    with pytest.raises(ValueError, match="rows"):
        cube.region((1, 1), (0, 2))


def test_a_picture_is_small_and_stretched() -> None:
    values = np.zeros((6, 3, 4))
    values[:, :, 2:] = 1.0
    picture = cube_of(values, center=[460.0, 550.0, 640.0]).rgb(max_side=3)
    assert picture.shape == (3, 2, 3)
    np.testing.assert_array_equal(picture[0, :, 0], [0.0, 1.0])


# --- pictures -------------------------------------------------------------------------------------------


def picture_in(shown: str) -> np.ndarray:
    """Return the pixels of the image in HTML; the peer is Pillow."""
    image = pytest.importorskip("PIL.Image")
    url = shown.partition('src="data:image/png;base64,')[2].partition('"')[0]
    return np.array(image.open(io.BytesIO(base64.b64decode(url))).convert("RGBA"))


def test_a_cube_shows_its_colors() -> None:
    values = np.zeros((4, 3, 6))
    values[:2, 2], values[2:, 0] = 1.0, 1.0  # above red (650 nm), below blue (450 nm)
    cube = cube_of(values, center=[450.0, 550.0, 650.0])
    cube.source.valid[3, 5] = False  # type: ignore[attr-defined]
    seen = picture_in(cube._repr_html_())
    assert seen.shape == (4, 6, 4)
    assert seen[0, 0].tolist() == [255, 0, 0, 255]
    assert seen[3, 0].tolist() == [0, 0, 255, 255]
    assert seen[3, 5, 3] == 0


def test_pictures_stay_small_whatever_they_show() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (700, 500, 4)).astype(np.uint8)
    assert len(thumbnail.image(noise)) <= thumbnail.MAX_URL_BYTES + 30
    assert max(picture_in(thumbnail.image(noise)).shape) >= 64
    flat = np.zeros((700, 500, 4), np.uint8)
    assert picture_in(thumbnail.image(flat)).shape == (160, 114, 4)  # 700 / 160 = 4.375; 500 / 4.375


def test_a_cube_that_is_large_or_gone_is_shown_without_reading_it_all() -> None:
    class Far:
        shape = (100_000, 400, 1000)
        asked = 0

        def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
            self.asked += stop - start
            return np.ones((stop - start, 400, 1000), np.float32), np.ones((stop - start, 1000), bool)

    class Gone(Far):
        def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
            raise ReadError("is gone", where="c.hdr")

    bands = Bands(np.linspace(400.0, 900.0, 400), np.full(400, 5.0), np.ones(400, bool))
    far, gone = (SpectralCube("c", source, bands, "counts", None, "", "c.hdr") for source in (Far(), Gone()))
    assert "<img" in far._repr_html_()
    assert 0 < far.source.asked * 400 * 1000 * 4 <= thumbnail.MAX_READ_BYTES * 1.1  # type: ignore[attr-defined]
    assert "<img" not in gone._repr_html_()
    assert "100000 rows" in gone._repr_html_()


def hotspot_at(lon: float, lat: float, kind: Any) -> Hotspot:
    none = float("nan")
    return Hotspot(
        "h", "t", kind, "ace", shapely.Point(lon, lat), lon, lat, none, 1.0, none, none, none, none, "1", 1.0,
        1.0, 1.0, 0.0, 0, 1, 1, 1, none, ("a",),
    )  # fmt: skip


def test_a_layer_shows_where_its_hotspots_lie() -> None:
    x, y = (float(each) for each in to_grid(9.0, 48.0, "EPSG:32632"))
    green = np.zeros((4, 100, 100), np.uint8)
    green[1], green[3] = 200, 255
    picture = GroundPicture("c", green, (1.0, 0.0, x, 0.0, -1.0, y), "EPSG:32632", "true color")
    lon, lat = to_lonlat([x + 25.0, x + 75.0], [y - 75.0, y - 25.0], "EPSG:32632")
    spots = tuple(
        hotspot_at(float(lon[k]), float(lat[k]), kind) for k, kind in enumerate(("spectral", "gas"))
    )
    seen = picture_in(HotspotLayer("f", spots, pictures=(picture,))._repr_html_())
    assert max(seen.shape) <= 160
    size = np.array(seen.shape[:2])
    for kind, share in (("spectral", (0.75, 0.25)), ("gas", (0.25, 0.75))):  # down, right: north is up
        at = np.argwhere((seen == thumbnail.KIND_COLORS[kind]).all(axis=2))
        assert len(at) == 25
        # the picture fills all but a margin of 5 % on each side
        np.testing.assert_allclose(at.mean(axis=0) / size, np.array(share) / 1.1 + 0.05 / 1.1, atol=0.02)
    assert (seen == (0, 200, 0, 255)).all(axis=2).mean() == pytest.approx(1.0 / 1.21, abs=0.03)
    assert "<img" not in HotspotLayer("f", ())._repr_html_()
    assert "<img" in HotspotLayer("f", spots[:1])._repr_html_()  # one place has no extent
