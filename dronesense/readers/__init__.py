"""Path -> record. One format a module: ``sniff(path, head)`` and ``read(path, ...) -> (record, IngestReport)``."""
