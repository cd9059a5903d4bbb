"""The command: `python scripts/migrate_sqlite_to_pg.py <folder> [--only ...] [--dry-run | --verify | --rollback]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import asyncpg
import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sync_rules.exits import Exit
from sync_rules.signals import woken_by_signals

from stores.engine import Database
from stores.migration import report
from stores.migration.files import SameName, Store, find
from stores.migration.landing import LandingFailed, land
from stores.migration.mapping import (
    AnotherFile,
    Connection,
    DoesNotAddUp,
    StoreAccount,
    check_paths,
    clear_landing,
    map_store,
    prepare,
)
from stores.migration.rollback import NewRows, roll_back
from stores.migration.statements import statement
from stores.migration.verify import TableComparison, verify_store, without_a_file
from stores.refusals import refusal
from stores.settings import DatabaseSettings, SettingsError, project_environment
from stores.tables import initialize_database

T = TypeVar("T")

FOLDER_VARIABLE = "SQLITE_STORES_FOLDER"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns an exit code of docs/protocol.md."""
    given = parser().parse_args(arguments)
    told = Report(as_json=given.json)
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)
    with woken_by_signals():
        return told.end(_ended(given, told))


def _end(signum: int, _frame: FrameType | None) -> None:
    """As an error would: what lies in temporary folders is removed, and no process is left."""
    raise SystemExit(128 + signum)


def _ended(given: argparse.Namespace, told: Report) -> int:
    try:
        return _run(given, told)
    except (SettingsError, NotADirectoryError, SameName) as error:
        return _fail(str(error), Exit.CONFIGURATION)
    except LandingFailed as error:
        return _fail(str(error), error.code)
    except (AnotherFile, DoesNotAddUp, NewRows, NotMigrated) as error:
        return _fail(str(error), Exit.CHECK_REFUSED)
    except (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError) as error:
        return _fail(*refusal(error))


class NotMigrated(Exception):
    """There is nothing in the database that could be compared or taken back."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="migrate_sqlite_to_pg.py",
        description="Move the old SQLite stores into PostgreSQL (DATABASE_*). Running it again changes nothing.",
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", help=f"where the files are, at any depth (default: {FOLDER_VARIABLE})"
    )
    parser.add_argument("--only", action="append", default=[], metavar="STORE", help="a store or a layout; repeatable")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="print the plan and write nothing")
    what.add_argument("--verify", action="store_true", help="compare the files with PostgreSQL")
    what.add_argument("--rollback", action="store_true", help="take it back, while nothing new was written")
    parser.add_argument(
        "--same-files", action="store_true", help="the files are those moved before, from another place or all changed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, the tables on stderr")
    return parser


class Report:
    """What was found and done: as text while it goes on; where that is asked for, as one JSON object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._found: dict[str, Any] = {}

    def say(self, text: str, **found: Any) -> None:
        """Tell the text; keep what it was made of."""
        to = sys.stderr if self._as_json else sys.stdout
        to.write(f"{text}\n\n")
        to.flush()
        self._found.update(found)

    def end(self, code: int) -> int:
        """Tell the JSON. Returns the exit code."""
        if self._as_json:
            sys.stdout.write(
                json.dumps({**self._found, "exit_code": int(code)}, default=str, ensure_ascii=False) + "\n"
            )
        return int(code)


def _run(given: argparse.Namespace, told: Report) -> int:
    named = project_environment().get(FOLDER_VARIABLE)
    folder = given.folder or (Path(named) if named else None)
    if folder is None:
        raise SettingsError(f"name the folder of the SQLite files, or set {FOLDER_VARIABLE}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: there is no such folder")
    stores, unknown = find(folder, given.only)
    names = {name for store in stores for name in (store.name, store.layout.name)}
    missing = [name for name in given.only if name not in names]
    if missing or not stores:
        wanted = f" named {' or '.join(missing)}" if missing else ""
        left = "".join(f"; {one.path.relative_to(folder)}: {one.reason}" for one in unknown)
        raise SettingsError(f"{folder}: no store{wanted} was found in it{left}")
    told.say(report.plan(stores, unknown), plan=report.planned(stores), left_alone=report.left_alone(unknown))
    unreadable = [one for one in unknown if one.unreadable]
    done = Exit.FINISHED if given.dry_run else _do(given, stores, told)
    if unreadable and done == Exit.FINISHED and not given.only:
        left = "; ".join(f"{one.path.relative_to(folder)}: {one.reason}" for one in unreadable)
        return _fail(f"not everything is done: {left}. Name the others with --only to do without", Exit.CONFIGURATION)
    return done


