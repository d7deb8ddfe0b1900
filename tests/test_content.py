"""Cards that fail: asked again, then the file is rejected with the place; the rest goes on."""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dronesense.cli import run_cli
from dronesense.errors import ManifestError, ReadError, UnreadableError
from dronesense.manifest import open_flight
from dronesense.readers import content, envi
from dronesense.readers.decoder import Decoder


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


failing = sibling("failing_card").failing


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "PAUSES_S", [0.0, 0.0, 0.0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.bin"
    path.write_bytes(np.arange(250_000, dtype="<u4").tobytes())  # a million bytes
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_it_is_asked_three_times_more_and_then_named(file: Path, wrapped: bool) -> None:
    asked = 0

    def read(failures: int) -> str:
        nonlocal asked
        asked += 1
        if asked > failures:
            return "read"
        error = OSError(errno.EIO, "Input/output error")
        if not wrapped:
            raise error
        try:
            raise error
        except OSError as cause:  # as readers do
            raise ManifestError("cannot be opened") from cause

    for failures in range(4):
        asked = 0
        assert content.patiently(lambda n=failures: read(n), file) == "read"
        assert asked == failures + 1
    asked = 0
    with pytest.raises(UnreadableError, match=r"x\.bin: .*failed 4 times; a moment later all of it"):
        content.patiently(lambda: read(9), file)
    assert asked == 4


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "gone"), ReadError("is damaged"), ValueError("x"), UnreadableError("x")]
)
def test_other_errors_are_told_at_once(file: Path, error: Exception) -> None:
    asked = []

    def read() -> None:
        asked.append(1)
        raise error

    with pytest.raises(type(error)):
        content.patiently(read, file)
    assert len(asked) == 1


def test_bytes_that_are_not_given(file: Path) -> None:
    """numpy.fromfile would give the bytes up to there, and not a word."""
    with failing(file, 300_000, 310_000), pytest.raises(UnreadableError, match="give are 300000 to 312287"):
        content.whole(file, file)
    with failing(file, 999_990, 1_000_000), pytest.raises(UnreadableError, match="are 999990 to 999999"):
        content.load(file, file)
    with failing(file, 0, 1), pytest.raises(UnreadableError, match="are 0 to 4095"):
        content.load(file, file)
    for times in (1, 2, 3):
        with failing(file, 300_000, 310_000, times=times) as card:
            assert content.whole(file, file).tobytes() == file.read_bytes()
        assert card.times == 0


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="a file of Linux whose first bytes cannot be read"
)
def test_what_the_system_itself_says() -> None:
    path = Path("/proc/self/mem")
    with pytest.raises(UnreadableError, match="the first bytes that it does not give are 0"):
        content.patiently(path.read_bytes, path)
    assert np.fromfile(path, dtype=np.uint8, count=10).size == 0  # why it is not used


@pytest.mark.parametrize("interleave", ["bil", "bip", "bsq"])
def test_a_cube_with_a_bad_place_gives_its_other_rows(tmp_path: Path, interleave: str) -> None:
    shape = (40, 3, 1000)
    truth = np.random.default_rng(0).integers(0, 4000, shape).astype("<u2")
    order = {"bil": (0, 1, 2), "bip": (0, 2, 1), "bsq": (1, 0, 2)}[interleave]
    (tmp_path / "a.dat").write_bytes(truth.transpose(order).tobytes())
    (tmp_path / "a.hdr").write_text(
        "ENVI\nsamples = 1000\nlines = 40\nbands = 3\ndata type = 12\nbyte order = 0\nheader offset = 0\n"
        f"interleave = {interleave}\n"
    )
    cube, _ = envi.read(tmp_path / "a.hdr", label="a", name="a", line_times="none")
    first = 20 * 6000 if interleave != "bsq" else 20 * 2000  # of row 20, in the first band
    with failing(tmp_path / "a.dat", first, first + 10):
        np.testing.assert_array_equal(cube.source.read(0, 20)[0], truth[:20])
        np.testing.assert_array_equal(cube.source.read(21, 40)[0], truth[21:])
        with pytest.raises(UnreadableError, match=rf"a\.dat: .* give are {first} to {first + 4095}"):
            cube.source.read(10, 30)
    with failing(tmp_path / "a.dat", first, first + 10, times=3):
        np.testing.assert_array_equal(cube.source.read(0, 40)[0], truth)


