"""A signature and its variants as the CSV and TOML that :mod:`dronesense.readers.csv_signature` reads."""

from __future__ import annotations

import csv
import io
import json
from typing import Final

import numpy as np

from dronesense.model.signature import Signature, SignatureSet

PROVENANCE: Final = ("source", "license", "citation", "file", "sha256", "entry")
"""Fields of a signature that go into the TOML, where they say something."""


def to_csv(target: SignatureSet) -> str:
    """Return the spectra of *target* as a table: one row per wavelength of any of them.

    Numbers in full precision: what is read back is equal to the last bit.
    """
    first = target.members[0]
    places = np.unique(np.concatenate([each.wavelength_nm for each in target.members]))
    columns = [("band" if first.by_band else "wavelength_nm", _cells(places, whole=first.by_band))]
    for member in target.members:
        suffix = f": {member.name}" if len(target) > 1 else ""
        at = np.searchsorted(places, member.wavelength_nm)
        for heading, values in ((first.quantity, member.value), ("sigma", member.sigma)):
            if heading == first.quantity or bool(np.isfinite(values).any()):
                cells = np.full(len(places), "", dtype=object)
                cells[at] = _cells(values)
                columns.append((heading + suffix, cells.tolist()))
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow([heading for heading, _ in columns])
    table.writerows(zip(*(cells for _, cells in columns), strict=True))
    return text.getvalue()


def to_toml(target: SignatureSet) -> str:
    """Return name, quantity and provenance of *target*; of each variant where there are several."""
    first = target.members[0]
    lines = ["schema = 1", f"name = {_text(target.name)}", f"quantity = {_text(first.quantity)}"]
    if len(target) == 1:
        lines += _provenance(first)
    for member in target.members if len(target) > 1 else ():
        lines += ["", f"[variants.{_text(member.name)}]", *_provenance(member)]
    return "\n".join(lines) + "\n"


def _provenance(signature: Signature) -> list[str]:
    lines = [f"{key} = {_text(getattr(signature, key))}" for key in PROVENANCE if getattr(signature, key)]
    if signature.gaps_nm:
        gaps = ", ".join(f"[{low!r}, {high!r}]" for low, high in signature.gaps_nm)
        lines.append(f"gaps_nm = [{gaps}]")
    return lines


def _cells(values: np.typing.NDArray[np.float64], *, whole: bool = False) -> list[str]:
    return ["" if np.isnan(each) else str(int(each)) if whole else repr(each) for each in values.tolist()]


def _text(value: str) -> str:
    """Return *value* as a basic string of TOML: that of JSON, which escapes the same characters."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
