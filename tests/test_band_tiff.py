"""Band files: tags, XMP by local name, what each maker writes, damage."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.readers import band_tiff, captures, exif, tiff_directory, xmp
from dronesense.readers.tally import Tally

sys.path.insert(0, str(Path(__file__).parent))
import band_tiff_writer as write

PIXELS = np.full((8, 10), 9000, dtype=np.uint16)


def test_tags_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = write.rededge(tmp_path, PIXELS, 1)
    tags = exif.read(path)
    assert (tags.text(exif.MAKE), tags.text(exif.MODEL)) == ("MicaSense", "RedEdge")
    assert tags.number(exif.EXPOSURE) == 0.0004725
    assert tags.number(exif.F_NUMBER) == 2.8
    assert tags.numbers(exif.BLACK_LEVEL).tolist() == [4800.0] * 4
    assert tags.number(99) != tags.number(99)  # NaN
    lon, lat, height = exif.position(tags) or (0.0, 0.0, 0.0)
    # 36 deg 34 min 33.9456 s N; 119 deg 26 min 6.968 s W
    assert lat == pytest.approx(36 + 34 / 60 + 33.9456 / 3600, abs=1e-12)
    assert lon == pytest.approx(-(119 + 26 / 60 + 6.968 / 3600), abs=1e-12)
    assert height == 101.861


def test_a_place_of_zeros_is_no_place(tmp_path: Path) -> None:
    zero = [(0, 1), (0, 1), (0, 1)]
    gps = {1: ("ascii", "N"), 2: ("rational", zero), 3: ("ascii", "E"), 4: ("rational", zero)}
    path = write.write(tmp_path / "a.tif", PIXELS, make="x", model="y", xmp="", gps=gps)
    assert exif.position(exif.read(path)) is None


def test_below_sea_level_and_south(tmp_path: Path) -> None:
    gps = {
        1: ("ascii", "S"),
        2: ("rational", [(1, 1), (30, 1), (0, 1)]),
        3: ("ascii", "E"),
        4: ("rational", [(2, 1), (0, 1), (0, 1)]),
        5: ("byte", [1]),
        6: ("rational", [(7, 2)]),
    }
    path = write.write(tmp_path / "a.tif", PIXELS, make="x", model="y", xmp="", gps=gps)
    assert exif.position(exif.read(path)) == (2.0, -1.5, -3.5)


@pytest.mark.parametrize(
    "uri", ["http://pix4d.com/1.0", "http://pix4d.com/camera/1.0/", "http://pix4d.com/camera/1.0"]
)
def test_names_are_matched_whatever_their_namespace(tmp_path: Path, uri: str) -> None:
    found = band_tiff.read(write.rededge(tmp_path, PIXELS, 3, camera_uri=uri))
    assert (found.frame.band, found.frame.center_nm, found.frame.fwhm_nm) == ("Red", 668.0, 10.0)
    assert found.frame.parameters["RadiometricCalibration"] == (1.5e-4, 1.1e-7, 1.4e-6)
    assert (found.family, found.capture_id, found.serial) == ("micasense", "abc", "")
    # 2017-10-19T20:40:39.200173789Z
    assert found.time == 1_508_445_639_200_173_789


def test_attribute_or_element_is_the_same() -> None:
    a = xmp.parse(write.packet('<rdf:Description xmlns:q="u" q:One="1,2" q:Two="x"/>').encode(), Path("a"))
    body = f'<rdf:Description xmlns:q="u">{write.sequence("q:One", 1, 2)}<q:Two>x</q:Two></rdf:Description>'
    b = xmp.parse(write.packet(body).encode() + b"\0" * 40, Path("b"))
    for each in (a, b):
        assert each.numbers("One") == (1.0, 2.0)
        assert each.text("Missing", "Two") == "x"
        assert each.numbers("Missing") == ()


def test_one_name_in_two_namespaces() -> None:
    body = '<rdf:Description xmlns:c="http://pix4d.com/camera" xmlns:d="http://micasense.com/DLS/1.0/" '
    packet = xmp.parse(write.packet(body + 'c:Yaw="10" d:Yaw="0.5"/>').encode(), Path("a"))
    assert packet.number("Yaw", like="dls") == 0.5
    assert packet.number("Yaw", like="camera") == 10.0


def test_entities_are_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><rdf:RDF xmlns:rdf="u">&a;</rdf:RDF>'
    with pytest.raises(ReadError, match=r"sound XML|entities"):
        xmp.parse(bomb, Path("a.tif"))


def test_no_xmp_bad_xmp_and_numbers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="has no XMP"):
        band_tiff.read(write.rededge(tmp_path, PIXELS, 1, xmp=""))
    with pytest.raises(ReadError, match="not sound XML"):
        band_tiff.read(write.rededge(tmp_path, PIXELS, 1, xmp="<x:xmpmeta xmlns:x='u'><a></x:xmpmeta>"))
    with pytest.raises(ReadError, match='RadiometricCalibration = "a,b,c", not numbers'):
        band_tiff.read(write.rededge(tmp_path, PIXELS, 1, radiometry=("a", "b", "c")))  # type: ignore[arg-type]
    with pytest.raises(ReadError, match="5 numbers in VignettingPolynomial"):
        band_tiff.read(write.rededge(tmp_path, PIXELS, 1, vignetting=(0.0,) * 5))


def test_other_tiffs_are_no_band_files(tmp_path: Path) -> None:
    path = write.write(tmp_path / "a.tif", PIXELS, make="Canon", model="R5", xmp="")
    with pytest.raises(ReadError, match='known multispectral camera \\(make "Canon"'):
        band_tiff.read(path)
    text = tmp_path / "b.tif"
    text.write_text("no TIFF at all")
    with pytest.raises(ReadError, match="not a TIFF"):
        exif.read(text)


@pytest.mark.parametrize("cut", [9, 100, 170, 260, 700, 1200])
def test_a_cut_file_is_told(tmp_path: Path, cut: int) -> None:
    path = write.rededge(tmp_path, PIXELS, 1)
    content = path.read_bytes()
    assert cut < len(content)
    path.write_bytes(content[:cut])
    with pytest.raises(ReadError, match=r"ends within|asks for|cannot be opened"):
        band_tiff.read(path)


@pytest.mark.parametrize("subsecond", ["-25", "75", "0", ""])
def test_negative_fractions_of_a_second(tmp_path: Path, subsecond: str) -> None:
    """Some RedEdge firmware writes negative SubSecTime (MicaSense imageprocessing, pull request 230)."""
    path = write.rededge(tmp_path, PIXELS, 1, clock="1970:01:01 00:00:10", subsecond=subsecond)
    expected = {"-25": 9_750_000_000, "75": 10_750_000_000}.get(subsecond, 10_000_000_000)
    assert band_tiff.read(path).time == expected


def test_sequoia(tmp_path: Path) -> None:
    # one record of 28 bytes: time 5, count 14, count 7, gain 1, exposure 100, three angles 0
    sun = "BQAAAAAAAAAOAAcAAQBkAAAAAAAAAAAAAAAAAA=="
    found = band_tiff.read(write.sequoia(tmp_path, PIXELS, "NIR", sun=sun))
    frame = found.frame
    assert (found.family, frame.band, frame.center_nm, frame.gain) == ("sequoia", "NIR", 790.0, 621.0)
    assert frame.parameters["SensorModel"] == (271665.8, 5008.3, 2581.1)
    assert frame.black_level == 5008.3
    assert (frame.parameters["SunCount"], frame.parameters["SunExposure"]) == ((14.0,), (100.0,))
    assert found.position is None
    assert any("taken as UTC" in text for text in found.assumptions)
    with pytest.raises(ReadError, match="IrradianceList of 3 bytes"):
        band_tiff.read(write.sequoia(tmp_path, PIXELS, "NIR", sun="AAAA"))


def test_mavic_3m(tmp_path: Path) -> None:
    extra = (
        'drone-dji:DewarpData="2022-09-01;2200.0,2201.0,1.5,-2.5,0.1,0.2,0.001,0.002,0.3" '
        'drone-dji:CalibratedHMatrix="1,0,5,0,1,-3,0,0,1"'
    )
    found = band_tiff.read(write.dji(tmp_path, PIXELS, "DJI_0001_MS_NIR.TIF", "NIR", extra=extra))
    frame = found.frame
    assert (found.family, frame.band, frame.center_nm, frame.fwhm_nm) == ("dji-m3m", "NIR", 860.0, 32.0)
    assert (frame.black_level, frame.gain, frame.exposure_s) == (3200.0, 1.044, 0.001)
    assert frame.homography == (1.0, 0.0, 5.0, 0.0, 1.0, -3.0, 0.0, 0.0, 1.0)
    assert frame.lens is not None
    assert frame.lens.center_px == (1.5, -2.5)
    assert frame.lens.distortion == (0.1, 0.2, 0.001, 0.002, 0.3)
    assert found.position == (-113.25, 22.5, 50.0)
    assert found.attitude_deg == (10.5, -90.0, 0.0)
    assert found.time == 1_678_330_077_125_000_000  # 2023-03-09T02:47:57.125Z


def test_a_mavic_by_its_full_name(tmp_path: Path) -> None:
    path = write.dji(
        tmp_path,
        PIXELS,
        "A_MS_R.TIF",
        "Red",
        model="Mavic 3 Multispectral",
        extra='drone-dji:BlackCurrent="3200"',
    )
    assert band_tiff.read(path).family == "dji-m3m"


def test_p4_multispectral_has_its_black_level_in_a_tag(tmp_path: Path) -> None:
    found = band_tiff.read(write.dji(tmp_path, PIXELS, "DJI_0011.TIF", "Blue", model="FC6360"))
    assert (found.family, found.frame.black_level, found.frame.center_nm) == ("dji-p4m", 4096.0, 450.0)


def test_thermal_and_panchromatic_bands_stay_out(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4, 5):
        write.rededge(tmp_path, PIXELS, number, model="Altum")
    lwir = write.rededge(tmp_path, PIXELS[:4, :5], 5, model="Altum", stem="X")
    text = lwir.read_bytes().replace(b"Red edge", b"LWIR    ")
    (tmp_path / "IMG_0000_6.tif").write_bytes(text)
    tally = Tally()
    capture, _ = captures.read(tmp_path / "IMG_0000_1.tif", tally)
    assert [frame.band for frame in capture.frames] == ["Blue", "Green", "Red", "Red edge", "NIR"]
    assert tally.warnings == ["thermal band IMG_0000_6.tif is not part of the cube"]


def test_the_fields_of_a_tiff_that_is_no_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"PNG no TIFF")
    assert tiff_directory.entries(path) is None


def test_real_files(shared_data: Path) -> None:
    """Truths of MicaSense imageprocessing's own tests for this file."""
    found = band_tiff.read(shared_data / "spectral/msi/rededge_0000SET/IMG_0000_1.tif")
    frame = found.frame
    assert frame.black_level == 4800.0
    assert np.mean(frame.parameters["DarkRowValue"]) == 5071.5
    assert frame.exposure_s == 0.0004725
    assert frame.lens is not None
    assert frame.lens.focal_px[0] / 266.666667 == pytest.approx(5.43509341, abs=1e-7)
    assert found.time == 1_508_445_639_200_173_789
    assert found.position == pytest.approx((-119.4352689, 36.576096, 101.861), abs=1e-7)
