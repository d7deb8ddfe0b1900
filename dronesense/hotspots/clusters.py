"""Crossings of one plume: events of a gas that hang together on the ground, by density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.hotspots.sightings import Sighting

GAP_FACTOR: Final = 1.5
"""Flight lines are rarely evenly spaced: neighbors may lie this much farther apart than the median."""
CE90S: Final = 3.0
"""Samples nearer than so many CE90 cannot be told apart."""
MIN_SAMPLES: Final = 3
"""Raised samples within reach of each other that make a cluster; fewer stay on their own."""
STEP_M: Final = 1.0
"""Tracks of events are sampled at this distance, so that a fast analyser counts no more than a slow one."""


def plumes(sightings: Sequence[Sighting], ce90_m: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """Return the number of the plume of each gas event, -1 for one of its own, and how far it reaches.

    Places along the tracks of events are clustered by DBSCAN (Ester et al. 1996, KDD-96, 226-231; the
    implementation of scikit-learn): what lies within reach of enough others belongs together. The reach is
    1.5 times the median gap between an event and the nearest one of another pass, at least three times the
    median CE90.

    Parameters
    ----------
    sightings : sequence of Sighting
        Gas events of one target, in one CRS.
    ce90_m : (n,) float64
        Of their places.

    Examples
    --------
    Nothing hangs together where there is one event:

    >>> plumes([], np.empty(0))
    (array([], dtype=int64), 0.0)
    """
    n = len(sightings)
    if n < 2:
        return np.full(n, -1, dtype=np.int64), 0.0
    outline = np.array([each.outline for each in sightings], dtype=object)
    gap = shapely.distance(outline[:, None], outline[None, :])
    np.fill_diagonal(gap, np.inf)
    reach = max(GAP_FACTOR * float(np.median(gap.min(axis=1))), CE90S * float(np.median(ce90_m)))
    if not reach > 0.0:
        return np.full(n, -1, dtype=np.int64), 0.0
    from sklearn.cluster import DBSCAN

    dense = [shapely.get_coordinates(shapely.segmentize(each, STEP_M)) for each in outline]
    owner = np.repeat(np.arange(n), [len(each) for each in dense])
    label = DBSCAN(eps=reach, min_samples=MIN_SAMPLES).fit_predict(np.concatenate(dense))
    result = np.full(n, -1, dtype=np.int64)
    for i in range(n):
        mine = label[owner == i]
        mine = mine[mine >= 0]
        if mine.size:
            result[i] = np.bincount(mine).argmax()
    return result, reach
