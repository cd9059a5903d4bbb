"""What a race between contenders does not show of Paralelo: start-up, increments, a merge, a source far away."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from bench.bed import Bed
from bench.contenders import BIN, ROOT, full_sync
from bench.figures import Line
from bench.growth import connect, middle_rate
from bench.measure import Cost
from bench.tables import Table
from sandbox.data.mutate import mutate

STARTS = 5
CHANGES = 10_000
MOST_MERGED, FAR_ROWS = 1_000_000, 400_000
FAR_READERS = 4
SYNC_TIMES = """
SELECT s.rows_inserted, s.rows_updated, s.rows_unchanged, s.activation,
       extract(epoch FROM last - started_at)::float, extract(epoch FROM ended_at - last)::float
FROM paralelo.sync s, LATERAL (SELECT max(committed_at) AS last FROM paralelo.batch WHERE sync_id = s.id) b
WHERE mode = 'full' ORDER BY s.id DESC LIMIT 1
"""
Env = Mapping[str, str]
Case = Callable[[Bed, Table, int], Iterator[Line]]


class CaseFailed(Exception):
    """A run of a case ended badly or left other rows than the source has; the text says which and where its log is."""


def startup(bed: Bed, table: Table, rows: int) -> Iterator[Line]:
    """`meltano run` of a table of one row: nothing but start-up."""
    del rows
    env, costs = bed.source(table, 1, main=False), []
    for _ in range(STARTS):
        bed.clear(env)
        costs.append(_run(bed, table, env, full_sync(table), "startup"))
    cpu = median(cost.client_cpu for cost in costs)
    worst = max(cost.wall for cost in costs)
    yield Line(
        "start-up",
        f"full sync of 1 row, median of {STARTS} runs",
        median(cost.wall for cost in costs),
        f"slowest {worst:.2f} s; {cpu:.2f} s of CPU",
    )


def incremental(bed: Bed, table: Table, rows: int) -> Iterator[Line]:
    """The same number of changes in the whole table and in a tenth of it, and none at all."""
    for held, main in ((rows, True), (max(rows // 10, 1), False)):
        env = bed.source(table, held, main)
        bed.clear(env)
        _run(bed, table, env, full_sync(table), "incremental-full")
        command = [str(BIN / "meltano"), "run", f"parallel-incremental-sync-{table.job}"]
        for what, changes in (
            ("first after the full sync", 0),
            ("nothing changed", 0),
            (f"{min(CHANGES, held):,} rows changed", min(CHANGES, held)),
        ):
            if changes:
                mutate(_source(env), changes, seed=11, deletes=False, table=table.name)
            cost = _run(bed, table, env, command, "incremental")
            yield Line(
                "incremental",
                f"{what}, of {held:,}",
                cost.wall,
                f"CPU: client {cost.client_cpu:.2f} s, source {cost.source_cpu:.2f} s, server {cost.target_cpu:.2f} s",
            )
        bed.changed(env, table)


def merge(bed: Bed, table: Table, rows: int) -> Iterator[Line]:
    """A second full sync of a table of which one row in a hundred changed, activated by merge."""
    staged = min(rows, MOST_MERGED)
    env = {**bed.source(table, staged, main=staged == rows), "TARGET_POSTGRES_ACTIVATION": "merge"}
    bed.clear(env)
    _run(bed, table, env, full_sync(table), "merge-first")
    mutate(_source(env), max(staged // 100, 1), seed=12, deletes=False, table=table.name)
    _run(bed, table, env, full_sync(table), "merge")
    with closing(connect(env)) as connection:
        found = connection.execute(SYNC_TIMES).fetchone()
    bed.changed(env, table)
    assert found is not None
    inserted, updated, unchanged, how, load, activation = found
    told = f"{inserted:,} inserted, {updated:,} updated, {unchanged:,} unchanged"
    yield Line("merge", f"load of {staged:,} rows into staging", load)
    yield Line("merge", f"activation by {how}: {told}", activation, f"{activation / load:.2f} of the load")


def latency(bed: Bed, table: Table, rows: int) -> Iterator[Line]:
    """The source behind a link with a 20 ms round trip: one reader, and several."""
    held = min(rows, FAR_ROWS)
    rates: list[float] = []
    for readers in (1, FAR_READERS):
        env = bed.source(table, held, main=held == rows)
        bed.clear(env)
        with _far(env) as port:
            env.update(TAP_MSSQL_PORT=str(port), TAP_MSSQL_MAX_PARALLELISM=str(readers))
            log = bed.folder / f"latency-{readers}.log"
            cost, points = bed.run(full_sync(table), env, log)
            _check(bed, table, {**env, "TAP_MSSQL_PORT": str(bed.sandbox.settings.mssql_port)}, cost, log)
        told = re.search(r"rows in \d+ batch(?:es)?, [\d.]+ s, (\d+) rows/s", log.read_text(encoding="utf-8"))
        assert told is not None
        rates.append(float(told[1]))
        middle = middle_rate(points, held) or 0.0
        yield Line(
            "latency",
            f"{held:,} rows over 20 ms, {readers} reader{'s' if readers > 1 else ''}",
            cost.wall,
            f"read at {rates[-1]:,.0f} rows/s, middle {middle:,.0f}; {rates[-1] / rates[0]:.2f} x one reader",
        )


CASES: dict[str, Case] = {"startup": startup, "incremental": incremental, "merge": merge, "latency": latency}


def _run(bed: Bed, table: Table, env: Env, command: list[str], name: str) -> Cost:
    log = bed.folder / f"{name}.log"
    cost, _ = bed.run(command, env, log)
    _check(bed, table, env, cost, log)
    return cost


def _check(bed: Bed, table: Table, env: Env, cost: Cost, log: Path) -> None:
    problem = f"ended with {cost.code}" if cost.code else bed.wrong(env, table, f"public.{table.name}", deep=False)
    if problem:
        raise CaseFailed(f"{problem}: {log}")


def _source(env: Env) -> str:
    return (
        f"SERVER={env['TAP_MSSQL_HOST']},{env['TAP_MSSQL_PORT']};UID={env['TAP_MSSQL_USER']};"
        f"PWD={env['TAP_MSSQL_PASSWORD']};DATABASE={env['TAP_MSSQL_DATABASE']};Encrypt=yes;TrustServerCertificate=yes;"
    )


@contextmanager
def _far(env: Env) -> Iterator[int]:
    """The port of a slow link to the source, in a process of its own."""
    command = [sys.executable, "-m", "bench.slow_link", env["TAP_MSSQL_HOST"], env["TAP_MSSQL_PORT"]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as link:
        try:
            assert link.stdout is not None
            yield int(link.stdout.readline())
        finally:
            link.terminate()
