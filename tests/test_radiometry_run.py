"""From flight.toml to reflectance and radiance: light that changes, several darks, targets, gains, flags."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import dronesense as ds
from dronesense.cli import run_cli
from dronesense.detect import spectral
from dronesense.model import Bands, SpectralCube


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


flights = _sibling("radiometry_flights")
NM, BANDS, SAMPLES, LINES = flights.NM, flights.BANDS, flights.SAMPLES, flights.LINES


def prepared(folder: Path, *, slope: float = 0.0, ms: float = 10.0, **options: object):
    """Return a camera that has flown its scene and taken a dark; panel.csv and paint.csv are there."""
    scanner = flights.Scanner(folder, slope=slope, **options)
    scanner.spectrum("paint", flights.paint(NM), sigma=0.01)
    scanner.spectrum("panel", flights.gray(NM), sigma=0.002)
    scanner.darks(ms)
    scene = scanner.scene()
    scanner.write("line", scanner.counts(scene, scanner.lines(), ms), scanner.lines(), ms=ms)
    return scanner, scene


def run(scanner) -> ds.model.HotspotLayer:
    return ds.process(ds.open_flight(scanner.folder))


def values(layer: ds.model.HotspotLayer) -> np.ndarray:
    cube = layer.cubes[0].cube
    found = cube.source.read(0, cube.shape[0])[0].astype(np.float64)
    found[:, ~cube.bands.good] = np.nan
    return found


def ratio(layer: ds.model.HotspotLayer, scene: np.ndarray, rows: slice) -> np.ndarray:
    """Return mean of found over mean of true by band, on bright and dark pixels alike."""
    return values(layer)[rows].mean(axis=(0, 2)) / scene[rows].mean(axis=(0, 2))


def books(layer: ds.model.HotspotLayer, name: str = "radiometry") -> dict:
    entries = layer.statements[name]
    assert isinstance(entries, list)
    assert len(entries) == 1
    return entries[0]


PANEL = '{ path = "raw/%s.bil.hdr", reflectance = "raw/panel.csv"%s }'
NAMED = '{ path = "a", reflectance = "b" }'
DARK = 'dark = "raw/dark_10.bil.hdr"\n'
BEFORE, AFTER = flights.FIRST - 60.0, flights.LAST + 60.0


def test_between_two_panels_reflectance_follows_the_light_line_by_line(tmp_path: Path) -> None:
    """The light rises by a third within 132 s, twice that in the last band: one panel is off by 15 %."""
    scanner, scene = prepared(tmp_path, slope=0.0025)
    scanner.panel("before", BEFORE)
    scanner.panel("after", AFTER)
    both = f"panel = [{PANEL % ('before', '')}, {PANEL % ('after', '')}]"
    scanner.manifest(DARK + both)
    layer = run(scanner)
    for rows in (slice(0, 40), slice(100, 140), slice(200, 240)):
        np.testing.assert_allclose(ratio(layer, scene, rows), 1.0, atol=0.004)
    entry = books(layer)
    true = scanner.light(np.array([AFTER]))[0] / scanner.light(np.array([BEFORE]))[0] - 1.0
    told = entry["change_between_panels"]
    assert told["least"] == pytest.approx(true.min(), abs=0.002)
    assert told["greatest"] == pytest.approx(true.max(), abs=0.002)
    assert any("light changed by" in each for each in layer.warnings)
    # what is not known of the light between: |E1 - E0| sqrt(w (1 - w)) over E, rms over the lines
    when = (scanner.lines() - BEFORE) / (AFTER - BEFORE)
    first, last = scanner.light(np.array([BEFORE])), scanner.light(np.array([AFTER]))
    share = (last - first) * np.sqrt(when * (1.0 - when))[:, None] / scanner.light(scanner.lines())
    expected = np.sqrt(np.mean(share**2, axis=0) + 0.002**2)
    np.testing.assert_allclose(entry["relative_sigma"], expected, rtol=0.03)
    scanner.manifest(DARK + f"panel = {PANEL % ('before', '')}")
    alone = run(scanner)
    assert np.abs(ratio(alone, scene, slice(200, 240)) - 1.0).max() > 0.15
    assert "change_between_panels" not in books(alone)
    assert any("1.0 min before the lines" in each for each in books(alone)["steps"])


def test_the_order_of_panels_in_the_file_does_not_matter_and_times_can_be_stated(tmp_path: Path) -> None:
    scanner, _ = prepared(tmp_path, slope=0.0025)
    scanner.panel("before", BEFORE, timed=False)
    scanner.panel("after", AFTER)
    stated = f", time = {flights.iso(BEFORE)}"
    found = []
    for order in (
        (PANEL % ("before", stated), PANEL % ("after", "")),
        (PANEL % ("after", ""), PANEL % ("before", stated)),
    ):
        scanner.manifest(DARK + f"panel = [{', '.join(order)}]")
        found.append(values(run(scanner)))
    np.testing.assert_array_equal(found[0], found[1])
    scanner.manifest(DARK + f"panel = [{PANEL % ('before', '')}, {PANEL % ('after', '')}]")
    with pytest.raises(ds.DronesenseError, match=r"before.*time of the panel capture is not known.*time = "):
        run(scanner)


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        ('{ path = "raw/a.hdr", reflectance = "raw/b.csv", time = 2026-06-14T09:58:00 }', "has no zone"),
        ('{ path = "raw/a.hdr", reflectance = "b", find = "auto", rows = [0, 4] }', "find, or rows"),
        ("[]", "empty list"),
        (
            f"{NAMED}\nempirical_line = [{NAMED}, {NAMED}]",
            "panel or empirical_line",
        ),
    ],
)
def test_panels_that_cannot_be_meant_are_refused(tmp_path: Path, panel: str, message: str) -> None:
    scanner, _ = prepared(tmp_path)
    scanner.manifest(DARK + f"panel = {panel}")
    with pytest.raises(ds.DronesenseError, match=message):
        ds.open_flight(tmp_path)


def test_a_panel_among_other_things_is_found_and_reported(tmp_path: Path) -> None:
    """The panel lies in rows 20 to 49, samples 6 to 15 of a capture of the ground."""
    scanner, scene = prepared(tmp_path)
    rho = np.full((80, BANDS, SAMPLES), 0.08)
    rho[20:50, :, 6:16] = flights.gray(NM)[None, :, None]
    when = BEFORE + flights.LINE_S * np.arange(80)
    scanner.response[:] = scanner.response.mean(axis=1, keepdims=True)  # no vignetting: one gain a band does
    scanner.write("line", scanner.counts(scene, scanner.lines()), scanner.lines())
    scanner.write("panel", scanner.counts(rho, when), when)
    for keys in ("", ', find = "auto"'):
        scanner.manifest(DARK + f"panel = {PANEL % ('panel', keys)}")
        layer = run(scanner)
        (told,) = [each for each in layer.warnings if "panel found in rows" in each]
        top, bottom, left, right = _numbers(told)
        assert 20 <= top < bottom <= 49
        assert 6 <= left < right <= 15
        assert (bottom - top) > 15
        assert (right - left) >= 5
        np.testing.assert_allclose(ratio(layer, scene, slice(0, LINES)), 1.0, atol=0.006)
    scanner.manifest(DARK + f"panel = {PANEL % ('panel', ', rows = [25, 45], samples = [8, 14]')}")
    layer = run(scanner)
    assert not any("panel found" in each for each in layer.warnings)
    np.testing.assert_allclose(ratio(layer, scene, slice(0, LINES)), 1.0, atol=0.006)


def _numbers(text: str) -> tuple[int, int, int, int]:
    match = re.search(r"rows (\d+) to (\d+), samples (\d+) to (\d+)", text)
    assert match is not None
    return tuple(int(each) for each in match.groups())  # type: ignore[return-value]


def test_of_several_darks_the_nearest_exposure_is_taken_for_cube_and_panel(tmp_path: Path) -> None:
    """Dark signal grows by 5 DN per ms: the wrong dark would put a tenth of the darkest ground off."""
    scanner, scene = prepared(tmp_path, ms=8.0)
    scanner.darks(4.0, 8.0, 16.0)
    scanner.panel("panel", BEFORE, ms=4.0)
    scanner.manifest(f'dark = "raw/dark_*.bil.hdr"\npanel = {PANEL % ("panel", "")}')
    layer = run(scanner)
    np.testing.assert_allclose(ratio(layer, scene, slice(0, LINES)), 1.0, atol=0.004)
    steps = " ".join(books(layer)["steps"])
    assert "dark raw/dark_8.bil.hdr" in steps
    assert "of 3 captures the nearest" in steps
    names = ", ".join(f'"raw/dark_{ms}.bil.hdr"' for ms in (4, 16))
    scanner.manifest(f"dark = [{names}]\npanel = {PANEL % ('panel', '')}")
    with pytest.raises(ds.DronesenseError, match=r"was exposed (4|16) ms"):
        run(scanner)


def test_an_empirical_line_takes_path_radiance_off_and_gates_bands(tmp_path: Path) -> None:
    """Haze adds to every count; two targets of the scene have it too. In band 5 they are alike."""
    scanner, scene = prepared(tmp_path, noise=1.0)
    scanner.response[:] = scanner.response.mean(axis=1, keepdims=True)
    low, high = np.full(BANDS, 0.04), np.full(BANDS, 0.55)
    high[5] = low[5] * 1.02
    scene[0:6, :, 2:8], scene[0:6, :, 12:18] = low[:, None], high[:, None]
    haze = 300.0 * np.linspace(1.0, 0.2, BANDS)[:, None]
    counts = scanner.counts(scene, scanner.lines()) + haze
    scanner.write("line", np.rint(counts).astype("<u2"), scanner.lines())
    scanner.spectrum("low", low, sigma=0.01)
    scanner.spectrum("high", high, sigma=0.01)
    targets = (
        'empirical_line = [\n  { rows = [1, 5], samples = [3, 7], reflectance = "raw/low.csv" },\n'
        '  { rows = [1, 5], samples = [13, 17], reflectance = "raw/high.csv" },\n]'
    )
    scanner.manifest(DARK + targets)
    layer = run(scanner)
    good = layer.cubes[0].cube.bands.good
    assert good.tolist() == [i != 5 for i in range(BANDS)]
    # linear interpolation of the targets' spectra around the dip bends them within the bands beside it
    far = good & (np.abs(np.arange(BANDS) - 5) > 1)
    error = values(layer)[20:, far] - scene[20:, far]
    assert np.sqrt(np.mean(error**2)) < 0.004
    (told,) = [each for each in layer.warnings if "empirical line cannot be drawn" in each]
    assert "1 bands" in told
    assert "5 (too little contrast)" in told
    assert books(layer)["gated_bands"] == [5]
    sigma = np.array(books(layer)["relative_sigma"], dtype=float)
    assert 0.005 < np.nanmedian(sigma) < 0.05
    scanner.spectrum("high", low * 1.02)
    scene[0:6, :, 12:18] = low[:, None] * 1.02
    counts = scanner.counts(scene, scanner.lines()) + haze
    scanner.write("line", np.rint(counts).astype("<u2"), scanner.lines())
    with pytest.raises(ds.DronesenseError, match="too alike: 0 of 12 bands"):
        run(scanner)


def test_targets_need_a_place(tmp_path: Path) -> None:
    scanner, _ = prepared(tmp_path)
    scanner.manifest(
        'empirical_line = [{ reflectance = "raw/panel.csv" }, { reflectance = "raw/paint.csv" }]'
    )
    with pytest.raises(ds.DronesenseError, match="needs rows and samples"):
        ds.open_flight(tmp_path)
    scanner.manifest('empirical_line = [{ path = "raw/line.bil.hdr", reflectance = "raw/panel.csv" }]')
    with pytest.raises(ds.DronesenseError, match="at least 2 targets"):
        ds.open_flight(tmp_path)


def test_a_gain_makes_radiance_for_a_signature_in_radiance(tmp_path: Path) -> None:
    """L = (DN - D) G / t by hand; the record's sigma and the choice of dark stand in the books."""
    scanner, scene = prepared(tmp_path, ms=8.0)
    scanner.darks(4.0, 8.0)
    per_ms = 2e-4 / scanner.response
    records = tmp_path / "calibration/records/scanner"
    frame(records / "gain.csv", per_ms)
    (records / "2026.toml").write_text(RECORD)
    scanner.spectrum("lit", 2e-4 * flights.paint(NM), column="radiance")
    scanner.manifest('dark = "raw/dark_*.bil.hdr"', signature="lit")
    layer = run(scanner)
    cube = layer.cubes[0].cube
    assert cube.quantity == "radiance"
    np.testing.assert_allclose(ratio(layer, 2e-4 * scene, slice(0, LINES)), 1.0, atol=0.004)
    entry = books(layer)
    assert entry["relative_sigma"] == [0.03] * BANDS
    assert any("dark_8" in each for each in entry["steps"])
    assert len(layer) == 4  # four squares of paint
    scanner.manifest("", signature="lit")
    with pytest.raises(ds.DronesenseError, match="there is no dark frame"):
        run(scanner)
    (records / "2026.toml").unlink()
    with pytest.raises(ds.DronesenseError, match="record with a gain"):
        run(scanner)


