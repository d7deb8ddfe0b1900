"""The gas analyser: a plume, an inlet line, a slow cell, a calibration line, noise, a clock nobody set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from dronesense.synthetic.autopilot import Air
from dronesense.synthetic.dataflash import correlated
from dronesense.synthetic.frames import Array, Site, rotation
from dronesense.synthetic.ground import Surface
from dronesense.synthetic.motion import Motion
from dronesense.synthetic.plan import LEG_DOWNWIND_M, Plan

FINE_S: Final = 0.02
RATE_HZ: Final = 3.0
WHITE_PPM: Final = 0.005
RED_PPM: Final = 0.0033
RED_S: Final = 1.0
"""Noise of a reading: white, and first-order autoregressive with its correlation time; together 0.006 ppm."""
SIGMA_READING_PPM: Final = 0.006
PRESSURE_SIGMA_HPA: Final = 0.03

ZERO_PPM: Final = 0.05
SPAN: Final = 1.03
SIGMA_ZERO_PPM: Final = 0.005
SIGMA_SPAN: Final = 0.004
TAU_S: Final = 1.6
DELAY_S: Final = 1.1
SIGMA_TAU_S: Final = 0.05
SIGMA_DELAY_S: Final = 0.05
LEVER_ARM_M: Final = (0.3, 0.0, -0.2)
"""What the instrument file and the calibration record say."""

BRIGGS_Y: Final = 0.16
BRIGGS_Z: Final = 0.12
BRIGGS_CURVE: Final = 1e-4
"""Open-country spread of a plume, class B (Briggs 1973, ATDL-79): 0.16 x / sqrt(1 + 1e-4 x) and 0.12 x."""
MOLAR_MASS_CH4: Final = 16.043
GAS_CONSTANT: Final = 8.314462618


@dataclass(frozen=True, slots=True, eq=False)
class Analyzer:
    """What the analyser really is and how its clock stands.

    Parameters
    ----------
    zero_ppm, span, tau_s, delay_s : float
        True calibration line and response.
    lever_arm_m : (3,) float64
        Inlet, body forward-right-down.
    clock_offset_s : float
        To be added to the stamps to get UTC, at `clock_zero_s` (s since boot).
    clock_drift : float
        Change of the offset per second.
    pressure_bias_hpa, water_percent, background_ppm, peak_ppm : float
        Bias of the pressure sensor, moisture, background, highest enhancement on the flight path.
    """

    zero_ppm: float
    span: float
    tau_s: float
    delay_s: float
    lever_arm_m: Array
    clock_offset_s: float
    clock_drift: float
    clock_zero_s: float
    pressure_bias_hpa: float
    water_percent: float
    background_ppm: float
    peak_ppm: float


@dataclass(frozen=True, slots=True, eq=False)
class Gas:
    """Air at the inlet: times (s since boot), inlet positions (ENU), enhancement; and the source's rate."""

    time_s: Array
    inlet: Array
    enhancement_ppm: Array
    rate_kg_h: float


def draw_analyzer(motion: Motion, rng: np.random.Generator) -> Analyzer:
    """Draw an analyser whose true values scatter about the record's by the record's uncertainties."""
    magnitude = float(np.exp(rng.uniform(np.log(0.5), np.log(300.0))))
    return Analyzer(
        zero_ppm=float(rng.normal(ZERO_PPM, SIGMA_ZERO_PPM)),
        span=float(rng.normal(SPAN, SIGMA_SPAN)),
        tau_s=float(rng.normal(TAU_S, SIGMA_TAU_S)),
        delay_s=float(rng.normal(DELAY_S, SIGMA_DELAY_S)),
        lever_arm_m=np.array(LEVER_ARM_M) + rng.normal(0.0, 0.01, 3),
        clock_offset_s=magnitude if rng.integers(2) else -magnitude,
        clock_drift=float(rng.uniform(-20e-6, 20e-6)),
        clock_zero_s=motion.duration_s / 2.0,
        pressure_bias_hpa=float(rng.uniform(-0.8, 0.8)),
        water_percent=float(rng.uniform(0.4, 1.2)),
        background_ppm=float(rng.uniform(1.95, 2.08)),
        peak_ppm=float(rng.uniform(0.15, 0.6)),
    )


def _plume_shape(plan: Plan, surface: Surface, inlet: Array) -> Array:
    """Return concentration times wind speed per emission, 1/m2, mirrored at the source's ground level."""
    offset = inlet[:, :2] - plan.source
    along = offset @ plan.downwind
    across = offset @ np.array([-plan.downwind[1], plan.downwind[0]])
    x = np.maximum(along, 1e-3)
    sigma_y = BRIGGS_Y * x / np.sqrt(1.0 + BRIGGS_CURVE * x)
    sigma_z = BRIGGS_Z * x
    above = inlet[:, 2] - float(surface.up(plan.source[0], plan.source[1]))
    exponent = -0.5 * ((across / sigma_y) ** 2 + (above / sigma_z) ** 2)
    return np.where(along > 1.0, np.exp(exponent) / (np.pi * sigma_y * sigma_z), 0.0)


