"""How a push-broom camera sits in the aircraft, from places that two strips saw or that were surveyed.

Boresight, lever arm, time offset and height bias move the ground that a pixel shows, each in its own way
(:func:`dronesense.geotag.uncertainty.error_budget` has the derivatives). They are sought so that both strips
show a tie point at one place, and control points where they were surveyed. Position and attitude err within
each strip and from strip to strip by what the log states: those errors are estimated along, as offsets of
each strip, so that they do not pass for a mount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CalibrationError
from dronesense.geotag import uncertainty
from dronesense.geotag.locate import look, trace
from dronesense.geotag.terrain import HIT
from dronesense.model import Instrument, Mount, Terrain, Trajectory
from dronesense.model.tie_points import GroundControl, TiePoints

PARAMETERS: Final = ("roll", "pitch", "yaw", "forward", "starboard", "down", "time", "height")
"""Boresight angles, lever arm in the body, what is to be added to line times and to heights of the track."""
UNITS: Final = ("deg", "deg", "deg", "m", "m", "m", "s", "m")
GROUPS: Final = {
    "boresight": ("roll", "pitch", "yaw"),
    "lever": ("forward", "starboard", "down"),
    "time": ("time",),
    "height": ("height",),
}
"""What is asked for by one word."""

ROUNDS: Final = 15
CONVERGED: Final = 1e-3
"""A step of less than this share of the standard uncertainty changes nothing."""
OFFSET_ROUNDS: Final = 3
"""Of finding the offsets and the weights that follow from what they leave."""
HUBER: Final = 2.0
"""Residuals of more than so many standard deviations weigh less."""
GROSS: Final = 4.0
"""Residuals of more than so many are mistakes: one in 3,000 of a Gaussian in two dimensions."""
MEDIAN_SQUARE: Final = 2.0 * float(np.log(2.0))
"""Median of the squared length of a Gaussian vector in two dimensions."""
SINGULAR: Final = 1e-3
"""Smallest eigenvalue of the scaled normal matrix, of which the largest is at most their number: below,
some parameters change the residuals in the same way."""
INVOLVED: Final = 0.3
"""Share of the largest part from which a parameter is named as one of those."""
FOLDS: Final = 5
"""Every fifth point is held out, five times."""

UNSTATED: Final = (
    "the log does not state all of its accuracies: errors of navigation that it does not tell are not in the "
    "stated uncertainties"
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Times of the lines of one cube, (lines,) int64 UTC ns, and the track that it was flown by."""

    name: str
    line_time: Ints
    trajectory: Trajectory


@dataclass(frozen=True, slots=True, eq=False)
class Boresight:
    """What was found.

    Parameters
    ----------
    names : tuple of str
        Parameters that were sought, of :data:`PARAMETERS`.
    value, sigma : (p,) float64
        What is to be added to what was assumed, and its standard uncertainty, in :data:`UNITS`.
    covariance : (p, p) float64
    mount : Mount
        With boresight and lever arm as found.
    before_m, after_m, held_out_m : (n,) float64
        Distance of the two places of each tie point, and of control points from theirs: as assumed, as found,
        and found without that point. NaN where a pixel met no ground.
    used : (n,) bool
        False for mistakes and for points that met no ground.
    scale : float
        Residuals over what was stated; the covariance was widened by it where it is above 1.
    notes : tuple of str
    """

    names: tuple[str, ...]
    value: Floats
    sigma: Floats
    covariance: Floats
    mount: Mount
    before_m: Floats
    after_m: Floats
    held_out_m: Floats
    used: NDArray[np.bool_]
    scale: float
    notes: tuple[str, ...]

    def of(self, name: str) -> tuple[float, float]:
        """Return value and standard uncertainty of a parameter; 0 and 0 of one that was not sought."""
        if name not in self.names:
            return 0.0, 0.0
        i = self.names.index(name)
        return float(self.value[i]), float(self.sigma[i])

    @property
    def correlation(self) -> Floats:
        """Correlations (p, p)."""
        return np.asarray(self.covariance / np.outer(self.sigma, self.sigma))