RECORD = (
    'schema = 1\ninstrument = "scanner"\nvalid_from = 2026-01-01T00:00:00Z\ngain = "gain.csv"\n'
    'gain_unit = "W/(m2 sr nm)"\ngain_sigma = 0.03\n'
)


def frame(path: Path, numbers: np.ndarray) -> None:
    """Write one row a band, one column a sample, as records have it."""
    rows = [f"{b},{','.join(f'{v:.9g}' for v in row)}" for b, row in enumerate(numbers)]
    path.write_text("\n".join([",".join(["band", *map(str, range(SAMPLES))]), *rows, ""]))


def test_rules_in_radiance_and_reflectance_share_a_cube(tmp_path: Path) -> None:
    """Each is searched in its own quantity; without the gain the one in reflectance still is."""
    scanner, _ = prepared(tmp_path)
    scanner.panel("panel", BEFORE)
    scanner.spectrum("lit", 2e-4 * flights.paint(NM), column="radiance")
    records = tmp_path / "calibration/records/scanner"
    frame(records / "gain.csv", 2e-4 / scanner.response)
    (records / "2026.toml").write_text(RECORD)
    more = '[[detect]]\ntarget = "lit"\nsignature = "raw/lit.csv"\nmethod = "ace"\nthreshold = 0.9\n'
    scanner.manifest(DARK + f"panel = {PANEL % ('panel', '')}", more=more)
    layer = run(scanner)
    assert sorted(each.target for each in layer) == ["lit"] * 4 + ["paint"] * 4
    assert [each["quantity"] for each in layer.statements["radiometry"]] == ["reflectance", "radiance"]
    assert layer.cubes[0].cube.quantity == "reflectance"
    (records / "2026.toml").unlink()
    layer = run(scanner)
    assert [each.target for each in layer] == ["paint"] * 4
    ((path, reason),) = layer.rejected
    assert path == "raw/line.bil.hdr (radiance)"
    assert "record with a gain" in reason


