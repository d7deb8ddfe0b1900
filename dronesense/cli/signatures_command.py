"""``dronesense signatures``."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dronesense.cli.failures import EXIT_DONE, EXIT_SOME_REJECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dronesense.detect.likeness import Likeness
    from dronesense.manifest.catalog import Catalog
    from dronesense.model import Bands, IngestReport, Signature
    from dronesense.model.signature import SignatureSet

SIGNATURE: Final = "dronesense.readers.signature"
CUBE: Final = "dronesense.readers.cube"
SHOWN_ROWS: Final = 20
"""Rows of a spectrum on the terminal; all with --json."""
MIN_GRID: Final = 10
"""Fewest wavelengths of a spectrum at which the other is compared; below, those of the denser one serve."""
SHOWN_NAMES: Final = 12
"""Names of a library in a message."""

_calibration = click.option(
    "--calibration",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with signatures/.  [default: calibration]",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group("signatures")
def command() -> None:
    """List, show, import and compare reference spectra.

    A signature says what to look for, never that it is there. No spectrum of an illicit crop comes with
    dronesense: none is known to be stable. Bring your own, measured.
    """


@command.command("list")
@_calibration
@_as_json
def list_command(calibration: Path | None, as_json: bool) -> int:
    """List the signatures of the calibration folders."""
    from dronesense.errors import DronesenseError

    rows, failed = [], 0
    for name, path in _files(_catalog(calibration)).items():
        try:
            target, _ = _target(path)
        except DronesenseError as error:
            click.echo(f"Not usable: {error}", err=True)
            failed += 1
            continue
        rows.append({"name": name, **_summary(target, path)})
    if as_json:
        click.echo(json.dumps({"schema": 1, "signatures": rows}, indent=2, allow_nan=False))
    elif not rows:
        click.echo("No signatures. Bring one with: dronesense signatures import FILE --name NAME")
    else:
        click.echo("\n".join(_as_lines(rows)))
    return EXIT_SOME_REJECTED if failed else EXIT_DONE


@command.command("show")
@click.argument("signature")
@click.option("--entry", "entries", multiple=True, help="Spectrum of a library; may be given again.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="PNG of the spectra.")
@_calibration
@_as_json
def show_command(
    signature: str, entries: tuple[str, ...], picture: Path | None, calibration: Path | None, as_json: bool
) -> None:
    """Show SIGNATURE: a name of the calibration folders, or a file."""
    path = _find(signature, calibration)
    target, report = _target(path, entries)
    if picture is not None:
        from dronesense.plot import signature_quicklook

        signature_quicklook(target, picture)
    plan = _summary(target, path)
    if as_json:
        plan |= {"schema": 1, "spectra": [_spectrum(each) for each in target.members], **_books(report)}
        click.echo(json.dumps(plan, indent=2, allow_nan=False))
        return
    lines = [f"{key.replace('_', ' '):<12} {value}" for key, value in plan.items() if value not in ("", None)]
    lines += ["", *_table(target.members[0])]
    lines += [f"Variant: {each.name}" for each in target.members if len(target) > 1]
    lines += [f"Assumed: {each}" for each in report.assumptions]
    click.echo("\n".join([*lines, *(f"Warning: {each}" for each in report.warnings)]))


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What the target is called.  [default: name of the spectrum]")
@click.option("--entry", "entries", multiple=True, help="Spectrum to take; given again: a variant more.")
@click.option("--all", "take_all", is_flag=True, help="Take all spectra of FILE as variants of one target.")
@click.option("--license", "license_", help="What may be done with it.")
@click.option("--source", help="Who measured it, where, when, with what.")
@_calibration
@click.option("--force", is_flag=True, help="Replace an existing signature.")
def import_command(
    file: Path,
    name: str | None,
    entries: tuple[str, ...],
    take_all: bool,
    license_: str | None,
    source: str | None,
    calibration: Path | None,
    force: bool,
) -> None:
    """Bring the spectrum of FILE into a calibration folder.

    As CSV, with its provenance as TOML beside it.

    Reads ECOSTRESS, USGS, ASD, SED, SIG, ENVI libraries, signature CSV and plain tables of numbers.
    """
    from dronesense.model.signature import SignatureSet
    from dronesense.readers import csv_signature
    from dronesense.writers.atomic import write_bytes
    from dronesense.writers.signature import to_csv, to_toml

    target, report = _target(file, entries, take_all=take_all)
    changes = {key: value for key, value in (("license", license_), ("source", source)) if value is not None}
    members = tuple(replace(each, **changes) for each in target.members)  # type: ignore[arg-type]
    target = SignatureSet(name or target.name, members)
    stem = _stem(target.name)
    folder = (calibration or Path("calibration")) / "signatures"
    path = folder / f"{stem}.csv"
    if not force and (path.exists() or path.with_suffix(".toml").exists()):
        raise click.UsageError(f"{path} exists; use --force to replace it, or --name for another")
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(path.with_suffix(".toml"), to_toml(target).encode("utf-8"))
    write_bytes(path, to_csv(target).encode("utf-8"))
    csv_signature.read_all(path)
    for text in report.assumptions:
        click.echo(f"Assumed: {text}", err=True)
    for reason, count in report.dropped.items():
        click.echo(f"Left out: {count} x {reason}", err=True)
    for text in report.warnings:
        click.echo(f"Warning: {text}", err=True)
    if not all(each.license for each in target.members):
        click.echo("Warning: no license is known: do not pass it on before you know it (--license)", err=True)
    click.echo(str(path))


@command.command("compare")
@click.argument("first")
@click.argument("second")
@click.option(
    "--camera",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A cube (its header): compare in its good bands.",
)
@_calibration
@_as_json
def compare_command(
    first: str, second: str, camera: Path | None, calibration: Path | None, as_json: bool
) -> None:
    """Say how alike two signatures are.

    By spectral angle, information divergence and correlation.

    Each variant of FIRST with each of SECOND, at the wavelengths of the coarser one, or in a camera's bands.
    """
    one, two = (_target(_find(each, calibration))[0] for each in (first, second))
    bands = None if camera is None else _bands(camera)
    rows = [
        {"first": a.name, "second": b.name, **_measures(_compare(a, b, bands))}
        for a in one.members
        for b in two.members
    ]
    if as_json:
        grid = "common wavelengths" if camera is None else str(camera)
        click.echo(json.dumps({"schema": 1, "grid": grid, "pairs": rows}, indent=2, allow_nan=False))
        return
    if len(rows) > SHOWN_ROWS:
        click.echo(f"{len(rows)} pairs: the closest and the farthest; all with --json", err=True)
        rows.sort(key=lambda row: row["angle_deg"] if row["angle_deg"] is not None else 180.0)
        rows = [*rows[: SHOWN_ROWS // 2], *rows[-SHOWN_ROWS // 2 :]]
    click.echo("\n".join(_as_lines(rows)))


def _catalog(calibration: Path | None) -> Catalog:
    from dronesense.manifest.catalog import Catalog, shipped_folder

    own = Path("calibration") if calibration is None else calibration
    return Catalog(own, shipped_folder())


def _files(catalog: Catalog) -> dict[str, Path]:
    """Return name -> file; the first folder wins."""
    found: dict[str, Path] = {}
    for folder in catalog.folders:
        for path in sorted(folder.glob("signatures/*.csv")):
            found.setdefault(path.stem, path)
    return found


def _find(signature: str, calibration: Path | None) -> Path:
    """Return the file *signature* is, or the one of that name in the calibration folders."""
    from dronesense.errors import ReadError, did_you_mean

    if Path(signature).is_file():
        return Path(signature)
    files = _files(_catalog(calibration))
    if signature not in files:
        raise ReadError(
            f'no file and no signature "{signature}"{did_you_mean(signature, files)}',
            fix="dronesense signatures list shows those that there are",
        )
    return files[signature]


def _target(
    path: Path, entries: Sequence[str] = (), *, take_all: bool = False
) -> tuple[SignatureSet, IngestReport]:
    """Return the spectra of *path* that are wanted as one target."""
    from dronesense.errors import ReadError
    from dronesense.model.signature import SignatureSet

    members, report = _read(path)
    name = str(report.details.get("name", path.name.split(".")[0]))
    own = "name" in report.details
    if entries:
        members, name = _chosen(members, entries, path), name if own else entries[0]
    elif len(members) > 1 and not (take_all or own):
        raise ReadError(
            f"holds {len(members)} spectra: {_some(members)}",
            where=path,
            fix="name those of the target with --entry (several are variants), or take --all of them",
        )
    elif len(members) == 1:
        name = members[0].name
    return SignatureSet(name, tuple(members)), report


def _chosen(members: Sequence[Signature], entries: Sequence[str], path: Path) -> tuple[Signature, ...]:
    from dronesense.errors import ReadError, did_you_mean

    known = {each.name: each for each in reversed(members)}
    by_entry = {each.entry: each for each in reversed(members) if each.entry}
    chosen = []
    for entry in dict.fromkeys(entries):
        found = known.get(entry, by_entry.get(entry))
        if found is None:
            raise ReadError(
                f'has no spectrum "{entry}"{did_you_mean(entry, {**by_entry, **known})}',
                where=path,
                fix=f"it has: {_some(members)}",
            )
        chosen.append(found)
    return tuple(dict.fromkeys(chosen))


def _some(members: Sequence[Signature]) -> str:
    names = [each.name for each in members[:SHOWN_NAMES]]
    return ", ".join(names) + (", ..." if len(members) > SHOWN_NAMES else "")


def _read(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read *path* by the reader that recognises it, else as a table of numbers."""
    from dronesense import plugins
    from dronesense.errors import ReadError, UnknownFormatError
    from dronesense.readers import envi_library, spectrum_table

    library: tuple[tuple[Signature, ...], IngestReport]
    if path.suffix.lower() in envi_library.DATA_SUFFIXES[:-1]:
        path = envi_library.pair(path)[0]  # the numbers of a library: its header says what they are
    if plugins.claims(SIGNATURE, path):
        library = plugins.find(SIGNATURE, plugins.sniff(SIGNATURE, path)).read_all(path)
        return library
    try:
        return spectrum_table.read_all(path)
    except ReadError as error:
        raise UnknownFormatError(
            f"not recognised by any reader ({', '.join(plugins.names(SIGNATURE))}), "
            f"and no table of numbers: {error.what}",
            where=path,
            fix=error.fix,
        ) from error


