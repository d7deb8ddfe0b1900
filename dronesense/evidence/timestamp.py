"""Requests for a time stamp of a third party (RFC 3161): the laptop's clock is not a witness."""

from __future__ import annotations

import hashlib
from typing import Final

SHA256_ALGORITHM: Final = bytes.fromhex("300d06096086480165030402010500")
"""AlgorithmIdentifier of SHA-256: OID 2.16.840.1.101.3.4.2.1 and NULL, in DER (RFC 8017, appendix A.2.1)."""
VERSION: Final = bytes.fromhex("020101")
"""INTEGER 1: version of the request (RFC 3161, 2.4.1)."""
CERTIFICATE_WANTED: Final = bytes.fromhex("0101ff")
"""BOOLEAN TRUE: the answer shall hold the authority's certificate (``certReq``)."""
NONCE_BYTES: Final = 8


def request(data: bytes, *, nonce: bytes) -> bytes:
    """Return the TimeStampReq for the SHA-256 of *data*, in DER: 69 bytes.

    Parameters
    ----------
    data : bytes
        What shall be stamped: the bytes of ``run.json``.
    nonce : bytes
        Eight random bytes; the first bit is cleared and the second set, so that the number is positive and
        its length does not vary.

    Examples
    --------
    >>> len(request(b"run", nonce=bytes(8)))
    69
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"nonce must have {NONCE_BYTES} bytes, not {len(nonce)}")
    number = bytes([nonce[0] & 0x7F | 0x40]) + nonce[1:]
    imprint = _tagged(0x30, SHA256_ALGORITHM + _tagged(0x04, hashlib.sha256(data).digest()))
    return _tagged(0x30, VERSION + imprint + _tagged(0x02, number) + CERTIFICATE_WANTED)


def _tagged(tag: int, content: bytes) -> bytes:
    """Return tag, length and content; contents here are shorter than 128 bytes."""
    return bytes([tag, len(content)]) + content
