"""Maps one store's landing tables to the models, in one transaction that accounts for every row or does not happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from stores.migration.files import LANDING, SourceTable, Store
from stores.migration.statements import functions, mapping, source_of, statement

Connection = psycopg.Connection[TupleRow]

_CALLS = "paralelo_stores, pg_catalog"
_KEPT = ("_rowid", "_reason", "_note", "_part", "_row", "_id", "_binary", "row_hash")


class DoesNotAddUp(Exception):
    """Rows of a source table are not accounted for: the store's transaction is rolled back."""


class AnotherFile(Exception):
    """Another file than the one that was moved has its name: its rows would be taken for that one's."""


@dataclass(frozen=True)
class TableAccount:
    """Where one table's rows went: `rows` is the sum of `mapped`, `archived` and `rejected`."""

    table: str
    target: str
    rows: int
    mapped: int = 0
    archived: int = 0
    rejected: int = 0
    noted: int = 0
    new: int = 0
    changed_since: int = 0
    gone_since: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every row is somewhere."""
        return self.rows == self.mapped + self.archived + self.rejected - self.gone_since


@dataclass(frozen=True)
class StoreAccount:
    """Where one store's rows went, by table, and the reasons."""

    store: str
    tables: tuple[TableAccount, ...]
    reasons: tuple[tuple[str, str, str, int], ...] = field(default=())


def prepare(connection: Connection) -> None:
    """Make the ledger and the rules. Under a lock: two migrations may start at once."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('paralelo stores migration', 0))")
        connection.execute(statement("ledger.create"))
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.SQL(_CALLS)))
        connection.execute(functions())


def check_paths(connection: Connection, stores: Sequence[Store]) -> None:
    """Before anything lands. Raises AnotherFile where a store of that name was moved from another place."""
    if connection.execute("SELECT to_regclass('paralelo_stores.migrated_store')").fetchone() == (None,):
        return
    names = [store.name for store in stores]
    known = {name: path for name, path in connection.execute(statement("ledger.paths"), {"stores": names})}  # noqa: C416
    for store in stores:
        was, now = known.get(store.name), store.path.resolve()
        if was is not None and Path(was).resolve() != now:
            raise AnotherFile(
                f"{store.name}: was moved from {was}, and now it is {now}: rename it, or say --same-files"
            )


def clear_landing(connection: Connection, stores: Sequence[Store]) -> None:
    """Wait for other migrations of these stores, keep them waiting until the session ends, and drop what landed before.

    A copy landed into a table of an earlier run would be held to the types that its values had then.
    """
    for name in sorted(store.name for store in stores):
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"migrate {name}"])
    for store in stores:
        for table in store.tables:
            old = sql.Identifier(LANDING, store.landing_table(table.name))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(old))


def map_store(connection: Connection, store: Store, *, same_files: bool = False) -> StoreAccount:
    """Map and archive what the ledger does not have yet. Raises DoesNotAddUp, and AnotherFile unless `same_files`."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"migrate {store.name}"])
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.SQL(_CALLS)))
        about = {"store": store.name, "layout": store.layout.name, "path": str(store.path.resolve())}
        connection.execute(statement("ledger.store"), about)
        if not same_files:
            _check_rows(connection, store)
        new = {table.name: _one_table(connection, store, table) for table in in_order(store) if table.rows}
        account = accounts(connection, store, new)
        for table in account.tables:
            if not table.adds_up:
                raise DoesNotAddUp(
                    f"{store.name}.{table.table}: {table.rows} rows, but {table.mapped} mapped, {table.archived}"
                    f" archived and {table.rejected} rejected; nothing of this store was kept"
                )
    return account


def _check_rows(connection: Connection, store: Store) -> None:
    """Raise AnotherFile where rows were moved, and the file has others and not one of them as it was."""
    who = {"store": store.name}
    moved = gone = changed = 0
    for table in (table for table in store.tables if table.rows):
        known = connection.execute(statement("ledger.of_table"), {**who, "table": table.name}).fetchone()
        _, gone_here, changed_here = _landed(connection, store, table)
        moved, gone, changed = moved + (known[0] if known else 0), gone + gone_here, changed + changed_here
    if moved and moved == gone + changed:
        raise AnotherFile(
            f"{store.name}: none of the {moved} rows moved before is in {store.path} as it was: it is another file;"
            " rename it, or say --same-files"
        )


def in_order(store: Store) -> list[SourceTable]:
    """The tables as the layout orders them, then those that are archived."""
    order = list(store.layout.mapped)
    return sorted(store.tables, key=lambda t: (order.index(t.kind) if t.kind in order else len(order), t.name))


def accounts(connection: Connection, store: Store, new: dict[str, int]) -> StoreAccount:
    """What the ledger says of a store, against the rows of its landing tables."""
    who = {"store": store.name}
    outcomes: dict[str, dict[str, tuple[int, int]]] = {}
    for table, outcome, rows, noted in connection.execute(statement("ledger.outcomes"), who):
        outcomes.setdefault(table, {})[outcome] = (rows, noted)
    tables = []
    for table in in_order(store):
        found = outcomes.get(table.name, {})
        landed, gone, changed = _landed(connection, store, table)
        tables.append(
            TableAccount(
                table.name,
                table.target or f"archive.{store.landing_table(table.name)}",
                landed,
                mapped=found.get("mapped", (0, 0))[0],
                archived=found.get("archived", (0, 0))[0],
                rejected=found.get("rejected", (0, 0))[0],
                noted=found.get("mapped", (0, 0))[1],
                new=new.get(table.name, 0),
                changed_since=changed,
                gone_since=gone,
            )
        )
    reasons = connection.execute(statement("ledger.reasons"), who).fetchall()
    return StoreAccount(store.name, tuple(tables), tuple((t, o, r, n) for t, o, r, n in reasons))


