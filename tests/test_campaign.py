"""Places of several flights: planted sites found again, neighbors kept apart, errors as stated, layers."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from dronesense import geodesy
from dronesense.cli import cli
from dronesense.errors import EvidenceError, ManifestError, ReadError
from dronesense.geotag.uncertainty import ce90
from dronesense.hotspots.campaign import Find, places
from dronesense.pipeline.campaign import Run, merged, read_run
from dronesense.writers import reviews


def moved(lon: float, lat: float, east: float, north: float) -> tuple[float, float]:
    there = geodesy.displace(np.array([lon]), np.array([lat]), np.zeros(1), np.array([[north, east, 0.0]]))
    return float(there[0][0]), float(there[1][0])


def random_cov(rng: np.random.Generator) -> np.ndarray:
    turn = rng.uniform(0, np.pi)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return axes @ np.diag(rng.uniform(0.2, 1.0, size=2) ** 2) @ axes.T


def planted(
    rng: np.random.Generator, *, sites: int, flights: int, apart_m: float, lon: float = 15.0
) -> tuple[list[Find], list[int], np.ndarray]:
    """Finds of sites on a grid, each flight off by a draw of its covariance, and which site each is of."""
    finds, owner, true = [], [], []
    side = int(np.ceil(np.sqrt(sites)))
    for site in range(sites):
        place = moved(lon, 47.0, apart_m * (site % side), apart_m * (site // side))
        true.append(place)
        for flight in range(flights):
            cov = random_cov(rng)
            east, north = np.linalg.cholesky(cov) @ rng.normal(size=2)
            finds.append(Find(f"f{flight}", f"h{site}", ("spectral", "x"), *moved(*place, east, north), cov))
            owner.append(site)
    return finds, owner, np.array(true)


@pytest.mark.parametrize("lon", [15.0, 179.99999])
def test_sites_are_found_again_and_neighbors_kept_apart(lon: float) -> None:
    rng = np.random.default_rng(1)
    finds, owner, _ = planted(rng, sites=400, flights=3, apart_m=12.0, lon=lon)
    found = places(finds)
    groups = [{owner[i] for i in each.members} for each in found]
    assert all(len(each) == 1 for each in groups)  # 12 m apart with errors up to 1 m: never mixed
    assert sum(len(each.members) == 3 for each in found) >= 0.95 * 400
    shuffled = rng.permutation(len(finds))
    again = places([finds[i] for i in shuffled])
    assert {frozenset(each.members) for each in found} == {
        frozenset(shuffled[list(each.members)].tolist()) for each in again
    }


@pytest.mark.parametrize("flights", [2, 8, 25])
def test_sites_of_many_flights_stay_whole(flights: int) -> None:
    # Taken apart with 1 %, however many flights: 100 sites, three deviations are 3 %.
    finds, owner, _ = planted(np.random.default_rng(flights), sites=100, flights=flights, apart_m=20.0)
    found = places(finds)
    assert sum(len(each.members) == flights for each in found) >= 95
    assert all(len({owner[i] for i in each.members}) == 1 for each in found)


def test_few_sites_three_ce90_apart_are_mixed() -> None:
    rng = np.random.default_rng(5)
    cov, gap = 0.25 * np.eye(2), 3.0 * 2.146 * 0.5
    finds = []
    for site in range(300):
        for flight in ("a", "b"):
            for side in (0.0, gap):
                east, north = rng.normal(0.0, 0.5, size=2)
                where = moved(15.0, 47.0, 40.0 * site + side + east, north)
                finds.append(Find(flight, f"{site}-{side}", ("spectral", "x"), *where, cov))
    mixed = [each for each in places(finds) if len({finds[i].id for i in each.members}) > 1]
    assert len(mixed) <= 0.02 * 600


def test_one_find_that_is_badly_known_changes_nothing_for_others() -> None:
    finds, _, _ = planted(np.random.default_rng(6), sites=50, flights=2, apart_m=20.0)
    alone = {frozenset(each.members) for each in places(finds)}
    vague = Find("z", "z", ("spectral", "other"), 15.0, 47.0, 1e4 * np.eye(2))
    assert {frozenset(each.members) for each in places([*finds, vague])} == alone | {frozenset({100})}


def test_the_merged_place_holds_its_ce90() -> None:
    rng = np.random.default_rng(2)
    finds, owner, true = planted(rng, sites=900, flights=4, apart_m=30.0)
    inside = []
    for each in places(finds):
        if len(each.members) < 4:
            continue
        lon, lat = true[owner[each.members[0]]]
        here, there = geodesy.to_ecef([each.lon, lon], [each.lat, lat], [0.0, 0.0])
        inside.append(np.linalg.norm(here - there) <= ce90(each.cov))
    assert len(inside) > 750
    assert 0.87 <= np.mean(inside) <= 0.94  # 90 % +- 3 deviations; far draws are not joined


def test_one_flight_has_one_find_at_a_place() -> None:
    cov = 0.25 * np.eye(2)
    finds = [
        Find("a", "1", ("spectral", "x"), *moved(15.0, 47.0, 0.0, 0.0), cov),
        Find("a", "2", ("spectral", "x"), *moved(15.0, 47.0, 0.3, 0.0), cov),
        Find("b", "3", ("spectral", "x"), *moved(15.0, 47.0, 0.1, 0.0), cov),
        Find("b", "4", ("gas", "x"), *moved(15.0, 47.0, 0.1, 0.0), cov),
    ]
    assert sorted(sorted(each.members) for each in places(finds)) == [[0, 2], [1], [3]]
    assert places([]) == ()


def write_run(
    folder: Path,
    run: str,
    finds: list[tuple[str, float, float]],
    *,
    day: int,
    wide: bool = True,
    sought: tuple[str, ...] = ("x", "y"),
    **changed: Any,
) -> Path:
    """Products as far as a merge asks for them; *finds*: target, lon, lat; *changed*: their properties."""
    from shapely.geometry import box, mapping

    features = []
    for number, (target, lon, lat) in enumerate(finds):
        shown: dict[str, Any] = {
            "id": f"{run}{number}", "target": target, "kind": "spectral", "score": 0.9,
            "lon": lon, "lat": lat, "ce90_m": 0.5,
            "ellipse_major_m": 0.25, "ellipse_minor_m": 0.2, "ellipse_azimuth_deg": 30.0,
            "area_m2": 0.4, "start": f"2026-06-{day:02d}T09:00:00Z", "end": f"2026-06-{day:02d}T09:00:01Z",
        }  # fmt: skip
        shown |= changed
        outline = mapping(box(lon - 1e-6, lat - 1e-6, lon + 1e-6, lat + 1e-6))
        features.append({"type": "Feature", "id": shown["id"], "geometry": outline, "properties": shown})
    folder.mkdir()
    layer = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    (folder / "hotspots.geojson").write_bytes(layer)
    import pyogrio
    import shapely

    reach = 1e-3 if wide else 1e-5
    ground = shapely.box(15.0 - reach, 47.0 - reach, 15.0 + reach, 47.0 + reach)
    pyogrio.raw.write(
        folder / "hotspots.gpkg",
        geometry=np.array([shapely.to_wkb(ground)], dtype=object),
        field_data=[np.array(["seen"], dtype=object)],
        fields=["kind"],
        layer="coverage",
        driver="GPKG",
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    track = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [15.0, 47.0]}}
    track["properties"] = {"start": f"2026-06-{day:02d}T08:50:00Z"}
    (folder / "track.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [track]}))
    names = ("hotspots.geojson", "hotspots.gpkg", "track.geojson")
    outputs = [{"path": name, "sha256": sha256((folder / name).read_bytes()).hexdigest()} for name in names]
    manifest = {
        "schema": "dronesense.run/1",
        "run_id": run,
        "flight": f"flight-{run}",
        "inputs": [],
        "parameters": {f"detect[{i}].target": {"value": name} for i, name in enumerate(sought)},
        "outputs": outputs,
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def open_products(folder: Path, *, unverified: bool = False) -> Run:
    return read_run(folder, json.loads((folder / "run.json").read_text()), unverified=unverified)


def test_a_campaign_tells_what_was_seen_again_and_what_was_not(tmp_path: Path) -> None:
    here, beside = (15.0, 47.0), moved(15.0, 47.0, 20.0, 0.0)
    runs = [
        write_run(tmp_path / "one", "aa", [("x", *here), ("x", *beside)], day=1),
        write_run(tmp_path / "two", "bb", [("x", *moved(*here, 0.1, 0.1))], day=8),
        write_run(tmp_path / "three", "cc", [("y", *here)], day=15, wide=False),
    ]
    out = tmp_path / "campaign"
    done = CliRunner().invoke(cli, ["merge", *map(str, runs), "-o", str(out)])
    assert done.exit_code == 0, done.output
    layer = json.loads((out / "campaign.geojson").read_text("utf-8"))
    found = {(each["properties"]["target"], each["properties"]["n_flights"]): each["properties"]
             for each in layer["features"]}  # fmt: skip
    assert set(found) == {("x", 2), ("x", 1), ("y", 1)}
    assert (
        found["x", 2]["since"] == "not seen again"
    )  # the third flight looked there and found another target
    assert found["x", 1]["since"] == "not seen again"  # the second flight looked
    assert found["y", 1]["since"] == "new"
    assert found["x", 2]["first_seen"] < found["x", 2]["last_seen"]
    assert found["x", 2]["ce90_m"] < 0.5
    assert found["x", 2]["members"] == "aa/aa0, bb/bb0"
    told = json.loads((out / "campaign.json").read_text("utf-8"))
    assert (told["places"], told["repeated"], len(told["runs"])) == (3, 1, 3)
    assert told["outputs"][0]["sha256"] == sha256((out / "campaign.geojson").read_bytes()).hexdigest()
    again = CliRunner().invoke(cli, ["merge", *map(str, runs[::-1]), "-o", str(tmp_path / "again")])
    assert again.exit_code == 0
    for name in ("campaign.geojson", "campaign.json"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def word_of(runs: list[Run], member: str) -> str:
    collection, _ = merged(runs)
    words = {each["properties"]["members"]: each["properties"]["since"] for each in collection["features"]}
    return str(words[member])


def test_what_nobody_looked_for_or_at_again_is_not_called_gone(tmp_path: Path) -> None:
    first = open_products(write_run(tmp_path / "one", "aa", [("x", *moved(15.0, 47.0, 20.0, 0.0))], day=1))
    elsewhere = open_products(write_run(tmp_path / "two", "bb", [], day=8, wide=False))
    other = open_products(write_run(tmp_path / "three", "cc", [], day=9, sought=("y",)))
    empty = open_products(write_run(tmp_path / "four", "dd", [], day=10))
    assert word_of([first], "aa/aa0") == "new"
    assert word_of([first, elsewhere], "aa/aa0") == "not looked at again"
    assert word_of([first, other], "aa/aa0") == "not looked at again"  # another target was sought
    assert word_of([first, elsewhere, other, empty], "aa/aa0") == "not seen again"
    untold = write_run(tmp_path / "five", "ee", [], day=11)
    manifest = json.loads((untold / "run.json").read_text())
    manifest["outputs"] = [row for row in manifest["outputs"] if row["path"] != "hotspots.gpkg"]
    (untold / "run.json").write_text(json.dumps(manifest))
    assert word_of([first, open_products(untold)], "aa/aa0") == "not known whether looked at again"


@pytest.mark.parametrize("name", ["hotspots.geojson", "hotspots.gpkg", "track.geojson"])
def test_changed_products_are_refused(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "one", "aa", [("x", 15.0, 47.0)], day=1)
    if name.endswith(".gpkg"):
        run.joinpath(name).write_bytes(
            write_run(tmp_path / "two", "b", [], day=1, wide=False).joinpath(name).read_bytes()
        )
    else:
        run.joinpath(name).write_bytes(run.joinpath(name).read_bytes().replace(b"2026", b"2027"))
    with pytest.raises(EvidenceError, match="changed after the run"):
        open_products(run)
    assert name in open_products(run, unverified=True).notes[0]
    done = CliRunner().invoke(cli, ["merge", str(run), "-o", str(tmp_path / "out")], standalone_mode=False)
    assert done.return_value == 7
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"score": "high"},
        {"area_m2": -4.0},
        {"ellipse_major_m": float("inf")},
        {"ce90_m": -1.0},
        {"lat": 123.0},
        {"ce90_m": True},
    ],
)
def test_numbers_that_make_no_sense_are_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    run = write_run(tmp_path / "one", "aa", [("x", 15.0, 47.0)], day=1, **changed)
    with pytest.raises(ReadError, match=next(iter(changed))) as caught:
        open_products(run)
    assert "feature aa0" in str(caught.value.where)


def test_a_score_that_is_not_known_stays_unknown(tmp_path: Path) -> None:
    run = open_products(write_run(tmp_path / "one", "aa", [("x", 15.0, 47.0)], day=1, score=None))
    assert merged([run])[0]["features"][0]["properties"]["score_max"] is None


def test_runs_without_id_given_twice_or_to_be_written_into_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", "aa", [("x", 15.0, 47.0)], day=1)
    one = open_products(run)
    with pytest.raises(ManifestError, match="given twice"):
        merged([one, one])
    with pytest.raises(ReadError, match="names no run"):
        read_run(run, {"outputs": []})
    done = CliRunner().invoke(cli, ["merge", str(run), "-o", str(run)])
    assert done.exit_code == 2
    assert "another folder" in done.output


def test_the_latest_decision_counts(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, name, [("x", 15.0, 47.0)], day=day) for name, day in (("aa", 1), ("bb", 8))
    ]
    for run, status, when in zip(runs, ("rejected", "confirmed"), ("2026-07-02", "2026-07-01"), strict=True):
        reviews.append(run / "hotspots.geojson", f"{run.name}0", status, time=f"{when}T00:00:00Z")
    collection, _ = merged([open_products(run) for run in runs])
    assert [each["properties"]["status"] for each in collection["features"]] == ["rejected"]
