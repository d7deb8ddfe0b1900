"""Planning: pixels by hand, patterns that cover, plumes by the formula, files by other programs."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from dronesense.cli import run_cli
from dronesense.cli.failures import EXIT_NO_INPUT, EXIT_USAGE
from dronesense.errors import CoverageError, ManifestError, ReadError
from dronesense.geodesy import geodesic_distance, to_grid
from dronesense.model import Instrument, LineCamera, Mount, Terrain
from dronesense.model.flight_plan import FlightPattern
from dronesense.planning import gas, optics, pattern, plan, relief
from dronesense.readers import instrument, site
from dronesense.writers import flight_plan

UTM = "EPSG:32642"
SQUARE = shapely.box(500_000.0, 5_660_000.0, 500_200.0, 5_660_100.0)
LEAK = gas.Leak(1.0, 0.1, 3.0, "D", 0.68)


def line(samples: int = 100, fov_deg: float = 40.0, **mount: object) -> Instrument:
    base = instrument.thin_lens(samples, fov_deg=fov_deg)
    return Instrument(base.id, base.kind, base.spec, Mount(**mount), base.path)  # type: ignore[arg-type]


def laid(shape: shapely.Geometry, **changed: float | None) -> FlightPattern:
    wish: dict[str, float | None] = {
        "heading_deg": None, "spacing_m": 14.0, "height_m": 60.0, "speed_m_s": 5.0, "run_in_m": 5.0,
        "run_out_m": 5.0,
    }  # fmt: skip
    return pattern.lay(shape, pattern.Footprint(-10.0, 10.0), crs=UTM, **(wish | changed))  # type: ignore[arg-type]


def seen_from(flown: FlightPattern, port: float, starboard: float) -> shapely.Geometry:
    """The ground under the data part of all legs, by another way: a box for each."""
    boxes = []
    for leg in flown.legs:
        (ax, ay), (bx, by) = leg.points[leg.data[0]], leg.points[leg.data[1]]
        length = math.hypot(bx - ax, by - ay)
        if length == 0.0:
            continue
        right = ((by - ay) / length, -(bx - ax) / length)
        corners = [
            (x + edge * right[0], y + edge * right[1])
            for x, y, edge in ((ax, ay, port), (bx, by, port), (bx, by, starboard), (ax, ay, starboard))
        ]
        boxes.append(shapely.Polygon(corners))
    return shapely.union_all(boxes)


def test_line_camera_by_hand() -> None:
    """8 mm over 8 um: 1 mrad a pixel; 60 m up that is 6 cm, 640 of them 38.4 m."""
    seen = optics.view(instrument.thin_lens(640, focal_px=1000.0))
    made = optics.sampling(seen, height_m=60.0, speed_m_s=6.0, overlap=0.25, blur_share=0.5)
    assert made.gsd_across_m == pytest.approx(0.06)
    assert made.swath_m == pytest.approx(38.4)
    assert made.spacing_m == pytest.approx(28.8)
    assert made.square_rate_hz == pytest.approx(100.0)
    assert made.blur_exposure_s == pytest.approx(0.005)  # 3 cm at 6 m/s
    assert made.longest_exposure_s == pytest.approx(0.005)


def test_line_rate_bounds_exposure_and_speed() -> None:
    seen = optics.view(instrument.thin_lens(640, focal_px=1000.0), along_mrad=2.0)
    made = optics.sampling(seen, height_m=50.0, speed_m_s=1.0, overlap=0.0, rate_hz=100.0)
    assert (made.gsd_across_m, made.gsd_along_m) == pytest.approx((0.05, 0.1))
    assert made.longest_exposure_s == pytest.approx(0.01)  # the blur alone would allow 50 ms
    assert made.step_m == pytest.approx(0.01)
    assert made.fastest_m_s == pytest.approx(10.0)


def test_frame_camera_by_hand() -> None:
    """24 mm lens, 6 um, 4000 x 3000: from 80 m 2 cm a pixel, 80 m x 60 m; 80 % forward: one each 12 m."""
    seen = optics.view(instrument.thin_lens(4000, rows=3000, focal_px=4000.0))
    made = optics.sampling(seen, height_m=80.0, speed_m_s=6.0, overlap=0.7, forward_overlap=0.8)
    assert (made.gsd_across_m, made.gsd_along_m) == pytest.approx((0.02, 0.02))
    assert made.swath_m == pytest.approx(80.0)
    assert seen.length * 80.0 == pytest.approx(60.0)
    assert made.spacing_m == pytest.approx(24.0)
    assert made.step_m == pytest.approx(12.0)
    assert made.rate_hz == pytest.approx(0.5)


def test_a_turned_frame_camera_swaps_its_sides() -> None:
    base = instrument.thin_lens(400, rows=300, focal_px=500.0)
    turned = optics.view(Instrument("t", base.kind, base.spec, Mount(rotation="nadir-90"), "t"))
    assert (turned.width, turned.length) == pytest.approx((0.6, 0.8))
    assert turned.across == pytest.approx(1.0 / 500.0)


def test_an_oblique_line_sees_between_two_tangents() -> None:
    """20° either way about an axis 30° to starboard: tan 10° to tan 50°."""
    seen = optics.view(line(rotation="oblique-starboard", tilt_deg=30.0))
    assert (seen.port, seen.starboard) == pytest.approx(
        (math.tan(math.radians(10.0)), math.tan(math.radians(50.0))), rel=1e-6
    )
    assert seen.widest > seen.across > 0.0


def test_cameras_that_see_no_strip_are_refused() -> None:
    with pytest.raises(ManifestError, match="along the track"):
        optics.view(line(rotation="nadir-90"))
    with pytest.raises(ManifestError, match="horizon"):
        optics.view(line(rotation="oblique-starboard", tilt_deg=80.0))
    with pytest.raises(ManifestError, match="no swath"):
        optics.view(Instrument("one", "line_scan", LineCamera(1, np.zeros((1, 2))), Mount(), "one"))


@given(side=st.floats(0.05, 5.0), a=st.floats(0.5, 2.0), b=st.floats(0.5, 2.0))
@settings(max_examples=40, deadline=None)
def test_smallest_target_against_all_phases(side: float, a: float, b: float) -> None:
    """The share of the fullest pixel, over all places of a square on the grid, by brute force."""

    def least(pixel: float) -> float:
        phase = np.linspace(0.0, pixel, 401)[:, None]
        cell = pixel * np.arange(-1, 14)
        inside = np.minimum(phase + side, cell + pixel) - np.maximum(phase, cell)
        return float((np.clip(inside, 0.0, None) / pixel).max(axis=1).min())

    fill = least(a) * least(b)
    if fill < 1.0:
        assert optics.smallest_target_m(a, b, fill=fill) == pytest.approx(side, rel=0.02)


@st.composite
def sites(draw: st.DrawFn) -> shapely.Polygon:
    """Stars: polygons that never cross themselves, often concave."""
    count = draw(st.integers(3, 12))
    radius = [draw(st.floats(8.0, 150.0)) for _ in range(count)]
    angle = 2.0 * np.pi * np.arange(count) / count
    ring = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) + np.array(
        [500_000.0, 5_660_000.0]
    )
    return shapely.Polygon(ring)


@given(shape=sites(), heading=st.one_of(st.none(), st.floats(0.0, 359.0)), spacing=st.floats(5.0, 20.0))
@settings(max_examples=60, deadline=None)
@pytest.mark.once
def test_swaths_cover_any_site_with_the_overlap(
    shape: shapely.Polygon, heading: float | None, spacing: float
) -> None:
    flown = laid(shape, heading_deg=heading, spacing_m=spacing)
    _, scale = pattern.grid_facts(shape, UTM)
    left = shape.difference(seen_from(flown, -10.0 * scale, 10.0 * scale)).area
    assert left < 1e-3 * shape.area * 1e-3 + 1e-3
    assert flown.spacing_m <= spacing * (1.0 + 1e-9)


def test_holes_and_parts_are_covered_and_not_flown_over() -> None:
    hole = shapely.box(500_040.0, 5_660_020.0, 500_160.0, 5_660_080.0)
    both = shapely.union(SQUARE.difference(hole), affinity.translate(SQUARE, 400.0, 30.0))
    flown = laid(both, heading_deg=90.0)
    _, scale = pattern.grid_facts(both, UTM)
    assert both.difference(seen_from(flown, -10.0 * scale, 10.0 * scale)).area < 1e-2
    by_strip = [leg.strip for leg in flown.legs]
    assert (
        max(by_strip.count(each) for each in by_strip) == 3
    )  # left and right of the hole, and the second part


def test_the_camera_looks_aside_and_the_aircraft_flies_beside_both_ways() -> None:
    """Port 5 m to starboard 25 m: strips are 15 m to the right of the track, whichever way it goes."""
    flown = pattern.lay(
        SQUARE, pattern.Footprint(5.0, 25.0), crs=UTM, heading_deg=90.0, spacing_m=15.0, height_m=60.0,
        speed_m_s=5.0,
    )  # fmt: skip
    _, scale = pattern.grid_facts(SQUARE, UTM)
    assert SQUARE.difference(seen_from(flown, 5.0 * scale, 25.0 * scale)).area < 1e-2


def test_a_line_that_looks_forward_starts_behind() -> None:
    flown = pattern.lay(
        SQUARE, pattern.Footprint(-10.0, 10.0, 30.0, 30.0), crs=UTM, heading_deg=90.0, spacing_m=15.0,
        height_m=60.0, speed_m_s=5.0, run_in_m=7.0, run_out_m=3.0,
    )  # fmt: skip
    first = flown.legs[0]
    assert first.points[1, 0] == pytest.approx(500_000.0 - 30.0, abs=0.05)
    assert first.points[2, 0] == pytest.approx(500_200.0 - 30.0, abs=0.05)
    assert np.linalg.norm(first.points[0] - first.points[1]) == pytest.approx(7.0, rel=1e-3)
    assert np.linalg.norm(first.points[3] - first.points[2]) == pytest.approx(3.0, rel=1e-3)


def test_auto_heading_takes_the_long_side_and_counts_by_hand() -> None:
    """100 m across with a 20 m swath, 14 m apart: 1 + ceil(80 / 14) = 7 strips; along the short side 14."""
    turned = affinity.rotate(SQUARE, 25.0)  # the long side then heads 90 - 25 = 65 degrees
    flown = laid(turned)
    assert len(flown.legs) == 7
    assert flown.heading_deg % 180.0 == pytest.approx(65.0, abs=0.2)
    assert len(laid(SQUARE, heading_deg=0.0).legs) == 14


def test_sites_that_are_none() -> None:
    with pytest.raises(CoverageError, match="too small"):
        pattern.on_grid(shapely.box(9.0, 48.0, 9.0 + 1e-6, 48.0 + 1e-6))
    for width in (0.8, 5.0):
        with pytest.raises(CoverageError, match="too far"):
            pattern.on_grid(shapely.box(9.0, 48.0, 9.0 + width, 48.1))
    with pytest.raises(CoverageError, match="legs"):
        laid(shapely.box(500_000.0, 0.0, 540_000.0, 40_000.0), spacing_m=10.0, heading_deg=0.0)


@pytest.mark.parametrize("parts", [((179.999, 180.0), (-180.0, -179.999)), ((179.999, -179.999),)])
def test_a_site_on_the_antimeridian_stays_in_one_piece(parts: tuple[tuple[float, float], ...]) -> None:
    """0.002 degrees at 52 north: 137 m wide; its files are cut at 180 degrees."""
    given_site = shapely.union_all([shapely.box(west, 52.0, east, 52.001) for west, east in parts])
    mapped, crs = pattern.on_grid(given_site)
    assert crs in ("EPSG:32601", "EPSG:32660")
    assert mapped.area == pytest.approx(137.0 * 111.0, rel=0.02)
    flown = pattern.lay(
        mapped, pattern.Footprint(-10.0, 10.0), crs=crs, heading_deg=90.0, spacing_m=15.0, height_m=60.0,
        speed_m_s=5.0,
    )  # fmt: skip
    for feature in json.loads(flight_plan.geojson(flown))["features"]:
        assert feature["geometry"]["type"].startswith("Multi")
        for part in shapely.get_parts(shapely.from_geojson(json.dumps(feature["geometry"]))):
            assert part.bounds[2] - part.bounds[0] < 0.01


def test_peak_by_the_formula() -> None:
    """D, 100 m: sigma 7.96 m and 5.595 m; q / (pi u sy sz) exp(-z² / 2 sz²), doubled by the ground."""
    sy, sz = 0.08 * 100 / math.sqrt(1.01), 0.06 * 100 / math.sqrt(1.15)
    kg_m3 = (1.0 / 3600.0) / (math.pi * 3.0 * sy * sz) * math.exp(-0.5 * (10.0 / sz) ** 2)
    assert gas.peak_ppm(LEAK, np.array([100.0]), height_m=10.0)[0] == pytest.approx(1e6 * kg_m3 / 0.68)


def test_crossing_chance_against_drawn_places() -> None:
    above = gas.peak_ppm(LEAK, np.arange(0.5, 2000.0, 1.0), height_m=8.0) >= LEAK.limit_ppm
    near, far = np.flatnonzero(above)[[0, -1]]
    assert 20 < near < far < 1990
    draw = np.random.default_rng(1).uniform(0.0, 1.0, 4000)
    for spacing in (50.0, 400.0):
        legs = draw[:, None] * spacing + spacing * np.arange(0, 2000 // spacing + 1)
        met = ((legs >= near) & (legs <= far + 1)).any(axis=1).mean()
        chance = gas.crossing_chance(LEAK, spacing_m=spacing, height_m=8.0)
        assert chance == pytest.approx(met, abs=0.03)


def test_reach_of_one_leg_downwind() -> None:
    """A leg along the lee side: leaks are met from where the plume is above the limit."""
    flown = laid(SQUARE, heading_deg=0.0)
    east = max(flown.legs, key=lambda leg: float(leg.points[0, 0]))
    alone = FlightPattern(UTM, SQUARE, (east,), 0.0, 14.0, 20.0, 5.0)
    leak = gas.Leak(0.2, 0.1, 3.0, "D", 0.68, 270.0)
    distance = np.arange(0.5, 2000.0)
    above = distance[gas.peak_ppm(leak, distance, height_m=5.0) >= leak.limit_ppm]
    x = 500_000.0 + np.arange(0.25, 200.0, 0.5)
    gone = float(east.points[1, 0]) - x
    share = np.mean((gone >= above[0]) & (gone <= above[-1]))
    assert 0.1 < share < 0.9
    assert gas.reach(alone, leak, height_m=5.0).chance == pytest.approx(share, abs=0.06)
    upwind = gas.Leak(0.2, 0.1, 3.0, "D", 0.68, 90.0)
    assert gas.reach(alone, upwind, height_m=5.0).chance < 0.05


def test_nine_in_ten_is_the_rate_that_gives_it() -> None:
    """Legs 5 m apart across the wind, the last one 3 m from the lee side: 3 % of the places have none."""
    flown = pattern.lay(
        SQUARE, pattern.Footprint(-3.0, 3.0), crs=UTM, heading_deg=90.0, spacing_m=5.0, height_m=1.0,
        speed_m_s=5.0,
    )  # fmt: skip
    found = gas.reach(flown, gas.Leak(1.0, 0.1, 3.0, "D", 0.68, 180.0), height_m=1.0)
    again = gas.Leak(found.rate_found_kg_h * (1 + 1e-9), 0.1, 3.0, "D", 0.68, 180.0)
    assert gas.reach(flown, again, height_m=1.0).chance == pytest.approx(0.9, abs=0.04)
    less = gas.Leak(found.rate_found_kg_h * (1 - 1e-6), 0.1, 3.0, "D", 0.68, 180.0)
    assert gas.reach(flown, less, height_m=1.0).chance < 0.9


def slope(rise: float) -> Terrain:
    """Ground that rises to the east by *rise* m a meter."""
    x = 499_800.0 + 10.0 * (np.arange(80) + 0.5)
    height = np.broadcast_to(100.0 + rise * (x - 500_000.0), (60, 80)).copy()
    return Terrain(height, (10.0, 0.0, 499_800.0, 0.0, -10.0, 5_660_300.0), UTM, 0.0, "slope")


def test_level_legs_over_a_slope() -> None:
    flown = laid(SQUARE, heading_deg=90.0)
    start = float(flown.legs[0].points[0, 0])
    draped, ground = relief.drape(flown, slope(0.1), height_m=60.0, follow=False)
    assert ground.ground_high_m == pytest.approx(0.1 * (500_200.0 - start), abs=0.01)
    assert ground.above_low_m == pytest.approx(60.0 - 0.1 * (500_205.0 - start), abs=0.1)
    assert all((leg.height_m == 60.0).all() for leg in draped.legs)
    with pytest.raises(CoverageError, match="meet the ground"):
        relief.drape(flown, slope(0.4), height_m=60.0, follow=False)


def test_legs_that_follow_a_slope() -> None:
    flown = laid(SQUARE, heading_deg=90.0)
    draped, ground = relief.drape(flown, slope(0.4), height_m=60.0, follow=True)
    assert 59.0 <= ground.above_low_m <= ground.above_high_m <= 61.0
    first = draped.legs[0]
    assert first.height_m[-1] - first.height_m[0] == pytest.approx(0.4 * np.ptp(first.points[:, 0]), rel=1e-6)
    np.testing.assert_allclose(first.points[list(first.data)], flown.legs[0].points[[1, 2]])


def test_mission_as_pymavlink_reads_it(tmp_path: Path, mavwp: ModuleType) -> None:
    flown = laid(SQUARE, heading_deg=90.0)
    path = tmp_path / "plan.waypoints"
    path.write_bytes(flight_plan.mission(flown, trigger_m=12.5))
    loader = mavwp.MAVWPLoader()
    assert loader.load(str(path)) == 2 + 1 + len(flown.legs) * 6 + 1
    items = [loader.wp(i) for i in range(loader.count())]
    assert [item.command for item in items[:3]] == [16, 22, 178]
    assert items[2].param2 == 5.0
    assert items[-1].command == 20
    triggers = [item.param1 for item in items if item.command == 206]
    assert triggers == [12.5, 0.0] * len(flown.legs)
    points = np.array([[item.x, item.y] for item in items[3:] if item.command == 16])
    x, y = to_grid(points[:, 1], points[:, 0], UTM)
    np.testing.assert_allclose(
        np.column_stack([x, y]), np.concatenate([leg.points for leg in flown.legs]), atol=0.01
    )


@pytest.fixture
def mavwp() -> ModuleType:
    return pytest.importorskip("pymavlink.mavwp")


def write_site(path: Path, *rings: list[tuple[float, float]]) -> Path:
    path.write_text(json.dumps({"type": "Polygon", "coordinates": rings}), "utf-8")
    return path


RING = [(71.4, 51.1), (71.403, 51.1), (71.403, 51.101), (71.4, 51.101), (71.4, 51.1)]


def test_sites_as_geojson_and_kml_are_one(tmp_path: Path) -> None:
    flat = write_site(tmp_path / "a.geojson", RING)
    text = " ".join(f"{lon},{lat},0" for lon, lat in RING)
    kml = tmp_path / "a.kml"
    kml.write_text(
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><Polygon><outerBoundaryIs><LinearRing>'
        f"<coordinates>{text}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></kml>",
        "utf-8",
    )
    assert site.read(flat).equals(site.read(kml))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"type":"Point","coordinates":[1,2]}', "no polygon"),
        ("hello", "neither GeoJSON nor KML"),
        ("<kml><Polygon>", "no KML"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,1],[1,0],[0,1],[0,0]]]}', "no simple outline"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,1],[1,0],[0,1]]]}', "not closed"),
        ('{"type":"Polygon","coordinates":[[[500000,0],[500001,1],[500001,0],[500000,0]]]}', "off the globe"),
        ('{"type":"Polygon","coordinates":[[["a",0],[1,1],[1,0],["a",0]]]}', "no numbers"),
        ('{"type":"Polygon","coordinates":[["71","72","71","71"]]}', "no numbers"),
        ('{"type":"Polygon","coordinates":[[[1e999,0],[1,1],[1,0],[1e999,0]]]}', "off the globe"),
        ('{"type":"Polygon","crs":{"properties":{"name":"EPSG:32642"}},"coordinates":[]}', "CRS of its own"),
        ('{"type":"Polygon","coordinates":5}', "no numbers"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,1],[2,2],[0,0]]]}', "no simple outline"),
    ],
)
def test_outlines_that_are_none(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "site.geojson"
    path.write_text(text, "utf-8")
    with pytest.raises(ReadError, match=what):
        site.read(path)


CAMERA = ["--focal-mm", "8", "--pixel-um", "8", "--columns", "640", "--height", "60", "--speed", "6"]


def test_plan_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outline = write_site(tmp_path / "site.geojson", RING)
    folder = tmp_path / "plan"
    leak = [
        "--gas",
        "CH4",
        "--rate",
        "1",
        "--limit-ppm",
        "0.1",
        "--wind",
        "3",
        "--stability",
        "D",
        "--endurance",
        "5",
    ]
    assert run_cli(["plan", str(outline), *CAMERA, *leak, "-o", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((folder / "plan.json").read_text("utf-8"))
    assert told["camera"]["gsd_across_m"] == 0.06
    assert told["camera"]["swath_m"] == 38.4
    # 111 m across: 1 + ceil((111.2 - 38.4) / 26.88) = 4 strips
    assert (told["pattern"]["strips"], told["pattern"]["legs"]) == (4, 4)
    features = json.loads((folder / "plan.geojson").read_text("utf-8"))["features"]
    legs = [each for each in features if each["properties"]["kind"] == "leg"]
    (lon_a, lat_a), (lon_b, lat_b) = (legs[0]["geometry"]["coordinates"][row] for row in (0, -1))
    length = float(geodesic_distance(lon_a, lat_a, lon_b, lat_b))
    assert length == pytest.approx(230.0, rel=0.02)  # 210 m with run-in and run-out
    assert told["time"]["way_m"] == pytest.approx(4 * length + 3 * told["pattern"]["spacing_m"], rel=2e-3)
    assert told["time"]["flight_s"] == pytest.approx(told["time"]["way_m"] / 6.0 + 15.0, rel=1e-4)
    assert {path.name for path in folder.iterdir()} == {
        "plan.json", "plan.geojson", "plan.kml", "plan.waypoints",
    }  # fmt: skip
    assert run_cli(["plan", str(outline), *CAMERA, *leak]) == 0
    assert "Swath: 38.4 m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        (["--fov-deg", "30"], "once"),
        (["--heading", "north"], "--heading"),
        (["--follow"], "--dem"),
        (["--gas", "CH4"], "--rate"),
        (["--overlap", "1"], "--overlap"),
        (
            ["--gas", "XYZ", *["--rate", "1", "--limit-ppm", "1", "--wind", "3", "--stability", "D"]],
            "not known",
        ),
    ],
)
def test_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], what: str) -> None:
    outline = write_site(tmp_path / "site.geojson", RING)
    assert run_cli(["plan", str(outline), *CAMERA, *extra]) == EXIT_USAGE
    assert what in capsys.readouterr().err


def test_heading_by_a_wind_that_is_not_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outline = write_site(tmp_path / "site.geojson", RING)
    assert (
        run_cli(["plan", str(outline), *CAMERA, "--heading", "wind", "-o", str(tmp_path / "p")])
        == EXIT_NO_INPUT
    )
    assert "where it comes from" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_overlap_that_the_highest_ground_eats_is_warned_of() -> None:
    outline = shapely.Polygon(RING)
    mapped, crs = pattern.on_grid(outline)
    left, bottom, right, top = mapped.buffer(200.0).bounds
    height = np.broadcast_to(np.linspace(0.0, 30.0, 50), (50, 50)).copy()
    transform = ((right - left) / 50, 0.0, left, 0.0, -(top - bottom) / 50, top)
    terrain = Terrain(height, transform, crs, 0.0, "hill")
    seen = optics.view(instrument.thin_lens(640, focal_px=1000.0))
    made = plan.make(outline, seen, plan.Wish(60.0, 6.0, 0.3, heading=90.0), terrain=terrain)
    told = made.summary["terrain"]
    lowest = told["height_above_ground_m"][0]
    spacing = made.summary["pattern"]["spacing_m"]
    assert told["overlap_at_highest_ground"] == pytest.approx(1.0 - spacing / (0.64 * lowest), rel=1e-4)
    assert any("over the highest ground the overlap is only" in each for each in made.warnings)


def background(folder: Path, *, reach: float) -> tuple[Path, Path]:
    """A cube of gray ground with noise of 0.01, and a target that differs by *reach* in a band."""
    rng = np.random.default_rng(5)
    nm = np.linspace(450.0, 850.0, 5)
    values = (0.3 + 0.01 * rng.standard_normal((60, 5, 60))).astype("<f4")
    (folder / "old.bil").write_bytes(values.tobytes())
    (folder / "old.hdr").write_text(
        "ENVI\nsamples = 60\nlines = 60\nbands = 5\nheader offset = 0\nfile type = ENVI Standard\n"
        "data type = 4\ninterleave = bil\nbyte order = 0\nwavelength units = Nanometers\n"
        "reflectance scale factor = 1\n"
        f"wavelength = {{{', '.join(map(str, nm))}}}\nfwhm = {{{', '.join(['10'] * 5)}}}\n",
        "utf-8",
    )
    own = folder / "target.csv"
    spectrum = [0.3, 0.3, 0.3 + reach, 0.3, 0.3]
    rows = "".join(f"{each},{value}\n" for each, value in zip(nm, spectrum, strict=True))
    own.write_text(f"wavelength_nm,reflectance\n{rows}", "utf-8")
    return folder / "old.hdr", own


def test_fill_predicted_on_a_background(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0.4 against a noise of 0.01 is 40 sigma: 1e-4 false alarms lie near 4 sigma, so a fill of some 0.13."""
    cube, own = background(tmp_path, reach=0.4)
    outline = write_site(tmp_path / "site.geojson", RING)
    wanted = ["--background", str(cube), "--signature", str(own), "--method", "cem", "--false-alarms", "1e-4"]
    assert run_cli(["plan", str(outline), *CAMERA, *wanted, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["target"]
    assert 0.09 < told["fill"] < 0.18
    pixel = told["pixel_across_m"], told["pixel_along_with_blur_m"]
    assert told["side_m"] == pytest.approx(2.0 * math.sqrt(told["fill"] * pixel[0] * pixel[1]), rel=1e-4)
    assert "9 times out of 10" in told["prediction"]
    assert run_cli(["plan", str(outline), *CAMERA, *wanted[:2]]) == EXIT_USAGE


def test_a_target_that_is_never_sure_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube, own = background(tmp_path, reach=0.01)
    outline = write_site(tmp_path / "site.geojson", RING)
    wanted = ["--background", str(cube), "--signature", str(own), "--method", "cem"]
    assert run_cli(["plan", str(outline), *CAMERA, *wanted]) == 0
    assert "no size of target is sure to be found" in capsys.readouterr().err


def test_ground_that_rises_across_the_legs_is_nearer_at_the_edge_of_the_swath() -> None:
    """0.4 m a meter to the north, legs to the east, 10 m to either side: 4 m nearer and farther."""
    y = 5_660_300.0 - 10.0 * (np.arange(60) + 0.5)
    height = np.repeat(100.0 + 0.4 * (y - 5_660_000.0), 80).reshape(60, 80)
    terrain = Terrain(height, (10.0, 0.0, 499_800.0, 0.0, -10.0, 5_660_300.0), UTM, 0.0, "slope")
    _, ground = relief.drape(laid(SQUARE, heading_deg=90.0), terrain, height_m=60.0, follow=True)
    assert ground.above_low_m == pytest.approx(56.0, abs=0.1)
    assert ground.above_high_m == pytest.approx(64.0, abs=0.1)


def test_a_height_model_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plane that rises to the east by 20 m over 0.003 degrees: legs to the east end 20 m higher."""
    rasterio = pytest.importorskip("rasterio")
    outline = write_site(tmp_path / "site.geojson", RING)
    lon = 71.39 + 0.0002 * (np.arange(120) + 0.5)
    height = np.tile(20.0 / 0.003 * (lon - 71.39), (100, 1)).astype("float32")
    dem = tmp_path / "dem.tif"
    with rasterio.open(
        dem, "w", driver="GTiff", width=120, height=100, count=1, dtype="float32", crs="EPSG:4326",
        transform=rasterio.Affine(0.0002, 0.0, 71.39, 0.0, -0.0002, 51.11),
    ) as made:  # fmt: skip
        made.write(height, 1)
    wanted = ["--dem", str(dem), "--heading", "90", "--run-in", "0", "--run-out", "0"]
    assert run_cli(["plan", str(outline), *CAMERA, *wanted, "--json"]) == 0
    level = json.loads(capsys.readouterr().out)
    assert level["terrain"]["ground_above_takeoff_m"] == pytest.approx([0.0, 20.0], abs=0.2)
    assert level["terrain"]["height_above_ground_m"] == pytest.approx([40.0, 60.0], abs=0.2)
    assert any("take off there" in each for each in level["warnings"])
    assert run_cli(["plan", str(outline), *CAMERA, *wanted, "--follow", "-o", str(tmp_path / "p")]) == 0
    assert "overlap is only" not in capsys.readouterr().err
    features = json.loads((tmp_path / "p/plan.geojson").read_text("utf-8"))["features"]
    heights = features[1]["properties"]["height_m"]
    assert heights[-1] - heights[0] == pytest.approx(20.0, abs=0.3)


def test_files_as_other_programs_read_them(tmp_path: Path) -> None:
    """GDAL reads as many shapes from the KML, in the same places; the outer ring runs counterclockwise."""
    pyogrio = pytest.importorskip("pyogrio")
    if not {"KML", "LIBKML"} & set(pyogrio.list_drivers()):
        pytest.skip("this GDAL reads no KML")
    hole = shapely.box(500_060.0, 5_660_020.0, 500_140.0, 5_660_080.0)
    flown = laid(SQUARE.difference(hole), heading_deg=90.0)
    path = tmp_path / "plan.kml"
    path.write_bytes(flight_plan.kml(flown, name="a <site> & more"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyogrio 0.13 under numpy 2.5
        _, _, shapes, _ = pyogrio.raw.read(path)
    assert len(shapes) == 1 + len(flown.legs)
    leg = shapely.get_coordinates(shapely.from_wkb(shapes[1]))
    x, y = to_grid(leg[:, 0], leg[:, 1], UTM)
    np.testing.assert_allclose(np.column_stack([x, y]), flown.legs[0].points, atol=0.01)
    outline = json.loads(flight_plan.geojson(flown))["features"][0]["geometry"]
    outer, inner = (shapely.LinearRing(ring) for ring in outline["coordinates"])
    assert outer.is_ccw
    assert not inner.is_ccw


def test_a_camera_from_its_instrument_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2 tan 16 degrees x 60 m = 34.41 m; 256 pixels of 13.4 cm."""
    camera = tmp_path / "pika.toml"
    camera.write_text(
        'schema = 1\nid = "pika"\nkind = "line_scan"\nsamples = 256\nfov_deg = 32.0\nfirst_sample = "port"\n',
        "utf-8",
    )
    outline = write_site(tmp_path / "site.geojson", RING)
    wanted = ["--camera", str(camera), "--height", "60", "--speed", "5", "--line-rate", "30", "--json"]
    assert run_cli(["plan", str(outline), *wanted]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)["camera"]
    assert told["swath_m"] == pytest.approx(120.0 * math.tan(math.radians(16.0)), rel=1e-5)
    assert told["gsd_across_m"] == pytest.approx(told["swath_m"] / 256, rel=1e-5)
    assert told["fastest_m_s"] == pytest.approx(30 * told["gsd_across_m"], rel=1e-5)
    assert "seen only by blur" in captured.err  # 5 m/s are more than 4.03 m/s


def test_pictures_are_triggered_by_distance(tmp_path: Path) -> None:
    outline = write_site(tmp_path / "site.geojson", RING)
    wanted = (
        "--focal-mm 24 --pixel-um 6 --columns 4000 --rows 3000 --height 80 --speed 6 --forward-overlap 0.8"
    )
    assert run_cli(["plan", str(outline), *wanted.split(), "-o", str(tmp_path / "p")]) == 0
    cells = [row.split("\t") for row in (tmp_path / "p/plan.waypoints").read_text("ascii").splitlines()[1:]]
    assert {float(row[4]) for row in cells if row[3] == "206"} == {12.0, 0.0}
    assert all(len(row) == 12 for row in cells)
