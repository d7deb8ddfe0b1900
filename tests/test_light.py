"""Panels, light sensors and the empirical line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.calibrate import downwelling, empirical_line, panel
from dronesense.errors import CalibrationError
from dronesense.model import Bands, SpectralCube
from dronesense.model.capture import PixelFlag

MINUTE = 60_000_000_000


class TestPanelRegion:
    def test_pixels_of_a_square(self) -> None:
        """Corners at pixel centers belong to it: 3 x 4 of them."""
        found = panel.inside((8, 9), [(2, 1), (5, 1), (5, 3), (2, 3)])
        assert found.sum() == 12
        assert found[1:4, 2:6].all()
        assert np.array_equal(found, panel.inside((8, 9), [(2, 3), (5, 3), (5, 1), (2, 1)]))

    def test_a_turned_square_against_brute_force(self) -> None:
        corners = np.array([(10.3, 4.1), (17.2, 9.8), (11.5, 16.7), (4.6, 11.0)])
        found = panel.inside((22, 24), corners)
        middle = corners.mean(axis=0)
        for y in range(22):
            for x in range(24):
                sides = []
                for i in range(4):
                    (ax, ay), (bx, by) = corners[i], corners[(i + 1) % 4]
                    cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                    inner = (bx - ax) * (middle[1] - ay) - (by - ay) * (middle[0] - ax)
                    sides.append(cross * inner >= 0)
                assert found[y, x] == all(sides)

    def test_corners_out_of_order(self) -> None:
        with pytest.raises(ValueError, match="without dents"):
            panel.inside((8, 8), [(1, 1), (5, 5), (5, 1), (1, 5)])
        with pytest.raises(ValueError, match="at least 3"):
            panel.inside((8, 8), [(1, 1), (5, 5)])

    @pytest.mark.parametrize("angle", [0.0, 12.0, 45.0, 77.0])
    def test_a_planted_panel_is_found(self, angle: float) -> None:
        image, true = scene(angle)
        found = panel.find(image)
        assert np.abs(np.mean(found.corners, axis=0) - true).max() < 1.5
        assert found.mean == pytest.approx(0.6, rel=5e-3)
        assert found.spread < 0.02
        assert found.squareness > 0.85

    def test_bright_things_that_are_no_panel(self) -> None:
        """A bright disc, a bright bar, a square of checks: each is refused."""
        y, x = np.mgrid[0:200, 0:240]
        disc = np.where(np.hypot(y - 100, x - 120) < 25, 0.6, 0.1)
        bar = np.where((np.abs(y - 100) < 8) & (np.abs(x - 120) < 40), 0.6, 0.1)
        checks = np.where((np.abs(y - 100) < 25) & (np.abs(x - 120) < 25), 0.4 + 0.2 * ((x + y) % 2), 0.1)
        for image in (disc, bar, checks):
            with pytest.raises(CalibrationError, match="no reflectance panel was found"):
                panel.find(image)

    def test_no_pixel_at_all(self) -> None:
        with pytest.raises(CalibrationError, match="no pixel"):
            panel.find(np.full((4, 4), np.nan))


def scene(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a panel of side 60 in dark ground with a striped label beside it and a glint, and its center."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:260, 0:320].astype(float)
    center = np.array([170.0, 120.0])
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    a = (x - center[0]) * c + (y - center[1]) * s
    b = (y - center[1]) * c - (x - center[0]) * s
    image = 0.08 + 0.03 * rng.random(x.shape)
    image[(np.abs(a) < 30) & (np.abs(b) < 30)] = 0.6
    label = (np.abs(a + 70) < 22) & (np.abs(b) < 22)
    image[label] = np.where(((x + y) // 3 % 2 == 0)[label], 0.7, 0.05)
    image[30:33, 40:43] = 2.0
    return image + 0.005 * rng.standard_normal(x.shape), center


class TestPanelLight:
    def test_by_hand(self) -> None:
        """L = 0.1, rho = 0.5: E = 0.2 pi; 3 % of face and 4 % of rho make 5 %."""
        light = panel.light(
            0, [0.1, 0.1, 0.0], spread=[0.03, 0.0, 0.0], reflectance=0.5, sigma_reflectance=0.02
        )
        np.testing.assert_allclose(light.irradiance[:2], 0.2 * np.pi)
        np.testing.assert_allclose(light.sigma[:2], [0.01 * np.pi, 0.008 * np.pi])
        assert np.isnan(light.irradiance[2])

    def test_a_line_in_time(self) -> None:
        first = panel.PanelLight(0, np.array([1.0, 2.0]), np.array([0.03, 0.0]))
        last = panel.PanelLight(10 * MINUTE, np.array([0.6, 2.0]), np.array([0.04, 0.0]))
        now, note = panel.at(5 * MINUTE, [last, first])
        np.testing.assert_allclose(now.irradiance, [0.8, 2.0])
        np.testing.assert_allclose(now.sigma, [np.sqrt(0.015**2 + 0.02**2 + 0.2**2), 0.0])
        assert "-40.0 % to +0.0 %" in note
        at_first, _ = panel.at(0, [first, last])
        np.testing.assert_allclose(at_first.sigma, first.sigma)

    def test_outside_of_all_panels(self) -> None:
        only = panel.PanelLight(0, np.array([1.0]), np.array([0.03]))
        now, note = panel.at(-3 * MINUTE, [only])
        assert now.irradiance.tolist() == [1.0]
        assert "3.0 min after it" in note
        with pytest.raises(CalibrationError, match="no panel capture"):
            panel.at(0, [])


class TestLightSensor:
    def test_units(self) -> None:
        assert downwelling.to_si({"SpectralIrradiance": 1.0})[0] == 1.0
        assert downwelling.to_si({"HorizontalIrradiance": 90.0})[0] == 0.01
        assert downwelling.to_si({"HorizontalIrradiance": 0.9, "IrradianceScaleToSIUnits": 1.0})[0] == 1.0

    def test_cover(self) -> None:
        """Upstream's truths: 0.9416 straight on, 0.901 at 1 radian; nothing from behind."""
        got = downwelling.transmission([0.0, 1.0, 2.0])
        assert got[:2] == pytest.approx([0.9416, 0.901], abs=1e-4)
        assert np.isnan(got[2])

    def test_the_sun_over_a_vineyard(self) -> None:
        """MicaSense's truth for IMG_0000_1.tif: (-0.711, -0.247, -0.659) north, east, down; 0.6754 rad."""
        sun = downwelling.sun_direction(-119.4352689, 36.576096, 1_508_445_639_200_173_789)
        assert sun == pytest.approx((-0.711, -0.247, -0.659), abs=6e-4)
        angle = downwelling.sun_sensor_angle(sun, -3.0702229923, -0.1881283985, -0.0133878293)
        assert float(angle) == pytest.approx(0.6754, abs=5e-4)

    def test_the_sun_at_an_equinox(self) -> None:
        """2024-03-20T03:06 UTC is the equinox; at noon of that day on the equator it stands overhead."""
        noon = 1_710_936_000 * 1_000_000_000  # 2024-03-20T12:00Z; the equation of time is -7.4 min
        sun = downwelling.sun_direction(7.4 / 4.0, 0.0, noon)
        assert -sun[2] > np.cos(np.radians(0.3))
        assert np.linalg.norm(sun) == pytest.approx(1.0)

    def test_a_level_sensor_sees_the_ground(self) -> None:
        """Without tilt the ratio does not matter: what is measured is what falls."""
        height = np.radians(50.0)
        angle = np.pi / 2.0 - height
        for ratio in (0.5, 6.0, np.inf):
            got = downwelling.level(1.0, sun_sensor_rad=angle, sun_elevation_rad=height, ratio=ratio)
            assert got.horizontal[0] * downwelling.transmission(angle) == pytest.approx(1.0)
            assert got.assumed

    @given(ratio=st.floats(0.8, 12.0), height_deg=st.floats(15.0, 80.0))
    def test_direct_and_diffuse_are_fitted(self, ratio: float, height_deg: float) -> None:
        """Readings made of known parts under several tilts give those parts."""
        direct, diffuse = 1.3, 1.3 / ratio
        height = np.radians(height_deg)
        angle = np.pi / 2.0 - height + np.linspace(-0.25, 0.25, 9)
        angle = np.clip(angle, 0.0, 1.5)
        measured = downwelling.transmission(angle) * (direct * np.cos(angle) + diffuse)
        if np.cos(angle).std() < downwelling.MIN_COSINE_SPREAD:
            with pytest.raises(CalibrationError, match="too similar tilts"):
                downwelling.fit_level(measured, sun_sensor_rad=angle, sun_elevation_rad=height)
            return
        got = downwelling.fit_level(measured, sun_sensor_rad=angle, sun_elevation_rad=height)
        assert got.ratio == pytest.approx(ratio, rel=1e-6)
        assert got.horizontal == pytest.approx(direct * np.sin(height) + diffuse, rel=1e-9)
        assert not got.assumed

    def test_the_sigma_of_the_fit_is_its_scatter(self) -> None:
        rng = np.random.default_rng(8)
        height, angle = np.radians(40.0), np.linspace(0.4, 1.2, 12)
        clean = downwelling.transmission(angle) * (np.cos(angle) + 0.3)
        fits = [
            downwelling.fit_level(
                clean + 0.01 * rng.standard_normal(12), sun_sensor_rad=angle, sun_elevation_rad=height
            )
            for _ in range(400)
        ]
        scatter = np.std([each.horizontal[0] for each in fits])
        stated = np.sqrt(np.mean([each.sigma[0] ** 2 for each in fits]))
        assert stated == pytest.approx(scatter, rel=0.12)

    def test_refusals(self) -> None:
        with pytest.raises(CalibrationError, match="lower than 6 degrees"):
            downwelling.level(1.0, sun_sensor_rad=1.5, sun_elevation_rad=0.05)
        with pytest.raises(CalibrationError, match="behind the light sensor"):
            downwelling.level(1.0, sun_sensor_rad=1.7, sun_elevation_rad=0.5)
        with pytest.raises(CalibrationError, match="2 readings"):
            downwelling.fit_level([1.0, 1.0], sun_sensor_rad=[0.1, 0.5], sun_elevation_rad=1.0)
        with pytest.raises(CalibrationError, match="direct and"):
            downwelling.fit_level([1.0, 0.5, 0.1], sun_sensor_rad=[0.1, 0.5, 0.9], sun_elevation_rad=1.0)

    def test_disagreement_is_told(self) -> None:
        got = downwelling.compare([0.8, 1.2], [1.0, 1.0], panel_after=[0.4, 0.6], sensor_after=[0.9, 0.9])
        np.testing.assert_allclose(got.ratio, [0.8, 1.2])
        assert got.change is not None
        np.testing.assert_allclose(got.change, 0.5 / 0.9)
        assert "-20 % to +20 % by band" in got.note
        assert "-50 % to -50 % by the panels, by -10 % to -10 % by the sensor" in got.note


