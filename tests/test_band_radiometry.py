"""Radiometric models of multispectral cameras: worked numbers, equations pixel by pixel, real files."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate import dji_ms, downwelling, frames, light_sensor, micasense, sequoia, vignetting
from dronesense.errors import CalibrationError
from dronesense.model import CubeInput, Flight, Panel, Signature, SpectralCube
from dronesense.model.capture import CaptureCube, PixelFlag
from dronesense.pipeline.account import Account
from dronesense.pipeline.radiometry import calibrated
from dronesense.readers import multispectral

sys.path.insert(0, str(Path(__file__).parent))
import band_tiff_writer as write

M3M = {"camera": "dji-m3m", "black_level": 3200.0, "gain": 1.044, "exposure_s": 1e-3}
P4M = {"camera": "dji-p4m", "black_level": 4096.0, "gain": 1.0, "exposure_s": 1e-3}

EXPECTED = {
    "Blue": ([(809, 613), (648, 615), (646, 454), (808, 452)], 0.67, 0.170284, 0.7985),
    "Green": ([(772, 623), (613, 625), (610, 464), (770, 462)], 0.69, 0.179400, 0.8168),
    "Red": ([(771, 651), (611, 653), (610, 492), (770, 490)], 0.68, 0.162217, 0.7494),
    "NIR": ([(829, 658), (668, 659), (668, 496), (829, 496)], 0.61, 0.106470, 0.5483),
    "Red edge": ([(807, 632), (648, 634), (645, 473), (805, 471)], 0.67, 0.130811, 0.6134),
}
"""Band -> corners of the panel, its reflectance; radiance and irradiance that MicaSense's tests expect."""


def open_cube(path: Path) -> SpectralCube:
    return multispectral.read(path, label=path.name, name="cube")[0]


def source(cube: SpectralCube) -> CaptureCube:
    assert isinstance(cube.source, CaptureCube)
    return cube.source


@pytest.fixture(scope="module")
def rededge(shared_data: Path) -> SpectralCube:
    """Return the capture of the panel."""
    return open_cube(shared_data / "spectral/msi/rededge_0000SET/IMG_0000_1.tif")


