"""Hotspots of several flights that are one place: what was seen again, by stated position errors alone.

Two hotspots of one target from two flights are one if their places differ by no more than their covariances
allow, with a probability of 99 %. Places are compared in the plane that touches the earth at the first of
them; zones and the date line do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy

SAME_PLACE: Final = -2.0 * float(np.log(0.01))
"""Squared Mahalanobis distance that two sightings of one place exceed in 1 of 100 cases: 9.21, chi-square of
two degrees of freedom."""
LEAST_SIGMA_M: Final = 0.02
"""No place is taken to be known better than this: layers are written to millimeters and 1e-7 degrees."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Find:
    """A hotspot of one flight.

    Parameters
    ----------
    run, id : str
        Of the run and of the hotspot.
    key : tuple of str
        What must agree: kind and target.
    lon, lat : float
        WGS84, degrees.
    cov : (2, 2) float64
        Covariance of (east, north), m².
    extent_m : float
        Radius of a disk as large as the hotspot: its middle need not be seen at the same spot twice.
    """

    run: str
    id: str
    key: tuple[str, ...]
    lon: float
    lat: float
    cov: Floats
    extent_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Finds of several flights that are one place.

    Parameters
    ----------
    members : tuple of int
        Numbers of the finds, by run.
    lon, lat : float
        Mean, weighted by inverse covariance.
    cov : (2, 2) float64
        Of that mean, if flights err independently of each other.
    """

    members: tuple[int, ...]
    lon: float
    lat: float
    cov: Floats


def places(finds: Sequence[Find]) -> tuple[Place, ...]:
    """Return the places of *finds*; the order of finds does not matter.

    A place has at most one find of a run, and every two of its finds agree. Pairs are joined in the order of
    their distance, in standard deviations.
    """
    if not finds:
        return ()
    order = sorted(range(len(finds)), key=lambda i: (finds[i].run, finds[i].id))
    given = [finds[i] for i in order]
    first, second, square = _pairs(given)
    group = list(range(len(given)))
    members: dict[int, list[int]] = {i: [i] for i in group}
    known = {(int(a), int(b)) for a, b in zip(first, second, strict=True)}
    for at in np.lexsort((second, first, square)).tolist():
        a, b = group[int(first[at])], group[int(second[at])]
        if a == b or {given[i].run for i in members[a]} & {given[i].run for i in members[b]}:
            continue
        if all((min(i, j), max(i, j)) in known for i in members[a] for j in members[b]):
            for i in members.pop(b):
                group[i] = a
                members[a].append(i)
    return tuple(_place(given, sorted(some), order) for some in members.values())


def _pairs(finds: Sequence[Find]) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the pairs (i < j) of different runs that may be one place, and their squared distance."""
    from scipy.spatial import cKDTree

    lon, lat = (np.array([getattr(each, name) for each in finds]) for name in ("lon", "lat"))
    position = geodesy.to_ecef(lon, lat, np.zeros(len(finds)))
    cov = np.stack([_floored(each) for each in finds])
    reach = np.sqrt(SAME_PLACE * np.linalg.eigvalsh(cov)[:, 1])
    near = cKDTree(position).query_pairs(2.0 * float(reach.max()), output_type="ndarray")
    first, second = near.min(axis=1), near.max(axis=1)
    keys = [(each.key, each.run) for each in finds]
    fitting = np.array(
        [keys[a][0] == keys[b][0] and keys[a][1] != keys[b][1] for a, b in near.tolist()], dtype=np.bool_
    )
    first, second = first[fitting], second[fitting]
    axes = geodesy.ned_axes(lon[first], lat[first])
    north, east, _ = np.moveaxis(np.einsum("kij,ki->kj", axes, position[second] - position[first]), -1, 0)
    offset = np.stack([east, north], axis=-1)
    square = np.einsum("ki,kij,kj->k", offset, np.linalg.inv(cov[first] + cov[second]), offset)
    same = square <= SAME_PLACE
    return first[same].astype(np.int64), second[same].astype(np.int64), square[same]


def _floored(find: Find) -> Floats:
    """Return the covariance of a place of *find*, with its extent: uniform over a disk."""
    return np.asarray(find.cov + (LEAST_SIGMA_M**2 + find.extent_m**2 / 4.0) * np.eye(2))


def _place(finds: Sequence[Find], members: Sequence[int], order: Sequence[int]) -> Place:
    """Return the weighted mean of some finds."""
    one = finds[members[0]]
    lon, lat = (np.array([getattr(finds[i], name) for i in members]) for name in ("lon", "lat"))
    position = geodesy.to_ecef(lon, lat, np.zeros(len(members)))
    axes = geodesy.ned_axes(lon[:1], lat[:1])[0]
    north, east, _ = (axes.T @ (position - position[0]).T).tolist()
    weight = np.linalg.inv(np.stack([finds[i].cov + LEAST_SIGMA_M**2 * np.eye(2) for i in members]))
    cov = np.linalg.inv(weight.sum(axis=0))
    mean = cov @ np.einsum("kij,kj->i", weight, np.column_stack([east, north]))
    if len(members) == 1:
        return Place((order[members[0]],), one.lon, one.lat, one.cov)
    moved = geodesy.displace(
        np.array([one.lon]), np.array([one.lat]), np.zeros(1), np.array([[mean[1], mean[0], 0.0]])
    )
    return Place(tuple(order[i] for i in members), float(moved[0][0]), float(moved[1][0]), cov)
