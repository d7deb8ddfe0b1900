"""What people say of hotspots: a side file that grows by a line for each decision and touches no evidence.

``hotspots.geojson`` keeps the sealed layer ``hotspots.geojson``, byte for byte as ``run.json`` lists it;
decisions stand in ``hotspots.reviews.jsonl`` beside it. A later run of the same flight moves that file over,
and as ids are stable the decisions hold for its layer too. Nothing is ever taken out of the file: the last
line about a hotspot counts, the others are its history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from dronesense.errors import ReadError
from dronesense.writers.atomic import lock, sha256_file, write_bytes

SUFFIX: Final = ".reviews.jsonl"
Status = Literal["candidate", "confirmed", "rejected"]


@dataclass(frozen=True, slots=True)
class Review:
    """A decision of a person.

    Parameters
    ----------
    hotspot : str
        Id.
    status : {"candidate", "confirmed", "rejected"}
        What it is held for; ``candidate`` takes a decision back.
    note, by : str
        Why, and who says so.
    time : str
        When, RFC 3339, UTC.
    layer_sha256 : str
        Of the layer that the person looked at.
    """

    hotspot: str
    status: Status
    note: str
    by: str
    time: str
    layer_sha256: str


def path_of(layer: Path) -> Path:
    """Return the side file of a layer.

    >>> path_of(Path("products/hotspots.geojson")).as_posix()
    'products/hotspots.reviews.jsonl'
    """
    return layer.with_name(f"{layer.stem}{SUFFIX}")


def read(layer: Path) -> tuple[Review, ...]:
    """Return the decisions about *layer*, oldest first; none when nobody has decided anything.

    Raises
    ------
    ReadError
        If a line of the side file is not a decision.
    """
    path = path_of(layer)
    if not path.is_file():
        return ()
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    return tuple(_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line)


def append(layer: Path, hotspot: str, status: Status, *, note: str = "", by: str = "", time: str) -> Review:
    """Add a decision about one hotspot of *layer* to its side file and return it.

    Raises
    ------
    ReadError
        If the side file is damaged.
    LockedError
        If a run works on the folder.
    OSError
        If the folder cannot be written.
    """
    if status not in get_args(Status):
        raise ValueError(f"status must be one of {get_args(Status)}, not {status!r}")
    with lock(layer.parent):
        review = Review(hotspot, status, note, by, time, sha256_file(layer))
        everything = (*read(layer), review)
        lines = (json.dumps(asdict(each), ensure_ascii=False, allow_nan=False) for each in everything)
        write_bytes(path_of(layer), "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace"))
    return review


def latest(reviews: Iterable[Review]) -> dict[str, Review]:
    """Return the decision that counts for each hotspot: the last."""
    return {review.hotspot: review for review in reviews}


def _parsed(line: str, where: str) -> Review:
    fix = "take the line out, or put the file back as it was"
    try:
        row: Any = json.loads(line)
        review = Review(**{name: str(value) for name, value in row.items()})  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError) as error:
        raise ReadError(f"is not a decision about a hotspot ({error})", where=where, fix=fix) from error
    if review.status not in get_args(Status):
        raise ReadError(f'status "{review.status}" is none of {get_args(Status)}', where=where, fix=fix)
    return review