class TestMicaSense:
    def test_pixel_by_pixel(self) -> None:
        """The model of the maker, in plain Python, at a few pixels of a middle block."""
        rng = np.random.default_rng(2)
        counts = rng.integers(3000, 65520, (5, 7)).astype(np.uint16)
        counts[0, 0] = 3000
        a, k, center = (1.4e-4, 1.2e-7, 1.4e-6), (-3e-3, 1e-5, -2e-7, 1e-9, -1e-12, 7e-16), (4.5, 30.2)
        got = micasense.radiance(
            counts,
            coefficients=a,
            exposure_s=4.7e-4,
            gain=2.0,
            black_level=4800.0,
            vignetting_center=center,
            vignetting_polynomial=k,
            first_row=28,
        )
        for row, col in ((0, 0), (4, 6), (2, 3)):
            y = 28 + row
            r = math.hypot(col - center[0], y - center[1])
            v = 1.0 / (1.0 + sum(each * r ** (power + 1) for power, each in enumerate(k)))
            rows = 1.0 / (1.0 + a[1] * y / 4.7e-4 - a[2] * y)
            expected = v * rows * (int(counts[row, col]) - 4800.0) / (2.0 * 4.7e-4) * a[0] / 65536.0
            assert got[row, col] == pytest.approx(expected, rel=1e-12)
        assert (got[counts < 4800] < 0.0).all()

    def test_radiance_planted_in_small_files_comes_back(self, tmp_path: Path) -> None:
        """A flat radiance, darkened by the lens and the rows, written as counts: flat again."""
        k, center, a = (1e-4, -2e-5, 0.0, 0.0, 0.0, 0.0), (30.0, 20.0), (1.5e-4, 1.1e-7, 1.4e-6)
        y, x = np.mgrid[0:48, 0:60].astype(float)
        r = np.hypot(x - center[0], y - center[1])
        t = 4.725e-4
        shape = (1.0 + k[0] * r + k[1] * r**2) * (1.0 + a[1] * y / t - a[2] * y)
        pixels = 4800.0 + 0.1 * shape * t * 65536.0 / a[0]
        write.rededge(
            tmp_path, np.rint(pixels).astype(np.uint16), 2, radiometry=a, vignetting=k, center=center
        )
        cube = frames.radiance(open_cube(tmp_path / "IMG_0000_2.tif"))
        values, valid = cube.source.read(10, 40)
        assert cube.quantity == "radiance"
        assert valid.all()
        np.testing.assert_allclose(values, 0.1, rtol=5e-5)
        assert "W m-2 sr-1 nm-1" in cube.history[-1]

    def test_panel_radiance_of_real_files(self, rededge: SpectralCube) -> None:
        """All five bands to 3e-4, the irradiance to the four decimals that are published."""
        bands = [frame.band for frame in source(rededge).capture.frames]
        light, regions = frames.panel_light(
            rededge,
            reflectance=[EXPECTED[band][1] for band in bands],
            corners=[EXPECTED[band][0] for band in bands],
        )
        for place, band in enumerate(bands):
            _, _, radiance, irradiance = EXPECTED[band]
            assert regions[place].mean == pytest.approx(radiance, rel=3e-4)
            assert light.irradiance[place] == pytest.approx(irradiance, abs=2e-4)
            assert 0.01 < light.sigma[place] / light.irradiance[place] < 0.03

    def test_the_window_of_the_tutorial(self, rededge: SpectralCube) -> None:
        """NIR rows 490 to 670, columns 660 to 840: published mean 0.107, factor 5.727 for 0.61."""
        nir = [frame.band for frame in source(rededge).capture.frames].index("NIR")
        _, regions = frames.panel_light(rededge, reflectance=0.61, rows=(490, 670), samples=(660, 840))
        assert regions[nir].mean == pytest.approx(0.107, abs=5e-4)
        assert 0.61 / regions[nir].mean == pytest.approx(5.727, abs=5e-4)

    def test_the_panel_is_found_where_it_is(self, rededge: SpectralCube) -> None:
        bands = [frame.band for frame in source(rededge).capture.frames]
        _, regions = frames.panel_light(rededge, reflectance=0.67)
        for band, region in zip(bands, regions, strict=True):
            assert region.mean == pytest.approx(EXPECTED[band][2], rel=2e-3)
            middle = np.mean(EXPECTED[band][0], axis=0)
            assert np.abs(np.mean(region.corners, axis=0) - middle).max() < 10.0

    def test_the_light_sensor_of_real_files(self, rededge: SpectralCube) -> None:
        """Tilt-corrected blue 1.0101 by MicaSense's tests; panel and sensor disagree, and that is said."""
        sensor, notes = light_sensor.irradiance(source(rededge).capture)
        assert sensor[0] == pytest.approx(1.0101, abs=1e-4)
        assert any("DLS 1" in note for note in notes)
        assert any("clear sky only" in note for note in notes)
        bands = [frame.band for frame in source(rededge).capture.frames]
        light, _ = frames.panel_light(rededge, reflectance=[EXPECTED[band][1] for band in bands])
        result = frames.reflectance(rededge, [light], sensor=sensor)
        assert result.disagreement is not None
        assert 0.7 < result.disagreement.ratio.min() < 0.9
        assert result.disagreement.ratio.max() > 1.1
        assert any("panel against light sensor: -" in note for note in result.notes)

    def test_reflectance_of_the_panel_is_its_own(self, rededge: SpectralCube) -> None:
        bands = [frame.band for frame in source(rededge).capture.frames]
        rho = np.array([EXPECTED[band][1] for band in bands])
        light, _ = frames.panel_light(rededge, reflectance=rho, corners=[EXPECTED[band][0] for band in bands])
        values, valid = frames.reflectance(rededge, [light]).cube.source.read(500, 600)
        # all bands on the grid of green, whose panel spans columns 612 to 771
        face = values[:, :, 640:740]
        assert valid[:, 640:740].all()
        np.testing.assert_allclose(face.mean(axis=(0, 2)), rho, rtol=0.01)


