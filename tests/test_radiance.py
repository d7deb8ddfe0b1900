"""Counts to radiance: planted truth, answers by hand, brute force; nothing is clipped, all is flagged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.calibrate import detector, radiance
from dronesense.errors import CalibrationError
from dronesense.model import Bands, SpectralCube
from dronesense.model.cube import fold
from dronesense.model.radiometry import CameraSettings, DarkFrame, RadianceNoise, Radiometry

NM = np.array([500.0, 510.0, 520.0, 530.0])


class Array:
    """A cube in memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    @property
    def shape(self):
        return self.values.shape

    def read(self, start, stop):
        rows = self.values[start:stop].astype(np.float32)
        return rows, np.ones((len(rows), self.shape[2]), dtype=bool)


def cube(values: np.ndarray, *, ms: float = 10.0, nm: np.ndarray | None = None, good=None) -> SpectralCube:
    bands = values.shape[1]
    center = np.linspace(500.0, 500.0 + 10.0 * (bands - 1), bands) if nm is None else nm
    good = np.ones(bands, dtype=bool) if good is None else good
    return SpectralCube(
        "x", Array(values), Bands(center, np.full(bands, 5.0), good), "counts", None, "", "x.hdr", ms
    )


def scene(rows=6, bands=4, samples=5, *, binned=1):
    """A scene of planted radiance, gain and dark: counts = radiance / gain + dark."""
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.01, 0.2, (rows, bands, samples))
    gain = rng.uniform(1e-5, 4e-5, (bands, samples))
    dark = rng.uniform(10.0, 60.0, (bands, samples))
    return truth, gain, dark


def pack(gain, dark, *, ms=10.0, db=0.0, **more) -> Radiometry:
    settings = CameraSettings(ms, db)
    return Radiometry(gain, settings, (DarkFrame(dark, settings, name="d"),), name="pack", **more)


def test_planted_radiance_comes_back_in_its_unit():
    truth, gain, dark = scene()
    raw = cube(truth / gain + dark)
    found, noise = radiance.calibrate(raw, pack(gain, dark))
    assert found.quantity == "radiance"
    np.testing.assert_allclose(found.source.read(0, 6)[0], truth, rtol=2e-5)
    assert found.source.read(0, 6)[1].all()
    assert "W/(m2 sr nm) by pack" in found.history[0]
    assert np.isnan(noise.additive).all()
    assert np.isnan(noise.relative).all()


def test_the_folded_form_is_the_same_map():
    truth, gain, dark = scene()
    bad = np.zeros(dark.shape, dtype=bool)
    gain_known = gain.copy()
    raw = cube(np.rint(truth / gain + dark))
    found, _ = radiance.calibrate(raw, pack(gain_known, dark), bad_pixels=bad, saturation_dn=9_000)
    values, valid = found.source.read(1, 5)
    folded = fold(found.source)
    stored, same = folded.read(1, 5)
    np.testing.assert_array_equal(valid, same)
    assert not valid.all()
    np.testing.assert_allclose(stored * folded.gain + folded.offset, values, atol=2e-6)


def test_resonon_scaling_by_hand():
    """4 elements of 3, 5, 7, 9 DN dark and 2, 4, 6, 8 radiance per DN, binned 2 x 2, at half the exposure and
    20 dB more gain: L = (100 - 4 * 6) * 5 / 4 * 10^((0 - 20) / 20) * (10 / 5) = 76 * 1.25 * 0.1 * 2 = 19."""
    settings = CameraSettings(10.0, 0.0)
    dark = DarkFrame(np.array([[3.0, 5.0], [7.0, 9.0]]), CameraSettings(5.0, 20.0))
    calibration = Radiometry(np.array([[2.0, 4.0], [6.0, 8.0]]), settings, (dark,))
    raw = cube(np.array([[[100.0]], [[90.0]]]), ms=5.0)
    found, _ = radiance.calibrate(raw, calibration, settings=CameraSettings(5.0, 20.0, 2, 2))
    assert found.source.read(0, 1)[0].item() == pytest.approx(19.0, rel=1e-6)
    assert found.source.read(1, 2)[0].item() == pytest.approx(19.0 * 66.0 / 76.0, rel=1e-6)


def test_a_flipped_cube_gets_flipped_frames():
    truth, gain, dark = scene()
    raw = cube((truth / gain + dark)[:, :, ::-1])
    found, _ = radiance.calibrate(raw, pack(gain, dark), settings=CameraSettings(10.0, 0.0, flipped=True))
    np.testing.assert_allclose(found.source.read(0, 6)[0], truth[:, :, ::-1], rtol=2e-5)


