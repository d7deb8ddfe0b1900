"""Records as xarray datasets: CF names and units, uncertainties beside values, a CRS as ``spatial_ref``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geodesy import cf_axes, cf_grid_mapping, to_lonlat
from dronesense.model.exchange import need
from dronesense.model.gas import Flag

need("xarray")

import xarray as xr  # noqa: E402 - asked for first, so that its absence is said in words

from dronesense.model.cube import Frame, LineScan, MapGrid  # noqa: E402
from dronesense.model.exchange import rows  # noqa: E402

if TYPE_CHECKING:
    from dronesense.model.cube import Geometry, SpectralCube
    from dronesense.model.detection import ScoreMap
    from dronesense.model.gas import GasSeries
    from dronesense.model.hotspot import GasTrace, GroundRaster
    from dronesense.model.trajectory import Trajectory

CONVENTIONS: Final = "CF-1.11"
GRID: Final = "spatial_ref"
FIXES: Final = "none two_d three_d differential rtk_float rtk_fixed ppp_or_ppk filter"
"""Of a track, by number from 0."""
STATUSES: Final = "hit no_trajectory no_terrain outside_terrain upward_ray grazing_ray"
"""Of a place on the ground, by number from 0."""
AMBIENT_UNITS: Final = {
    "pressure_hpa": "hPa", "temperature_k": "K", "humidity_percent": "percent", "water_ppm": "ppm",
}  # fmt: skip
BEAM_UNITS: Final = {"length_m": "m", "pitch_deg": "degree", "yaw_deg": "degree"}

Variables = dict[str, Any]
Transform = tuple[float, float, float, float, float, float]


def cube(record: SpectralCube) -> xr.Dataset:
    """Return a cube whose rows are read on use; see :meth:`.SpectralCube.to_xarray`."""
    first, second, coords, mapping = _places(record.geometry, (record.shape[0], record.shape[2]))
    bands = record.bands
    coords |= {
        "wavelength": ("band", bands.center_nm, {"units": "nm", "standard_name": "radiation_wavelength"}),
        "fwhm": ("band", bands.fwhm_nm, {"units": "nm", "long_name": "full width at half maximum"}),
        "good": ("band", bands.good, {"long_name": "band that can be trusted"}),
    }
    values: Variables = {
        record.quantity: (
            (first, "band", second),
            rows.lazy(rows.CubeRows(record)),
            {"long_name": record.quantity, "units": _cube_unit(record), "ancillary_variables": "valid"}
            | mapping,
        ),
        "valid": (
            (first, second),
            rows.lazy(rows.ValidRows(record)),
            {"long_name": "pixel neither saturated nor missing"} | mapping,
        ),
    }
    if record.relative_sigma is not None:
        about = {"long_name": "standard uncertainty of the calibration, a share of the value", "units": "1"}
        values["relative_sigma"] = ("band", record.relative_sigma, about)
    said: dict[str, Any] = {"title": record.name, "source": record.path, "instrument": record.instrument}
    if np.isfinite(record.integration_ms):
        said["integration_ms"] = record.integration_ms
    made = _dataset(values, coords, said, record.history)
    center = bands.center_nm
    if np.isfinite(center).all() and _monotonic(center):
        made = made.set_xindex("wavelength")
    return made


def score_map(record: ScoreMap, geometry: Geometry | None) -> xr.Dataset:
    """Return the scores of a cube's pixels; see :meth:`.ScoreMap.to_xarray`."""
    shape: tuple[int, int] = (record.score.shape[0], record.score.shape[1])
    if isinstance(geometry, LineScan) and len(geometry.time) != shape[0]:
        raise ValueError(f"{len(geometry.time)} line times for {shape[0]} rows of scores")
    first, second, coords, mapping = _places(geometry, shape)
    about: dict[str, Any] = {"long_name": f"{record.method} score of {record.target}", "units": record.unit}
    about |= {"threshold": record.threshold}
    if np.isfinite(record.false_alarm_rate):
        about["false_alarm_rate"] = record.false_alarm_rate
    said: dict[str, Any] = {"title": f"{record.target} in {record.cube}", "cube": record.cube}
    said |= {"target": record.target, "method": record.method}
    return _dataset({"score": ((first, second), record.score, about | mapping)}, coords, said)


def ground_raster(record: GroundRaster) -> xr.Dataset:
    """Return a raster with its grid; see :meth:`.GroundRaster.to_xarray`."""
    shape: tuple[int, int] = (record.values.shape[0], record.values.shape[1])
    first, second, coords, mapping = _grid(record.transform, record.crs, shape)
    about = {"long_name": record.description, "units": record.unit} | mapping
    return _dataset({"value": ((first, second), record.values, about)}, coords, {"title": record.name})


