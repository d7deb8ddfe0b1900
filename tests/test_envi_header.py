"""ENVI headers by hand: where braces end, what is refused, units, quantities and map grids at borders."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.model import Bands, MapGrid
from dronesense.readers import envi_header, envi_keys
from dronesense.readers.envi_header import Header, decode, finite_number, layout

PATH = Path("x.hdr")
LAYOUT = {
    "samples": "1",
    "lines": "1",
    "bands": "1",
    "header offset": "0",
    "file type": "ENVI Standard",
    "data type": "4",
    "interleave": "bil",
    "byte order": "0",
}


def header(**more: str) -> Header:
    """Return a header of one number; an underscore in a name is a blank."""
    keys = LAYOUT | {name.replace("_", " "): value for name, value in more.items()}
    return decode(("ENVI\n" + "".join(f"{k} = {v}\n" for k, v in keys.items())).encode(), PATH)


def bands(**more: str) -> tuple[Bands, list[str]]:
    assumptions: list[str] = []
    of = header(**more)
    return envi_keys.bands(of, layout(of), assumptions=assumptions), assumptions


def radiometry(**more: str) -> tuple[envi_keys.Radiometry, str]:
    assumptions: list[str] = []
    of = header(**more)
    return envi_keys.radiometry(of, layout(of), assumptions=assumptions), "\n".join(assumptions)


def grid(info: str, **more: str) -> tuple[MapGrid | None, list[str]]:
    warnings: list[str] = []
    return envi_keys.map_grid(header(map_info=f"{{{info}}}", **more), warnings=warnings), warnings


def crs(places: str, name: str = "UTM", **more: str) -> str | None:
    """Return the CRS of a map info with these words after the pixel sizes."""
    found, warnings = grid(f"{name}, 1, 1, 500000, 5000000, 1, 1, {places}", **more)
    assert (found is None) == bool(warnings)
    return None if found is None else found.crs


# -- the text --


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{a}", "a"),
        ("{a {b} c}", "a {b} c"),
        ('{a "}" c}', 'a "}" c'),
        ('{"a" {b} c}', '"a" {b} c'),
        ("{a\nb {c}\nd}", "a\nb {c}\nd"),
        ("{a {b}", "a {b"),  # no end that matches: the first one
        ("{}", ""),
    ],
)
def test_where_braces_end(written: str, value: str) -> None:
    assert header(x=written, y="7").clear == LAYOUT | {"x": value, "y": "7"}


def test_braces_that_never_end_name_their_line() -> None:
    with pytest.raises(ReadError, match="never closed") as error:
        decode(b"ENVI\na = 1\nb = {2\nc = 3\n", PATH)
    assert "line 3" in str(error.value)


@pytest.mark.parametrize(("end", "told"), [("a = 1\n", 0), ("a = {1}", 0), ("a = 1", 1), ("a = {1}\n  ", 0)])
def test_only_a_text_without_line_end_may_be_cut(end: str, told: int) -> None:
    assert len(decode(f"ENVI\n{end}".encode(), PATH).warnings) == told


def test_a_key_with_two_values_is_not_clear() -> None:
    found = decode(b"ENVI\na = 1\nb = 2\na = 3\nb = 2\n", PATH)
    assert found.clear == {"b": "2"}
    assert found.twice == {"a": 4}


def test_longest_header(tmp_path: Path) -> None:
    (tmp_path / "x.hdr").write_bytes(b"ENVI\n;".ljust(1 << 20, b"x"))
    assert len(envi_header.read(tmp_path / "x.hdr").comments[0]) == (1 << 20) - 6
    (tmp_path / "x.hdr").write_bytes(b"ENVI\n;".ljust((1 << 20) + 1, b"x"))
    with pytest.raises(ReadError, match="longer than 1 MiB"):
        envi_header.read(tmp_path / "x.hdr")


def test_header_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be opened"):
        envi_header.read(tmp_path / "x.hdr")


@pytest.mark.parametrize("order", ["little", "big"])
def test_nifti_is_known_in_both_byte_orders(order) -> None:
    with pytest.raises(ReadError, match="NIfTI"):
        decode((348).to_bytes(4, order) + bytes(344), PATH)


def test_messages_show_the_value_where_there_is_one() -> None:
    of = header(x="7")
    assert 'is wrong ("7")' in str(of.refuse("x", "is wrong"))
    assert "(" not in str(of.refuse("y", "is wrong"))


# -- the layout --


def test_largest_dimension() -> None:
    assert layout(header(lines="2147483647")).lines == 2**31 - 1
    for lines in ("2147483648", "0", "-1"):
        with pytest.raises(ReadError, match="greater than 0"):
            layout(header(lines=lines))


@pytest.mark.parametrize("key", ["major_frame_offsets", "minor_frame_offsets"])
def test_frame_offsets_other_than_zero_are_refused(key: str) -> None:
    assert layout(header(**{key: "{0, 0}"})).size == 4
    for value in ("{0, 1}", "{1}"):
        with pytest.raises(ReadError, match="frame offsets"):
            layout(header(**{key: value}))


def test_one_finite_number() -> None:
    assert finite_number(header(x="2.5"), "x") == 2.5
    assert finite_number(header(), "x") is None
    for value in ("1, 2", "nan", "inf", ""):
        with pytest.raises(ReadError, match="one finite number"):
            finite_number(header(x=value), "x")


# -- bands --


@pytest.mark.parametrize(
    ("unit", "half_a_micrometer"),
    [
        *((unit, "500") for unit in ("nm", "Nanometers", "nanometer", "nanometres", "nanometre")),
        *((unit, "0.5") for unit in ("um", "\u00b5m", "\u03bcm", "Micrometers", "micrometer")),
        *((unit, "0.5") for unit in ("micrometres", "micrometre", "microns", "micron")),
        *((unit, "5000") for unit in ("angstroms", "angstrom")),
        *((unit, "5e-4") for unit in ("millimeters", "mm")),
        *((unit, "5e-5") for unit in ("centimeters", "cm")),
        *((unit, "5e-7") for unit in ("meters", "m")),
        *((unit, "20000") for unit in ("wavenumber", "wavenumbers", "cm-1", "1/cm")),
    ],
)
def test_units_of_wavelengths(unit: str, half_a_micrometer: str) -> None:
    found, assumptions = bands(wavelength=half_a_micrometer, wavelength_units=unit)
    np.testing.assert_allclose(found.center_nm, [500.0], rtol=1e-12)
    assert assumptions == []


@pytest.mark.parametrize(("value", "nm"), [("100", 1e5), ("100.5", 100.5), ("0.1", 100.0)])
def test_unit_guessed_from_the_smallest_value(value: str, nm: float) -> None:
    found, assumptions = bands(wavelength=value)
    np.testing.assert_allclose(found.center_nm, [nm], rtol=1e-12)
    assert len(assumptions) == 1


@pytest.mark.parametrize(("value", "possible"), [("100", 1), ("99.9", 0), ("100000", 1), ("100000.5", 0)])
def test_wavelengths_that_a_camera_can_have(value: str, possible: int) -> None:
    if possible:
        assert bands(wavelength=value, wavelength_units="nm")[0].center_nm.tolist() == [float(value)]
    else:
        with pytest.raises(ReadError, match="cannot be in nm"):
            bands(wavelength=value, wavelength_units="nm")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("{500, 500}", "are the same"),
        ("{1, 2}", "numbers of the bands"),
        ("{0, 1}", "greater than 0"),
        ("{-5, 500}", "greater than 0"),
    ],
)
def test_numbers_that_are_no_wavelengths_are_left_out(values: str, why: str) -> None:
    found, assumptions = bands(bands="2", wavelength=values)
    assert np.isnan(found.center_nm).all()
    assert why in assumptions[-1]


def test_wavelengths_next_to_each_other_are_two() -> None:
    assert bands(bands="2", wavelength="{500, 501}")[0].center_nm.tolist() == [500.0, 501.0]


def test_misspelt_key_is_read_and_told() -> None:
    found, assumptions = bands(wavelengths="500", wavelength_units="nm")
    assert found.center_nm.tolist() == [500.0]
    assert assumptions == ['the key "wavelengths" was read as "wavelength"']
    found, assumptions = bands(wavelength="500", wavelengths="600", wavelength_units="nm")
    assert found.center_nm.tolist() == [500.0]
    assert assumptions == []


# -- quantity --

OVERRIDE = 'header key "quantity" overrides'


@pytest.mark.parametrize(
    ("more", "quantity", "divisor", "told"),
    [
        ({"data_type": "12"}, "counts", 1.0, f"counts assumed from whole numbers; {OVERRIDE}"),
        ({}, "radiance", 1.0, f"radiance assumed from decimal numbers; {OVERRIDE}"),
        (
            {"description": "{reflectance}"},
            "reflectance",
            1.0,
            f"reflectance assumed from decimal numbers; {OVERRIDE}",
        ),
        (
            {"data_type": "12", "description": "{reflectance}"},
            "counts",
            1.0,
            f"counts assumed from whole numbers; {OVERRIDE}\n",
        ),
        (
            {"data_type": "12", "reflectance_scale_factor": "4096"},
            "reflectance",
            4096.0,
            f"reflectance assumed from whole numbers and a reflectance scale factor; {OVERRIDE}",
        ),
        ({"data_type": "12", "quantity": "counts", "reflectance_scale_factor": "4096"}, "counts", 1.0, ""),
    ],
)
def test_what_the_numbers_are_and_why(more: dict[str, str], quantity: str, divisor: float, told: str) -> None:
    found, assumptions = radiometry(**more)
    assert (found.quantity, found.divisor) == (quantity, divisor)
    assert f"{assumptions}\n".startswith(told)
    assert ('no "reflectance scale factor"' in assumptions) == (more.keys() == {"data_type", "description"})


@pytest.mark.parametrize(("value", "number"), [("0", 0.0), ("-9999", -9999.0), ("-nan", None), (",", None)])
def test_ignore_value(value: str, number: float | None) -> None:
    assert envi_keys.ignore_value(header(data_ignore_value=value)) == number


def test_two_ignore_values_are_refused() -> None:
    with pytest.raises(ReadError, match="must be one number"):
        envi_keys.ignore_value(header(data_ignore_value="{0, 1}"))


# -- the map grid --


def test_turned_grid_puts_the_reference_pixel_where_it_is_stated() -> None:
    """Upper-left corner of pixel (3, 5), counted from 1, that is 2 columns and 4 rows from the corner."""
    found, _ = grid("Geographic Lat/Lon, 3, 5, 76, 43, 0.5, 0.25, rotation=30")
    assert found is not None
    a, b, c, d, e, f = found.transform
    assert (a * 2 + b * 4 + c, d * 2 + e * 4 + f) == pytest.approx((76.0, 43.0), abs=1e-12)
    half, root = 0.5, math.sqrt(3.0) / 2.0  # sin and cos of 30 deg
    assert (a, d) == pytest.approx((0.5 * root, 0.5 * half))  # along a row: right, and up
    assert (b, e) == pytest.approx((0.25 * half, -0.25 * root))  # down a column: right, and down


def test_arbitrary_grid_is_none_and_needs_no_word() -> None:
    assert grid("arbitrary, 1, 1, 0, 0, 1, 1") == (None, [])


@pytest.mark.parametrize("sizes", ["0, 1", "1, 0", "-1, 1", "1, -1", "nan, 1", "1, inf"])
def test_pixels_have_a_size(sizes: str) -> None:
    with pytest.raises(ReadError, match="pixel sizes"):
        grid(f"UTM, 1, 1, 500000, 5000000, {sizes}, 43, North, WGS-84")


@pytest.mark.parametrize(
    ("places", "code"),
    [
        ("1, North, WGS-84", "EPSG:32601"),
        ("60, South, WGS-84, units=Meters", "EPSG:32760"),
        ("43, North", "EPSG:32643"),
        ("43, North, units  meters", "EPSG:32643"),
        ("43, North, foo=1", "EPSG:32643"),
        ("43, K, WGS-84", "EPSG:32743"),
        ("43, T, WGS-84", "EPSG:32643"),
        ("43", None),
        ("43, North, WGS-84, units=Feet", None),
        ("43, North, Pulkovo", None),
        ("23, North, NAD83", "EPSG:26923"),
        ("24, North, NAD83", None),
        ("1, South, NAD83", None),
    ],
)
def test_utm(places: str, code: str | None) -> None:
    assert crs(places) == code


@pytest.mark.parametrize(
    ("places", "code"),
    [
        ("WGS-84", "EPSG:4326"),
        ("WGS-84, units=Degrees", "EPSG:4326"),
        ("units=Degrees", "EPSG:4326"),
        ("WGS-84, units=Meters", None),
        ("Pulkovo, units=Degrees", None),
    ],
)
def test_geographic(places: str, code: str | None) -> None:
    assert crs(places, "Geographic Lat/Lon") == code


def test_stated_datum_comes_before_the_wkt_and_a_missing_one_after() -> None:
    wkt = {"coordinate_system_string": "{LOCAL}"}
    assert crs("WGS-84", "Geographic Lat/Lon", **wkt) == "EPSG:4326"
    assert crs("units=Degrees", "Geographic Lat/Lon", **wkt) == "LOCAL"
    assert crs("43, North, WGS-84", **wkt) == "EPSG:32643"
    assert crs("43, North", **wkt) == "LOCAL"


@pytest.mark.parametrize("places", ["0, North, WGS-84", "61, North, WGS-84", "x, North, WGS-84"])
def test_zones_end_at_60(places: str) -> None:
    with pytest.raises(ReadError, match="from 1 to 60"):
        crs(places)


@pytest.mark.parametrize("half", ["CD", "NP", "S", "East"])
def test_hemisphere_is_a_word_or_one_band(half: str) -> None:
    with pytest.raises(ReadError):
        crs(f"43, {half}, WGS-84")
