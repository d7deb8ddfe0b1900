"""Sightings of all strips and passes -> ranked hotspots: one thing on the ground is one feature."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from dronesense.geodesy import geodesic_area, grid_factors, to_lonlat
from dronesense.hotspots import clusters
from dronesense.hotspots.sightings import Sighting
from dronesense.model import Hotspot
from dronesense.model.detection import false_discovery_rates

CHI2_99_2DOF: Final = -2.0 * math.log(0.01)
"""99 % point of chi-square with 2 degrees of freedom, in closed form: squared Mahalanobis distance."""
TOUCH_PIXELS: Final = 1.5
"""Gap up to which two regions of one strip are one thing, in pixels."""
GAS_CE90S: Final = 3.0
"""Gas events nearer than so many combined CE90 are one: an eddying plume is not met twice at one place."""
COV_FLOOR_M2: Final = 1e-6
"""(1 mm)²: no position from the air is better; keeps covariances invertible."""
SIMPLIFY_PIXELS: Final = 0.25
"""Tolerance of the outline, in pixels: corners of pixels survive."""
SURE_Q: Final = 1e-3
"""False discovery rates below this are not told apart in the ranking: their size is extrapolation."""
ID_DECIMALS: Final = 6
ID_LENGTH: Final = 12

Floats = NDArray[np.float64]
Pairs = tuple[NDArray[np.intp], NDArray[np.intp], Floats]
"""First, second, and how far apart they are."""
Ce90 = Callable[[Floats], Floats]
"""(n, 2, 2) covariances -> (n,) radii, m."""
Ellipse = Callable[[Floats], tuple[Floats, Floats, Floats]]
"""(n, 2, 2) covariances -> semi-axes, m, and azimuth of the major one from grid north, degrees."""


def merge(
    sightings: Iterable[Sighting],
    *,
    flight: str,
    radius_m: float | Literal["auto"],
    ce90: Ce90,
    ellipse: Ellipse,
    gas: Literal["crossings", "plumes"] = "crossings",
) -> tuple[Hotspot, ...]:
    """Join sightings of one thing and rank what comes out.

    Sightings of one target and kind are joined pair by pair, nearest first:

    - spectral, one strip: outlines that touch (within 1.5 pixels); - spectral, different strips: places
    that agree within their combined covariance (squared Mahalanobis distance below
      the 99 % point of chi-square), or outlines nearer than ``sqrt(CE90_1² + CE90_2²)``. A join that would
      put two separate things of one strip into one hotspot is not made;
    - gas: tracks of events nearer than 3 times that, or than the distance between samples.

    With a number for `radius_m`, outlines nearer than that are joined instead.

    Spectral places are averaged by generalized least squares (Aitken 1936, doi 10.1017/S0370164600014346):
    errors that the passes of one rig share (boresight, lever arm, clock, ground) tie them together, and
    partly cancel between opposite headings. Where the passes disagree by more than their covariance allows at
    the 1 % level, the result's covariance grows by chi-square per degree of freedom (Birge 1932, doi
    10.1103/PhysRev.40.207). A gas hotspot lies where its strongest event peaked. Score and value are the
    best sighting's. p and q of n spectral sightings are n times the smallest (Bonferroni), as passes over one
    ground share its clutter and are not independent; q stays the detector's, because only the detector knows
    how many pixels were tested and found empty. The noise of an analyser is another one on every pass: the p
    of passes through gas are combined by Fisher's method (Fisher 1932, Statistical Methods for Research
    Workers, 4th ed., section 21.1), and q follows from all gas hotspots of the target among all its events
    (Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x).

    Parameters
    ----------
    sightings : iterable of Sighting
        All in one CRS; their order does not matter.
    flight : str
        Flight id, part of each hotspot's id.
    radius_m : float or "auto"
        See above.
    ce90, ellipse : callable
        From :mod:`dronesense.geotag.uncertainty`.
    gas : {"crossings", "plumes"}
        ``"plumes"`` also joins gas events that hang together by density (:func:`.clusters.plumes`).

    Returns
    -------
    tuple of Hotspot
        Smallest q first; those below :data:`SURE_Q` by passes, then by score.

    Raises
    ------
    ValueError
        If the sightings do not share one CRS, or `radius_m` is negative.
    """
    ordered = sorted(sightings, key=_order)
    if not ordered:
        return ()
    if len({sighting.crs for sighting in ordered}) > 1:
        raise ValueError("sightings must share one CRS")
    if radius_m != "auto" and not radius_m >= 0.0:
        raise ValueError(f'radius_m must be "auto" or >= 0, not {radius_m}')
    cov = np.array([sighting.cov for sighting in ordered]) + COV_FLOOR_M2 * np.eye(2)
    pairs = _pairs(ordered, cov, np.atleast_1d(ce90(cov)), radius_m)
    if gas == "plumes":
        pairs = _with_plumes(pairs, ordered, np.atleast_1d(ce90(cov)))
    groups = _groups(ordered, pairs)
    places = [_place([ordered[i] for i in group], cov[group]) for group in groups]
    hotspots = _with_gas_rates(_hotspots(ordered, groups, places, flight, ce90, ellipse), ordered)
    return ranked(hotspots)


def ranked(hotspots: Iterable[Hotspot]) -> tuple[Hotspot, ...]:
    """Return *hotspots* best first, with ids that differ: smallest q, then by passes, then by score."""
    return _unique(sorted(hotspots, key=_rank))


def _order(sighting: Sighting) -> tuple[object, ...]:
    s = sighting
    named = (s.target, s.kind, s.origin, s.source, s.start, s.end, s.x, s.y, s.detection.score, s.method)
    return (*named, s.cov.tobytes(), s.outline.wkb)


def _rank(hotspot: Hotspot) -> tuple[float, float, float, float, str, float, float]:
    q, p, score = (
        value if math.isfinite(value) else math.inf
        for value in (hotspot.q_value, hotspot.p_value, -hotspot.score)
    )
    passes = -hotspot.n_passes if q <= SURE_Q else 0.0
    return (max(q, SURE_Q), passes, score, p, hotspot.target, hotspot.lon, hotspot.lat)


# -- which sightings belong together --


def _with_plumes(pairs: Pairs, sightings: Sequence[Sighting], ce90_m: Floats) -> Pairs:
    """Return *pairs* and those of gas events that belong to one plume."""
    first, second = [], []
    for target in dict.fromkeys(each.target for each in sightings if each.kind == "gas"):
        index = np.array([i for i, s in enumerate(sightings) if s.kind == "gas" and s.target == target])
        label, _ = clusters.plumes([sightings[i] for i in index], ce90_m[index])
        for number in np.unique(label[label >= 0]):
            members = index[label == number]
            first.append(members[:-1])
            second.append(members[1:])
    more = np.concatenate(first) if first else np.empty(0, dtype=np.intp)
    other = np.concatenate(second) if second else np.empty(0, dtype=np.intp)
    return (
        np.concatenate([pairs[0], more]),
        np.concatenate([pairs[1], other]),
        np.concatenate([pairs[2], np.zeros(len(more))]),
    )


def _groups(sightings: Sequence[Sighting], pairs: Pairs) -> list[list[int]]:
    """Return the members of each group, by union-find over the pairs, nearest first."""
    first, second, distance = pairs
    parent = list(range(len(sightings)))
    strips: list[set[tuple[str, int]]] = [
        {(s.origin, i if s.kind == "gas" else 0)} for i, s in enumerate(sightings)
    ]

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for k in np.lexsort((second, first, distance)):
        a, b = sorted((root(int(first[k])), root(int(second[k]))))
        if a != b and (distance[k] < 0.0 or not strips[a] & strips[b]):
            parent[b] = a
            strips[a] |= strips[b]
    members: dict[int, list[int]] = {}
    for i in range(len(sightings)):
        members.setdefault(root(i), []).append(i)
    return list(members.values())


def _pairs(
    sightings: Sequence[Sighting], cov: Floats, ce90_m: Floats, radius_m: float | Literal["auto"]
) -> Pairs:
    """Return the pairs that may be joined and how far apart they are; -1 for touching parts of one strip."""
    outline = np.array([sighting.outline for sighting in sightings], dtype=object)
    place = np.array([(sighting.x, sighting.y) for sighting in sightings])
    pixel = np.array([sighting.resolution_m for sighting in sightings])
    gas = np.array([sighting.kind == "gas" for sighting in sightings])
    label = _labels([(sighting.target, sighting.kind) for sighting in sightings])
    strip = _labels([sighting.origin for sighting in sightings])

    reach = np.sqrt(CHI2_99_2DOF * np.linalg.eigvalsh(cov)[:, 1])
    reach = np.maximum(reach, np.where(gas, GAS_CE90S, 1.0) * ce90_m)
    if radius_m != "auto":
        reach = np.full(len(sightings), radius_m / 2.0)
    first, second = _near(outline, place, np.maximum(reach, TOUCH_PIXELS * pixel))
    keep = (first < second) & (label[first] == label[second])
    first, second = first[keep], second[keep]

    gap = shapely.distance(outline[first], outline[second])
    combined = np.hypot(ce90_m[first], ce90_m[second])
    step = place[second] - place[first]
    cross = _cross_covariance(sightings, first, second)
    between = cov[first] + cov[second] - cross - cross.transpose(0, 2, 1)
    squared = np.einsum("ki,kij,kj->k", step, np.linalg.inv(between), step)
    longer = np.maximum(pixel[first], pixel[second])
    same_strip = (strip[first] == strip[second]) & ~gas[first]
    if radius_m == "auto":
        joined = np.where(
            gas[first],
            gap <= np.maximum(GAS_CE90S * combined, longer),
            (squared <= CHI2_99_2DOF) | (gap <= combined),
        )
    else:
        joined = gap <= radius_m
    touching = same_strip & (gap <= TOUCH_PIXELS * longer)
    keep = np.where(same_strip, touching, joined)
    distance = np.where(touching, -1.0, squared)
    return first[keep], second[keep], distance[keep]


def _near(
    outline: NDArray[np.object_], place: Floats, reach: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs whose boxes, grown by their reach, meet (an STR-tree: n log n)."""
    west, south, east, north = shapely.bounds(outline).T
    boxes = shapely.box(
        np.minimum(west, place[:, 0]) - reach,
        np.minimum(south, place[:, 1]) - reach,
        np.maximum(east, place[:, 0]) + reach,
        np.maximum(north, place[:, 1]) + reach,
    )
    first, second = shapely.STRtree(boxes).query(boxes)
    return first, second


