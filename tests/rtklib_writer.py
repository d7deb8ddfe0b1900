"""Write RTKLIB solutions of the four kinds, in the widths and words of RTKLIB."""

from __future__ import annotations

HEADER = "% program   : RTKLIB ver.2.4.3\n% obs start : 2026/06/14 10:00:00.0 GPST (week2423  36000.0s)\n"
DEGREES = ["latitude(deg)", "longitude(deg)", "height(m)"]
DMS = ["latitude(d'\")", "longitude(d'\")", "height(m)"]
ECEF = ["x-ecef(m)", "y-ecef(m)", "z-ecef(m)"]
BASELINE = ["e-baseline(m)", "n-baseline(m)", "u-baseline(m)"]
SD = {
    "latitude(deg)": ["sdn(m)", "sde(m)", "sdu(m)", "sdne(m)", "sdeu(m)", "sdun(m)"],
    "latitude(d'\")": ["sdn(m)", "sde(m)", "sdu(m)", "sdne(m)", "sdeu(m)", "sdue(m)"],
    "x-ecef(m)": ["sdx(m)", "sdy(m)", "sdz(m)", "sdxy(m)", "sdyz(m)", "sdzx(m)"],
    "e-baseline(m)": ["sde(m)", "sdn(m)", "sdu(m)", "sden(m)", "sdnu(m)", "sdue(m)"],
}
DATUM = {
    "latitude(deg)": "lat/lon/height=WGS84/ellipsoidal",
    "latitude(d'\")": "lat/lon/height=WGS84/ellipsoidal",
    "x-ecef(m)": "x/y/z-ecef=WGS84",
    "e-baseline(m)": "e/n/u-baseline=WGS84",
}
VELOCITY = ["vn(m/s)", "ve(m/s)", "vu(m/s)", "sdvn", "sdve", "sdvu", "sdvne", "sdveu", "sdvun"]


def calendar(k, start=(10, 0, 0.0)):
    """Return the stamp of second *k* after *start* on 14 June 2026."""
    total = start[0] * 3600 + start[1] * 60 + start[2] + k
    return f"2026/06/14 {int(total // 3600):02d}:{int(total // 60 % 60):02d}:{total % 60:06.3f}"


def week(k, sep=" "):
    """Return the stamp of second *k* after Sunday 10:00 of week 2423."""
    return f"2423{sep}{36_000 + k:10.3f}"


def row(stamp, position, *, q=1, sd=(0.01, 0.02, 0.03, 0.0, 0.0, 0.0), more=(), sep=" "):
    """Return a line; *position* are texts."""
    cells = [stamp, *position, f"{q:3d}", " 12", *(f"{each:8.4f}" for each in sd), "  0.00", "   9.9", *more]
    return sep.join(cells)


def solution(rows, columns=DEGREES, *, scale="GPST", sep=" ", comment=None, header=HEADER, velocity=False):
    """Return the text of a file; *comment* replaces the datum, and an empty one leaves its line out."""
    datum = DATUM[columns[0]] if comment is None else comment
    words = [*columns, "Q", "ns", *SD[columns[0]], "age(s)", "ratio", *(VELOCITY if velocity else [])]
    lines = [header.rstrip("\n")]
    if datum:
        lines.append(f"% ({datum},Q=1:fix,2:float,3:sbas,4:dgps,5:single,6:ppp,ns=# of satellites)")
    lines.append(f"%  {scale:20s}{sep}{sep.join(f'{word:>14s}' for word in words)}")
    return "\n".join([*lines, *rows]) + "\n"
