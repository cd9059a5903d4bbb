"""Kill anything at any moment, start again, and compare: `make chaos KILLS=200`.

Works through episodes until enough kills have happened. An episode copies a small table in full, with kills, then
changes rows at the source, then syncs incrementally, with kills, then compares source and target cell by cell. What is
killed, when, the page size, the activation and the changes all come from one seed, which is printed first; the same
seed plays the same schedule again. The schedule's moments are counted in STATE lines, so it means the same on a slow
machine; only the small random delay after each is in time.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mssql_python
from psycopg import sql

from tests.compare import differences, source_rows, target_rows
from tests.loopback_proxy import LoopbackProxy
from tests.pipeline import Ended, Pipeline
from tests.servers import Servers, started

VICTIMS = ("tap", "target", "both", "tap-term", "target-term", "backend", "source-network", "target-network")
PAGE_SIZES = (1, 2, 7, 50, 400, 5_000)
ACTIVATIONS = ("swap", "merge", "auto")
STALE = ("delete", "keep")
TABLES = {"bi_credores": "CIDADE", "resumo_faixas": "CREDOR"}
"""Each table, and a column of it that the changes are made to."""
MOST_RUNS = 400


@dataclass
class Kill:
    """What to kill once the target has passed on that many STATE lines, after a delay in seconds."""

    victim: str
    after_states: int
    delay: float


@dataclass
class Result:
    """What a chaos run did. `failures` is empty when both sides were equal after every episode."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    episodes: int = 0
    runs: int = 0
    failures: list[str] = field(default_factory=list)


