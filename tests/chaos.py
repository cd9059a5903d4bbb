"""Kill anything at any moment, start again, and compare: `make chaos KILLS=200`.

Works through episodes until enough kills have happened. An episode copies a small table in full and then its changes,
both with kills, and compares. Then rows are deleted, changed and changed without a stamp at the source, and a second
full sync, with kills and with incremental syncs between its attempts, has to take effect on the table that is there;
after one more incremental sync with kills both sides are compared again, cell by cell.

What is killed, when, the page size, the activation, what becomes of stale rows and the changes follow from the seed,
which is printed first, and from the number of the episode, the sync and the attempt: the same seed plays the same
schedule again, also when a run ended a moment earlier the last time. The schedule's moments are counted in STATE lines,
so it means the same on a slow machine; only the small random delay after each is in time.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mssql_python
from psycopg import sql

from tests.compare import differences, source_rows, target_rows
from tests.loopback_proxy import LoopbackProxy
from tests.pipeline import Ended, Pipeline, Running
from tests.servers import Servers, started

VICTIMS = ("tap", "target", "both", "tap-term", "target-term", "backend", "source-network", "target-network")
DRIVERS = ("msodbcsql", "mssql-python", "mssql-odbc")
PAGE_SIZES = (1, 2, 7, 50, 400, 5_000)
ACTIVATIONS = ("swap", "merge", "auto")
STALE = ("delete", "flag", "keep")
TABLES = {"bi_credores": "CIDADE", "resumo_faixas": "CREDOR"}
"""Each table, and a column of it that the changes are made to."""
FEW_PAGES = 12
"""A sync of so few pages may be restarted after each one."""
MOST_RUNS = 400
ROUND = len(TABLES) * len(ACTIVATIONS)
"""So many episodes bring each table with each activation."""


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
    took_effect: Counter[str] = field(default_factory=Counter)
    episodes: int = 0
    runs: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass
class Episode:
    """One table from its first copy to its last comparison. `random` is for what is not a kill."""

    number: int
    original: str
    page_size: int
    rows: int
    load: dict[str, Any]
    random: random.Random
    changes: int = 0
    deleted: set[int] = field(default_factory=set)

    @property
    def table(self) -> str:
        """Its name on both sides."""
        return f"chaos_{self.original}"

    @property
    def column(self) -> str:
        """The column that the changes are made to."""
        return TABLES[self.original]


class Chaos:
    """One seeded run against servers that are up. Works in tables of its own, named `chaos_...`."""

    def __init__(self, servers: Servers, seed: int, folder: Path) -> None:
        self.servers, self.folder, self.seed = servers, folder, seed
        self.result = Result(seed)
        self.source_proxy = LoopbackProxy(servers.source_address)
        self.target_proxy = LoopbackProxy(servers.target_address)

    def run(self, kills: int, rows: int, first: int = 0) -> Result:
        """Episodes from number `first` on, until that many kills have happened or one episode has failed."""
        try:
            while self.result.kills.total() < kills and not self.result.failures:
                self._play(self._episode(first + self.result.episodes, rows), kills)
                self.result.episodes += 1
        finally:
            self.source_proxy.close()
            self.target_proxy.close()
        return self.result

    def _choices(self, *place: object) -> random.Random:
        """Choices that follow from the seed and the place in the schedule, and from nothing that happened before."""
        return random.Random("/".join(str(part) for part in (self.seed, *place)))

    def _episode(self, number: int, rows: int) -> Episode:
        choose = self._choices(number)
        ways = [(table, way) for table in TABLES for way in ACTIVATIONS]
        self._choices("order", number // ROUND).shuffle(ways)
        original, activation = ways[number % ROUND]
        page_size = choose.choice(PAGE_SIZES)
        rows = min(rows, 120 * page_size + choose.randrange(50))
        stale = choose.choice(STALE)
        load = {"activation": activation, "stale_rows": stale}
        if stale == "flag":
            load |= {"stale_column": "status", "stale_value": "0"}
        print(
            f"episode {number}: {original}, {rows} rows, pages of {page_size}, {activation}, stale rows: {stale}",
            flush=True,
        )
        return Episode(number, original, page_size, rows, load, choose)

    def _play(self, episode: Episode, kills: int) -> None:
        with self.servers.connect_source() as source:
            self._fill(source, episode)
            full, incremental = self._pipeline("full", episode), self._pipeline("incremental", episode)

            def change() -> None:
                self._change(source, episode, 3)

            def change_and_carry() -> None:
                """An incremental sync between the attempts of a full one: what it wrote has to stay."""
                self._change(source, episode, 3)
                incremental.run(page_size=1_000)

            self._until_finished(full, episode, "first full", kills, change)
            if self.result.failures:
                return
            incremental.folder.mkdir(parents=True, exist_ok=True)
            incremental.state_file.write_bytes(full.state_file.read_bytes())
            self._change(source, episode, 20)
            self._until_finished(incremental, episode, "first incremental", kills, change)
            self._finish(source, incremental, episode)
            if self.result.failures:
                return
            self._disturb(source, episode)
            self._until_finished(full, episode, "second full", kills, change_and_carry)
            self._change(source, episode, 10)
            self._until_finished(incremental, episode, "second incremental", kills, change)
            self._finish(source, incremental, episode)

    def _finish(self, source: mssql_python.Connection, incremental: Pipeline, episode: Episode) -> None:
        """One more incremental sync that nobody kills, then the comparison."""
        if self.result.failures:
            return
        last = incremental.run(page_size=1_000)
        if not last.ok:
            self.result.failures.append(f"{episode.table}: the last incremental sync failed\n{last.explain()}")
            return
        here = source_rows(source, f"dbo.{episode.table}")
        with self.servers.connect_target() as target:
            there = target_rows(target, f"public.{episode.table}")
            left = target.execute(
                "SELECT count(*) FROM pg_class WHERE relname LIKE %s", (f"\\_paralelo\\_{episode.table}\\_%",)
            ).fetchone()
            wrong_counts = target.execute(
                "SELECT count(*) FROM paralelo.sync WHERE table_name = %s AND rows_read <> rows_rejected +"
                " rows_written + CASE mode WHEN 'full' THEN 0 ELSE coalesce(rows_unchanged, 0) END",
                (episode.table,),
            ).fetchone()
            ways = target.execute(
                "SELECT activation, count(*) FROM paralelo.sync WHERE table_name = %s AND status = 'activated'"
                " GROUP BY activation",
                (episode.table,),
            ).fetchall()
        if episode.deleted:
            self.result.took_effect.update(dict(ways))
        found = self._stale(there, episode) or differences(here, there)
        if found:
            self.result.failures.append(f"episode {episode.number}, {episode.table}: {found}")
        if left != (0,):
            self.result.failures.append(f"{episode.table}: {left} staging tables are left over")
        if wrong_counts != (0,):
            self.result.failures.append(f"{episode.table}: {wrong_counts} syncs whose counts do not add up")

    def _stale(self, there: dict[Any, tuple[Any, ...]], episode: Episode) -> str:
        """Take the rows that are rightly there although the source deleted them off; what is wrong with them."""
        if episode.load["stale_rows"] == "delete" or not episode.deleted:
            return ""
        gone = {key: there.pop(key) for key in episode.deleted if key in there}
        if len(gone) < len(episode.deleted):
            return f"{len(episode.deleted) - len(gone)} rows that the source deleted are not kept"
        with self.servers.connect_target() as target:
            flagged = target.execute(
                sql.SQL("SELECT count(*) FROM {} WHERE id = ANY (%s) AND status = 0").format(
                    sql.Identifier(episode.table)
                ),
                (list(episode.deleted),),
            ).fetchone()
        if episode.load["stale_rows"] == "flag" and flagged != (len(gone),):
            return f"{flagged} of {len(gone)} rows that the source deleted are flagged"
        return ""

    def _until_finished(
        self, pipeline: Pipeline, episode: Episode, sync: str, kills: int, between: Callable[[], None]
    ) -> None:
        """Run again and again, with a kill in each until there were enough, then until one run ends well."""
        if self.result.failures:
            return
        few_pages = episode.rows / episode.page_size <= FEW_PAGES
        after_each = few_pages and self._choices(episode.number, sync).random() < 0.5
        for attempt in range(MOST_RUNS):
            choose = self._choices(episode.number, sync, attempt)
            enough = self.result.kills.total() >= kills or choose.random() < (0.03 if after_each else 0.12)
            kill = None if enough else _next_kill(choose, after_each=after_each)
            ended = self._run_once(pipeline, kill, episode.page_size)
            self.result.runs += 1
            self.result.exits[f"{ended.tap}/{ended.target}"] += 1
            if ended.ok:
                return
            if enough:
                self.result.failures.append(f"a run that nobody killed failed\n{ended.explain()}")
                return
            if choose.random() < 0.3:
                between()
        self.result.failures.append(f"{MOST_RUNS} runs did not finish one sync")

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

    def _strike(self, victim: str, running: Running) -> None:
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

    def _pipeline(self, mode: str, episode: Episode) -> Pipeline:
        folder = self.folder / f"{episode.number}-{mode}-{episode.table}"
        tap = self.servers.tap_config(port=self.source_proxy.port) | {
            "sync_mode": mode,
            "tables": [f"dbo.{episode.table}"],
            "key_columns": ["id"],
            "cursor_column": "mod_ts",
            "load": episode.load,
            "driver": episode.random.choice(DRIVERS),
            "batch_config": {"encoding": {"format": "arrow"}},
        }
        if episode.random.random() < 0.2:
            del tap["batch_config"]
        return Pipeline(folder, tap, self.servers.target_config(port=self.target_proxy.port), executables=True)

    def _fill(self, source: mssql_python.Connection, episode: Episode) -> None:
        """A fresh copy of the first rows of the sandbox's table; none at the target."""
        cursor, table = source.cursor(), episode.table
        cursor.execute(f"IF OBJECT_ID('dbo.{table}') IS NOT NULL DROP TABLE dbo.{table}")
        cursor.execute(f"SELECT TOP {episode.rows} * INTO dbo.{table} FROM dbo.{episode.original} ORDER BY id")
        cursor.execute(f"ALTER TABLE dbo.{table} ADD CONSTRAINT PK_{table} PRIMARY KEY (id)")
        with self.servers.connect_target() as target:
            target.execute(sql.SQL("DROP TABLE IF EXISTS public.{} CASCADE").format(sql.Identifier(table)))
            if target.execute("SELECT to_regclass('paralelo.sync')").fetchone() != (None,):
                target.execute("DELETE FROM paralelo.sync WHERE table_name = %s", (table,))

    def _change(self, source: mssql_python.Connection, episode: Episode, count: int) -> None:
        """Change some rows, and insert a copy of one under a new key, as an application would: stamped by the clock."""
        episode.changes += 1
        choose = self._choices(episode.number, "change", episode.changes)
        cursor, table = source.cursor(), episode.table
        keys = _keys(source, table)
        for key in choose.sample(keys, min(count, len(keys))):
            text = f"chaos {choose.randrange(10**6)}"
            cursor.execute(
                f"UPDATE dbo.{table} SET {episode.column} = ?, mod_ts = SYSDATETIME() WHERE id = ?", (text, key)
            )
        cursor.execute(f"SELECT * FROM dbo.{table} WHERE id = ?", (keys[0],))
        row = dict(zip((described[0] for described in cursor.description or ()), cursor.fetchone() or (), strict=True))
        row = {name: value for name, value in row.items() if name.lower() not in ("id", "mod_ts")}
        listed = ", ".join(f"[{name}]" for name in row)
        places = ", ".join("?" for _ in row)
        cursor.execute(f"SET IDENTITY_INSERT dbo.{table} ON")
        cursor.execute(
            f"INSERT INTO dbo.{table} (id, {listed}, mod_ts) VALUES (?, {places}, SYSDATETIME())",
            [max({*keys, *episode.deleted}) + 1 + choose.randrange(5), *row.values()],
        )
        cursor.execute(f"SET IDENTITY_INSERT dbo.{table} OFF")

    def _disturb(self, source: mssql_python.Connection, episode: Episode) -> None:
        """What only a full sync repairs: rows deleted, the highest among them, and rows changed without a stamp."""
        choose, cursor = episode.random, source.cursor()
        keys = _keys(source, episode.table)
        episode.deleted = {keys[-1], *choose.sample(keys, max(1, len(keys) // 20))}
        for key in sorted(episode.deleted):
            cursor.execute(f"DELETE FROM dbo.{episode.table} WHERE id = ?", (key,))
        for key in choose.sample(sorted(set(keys) - episode.deleted), 5):
            cursor.execute(f"UPDATE dbo.{episode.table} SET {episode.column} = 'unstamped' WHERE id = ?", (key,))
        if episode.load["activation"] == "auto" and choose.random() < 0.5:
            with self.servers.connect_target() as target:
                view, live = sql.Identifier(f"{episode.table}_seen"), sql.Identifier(episode.table)
                target.execute(sql.SQL("CREATE VIEW {} AS SELECT id FROM {}").format(view, live))


def _next_kill(choose: random.Random, *, after_each: bool) -> Kill:
    """A kill anywhere; with `after_each` as soon as one page is through, so that each page is a run of its own."""
    victim = choose.choice(VICTIMS)
    if after_each:
        return Kill(victim, 1, choose.random() * 0.02)
    after = 0 if choose.random() < 0.25 else choose.randrange(1, 40)
    return Kill(victim, after, choose.random() * (1.5 if after == 0 else 0.05))


def _keys(source: mssql_python.Connection, table: str) -> list[int]:
    """Every key, in order."""
    cursor = source.cursor()
    cursor.execute(f"SELECT id FROM dbo.{table} ORDER BY id")
    return [int(row[0]) for row in cursor.fetchall()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run chaos on the sandbox; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}: play it again with --seed {seed}", flush=True)
    began = time.monotonic()
    with started(rows=options.rows) as servers, tempfile.TemporaryDirectory() as folder:
        result = Chaos(servers, seed, Path(folder)).run(options.kills, options.rows)
    print(f"kills: {dict(result.kills)}; exits tap/target: {dict(result.exits)}")
    print(f"full syncs took effect by: {dict(result.took_effect)}")
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