def gas_series(record: GasSeries) -> xr.Dataset:
    """Return a gas series against time; see :meth:`.GasSeries.to_xarray`."""
    about = {"long_name": f"{record.species}, {record.quantity.replace('_', ' ')}", "units": record.unit}
    bits = [flag for flag in Flag if flag]
    masks = {
        "long_name": "why a sample is not to be trusted",
        "flag_masks": np.array([int(flag) for flag in bits], np.uint16),
        "flag_meanings": " ".join((flag.name or "").lower() for flag in bits),
    }
    values: Variables = {
        "value": ("time", record.value, about | {"ancillary_variables": "sigma flags"}),
        "sigma": ("time", record.sigma, {"long_name": "standard uncertainty of value", "units": record.unit}),
        "flags": ("time", record.flags, masks),
        "row": ("time", record.row, {"long_name": "row in the source file, from 1"}),
    }
    values |= _measured(record.ambient, AMBIENT_UNITS, "")
    if record.beam is not None:
        values |= _measured(record.beam, BEAM_UNITS, "beam_")
    said: dict[str, Any] = {"title": f"{record.species} of {record.source}", "source": record.source}
    said |= {"instrument": record.instrument, "species": record.species, "quantity": record.quantity}
    said |= {"basis": record.basis, "level": record.level}
    return _dataset(values, {"time": _time(record.time)}, said, record.history)