def _bands(camera: Path) -> Bands:
    """Return the bands of the cube *camera*."""
    from dronesense import plugins
    from dronesense.model import TrackOptions

    cube, _ = plugins.find(CUBE, plugins.sniff(CUBE, camera)).read(
        camera, label=camera.name, name=camera.stem, instrument=None, line_times="none", track=TrackOptions()
    )
    bands: Bands = cube.bands
    return bands


def _compare(a: Signature, b: Signature, bands: Bands | None) -> Likeness:
    """Compare two spectra where both are measured."""
    import numpy as np

    from dronesense.detect.likeness import likeness
    from dronesense.errors import CalibrationError, CoverageError

    if (a.quantity, a.by_band) != (b.quantity, b.by_band):
        what = f"{a.name} is in {a.quantity}, {b.name} in {b.quantity}"
        raise CalibrationError(
            what if a.quantity != b.quantity else f"only one of {a.name} and {b.name} has wavelengths",
            fix="compare two of one kind",
        )
    if bands is None:
        low, high = (
            max(a.wavelength_nm[0], b.wavelength_nm[0]),
            min(a.wavelength_nm[-1], b.wavelength_nm[-1]),
        )
        grids = [
            each.wavelength_nm[(each.wavelength_nm >= low) & (each.wavelength_nm <= high)] for each in (a, b)
        ]
        center = min((each for each in grids if len(each) >= MIN_GRID), key=len, default=max(grids, key=len))
        fwhm, good = np.full(len(center), np.nan), np.ones(len(center), dtype=np.bool_)
    else:
        center, fwhm, good = bands.center_nm, bands.fwhm_nm, bands.good
    if a.by_band and not len(a.value) == len(b.value) == len(center):
        raise CalibrationError(
            f"{a.name} has {len(a.value)} bands, {b.name} {len(b.value)}, the camera {len(center)}",
            fix="signatures by band compare only in the bands of their own camera",
        )
    values = [np.where(good, each.in_bands(center_nm=center, fwhm_nm=fwhm)[0], np.nan) for each in (a, b)]
    result = likeness(*values)
    if result.bands < 2:
        raise CoverageError(f"{a.name} and {b.name} share {result.bands} bands", fix="compare where both are")
    return result