def test_a_smile_is_undone_in_cube_and_panel_before_they_are_compared(tmp_path: Path) -> None:
    """Sample x sees wavelengths shifted by up to 12 nm; spectra that are straight lines come back exactly."""
    scanner = flights.Scanner(tmp_path, noise=0.5)
    shift = np.linspace(-12.0, 12.0, SAMPLES)[None, :] * np.ones((BANDS, 1))
    true = NM[:, None] + shift

    def steep(nm: np.ndarray) -> np.ndarray:
        return 0.1 + 0.0015 * (nm - 450.0)

    when = BEFORE + flights.LINE_S * np.arange(60)
    level = np.broadcast_to(flights.gray(true), (60, BANDS, SAMPLES))
    scanner.write("panel", scanner.counts(level, when), when)
    texture = np.linspace(0.7, 1.3, LINES)[:, None, None] * np.random.default_rng(5).uniform(
        0.9, 1.1, (LINES, 1, SAMPLES)
    )
    scene = texture * steep(true)
    scanner.write("line", scanner.counts(scene, scanner.lines()), scanner.lines())
    scanner.darks(10.0)
    scanner.spectrum("paint", flights.paint(NM), sigma=0.01)
    scanner.spectrum("panel", flights.gray(NM), sigma=0.002)
    records = tmp_path / "calibration/records/scanner"
    frame(records / "gain.csv", 2e-4 / scanner.response)
    frame(records / "smile.csv", shift)
    (records / "2026.toml").write_text(RECORD + 'smile = "smile.csv"\n')
    scanner.manifest(DARK + f"panel = {PANEL % ('panel', '')}")
    layer = run(scanner)
    found = values(layer) / texture
    good = layer.cubes[0].cube.bands.good
    assert good.sum() >= BANDS - 2
    by_sample = np.nanmean(found, axis=0)[good]
    np.testing.assert_allclose(by_sample, np.repeat(steep(NM)[good, None], SAMPLES, axis=1), rtol=0.004)
    (records / "2026.toml").write_text(RECORD)
    plain = np.nanmean(values(run(scanner)) / texture, axis=0)[good]
    assert np.abs(plain / steep(NM)[good, None] - 1.0).max() > 0.02


