"""Time stamps of a third party (RFC 3161): the laptop's clock is not a witness.

A request is made here, an authority answers it elsewhere, and its answer is held against ``run.json``: that
it was granted, that it is for these bytes, and what time it states. Whether the authority may be believed,
its signature and certificate, is for ``openssl ts -verify``: dronesense does not check these.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dronesense.errors import EvidenceError, ReadError
from dronesense.evidence import der
from dronesense.evidence.verify import Sealed, Verdict
from dronesense.writers.atomic import write_bytes

REQUEST_NAME: Final = "run.json.tsq"
NAME: Final = "run.json.tsr"
MAX_FILE_BYTES: Final = 1024 * 1024
"""A longer answer is not read, B: one with a chain of certificates has about 6 kB."""
SHA256_ALGORITHM: Final = bytes.fromhex("300d06096086480165030402010500")
"""AlgorithmIdentifier of SHA-256: OID 2.16.840.1.101.3.4.2.1 and NULL, in DER (RFC 8017, appendix A.2.1)."""
VERSION: Final = bytes.fromhex("020101")
"""INTEGER 1: version of the request (RFC 3161, 2.4.1)."""
CERTIFICATE_WANTED: Final = bytes.fromhex("0101ff")
"""BOOLEAN TRUE: the answer shall hold the authority's certificate (``certReq``)."""
NONCE_BYTES: Final = 8
GRANTED: Final = (0, 1)
"""PKIStatus granted, and granted with modifications (RFC 3161, 2.4.2)."""
SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
"""Attribute that holds the hash of what was signed (RFC 5652, 11.2)."""
DIGESTS: Final = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
"""Hashes that authorities sign over (RFC 5754)."""
CHECK: Final = f"openssl ts -verify -data run.json -in {NAME} -CAfile ca.pem"
LIMITS: Final = (
    f"the authority's signature and certificate are not checked by dronesense: {CHECK} (ca.pem: the "
    "certificates that you trust, from the authority itself)"
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an authority's answer says.

    Parameters
    ----------
    time : datetime
        When the authority saw the hash, UTC.
    policy : str
        Rules by which it stamps, an object identifier.
    serial : int
        Number of the stamp with that authority.
    algorithm : str
        Object identifier of the hash.
    imprint : bytes
        Hash of what was stamped.
    nonce : int or None
        Number of the request.
    """

    time: dt.datetime
    policy: str
    serial: int
    algorithm: str
    imprint: bytes
    nonce: int | None

    @property
    def words(self) -> str:
        """Time, policy and serial number for a person."""
        moment = self.time.isoformat().replace("+00:00", "Z")
        return f"{moment}, serial number {self.serial:x} (hexadecimal), policy {self.policy}"


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


def read(path: Path) -> Stamp:
    """Read the answer of an authority (TimeStampResp, RFC 3161, 2.4.2).

    Raises
    ------
    ReadError
        If it is none, is damaged, or was not granted.
    OSError
        If it cannot be read.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Stamp, bytes]:
    """Return an answer, and its bytes."""
    with path.open("rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ReadError("is too long for a time stamp", where=path)
    try:
        status, *token = der.counted(der.elements(der.only(data, der.SEQUENCE)), 1, 2)
        code, said = _status(der.content(status, der.SEQUENCE))
        if code in GRANTED:
            (only,) = der.counted(token, 1)
            return _stamp(der.content(only, der.SEQUENCE)), data
    except ValueError as error:
        raise ReadError(
            f"is not an answer of a time stamp authority, or it was damaged ({error})",
            where=path,
            fix="fetch it again",
        ) from error
    raise ReadError(
        f"is a refusal: status {code}{': ' if said else ''}{said}",
        where=path,
        fix="make a new request and ask again, or ask another authority",
    )


def attach(run: Sealed, source: Path) -> Stamp:
    """Copy an authority's answer beside ``run.json``, if it is one for these bytes and this request.

    Raises
    ------
    ReadError
        If *source* is no time stamp that was granted.
    EvidenceError
        If it is for other bytes or another request, or another stamp is there already.
    OSError
        If a file cannot be read or written.
    """
    stamp, data = _read(source)
    if problem := _mismatch(run, stamp):
        raise EvidenceError(
            problem, where=source, fix=f"have {REQUEST_NAME} of this run stamped; nothing was changed"
        )
    target = run.folder / NAME
    if target.exists() and target.read_bytes() != data:
        raise EvidenceError(
            "is there already, with other bytes",
            where=target,
            fix="keep the earlier one; put it elsewhere first if the new one shall take its place",
        )
    write_bytes(target, data)
    return stamp


def timestamp(run: Sealed) -> Verdict:
    """Say whether there is a stamp, whether it is for this ``run.json``, and what time it states."""
    path = run.folder / NAME
    if not path.is_file():
        asked = (run.folder / REQUEST_NAME).is_file()
        return Verdict("TIMESTAMP", None, "asked for, no answer attached" if asked else "none")
    try:
        stamp = read(path)
    except ReadError as error:
        return Verdict("TIMESTAMP", False, "INVALID", (str(error),))
    if problem := _mismatch(run, stamp):
        return Verdict("TIMESTAMP", False, "INVALID", (f"{NAME} {problem}",))
    return Verdict("TIMESTAMP", True, f"for these bytes; it states {stamp.words}", (), (LIMITS,))


def _mismatch(run: Sealed, stamp: Stamp) -> str:
    """Return why a stamp is not one of this run, empty if it is."""
    digest = hashlib.sha256(run.data).digest()
    if DIGESTS.get(stamp.algorithm) != "sha256":
        return f"stamps a hash of another kind ({stamp.algorithm}), not SHA-256"
    if stamp.imprint != digest:
        return "stamps other bytes than this run.json"
    path = run.folder / REQUEST_NAME
    asked = path.read_bytes() if path.is_file() else b""
    if digest in asked:  # an older request of another run is none of ours
        try:
            nonce = _nonce(der.elements(der.only(asked, der.SEQUENCE))[2:])
        except ValueError:
            return f"cannot be held against {REQUEST_NAME}, which was damaged"
        if nonce is not None and stamp.nonce != nonce:
            return f"answers another request than {REQUEST_NAME}"
    return ""


def _status(data: bytes) -> tuple[int, str]:
    """Return code and words of a PKIStatusInfo."""
    code, *rest = der.counted(der.elements(data), 1, 3)
    texts = [each for tag, inside in rest if tag == der.SEQUENCE for each in der.elements(inside)]
    said = "; ".join(der.content(each, der.UTF8).decode(errors="replace") for each in texts)
    return der.integer(der.content(code, der.INTEGER)), said


def _stamp(token: bytes) -> Stamp:
    """Return what a TimeStampToken says: a ContentInfo with SignedData over a TSTInfo (RFC 5652, 5.1)."""
    kind, wrapped = der.counted(der.elements(token), 2)
    if der.oid(der.content(kind, der.OID)) != SIGNED_DATA:
        raise ValueError("it holds no signed data")
    signed = der.elements(der.only(der.content(wrapped, 0xA0), der.SEQUENCE))
    _, _, inner, *_ = der.counted(signed, 4, 6)
    kind, wrapped = der.counted(der.elements(der.content(inner, der.SEQUENCE)), 2)
    if der.oid(der.content(kind, der.OID)) != TST_INFO:
        raise ValueError("what was signed is no time stamp")
    info = der.only(der.content(wrapped, 0xA0), der.OCTETS)
    (signer,) = der.counted(der.elements(der.content(signed[-1], der.SET)), 1)
    _check_digest(der.content(signer, der.SEQUENCE), info)
    return _info(der.elements(der.only(info, der.SEQUENCE)))


def _check_digest(signer: bytes, info: bytes) -> None:
    """Refuse a token whose signer vouches for another hash than that of what it says (RFC 5652, 5.4)."""
    _, _, algorithm, attributes, *_ = der.counted(der.elements(signer), 6, 7)
    name, *_ = der.counted(der.elements(der.content(algorithm, der.SEQUENCE)), 1, 2)
    digest = DIGESTS.get(der.oid(der.content(name, der.OID)))
    if digest is None:
        raise ValueError("signed over a hash that is not known")
    found = []
    for attribute in der.elements(der.content(attributes, 0xA0)):
        kind, values = der.counted(der.elements(der.content(attribute, der.SEQUENCE)), 2)
        if der.oid(der.content(kind, der.OID)) == MESSAGE_DIGEST:
            found.append(der.only(der.content(values, der.SET), der.OCTETS))
    if found != [hashlib.new(digest, info).digest()]:
        raise ValueError("what it says is not what was signed")


def _info(fields: list[der.Element]) -> Stamp:
    """Return what a TSTInfo says (RFC 3161, 2.4.2)."""
    version, policy, imprint, serial, moment, *rest = der.counted(fields, 5, 10)
    if der.content(version, der.INTEGER) != b"\x01":
        raise ValueError("another version of time stamps")
    algorithm, digest = der.counted(der.elements(der.content(imprint, der.SEQUENCE)), 2)
    name, *_ = der.counted(der.elements(der.content(algorithm, der.SEQUENCE)), 1, 2)
    return Stamp(
        time=der.time(der.content(moment, der.TIME)),
        policy=der.oid(der.content(policy, der.OID)),
        serial=der.integer(der.content(serial, der.INTEGER)),
        algorithm=der.oid(der.content(name, der.OID)),
        imprint=der.content(digest, der.OCTETS),
        nonce=_nonce(rest),
    )


def _nonce(fields: list[der.Element]) -> int | None:
    """Return the one number among optional fields, None if there is none."""
    found = [der.integer(inside) for tag, inside in fields if tag == der.INTEGER]
    if len(found) > 1:
        raise ValueError("two numbers of a request")
    return found[0] if found else None


def _tagged(tag: int, content: bytes) -> bytes:
    """Return tag, length and content; contents here are shorter than 128 bytes."""
    return bytes([tag, len(content)]) + content
