"""The text files of the flight folder, in the words of the contract, and the terrain model of the user."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.synthetic import analyzer as gas_side
from dronesense.synthetic import plan as p
from dronesense.synthetic import spectra
from dronesense.synthetic.camera import FULL_SCALE_DN
from dronesense.synthetic.frames import Array, Site
from dronesense.synthetic.ground import Surface

DEM_STEP_M: Final = 2.0
DEM_REACH_M: Final = 330.0
DEM_CORRELATION_M: Final = 20.0
"""Over how far the errors of the terrain model hang together, m."""
SIGNATURE_STEP_NM: Final = 5.0
SIGMA_SIGNATURE: Final = 0.01
"""Relative error of the laboratory measurement of the target."""
SIGMA_PANEL: Final = 0.003
FALSE_ALARM_RATE: Final = 1e-5
FALSE_ALARMS_PER_HOUR: Final = 1.0
INSTRUMENT_GAS: Final = "example-analyser"
INSTRUMENT_CAMERA: Final = "example-line-scanner"


def iso(unix_s: float, digits: int = 6) -> str:
    """Return an ISO 8601 UTC stamp with *digits* decimals of the second.

    Examples
    --------
    >>> iso(0.25, 3)
    '1970-01-01T00:00:00.250Z'
    """
    units = round(unix_s * 10**digits)
    whole, part = divmod(units, 10**digits)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{part:0{digits}d}Z"


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with plain line feeds, whatever the system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def flight_toml(flight_id: str) -> str:
    """Return ``flight.toml``."""
    sigma = (
        f"horizontal_m = {p.SIGMA_HORIZONTAL_M}, vertical_m = {p.SIGMA_VERTICAL_M}, "
        f"roll_pitch_deg = {p.SIGMA_ROLL_PITCH_DEG}, heading_deg = {p.SIGMA_HEADING_DEG}, "
        f"clock_s = {p.SIGMA_CLOCK_S}"
    )
    return f"""# A made-up flight: dronesense.synthetic wrote it; truth.geojson says what is really there.
schema = 1

[flight]
id = "{flight_id}"
crs = "auto"

[track]
path = "raw/00000021.BIN"
source = "auto"
height_ref = "auto"
sigma = {{ {sigma} }}

[terrain]
path = "raw/dem.tif"
height_ref = "ellipsoid"
sigma_m = {p.SIGMA_TERRAIN_M}

[[gas]]
path = "raw/analyser.csv"
instrument = "{INSTRUMENT_GAS}"
clock_offset_s = "auto"

[[cube]]
path = "raw/line_*.bil.hdr"
instrument = "{INSTRUMENT_CAMERA}"
line_times = "auto"
dark = "raw/dark.bil.hdr"
panel = {{ path = "raw/panel.bil.hdr", reflectance = "raw/panel.csv" }}

[calibration]
path = "calibration"

[[detect]]
target = "CH4"
species = "CH4"
false_alarms_per_hour = {FALSE_ALARMS_PER_HOUR}
min_duration_s = 0.6

[[detect]]
target = "blue-cover"
signature = "raw/target.csv"
method = "ace"
false_alarm_rate = {FALSE_ALARM_RATE:g}
min_pixels = 1

[hotspots]
merge_radius_m = "auto"
"""


def analyzer_toml() -> str:
    """Return the analyser's instrument file."""
    x, y, z = gas_side.LEVER_ARM_M
    return f"""schema = 1
id = "{INSTRUMENT_GAS}"
kind = "gas"

[time]
column = "Time (UTC)"
format = "iso"
zone = "UTC"

[columns]
"CH4 (ppm)" = {{ species = "CH4", unit = "ppm", basis = "wet", sigma = {gas_side.SIGMA_READING_PPM} }}
"P (hPa)" = {{ field = "pressure", unit = "hPa" }}
"T (degC)" = {{ field = "temperature", unit = "degC" }}
"H2O (%)" = {{ field = "water", unit = "percent" }}

[valid_range]
CH4 = [0.0, 500.0]

[mount]
lever_arm_m = [{x}, {y}, {z}]
"""


def record_toml() -> str:
    """Return the analyser's calibration record."""
    return f"""schema = 1
instrument = "{INSTRUMENT_GAS}"
valid_from = 2026-06-01T00:00:00Z
note = "zero air and 10.02 ppm cylinder, made up"

[species.CH4]
zero = {gas_side.ZERO_PPM}
span = {gas_side.SPAN}
sigma_zero = {gas_side.SIGMA_ZERO_PPM}
sigma_span = {gas_side.SIGMA_SPAN}

[response]
tau_s = {gas_side.TAU_S}
delay_s = {gas_side.DELAY_S}
sigma_tau_s = {gas_side.SIGMA_TAU_S}
sigma_delay_s = {gas_side.SIGMA_DELAY_S}
"""