def _do(given: argparse.Namespace, stores: Sequence[Store], told: Report) -> int:
    settings = DatabaseSettings.from_environment(project_environment())
    if given.verify:
        return _with_connection(settings, lambda connection: _verify(connection, stores, given, told))
    if given.rollback:
        return _with_connection(settings, lambda connection: _roll_back(connection, stores, told))
    asyncio.run(_initialize(settings))
    return _with_connection(settings, lambda connection: _move(connection, stores, settings, given, told))


def _move(
    connection: Connection, stores: Sequence[Store], settings: DatabaseSettings, given: argparse.Namespace, told: Report
) -> int:
    connection.execute("SET idle_session_timeout = 0")  # it waits while the tables land
    if not given.same_files:
        check_paths(connection, stores)
    clear_landing(connection, stores)
    failed = land(stores, settings)
    landed = [store for store in stores if store.path not in failed]
    done = _map(connection, landed, told, same_files=given.same_files)
    if failed:
        words, code = next(iter(failed.values()))
        more = f" (and {len(failed) - 1} files more)" if len(failed) > 1 else ""
        return _fail(f"not everything is done: {words}{more}", code)
    return done


def _map(connection: Connection, stores: Sequence[Store], told: Report, *, same_files: bool) -> int:
    prepare(connection)
    accounts: list[StoreAccount] = []
    done = int(Exit.FINISHED)
    for store in stores:
        try:
            accounts.append(map_store(connection, store, same_files=same_files))
        except psycopg.Error as error:  # it costs the others nothing, but they cannot be had without a connection
            words, code = refusal(error)
            done = _fail(f"{store.name}: {words}", code)
            if connection.broken:
                break
    told.say(report.account(accounts), account=report.accounted(accounts))
    return done


def _verify(connection: Connection, stores: Sequence[Store], given: argparse.Namespace, told: Report) -> int:
    _must_exist(connection)
    found: list[TableComparison] = []
    unread: list[tuple[str, Exit]] = []
    for store in stores:
        try:
            found += verify_store(connection, store)
        except sqlite3.Error as error:
            code = Exit.SOURCE_UNREACHABLE if "locked" in str(error) else Exit.CONFIGURATION
            unread.append((f"{store.path}: cannot be read: {error}", code))
    lost = without_a_file(connection, given.folder or Path(project_environment()[FOLDER_VARIABLE]), stores, given.only)
    told.say(
        report.comparison(found, lost),
        comparison=[{**asdict(one), "equal": one.equal} for one in found],
        without_a_file=lost,
    )
    done = int(Exit.FINISHED if all(one.equal for one in found) and not lost else Exit.CHECK_REFUSED)
    for words, code in unread:
        done = done or int(code)
        _fail(f"not everything is compared: {words}", code)
    return done


def _roll_back(connection: Connection, stores: Sequence[Store], told: Report) -> int:
    _must_exist(connection)
    gone: dict[str, dict[str, int]] = {}
    for store in reversed(stores):
        known = connection.execute(statement("ledger.known"), {"store": store.name}).fetchone()
        if not known or not known[0]:
            told.say(f"{store.name}: was not migrated, there is nothing to roll back")
            continue
        deleted = roll_back(connection, store)
        what = ", ".join(f"{rows} from {target}" for target, rows in deleted.items()) or "its archive"
        gone[store.name] = dict(deleted)
        told.say(f"{store.name}: rolled back; deleted {what}", rolled_back=gone)
    return Exit.FINISHED


def _must_exist(connection: Connection) -> None:
    found = connection.execute(statement("ledger.exists")).fetchone()
    if not found or not found[0]:
        raise NotMigrated("nothing was migrated to this database yet")


def _with_connection(settings: DatabaseSettings, do: Callable[[Connection], T]) -> T:
    with psycopg.connect(
        **settings.libpq("paralelo stores migration"), autocommit=True, prepare_threshold=None
    ) as connection:
        return do(connection)


async def _initialize(settings: DatabaseSettings) -> None:
    db = Database(settings)
    try:
        await initialize_database(db)
    finally:
        await db.close()


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return int(code)
