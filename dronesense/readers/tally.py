"""The books of one reading: what was refused and why, what was assumed, what the user should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dronesense.model import IngestReport


@dataclass(slots=True)
class Tally:
    """What was refused and what the user should know, gathered on the way."""

    dropped: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def keep(self, good: NDArray[np.bool_], reason: str) -> NDArray[np.bool_]:
        """Count the rows that are not *good* under *reason*; return *good*."""
        bad = int(np.count_nonzero(~good))
        if bad:
            self.dropped[reason] += bad
        return good

    def reasons(self) -> str:
        """Return the reasons of refusal for a message, with a blank before, or nothing."""
        reasons = ", ".join(f"{count} x {reason}" for reason, count in self.dropped.items())
        return f" ({reasons})" if reasons else ""

    def report(
        self,
        format: str,  # noqa: A002 - the field's name in the report
        records: int,
        *,
        holes: tuple[tuple[int, int], ...] = (),
        companions: tuple[str, ...] = (),
        details: Mapping[str, object] | None = None,
    ) -> IngestReport:
        """Return the books as a report."""
        return IngestReport(
            format=format,
            records=records,
            dropped=dict(self.dropped),
            holes=holes,
            assumptions=tuple(dict.fromkeys(self.assumptions)),
            warnings=tuple(dict.fromkeys(self.warnings)),
            companions=companions,
            answered=tuple(dict.fromkeys(self.answered)),
            details={} if details is None else details,
        )
