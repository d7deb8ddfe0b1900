"""Who vouches for a run: Ed25519 signatures (RFC 8032) over the bytes of ``run.json``.

The signature lies beside it in ``run.json.sig`` (64 bytes), the public key in ``run.json.pub.pem``. A
signature that ``ssh-keygen -Y sign -n file`` made is read as well. That a signature is valid says that the
holder of the key signed these bytes; whose key that is, only a list of trusted keys can say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dronesense.errors import EvidenceError, ReadError
from dronesense.evidence.verify import Sealed, Verdict
from dronesense.writers.atomic import write_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_NAME: Final = "run.json.sig"
KEY_NAME: Final = "run.json.pub.pem"
SIGNATURE_BYTES: Final = 64
"""Length of an Ed25519 signature, B (RFC 8032, 5.1.6)."""
KEY_BYTES: Final = 32
"""Length of an Ed25519 public key, B."""
MAX_FILE_BYTES: Final = 1024 * 1024
"""Longer keys and signatures are not read, B."""
ARMOR: Final = (b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----")
SSH_MAGIC: Final = b"SSHSIG"
SSH_NAMESPACE: Final = b"file"
"""Namespace that `ssh-keygen -Y sign -n file` puts into what it signs."""
SSH_HASHES: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


def make_key(path: Path, *, passphrase: bytes | None = None) -> str:
    """Make a private key at *path* (PKCS #8 PEM, readable by its owner alone), and ``<path>.pub`` beside it.

    Returns
    -------
    str
        Fingerprint of the public key.

    Raises
    ------
    EvidenceError
        If *path* exists, or cryptography is not installed.
    OSError
        If it cannot be written.
    """
    _available()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    lock = forms.BestAvailableEncryption(passphrase) if passphrase else forms.NoEncryption()
    data = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, lock)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise EvidenceError("is there already", where=path, fix="keep it, or name another file") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    write_bytes(path.with_name(f"{path.name}.pub"), _pem(key.public_key()))
    return fingerprint(key.public_key())


def sign(run: Sealed, key: Path, *, passphrase: bytes | None = None) -> str:
    """Sign the bytes of ``run.json`` with the private key in the file *key*; an older signature is replaced.

    Returns
    -------
    str
        Fingerprint of the public key.

    Raises
    ------
    ReadError
        If *key* holds no Ed25519 private key, or the passphrase is wrong.
    EvidenceError
        If cryptography is not installed.
    OSError
        If a file cannot be read or written.
    """
    _available()
    private = _private(key, passphrase)
    write_bytes(run.folder / KEY_NAME, _pem(private.public_key()))
    write_bytes(run.folder / SIGNATURE_NAME, private.sign(run.data))
    return fingerprint(private.public_key())


def signature(run: Sealed, *, trusted: Path | None = None) -> Verdict:
    """Check the signature of a run.

    Parameters
    ----------
    run : Sealed
        From :func:`~dronesense.evidence.verify.open_run`.
    trusted : Path, optional
        File with the public keys that are known, PEM or a line of OpenSSH each. When it is given, a run
        without a signature, or with one of somebody else, fails.

    Raises
    ------
    ReadError
        If *trusted* holds no key.
    EvidenceError
        If there is something to check and cryptography is not installed.
    """
    path = run.folder / SIGNATURE_NAME
    if not path.is_file():
        wanted = trusted is not None
        return Verdict(
            "SIGNATURE", False if wanted else None, "none", ("a signature was asked for",) if wanted else ()
        )
    _available()
    known = () if trusted is None else read_public_keys(trusted)
    try:
        signer, good = _checked(run, _short(path))
    except ReadError as error:
        return Verdict("SIGNATURE", False, "INVALID", (str(error),))
    if not good:
        problem = "run.json, its signature or the key beside it was changed after signing"
        return Verdict("SIGNATURE", False, "INVALID", (problem,))
    name = fingerprint(signer)
    if name in {fingerprint(each) for each in known}:
        return Verdict("SIGNATURE", True, f"valid, by the trusted key {name}")
    note = f"anybody can make a key: compare its fingerprint {name} with that of the person who signed"
    if trusted is not None:
        return Verdict("SIGNATURE", False, "valid, unknown signer", (f"{name} is not in {trusted.name}",))
    return Verdict("SIGNATURE", True, "valid, unknown signer", (), (note,))


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the fingerprint of a public key as ``ssh-keygen -l`` shows it: SHA-256 in base 64."""
    blob = _string(b"ssh-ed25519") + _string(key.public_bytes_raw())
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()


def read_public_keys(path: Path) -> tuple[Ed25519PublicKey, ...]:
    """Return the Ed25519 public keys in a file: PEM blocks, or lines as in ``authorized_keys``.

    Raises
    ------
    ReadError
        If there is none.
    """
    _available()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data = _short(path)
    end = b"-----END PUBLIC KEY-----"
    blocks = [part[part.find(b"-----BEGIN") :] + end for part in data.split(end)[:-1]]
    lines = [line[line.find(b"ssh-ed25519 ") :] for line in data.splitlines() if b"ssh-ed25519 " in line]
    keys = []
    for load, parts in ((forms.load_pem_public_key, blocks), (forms.load_ssh_public_key, lines)):
        for part in parts:
            try:
                key = load(part)
            except (ValueError, UnsupportedAlgorithm) as error:
                raise ReadError(f"holds a damaged public key ({error})", where=path) from error
            if isinstance(key, Ed25519PublicKey):
                keys.append(key)
    if not keys:
        raise ReadError("holds no Ed25519 public key", where=path, fix="name a .pub file of the signer")
    return tuple(keys)


def _checked(run: Sealed, data: bytes) -> tuple[Ed25519PublicKey, bool]:
    """Return the key that a signature claims, and whether it is that key's."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if data.startswith(ARMOR[0]):
        key, raw, signed = _ssh(data, run)
        signer = Ed25519PublicKey.from_public_bytes(key)
    else:
        raw, signed = data, run.data
        if len(raw) != SIGNATURE_BYTES:
            try:
                raw = bytes.fromhex(data.decode("ascii").strip())
            except ValueError as error:
                raise ReadError("is not a signature", where=SIGNATURE_NAME) from error
        beside = run.folder / KEY_NAME
        if not beside.is_file():
            raise ReadError("is gone, so the signature cannot be checked", where=KEY_NAME)
        signer = read_public_keys(beside)[0]
        if _pem(signer) != _short(beside):
            raise ReadError("is not as dronesense writes it", where=KEY_NAME)
    try:
        signer.verify(raw, signed)
    except InvalidSignature:
        return signer, False
    return signer, True


def _ssh(data: bytes, run: Sealed) -> tuple[bytes, bytes, bytes]:
    """Return key, signature and signed bytes of a signature of OpenSSH (PROTOCOL.sshsig)."""
    problem = ReadError("is not a signature that ssh-keygen made with an Ed25519 key", where=SIGNATURE_NAME)
    text = data.partition(ARMOR[0])[2].partition(ARMOR[1])[0]
    try:
        blob = base64.b64decode(b"".join(text.split()), validate=True)
        if blob[: len(SSH_MAGIC) + 4] != SSH_MAGIC + struct.pack(">I", 1):
            raise problem
        key, space, reserved, name, packed = _strings(blob[len(SSH_MAGIC) + 4 :], 5)
        (kind, public), (sort, raw) = _strings(key, 2), _strings(packed, 2)
    except (binascii.Error, struct.error, ValueError) as error:
        raise problem from error
    fits = kind == sort == b"ssh-ed25519" and space == SSH_NAMESPACE and name in SSH_HASHES
    if not fits or (len(public), len(raw)) != (KEY_BYTES, SIGNATURE_BYTES):
        raise problem
    digest = SSH_HASHES[name](run.data).digest()
    return public, raw, SSH_MAGIC + b"".join(map(_string, (space, reserved, name, digest)))


def _strings(blob: bytes, count: int) -> list[bytes]:
    """Return the *count* strings that fill *blob*, each after its length (RFC 4251, 5)."""
    found, start = [], 0
    for _ in range(count):
        (length,) = struct.unpack_from(">I", blob, start)
        found.append(blob[start + 4 : start + 4 + length])
        start += 4 + length
    if start != len(blob):
        raise ValueError("lengths do not fit")
    return found


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _private(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _short(path)
    load = forms.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else forms.load_pem_private_key
    try:
        key = load(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReadError(
            "is no private key, or the passphrase is wrong or missing",
            where=path,
            fix="make a key with `dronesense evidence keygen`, or give --ask-passphrase",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReadError("is a key of another kind than Ed25519", where=path)
    return key


def _pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms

    return key.public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)


def _short(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ReadError("is too long for a key or a signature", where=path)
    return path.read_bytes()


def _available() -> None:
    try:
        import cryptography
    except ImportError as error:
        raise EvidenceError(
            "signatures need the package cryptography", fix="install dronesense[sign]"
        ) from error
    assert cryptography