def _labels(keys: Sequence[object]) -> NDArray[np.intp]:
    number: dict[object, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)


# -- what they say together --


def _place(members: Sequence[Sighting], cov: Floats) -> tuple[Floats, Floats]:
    """Return the combined place (2,) and its covariance (2, 2)."""
    if members[0].kind == "gas":
        best = _best(members)
        return np.array([members[best].x, members[best].y]), cov[best]
    strips: dict[str, list[int]] = {}
    for i, member in enumerate(members):
        strips.setdefault(member.origin, []).append(i)
    parts = [_of_strip(members, cov, index) for index in strips.values()]
    places, covs, shared = (np.array(each) for each in zip(*parts, strict=True))
    rigs = [members[index[0]].rig for index in strips.values()]
    return _least_squares(places, covs, shared, rigs)


def _of_strip(members: Sequence[Sighting], cov: Floats, index: list[int]) -> tuple[Floats, Floats, Floats]:
    """Return place, covariance and shared errors of what one strip saw in parts: nothing averages."""
    weight = np.array([members[i].n_obs for i in index], dtype=np.float64)
    weight /= weight.sum()
    place = weight @ np.array([(members[i].x, members[i].y) for i in index])
    shared = np.einsum("k,kij->ij", weight, _shared([members[i] for i in index]))
    return place, np.asarray(np.einsum("k,kij->ij", weight, cov[index])), shared