class TestEmpiricalLine:
    def test_two_targets_by_hand(self) -> None:
        """(10, 0.05) and (50, 0.45): gain 0.01, offset -0.05."""
        line = empirical_line.fit([[10.0], [50.0]], [[0.05], [0.45]])
        assert line.gain == pytest.approx([0.01])
        assert line.offset == pytest.approx([-0.05])
        value, _, flags = line.apply(np.array([[30.0], [4.0], [200.0]]))
        assert value[:, 0] == pytest.approx([0.25, -0.01, 1.95])
        assert flags[:, 0].tolist() == [
            0,
            PixelFlag.BELOW_DARK,
            PixelFlag.ABOVE_ONE | PixelFlag.EXTRAPOLATED,
        ]

    def test_stated_sigmas_are_carried(self) -> None:
        """Monte Carlo: targets drawn with their sigmas, the scatter of the line's value."""
        rng = np.random.default_rng(6)
        x, y = np.array([[10.0], [50.0]]), np.array([[0.05], [0.45]])
        line = empirical_line.fit(x, y, sigma_radiance=0.4, sigma_reflectance=0.01)
        value, sigma, _ = line.apply(np.array([70.0]))
        drawn = [
            empirical_line.fit(
                x + 0.4 * rng.standard_normal(x.shape), y + 0.01 * rng.standard_normal(y.shape)
            ).apply(np.array([70.0]))[0][0]
            for _ in range(2000)
        ]
        assert sigma[0] == pytest.approx(np.std(drawn), rel=0.06)
        assert value[0] == pytest.approx(0.65)

    def test_without_stated_sigmas_two_targets_have_none(self) -> None:
        line = empirical_line.fit([[10.0], [50.0]], [[0.05], [0.45]])
        assert np.isnan(line.apply(np.array([30.0]))[1]).all()

    def test_more_targets_state_their_own_scatter(self) -> None:
        rng = np.random.default_rng(9)
        x = np.repeat([[5.0], [20.0], [40.0], [60.0]], 500, axis=1)
        y = 0.01 * x + 0.02 * rng.standard_normal(x.shape)
        line = empirical_line.fit(x, y)
        value, sigma, _ = line.apply(np.full(500, 30.0))
        assert np.sqrt(np.mean(sigma**2)) == pytest.approx(np.std(value), rel=0.1)

    def test_weak_bands_are_gated_with_their_reason(self) -> None:
        line = empirical_line.fit(
            [[10.0, 10.0, 10.0, np.nan, 10.0], [50.0, 11.0, 50.0, 50.0, 50.0]],
            [[0.1, 0.1, 0.5, 0.1, 0.1], [0.5, 0.5, 0.1, 0.5, 0.5]],
        )
        assert line.reasons == ("", "too little contrast", "wrong sign", "not measured", "")
        value, _, flags = line.apply(np.full(5, 20.0))
        assert np.isfinite(value).tolist() == [True, False, False, False, True]
        assert (flags[1:4] == PixelFlag.OUTSIDE).all()

    def test_targets_too_alike_are_refused(self) -> None:
        with pytest.raises(CalibrationError, match=r"too alike: 1 of 3 bands pass"):
            empirical_line.fit([[10.0, 10.0, 10.0], [11.0, 11.0, 50.0]], [[0.1] * 3, [0.2] * 3])
        with pytest.raises(CalibrationError, match="at least two targets"):
            empirical_line.fit([[1.0]], [[0.1]])

    def test_a_cube_through_its_line(self) -> None:
        """A planted line comes back on a cube, gated bands are not good, nothing is clipped."""
        rho = np.linspace(-0.1, 1.2, 24, dtype=np.float32).reshape(4, 2, 3)
        gain, offset = np.array([0.01, 0.02]), np.array([-0.05, 0.1])
        radiance = ((rho - offset[:, None]) / gain[:, None]).astype(np.float32)
        known = np.array([[0.05, 0.06], [0.55, 0.60]])
        line = empirical_line.fit((known - offset) / gain, known)
        got = empirical_line.calibrate(cube(radiance), line)
        values, valid = got.source.read(1, 4)
        assert got.quantity == "reflectance"
        np.testing.assert_allclose(values, rho[1:4], atol=2e-6)
        assert valid.all()
        assert "empirical line of 2 targets: 2 bands good" in got.history[-1]
        weak = empirical_line.fit([[10.0, 10.0], [50.0, 11.0]], [[0.1, 0.1], [0.5, 0.5]])
        assert empirical_line.calibrate(cube(radiance), weak).bands.good.tolist() == [True, False]
        with pytest.raises(CalibrationError, match="already in reflectance"):
            empirical_line.calibrate(got, line)
        with pytest.raises(CalibrationError, match="has 2 bands, the empirical line 1"):
            empirical_line.calibrate(cube(radiance), empirical_line.fit([[1.0], [5.0]], [[0.1], [0.5]]))

    def test_real_targets(self, shared_data: Path) -> None:
        """AVIRIS-NG over Pasadena: dark and horse give the unseen green target to 0.013."""
        x, y = pasadena(shared_data)
        line = empirical_line.fit([x["dark"], x["horse"]], [y["dark"], y["horse"]])
        value, _, _ = line.apply(x["green"])
        assert line.good.sum() >= 280
        assert rmse(value, y["green"]) <= 0.013

    def test_a_weak_pair_of_real_targets_is_gated(self, shared_data: Path) -> None:
        """Green and dark predict horse badly: ungated 0.09; gated, what is left is better by half."""
        x, y = pasadena(shared_data)
        line = empirical_line.fit([x["green"], x["dark"]], [y["green"], y["dark"]])
        value, _, flags = line.apply(x["horse"])
        gain = (y["green"] - y["dark"]) / (x["green"] - x["dark"])
        bad = rmse(y["dark"] + gain * (x["horse"] - x["dark"]), y["horse"])
        assert line.good.sum() == 266
        assert bad == pytest.approx(0.0909, abs=2e-3)
        assert rmse(value, y["horse"]) == pytest.approx(0.0406, abs=2e-3)
        beyond = (flags & PixelFlag.EXTRAPOLATED) != 0
        assert beyond[line.good].mean() > 0.5  # and most of it lies beyond both targets, which is flagged


