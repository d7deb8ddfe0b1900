"""Captures as cubes: grouping, registration, rows on demand, and what is refused."""

from __future__ import annotations

import sys
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from dronesense.errors import ReadError
from dronesense.manifest.discover import discover
from dronesense.model import Frame, lens
from dronesense.model.capture import BandFrame, CaptureCube, PixelFlag
from dronesense.model.lens import Lens
from dronesense.plugins import read_head
from dronesense.readers import (
    band_registration,
    captures,
    envi,
    geotiff,
    multispectral,
    tiff_directory,
)

sys.path.insert(0, str(Path(__file__).parent))
import band_tiff_writer as write

SHIFTS = {1: (3, -5), 2: (0, 0), 3: (-4, 2), 4: (6, 7), 5: (1, -1)}
"""File number -> rows and columns by which its picture is moved against green's."""


def texture(rows: int, cols: int, seed: int = 7) -> np.ndarray:
    """Return a field of blobs of several sizes, 6000 to 40000 counts."""
    rng = np.random.default_rng(seed)
    field = sum(ndimage.gaussian_filter(rng.standard_normal((rows, cols)), s) * s for s in (1.5, 4.0, 9.0))
    field = (field - field.min()) / np.ptp(field)
    return 6000.0 + 34000.0 * field


def capture(
    folder: Path, stem: str = "IMG_0000", rows: int = 220, cols: int = 260, **keys: object
) -> np.ndarray:
    """Write five bands of one scene, each moved by SHIFTS; near infrared has the opposite contrast."""
    scene = texture(rows + 40, cols + 40)
    for number, (down, across) in SHIFTS.items():
        picture = scene[20 - down : 20 - down + rows, 20 - across : 20 - across + cols]
        if number == 4:
            picture = 46000.0 - picture
        write.rededge(folder, picture.astype(np.uint16), number, stem=stem, **keys)  # type: ignore[arg-type]
    return scene[20 : 20 + rows, 20 : 20 + cols].astype(np.uint16)


def read(path: Path):
    return multispectral.read(path, label=path.name, name="cube")


def test_bands_are_sorted_by_wavelength_and_brought_together(tmp_path: Path) -> None:
    green = capture(tmp_path)
    cube, report = read(tmp_path / "IMG_0000_4.tif")
    assert cube.bands.center_nm.tolist() == [475.0, 560.0, 668.0, 717.0, 840.0]
    assert cube.geometry is not None
    assert isinstance(cube.geometry, Frame)
    assert cube.geometry.time == 1_508_445_639_200_173_789
    assert cube.quantity == "counts"
    assert isinstance(cube.source, CaptureCube)
    values, valid = cube.source.read(40, 180)
    inner = (slice(None), slice(40, 220))
    assert valid[inner].all()
    for band in range(5):
        expected = green[40:180] if band != 4 else 46000.0 - green[40:180]
        difference = values[:, band][inner] - expected[inner]
        assert np.abs(difference).max() < 900.0  # a tenth of a pixel off, in a field of up to 5000 a pixel
    told = {each["band"]: each for each in report.details["bands"]}  # type: ignore[index, attr-defined]
    assert told["Green"]["registration"] == "reference"
    assert all(told[band]["residual_px"] < 0.2 for band in ("Blue", "Red", "NIR", "Red edge"))
    assert report.details["reference_band"] == "Green"


def test_rows_do_not_depend_on_the_block(tmp_path: Path) -> None:
    capture(tmp_path)
    cube, _ = read(tmp_path / "IMG_0000_1.tif")
    whole = np.concatenate([block.values for block in cube.blocks(1 << 30)])
    parts = np.concatenate([block.values for block in cube.blocks(50_000)])
    np.testing.assert_array_equal(whole, parts)


