"""Where the contenders run: one sandbox, its source of as many rows as asked for, its target emptied each time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from psycopg import sql
from tap_mssql import native

from bench import measure
from bench.growth import Growth, Point, connect
from bench.tables import Table
from paralelo import project
from paralelo.verify import Options, verify
from sandbox.data import DATABASE
from sandbox.lifecycle import Sandbox

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
"""What contenders get of the shell's environment, as little as a timer's: Meltano reads all of it for each setting."""
SETTINGS = ("TAP_MSSQL_", "TARGET_POSTGRES_")


class Bed:
    """One sandbox in a folder of its own. As a context manager it is started, and stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sandbox = Sandbox(folder / "sandbox")
        self._held: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Bed:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sandbox.start()
        if not self._meltano_database.exists():
            # Any command makes it, and none of those that are measured should.
            subprocess.run(
                [str(BIN / "meltano"), "schedule", "list"],
                cwd=ROOT,
                env={**os.environ, **self._meltano},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        return self

    @property
    def _meltano_database(self) -> Path:
        return self.folder / "meltano.db"

    @property
    def _meltano(self) -> dict[str, str]:
        """State, locks and environment of the benchmark's own: not the project's, which other runs hold."""
        return {
            "MELTANO_DATABASE_URI": f"sqlite:///{self._meltano_database}",
            "MELTANO_STATE_BACKEND_URI": project.state_uri(self.folder / "state"),
            "MELTANO_ENVIRONMENT": "dev",
        }

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    def source(self, table: Table, rows: int, main: bool = True) -> dict[str, str]:
        """The environment of a run on so many rows of the table: a smaller set is in a database of its own."""
        database = DATABASE if main else f"BENCH_{rows}"
        if self._held.get((database, table.name)) != rows:
            self.sandbox.load(table.name, rows, database=database, keep=True)
            self._held[database, table.name] = rows
        return {
            **{name: value for name, value in os.environ.items() if name in KEPT or name.startswith(SETTINGS)},
            **self.sandbox.environment,
            "TAP_MSSQL_DATABASE": database,
            "BENCH_TABLE": table.name,
            **self._meltano,
            **_libraries(),
            "NO_COLOR": "1",
        }

    def changed(self, env: Mapping[str, str], table: Table) -> None:
        """A case changed the source's rows: they are made anew before the next run of it."""
        self._held.pop((env["TAP_MSSQL_DATABASE"], table.name), None)
        self.sandbox.load(table.name, 1, database=env["TAP_MSSQL_DATABASE"])

    def clear(self, env: Mapping[str, str], schema: str = "bench_reference") -> None:
        """Empty the target and forget all state: what others left must not be vacuumed on a contender's time."""
        state = self.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        with closing(connect(env)) as connection:
            connection.autocommit = True
            found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'bench\\_%'").fetchall()
            for name in {"public", "paralelo", schema, *(name for (name,) in found)}:
                connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
            connection.execute("CREATE SCHEMA public")
            connection.execute("CHECKPOINT")

    def run(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> tuple[measure.Cost, list[Point]]:
        """Run and measure one command; how the target's largest table grew meanwhile comes with the cost."""
        found, postgres = self.sandbox.sql_server(), self.sandbox.postgres.pid()
        assert found is not None
        assert postgres is not None
        with Growth(env) as growth:
            cost = measure.run(command, env, log, int(found["pid"]), postgres)
        return cost, growth.points

    def fold(self, env: Mapping[str, str], schema: str, table: Table) -> None:
        """Give the columns of a table made the names that Paralelo gives them: some contenders keep capitals."""
        with closing(connect(env)) as connection:
            found = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
                [schema, table.name],
            ).fetchall()
            for (name,) in found:
                if name != name.lower():
                    connection.execute(
                        sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
                            sql.Identifier(schema, table.name), sql.Identifier(name), sql.Identifier(name.lower())
                        )
                    )
            connection.commit()

    def wrong(self, env: Mapping[str, str], table: Table, made: str, deep: bool, but_for: Collection[str] = ()) -> str:
        """Why the table made does not count, empty when it does: sums of every column, and with `deep` every cell.

        Rows that differ in the columns `but_for` alone count as equal.
        """
        with _environment(env):
            for check in ("quick", "deep") if deep else ("quick",):
                options = Options(check="deep" if check == "deep" else "quick", settle_seconds=0)
                report = verify([table.job], options, target_table=made, root=ROOT)
                if report.exit_code != 0:
                    found = report.tables[0]
                    same_rows = found.error is None and not (found.missing or found.extra or found.absent_columns)
                    if same_rows and found.columns and set(found.columns) <= set(but_for):
                        continue
                    return f"{check} check: {found.error or found.verdict}"
        return ""


def _libraries() -> dict[str, str]:
    """Where contenders that load Microsoft's driver by themselves find the library it needs, if the system lacks it."""
    if not native.needed():
        return {}
    places = [str(native.built().parent), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": ":".join(place for place in places if place)}


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
