"""Where the aircraft was, how it was turned, and how well both are known."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model import showing
from dronesense.model.checks import freeze, strictly_increasing, within
from dronesense.model.instrument import Instrument

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

ClockKind = Literal["exact", "fitted", "date-only", "relative"]
HeightRef = Literal["ellipsoid", "egm96", "egm2008", "receiver-geoid", "takeoff", "unknown"]

HEIGHT_REFS: Final = ("ellipsoid", "egm96", "egm2008", "receiver-geoid", "takeoff", "unknown")
QUATERNION_NORM_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Clock:
    """How the time stamps of a record relate to UTC.

    Parameters
    ----------
    kind : {"exact", "fitted", "date-only", "relative"}
        ``exact``: the file holds UTC; ``fitted``: UTC was estimated from another clock in the file.
    sigma_s : float
        Standard uncertainty of the stamps, in s.
    offset_s : float
        What was added to the source clock to get UTC, in s.
    note : str
        How it was found, for people.
    """

    kind: ClockKind
    sigma_s: float
    offset_s: float = 0.0
    note: str = ""

    def __post_init__(self) -> None:
        if not self.sigma_s >= 0.0:
            raise ValueError(f"clock sigma_s must be >= 0, not {self.sigma_s}")


TimeScale = Literal["auto", "utc", "gps"]
RollSign = Literal["auto", "right-wing-down", "right-wing-up"]


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """What a user says of a flight log beyond its bytes; a reader takes what its format leaves open.

    Parameters
    ----------
    source : str
        Position source within the log (``"POS"``, ``"GPS[1]"``, ...), or ``"auto"``.
    instrument : Instrument, optional
        Columns of a delimited table.
    date : datetime.date, optional
        UTC day on which a log without a date starts.
    zone : str, optional
        Zone of a log in local time: ``"UTC"``, ``"+05:00"`` or an IANA name.
    time_scale : {"auto", "utc", "gps"}
        Scale of stamps that the format leaves open; ``"auto"``: what the format's makers say.
    roll_positive : {"auto", "right-wing-down", "right-wing-up"}
        Sign of roll where the format leaves it open; ``"auto"``: what the format's makers say.
    """

    source: str = "auto"
    instrument: Instrument | None = None
    date: dt.date | None = None
    zone: str | None = None
    time_scale: TimeScale = "auto"
    roll_positive: RollSign = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Triggers:
    """When a log says that a camera took a picture.

    Parameters
    ----------
    time : (k,) int64
        UTC, ns, increasing.
    number : (k,) int64
        What the log numbers the picture; -1 where it does not.
    source : str
        Message the stamps come from.
    """

    time: NDArray[np.int64]
    number: NDArray[np.int64]
    source: str

    def __post_init__(self) -> None:
        freeze(self, np.int64, (None,), "time")
        freeze(self, np.int64, (len(self.time),), "number")

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trajectory:
    """Position and attitude against time.

    Parameters
    ----------
    time : (n,) int64
        UTC, ns since 1970-01-01, strictly increasing.
    lon, lat : (n,) float64
        WGS84, degrees.
    height_m : (n,) float64
        Above the WGS84 ellipsoid, m; NaN where it cannot be derived.
    height_source_m : (n,) float64
        The height that the source states, m.
    height_ref : str
        What `height_source_m` refers to, one of :data:`HEIGHT_REFS`.
    velocity_ned : (n, 3) float64
        North, east, down, m/s; NaN when unknown.
    attitude : (n, 4) float64
        Unit quaternion w, x, y, z, body (forward, right, down) to local north-east-down; NaN when unknown.
    std_ned_m, std_rpy_deg : (n, 3) float64
        Standard uncertainty of position (north, east, down) and of roll, pitch, yaw.
    fix : (n,) uint8
        0 none, 1 2-D, 2 3-D, 3 differential, 4 RTK float, 5 RTK fixed, 6 PPP/PPK, 7 filter output.
    segment : (n,) int32
        Grows by one at every gap or reset: nothing is interpolated across segments.
    clock : Clock
        How `time` was obtained.
    reference_point : str
        What the position is the position of: ``"antenna"``, ``"imu"``, ``"camera"``, ``"unknown"``.
    source : str
        File and message the position comes from.
    pressure_hpa : (n,) float64, optional
        Static pressure of the aircraft's barometer, NaN when unknown.
    triggers : Triggers, optional
        Pictures that the log knows of.
    history : tuple of str
        One line per step.
    sigma_from : (position, attitude) of str
        Where their standard uncertainties come from: ``"log"``, ``"default"`` (the reader's, by the kind of
        fix), ``"log and default"``, ``"flight.toml"``, ``"log and flight.toml"`` ...

    Raises
    ------
    ValueError
        If an array has the wrong shape, `time` does not increase, or a value is out of its range.
    """

    time: NDArray[np.int64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    height_m: NDArray[np.float64]
    height_source_m: NDArray[np.float64]
    height_ref: HeightRef
    velocity_ned: NDArray[np.float64]
    attitude: NDArray[np.float64]
    std_ned_m: NDArray[np.float64]
    std_rpy_deg: NDArray[np.float64]
    fix: NDArray[np.uint8]
    segment: NDArray[np.int32]
    clock: Clock
    reference_point: str
    source: str
    pressure_hpa: NDArray[np.float64] | None = None
    triggers: Triggers | None = None
    history: tuple[str, ...] = ()
    sigma_from: tuple[str, str] = ("log", "log")

    def __post_init__(self) -> None:
        n = len(self.time)
        freeze(self, np.int64, (None,), "time")
        freeze(self, np.float64, (n,), "lon", "lat", "height_m", "height_source_m", "pressure_hpa")
        freeze(self, np.float64, (n, 3), "velocity_ned", "std_ned_m", "std_rpy_deg")
        freeze(self, np.float64, (n, 4), "attitude")
        freeze(self, np.uint8, (n,), "fix")
        freeze(self, np.int32, (n,), "segment")
        if n == 0:
            raise ValueError("a trajectory needs at least one sample")
        strictly_increasing(self.time, "time")
        if not (np.isfinite(self.lon).all() and np.isfinite(self.lat).all()):
            raise ValueError("lon and lat must be finite")
        within(self.lon, -180.0, 180.0, "lon")
        within(self.lat, -90.0, 90.0, "lat")
        if self.height_ref not in HEIGHT_REFS:
            raise ValueError(f"height_ref must be one of {HEIGHT_REFS}, not {self.height_ref!r}")
        norm = np.linalg.norm(self.attitude, axis=1)
        if np.any(np.abs(norm[np.isfinite(norm)] - 1.0) > QUATERNION_NORM_TOLERANCE):
            raise ValueError("attitude quaternions must have unit norm")

    def __len__(self) -> int:
        return len(self.time)

    def __repr__(self) -> str:
        return f"<Trajectory {self.source}: {len(self)} samples, heights: {self.height_ref}>"

    def _repr_html_(self) -> str:
        facts = {
            "samples": len(self),
            "from": showing.moment(self.time[0]),
            "to": showing.moment(self.time[-1]),
            "longitudes": showing.span(self.lon.min(), self.lon.max(), "deg"),
            "latitudes": showing.span(self.lat.min(), self.lat.max(), "deg"),
            "heights": self.height_ref,
            "position of": self.reference_point,
            "steps": "; ".join(self.history),
        }
        return showing.card(f"Track {self.source}", facts)

    def to_xarray(self) -> xr.Dataset:
        """Return place, attitude, velocity and their uncertainties against `time` (UTC).

        Raises
        ------
        PluginError
            If xarray is not installed.
        """
        from dronesense.model.exchange import arrays

        return arrays.trajectory(self)

    def to_geopandas(self) -> gpd.GeoDataFrame:
        """Return the track as a line for each stretch without a gap, EPSG:4326.

        Raises
        ------
        PluginError
            If geopandas is not installed.
        """
        from dronesense.model.exchange import tables

        return tables.trajectory(self)