def breathe(analyzer: Analyzer, plan: Plan, motion: Motion, site: Site, surface: Surface, air: Air) -> Gas:
    """Return the enhancement at the inlet, scaled to the drawn peak, and the source's rate."""
    time = np.arange(0.0, motion.duration_s, FINE_S)
    position, angle = motion.pose(time)
    body_to_enu = site.ned_to_enu(position) @ rotation(angle[:, 0], angle[:, 1], angle[:, 2])
    inlet = position + body_to_enu @ analyzer.lever_arm_m
    shape = _plume_shape(plan, surface, inlet)
    scale = analyzer.peak_ppm / float(shape.max())
    amsl = np.array([site.height_m - site.undulation_m])
    moles_per_m3 = float(air.pressure_pa(amsl)[0]) / (GAS_CONSTANT * 295.0)
    rate_kg_s = scale * 1e-6 * moles_per_m3 * MOLAR_MASS_CH4 * 1e-3 * plan.wind_m_s
    return Gas(time, inlet, scale * shape, rate_kg_s * 3600.0)


def crossings(gas: Gas, motion: Motion) -> list[int]:
    """Return the fine sample of the highest enhancement on each crosswind leg that meets the plume."""
    begin, end = motion.legs_s
    edges = np.linspace(begin, end, len(LEG_DOWNWIND_M) + 1)
    tops = []
    for low, high in pairwise(edges):
        inside = np.flatnonzero((gas.time_s >= low) & (gas.time_s < high))
        top = int(inside[np.argmax(gas.enhancement_ppm[inside])])
        if inside[0] < top < inside[-1] and gas.enhancement_ppm[top] > 5.0 * SIGMA_READING_PPM:
            tops.append(top)
    return tops


def _respond(value: Array, tau_s: float) -> Array:
    """Return what a cell with one time constant shows of *value* (held over each fine step)."""
    from scipy.signal import lfilter, lfiltic

    share = 1.0 - float(np.exp(-FINE_S / tau_s))
    coefficients = [share], [1.0, share - 1.0]
    state = lfiltic(*coefficients, y=[value[0]])
    return np.asarray(lfilter(*coefficients, value, zi=state)[0])


def read_out(
    analyzer: Analyzer,
    gas: Gas,
    motion: Motion,
    site: Site,
    air: Air,
    boot_s: float,
    rng: np.random.Generator,
) -> str:
    """Return the logger's table."""
    phase = rng.uniform(0.0, 2.0 * np.pi)
    drift = 0.012 * np.sin(2.0 * np.pi * gas.time_s / rng.uniform(250.0, 400.0) + phase)
    drift += rng.uniform(-0.02, 0.02) * gas.time_s / motion.duration_s
    delayed = np.interp(
        gas.time_s - analyzer.delay_s, gas.time_s, gas.enhancement_ppm + analyzer.background_ppm + drift
    )
    shown = _respond(delayed, analyzer.tau_s)

    time = np.arange(2.0, motion.duration_s - 2.0, 1.0 / RATE_HZ)
    time = time + rng.uniform(-2e-3, 2e-3, len(time))
    noise = WHITE_PPM * rng.standard_normal(len(time)) + correlated(
        len(time), 1.0 / RATE_HZ, RED_S, RED_PPM, rng
    )
    reading = analyzer.zero_ppm + analyzer.span * np.interp(time, gas.time_s, shown) + noise

    up = np.interp(time, gas.time_s, site.to_geodetic(gas.inlet)[2]) - site.undulation_m
    pressure = (
        air.pressure_pa(up) / 100.0
        + analyzer.pressure_bias_hpa
        + PRESSURE_SIGMA_HPA * rng.standard_normal(len(time))
    )
    temperature = 27.0 + 0.4 * np.sin(time / 90.0) + 0.03 * rng.standard_normal(len(time))
    water = analyzer.water_percent * (1.0 + 0.005 * rng.standard_normal(len(time)))
    offset = analyzer.clock_offset_s + analyzer.clock_drift * (time - analyzer.clock_zero_s)
    whole = datetime.fromtimestamp(int(boot_s), UTC)
    out = ["Time (UTC),CH4 (ppm),P (hPa),T (degC),H2O (%)"]
    for t, c, p, k, w in zip(
        time - offset + (boot_s - int(boot_s)), reading, pressure, temperature, water, strict=True
    ):
        stamp = whole + timedelta(milliseconds=round(float(t) * 1000.0))
        text = stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}"
        out.append(f"{text},{c:.4f},{p:.2f},{k:.2f},{w:.3f}")
    return "\n".join(out) + "\n"
