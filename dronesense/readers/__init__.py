"""Path -> record. One format a module: ``sniff(path, head) -> bool`` and ``read(path, ...) -> (record, IngestReport)``."""