class TestSequoia:
    def test_vignetting_by_hand(self) -> None:
        """V = 1 - 0.5 x/W - 0.25 y/H of a picture of 4 x 8, its last two rows."""
        got = sequoia.vignetting(
            (2, 8), size=(4, 8), powers=(0, 0, 1, 0, 0, 1), coefficients=(1.0, -0.5, -0.25), first_row=2
        )
        expected = [[1.0 - 0.5 * x / 8 - 0.25 * y / 4 for x in range(8)] for y in (2, 3)]
        np.testing.assert_allclose(got, expected, atol=1e-15)

    def test_the_fall_off_divides_before_black_is_taken_off(self) -> None:
        got = sequoia.intensity(
            np.array([[20000]]),
            np.array([[0.8]]),
            model=(271665.8, 5008.3, 2581.1),
            exposure_s=0.003,
            iso=621.0,
            f_number=2.2,
        )
        assert got.item() == pytest.approx(2.2**2 * (25000.0 - 5008.3) / (271665.8 * 0.003 * 621.0 + 2581.1))

    def test_no_reading_of_the_sun_is_no_number(self) -> None:
        assert np.isnan(sequoia.sun_irradiance([5.0], [0.0], [100.0])).all()

    def test_small_files(self, tmp_path: Path) -> None:
        """A flat scene under the fall-off of the file is flat; below the sensor's B it is negative, not 0."""
        y, x = np.mgrid[0:32, 0:40].astype(float)
        fall_off = 1.0 - 0.5 * x / 40 - 0.25 * y / 32
        pixels = np.rint(30000.0 * fall_off)
        pixels[5, 6] = 100
        write.sequoia(tmp_path, pixels.astype(np.uint16), "NIR")
        cube = open_cube(tmp_path / "IMG_180413_080658_0000_NIR.TIF")
        converted = frames.radiance(cube)
        values, valid = converted.source.read(0, 32)
        expected = 2.2**2 * (30000.0 - 5008.3) / (271665.8 * 0.003 * 621.0 + 2581.1)
        others = np.ones((32, 40), dtype=bool)
        others[5, 6] = False
        np.testing.assert_allclose(values[:, 0][others], expected, rtol=1e-4)
        assert values[5, 0, 6] < 0.0
        assert valid.all()
        assert source(converted).flags(0, 32)[5, 0, 6] == PixelFlag.BELOW_DARK
        assert "relative units" in converted.history[-1]

    def test_real_files(self, shared_data: Path) -> None:
        """Mean and percentiles as published for the two bands; sun irradiance 0.14 in all ten records."""
        cube = open_cube(shared_data / "spectral/msi/sequoia/IMG_180413_080658_0000_NIR.TIF")
        capture = source(cube).capture
        published = {
            "NIR": (0.17587, (0.01928, 0.17615, 0.60212), 0.14),
            "Red": (0.31806, (0.03246, 0.21403, 0.97537), 0.28),
        }
        for band, frame in enumerate(capture.frames):
            mean, percentiles, sun = published[frame.band]
            values, _ = frames.band_radiance(capture, band, source(cube).counts(band))
            assert values.mean() == pytest.approx(mean, abs=1e-5)
            assert np.percentile(values, (1, 50, 99)) == pytest.approx(percentiles, abs=1e-5)
            known = frame.parameters
            irradiance = sequoia.sun_irradiance(known["SunCount"], known["SunGain"], known["SunExposure"])
            assert irradiance.size == 10
            assert irradiance == pytest.approx(sun, abs=1e-12)


