"""Path -> record. One format a module: ``sniff(path, head)``, ``read(path, ...) -> (record, IngestReport)``."""
