"""From a camera, a height, a speed, an overlap and a site to a plan: numbers, pattern, what to beware of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from shapely.geometry.base import BaseGeometry

from dronesense.errors import CoverageError
from dronesense.geodesy import to_lonlat
from dronesense.languages import marked
from dronesense.model import Terrain
from dronesense.model.flight_plan import FlightPattern
from dronesense.planning import gas, optics, pattern, relief
from dronesense.planning.optics import Sampling, View
from dronesense.planning.target import Needed

TURN_S: Final = 5.0
"""From one leg into the next beyond the straight way, s: slowing down, turning, speeding up; assumed."""
RESERVE: Final = 0.3
"""Share of the endurance that is left for take-off, the way there and back, and wind; assumed."""
GAP: Final = 1.0 + 1e-9
SHOWN: Final = 6
"""Significant digits of numbers in the summary."""

Heading = float | Literal["auto", "wind", "across-wind"]


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to fly.

    Parameters
    ----------
    height_m, speed_m_s : float
        Above take-off, or above the ground where legs follow it; over ground.
    overlap : float
        Of neighboring swaths, in [0, 1).
    forward_overlap : float or None
        Of pictures along track; None: as `overlap`.
    heading : float or {"auto", "wind", "across-wind"}
        Of the first leg from true north; or with the fewest legs, into the wind, across it.
    rate_hz : float or None
        Lines or pictures a second, as set.
    exposure_s : float or None
        As set.
    blur_share : float
        Of a pixel.
    fill : float or None
        Share of a pixel that the search needs (``fill_found_9_in_10`` of a run).
    run_in_m, run_out_m, turn_s : float
        Straight before and after each leg; time of a turn beyond the way.
    endurance_min : float or None
        Of one battery.
    follow : bool
        Legs follow the ground.
    """

    height_m: float
    speed_m_s: float
    overlap: float
    forward_overlap: float | None = None
    heading: Heading = "auto"
    rate_hz: float | None = None
    exposure_s: float | None = None
    blur_share: float = optics.BLUR_SHARE
    fill: float | None = None
    run_in_m: float = pattern.RUN_IN_M
    run_out_m: float = pattern.RUN_IN_M
    turn_s: float = TURN_S
    endurance_min: float | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A flight before it is flown.

    Parameters
    ----------
    pattern : FlightPattern
        Legs with heights above take-off.
    sampling : Sampling
        At the asked height.
    summary : dict
        Everything that is told, JSON-ready.
    warnings : tuple of str
        What to beware of.
    """

    pattern: FlightPattern
    sampling: Sampling
    summary: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def make(
    site: BaseGeometry,
    seen: View,
    wish: Wish,
    *,
    terrain: Terrain | None = None,
    leak: gas.Leak | None = None,
    wind_from_deg: float | None = None,
    needed: Needed | None = None,
) -> Plan:
    """Return the plan for *site* (degrees WGS84) and a camera that sees *seen*.

    Parameters
    ----------
    site : polygon or multipolygon
        Longitude before latitude.
    seen : View
        From :func:`dronesense.planning.optics.view`.
    wish : Wish
    terrain : Terrain, optional
        Heights of the ground; without them it is taken as level with take-off.
    leak : Leak, optional
        A leak that the gas sensor should notice.
    wind_from_deg : float, optional
        For headings by the wind, from true north.
    needed : Needed, optional
        Where `wish.fill` comes from, if it was predicted; told with it.

    Raises
    ------
    CoverageError
        If the site is too small or too large, the terrain does not cover it or stands in the way, or a
        heading by the wind has no wind.
    """
    made = optics.sampling(
        seen, height_m=wish.height_m, speed_m_s=wish.speed_m_s, overlap=wish.overlap,
        forward_overlap=wish.forward_overlap, rate_hz=wish.rate_hz, blur_share=wish.blur_share,
    )  # fmt: skip
    mapped, crs = pattern.on_grid(site)
    flown = pattern.lay(
        mapped, _footprint(seen, wish.height_m), crs=crs, heading_deg=_heading(wish.heading, wind_from_deg),
        spacing_m=made.spacing_m, height_m=wish.height_m, speed_m_s=wish.speed_m_s,
        run_in_m=wish.run_in_m, run_out_m=wish.run_out_m,
    )  # fmt: skip
    warnings = _camera_warnings(seen, made, wish)
    told: dict[str, Any] = {
        "height_m": wish.height_m,
        "speed_m_s": wish.speed_m_s,
        "camera": _camera(seen, made, wish),
        "target": _target(made, wish),
    }
    if needed is not None:
        told["target"]["prediction"] = needed.text
        if math.isnan(needed.fill):
            warnings.append(f"no size of target is sure to be found: {needed.text}")
    if terrain is not None:
        flown, ground = relief.drape(flown, terrain, height_m=wish.height_m, follow=wish.follow)
        told["terrain"] = _terrain(seen, flown, ground, made, wish, warnings)
    told["pattern"] = _pattern(flown, seen, wish)
    told["time"] = _time(flown, wish, warnings)
    if leak is not None:
        told["gas"] = _gas(flown, leak, wish.height_m)
        warnings.append(
            "the gas figures are of a plume's ten-minute mean over level ground: a single crossing may miss "
            "it or exceed it"
        )
    told["warnings"] = warnings
    return Plan(flown, made, _rounded(told), tuple(warnings))


def _footprint(seen: View, height_m: float) -> pattern.Footprint:
    """Return what is seen at a height; of pictures only where their middle lies along track."""
    aft, fore = seen.aft, seen.fore
    if seen.kind == "frame":
        aft = fore = 0.5 * (aft + fore)
    return pattern.Footprint(*(height_m * each for each in (seen.port, seen.starboard, aft, fore)))


def _heading(heading: Heading, wind_from_deg: float | None) -> float | None:
    if heading == "auto":
        return None
    if isinstance(heading, str):
        if wind_from_deg is None:
            raise CoverageError(
                f'heading "{heading}" needs the direction of the wind', fix="state where it comes from"
            )
        return (wind_from_deg + (90.0 if heading == "across-wind" else 0.0)) % 360.0
    return heading % 360.0


def _camera(seen: View, made: Sampling, wish: Wish) -> dict[str, Any]:
    line = seen.kind == "line"
    told: dict[str, Any] = {
        "kind": seen.kind,
        "gsd_across_m": made.gsd_across_m,
        "gsd_along_m": made.gsd_along_m,
        "gsd_along_from": marked("taken as the pixel across") if seen.square else marked("the camera"),
        "gsd_across_widest_m": made.widest_m,
        "swath_m": made.swath_m,
        "line_step_m" if line else "picture_step_m": made.step_m,
        "rate_hz": made.rate_hz,
        "rate_is": _rate_from(wish, line=line),
        "rate_for_square_pixels_hz": made.square_rate_hz,
        "fastest_m_s": made.fastest_m_s,
        "longest_exposure_s": made.longest_exposure_s,
        "exposure_for_blur_s": made.blur_exposure_s,
        "blur_share": wish.blur_share,
    }
    if not line:
        told["footprint_along_m"] = seen.length * wish.height_m
    return told


def _rate_from(wish: Wish, *, line: bool) -> str:
    if wish.rate_hz:
        return marked("as set")
    return marked("square pixels") if line else marked("the asked overlap")


def _target(made: Sampling, wish: Wish) -> dict[str, Any]:
    exposure = made.longest_exposure_s if wish.exposure_s is None else wish.exposure_s
    along = made.gsd_along_m + wish.speed_m_s * exposure
    told: dict[str, Any] = {
        "pixel_across_m": made.gsd_across_m,
        "pixel_along_with_blur_m": along,
        "full_pixel_side_m": optics.smallest_target_m(made.gsd_across_m, along),
        "basis": marked(
            "geometry: a square of this side fills one pixel wherever it falls; whether it differs from its "
            "surroundings is not in this figure"
        ),
    }
    if wish.fill is not None:
        told["fill"] = wish.fill
        told["side_m"] = optics.smallest_target_m(made.gsd_across_m, along, fill=wish.fill)
        told["basis"] = marked(
            "geometry and the stated fill: a square of this side fills that share of one pixel wherever it "
            "falls; the fill holds for the signature, background and false-alarm rate it was found for"
        )
    return told


def _camera_warnings(seen: View, made: Sampling, wish: Wish) -> list[str]:
    warnings = []
    if wish.speed_m_s > made.fastest_m_s * GAP:
        if seen.kind == "line":
            warnings.append(
                f"lines lie {made.step_m:.3g} m apart but pixels are {made.gsd_along_m:.3g} m long: ground "
                f"between them is seen only by blur; fly at {made.fastest_m_s:.3g} m/s or less"
            )
        else:
            warnings.append(
                f"pictures lie {made.step_m:.3g} m apart: less forward overlap than asked; fly at "
                f"{made.fastest_m_s:.3g} m/s or less"
            )
    if wish.exposure_s is not None:
        if wish.exposure_s > made.blur_exposure_s * GAP:
            moved = wish.speed_m_s * wish.exposure_s / made.gsd_along_m
            warnings.append(f"the exposure blurs {moved:.2g} of a pixel, more than {wish.blur_share:g}")
        if wish.exposure_s * made.rate_hz > GAP:
            warnings.append("the exposure is longer than the time between lines or pictures")
    return warnings


def _terrain(
    seen: View, flown: FlightPattern, ground: relief.Relief, made: Sampling, wish: Wish, warnings: list[str]
) -> dict[str, Any]:
    lowest, highest = ground.above_low_m, ground.above_high_m
    told: dict[str, Any] = {
        "ground_above_takeoff_m": [ground.ground_low_m, ground.ground_high_m],
        "height_above_ground_m": [lowest, highest],
        "followed": wish.follow,
        "without_height_share": ground.missing,
        "gsd_across_m": [seen.across * lowest, seen.across * highest],
    }
    if ground.missing > 0.0:
        warnings.append(f"the height model has no height for {ground.missing:.0%} of the site")
    if lowest <= 0.0:
        warnings.append("the highest ground of the site is as high as the legs: fly higher, or follow it")
        return told
    least = optics.overlap_at(seen, height_m=lowest, spacing_m=flown.spacing_m)
    told["overlap_at_highest_ground"] = least
    strips = len({leg.strip for leg in flown.legs})
    start = flown.legs[0].points[0]
    lon, lat = to_lonlat(start[0], start[1], flown.crs)
    told["takeoff_lon_lat_deg"] = [round(float(lon), 7), round(float(lat), 7)]
    warnings.append(
        f"heights count from the ground at {float(lat):.6f}, {float(lon):.6f} (start of the first leg): "
        "take off there, or shift them"
    )
    # Legs that follow the ground may be nearer to it by the tolerance of their points.
    near = optics.overlap_at(
        seen, height_m=wish.height_m - relief.TOLERANCE_M * wish.follow, spacing_m=made.spacing_m
    )
    if strips > 1 and least < near - 1e-9:
        words = f"only {least:.0%}" if least >= 0.0 else "gone: a gap is left"
        warnings.append(
            f"over the highest ground the overlap is {words} (asked: {wish.overlap:.0%}); plan from "
            f"{wish.height_m - lowest:.0f} m higher, or with more overlap, or follow the ground"
        )
    if seen.kind == "frame":
        forward = wish.overlap if wish.forward_overlap is None else wish.forward_overlap
        told["forward_overlap_at_highest_ground"] = 1.0 - made.step_m / (seen.length * lowest)
        if told["forward_overlap_at_highest_ground"] < forward - 1e-9:
            warnings.append("over the highest ground the forward overlap is less than asked")
    return told


def _pattern(flown: FlightPattern, seen: View, wish: Wish) -> dict[str, Any]:
    strips = len({leg.strip for leg in flown.legs})
    return {
        "crs": flown.crs,
        "site_area_m2": flown.site.area / pattern.grid_facts(flown.site, flown.crs)[1] ** 2,
        "heading_deg": flown.heading_deg,
        "strips": strips,
        "legs": len(flown.legs),
        "spacing_m": flown.spacing_m if strips > 1 else None,
        "overlap": optics.overlap_at(seen, height_m=wish.height_m, spacing_m=flown.spacing_m)
        if strips > 1
        else None,
        "run_in_m": wish.run_in_m,
        "run_out_m": wish.run_out_m,
    }


def _time(flown: FlightPattern, wish: Wish, warnings: list[str]) -> dict[str, Any]:
    way, data = pattern.way_length_m(flown), pattern.data_length_m(flown)
    turns = (len(flown.legs) - 1) * wish.turn_s
    seconds = way / wish.speed_m_s + turns
    told: dict[str, Any] = {
        "way_m": way,
        "data_m": data,
        "turns_s": turns,
        "flight_s": seconds,
        "not_in_it": marked("take-off, the way to the first leg and back, wind"),
    }
    if wish.endurance_min is not None:
        usable = 60.0 * wish.endurance_min * (1.0 - RESERVE)
        told["batteries"] = math.ceil(seconds / usable)
        told["reserve"] = RESERVE
        if told["batteries"] > 1:
            warnings.append(
                f"the pattern takes {seconds / 60.0:.0f} min: {told['batteries']} batteries of "
                f"{wish.endurance_min:g} min with {RESERVE:.0%} in reserve"
            )
    return told


def _gas(flown: FlightPattern, leak: gas.Leak, height_m: float) -> dict[str, Any]:
    found = gas.reach(flown, leak, height_m=height_m)
    return {
        "rate_kg_h": leak.rate_kg_h,
        "limit_ppm": leak.limit_ppm,
        "wind_m_s": leak.wind_m_s,
        "wind_from_deg": leak.wind_from_deg,
        "stability": leak.stability,
        "chance": found.chance,
        "rate_found_9_in_10_kg_h": found.rate_found_kg_h,
        "tried_places_and_winds": list(found.tried),
        "chance_by_spacing": [
            {"spacing_m": spacing, "chance": chance}
            for spacing, chance in gas.spacing_table(leak, height_m=height_m)
        ],
        "basis": "mean Gaussian plume (Briggs) of a leak at the ground; chance: this pattern, all places "
        "of the site alike; by spacing: endless legs across the wind",
    }


def _rounded(value: Any) -> Any:
    """Return *value* with numbers as told; what is not finite becomes None."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{SHOWN}g}") if math.isfinite(value) else None
    return value