class TestDji:
    """Arithmetic on the example values of DJI's guides: there is no real file to test with."""

    def test_mavic_3m(self) -> None:
        signal = dji_ms.camera_signal(np.array([[20000]], dtype=np.uint16), **M3M)  # type: ignore[arg-type]
        assert signal.item() == pytest.approx(245.5437, abs=5e-5)
        reflectance = dji_ms.reflectance_signal(signal, gain_adjustment=1.002, irradiance=2000.0)
        assert reflectance.item() == pytest.approx(0.123017, abs=5e-7)

    def test_p4_multispectral_divides_by_65535(self) -> None:
        signal = dji_ms.camera_signal(np.array([[20000]], dtype=np.uint16), **P4M)  # type: ignore[arg-type]
        assert signal.item() == pytest.approx(242.6795, abs=5e-5)
        reflectance = dji_ms.reflectance_signal(signal, gain_adjustment=1.002, irradiance=2000.0)
        assert reflectance.item() == pytest.approx(0.121582, abs=5e-7)

    @pytest.mark.parametrize(
        ("r", "factor"), [(400.0, 1.19231), (800.0, 1.59144), (math.hypot(800.0, 650.0), 2.00031)]
    )
    def test_vignetting_of_the_p4m_guide(self, r: float, factor: float) -> None:
        got = vignetting.radial((1, 1), center=(r, 0.0), coefficients=write.P4M_VIGNETTING)
        assert got.item() == pytest.approx(factor, abs=5e-6)

    def test_it_multiplies_here_and_divides_there(self) -> None:
        """The same six numbers: DJI's picture gets brighter towards the corners, MicaSense's darker."""
        counts = np.full((1, 401), 20000, dtype=np.uint16)
        k = write.P4M_VIGNETTING
        plain = dji_ms.camera_signal(counts, **M3M)  # type: ignore[arg-type]
        dji = dji_ms.camera_signal(
            counts,
            vignetting_center=(0.0, 0.0),
            vignetting_data=k,
            **M3M,  # type: ignore[arg-type]
        )
        flat = {"coefficients": (1.0, 0.0, 0.0), "exposure_s": 1.0, "gain": 1.0, "black_level": 0.0}
        mica = micasense.radiance(counts, vignetting_center=(0.0, 0.0), vignetting_polynomial=k, **flat)  # type: ignore[arg-type]
        assert (dji / plain)[0, 400] == pytest.approx(1.19231, abs=5e-6)
        assert mica[0, 400] / mica[0, 0] == pytest.approx(1.0 / 1.19231, abs=5e-6)

    def test_small_files(self, tmp_path: Path) -> None:
        """The written guide's count through a file: at the center as published, at r = 30 with its factor."""
        pixels = np.full((40, 50), 20000, dtype=np.uint16)
        write.dji(tmp_path, pixels, "A_MS_NIR.TIF", "NIR")
        cube = frames.radiance(open_cube(tmp_path / "A_MS_NIR.TIF"))
        values, _ = cube.source.read(0, 40)
        assert values[0, 0, 0] == pytest.approx(245.5437, rel=1e-6)
        factor = 1.0 + sum(k * 30.0 ** (power + 1) for power, k in enumerate(write.P4M_VIGNETTING))
        assert values[18, 0, 24] / values[0, 0, 0] == pytest.approx(factor, rel=1e-6)  # 18, 24, 30


