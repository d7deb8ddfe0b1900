"""How a record shows itself in a notebook: a small table and its warnings, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

MAX_ROWS: Final = 12
"""Lines of a list that are shown; the rest is counted."""
NS_PER_S: Final = 1_000_000_000

Cells = Mapping[str, object]


def card(title: str, facts: Cells, *, warnings: Sequence[str] = (), below: str = "") -> str:
    """Return a record as HTML.

    Parameters
    ----------
    title : str
        What it is.
    facts : mapping
        Name to value, shown as text; an empty value is left out.
    warnings : sequence of str
        What to know before trusting it; the first :data:`MAX_ROWS` are shown.
    below : str
        HTML that follows, from :func:`table`.

    Examples
    --------
    >>> card("<b>", {"rows": 3, "name": ""})
    '<div><strong>&lt;b&gt;</strong><table><tr><th>rows</th><td>3</td></tr></table></div>'
    """
    rows = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>"
        for name, value in facts.items()
        if value not in ("", None)
    )
    return f"<div><strong>{_text(title)}</strong><table>{rows}</table>{_warned(warnings)}{below}</div>"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return the first rows as an HTML table, and how many more there are.

    Examples
    --------
    >>> table(["a"], [["<i>"]])
    '<table><tr><th>a</th></tr><tr><td>&lt;i&gt;</td></tr></table>'
    """
    if not rows:
        return ""
    head = "".join(f"<th>{_text(each)}</th>" for each in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows[:MAX_ROWS]
    )
    more = f"<p>and {len(rows) - MAX_ROWS} more</p>" if len(rows) > MAX_ROWS else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def moment(time_ns: int) -> str:
    """Return a UTC time in ns to the second, for people.

    Examples
    --------
    >>> moment(1_500_000_000)
    '1970-01-01 00:00:01 UTC'
    """
    return f"{datetime.fromtimestamp(int(time_ns) // NS_PER_S, UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(low: float, high: float, unit: str) -> str:
    """Return a range with its unit; empty when an end is not known.

    Examples
    --------
    >>> span(1.94, 4.128, "ppm"), span(float("nan"), 1.0, "ppm")
    ('1.94 to 4.128 ppm', '')
    """
    return f"{low:.4g} to {high:.4g} {unit}" if low == low and high == high else ""


def _warned(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{_text(each)}</li>" for each in warnings[:MAX_ROWS])
    more = f"<li>and {len(warnings) - MAX_ROWS} more</li>" if len(warnings) > MAX_ROWS else ""
    return f"<p>Know before you trust it:</p><ul>{items}{more}</ul>"


def _text(value: object) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