def test_a_few_rows_take_a_few_rows_of_memory(tmp_path: Path) -> None:
    """Two bands of 1000 x 1200: 4.8 MB a band as float32; ten rows must not cost a band."""
    rng = np.random.default_rng(1)
    for number in (1, 2):
        write.rededge(tmp_path, rng.integers(6000, 60000, (1000, 1200)).astype(np.uint16), number)
    cube, _ = read(tmp_path / "IMG_0000_1.tif")
    cube.source.read(0, 10)
    tracemalloc.start()
    cube.source.read(500, 510)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_what_a_band_does_not_see_is_not_valid(tmp_path: Path) -> None:
    capture(tmp_path)
    cube, _ = read(tmp_path / "IMG_0000_1.tif")
    assert isinstance(cube.source, CaptureCube)
    values, valid = cube.source.read(0, 220)
    flags = cube.source.flags(0, 220)
    # green row 0 is row 3 of blue, row -4 of red: red does not see it
    assert not valid[0].any()
    assert (flags[0, 2] == PixelFlag.OUTSIDE).all()
    assert np.isnan(values[0, 2]).all()
    assert np.isfinite(values[0, 0, 20:200]).all()


def test_saturation_is_flagged_and_nothing_is_clipped(tmp_path: Path) -> None:
    pixels = np.full((6, 6), 20000, dtype=np.uint16)
    pixels[2, 3], pixels[4, 1] = 65520, 4700
    write.rededge(tmp_path, pixels, 2)
    cube, report = read(tmp_path / "IMG_0000_2.tif")
    assert isinstance(cube.source, CaptureCube)
    values, valid = cube.source.read(0, 6)
    flags = cube.source.flags(0, 6)[:, 0]
    assert not valid[2, 3]
    assert valid.sum() == 35
    assert flags[2, 3] == PixelFlag.SATURATED
    assert flags[4, 1] == PixelFlag.BELOW_DARK
    assert values[2, 0, 3] == 65520.0
    assert report.warnings == ("band 1, 3, 4, 5 of this camera is not in the folder",)


def test_plain_pixels_are_those_of_a_full_decoder(tmp_path: Path) -> None:
    """Read by position or decoded by GDAL: the same; strips, one byte a pixel, compression."""
    pixels = np.random.default_rng(2).integers(0, 65535, (40, 30)).astype(np.uint16)
    path = write.rededge(tmp_path, pixels, 2)
    plain = tiff_directory.run(path)
    assert plain is not None
    np.testing.assert_array_equal(plain.read(path, 7, 23), pixels[7:23])
    cube, _ = read(path)
    assert isinstance(cube.source, multispectral.CaptureSource)
    np.testing.assert_array_equal(cube.source.counts(0, 7, 23), pixels[7:23])
    np.testing.assert_array_equal(replace(cube.source, runs=()).counts(0, 7, 23), pixels[7:23])
    profile = {"driver": "GTiff", "height": 40, "width": 30, "count": 1, "dtype": "uint16"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, options, expected in (
            ("strips", {"blockysize": 7}, True),
            ("big", {"blockysize": 7, "ENDIANNESS": "BIG"}, True),
            ("packed", {"compress": "deflate"}, False),
            ("tiles", {"tiled": True, "blockxsize": 16, "blockysize": 16}, False),
        ):
            other = tmp_path / f"{name}.tif"
            with rasterio.open(other, "w", **profile, **options) as sink:
                sink.write(pixels, 1)
            found = tiff_directory.run(other)
            assert (found is not None) == expected, name
            if found is not None:
                np.testing.assert_array_equal(found.read(other, 0, 40), pixels)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ReadError, match="ends before its last row"):
        plain.read(path, 0, 40)


def test_rows_outside(tmp_path: Path) -> None:
    write.rededge(tmp_path, np.full((6, 6), 20000, dtype=np.uint16), 2)
    cube, _ = read(tmp_path / "IMG_0000_2.tif")
    with pytest.raises(ValueError, match="not within 0:6"):
        cube.source.read(0, 7)


def test_bands_without_structure_are_left_and_it_is_said(tmp_path: Path) -> None:
    for number in SHIFTS:
        write.rededge(tmp_path, np.full((64, 64), 20000, dtype=np.uint16), number)
    cube, report = read(tmp_path / "IMG_0000_1.tif")
    assert sum("no structure in common" in text for text in report.warnings) == 4
    assert cube.source.read(0, 64)[1].all()