def _landed(connection: Connection, store: Store, table: SourceTable) -> tuple[int, int, int]:
    """Rows in the landing table, ledger rows whose source row is gone, and those whose source row has changed."""
    if not table.rows:  # nothing landed; what the ledger has of it went from the file since
        found = connection.execute(statement("ledger.of_table"), {"store": store.name, "table": table.name}).fetchone()
        return 0, found[0] if found else 0, 0
    source = source_of(store, table)
    rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(source)).fetchone()
    since = connection.execute(
        statement("ledger.gone", source=source), {"store": store.name, "table": table.name}
    ).fetchone()
    if rows is None or since is None:
        raise RuntimeError("a count answered no row")
    return rows[0], since[0], since[1]


def _one_table(connection: Connection, store: Store, table: SourceTable) -> int:
    """Map or archive one table. Returns how many rows were new."""
    if table.target is None:
        return _archive(connection, store, table)
    named = {"store": store.name, "table": table.name, "target": table.target}
    connection.execute("DROP TABLE IF EXISTS pg_temp.judged")
    connection.execute(
        statement(
            "engine.judge",
            source=source_of(store, table),
            mapping=mapping(store, table),
        ),
        named,
    )
    connection.execute(statement("engine.reject_binary"))
    target = sql.Identifier(*table.target.split("."))
    columns = judged_columns(connection)
    for (indexed,) in connection.execute(statement("engine.indexed"), named).fetchall():
        if indexed in columns or indexed.startswith("("):
            connection.execute(statement("engine.reject_long", expression=sql.SQL(indexed)), {"what": indexed})
    parted = "_part" in columns
    unique = store.layout.mapped[table.kind].unique
    if unique:
        keys = [sql.Identifier(name) for name in unique]
        about = {"unique": ", ".join(unique)}
        if not parted:
            last = sql.SQL(" AND ").join(sql.SQL("j.{0} = last.{0}").format(key) for key in keys)
            repeated = statement("engine.reject_repeated", columns=sql.SQL(", ").join(keys), same_last=last)
            connection.execute(repeated, about)
        same = sql.SQL(" AND ").join(sql.SQL("t.{0} = j.{0}").format(key) for key in keys)
        connection.execute(statement("engine.reject_taken", target=target, same_target=same), about)
    part, part_of_j = (sql.SQL("_part"), sql.SQL("j._part")) if parted else (sql.SQL("ctid"), sql.SQL("j.ctid"))
    connection.execute(statement("engine.number_rows", part=part, part_of_j=part_of_j), named)
    own = sql.SQL(", ").join(sql.Identifier(name) for name in columns if name not in _KEPT)
    connection.execute(statement("engine.write", target=target, columns=own))
    noted = connection.execute(statement("engine.note_mapped"), named)
    connection.execute(statement("engine.keep_rejected"), named)
    return noted.rowcount


def judged_columns(connection: Connection) -> list[str]:
    """The columns that the mapping answered."""
    cursor = connection.execute("SELECT * FROM judged LIMIT 0")
    return [column.name for column in cursor.description or ()]


def _archive(connection: Connection, store: Store, table: SourceTable) -> int:
    source, name = source_of(store, table), store.landing_table(table.name)
    archive = sql.Identifier("archive", name)
    named: dict[str, Any] = {"store": store.name, "table": table.name, "target": f"archive.{name}"}
    shape = sql.SQL("CREATE TABLE IF NOT EXISTS {} AS SELECT s.* FROM {} AS s WITH NO DATA")
    connection.execute(shape.format(archive, source))
    values = _fitted(connection, archive, source)
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    columns = sql.SQL(", ").join(values.values())
    add = statement("engine.archive", archive=archive, source=source, names=names, columns=columns)
    connection.execute(add, named)
    return connection.execute(statement("engine.note_archived", source=source), named).rowcount


def _fitted(connection: Connection, archive: sql.Identifier, source: sql.Composable) -> dict[str, sql.Composable]:
    """What is archived of `s`, by column: the file's table may have other columns or kinds of values than it had when
    its archive was made. A column whose kinds differ holds values of any kind from now on."""
    there = shape(connection, archive)
    values: dict[str, sql.Composable] = {}
    for name, kind in shape(connection, source).items():
        column, was, values[name] = sql.Identifier(name), there.get(name), sql.Identifier("s", name)
        if was is None:
            add = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}")
            connection.execute(add.format(archive, column, sql.SQL(kind)))
        elif was != kind:
            values[name] = sql.SQL("paralelo_stores.as_stored({})").format(values[name])
            widen = sql.SQL("ALTER TABLE {0} ALTER COLUMN {1} TYPE json USING paralelo_stores.as_stored({1})")
            connection.execute(widen.format(archive, column))
    return values


def shape(connection: Connection, rows: sql.Composable) -> dict[str, str]:
    """Columns and their types."""
    described = connection.execute(sql.SQL("SELECT s.* FROM {} AS s LIMIT 0").format(rows)).description or ()
    return {column.name: column.type_display for column in described}
