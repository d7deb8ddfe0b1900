"""One flight from its seed: draw what is true, let the instruments see it, write what they would write."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dronesense.synthetic import analyzer as gas_side
from dronesense.synthetic import autopilot, camera, folder, ground, motion, spectra, truth
from dronesense.synthetic import plan as p
from dronesense.synthetic.frames import Array, draw_site

HOME_BEHIND_M = 12.0
"""Home lies this far behind the begin of the first strip's run-in, m."""
NOMINAL_BORESIGHT_DEG = (0.7, -0.4, 1.1)
NOMINAL_LEVER_ARM_M = (0.12, -0.03, 0.18)


def _draw_plan(rng: np.random.Generator) -> p.Plan:
    heading = float(rng.uniform(0.0, 2.0 * np.pi))
    wind_from, wind = float(rng.uniform(0.0, 360.0)), float(rng.uniform(2.5, 6.0))
    side = wind * np.sin(np.radians(wind_from) - heading)
    crab = float(np.arctan(side / (2.0 * p.SPEED_M_S)))  # half of the wind is met by crab, half by lean
    boot = p.FIRST_DAY_S + 86_400 * int(rng.integers(0, 14)) + float(rng.uniform(3.0, 10.0)) * 3600.0
    return p.Plan(heading, (crab, -crab, crab), wind_from, wind, np.zeros(3), round(boot, 6))


def _at_home(plan: p.Plan, surface: ground.Surface) -> p.Plan:
    begin = next(plan.strips())[0]
    east = begin[0] - HOME_BEHIND_M * np.sin(plan.strip_heading_rad)
    north = begin[1] - HOME_BEHIND_M * np.cos(plan.strip_heading_rad)
    return replace(plan, home=np.array([east, north, float(surface.up(east, north)) + p.IMU_ABOVE_GROUND_M]))


def _write_reference(raw: Path, device: camera.Camera, rng: np.random.Generator) -> None:
    """Write dark and panel captures, the panel's certificate, and the target's laboratory spectrum."""
    nm = spectra.centers_nm()
    shape = (camera.REFERENCE_LINES, spectra.BANDS, p.SAMPLES)
    camera.write_envi(
        raw / "dark.bil", camera.expose(device, np.zeros(shape, np.float32), rng), "dark, shutter closed"
    )
    gray = np.broadcast_to(spectra.panel(nm)[None, :, None], shape).astype(np.float32)
    camera.write_envi(raw / "panel.bil", camera.expose(device, gray, rng), "gray panel over the whole swath")
    lab = folder.signature_nm()
    folder.write_text(
        raw / "panel.csv", folder.spectrum_csv(lab, spectra.panel(lab), folder.SIGMA_PANEL, rng)
    )
    folder.write_text(
        raw / "target.csv", folder.spectrum_csv(lab, spectra.target(lab), folder.SIGMA_SIGNATURE, rng)
    )
    folder.write_text(raw / "panel.toml", folder.side_file("gray panel"))
    folder.write_text(raw / "target.toml", folder.side_file("blue-cover"))


def _spectra_of(things: tuple[ground.Thing, ...]) -> dict[str, Array]:
    nm = spectra.centers_nm()
    known = dict(zip(spectra.CONFUSERS, spectra.confusers(nm), strict=True))
    return {
        thing.id: spectra.target(nm) if thing.kind == "target" else known[thing.material] for thing in things
    }


def _sight(strip: str, seen: camera.Footprints, pixel: NDArray[np.int64], share: Array) -> camera.Sighting:
    best = int(np.argmax(share))
    row, col = int(pixel[best, 0]), int(pixel[best, 1])
    width = 2.0 * float(np.hypot(*seen.across[row, col]))
    return camera.Sighting(strip, float(share[best]), row, col, width)