def solve(
    strips: Sequence[Strip],
    *,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    ties: TiePoints | None = None,
    control: GroundControl | None = None,
    parameters: Sequence[str] = (*GROUPS["boresight"], "time"),
) -> Boresight:
    """Find the mount of *instrument* that ties and control points agree with best.

    Parameters
    ----------
    strips : sequence of Strip
        With the names that *ties* and *control* use.
    instrument : Instrument
        A line scanner, with the mount to start from.
    terrain : Terrain
    crs : str
        Metric.
    ties, control : TiePoints, GroundControl, optional
        At least one of them.
    parameters : sequence of str
        Of :data:`PARAMETERS`.

    Returns
    -------
    Boresight

    Raises
    ------
    CalibrationError
        If there are too few points, or they cannot tell the parameters apart.
    ValueError
        If a name of a strip or parameter is not known.

    Notes
    -----
    Gauss-Newton with Huber's weights, then once more without mistakes. Offsets of each strip, and one of all
    strips, in position and attitude have the log's standard uncertainties as their prior. They are constant
    within a strip: errors that last less long average out, so the covariance is rather too large.
    """
    names = tuple(each for each in PARAMETERS if each in parameters)
    if len(names) != len(set(parameters)) or not names:
        raise ValueError(f"parameters must be of {PARAMETERS}, not {tuple(parameters)}")
    problem = _Problem(strips, instrument, terrain, crs, ties, control, names)
    value = np.zeros(len(names))
    state = problem.at(value)
    before = state.distance
    _refuse_few(state, names)
    for _ in range(ROUNDS):
        weight, _ = _weights(state.misfit())
        _refuse_singular(state, weight, names)
        step, covariance = state.step(weight)
        value = value + step
        state = problem.at(value)
        if np.all(np.abs(step) <= CONVERGED * np.sqrt(np.diag(covariance))):
            break
    used = state.fitting()
    step, covariance = state.step(used.astype(np.float64))
    value = value + step
    state = problem.at(value)
    freedom = max(1, 2 * int(used.sum()) - len(names))
    scale = float(np.sqrt(state.misfit()[used].sum() / freedom))
    covariance = covariance * max(1.0, scale**2)
    sigma = np.sqrt(np.diag(covariance))
    mount = problem.mount(value, sigma)
    found = (before, state.distance, state.held_out(used), used, scale, problem.notes)
    return Boresight(names, value, sigma, covariance, mount, *found)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Where pixels met the ground, (k, 2), derivatives (k, 2, ..) of that, and pixels squared (k, 2, 2)."""

    place: Floats
    by_parameter: Floats
    by_navigation: Floats
    pixel: Floats


class _Problem:
    """Points, and what it takes to follow their pixels to the ground."""

    def __init__(
        self,
        strips: Sequence[Strip],
        instrument: Instrument,
        terrain: Terrain,
        crs: str,
        ties: TiePoints | None,
        control: GroundControl | None,
        names: tuple[str, ...],
    ) -> None:
        self.strips, self.instrument, self.terrain, self.crs = tuple(strips), instrument, terrain, crs
        self.ties, self.control, self.names = ties, control, names
        self.column = [PARAMETERS.index(each) for each in names]
        number = {each.name: i for i, each in enumerate(strips)}
        asked = {*(() if ties is None else ties.strips), *(() if control is None else control.strips)}
        if unknown := sorted(asked - set(number)):
            raise ValueError(f"no strip is called {unknown}")
        self.numbers = [
            np.array([number[name] for name in each.strips], dtype=np.int64) if each is not None else None
            for each in (ties, control)
        ]
        unstated = [
            each.name
            for each in strips
            if not np.isfinite(
                np.column_stack([each.trajectory.std_ned_m, each.trajectory.std_rpy_deg])
            ).all()
        ]
        self.notes: tuple[str, ...] = ()
        if unstated:
            self.notes = (UNSTATED,)

    def mount(self, value: Floats, sigma: Floats) -> Mount:
        """Return the mount with *value* added, and its standard uncertainties where they were sought."""
        mount = self.instrument.mount
        full = np.zeros(len(PARAMETERS))
        full[self.column] = value
        known = dict(zip(self.names, sigma.tolist(), strict=True))
        angles = [known[each] for each in GROUPS["boresight"] if each in known]
        arm = [known[each] for each in GROUPS["lever"] if each in known]
        return replace(
            mount,
            boresight_deg=tuple((np.array(mount.boresight_deg) + full[:3]).tolist()),
            lever_arm_m=tuple((np.array(mount.lever_arm_m) + full[3:6]).tolist()),
            sigma_boresight_deg=max(angles, default=mount.sigma_boresight_deg),
            sigma_lever_arm_m=max(arm, default=mount.sigma_lever_arm_m),
        )

    def at(self, value: Floats) -> _State:
        """Follow all pixels with *value* added to what was assumed."""
        parts = []
        if self.ties is not None and self.numbers[0] is not None:
            ties, number = self.ties, self.numbers[0]
            a = self._seen(number[ties.strip_a], np.column_stack([ties.line_a, ties.sample_a]), value)
            b = self._seen(number[ties.strip_b], np.column_stack([ties.line_b, ties.sample_b]), value)
            spread = (0.5 * ties.sigma_px**2)[:, None, None] * (a.pixel + b.pixel)
            parts.append(
                (
                    a.place - b.place,
                    (a.by_parameter - b.by_parameter)[..., self.column],
                    a.by_navigation - b.by_navigation,
                    spread,
                )
            )
        if self.control is not None and self.numbers[1] is not None:
            control, number = self.control, self.numbers[1]
            seen = self._seen(number[control.strip], np.column_stack([control.line, control.sample]), value)
            true = np.column_stack(geodesy.to_grid(control.lon, control.lat, self.crs))
            spread = (control.sigma_px**2)[:, None, None] * seen.pixel
            spread = spread + (control.sigma_m**2)[:, None, None] * np.eye(2)
            parts.append((seen.place - true, seen.by_parameter[..., self.column], seen.by_navigation, spread))
        return _State(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _seen(self, strip: Ints, pixels: Floats, value: Floats) -> _Seen:
        """Follow *pixels* (k, 2), each of its own strip, with the changed mount, times and heights."""
        k, full = len(pixels), np.zeros(len(PARAMETERS))
        full[self.column] = value
        mount = self.mount(value, np.zeros(len(value)))
        unit = replace(mount, sigma_boresight_deg=1.0, sigma_lever_arm_m=1.0)
        instrument = replace(self.instrument, mount=unit)
        place, pixel = np.full((k, 2), np.nan), np.full((k, 2, 2), np.nan)
        by_parameter = np.full((k, 2, len(PARAMETERS)), np.nan)
        by_navigation = np.zeros((k, 2, 6 * (len(self.strips) + 1)))
        for i in np.unique(strip).tolist():
            mine = np.flatnonzero(strip == i)
            one = self.strips[i]
            ray: dict[str, Any] = {
                "line_time": one.line_time + round(1e9 * full[6]),
                "trajectory": replace(one.trajectory, height_m=one.trajectory.height_m + full[7]),
                "instrument": instrument,
                "terrain": self.terrain,
                "crs": self.crs,
            }
            found = trace(pixels[mine], **ray)
            hit = np.flatnonzero(found.hits.status == HIT)
            if not hit.size:
                continue
            rays = look(found, hit, pixels[mine][hit], ray["line_time"], instrument)
            known = replace(
                rays.poses,
                std_ned_m=np.nan_to_num(rays.poses.std_ned_m),
                std_rpy_deg=np.nan_to_num(rays.poses.std_rpy_deg),
            )
            budget = uncertainty.error_budget(
                replace(rays, poses=known), mount=unit, clock_sigma_s=1.0, terrain_sigma_m=0.0
            )
            to = mine[hit]
            place[to] = np.column_stack([found.hits.x, found.hits.y])[hit]
            pixel[to] = budget.pixel / uncertainty.UNIFORM_VARIANCE
            arm = budget.shared[..., 9:12]
            upward = -np.einsum("kxi,ki->kx", arm, known.rotation[:, 2, :])
            by_parameter[to] = np.concatenate(
                [budget.shared[..., 6:9], arm, budget.shared[..., 12:13], upward[..., None]], axis=2
            )
            by_navigation[to, :, :6] = budget.shared[..., :6]
            by_navigation[to, :, 6 * (i + 1) : 6 * (i + 2)] = budget.navigation
        return _Seen(place, by_parameter, by_navigation, pixel)


class _State:
    """Residuals (n, 2) and their derivatives, whitened by what matching and survey leave open."""

    def __init__(self, residual: Floats, by_parameter: Floats, by_navigation: Floats, spread: Floats) -> None:
        self.distance = np.hypot(residual[:, 0], residual[:, 1])
        self.known = np.isfinite(self.distance) & np.isfinite(by_parameter).all(axis=(1, 2))
        root = np.full(spread.shape, np.nan)
        root[self.known] = np.linalg.inv(np.linalg.cholesky(spread[self.known]))
        self.root = root
        self.residual = (root @ residual[:, :, None])[..., 0]
        self.design = np.concatenate([root @ by_parameter, root @ by_navigation], axis=2)
        self.p = by_parameter.shape[2]

    def _normal(self, weight: Floats) -> tuple[Floats, Floats]:
        """Return the normal matrix with the priors of the offsets, and the right-hand side."""
        design, residual = self.design[self.known], self.residual[self.known]
        weighted = weight[self.known, None, None] * design
        n = design.shape[2]
        normal = weighted.reshape(-1, n).T @ design.reshape(-1, n)
        normal[np.arange(self.p, n), np.arange(self.p, n)] += 1.0
        return normal, -weighted.reshape(-1, n).T @ residual.reshape(-1)

    def reduced(self, weight: Floats) -> Floats:
        """Return the normal matrix (p, p) of the parameters, the offsets taken out."""
        normal, _ = self._normal(weight)
        p = self.p
        return np.asarray(normal[:p, :p] - normal[:p, p:] @ np.linalg.solve(normal[p:, p:], normal[p:, :p]))

    def step(self, weight: Floats) -> tuple[Floats, Floats]:
        """Return the change of the parameters and their covariance."""
        normal, right = self._normal(weight)
        inverse = np.linalg.inv(normal)
        return np.asarray((inverse @ right)[: self.p]), np.asarray(inverse[: self.p, : self.p])

    def misfit(self) -> Floats:
        """Return the squared length (n,) of whitened residuals that the best offsets leave."""
        weight, p = self.known.astype(np.float64), self.p
        for _ in range(OFFSET_ROUNDS):
            normal, right = self._normal(weight)
            rest = self.residual + self.design[..., p:] @ np.linalg.solve(normal[p:, p:], right[p:])
            square = np.asarray(np.einsum("ni,ni->n", rest, rest))
            weight, _ = _weights(square)
        return square

    def fitting(self) -> NDArray[np.bool_]:
        """Return which points are no mistakes."""
        misfit = self.misfit()
        _, scale = _weights(misfit)
        return np.asarray(np.isfinite(misfit) & (misfit <= (GROSS * scale) ** 2))

    def held_out(self, used: NDArray[np.bool_]) -> Floats:
        """Return the distances (n,) where each point was not used; as in `distance`, offsets stay in them."""
        left = np.full(len(used), np.nan)
        place = np.flatnonzero(self.known)
        for fold in range(FOLDS):
            out = place[fold::FOLDS]
            kept = used.astype(np.float64)
            kept[out] = 0.0
            normal, right = self._normal(kept)
            change = np.linalg.solve(normal, right)[: self.p]
            rest = self.residual[out] + self.design[out, :, : self.p] @ change
            meters = np.linalg.solve(self.root[out], rest[:, :, None])[..., 0]
            left[out] = np.hypot(meters[:, 0], meters[:, 1])
        return left


def _weights(square: Floats) -> tuple[Floats, float]:
    """Return Huber's weights (n,) of squared lengths, 0 where there is none, and the robust scale."""
    known = np.isfinite(square)
    scale = float(np.sqrt(max(np.median(square[known]) / MEDIAN_SQUARE, 1e-12)))
    length = np.sqrt(np.where(known, square, 0.0)) / scale
    return np.where(known, np.minimum(1.0, HUBER / np.maximum(length, HUBER)), 0.0), scale