def test_values_below_zero_stay():
    truth, gain, dark = scene()
    truth[2, 1, 3] = -0.05
    found, _ = radiance.calibrate(cube(truth / gain + dark), pack(gain, dark))
    assert found.source.read(2, 3)[0][0, 1, 3] == pytest.approx(-0.05, rel=1e-3)


def test_saturation_flags_the_pixel_and_keeps_its_value():
    truth, gain, dark = scene()
    counts = truth / gain + dark
    counts[3, 2, 1] = 65_535
    found, _ = radiance.calibrate(cube(counts), pack(gain, dark), saturation_dn=65_535)
    values, valid = found.source.read(0, 6)
    assert [tuple(each) for each in np.argwhere(~valid)] == [(3, 1)]
    assert values[3, 2, 1] == pytest.approx((65_535 - dark[2, 1]) * gain[2, 1], rel=1e-5)


def test_exposures_are_needed_where_the_gain_depends_on_them():
    truth, gain, dark = scene()
    raw = cube(truth / gain + dark, ms=float("nan"))
    with pytest.raises(CalibrationError, match="exposure is not known"):
        radiance.calibrate(raw, pack(gain, dark))
    found, _ = radiance.calibrate(raw, Radiometry(gain, darks=(DarkFrame(dark),)))
    np.testing.assert_allclose(found.source.read(0, 6)[0], truth, rtol=2e-5)
    per_ms = Radiometry(gain * 4.0, darks=(DarkFrame(dark),), per_ms=True)
    found, _ = radiance.calibrate(cube(truth / gain + dark, ms=4.0), per_ms)
    np.testing.assert_allclose(found.source.read(0, 6)[0], truth, rtol=2e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda raw, record: (raw, record.with_darks(())), "no dark frame"),
        (lambda raw, record: (cube(raw.source.values[:, :, :4]), record), "4 bands x 5 samples"),
        (lambda raw, record: (cube(raw.source.values * 0.0 + 7.0), record), "remnant"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change, match):
    truth, gain, dark = scene()
    raw, record = change(cube(truth / gain + dark), pack(gain, dark))
    with pytest.raises(CalibrationError, match=match):
        radiance.calibrate(raw, record)
    done, _ = radiance.calibrate(cube(truth / gain + dark), pack(gain, dark))
    with pytest.raises(CalibrationError, match="already in radiance"):
        radiance.calibrate(done, pack(gain, dark))


def darks(*settings: tuple[float, float, float]) -> tuple[DarkFrame, ...]:
    """Frames of (ms, dB, level)."""
    return tuple(
        DarkFrame(
            np.full((1, 1), level), CameraSettings(ms, db), np.full((1, 1), 2.0), 4, f"{ms:g}ms{db:g}dB"
        )
        for ms, db, level in settings
    )


FRAMES = darks((5, 0, 10), (20, 0, 16), (5, 6, 30), (40, 6, 60))


@pytest.mark.parametrize(
    ("ms", "db", "between", "level", "exact"),
    [
        (5, 0, "nearest", 10, True),
        (9, 0, "nearest", 10, False),  # 9 is nearer to 5 than to 20 by ratio: 1.8 against 2.2
        (11, 0, "nearest", 16, False),
        (11, 5.5, "nearest", 30, False),  # the gain goes before the exposure: 11 / 5 < 40 / 11
        (15, 5.5, "nearest", 60, False),
        (11, 0, "interpolate", 10 + 6 * 6 / 15, True),
        (2, 0, "interpolate", 10, False),  # never beyond the frames
        (50, 6, "interpolate", 60, False),
        (9, 0, "linear", 18, True),  # 10 * 9 / 5
        (float("nan"), 0, "nearest", 10, True),
        (5, float("nan"), "nearest", 10, True),
    ],
)
def test_choice_of_the_dark(ms, db, between, level, exact):
    found = radiance.choose_dark(FRAMES, CameraSettings(ms, db), between=between)
    assert found.level.item() == pytest.approx(level)
    assert found.exact == exact


def test_every_offered_setting_finds_its_own_frame():
    """A shutter is searched within the frames of the chosen gain (one public tool mixes the lists)."""
    for frame in FRAMES:
        assert radiance.choose_dark(FRAMES, frame.settings).level.item() == frame.level.item()


