"""Hotspots of several flights that are one place: what was seen again, by stated position errors alone.

Hotspots of one target are one place if they lie about their weighted mean no farther than their covariances
allow, with a probability of 99 % for all of them together. They are compared in the plane that touches the
earth at the first of them; zones and the date line do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy

LEVEL: Final = 0.01
"""Probability that finds of one place are taken for several."""
SAME_PLACE: Final = -2.0 * float(np.log(LEVEL))
"""Squared Mahalanobis distance that two finds of one place exceed with that probability: 9.21, chi-square of
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

    Pairs that may be one place are joined in the order of their distance, in standard deviations, where the
    sum of squared distances of all members from their weighted mean, n of them, does not exceed the 99 %
    quantile of chi-square with 2 (n - 1) degrees of freedom. A place has at most one find of a run.
    """
    from scipy.special import chdtri

    order = sorted(range(len(finds)), key=lambda i: (finds[i].run, finds[i].id))
    given = [finds[i] for i in order]
    first, second, square = _pairs(given)
    group = list(range(len(given)))
    members: dict[int, list[int]] = {i: [i] for i in group}
    runs = {i: {each.run} for i, each in enumerate(given)}
    for at in np.lexsort((second, first, square)).tolist():
        a, b = group[int(first[at])], group[int(second[at])]
        if a == b or not runs[a].isdisjoint(runs[b]):
            continue
        both = sorted(members[a] + members[b])
        if _mean(given, both)[2] <= chdtri(2 * (len(both) - 1), LEVEL):
            for i in members.pop(b):
                group[i] = a
            members[a] = both
            runs[a] |= runs.pop(b)
    return tuple(_place(given, some, order) for some in members.values())


def _pairs(finds: Sequence[Find]) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the pairs (i < j) of different runs that may be one place, and their squared distance."""
    nothing = np.empty(0, dtype=np.int64)
    if not finds:
        return nothing, nothing, np.empty(0)
    lon, lat = (np.array([getattr(each, name) for each in finds]) for name in ("lon", "lat"))
    position = geodesy.to_ecef(lon, lat, np.zeros(len(finds)))
    cov = np.stack([_floored(each) for each in finds])
    first, second = _near(position, np.sqrt(SAME_PLACE * np.linalg.eigvalsh(cov)[:, 1]))
    key, run = (
        np.unique([str(getattr(each, name)) for each in finds], return_inverse=True)[1]
        for name in ("key", "run")
    )
    fitting = (key[first] == key[second]) & (run[first] != run[second])
    first, second = first[fitting], second[fitting]
    axes = geodesy.ned_axes(lon[first], lat[first])
    north, east, _ = np.moveaxis(np.einsum("kij,ki->kj", axes, position[second] - position[first]), -1, 0)
    offset = np.stack([east, north], axis=-1)
    square = np.einsum("ki,kij,kj->k", offset, np.linalg.inv(cov[first] + cov[second]), offset)
    same = square <= SAME_PLACE
    return first[same], second[same], square[same]


def _near(position: Floats, reach: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs (i < j) that lie no farther apart than both reaches together, and some more.

    Finds are asked for by the power of two of their reach, each for those of no larger one: a single find
    that is badly known does not make all others search as far.
    """
    from scipy.spatial import cKDTree

    scale = np.ceil(np.log2(reach)).astype(np.int64)
    pairs = []
    for power in np.unique(scale).tolist():
        asking, asked = np.flatnonzero(scale == power), np.flatnonzero(scale <= power)
        found = cKDTree(position[asked]).query_ball_point(position[asking], reach[asking] + 2.0**power)
        one = np.repeat(asking, [len(each) for each in found])
        other = asked[np.concatenate([np.asarray(each, dtype=np.int64) for each in found])]
        pairs.append(np.sort(np.stack([one, other], axis=1)[one != other], axis=1))
    unique = np.unique(np.concatenate(pairs), axis=0)
    return unique[:, 0], unique[:, 1]


def _floored(find: Find) -> Floats:
    """Return the covariance of a place of *find*, with its extent: uniform over a disk."""
    return np.asarray(find.cov + (LEAST_SIGMA_M**2 + find.extent_m**2 / 4.0) * np.eye(2))


def _mean(finds: Sequence[Find], members: Sequence[int]) -> tuple[Floats, Floats, float]:
    """Return the weighted mean (east, north of the first), its covariance, and the squared distances' sum."""
    lon, lat = (np.array([getattr(finds[i], name) for i in members]) for name in ("lon", "lat"))
    position = geodesy.to_ecef(lon, lat, np.zeros(len(members)))
    north, east, _ = geodesy.ned_axes(lon[:1], lat[:1])[0].T @ (position - position[0]).T
    offset = np.column_stack([east, north])
    weight = np.linalg.inv(np.stack([_floored(finds[i]) for i in members]))
    cov = np.linalg.inv(weight.sum(axis=0))
    mean = cov @ np.einsum("kij,kj->i", weight, offset)
    rest = offset - mean
    return mean, cov, float(np.einsum("ki,kij,kj->", rest, weight, rest))


def _place(finds: Sequence[Find], members: Sequence[int], order: Sequence[int]) -> Place:
    """Return the weighted mean of some finds; of one, what its flight states."""
    one = finds[members[0]]
    if len(members) == 1:
        return Place((order[members[0]],), one.lon, one.lat, one.cov)
    mean, cov, _ = _mean(finds, members)
    lon, lat, _ = geodesy.displace(
        np.array([one.lon]), np.array([one.lat]), np.zeros(1), np.array([[mean[1], mean[0], 0.0]])
    )
    return Place(tuple(order[i] for i in members), float(lon[0]), float(lat[0]), cov)
