"""``dronesense evidence pack``, ``log``, ``keygen``, ``timestamp`` and ``sbom``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from dronesense.errors import EvidenceError


@click.group("evidence")
def command() -> None:
    """Pack a run for a case file, keep the custody log, make keys, say what the program is made of."""


@command.command("pack")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Zip to write."
)
def pack(run: Path, output: Path) -> int:
    """Pack RUN and its custody log as a BagIt bag with RO-Crate metadata.

    A run that does not verify is refused.
    """
    from dronesense.evidence import bag, custody, signature, timestamp, verify

    sealed = verify.open_run(run)
    log = sealed.folder.resolve().parent / custody.NAME
    checks = [verify.integrity(sealed), verify.completeness(sealed), verify.chain(sealed, log)]
    checks += [signature.signature(sealed), timestamp.timestamp(sealed)]
    problems = [problem for each in checks if each.passed is False for problem in each.problems]
    if problems:
        raise EvidenceError(
            f"does not verify: {problems[0]}", where=sealed.folder, fix="see `dronesense verify`"
        )
    beside = [path for path in (log, log.with_name(log.name + custody.HEAD_SUFFIX)) if path.is_file()]
    packed = bag.pack(sealed, output, beside=beside)
    click.echo(f"{output}: {len(packed)} files")
    return 0


@command.command("log")
@click.argument("note", metavar="TEXT")
@click.option(
    "--flight",
    default=Path(),
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Flight folder whose custody.jsonl it is; default: this folder.",
)
@click.option("--actor", default="", help="Who says so.")
@click.option(
    "--subject",
    "subjects",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that it is about; its SHA-256 goes into the log.",
)
def log(note: str, flight: Path, actor: str, subjects: tuple[Path, ...]) -> int:
    """Add a line to the custody log, such as "handed to the laboratory", and print its new head code.

    Note the head code on paper: it shows later that no line was changed or taken out.
    """
    from dronesense import __version__
    from dronesense.evidence import custody
    from dronesense.writers.atomic import sha256_file

    chain = custody.append(
        flight / custody.NAME,
        "note",
        utc=_now(),
        actor=actor,
        tool=f"dronesense {__version__}",
        subject_sha256=tuple(sha256_file(path) for path in subjects),
        note=note,
    )
    click.echo(f"Line {len(chain.entries)}; head code {chain.head}")
    return 0


@command.command("keygen")
@click.argument("key", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--ask-passphrase", "ask", is_flag=True, help="Protect the key with a passphrase.")
def keygen(key: Path, ask: bool) -> int:
    """Make an Ed25519 key in FILE, and the public key in FILE.pub for those who shall check."""
    from dronesense.cli.sign_command import ask_passphrase
    from dronesense.evidence import signature

    name = signature.make_key(key, passphrase=ask_passphrase(ask, twice=True))
    click.echo(f"{key}: keep it secret. {key}.pub: give it away. Fingerprint {name}")
    return 0


@command.group("timestamp")
def timestamp() -> None:
    """Have run.json stamped by an authority (RFC 3161), which is asked elsewhere: no network is used here."""


@timestamp.command("request")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
def request(run: Path) -> int:
    """Write run.json.tsq: a request to have the hash of run.json stamped, later and online."""
    import secrets

    from dronesense.evidence import timestamp as stamps
    from dronesense.evidence import verify
    from dronesense.writers.atomic import write_bytes

    sealed = verify.open_run(run)
    target = sealed.folder / stamps.REQUEST_NAME
    write_bytes(target, stamps.request(sealed.data, nonce=secrets.token_bytes(stamps.NONCE_BYTES)))
    click.echo(target)
    return 0


@timestamp.command("attach")
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.argument("answer", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--actor", default="", help="Who fetched it.")
def attach(run: Path, answer: Path, actor: str) -> int:
    """Keep an authority's answer FILE as run.json.tsr, if it is for this run.json and this request.

    A line goes into the custody log. The authority's signature and certificate are not checked here.
    """
    from dronesense import __version__
    from dronesense.evidence import custody, verify
    from dronesense.evidence import timestamp as stamps
    from dronesense.writers.atomic import MANIFEST_NAME, lock, sha256_file

    sealed = verify.open_run(run)
    with lock(sealed.folder):
        stamp = stamps.attach(sealed, answer)
    kept = sealed.folder / stamps.NAME
    chain = custody.append(
        sealed.folder.resolve().parent / custody.NAME,
        "timestamp",
        utc=_now(),
        actor=actor,
        tool=f"dronesense {__version__}",
        subject_sha256=(sha256_file(sealed.folder / MANIFEST_NAME), sha256_file(kept)),
        note=f"run.json: an authority's time stamp of {stamp.words}",
    )
    click.echo(f"{kept}: states {stamp.words}")
    click.echo(f"Line {len(chain.entries)} of the custody log; head code {chain.head}")
    click.echo(f"Note: {stamps.LIMITS}")
    return 0


@command.command("sbom")
@click.argument("lock", metavar="LOCK", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="JSON to write."
)
def sbom(lock: Path, output: Path) -> int:
    """Write what the program is made of: the packages of LOCK (requirements/run.txt) as CycloneDX 1.6.

    With the hashes of the lock, the licenses of what is installed, and the files of others in the page.
    """
    from dronesense.evidence import sbom as bills
    from dronesense.writers.atomic import write_bytes

    pins = bills.read_lock(lock)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, bills.encode(bills.bill(pins, bills.vendored())))
    click.echo(f"{output}: {len(pins)} packages")
    return 0


def _now() -> str:
    """Return the time of this machine's clock."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