def _measures(result: Likeness) -> dict[str, Any]:
    return {
        "angle_deg": _number(result.angle_deg, 4),
        "sid": _number(result.sid, 8),
        "correlation": _number(result.correlation, 6),
        "bands": result.bands,
    }


def _number(value: float, digits: int) -> float | None:
    import math

    return round(float(value), digits) if math.isfinite(value) else None


def _joined(values: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


def _summary(target: SignatureSet, path: Path) -> dict[str, Any]:
    first = target.members[0]
    ends = [(float(each.wavelength_nm[0]), float(each.wavelength_nm[-1])) for each in target.members]
    span = (
        None
        if first.by_band
        else [round(min(low for low, _ in ends), 3), round(max(high for _, high in ends), 3)]
    )
    return {
        "target": target.name,
        "quantity": first.quantity,
        "range_nm": span,
        "bands": max(len(each.value) for each in target.members),
        "variants": len(target),
        "license": _joined([each.license for each in target.members]),
        "source": _joined([each.source for each in target.members]),
        "citation": _joined([each.citation for each in target.members]),
        "file": str(path),
        "sha256": _joined([each.sha256 for each in target.members]),
    }


def _spectrum(signature: Signature) -> dict[str, Any]:
    axis = "band" if signature.by_band else "wavelength_nm"
    return {
        "name": signature.name,
        "entry": signature.entry,
        axis: signature.wavelength_nm.tolist(),
        "value": signature.value.tolist(),
        "sigma": [_number(each, 12) for each in signature.sigma.tolist()],
        "gaps_nm": [list(gap) for gap in signature.gaps_nm],
    }


def _books(report: IngestReport) -> dict[str, Any]:
    return {
        "format": report.format,
        "dropped": dict(report.dropped),
        "assumptions": list(report.assumptions),
        "warnings": list(report.warnings),
    }


def _table(signature: Signature) -> list[str]:
    """Return some rows of the spectrum, evenly chosen, for a person."""
    import numpy as np

    rows = np.unique(np.linspace(0, len(signature.value) - 1, SHOWN_ROWS).astype(int))
    lines = [f"{'band' if signature.by_band else 'nm':>10}  {signature.quantity:>12}"]
    lines += [f"{signature.wavelength_nm[row]:>10.2f}  {signature.value[row]:>12.5g}" for row in rows]
    return lines


def _as_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return *rows* as a table for a person, without columns that say nothing."""
    texts = [
        {
            key: "-" if value in (None, "") else str(value)
            for key, value in row.items()
            if key not in ("sha256", "file")
        }
        for row in rows
    ]
    keys = [key for key in texts[0] if any(text[key] != "-" for text in texts)]
    width = {key: max(len(key), *(len(text[key]) for text in texts)) for key in keys}
    lines = ["  ".join(f"{key:<{width[key]}}" for key in keys).rstrip()]
    return lines + ["  ".join(f"{text[key]:<{width[key]}}" for key in keys).rstrip() for text in texts]


def _stem(name: str) -> str:
    """Return *name* as a file name.

    Examples
    --------
    >>> _stem("Blue cover (wet)")
    'blue-cover-wet'
    """
    stem = re.sub(r"[^\w.]+", "-", name.lower()).strip("-.")
    if not stem:
        raise click.UsageError("the spectrum has no name that makes a file name: give --name")
    return stem
