"""What a person sees while a run works: bytes hashed and copied, pixels searched, how fast."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from dronesense import synthetic
from dronesense.cli import talk
from dronesense.cli.products import make_products
from dronesense.errors import EvidenceError
from dronesense.evidence import ingest


def test_a_run_tells_of_every_byte_and_every_pixel(tmp_path: Path) -> None:
    folder = synthetic.write_flight(tmp_path / "flight", seed=3)
    told: dict[str, list[tuple[int, int]]] = {}
    make_products(
        folder,
        tmp_path / "out",
        progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    assert set(told) == {"open", "hash", "gas", "cube", "merge", "write"}
    for stage, steps in told.items():
        assert len({total for _, total in steps}) == 1, stage
        assert [done for done, _ in steps] == sorted(done for done, _ in steps), stage
        assert steps[-1][0] == steps[-1][1], stage
    assert told["hash"][-1][1] > 10_000_000
    assert len(told["cube"]) > 10  # lines, not cubes


def test_long_stages_say_how_fast_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(talk, "Console", lambda **_: console)
    clock = [0.0]
    with talk.Talk(language="ru") as bars:
        monkeypatch.setattr(bars._bars, "get_time", lambda: clock[0])
        for done in range(0, 101, 10):
            clock[0] += 0.5
            bars.progress("hash", done * 1_000_000, 200_000_000)
        bars.progress("gas", 1, 2)
    shown = screen.getvalue()
    assert "Вычисление хешей файлов" in shown
    assert "50%" in shown
    assert "20 MB/s" in shown
    assert "Ряды газа" in shown


def test_a_copy_tells_of_every_byte_and_refuses_a_disk_without_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "card"
    card.mkdir()
    (card / "a.bin").write_bytes(bytes(3 * 2**20 + 5))
    (card / "b.bin").write_bytes(bytes(7))
    told: list[tuple[int, int]] = []
    ingest.ingest(card, tmp_path / "flight", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len(told) > 4
    assert told[-1] == (3 * 2**20 + 12,) * 2

    usage = ingest.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(ingest.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    ingest.ingest(card, tmp_path / "flight")  # all is there
    with pytest.raises(EvidenceError, match="are not copied yet"):
        ingest.ingest(card, tmp_path / "other")
    assert list((tmp_path / "other" / ingest.RAW).iterdir()) == []