def _write_strips(
    raw: Path,
    plan: p.Plan,
    strips: list[tuple[Array, camera.Footprints]],
    things: tuple[ground.Thing, ...],
    device: camera.Camera,
    rng: np.random.Generator,
) -> dict[str, list[camera.Sighting]]:
    """Render and write every strip; return who saw what."""
    cover = ground.draw_cover(plan, rng)
    color = _spectra_of(things)
    sightings: dict[str, list[camera.Sighting]] = {thing.id: [] for thing in things}
    for number, (time, seen) in enumerate(strips):
        name = f"line_{number + 1}"
        mixed = []
        for thing in things:
            pixel, share = camera.fills(seen, thing)
            if not len(pixel):
                continue
            bright = (1.0 + 0.02 * rng.standard_normal((len(pixel), 1))).astype(np.float32)
            mixed.append((pixel, share, bright * color[thing.id].astype(np.float32)))
            sightings[thing.id].append(_sight(name, seen, pixel, share))
        counts = camera.expose(device, camera.paint(camera.background(seen, plan, cover), mixed), rng)
        camera.write_envi(raw / f"{name}.bil", counts, f"synthetic flight, {name}")
        stamps = plan.boot_s + time + camera.STAMP_JITTER_S * rng.standard_normal(len(time))
        folder.write_text(raw / f"{name}.lines.csv", folder.lines_csv(stamps))
    return sightings


def write(root: Path, seed: int) -> None:
    """Write the flight of *seed* into the empty folder *root*."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
    for_plan, for_ground, for_motion, for_camera, for_log, for_gas = streams
    site = draw_site(for_plan)
    plan = _draw_plan(for_plan)
    surface = ground.draw_surface(plan, for_ground)
    plan = _at_home(plan, surface)
    flown = motion.fly(plan, for_motion)
    flight_id, raw = f"synthetic-{seed}", root / "raw"
    raw.mkdir()

    stated_boresight = np.round(np.array(NOMINAL_BORESIGHT_DEG) + for_camera.uniform(-0.5, 0.5, 3), 4)
    stated_arm = np.round(np.array(NOMINAL_LEVER_ARM_M) + for_camera.uniform(-0.05, 0.05, 3), 4)
    true_boresight = stated_boresight + for_camera.normal(0.0, p.SIGMA_BORESIGHT_DEG, 3)
    device = camera.build(
        true_boresight, stated_arm + for_camera.normal(0.0, p.SIGMA_LEVER_ARM_M, 3), for_camera
    )
    _write_reference(raw, device, for_camera)
    times = [camera.line_times(flown, plan, number) for number in range(p.STRIPS)]
    seen = [camera.look(device, flown, site, surface, time) for time in times]
    twice = [camera.seen_by_both(one, two, plan) for one, two in pairwise(seen)]
    once = np.concatenate([camera.well_inside(strip) for strip in seen])
    things = ground.draw_things(once, twice, for_ground)
    sightings = _write_strips(raw, plan, list(zip(times, seen, strict=True)), things, device, for_camera)
    folder.write_dem(raw / "dem.tif", site, surface, for_ground)

    air = autopilot.Air(float(for_log.normal(autopilot.SEA_LEVEL_PA, 700.0)))
    clocks = autopilot.draw_clocks(plan.boot_s, for_log)
    believed = autopilot.draw_filter(flown.duration_s, for_log)
    (raw / "00000021.BIN").write_bytes(autopilot.write_log(plan, flown, site, air, believed, clocks, for_log))

    device_gas = gas_side.draw_analyzer(flown, for_gas)
    gas = gas_side.breathe(device_gas, plan, flown, site, surface, air)
    folder.write_text(
        raw / "analyser.csv", gas_side.read_out(device_gas, gas, flown, site, air, plan.boot_s, for_gas)
    )

    folder.write_text(root / "flight.toml", folder.flight_toml(flight_id))
    instruments = root / "calibration" / "instruments"
    folder.write_text(instruments / f"{folder.INSTRUMENT_GAS}.toml", folder.analyzer_toml())
    folder.write_text(
        instruments / f"{folder.INSTRUMENT_CAMERA}.toml", folder.camera_toml(stated_boresight, stated_arm)
    )
    records = root / "calibration" / "records" / folder.INSTRUMENT_GAS
    folder.write_text(records / "2026-06-01.toml", folder.record_toml())

    features: list[dict[str, Any]] = [
        truth.thing_feature(thing, sightings[thing.id], site, surface) for thing in things
    ]
    features.append(truth.plume_feature(device_gas, gas, plan, flown, site, surface))
    facts = truth.flight_facts(flight_id, seed, plan, flown, site, device, device_gas, clocks)
    folder.write_text(root / "truth.geojson", truth.text(features, facts))