def test_uncertainty_of_the_dark():
    near = radiance.choose_dark(FRAMES, CameraSettings(5.0, 0.0))
    assert near.sigma.item() == pytest.approx(2.0 / 4**0.5)
    half = radiance.choose_dark(FRAMES, CameraSettings(12.5, 0.0), between="interpolate")
    assert half.sigma.item() == pytest.approx(1.0 / 2**0.5)
    assert half.deviation.item() == pytest.approx(2.0)
    with pytest.raises(CalibrationError, match="cannot be scaled"):
        radiance.choose_dark(FRAMES, CameraSettings(float("nan"), 0.0), between="linear")
    with pytest.raises(ValueError, match="between"):
        radiance.choose_dark(FRAMES, CameraSettings(5.0), between="cubic")


def test_noise_is_carried_and_true_on_simulated_darks():
    """The stated noise of a dark scene is that which its radiance scatters with."""
    rng = np.random.default_rng(3)
    level, gain = np.full((4, 60), 50.0), np.full((4, 60), 2e-4)
    capture = cube(rng.normal(50.0, 3.0, (40, 4, 60)))
    frame = detector.dark_frame(capture)
    settings = CameraSettings(10.0)
    record = Radiometry(gain, settings, (frame,), relative_sigma=np.full(4, 0.03))
    raw = cube(rng.normal(level, 3.0, (400, 4, 60)))
    found, noise = radiance.calibrate(raw, record, stray=0)
    scatter = found.source.read(0, 400)[0].std(axis=(0, 2))
    np.testing.assert_allclose(noise.additive, scatter, rtol=0.05)
    np.testing.assert_allclose(noise.relative, 0.03)
    bright = noise.sigma(np.full((2, 4), 10.0))
    np.testing.assert_allclose(bright, 0.3, rtol=1e-4)


def test_noise_of_binned_elements_adds_as_independent():
    deviation = np.array([[3.0, 4.0], [5.0, 6.0]])
    frame = DarkFrame(np.zeros((2, 2)), CameraSettings(10.0), deviation, 10**9)
    record = Radiometry(np.ones((2, 2)), CameraSettings(10.0), (frame,), relative_sigma=np.array([0.1, 0.3]))
    raw = cube(np.array([[[100.0]], [[90.0]]]))
    _, noise = radiance.calibrate(
        raw, record, settings=CameraSettings(10.0, sample_binning=2, band_binning=2)
    )
    assert noise.additive.item() == pytest.approx(np.sqrt(9 + 16 + 25 + 36) / 4.0)
    assert noise.relative.item() == pytest.approx(0.2)


def test_bad_elements_are_interpolated_and_samples_with_many_are_not_valid():
    rows, bands, samples = 3, 40, 6
    ramp = np.linspace(0.1, 0.5, bands)[None, :, None] * np.ones((rows, 1, samples))
    ramp = ramp * np.arange(1, rows + 1)[:, None, None]
    gain, dark = np.full((bands, samples), 1e-4), np.zeros((bands, samples))
    bad = np.zeros((bands, samples), dtype=bool)
    bad[17, 2] = True
    bad[3:8, 4] = True
    counts = ramp / gain
    counts[:, bad] = 60_000.0
    found, _ = radiance.calibrate(cube(counts), pack(gain, dark), bad_pixels=bad)
    values, valid = found.source.read(0, rows)
    np.testing.assert_array_equal(valid, np.tile(np.arange(samples) != 4, (rows, 1)))
    np.testing.assert_allclose(values[:, :, 2], ramp[:, :, 2], rtol=1e-4)
    assert "1 bad elements interpolated over bands; 1 samples not valid" in found.history[-1]


def test_a_band_without_gain_is_not_good():
    truth, gain, dark = scene()
    gain[1, :3] = np.nan
    found, _ = radiance.calibrate(cube(truth / scene()[1] + dark), pack(gain, dark))
    np.testing.assert_array_equal(found.bands.good, [True, False, True, True])
    assert np.isnan(found.source.read(0, 1)[0][0, 1, :3]).all()


# Smile


def test_smile_moves_a_line_spectrum_back():
    """A straight spectrum is interpolated exactly; without the shift it is not."""
    nm = np.linspace(400.0, 700.0, 61)
    shift = np.linspace(-3.0, 3.0, 9)
    spectrum = lambda wavelength: 0.2 + 1e-3 * (wavelength - 400.0)  # noqa: E731
    seen = spectrum(nm[:, None] + shift)
    plan = detector.smile(nm, shift)
    back = plan.apply(seen[None].astype(np.float32))[0]
    inside = plan.known
    assert inside.sum() == 61 - 2  # 3 nm is more than half of a band of 5 nm beyond either end
    np.testing.assert_allclose(back[inside], np.tile(spectrum(nm)[:, None], 9)[inside], atol=1e-6)
    assert np.abs(seen - spectrum(nm)[:, None]).max() > 2e-3


