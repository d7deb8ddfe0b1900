"""What the autopilot believes and logs: clocks, latencies, filter errors, a start without a fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.synthetic import dataflash as df
from dronesense.synthetic.frames import Array, Site, rotation
from dronesense.synthetic.motion import GRAVITY_M_S2, STEP_S, Motion
from dronesense.synthetic.plan import (
    SIGMA_CLOCK_S,
    SIGMA_HEADING_DEG,
    SIGMA_HORIZONTAL_M,
    SIGMA_ROLL_PITCH_DEG,
    SIGMA_VERTICAL_M,
    Plan,
)

GPS_EPOCH_UNIX_S: Final = 315_964_800
"""1980-01-06T00:00:00Z."""
LEAP_S: Final = 18
"""GPS minus UTC since 2017-01-01 (IERS Bulletin C 52)."""
WEEK_S: Final = 604_800

LOGGING_S: Final = 4.0
GPS_FROM_S: Final = 6.0
FIX_S: Final = 12.0
WEEK_KNOWN_S: Final = 12.5
RTK_S: Final = 19.0
POS_FROM_S: Final = 14.0
ORIGIN_S: Final = 22.0
"""When things begin, s since boot: messages, GPS rows, 3-D fix, week number, RTK, POS rows, filter origin."""
POSITION_CORRELATION_S: Final = 40.0
ATTITUDE_CORRELATION_S: Final = 90.0
FIRST_FIX_SIGMA_M: Final = 1.2
STATUS_NO_FIX, STATUS_3D, STATUS_RTK_FLOAT, STATUS_RTK_FIXED = 1, 3, 5, 6
"""ArduPilot's GPS status."""
GPS_NOISE_M: Final = {STATUS_RTK_FIXED: 0.005, STATUS_RTK_FLOAT: 0.03}
"""White noise of the receiver's own positions, on top of the error it shares with the filter, m."""
BARO_SIGMA_PA: Final = 2.0

SEA_LEVEL_PA: Final = 101_325.0
SEA_LEVEL_K: Final = 288.15
LAPSE_K_M: Final = 0.0065
EXPONENT: Final = 5.25588
"""International standard atmosphere, ISO 2533:1975."""


@dataclass(frozen=True, slots=True, eq=False)
class Air:
    """Pressure against height."""

    sea_level_pa: float

    def pressure_pa(self, height_amsl_m: Array) -> Array:
        """Return the static pressure, Pa."""
        return np.asarray(self.sea_level_pa * (1.0 - LAPSE_K_M * height_amsl_m / SEA_LEVEL_K) ** EXPONENT)


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """Error of the navigation filter: of position (east, north, up; m) and of roll, pitch, yaw (rad)."""

    time_s: Array
    position: Array
    attitude: Array

    def errors(self, time_s: Array) -> tuple[Array, Array]:
        """Return (n, 3) position and attitude errors at *time_s*."""
        position = np.column_stack([np.interp(time_s, self.time_s, self.position[:, k]) for k in range(3)])
        attitude = np.column_stack([np.interp(time_s, self.time_s, self.attitude[:, k]) for k in range(3)])
        return position, attitude


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """The autopilot's clock and the GPS receiver's latency.

    Parameters
    ----------
    boot_s : float
        Unix time (UTC) at which the boot clock stood at zero.
    rate : float
        Seconds of the boot clock per second, minus one.
    latency_s : float
        Least time from measurement to log: the part of the latency that nobody can see in the log.
    spread_s : float
        How much later than that a message may come.
    rtk_fixed : bool
        Whether the receiver solves its ambiguities: then its own positions are as good as the filter's.
    """

    boot_s: float
    rate: float
    latency_s: float
    spread_s: float
    rtk_fixed: bool

    def boot_us(self, time_s: Array) -> Array:
        """Return what the boot clock shows, µs, at true seconds since boot."""
        return np.asarray(np.rint(time_s * (1.0 + self.rate) * 1e6))


