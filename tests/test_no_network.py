"""A run asks no network and reads nothing but its flight and what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WATCH = """
import json, os, sys
sockets, read = [], set()
def watch(event, args):
    if event.startswith("socket.") and event not in ("socket.gethostname", "socket.__new__"):
        sockets.append(event)
    elif event == "open" and isinstance(args[0], (str, bytes)):
        writes = isinstance(args[1], str) and any(c in args[1] for c in "wax+")
        if not writes:
            read.add(os.path.realpath(os.fsdecode(args[0])))
sys.addaudithook(watch)
from dronesense.cli import main
sys.argv[0] = "dronesense"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
told = {"sockets": sockets, "read": sorted(read), "prefixes": [sys.prefix, sys.base_prefix]}
print("\\n" + json.dumps(told))
"""
INSTALLED = ("/usr/", "/lib/", "/etc/", "/proc/", "/sys/", "/dev/")
"""What the system brings: libraries, time zones, fonts, what processors there are."""


@pytest.mark.once
def test_a_run_opens_no_socket_and_reads_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "MPLCONFIGDIR": str(home), "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    # What other GIS programs leave behind would break PROJ and GDAL, were it not dropped.
    environment |= dict.fromkeys(("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH"), str(home))
    done = subprocess.run(
        [sys.executable, "-c", WATCH, "demo", str(tmp_path / "flight")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["sockets"] == []
    project = Path(__file__).resolve().parents[1]
    own = [str(Path(each).resolve()) for each in (*told["prefixes"], project, tmp_path)]
    outside = [each for each in told["read"] if not each.startswith((*own, *INSTALLED))]
    assert outside == []
    assert any(each.endswith("flight.toml") for each in told["read"])  # it does see what is read