def _refuse_few(state: _State, names: tuple[str, ...]) -> None:
    n = int(state.known.sum())
    if n < len(names):
        raise CalibrationError(
            f"{n} points that met the ground are too few for {len(names)} parameters",
            fix="give more points, spread over strips of several headings",
        )


def _refuse_singular(state: _State, weight: Floats, names: tuple[str, ...]) -> None:
    """Refuse points that cannot tell parameters apart, in words."""
    normal = state.reduced(weight)
    size = np.sqrt(np.maximum(np.diag(normal), 0.0))
    idle = [name for name, each in zip(names, size, strict=True) if not each > 0.0]
    if idle:
        raise CalibrationError(f"the points tell nothing of {_words(idle)}", fix=_advice(idle))
    value, vector = np.linalg.eigh(normal / np.outer(size, size))
    if value[0] >= SINGULAR:
        return
    part = np.abs(vector[:, 0])
    mixed = [name for name, each in zip(names, part, strict=True) if each >= INVOLVED * part.max()]
    if len(mixed) == 1:
        raise CalibrationError(f"the points hardly tell {_words(mixed)}", fix=_advice(mixed))
    raise CalibrationError(f"the points cannot tell {_words(mixed)} apart", fix=_advice(mixed))


def _words(names: Sequence[str]) -> str:
    said = {name: f"boresight {name}" for name in GROUPS["boresight"]}
    said |= {name: f"lever arm {name}" for name in GROUPS["lever"]}
    said |= {"time": "the time offset", "height": "the height bias"}
    parts = [said[name] for name in names]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _advice(names: Sequence[str]) -> str:
    """Return what would help to tell these parameters apart."""
    found = []
    if {"time", "forward"} & set(names):
        found.append("fly strips at two speeds or in turns")
    if {"pitch", "roll", "yaw"} & set(names):
        found.append("fly opposite and crossing strips, at two heights or over hills")
    if {"height", "down"} & set(names):
        found.append("give ground control")
    told = ", ".join(found) or "give ground control"
    fewer = [group for group, parts in GROUPS.items() if not set(parts) & set(names)]
    return told + (f"; or seek less: --solve {','.join(fewer)}" if fewer else "")