class TestGrouping:
    def test_only_the_first_file_stands_for_a_capture(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        capture(tmp_path, "IMG_0001", rows=40, cols=40, capture="def")
        claimed = [
            each.name for each in sorted(tmp_path.iterdir()) if multispectral.sniff(each, read_head(each))
        ]
        assert claimed == ["IMG_0000_1.tif", "IMG_0001_1.tif"]
        assert not any(
            other.sniff(each, read_head(each)) for each in tmp_path.iterdir() for other in (geotiff, envi)
        )

    @pytest.mark.parametrize("stem", ["IMG_180413_080658_0000", "IMG_180413_080659_0001"])
    def test_the_first_file_of_a_sequoia_is_green(self, tmp_path: Path, stem: str) -> None:
        for band in ("RED", "NIR", "GRE", "REG"):
            write.sequoia(tmp_path, np.full((8, 8), 9000, dtype=np.uint16), band, stem=stem)
        claimed = [each.name for each in tmp_path.iterdir() if multispectral.sniff(each, read_head(each))]
        assert claimed == [f"{stem}_GRE.TIF"]

    def test_every_band_file_knows_who_stands_for_it(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        other = write.write(tmp_path / "dem.tif", np.ones((4, 4), np.uint16), make="x", model="y", xmp="")
        assert {captures.leader(each) for each in tmp_path.glob("IMG*")} == {tmp_path / "IMG_0000_1.tif"}
        assert captures.leader(other) is None

    def test_pictures_of_other_cameras_are_told_from_maps(self, tmp_path: Path) -> None:
        """A Sentera names its bands as MicaSense does; a map has GeoTIFF tags whatever camera it names."""
        pixels = np.ones((4, 4), np.uint16)
        body = '<rdf:Description xmlns:Camera="http://pix4d.com/camera/1.0" Camera:BandName="Blue"/>'
        other = write.write(tmp_path / "a.tif", pixels, make="Sentera", model="6X", xmp=write.packet(body))
        keys = {34735: ("short", [1, 1, 0, 1, 1025, 0, 1, 1])}
        dem = write.write(tmp_path / "dem.tif", pixels, make="x", model="y", xmp="", main=keys)
        plain = write.write(tmp_path / "plain.tif", pixels, make="", model="", xmp="")
        assert captures.stranger(other) == "Sentera 6X"
        assert [captures.stranger(each) for each in (dem, plain)] == [None, None]
        found = discover(tmp_path)
        assert found.tables["terrain"] == {"path": "dem.tif"}
        assert any("picture of Sentera 6X, a camera that is not known" in why for _, why in found.ignored)

    def test_a_missing_band_is_named(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        capture(tmp_path, "IMG_0001", rows=40, cols=40, capture="def")
        (tmp_path / "IMG_0001_3.tif").unlink()
        with pytest.raises(ReadError, match="lacks the band 3, which other captures of the folder have"):
            read(tmp_path / "IMG_0001_1.tif")
        assert read(tmp_path / "IMG_0000_1.tif")[0].shape == (40, 5, 40)

    def test_files_of_two_captures(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        write.rededge(tmp_path, np.full((40, 40), 9000, dtype=np.uint16), 3, capture="other")
        with pytest.raises(
            ReadError, match=r'IMG_0000_1\.tif is of capture "abc", IMG_0000_3\.tif of "other"'
        ):
            read(tmp_path / "IMG_0000_1.tif")

    def test_files_of_two_times(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        write.rededge(tmp_path, np.full((40, 40), 9000, dtype=np.uint16), 3, clock="2017:10:19 20:40:44")
        with pytest.raises(ReadError, match=r"taken 5\.0 s apart"):
            read(tmp_path / "IMG_0000_1.tif")

    def test_files_of_two_cameras(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        write.rededge(tmp_path, np.full((40, 40), 9000, dtype=np.uint16), 3, model="RedEdge-M")
        with pytest.raises(ReadError, match=r"of a MicaSense RedEdge, .* of a MicaSense RedEdge-M"):
            read(tmp_path / "IMG_0000_1.tif")

    def test_bands_of_two_sizes(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        write.rededge(tmp_path, np.full((40, 39), 9000, dtype=np.uint16), 3)
        with pytest.raises(ReadError, match=r"different sizes .*IMG_0000_3.tif 40 x 39"):
            read(tmp_path / "IMG_0000_1.tif")

    def test_a_band_twice(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        (tmp_path / "IMG_0000_6.tif").write_bytes((tmp_path / "IMG_0000_2.tif").read_bytes())
        with pytest.raises(ReadError, match="band green more than once"):
            read(tmp_path / "IMG_0000_1.tif")

    def test_renamed_files_are_grouped_by_id(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        for number, name in ((1, "east-blue.tif"), (2, "east-green.tif")):
            (tmp_path / f"IMG_0000_{number}.tif").rename(tmp_path / name)
        cube, report = read(tmp_path / "east-green.tif")
        assert cube.shape == (40, 2, 40)
        assert any("grouped by capture id alone" in text for text in report.assumptions)
        assert multispectral.sniff(tmp_path / "east-blue.tif", read_head(tmp_path / "east-blue.tif"))
        assert not multispectral.sniff(tmp_path / "east-green.tif", read_head(tmp_path / "east-green.tif"))

    def test_a_cut_band_is_named(self, tmp_path: Path) -> None:
        capture(tmp_path, rows=40, cols=40)
        path = tmp_path / "IMG_0000_3.tif"
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ReadError, match=r"IMG_0000_3\.tif"):
            read(tmp_path / "IMG_0000_1.tif")

    def test_dji_names(self, tmp_path: Path) -> None:
        scene = texture(80, 90).astype(np.uint16)
        for key, band in (("G", "Green"), ("R", "Red"), ("RE", "RedEdge"), ("NIR", "NIR")):
            write.dji(tmp_path, scene, f"DJI_20230309104757_0001_MS_{key}.TIF", band)
        cube, report = read(tmp_path / "DJI_20230309104757_0001_MS_R.TIF")
        assert cube.bands.center_nm.tolist() == [560.0, 650.0, 730.0, 860.0]
        assert report.details["attitude_deg"] == (10.5, -90.0, 0.0)
        other = tmp_path / "p4"
        other.mkdir()
        for number, band in ((1, "Blue"), (2, "Green"), (3, "Red"), (4, "RedEdge"), (5, "NIR")):
            write.dji(other, scene, f"DJI_001{number}.TIF", band, model="FC6360")
        assert read(other / "DJI_0013.TIF")[0].shape == (80, 5, 90)


class TestRegistration:
    def test_a_known_plane_motion_is_found(self) -> None:
        """A rotation, a scale and a shift, of opposite contrast, to a tenth of a pixel."""
        scene = texture(700, 800, seed=3)
        true = np.array([[1.002, -0.004, 12.3], [0.003, 0.998, -7.6], [0.0, 0.0, 1.0]])
        v, u = np.mgrid[0:500, 0:600].astype(float)
        # band(true @ (u, v)) = reference(u, v): so band(p) = scene at the inverse of p
        inverse = np.linalg.inv(true)
        x, y, _ = np.tensordot(inverse, np.stack([u, v, np.ones_like(u)]), axes=1)
        band = 46000.0 - ndimage.map_coordinates(scene, [y + 100.0, x + 100.0], order=3)
        found = band_registration.measure(scene[100:600, 100:700].astype(np.uint16), band.astype(np.uint16))
        corners = np.array([[0, 0, 1], [599, 0, 1], [0, 499, 1], [599, 499, 1]]).T
        error = np.hypot(*((found.matrix - true) @ corners)[:2])
        assert found.method == "phase"
        assert error.max() < 0.3
        assert found.residual_px < 0.2
        assert found.tiles >= 20

    def test_distortion_of_the_lens_is_taken_off(self) -> None:
        """Two lenses of opposite distortion: an affine fit leaves a residual, with the lenses it shrinks."""
        scene = texture(560, 700, seed=11)
        v, u = np.mgrid[0:500, 0:640].astype(float)
        lenses = [
            Lens("perspective", (900.0,) * 2, (320.0, 250.0), (k, 0.0, 0.0, 0.0, 0.0)) for k in (-0.1, 0.1)
        ]
        pictures = []
        for each, moved in zip(lenses, ((0.0, 0.0), (6.0, -9.0)), strict=True):
            x, y, _ = lens.directions(each, u, v)
            at = [y * 900.0 + 280.0 - moved[0], x * 900.0 + 350.0 - moved[1]]
            pictures.append(ndimage.map_coordinates(scene, at, order=3, mode="reflect").astype(np.uint16))
        plain = band_registration.measure(*pictures)
        found = band_registration.measure(*pictures, grid_lens=lenses[0], lens=lenses[1])
        assert plain.residual_px > 0.4
        assert found.residual_px < 0.6 * plain.residual_px
        # the corner of the reference's picture, traced by hand through both lenses
        x, y, _ = lens.directions(lenses[0], np.array([40.0]), np.array([30.0]))
        expected = lens.project(lenses[1], x - 9.0 / 900.0, y + 6.0 / 900.0, np.ones(1))
        v, u = found.place(30, 31, 41)
        assert np.hypot(u[0, 40] - expected[0], v[0, 40] - expected[1]) < 0.4

    def test_noise_is_not_matched(self) -> None:
        rng = np.random.default_rng(5)
        a, b = (rng.integers(5000, 50000, (400, 400)).astype(np.uint16) for _ in range(2))
        assert band_registration.measure(a, b).method == "none"
        a, b = (texture(400, 400, seed).astype(np.uint16) for seed in (1, 2))
        assert band_registration.measure(a, b).method == "none"

    def test_the_rig_turns_rays(self) -> None:
        """A camera turned by a about y sees the axis of the reference at f tan a from its center."""
        optics = Lens("perspective", (1000.0, 1000.0), (50.0, 40.0), (0.0,) * 5)
        frames = tuple(_frame(optics, rig) for rig in ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
        maps = band_registration.from_metadata(frames, 0)
        assert maps is not None
        v, u = maps[1].place(40, 41, 101)
        assert v[0, 50] == pytest.approx(40.0, abs=2e-3)
        assert u[0, 50] == pytest.approx(50.0 - 1000.0 * np.tan(np.radians(1.0)), abs=2e-3)

    def test_lenses_between_their_knots(self) -> None:
        """A RedEdge's lenses, followed at every pixel by hand."""
        a = Lens("perspective", (1449.4,) * 2, (627.6, 479.9), (-0.0968, 0.1404, 2.8e-4, 6.6e-4, -0.023))
        b = Lens("perspective", (1444.7,) * 2, (639.3, 488.0), (-0.1009, 0.1439, -6.2e-4, -2.7e-4, -0.0174))
        frames = (_frame(a, (0.0, 0.0, 0.0)), _frame(b, (0.2, -0.3, 0.1)))
        maps = band_registration.from_metadata(frames, 0)
        assert maps is not None
        got = np.stack(maps[1].place(905, 947, 1280))
        v, u = np.mgrid[905:947, 0:1280].astype(float)
        rays = np.tensordot(maps[1].matrix, np.stack(lens.directions(a, u, v)), axes=1)
        exact = np.stack(lens.project(b, *rays)[::-1])
        assert np.abs(got - exact).max() < 0.01
        np.testing.assert_array_equal(np.stack(maps[1].settled((960, 1280)).place(905, 947, 1280)), got)

    def test_a_matrix_of_the_camera_is_followed(self, tmp_path: Path) -> None:
        """The matrix takes a band's pixels to the shared plane: here 4 columns right and 3 rows up."""
        scene = texture(120, 130).astype(np.uint16)
        for key, band in (("G", "Green"), ("R", "Red"), ("RE", "RedEdge"), ("NIR", "NIR")):
            right, up = (4, 3) if key == "R" else (0, 0)
            extra = f'drone-dji:CalibratedHMatrix="1,0,{right},0,1,{-up},0,0,1"'
            picture = np.roll(scene, (up, -right), axis=(0, 1))
            write.dji(tmp_path, picture, f"A_MS_{key}.TIF", band, extra=extra)
        cube, report = read(tmp_path / "A_MS_G.TIF")
        values, _ = cube.source.read(20, 100)
        for band in range(4):
            np.testing.assert_allclose(values[:, band, 20:110], scene[20:100, 20:110], atol=1.0)
        assert {each["registration"] for each in report.details["bands"]} == {"homography"}  # type: ignore[attr-defined]

    def test_a_matrix_that_does_not_hold_is_not_followed(self, tmp_path: Path) -> None:
        scene = texture(220, 260).astype(np.uint16)
        for key, band in (("G", "Green"), ("R", "Red"), ("RE", "RedEdge"), ("NIR", "NIR")):
            extra = f'drone-dji:CalibratedHMatrix="1,0,{12 if key == "R" else 0},0,1,0,0,0,1"'
            write.dji(tmp_path, scene, f"A_MS_{key}.TIF", band, extra=extra)
        cube, report = read(tmp_path / "A_MS_G.TIF")
        assert any("12." in text and "measured instead" in text for text in report.warnings)
        values, _ = cube.source.read(20, 100)
        np.testing.assert_allclose(values[:, 1, 20:200], scene[20:100, 20:200], atol=600.0)


class TestLens:
    @pytest.mark.parametrize(
        "optics",
        [
            Lens("perspective", (1449.4, 1449.4), (627.6, 479.9), (-0.0968, 0.1404, 2.8e-4, 6.6e-4, -0.023)),
            Lens("fisheye", (1659.2, 1659.2), (649.9, 500.9), (0.0, 1.0, 0.0137, -0.1521)),
        ],
    )
    def test_there_and_back(self, optics: Lens) -> None:
        v, u = np.mgrid[0:960:60, 0:1280:80].astype(float)
        back = lens.project(optics, *lens.directions(optics, u, v))
        np.testing.assert_allclose(back[0], u, atol=1e-6)
        np.testing.assert_allclose(back[1], v, atol=1e-6)

    def test_brown_by_hand(self) -> None:
        """x = 0.1, y = 0.2, r2 = 0.05: radial 1 + 0.1 r2, tangential 2 p1 x y + p2 (r2 + 2 x2)."""
        optics = Lens("perspective", (1.0, 1.0), (0.0, 0.0), (0.1, 0.0, 0.01, 0.02, 0.0))
        u, v = lens.project(optics, np.array(0.1), np.array(0.2), np.array(1.0))
        assert float(u) == pytest.approx(0.1 * 1.005 + 2 * 0.01 * 0.02 + 0.02 * (0.05 + 0.02))
        assert float(v) == pytest.approx(0.2 * 1.005 + 0.01 * (0.05 + 0.08) + 2 * 0.02 * 0.02)

    def test_fisheye_by_hand(self) -> None:
        """45 degrees are half a quarter turn: rho = 0.5 + 0.25 p2 + 0.125 p3."""
        optics = Lens("fisheye", (1000.0, 1000.0), (0.0, 0.0), (0.0, 1.0, 0.02, -0.16))
        u, v = lens.project(optics, np.array(1.0), np.array(0.0), np.array(1.0))
        assert float(u) == pytest.approx(1000.0 * (0.5 + 0.005 - 0.02))
        assert float(v) == 0.0


def _frame(optics: Lens, rig: tuple[float, float, float]) -> BandFrame:
    return BandFrame(
        path="x",
        band="b",
        index=0,
        shape=(81, 101),
        center_nm=560.0,
        fwhm_nm=20.0,
        exposure_s=1e-3,
        gain=1.0,
        black_level=0.0,
        saturation_dn=65520.0,
        lens=optics,
        rig_deg=rig,
    )


class TestRealFiles:
    def test_every_file_has_one_reader_at_most(self, shared_data: Path) -> None:
        mine = []
        for path in sorted((shared_data / "spectral").rglob("*")):
            if path.is_file() and path.stat().st_size:
                head = read_head(path)
                claims = [each for each in (multispectral, geotiff, envi) if each.sniff(path, head)]
                assert len(claims) <= 1, path
                if claims == [multispectral]:
                    mine.append(path.name)
        assert mine == ["IMG_0000_1.tif", "IMG_0001_1.tif", "IMG_180413_080658_0000_NIR.TIF"]

    def test_bands_of_a_flight_capture_coincide(self, shared_data: Path) -> None:
        cube, report = read(shared_data / "spectral/msi/rededge_0000SET/IMG_0001_2.tif")
        residuals = [each["residual_px"] for each in report.details["bands"]]  # type: ignore[attr-defined]
        assert max(each for each in residuals if each is not None) < 0.5
        assert cube.shape == (960, 5, 1280)
        values, valid = cube.source.read(300, 600)
        assert valid.mean() > 0.9
        # measured independently of tiles: the whole picture, band by band, against green
        for band in (0, 2, 3, 4):
            apart = band_registration.offset(values[:, 1, 40:-40], values[:, band, 40:-40])
            assert apart < 1.0

    def test_a_scene_on_a_desk_is_told(self, shared_data: Path) -> None:
        """The Sequoia's sample shows a plant half a meter away: no rig geometry holds there."""
        path = shared_data / "spectral/msi/sequoia/IMG_180413_080658_0000_NIR.TIF"
        _, report = read(path)
        assert "band GRE, REG of this camera is not in the folder" in report.warnings
        assert any("measured instead" in text for text in report.warnings)
        assert any("close to the camera, or little" in text for text in report.warnings)