def test_values_are_flagged_and_never_clipped(tmp_path: Path) -> None:
    """3 of 240 lines glint (reflectance 1.4), 5 are saturated, one sample of 24 is dead in two bands."""
    scanner, scene = prepared(tmp_path)
    scanner.panel("panel", BEFORE)
    scene[20:23] = 1.4
    scene[30:35] = 3.0
    scanner.response *= 0.8
    counts = scanner.counts(scene, scanner.lines())
    scanner.write("line", counts, scanner.lines())
    scanner.panel("panel", BEFORE)
    scanner.manifest(DARK + f"panel = {PANEL % ('panel', '')}")
    layer = run(scanner)
    np.testing.assert_allclose(values(layer)[20:23].mean(), 1.4, rtol=0.01)
    entry = books(layer, "cube_quality")
    assert entry["lines_looked_at"] == LINES
    assert entry["saturated_share"] == pytest.approx(np.mean((counts >= flights.SATURATION).any(axis=1)))
    assert entry["above_1.2_share"] == pytest.approx(3 / LINES, abs=1e-3)
    assert any("of its pixels are saturated" in each for each in layer.warnings)
    assert any("above 1.2" in each and "kept as it is" in each for each in layer.warnings)


def test_a_light_sensor_carries_one_panel_over_a_cloud(tmp_path: Path) -> None:
    """The light drops to 60 % after line 120; the sensor sees it in units of its own, a tenth off."""

    class Clouded(flights.Scanner):
        def light(self, unix_s: np.ndarray) -> np.ndarray:
            late = np.clip((np.asarray(unix_s) - START) / 0.5, 0.0, 1.0)
            return np.repeat((1.0 - 0.4 * late)[:, None], BANDS, axis=1)

    START = flights.START_S + 6.0
    scanner = Clouded(tmp_path)
    scanner.spectrum("paint", flights.paint(NM), sigma=0.01)
    scanner.spectrum("panel", flights.gray(NM), sigma=0.002)
    scanner.darks(10.0)
    scene = scanner.scene()
    scanner.write("line", scanner.counts(scene, scanner.lines()), scanner.lines())
    scanner.panel("before", BEFORE)
    scanner.panel("after", AFTER)
    when = np.arange(BEFORE - 5.0, AFTER + 5.0, 0.1)
    rows = [
        f"{flights.iso(t)},{1.1 * v[0]:.6f},{1.1 * v[-1]:.6f}"
        for t, v in zip(when, scanner.light(when), strict=True)
    ]
    (tmp_path / "raw/light.csv").write_text("\n".join(["utc,450 nm,890 nm", *rows, ""]))
    sensor = '\nirradiance = "raw/light.csv"'
    scanner.manifest(DARK + f"panel = {PANEL % ('before', '')}{sensor}")
    layer = run(scanner)
    for some in (slice(0, 100), slice(140, 240)):
        np.testing.assert_allclose(ratio(layer, scene, some), 1.0, atol=0.006)
    scanner.manifest(DARK + f"panel = [{PANEL % ('before', '')}, {PANEL % ('after', '')}]{sensor}")
    layer = run(scanner)
    assert abs(books(layer)["change_between_panels"]["median"]) < 0.005  # panels and sensor agree
    shifted = [
        row.replace(row.split(",")[0], flights.iso(t - 600.0)) for row, t in zip(rows, when, strict=True)
    ]
    (tmp_path / "raw/light.csv").write_text("\n".join(["utc,450 nm,890 nm", *shifted, ""]))
    with pytest.raises(ds.DronesenseError, match=r"light.csv.*has no reading within 30 s"):
        run(scanner)


