"""Evidence: what a run was made of, that nothing was changed since, and who held it.

``run.json`` lists inputs, outputs, settings and versions (:mod:`.manifest`); :mod:`.verify` holds a folder
against it; :mod:`.signature` says who vouches for it; :mod:`.custody` is the chained log of who did what;
:mod:`.ingest` copies a card; :mod:`.bag` packs a case.
"""

from dronesense.evidence.manifest import (
    DISTRIBUTIONS,
    LIMITS,
    RUN_ID_LENGTH,
    RUN_NAME,
    HashedInput,
    hash_inputs,
    hash_readable,
    run_id,
    run_id_of,
    run_manifest,
    versions,
    write,
)

__all__ = [
    "DISTRIBUTIONS",
    "LIMITS",
    "RUN_ID_LENGTH",
    "RUN_NAME",
    "HashedInput",
    "hash_inputs",
    "hash_readable",
    "run_id",
    "run_id_of",
    "run_manifest",
    "versions",
    "write",
]
