"""Rows that are missing or differ, copied over again through the tap's reader and the target itself.

The target is fed what an incremental sync would feed it: its own lock, upsert, rejects and NUL rule apply, and nothing
here writes a row, nor reads one before the target has the table's lock. No STATE goes to Meltano, so no bookmark moves.
Extra rows are deleted only when that is asked for by name, under the target's lock, and only those that the source
still does not have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyarrow as pa
from sync_rules.batch_files import BatchFolder
from sync_rules.batch_info import BatchInfo
from sync_rules.exits import ConfigurationError, SyncError
from sync_rules.singer.source import Column as ReadColumn
from sync_rules.singer.source import arrow_schema, json_schema
from target_postgres import catalog
from target_postgres.connection import connect, look_as_the_role_does
from target_postgres.errors import tell
from target_postgres.lock import Locks, hold_work
from target_postgres.settings import Settings

from paralelo.verify import keys as key_conditions
from paralelo.verify import scratch, statements
from paralelo.verify.columns import TablePair
from paralelo.verify.comparison import among, rows_of_keys
from paralelo.verify.postgres import Postgres, plain
from paralelo.verify.settings import nul_replacement
from paralelo.verify.sides import Source
from paralelo.verify.tally import Tally

_TARGET = "from target_postgres.target import main; main()"
_ROWS_A_FILE = 50_000


@dataclass(frozen=True)
class Fixed:
    """How many rows were sent to the target again, and how many extra ones were deleted."""

    copied: int = 0
    deleted: int = 0


def fix(source: Source, target: Postgres, settings: Settings, tally: Tally, *, extra: bool) -> Fixed:
    """Mend what the tally holds. The target's process gets the settings that the comparison went by.

    Raises ConfigurationError for a table without a key, AlreadyRunning while a sync of the table runs, and whatever
    else the target ends with.
    """
    table = tally.table
    if not table.key:
        raise ConfigurationError(f"{table.name}: without a key, single rows cannot be copied again: run its full sync")
    copied = _copy(source, settings, table, pa.concat_tables(tally.to_copy)) if tally.to_copy else 0
    deleted = 0
    if extra and tally.to_delete:
        deleted = _delete(source, target, settings, table, pa.concat_tables(tally.to_delete))
    return Fixed(copied, deleted)


def _copy(source: Source, settings: Settings, table: TablePair, keys: pa.Table) -> int:
    described = source.again(table)
    columns = [ReadColumn(c.name, c.type, c.nullable, c.declared) for c in described.columns if c.name in table.copied]
    # Without a cursor in it, a row of the source's is written even over one that claims to be newer.
    schema = {
        **json_schema(columns),
        "x-paralelo": {
            "sync_mode": "incremental",
            "cursor": None,
            "lookback_seconds": 0,
            "estimate": keys.num_rows,
            "load": dict(source.load),
        },
    }
    stream = described.name.stream
    key = [column.source for column in table.key]
    rows = 0
    with scratch.folder() as root, _Target(settings, table, root) as target:
        # The target takes what is written at its own pace, and never holds this up.
        folder = BatchFolder(root / "batches", max_ahead=sys.maxsize, patience_seconds=0)
        target.tell({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": key})
        # Read before, a row would take the place of a newer one that a sync wrote meanwhile, and no sync would mend it.
        target.await_lock()
        for number, start in enumerate(range(0, keys.num_rows, _ROWS_A_FILE), 1):
            chunk = list(source.read_as_tap(described, columns, table, keys.slice(start, _ROWS_A_FILE)))
            count = sum(batch.num_rows for batch in chunk)
            info = BatchInfo(stream=stream, mode="incremental", batch=number, rows=count)
            address = folder.write(chunk, arrow_schema(columns), info)
            target.tell({"type": "BATCH", "stream": stream, "encoding": {"format": "arrow"}, "manifest": [address]})
            rows += count
        target.finish()
        folder.close(discard=True)
    return rows


class _Target:
    """A process of target-postgres for one table.

    The settings go by a file in memory: on no disk, on no command line. They cannot go by the environment, where the
    target would let any `.env` above its folder have the last word, and so write to another server.
    """

    def __init__(self, settings: Settings, table: TablePair, folder: Path) -> None:
        self._table = table
        # What it says goes to a file: nobody reads it while it runs, and a pipe would be full one day.
        self._said = folder / "said"
        config = os.memfd_create("target-settings")
        try:
            os.write(config, json.dumps(dict(settings.load)).encode())
            with self._said.open("wb") as said:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _TARGET, f"--config=/dev/fd/{config}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    pass_fds=(config,),
                )
        finally:
            os.close(config)

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *_: object) -> None:
        """However it ended, leave no process."""
        self._process.kill()
        with suppress(OSError):
            self._process.communicate()

    def tell(self, message: Mapping[str, object]) -> None:
        """Send it one message. Raises SyncError, with its own last words, where it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps(message)}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def await_lock(self) -> None:
        """Return once it has the table's lock: it passes a STATE on when what came before it is done."""
        assert self._process.stdout is not None
        self.tell({"type": "STATE", "value": {"bookmarks": {}}})
        if not self._process.stdout.readline():
            raise self._ended()

    def finish(self) -> None:
        """Return once everything is committed. Raises SyncError where it is not."""
        self._process.communicate()
        if self._process.returncode:
            raise self._ended()

    def _ended(self) -> SyncError:
        code = self._process.wait()
        said = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        return SyncError(f"{self._table.name}: the target ended with code {code}: {said[0].rpartition('| ')[2]}")


def _delete(source: Source, target: Postgres, settings: Settings, table: TablePair, keys: pa.Table) -> int:
    """One transaction, under the lock that syncs take: rows may have come back since they were found to be extra.

    The source is asked once more when nobody else can write to the target any more. A key by which a row that is there
    could be overlooked deletes nothing.
    """
    nul = nul_replacement(settings, table.target_table, source.load)
    keys = keys.filter(key_conditions.certain(table, keys, nul))
    live = catalog.TableName(table.target_schema, table.target_table)
    locks = Locks(settings)
    try:
        locks.take(live, "incremental")
        connection = connect(settings, f"verify {live}")
        try:
            hold_work(connection, live)
            gone = _gone(source, target, table, keys)
            with connection.transaction():
                look_as_the_role_does(connection)
                return sum(
                    connection.execute(
                        plain(f"DELETE FROM {statements.name('target', table)} WHERE {condition}")  # noqa: S608 - escaped
                    ).rowcount
                    for condition in key_conditions.conditions("target", table, gone)
                )
        except psycopg.Error as error:
            raise tell(error, f"{live}: extra rows cannot be deleted") from error
        finally:
            connection.close()
    finally:
        locks.close()


def _gone(source: Source, target: Postgres, table: TablePair, keys: pa.Table) -> pa.Table:
    """Those keys that only the target has. One that it has twice, and the source once, is not among them."""
    names = [column.target for column in table.key]
    found = rows_of_keys(target.read_keys(table, keys), keys, names)
    return found.filter(~among(found, source.read_keys(table, keys), names)).select(names)
