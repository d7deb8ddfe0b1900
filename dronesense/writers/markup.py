"""XML that is always well-formed: any text goes in, no markup comes out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2, "Char") has no way to hold."""
REPLACEMENT: Final = "\ufffd"


def clean(text: str) -> str:
    r"""Return *text* with a replacement character for each that XML cannot hold.

    >>> clean("a\x00b <c>")
    'a\ufffdb <c>'
    """
    return NOT_XML.sub(REPLACEMENT, text)


def root(tag: str, attributes: Mapping[str, str] | None = None) -> Element:
    """Return a new root element."""
    return Element(tag, _cleaned(attributes))


def add(parent: Element, tag: str, text: str = "", attributes: Mapping[str, str] | None = None) -> Element:
    """Append an element with *text* and *attributes* to *parent* and return it."""
    child = SubElement(parent, tag, _cleaned(attributes))
    if text:
        child.text = clean(text)
    return child


def to_bytes(element: Element, *, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    """Return the document as indented UTF-8; *head* stands before the root element."""
    indent(element, " ")
    text = tostring(element, encoding="unicode")
    return f"{head}\n{text}\n".encode()


def _cleaned(attributes: Mapping[str, str] | None) -> dict[str, str]:
    return {name: clean(value) for name, value in (attributes or {}).items()}