@pytest.mark.parametrize("maker", ["rededge", "sequoia", "dji"])
def test_rows_of_a_block_are_those_of_the_whole(tmp_path: Path, maker: str) -> None:
    """Vignetting and row gradients count from the first row of the picture, not of the block."""
    pixels = np.random.default_rng(3).integers(3000, 65000, (40, 30)).astype(np.uint16)
    path = {
        "rededge": lambda: write.rededge(tmp_path, pixels, 2, vignetting=(1e-3,) * 2 + (0.0,) * 4),
        "sequoia": lambda: write.sequoia(tmp_path, pixels, "NIR"),
        "dji": lambda: write.dji(tmp_path, pixels, "A_MS_NIR.TIF", "NIR"),
    }[maker]()
    converted = frames.radiance(open_cube(path))
    whole, valid = converted.source.read(0, 40)
    flags = source(converted).flags(0, 40)
    for start in (0, 7, 33):
        np.testing.assert_allclose(
            converted.source.read(start, start + 7)[0], whole[start : start + 7], rtol=1e-6
        )
    assert ((flags & PixelFlag.BELOW_DARK != 0) == (whole < 0.0)).all()
    assert (whole < 0.0).any()
    assert valid.mean() > 0.9


class TestReflectance:
    """A panel of 0.5 in one capture, a scene of known reflectance in the next, the light falling between."""

    @pytest.fixture
    def card(self, tmp_path: Path) -> Path:
        for stem, clock, light in (
            ("IMG_0000", "2024:06:01 10:00:00", 1.0),
            ("IMG_0001", "2024:06:01 10:10:00", 0.9),
            ("IMG_0002", "2024:06:01 10:20:00", 0.8),
        ):
            panel = stem != "IMG_0001"
            for number in (1, 2):
                rho = np.full((60, 60), 0.1)
                rho[20:40, 20:40] = 0.5 if panel else 0.25
                if not panel:
                    rho[5, 5] = 1.2
                    rho[6, 6] = -0.01
                counts = 4800.0 + 40000.0 * light * rho
                write.rededge(
                    tmp_path,
                    np.rint(counts).astype(np.uint16),
                    number,
                    stem=stem,
                    capture=stem,
                    clock=clock,
                    radiometry=(1.5e-4, 0.0, 0.0),
                )
        return tmp_path

    def light(self, card: Path, stem: str):
        return frames.panel_light(
            open_cube(card / f"{stem}_1.tif"), reflectance=[0.5, 0.5], rows=(22, 38), samples=(22, 38)
        )[0]

    def test_between_two_panels(self, card: Path) -> None:
        lights = [self.light(card, "IMG_0002"), self.light(card, "IMG_0000")]
        result = frames.reflectance(open_cube(card / "IMG_0001_1.tif"), lights)
        values, _ = result.cube.source.read(0, 60)
        assert result.cube.quantity == "reflectance"
        np.testing.assert_allclose(values[25:35, 0, 25:35], 0.25, rtol=1e-3)
        np.testing.assert_allclose(values[50:, 1, 50:], 0.1, rtol=1e-3)
        # the change of 22 % of 0.9, halved, is what the middle does not know
        np.testing.assert_allclose(result.sigma_relative, 0.1 / 0.9, rtol=0.01)
        assert any("changed by -20.0 % to -20.0 %" in note for note in result.notes)

    def test_nothing_is_clipped(self, card: Path) -> None:
        lights = [self.light(card, "IMG_0000"), self.light(card, "IMG_0002")]
        cube = frames.reflectance(open_cube(card / "IMG_0001_1.tif"), lights).cube
        values, valid = cube.source.read(0, 60)
        flags = source(cube).flags(0, 60)
        # of green, which the other bands are brought to: there is nothing between pixels
        assert values[5, 1, 5] == pytest.approx(1.2, rel=1e-3)
        assert values[6, 1, 6] == pytest.approx(-0.01, rel=0.02)
        assert flags[5, 1, 5] == PixelFlag.ABOVE_ONE
        assert flags[6, 1, 6] == PixelFlag.BELOW_DARK
        assert valid[5, 5]
        assert valid[6, 6]

    def test_one_panel_says_how_far_away_it_is(self, card: Path) -> None:
        result = frames.reflectance(open_cube(card / "IMG_0001_1.tif"), [self.light(card, "IMG_0000")])
        assert any("10.0 min before it" in note for note in result.notes)

    def test_panels_of_a_flight_in_one_call(self, card: Path) -> None:
        """What the pipeline calls: panels with a measured spectrum, no light sensor."""
        wavelength = np.array([400.0, 900.0])
        spectrum = Signature("felt", wavelength, np.array([0.5, 0.5]), np.array([0.01, 0.01]), "reflectance")
        captures = [
            Panel(open_cube(card / f"{stem}_1.tif"), spectrum, (22, 38), (22, 38))
            for stem in ("IMG_0000", "IMG_0002")
        ]
        result = frames.calibrate(open_cube(card / "IMG_0001_1.tif"), captures)
        values, _ = result.cube.source.read(0, 60)
        np.testing.assert_allclose(values[25:35, 1, 25:35], 0.25, rtol=1e-3)
        # 2 % of the panels' 0.5, shared by two, and half of the change of 22 %
        expected = np.hypot(0.1 / 0.9, 0.02 * np.hypot(0.5 * 1.0, 0.5 * 0.8) / 0.9)
        np.testing.assert_allclose(result.sigma_relative, expected, rtol=0.01)
        assert any("light sensor not compared" in note for note in result.notes)
        assert result.cube.history[-1].startswith("light sensor not compared")
        account = Account(Flight("flight", card, None))
        given = CubeInput(captures[0].cube, None, panels=tuple(captures))
        cube = calibrated(given, "reflectance", account)
        assert (cube.quantity, cube.relative_sigma is not None) == ("reflectance", True)
        assert account.statements("EPSG:32633", [])["radiometry"][0]["quantity"] == "reflectance"  # type: ignore[index]
        assert calibrated(given, "radiance", account).quantity == "radiance"

    def test_a_panel_that_is_not_known_in_a_band(self, card: Path) -> None:
        short = Signature(
            "felt", np.array([400.0, 520.0]), np.array([0.5, 0.5]), np.full(2, np.nan), "reflectance"
        )
        captures = [Panel(open_cube(card / "IMG_0000_1.tif"), short, (22, 38), (22, 38))]
        result = frames.calibrate(open_cube(card / "IMG_0001_1.tif"), captures)
        assert result.cube.bands.good.tolist() == [True, False]
        values, valid = result.cube.source.read(10, 50)
        assert valid[:, 10:50].all()  # a band without a panel does not take the others along
        assert np.isnan(values[:, 1]).all()
        assert any("not stated: taken as 0" in note for note in result.notes)

    def test_a_saturated_panel_is_refused(self, tmp_path: Path) -> None:
        pixels = np.full((40, 40), 9000, dtype=np.uint16)
        pixels[10:30, 10:30] = 65520
        write.rededge(tmp_path, pixels, 1)
        with pytest.raises(CalibrationError, match=r"saturated in 100\.0% of its region"):
            frames.panel_light(
                open_cube(tmp_path / "IMG_0000_1.tif"), reflectance=0.5, rows=(12, 28), samples=(12, 28)
            )

    def test_refusals(self, card: Path) -> None:
        cube = open_cube(card / "IMG_0001_1.tif")
        with pytest.raises(CalibrationError, match="no panel capture"):
            frames.reflectance(cube, [])
        with pytest.raises(CalibrationError, match="reflectance of the panel is not known"):
            frames.panel_light(cube)
        with pytest.raises(CalibrationError, match="already in radiance"):
            frames.radiance(frames.radiance(cube))
        with pytest.raises(CalibrationError, match="outside the image"):
            frames.panel_light(cube, reflectance=0.5, rows=(100, 120), samples=(0, 10))
        with pytest.raises(CalibrationError, match="no light sensor"):
            light_sensor.irradiance(source(cube).capture)

    def test_what_the_camera_knows_of_its_panel(self, tmp_path: Path) -> None:
        pixels = np.full((40, 40), 9000, dtype=np.uint16)
        pixels[10:30, 10:30] = 29000
        corners = "<Camera:ReflectArea>12,12,27,12,27,27,12,27</Camera:ReflectArea>"
        extra = f"{corners}<Camera:Albedo>0.5</Camera:Albedo>"
        write.rededge(tmp_path, pixels, 1, extra=extra)
        light, regions = frames.panel_light(open_cube(tmp_path / "IMG_0000_1.tif"))
        assert regions[0].corners == ((12.0, 12.0), (27.0, 12.0), (27.0, 27.0), (12.0, 27.0))
        assert light.irradiance[0] == pytest.approx(math.pi * regions[0].mean / 0.5)

    def test_direct_over_diffuse_is_fitted_over_captures(self, tmp_path: Path) -> None:
        """A DLS 1 on a turning aircraft under 3 to 1: the fit finds it, and the ground's light with it."""
        pixels = np.full((40, 40), 9000, dtype=np.uint16)
        sun = downwelling.sun_direction(
            -(119 + 26 / 60 + 6.968 / 3600), 36.57609600, 1_508_445_639_000_000_000
        )
        captures = []
        for place, (yaw, pitch) in enumerate([(0.0, 0.3), (1.5, 0.2), (3.0, 0.3), (4.5, 0.25), (2.0, 0.0)]):
            angle = downwelling.sun_sensor_angle(sun, yaw, pitch, 0.0)
            reading = float(downwelling.transmission(angle) * (0.9 * np.cos(angle) + 0.3))
            extra = (
                f"<DLS:SpectralIrradiance>{reading}</DLS:SpectralIrradiance>"
                f"<DLS:Yaw>{yaw}</DLS:Yaw><DLS:Pitch>{pitch}</DLS:Pitch><DLS:Roll>0</DLS:Roll>"
            )
            stem = f"IMG_000{place}"
            path = write.rededge(tmp_path, pixels, 1, stem=stem, capture=stem, extra=extra, subsecond="0")
            captures.append(source(open_cube(path)).capture)
        ratios, notes = light_sensor.fitted_ratios(captures)
        assert ratios == pytest.approx([3.0], rel=1e-4)
        assert any("3.0" in note for note in notes)
        ground = 0.9 * -sun[2] + 0.3
        for capture in captures:
            values, said = light_sensor.irradiance(capture, ratio=ratios)
            assert values[0] == pytest.approx(ground, rel=1e-4)
            assert not any("clear sky" in note for note in said)
        with pytest.raises(CalibrationError, match="too few"):
            light_sensor.fitted_ratios(captures[:2])

    def test_dls_2_states_its_own_unit(self, tmp_path: Path) -> None:
        pixels = np.full((40, 40), 9000, dtype=np.uint16)
        extra = (
            "<DLS:HorizontalIrradiance>101.0</DLS:HorizontalIrradiance>"
            "<DLS:SpectralIrradiance>90.0</DLS:SpectralIrradiance>"
        )
        write.rededge(tmp_path, pixels, 1, extra=extra)
        values, notes = light_sensor.irradiance(source(open_cube(tmp_path / "IMG_0000_1.tif")).capture)
        assert values.tolist() == [1.01]
        assert any("DLS 2" in note for note in notes)
        assert any("as the camera computed it" in note for note in notes)

    def test_dls_2_that_sums_its_parts_wrongly(self, tmp_path: Path) -> None:
        """Direct 100 by the sine of the sun (0.659 at that place and time, as published) and scattered 20."""
        extra = (
            "<DLS:HorizontalIrradiance>120.0</DLS:HorizontalIrradiance>"
            "<DLS:DirectIrradiance>100.0</DLS:DirectIrradiance>"
            "<DLS:ScatteredIrradiance>20.0</DLS:ScatteredIrradiance>"
        )
        write.rededge(tmp_path, np.full((40, 40), 9000, dtype=np.uint16), 1, extra=extra)
        values, notes = light_sensor.irradiance(source(open_cube(tmp_path / "IMG_0000_1.tif")).capture)
        assert values[0] == pytest.approx(0.859, abs=1e-3)
        assert any("+40 % off its parts" in note for note in notes)
