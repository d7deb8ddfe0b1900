"""Path -> record, one format a module: ``sniff(path, head)``, ``read(path, ...) -> (record, report)``."""
