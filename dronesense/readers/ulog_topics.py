"""What a PX4 ULog holds, as records: subscriptions, topics with their columns, dropouts, logged strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import did_you_mean
from dronesense.readers.ulog_formats import Layout


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an ``A`` message says: data messages of *ident* hold instance *multi_id* of a topic."""

    offset: int
    ident: int
    multi_id: int
    layout: Layout

    @property
    def key(self) -> str:
        """Name of the topic; instances above 0 as ``name[k]``."""
        return self.layout.name if self.multi_id == 0 else f"{self.layout.name}[{self.multi_id}]"


@dataclass(frozen=True, slots=True)
class Dropout:
    """A pause of the logger: *duration_ms*, after the data message stamped *timestamp_us*."""

    offset: int
    timestamp_us: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class LoggedText:
    """A logged string; *level* 0 (emergency) to 7 (debug), *tag* None where the message has none."""

    timestamp_us: int
    level: int
    tag: int | None
    text: str


class Topic(Mapping[str, NDArray[Any]]):
    """All rows of one instance of a topic, column by column, in the order of the file.

    A field ``q`` of the format ``float[4]`` is the column ``"q"`` of shape (n, 4); text (``char[n]``) is a
    column of bytes; the field ``lat`` of a nested format is ``"current.lat"``, (n,), or (n, k) where the
    nested format is an array. Columns are views.

    Attributes
    ----------
    layout : Layout
        How a row is packed.
    multi_id : int
        Instance.
    offsets : (n,) int64
        Byte at which each message starts.
    confirmed : (n,) bool
        False where no message follows: the end of the row may be foreign bytes.
    """

    __slots__ = ("_records", "confirmed", "layout", "multi_id", "offsets")

    def __init__(
        self,
        subscription: Subscription,
        records: NDArray[np.void],
        offsets: NDArray[np.int64],
        confirmed: NDArray[np.bool_],
    ) -> None:
        self.layout = subscription.layout
        self.multi_id = subscription.multi_id
        self.offsets = offsets
        self.confirmed = confirmed
        self._records = records

    def __getitem__(self, column: str) -> NDArray[Any]:
        values: NDArray[Any] = self._records
        try:
            for name in column.split("."):
                values = values[name]
        except (ValueError, IndexError):
            near = did_you_mean(column, self.layout.columns)
            raise KeyError(f"{self.layout.name} has no column {column}{near}") from None
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.columns)

    def __len__(self) -> int:
        return len(self.layout.columns)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.offsets)
