"""Cubes in HDF5 and NetCDF-4 files: planted cubes in every order of axes; what is not told is refused."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ManifestError, ReadError
from dronesense.manifest import open_flight
from dronesense.model import Instrument, LineCamera, LineScan, Mount
from dronesense.plugins import read_head
from dronesense.readers import hdf

h5py = pytest.importorskip("h5py")

SHAPE = (7, 3, 5)  # lines, bands, samples
TRUTH = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
NM = np.array([450.0, 550.0, 650.0])


def write(
    path: Path,
    *,
    order: str = "lbs",
    dtype: str = "<f4",
    dims: tuple[str, ...] = (),
    wavelengths: bool = True,
    unit: str = "nm",
    name: str = "cube",
    **attributes,
) -> Path:
    axes = ["lbs".index(letter) for letter in order]
    with h5py.File(path, "w") as file:
        item = file.create_dataset(
            name, data=TRUTH.transpose(axes).astype(dtype), chunks=True, compression="gzip"
        )
        for axis, dim in enumerate(dims):
            item.dims[axis].label = dim
        for key, value in attributes.items():
            item.attrs[key] = value
        if wavelengths:
            centers = file.create_dataset("wavelength", data=NM if unit == "nm" else NM / 1e3)
            centers.attrs["units"] = unit
            file.create_dataset("fwhm", data=np.full(3, 5.0) if unit == "nm" else np.full(3, 0.005))
    return path


def read(path: Path, **options):
    return hdf.read(path, label=path.name, name="x", **options)


@pytest.mark.parametrize("order", ["".join(each) for each in itertools.permutations("lbs")])
def test_every_order_of_axes(tmp_path, order):
    names = {"l": "lines", "b": "bands", "s": "samples"}
    path = write(tmp_path / "x.h5", order=order, dims=tuple(names[letter] for letter in order))
    for options in ({}, {"order": order}):
        cube, _ = read(path, **options)
        assert cube.shape == SHAPE
        for start, stop in ((0, 7), (2, 3), (5, 7)):
            values, valid = cube.source.read(start, stop)
            np.testing.assert_array_equal(values, TRUTH[start:stop])
            assert values.dtype == np.float32
            assert values.flags.c_contiguous
            assert valid.all()
    np.testing.assert_array_equal(np.concatenate([each.values for each in cube.blocks(100)]), TRUTH)


@pytest.mark.parametrize("dims", [("y", "x", "wavelength"), ("lat", "lon", "band"), ("", "samples", "bands")])
def test_names_of_axes_that_are_met(tmp_path, dims):
    cube, _ = read(write(tmp_path / "x.nc", order="lsb", dims=dims))
    np.testing.assert_array_equal(cube.source.read(0, 7)[0], TRUTH)


def test_axes_by_dimension_scales(tmp_path):
    """As the NetCDF-4 library writes dimensions."""
    path = tmp_path / "x.nc"
    with h5py.File(path, "w") as file:
        item = file.create_dataset("radiance", data=TRUTH.transpose(1, 0, 2))
        for axis, (name, values) in enumerate(
            (("wavelength", NM), ("y", np.arange(7.0)), ("x", np.arange(5.0)))
        ):
            file[name] = values
            file[name].make_scale(name)
            item.dims[axis].attach_scale(file[name])
    cube, report = read(path)
    assert report.details["axes"] == ["y", "wavelength", "x"]
    np.testing.assert_array_equal(cube.source.read(0, 7)[0], TRUTH)
    np.testing.assert_array_equal(cube.bands.center_nm, NM)
    assert cube.quantity == "radiance"


def test_axes_by_the_number_of_wavelengths(tmp_path):
    cube, report = read(write(tmp_path / "x.h5", order="lsb"))
    np.testing.assert_array_equal(cube.source.read(0, 7)[0], TRUTH)
    said = " ".join(report.assumptions)
    assert "axis 2 holds the bands" in said
    assert "axis 0 is taken to be the lines" in said


def test_axes_that_nothing_tells(tmp_path):
    path = write(tmp_path / "x.h5", wavelengths=False)
    with pytest.raises(ReadError, match='order = "lbs"'):
        read(path)
    with pytest.raises(ReadError, match="no permutation"):
        read(path, order="lbb")
    cube, report = read(path, order="lbs")
    assert np.isnan(cube.bands.center_nm).all()
    assert any("wavelengths not found" in each for each in report.assumptions)


@pytest.mark.parametrize(
    ("unit", "guessed"), [("nm", False), ("um", False), ("micrometers", False), ("", True)]
)
def test_wavelengths(tmp_path, unit, guessed):
    cube, report = read(write(tmp_path / "x.h5", unit=unit))
    np.testing.assert_allclose(cube.bands.center_nm, NM)
    np.testing.assert_allclose(cube.bands.fwhm_nm, 5.0)
    assert any("guessed" in each for each in report.assumptions) == guessed


def test_wavelengths_as_an_attribute(tmp_path):
    path = write(tmp_path / "x.h5", wavelengths=False, wavelengths_nm=NM, dims=("line", "band", "sample"))
    with h5py.File(path, "a") as file:
        file["cube"].attrs["Wavelength"] = NM
    np.testing.assert_array_equal(read(path)[0].bands.center_nm, NM)


@pytest.mark.parametrize(
    ("dtype", "attributes", "quantity", "factor"),
    [
        ("<u2", {}, "counts", 1.0),
        ("<f4", {}, "radiance", 1.0),
        ("<f4", {"units": "uW nm-1 cm-2 sr-1"}, "radiance", 0.01),
        ("<u2", {"units": b"W/m^2/sr/um"}, "radiance", 1e-3),
        ("<u2", {"scale_factor": 0.5, "add_offset": 10.0, "quantity": "reflectance"}, "reflectance", 0.5),
        ("<f4", {"quantity": "counts"}, "counts", 1.0),
    ],
)
def test_quantity_unit_and_scale(tmp_path, dtype, attributes, quantity, factor):
    cube, report = read(write(tmp_path / "x.h5", dtype=dtype, **attributes))
    assert cube.quantity == quantity
    expected = TRUTH * factor + attributes.get("add_offset", 0.0)
    np.testing.assert_allclose(cube.source.read(0, 7)[0], expected, rtol=1e-6)
    assert any("assumed" in each for each in report.assumptions) == ("quantity" not in attributes)


@pytest.mark.parametrize(
    ("white", "dtype", "attributes"),
    [
        (10000, "<i2", {"Scale_Factor": 10000.0}),  # NEON: divides
        (10000, "<i2", {"scale_factor": 1e-4}),  # CF conventions: multiplies
        (10000, "<i2", {"scale_factor": 10000.0}),  # the other way round: the numbers tell
        (1, "<f4", {}),
        (1, "<f4", {"long_name": "Surface reflectance"}),
    ],
)
def test_scales_of_reflectance(tmp_path, monkeypatch, white, dtype, attributes):
    truth = np.random.default_rng(0).uniform(0.05, 0.6, SHAPE)
    monkeypatch.setitem(globals(), "TRUTH", np.round(truth * white) if white > 1 else truth)
    cube, report = read(
        write(tmp_path / "x.h5", name="Reflectance_Data", order="lsb", dtype=dtype, **attributes)
    )
    assert cube.quantity == "reflectance"
    np.testing.assert_allclose(cube.source.read(0, SHAPE[0])[0], truth, atol=1e-4)
    assert any("scale 0.0001" in each for each in report.assumptions) == (white > 1)


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"quantity": "reflectance"}, "no reflectance as a fraction"),
        ({"quantity": "radiance", "Scale_Factor": 50.0}, "divided or multiplied by 50 is not known"),
    ],
)
def test_scales_that_cannot_be_told_are_refused(tmp_path, attributes, match):
    with pytest.raises(ReadError, match=match):
        read(write(tmp_path / "x.h5", **attributes))


def test_bands_that_are_not_good(tmp_path):
    """EMIT marks the bands of water vapor with 0."""
    path = write(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file.create_dataset("good_wavelengths", data=np.array([1.0, 0.0, 1.0], np.float32))
    cube, _ = read(path)
    assert cube.bands.good.tolist() == [True, False, True]
    np.testing.assert_array_equal(cube.bands.center_nm, NM)


def test_a_quantity_that_is_none_is_refused(tmp_path):
    with pytest.raises(ReadError, match="unknown quantity"):
        read(write(tmp_path / "x.h5", quantity="albedo"))


@pytest.mark.parametrize(
    ("dtype", "fill", "key"),
    [("<i2", -99, "_FillValue"), ("<f4", -0.9999, "missing_value"), ("<u2", 999, "_FillValue")],
)
def test_fill_values_are_not_valid(tmp_path, dtype, fill, key):
    path = write(tmp_path / "x.h5", dtype=dtype, **{key: np.array([fill]).astype(dtype)})
    with h5py.File(path, "a") as file:
        file["cube"][2, 1, 3] = fill
    _, valid = read(path)[0].source.read(0, 7)
    assert [tuple(each) for each in np.argwhere(~valid)] == [(2, 3)]


def test_a_fill_value_beyond_the_type_is_never_met(tmp_path):
    cube, _ = read(write(tmp_path / "x.h5", dtype="<u2", missing_value=-9999.0, _FillValue=70_000.5))
    assert cube.source.fill == ()
    assert cube.source.read(0, 7)[1].all()


def test_nan_and_saturation_are_not_valid(tmp_path):
    path = write(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file["cube"][1, 0, 0] = np.nan
        file["cube"][3, 2, 4] = np.inf
    _, valid = read(path)[0].source.read(0, 7)
    assert [tuple(each) for each in np.argwhere(~valid)] == [(1, 0), (3, 4)]
    spec = LineCamera(5, np.zeros((5, 2)), 100.0)
    camera = Instrument("cam", "line_scan", spec, Mount(), "cam.toml")
    cube, _ = read(write(tmp_path / "y.h5", dtype="<u2"), instrument=camera)
    np.testing.assert_array_equal(cube.source.read(0, 7)[1], (TRUTH < 100).all(axis=1))
    with pytest.raises(ReadError, match="3 samples"):
        read(tmp_path / "y.h5", instrument=camera, order="lsb")


def test_the_dataset_is_found_or_must_be_named(tmp_path):
    path = write(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file["maps/small"] = np.zeros((2, 3, 2))  # 5 times smaller: an aside
        file["maps/text"] = "a"
        file["maps/flat"] = np.zeros((7, 5))
    assert read(path)[1].details["dataset"] == "cube"
    with h5py.File(path, "a") as file:
        file["maps/other"] = np.zeros((7, 3, 5))
    with pytest.raises(ReadError, match=r"cube \(7, 3, 5\), maps/other \(7, 3, 5\), maps/small") as error:
        read(path)
    assert 'dataset = "cube"' in str(error.value)
    assert read(path, dataset="/maps/other")[0].source.dataset == "maps/other"
    with pytest.raises(ReadError, match='did you mean "maps/other"'):
        read(path, dataset="maps/othr")
    flat = tmp_path / "flat.h5"
    with h5py.File(flat, "w") as file:
        file["flat"] = np.zeros((7, 5))
        file["empty"] = np.zeros((7, 0, 5))
    with pytest.raises(ReadError, match="no cube"):
        read(flat)


def test_numbers_in_other_files_are_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(TRUTH.tobytes())
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", shape=SHAPE, dtype="<f4", external=[(str(tmp_path / "secret"), 0, 420)])
    with pytest.raises(ReadError, match="other files"):
        read(path, order="lbs")


def test_names_that_are_no_text(tmp_path):
    path = write(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file[b"wavelength_\xff"] = np.arange(3.0)
        file[b"map\xfe"] = np.zeros((2, 1, 2))
        file["cube"].attrs[b"note\xff"] = np.bytes_(b"a\xff")
    np.testing.assert_array_equal(read(path, dataset="cube")[0].bands.center_nm, NM)


def test_line_times_beside_the_file(tmp_path):
    path = write(tmp_path / "x.h5")
    rows = "\n".join(f"{k},2026-06-14T05:00:0{k}Z" for k in range(7))
    (tmp_path / "x.lines.csv").write_text(f"line,utc\n{rows}\n")
    cube, report = read(path)
    assert isinstance(cube.geometry, LineScan)
    assert [Path(each).name for each in report.companions] == ["x.lines.csv"]
    assert read(path, line_times="none")[0].geometry is None


def test_sniff(tmp_path):
    path = write(tmp_path / "x.h5")
    assert hdf.sniff(path, read_head(path))
    with h5py.File(tmp_path / "v73.mat", "w", userblock_size=512) as file:
        file["cube"] = TRUTH
    assert hdf.sniff(tmp_path / "v73.mat", read_head(tmp_path / "v73.mat"))
    assert not hdf.sniff(path, b"CDF\x01" + bytes(100))
    assert not hdf.sniff(path, b"")


def test_every_cut_is_refused(tmp_path):
    path = write(tmp_path / "x.h5")
    data = path.read_bytes()
    for length in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(ReadError):
            read(path)


def test_a_damaged_chunk_is_refused_when_it_is_read(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        options = {"chunks": (1, 3, 5), "fletcher32": True}
        file.create_dataset("cube", data=TRUTH, **options)
        file["wavelength"] = NM
        chunk = file["cube"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 8] ^= 0xFF
    path.write_bytes(bytes(data))
    cube, _ = read(path)
    np.testing.assert_array_equal(cube.source.read(0, 4)[0], TRUTH[:4])
    with pytest.raises(ReadError, match="cannot be read"):
        cube.source.read(3, 6)


def test_rows_outside_are_a_programming_error(tmp_path):
    cube, _ = read(write(tmp_path / "x.h5"))
    with pytest.raises(ValueError, match="rows"):
        cube.source.read(0, 8)


def test_without_h5py_the_message_says_how_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "x.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ReadError, match=r'pip install "dronesense\[hdf\]"'):
        read(path)
    assert hdf.sniff(path, read_head(path))


def test_a_flight_names_the_dataset_and_other_readers_refuse_the_key(tmp_path):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name in ("first", "second"):
            file[name] = np.ones((7, 3, 5), dtype=np.uint16)
    text = 'schema = 1\n[[cube]]\npath = "two.h5"\norder = "lbs"\nline_times = "none"\n'
    (tmp_path / "flight.toml").write_text(text + 'dataset = "second"\n')
    (given,) = open_flight(tmp_path).cubes
    assert given.cube.shape == (7, 3, 5)
    assert "second" in given.cube.history[0]
    (tmp_path / "flight.toml").write_text(text.replace("[[cube]]", '[[cube]]\nreader = "envi"'))
    with pytest.raises(ManifestError, match="order is for HDF5"):
        open_flight(tmp_path)
