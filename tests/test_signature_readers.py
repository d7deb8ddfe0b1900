"""Readers of reference spectra: planted truth in every format, damage named, real files, one claim each."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import lzma
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers import (
    asd,
    csv_signature,
    ecostress,
    envi,
    envi_library,
    spectra,
    spectral_evolution,
    spectrum_table,
    svc,
    usgs,
)
from dronesense.readers.tally import Tally

_SPEC = importlib.util.spec_from_file_location(
    "signature_writer", Path(__file__).with_name("signature_writer.py")
)
make = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make)

READERS: tuple[ModuleType, ...] = (
    asd,
    csv_signature,
    ecostress,
    envi_library,
    spectral_evolution,
    svc,
    usgs,
)
DELETED = -1.23e34


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def claimed_by(path: Path) -> list[str]:
    with path.open("rb") as stream:
        head = stream.read(8192)
    return [module.__name__.rsplit(".", 1)[1] for module in READERS if module.sniff(path, head)]


# -- ECOSTRESS --


def test_ecostress(tmp_path):
    path = put(tmp_path, "a.txt", make.ecostress([0.4, 0.5, 2.5], [10.0, 20.0, 35.5]))
    assert claimed_by(path) == ["ecostress"]
    signature, report = ecostress.read(path)
    np.testing.assert_allclose(signature.wavelength_nm, [400, 500, 2500], rtol=1e-12)
    np.testing.assert_allclose(signature.value, [0.1, 0.2, 0.355], rtol=1e-12)
    assert (signature.name, signature.entry, signature.quantity) == ("Planted paint", "P-1", "reflectance")
    assert signature.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "made up: a test" in signature.source
    assert "rse.2019.05.015" in signature.citation
    assert not report.assumptions


def test_ecostress_falling_fraction_and_unstated_scale(tmp_path):
    falling = make.ecostress([2.5, 0.5, 0.4], [0.355, 0.2, 0.1], **{"Y Units": "Reflectance (fraction)"})
    signature, report = ecostress.read(put(tmp_path, "a.txt", falling))
    np.testing.assert_allclose(signature.value, [0.1, 0.2, 0.355])
    assert any("fall" in each for each in report.assumptions)
    unstated = make.ecostress([0.4, 0.5], [10.0, 20.0], **{"Y Units": "Reflectance"})
    signature, report = ecostress.read(put(tmp_path, "b.txt", unstated))
    np.testing.assert_allclose(signature.value, [0.1, 0.2])
    assert any("percent" in each for each in report.assumptions)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"Y Units": "Transmittance (percent)"}, "not reflectance"),
        ({"X Units": "Wavenumber (cm-1)"}, "not known"),
        ({"X Units": "Wavelength (nanometers)"}, "cannot be nm"),
        ({"Number of X Values": "4"}, "header says 4"),
    ],
)
def test_ecostress_refused(tmp_path, changes, match):
    with pytest.raises(ReadError, match=match):
        ecostress.read(put(tmp_path, "a.txt", make.ecostress([0.4, 0.5, 0.6], [1.0, 2.0, 3.0], **changes)))


# -- USGS --


def usgs_tree(folder: Path, values: list[float], *, axis: str = "splib07a_Wavelengths_ASD.txt") -> Path:
    deep = folder / "ASCIIdata" / "ChapterV"
    deep.mkdir(parents=True)
    wavelengths = make.usgs_column(
        "splib07a Record=13: Wavelengths ASD 0.35-2.5 um", [0.4, 0.5, 0.6, 0.7, 0.8]
    )
    put(deep.parent, axis, wavelengths)
    title = "splib07a Record=99: Planted Grass GDS1     ASDFRa AREF"
    return put(deep, "splib07a_planted.txt", make.usgs_column(title, values))


def test_usgs_deleted_channels_become_gaps(tmp_path):
    path = usgs_tree(tmp_path, [DELETED, 0.1, DELETED, 0.3, 0.4])
    assert claimed_by(path) == ["usgs"]
    signature, report = usgs.read(path)
    np.testing.assert_allclose(signature.wavelength_nm, [500, 700, 800])
    np.testing.assert_allclose(signature.value, [0.1, 0.3, 0.4])
    np.testing.assert_allclose(signature.gaps_nm, [[500, 700]])
    assert report.dropped == {spectra.DELETED: 2}
    assert (signature.name, signature.entry) == ("Planted Grass GDS1", "splib07a record 99")
    assert "ASDFRa, absolute" in signature.source
    assert "public domain" in signature.license
    assert report.companions[0].endswith("Wavelengths_ASD.txt")
    _, _, covered = signature.in_bands(center_nm=np.array([600.0, 750.0]), fwhm_nm=np.array([20.0, 20.0]))
    assert covered.tolist() == [False, True]


def test_usgs_wavelength_file(tmp_path):
    path = usgs_tree(tmp_path, [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ReadError, match=r"4 channels.*\(5\)"):
        usgs.read(path)
    path = usgs_tree(tmp_path / "two", [0.1, 0.2, 0.3, 0.4, 0.5])
    nicolet = make.usgs_column("splib07a Record=15: Wavelengths NIC4 um", [1.4, 1.5, 1.6, 1.7, 1.8])
    put(path.parents[1], "splib07a_Wavelengths_NIC4.txt", nicolet)
    assert usgs.read(path)[0].wavelength_nm[0] == pytest.approx(400.0)  # by its spectrometer
    put(path.parents[1], "splib07a_Wavelengths_ASDNG.txt", nicolet)
    with pytest.raises(ReadError, match="several files of wavelengths"):
        usgs.read(path)
    assert claimed_by(path.parents[1] / "splib07a_Wavelengths_NIC4.txt") == []


def test_usgs_damage(tmp_path):
    path = usgs_tree(tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5])
    path.write_text(path.read_text().replace("3.0000000e-01", "3.0x"))
    with pytest.raises(ReadError, match="line 4"):
        usgs.read(path)
    transmitted = make.usgs_column("splib07a Record=1: x NIC4a TRAN", [0.1, 0.2])
    with pytest.raises(ReadError, match="TRAN, not reflectance"):
        usgs.read(put(tmp_path, "t.txt", transmitted))


def test_splib06(tmp_path):
    rows = [(0.2051, DELETED, DELETED), (0.5, 0.25, 0.01), (0.6, 0.5, 0.0)]
    path = put(tmp_path, "acmite.asc", make.splib06("Planted W1R1Ba ABS REF", rows))
    assert claimed_by(path) == ["usgs"]
    signature, report = usgs.read(path)
    np.testing.assert_allclose(signature.wavelength_nm, [500, 600])
    np.testing.assert_allclose(signature.value, [0.25, 0.5])
    np.testing.assert_allclose(signature.sigma, [0.01, np.nan])
    assert signature.name == "Planted W1R1Ba ABS REF"
    assert any("um assumed" in each for each in report.assumptions)


# -- ASD --


@pytest.mark.parametrize("revision", range(1, 9))
@pytest.mark.parametrize("form", [0, 1, 2])
def test_asd_reflectance_is_spectrum_over_reference(tmp_path, revision, form):
    true = np.linspace(0.1, 0.9, 2151)
    white = np.full(2151, 4000.0)
    data = make.asd(np.round(true * white), revision=revision, form=form, reference=white, tail=b"\0" * 40)
    path = put(tmp_path, "leaf.asd", data)
    assert claimed_by(path) == ["asd"]
    signature, report = asd.read(path)
    np.testing.assert_array_equal(signature.wavelength_nm, np.arange(350.0, 2501.0))
    np.testing.assert_allclose(signature.value, np.round(true * white) / white, rtol=1e-6)
    assert signature.quantity == "reflectance"
    assert "2026-06-14" in signature.source
    assert report.details["revision"] == revision


def test_asd_counts_are_put_on_one_scale(tmp_path):
    counts = np.full(2151, 1000.0)
    path = put(tmp_path, "raw.asd", make.asd(counts, kind=0, revision=3))
    signature, _ = asd.read(path)
    assert signature.quantity == "counts"
    at = {nm: signature.value[nm - 350] for nm in (1000, 1001, 1800, 1801)}
    assert at == pytest.approx(
        {1000: 1000 / 136, 1001: 1000 * 16 / 2048, 1800: 1000 * 16 / 2048, 1801: 1000 * 32 / 2048}
    )


def test_asd_other_states(tmp_path):
    stored = np.linspace(0.1, 0.9, 100)
    signature, report = asd.read(put(tmp_path, "a.asd", make.asd(stored, revision=5)))
    np.testing.assert_allclose(signature.value, stored)
    assert any("no white reference" in each for each in report.assumptions)
    white = np.full(100, 5000.0)
    signature, report = asd.read(put(tmp_path, "b.asd", make.asd(stored, reference=white)))
    np.testing.assert_allclose(signature.value, stored)
    assert any("already" in each for each in report.assumptions)
    white[3] = 0.0
    signature, report = asd.read(
        put(tmp_path, "c.asd", make.asd(stored * 5000, reference=white, saturation=5))
    )
    assert report.dropped == {spectra.DELETED: 1}
    assert any("VNIR, SWIR 2" in each for each in report.warnings)
    for kind, match in ((2, "radiance without"), (6, "transmittance"), (8, "absorbance")):
        with pytest.raises(ReadError, match=match):
            asd.read(put(tmp_path, "d.asd", make.asd(stored * 5000, kind=kind, revision=5)))


def test_asd_every_cut_is_noticed(tmp_path):
    data = make.asd(np.linspace(10, 90, 20), reference=np.full(20, 100.0))
    path = tmp_path / "cut.asd"
    for length in [*range(1, len(data), 5), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ReadError):
            asd.read(path)


def test_asd_that_makes_no_sense(tmp_path):
    path = put(tmp_path, "a.asd", make.asd(np.ones(10), first_nm=float("nan")))
    assert claimed_by(path) == []
    with pytest.raises(ReadError, match="damaged"):
        asd.read(path)
    assert claimed_by(put(tmp_path, "b.txt", "ASD FieldSpec text export\n" * 100)) == []


# -- SVC and SED --


def two_detectors() -> np.ndarray:
    """Wavelengths 400..500 and 480..600 in steps of 10: overlap 480..500, cut at 490."""
    wavelength = np.concatenate([np.arange(400.0, 501.0, 10.0), np.arange(480.0, 601.0, 10.0)])
    truth = wavelength / 1000.0
    return np.column_stack([wavelength, np.full_like(truth, 2.0), 2.0 * truth, 100.0 * truth])


@pytest.mark.parametrize("comma", [False, True])
def test_svc_overlap_is_cut_in_the_middle(tmp_path, comma):
    path = put(tmp_path, "a.sig", make.svc(two_detectors(), comma=comma))
    assert claimed_by(path) == ["svc"]
    signature, report = svc.read(path)
    np.testing.assert_allclose(signature.wavelength_nm, np.arange(400.0, 601.0, 10.0))
    np.testing.assert_allclose(signature.value, signature.wavelength_nm / 1000.0)
    assert report.dropped == {spectra.OVERLAP: 3}
    assert any("480 to 500" in each and "cut at 490" in each for each in report.assumptions)
    assert signature.name == "planted.0001.sig"


def test_svc_step_between_detectors_is_a_warning(tmp_path):
    rows = two_detectors()
    rows[11:, 3] *= 1.1
    _, report = svc.read(put(tmp_path, "a.sig", make.svc(rows, factors="1, 1, 1 [overlap: Remove]")))
    assert any("differ by 9.1%" in each for each in report.warnings)
    assert any("overlaps were removed" in each for each in report.warnings)


def test_svc_refused(tmp_path):
    rows = two_detectors()
    rows[:, 1] = 1.0
    with pytest.raises(ReadError, match="no white reference"):
        svc.read(put(tmp_path, "a.sig", make.svc(rows)))
    with pytest.raises(ReadError, match="data="):
        svc.read(put(tmp_path, "b.sig", make.svc(rows).split("data=")[0]))
    rows = two_detectors()
    zigzag = np.concatenate([rows[:4], rows[:4], rows[:4], rows[:4], rows[:4]])
    zigzag[:, 1] += np.arange(len(zigzag))
    with pytest.raises(ReadError, match="step back"):
        svc.read(put(tmp_path, "c.sig", make.svc(zigzag)))


def test_sed_columns(tmp_path):
    rows = two_detectors()
    names = ["Wvl", "Rad. (Ref.)", "Rad. (Target)", "Reflect. %"]
    path = put(tmp_path, "a.sed", make.sed(names, rows))
    assert claimed_by(path) == ["spectral_evolution"]
    signature, report = spectral_evolution.read(path)
    np.testing.assert_allclose(signature.value, signature.wavelength_nm / 1000.0)
    assert report.dropped == {spectra.OVERLAP: 3}
    rows[:, 3] /= 100.0
    signature, _ = spectral_evolution.read(
        put(tmp_path, "b.sed", make.sed([*names[:3], "Reflect. [1.0]"], rows))
    )
    np.testing.assert_allclose(signature.value, signature.wavelength_nm / 1000.0)
    signature, report = spectral_evolution.read(put(tmp_path, "c.sed", make.sed(names[:3], rows[:, :3])))
    np.testing.assert_allclose(signature.value, signature.wavelength_nm / 1000.0)
    assert any("(Target)" in each for each in report.assumptions)
    bare = make.sed(["Wvl", "Rad. (Target)"], rows[:, [0, 2]])
    signature, _ = spectral_evolution.read(put(tmp_path, "d.sed", bare))
    assert signature.quantity == "radiance"


def test_sed_damage(tmp_path):
    rows = two_detectors()
    names = ["Wvl", "Rad. (Ref.)", "Rad. (Target)", "Reflect. %"]
    with pytest.raises(ReadError, match="says 99 channels"):
        spectral_evolution.read(put(tmp_path, "a.sed", make.sed(names, rows, channels=99)))
    with pytest.raises(ReadError, match="3 headings over 4"):
        spectral_evolution.read(put(tmp_path, "b.sed", make.sed(names[:3], rows)))
    with pytest.raises(ReadError, match="no column of reflectance"):
        spectral_evolution.read(put(tmp_path, "c.sed", make.sed(["Wvl", "Chan.#"], rows[:, :2])))


# -- ENVI library --


@pytest.mark.parametrize("order", ["0", "1"])
def test_envi_library(tmp_path, order):
    values = np.array([[0.1, 0.2, 0.3], [0.4, -9.0, 0.6]])
    header = make.envi_library(tmp_path, values, [0.4, 0.5, 0.6], byte_order=order, data_ignore_value="-9")
    assert claimed_by(header) == ["envi_library"]
    assert not envi.sniff(header, header.read_bytes())
    signatures, report = envi_library.read_all(header)
    assert [each.name for each in signatures] == ["entry 0", "entry 1"]
    np.testing.assert_allclose(signatures[0].value, [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(signatures[1].wavelength_nm, [400, 600])
    np.testing.assert_allclose(signatures[1].gaps_nm, [[400, 600]])
    again, _ = envi_library.read_all(tmp_path / "lib.sli")
    np.testing.assert_array_equal(again[1].value, signatures[1].value)
    assert report.records == 2
    with pytest.raises(ReadError, match=r"holds 2 spectra.*--entry"):
        envi_library.read(header)


def test_envi_library_agrees_with_spy(tmp_path):
    envi_of_spy = pytest.importorskip("spectral.io.envi")
    values = np.random.default_rng(4).uniform(0.0, 1.0, (7, 30))
    header = make.envi_library(tmp_path, values, np.linspace(0.4, 2.4, 30).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SPy 0.24 under numpy 2.5
        peer = envi_of_spy.open(str(header), str(tmp_path / "lib.sli"))
    ours, _ = envi_library.read_all(header)
    np.testing.assert_allclose([each.value for each in ours], peer.spectra, rtol=1e-6)
    np.testing.assert_allclose(ours[0].wavelength_nm, np.array(peer.bands.centers) * 1e3, rtol=1e-9)
    assert [each.entry for each in ours] == [name.strip() for name in peer.names]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lines": "3"}, "has 24 bytes, its header says 36"),
        ({"wavelength": "{0.4, 0.5}"}, "2 values for 3"),
        ({"wavelength units": "wavenumber"}, "unknown unit"),
        ({"data type": "6"}, "unknown data type"),
        ({"bands": "3"}, "bands = 1"),
        ({"reflectance scale factor": "5"}, "may be fractions yet, or not"),
    ],
)
def test_envi_library_refused(tmp_path, changes, match):
    header = make.envi_library(tmp_path, np.full((2, 3), 0.5), [0.4, 0.5, 0.6], **changes)
    with pytest.raises(ReadError, match=match):
        envi_library.read_all(header)


@pytest.mark.parametrize(
    ("white", "factor"),
    [(1, None), (100, None), (100, "100"), (10000, "10000"), (1, "10000"), (1, "1.0"), (1, "0.0001")],
)
def test_scale_of_an_envi_library(tmp_path, white, factor):
    """Fractions, percent, or what the scale factor says; writers also leave it beside fractions."""
    truth = np.random.default_rng(1).uniform(0.05, 0.6, (3, 40))
    axis = np.linspace(0.4, 2.4, 40).tolist()
    header = make.envi_library(tmp_path, truth * white, axis, **{"reflectance scale factor": factor})
    found, _ = envi_library.read_all(header)
    np.testing.assert_allclose([each.value for each in found], truth, rtol=1e-6)


@pytest.mark.parametrize(("order", "axes"), [("bil", (0, 1)), ("bip", (0, 1)), ("bsq", (1, 0))])
@pytest.mark.parametrize("count", [1, 3])
def test_a_cube_of_one_sample_is_spectra(tmp_path, order, axes, count):
    """As Spectronon saves a mean spectrum, and ISOFIT a library."""
    truth = np.random.default_rng(2).uniform(0.05, 0.6, (count, 6)).astype("<f4")
    (tmp_path / "roof mean.spec").write_bytes(truth.transpose(axes).tobytes())
    header = put(
        tmp_path,
        "roof mean.spec.hdr",
        f"ENVI\nsamples = 1\nlines = {count}\nbands = 6\ndata type = 4\ninterleave = {order}\n"
        "byte order = 0\nreflectance scale factor = 1.0\nwavelength = {400, 500, 600, 700, 800, 900}\n",
    )
    assert claimed_by(header) == ["envi_library"]
    assert not envi.sniff(header, header.read_bytes())
    found, report = envi_library.read_all(header)
    np.testing.assert_allclose([each.value for each in found], truth, rtol=1e-6)
    assert found[0].name == ("roof mean" if count == 1 else "roof mean 1")
    assert any("one sample" in each for each in report.assumptions)
    (tmp_path / "roof mean.spec").write_bytes(b"123")
    with pytest.raises(ReadError, match="has 3 bytes, its header says"):
        envi_library.read_all(header)


@pytest.mark.parametrize("scale", [10000.0, 1e-5])
def test_a_library_that_is_neither_fraction_nor_percent_is_refused(tmp_path, scale):
    header = make.envi_library(tmp_path, np.full((2, 3), 0.5) * scale, [0.4, 0.5, 0.6])
    with pytest.raises(ReadError, match="neither as a fraction nor in percent"):
        envi_library.read_all(header)


@pytest.mark.parametrize("name", ["lib.SLI", "lib.spl", "lib"])
def test_names_of_the_numbers_of_a_library(tmp_path, name):
    names = '{"concrete, grey", grass}'
    header = make.envi_library(tmp_path, np.full((2, 3), 0.5), [0.4, 0.5, 0.6], spectra_names=names)
    (tmp_path / "lib.sli").rename(tmp_path / name)
    header = header.rename(tmp_path / "lib.HDR")
    assert [each.name for each in envi_library.read_all(header)[0]] == ["concrete, grey", "grass"]


def test_envi_library_without_its_numbers(tmp_path):
    header = make.envi_library(tmp_path, np.full((2, 3), 0.5), [0.4, 0.5, 0.6], spectra_names="{soil, soil}")
    assert [each.name for each in envi_library.read_all(header)[0]] == ["soil", "soil (2)"]
    (tmp_path / "lib.sli").unlink()
    with pytest.raises(ReadError, match=r"lib\.sli"):
        envi_library.read_all(header)


# -- tables without headings --


@pytest.mark.parametrize("mark", [",", "\t", " ", ";"])
def test_table_of_columns(tmp_path, mark):
    rows = [[400, 10, 20], [500, 30, 40], [600, 50, 60]]
    path = put(tmp_path, "t.txt", "".join(mark.join(map(str, row)) + "\n" for row in rows))
    signatures, report = spectrum_table.read_all(path)
    np.testing.assert_allclose([each.value for each in signatures], [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]])
    assert [each.name for each in signatures] == ["t 1", "t 2"]
    assert any("percent" in each for each in report.assumptions)
    assert claimed_by(path) == []


def test_table_of_pairs_and_of_lines(tmp_path):
    pairs = put(tmp_path, "p.txt", "400, 0.1\t400, 0.2\r\n500, 0.3\t500, 0.4\r\n")
    np.testing.assert_allclose(
        [each.value for each in spectrum_table.read_all(pairs)[0]], [[0.1, 0.3], [0.2, 0.4]]
    )
    lines = put(tmp_path, "l.csv", "name,0.4,0.5,0.6,0.7,0.8\nsoil,.1,.2,.3,.4,.5\nleaf,.5,,.3,.2,.1\n")
    soil, leaf = spectrum_table.read_all(lines)[0]
    np.testing.assert_allclose(soil.wavelength_nm, [400, 500, 600, 700, 800])
    assert (leaf.name, len(leaf.value)) == ("leaf", 4)
    np.testing.assert_allclose(leaf.gaps_nm, [[400, 600]])
    with pytest.raises(ReadError, match="cannot be nm nor um"):
        spectrum_table.read_all(put(tmp_path, "x.txt", "1 2\n2000 3\n"))


AVANTES = """Integration time [ms]: 100.000
Data measured with spectrometer [name]: 1204045U1
Wave   ;Sample   ;Dark     ;Reference;Reflectance
[nm]   ;[counts] ;[counts] ;[counts] ;[%]

