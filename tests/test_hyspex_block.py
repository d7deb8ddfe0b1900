"""Header blocks of HySpex cubes, written field by field from their description; radiance from photons."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from dronesense.calibrate import radiance
from dronesense.errors import ReadError
from dronesense.readers import envi, hyspex_block

BANDS, SAMPLES, LINES = 4, 6, 5
NM = np.array([450.0, 455.0, 461.0, 468.0])
WIDTH = np.array([5.0, 6.0, 7.0, 7.0])
RNG = np.random.default_rng(9)
QE = RNG.uniform(0.3, 0.6, BANDS)
RE = RNG.uniform(0.8, 1.2, (BANDS, SAMPLES))
BACKGROUND = RNG.uniform(50.0, 90.0, (BANDS, SAMPLES))
SF, RADIUS_M, IFOV_X, IFOV_Y, US = 0.05, 0.005, 3e-4, 6e-4, 8000


def block(*, after: np.ndarray | None = None, bad: int = 0, extra: bytes = b"", **changed) -> bytes:
    """Write the record one field at a time, in the order of the maker's own reading routine."""
    values = {"serial": 500, "bands": BANDS, "samples": SAMPLES, "us": US, "sf": SF, "nobp": bad, "calib": 0}
    values |= changed
    u = lambda *numbers: struct.pack(f"<{len(numbers)}I", *numbers)  # noqa: E731
    s = lambda text, size: text.encode().ljust(size, b"\0")  # noqa: E731
    d = lambda *numbers: struct.pack(f"<{len(numbers)}d", *numbers)  # noqa: E731
    parts = [
        u(values["serial"]), s("VNIR.cfg", 200), s("set", 120), d(1.0), u(1, 2), s("COM1", 44),
        u(3, 4, 5, 6, 7), s("COM2", 64), s("detector", 200), s("CMOS", 176), d(30.0, 29.0, 28.0),
        s("grabber", 200), s("VNIR-1800", 200), s("NEO", 200), s("l", 32), s("r", 32), s("over sea", 200),
        s("bg", 200), b"\1", u(0, 1, 2, 200), u(values["bands"], values["samples"], 1, 0, values["us"], 9000),
        u(1, 2, 3, 4, 5, 6, 7),  # default R, G, B, bitshift, temperatureOffset, shutter, backgroundPresent
        u(*range(8)),  # power, current, bias, bandwidth, vin, vref, sensorVin, sensorVref
        u(*range(7)),  # coolingTemperature, windowStart, windowStop, readoutTime, p, i, d
        u(77, values["nobp"], 1, 2, 3, 4, 5, values["calib"], 1),  # numberOfFrames, nobp, dw, EQ, lens, ...
        d(values["sf"], RADIUS_M, IFOV_X, IFOV_Y, 25.0, 100.0), struct.pack("<5iI", 0, 0, 0, 0, 0, 1),
        NM.tobytes(), QE.tobytes(), RE.tobytes(), BACKGROUND.tobytes(), u(*range(bad)),
        b"" if after is None else after.tobytes(), extra,
    ]  # fmt: skip
    body = b"".join(parts)
    return s("HYSPEX", 8) + struct.pack("<i", values.get("size", len(body) + 12)) + body


def photon_counts(truth: np.ndarray) -> np.ndarray:
    """Return counts from radiance, W/(m2 sr nm), photon by photon."""
    energy = 6.62607015e-34 * 299_792_458.0 / (NM * 1e-9)  # J
    power = truth * (WIDTH * np.pi * RADIUS_M**2 * IFOV_X * IFOV_Y)[:, None]  # W
    electrons = power * (US * 1e-6) / energy[:, None] * QE[:, None] * RE
    return electrons * SF + BACKGROUND


def write(folder, data: bytes, name="line.hyspex"):
    path = folder / name
    path.write_bytes(data)
    return path


def test_radiance_of_a_whole_cube_comes_back(tmp_path):
    """Photons are counted forward; the cube behind its block is read as ENVI with a header offset."""
    truth = RNG.uniform(0.01, 0.1, (LINES, BANDS, SAMPLES))
    head = block()
    path = write(tmp_path, head + photon_counts(truth).astype("<f4").tobytes())
    keys = {
        "samples": SAMPLES, "lines": LINES, "bands": BANDS, "header offset": len(head), "data type": 4,
        "interleave": "bil", "byte order": 0, "file type": "ENVI Standard", "quantity": "counts",
        "integration time": US / 1000,
    }  # fmt: skip
    (tmp_path / "line.hyspex.hdr").write_text(
        "\n".join(["ENVI", *(f"{key} = {value}" for key, value in keys.items()), ""])
    )
    cube, _ = envi.read(path, label="line", name="line")
    calibration, report = hyspex_block.read(path)
    found, _ = radiance.calibrate(cube, calibration, stray=0)
    np.testing.assert_allclose(found.source.read(0, LINES)[0], truth, rtol=1e-4)
    np.testing.assert_array_equal(calibration.center_nm, NM)
    assert calibration.settings.integration_ms == 8.0
    assert report.details["serial"] == 500
    assert report.details["id"] == "VNIR-1800"
    assert report.details["sensor"] == "CMOS"
    assert not report.warnings


def test_a_second_background_is_told_by_its_size(tmp_path):
    after = BACKGROUND + 3.0
    found, _ = hyspex_block.read(write(tmp_path, block(after=after, bad=5)))
    np.testing.assert_array_equal(found.darks[0].level, BACKGROUND)
    np.testing.assert_array_equal(found.darks[1].level, after)
    found, _ = hyspex_block.read(write(tmp_path, block(extra=bytes(100))))  # resampling tables of some models
    assert len(found.darks) == 1


def test_what_is_not_understood_is_said(tmp_path):
    _, report = hyspex_block.read(write(tmp_path, block(bad=3, calib=1)))
    assert any("3 bad elements" in each for each in report.warnings)
    assert any("calibrated while it was taken" in each for each in report.warnings)


def test_elements_without_response_are_bad(tmp_path, monkeypatch):
    response = RE.copy()
    response[1, 2] = 0.0
    monkeypatch.setitem(globals(), "RE", response)
    found, _ = hyspex_block.read(write(tmp_path, block()))
    assert [tuple(each) for each in np.argwhere(found.bad_pixels)] == [(1, 2)]
    assert np.isnan(found.gain[1, 2])


def test_every_cut_is_refused(tmp_path):
    data = block()
    for length in range(0, len(data), 41):
        with pytest.raises(ReadError):
            hyspex_block.read(write(tmp_path, data[:length]))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"bands": 4000}, "do not fit"),
        ({"bands": 2**31, "samples": 2**31}, "do not fit"),
        ({"samples": 0}, "do not fit"),
        ({"us": 0}, "not greater than 0"),
        ({"sf": float("nan")}, "not greater than 0"),
        ({"size": 2**31 - 1}, "header block of 2147483647"),
        ({"size": -1}, "header block of -1"),
        ({"size": 3000}, "do not fit|header block of"),
        ({"nobp": 2**32 - 1}, "do not fit"),
    ],
)
def test_numbers_that_no_camera_has_are_refused(tmp_path, changed, match):
    with pytest.raises(ReadError, match=match):
        hyspex_block.read(write(tmp_path, block(**changed)))


def test_other_files(tmp_path):
    with pytest.raises(ReadError, match="does not begin with HYSPEX"):
        hyspex_block.read(write(tmp_path, b"ENVI\n" * 5000))
    with pytest.raises(ReadError, match="cannot be read"):
        hyspex_block.read(tmp_path / "absent")
