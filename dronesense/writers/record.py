"""Dated calibration records of analysers and mounts, as :mod:`dronesense.readers.record` reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dronesense.model import CameraCalibration, GasCalibration, Mount
from dronesense.timescale import to_iso


def to_toml(record: GasCalibration, *, remarks: Sequence[str] = ()) -> str:
    """Return *record* as TOML.

    Parameters
    ----------
    record : GasCalibration
    remarks : sequence of str
        Lines for people, written as comments at its head.

    Returns
    -------
    str
        Numbers in full precision: what is read back is equal to the last bit.
    """
    lines = _head(record, remarks)
    if record.after is not None:
        lines.append(f"after = {_text(Path(record.after.path).name)}")
    for name, each in record.species.items():
        lines += ["", f"[species.{_text(name)}]"]
        for key in ("zero", "span", "sigma_zero", "sigma_span", "covariance"):
            lines.append(f"{key} = {float(getattr(each, key))!r}")
        if each.standards:
            rows = ", ".join(f"[{', '.join(repr(float(x)) for x in row)}]" for row in each.standards)
            lines.append(f"standards = [{rows}]")
    response = record.response
    if response.tau_s > 0.0 or response.delay_s != 0.0:
        lines += ["", "[response]"]
        for key in (
            "tau_s",
            "sigma_tau_s",
            "tau_down_s",
            "sigma_tau_down_s",
            "delay_s",
            "sigma_delay_s",
            "covariance_tau_delay",
            "covariance_tau_down_delay",
        ):
            value = getattr(response, key)
            if value is not None:
                lines.append(f"{key} = {float(value)!r}")
    return "\n".join(lines) + "\n"


def mount_record(record: CameraCalibration, *, remarks: Sequence[str] = ()) -> str:
    """Return what *record* says of the mount of a camera, as TOML.

    Raises
    ------
    ValueError
        If it says nothing of the mount.
    """
    if record.mount is None:
        raise ValueError("the record has no mount")
    lines = _head(record, remarks)
    if record.time_offset_s:
        lines.append(f"time_offset_s = {record.time_offset_s!r}")
    return "\n".join([*lines, "", *mount_lines(record.mount)]) + "\n"


def mount_lines(mount: Mount) -> list[str]:
    """Return the lines of a ``[mount]`` table."""
    roll, pitch, yaw = mount.boresight_deg
    x, y, z = mount.lever_arm_m
    angle, arm = mount.sigma_boresight_deg, mount.sigma_lever_arm_m
    return [
        "[mount]",
        f"rotation = {_text(mount.rotation)}",
        *([f"tilt_deg = {mount.tilt_deg!r}"] if mount.tilt_deg else []),
        f"boresight_deg = {{ roll = {roll:.4f}, pitch = {pitch:.4f}, yaw = {yaw:.4f} }}",
        f"lever_arm_m = [{x:.4f}, {y:.4f}, {z:.4f}]",
        f"sigma = {{ boresight_deg = {angle:.4f}, lever_arm_m = {arm:.4f} }}",
    ]


def _head(record: GasCalibration | CameraCalibration, remarks: Sequence[str]) -> list[str]:
    lines = [f"# {' '.join(each.split())}" for each in remarks]
    lines += [
        "schema = 1",
        f"instrument = {_text(record.instrument)}",
        f"valid_from = {to_iso(record.valid_from, 6)}",
    ]
    return [*lines, f"note = {_text(record.note)}"] if record.note else lines


def _text(value: str) -> str:
    """Return *value* as a basic string of TOML: that of JSON, which escapes the same characters."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
