"""`python -m bench.sqlite_table`: a narrow SQLite table into PostgreSQL, end to end, beside pgloader on that file.

The table has an integer key, an integer, a real and a short text. A run is the whole command a user types for it, with
Python's start, discovery, staging, checks, the primary key and activation; the target is emptied before it, and counted
and summed after it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import psycopg

from bench import measure
from sandbox import home
from sandbox.postgres import Postgres
from stores.settings import DatabaseSettings

PLACE = Path(__file__).resolve().parent.parent / ".bench"
_FILL = """
CREATE TABLE readings (id INTEGER PRIMARY KEY, device INTEGER NOT NULL, value REAL NOT NULL, note TEXT NOT NULL);
INSERT INTO readings WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
SELECT i, i % 1000, i * 0.25, 'note ' || (i % 5000) FROM n;
"""
_SUMS = "SELECT count(*), sum(id), sum(device), sum(value), sum(length(note)) FROM"


class CannotRun(Exception):
    """A contender is not there; the message says why."""


def source(folder: Path, rows: int) -> Path:
    """The file, made once for each size."""
    path = folder / f"readings-{rows}.db"
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as connection:
            connection.executescript(_FILL.format(rows=rows))
            connection.commit()
        draft.replace(path)
    return path


def paralelo(file: Path, target: DatabaseSettings, folder: Path) -> list[str]:
    """tap-sqlite into target-postgres, as `meltano run` pipes them."""
    batch = {"encoding": {"format": "arrow"}}
    tap = {"path": str(file), "tables": ["readings"], "batch_root": str(folder / "batches"), "batch_config": batch}
    load = {"host": target.host, "port": target.port, "user": target.user, "database": target.name,
            "default_target_schema": "bench"}  # fmt: skip
    (folder / "tap.json").write_text(json.dumps(tap))
    (folder / "target.json").write_text(json.dumps(load))
    programs = Path(sys.executable).parent
    return ["bash", "-o", "pipefail", "-c", f"{programs}/tap-sqlite --config {folder}/tap.json |"
            f" {programs}/target-postgres --config {folder}/target.json --config ENV"]  # fmt: skip


def pgloader(file: Path, target: DatabaseSettings, folder: Path) -> list[str]:
    """pgloader with its own defaults but one, into the schema `bench`: it would make `real` of a REAL, which holds
    half of its digits.
    """
    program = shutil.which("pgloader")
    if program is None:
        raise CannotRun("pgloader is not installed (apt-get install pgloader)")
    address = f"postgresql://{target.user}@{target.host}:{target.port}/{target.name}"
    commands = folder / "pgloader.load"
    commands.write_text(
        f"LOAD DATABASE FROM sqlite://{file} INTO {address}\n"
        "WITH include drop, create tables, create indexes, reset sequences\n"
        "CAST type real to float8 using float-to-string\n"
        "SET search_path TO 'bench';\n"
    )
    return [program, str(commands)]


CONTENDERS: dict[str, Callable[[Path, DatabaseSettings, Path], list[str]]] = {
    "paralelo": paralelo,
    "pgloader": pgloader,
}


def one(name: str, file: Path, target: DatabaseSettings, server: int, folder: Path) -> measure.Cost:
    """Run a contender once on an empty schema. Raises CannotRun, and RuntimeError where the rows are not the file's."""
    command = CONTENDERS[name](file, target, folder)
    with psycopg.connect(**target.libpq("bench"), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS bench, paralelo CASCADE")
        connection.execute("CREATE SCHEMA bench")
        connection.execute("CHECKPOINT")
        env = {**os.environ, "TARGET_POSTGRES_PASSWORD": target.password or "", "PGPASSWORD": target.password or ""}
        log = folder / f"{name}.log"
        cost = measure.run(command, env, log, server, server)
        if cost.code:
            raise RuntimeError(f"{name} ended with {cost.code}: {log}")
        loaded = connection.execute(f"{_SUMS} bench.readings").fetchone()
    with closing(sqlite3.connect(file)) as connection_to_file:
        wanted = connection_to_file.execute(f"{_SUMS} readings").fetchone()
    if loaded is None or [float(value) for value in loaded] != [float(value) for value in wanted]:
        raise RuntimeError(f"{name} loaded other rows: {loaded}, not {wanted}")
    return cost


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; 0 when every contender that is there loaded the right rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.sqlite_table", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--folder", type=Path, default=PLACE / "sqlite")
    asked = parser.parse_args(arguments)
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    known = home.settings(folder)
    server = Postgres(folder, known)
    target = DatabaseSettings(
        home.HOST, known.postgres_port, known.postgres_database, known.postgres_user, known.postgres_password
    )
    file = source(folder, asked.rows)
    costs: dict[str, list[measure.Cost]] = {name: [] for name in asked.only}
    server.start()
    try:
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        for number in range(asked.rounds):
            for name in asked.only if number % 2 == 0 else reversed(asked.only):
                try:
                    costs[name].append(one(name, file, target, pid, folder))
                except CannotRun as reason:
                    if number == 0:
                        print(f"{name}: {reason}")
    finally:
        server.stop()
    print(f"{'':10} {'rows/s':>9} {'seconds':>9} {'client us/row':>14} {'server us/row':>14} {'MB':>6}")
    for name, found in costs.items():
        if found:
            middle = sorted(found, key=lambda cost: cost.wall)[len(found) // 2]
            wall = statistics.median(cost.wall for cost in found)
            print(
                f"{name:10} {asked.rows / wall:>9,.0f} {wall:>9.1f} {middle.client_cpu / asked.rows * 1e6:>14.2f}"
                f" {middle.target_cpu / asked.rows * 1e6:>14.2f} {max(c.memory for c in found) / 1e6:>6,.0f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
