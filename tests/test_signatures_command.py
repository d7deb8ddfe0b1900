"""``dronesense signatures``: what is imported is found again; comparison by hand; mistakes named."""

from __future__ import annotations

import importlib.util
import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from dronesense import plugins
from dronesense.cli import run_cli
from dronesense.cli.failures import EXIT_DONE, EXIT_NO_INPUT, EXIT_SOME_REJECTED, EXIT_USAGE
from dronesense.readers import csv_signature

_SPEC = importlib.util.spec_from_file_location(
    "signature_writer", Path(__file__).with_name("signature_writer.py")
)
make = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make)

GROUP = "dronesense.readers.signature"
READERS = {
    "asd": "asd",
    "csv": "csv_signature",
    "ecostress": "ecostress",
    "envi-library": "envi_library",
    "spectral-evolution": "spectral_evolution",
    "svc": "svc",
    "usgs": "usgs",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in an empty folder, with the readers of this checkout whatever was installed."""
    monkeypatch.chdir(tmp_path)
    real = plugins._entries
    ours = {name: EntryPoint(name, f"dronesense.readers.{module}", GROUP) for name, module in READERS.items()}
    monkeypatch.setattr(plugins, "_entries", lambda group: ours if group == GROUP else real(group))
    return tmp_path


def run(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    code = run_cli(["signatures", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def columns(folder: Path, name: str = "cloth.txt") -> Path:
    """Two spectra 400..900 nm: r = nm / 1000 and r = 0.5."""
    path = folder / name
    path.write_text("".join(f"{nm},{nm / 1000},{0.5}\n" for nm in range(400, 901, 10)))
    return path


def test_import_show_list_compare(here, capsys):
    source = here / "leaf.asd"
    white = np.full(551, 4000.0)
    source.write_bytes(make.asd(np.linspace(400.0, 2000.0, 551), reference=white))
    code, out, err = run(
        capsys, "import", source, "--name", "Blue tarp", "--license", "CC0-1.0", "--source", "me, today"
    )
    assert code == EXIT_DONE
    assert out.strip() == str(Path("calibration/signatures/blue-tarp.csv"))
    assert "white reference" in err
    assert "no license" not in err
    signature, report = csv_signature.read(Path(out.strip()))
    np.testing.assert_allclose(signature.value, np.linspace(0.1, 0.5, 551), rtol=1e-12)
    assert (signature.name, signature.license, signature.source) == ("Blue tarp", "CC0-1.0", "me, today")
    assert (signature.file, len(signature.sha256)) == ("leaf.asd", 64)
    assert not report.warnings

    code, out, _ = run(capsys, "list", "--json")
    (row,) = [each for each in json.loads(out)["signatures"] if each["name"] == "blue-tarp"]
    assert (row["range_nm"], row["bands"], row["variants"]) == ([350.0, 900.0], 551, 1)
    code, out, _ = run(capsys, "list")
    assert "Blue tarp" in out
    assert "CC0-1.0" in out

    code, out, _ = run(capsys, "show", "blue-tarp", "--picture", "tarp.png")
    assert code == EXIT_DONE
    assert "350.00" in out
    assert (here / "tarp.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(capsys, "show", "blue-tarp", "--json")
    assert json.loads(out)["spectra"][0]["value"][0] == pytest.approx(0.1)


def test_variants_by_entry_or_all(here, capsys):
    path = columns(here)
    code, out, err = run(capsys, "import", path)
    assert code == EXIT_NO_INPUT
    assert out == ""
    assert "cloth 1, cloth 2" in err
    assert "--entry" in err
    code, out, err = run(capsys, "import", path, "--all", "--name", "cloth")
    assert code == EXIT_DONE
    assert "no license is known" in err
    members, _ = csv_signature.read_all(Path(out.strip()))
    assert [each.name for each in members] == ["cloth 1", "cloth 2"]
    np.testing.assert_allclose(members[1].value, 0.5)
    code, out, _ = run(capsys, "import", path, "--entry", "cloth 2", "--name", "gray")
    assert code == EXIT_DONE
    assert len(csv_signature.read_all(Path(out.strip()))[0]) == 1
    code, _, err = run(capsys, "show", path, "--entry", "cloth 3")
    assert code == EXIT_NO_INPUT
    assert "did you mean" in err


def test_an_existing_signature_is_kept(here, capsys):
    path = columns(here)
    assert run(capsys, "import", path, "--all")[0] == EXIT_DONE
    before = Path("calibration/signatures/cloth.csv").read_bytes()
    code, _, err = run(capsys, "import", path, "--entry", "cloth 1", "--name", "cloth")
    assert code == EXIT_USAGE
    assert "--force" in err
    assert Path("calibration/signatures/cloth.csv").read_bytes() == before
    assert run(capsys, "import", path, "--entry", "cloth 1", "--name", "cloth", "--force")[0] == EXIT_DONE


def test_compare_by_hand(here, capsys):
    """x against 0.5: the angle between a ramp and a constant, from the sums of the ramp."""
    path = columns(here)
    run(capsys, "import", path, "--all", "--name", "cloth")
    ramp = np.arange(400, 901, 10) / 1000
    cosine = ramp.sum() / np.sqrt(len(ramp) * (ramp**2).sum())
    code, out, _ = run(capsys, "compare", "cloth", path.with_name("other.csv"), "--json")
    assert code == EXIT_NO_INPUT
    ramp_file = here / "ramp.csv"
    ramp_file.write_text("wavelength_nm,reflectance\n350,0.35\n950,0.95\n")
    code, out, _ = run(capsys, "compare", "cloth", ramp_file, "--json")
    assert code == EXIT_DONE
    first, second = json.loads(out)["pairs"]
    # Only two points of the coarser one lie at 350 and 950, outside the cloth: the cloth's own 51 are used.
    assert (first["bands"], second["bands"]) == (51, 51)
    assert first["angle_deg"] == pytest.approx(0.0, abs=1e-4)
    assert first["correlation"] == pytest.approx(1.0)
    assert second["angle_deg"] == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-4)
    assert second["correlation"] is None


def test_compare_in_the_bands_of_a_camera(here, capsys):
    path = columns(here)
    (here / "cube.bil").write_bytes(np.zeros(2 * 4, "<f4").tobytes())
    (here / "cube.hdr").write_text(
        "ENVI\nsamples = 2\nlines = 1\nbands = 4\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 4\n"
        "interleave = bil\nbyte order = 0\nwavelength units = nm\nwavelength = {450, 550, 650, 1000}\n"
        "fwhm = {10, 10, 10, 10}\n"
    )
    gray = here / "gray.csv"
    gray.write_text("wavelength_nm,reflectance\n350,0.5\n1200,0.5\n")
    run(capsys, "import", path, "--entry", "cloth 1", "--name", "ramp")
    code, out, err = run(capsys, "compare", "ramp", gray, "--camera", here / "cube.hdr", "--json")
    assert code == EXIT_DONE, err
    (pair,) = json.loads(out)["pairs"]
    seen = np.array([0.45, 0.55, 0.65])  # the band at 1000 nm is not covered by the ramp
    assert pair["bands"] == 3
    assert pair["angle_deg"] == pytest.approx(
        np.degrees(np.arccos(seen.sum() / np.sqrt(3 * (seen**2).sum()))), abs=1e-4
    )


def test_what_cannot_be_compared(here, capsys):
    a, b, c = (here / f"{name}.csv" for name in "abc")
    a.write_text("wavelength_nm,reflectance\n400,0.1\n500,0.2\n")
    b.write_text("wavelength_nm,reflectance\n600,0.1\n700,0.2\n")
    c.write_text("wavelength_nm,counts\n400,10\n500,20\n")
    code, _, err = run(capsys, "compare", a, b)
    assert (code, "share" in err) == (EXIT_NO_INPUT, True)
    code, _, err = run(capsys, "compare", a, c)
    assert (code, "in counts" in err) == (EXIT_NO_INPUT, True)


def test_what_no_reader_knows(here, capsys):
    note = here / "note.md"
    note.write_text("# Notes\n\nnothing here\n")
    code, _, err = run(capsys, "import", note)
    assert code == EXIT_NO_INPUT
    assert "ecostress" in err
    assert not Path("calibration").exists()


def test_many_pairs_are_cut_short_for_a_person(here, capsys):
    wide = here / "wide.txt"
    wide.write_text(
        "".join(
            ",".join([f"{nm}", *(f"{(nm / 900) ** k:.6f}" for k in range(1, 8))]) + "\n"
            for nm in range(400, 901, 25)
        )
    )
    run(capsys, "import", wide, "--all", "--name", "wide")
    code, out, err = run(capsys, "compare", "wide", "wide")
    assert (code, len(out.splitlines()), "49 pairs" in err) == (EXIT_DONE, 21, True)
    code, out, _ = run(capsys, "compare", "wide", "wide", "--json")
    assert len(json.loads(out)["pairs"]) == 49


def test_damage_is_told_and_the_rest_listed(here, capsys):
    folder = here / "calibration" / "signatures"
    folder.mkdir(parents=True)
    (folder / "good.csv").write_text("wavelength_nm,reflectance\n400,0.1\n500,0.2\n")
    (folder / "bad.csv").write_text("wavelength_nm,reflectance\n400,0.1\n500,\n")
    code, out, err = run(capsys, "list")
    assert code == EXIT_SOME_REJECTED
    assert "good" in out
    assert "bad.csv" in err
    assert run(capsys, "show", "god")[2].count('did you mean "good"') == 1


def test_numbers_of_a_library_lead_to_its_header(here, capsys):
    make.envi_library(here, np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), [0.4, 0.5, 0.6])
    code, out, _ = run(capsys, "import", here / "lib.sli", "--entry", "entry 1")
    assert code == EXIT_DONE
    assert csv_signature.read(Path(out.strip()))[0].name == "entry 1"
    code, _, err = run(capsys, "show", here / "lib.hdr")
    assert code == EXIT_NO_INPUT
    assert "holds 2 spectra" in err


def test_no_signature_ships_that_has_no_license(capsys):
    shipped = Path(__file__).parents[1] / "calibration" / "signatures"
    for path in shipped.glob("*.csv"):
        assert all(each.license for each in csv_signature.read_all(path)[0]), path
