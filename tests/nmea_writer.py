"""NMEA sentences with planted truth."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dronesense.readers.nmea_sentences import checksum


def sentence(body: str, *, good: bool = True) -> str:
    """Return ``$body*hh`` with its checksum, or with a wrong one."""
    value = checksum(body.encode("latin-1")) ^ (0 if good else 0xFF)
    return f"${body}*{value:02X}"


def log(bodies: Iterable[str], *, end: str = "\r\n") -> bytes:
    """Return the sentences with these *bodies* as a file."""
    return "".join(sentence(body) + end for body in bodies).encode("latin-1")


def clock(second: float) -> str:
    """Return hhmmss.ss of a second of the day."""
    hundredths = round(second % 86400 * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60:02}{minutes % 60:02}{rest / 100:05.2f}"


def angle(degrees: float, digits: int) -> str:
    """Return ddmm.mmmmmmm of the size of an angle."""
    whole, minutes = divmod(round(abs(degrees) * 60, 7), 60)
    return f"{int(whole):0{digits}}{minutes:010.7f}"


def place(lat: float, lon: float) -> str:
    """Return the four fields of a position."""
    return f"{angle(lat, 2)},{'S' if lat < 0 else 'N'},{angle(lon, 3)},{'W' if lon < 0 else 'E'}"


def gga(second: float, lat: float, lon: float, *, quality: int = 1, hdop: float = 0.9, alt: float = 100.0,
        sep: str = "-34.2", talker: str = "GP") -> str:  # fmt: skip
    return f"{talker}GGA,{clock(second)},{place(lat, lon)},{quality},12,{hdop:.1f},{alt:.3f},M,{sep},M,,"


def rmc(second: float, lat: float, lon: float, date: str, *, status: str = "A", knots: str = "10.0",
        course: str = "90.0", mode: str = "A", talker: str = "GP") -> str:  # fmt: skip
    where = place(lat, lon)
    return f"{talker}RMC,{clock(second)},{status},{where},{knots},{course},{date},,,{mode}"


def pashr(second: float, heading: float, roll: float, pitch: float, sigma: str = "0.02,0.03,0.1") -> str:
    return f"PASHR,{clock(second)},{heading:.3f},T,{roll:+.3f},{pitch:+.3f},+0.00,{sigma},1,1"


def flight(n: int = 20, *, start: float = 36_000.0, rate: float = 5.0, date: str = "140626") -> list[str]:
    """Return GGA, RMC, GST and PASHR of a straight flight to the east."""
    bodies = []
    for k in range(n):
        second = start + k / rate
        lat, lon = 55.0, 82.9 + 1e-5 * k
        bodies += [
            gga(second, lat, lon, quality=4, alt=150.0 + 0.1 * k),
            rmc(second, lat, lon, date),
            f"GPGST,{clock(second)},0.02,0.01,0.01,45.0,0.012,0.014,0.025",
            pashr(second, 90.0 + 0.1 * k, 1.5, -2.5),
        ]
    return bodies


def array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)
