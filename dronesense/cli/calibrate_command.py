"""``dronesense calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dronesense.cli.boresight_command import boresight
from dronesense.cli.panel_command import panel
from dronesense.cli.times_command import times

if TYPE_CHECKING:
    from dronesense.calibrate.chain import Channel
    from dronesense.calibrate.plateaus import StandardsFit
    from dronesense.calibrate.response_fit import ResponseFit
    from dronesense.manifest.catalog import Catalog
    from dronesense.model import GasCalibration, GasSeries, Instrument
    from dronesense.model.calibration import Standards


@click.group("calibrate")
def command() -> None:
    """Calibrate an analyser by standards, the mount of a camera by its strips; check a reflectance panel."""


command.add_command(boresight)
command.add_command(panel)
command.add_command(times)


@command.command("analyzer")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--instrument", "name", required=True, help="Id of the instrument that made the recording.")
@click.option(
    "--standards",
    "standards_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML: which standards it was given, and when the inlet was switched.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The record.  [default: records/ID/DATE.toml in the folder of --calibration]",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG of the fit; of every further species beside it, with its name.",
)
@click.option(
    "--calibration",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with instruments/ and records/.  [default: calibration]",
)
@click.option("--force", is_flag=True, help="Replace an existing record.")
def analyzer(
    recording: Path,
    name: str,
    standards_path: Path,
    output: Path | None,
    picture: Path | None,
    calibration: Path | None,
    force: bool,
) -> None:
    """Fit zero, span and response of a gas analyser to RECORDING and write a record."""
    from dronesense.errors import CalibrationError
    from dronesense.readers import record as record_reader
    from dronesense.readers import standards as standards_reader
    from dronesense.writers.atomic import write_bytes
    from dronesense.writers.record import to_toml

    given = standards_reader.read(standards_path)
    catalog = _catalog(recording, calibration)
    instrument = catalog.instrument(name, key="--instrument", where=recording)
    linear, series = _read(recording, instrument, catalog)
    try:
        fits, response = _fit(linear, series, given)
    except CalibrationError:
        if picture is not None:  # to see why
            _draw(picture, series, given, [], None)
            click.echo(f"The recording is drawn in {picture}", err=True)
        raise
    record = _record(instrument, recording, given, fits, response)
    target = output or _place(record, calibration)
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; use --force to replace it, or -o to write beside it")
    remarks = [
        f"dronesense calibrate analyzer {recording.name} --standards {standards_path.name}",
        *_told(fits),
    ]
    write_bytes(target, to_toml(record, remarks=remarks).encode("utf-8"))
    record_reader.read(target)
    if picture is not None:
        _draw(picture, series, given, fits, response)
    for text in _told(fits):
        click.echo(text, err=True)
    if response is not None:
        click.echo(response.note, err=True)
    for each in fits:
        for warning in each.warnings:
            click.echo(f"Warning: {each.species}: {warning}", err=True)
    click.echo(str(target))


def _catalog(recording: Path, calibration: Path | None) -> Catalog:
    from dronesense.manifest.catalog import Catalog, shipped_folder

    folders = [] if calibration is None else [calibration]
    return Catalog(*folders, recording.parent / "calibration", Path("calibration"), shipped_folder())


def _read(
    recording: Path, instrument: Instrument, catalog: Catalog
) -> tuple[dict[str, GasSeries], dict[str, GasSeries]]:
    """Return each species as its response shows, and as a line relates it to the truth; both corrected."""
    from dronesense import plugins
    from dronesense.calibrate import chain
    from dronesense.errors import DronesenseError

    series, report = plugins.find("dronesense.readers.gas", "csv").read(
        recording, label=recording.name, instrument=instrument
    )
    for warning in report.warnings:
        click.echo(f"Warning: {recording.name}: {warning}", err=True)
    series = tuple(each for each in series if len(each))
    sheets, _ = catalog.sheets(instrument)
    linear: dict[str, Channel] = {}
    for species in chain.species_of(series, instrument):
        try:
            linear[species] = chain.linear(species, series, instrument, sheets=sheets)
        except DronesenseError as error:
            click.echo(f"Warning: {recording.name}: {species} is left out: {error}", err=True)
    readings = {species: chain.reading(each, sheets=sheets) for species, each in linear.items()}
    return (
        {species: each.series for species, each in linear.items()},
        {species: each.series for species, each in readings.items()},
    )


def _fit(
    linear: dict[str, GasSeries], series: dict[str, GasSeries], given: Standards
) -> tuple[list[StandardsFit], ResponseFit | None]:
    from dronesense.calibrate import plateaus, response_fit

    fits = []
    for species in dict.fromkeys(each.species for each in given.standards):
        mine = [each for each in given.standards if each.species == species]
        fits.append(plateaus.fit(_of(series, species, given), mine, min_duration_s=given.min_duration_s))
    if given.switches is None:
        return fits, None
    switches = given.switches
    response = response_fit.fit_steps(
        _of(linear, switches.species, given),
        switches.times,
        switches.levels,
        asymmetric=switches.asymmetric,
        max_delay_s=switches.max_delay_s,
    )
    return fits, response


def _of(series: dict[str, GasSeries], species: str, given: Standards) -> GasSeries:
    from dronesense.errors import ManifestError, did_you_mean

    if species not in series:
        raise ManifestError(
            f'the recording has no "{species}"{did_you_mean(species, series)}',
            where=given.path,
            fix=f"use one of: {', '.join(series)}",
        )
    return series[species]


def _record(
    instrument: Instrument,
    recording: Path,
    given: Standards,
    fits: list[StandardsFit],
    response: ResponseFit | None,
) -> GasCalibration:
    from dronesense.calibrate import chain
    from dronesense.model import GasCalibration, Response

    done = [plateau.end for each in fits for plateau in each.plateaus]
    done += [] if given.switches is None else [given.switches.times[-1]]
    notes = [given.note, f"from {recording.name}"]
    for each in fits:
        before = chain.in_words(each.species, instrument)
        notes += [each.note, *([f"{each.species}: readings corrected before ({before})"] if before else [])]
    notes += [] if response is None else [response.note]
    return GasCalibration(
        instrument=instrument.id,
        valid_from=max(done) if given.valid_from is None else given.valid_from,
        species={each.species: each.record_line for each in fits},
        response=Response() if response is None else response.response,
        note="; ".join(each for each in notes if each),
    )


def _place(record: GasCalibration, calibration: Path | None) -> Path:
    from dronesense.timescale import to_iso

    return (
        (calibration or Path("calibration"))
        / "records"
        / record.instrument
        / f"{to_iso(record.valid_from)[:10]}.toml"
    )


def _told(fits: list[StandardsFit]) -> list[str]:
    """Return a line for each plateau and each fitted line."""
    from dronesense.timescale import to_iso

    lines = []
    for each in fits:
        for standard, plateau in zip(each.standards, each.plateaus, strict=True):
            lines.append(
                f"{each.species} {standard.value:g} ± {standard.sigma:g}: {plateau.samples} readings "
                f"from {to_iso(plateau.start)} to {to_iso(plateau.end)}, "
                f"mean {plateau.mean:.6g} ± {plateau.sigma:.2g}"
            )
        line = each.fitted.line
        lines.append(
            f"{each.species}: zero {line.zero:.4g} ± {line.sigma_zero:.2g}, "
            f"span {line.span:.5g} ± {line.sigma_span:.2g}"
        )
    return lines


def _draw(
    picture: Path,
    series: dict[str, GasSeries],
    given: Standards,
    fits: list[StandardsFit],
    response: ResponseFit | None,
) -> None:
    """Draw the first species that was given a standard or switched; the others beside it, by their name."""
    from dronesense.plot import calibration_quicklook

    named = list(dict.fromkeys(each.species for each in given.standards))
    switched = named[0] if given.switches is None else given.switches.species
    of = {each.species: each for each in fits}
    for number, species in enumerate(dict.fromkeys([*named, switched])):
        path = picture if number == 0 else picture.with_stem(f"{picture.stem}-{species}")
        if species in series:
            calibration_quicklook(
                series[species], of.get(species), response if species == switched else None, path
            )
