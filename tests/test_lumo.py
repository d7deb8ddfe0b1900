"""Specim capture folders: cube, dark and white found and paired, by manifest, name and exposure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.manifest.discover import discover
from dronesense.readers import envi, lumo

HEADER = """ENVI
description = {{File Imported into ENVI}}
file type = ENVI
sensor type = FX10, Lumo - Recorder v2018-512
acquisition date = DATE(yyyy-mm-dd): 2026-06-14
samples = {samples}
bands = {bands}
lines = {lines}
interleave = bil
data type = 12
header offset = 0
byte order = 0
tint = {tint}
binning = {{2, 1}}
"""


def write(path: Path, *, tint: float = 5.0, lines: int = 4, bands: int = 3, samples: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER.format(tint=tint, lines=lines, bands=bands, samples=samples))
    path.with_suffix(".raw").write_bytes(np.zeros(lines * bands * samples, dtype="<u2").tobytes())
    return path


def capture(root: Path, name: str = "strip_1", *, tint: float = 5.0, **references: float) -> Path:
    """Write a capture with references of the given exposures; return its folder."""
    folder = root / name
    write(folder / "capture" / f"{name}.hdr", tint=tint)
    for prefix, exposure in references.items():
        write(folder / "capture" / f"{prefix.upper()}_{name}.hdr", tint=exposure, lines=2)
    return folder


def manifest(folder: Path, entries: dict[str, str]) -> None:
    lines = [
        f'<file type="{kind}" extension="{path.rpartition(".")[2]}">{path}</file>'
        for kind, path in entries.items()
    ]
    (folder / "manifest.xml").write_text("<?xml version='1.0'?>\n<dataset>" + "".join(lines) + "</dataset>")


def names(found: lumo.LumoCapture) -> list[str | None]:
    parts = (found.dark, found.white, found.white_dark)
    return [None if part is None else part.path.name.split("_")[0] for part in parts]


def test_a_capture_with_all_its_references(tmp_path):
    folder = capture(tmp_path, tint=5.0, darkref=5.0, whiteref=1.25, whitedarkref=1.25)
    (folder / "metadata").mkdir()
    (folder / "metadata" / "strip_1.xml").write_text("<x/>")
    (found,) = lumo.captures(folder)
    assert names(found) == ["DARKREF", "WHITEREF", "WHITEDARKREF"]
    assert found.settings.integration_ms == 5.0
    assert (found.settings.band_binning, found.settings.sample_binning) == (2, 1)
    assert found.white.settings.integration_ms == 1.25
    assert (found.dark.lines, found.dark.bands, found.dark.samples) == (2, 3, 6)
    assert [each.name for each in found.companions] == ["strip_1.xml"]
    assert found.warnings == (
        "WHITEREF_strip_1.hdr was exposed 1.25 ms: use WHITEDARKREF_strip_1.hdr as its dark",
    )
    cube, _ = envi.read(found.cube, label="x", name="x")
    assert cube.shape == (4, 3, 6)
    assert cube.integration_ms == 5.0


def test_from_every_place(tmp_path):
    first = capture(tmp_path, "a", darkref=5.0)
    capture(tmp_path, "b", darkref=5.0)
    (tmp_path / "notes").mkdir()
    assert [each.name for each in lumo.captures(tmp_path)] == ["a", "b"]
    for place in (first, first / "capture"):
        assert [each.name for each in lumo.captures(place)] == ["a"]
    for file in (first / "capture" / "a.hdr", first / "capture" / "a.raw"):
        assert lumo.of_cube(file).dark.path.name == "DARKREF_a.hdr"
    assert lumo.of_cube(first / "capture" / "DARKREF_a.hdr") is None
    assert lumo.of_cube(write(tmp_path / "other" / "x.hdr")) is None
    assert lumo.captures(tmp_path / "other") == ()
    assert lumo.captures(tmp_path / "absent") == ()


def test_references_are_paired_by_name_then_by_exposure(tmp_path):
    """Three strips in one folder: two with darks of their own, one without."""
    inner = tmp_path / "day" / "capture"
    for name, tint in (("a", 5.0), ("b", 9.0), ("c", 8.0)):
        write(inner / f"{name}.hdr", tint=tint)
    write(inner / "DARKREF_a.hdr", tint=5.0)
    write(inner / "DARKREF_b.hdr", tint=9.0)
    write(inner / "DARKREF_z.hdr", tint=8.0, samples=12)  # nearer, but of another binning
    found = {each.name: each for each in lumo.captures(tmp_path / "day")}
    assert found["a"].dark.path.name == "DARKREF_a.hdr"
    assert found["b"].dark.path.name == "DARKREF_b.hdr"
    assert found["c"].dark.path.name == "DARKREF_b.hdr"
    assert any("nearest in exposure" in each for each in found["c"].assumptions)
    assert found["c"].warnings == ("DARKREF_b.hdr was exposed 9 ms, the cube 8 ms",)


def test_the_only_reference_is_taken_and_that_is_said(tmp_path):
    folder = capture(tmp_path, "a")
    write(folder / "capture" / "DARKREF_fx10_a.hdr")
    (found,) = lumo.captures(folder)
    assert found.dark.path.name == "DARKREF_fx10_a.hdr"
    assert any("only one there" in each for each in found.assumptions)


def test_without_references(tmp_path):
    (found,) = lumo.captures(capture(tmp_path))
    assert names(found) == [None, None, None]
    assert found.warnings == ("no dark reference in the capture folder",)


def test_the_manifest_goes_before_names(tmp_path):
    folder = capture(tmp_path, "a", darkref=5.0)
    write(folder / "capture" / "DARKREF_other.hdr", tint=5.0)
    manifest(
        folder,
        {
            "raw": "capture/a.hdr",
            "darkref": "capture\\DARKREF_other.hdr",
            "preview": "a.png",
            "reflectance": "results/REFLECTANCE_a.hdr",
        },
    )
    (found,) = lumo.captures(folder)
    assert found.dark.path.name == "DARKREF_other.hdr"
    assert [each.name for each in found.companions] == ["manifest.xml"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('<d><file type="raw">../../x.hdr</file></d>', "leads outside"),
        ('<d><file type="raw">/etc/x.hdr</file></d>', "leads outside"),
        ('<d><file type="raw">C:\\x.hdr</file></d>', "leads outside"),
        ('<d><file type="darkref">capture/gone.hdr</file></d>', "not there"),
        ('<d><file type="raw">', "no whole XML"),
        ("", "no whole XML"),
        ('<!DOCTYPE d [<!ENTITY a "b">]><d>&a;</d>', "no whole XML"),
        (" " * (1 << 20) + "<d/>", "1 MiB"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path, text, match):
    folder = capture(tmp_path)
    (folder / "manifest.xml").write_text(text)
    with pytest.raises(ReadError, match=match):
        lumo.captures(folder)


def test_a_reference_of_another_size_is_refused(tmp_path):
    folder = capture(tmp_path, "a")
    write(folder / "capture" / "DARKREF_a.hdr", samples=12)
    with pytest.raises(ReadError, match=r"3 bands x 12 samples, but a.hdr has 3 x 6"):
        lumo.captures(folder)


def test_a_damaged_header_is_refused(tmp_path):
    folder = capture(tmp_path, "a", darkref=5.0)
    (folder / "capture" / "DARKREF_a.hdr").write_text("ENVI\nsamples = 6\n")
    with pytest.raises(ReadError, match="DARKREF_a"):
        lumo.captures(folder)


def test_a_run_by_discovery_pairs_each_strip_with_its_own_dark(tmp_path):
    capture(tmp_path / "raw", "strip_1", darkref=5.0, whiteref=5.0)
    capture(tmp_path / "raw", "strip_2", tint=9.0, darkref=9.0)
    found = discover(tmp_path)
    inside = {Path(each["path"]).name: Path(each["dark"]).name for each in found.tables["cube"]}
    assert inside == {"strip_1.hdr": "DARKREF_strip_1.hdr", "strip_2.hdr": "DARKREF_strip_2.hdr"}
    assert {Path(label).name for label, _ in found.ignored} == {"WHITEREF_strip_1.hdr"}