def test_a_sensor_that_drifts_is_found_out_by_two_panels(tmp_path: Path) -> None:
    scanner, _ = prepared(tmp_path)
    scanner.panel("before", BEFORE)
    scanner.panel("after", AFTER)
    when = np.arange(BEFORE - 5.0, AFTER + 5.0, 1.0)
    fading = 1.0 - 0.2 * (when - BEFORE) / (AFTER - BEFORE)
    rows = [f"{t:.3f},{v:.6f}" for t, v in zip(when, fading, strict=True)]
    (tmp_path / "raw/light.csv").write_text("\n".join(["time,irradiance", *rows, ""]))
    two = f"panel = [{PANEL % ('before', '')}, {PANEL % ('after', '')}]"
    scanner.manifest(DARK + two + '\nirradiance = "raw/light.csv"')
    layer = run(scanner)
    assert books(layer)["change_between_panels"]["median"] == pytest.approx(0.25, abs=0.01)  # 1 / 0.8
    assert any("panels and light sensor disagree by +25" in each for each in layer.warnings)


def test_run_json_holds_the_books(tmp_path: Path) -> None:
    scanner, _ = prepared(tmp_path)
    scanner.panel("panel", BEFORE)
    scanner.manifest(DARK + f"panel = {PANEL % ('panel', '')}")
    assert run_cli(["run", str(tmp_path), "-o", str(tmp_path / "out")]) == 0
    told = json.loads((tmp_path / "out/run.json").read_text())
    text = json.dumps(told)
    assert '"relative_sigma_by_part"' in text
    assert '"saturated_share"' in text


def test_what_calibration_leaves_open_is_added_to_the_signature() -> None:
    """0.03 and a tenth of 0.4 make 0.05, in squares; what nobody knows stays unknown."""
    cube = flights_cube(np.array([0.1, 0.1, 0.0, np.nan]))
    sigma = np.array([0.03, np.nan, np.nan, 0.02])
    found = spectral._with_calibration(sigma, np.full(4, 0.4), cube)
    np.testing.assert_allclose(found, [0.05, 0.04, np.nan, 0.02])
    plain = flights_cube(None)
    assert spectral._with_calibration(sigma, np.full(4, 0.4), plain) is sigma


def flights_cube(relative: np.ndarray | None) -> SpectralCube:
    class Rows:
        shape = (1, 4, 1)

        def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
            return np.zeros((stop - start, 4, 1), np.float32), np.ones((stop - start, 1), bool)

    bands = Bands(np.arange(4.0), np.ones(4), np.ones(4, dtype=bool))
    return SpectralCube("c", Rows(), bands, "reflectance", None, "", "c.hdr", relative_sigma=relative)
