"""gettext's ``.po`` text (GNU gettext manual, "The Format of PO Files") as catalogs of the standard library.

Strict: what is not ``#`` comment, ``msgid``, ``msgid_plural``, ``msgstr``, ``msgstr[n]`` or a quoted line is
an error, and so is an id that comes twice. Contexts (``msgctxt``) are not used here and are refused.
"""

from __future__ import annotations

import ast
import gettext
import io
import re
import struct
from collections.abc import Mapping
from typing import Final

LINE: Final = re.compile(r'(?:(msgid|msgid_plural|msgstr|msgstr\[\d\]) +)?("(?:[^"\\]|\\["\\nt])*")')
MO_MAGIC: Final = 0x950412DE
"""First word of a ``.mo`` file (GNU gettext manual, "The Format of GNU MO Files")."""
MO_HEADER: Final = 28
"""Bytes before its tables."""

Catalog = dict[tuple[str, ...], tuple[str, ...]]
"""(id,) or (id, plural id) -> its translations: one, or one for each plural form."""


def parse(text: str) -> Catalog:
    r"""Return the entries of a ``.po`` text, the header under ``("",)``.

    Raises
    ------
    ValueError
        Naming the line that is none of the format.

    Examples
    --------
    >>> parse('msgid "a"\nmsgstr "б"\n')
    {('a',): ('б',)}
    """
    catalog: Catalog = {}
    entry: dict[str, str] = {}
    field = ""
    for number, line in enumerate([*text.splitlines(), 'msgid ""'], start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line.strip())
        if found is None or not (found[1] or field):
            raise ValueError(f"line {number} is not a line of a .po file: {line}")
        if found[1] == "msgid":
            _add(catalog, entry, number)
            entry = {}
        field = found[1] or field
        if found[1] in entry:
            raise ValueError(f"line {number}: a second {found[1]} in one entry")
        entry[field] = entry.get(field, "") + ast.literal_eval(found[2])
    return catalog


def _add(catalog: Catalog, entry: Mapping[str, str], number: int) -> None:
    if not entry:
        return
    key = tuple(entry[name] for name in ("msgid", "msgid_plural") if name in entry)
    forms = tuple(text for name, text in entry.items() if name.startswith("msgstr"))
    if not forms or ("msgid_plural" in entry) != ("msgstr[0]" in entry):
        raise ValueError(
            f"the entry before line {number} has no translation, or not the plural's: {key[0]!r}"
        )
    if any(key[0] == other[0] for other in catalog):
        raise ValueError(f"the entry before line {number} comes twice: {key[0]!r}")
    catalog[key] = forms


def translations(catalog: Catalog) -> gettext.GNUTranslations:
    """Return *catalog* as the standard library has it, plural forms by the rule of its header."""
    pairs = sorted(("\0".join(key).encode(), "\0".join(forms).encode()) for key, forms in catalog.items())
    start = MO_HEADER + 16 * len(pairs)
    tables, texts = [], b""
    for column in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[column]), start + len(texts)))
            texts += pair[column] + b"\0"
    header = struct.pack("<7I", MO_MAGIC, 0, len(pairs), MO_HEADER, MO_HEADER + 8 * len(pairs), 0, start)
    return gettext.GNUTranslations(io.BytesIO(header + b"".join(tables) + texts))
