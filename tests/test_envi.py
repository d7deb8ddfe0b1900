"""ENVI cubes: round trips against NumPy, real files against SPy, every cut noticed."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.model import Instrument, LineCamera, LineScan, MapGrid, Mount
from dronesense.model.radiometry import CameraSettings
from dronesense.plugins import read_head
from dronesense.readers import envi
from dronesense.readers.envi_header import DTYPES

ORDERS = {
    "bil": (0, 1, 2),
    "bip": (0, 2, 1),
    "bsq": (1, 0, 2),
}  # from (rows, bands, cols) to the order of the file
SHAPE = (3, 2, 4)

HEADER = """ENVI
description = {{x}}
samples = {cols}
lines = {rows}
bands = {bands}
header offset = {offset}
file type = ENVI Standard
data type = {code}
interleave = {interleave}
byte order = {order}
{more}
"""


def write(
    folder: Path, truth: np.ndarray, *, code=12, interleave="bil", order=0, offset=0, more="", name="x"
) -> Path:
    """Write *truth* (rows, bands, cols) as ENVI with nothing of the code under test; return the header."""
    rows, bands, cols = truth.shape
    dtype = np.dtype(DTYPES[code]).newbyteorder(">" if order else "<")
    data = np.ascontiguousarray(truth.transpose(ORDERS[interleave]), dtype=dtype)
    (folder / f"{name}.bil").write_bytes(b"\xa5" * offset + data.tobytes())
    header = folder / f"{name}.bil.hdr"
    header.write_text(
        HEADER.format(
            cols=cols,
            rows=rows,
            bands=bands,
            offset=offset,
            code=code,
            interleave=interleave,
            order=order,
            more=more,
        )
    )
    return header


def counts(shape=SHAPE) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def read(path: Path, **kwargs):
    return envi.read(path, label=path.name, name="x", **kwargs)


def camera(samples=4, saturation_dn=float("inf")) -> Instrument:
    spec = LineCamera(samples, np.zeros((samples, 2)), saturation_dn)
    return Instrument("cam", "line_scan", spec, Mount(), "cam.toml")


@pytest.mark.parametrize(("code", "order", "interleave"), list(itertools.product(DTYPES, (0, 1), ORDERS)))
def test_every_type_order_interleave(tmp_path, code, order, interleave):
    info = np.finfo(DTYPES[code]) if DTYPES[code][0] == "f" else np.iinfo(DTYPES[code])
    truth = np.linspace(float(info.min) / 2, float(info.max) / 2, int(np.prod(SHAPE))).reshape(SHAPE)
    truth = truth.astype(DTYPES[code])
    cube, _ = read(write(tmp_path, truth, code=code, order=order, interleave=interleave, offset=7))
    assert cube.shape == SHAPE
    with np.errstate(over="ignore"):
        expected = truth.astype(np.float32)
    for start, stop in ((0, 3), (1, 2), (2, 3)):
        values, valid = cube.source.read(start, stop)
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        np.testing.assert_array_equal(values, expected[start:stop])
        np.testing.assert_array_equal(valid, np.isfinite(expected[start:stop]).all(axis=1))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_round_trip(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5)))
    code = data.draw(st.sampled_from(sorted(DTYPES)))
    kind = np.dtype(DTYPES[code])
    seed = data.draw(st.integers(0, 2**32 - 1))
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * kind.itemsize)
    truth = np.frombuffer(raw, dtype=kind).reshape(shape)
    header = write(
        tmp_path_factory.mktemp("e"),
        truth,
        code=code,
        order=data.draw(st.sampled_from((0, 1))),
        interleave=data.draw(st.sampled_from(sorted(ORDERS))),
        offset=data.draw(st.integers(0, 20)),
    )
    cube, _ = read(header)
    budget = data.draw(st.integers(1, 200))
    blocks = list(cube.blocks(budget))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = truth.astype(np.float32)
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), expected)
    assert [block.start for block in blocks] == list(
        np.cumsum([0] + [len(block.values) for block in blocks[:-1]])
    )


@pytest.mark.parametrize("change", [-1, -4, 1, 8])
def test_wrong_size_is_refused_with_both_sizes(tmp_path, change):
    header = write(tmp_path, counts())
    data = header.with_suffix("")
    raw = data.read_bytes()
    data.write_bytes(raw[:change] if change < 0 else raw + bytes(change))
    with pytest.raises(ReadError) as error:
        read(header)
    assert str(len(raw)) in str(error.value)
    assert str(len(raw) + change) in str(error.value)


def test_every_cut_of_the_data_is_refused(tmp_path):
    header = write(tmp_path, counts())
    data = header.with_suffix("")
    raw = data.read_bytes()
    for length in range(len(raw)):
        data.write_bytes(raw[:length])
        with pytest.raises(ReadError):
            read(header)


def test_a_cut_after_opening_is_refused(tmp_path):
    header = write(tmp_path, counts())
    cube, _ = read(header)
    os.truncate(header.with_suffix(""), 10)
    with pytest.raises(ReadError, match="changed"):
        cube.source.read(0, 3)


def test_every_cut_of_the_header_is_refused_or_said(tmp_path):
    header = write(tmp_path, counts(), more="wavelength = {\n 500.25,\n 600.5}")
    text = header.read_text().rstrip("\n") + "\n"
    line_ends = {at + 1 for at, char in enumerate(text) if char == "\n"}
    for length in range(len(text) - 1):
        header.write_text(text[:length])
        try:
            _, report = read(header)
        except ReadError:
            continue
        assert report.warnings or report.assumptions, length
        assert report.warnings or length in line_ends or text[length - 1] in "}=\n ", (
            length,
            text[:length][-20:],
        )


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("ENVI\n", "NROWS 3\nNCOLS 4\n", "ESRI"),
        ("ENVI\n", "ENVIRONMENT\n", "first line"),
        ("interleave = bil", "interleave = bill", 'did you mean "bil"'),
        ("interleave = bil\n", "", '"interleave" is missing'),
        ("data type = 12", "data type = 7", "one of 1, 2, 3, 4, 5, 12, 13, 14"),
        ("data type = 12", "data type = 15", "unsigned 64-bit"),
        ("ENVI Standard", "TIFF", "another container"),
        ("data type = 12", "data type = 6", "complex"),
        ("data type = 12", "data type = 9", "complex"),
        ("lines = 3", "lines = 0", "greater than 0"),
        ("lines = 3", "lines = -3", "greater than 0"),
        ("lines = 3", "lines = 3.5", "whole number"),
        ("lines = 3", "lines = 99999999999", "greater than 0"),
        ("lines = 3", "lines = 3\nLINES = 4", "stands twice"),
        ("lines = 3", "linse = 3", 'did you mean "linse"'),
        ("byte order = 0", "byte order = 2", "byte order"),
        ("header offset = 0", "header offset = -2", "negative"),
        ("byte order = 0", "byte order = 0\nmajor frame offsets = {0, 8}", "frame offsets"),
        ("byte order = 0", "byte order = 0\nfile compression = 1", "compressed"),
        ("ENVI Standard", "ENVI Spectral Library", "signature"),
        ("ENVI Standard", "ENVI Classification", "classification"),
        ("byte order = 0", "byte order = 0\nwavelength = {1, 2, 3}", "3 values for 2 bands"),
        ("byte order = 0", "byte order = 0\nwavelength = {1, x}", "not a number"),
        ("byte order = 0", "byte order = 0\nwavelength = {1, 2", "never closed"),
        (
            "byte order = 0",
            "byte order = 0\nwavelength units = Hz\nwavelength = {1, 2}",
            "unit of wavelengths",
        ),
        ("byte order = 0", "byte order = 0\nquantity = albedo", "counts, radiance, reflectance"),
        ("byte order = 0", "byte order = 0\nreflectance scale factor = 0", "greater than 0"),
        ("byte order = 0", "byte order = 0\ndata ignore value = below 0", "not a number"),
        (
            "byte order = 0",
            "byte order = 0\nwavelength units = nm\nwavelength = {0.45, 0.9}",
            "from 0.45 to 0.9 cannot be in nm",
        ),
        (
            "byte order = 0",
            "byte order = 0\nwavelength units = um\nwavelength = {450, 900}",
            "from 450 to 900 cannot be in um",
        ),
        (
            "byte order = 0",
            "byte order = 0\nband names = {400 nm, 500 nm}\nband names = {500 nm, 600 nm}",
            '"band names" stands twice, with two values',
        ),
    ],
)
def test_refused_headers(tmp_path, old, new, match):
    header = write(tmp_path, counts())
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, 1))
    with pytest.raises(ReadError, match=match) as error:
        read(header)
    assert "x.bil.hdr" in str(error.value)


def test_other_files_named_hdr(tmp_path):
    header = write(tmp_path, counts())
    header.write_bytes((348).to_bytes(4, "little") + bytes(344))
    with pytest.raises(ReadError, match="NIfTI"):
        read(header)
    header.write_bytes(b"")
    with pytest.raises(ReadError, match="empty"):
        read(header)
    header.write_bytes(b"ENVI\n" + b"x" * (1 << 20))
    with pytest.raises(ReadError, match="1 MiB"):
        read(header)


def test_tolerant_header(tmp_path):
    """What Headwall, Resonon, Specim and frame cameras write, in one header."""
    header = write(tmp_path, counts())
    header.write_bytes(
        b"\xef\xbb\xbfENVI\r\n"
        b"description={[HEADWALL Hyperspec III]}\r\n"
        b"SAMPLES=4\r\nLines   =  3\r\nbands = 2\r\nData  Type = 12\r\nINTERLEAVE = BIL\r\n"
        b"swir {x,y} displacement to vnir = {1,2}\r\n"
        b'gps={"$GNRMC,1}{",\r\n"b"}\r\n'
        b"a note without a sign\r\n"
        b"wavelength = {\r\n379.027\r\n,379.663\r\n}\r\n"
        b";Serial Number = G4-426\r\n"
    )
    cube, report = read(header)
    np.testing.assert_array_equal(cube.source.read(0, 3)[0], counts())
    np.testing.assert_array_equal(cube.bands.center_nm, [379.027, 379.663])
    assert report.details["comments"] == ["Serial Number = G4-426"]
    said = " ".join(report.assumptions)
    for key in ("byte order", "header offset", "file type", "wavelength units", "quantity"):
        assert key in said
    assert any("a note without" in warning for warning in report.warnings)


def test_an_unbalanced_quote_swallows_nothing(tmp_path):
    header = write(tmp_path, counts(), more='lens = {5" wide}\ngps = {"a,b"}\nwavelength = {500, 600}')
    cube, _ = read(header)
    np.testing.assert_array_equal(cube.bands.center_nm, [500, 600])


@pytest.mark.parametrize(
    ("more", "expected", "guessed"),
    [
        ("wavelength = {450, 900}", [450, 900], True),
        ("wavelength = {0.45, 0.9}", [450, 900], True),
        ("wavelength units = Nanometers\nwavelength = {150, 190}", [150, 190], False),
        ('wavelength units = "Nanometers"\nwavelength = {450, 900}', [450, 900], False),
        ("wavelength units = None\nwavelength = {450, 900}", [450, 900], True),
        ("wavelength = {1, 2}", [np.nan, np.nan], True),  # the numbers of the bands
        ("wavelength = {450, 900}\nband names = {a, b}\nband names = {c, d}", [450, 900], True),
        ("band names = {450.5 nanometres, 0.9 microns}", [450.5, 900], True),
        ("wavelength units = um\nwavelength = {0.45, 0.9}", [450, 900], False),
        ("wavelength units = Micrometers\nwavelength = {0.45, 0.9}", [450, 900], False),
        ("band names = {Band 1 (450.5 Nanometers), Band 2 (0.9 um)}", [450.5, 900], True),
        ("band names = {450.5 Nanometers, 900 Nanometers}", [450.5, 900], True),
        ("band names = {1, 2}", [np.nan, np.nan], False),
        ("wavelength = {5, 5}", [np.nan, np.nan], True),
        ("", [np.nan, np.nan], False),
    ],
)
def test_wavelengths(tmp_path, more, expected, guessed):
    cube, report = read(write(tmp_path, counts(), more=more))
    np.testing.assert_allclose(cube.bands.center_nm, expected, rtol=1e-15)
    assert any("wavelength" in each for each in report.assumptions) == guessed


def test_fwhm_and_bad_bands(tmp_path):
    more = "wavelength units = um\nwavelength = {0.45, 0.9}\nfwhm = {0.005, 0.006}\nbbl = {1, 0}"
    cube, _ = read(write(tmp_path, counts(), more=more))
    np.testing.assert_allclose(cube.bands.fwhm_nm, [5.0, 6.0])
    np.testing.assert_array_equal(cube.bands.good, [True, False])


def test_masks(tmp_path):
    truth = counts()
    truth[0, 0, 1] = 65535  # saturated
    truth[1, 1, 2] = 999  # no data
    truth[2, 1, 3] = 70000 - 65536
    header = write(tmp_path, truth, more="data ignore value = 999")
    cube, _ = read(header, instrument=camera(saturation_dn=65535))
    expected = np.ones((3, 4), dtype=bool)
    expected[0, 1] = expected[1, 2] = False
    np.testing.assert_array_equal(cube.source.read(0, 3)[1], expected)
    header.write_text(header.read_text() + "bbl = {1, 0}\n")  # band 1 no longer counts
    cube, _ = read(header, instrument=camera(saturation_dn=65535))
    expected[1, 2] = True
    np.testing.assert_array_equal(cube.source.read(0, 3)[1], expected)


def test_decimal_no_data_values_are_found_at_their_precision(tmp_path):
    truth = counts()
    truth[0, 0, 0] = -0.9999
    truth[1, 0, 0] = np.nan
    truth[2, 0, 0] = np.inf
    cube, _ = read(write(tmp_path, truth, code=4, more="data ignore value = -0.9999"))
    values, valid = cube.source.read(0, 3)
    assert not valid[:, 0].any()
    assert valid[:, 1:].all()
    np.testing.assert_array_equal(values, truth.astype(np.float32))
    cube, _ = read(write(tmp_path, counts(), more="data ignore value = -0.9999"))  # never in whole numbers
    assert cube.source.read(0, 3)[1].all()


@pytest.mark.parametrize(
    ("code", "more", "quantity", "divisor"),
    [
        (12, "", "counts", 1),
        (4, "", "radiance", 1),
        (4, "reflectance scale factor = 100", "reflectance", 100),
        (12, "reflectance scale factor = 10000", "reflectance", 10000),
        (4, "quantity = counts", "counts", 1),
        (12, "quantity = Radiance", "radiance", 1),
    ],
)
def test_quantity(tmp_path, code, more, quantity, divisor):
    cube, report = read(write(tmp_path, counts(), code=code, more=more))
    assert cube.quantity == quantity
    np.testing.assert_allclose(cube.source.read(0, 3)[0], counts() / divisor, rtol=1e-6)
    assert any("assumed" in each for each in report.assumptions) == ("quantity =" not in more)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("integration time = 8.5", 8.5),
        ("tint1 = 28.000000", 28.0),
        ("shutter = 4.25", 4.25),
        ("integration time = {2, 2}", 2.0),
        ("integration time = {2, 3}", np.nan),
        ("tint1 = 28\ntint2 = 8", np.nan),
        ("shutter = auto", np.nan),
        ("", np.nan),
    ],
)
def test_integration_time(tmp_path, more, expected):
    cube, report = read(write(tmp_path, counts(), more=more))
    np.testing.assert_equal(cube.integration_ms, expected)
    assert not more or any(more.split(" =")[0] in each for each in report.assumptions)


@pytest.mark.parametrize(
    ("info", "crs", "transform"),
    [
        ("UTM, 1, 1, 500000, 4000000, 2, 2, 43, North, WGS-84", "EPSG:32643", (2, 0, 500000, 0, -2, 4000000)),
        ("UTM, 1, 1, 5e5, 4e6, 2, 3, 43, South, WGS-84, units=Meters", "EPSG:32743", (2, 0, 5e5, 0, -3, 4e6)),
        # the reference pixel is the center of the pixel (2, 3), counted from 1
        ("UTM, 2.5, 3.5, 5e5, 4e6, 2, 2, 43, North, WGS-84", "EPSG:32643", (2, 0, 499997, 0, -2, 4000005)),
        (
            "UTM, 1.0, 1.0, 441371.0, 4855941.0, 0.04, 0.04, 15, T, WGS-84, units  meters, rotation  0.000",
            "EPSG:32615",
            (0.04, 0, 441371.0, 0, -0.04, 4855941.0),
        ),
        ("UTM, 1, 1, 5e5, 4e6, 2, 2, 13, North, NAD-83", "EPSG:26913", (2, 0, 5e5, 0, -2, 4e6)),
        (
            "Geographic Lat/Lon, 1, 1, -89.38, 43.1, 1e-5, 1e-5, units=Degrees",
            "EPSG:4326",
            (1e-5, 0, -89.38, 0, -1e-5, 43.1),
        ),
        ("Geographic Lat/Lon, 1, 1, 7, 43, 1, 1, WGS-84, units=Degrees", "EPSG:4326", (1, 0, 7, 0, -1, 43)),
        # a quarter turn counterclockwise: the columns run north, the rows east
        ("UTM, 1, 1, 5e5, 4e6, 2, 3, 43, North, WGS-84, rotation=90", "EPSG:32643", (0, 3, 5e5, 2, 0, 4e6)),
    ],
)
def test_map_info(tmp_path, info, crs, transform):
    cube, _ = read(write(tmp_path, counts(), more=f"map info = {{{info}}}"))
    assert isinstance(cube.geometry, MapGrid)
    assert cube.geometry.crs == crs
    np.testing.assert_allclose(cube.geometry.transform, transform, atol=1e-9)


@pytest.mark.parametrize("rotation", [0, 30, -75])
def test_map_info_against_gdal(tmp_path, rotation):
    rasterio = pytest.importorskip("rasterio")
    place = "UTM, 1, 1, 441371.5, 4855941.25, 0.5, 0.5, 15, North, WGS-84, units=Meters"
    header = write(tmp_path, counts(), more=f"map info = {{{place}, rotation={rotation}}}")
    with rasterio.open(header.with_suffix(""), driver="ENVI") as peer:
        expected = tuple(peer.transform)[:6]
        assert peer.crs.to_epsg() == 32615
    np.testing.assert_allclose(read(header)[0].geometry.transform, expected, atol=1e-9)


def test_map_info_falls_back_on_the_wkt(tmp_path):
    more = "map info = {Lambert, 1, 1, 0, 0, 2, 2, units=Meters}"
    wkt = 'PROJCS["L",GEOGCS["G"]]'
    header = write(tmp_path, counts(), more=f"{more}\ncoordinate system string = {{{wkt}}}")
    assert read(header)[0].geometry.crs == wkt
    cube, report = read(write(tmp_path, counts(), more=more))
    assert cube.geometry is None
    assert any("not understood" in warning for warning in report.warnings)
    assert (
        read(write(tmp_path, counts(), more="map info = {Arbitrary, 1, 1, 0, 0, 1, 1}"))[0].geometry is None
    )


@pytest.mark.parametrize(
    ("info", "match"),
    [
        ("UTM, 1, 1, 5e5, 4e6, 2, 2, 43, S, WGS-84", "write North or South"),
        ("UTM, 1, 1, 5e5, 4e6, 2, 2, 61, North, WGS-84", "UTM zone"),
        ("UTM, 1, 1, 5e5, 4e6, 2, 2, 4\u00b9, North, WGS-84", "UTM zone"),
        ("UTM, 1, 1, 5e5, 4e6, 0, 2, 43, North, WGS-84", "greater than 0"),
        ("UTM, 1, 1, x", "numbers"),
    ],
)
def test_map_info_that_would_be_guessed_wrong(tmp_path, info, match):
    with pytest.raises(ReadError, match=match):
        read(write(tmp_path, counts(), more=f"map info = {{{info}}}"))


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("y.hdr", "y"),
        ("y.hdr", "y.dat"),
        ("y.hdr", "y.RAW"),
        ("y.hdr", "y.lut"),
        ("y.bip.hdr", "y.bip"),
        ("Y.HDR", "y.img"),
    ],
)
def test_pairs_from_either_file(tmp_path, header, data):
    source = write(tmp_path, counts())
    source.with_suffix("").rename(tmp_path / data)
    source.rename(tmp_path / header)
    for path in (tmp_path / header, tmp_path / data):
        assert envi.pair(path) == (tmp_path / header, tmp_path / data)
        cube, report = read(path)
        np.testing.assert_array_equal(cube.source.read(0, 3)[0], counts())
        assert report.companions == tuple(
            str(tmp_path / each) for each in (header, data) if each != path.name
        )


def test_pairs_that_are_not_there(tmp_path):
    header = write(tmp_path, counts())
    data = header.with_suffix("")
    data.unlink()
    with pytest.raises(ReadError, match="no data file"):
        read(header)
    header.unlink()
    data.write_bytes(b"x")
    with pytest.raises(ReadError, match=r"no ENVI header: x.bil.hdr or x.hdr"):
        read(data)


def test_of_several_data_files_the_size_decides(tmp_path):
    header = write(tmp_path, counts())
    header.with_suffix("").rename(tmp_path / "y.dat")
    (tmp_path / "y.raw").write_bytes(b"x")
    header = header.rename(tmp_path / "y.hdr")
    assert envi.pair(header)[1].name == "y.dat"
    (tmp_path / "y.raw").write_bytes((tmp_path / "y.dat").read_bytes())
    with pytest.raises(ReadError, match=r"several data files fit: y.dat, y.raw"):
        read(header)


def test_a_data_file_key_never_leads_outside(tmp_path):
    inner = tmp_path / "in"
    inner.mkdir()
    header = write(inner, counts()).rename(inner / "y.hdr")
    (inner / "x.bil").rename(tmp_path / "secret")
    text = header.read_text()
    for key in ("../secret", str(tmp_path / "secret"), "..\\secret"):
        header.write_text(f"{text}data file = {key}\n")
        with pytest.raises(ReadError, match="no data file"):
            read(header)
    (tmp_path / "secret").rename(inner / "named")
    header.write_text(f"{text}data file = named\n")
    np.testing.assert_array_equal(read(header)[0].source.read(0, 3)[0], counts())


def test_line_times_beside_the_cube(tmp_path):
    header = write(tmp_path, counts())
    assert read(header)[0].geometry is None
    times = "line,utc\n0,2026-06-14T05:00:00.000Z\n1,2026-06-14T05:00:00.010Z\n2,2026-06-14T05:00:00.020Z\n"
    (tmp_path / "x.lines.csv").write_text(times)
    cube, report = read(header)
    assert {Path(each).name for each in report.companions} == {"x.bil", "x.lines.csv"}
    assert isinstance(cube.geometry, LineScan)
    start = np.datetime64("2026-06-14T05:00:00", "ns").astype(np.int64)
    np.testing.assert_array_equal(cube.geometry.time, start + np.arange(3) * 10_000_000)
    assert read(header, line_times="none")[0].geometry is None
    (tmp_path / "x.lines.csv").rename(tmp_path / "other.csv")
    assert isinstance(read(header, line_times=tmp_path / "other.csv")[0].geometry, LineScan)


def test_camera_must_fit(tmp_path):
    header = write(tmp_path, counts())
    assert read(header, instrument=camera())[0].instrument == "cam"
    with pytest.raises(ReadError, match=r'4 samples, but the camera "cam" has 5'):
        read(header, instrument=camera(samples=5))


def test_sniff(tmp_path):
    header = write(tmp_path, counts())
    data = header.with_suffix("")
    assert envi.sniff(header, read_head(header))
    assert not envi.sniff(data, read_head(data))
    header.write_text(header.read_text().replace("ENVI Standard", "ENVI Spectral Library"))
    assert not envi.sniff(header, read_head(header))


def test_rows_outside_are_a_programming_error(tmp_path):
    cube, _ = read(write(tmp_path, counts()))
    for start, stop in ((-1, 2), (0, 4), (2, 2), (2, 1)):
        with pytest.raises(ValueError, match="rows"):
            cube.source.read(start, stop)


def _real(shared: Path) -> list[Path]:
    return sorted((shared / "spectral").rglob("*.hdr"))


REAL_FOLDER = Path(os.environ.get("DRONESENSE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
REFUSED = {
    "hylite_demo_image.hdr": "no data file",
    "darkReference3.hdr": "no data file",
    "spectra.sli.hdr": "no data file",
}


@pytest.mark.parametrize("path", _real(REAL_FOLDER), ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_real_files_against_spy(path):
    spy = pytest.importorskip("spectral.io.envi")
    if path.name in REFUSED:
        with pytest.raises(ReadError, match=REFUSED[path.name]) as error:
            read(path)
        assert error.value.fix
        return
    cube, report = read(path)
    values, _ = cube.source.read(0, cube.shape[0])
    data = envi.pair(path)[1]
    try:
        peer = spy.open(str(path), image=str(data))
    except spy.EnviException:
        assert "byte order" in " ".join(report.assumptions)  # refused by SPy; the corn kernel: by hand below
        first = np.fromfile(data, dtype="<u2", count=values[0].size).reshape(values[0].shape)
        np.testing.assert_array_equal(values[0], first)
        return
    np.testing.assert_array_equal(values, peer.open_memmap().transpose(0, 2, 1).astype(np.float32))
    if peer.bands.centers is not None:
        np.testing.assert_array_equal(cube.bands.center_nm, peer.bands.centers)


def test_a_real_file_cut_by_one_byte(shared_data, tmp_path):
    for path in _real(shared_data):
        if path.name in REFUSED:
            continue
        header, data = envi.pair(path)
        (tmp_path / header.name).write_bytes(header.read_bytes())
        copy = tmp_path / data.name
        copy.write_bytes(data.read_bytes()[:-1])
        with pytest.raises(ReadError, match="copy it again"):
            read(tmp_path / header.name)


@pytest.mark.slow
@pytest.mark.parametrize("interleave", sorted(ORDERS))
def test_memory_stays_that_of_a_block_on_4_gb(tmp_path, interleave):
    resource = pytest.importorskip("resource")
    rows, bands, cols = 20_000, 200, 512  # uint16: 4.1 GB, sparse
    header = write(tmp_path, counts(), interleave=interleave)
    header.write_text(
        HEADER.format(
            cols=cols, rows=rows, bands=bands, offset=0, code=12, interleave=interleave, order=0, more=""
        )
    )
    os.truncate(header.with_suffix(""), rows * bands * cols * 2)
    cube, _ = read(header)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = sum(int(block.valid.sum()) for block in cube.blocks())
    assert total == rows * cols
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 200e6


@pytest.mark.parametrize("kind", ["gzip", "zip", "bzip2", "xz"])
def test_a_packed_data_file_is_refused_as_packed(tmp_path: Path, kind: str) -> None:
    header = write(tmp_path, counts())
    data = tmp_path / "x.bil"
    plain = data.read_bytes()
    if kind == "zip":
        with zipfile.ZipFile(data, "w") as pack:
            pack.writestr("x.bil", plain)
    else:
        packer = {"gzip": gzip, "bzip2": bz2, "xz": lzma}[kind]
        data.write_bytes(packer.compress(plain))
    with pytest.raises(ReadError, match=rf"x\.bil.*is compressed \({kind}\).*unpack it"):
        read(header)


def test_a_packed_file_beside_its_header_is_named(tmp_path: Path) -> None:
    header = write(tmp_path, counts())
    (tmp_path / "x.bil").rename(tmp_path / "x.bil.gz")
    with pytest.raises(ReadError, match=r"has no data file.*unpack x\.bil\.gz"):
        read(header)


def test_settings_and_scales_of_the_header_are_kept_and_not_applied(tmp_path: Path) -> None:
    """Gain 6 dB, exposure 7.5 ms, binned 2 x 4; data gains stand in the report, the numbers stay."""
    listed = ", ".join(["2.0"] * SHAPE[1])
    more = (
        "shutter = 7.5\ngain = 6.0\nsample binning = 4\nspectral binning = 2\ndefault bands = {1, 2, 1}\n"
        f"data gain values = {{{listed}}}"
    )
    cube, report = read(write(tmp_path, counts(), more=more))
    assert cube.settings == CameraSettings(7.5, 6.0, sample_binning=4, band_binning=2)
    kept = report.details["header"]
    assert kept["default bands"].replace(" ", "").strip("{}") == "1,2,1"
    assert "data gain values" in kept
    np.testing.assert_array_equal(cube.source.read(0, SHAPE[0])[0], counts())


def test_a_binning_that_cannot_be_leaves_the_cube_readable(tmp_path: Path) -> None:
    cube, report = read(write(tmp_path, counts(), more="sample binning = 0"))
    assert cube.settings is None
    assert any("gain and binning are taken as not known" in each for each in report.assumptions)