def gas_trace(record: GasTrace) -> xr.Dataset:
    """Return a gas series with its places and events; see :meth:`.GasTrace.to_xarray`."""
    points = record.points
    lon, lat = to_lonlat(points.x, points.y, points.crs)
    axes = cf_axes(points.crs)
    mapping = {"grid_mapping": GRID}
    made = gas_series(record.series).assign_coords(
        lon=("time", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        lat=("time", lat, {"units": "degrees_north", "standard_name": "latitude"}),
        height_m=("time", points.height_m, _height()),
        x=("time", points.x, axes["x"]),
        y=("time", points.y, axes["y"]),
        spatial_ref=((), 0, cf_grid_mapping(points.crs)),
    )
    spread = np.sqrt(np.diagonal(points.cov, axis1=1, axis2=2))
    values: Variables = {
        "x_sigma_m": ("time", spread[:, 0], _sigma("x") | mapping),
        "y_sigma_m": ("time", spread[:, 1], _sigma("y") | mapping),
        "xy_cov_m2": ("time", points.cov[:, 0, 1], {"long_name": "covariance of x and y", "units": "m2"}),
        "status": ("time", points.status, _enumerated("how the place was found", STATUSES)),
    }
    unit = record.series.unit
    if record.background is not None:
        values["background"] = ("time", record.background, {"long_name": "background", "units": unit})
    if record.z is not None:
        about: dict[str, Any] = {"long_name": "standardized enhancement over the background", "units": "1"}
        if np.isfinite(record.threshold):
            about["threshold"] = record.threshold
        values["z"] = ("time", record.z, about)
    event = np.zeros(len(record.series), np.int32)
    for number, each in enumerate(record.detections, 1):  # a handful of events, not samples
        event[each.index] = number
    values["event"] = ("time", event, {"long_name": "number of the event that a sample is in, 0: none"})
    return made.assign(values)


def trajectory(record: Trajectory) -> xr.Dataset:
    """Return a track against time; see :meth:`.Trajectory.to_xarray`."""
    place = {"ancillary_variables": "std_ned_m"}
    values: Variables = {
        "lon": ("time", record.lon, {"units": "degrees_east", "standard_name": "longitude"} | place),
        "lat": ("time", record.lat, {"units": "degrees_north", "standard_name": "latitude"} | place),
        "height_m": ("time", record.height_m, _height() | place),
        "height_source_m": (
            "time",
            record.height_source_m,
            {"long_name": f"height as stated, above {record.height_ref}", "units": "m"},
        ),
        "velocity_ned": (("time", "ned"), record.velocity_ned, {"long_name": "velocity", "units": "m s-1"}),
        "std_ned_m": (("time", "ned"), record.std_ned_m, _sigma("position")),
        "attitude": (
            ("time", "quaternion"),
            record.attitude,
            {"long_name": "body (forward, right, down) to north, east, down", "units": "1"},
        ),
        "std_rpy_deg": (
            ("time", "rpy"),
            record.std_rpy_deg,
            {"long_name": "standard uncertainty of roll, pitch, yaw", "units": "degree"},
        ),
        "fix": ("time", record.fix, _enumerated("kind of fix", FIXES)),
        "segment": ("time", record.segment, {"long_name": "grows by one at every gap or reset"}),
    }
    if record.pressure_hpa is not None:
        values["pressure_hpa"] = ("time", record.pressure_hpa, {"long_name": "pressure", "units": "hPa"})
    coords: Variables = {
        "time": _time(record.time),
        "ned": ["north", "east", "down"],
        "quaternion": ["w", "x", "y", "z"],
        "rpy": ["roll", "pitch", "yaw"],
    }
    said: dict[str, Any] = {"title": f"track of {record.source}", "source": record.source}
    said |= {
        "height_ref": record.height_ref,
        "reference_point": record.reference_point,
        "clock": record.clock.kind,
    }
    said |= {"clock_sigma_s": record.clock.sigma_s, "clock_offset_s": record.clock.offset_s}
    return _dataset(values, coords, said, record.history)


# --- parts ----------------------------------------------------------------------------------------------


def _dataset(values: Variables, coords: Variables, said: Mapping[str, Any], history: Any = ()) -> xr.Dataset:
    attrs = {"Conventions": CONVENTIONS} | {name: value for name, value in said.items() if value != ""}
    if history:
        attrs["history"] = "\n".join(history)
    made = xr.Dataset(values, coords, attrs)
    lines = made.coords.get("time")
    if lines is not None and lines.dims == ("line",) and _monotonic(lines.to_numpy().astype(np.int64)):
        made = made.set_xindex("time")
    return made


def _places(geometry: Geometry | None, shape: tuple[int, int]) -> tuple[str, str, Variables, dict[str, str]]:
    """Return names of the dimensions, coordinates of pixels, and the attribute that names the CRS."""
    if isinstance(geometry, MapGrid):
        return _grid(geometry.transform, geometry.crs, shape)
    coords: Variables = {}
    if isinstance(geometry, LineScan):
        coords["time"] = _time(geometry.time, "line")
    elif isinstance(geometry, Frame):
        coords["time"] = _time(np.asarray(geometry.time, np.int64), ())
    return "line", "sample", coords, {}


def _grid(
    transform: Transform, crs: str, shape: tuple[int, int]
) -> tuple[str, str, Variables, dict[str, str]]:
    """Return dimensions and coordinates of the *centers* of a grid's pixels; 2-D where it is rotated."""
    a, b, c, d, e, f = transform
    row, col = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    axes = cf_axes(crs)
    gdal = " ".join(repr(float(value)) for value in (c, a, b, f, d, e))
    coords: Variables = {GRID: ((), 0, cf_grid_mapping(crs) | {"GeoTransform": gdal})}
    mapping = {"grid_mapping": GRID}
    if b == 0.0 and d == 0.0:
        coords |= {"x": ("x", a * col + c, axes["x"]), "y": ("y", e * row + f, axes["y"])}
        return "y", "x", coords, mapping
    dims = ("line", "sample")
    coords["x"] = (dims, a * col[None, :] + b * row[:, None] + c, axes["x"])
    coords["y"] = (dims, d * col[None, :] + e * row[:, None] + f, axes["y"])
    return "line", "sample", coords, mapping


def _time(time_ns: NDArray[np.int64], dims: str | tuple[str, ...] = "time") -> tuple[Any, ...]:
    return dims, time_ns.astype("datetime64[ns]"), {"standard_name": "time", "long_name": "UTC"}


def _measured(record: object, units: Mapping[str, str], before: str) -> Variables:
    """Return the columns of *record* that there are."""
    known = {each.name: getattr(record, each.name) for each in fields(record)}  # type: ignore[arg-type]
    return {
        f"{before}{name}": ("time", values, {"units": units[name]})
        for name, values in known.items()
        if values is not None
    }


def _enumerated(about: str, meanings: str) -> dict[str, Any]:
    numbers = np.arange(len(meanings.split()), dtype=np.uint8)
    return {"long_name": about, "flag_values": numbers, "flag_meanings": meanings}


def _sigma(of: str) -> dict[str, Any]:
    return {"long_name": f"standard uncertainty of {of}", "units": "m"}


def _height() -> dict[str, Any]:
    return {"standard_name": "height_above_reference_ellipsoid", "units": "m"}


def _cube_unit(record: SpectralCube) -> str:
    """Return the unit of a cube's values; that of a radiance stands in its history."""
    return {"counts": "count", "reflectance": "1"}.get(record.quantity, "")


def _monotonic(values: NDArray[Any]) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())