def draw_filter(duration_s: float, rng: np.random.Generator) -> Filter:
    """Draw errors whose spread is exactly the stated standard uncertainty."""
    step = 0.1
    time = np.arange(0.0, duration_s + step, step)
    position = [
        df.correlated(len(time), step, POSITION_CORRELATION_S, sigma, rng)
        for sigma in (SIGMA_HORIZONTAL_M, SIGMA_HORIZONTAL_M, SIGMA_VERTICAL_M)
    ]
    angle = np.radians([SIGMA_ROLL_PITCH_DEG, SIGMA_ROLL_PITCH_DEG, SIGMA_HEADING_DEG])
    attitude = [df.correlated(len(time), step, ATTITUDE_CORRELATION_S, sigma, rng) for sigma in angle]
    return Filter(time, np.column_stack(position), np.column_stack(attitude))


def draw_clocks(boot_s: float, rng: np.random.Generator) -> Clocks:
    """Draw a crystal error near a millionth, and a least latency whose rms is the stated uncertainty."""
    latency = abs(float(rng.standard_normal())) * SIGMA_CLOCK_S
    spread = float(rng.uniform(0.06, 0.2))
    return Clocks(boot_s, float(rng.normal(0.0, 1e-6)), latency, spread, bool(rng.integers(2)))


def _us(time: Array) -> NDArray[np.int64]:
    return time.astype(np.int64)