@pytest.mark.parametrize("kind", ["GeoTIFF", "HDF5"])
def test_what_a_library_says_is_asked_once_more_if_the_card_gives_all(
    file: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """GDAL says the same of a damaged strip and of a card that fails."""
    decoder = Decoder("raster" if kind == "GeoTIFF" else "hdf", kind)
    answers: list[dict[str, Any]] = []
    monkeypatch.setattr(decoder, "_ask", lambda *_: (answers.pop(0), []))
    bad, good = {"error": "Read failed"}, {"arrays": []}
    answers[:] = [bad, good]
    assert decoder.ask(file, {"do": "read"})[0] == good
    answers[:] = [bad, bad, good]
    with pytest.raises(ReadError, match=rf"cannot be read as {kind} \(Read failed\)"):
        decoder.ask(file, {"do": "read"})
    for times in (1, 2, 3):
        answers[:] = [bad, good]
        with failing(file, 300_000, 310_000, times=times) as card:
            assert decoder.ask(file, {"do": "read"})[0] == good
        assert card.times == 0
    answers[:] = [bad, good]
    with failing(file, 300_000, 310_000), pytest.raises(UnreadableError, match="give are 300000 to 312287"):
        decoder.ask(file, {"do": "read"})
    assert answers == [good]  # and it is not asked again
    answers[:] = [bad, good]
    with pytest.raises(ReadError, match=r"gone\.tif: cannot be read as"):
        decoder.ask(file.with_name("gone.tif"), {"do": "open"})


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two gas series, the first of which is the log too."""
    flight: Path = sibling("test_cluster").write_gas_flight(tmp_path_factory.mktemp("made") / "one")
    shutil.copy(flight / "raw/gas.csv", flight / "raw/second.csv")
    with (flight / "flight.toml").open("a", encoding="utf-8") as stream:
        stream.write('[[gas]]\npath = "raw/second.csv"\ninstrument = "sniffer"\nclock_offset_s = 0.0\n')
    return flight


def run(flight: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = run_cli(["run", str(flight), "-o", str(out), "--json", "--again"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out.strip() else {}, said.err


def test_one_series_of_two_is_rejected_with_its_place(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(two / "raw/second.csv", 5000, 5001):
        code, told, _ = run(two, tmp_path / "out", capsys)
    assert code == 4
    ((name, why),) = told["rejected"]
    assert name == "raw/second.csv"
    assert "the first bytes that it does not give are 5000 to 9095" in why
    assert "gas/CH4.csv" in told["files"]
    manifest = json.loads((tmp_path / "out/run.json").read_bytes())
    assert "raw/second.csv" not in {row["path"] for row in manifest["inputs"]}
    assert "raw/gas.csv" in {row["path"] for row in manifest["inputs"]}
    assert run_cli(["verify", str(tmp_path / "out")]) == 0


def test_what_fails_only_when_it_is_hashed_is_rejected_too(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dronesense import evidence
    from dronesense.cli import products

    def opened(path: Path) -> Any:
        flight = open_flight(path)
        card = failing(two / "raw/second.csv", 5000, 5001)
        card.__enter__()
        cards.append(card)
        return flight

    cards: list[Any] = []
    monkeypatch.setattr(products, "open_flight", opened)
    try:
        code, told, _ = run(two, tmp_path / "out", capsys)
    finally:
        for each in cards:
            each.__exit__(None, None, None)
    assert (code, [name for name, _ in told["rejected"]]) == (4, ["raw/second.csv"])
    assert "are 5000 to 9095" in told["rejected"][0][1]
    flight = open_flight(two)
    with failing(two / "calibration/instruments/sniffer.toml", 0, 10), pytest.raises(UnreadableError):
        evidence.hash_readable(flight)  # all need it


def test_what_all_need_is_an_error_that_names_it(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("flight.toml", "calibration/instruments/sniffer.toml", "raw/gas.csv"):
        with failing(two / name, 0, 1):
            code, told, said = run(two, tmp_path / "out", capsys)
        assert (code, told) == (5, {}), name
        assert f"{Path(name).name}: cannot be read: the disk or card failed 4 times" in said
    assert not (tmp_path / "out").exists()


def test_a_hiccup_changes_nothing(two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bytes_of = sibling("test_cluster").bytes_of
    assert run(two, tmp_path / "clean", capsys)[0] == 0
    with failing(two / "raw/second.csv", 5000, 5001, times=3) as card:
        assert run(two, tmp_path / "out", capsys)[0] == 0
    assert card.times == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")


def test_a_bare_folder_rejects_what_it_cannot_look_at(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = tmp_path / "bare"
    shutil.copytree(two, flight)
    (flight / "flight.toml").unlink()
    with failing(flight / "raw/second.csv", 0, 1):
        code, told, _ = run(flight, tmp_path / "out", capsys)
    assert (code, [name for name, _ in told["rejected"]]) == (4, ["raw/second.csv"])
