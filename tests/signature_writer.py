"""Files of reference spectra as the makers of instruments and libraries write them, with known content."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def ecostress(wavelength_um: Sequence[float], percent: Sequence[float], **changes: str) -> str:
    header = {
        "Name": "Planted paint",
        "Type": "manmade",
        "Sample No.": "P-1",
        "Owner": "nobody",
        "Origin": "made up: a test",
        "Measurement": "Bidirectional reflectance",
        "X Units": "Wavelength (micrometers)",
        "Y Units": "Reflectance (percent)",
        "First X Value": f"{wavelength_um[0]:.4f}",
        "Last X Value": f"{wavelength_um[-1]:.4f}",
        "Number of X Values": str(len(wavelength_um)),
        "Additional Information": "none",
    } | {key.replace("_", " "): value for key, value in changes.items()}
    rows = "".join(f" {x:.6f}\t{y:.6f}\r\n" for x, y in zip(wavelength_um, percent, strict=True))
    return "".join(f"{key}: {value}\r\n" for key, value in header.items()) + "\r\n" + rows


def usgs_column(title: str, values: Sequence[float]) -> str:
    return f" {title}\r\n" + "".join(f" {value:.7e}\r\n" for value in values)


def splib06(title: str, rows: Sequence[tuple[float, float, float]]) -> str:
    head = [
        "USGS Digital Spectral Library splib06a",
        "Clark and others 2007, USGS, Data Series 231.",
        "",
        "ASCII Spectral Data file contents:",
        "line 9 title",
        "line 10 history",
        "line 11 to end:  3-columns of data:",
        "     wavelength    reflectance    standard deviation",
        title,
        "made up for a test",
    ]
    return "\n".join([*head, *(f"{a:12.6f} {b:12.6e} {c:12.6f}" for a, b, c in rows)]) + "\n"


def asd(
    values: np.ndarray,
    *,
    first_nm: float = 350.0,
    step_nm: float = 1.0,
    revision: int = 8,
    kind: int = 1,
    form: int = 2,
    reference: np.ndarray | None = None,
    taken: bool = True,
    integration_ms: int = 136,
    gains: tuple[int, int] = (16, 32),
    splices: tuple[float, float] = (1000.0, 1800.0),
    saturation: int = 0,
    description: str = "white panel",
    tail: bytes = b"",
) -> bytes:
    head = bytearray(484)
    head[0:3] = b"ASD" if revision == 1 else b"as%d" % revision
    head[3:160] = b"planted".ljust(157, b"\0")
    struct.pack_into("<9h", head, 160, 0, 30, 11, 14, 5, 126, 0, 0, 0)
    struct.pack_into("<B", head, 186, kind)
    struct.pack_into("<ff", head, 191, first_nm, step_nm)
    struct.pack_into("<B", head, 199, form)
    struct.pack_into("<H", head, 204, len(values))
    struct.pack_into("<L", head, 390, integration_ms)
    struct.pack_into("<H", head, 400, 18140)
    struct.pack_into("<B", head, 422, saturation)
    struct.pack_into("<HH", head, 436, *gains)
    struct.pack_into("<ff", head, 444, *splices)
    dtype = {0: "<f4", 1: "<i4", 2: "<f8"}[form]
    data = bytes(head) + values.astype(dtype).tobytes()
    if reference is not None:
        text = description.encode()
        data += struct.pack("<hqqH", -1 if taken else 0, 0, 0, len(text)) + text
        data += reference.astype(dtype).tobytes()
    return data + tail


def svc(rows: np.ndarray, *, comma: bool = False, factors: str = "1.0, 1.0, 1.0") -> str:
    head = [
        "/*** Spectra Vista SIG Data ***/",
        "name= planted.0001.sig",
        "instrument= HI: 1162018 (HR-1024i)",
        "integration= 30.0, 40.0, 10.0, 30.0, 40.0, 10.0",
        "units= Radiance, Radiance",
        "time= 6/14/2026 11:30:00 AM, 6/14/2026 11:31:00 AM",
        f"factors= {factors}",
        "data= ",
    ]
    body = "".join("  ".join(f"{cell:.6f}" for cell in row) + "\r\n" for row in rows)
    return "\r\n".join(head) + "\r\n" + (body.replace(".", ",") if comma else body)


def sed(names: Sequence[str], rows: np.ndarray, *, channels: int | None = None) -> str:
    head = [
        "Comment: planted",
        "Version: 2.3",
        "File Name: C:\\data\\planted.sed",
        "Instrument: PSR+3500_SN0000",
        "Detectors: 512,256,256",
        "Measurement: REFLECTANCE",
        "Date: 06/14/2026,06/14/2026",
        "Time: 11:30:00,11:31:00",
        "Wavelength Range: 350,2500",
        f"Channels: {len(rows) if channels is None else channels}",
        f"Columns [{len(names)}]:",
        "Data:",
        "\t".join(names),
    ]
    return "\r\n".join(head) + "\r\n" + "".join("\t".join(f"{c:.6f}" for c in row) + "\r\n" for row in rows)


def envi_library(
    folder: Path, values: np.ndarray, axis: Sequence[float], *, name: str = "lib", **changes: str | None
) -> Path:
    """Write ``lib.sli`` and ``lib.hdr``; return the header."""
    keys: dict[str, str | None] = {
        "samples": str(values.shape[1]),
        "lines": str(values.shape[0]),
        "bands": "1",
        "header offset": "0",
        "file type": "ENVI Spectral Library",
        "data type": "4",
        "interleave": "bsq",
        "byte order": "0",
        "wavelength units": "Micrometers",
        "wavelength": "{ " + " , ".join(map(str, axis)) + " }",
        "spectra names": "{ " + " , ".join(f"entry {n}" for n in range(len(values))) + " }",
    } | {key.replace("_", " "): value for key, value in changes.items()}
    dtype = ">f4" if keys["byte order"] == "1" else "<f4"
    (folder / f"{name}.sli").write_bytes(values.astype(dtype).tobytes())
    header = folder / f"{name}.hdr"
    text = "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)
    header.write_text(f"ENVI\n{text}")
    return header
