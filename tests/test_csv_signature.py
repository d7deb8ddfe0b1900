"""Signatures: values by hand, provenance, mistakes named."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.errors import ManifestError, ReadError
from dronesense.plugins import read_head
from dronesense.readers import csv_signature

PLAIN = "wavelength_nm,reflectance,sigma\n400,0.1,0.01\n500,0.25,0.02\n600,0.5,\n"


@pytest.fixture
def read(tmp_path):
    def _read(text: str, beside: str | None = None):
        path = tmp_path / "blue-cover.csv"
        path.write_text(text)
        if beside is not None:
            path.with_suffix(".toml").write_text(beside)
        return csv_signature.read(path)

    return _read


def test_plain(read):
    signature, report = read(PLAIN)
    assert signature.name == "blue-cover"
    np.testing.assert_array_equal(signature.wavelength_nm, [400, 500, 600])
    np.testing.assert_array_equal(signature.value, [0.1, 0.25, 0.5])
    np.testing.assert_array_equal(signature.sigma, [0.01, 0.02, np.nan])
    assert signature.quantity == "reflectance"
    assert not signature.by_band
    assert report.records == 3
    assert any("blue-cover.toml" in warning for warning in report.warnings)


def test_micrometers(read):
    signature, _ = read("wavelength_um;absorption\n0.4;1\n2.5;2\n")
    np.testing.assert_allclose(signature.wavelength_nm, [400, 2500], rtol=1e-15)
    assert signature.quantity == "absorption"
    assert np.isnan(signature.sigma).all()


def test_by_band(read):
    signature, _ = read("band,counts\n0,10\n1,20\n2,30\n")
    assert signature.by_band
    assert signature.quantity == "counts"
    np.testing.assert_array_equal(signature.wavelength_nm, [0, 1, 2])


def test_provenance(read):
    beside = (
        'name = "Blue cover"\nsource = "field, 2026-06-14"\nlicense = "CC0-1.0"\nquantity = "reflectance"\n'
    )
    signature, report = read(PLAIN, beside)
    assert (signature.name, signature.source, signature.license) == (
        "Blue cover",
        "field, 2026-06-14",
        "CC0-1.0",
    )
    assert not report.warnings
    assert report.companions[0].endswith("blue-cover.toml")
    with pytest.raises(ManifestError, match='did you mean "license"'):
        read(PLAIN, 'licence = "CC0"\n')
    with pytest.raises(ReadError, match='says "radiance"'):
        read(PLAIN, 'quantity = "radiance"\n')


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("wavelength_nm,value\n400,1\n500,2\n", "no value columns"),
        ("wavelength,reflectance\n400,1\n500,2\n", "no wavelength columns"),
        ("wavelength_nm,reflectance,counts\n400,1,1\n500,2,2\n", "2 value columns"),
        ("wavelength_nm,wavelength_um,counts\n400,.4,1\n500,.5,2\n", "2 wavelength columns"),
        ("wavelength_nm,reflectance\n400,1\n", "1 rows"),
        ("wavelength_nm,reflectance\n400,1\n500,\n", "line 3, column reflectance"),
        ("wavelength_nm,reflectance\n400,1\n500,inf\n", "line 3, column reflectance"),
        ("wavelength_nm,reflectance\n400,1\n400,2\n", "line 3"),
        ("wavelength_nm,reflectance\n500,1\n400,2\n", "sort the rows"),
        ("wavelength_nm,reflectance\n0.4,1\n0.5,2\n", "not in nm"),
        ("wavelength_um,reflectance\n400,1\n500,2\n", "not in um"),
        ("band,counts\n1,1\n2,2\n", "counted from 0"),
    ],
)
def test_refused(read, text, match):
    with pytest.raises(ReadError, match=match) as error:
        read(text)
    assert "blue-cover.csv" in str(error.value)


def test_every_cut_is_noticed(read):
    beside = 'source = "x"\n'
    ends = [at + 1 for at, char in enumerate(PLAIN) if char == "\n"]
    for length in range(len(PLAIN)):
        try:
            _, report = read(PLAIN[:length], beside)
        except ReadError:
            continue
        assert report.warnings or length in ends, length


@pytest.mark.parametrize(
    ("head", "claimed"),
    [
        ("wavelength_nm,reflectance\n", True),
        ("\ufeffwavelength_um; radiance; sigma\n", True),
        ("band\tcounts\n", True),
        ("wavelength_nm,value\n", False),
        ("line,utc\n", False),
        ("Time (UTC),CH4 (ppm)\n", False),
        ("", False),
    ],
)
def test_sniff(tmp_path, head, claimed):
    path = tmp_path / "a.csv"
    path.write_text(head, encoding="utf-8")
    assert csv_signature.sniff(path, read_head(path)) == claimed