class Chaos:
    """One seeded run against servers that are up. Works in tables of its own, named `chaos_...`."""

    def __init__(self, servers: Servers, seed: int, folder: Path) -> None:
        self.servers, self.folder = servers, folder
        self.random = random.Random(seed)
        self.result = Result(seed)
        self.source_proxy = LoopbackProxy(servers.source_address)
        self.target_proxy = LoopbackProxy(servers.target_address)

    def run(self, kills: int, rows: int) -> Result:
        """Episodes until that many kills have happened, or one has failed."""
        try:
            while self.result.kills.total() < kills and not self.result.failures:
                self._episode(list(TABLES)[self.result.episodes % len(TABLES)], rows, kills)
                self.result.episodes += 1
        finally:
            self.source_proxy.close()
            self.target_proxy.close()
        return self.result

    def _episode(self, original: str, rows: int, kills: int) -> None:
        choose = self.random
        table = f"chaos_{original}"
        page_size = choose.choice(PAGE_SIZES)
        rows = min(rows, 120 * page_size + choose.randrange(50))
        load = {"activation": choose.choice(ACTIVATIONS), "stale_rows": "delete", "allow_shrink": [table]}
        column = TABLES[original]
        print(f"episode {self.result.episodes + 1}: {table}, {rows} rows, pages of {page_size}, {load['activation']}")
        with self.servers.connect_source() as source:
            self._fill(source, original, table, rows)
            full = self._pipeline("full", table, load)
            self._until_finished(full, page_size, kills, between=lambda: self._change(source, table, column, 3))
            self._change(source, table, column, 20)
            incremental = self._pipeline("incremental", table, load)
            incremental.folder.mkdir(parents=True, exist_ok=True)
            incremental.state_file.write_bytes(full.state_file.read_bytes())
            self._until_finished(incremental, page_size, kills, between=lambda: self._change(source, table, column, 3))
            last = incremental.run(page_size=1_000)
            if not last.ok:
                self.result.failures.append(f"{table}: the last incremental sync failed\n{last.explain()}")
                return
            with self.servers.connect_target() as target:
                found = differences(source_rows(source, f"dbo.{table}"), target_rows(target, f"public.{table}"))
                left = target.execute(
                    "SELECT count(*) FROM pg_class WHERE relname LIKE %s", (f"\\_paralelo\\_{table}\\_%",)
                ).fetchone()
            if found:
                self.result.failures.append(f"{table}: {found}")
            if left and left[0]:
                self.result.failures.append(f"{table}: {left[0]} staging tables are left over")

    def _until_finished(self, pipeline: Pipeline, page_size: int, kills: int, between: Any) -> None:
        """Run again and again, with a kill in each until there were enough, then until one run ends well."""
        for _ in range(MOST_RUNS):
            enough = self.result.kills.total() >= kills or self.random.random() < 0.12
            ended = self._run_once(pipeline, None if enough else self._next_kill(), page_size)
            self.result.runs += 1
            self.result.exits[f"{ended.tap}/{ended.target}"] += 1
            if ended.ok:
                return
            if enough:
                self.result.failures.append(f"a run that nobody killed failed\n{ended.explain()}")
                return
            if self.random.random() < 0.3:
                between()
        self.result.failures.append(f"{MOST_RUNS} runs did not finish one sync")

    def _next_kill(self) -> Kill:
        choose = self.random
        after = 0 if choose.random() < 0.25 else choose.randrange(1, 40)
        return Kill(choose.choice(VICTIMS), after, choose.random() * (1.5 if after == 0 else 0.05))

    def _run_once(self, pipeline: Pipeline, kill: Kill | None, page_size: int) -> Ended:
        reached = threading.Event()
        running = pipeline.start(
            on_state=lambda count: reached.set() if kill and count >= kill.after_states else None, page_size=page_size
        )
        if kill is not None:
            while kill.after_states and not reached.wait(0.01) and running.target.poll() is None:
                pass
            time.sleep(kill.delay)
            if running.target.poll() is None or running.tap.poll() is None:
                self.result.kills[kill.victim] += 1
                self._strike(kill.victim, running)
        return running.wait()

    def _strike(self, victim: str, running: Any) -> None:
        if victim in ("tap", "both"):
            running.kill("tap")
        if victim in ("target", "both"):
            running.kill("target")
        if victim == "tap-term":
            running.kill("tap", signal.SIGTERM)
        if victim == "target-term":
            running.kill("target", signal.SIGTERM)
        if victim == "source-network":
            self.source_proxy.cut()
        if victim == "target-network":
            self.target_proxy.cut()
        if victim == "backend":
            with self.servers.connect_target() as target:
                target.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND application_name LIKE 'paralelo%'"
                )

    def _pipeline(self, mode: str, table: str, load: dict[str, Any]) -> Pipeline:
        folder = self.folder / f"{self.result.episodes}-{mode}-{table}"
        tap = self.servers.tap_config(port=self.source_proxy.port) | {
            "sync_mode": mode,
            "tables": [f"dbo.{table}"],
            "key_columns": ["id"],
            "cursor_column": "mod_ts",
            "load": load,
            "batch_config": {"encoding": {"format": "arrow"}},
        }
        if self.random.random() < 0.2:
            del tap["batch_config"]
        return Pipeline(folder, tap, self.servers.target_config(port=self.target_proxy.port))

    def _fill(self, source: mssql_python.Connection, original: str, table: str, rows: int) -> None:
        """A fresh copy of the first rows of the sandbox's table."""
        cursor = source.cursor()
        cursor.execute(f"IF OBJECT_ID('dbo.{table}') IS NOT NULL DROP TABLE dbo.{table}")
        cursor.execute(f"SELECT TOP {rows} * INTO dbo.{table} FROM dbo.{original} ORDER BY id")
        cursor.execute(f"ALTER TABLE dbo.{table} ADD CONSTRAINT PK_{table} PRIMARY KEY (id)")
        with self.servers.connect_target() as target:
            target.execute(sql.SQL("DROP TABLE IF EXISTS public.{} CASCADE").format(sql.Identifier(table)))

    def _change(self, source: mssql_python.Connection, table: str, column: str, count: int) -> None:
        """Change some rows, and insert copies of some under new keys, as an application would: stamped by the clock."""
        cursor = source.cursor()
        cursor.execute(f"SELECT id FROM dbo.{table}")
        keys = [row[0] for row in cursor.fetchall()]
        for key in self.random.sample(keys, min(count, len(keys))):
            text = f"chaos {self.random.randrange(10**6)}"
            cursor.execute(f"UPDATE dbo.{table} SET {column} = ?, mod_ts = SYSDATETIME() WHERE id = ?", (text, key))
        cursor.execute(f"SELECT * FROM dbo.{table} WHERE id = ?", (keys[0],))
        row = dict(zip((described[0] for described in cursor.description or ()), cursor.fetchone() or (), strict=True))
        row = {name: value for name, value in row.items() if name.lower() not in ("id", "mod_ts")}
        listed = ", ".join(f"[{name}]" for name in row)
        places = ", ".join("?" for _ in row)
        cursor.execute(f"SET IDENTITY_INSERT dbo.{table} ON")
        cursor.execute(
            f"INSERT INTO dbo.{table} (id, {listed}, mod_ts) VALUES (?, {places}, SYSDATETIME())",
            [max(keys) + 1 + self.random.randrange(5), *row.values()],
        )
        cursor.execute(f"SET IDENTITY_INSERT dbo.{table} OFF")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run chaos on the sandbox; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}: play it again with --seed {seed}")
    began = time.monotonic()
    with started(rows=options.rows) as servers, tempfile.TemporaryDirectory() as folder:
        result = Chaos(servers, seed, Path(folder)).run(options.kills, options.rows)
    print(f"kills: {dict(result.kills)}; exits tap/target: {dict(result.exits)}")
    print(
        f"{result.kills.total()} kills, {result.runs} runs, {result.episodes} episodes,"
        f" {time.monotonic() - began:.0f} s, seed {result.seed}"
    )
    for failure in result.failures:
        print(f"FAILED: {failure}")
    print("both sides equal after every episode" if not result.failures else "NOT EQUAL")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
