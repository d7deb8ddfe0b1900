"""Thin click commands, loaded lazily; the only room that talks to a person.

stdout carries results, stderr the talk. Exit codes: 0 done, 1 bug, 2 usage, 3 no usable input, 4 done but
some inputs were rejected, 5 input/output, 6 locked by another run, 7 `verify` found
something that does not fit, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from dronesense import __version__
from dronesense.cli import spoken
from dronesense.cli.failures import EXIT_BUG, EXIT_USAGE, explain, explain_usage, interrupted, report_bug
from dronesense.cli.helped import SpokenContext, speaking

COMMANDS: Final = {
    "run": "Process flights: products with hotspots, scores and a run manifest.",
    "ingest": "Copy a card with hashes and a line in the custody log; the card is never written.",
    "inspect": "Say what is in a flight folder or file; changes nothing.",
    "init": "Write a flight.toml for a folder.",
    "demo": "Write a synthetic flight in vendor formats and run it.",
    "verify": "Hold products against run.json: changed, missing, added, signed by whom.",
    "sign": "Sign run.json, and with it every product.",
    "evidence": "Pack a run for a case file, keep the custody log, make keys.",
    "view": "Write the map page anew: with people's decisions, or in another language.",
    "report": "Write the report for printing anew: with people's decisions, or in another language.",
    "convert": "Write the hotspots in another format: GeoPackage, KMZ, FlatGeobuf, QGIS style, STAC.",
    "hotspots": "Confirm or reject a hotspot; the evidence stays as it is.",
    "plan": "Plan a flight: pixels, swath, exposure, gas limits and legs over a site.",
    "merge": "Merge the hotspots of several runs: what was seen again, and what was not.",
    "geometry": "Write where the pixels of push-broom cubes lie: IGM, GLT, observation, pictures.",
    "calibrate": "Calibrate an analyser from standards, or the mount of a camera from its strips.",
    "signatures": "List, show, import and compare reference spectra.",
    "plugins": "List the readers, detectors and writers.",
}
"""Name -> one line; the modules are imported only when they are needed."""

POISON: Final = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_CONFIG_FILE")
"""Variables that other GIS programs leave behind and that break or alter rasterio and pyproj."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    context_class = SpokenContext

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click fixes the signature
        """Return the command names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click fixes the signature
        """Import ``dronesense.cli.<name>_command`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"dronesense.cli.{cmd_name}_command").command
        assert isinstance(command, click.Command)
        return speaking(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click fixes the signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dronesense")
@spoken.option
def cli() -> None:
    """From a drone's SD card to a hotspot layer that says how sure it is.

    A hotspot is an indication with its limits, never proof.
    """


def prepare_environment() -> None:
    """Make results and messages independent of what the machine has set."""
    for name in POISON:
        os.environ.pop(name, None)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more threads change the last bits of sums
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a console of a legacy encoding must not stop the run


def main() -> None:
    """Entry point of the ``dronesense`` command."""
    prepare_environment()
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    spoken.begin(os.environ)
    try:
        result = cli.main(args=arguments, prog_name="dronesense", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        return explain_usage(error)
    except (click.Abort, KeyboardInterrupt):
        return interrupted()
    except OSError as error:
        return explain(error)
    except Exception as error:  # noqa: BLE001 - the outermost door: every other error is either the user's or a bug
        code = explain(error)
        if code == EXIT_BUG:
            report_bug(error)
        return code
    return int(result or 0)