def camera_toml(boresight_deg: Array, lever_arm_m: Array) -> str:
    """Return the camera's instrument file, with what its calibration found."""
    roll, pitch, yaw = boresight_deg
    x, y, z = lever_arm_m
    return f"""schema = 1
id = "{INSTRUMENT_CAMERA}"
kind = "line_scan"
samples = {p.SAMPLES}
fov_deg = {p.FOV_DEG}
first_sample = "port"

[mount]
rotation = "nadir"
boresight_deg = {{ roll = {roll:.4f}, pitch = {pitch:.4f}, yaw = {yaw:.4f} }}
lever_arm_m = [{x:.4f}, {y:.4f}, {z:.4f}]
sigma = {{ boresight_deg = {p.SIGMA_BORESIGHT_DEG}, lever_arm_m = {p.SIGMA_LEVER_ARM_M} }}

[radiometry]
saturation_dn = {FULL_SCALE_DN}
"""


def _smooth_error(nm: Array, sigma: float, rng: np.random.Generator) -> Array:
    x = (nm - spectra.FIRST_NM) / (spectra.LAST_NM - spectra.FIRST_NM)
    terms = rng.standard_normal(4)
    shape = np.stack([np.ones_like(x), np.cos(np.pi * x), np.cos(2 * np.pi * x), np.cos(3 * np.pi * x)])
    return np.asarray(sigma / 2.0 * (terms @ shape) * np.sqrt(8.0 / 5.0))


def spectrum_csv(nm: Array, value: Array, sigma: float, rng: np.random.Generator) -> str:
    """Return a measured spectrum: the true one with a smooth relative error of *sigma*."""
    measured = value * (1.0 + _smooth_error(nm, sigma, rng))
    rows = [f"{w:.1f},{v:.5f},{sigma * v:.5f}" for w, v in zip(nm, measured, strict=True)]
    return "wavelength_nm,reflectance,sigma\n" + "\n".join(rows) + "\n"


def signature_nm() -> Array:
    """Return the wavelengths of the laboratory spectra, nm: a little wider than the camera's."""
    return np.arange(spectra.FIRST_NM - 20.0, spectra.LAST_NM + 20.0 + SIGNATURE_STEP_NM, SIGNATURE_STEP_NM)


def side_file(name: str) -> str:
    """Return the TOML beside a spectrum: where it is from, and what may be done with it."""
    source = "made up by dronesense.synthetic; no material was measured"
    return f'schema = 1\nname = "{name}"\nsource = "{source}"\nlicense = "CC0-1.0"\n'


def lines_csv(unix_s: Array) -> str:
    """Return the line-time table: line number from 0, and the UTC of its mid-exposure."""
    return "line,utc\n" + "".join(f"{k},{iso(float(t))}\n" for k, t in enumerate(unix_s))


def write_dem(path: Path, site: Site, surface: Surface, rng: np.random.Generator) -> None:
    """Write the terrain model: ellipsoidal heights on a UTM grid, with a smooth error of the stated size."""
    import rasterio
    from rasterio.transform import Affine
    from scipy.ndimage import gaussian_filter

    x0, y0 = (float(v) for v in site.to_utm(np.float64(site.lon_deg), np.float64(site.lat_deg)))  # type: ignore[arg-type]
    west = np.floor((x0 - DEM_REACH_M) / DEM_STEP_M) * DEM_STEP_M
    north = np.ceil((y0 + DEM_REACH_M) / DEM_STEP_M) * DEM_STEP_M
    count = int(2.0 * DEM_REACH_M / DEM_STEP_M) + 1
    x = west + (np.arange(count) + 0.5) * DEM_STEP_M
    y = north - (np.arange(count) + 0.5) * DEM_STEP_M
    lon, lat = site.from_utm(*(a.ravel() for a in np.meshgrid(x, y)))
    height = np.full(lon.shape, site.height_m)
    for _ in range(2):  # the vertical of a cell is not quite the site's up
        enu = site.from_geodetic(lon, lat, height)
        height = height + surface.up(enu[:, 0], enu[:, 1]) - enu[:, 2]
    error = gaussian_filter(
        rng.standard_normal((count, count)), DEM_CORRELATION_M / DEM_STEP_M / np.sqrt(2.0), mode="wrap"
    )
    gain = np.sqrt(2.0 * np.pi) * DEM_CORRELATION_M / DEM_STEP_M  # 1 / rms of the filter of white noise
    band = (height.reshape(count, count) + p.SIGMA_TERRAIN_M * gain * error).astype(np.float32)
    profile = {
        "driver": "GTiff",
        "height": count,
        "width": count,
        "count": 1,
        "dtype": "float32",
        "crs": site.utm,
        "transform": Affine(DEM_STEP_M, 0.0, west, 0.0, -DEM_STEP_M, north),
        "nodata": -9999.0,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as out:
        out.write(band, 1)
        out.set_band_description(1, "height above the WGS84 ellipsoid, m")
        out.units = ("m",)