400.100; 4800.000;  800.000;40800.000;   10.000
400.700; 8800.000;  800.000;40800.000;   20.000
401.300;12800.000;  800.000;40800.000;   30.000
"""
OCEAN = """Data from x.txt Node

Integration Time (sec): 1.000000E-1
XAxis mode: Wavelengths
>>>>>Begin Spectral Data<<<<<
400.100\t10.000
400.700\t20.000
401.300\t30.000
"""


@pytest.mark.parametrize("comma", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        AVANTES,
        OCEAN,
        "Wellenl\u00e4nge [nm];Reflexion\n400.1;0.1\n400.7;0.2\n401.3;0.3\n",
        "400.1 0.1\n400.7 0.2\n401.3 0.3\n",
        "Wavelength (nm)\tReflectance (%)\tReflectance SD\n400.1\t10.0\t1\n400.7\t20.0\t1\n401.3\t30.0\t1\n",
    ],
)
def test_exports_of_spectrometers(tmp_path, text, comma):
    """Columns that headings call reflectance are taken, in their unit; commas may be decimal points."""
    (signature,), _ = spectrum_table.read_all(
        put(tmp_path, "a.txt", text.replace(".", ",") if comma else text)
    )
    np.testing.assert_allclose(signature.wavelength_nm, [400.1, 400.7, 401.3])
    np.testing.assert_allclose(signature.value, [0.1, 0.2, 0.3])


def test_headings_name_the_spectra(tmp_path):
    path = put(tmp_path, "a.txt", "Wavelength\tleaf1.asd\tleaf2.asd\n400\t.1\t.2\n401\t.3\t.4\n")
    assert [each.name for each in spectrum_table.read_all(path)[0]] == ["leaf1.asd", "leaf2.asd"]
    path = put(tmp_path, "b.csv", "wavelength (um),soil\n0.5,.1\n0.6,.2\n")
    assert spectrum_table.read_all(path)[0][0].wavelength_nm.tolist() == [500.0, 600.0]


cells = st.one_of(
    st.floats(allow_nan=True, width=32).map(str),
    st.sampled_from(
        ["400", "500,5", "0,1", "X400", "nan", "", '"', "Reflectance [%]", "[nm]", "counts", "type: DN"]
    ),
)


@given(
    st.lists(st.lists(cells, min_size=1, max_size=7), min_size=1, max_size=7),
    st.sampled_from([",", ";", "\t", " ", ", "]),
    st.sampled_from(["\n", "\r\n", "\x0b", "\x85\n"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_any_table_is_read_or_refused(tmp_path, rows, mark, end):
    try:
        found, _ = spectrum_table.read_all(
            put(tmp_path, "a.txt", end.join(mark.join(row) for row in rows) + end)
        )
    except ReadError:
        return
    assert all(np.isfinite(each.value).all() for each in found)


@pytest.mark.parametrize("style", ["{}", "X{}", "{}nm", "wvl_{}", "{}.5"])
def test_wide_tables_of_data_bases(tmp_path, style):
    """EcoSIS, R: one spectrum a line behind columns of text and numbers, some quoted."""
    axis = [style.format(nm) for nm in range(400, 407)]
    head = ",".join(["id", "Latin name", "latitude", "year 2019", *axis])
    rows = (
        '1,"Acer rubrum, L.",43.1,7,'
        + ",".join(["0.1"] * 7)
        + "\n2,Acer,43.2,8,0.2,,.2,.2,.2,.2,.2\n3,cut,1\n"
    )
    (one, two), report = spectrum_table.read_all(put(tmp_path, "a.csv", f"{head}\n{rows}"))
    first = 400.5 if style == "{}.5" else 400.0
    np.testing.assert_allclose(one.wavelength_nm, first + np.arange(7))
    np.testing.assert_allclose(one.value, 0.1)
    np.testing.assert_allclose(two.value, [0.2] * 6)
    assert [one.name, two.name] == ["1", "2"]
    assert sum(report.dropped.values()) == 2  # the deleted channel, the row that was cut


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (OCEAN.replace("XAxis", "Processed Spectrum Type: Transmission\nXAxis"), "Transmission"),
        ("Wavelength,Radiance\n400,.1\n401,.2\n", "Radiance.*no reflectance.*export reflectance"),
        ("Wavenumber (cm-1),x\n4000,.1\n4001,.2\n", "wavenumbers"),
        ("400 1000\n401 2000\n", "2000.*neither as a fraction nor in percent"),
        ("2800 1e-5\n2801 2e-5\n", "2e-05.*neither"),
    ],
)
def test_tables_that_are_no_reflectance(tmp_path, text, match):
    with pytest.raises(ReadError, match=match):
        spectrum_table.read_all(put(tmp_path, "a.txt", text))


# -- what all share --


spectrum = st.lists(
    st.tuples(st.integers(3500, 25000), st.floats(0.0, 99.0)),
    min_size=2,
    max_size=30,
    unique_by=lambda p: p[0],
)


@given(spectrum, st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_order_of_the_rows_does_not_matter(tmp_path, points, random):
    points = sorted(points)
    expected = [y / 100.0 for _, y in points]
    random.shuffle(points)
    text = make.ecostress([x / 1e4 for x, _ in points], [y for _, y in points])
    signature, _ = ecostress.read(put(tmp_path, "a.txt", text))
    np.testing.assert_allclose(signature.value, expected, atol=1e-8)


@given(
    st.binary(max_size=600),
    st.sampled_from(READERS),
    st.sampled_from(
        [
            b"",
            b"as7",
            b"ENVI\n",
            b"/*** Spectra Vista SIG Data ***/\ndata=\n",
            b"a Record=1: x\n",
            b"Data:\nWvl\t",
        ]
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_garbage_is_refused_as_a_user_error(tmp_path, garbage, module, start):
    path = put(tmp_path, "garbage", start + garbage)
    module.sniff(path, start + garbage)
    with contextlib.suppress(ReadError):  # any other error is a bug
        module.read_all(path)


@given(st.integers(0, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_cut_text_is_refused(tmp_path, at):
    text = make.ecostress([0.4 + 0.01 * k for k in range(20)], [10.0 + k for k in range(20)])
    path = put(tmp_path, "cut.txt", text[: len(text) - 12 - at])
    with pytest.raises(ReadError):
        ecostress.read(path)


def test_units_that_contradict_the_numbers_are_refused():
    tally, origin = Tally(), spectra.Origin("x", "0")
    kept = {"name": "x", "quantity": "reflectance", "origin": origin, "tally": tally, "where": "x"}
    values = np.array([0.1, 0.2])
    with pytest.raises(ReadError, match="cannot be um"):
        spectra.build(np.array([400.0, 500.0]), values, unit="um", **kept)
    with pytest.raises(ReadError, match="1 channels with a value"):
        spectra.build(np.array([400.0, 500.0]), np.array([0.1, np.nan]), unit="nm", **kept)
    far = spectra.build(np.array([1.12, 14.0, 216.0]), np.array([0.1, 0.2, 0.3]), unit=None, **kept)
    np.testing.assert_allclose(far.wavelength_nm, [1120.0, 14000.0])
    assert tally.dropped[spectra.TOO_LONG] == 1
    same = spectra.build(np.array([400.0, 400.0, 500.0]), np.array([0.1, 0.3, 0.4]), unit="nm", **kept)
    np.testing.assert_allclose(same.value, [0.2, 0.4])
    assert tally.dropped[spectra.REPEATED] == 1


# -- real files --


def test_real_library_files(shared_data):
    folder = shared_data / "spectral" / "signatures" / "spy_format_samples"
    signature, _ = ecostress.read(folder / "ecostress" / "a.spectrum.txt")
    assert (signature.name, len(signature.value)) == ("Construction Concrete", 561)
    assert signature.wavelength_nm[[0, -1]] == pytest.approx([300.0, 15000.0])
    assert signature.value[0] == pytest.approx(0.0882)  # first row of the file: 0.3000 8.8200
    deep = folder / "usgs" / "ASCIIdata" / "liba" / "ChapterB_b0"
    signature, _ = usgs.read(deep / "liba_Material_a_b0_0_ASDFRa_AREF.txt")
    assert (len(signature.value), signature.value[0]) == (24, pytest.approx(0.33849356))
    with pytest.raises(ReadError, match="44 channels"):
        usgs.read(deep / "liba_Material_a_b0_1_NIC4a_RREF.txt")


def test_real_envi_library(shared_data, tmp_path):
    folder = shared_data / "spectral" / "signatures" / "earthlib"
    with lzma.open(folder / "spectra.sli.xz") as stream:
        (tmp_path / "spectra.sli").write_bytes(stream.read())
    (tmp_path / "spectra.sli.hdr").write_bytes((folder / "spectra.sli.hdr").read_bytes())
    signatures, report = envi_library.read_all(tmp_path / "spectra.sli.hdr")
    assert len(signatures) == report.records == 7261
    raw = np.fromfile(tmp_path / "spectra.sli", "<f4").reshape(7261, 180)
    np.testing.assert_allclose(signatures[4000].value, raw[4000], rtol=1e-6)
    assert signatures[0].entry == "FS15R_FS4275"


def test_real_tables(shared_data):
    folder = shared_data / "spectral" / "signatures"
    cloth, _ = spectrum_table.read_all(folder / "muufl_asd" / "RedCloth01_10.txt")
    assert [len(cloth), len(cloth[0].value)] == [10, 751]
    assert cloth[0].value[0] == pytest.approx(0.058)  # first cell of the file
    library, _ = spectrum_table.read_all(folder / "hylite_library.csv")
    assert len(library) == 57
    grey, report = spectrum_table.read_all(folder / "panels_hylite" / "PVC_Grey.txt")
    assert any("overlap" in each for each in report.assumptions)
    assert len(grey) == 1


def test_no_real_file_is_claimed_twice(shared_data):
    twice = {}
    for path in sorted(shared_data.rglob("*")):
        if path.is_file() and len(found := claimed_by(path)) > 1:
            twice[path.name] = found
    assert twice == {}
