"""Counts to reflectance: planted truth through a made-up camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from dronesense.calibrate.reflectance import calibrate
from dronesense.errors import CalibrationError
from dronesense.model import Bands, Panel, Signature, SpectralCube

BANDS, SAMPLES, LINES = 6, 5, 40
NM = np.linspace(450.0, 950.0, BANDS)
DARK = 100.0 + np.arange(BANDS * SAMPLES, dtype=float).reshape(BANDS, SAMPLES)
GAIN = 900.0 + 50.0 * np.random.default_rng(0).random((BANDS, SAMPLES))
"""DN per ms and unit reflectance."""


@dataclass
class Rows:
    values: np.ndarray
    valid: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.values[start:stop], self.valid[start:stop]


def capture(
    name: str,
    reflectance: np.ndarray | float,
    *,
    ms: float = 10.0,
    lines: int = LINES,
    noise: float = 0.0,
    seed: int = 1,
) -> SpectralCube:
    """What the camera records of a scene (lines, bands, samples) of this reflectance."""
    scene = np.broadcast_to(np.asarray(reflectance, dtype=float), (lines, BANDS, SAMPLES))
    counts = DARK + GAIN * ms * scene + noise * np.random.default_rng(seed).normal(size=scene.shape)
    return SpectralCube(
        name,
        Rows(counts.astype(np.float32), np.ones((lines, SAMPLES), dtype=bool)),
        Bands(NM, np.full(BANDS, 10.0), np.ones(BANDS, dtype=bool)),
        "counts",
        None,
        "camera",
        f"raw/{name}.hdr",
        integration_ms=ms,
        history=("read",),
    )


def signature(low: float = 400.0, high: float = 1000.0) -> Signature:
    nm = np.arange(low, high + 1.0)
    return Signature("panel", nm, panel_reflectance(nm), np.full(len(nm), np.nan), "reflectance")


def panel_reflectance(nm: np.ndarray) -> np.ndarray:
    return 0.5 + 1e-4 * (nm - 700.0)


def make_panel(**options: object) -> Panel:
    rho = panel_reflectance(NM)[:, None]
    return Panel(capture("panel", rho, **options), signature())  # type: ignore[arg-type]


SCENE = np.random.default_rng(2).uniform(0.02, 0.9, size=(LINES, BANDS, SAMPLES))


def read(cube: SpectralCube) -> tuple[np.ndarray, np.ndarray]:
    return cube.source.read(0, cube.shape[0])


def test_the_planted_reflectance_comes_back() -> None:
    cube = capture("line", SCENE)
    done = calibrate(cube, dark=capture("dark", 0.0), panel=make_panel())
    values, valid = read(done)
    np.testing.assert_allclose(values, SCENE, rtol=2e-6)
    assert valid.all()
    assert done.quantity == "reflectance"
    assert done.history[0] == "read"
    assert any("raw/panel.hdr" in line for line in done.history)
    assert any("raw/dark.hdr" in line for line in done.history)


def test_blocks_equal_the_whole() -> None:
    done = calibrate(capture("line", SCENE), dark=DARK, panel=make_panel())
    parts = [block.values for block in done.blocks(BANDS * SAMPLES * 4 * 3)]
    assert len(parts) == 14
    np.testing.assert_array_equal(np.concatenate(parts), read(done)[0])


def test_noise_of_the_captures_averages_out() -> None:
    panel = make_panel(noise=30.0, lines=400, seed=3)
    done = calibrate(
        capture("line", SCENE), dark=capture("dark", 0.0, noise=30.0, lines=400, seed=4), panel=panel
    )
    # 30 DN / sqrt(400) = 1.5 DN on signals of some 4,500 DN, and on the dark of both
    np.testing.assert_allclose(read(done)[0], SCENE, rtol=0.003, atol=0.0008)


def test_exposures_scale() -> None:
    done = calibrate(
        capture("line", SCENE, ms=20.0), dark=capture("dark", 0.0, ms=20.0), panel=make_panel(ms=5.0)
    )
    np.testing.assert_allclose(read(done)[0], SCENE, rtol=2e-6)
    assert any("panel 5 ms" in line for line in done.history)
    with pytest.raises(CalibrationError, match=r"raw/dark.hdr.*exposed 40 ms.*raw/line.hdr 20 ms"):
        calibrate(capture("line", SCENE, ms=20.0), dark=capture("dark", 0.0, ms=40.0), panel=make_panel())


def test_unknown_exposures_are_taken_as_equal_and_said() -> None:
    cube = replace(capture("line", SCENE), integration_ms=float("nan"))
    done = calibrate(cube, dark=DARK, panel=make_panel())
    np.testing.assert_allclose(read(done)[0], SCENE, rtol=2e-6)
    assert any("not known and taken as equal" in line for line in done.history)


def test_values_outside_0_to_1_are_kept() -> None:
    scene = SCENE.copy()
    scene[0, 0, 0], scene[1, 1, 1] = 1.7, -0.1
    values, valid = read(calibrate(capture("line", scene), dark=DARK, panel=make_panel()))
    assert values[0, 0, 0] == pytest.approx(1.7, rel=1e-5)
    assert values[1, 1, 1] == pytest.approx(-0.1, rel=1e-4)
    assert valid.all()


def test_saturated_pixels_are_not_valid() -> None:
    cube = capture("line", SCENE)
    limit = float(np.sort(cube.source.values.ravel())[-3])  # type: ignore[attr-defined]
    _, valid = read(calibrate(cube, dark=DARK, panel=make_panel(), saturation_dn=limit))
    expected = ~(cube.source.values >= limit).any(axis=1)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(valid, expected)
    assert 1 <= (~valid).sum() <= 3


def test_a_panel_saturated_in_a_band_loses_that_band() -> None:
    panel = make_panel()
    panel.cube.source.values[:, 2] = 20_000.0  # type: ignore[attr-defined]
    done = calibrate(capture("line", SCENE), dark=DARK, panel=panel, saturation_dn=20_000.0)
    assert done.bands.good.tolist() == [True, True, False, True, True, True]
    assert any("1 saturated or too dark" in line for line in done.history)


def test_a_band_without_panel_signal_is_lost() -> None:
    panel = make_panel(noise=5.0)
    panel.cube.source.values[:, 0] = DARK[0] + np.random.default_rng(5).normal(size=(LINES, SAMPLES))  # type: ignore[attr-defined]
    done = calibrate(capture("line", SCENE), dark=DARK, panel=panel)
    assert done.bands.good.tolist() == [False] + [True] * 5


def test_bands_outside_the_panels_wavelengths_are_not_good() -> None:
    panel = replace(make_panel(), reflectance=signature(500.0, 900.0))
    done = calibrate(capture("line", SCENE), dark=DARK, panel=panel)
    assert done.bands.good.tolist() == [False, True, True, True, True, False]
    np.testing.assert_allclose(read(done)[0][:, 1:5], SCENE[:, 1:5], rtol=2e-6)
    with pytest.raises(CalibrationError, match="no band is left"):
        calibrate(
            capture("line", SCENE), dark=DARK, panel=replace(panel, reflectance=signature(1500.0, 1600.0))
        )


def test_a_panel_that_some_samples_see_gives_one_gain_per_band() -> None:
    panel = replace(make_panel(), samples=(1, 3), rows=(5, 30))
    panel.cube.source.values[:, :, [0, 3, 4]] = 0.0  # not panel  # type: ignore[attr-defined]
    panel.cube.source.values[:5] = 0.0  # type: ignore[attr-defined]
    done = calibrate(capture("line", SCENE), dark=DARK, panel=panel)
    expected = SCENE * GAIN / GAIN[:, 1:3].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(read(done)[0], expected, rtol=2e-6)
    assert any("samples 1 to 2 only" in line and "vignetting" in line for line in done.history)


def many_bands(seed: int, bands: int = 60) -> tuple[SpectralCube, Panel, np.ndarray]:
    rng = np.random.default_rng(seed)
    nm = np.linspace(450.0, 950.0, bands)
    slope = 0.3 + 0.2 * (nm - 450.0) / 500.0
    scene = slope[:, None] + rng.uniform(0, 0.2, size=(8, 1, 1)) + np.zeros((8, bands, 4))
    band_list = Bands(nm, np.full(bands, np.nan), np.ones(bands, dtype=bool))

    def cube(name: str, values: np.ndarray) -> SpectralCube:
        source = Rows((1000.0 * values).astype(np.float32), np.ones((len(values), 4), dtype=bool))
        return SpectralCube(name, source, band_list, "counts", None, "", name)

    rho = np.broadcast_to(panel_reflectance(nm)[:, None], (8, bands, 4))
    return cube("line", scene), Panel(cube("panel", rho.copy()), signature()), scene


def test_few_bad_elements_are_interpolated_and_many_make_the_sample_invalid() -> None:
    cube, panel, scene = many_bands(0)
    bad = np.zeros((60, 4), dtype=bool)
    bad[[0, 20, 21], [1, 1, 1]] = True  # 5 % of the bands of sample 1, at the end and two in a row
    bad[10:14, 3] = True  # more than 5 % of sample 3
    cube.source.values[:, bad] = 50_000.0  # type: ignore[attr-defined]
    done = calibrate(cube, dark=np.zeros((60, 4)), panel=panel, bad_pixels=bad)
    values, valid = read(done)
    assert valid.all(axis=0).tolist() == [True, True, True, False]
    np.testing.assert_allclose(values[:, 1:, 1], scene[:, 1:, 1], rtol=1e-5)  # linear over bands: exact
    np.testing.assert_allclose(values[:, 0, 1], values[:, 1, 1])
    assert any(
        "3 unusable elements interpolated" in line and "1 samples not valid" in line for line in done.history
    )


def test_what_is_not_ready_is_refused_with_a_way_out() -> None:
    cube, panel = capture("line", SCENE), make_panel()
    with pytest.raises(CalibrationError, match=r"raw/line.hdr: reflectance needs a panel.*panel = \{ path"):
        calibrate(cube, dark=DARK, panel=None)
    with pytest.raises(CalibrationError, match="already in reflectance"):
        calibrate(calibrate(cube, dark=DARK, panel=panel), dark=DARK, panel=panel)
    bright_dark = capture("dark", 0.9)
    with pytest.raises(CalibrationError, match=r"raw/panel.hdr: .*not brighter.*swapped"):
        calibrate(cube, dark=bright_dark, panel=panel)
    narrow, _, _ = many_bands(0)
    with pytest.raises(
        CalibrationError, match=r"raw/panel.hdr: the panel has 6 bands x 5 samples, the cube line 60 x 4"
    ):
        calibrate(narrow, dark=None, panel=panel)
    with pytest.raises(CalibrationError, match=r"dark capture has 60 bands x 4"):
        calibrate(cube, dark=narrow, panel=panel)
    with pytest.raises(CalibrationError, match=r"calibration record has \(2, 2\)"):
        calibrate(cube, dark=np.zeros((2, 2)), panel=panel)
    with pytest.raises(CalibrationError, match=r"bad-pixel map has \(2, 2\)"):
        calibrate(cube, dark=DARK, panel=panel, bad_pixels=np.zeros((2, 2), dtype=bool))
    with pytest.raises(CalibrationError, match=r"rows 30 to 50 are not in its 40"):
        calibrate(cube, dark=DARK, panel=replace(panel, rows=(30, 50)))
    with pytest.raises(CalibrationError, match=r"samples 2 to 9"):
        calibrate(cube, dark=DARK, panel=replace(panel, samples=(2, 9)))


def test_no_dark_is_said() -> None:
    done = calibrate(capture("line", SCENE), dark=None, panel=make_panel())
    assert any("dark signal taken as 0" in line for line in done.history)
