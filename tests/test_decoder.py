"""Foreign rasters and HDF5 files are decoded in processes of their own: what kills one costs one file."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.readers import decoder, decoder_process, hdf, hdf_source, raster

posix = pytest.mark.skipif(sys.platform == "win32", reason="stops and limits processes as POSIX does")


def write(path: Path, seed: int = 0, *, bands: int = 3) -> np.ndarray:
    import rasterio

    values = np.random.default_rng(seed).integers(0, 60_000, (bands, 70, 50)).astype(np.uint16)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": bands, "height": 70, "width": 50, "nodata": 7}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(2.0, 0.0, 5e5, 0.0, -2.0, 5.3e6)}
    with rasterio.open(path, "w", **profile, **place) as sink:
        sink.write(values)
        sink.update_tags(1, wavelength="550")
        sink.update_tags(2, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.65")
        sink.set_band_description(3, "near infrared")
    return values


def worker_process() -> subprocess.Popen[bytes]:
    process = raster.DECODER._running()
    assert process.pid != os.getpid()
    return process


def test_files_say_the_same_as_rasterio_does(tmp_path: Path) -> None:
    import rasterio

    values = write(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as own, raster.opened(tmp_path / "a.tif") as other:
        for name in ("count", "height", "width", "nodata", "dtypes", "crs", "transform"):
            assert getattr(other, name) == getattr(own, name), name
        for name in ("units", "scales", "offsets", "descriptions"):
            assert tuple(getattr(other, name)) == getattr(own, name), name
        assert [tuple(each) for each in other.block_shapes] == own.block_shapes
        assert other.tags(1)["wavelength"] == "550"
        assert other.tags(2, ns="IMAGERY") == own.tags(2, ns="IMAGERY")
        window = ((10, 33), (5, 50))
        np.testing.assert_array_equal(other.read(), values)
        np.testing.assert_array_equal(other.read(window=window), own.read(window=window))
        np.testing.assert_array_equal(other.read(2, window=window), own.read(2, window=window))
        np.testing.assert_array_equal(other.read_masks(window=window), own.read_masks(window=window))
        masked = other.read(1, masked=True)
        np.testing.assert_array_equal(np.ma.getmaskarray(masked), values[0] == 7)
        assert not hasattr(other, "nothing_of_that_name")


def test_relative_paths_are_those_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = write(tmp_path / "a.tif")
    with raster.opened(tmp_path / "a.tif"):
        pass
    monkeypatch.chdir(tmp_path)  # the decoder started elsewhere
    with raster.opened(Path("a.tif")) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)


def test_a_decoder_that_dies_costs_its_file_and_no_other(tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    values = write(tmp_path / "b.tif", 1)
    with raster.opened(tmp_path / "a.tif") as dataset:
        process = worker_process()
        process.kill()
        process.wait()
        with pytest.raises(ReadError, match="its decoder was ended"):
            dataset.read()
    with raster.opened(tmp_path / "b.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)


@posix
def test_a_decoder_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = write(tmp_path / "a.tif")
    with raster.opened(tmp_path / "a.tif") as dataset:
        os.kill(worker_process().pid, signal.SIGSTOP)
        monkeypatch.setattr(decoder, "PATIENCE_S", 0.3)
        start = time.monotonic()
        with pytest.raises(ReadError, match="took more than"):
            dataset.read()
        assert time.monotonic() - start < 5.0
    monkeypatch.undo()
    with raster.opened(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)


def test_no_raster_is_a_read_error_and_the_decoder_lives_on(tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x41" * 200)
    with raster.opened(tmp_path / "a.tif"):
        before = worker_process().pid
    with pytest.raises(ReadError, match="cannot be read as GeoTIFF"), raster.opened(tmp_path / "b.tif"):
        pass
    assert worker_process().pid == before


def test_many_threads_share_it(tmp_path: Path) -> None:
    made = {f"{n}.tif": write(tmp_path / f"{n}.tif", n) for n in range(6)}
    wrong: list[str] = []

    def look(name: str) -> None:
        for _ in range(5):
            with raster.opened(tmp_path / name) as dataset:
                if not np.array_equal(dataset.read(), made[name]):
                    wrong.append(name)

    threads = [threading.Thread(target=look, args=(name,)) for name in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are read from /proc")
def test_its_memory_is_limited_and_it_leaves_no_core_file(tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    with raster.opened(tmp_path / "a.tif"):
        limits = Path(f"/proc/{worker_process().pid}/limits").read_text()
    lines = {line[:26].strip(): line[26:].split() for line in limits.splitlines()}
    assert lines["Max address space"][:2] == [str(decoder_process.MEMORY_BYTES)] * 2
    assert lines["Max core file size"][:2] == ["0", "0"]


def test_arrays_of_another_shape_are_refused() -> None:
    stream = io.BytesIO()
    decoder_process.send(stream, {}, np.zeros((3, 4), np.uint8))
    stream.seek(0)
    answer = decoder_process.receive(stream)
    with pytest.raises(ValueError, match="in place of"):
        decoder.received(stream, answer, [(4, 3)])
    stream.seek(0)
    decoder_process.receive(stream)
    (found,) = decoder.received(stream, answer, [(3, 4)])
    assert found.shape == (3, 4)
    with pytest.raises(EOFError):
        decoder_process.receive(io.BytesIO(b"\x01\x02"))
    with pytest.raises(EOFError, match="a message of"):
        decoder_process.receive(io.BytesIO((1 << 40).to_bytes(8, "little")))


def test_it_ends_with_this_process(tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    code = (
        "import sys; from pathlib import Path; from dronesense.readers import raster\n"
        "with raster.opened(Path(sys.argv[1])) as file: file.read()\n"
        "print(raster.DECODER._running().pid)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.tif")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    pid = int(found.stdout)
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the decoder outlived its run")


CUBE = np.arange(9 * 4 * 6, dtype=np.uint16).reshape(9, 4, 6)


def write_hdf(path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", data=CUBE, chunks=(2, 4, 6), compression="gzip")
    return path


def cube_of(path: Path):
    return hdf.read(path, label=path.name, name="x", order="lbs", line_times="none")[0]


@posix
def test_a_crash_of_the_hdf5_library_costs_its_file_and_no_other(tmp_path: Path) -> None:
    cube, other = cube_of(write_hdf(tmp_path / "bad.h5")), cube_of(write_hdf(tmp_path / "good.h5"))
    values = write(tmp_path / "a.tif")
    process = hdf_source.DECODER._running()
    assert process.pid not in (os.getpid(), worker_process().pid)
    with raster.opened(tmp_path / "a.tif") as dataset, hdf_source.opened(tmp_path / "bad.h5") as held:
        os.kill(process.pid, signal.SIGSEGV)
        process.wait()
        with pytest.raises(ReadError, match=r"bad\.h5: cannot be read on: its decoder was ended"):
            held.ask({"do": "list"})
        np.testing.assert_array_equal(dataset.read(), values)  # it has another decoder
    np.testing.assert_array_equal(other.source.read(0, 9)[0], CUBE)
    np.testing.assert_array_equal(cube.source.read(3, 5)[0], CUBE[3:5])  # it was not this file's fault


@posix
def test_a_decoder_that_crashes_or_hangs_in_the_middle_of_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = cube_of(write_hdf(tmp_path / "bad.h5"))
    send = decoder.send
    for sign, text in ((signal.SIGSEGV, "it crashed"), (signal.SIGSTOP, "it took more than")):

        def hit(stream, message, sign=sign):  # as if the read itself had done it
            if message["do"] == "read":
                os.kill(hdf_source.DECODER._running().pid, sign)
            send(stream, message)

        monkeypatch.setattr(decoder, "send", hit)
        monkeypatch.setattr(decoder, "PATIENCE_S", 1.0)
        start = time.monotonic()
        with pytest.raises(
            ReadError, match=f"cannot be read as HDF5: its decoder was ended .{text}"
        ) as error:
            list(cube.blocks())
        assert "bad.h5" in str(error.value)
        assert time.monotonic() - start < 20.0
        monkeypatch.undo()
        np.testing.assert_array_equal(cube.source.read(0, 9)[0], CUBE)


def test_sizes_that_nothing_stored_bears_out_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "size.h5", "w") as file:
        file.create_dataset("cube", shape=(10**6, 10**6, 10**6), dtype="<f4", chunks=(1, 8, 8))[0, 0, 0] = 1.0
    with pytest.raises(
        ReadError, match=r"size\.h5: says that cube has 4000000000000000000 bytes, but holds 256"
    ):
        cube_of(tmp_path / "size.h5")
    with h5py.File(tmp_path / "chunk.h5", "w") as file:
        file.create_dataset("cube", shape=(8, 4, 1 << 26), dtype="u1", chunks=(2, 4, 1 << 26))
    with pytest.raises(ReadError, match=r"chunk\.h5: has chunks of 536870912 bytes"):
        cube_of(tmp_path / "chunk.h5")


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="address space is limited on Linux")
def test_a_bomb_meets_the_limit_of_memory_and_the_decoder_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h5py = pytest.importorskip("h5py")
    good = cube_of(write_hdf(tmp_path / "good.h5"))
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("cube", shape=(8, 4, 1 << 31), dtype="u1", chunks=(1, 1, 1 << 31))
    monkeypatch.setattr(hdf, "_check_size", lambda *_: None)
    bomb = cube_of(tmp_path / "bomb.h5")
    before = hdf_source.DECODER._running().pid
    with pytest.raises(ReadError, match=r"bomb\.h5: cannot be read as HDF5 .*allocate"):
        bomb.source.read(0, 1)
    assert hdf_source.DECODER._running().pid == before
    np.testing.assert_array_equal(good.source.read(0, 9)[0], CUBE)


def test_the_hdf5_library_is_not_in_this_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dronesense.readers import hdf\n"
        "cube = hdf.read(Path(sys.argv[1]), label='x', name='x', order='lbs', line_times='none')[0]\n"
        "print(int(cube.source.read(0, 9)[0].sum()), 'h5py' in sys.modules)"
    )
    path = str(write_hdf(tmp_path / "x.h5"))
    told = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == [str(int(CUBE.sum())), "False"]