@dataclass(frozen=True)
class Held:
    """A source that holds its values."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        values = self.values[start:stop]
        return values, np.ones((values.shape[0], values.shape[2]), dtype=bool)


def cube(values: np.ndarray) -> SpectralCube:
    """Return a cube of radiance that holds *values* (rows, bands, cols)."""
    count = values.shape[1]
    bands = Bands(np.linspace(500.0, 800.0, count), np.full(count, 20.0), np.ones(count, dtype=bool))
    return SpectralCube("c", Held(values), bands, "radiance", None, "", "c.tif")


def rmse(got: np.ndarray, true: np.ndarray) -> float:
    """Return the root mean square over what is known."""
    return float(np.sqrt(np.nanmean((got - true) ** 2)))


def pasadena(shared: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return radiance and reflectance of the three targets in the bands that air lets through."""
    folder = shared / "spectral/calib/pasadena_avirisng"
    wavelength = np.loadtxt(folder / "remote_20170320_ang20170228_wavelength_fit.txt")[:, 1] * 1000.0
    good = np.zeros(wavelength.size, dtype=bool)
    for low, high in ((420, 1320), (1480, 1780), (2050, 2400)):
        good |= (wavelength >= low) & (wavelength <= high)
    for low, high in ((755, 772), (925, 975), (1100, 1160)):
        good &= ~((wavelength >= low) & (wavelength <= high))
    lines = {"dark": "184829_rdn_v2p11_darklot", "horse": "184829_rdn_v2p11_horse"}
    lines["green"] = "184227_rdn_v2p11_AstroGreenBaseball"
    fields = {"dark": "DarkTarget_Trial1", "horse": "Horse_Trial2", "green": "AstroGreenBaseball"}
    x, y = {}, {}
    for name, line in lines.items():
        radiance = np.loadtxt(folder / f"remote_ang20171108t{line}.txt")
        field = np.loadtxt(folder / f"insitu_{fields[name]}.txt")
        x[name] = np.interp(wavelength[good], radiance[:, 0], radiance[:, 1])
        y[name] = np.interp(wavelength[good], field[:, 0], field[:, 1])
    return x, y