def _gps(
    motion: Motion, site: Site, believed: Filter, clocks: Clocks, rng: np.random.Generator
) -> list[df.Rows]:
    gps_boot = clocks.boot_s - GPS_EPOCH_UNIX_S + LEAP_S
    epochs_ms = (
        np.arange(int(np.ceil((gps_boot + GPS_FROM_S) * 5.0)), int((gps_boot + motion.duration_s) * 5.0))
        * 200
    )
    true_s = epochs_ms / 1000.0 - gps_boot
    arrival_us = _us(clocks.boot_us(true_s + clocks.latency_s + clocks.spread_s * rng.random(len(true_s))))
    keep = arrival_us < _us(clocks.boot_us(np.array([motion.duration_s])))[0]
    epochs_ms, true_s, arrival_us = epochs_ms[keep], true_s[keep], arrival_us[keep]

    fixed, rtk, week_known = true_s >= FIX_S, true_s >= RTK_S, true_s >= WEEK_KNOWN_S
    best = STATUS_RTK_FIXED if clocks.rtk_fixed else STATUS_RTK_FLOAT
    own_noise = GPS_NOISE_M[best]
    position, _ = motion.pose(true_s)
    error = believed.errors(true_s)[0] + own_noise * rng.standard_normal(position.shape)
    first = np.column_stack([df.correlated(len(true_s), 0.2, 30.0, FIRST_FIX_SIGMA_M, rng) for _ in range(3)])
    lon, lat, height = site.to_geodetic(position + np.where(rtk[:, None], error, first))
    velocity = motion.velocity(true_s) + 0.02 * rng.standard_normal(position.shape)
    course = np.degrees(np.arctan2(velocity[:, 0], velocity[:, 1])) % 360.0
    undulation = np.where(fixed, -site.undulation_m, -17.0)
    rows = df.rows(
        "GPS",
        arrival_us,
        I=0,
        Status=np.select([rtk, fixed], [best, STATUS_3D], STATUS_NO_FIX),
        GMS=epochs_ms % (WEEK_S * 1000),
        GWk=np.where(week_known, epochs_ms // (WEEK_S * 1000), 0),
        NSats=np.select([rtk, fixed], [17, 8], 0),
        HDop=np.select([rtk, fixed], [0.65, 1.4], 99.99),
        Lat=np.where(fixed, lat, 0.0),
        Lng=np.where(fixed, lon, 0.0),
        Alt=np.where(fixed, height - site.undulation_m, -17.0),
        Spd=np.hypot(velocity[:, 0], velocity[:, 1]),
        GCrs=course,
        VZ=-velocity[:, 2],
        Yaw=0.0,
        U=1,
    )
    accuracy = df.rows(
        "GPA",
        arrival_us,
        I=0,
        VDop=np.select([rtk, fixed], [1.1, 2.2], 99.99),
        HAcc=np.select([rtk, fixed], [SIGMA_HORIZONTAL_M + own_noise, FIRST_FIX_SIGMA_M], 655.35),
        VAcc=np.select([rtk, fixed], [SIGMA_VERTICAL_M + own_noise, FIRST_FIX_SIGMA_M], 655.35),
        SAcc=np.where(fixed, 0.05, 655.35),
        YAcc=0.0,
        VV=1,
        SMS=arrival_us // 1000,
        Delta=200,
        Und=undulation,
    )
    return [rows, accuracy]


def _position(
    motion: Motion, site: Site, believed: Filter, clocks: Clocks, rng: np.random.Generator
) -> list[df.Rows]:
    time = np.arange(POS_FROM_S, motion.duration_s, 0.1)
    time = time + rng.uniform(-1e-3, 1e-3, len(time))
    position, _ = motion.pose(time)
    error, _ = believed.errors(time)
    lon, lat, height = site.to_geodetic(position + error)
    amsl = height - site.undulation_m
    home, settled = amsl[0], time >= ORIGIN_S
    origin_alt = float(home) + 0.2
    stamp = _us(clocks.boot_us(time))
    pos = df.rows(
        "POS",
        stamp,
        Lat=lat,
        Lng=lon,
        Alt=np.where(settled, amsl, amsl - home - 0.3),
        RelHomeAlt=amsl - home,
        RelOriginAlt=np.where(settled, amsl - origin_alt, np.nan),
    )
    at = int(np.argmax(settled))
    place = {"Lat": lat[at], "Lng": lon[at], "Alt": origin_alt}
    origin = [df.once("ORGN", int(stamp[at]) - 500, Type=kind, **place) for kind in (0, 1)]

    velocity = motion.velocity(time) + 0.02 * rng.standard_normal(position.shape)
    _, angle = motion.pose(time)
    angle = np.degrees(angle + believed.errors(time)[1])
    relative = np.where(settled[:, None], position + error - (position + error)[at], 0.0)
    core = df.rows(
        "XKF1",
        stamp + 120,
        C=0,
        Roll=angle[:, 0],
        Pitch=angle[:, 1],
        Yaw=_heading(angle[:, 2]),
        VN=velocity[:, 1],
        VE=velocity[:, 0],
        VD=-velocity[:, 2],
        dPD=-velocity[:, 2],
        PN=relative[:, 1],
        PE=relative[:, 0],
        PD=-(relative[:, 2]),
        GX=0.02,
        GY=-0.01,
        GZ=0.0,
        OH=0.0,
    )
    return [pos, *origin, core]


def _heading(yaw_deg: Array) -> Array:
    """Return 0..359.99 degrees, as the log stores it."""
    return np.asarray((np.rint(yaw_deg * 100.0) % 36000.0) / 100.0)


def _attitude(motion: Motion, believed: Filter, clocks: Clocks, rng: np.random.Generator) -> df.Rows:
    time = np.arange(LOGGING_S, motion.duration_s, 0.02)
    time = time + rng.uniform(-3e-4, 3e-4, len(time))
    _, angle = motion.pose(time)
    angle = np.degrees(angle + believed.errors(time)[1])
    wish = angle + 0.2 * rng.standard_normal(angle.shape)
    return df.rows(
        "ATT",
        _us(clocks.boot_us(time)),
        DesRoll=wish[:, 0],
        Roll=angle[:, 0],
        DesPitch=wish[:, 1],
        Pitch=angle[:, 1],
        DesYaw=_heading(wish[:, 2]),
        Yaw=_heading(angle[:, 2]),
        ErrRP=0.01,
        ErrYaw=0.02,
        AEKF=3,
    )


def _barometer(motion: Motion, site: Site, air: Air, clocks: Clocks, rng: np.random.Generator) -> df.Rows:
    time = np.arange(LOGGING_S, motion.duration_s, 0.1)
    position, _ = motion.pose(time)
    amsl = site.to_geodetic(position)[2] - site.undulation_m
    pressure = air.pressure_pa(amsl) + BARO_SIGMA_PA * rng.standard_normal(len(time))
    relative = amsl - amsl[0]
    stamp = _us(clocks.boot_us(time))
    return df.rows(
        "BARO",
        stamp,
        I=0,
        Alt=relative,
        Press=pressure,
        Temp=31.0 - 0.01 * relative,
        CRt=motion.velocity(time)[:, 2],
        SMS=stamp // 1000,
        Offset=0.0,
        GndTemp=30.5,
        Health=1,
    )


def _inertial(motion: Motion, clocks: Clocks, rng: np.random.Generator) -> df.Rows:
    time = np.arange(LOGGING_S, motion.duration_s - 1.0, 0.04)
    _, angle = motion.pose(time)
    later = motion.pose(time + STEP_S)[1]
    body_to_ned = rotation(angle[:, 0], angle[:, 1], angle[:, 2])
    turned = np.swapaxes(body_to_ned, 1, 2) @ rotation(later[:, 0], later[:, 1], later[:, 2])
    rate = np.column_stack([turned[:, 2, 1], turned[:, 0, 2], turned[:, 1, 0]]) / STEP_S
    east, north, up = np.asarray(motion.spline(time, 2))[:, :3].T
    felt = np.column_stack([north, east, -up - GRAVITY_M_S2])
    force = (np.swapaxes(body_to_ned, 1, 2) @ felt[..., None])[..., 0] + 0.05 * rng.standard_normal(
        (len(time), 3)
    )
    rate = rate + 0.002 * rng.standard_normal(rate.shape)
    return df.rows(
        "IMU",
        _us(clocks.boot_us(time)),
        I=0,
        GyrX=rate[:, 0],
        GyrY=rate[:, 1],
        GyrZ=rate[:, 2],
        AccX=force[:, 0],
        AccY=force[:, 1],
        AccZ=force[:, 2],
        EG=0,
        EA=0,
        T=41.0,
        GH=1,
        AH=1,
        GHz=2000,
        AHz=1000,
    )


def write_log(
    plan: Plan,
    motion: Motion,
    site: Site,
    air: Air,
    believed: Filter,
    clocks: Clocks,
    rng: np.random.Generator,
) -> bytes:
    """Return the DataFlash log of the flight."""
    opened = int(LOGGING_S * 1e6) - 300_000
    parameters = {
        "FORMAT_VERSION": 13.0,
        "SYSID_THISMAV": 1.0,
        "GPS_TYPE": 1.0,
        "EK3_ENABLE": 1.0,
        "AHRS_EKF_TYPE": 3.0,
        "LOG_BITMASK": 176126.0,
    }
    words = [
        df.once("PARM", opened + 1000 * k, Name=n.encode(), Value=v)
        for k, (n, v) in enumerate(parameters.items())
    ]
    texts = [
        "ArduCopter V4.2.3 (00000000)",
        "ChibiOS: 00000000",
        "Frame: QUAD/X",
        "Made by dronesense.synthetic: no aircraft flew this",
    ]
    words += [
        df.once("MSG", opened + 50_000 + 1000 * k, Message=text.encode()) for k, text in enumerate(texts)
    ]
    modes = [
        df.once("MODE", int(t * 1e6), Mode=m, ModeNum=m, Rsn=r)
        for t, m, r in ((LOGGING_S, 0, 26), (plan.take_off_s - 2.0, 3, 1), (motion.landed_s - 10.0, 9, 1))
    ]
    groups = [
        *words,
        *modes,
        *_gps(motion, site, believed, clocks, rng),
        *_position(motion, site, believed, clocks, rng),
        _attitude(motion, believed, clocks, rng),
        _barometer(motion, site, air, clocks, rng),
        _inertial(motion, clocks, rng),
    ]
    return df.preamble(opened) + df.interleave(groups)