@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 10**6), st.booleans())
def test_smile_equals_interpolation_sample_by_sample(bands, samples, seed, falling):
    rng = np.random.default_rng(seed)
    nm = np.cumsum(rng.uniform(1.0, 3.0, bands)) + 400.0
    shift = rng.uniform(-0.45, 0.45, (bands, samples))
    nm, shift = (nm[::-1].copy(), shift[::-1].copy()) if falling else (nm, shift)
    values = rng.uniform(0.0, 1.0, (2, bands, samples)).astype(np.float32)
    plan = detector.smile(nm, shift)
    found = plan.apply(values)
    order = slice(None, None, -1) if falling else slice(None)
    for sample in range(samples):
        true = nm + shift[:, sample]
        within = (nm >= true.min()) & (nm <= true.max())
        for row in range(2):
            expected = np.interp(nm, true[order], values[row, order, sample])
            np.testing.assert_allclose(found[row, within, sample], expected[within], atol=1e-5)


def test_smile_through_calibration_keeps_bands_apart_that_are_not_good():
    truth, gain, dark = scene(bands=6)
    good = np.array([True, True, False, True, True, True])
    raw = cube(truth / gain + dark, good=good)
    shift = np.full(5, 2.0)  # every band borrows a fifth from the band before
    found, _ = radiance.calibrate(raw, pack(gain, dark), smile_nm=shift)
    np.testing.assert_array_equal(found.bands.good, [True, True, False, False, True, True])
    values, _ = found.source.read(0, 6)
    np.testing.assert_allclose(values[:, 4], 0.8 * truth[:, 4] + 0.2 * truth[:, 3], rtol=1e-4)
    np.testing.assert_allclose(values[:, 0], 1.2 * truth[:, 0] - 0.2 * truth[:, 1], rtol=1e-4)
    assert np.isnan(values[:, 2:4]).all()
    same, _ = radiance.calibrate(raw, pack(gain, dark), smile_nm=np.zeros(5))
    np.testing.assert_array_equal(same.bands.good, good)
    np.testing.assert_allclose(same.source.read(0, 6)[0][:, good], truth[:, good], rtol=2e-5)


@pytest.mark.parametrize("nm", [[500.0, np.nan], [500.0, 500.0], [500.0, 510.0, 505.0], [500.0]])
def test_smile_needs_an_axis_that_rises_or_falls(nm):
    with pytest.raises(CalibrationError, match="rise or fall"):
        detector.smile(np.array(nm), np.zeros(3))


# Bad elements and remnants


def test_planted_bad_elements_are_found_and_nothing_else():
    rng = np.random.default_rng(11)
    pattern = np.linspace(10.0, 14.0, 300) + rng.normal(0.0, 0.1, (50, 300))
    lines = np.rint(pattern + rng.normal(0.0, 2.0, (100, 50, 300)))
    lines[:, 4, 100] += 25.0  # hot
    lines[:, 30, 0] = 0.0  # dead: off in level, and stuck
    lines[::2, 20, 200] += 40.0  # blinking
    found = detector.find_bad_pixels(detector.dark_frame(cube(lines)))
    assert {tuple(each) for each in np.argwhere(found.mask)} == {(4, 100), (30, 0), (20, 200)}
    assert found.level[4, 100]
    assert found.stuck[30, 0]
    assert found.noisy[20, 200]
    assert str(found).startswith("bad elements from the dark: ")


def test_a_perfect_detector_has_no_bad_elements():
    assert not detector.find_bad_pixels(DarkFrame(np.full((5, 40), 7.0))).mask.any()
    rng = np.random.default_rng(5)
    lines = np.rint(rng.normal(20.0, 1.5, (30, 40, 200)))
    assert not detector.find_bad_pixels(detector.dark_frame(cube(lines))).mask.any()


def test_dark_frame_against_numpy():
    lines = np.random.default_rng(2).normal(1e4, 5.0, (17, 3, 8))
    found = detector.dark_frame(cube(lines), rows=(2, 15))
    used = lines[2:15].astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(found.level, used.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.deviation, used.std(axis=0, ddof=1), rtol=1e-9)
    assert (found.lines, found.settings.integration_ms) == (13, 10.0)
    with pytest.raises(CalibrationError, match="rows"):
        detector.dark_frame(cube(lines), rows=(5, 18))


