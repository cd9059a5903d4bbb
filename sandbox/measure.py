"""How fast the stand-in feeds Microsoft's driver: the figure a benchmark of the tap must stay below."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from .lifecycle import Sandbox


def fetch(connection: str, paged: bool, page_rows: int) -> tuple[int, float]:
    """Read all of bi_credores and throw it away; returns rows and seconds."""
    import mssql_python

    cursor = mssql_python.connect(connection).cursor()
    started, rows, last = time.monotonic(), 0, 2**62
    if not paged:
        cursor.execute("SELECT * FROM dbo.bi_credores")
        rows = sum(batch.num_rows for batch in cursor.arrow_reader(batch_size=8192))
        return rows, time.monotonic() - started
    while True:
        cursor.execute(
            f"SELECT TOP ({page_rows}) * FROM dbo.bi_credores WHERE id <= ? AND id < ? ORDER BY id DESC", [2**62, last]
        )
        page = 0
        for batch in cursor.arrow_reader(batch_size=8192):
            if batch.num_rows:
                page += batch.num_rows
                last = batch.column(0)[-1].as_py()
        if not page:
            return rows, time.monotonic() - started
        rows += page


def measure(sandbox: Sandbox, connections: int, paged: bool, page_rows: int) -> str:
    """One line of figures, for clients in processes of their own."""
    found = sandbox.sql_server()
    if found is None:
        raise RuntimeError("the SQL Server stand-in is not running")
    process = psutil.Process(int(found["pid"]))
    before = process.cpu_times()
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(connections) as pool:
        results = pool.starmap(fetch, [(sandbox.mssql, paged, page_rows)] * connections)
    wall = max(seconds for _, seconds in results)
    after = process.cpu_times()
    rows = sum(count for count, _ in results)
    used = after.user + after.system - before.user - before.system
    return (
        f"{rows:,} rows over {connections} connection(s) in {wall:.1f} s: {rows / max(wall, 1e-9):,.0f} rows/s,"
        f" {used / max(rows, 1) * 1e6:.1f} us of server CPU a row, server {process.memory_info().rss // 2**20} MB"
        f" ({time.monotonic() - started:.1f} s with starting the clients)"
    )
