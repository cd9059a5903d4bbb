"""Many tables at once, one of them killed again and again: `make many TABLES=8`.

On a sandbox of its own: a full sync of every table, all at once, under recovery. One table's tap, target and Meltano
are killed in turn, each time it has committed something more. It has to finish, and the others must not have noticed:
one attempt each. Then every table is compared cell by cell.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paralelo import progress, project, runlock
from paralelo.acceptance import Victim, own_environment, private_project, strike
from paralelo.live import terminal_console
from paralelo.policy import Policy
from paralelo.project import Table
from paralelo.report import Report
from paralelo.run import run
from paralelo.track import Plan
from paralelo.view import counted
from tests.servers import Servers, started

VICTIMS: Sequence[Victim] = ("tap", "target", "meltano")
PAGE_ROWS = 10_000
_JOB = """
plugins:
  extractors:
  - name: tap-mssql-full-{name}
    inherit_from: tap-mssql
    config: {{sync_mode: full, tables: [dbo.{table}], key_columns: [id], cursor_column: mod_ts}}
jobs:
- name: parallel-full-sync-{name}
  tasks: [tap-mssql-full-{name} target-postgres]
"""


@dataclass
class Killer:
    """Kills one table's processes, from a thread of its own: once in each attempt that has committed."""

    table: Table
    root: Path
    env: Mapping[str, str]
    most: int
    dealt: list[Victim] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Until the run is over or it has killed often enough."""
        last, struck, victims = 0, set[int](), itertools.cycle(VICTIMS)
        with progress.connect(self.env) as connection:
            victim = next(victims)
            while len(self.dealt) < self.most and not self._over.wait(0.2):
                mine = [entry for entry in progress.newest(connection, ["full"]) if entry.table == self.table.target]
                committed = mine[0].committed if mine and mine[0].status == "staging" else 0
                groups = runlock.groups_of(self.table, "full", self.root)
                if committed <= last or groups & struck:
                    continue
                if strike(self.table, "full", self.root, victim, signal.SIGKILL):
                    last, victim = committed, next(victims)
                    struck |= groups
                    self.dealt.append(victim)

    def stop(self) -> None:
        """Kill no more."""
        self._over.set()


def fill(servers: Servers, count: int, rows: int) -> list[str]:
    """So many copies of the sandbox's table at the source."""
    names = [f"many_{number}" for number in range(1, count + 1)]
    with servers.connect_source() as source:
        cursor = source.cursor()
        for name in names:
            cursor.execute(f"SELECT TOP {rows} * INTO dbo.{name} FROM dbo.bi_credores ORDER BY id")
            cursor.execute(f"ALTER TABLE dbo.{name} ADD CONSTRAINT PK_{name} PRIMARY KEY (id)")
    return names


def environment(servers: Servers, root: Path) -> dict[str, str]:
    """The run's settings: this sandbox, a project of its own, small pages so that there is much to kill between."""
    return {
        **servers.sandbox.environment,
        **own_environment(root),
        "TAP_MSSQL_PAGE_SIZE": str(PAGE_ROWS),
    }


def checks(found: Report, killer: Killer, rows: int) -> list[tuple[str, bool]]:
    """What has to hold, and whether it does."""
    made = [("every table finished", all(part.outcome == "finished" for part in found.tables))]
    dealt = counted(len(killer.dealt), "time", "times")
    told = f"the victim was killed {dealt}, at least {len(VICTIMS)} wanted: more ROWS leave more time"
    made.append((told, len(killer.dealt) >= len(VICTIMS)))
    for part in found.tables:
        victim = part.table == killer.table.name
        # A restart may find the killed target's backend still at work, be refused, and come again.
        tries = len(killer.dealt) + 1 if victim else 1
        fits = len(part.attempts) >= tries if victim else len(part.attempts) == 1
        made.append((f"{part.table}: {counted(len(part.attempts), 'attempt', 'attempts')}", fits))
        made.append((f"{part.table}: {part.read or 0:,} rows read once", part.read == rows))
    return made


def compare(names: Sequence[str], env: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Every cell of every table, both sides."""
    done = subprocess.run(
        [sys.executable, "-m", "paralelo.verify", *(f"dbo.{name}" for name in names), "--deep", "--json", "-"],
        cwd=project.root(), env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: Mapping[str, Any] = json.loads(done.stdout) if done.stdout else {"tables": []}
    told = [f"{table['source_rows']:,} rows {table['verdict']}" for table in found["tables"]]
    equal = done.returncode == 0 and len(told) == len(names)
    return [(f"every cell: {', '.join(told)}{' ' + done.stderr.strip()[-200:] if not equal else ''}", equal)]


def play(servers: Servers, root: Path, count: int, rows: int, kills: int) -> list[tuple[str, bool]]:
    """All of it. Returns every check."""
    names = fill(servers, count, rows)
    private_project(root, project.root())
    for name in names:
        text = _JOB.format(name=name.replace("_", "-"), table=name)
        (root / "extract" / f"{name}.meltano.yml").write_text(text, encoding="utf-8")
    env = environment(servers, root)
    tables = tuple(table for table in project.tables(root) if table.target in names)
    policy = Policy(max_restarts=kills + 1, delay=0.5, factor=1.0, jitter=0.0, grace=5.0)
    killer = Killer(tables[0], root, env, kills)
    thread = threading.Thread(target=killer.work, daemon=True)
    thread.start()
    try:
        found = run(Plan("full", tables, len(tables), policy, env, root, root / "logs"), terminal_console())
    finally:
        killer.stop()
        thread.join(timeout=30)
    living = [process.pid for table in tables for process in runlock.processes_of(table, "full", root)]
    return [*checks(found, killer, rows), ("no process is left", not living), *compare(names, env)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns 0 if every check passed."""
    parser = argparse.ArgumentParser(prog="make many", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=int, default=8)
    parser.add_argument("--rows", type=int, default=500_000, help="of each table")
    parser.add_argument("--kills", type=int, default=12)
    options = parser.parse_args(arguments)
    with started(rows=options.rows) as servers, tempfile.TemporaryDirectory() as folder:
        made = play(servers, Path(folder) / "project", options.tables, options.rows, options.kills)
    for name, passed in made:
        print(f"{'pass' if passed else 'FAIL'}  {name}")
    return 0 if all(passed for _, passed in made) else 1


if __name__ == "__main__":
    sys.exit(main())
