"""A folder of everything: each file gets the role that it has, or a true reason that says what to do."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
from pathlib import Path

import pytest

from dronesense.cli import run_cli
from dronesense.manifest import open_flight

LOG = "flight log|a flight log of another time|a flight log that cannot be used as it is: "
CLOCK = "has no zone|may be read as"
NO_TABLE = "text, no table|matches? no instrument|match no instrument|without headings"
EXPECTED = {
    "gas/analyser_formats/*": f"gas series|{CLOCK}|{NO_TABLE}|no reader",
    "gas/chilbolton_controlled_release/*_processed.txt": "has no zone",
    "gas/electrochem_alphasense/smartcitizen_example.csv": "gas series",
    "gas/gasflux_testdata/*.csv": f"gas series|{CLOCK}|{NO_TABLE}",
    "gas/picarro_mobile_survey/*.dat": "gas series",
    "gas/uav_aeris_nmt/level0.csv": "gas series",
    "gas/uav_aeris_nmt/Pico*.txt": "has no zone",
    "gas/uci_air_quality/AirQualityUCI.csv": CLOCK,
    "georef/orthority/ngi/dem.tif": "EGM2008",  # the height model; its heights are not ellipsoidal
    "georef/orthority/odm/odm_dem/dsm.tif": "further raster of one band",
    "georef/orthority/*_RGB.tif": "cube",
    "logs/dataflash/*": LOG,
    "logs/dji_csv/*": f"{LOG}|{NO_TABLE}|no reader",
    "logs/dji_srt/*": LOG,
    "logs/gpx/*.gpx": LOG,
    "logs/igc/*.igc": LOG,
    "logs/nmea/exiftool_Geotag3.log": "text, no table",  # written by another program
    "logs/nmea/*": LOG,
    "logs/rtklib/*.pos": LOG,
    "logs/sbet/*.smrmsg": "no reader",  # errors of a track, no track
    "logs/sbet/badfile.sbet": "no reader",  # one whole record, and the second is cut: too little to be sure
    "logs/sbet/*": LOG,
    "logs/tlog/*.tlog": LOG,
    "logs/ulog/*.ulg": LOG,
    "spectral/detect/*.mat": "no reader recognises it",
    "spectral/envi/avirisng_small/*.hdr": "cube",
    "spectral/envi/plantcv/corn*": "cube",
    "spectral/envi/plantcv/darkReference.hdr": "a dark capture that no cube of its size needs",
    "spectral/envi/plantcv/darkReference3.hdr": "cannot be read: has no data file",
    "spectral/envi/headers_only/*.hdr": "has no data file|cannot be read|no reader|unknown|spectrum",
    "spectral/msi/*.tif": "cube",
    "spectral/msi/*.TIF": "cube",
    "spectral/signatures/muufl_asd/*.txt": "signatures import",
    "spectral/signatures/panels_hylite/*.txt": "signatures import",
    "*README*": "text, no table|no reader",
    "*/PROVENANCE.md": "no reader",
    "*/SHA256SUMS": "no reader|text, no table",
}
"""What a file of the real data is, by the first pattern that it fits; the rest only has to be named."""
VAGUE = re.compile(r"Errno|Traceback|NoneType|object at 0x|\\x00")


def said(folder: Path) -> dict[str, str]:
    """Return what is said of every file of *folder*: its role, or why it has none."""
    flight = open_flight(folder)
    told = {}
    for each in flight.inputs:
        told[each.path] = each.role
        for name in each.report.companions if each.report else ():
            path = Path(name).resolve()
            if path.is_relative_to(folder.resolve()):
                told[path.relative_to(folder.resolve()).as_posix()] = each.role
    for path, reason in (*flight.ignored, *flight.rejected):
        assert path not in told, f"{path} is used as {told.get(path)} and left out: {reason}"
        told[path] = reason
    return told


def named(path: str, folder: Path, told: dict[str, str]) -> str | None:
    """Return what is said of a file, or of the header that it belongs to."""
    if path in told:
        return told[path]
    stem = Path(path).name.split(".")[0]
    for other in sorted((folder / path).parent.iterdir()):
        name = other.relative_to(folder).as_posix()
        if other.name.split(".")[0] == stem and name in told and name.endswith(".hdr"):
            return told[name]
    return None


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.timeout(600)
def test_every_real_file_is_what_it_is_or_says_why_not(shared_data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shared_data, tmp_path / "card"))
    told = said(folder)
    wrong = {}
    for path in files(folder):
        found = named(path, folder, told)
        pattern = next((each for each in EXPECTED if fnmatch.fnmatch(path, each)), None)
        if found is None or VAGUE.search(found) or (pattern and not re.search(EXPECTED[pattern], found)):
            wrong[path] = found
    assert wrong == {}
    out = tmp_path / "out"
    code = run_cli(["run", str(folder), "-o", str(out), "--json"])
    assert code in {3, 4}  # logs of many years: hardly anything lies on the one track
    if code == 4:
        assert json.loads((out / "run.json").read_text("utf-8"))["not_looked_at"]


def test_one_broken_capture_costs_no_other_cube(tmp_path: Path) -> None:
    """A dark header without its data, a note, spectra and tables of nobody beside a sound flight."""
    from dronesense import synthetic

    flight = synthetic.write_flight(tmp_path / "flight", seed=1)
    card = Path(shutil.copytree(flight / "raw", tmp_path / "card"))
    (card / "a_dark2.hdr").write_bytes((card / "dark.bil.hdr").read_bytes())
    (card / "README.txt").write_text("bought in May\n", "utf-8")
    (card / "grass.txt").write_text(
        "\n".join(f"{w}\t{0.1 + w / 1e4:.4f}" for w in range(400, 900, 10)), "utf-8"
    )
    (card / "table.csv").write_text("alpha,beta\n1,2\n", "utf-8")
    (card / "photo.JPG").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    told = said(card)
    assert {path for path in files(card) if named(path, card, told) is None} == set()
    expected = {
        "a_dark2.hdr": "a dark or panel capture that cannot be read: has no data file",
        "README.txt": "text, no table of several columns",
        "grass.txt": "a table of numbers without headings; if it is a spectrum",
        "table.csv": "a table whose columns match no instrument",
        "photo.JPG": "no reader recognises it",
    }
    for path, reason in expected.items():
        assert told[path].startswith(reason), told[path]
    assert {told[f"line_{k}.bil.hdr"] for k in (1, 2, 3)} == {"cube"}
    assert told["dark.bil.hdr"] == "dark"
