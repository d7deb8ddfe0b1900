"""What vendors write into ENVI headers beyond the basic eight keys; every assumption is in the report."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers import envi, envi_camera, envi_header

NUMBERS = np.arange(24, dtype="<u2").reshape(3, 2, 4)  # lines, bands, samples
BASIC = {
    "samples": "4",
    "lines": "3",
    "bands": "2",
    "header offset": "0",
    "file type": "ENVI Standard",
    "data type": "12",
    "interleave": "bil",
    "byte order": "0",
}


def cube(
    folder: Path, *lines: str, code: int = 12, name: str = "x.hdr", data: str = "x.raw", **replaced: str
):
    """Write a header of the basic keys and *lines*, and read it."""
    keys = BASIC | {"data type": str(code)} | {key.replace("_", " "): text for key, text in replaced.items()}
    text = "\n".join(["ENVI", *(f"{key} = {value}" for key, value in keys.items() if value), *lines])
    (folder / name).write_text(text + "\n", encoding="utf-8")
    (folder / data).write_bytes(NUMBERS.astype({12: "<u2", 4: "<f4"}[code]).tobytes())
    return envi.read(folder / name, label=name, name="x")


def settings(*lines: str) -> tuple[envi_camera.CameraSettings, list[str]]:
    said: list[str] = []
    header = envi_header.decode("\n".join(["ENVI", *lines, ""]).encode(), Path("x.hdr"))
    return envi_camera.settings(header, assumptions=said), said


@pytest.mark.parametrize(
    ("unit", "wavelength", "fwhm", "center", "width"),
    [
        ("Angstroms", "{5000, 6000}", "{50, 60}", [500, 600], [5, 6]),
        ("mm", "{0.0005, 0.0006}", "{5e-6, 6e-6}", [500, 600], [5, 6]),
        ("Meters", "{5e-7, 6e-7}", "{5e-9, 6e-9}", [500, 600], [5, 6]),
        # 1e7 / 1000 per cm = 10 um; a width of 10 per cm there is 1e7 * 10 / 1000^2 = 100 nm
        ("Wavenumber", "{1000, 2000}", "{10, 40}", [10_000, 5_000], [100, 100]),
        ("Index", "{1, 2}", "{1, 1}", [np.nan, np.nan], [np.nan, np.nan]),
        ("nm", "{500, nan}", "{5, 6}", [np.nan, np.nan], [np.nan, np.nan]),
        ("nm", "{0, 0}", "{5, 6}", [np.nan, np.nan], [np.nan, np.nan]),
    ],
)
def test_units_of_wavelengths(tmp_path, unit, wavelength, fwhm, center, width):
    found, report = cube(
        tmp_path, f"wavelength units = {unit}", f"wavelength = {wavelength}", f"fwhm = {fwhm}"
    )
    np.testing.assert_allclose(found.bands.center_nm, center, rtol=1e-12)
    np.testing.assert_allclose(found.bands.fwhm_nm, width, rtol=1e-12)
    assert any("wavelengths" in each for each in report.assumptions) == bool(np.isnan(center).any())


def test_a_misspelt_key_of_wavelengths_is_read_and_said(tmp_path):
    found, report = cube(tmp_path, "wavelength units = nm", "wavelengths = {500, 600}")
    np.testing.assert_array_equal(found.bands.center_nm, [500, 600])
    assert any('"wavelengths" was read as "wavelength"' in each for each in report.assumptions)


@pytest.mark.parametrize(
    ("lines", "quantity", "factor"),
    [
        (["data units = W/m^2/sr/um"], "radiance", 1e-3),
        (["data units = uW/(cm^2*sr*nm)"], "radiance", 1e-2),
        (["description = {Hyspex radiance in mW/(cm2*um*sr)}"], "radiance", 1e-2),
        (["description = {Spectral Radiance [microflicks]}"], "radiance", 1e-5),
        (["data units = W/m2"], "radiance", 1.0),  # an irradiance: said, not converted
        (["data units = uW/cm^2/SR/nm"], "radiance", 1e-2),
        (
            ["description = {Radiance, microWatts per (steradian nanometer [centemeter squared])}"],
            "radiance",
            1e-2,
        ),
        (["data units = mW/(cm^2*um*sr)*1000"], "radiance", 1.0),  # a factor more: not known as a unit
        (["description = {a cube with lines in nm}"], "radiance", 1.0),
    ],
)
def test_radiance_is_brought_to_one_unit(tmp_path, lines, quantity, factor):
    found, report = cube(tmp_path, *lines, code=4)
    assert found.quantity == quantity
    np.testing.assert_allclose(found.source.read(0, 3)[0], NUMBERS * factor, rtol=1e-6)
    said = " ".join(report.assumptions)
    assert ("was converted to W/(m2 sr nm)" in said) == (factor != 1.0)
    assert ("numbers as they are" in said) == (quantity == "radiance" and factor == 1.0)


def test_whole_numbers_with_a_unit_of_radiance_are_radiance(tmp_path):
    """Spectronon stores microflicks as whole numbers."""
    found, report = cube(tmp_path, "data units = uflick")
    assert found.quantity == "radiance"
    np.testing.assert_allclose(found.source.read(0, 3)[0], NUMBERS * 1e-5, rtol=1e-6)
    assert any("a unit of radiance" in each for each in report.assumptions)
    assert cube(tmp_path, "data units = DN")[0].quantity == "counts"


def test_whole_numbers_with_gains_are_not_yet_in_the_stated_unit(tmp_path):
    found, report = cube(tmp_path, "data units = W/m^2/sr/um", "data gain values = {0.01, 0.02}")
    assert found.quantity == "counts"
    assert any("data gain values" in each and "not applied" in each for each in report.assumptions)
    found, _ = cube(
        tmp_path, "data units = uflick", "data gain values = {1, 1}", "data offset values = {0, 0}"
    )
    assert found.quantity == "radiance"


@pytest.mark.parametrize(
    ("name", "code", "quantity"),
    [
        ("REFLECTANCE_2019-05-20_001", 4, "reflectance"),
        ("raw_0_rd_rf_or", 4, "reflectance"),
        ("raw_0_rd", 4, "radiance"),
        ("white_reflectance_panel", 4, "radiance"),
        ("REFLECTANCE_2019-05-20_001", 12, "counts"),
    ],
)
def test_the_name_of_the_file_may_tell_reflectance(tmp_path, monkeypatch, name, code, quantity):
    monkeypatch.setitem(globals(), "NUMBERS", NUMBERS / 40.0 if code == 4 else NUMBERS)
    found, report = cube(tmp_path, code=code, name=f"{name}.hdr", data=f"{name}.raw")
    assert found.quantity == quantity
    assert any("and the name of the file" in each for each in report.assumptions) == (
        quantity == "reflectance"
    )
    assert any("name of the file speaks" in each for each in report.assumptions) == (quantity == "counts")


def test_reflectance_without_a_scale_is_said(tmp_path):
    found, report = cube(
        tmp_path, "description = {surface reflectance x 10000}", "data reflectance gain values = {1e-4, 1e-4}"
    )
    assert found.quantity == "counts"
    said = " ".join(report.assumptions)
    assert 'no "reflectance scale factor"' in said
    assert '"data reflectance gain values" of the header were not applied' in said


@pytest.mark.parametrize("value", ["None", "nan", "n/a", ""])
def test_words_for_no_ignore_value(tmp_path, value):
    found, _ = cube(tmp_path, f"data ignore value = {value}")
    assert found.source.read(0, 3)[1].all()


def test_any_suffix_of_the_right_size_is_the_data_file(tmp_path):
    found, _ = cube(tmp_path, data="x.refl")
    np.testing.assert_array_equal(found.source.read(0, 3)[0], NUMBERS)
    (tmp_path / "x.txt").write_text("notes")
    assert envi.pair(tmp_path / "x.hdr")[1].name == "x.refl"
    (tmp_path / "x.copy").write_bytes((tmp_path / "x.refl").read_bytes())
    with pytest.raises(ReadError, match=r"several data files fit: x\.copy, x\.refl"):
        envi.pair(tmp_path / "x.hdr")


def test_line_ends_of_old_macs_and_utf16(tmp_path):
    cube(tmp_path)
    header = tmp_path / "x.hdr"
    text = header.read_bytes()
    header.write_bytes(text.replace(b"\n", b"\r"))
    assert envi.sniff(header, header.read_bytes())
    assert envi.read(header, label="x", name="x")[0].shape == (3, 2, 4)
    header.write_bytes(text.decode().encode("utf-16"))
    with pytest.raises(ReadError, match=r"UTF-16.*save it as UTF-8"):
        envi.read(header, label="x", name="x")


def test_a_datum_that_is_left_out_is_that_of_the_wkt(tmp_path):
    """GDAL leaves out the names of datums that ENVI does not have, such as ETRS89."""
    rasterio = pytest.importorskip("rasterio")
    crs = rasterio.crs.CRS.from_epsg(25832)
    grid = rasterio.Affine(2.0, 0.0, 400_000.0, 0.0, -2.0, 5_800_000.0)
    shape = {"width": 4, "height": 3, "count": 2, "dtype": "uint16"}
    with rasterio.open(tmp_path / "x.img", "w", driver="ENVI", crs=crs, transform=grid, **shape) as peer:
        peer.write(np.ones((2, 3, 4), dtype=np.uint16))
    assert "ETRS" not in (tmp_path / "x.hdr").read_text().partition("map info")[2].partition("\n")[0]
    found, _ = envi.read(tmp_path / "x.hdr", label="x", name="x")
    assert rasterio.crs.CRS.from_user_input(found.geometry.crs) == crs
    assert found.geometry.transform == (2.0, 0.0, 400_000.0, 0.0, -2.0, 5_800_000.0)


def test_a_key_of_free_text_that_stands_twice_does_no_harm(tmp_path):
    found, report = cube(
        tmp_path,
        "history = {a}",
        "history = {b}",
        "description = {Reflectance}",
        "description = {x}",
        "wavelength units = nm",
        "wavelength = {500, 600}",
        "band names = {a, b}",
        "band names = {c, d}",
    )
    np.testing.assert_array_equal(found.bands.center_nm, [500, 600])
    assert len([each for each in report.warnings if "with two values" in each]) == 3
    assert any("speaks of reflectance" in each for each in report.assumptions)


def test_gains_of_frame_cameras_are_said_and_not_applied(tmp_path):
    found, report = cube(tmp_path, "data gain values = {0.5, 0}", "data offset values = {1, 2}")
    np.testing.assert_array_equal(found.source.read(0, 3)[0], NUMBERS)
    for key in ("data gain values", "data offset values"):
        assert any(key in each and "not applied" in each for each in report.assumptions)
    with pytest.raises(ReadError, match="3 values for 2 bands"):
        cube(tmp_path, "data gain values = {1, 2, 3}")


@pytest.mark.parametrize("missing", ["byte order", "header offset", "file type"])
def test_every_default_is_said(tmp_path, missing):
    found, report = cube(tmp_path, **{missing: ""})
    np.testing.assert_array_equal(found.source.read(0, 3)[0], NUMBERS)
    assert any(missing in each and "assumed" in each for each in report.assumptions)


def test_a_key_that_stands_twice_with_one_value_is_a_warning(tmp_path):
    found, report = cube(tmp_path, "LINES = 3", "sensor type = a", "Sensor  Type = a")
    assert found.shape == (3, 2, 4)
    assert [each for each in report.warnings if "stands twice" in each] == [
        'the key "lines" stands twice, with one value',
        'the key "sensor type" stands twice, with one value',
    ]
    with pytest.raises(ReadError, match="two values"):
        cube(tmp_path, "samples = 3")


def test_whole_numbers_written_as_decimals(tmp_path):
    assert cube(tmp_path, samples="4.0", lines="3.")[0].shape == (3, 2, 4)
    with pytest.raises(ReadError, match="whole number"):
        cube(tmp_path, samples="4.5")


@pytest.mark.parametrize("kind", ["TIFF", "NITF 2.1", "HDF Scientific Data", "ENVI Virtual Mosaic"])
def test_a_header_beside_another_container_is_refused(tmp_path, kind):
    with pytest.raises(ReadError, match="another container"):
        cube(tmp_path, file_type=kind)


@pytest.mark.parametrize(
    ("name", "data"),
    [("y.hdr", "y"), ("y.hdr", "y.raw"), ("y.hdr", "y.DAT"), ("y.bil.hdr", "y.bil"), ("y.dat.hdr", "y.dat")],
)
def test_either_file_of_a_pair(tmp_path, name, data):
    cube(tmp_path, name=name, data=data)
    for path in (tmp_path / name, tmp_path / data):
        found, _ = envi.read(path, label="y", name="y")
        np.testing.assert_array_equal(found.source.read(0, 3)[0], NUMBERS)


def test_default_bands_and_bad_bands(tmp_path):
    found, _ = cube(tmp_path, "default bands = {9,8,7}", "bbl = {\n 0\n,1.0\n}")
    np.testing.assert_array_equal(found.bands.good, [False, True])


@pytest.mark.parametrize(
    ("line", "expected", "said"),
    [
        ("integration time = 8.5 ms", 8.5, False),
        ("exposure = 2500 us", 2.5, False),
        ("exposure time = 0.0125 s", 12.5, False),
        ("shutter = 4.25", 4.25, True),
        (";Integration Time = 7", 7.0, True),
        (";exposure : 12 ms", 12.0, False),
        ("tint = 0", math.nan, True),
        ("tint = inf", math.nan, True),
        ("tint = 1e400 ms", math.nan, True),
        ("tint1 = 4\ntint2 = 4.0", 4.0, True),
        ("tint1 = 4\ntint2 = auto", math.nan, True),
        ("tint = -4 ms", math.nan, True),
    ],
)
def test_exposure(line, expected, said):
    found, assumptions = settings(line)
    np.testing.assert_allclose(found.integration_ms, expected, rtol=1e-12)
    assert bool(assumptions) == said


@pytest.mark.parametrize(
    ("lines", "sample", "band"),
    [
        (["sample binning = 1", "spectral binning = 2"], 1, 2),  # Resonon
        (["binning = {8, 2}"], 2, 8),  # Specim: spectral, spatial
        ([";Col binning = 2", ";Row binning = 4"], 2, 4),  # Headwall, as comments
        ([], 1, 1),
    ],
)
def test_binning(lines, sample, band):
    found, _ = settings(*lines)
    assert (found.sample_binning, found.band_binning) == (sample, band)


@pytest.mark.parametrize("text", ["0", "1.5", "65", "two"])
def test_a_binning_that_cannot_be_is_refused(text):
    with pytest.raises(ReadError, match="whole number from 1 to 64"):
        settings(f"sample binning = {text}")


def test_gain_and_flip():
    found, said = settings("gain = 6.0", "flip radiometric calibration = True")
    assert (found.gain_db, found.flipped) == (6.0, True)
    assert any("dB" in each for each in said)
    assert math.isnan(settings("gain = auto")[0].gain_db)


def test_real_headwall_and_fenix(shared_data):
    """The binning of both makers is that which their own windows of the detector add up to."""
    folder = shared_data / "spectral" / "envi"
    header = envi_header.read(folder / "plantcv" / "darkReference.hdr")
    assert header.remarks["serial number"] == "G4-426"
    found = envi_camera.of_file(header.path, assumptions=[])
    assert found.band_binning * header.integer("bands") == int(header.remarks["post aoi height"])
    assert found.sample_binning * header.integer("samples") == int(header.remarks["post aoi width"])

    said: list[str] = []
    header = envi_header.read(folder / "specim_fenix" / "Radiometric_8x2_1x1.hdr")
    found = envi_camera.settings(header, assumptions=said)
    vnir_bands = header.numbers("vimg1")[1]
    assert found.band_binning * vnir_bands == header.integer("pixelmatching height")
    assert found.sample_binning * header.integer("samples") == header.integer("pixelmatching width")
    assert math.isnan(found.integration_ms)  # the two detectors were exposed differently
    assert any("tint1" in each for each in said)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBER = st.one_of(st.integers(-3, 99).map(str), st.floats().map(str), TEXT)
KEYS = st.sampled_from(
    [
        "tint",
        "tint1",
        "tint2",
        "gain",
        "binning",
        "binning2",
        "shutter",
        "sample binning",
        "data units",
        ";exposure",
    ]
)


@given(st.lists(st.tuples(KEYS, NUMBER), max_size=6))
def test_any_text_gives_settings_or_a_plain_refusal(lines):
    raw = "\n".join(["ENVI", *(f"{key} = {value}" for key, value in lines), ""]).encode()
    try:
        header = envi_header.decode(raw, Path("x.hdr"))
        found = envi_camera.settings(header, assumptions=[])
        assert envi_camera.radiance_factor(header, []) > 0.0
    except ReadError:
        return
    assert not found.integration_ms <= 0.0
    assert found.integration_ms != math.inf
    assert found.sample_binning >= 1
