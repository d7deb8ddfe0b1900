"""Calibration records: the line against a published check value, files beside the record, mistakes named."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ManifestError
from dronesense.manifest.catalog import Catalog
from dronesense.model import CameraCalibration, GasCalibration, Mount
from dronesense.readers import record
from dronesense.writers import record as writer

GAS = """schema = 1
instrument = "example-analyser"
valid_from = 2026-06-01T00:00:00Z
note = "zero air"
[species.CH4]
zero = 0.05
span = 1.03
sigma_zero = 0.005
sigma_span = 0.004
[response]
tau_s = 1.6
delay_s = 1.1
"""
CAMERA = """schema = 1
instrument = "cam"
valid_from = 2026-06-01T06:00:00+06:00
dark = "dark.csv"
"""
JUNE_FIRST = int(np.datetime64("2026-06-01T00:00:00", "ns").astype(np.int64))


@pytest.fixture
def read(tmp_path):
    def _read(text: str):
        path = tmp_path / "2026-06-01.toml"
        path.write_text(text)
        return record.read(path)

    return _read


def test_the_record_of_the_contract(read):
    gas = read(GAS)
    assert isinstance(gas, GasCalibration)
    assert (gas.instrument, gas.valid_from, gas.note) == ("example-analyser", JUNE_FIRST, "zero air")
    line = gas.species["CH4"]
    assert (line.zero, line.span, line.sigma_zero, line.sigma_span, line.covariance) == (
        0.05,
        1.03,
        0.005,
        0.004,
        0,
    )
    assert (gas.response.tau_s, gas.response.delay_s) == (1.6, 1.1)
    assert Path(gas.path).name == "2026-06-01.toml"


def test_fit_against_the_check_value(shared_data):
    """`wls_cal`: ISO 6143 / GUM, computed elsewhere."""
    check = json.loads((shared_data / "gas" / "checks.json").read_text())["wls_cal"]
    line, chi2 = record.fit_line(check["x"], check["y"], check["u"])
    assert line.zero == pytest.approx(check["a"], abs=1e-8)
    assert line.span == pytest.approx(check["b"], abs=1e-8)
    assert line.sigma_zero == pytest.approx(check["u_a"], abs=1e-7)
    assert line.sigma_span == pytest.approx(check["u_b"], abs=1e-8)
    assert line.covariance == pytest.approx(check["cov_ab"], abs=1e-10)
    assert chi2 == pytest.approx(check["chi2"], abs=1e-8)


def test_fit_against_numpy():
    rng = np.random.default_rng(4)
    x, u = rng.uniform(0, 50, 9), rng.uniform(0.05, 0.5, 9)
    y = 0.3 + 1.1 * x + rng.normal(0, u)
    line, _ = record.fit_line(x, y, u)
    (span, zero), covariance = np.polyfit(x, y, 1, w=1 / u, cov="unscaled")
    np.testing.assert_allclose([line.span, line.zero], [span, zero])
    expected = [[line.sigma_span**2, line.covariance], [line.covariance, line.sigma_zero**2]]
    np.testing.assert_allclose(expected, covariance)


def test_points(read):
    text = GAS.replace("zero = 0.05\nspan = 1.03\nsigma_zero = 0.005\nsigma_span = 0.004", "points = [{}]")
    points = "[0, 0.05, 0.05], [2, 2.11, 0.05], [5, 5.02, 0.1], [10, 10.3, 0.2], [20, 20.1, 0.4]"
    gas = read(text.replace("{}", points))
    line = gas.species["CH4"]
    assert line.zero == pytest.approx(0.064181, abs=1e-6)  # gas.md 4.2
    assert line.span == pytest.approx(1.008571, abs=1e-6)
    assert line.covariance == pytest.approx(-2.955e-4, abs=1e-7)
    assert "chi2/nu = 1.85/3" in gas.note
    for bad, match in (
        ("[0, 0, 0.1]", "at least 2"),
        ("[1, 1, 0.1], [1, 2, 0.1]", "different standards"),
        ("[0, 1, 0.1], [1, 0, 0.1]", "fall where"),
        ("[0, 1, 0.0], [1, 2, 0.1]", "sigma greater"),
    ):
        with pytest.raises(ManifestError, match=match):
            read(text.replace("{}", bad))
    with pytest.raises(ManifestError, match="both points and a line"):
        read(GAS.replace("zero = 0.05", "points = [[0, 0, 1], [1, 1, 1]]"))


def test_unit_of_a_line(read):
    line = read(GAS.replace("zero = 0.05", 'unit = "ppb"\ncovariance = 1e-5\nzero = 0.05')).species["CH4"]
    np.testing.assert_allclose(
        [line.zero, line.span, line.sigma_zero, line.sigma_span, line.covariance],
        [0.05e-3, 1.03, 0.005e-3, 0.004, 1e-8],
    )
    with pytest.raises(ManifestError, match=r"species\.CH4\.unit"):
        read(GAS.replace("zero = 0.05", 'unit = "hPa"\nzero = 0.05'))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("T00:00:00Z", "T00:00:00", "no zone"),
        ("2026-06-01T00:00:00Z", '"yesterday"', "valid_from"),
        ("span = 1.03", "span = 0.0", "greater than 0"),
        ("sigma_zero = 0.005", "sigma_zero = -1.0", "0 or greater"),
        ("sigma_zero = 0.005", "covariance = 1.0", "covariance"),
        ("tau_s = 1.6", "tau_s = -1.6", "not negative"),
        ("tau_s = 1.6", "tau = 1.6", 'did you mean "tau_s"'),
        ("zero = 0.05\nspan = 1.03\n", "", "zero and span"),
        ("[species.CH4]", 'dark = "x.csv"\n[species.CH4]', "both a camera"),
    ],
)
def test_mistakes(read, old, new, match):
    assert old in GAS
    with pytest.raises(ManifestError, match=match) as error:
        read(GAS.replace(old, new))
    assert "2026-06-01.toml" in str(error.value)


def test_camera_from_csv(read, tmp_path):
    (tmp_path / "dark.csv").write_text("band,0,1,2\n0,10,11,12\n1,20,21,22\n")
    (tmp_path / "bad.csv").write_text("band,0,1,2\n0,0,1,0\n1,0,0,0\n")
    camera = read(CAMERA + 'bad_pixels = "bad.csv"\n')
    assert isinstance(camera, CameraCalibration)
    assert camera.valid_from == JUNE_FIRST
    np.testing.assert_array_equal(camera.dark, [[10, 11, 12], [20, 21, 22]])
    np.testing.assert_array_equal(camera.bad_pixels, [[False, True, False], [False, False, False]])
    assert camera.gain is None


MOUNT = """schema = 1
instrument = "cam"
valid_from = 2026-06-10T00:00:00Z
time_offset_s = 0.0203
[mount]
rotation = "nadir"
boresight_deg = { roll = 0.7, pitch = -0.4, yaw = 1.1 }
sigma = { boresight_deg = 0.02 }
"""


def test_mount_and_detector_are_of_different_days(tmp_path):
    """The newest record of each counts; a later one that says nothing of the mount does not undo it."""
    folder = tmp_path / "records" / "cam"
    folder.mkdir(parents=True)
    (folder / "dark.csv").write_text("band,0\n0,10\n")
    (folder / "a.toml").write_text(CAMERA)
    (folder / "b.toml").write_text(MOUNT)
    (folder / "c.toml").write_text(CAMERA.replace("06-01T", "06-20T"))
    catalog, day = Catalog(tmp_path), 86_400_000_000_000
    before, between, after = (catalog.record("cam", start=JUNE_FIRST + n * day) for n in (5, 12, 25))
    assert (before.mount, Path(before.path).name) == (None, "a.toml")
    for found, name in ((between, "a.toml"), (after, "c.toml")):
        assert (Path(found.path).name, Path(found.mount_path).name) == (name, "b.toml")
        assert found.mount == Mount("nadir", (0.7, -0.4, 1.1), sigma_boresight_deg=0.02)
        assert (found.time_offset_s, found.dark.tolist()) == (0.0203, [[10.0]])
    alone = read_back(tmp_path, replace(after, time_offset_s=-0.5))
    assert (alone.mount, alone.time_offset_s, alone.of_detector) == (after.mount, -0.5, False)


def read_back(folder: Path, camera: CameraCalibration) -> CameraCalibration:
    path = folder / "again.toml"
    path.write_text(writer.mount_record(camera, remarks=["two\nlines"]), encoding="utf-8")
    found = record.read(path)
    assert isinstance(found, CameraCalibration)
    return found


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("0.0203", "nan", "time_offset_s.*must be finite"),
        ("[mount]\n", "", "rotation"),
        ("roll = 0.7", "roll = inf", "key mount"),
        ("boresight_deg = 0.02", "boresight_deg = -0.02", "key mount.sigma"),
        ("[mount]", "[species.CH4]\nzero = 0.0\n[mount]", "both a camera's and an analyser's"),
    ],
)
def test_mounts_with_mistakes(read, old, new, match):
    with pytest.raises(ManifestError, match=match):
        read(MOUNT.replace(old, new))


def test_a_time_offset_without_a_mount_is_refused(read):
    with pytest.raises(ManifestError, match="belongs to a mount"):
        read(MOUNT.partition("[mount]")[0])


def test_camera_from_envi_with_hash(read, tmp_path):
    data = np.array([[0.5, 0.25, 2.0], [1.0, 4.0, 8.0]], dtype="<f4").tobytes()
    (tmp_path / "gain.bil").write_bytes(data)
    header = "ENVI\nsamples = 3\nlines = 1\nbands = 2\ndata type = 4\ninterleave = bil\n"
    (tmp_path / "gain.bil.hdr").write_text(header)
    digest = hashlib.sha256(data).hexdigest()
    text = CAMERA.replace('dark = "dark.csv"', f'gain = {{ path = "gain.bil.hdr", sha256 = "{digest}" }}')
    np.testing.assert_array_equal(read(text).gain, [[0.5, 0.25, 2.0], [1.0, 4.0, 8.0]])
    with pytest.raises(ManifestError, match=f"sha256 {digest}"):
        read(text.replace(digest, "0" * 64))
    (tmp_path / "gain.bil.hdr").write_text(header.replace("lines = 1", "lines = 2"))
    (tmp_path / "gain.bil").write_bytes(data * 2)
    with pytest.raises(ManifestError, match="2 lines, not 1"):
        read(text.replace(f', sha256 = "{digest}"', ""))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "cannot be opened"),
        ("band,0,1\n1,10,11\n", "counted from 0"),
        ("band,1,2\n0,10,11\n", "columns are not"),
        ("band,0,1\n0,10,\n", "finite"),
        ("band,0,1\n0,10,x\n", "not a number"),
        ("band,0,1\n0,10,1", "may be cut"),
    ],
)
def test_camera_files_with_mistakes(read, tmp_path, content, match):
    if content is not None:
        (tmp_path / "dark.csv").write_text(content)
    with pytest.raises(ManifestError, match=match) as error:
        read(CAMERA)
    assert "key dark" in str(error.value)


def test_camera_files_must_agree(read, tmp_path):
    (tmp_path / "dark.csv").write_text("band,0,1\n0,10,11\n")
    (tmp_path / "gain.csv").write_text("band,0\n0,10\n")
    with pytest.raises(ManifestError, match="dark 1 x 2, gain 1 x 1"):
        read(CAMERA + 'gain = "gain.csv"\n')
    (tmp_path / "gain.csv").write_text("band,0,1\n0,0,1\n")
    with pytest.raises(ManifestError, match="greater than 0"):
        read(CAMERA + 'gain = "gain.csv"\n')


def test_a_record_after_the_flight_is_read_with_the_one_before(tmp_path):
    (tmp_path / "after.toml").write_text(GAS.replace("2026-06-01T", "2026-06-02T").replace("0.05", "0.07"))
    before = tmp_path / "before.toml"
    before.write_text(GAS.replace("[species.CH4]", 'after = "after.toml"\n[species.CH4]'))
    gas = record.read(before)
    assert isinstance(gas, GasCalibration)
    assert gas.after is not None
    assert gas.after.species["CH4"].zero == 0.07
    assert Path(gas.after.path).name == "after.toml"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("2026-06-01T", "2026-06-01T"), "is not later than this record"),
        (("example-analyser", "other"), "is no record of example-analyser"),
        (("species.CH4", "species.CO2"), "has no line for CH4"),
    ],
)
def test_a_record_after_that_does_not_fit_is_refused(tmp_path, change, message):
    later = GAS if "2026-06-01T" in change[0] else GAS.replace("2026-06-01T", "2026-06-02T")
    (tmp_path / "after.toml").write_text(later.replace(*change))
    before = tmp_path / "before.toml"
    before.write_text(GAS.replace("[species.CH4]", 'after = "after.toml"\n[species.CH4]'))
    with pytest.raises(ManifestError, match=message):
        record.read(before)
    before.write_text(GAS.replace("[species.CH4]", 'after = "before.toml"\n[species.CH4]'))
    with pytest.raises(ManifestError, match="is the record itself"):
        record.read(before)


def test_points_and_standards_are_kept_for_the_limits(read):
    rows = [(0.0, 0.05, 0.05), (2.0, 2.11, 0.05), (10.0, 10.3, 0.2)]
    by_points = read(
        GAS.partition("[species.CH4]")[0] + f"[species.CH4]\npoints = {[list(row) for row in rows]}\n"
    )
    assert by_points.species["CH4"].standards == tuple(rows)
    stated = read(
        GAS.replace("[response]", f'standards = {[list(row) for row in rows]}\nunit = "ppb"\n[response]')
    )
    assert stated.species["CH4"].standards[1] == pytest.approx((0.002, 0.00211, 0.00005))


def test_camera_gain_with_a_unit_becomes_radiometry(read, tmp_path):
    (tmp_path / "dark.csv").write_text("band,0,1\n0,10,11\n1,20,21\n")
    (tmp_path / "gain.csv").write_text("band,0,1\n0,100,200\n1,300,400\n")
    (tmp_path / "smile.csv").write_text("band,0,1\n0,0.5,-0.5\n1,0.25,0\n")
    keys = 'gain = "gain.csv"\ngain_unit = "uflick"\ngain_sigma = 0.05\nsmile = "smile.csv"\n'
    camera = read(CAMERA + keys + 'dark_between = "interpolate"\n')
    assert isinstance(camera, CameraCalibration)
    np.testing.assert_allclose(camera.gain, [[1e-3, 2e-3], [3e-3, 4e-3]])  # 1 uflick = 1e-5 W/(m2 sr nm)
    assert camera.radiometry is not None
    assert camera.radiometry.per_ms
    assert camera.radiometry.notes == ()
    np.testing.assert_array_equal(camera.radiometry.gain, camera.gain)
    np.testing.assert_array_equal(camera.radiometry.darks[0].level, [[10, 11], [20, 21]])
    np.testing.assert_array_equal(camera.radiometry.relative_sigma, [0.05, 0.05])
    np.testing.assert_array_equal(camera.smile_nm, [[0.5, -0.5], [0.25, 0.0]])
    assert camera.dark_between == "interpolate"
    plain = read(CAMERA + 'gain = "gain.csv"\n')
    assert "taken to be in W/(m2 sr nm)" in plain.radiometry.notes[0]
    assert plain.dark_between == "nearest"
    assert read(CAMERA).radiometry is None


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ('gain = "gain.csv"\ngain_unit = "ppm"', "does not convert"),
        ('gain = "gain.csv"\ngain_unit = "flicks"', "unknown unit"),
        ('gain_unit = "uflick"', "there is no gain"),
        ('gain = "gain.csv"\ngain_sigma = -0.1', "0 or greater"),
        ('gain = "gain.csv"\npack = "p.icp"', "both pack and gain"),
        ('pack = "absent.icp"', "cannot be opened"),
        ('pack = "dark.csv"', "no whole zip"),
        ('dark_between = "cubic"', "dark_between"),
    ],
)
def test_camera_radiometry_with_mistakes(read, tmp_path, keys, match):
    for name in ("dark", "gain"):
        (tmp_path / f"{name}.csv").write_text("band,0,1\n0,10,11\n")
    with pytest.raises(ManifestError, match=match):
        read(CAMERA + keys + "\n")


def test_camera_pack(read, tmp_path):
    sys.path.insert(0, str(Path(__file__).parent))
    import icp_writer

    gain = np.arange(1.0, 9.0).reshape(2, 4)
    icp_writer.pack(tmp_path / "p.icp", icp_writer.members(gain, {(0, 5): np.full((2, 4), 3)}))
    camera = read(CAMERA.replace('dark = "dark.csv"', 'pack = "p.icp"'))
    np.testing.assert_allclose(camera.radiometry.gain, gain * 1e-5)
    assert camera.radiometry.darks[0].settings.integration_ms == 5.0
    digest = hashlib.sha256((tmp_path / "p.icp").read_bytes()).hexdigest()
    pinned = f'pack = {{ path = "p.icp", sha256 = "{digest}" }}'
    assert read(CAMERA.replace('dark = "dark.csv"', pinned)).radiometry is not None
    with pytest.raises(ManifestError, match=f"sha256 {digest}"):
        read(CAMERA.replace('dark = "dark.csv"', pinned.replace(digest, "0" * 64)))
