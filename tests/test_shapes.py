"""Shapes of tables that need care, from the source's server to the target's: SPEC F2, F4, V1, V5."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.compare import differences, source_rows, target_rows
from tests.pipeline import Ended, Pipeline, Running
from tests.servers import Servers


def pipeline(servers: Servers, folder: Path, table: str, **more: Any) -> Pipeline:
    arrow = {"batch_config": {"encoding": {"format": "arrow"}}}
    return Pipeline(folder, {**servers.tap_config(), **arrow, "tables": [table], **more}, servers.target_config())


def make(servers: Servers, table: str, columns: str, *statements: str, values: Sequence[Any] = ()) -> None:
    """A table at the source, filled by statements; none of that name in the target."""
    with servers.connect_source() as source:
        cursor = source.cursor()
        cursor.execute(f"DROP TABLE IF EXISTS dbo.{table}")
        cursor.execute(f"CREATE TABLE dbo.{table} ({columns})")
        for statement in statements:
            cursor.execute(statement, *values)
    with servers.connect_target() as target:
        target.execute(f"DROP TABLE IF EXISTS public.{table}".encode())


def peak_memory(running: Running) -> tuple[Ended, int]:
    """Wait for the run; the most bytes that tap and target held at once, looked at every few milliseconds."""
    peaks = {running.tap.pid: 0, running.target.pid: 0}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.005):
            for pid in peaks:
                try:
                    peaks[pid] = max(peaks[pid], psutil.Process(pid).memory_info().rss)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    result = running.wait()
    ended.set()
    thread.join()
    return result, sum(peaks.values())


LARGE = "id int NOT NULL PRIMARY KEY, t varchar(max), n nvarchar(max), b varbinary(max)"
WIDE = "aç" * 10 + "😀"
LARGE_ROW = (
    "INSERT INTO dbo.large VALUES ({}, REPLICATE(CAST('{}yz' AS varchar(max)), {}),"
    f" REPLICATE(CAST(N'{WIDE}' AS nvarchar(max)), {{}}), NULL)"
)


def test_large_values_are_exact_and_memory_does_not_grow_with_their_number(servers: Servers, tmp_path: Path) -> None:
    """SPEC V1. Values of 9 MB and 17 MB."""
    times, wide_times, few, many, peaks = 3_000_000, 500_000, 2, 5, []
    for rows in (few, many):
        filled = [LARGE_ROW.format(n, n % 10, times, wide_times) for n in range(rows)]
        make(servers, "large", LARGE, *filled)
        sync = pipeline(servers, tmp_path / str(rows), "dbo.large", page_bytes=8_000_000)
        sync.executables = True
        ended, peak = peak_memory(sync.start())
        assert ended.ok, ended.explain()
        peaks.append(peak)
    with servers.connect_target() as target:
        found = target.execute("SELECT id, md5(t), md5(n), b FROM public.large ORDER BY id").fetchall()
    wide = hashlib.md5(WIDE.encode() * wide_times).hexdigest()
    assert found == [(n, hashlib.md5(f"{n}yz".encode() * times).hexdigest(), wide, None) for n in range(many)]
    further = (many - few) * len(WIDE.encode()) * wide_times
    assert peaks[1] - peaks[0] < further, f"{few} rows: {peaks[0] >> 20} MiB, {many}: {peaks[1] >> 20} MiB"


TYPES = {
    "xml": ("'<a>é</a>'", "<a>é</a>"),
    "text": ("'a''b'", "a'b"),
    "ntext": ("N'açé'", "açé"),
    "image": ("0x00FF", b"\x00\xff"),
    "nchar(3)": ("N'é'", "é  "),
    "sysname": ("N'x y'", "x y"),
    "varbinary(10)": ("0x", b""),
    "varbinary(max)": ("0x", b""),
    "nvarchar(10)": ("N''", ""),
    "nvarchar(9)": ("N' '", " "),
}


def test_older_and_empty_values(servers: Servers, tmp_path: Path) -> None:
    """SPEC V1, V2: types that the matrix of the tap does not hold, by BATCH and by RECORD."""
    columns = ", ".join(f"v{n} {kind} NULL" for n, kind in enumerate(TYPES))
    values = ", ".join(literal for literal, _ in TYPES.values())
    names = ", ".join(f"v{n}" for n in range(len(TYPES)))
    insert = f"INSERT INTO dbo.older (id, {names}) VALUES (1, {values})"
    for name, how in (("batch", {}), ("record", {"batch_config": None})):
        make(servers, "older", f"id int NOT NULL PRIMARY KEY, {columns}, version rowversion", insert)
        ended = pipeline(servers, tmp_path / name, "dbo.older", **how).run()
        assert ended.ok, ended.explain()
        with servers.connect_target() as target:
            [(_, *found, version)] = target.execute("SELECT * FROM public.older").fetchall()
        assert found == [value for _, value in TYPES.values()], name
        assert len(version) == 8


def test_a_thousand_columns(servers: Servers, tmp_path: Path) -> None:
    """SPEC V1: columns change their order nowhere, and NULL stays NULL in each of them."""
    columns = ", ".join(f"c{n} int NULL" for n in range(999))
    values = ", ".join("NULL" if n % 7 == 0 else str(n) for n in range(999))
    make(
        servers, "thousand", f"id int NOT NULL PRIMARY KEY, {columns}", f"INSERT INTO dbo.thousand VALUES (1, {values})"
    )
    ended = pipeline(servers, tmp_path, "dbo.thousand").run()
    assert ended.ok, ended.explain()
    with servers.connect_target() as target:
        [(_, *found)] = target.execute("SELECT * FROM public.thousand").fetchall()
    assert found == [None if n % 7 == 0 else n for n in range(999)]


def test_a_writer_that_keeps_changing_the_source(servers: Servers, tmp_path: Path) -> None:
    """SPEC F1, A9, I1, I3: what changed while the full sync ran is there after the incremental one that follows."""
    columns = "id int NOT NULL PRIMARY KEY, name varchar(20) NOT NULL, mod_ts datetime2(7) NOT NULL"
    copied = "INSERT INTO dbo.busy SELECT id, 'old', SYSDATETIME() FROM dbo.resumo_faixas"
    make(servers, "busy", columns, copied)
    with servers.connect_source() as source, servers.connect_target() as target:
        first = source_rows(source, "dbo.busy")
        stop, written = threading.Event(), [0]
        writer = threading.Thread(target=keep_writing, args=(servers, sorted(first), stop, written), daemon=True)
        writer.start()
        full = pipeline(servers, tmp_path / "full", "dbo.busy", page_size=50)
        try:
            wait_for(lambda: written[0] > 0)
            ended = full.run()
            assert ended.ok, ended.explain()
            before = written[0]
            wait_for(lambda: written[0] > before)
        finally:
            stop.set()
            writer.join(60)
        incremental = pipeline(servers, tmp_path / "incremental", "dbo.busy", sync_mode="incremental")
        incremental.folder.mkdir()
        incremental.state_file.write_bytes(full.state_file.read_bytes())
        ended = incremental.run()
        assert ended.ok, ended.explain()
        now = source_rows(source, "dbo.busy")
        assert len(now) > len(first)
        assert not differences(now, target_rows(target, "public.busy"))


def keep_writing(servers: Servers, keys: Sequence[int], stop: threading.Event, written: list[int]) -> None:
    """Update a row all over the key space, and insert one above all others, again and again."""
    with servers.connect_source() as source:
        cursor = source.cursor()
        top = keys[-1]
        while not stop.is_set():
            at = keys[written[0] * 37 % len(keys)]
            cursor.execute("UPDATE dbo.busy SET name = ?, mod_ts = SYSDATETIME() WHERE id = ?", (f"w{at}", at))
            top += 1
            cursor.execute("INSERT INTO dbo.busy (id, name, mod_ts) VALUES (?, 'new', SYSDATETIME())", (top,))
            written[0] += 1


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    """Wait until it holds; an AssertionError after that long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
