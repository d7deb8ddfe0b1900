"""``dronesense calibrate panel``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_DONE
from dronesense.languages import marked

if TYPE_CHECKING:
    from dronesense.calibrate.panel_check import PanelCheck
    from dronesense.model import Signature, SpectralCube

CUBE: Final = "dronesense.readers.cube"
SIGNATURE: Final = "dronesense.readers.signature"
SHOWN_BANDS: Final = 12
"""Bands that are listed one by one; of more, those that cannot be used are counted."""
REASONS: Final = (
    marked("marked as bad in the file"),
    marked("reflectance of the panel not known"),
    marked("saturated"),
    marked("too dark"),
)
"""Why a band cannot be used, as :mod:`dronesense.calibrate.panel_check` says it."""


@click.command("panel")
@click.argument("capture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--reflectance",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Spectrum of the panel, e.g. CSV wavelength_nm,reflectance,sigma.",
)
@click.option(
    "--dark",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Capture with the lens covered, of a line scanner.",
)
@click.option("--instrument", "name", help="Id of the camera: it knows from which count on it is saturated.")
@click.option(
    "--rows", nargs=2, type=click.IntRange(0), help="First row of the panel, and the one after the last."
)
@click.option(
    "--samples",
    nargs=2,
    type=click.IntRange(0),
    help="First sample of the panel, and the one after the last.",
)
@click.option("--whole", is_flag=True, help="All of the capture is the panel: do not look for it.")
@click.option(
    "--calibration",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with instruments/.  [default: calibration]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@spoken.option
def panel(
    capture: Path,
    reflectance: Path,
    dark: Path | None,
    name: str | None,
    rows: tuple[int, int] | None,
    samples: tuple[int, int] | None,
    whole: bool,
    calibration: Path | None,
    as_json: bool,
) -> int:
    """Say what CAPTURE, of a reflectance panel, is worth, band by band, and the line for flight.toml.

    The panel is looked for unless its rows and samples are given. A run judges it by the same rules.
    """
    from dronesense.calibrate import panel_check, reference
    from dronesense.model import Panel

    if whole and (rows or samples):
        raise click.UsageError("give --whole, or --rows and --samples, not both")
    cube = _cube(capture)
    level = None if dark is None else reference.dark_level(cube, _cube(dark), strict=False)
    given = Panel(
        cube,
        _spectrum(reflectance),
        rows or None,
        samples or None,
        find="whole" if whole else None,
    )
    found = panel_check.check(given, dark=level, saturation_dn=_saturation(name, calibration, cube))
    line = _line(capture, reflectance, dark, found, whole=whole)
    if as_json:
        click.echo(json.dumps(_told(capture, found, line), indent=2, allow_nan=False))
    else:
        click.echo("\n".join(_words(found, line, dark=dark)))
    return EXIT_DONE


def _cube(path: Path) -> SpectralCube:
    from dronesense import plugins
    from dronesense.model import TrackOptions
    from dronesense.readers import captures

    path = captures.leader(path) or path
    cube, _ = plugins.find(CUBE, plugins.sniff(CUBE, path)).read(
        path, label=path.name, name=path.stem, instrument=None, line_times="none", track=TrackOptions()
    )
    opened: SpectralCube = cube
    return opened


def _spectrum(path: Path) -> Signature:
    from dronesense import plugins

    spectrum: Signature = plugins.find(SIGNATURE, plugins.sniff(SIGNATURE, path)).read_all(path)[0][0]
    return spectrum


def _saturation(name: str | None, calibration: Path | None, cube: SpectralCube) -> float:
    """Return the count from which the camera *name* is saturated; refuse what did not take the capture."""
    from dronesense.errors import CalibrationError
    from dronesense.manifest.catalog import Catalog, shipped_folder
    from dronesense.model import FrameCamera, LineCamera

    if name is None:
        return float("inf")
    catalog = Catalog(calibration or Path("calibration"), shipped_folder())
    spec = catalog.instrument(name, key="--instrument", where=Path(cube.path)).spec
    if not isinstance(spec, LineCamera | FrameCamera):
        raise CalibrationError(f"{name} is no camera", where=cube.path, fix="name the camera that took it")
    if isinstance(spec, LineCamera) and spec.samples != cube.shape[2]:
        raise CalibrationError(
            f"{name} has {spec.samples} samples, the capture {cube.shape[2]}",
            where=cube.path,
            fix="name the camera that took it",
        )
    return spec.saturation_dn


def _line(capture: Path, reflectance: Path, dark: Path | None, found: PanelCheck, *, whole: bool) -> str:
    """Return what flight.toml says to use the panel, and the dark, as here."""
    parts = [
        f"path = {json.dumps(capture.as_posix())}",
        f"reflectance = {json.dumps(reflectance.as_posix())}",
    ]
    if whole:
        parts.append('find = "whole"')
    elif found.rows is not None and found.samples is not None:
        parts += [f"rows = {list(found.rows)}", f"samples = {list(found.samples)}"]
    first = "" if dark is None else f"dark = {json.dumps(dark.as_posix())}\n"
    return f"{first}panel = {{ {', '.join(parts)} }}"


def _words(found: PanelCheck, line: str, *, dark: Path | None) -> list[str]:
    import numpy as np

    _ = spoken.messages().gettext
    good = found.good
    lines = [f"{_('Panel')}: {found.where}"]
    lines.append(_("Bands that can be used: %(good)d of %(all)d") % {"good": good.sum(), "all": good.size})
    for reason in dict.fromkeys(each for each in found.reasons if each):
        count = sum(each == reason for each in found.reasons)
        lines.append(f"  {_(reason)}: {count}")
    sigma = {"least": 100.0 * found.sigma[good].min(), "most": 100.0 * found.sigma[good].max()}
    lines.append(
        _("Reflectance is good to %(least).2g to %(most).2g %% (1 sigma) by panel and noise, at its own time")
        % sigma
    )
    if good.size <= SHOWN_BANDS:
        heads = (_("band"), "nm", _("level"), _("spread, %"), _("reflectance"), _("sigma, %"))
        lines.append("  {:>5} {:>6} {:>10} {:>11} {:>12} {:>9}".format(*heads))
        lines += [
            f"  {band:>5} {found.center_nm[band]:>6.0f} {found.level[band]:>10.4g}"
            f" {100 * found.spread[band]:>11.2f} {found.reflectance[band]:>12.4f}"
            f" {100 * found.sigma[band]:>9.2f}"
            for band in range(good.size)
        ]
    if dark is None and np.nanmedian(found.level) > 1.0:
        lines.append(f"{_('Warning')}: {_('no dark capture: the dark signal is taken as zero')}")
    lines += [f"{_('Warning')}: {each}" for each in found.doubts()]
    return [*lines, f"{_('For the [[cube]] tables of flight.toml (write paths relative to it)')}:", line]


def _told(capture: Path, found: PanelCheck, line: str) -> dict[str, Any]:
    import numpy as np

    def plain(values: Any) -> list[float | None]:
        return [float(each) if np.isfinite(each) else None for each in values]

    arrays = (
        "level",
        "spread",
        "noise",
        "saturated",
        "reflectance",
        "reflectance_sigma",
        "per_level",
        "sigma",
    )
    return {
        "schema": 1,
        "capture": capture.as_posix(),
        "rows": found.rows,
        "samples": found.samples,
        "where": found.where,
        "center_nm": plain(found.center_nm),
        **{name: plain(getattr(found, name)) for name in arrays},
        "reasons": list(found.reasons),
        "warnings": found.doubts(),
        "flight_toml": line,
    }