def _shared(members: Sequence[Sighting]) -> Floats:
    """Return the shared errors (n, 2, m) of sightings; zero where a sighting names none."""
    width = max((0 if member.shared is None else member.shared.shape[1] for member in members), default=0)
    out = np.zeros((len(members), 2, width))
    for member, row in zip(members, out, strict=True):
        if member.shared is not None:
            row[:, : member.shared.shape[1]] = member.shared
    return out


def _cross_covariance(
    sightings: Sequence[Sighting], first: NDArray[np.intp], second: NDArray[np.intp]
) -> Floats:
    """Return the covariance (k, 2, 2) between the errors of pairs: that of what their rig shares."""
    shared = _shared(sightings)
    rig = _labels([sighting.rig for sighting in sightings])
    same = (rig[first] == rig[second]).astype(np.float64)
    cross: Floats = same[:, None, None] * (shared[first] @ shared[second].transpose(0, 2, 1))
    return cross


def _least_squares(place: Floats, cov: Floats, shared: Floats, rigs: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the best common place (2,) of n passes and its covariance (2, 2)."""
    n = len(place)
    joint = np.einsum("aim,bjm->aibj", shared, shared)
    for a in range(n):
        for b in range(n):
            if a == b:
                joint[a, :, b] = cov[a]
            elif rigs[a] != rigs[b]:
                joint[a, :, b] = 0.0
    information = np.linalg.inv(joint.reshape(2 * n, 2 * n))
    design = np.tile(np.eye(2), (n, 1))
    combined = np.linalg.inv(design.T @ information @ design).astype(np.float64)
    mean = combined @ design.T @ information @ place.ravel()
    if n > 1:
        off = place.ravel() - design @ mean
        chi2, freedom = float(off @ information @ off), 2 * (n - 1)
        if chi2 > _chi2_99(freedom):
            combined *= chi2 / freedom
    return mean, combined


def _chi2_99(freedom: int) -> float:
    """Return the 99 % point of chi-square."""
    from scipy.special import chdtri

    return float(chdtri(freedom, 0.01))


def _best(members: Sequence[Sighting]) -> int:
    """Return the number of the member with the highest score."""
    scores = [member.detection.score for member in members]
    return int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))


def _hotspots(
    sightings: Sequence[Sighting],
    groups: Sequence[list[int]],
    places: Sequence[tuple[Floats, Floats]],
    flight: str,
    ce90: Ce90,
    ellipse: Ellipse,
) -> list[Hotspot]:
    crs = sightings[0].crs
    xy = np.array([place for place, _ in places])
    cov = np.array([cov for _, cov in places])
    lon, lat = to_lonlat(xy[:, 0], xy[:, 1], crs)
    convergence_rad = grid_factors(lon, lat, crs)[0]
    radius = np.atleast_1d(ce90(cov))
    major, minor, azimuth = (np.atleast_1d(part) for part in ellipse(cov))
    azimuth = (azimuth + np.degrees(convergence_rad)) % 180.0
    members = [[sightings[i] for i in group] for group in groups]
    outlines = [_outline(each, place) for each, place in zip(members, xy, strict=True)]
    geometries = _to_lonlat(outlines, crs)
    return [
        _hotspot(
            each,
            geometries[k],
            (float(lon[k]), float(lat[k])),
            (float(radius[k]), float(major[k]), float(minor[k]), float(azimuth[k])),
            flight,
        )
        for k, each in enumerate(members)
    ]


def _hotspot(
    members: list[Sighting],
    geometry: BaseGeometry,
    lonlat: tuple[float, float],
    error: tuple[float, float, float, float],
    flight: str,
) -> Hotspot:
    best = members[_best(members)]
    found = best.detection
    gas = best.kind == "gas"
    return Hotspot(
        id=_identity(flight, best, lonlat),
        target=best.target,
        kind=best.kind,
        method=best.method,
        geometry=geometry,
        lon=lonlat[0],
        lat=lonlat[1],
        height_m=best.height_m if gas else float(np.mean([member.height_m for member in members])),
        score=found.score,
        p_value=_evidence(members),
        q_value=_bonferroni([member.detection.q_value for member in members]),
        value=found.value,
        value_sigma=found.sigma,
        unit=found.unit,
        ce90_m=error[0],
        ellipse_major_m=error[1],
        ellipse_minor_m=error[2],
        ellipse_azimuth_deg=error[3],
        start=min(member.start for member in members),
        end=max(member.end for member in members),
        n_obs=sum(member.n_obs for member in members),
        n_passes=len(_gas_passes(members)) if gas else len({member.origin for member in members}),
        area_m2=math.nan if gas else geodesic_area(geometry),
        sources=tuple(dict.fromkeys(member.source for member in members)),
        flags=tuple(sorted({flag for member in members for flag in member.flags})),
    )


def _outline(members: Sequence[Sighting], xy: Floats) -> BaseGeometry:
    """Return the joined outline in the work CRS; those of several strips are moved onto the common place."""
    outlines = [member.outline for member in members]
    if members[0].kind == "gas":
        tracks = [outline for outline in outlines if shapely.get_dimensions(outline) == 1]
        return shapely.union_all(tracks or outlines)
    strips: dict[str, list[Sighting]] = {}
    for member in members:
        strips.setdefault(member.origin, []).append(member)
    if len(strips) > 1:
        offsets = {
            origin: xy - _of_strip(parts, np.zeros((len(parts), 2, 2)), list(range(len(parts))))[0]
            for origin, parts in strips.items()
        }
        outlines = [translate(m.outline, *map(float, offsets[m.origin])) for m in members]
    union = shapely.union_all(outlines)
    tolerance = SIMPLIFY_PIXELS * min(member.resolution_m for member in members)
    simple = shapely.simplify(union, tolerance, preserve_topology=True)
    return shapely.orient_polygons(simple if simple.is_valid else union, exterior_cw=False)


def _to_lonlat(outlines: Sequence[BaseGeometry], crs: str) -> list[BaseGeometry]:
    together = np.array(outlines, dtype=object)
    return list(shapely.transform(together, lambda xy: np.column_stack(to_lonlat(xy[:, 0], xy[:, 1], crs))))


def _gas_passes(members: Sequence[Sighting]) -> list[list[Sighting]]:
    """Return the events of each pass; a gap shorter than the longer event beside it is a dip."""
    ordered = sorted(members, key=lambda member: (member.start, member.end))
    passes = [[ordered[0]]]
    start, end = ordered[0].start, ordered[0].end
    for member in ordered[1:]:
        if member.start - end > max(end - start, member.end - member.start):
            passes.append([])
            start = member.start
        passes[-1].append(member)
        end = max(end, member.end)
    return passes


def _evidence(members: Sequence[Sighting]) -> float:
    """Return the p-value of all sightings together."""
    if members[0].kind != "gas":
        return _bonferroni([member.detection.p_value for member in members])
    each = [_bonferroni([one.detection.p_value for one in events]) for events in _gas_passes(members)]
    return fisher([p for p in each if math.isfinite(p)])


def fisher(values: Sequence[float]) -> float:
    """Return the p-value of independent ones together: -2 sum ln p is chi-square with two degrees each.

    That distribution ends in closed form: ``P(> 2 x) = exp(-x) sum of x^i / i!``.

    >>> round(fisher([0.05, 0.05]), 6), fisher([0.2])
    (0.017479, 0.2)
    """
    if not values:
        return math.nan
    half = -sum(math.log(value) for value in values)
    return min(1.0, math.exp(-half) * sum(half**i / math.factorial(i) for i in range(len(values))))


def _with_gas_rates(hotspots: list[Hotspot], sightings: Sequence[Sighting]) -> list[Hotspot]:
    """Return the hotspots, those of gas with the false discovery rate among all events of their target."""
    result = list(hotspots)
    for target in {hotspot.target for hotspot in hotspots if hotspot.kind == "gas"}:
        of_target = [h.kind == "gas" and h.target == target and math.isfinite(h.p_value) for h in hotspots]
        index = np.flatnonzero(of_target)
        tested = sum(s.kind == "gas" and s.target == target for s in sightings)
        p = np.array([hotspots[i].p_value for i in index])
        q = false_discovery_rates(p, tested=max(tested, index.size))
        for i, rate in zip(index, q, strict=True):
            result[i] = replace(hotspots[i], q_value=float(rate))
    return result


def _bonferroni(values: Sequence[float]) -> float:
    """Return n times the smallest, at most 1: valid however the passes depend on each other.

    >>> _bonferroni([0.01, 0.2]), _bonferroni([float("nan")])
    (0.02, nan)
    """
    known = [value for value in values if math.isfinite(value)]
    return min(1.0, len(known) * min(known)) if known else math.nan


def _identity(flight: str, best: Sighting, lonlat: tuple[float, float]) -> str:
    lon, lat = (f"{round(degrees, ID_DECIMALS) + 0.0:.{ID_DECIMALS}f}" for degrees in lonlat)
    text = f"{flight}|{best.target}|{best.method}|{best.kind}|{lon},{lat}"
    return hashlib.sha256(text.encode("utf-8", errors="backslashreplace")).hexdigest()[:ID_LENGTH]


def _unique(ranked: Sequence[Hotspot]) -> tuple[Hotspot, ...]:
    """Tell apart hotspots whose rounded places (0.1 m) give one id, by a number after it."""
    seen: dict[str, int] = {}
    result: list[Hotspot] = []
    for hotspot in ranked:
        seen[hotspot.id] = count = seen.get(hotspot.id, 0) + 1
        result.append(hotspot if count == 1 else replace(hotspot, id=f"{hotspot.id}-{count}"))
    return tuple(result)
