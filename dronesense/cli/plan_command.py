"""``dronesense plan``."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_DONE

if TYPE_CHECKING:
    from dronesense.model import Instrument
    from dronesense.planning.gas import Leak
    from dronesense.planning.plan import Heading, Plan, Wish
    from dronesense.planning.target import Needed

_POSITIVE = click.FloatRange(min=0.0, min_open=True)
_NOT_NEGATIVE = click.FloatRange(min=0.0)
DEM_MARGIN_DEG: Final = 0.02
"""Beyond the site, for run-in and swath: 2 km."""
_SHARE = click.FloatRange(min=0.0, max=1.0, max_open=True)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("plan")
@click.argument("site", metavar="SITE", type=_FILE)
@click.option("--camera", type=_FILE, help="Instrument file of the camera (TOML).")
@click.option(
    "--fov-deg",
    type=click.FloatRange(0.0, 180.0, min_open=True, max_open=True),
    help="Or: its field of view, edge to edge.",
)
@click.option("--samples", type=click.IntRange(min=2), help="With --fov-deg: pixels across.")
@click.option("--focal-mm", type=_POSITIVE, help="Or: focal length, with --pixel-um and --columns.")
@click.option("--pixel-um", type=_POSITIVE, help="Pitch of the pixels.")
@click.option("--columns", type=click.IntRange(min=2), help="Pixels across track.")
@click.option(
    "--rows", type=click.IntRange(min=2), help="Pixels along track of a frame camera; left out: a line."
)
@click.option("--along-mrad", type=_POSITIVE, help="Along-track view of a line's pixel; default: as across.")
@click.option(
    "--height", "height_m", type=_POSITIVE, required=True, help="Above take-off (--follow: ground), m."
)
@click.option("--speed", "speed_m_s", type=_POSITIVE, required=True, help="Over ground, m/s.")
@click.option("--overlap", type=_SHARE, default=0.3, show_default=True, help="Of neighboring swaths.")
@click.option("--forward-overlap", type=_SHARE, help="Of pictures along track; default: as --overlap.")
@click.option("--rate", "rate_kg_h", type=_POSITIVE, help="Of the leak, kg/h.")
@click.option("--line-rate", "rate_hz", type=_POSITIVE, help="Lines or pictures a second, as set.")
@click.option("--exposure-ms", type=_POSITIVE, help="As set.")
@click.option(
    "--blur", "blur_share", type=_POSITIVE, default=0.5, show_default=True, help="Of a pixel, at most."
)
@click.option(
    "--fill",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    help="Of a pixel that the search needs (a run tells it).",
)
@click.option(
    "--background", type=_FILE, help="Cube of like ground: what fill the search needs is predicted."
)
@click.option(
    "--signature", type=_FILE, help="Of the target, for --background; several spectra are variants."
)
@click.option("--method", default="ace", show_default=True, help="Detector for --background.")
@click.option(
    "--false-alarms",
    "false_alarm_rate",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=1e-5,
    show_default=True,
    help="Per pixel, for --background.",
)
@click.option(
    "--heading",
    default="auto",
    show_default=True,
    help="auto, wind, across-wind, or degrees from true north.",
)
@click.option(
    "--run-in",
    "run_in_m",
    type=_NOT_NEGATIVE,
    default=10.0,
    show_default=True,
    help="Straight before data, m.",
)
@click.option(
    "--run-out",
    "run_out_m",
    type=_NOT_NEGATIVE,
    default=10.0,
    show_default=True,
    help="Straight after data, m.",
)
@click.option(
    "--turn",
    "turn_s",
    type=_NOT_NEGATIVE,
    default=5.0,
    show_default=True,
    help="Time of a turn beyond the way, s.",
)
@click.option("--endurance", "endurance_min", type=_POSITIVE, help="Of one battery, min.")
@click.option("--dem", type=_FILE, help="Height model (GeoTIFF).")
@click.option(
    "--dem-heights",
    type=click.Choice(["ellipsoid", "egm96"]),
    default="egm96",
    show_default=True,
    help="What its heights count from.",
)
@click.option("--follow", is_flag=True, help="Legs follow the ground of --dem.")
@click.option(
    "--gas",
    "species",
    help="Species of a leak to be noticed, as in calibration/gases.toml; with the four below.",
)
@click.option("--limit-ppm", type=_POSITIVE, help="Enhancement that the gas sensor finds.")
@click.option("--wind", "wind_m_s", type=_POSITIVE, help="m/s.")
@click.option("--stability", type=click.Choice(list("ABCDEF")), help="Pasquill class.")
@click.option(
    "--wind-from", "wind_from_deg", type=click.FloatRange(0.0, 360.0), help="Degrees from true north."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for plan.json, .geojson, .kml, .waypoints.",
)
@spoken.option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(site: Path, **options: Any) -> int:
    """Plan a flight over SITE (GeoJSON or KML polygons): what the camera and gas sensor will see, and legs.

    A plan knows no trees, masts, airspace or weather: look at it before it is flown.
    """
    made = _make(site, options)
    files = _files(made, site.stem) if options["output"] is not None else {}
    from dronesense.writers.atomic import write_bytes

    for name, data in files.items():
        write_bytes(options["output"] / name, data)
    for warning in made.warnings:
        click.echo(f"{spoken.messages().gettext('Warning')}: {warning}", err=True)
    if options["as_json"]:
        click.echo(json.dumps(made.summary, ensure_ascii=False))
        return EXIT_DONE
    for line in _lines(made.summary):
        click.echo(line)
    for name in files:
        click.echo(options["output"] / name)
    return EXIT_DONE


def _make(site: Path, options: dict[str, Any]) -> Plan:
    from dronesense.planning import optics, plan
    from dronesense.readers import site as site_reader

    wish = plan.Wish(
        heading=_heading(options["heading"]),
        exposure_s=None if options["exposure_ms"] is None else options["exposure_ms"] / 1e3,
        **{
            name: options[name]
            for name in (
                "height_m", "speed_m_s", "overlap", "forward_overlap", "rate_hz", "blur_share", "fill",
                "run_in_m", "run_out_m", "turn_s", "endurance_min", "follow",
            )
        },
    )  # fmt: skip
    if wish.follow and options["dem"] is None:
        raise click.UsageError("--follow needs the ground: add --dem")
    seen = optics.view(_camera(options), along_mrad=options["along_mrad"])
    area = site_reader.read(site)
    terrain = None
    if options["dem"] is not None:
        from dronesense.readers.height_model import read_terrain

        terrain, _ = read_terrain(
            options["dem"],
            label=options["dem"].name,
            bounds=_around(area.bounds),
            height_ref=options["dem_heights"],
            sigma_m=0.0,
        )
    wish, found = _with_fill(wish, options)
    return plan.make(
        area,
        seen,
        wish,
        terrain=terrain,
        leak=_leak(options),
        wind_from_deg=options["wind_from_deg"],
        needed=found,
    )


def _around(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float] | None:
    """Return what of a height model is needed, degrees; None (all) at 180 degrees and the poles."""
    west, south, east, north = bounds
    top = max(abs(south), abs(north)) + DEM_MARGIN_DEG
    if top >= 89.0:
        return None
    aside = DEM_MARGIN_DEG / math.cos(math.radians(top))
    if west - aside < -180.0 or east + aside > 180.0:
        return None
    return west - aside, south - DEM_MARGIN_DEG, east + aside, north + DEM_MARGIN_DEG


def _with_fill(wish: Wish, options: dict[str, Any]) -> tuple[Wish, Needed | None]:
    """Return the wish with the fill that a search of the stated background needs."""
    if (options["background"] is None) != (options["signature"] is None):
        raise click.UsageError("--background and --signature go together")
    if options["background"] is None:
        return wish, None
    if wish.fill is not None:
        raise click.UsageError("state --fill, or --background and --signature, not both")
    from dronesense import plugins
    from dronesense.model import TrackOptions
    from dronesense.planning import target

    path: Path = options["background"]
    group = "dronesense.readers.cube"
    cube, _ = plugins.find(group, plugins.sniff(group, path)).read(
        path, label=path.name, name=path.stem, instrument=None, line_times="none", track=TrackOptions()
    )
    group = "dronesense.readers.signature"
    own = options["signature"]
    signatures, _ = plugins.find(group, plugins.sniff(group, own)).read_all(own)
    found = target.needed(
        cube, signatures, method=options["method"], false_alarm_rate=options["false_alarm_rate"]
    )
    return (replace(wish, fill=found.fill) if found.fill > 0.0 else wish), found


def _heading(text: str) -> Heading:
    named: dict[str, Heading] = {"auto": "auto", "wind": "wind", "across-wind": "across-wind"}
    if text in named:
        return named[text]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -360.0 <= value <= 360.0:
        raise click.UsageError(f"--heading is auto, wind, across-wind or degrees, not {text!r}")
    return value


def _camera(options: dict[str, Any]) -> Instrument:
    """Return the camera of the options: a file, a field of view, or a lens and a detector."""
    from dronesense.readers import instrument

    ways = [options["camera"] is not None, options["fov_deg"] is not None, options["focal_mm"] is not None]
    if sum(ways) != 1:
        raise click.UsageError("state the camera once: --camera, or --fov-deg, or --focal-mm")
    if ways[0]:
        return instrument.read(options["camera"])
    if ways[1]:
        if options["samples"] is None:
            raise click.UsageError("--fov-deg needs --samples")
        return instrument.thin_lens(options["samples"], fov_deg=options["fov_deg"])
    if options["pixel_um"] is None or options["columns"] is None:
        raise click.UsageError("--focal-mm needs --pixel-um and --columns (and --rows for a frame camera)")
    focal_px = 1e3 * options["focal_mm"] / options["pixel_um"]
    return instrument.thin_lens(options["columns"], rows=options["rows"], focal_px=focal_px)


def _leak(options: dict[str, Any]) -> Leak | None:
    names = {"species": "--gas", "rate_kg_h": "--rate", "limit_ppm": "--limit-ppm", "wind_m_s": "--wind"}
    names["stability"] = "--stability"
    missing = [option for name, option in names.items() if options[name] is None]
    if options["species"] is None and options["rate_kg_h"] is None and options["limit_ppm"] is None:
        return None
    if missing:
        raise click.UsageError(f"a leak also needs {', '.join(missing)}")
    from dronesense.errors import did_you_mean
    from dronesense.hotspots import plume
    from dronesense.manifest.catalog import shipped_folder
    from dronesense.planning import gas
    from dronesense.readers import gas_tables

    gases = gas_tables.read_gases(shipped_folder() / "gases.toml")
    species = options["species"]
    if species not in gases:
        raise click.UsageError(f"--gas: {species} is not known{did_you_mean(species, gases)}")
    density = plume.gas_density_kg_m3(
        molar_mass_g_mol=gases[species].molar_mass_g_mol,
        temperature_k=gas.TEMPERATURE_K,
        pressure_hpa=gas.PRESSURE_HPA,
    )
    stability: Literal["A", "B", "C", "D", "E", "F"] = options["stability"]
    return gas.Leak(
        options["rate_kg_h"], options["limit_ppm"], options["wind_m_s"], stability, density,
        options["wind_from_deg"],
    )  # fmt: skip


def _files(made: Plan, name: str) -> dict[str, bytes]:
    from dronesense.writers import flight_plan

    trigger = made.summary["camera"].get("picture_step_m")
    return {
        "plan.json": (json.dumps(made.summary, indent=1, ensure_ascii=False) + "\n").encode(),
        "plan.geojson": flight_plan.geojson(made.pattern),
        "plan.kml": flight_plan.kml(made.pattern, name=name),
        "plan.waypoints": flight_plan.mission(made.pattern, trigger_m=trigger),
    }


def _lines(told: dict[str, Any]) -> list[str]:
    """Return the plan in words."""
    lines = [*_camera_lines(told["camera"]), *_target_lines(told["target"])]
    if "terrain" in told:
        lines += _terrain_lines(told["terrain"])
    _, laid, time = spoken.messages().gettext, told["pattern"], told["time"]
    text = _("Legs: %(legs)d in %(strips)d strips, first heading %(heading)s degrees")
    legs = {"legs": laid["legs"], "strips": laid["strips"], "heading": f"{laid['heading_deg']:.0f}"}
    if laid["spacing_m"] is not None:
        text = _(
            "Legs: %(legs)d in %(strips)d strips, %(spacing)s m apart (%(overlap)s overlap), first heading "
            "%(heading)s degrees"
        )
        legs |= {"spacing": f"{laid['spacing_m']:.4g}", "overlap": f"{laid['overlap']:.0%}"}
    way = {"way": f"{time['way_m']:.0f}", "minutes": f"{time['flight_s'] / 60.0:.1f}"}
    way["rest"] = _(time["not_in_it"])
    lines += [
        text % legs,
        _("Way: %(way)s m, %(minutes)s min with turns; not in it: %(rest)s") % way,
    ]
    return [*lines, *_gas_lines(told["gas"])] if "gas" in told else lines


def _camera_lines(camera: dict[str, Any]) -> list[str]:
    _, line = spoken.messages().gettext, camera["kind"] == "line"
    pixel = {name: f"{camera[f'gsd_{name}_m']:.3g}" for name in ("across", "along")}
    pixel |= {"edge": f"{camera['gsd_across_widest_m']:.3g}", "from": _(camera["gsd_along_from"])}
    taken = {"rate": f"{camera['rate_hz']:.4g}", "why": _(camera["rate_is"])}
    taken["step"] = f"{camera['line_step_m' if line else 'picture_step_m']:.3g}"
    taken["fastest"] = f"{camera['fastest_m_s']:.3g}"
    lines_text = _("Lines: %(rate)s a second (%(why)s), one each %(step)s m; up to %(fastest)s m/s")
    pictures_text = _("Pictures: %(rate)s a second (%(why)s), one each %(step)s m; up to %(fastest)s m/s")
    exposure = {"longest": f"{1e3 * camera['longest_exposure_s']:.3g}"}
    exposure |= {"share": f"{camera['blur_share']:g}", "blur": f"{1e3 * camera['exposure_for_blur_s']:.3g}"}
    lines = [
        _("Pixel on the ground: %(across)s m across (%(edge)s m at the edge), %(along)s m along, %(from)s")
        % pixel,
        _("Swath: %(width)s m") % {"width": f"{camera['swath_m']:.4g}"},
        (lines_text if line else pictures_text) % taken,
        _("Exposure: at most %(longest)s ms (a blur of %(share)s pixel allows %(blur)s ms)") % exposure,
    ]
    if line:
        rate = {"rate": f"{camera['rate_for_square_pixels_hz']:.4g}"}
        lines.append(_("Square pixels need %(rate)s lines a second") % rate)
    return lines


def _target_lines(target: dict[str, Any]) -> list[str]:
    _ = spoken.messages().gettext
    side = {"side": f"{target.get('side_m', target['full_pixel_side_m']):.3g}", "basis": _(target["basis"])}
    lines = [_("Smallest target: %(side)s m square (%(basis)s)") % side]
    if "prediction" in target:
        lines.append(_("Predicted on the background: %(text)s") % {"text": target["prediction"]})
    return lines


def _terrain_lines(told: dict[str, Any]) -> list[str]:
    _ = spoken.messages().gettext
    low, high = (f"{each:.0f}" for each in told["height_above_ground_m"])
    small, large = (f"{each:.3g}" for each in told["gsd_across_m"])
    text = _("Above the ground: %(low)s to %(high)s m, pixels %(small)s to %(large)s m")
    lines = [text % {"low": low, "high": high, "small": small, "large": large}]
    if "overlap_at_highest_ground" in told:
        share = {"share": f"{told['overlap_at_highest_ground']:.0%}"}
        lines.append(_("Overlap over the highest ground: %(share)s") % share)
    return lines


def _gas_lines(told: dict[str, Any]) -> list[str]:
    _, needed = spoken.messages().gettext, told["rate_found_9_in_10_kg_h"]
    spaced = ", ".join(f"{each['spacing_m']:g} m {each['chance']:.0%}" for each in told["chance_by_spacing"])
    leak = {"rate": f"{told['rate_kg_h']:g}", "limit": f"{told['limit_ppm']:g}"}
    leak["chance"] = f"{told['chance']:.0%}"
    nine = _("Gas: no rate is met from 9 places in 10")
    if needed is not None:
        nine = _("Gas: from 9 places in 10 it takes %(rate)s kg/h") % {"rate": f"{needed:.3g}"}
    return [
        _("Gas: a leak of %(rate)s kg/h is met above %(limit)s ppm from %(chance)s of the places") % leak,
        nine,
        _("Gas, endless legs across the wind, chance by spacing: %(table)s") % {"table": spaced},
    ]
