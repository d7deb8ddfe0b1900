"""XMP packets by local name: cameras spell namespaces in several ways, and mix attributes with elements.

``http://pix4d.com/1.0``, ``http://pix4d.com/camera/1.0/`` and ``http://pix4d.com/camera/1.0`` all stand for
the same words. Facts: XMP specification part 1 (ISO 16684-1:2019), section 7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dronesense.errors import ReadError

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_START: Final = (b"<x:xmpmeta", b"<rdf:RDF")
_LISTS: Final = frozenset(f"{{{RDF}}}{kind}" for kind in ("Seq", "Bag", "Alt"))


@dataclass(frozen=True, slots=True)
class Xmp:
    """Properties of a packet.

    Parameters
    ----------
    where : Path
        The file.
    values : mapping of str to tuple of (namespace, texts)
        Local name -> all properties of that name in the order of the packet.
    """

    where: Path
    values: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def texts(self, name: str, *, like: str = "") -> tuple[str, ...]:
        """Return the texts of a property, lists split at commas too; none if it is not there.

        Parameters
        ----------
        name : str
            Local name.
        like : str
            A piece of the namespace, where a name stands in several; no other namespace is taken then.
        """
        for space, texts in self.values.get(name, ()):
            if like.lower() in space.lower():
                parts = texts if len(texts) != 1 else tuple(texts[0].split(","))
                return tuple(part.strip() for part in parts)
        return ()

    def text(self, *names: str, like: str = "") -> str:
        """Return the text of the first of *names* that is there, empty if none is."""
        for name in names:
            texts = self.texts(name, like=like)
            if texts:
                return ",".join(texts)
        return ""

    def numbers(self, *names: str, like: str = "") -> tuple[float, ...]:
        """Return the numbers of the first of *names* that is there, none if none is.

        Raises
        ------
        ReadError
            If one is no number.
        """
        for name in names:
            texts = [part for text in self.texts(name, like=like) for part in text.replace(",", " ").split()]
            if texts:
                try:
                    return tuple(float(text) for text in texts)
                except ValueError:
                    raise ReadError(
                        f'its XMP says {name} = "{",".join(texts)[:60]}", not numbers',
                        where=self.where,
                        fix="use the file as the camera wrote it",
                    ) from None
        return ()

    def number(self, *names: str, like: str = "") -> float:
        """Return the number of the first of *names* that is there, NaN if none is."""
        numbers = self.numbers(*names, like=like)
        return numbers[0] if numbers else math.nan

    def require(self, name: str, count: int, *others: str) -> tuple[float, ...]:
        """Return *count* finite numbers of a property, or of one of its *others* names.

        Raises
        ------
        ReadError
            If it is not there, or has another number of values.
        """
        numbers = self.numbers(name, *others)
        if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
            held = "no" if not numbers else f"{len(numbers)} numbers in"
            raise ReadError(
                f"has {held} {name} in its XMP, {count} are needed",
                where=self.where,
                fix="use the file as the camera wrote it; some programs drop XMP when they save",
            )
        return numbers


def parse(packet: bytes, where: Path) -> Xmp:
    """Return the properties of an XMP packet.

    Raises
    ------
    ReadError
        If there is no packet, it is not sound XML, or it defines entities.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    begin = min((at for start in _START if (at := packet.find(start)) >= 0), default=-1)
    if begin < 0:
        raise ReadError(
            "has no XMP, where this camera writes its calibration",
            where=where,
            fix="use the file as the camera wrote it; some programs drop XMP when they save",
        )
    end = packet.rfind(b">") + 1
    closing = packet.rfind(b"<?xpacket")
    end = closing if closing > begin else end
    try:
        root = fromstring(packet[begin:end])
    except DefusedXmlException as error:
        raise ReadError(
            "defines entities in its XMP: refused", where=where, fix="use the file as the camera wrote it"
        ) from error
    except (ParseError, LookupError, ValueError) as error:
        raise ReadError(
            f"has XMP that is not sound XML ({error})", where=where, fix="copy it again from the card"
        ) from error
    values: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for block in root.iter(f"{{{RDF}}}Description"):
        for key, text in block.attrib.items():
            _add(values, key, (text,))
        for element in block:
            _add(values, element.tag, _texts(element))
    return Xmp(where, {name: tuple(found) for name, found in values.items()})


def _add(values: dict[str, list[tuple[str, tuple[str, ...]]]], key: str, texts: tuple[str, ...]) -> None:
    space, _, name = key.rpartition("}")
    if space != f"{{{RDF}":
        values.setdefault(name, []).append((space[1:], texts))


def _texts(element: Any) -> tuple[str, ...]:
    """Return the items of a list, else the text of the element."""
    for inner in element:
        if inner.tag in _LISTS:
            return tuple((item.text or "").strip() for item in inner)
    return ((element.text or "").strip(),)
