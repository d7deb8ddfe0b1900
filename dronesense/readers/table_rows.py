"""Lines and cells of a table: where its headings are, where it ends, which rows fit."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dronesense.errors import ReadError

DELIMITERS: Final = (",", ";", "\t")
"""Delimiters that are told apart by the heading line."""

BLANKS: Final = " "
"""As a delimiter: any run of blanks and tabs; such tables have no empty cells and no quotes."""

CUT_ROW: Final = "last row cut short"
SHORT_ROW: Final = "fewer cells than headings"
LONG_ROW: Final = "more cells than headings"
MAX_NAMED_LINES: Final = 5
"""Lines named in a warning before it says "..."."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading line: its 1-based number, the offset of its first character, how it is split, its cells."""

    line: int
    start: int
    delimiter: str
    names: list[str]


def until(text: str, end: str | None, assumptions: list[str]) -> str:
    """Return *text* up to the first line that starts with *end*."""
    if end is None:
        return text
    at = 0 if text.startswith(end) else text.find(f"\n{end}") + 1
    if not at:
        return text
    lines = text.count("\n", at) + (not text.endswith("\n"))
    assumptions.append(f'the table ends before "{end}": {lines} line(s) from there on are not read')
    return text[:at]


def find_heading(head: str, delimiter: str | None, wanted: frozenset[str]) -> Heading:
    """Return the line of *head* with most of the *wanted* headings, else the first that is not blank."""
    marks = (delimiter,) if delimiter else (*DELIMITERS, BLANKS) if wanted else DELIMITERS
    best, score, start = Heading(1, 0, marks[0], []), (-1, 0), 0
    for line, text in enumerate(io.StringIO(head, newline=""), 1):
        # A line that holds none of the names cannot win, but for the first one.
        if text.strip() and (best.names == [] or any(name in text for name in wanted)):
            for mark in marks:
                if mark == BLANKS != delimiter and "\t" in text.strip():
                    continue  # a blank between tabs is part of a heading: "GPS Time"
                names = _split(text, mark)
                matches = len(wanted.intersection(names))
                # A line after the first takes matches; among delimiters of a line without any, columns count.
                width = (
                    0 if matches and mark == BLANKS else len(names)
                )  # "CH4 (ppm)" beside tabs is one heading
                if (matches, 0) > (score[0], 0) or (line == best.line and (matches, width) > score):
                    best, score = Heading(line, start, mark, names), (matches, width)
            if not wanted:
                break
        start += len(text)
    return best


def _split(line: str, delimiter: str) -> list[str]:
    """Return the stripped cells of one line."""
    if delimiter == BLANKS:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]


def records_of(path: Path, text: str, head: Heading) -> list[tuple[int, list[str]]]:
    """Return (first line, cells) of each record that is not blank, from the heading line on."""
    text = text[head.start :]
    if head.delimiter == BLANKS:
        lines = enumerate(io.StringIO(text, newline=""), head.line)
        return [(line, row.split()) for line, row in lines if row.strip()]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=head.delimiter, skipinitialspace=True)
    records: list[tuple[int, list[str]]] = []
    start = head.line
    try:
        for cells in reader:
            if cells and (cells[0].strip() or any(map(str.strip, cells))):
                records.append((start, cells))
            last, start = start, head.line + reader.line_num
    except csv.Error as error:
        raise ReadError(f"cannot be split into cells ({error})", where=f"{path}, line {start}") from error
    tail = list(io.StringIO(text, newline=""))[last - head.line :]
    if "".join(tail).count('"') % 2 == 0:
        return records
    if len(tail) > 1:
        raise ReadError(
            "a quote is never closed", where=f"{path}, line {last}", fix="close the quote on that line"
        )
    return [*records[:-1], (last, [])]  # the file is cut inside a quoted cell


def fitting(
    records: list[tuple[int, list[str]]],
    width: int,
    dropped: dict[str, int],
    warnings: list[str],
    *,
    may_be_cut: bool,
    extra: bool,
) -> list[tuple[int, list[str]]]:
    """Return the records of *width* cells; count the others in *dropped* and name them in *warnings*."""
    kept: list[tuple[int, list[str]]] = []
    left_out: dict[str, list[int]] = {}
    last = records[-1][0] if records else 0
    for line, cells in records:
        if len(cells) == width:
            kept.append((line, cells))
        elif len(cells) > width and (extra or not any(cell.strip() for cell in cells[width:])):
            kept.append((line, cells[:width]))
        elif len(cells) > width:
            left_out.setdefault(LONG_ROW, []).append(line)
        else:
            left_out.setdefault(CUT_ROW if may_be_cut and line == last else SHORT_ROW, []).append(line)
    for reason, lines in left_out.items():
        dropped[reason] = len(lines)
        named = ", ".join(map(str, lines[:MAX_NAMED_LINES])) + (
            ", ..." if len(lines) > MAX_NAMED_LINES else ""
        )
        warnings.append(f"{reason}: {len(lines)} row(s) left out (line {named})")
    return kept
