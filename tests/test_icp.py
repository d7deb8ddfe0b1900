"""Resonon calibration packs: planted frames come back; unsafe and damaged packs are refused."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dronesense.calibrate import radiance
from dronesense.errors import ReadError
from dronesense.model import Bands, SpectralCube
from dronesense.model.radiometry import CameraSettings
from dronesense.plugins import read_head
from dronesense.readers import icp, zip_pack

sys.path.insert(0, str(Path(__file__).parent))
from icp_writer import members, pack

BANDS, SAMPLES = 6, 8
RNG = np.random.default_rng(4)
GAIN = RNG.uniform(5.0, 200.0, (BANDS, SAMPLES))  # microflicks per count
DARKS = {
    (decibel, ms): RNG.integers(0, 12, (BANDS, SAMPLES))
    for decibel, ms in ((0, 5), (0, 75), (5, 20), (5, 75))
}


@pytest.fixture
def content() -> dict[str, bytes]:
    return members(GAIN, DARKS)


def test_every_frame_comes_back(tmp_path, content):
    path = pack(tmp_path / "pika.icp", content)
    found, report = icp.read(path)
    # 1 microflick = 1e-6 W/(cm2 sr um) = 1e-5 W/(m2 sr nm)
    np.testing.assert_allclose(found.gain, GAIN * 1e-5, rtol=1e-12)
    assert (found.settings.integration_ms, found.settings.gain_db) == (20.0, 0.0)
    np.testing.assert_array_equal(found.center_nm, 390.0 + 2.0 * np.arange(BANDS))
    assert found.bad_pixels is None
    assert len(found.darks) == len(DARKS)
    for dark in found.darks:
        key = (int(dark.settings.gain_db), int(dark.settings.integration_ms))
        np.testing.assert_array_equal(dark.level, DARKS[key])
    assert report.dropped == {"offset frame without gain and shutter in its name": 1}
    assert any("microflicks" in each for each in report.assumptions)
    assert any("dB" in each for each in report.assumptions)
    assert icp.sniff(path, read_head(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pika.icp"]  # nothing was unpacked


def test_a_cube_of_counts_comes_out_in_radiance(tmp_path, content):
    """The whole way: planted radiance, spectral binning of 2, half the exposure and 5 dB more gain."""
    calibration, _ = icp.read(pack(tmp_path / "pika.icp", content))
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.01, 0.05, (3, BANDS, SAMPLES))
    response = 1.0 / (GAIN * 1e-5) * (10.0 / 20.0) * 10 ** (5.0 / 20.0)
    counts = truth * response + DARKS[5, 20]
    binned = counts.reshape(3, BANDS // 2, 2, SAMPLES).sum(axis=2)

    class Source:
        shape = binned.shape

        def read(self, start, stop):
            return binned[start:stop].astype(np.float32), np.ones((stop - start, SAMPLES), dtype=bool)

    nm = 391.0 + 4.0 * np.arange(BANDS // 2)
    bands = Bands(nm, np.full(3, np.nan), np.ones(3, dtype=bool))
    cube = SpectralCube("x", Source(), bands, "counts", None, "", "x", 10.0)
    settings = CameraSettings(10.0, 5.0, 1, 2)
    found, _ = radiance.calibrate(cube, calibration, settings=settings, stray=0)
    # the maker's rule: the gain of a group is the mean gain of its elements over their number
    dark = DARKS[5, 20].reshape(BANDS // 2, 2, SAMPLES).sum(axis=1)
    gain = GAIN.reshape(BANDS // 2, 2, SAMPLES).mean(axis=1) / 2 * 1e-5 * 2.0 * 10 ** (-5.0 / 20.0)
    np.testing.assert_allclose(found.source.read(0, 3)[0], (binned - dark) * gain, rtol=1e-5)
    assert "offset_6bands_4095ceiling_5gain_8samples_20shutter" in " ".join(found.history)


def test_elements_without_gain_are_bad(tmp_path):
    gain = GAIN.copy()
    gain[2, 3] = 0.0
    gain[1, 1] = np.nan
    found, report = icp.read(pack(tmp_path / "p.icp", members(gain, DARKS)))
    assert {tuple(each) for each in np.argwhere(found.bad_pixels)} == {(2, 3), (1, 1)}
    assert any("2 elements" in each for each in report.warnings)


def test_a_unit_in_the_header_goes_before_the_usual_one(tmp_path, content):
    content["gain.bip.hdr"] += b"data units = mW/(m^2*sr*nm)\n"
    found, _ = icp.read(pack(tmp_path / "p.icp", content))
    np.testing.assert_allclose(found.gain, GAIN * 1e-3, rtol=1e-12)


def test_names_in_a_folder_and_other_files(tmp_path, content):
    moved = {f"pack/{name}": data for name, data in content.items()} | {"pack/readme.txt": b"x", "pack/": b""}
    found, _ = icp.read(pack(tmp_path / "p.icp", moved))
    assert len(found.darks) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda name, data: {name[:-4]: data[:-1]}, "damaged dark frame"),
        (lambda name, data: {name: b"ENVI\nsamples = x\n"}, "damaged dark frame"),
        (lambda name, data: {name[:-4]: None}, "damaged dark frame"),
        (
            lambda name, data: {
                name: data.replace(b"samples = 8", b"samples = 4").replace(b"lines = 1", b"lines = 2")
            },
            "dark frame of another size than the gain",
        ),
    ],
)
def test_a_damaged_dark_is_left_out_and_told(tmp_path, content, change, reason):
    name = "offset_6bands_4095ceiling_5gain_8samples_75shutter.bip.hdr"
    changed = change(name, content[name] if name.endswith("hdr") else b"")
    for key, data in changed.items():
        if data is None:
            del content[key]
        else:
            content[key] = content[key][:-1] if key.endswith(".bip") else data
    found, report = icp.read(pack(tmp_path / "p.icp", content))
    assert len(found.darks) == 3
    assert report.dropped[reason] == 1


def test_a_damaged_gain_is_refused(tmp_path, content):
    content["gain.bip"] = content["gain.bip"][:-8]
    with pytest.raises(ReadError, match=r"376 bytes, but its header asks for 384"):
        icp.read(pack(tmp_path / "p.icp", content))
    del content["gain.bip"]
    with pytest.raises(ReadError, match="no data file"):
        icp.read(pack(tmp_path / "p.icp", content))
    del content["gain.bip.hdr"]
    with pytest.raises(ReadError, match="0 gain frames"):
        icp.read(pack(tmp_path / "p.icp", content))


def test_every_cut_of_a_pack_is_refused(tmp_path, content):
    path = pack(tmp_path / "p.icp", content)
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(ReadError):
            icp.read(path)


def test_every_damaged_byte_is_refused_or_harmless(tmp_path, content):
    """A flipped byte is found by the checksum, or lies where nothing is read from."""
    path = pack(tmp_path / "p.icp", content)
    data = bytearray(path.read_bytes())
    whole, _ = icp.read(path)
    for at in range(0, len(data), 61):
        data[at] ^= 0xFF
        path.write_bytes(bytes(data))
        data[at] ^= 0xFF
        try:
            found, _ = icp.read(path)
        except ReadError:
            continue
        np.testing.assert_array_equal(found.gain, whole.gain)


@pytest.mark.parametrize(
    "name", ["../evil.hdr", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil"]
)
def test_names_that_lead_outside_are_refused(tmp_path, content, name):
    content[name] = b"x"
    with pytest.raises(ReadError, match="leads outside"):
        icp.read(pack(tmp_path / "p.icp", content))
    assert [each.name for each in tmp_path.iterdir()] == ["p.icp"]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, content, monkeypatch):
    monkeypatch.setattr(zip_pack, "RATIO_FROM_BYTES", 100_000)
    content["gain.bip"] = bytes(1_000_000)
    with pytest.raises(ReadError, match="bytes unpack to 1000000"):
        icp.read(pack(tmp_path / "p.icp", content))
    monkeypatch.setattr(zip_pack, "MAX_MEMBER_BYTES", 999_999)
    with pytest.raises(ReadError, match="more than 999999"):
        icp.read(pack(tmp_path / "p.icp", content))
    monkeypatch.undo()
    monkeypatch.setattr(zip_pack, "MAX_TOTAL_BYTES", 1_000)
    with pytest.raises(ReadError, match="more than 1000"):
        icp.read(pack(tmp_path / "p.icp", members(GAIN, DARKS)))
    monkeypatch.setattr(zip_pack, "MAX_MEMBERS", 3)
    with pytest.raises(ReadError, match="more than 3"):
        icp.read(pack(tmp_path / "p.icp", members(GAIN, DARKS)))


def test_a_member_that_lies_about_its_size_is_refused(tmp_path, content):
    path = pack(tmp_path / "p.icp", content)
    data = path.read_bytes()
    true, lie = (384).to_bytes(4, "little"), (380).to_bytes(4, "little")
    assert data.count(true) >= 2  # local header and directory of gain.bip
    path.write_bytes(data.replace(true, lie))
    with pytest.raises(ReadError):
        icp.read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path, content):
    path = pack(tmp_path / "p.icp", content)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("gain.bip", b"other")
    with pytest.raises(ReadError, match="twice"):
        icp.read(path)


def test_encrypted_members_are_refused(tmp_path, content):
    path = pack(tmp_path / "p.icp", content)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match="encrypted"):
        icp.read(path)


def test_other_files(tmp_path):
    path = tmp_path / "x.icp"
    path.write_bytes(b"no zip")
    assert not icp.sniff(path, read_head(path))
    with pytest.raises(ReadError, match="no whole zip"):
        icp.read(path)
    with pytest.raises(ReadError, match="cannot be opened"):
        icp.read(tmp_path / "absent.icp")
