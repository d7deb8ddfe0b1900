"""Instrument descriptions: angles by hand, mistakes named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ManifestError
from dronesense.model import FrameCamera, GasInstrument, LineCamera
from dronesense.readers import instrument

SHIPPED = Path(__file__).parents[1] / "calibration" / "instruments"

GAS = """schema = 1
id = "x"
kind = "gas"
[time]
column = "t"
[columns]
a = { species = "CH4", unit = "ppm", sigma = 0.1 }
"""
LINE = """schema = 1
id = "x"
kind = "line_scan"
samples = 4
fov_deg = 90.0
first_sample = "port"
"""


@pytest.fixture
def read(tmp_path):
    def _read(text: str):
        path = tmp_path / "x.toml"
        path.write_text(text, encoding="utf-8")
        return instrument.read(path)

    return _read


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_instrument_reads(path):
    assert instrument.read(path).id == path.stem


def test_the_analyser_of_the_contract():
    analyser = instrument.read(SHIPPED / "example-analyser.toml")
    assert isinstance(analyser.spec, GasInstrument)
    assert analyser.kind == "gas"
    assert analyser.spec.time.columns == ("Time (UTC)",)
    assert analyser.spec.time.format == "iso"
    column = analyser.spec.columns["CH4 (ppm)"]
    assert (column.species, column.unit, column.basis, column.sigma) == ("CH4", "ppm", "wet", 0.006)
    assert analyser.spec.columns["H2O (%)"].field == "water"
    assert analyser.spec.valid_range == {"CH4": (0.0, 500.0)}
    assert analyser.mount.lever_arm_m == (0.3, 0.0, -0.2)


def test_the_line_scanner_of_the_contract():
    camera = instrument.read(SHIPPED / "example-line-scanner.toml")
    assert isinstance(camera.spec, LineCamera)
    assert camera.spec.samples == 256
    assert camera.spec.saturation_dn == 65535
    assert camera.mount.rotation == "nadir"
    assert camera.mount.boresight_deg == (0.7, -0.4, 1.1)
    assert camera.mount.sigma_boresight_deg == 0.05
    assert camera.mount.sigma_lever_arm_m == 0.01


def test_field_of_view_runs_from_edge_to_edge(read):
    # fov 90: tan(45) = 1; pixel centers of 4 stand at -3/4, -1/4, 1/4, 3/4 of the half width.
    look = read(LINE).spec.look_deg
    expected = [-36.86989764584402, -14.036243467926479, 14.036243467926479, 36.86989764584402]
    np.testing.assert_allclose(look[:, 0], expected, rtol=1e-14)
    np.testing.assert_array_equal(look[:, 1], 0.0)


def test_starboard_first_mirrors_the_order_only(read):
    port = read(LINE).spec.look_deg
    starboard = read(LINE.replace('"port"', '"starboard"')).spec.look_deg
    np.testing.assert_array_equal(starboard, port[::-1])
    assert starboard[0, 0] > 0  # the first sample looks to starboard, positive


def test_look_angles_from_a_table(read, tmp_path):
    (tmp_path / "a.csv").write_text("sample,across_deg,along_deg\n0,-2,0.1\n1,0,0.2\n2,2,0.3\n")
    text = LINE.replace("samples = 4", "samples = 3").replace("fov_deg = 90.0", 'look_angles = "a.csv"')
    np.testing.assert_array_equal(read(text).spec.look_deg, [[-2, 0.1], [0, 0.2], [2, 0.3]])
    with pytest.raises(ManifestError, match='say "port"'):
        read(text.replace('"port"', '"starboard"'))
    with pytest.raises(ManifestError, match="3 rows, the camera 4 samples"):
        read(text.replace("samples = 3", "samples = 4"))
    with pytest.raises(ManifestError, match="cannot be opened"):
        read(text.replace("a.csv", "b.csv"))


def test_frame(read):
    camera = read('schema = 1\nid = "x"\nkind = "frame"\n[radiometry]\nsaturation_dn = 4095\n')
    assert camera.spec == FrameCamera(4095.0)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"gas"', '"gaz"', 'did you mean "gas"'),
        ('kind = "gas"', "", "kind is missing"),
        ('id = "x"', 'id = "y"', "the file is named"),
        ("schema = 1", "schema = 2", "enum value 2"),
        ("sigma = 0.1", "sigma = -0.1", "sigma must be"),
        ('species = "CH4"', 'species = "CH4", field = "water"', "either a species or a field"),
        ('species = "CH4"', 'field = "presure"', 'did you mean "pressure"'),
        ('column = "t"', 'column = "t"\nformat = "isoo"', 'did you mean "iso"'),
        ('column = "t"', "column = []", "no column"),
        ("[columns]", "[valid_range]\nCO = [0.0, 1.0]\n[columns]", 'species "CO"'),
        ("[columns]", "[valid_range]\nCH4 = [1.0, 0.0]\n[columns]", "is empty"),
        ("[columns]", '[mount]\nrotatoin = "nadir"\n[columns]', 'did you mean "rotation"'),
        ("[columns]", "[mount]\nsigma = { lever_arm_m = -1.0 }\n[columns]", "0 or greater"),
        ("[columns]", "[mount]\nlever_arm_m = [nan, 0.0, 0.0]\n[columns]", "finite"),
        ("[time]", 'delimiter = ";;"\n[time]', "one character"),
        ("sigma = 0.1", "ok = [1.0]", 'are for field = "status"'),
        ('species = "CH4"', 'field = "status", flag = "stuk"', "stuk"),
        ('species = "CH4"', 'field = "status", within = [2.0, 1.0]', "within is empty"),
        ('species = "CH4"', 'field = "we"', 'add of = "CH4"'),
        ('species = "CH4"', 'field = "pressure", of = "CH4"', "of is for"),
        ("sigma = 0.1", "molar_mass = 0.0", "molar_mass"),
        ("sigma = 0.1", "stuck = -1", "stuck"),
        ("sigma = 0.1", 'state = "smple"', "state"),
        ('column = "t"', 'column = "t"\nformat = "unix"\ndate_order = "dmy"', "dates in figures"),
        ('column = "t"', 'column = "t"\nformat = "numeric"\ndate_order = "dym"', "date_order"),
        ('column = "t"', 'column = "t"\nstart = "2026-06-14T05:00:00Z"', "seconds since a start"),
        ("[columns]", '[[gases]]\nheading = "{nam}"\nnames = {}\n[columns]', "must hold {name} once"),
        ("[columns]", '[[gases]]\nheading = "{name}"\nnames = {}\n[columns]', "either in the heading or"),
        (
            "[columns]",
            '[[gases]]\nheading = "{name}_{unit}"\nnames.T = "Toluene"\nmolar_mass.Toluen = 92.0\n[columns]',
            'molar_mass of "Toluen".*did you mean "Toluene"',
        ),
        ("[columns]", "[layout]\nskip_rows = -1\n[columns]", "0 or greater"),
        ("[columns]", '[layout]\ndecimal = ";"\n[columns]', "decimal"),
        ("[time]", "warm_up_s = -1.0\n[time]", "0 or greater"),
        ("[columns]", '[match]\nheading = ["a"]\n[columns]', 'did you mean "headings"'),
    ],
)
def test_mistakes_in_a_gas_description(read, old, new, match):
    assert read(GAS).spec.columns["a"].species == "CH4"
    with pytest.raises(ManifestError, match=match) as error:
        read(GAS.replace(old, new))
    assert "x.toml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("samples = 4", "samples = 0", "at least 1"),
        ("fov_deg = 90.0", "", "either fov_deg or look_angles"),
        ("fov_deg = 90.0", "fov_deg = 180.0", "between 0 and 180"),
        ('first_sample = "port"', "", "mirrors"),
        ('first_sample = "port"', 'first_sample = "port"\n[radiometry]\nsaturation_dn = 0', "must be > 0"),
    ],
)
def test_mistakes_in_a_camera_description(read, old, new, match):
    with pytest.raises(ManifestError, match=match):
        read(LINE.replace(old, new))


def test_header_matches(read, tmp_path):
    analyser = read(GAS)
    table = tmp_path / "g.csv"
    table.write_text(" t ;a;b\n1;2;3\n")
    assert instrument.header_matches(analyser, table)
    table.write_text("t,b\n1,2\n")
    assert not instrument.header_matches(analyser, table)
    table.write_bytes(b"\xa3\x95\x80\x00\x00\x01")
    assert not instrument.header_matches(analyser, table)
    assert not instrument.header_matches(analyser, tmp_path / "absent.csv")
    assert not instrument.header_matches(read(LINE), table)


@pytest.mark.parametrize(
    ("heading", "zone"), [("Time (UTC)", "UTC"), ("UTC", "UTC"), ("Time", None), ("local_time", None)]
)
def test_a_heading_that_says_utc_is_a_zone(read, heading, zone):
    assert read(GAS.replace('column = "t"', f'column = "{heading}"')).spec.time.zone == zone


def test_a_stated_zone_wins_over_the_heading(read):
    text = GAS.replace('column = "t"', 'column = "Time (UTC)"\nzone = "+05:00"')
    assert read(text).spec.time.zone == "+05:00"


def test_zone_and_order_of_dates_of_one_file(read):
    analyser = read(GAS.replace('column = "t"', 'column = "t"\nformat = "numeric"\nzone = "UTC"'))
    told = instrument.with_clock(analyser, zone="+05:00", date_order="mdy")
    assert (told.spec.time.zone, told.spec.time.date_order) == ("+05:00", "mdy")
    assert instrument.with_clock(analyser).spec.time == analyser.spec.time
    with pytest.raises(ManifestError, match="is a camera"):
        instrument.with_clock(read(LINE), zone="UTC")


def test_match_tells_relatives_apart(read, tmp_path):
    text = GAS + '[match]\nheadings = ["x"]\nwithout = ["y"]\ntext = "Model: A"\n'
    table = tmp_path / "g.csv"
    for head, claimed in (
        ("Model: A-1\nt,a,x\n", True),
        ("Model: B\nt,a,x\n", False),
        ("Model: A-1\nt,a\n", False),
        ("Model: A-1\nt,a,x,y\n", False),
    ):
        table.write_text(head + "1,2,3,4\n")
        assert instrument.header_matches(read(text), table) is claimed


def test_optional_columns_alone_claim_nothing(read, tmp_path):
    analyser = read(GAS.replace("sigma = 0.1", "optional = true"))
    table = tmp_path / "g.csv"
    table.write_text("t,b\n1,2\n")
    assert not instrument.header_matches(analyser, table)
    table.write_text("t,a\n1,2\n")
    assert instrument.header_matches(analyser, table)
