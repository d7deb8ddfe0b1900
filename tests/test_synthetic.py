"""The synthetic flight: vendor formats by other readers, truth by brute force, errors as large as stated."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from shapely.geometry import Polygon

from dronesense.errors import EvidenceError
from dronesense.synthetic import (
    analyzer,
    autopilot,
    camera,
    dataflash,
    folder,
    frames,
    ground,
    motion,
    plan,
    spectra,
)
from dronesense.synthetic import write_flight as write

SEED = 5
OTHER = 6
GPS_EPOCH = datetime.fromisoformat("1980-01-06T00:00:00+00:00").timestamp()
FORBIDDEN = {"geodesy", "geotag", "calibrate", "detect", "timescale", "units", "hotspots"}


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(scope="session")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("synthetic") / "a", seed=SEED)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("synthetic") / "b", seed=OTHER)


@pytest.fixture(params=["flight", "other"], scope="session")
def each(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def truth_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "truth.geojson").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def logs() -> dict[Path, dict[str, list[Any]]]:
    return {}


def messages(root: Path, logs: dict[Path, dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """All messages of the log, as pymavlink reads them."""
    if root not in logs:
        from pymavlink import DFReader

        reader = DFReader.DFReader_binary(str(root / "raw" / "00000021.BIN"))
        found: dict[str, list[Any]] = {}
        while (message := reader.recv_msg()) is not None:
            found.setdefault(message.get_type(), []).append(message)
        reader.close()
        logs[root] = found
    return logs[root]


def column(rows: list[Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def hashes(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# --- the folder -----------------------------------------------------------------------------------


def test_same_seed_same_bytes(flight: Path, other: Path, tmp_path: Path) -> None:
    again = hashes(write(tmp_path / "again", seed=SEED))
    first, second = hashes(flight), hashes(other)
    assert again == first
    assert set(second) == set(first)
    differ = {name for name in first if first[name] != second[name]}
    assert {
        "raw/00000021.BIN",
        "raw/analyser.csv",
        "raw/dem.tif",
        "raw/line_1.bil",
        "truth.geojson",
    } <= differ


def test_contract_files_and_size(flight: Path) -> None:
    manifest = tomllib.loads((flight / "flight.toml").read_text(encoding="utf-8"))
    assert manifest["schema"] == 1
    named = [manifest["track"]["path"], manifest["terrain"]["path"], manifest["gas"][0]["path"]]
    named += [
        manifest["cube"][0]["dark"],
        *manifest["cube"][0]["panel"].values(),
        manifest["detect"][1]["signature"],
    ]
    assert all((flight / name).is_file() for name in named)
    assert len(list(flight.glob(manifest["cube"][0]["path"]))) == 3
    for section in ("gas", "cube"):
        assert (
            flight / "calibration" / "instruments" / f"{manifest[section][0]['instrument']}.toml"
        ).is_file()
    assert sum(p.stat().st_size for p in flight.rglob("*") if p.is_file()) < 120e6
    assert manifest["track"]["sigma"] == {
        "horizontal_m": 0.05, "vertical_m": 0.1, "roll_pitch_deg": 0.05, "heading_deg": 0.2, "clock_s": 0.01,
    }  # fmt: skip


def test_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EvidenceError, match="not empty"):
        write(tmp_path, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_refuses_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EvidenceError, match="cannot be written"):
        write(tmp_path / "file", seed=0)


def test_shares_no_formula_code_with_the_inverse_path() -> None:
    package = Path(folder.__file__).parent
    for path in package.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            inside = {n.split(".")[1] for n in names if n.startswith("dronesense.")}
            assert inside <= {"errors", "synthetic"}, path.name


def test_truth_is_valid_geojson(each: Path) -> None:
    from geojson_validator import validate_structure

    truth = truth_of(each)
    assert validate_structure(truth) == {}
    kinds = [f["properties"]["kind"] for f in truth["features"]]
    assert (kinds.count("target"), kinds.count("confuser"), kinds.count("plume")) == (8, 4, 1)
    targets = [f["properties"] for f in truth["features"] if f["properties"]["kind"] == "target"]
    assert sum(t["size_gsd"] >= 5.0 for t in targets) >= 1
    assert sum(3.0 <= t["size_gsd"] < 5.0 for t in targets) >= 1
    assert sum(t["size_gsd"] < 1.0 for t in targets) == 5
    assert any(t["n_strips"] == 2 and t["size_gsd"] >= 3.0 for t in targets)
    assert all(t["n_strips"] >= 1 and 0.0 < t["fill_fraction"] <= 1.0 for t in targets)
    assert all(t["fill_fraction"] == 1.0 for t in targets if t["size_gsd"] >= 3.0)


# --- frames ---------------------------------------------------------------------------------------


def test_rotation_equals_scipy_zyx() -> None:
    angles = np.random.default_rng(1).uniform(-3.0, 3.0, (50, 3))
    expected = Rotation.from_euler("ZYX", angles[:, ::-1]).as_matrix()
    np.testing.assert_allclose(frames.rotation(*angles.T), expected, atol=1e-14)


@pytest.mark.parametrize("seed", range(6))
def test_site_frame_against_geodetic_differences(seed: int) -> None:
    site = frames.draw_site(np.random.default_rng(seed))
    point = np.array([[150.0, -220.0, 35.0]])
    lon, lat, height = site.to_geodetic(point)
    np.testing.assert_allclose(site.from_geodetic(lon, lat, height), point, atol=1e-6)
    axes = site.ned_to_enu(point)[0]
    step = 1e-5
    north = site.from_geodetic(lon, lat + step, height) - site.from_geodetic(lon, lat - step, height)
    east = site.from_geodetic(lon + step, lat, height) - site.from_geodetic(lon - step, lat, height)
    down = site.from_geodetic(lon, lat, height - 1.0) - site.from_geodetic(lon, lat, height + 1.0)
    for k, axis in enumerate((north, east, down)):
        np.testing.assert_allclose(axes[:, k], axis[0] / np.linalg.norm(axis), atol=1e-6)


def test_sites_lie_in_their_utm_zone_on_both_hemispheres() -> None:
    from pyproj.aoi import AreaOfInterest
    from pyproj.database import query_utm_crs_info

    sites = [frames.draw_site(np.random.default_rng(seed)) for seed in range(12)]
    assert {s.lat_deg > 0.0 for s in sites} == {True, False}
    for site in sites:
        here = AreaOfInterest(site.lon_deg, site.lat_deg, site.lon_deg, site.lat_deg)
        codes = {f"EPSG:{crs.code}" for crs in query_utm_crs_info(datum_name="WGS 84", area_of_interest=here)}
        assert site.utm in codes
        assert -60.0 < site.lat_deg < 70.0


# --- the log --------------------------------------------------------------------------------------


def test_log_is_a_gapless_chain_of_records(flight: Path) -> None:
    data = (flight / "raw" / "00000021.BIN").read_bytes()
    lengths = {128: 89}
    at, seen = 0, set()
    while at < len(data):
        assert data[at : at + 2] == b"\xa3\x95", at
        kind = data[at + 2]
        if kind == 128:
            lengths[data[at + 3]] = data[at + 4]
        seen.add(kind)
        at += lengths[kind]
    assert at == len(data)
    assert seen == set(lengths)


def test_pymavlink_reads_the_log(
    each: Path, logs: dict[Path, dict[str, list[Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = messages(each, logs)
    assert capsys.readouterr().out == ""  # pymavlink prints a line per bad byte
    minutes = (found["ATT"][-1].TimeUS - found["ATT"][0].TimeUS) / 6e7
    assert 5.0 < minutes < 8.5
    for name, rate in (
        ("GPS", 5.0),
        ("GPA", 5.0),
        ("POS", 10.0),
        ("ATT", 50.0),
        ("BARO", 10.0),
        ("XKF1", 10.0),
    ):
        time = column(found[name], "TimeUS")
        assert (np.diff(time) > 0).all(), name
        assert 1e6 / np.median(np.diff(time)) == pytest.approx(rate, rel=0.1), name
    times = [m.TimeUS for name, rows in found.items() if name != "FMT" for m in rows]
    assert len(times) > 40_000


def test_log_starts_without_fix_week_and_origin(each: Path, logs: dict[Path, dict[str, list[Any]]]) -> None:
    found = messages(each, logs)
    gps, pos = found["GPS"], found["POS"]
    assert gps[0].Status < 3
    assert (gps[0].GWk, gps[0].Lat, gps[0].Lng) == (0, 0.0, 0.0)
    assert any(g.Status >= 3 and g.GWk == 0 for g in gps)  # a fix, and no date yet
    assert gps[-1].Status in (5, 6)
    origin = found["ORGN"][0].TimeUS
    before = [p for p in pos if p.TimeUS < origin]
    assert before
    assert all(abs(p.Alt) < 5.0 and np.isnan(p.RelOriginAlt) for p in before)
    assert all(np.isfinite(p.RelOriginAlt) for p in pos if p.TimeUS > origin + 1000)


def test_gps_time_and_latency(each: Path, logs: dict[Path, dict[str, list[Any]]]) -> None:
    gps = [g for g in messages(each, logs)["GPS"] if g.GWk > 0]
    facts = truth_of(each)["flight"]
    utc = GPS_EPOCH + column(gps, "GWk") * 604_800 + column(gps, "GMS") / 1000.0 - 18.0
    late = unix(facts["boot"]) + column(gps, "TimeUS") * 1e-6 - utc
    assert late.min() == pytest.approx(facts["gps_latency_s"], abs=2e-3)
    assert np.ptp(late) == pytest.approx(facts["gps_latency_spread_s"], abs=5e-3)


def test_heights_are_above_the_geoid(each: Path, logs: dict[Path, dict[str, list[Any]]]) -> None:
    import rasterio
    from pyproj import Transformer

    found = messages(each, logs)
    undulation = -found["GPA"][-1].Und
    assert undulation == pytest.approx(truth_of(each)["flight"]["undulation_m"], abs=1e-3)
    last = found["POS"][-1]  # on the ground, the IMU 0.3 m above it
    with rasterio.open(each / "raw" / "dem.tif") as dem:
        xy = Transformer.from_crs("EPSG:4326", dem.crs, always_xy=True).transform(last.Lng, last.Lat)
        ground_m = float(next(dem.sample([xy]))[0])
        assert dem.dtypes == ("float32",)
        assert dem.res == (2.0, 2.0)
    assert last.Alt + undulation - 0.3 == pytest.approx(ground_m, abs=1.5)


# --- the camera -----------------------------------------------------------------------------------


def test_spy_opens_the_cubes(each: Path) -> None:
    import spectral

    for name, lines in (("line_1", 500), ("line_3", 500), ("dark", 64), ("panel", 64)):
        image = spectral.open_image(str(each / "raw" / f"{name}.bil.hdr"))
        assert image.shape == (lines, 256, 72)
        assert image.interleave == spectral.io.bilfile.BilFile(image.params(), image.metadata).interleave
        np.testing.assert_allclose(image.bands.centers, spectra.centers_nm(), atol=0.005)
        image.fid.close()


def reflectance(root: Path, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Dark and panel by hand: (lines, samples, bands)."""

    def read(file: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.fromfile(root / "raw" / file, "<u2").reshape(-1, 72, 256).astype(np.float64)

    dark = read("dark.bil").mean(axis=0)
    nm, panel, _ = np.loadtxt(root / "raw" / "panel.csv", delimiter=",", skiprows=1).T
    gain = np.interp(spectra.centers_nm(), nm, panel)[:, None] / (read("panel.bil").mean(axis=0) - dark)
    return ((read(f"{name}.bil") - dark) * gain).transpose(0, 2, 1)


def angles_to(
    cube: np.ndarray[Any, np.dtype[np.float64]], spectrum: np.ndarray[Any, np.dtype[np.float64]]
) -> Any:
    cosine = cube @ spectrum / np.linalg.norm(cube, axis=2) / np.linalg.norm(spectrum)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def project(
    root: Path,
    found: dict[str, list[Any]],
    strip: str,
    pixels: np.ndarray[Any, np.dtype[np.int64]],
    roll_sign: float = 1.0,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rays to the terrain model by plain stepping: (n, 2) easting and northing.

    An independent inverse: the log by pymavlink, rotations by SciPy, the grid by rasterio; flat UTM, scale
    factor and finite-difference convergence by pyproj; steps of 5 cm.
    """
    import rasterio
    from pyproj import Proj

    facts = truth_of(root)["flight"]
    lines = (root / "raw" / f"{strip}.lines.csv").read_text(encoding="utf-8").splitlines()
    stamps = [unix(row["utc"]) for row in csv.DictReader(lines)]
    boot = np.array(stamps)[pixels[:, 0]] - unix(facts["boot"])
    pos = [p for p in found["POS"] if np.isfinite(p.RelOriginAlt)]
    lat, lng, alt = (
        np.interp(boot, column(pos, "TimeUS") * 1e-6, column(pos, k)) for k in ("Lat", "Lng", "Alt")
    )
    att = found["ATT"]
    when = column(att, "TimeUS") * 1e-6
    roll, pitch = (np.interp(boot, when, column(att, k)) for k in ("Roll", "Pitch"))
    yaw = np.interp(boot, when, np.unwrap(column(att, "Yaw"), period=360.0))
    utm = Proj(facts["crs"])
    x, y = utm(lng, lat)
    factors = utm.get_factors(lng, lat)
    # grid heading = true heading - convergence (PROJ: convergence grows clockwise to true north's east)
    sign = 1.0 if np.hypot(*np.subtract(utm(lng[0], lat[0] + 1e-4), (x[0], y[0]))) > 0 else -1.0
    north_x, north_y = np.subtract(utm(lng[0], lat[0] + 1e-4), (x[0], y[0]))
    grid_of_true_north = np.degrees(np.arctan2(north_x, north_y))
    body = Rotation.from_euler(
        "ZYX", np.column_stack([yaw + sign * grid_of_true_north, pitch, roll_sign * roll]), degrees=True
    )
    bore = Rotation.from_euler(
        "ZYX", [facts["boresight_deg"][k] for k in ("yaw", "pitch", "roll")], degrees=True
    )
    tan = (2.0 * (pixels[:, 1] + 0.5) / 256.0 - 1.0) * np.tan(np.radians(16.0))
    ray = (body * bore).apply(np.column_stack([np.zeros_like(tan), tan, np.ones_like(tan)]))
    arm = body.apply(facts["camera_lever_arm_m"])
    scale = np.asarray(factors.parallel_scale)
    start = np.column_stack([x + scale * arm[:, 1], y + scale * arm[:, 0]])
    top = alt - found["GPA"][-1].Und - arm[:, 2]
    with rasterio.open(root / "raw" / "dem.tif") as dem:
        band, transform = dem.read(1), dem.transform
    depth = np.arange(40.0, 85.0, 0.05)
    east = start[:, :1] + (scale * ray[:, 1] / ray[:, 2])[:, None] * depth
    north = start[:, 1:] + (scale * ray[:, 0] / ray[:, 2])[:, None] * depth
    col, row = (
        ((east - transform.c) / transform.a).astype(int),
        ((north - transform.f) / transform.e).astype(int),
    )
    below = top[:, None] - depth <= band[row, col]
    first = below.argmax(axis=1)
    assert below.any(axis=1).all()
    each_ray = np.arange(len(pixels))
    return np.column_stack([east[each_ray, first], north[each_ray, first]])


def blob(root: Path, strip: str, row: int, col: int, size_gsd: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Pixels around (row, col) that look like the target."""
    reach = int(2.5 * size_gsd) + 3
    lab = np.loadtxt(root / "raw" / "target.csv", delimiter=",", skiprows=1).T
    signature = np.interp(spectra.centers_nm(), lab[0], lab[1])
    low_r, low_c = max(row - reach, 0), max(col - reach, 0)
    part = reflectance(root, strip)[low_r : row + reach + 1, low_c : col + reach + 1]
    return np.argwhere(angles_to(part, signature) < 3.0) + np.array([low_r, low_c])


def test_full_size_targets_lie_where_the_truth_says(
    each: Path, logs: dict[Path, dict[str, list[Any]]]
) -> None:
    from pyproj import Proj

    found, truth = messages(each, logs), truth_of(each)
    utm = Proj(truth["flight"]["crs"])
    checked = 0
    for feature in truth["features"]:
        p = feature["properties"]
        if p["kind"] != "target" or p["size_gsd"] < 3.0:
            continue
        for strip, seen in p["strips"].items():
            pixels = blob(each, strip, seen["row"], seen["col"], p["size_gsd"])
            assert len(pixels) >= 4
            assert [seen["row"], seen["col"]] in pixels.tolist()  # the counts show it where the truth says
            if min(pixels.min(), 499 - pixels[:, 0].max(), 255 - pixels[:, 1].max()) < 2:
                continue
            place = np.array(utm(p["lon"], p["lat"]))
            away = project(each, found, strip, pixels).mean(axis=0) - place
            # 0.05 m + 60 m * 0.05 deg + 17 m * 0.2 deg + 0.3 m * tan(18 deg): 0.15 m; three of them
            assert np.hypot(*away) < 0.45, (p["id"], strip)
            checked += 1
    assert checked >= 3


def test_a_wrong_roll_sign_would_be_seen(flight: Path, logs: dict[Path, dict[str, list[Any]]]) -> None:
    from pyproj import Proj

    found, truth = messages(flight, logs), truth_of(flight)
    utm = Proj(truth["flight"]["crs"])
    worst = 0.0
    for p in (f["properties"] for f in truth["features"]):
        if p["kind"] == "target" and p["size_gsd"] >= 3.0:
            for strip, seen in p["strips"].items():
                pixel = np.array([[seen["row"], seen["col"]]])
                away = project(flight, found, strip, pixel, roll_sign=-1.0)[0] - utm(p["lon"], p["lat"])
                worst = max(worst, float(np.hypot(*away)))
    assert worst > 0.8


def test_counts_fit_the_converter(flight: Path) -> None:
    for path in (flight / "raw").glob("*.bil"):
        counts = np.fromfile(path, "<u2")
        assert counts.max() < camera.FULL_SCALE_DN, path.name
        assert counts.min() > 100, path.name


def test_signal_to_noise_of_the_panel(flight: Path) -> None:
    panel = np.fromfile(flight / "raw" / "panel.bil", "<u2").reshape(-1, 72, 256).astype(float)
    dark = np.fromfile(flight / "raw" / "dark.bil", "<u2").reshape(-1, 72, 256).astype(float)
    ratio = np.median((panel.mean(axis=0) - dark.mean(axis=0)) / panel.std(axis=0, ddof=1), axis=1)
    assert 100.0 < np.median(ratio) < 300.0


def test_fill_is_the_share_of_the_pixel_that_the_square_covers() -> None:
    thing = ground.Thing("t", "target", "m", 0.045, -0.02, 0.11, 0.4)
    zero = np.zeros((1, 1, 2))
    seen = camera.Footprints(zero, zero + np.array([0.065, 0.01]), zero + np.array([-0.012, 0.07]), zero)
    a, b = seen.across[0, 0], seen.along[0, 0]
    pixel = Polygon([a + b, a - b, -a - b, b - a])
    half = thing.size_m / 2.0
    side = half * np.array([np.sin(thing.turn_rad), np.cos(thing.turn_rad)])
    turned = half * np.array([np.cos(thing.turn_rad), -np.sin(thing.turn_rad)])
    middle = np.array([thing.east_m, thing.north_m])
    square = Polygon(
        [middle + side + turned, middle + side - turned, middle - side - turned, middle - side + turned]
    )
    _, share = camera.fills(seen, thing)
    assert share[0] == pytest.approx(pixel.intersection(square).area / pixel.area, abs=0.02)


def test_rays_end_on_the_ground() -> None:
    rng = np.random.default_rng(8)
    site = frames.draw_site(rng)
    draft = plan.Plan(0.7, (0.05, -0.05, 0.05), 40.0, 3.0, np.array([-45.0, -50.0, 0.3]), 0.0)
    surface, flown = ground.draw_surface(draft, rng), motion.fly(draft, rng)
    device = camera.Camera(np.array([0.7, -0.4, 1.1]), np.array([0.1, 0.0, 0.2]), np.zeros(1), np.zeros(1))
    time = camera.line_times(flown, draft, 1)[::50]
    hit, center = camera.trace(device, flown, site, surface, time, camera.tangents(), 0.0)
    np.testing.assert_allclose(hit[..., 2], surface.up(hit[..., 0], hit[..., 1]), atol=1e-3)
    # the outermost rays of a line are 32 degrees apart, less half a pixel at each edge
    first, last = (hit[:, k] - center for k in (0, -1))
    cosine = (first * last).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(last, axis=1)
    expected = 2.0 * np.degrees(np.arctan(np.tan(np.radians(16.0)) * 255.0 / 256.0))
    np.testing.assert_allclose(np.degrees(np.arccos(cosine)), expected, atol=1e-6)


def test_confusers_are_similar_but_not_the_same() -> None:
    nm = spectra.centers_nm()
    angles = [spectra.angle_deg(spectra.target(nm), c) for c in spectra.confusers(nm)]
    assert all(4.0 < a < 10.0 for a in angles)
    assert all(spectra.angle_deg(spectra.target(nm), m) > 15.0 for m in spectra.materials(nm))
    assert min(spectra.target(nm).min(), spectra.confusers(nm).min(), spectra.materials(nm).min()) > 0.0


def test_hills_are_as_high_as_stated() -> None:
    draft = plan.Plan(0.7, (0.0, 0.0, 0.0), 0.0, 3.0, np.zeros(3), 0.0)
    for seed in range(10):
        surface = ground.draw_surface(draft, np.random.default_rng(seed))
        along, across = np.meshgrid(np.linspace(-33.0, 33.0, 50), np.linspace(-38.0, 38.0, 50))
        assert 4.0 < np.ptp(surface.up(*draft.block_to_enu(along, across))) < 15.1


# --- the gas analyser -----------------------------------------------------------------------------


def table(
    root: Path,
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    rows = list(csv.DictReader((root / "raw" / "analyser.csv").read_text(encoding="utf-8").splitlines()))
    time = np.array([unix(r["Time (UTC)"] + "+00:00") for r in rows])
    names = ("CH4 (ppm)", "P (hPa)", "T (degC)", "H2O (%)")
    return time, {name: np.array([float(r[name]) for r in rows]) for name in names}


def test_pressure_tells_the_planted_clock_offset(each: Path, logs: dict[Path, dict[str, list[Any]]]) -> None:
    time, columns = table(each)
    facts = truth_of(each)["flight"]
    baro = messages(each, logs)["BARO"]
    utc = unix(facts["boot"]) + column(baro, "TimeUS") * 1e-6
    hpa = column(baro, "Press") / 100.0

    def misfit(offset: float) -> float:
        inside = (time + offset > utc[0]) & (time + offset < utc[-1])
        rest = (columns["P (hPa)"] - np.interp(time + offset, utc, hpa))[inside]
        return float(rest.std())

    planted = facts["gas_clock_offset_s"]
    around = planted + np.arange(-3.0, 3.01, 0.05)
    assert around[np.argmin([misfit(o) for o in around])] == pytest.approx(planted, abs=0.15)
    assert misfit(planted) < 0.06  # hPa: 0.03 of the sensor, 0.02 of the barometer
    assert misfit(planted + 3.0) > 0.1


def test_plume_is_delayed_smeared_and_scaled_as_planted(each: Path) -> None:
    time, columns = table(each)
    plume = next(f["properties"] for f in truth_of(each)["features"] if f["properties"]["kind"] == "plume")
    assert plume["peak_ppm"] >= 10.0 * analyzer.SIGMA_READING_PPM
    assert len(plume["crossings"]) >= 3
    ppm = (columns["CH4 (ppm)"] - plume["zero_ppm"]) / plume["span"]
    utc = time + plume["clock_offset_s"]
    top = int(np.argmax(np.convolve(ppm, np.ones(5) / 5.0, mode="same")))
    crest = [unix(c["time"]) + plume["delay_s"] for c in plume["crossings"]]
    late = utc[top] - np.array(crest)
    assert np.min(np.abs(late - 0.6 * plume["tau_s"])) < 2.5
    near = np.abs(utc - unix(plume["time"])) < 10.0
    height = ppm[near].max() - np.median(ppm)
    assert 0.6 * plume["peak_ppm"] - 0.05 < height < plume["peak_ppm"] + 0.05


def test_cell_response_check_values() -> None:
    # dt = 1, tau = 10, a pulse of 5 in steps 10..29: 5 (1 - e^-1), 5 (1 - e^-2), and the latter e^-1
    pulse = np.zeros(60)
    pulse[10:30] = 5.0
    shown = analyzer._respond(pulse, 10.0 * analyzer.FINE_S)
    np.testing.assert_allclose(shown[[19, 29, 39]], [3.160603, 4.323324, 1.590462], atol=1e-6)


def test_plume_curtain_carries_the_source() -> None:
    # concentration times wind, integrated over a plane across the wind above the ground, is the emission
    draft = plan.Plan(0.7, (0.0, 0.0, 0.0), 270.0, 3.0, np.zeros(3), 0.0)
    flat = ground.Surface(np.zeros(1), np.zeros((1, 2)), np.zeros(1), 0.0)
    y, z = np.meshgrid(np.linspace(-150.0, 150.0, 301), np.linspace(0.0, 120.0, 241), indexing="ij")
    x = np.full(y.shape, draft.source[0] + 100.0)
    shape = analyzer._plume_shape(draft, flat, np.column_stack([x.ravel(), y.ravel(), z.ravel()])).reshape(
        y.shape
    )
    assert np.trapezoid(np.trapezoid(shape, dx=0.5, axis=1), dx=1.0) == pytest.approx(1.0, abs=1e-3)


# --- errors are as large as stated ----------------------------------------------------------------


def test_filter_errors_have_the_stated_spread() -> None:
    draws = [autopilot.draw_filter(20.0, np.random.default_rng(seed)) for seed in range(400)]
    position = np.array([d.position[100] for d in draws])
    attitude = np.degrees([d.attitude[100] for d in draws])
    # 400 draws: 3.5 % standard error of a standard deviation; four of them
    np.testing.assert_allclose(position.std(axis=0), [0.05, 0.05, 0.1], rtol=0.14)
    np.testing.assert_allclose(attitude.std(axis=0), [0.05, 0.05, 0.2], rtol=0.14)
    latency = np.array([autopilot.draw_clocks(0.0, np.random.default_rng(s)).latency_s for s in range(400)])
    assert latency.min() >= 0.0
    assert np.sqrt(np.mean(latency**2)) == pytest.approx(0.01, rel=0.14)


def test_correlated_errors_decay_as_stated() -> None:
    errors = dataflash.correlated(200_000, 0.1, 2.0, 3.0, np.random.default_rng(0))
    assert errors.std() == pytest.approx(3.0, rel=0.05)
    assert np.corrcoef(errors[:-20], errors[20:])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.03)


def test_terrain_model_has_the_stated_error(tmp_path: Path) -> None:
    import rasterio

    site = frames.draw_site(np.random.default_rng(3))
    draft = plan.Plan(0.7, (0.0, 0.0, 0.0), 0.0, 3.0, np.zeros(3), 0.0)
    surface = ground.draw_surface(draft, np.random.default_rng(3))
    rms = []
    for seed in range(4):
        path = tmp_path / f"{seed}.tif"
        folder.write_dem(path, site, surface, np.random.default_rng(seed))
        with rasterio.open(path) as dem:
            band = dem.read(1)
            rows, cols = np.mgrid[20:300:7, 20:300:7]
            x, y = rasterio.transform.xy(dem.transform, rows.ravel(), cols.ravel())
            assert dem.crs.to_string() == site.utm
        lon, lat = site.from_utm(np.array(x), np.array(y))
        height = band[rows.ravel(), cols.ravel()].astype(float)
        enu = site.from_geodetic(lon, lat, height)
        rms.append(float(np.sqrt(np.mean((enu[:, 2] - surface.up(enu[:, 0], enu[:, 1])) ** 2))))
    assert np.sqrt(np.mean(np.square(rms))) == pytest.approx(0.3, rel=0.15)


def test_instrument_files_state_what_was_planted(each: Path) -> None:
    facts = truth_of(each)["flight"]
    stated = tomllib.loads(
        (each / "calibration/instruments/example-line-scanner.toml").read_text(encoding="utf-8")
    )
    mount = stated["mount"]
    off = [mount["boresight_deg"][k] - facts["boresight_deg"][k] for k in ("roll", "pitch", "yaw")]
    assert 0.0 < max(map(abs, off)) < 4.5 * mount["sigma"]["boresight_deg"]
    arm = np.subtract(mount["lever_arm_m"], facts["camera_lever_arm_m"])
    assert 0.0 < np.abs(arm).max() < 4.5 * mount["sigma"]["lever_arm_m"]


def test_rows_refuse_missing_columns() -> None:
    with pytest.raises(ValueError, match="POS has columns"):
        dataflash.rows("POS", np.array([1]), Lat=1.0)