def test_a_flat_takes_stripes_and_vignetting_out():
    rng = np.random.default_rng(8)
    response = rng.uniform(0.8, 1.2, (4, 30)) * (1.0 - 0.3 * np.linspace(-1.0, 1.0, 30) ** 2)
    response[2, 7] = 0.0
    dark = np.full((4, 30), 20.0)
    flat = detector.dark_frame(cube(rng.normal(dark + 5_000.0 * response, 4.0, (200, 4, 30))))
    factor = detector.flat_field(flat, dark)
    assert [tuple(each) for each in np.argwhere(np.isnan(factor))] == [(2, 7)]
    even = factor * response
    spread = np.nanmax(even, axis=1) / np.nanmin(even, axis=1) - 1.0
    assert (spread < 1e-3).all()  # 4 / sqrt(200) DN of 2800 and more
    np.testing.assert_allclose(np.nanmedian(1.0 / factor, axis=1), 1.0, rtol=1e-12)
    with pytest.raises(CalibrationError, match="swapped"):
        detector.flat_field(DarkFrame(dark), flat.level)
    with pytest.raises(CalibrationError, match="the flat has"):
        detector.flat_field(flat, dark[:2])


@pytest.mark.parametrize("count", [0, 1, 3, 31, 32, 33, 70])
@pytest.mark.parametrize("kind", ["zeros", "copies", "shutter"])
def test_remnants_at_the_end(count, kind):
    rng = np.random.default_rng(1)
    values = rng.normal(1000.0, 50.0, (100, 3, 20))
    dark = np.full((3, 20), 100.0)
    start = 100 - count
    if kind == "zeros":
        values[start:] = 0.0
    elif kind == "copies":
        values[start:] = values[start - 1]
    else:
        values[start:] = rng.normal(100.0, 2.0, (count, 3, 20))
    values[10] = 0.0  # in the middle: not the end
    assert detector.stray_lines(cube(values), dark) == count
    if kind != "shutter":
        assert detector.stray_lines(cube(values)) == count


def test_remnants_are_flagged_not_cut():
    truth, gain, dark = scene(rows=50)
    counts = truth / gain + dark
    counts[46:] = counts[45]
    found, _ = radiance.calibrate(cube(counts), pack(gain, dark))
    assert found.shape[0] == 50
    for start, stop in ((0, 50), (44, 48), (47, 50)):
        _, valid = found.source.read(start, stop)
        np.testing.assert_array_equal(valid.all(axis=1), np.arange(start, stop) < 46)
    assert "last 4 lines" in found.history[-1]


@pytest.mark.parametrize(
    ("own", "wanted", "ratio"), [((1, 1), (2, 3), (3, 2)), ((2, 1), (4, 1), (1, 2)), ((1, 1), (1, 1), (1, 1))]
)
def test_binning_ratio(own, wanted, ratio):
    settings = [CameraSettings(sample_binning=s, band_binning=b) for s, b in (own, wanted)]
    assert detector.binning_ratio(*settings) == ratio


def test_binning_that_does_not_fit_is_refused():
    with pytest.raises(CalibrationError, match="binned"):
        detector.binning_ratio(CameraSettings(sample_binning=2), CameraSettings(sample_binning=3))
    with pytest.raises(CalibrationError, match="5 bands"):
        detector.bin_frame(np.zeros((5, 4)), samples=2, bands=2)


def test_records_check_their_shapes():
    with pytest.raises(ValueError, match="shape"):
        Radiometry(np.zeros((2, 3)), relative_sigma=np.zeros(3))
    with pytest.raises(ValueError, match="shape"):
        DarkFrame(np.zeros((2, 3)), deviation=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="binning"):
        CameraSettings(sample_binning=0)
    with pytest.raises(ValueError, match="integration_ms"):
        CameraSettings(0.0)
    with pytest.raises(ValueError, match="shape"):
        RadianceNoise(np.zeros(3), np.zeros(2))


def test_real_dark_of_a_headwall_camera(shared_data):
    """One dark line: mean 13.97, sd 1.30, max 47 DN as measured by others, and few bad elements."""
    from dronesense.readers import envi

    path = shared_data / "spectral" / "envi" / "plantcv" / "darkReference.hdr"
    capture, _ = envi.read(path, label="dark", name="dark")
    frame = detector.dark_frame(capture)
    assert frame.level.shape == (978, 1600)
    assert (round(frame.level.mean(), 2), round(frame.level.std(), 2), frame.level.max()) == (
        13.97,
        1.30,
        47.0,
    )
    bad = detector.find_bad_pixels(frame)
    assert bad.mask[np.unravel_index(frame.level.argmax(), frame.level.shape)]
    assert 0 < bad.mask.mean() < 2e-3
