"""The live table's indexes, built on the staging table while nobody waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from target_postgres.activation import checks
from target_postgres.catalog import LiveTable, TableName
from target_postgres.connection import Connection
from target_postgres.names import column_list, index_of, shorten
from target_postgres.queries import query


@dataclass(frozen=True)
class IndexDefinition:
    """One index as the catalog has it. `definition` is what follows `CREATE INDEX … ON …`."""

    name: str
    is_unique: bool
    constraint_type: str | None
    constraint_definition: str | None
    deferring: str
    definition: str
    tablespace: str

    def serves(self, wanted: IndexDefinition) -> bool:
        """Whether it is what `wanted` would be built as."""
        return (self.is_unique, self.definition, self.tablespace) == (
            wanted.is_unique,
            wanted.definition,
            wanted.tablespace,
        )


@dataclass(frozen=True)
class BuiltIndex:
    """An index on the staging table: what it is called until the swap, and from then on."""

    built_as: str
    name: str


def definitions(connection: Connection, oid: int) -> list[IndexDefinition]:
    """The valid indexes of a table."""
    cursor = connection.cursor(row_factory=class_row(IndexDefinition))
    return cursor.execute(query("activation.indexes"), {"oid": oid}).fetchall()


def build(
    connection: Connection,
    staging: TableName,
    live: LiveTable | None,
    wanted: Sequence[IndexDefinition],
    name: TableName,
    key: Sequence[str],
    version: int,
) -> list[BuiltIndex]:
    """Build `wanted`, every index of the live table, on the staging table, and a primary key where the key has none.

    Run again after a crash it starts over: the live table's indexes may have changed in between. The index that proved
    the key becomes the new key's, or one of the live table's that is like it.
    """
    needs_key = bool(key) and (live is None or not live.has_key(tuple(key)))
    proof = _keep_proof(connection, staging, checks.key_index(name, version), None if needs_key else wanted)
    built: list[BuiltIndex] = []
    for number, index in enumerate(wanted):
        built_as = index_of(name.table, version, number)
        if proof is not None and proof.serves(index):
            rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(staging.schema, proof.name), sql.Identifier(built_as)))
            proof = None
        else:
            _create(connection, staging, index, built_as)
        _constrain(connection, staging, index, built_as)
        built.append(BuiltIndex(built_as, index.name))
    if needs_key:
        built.append(_build_key(connection, staging, name, key, proof, index_of(name.table, version, len(built))))
    return built


def _keep_proof(
    connection: Connection, staging: TableName, name: str, wanted: Sequence[IndexDefinition] | None
) -> IndexDefinition | None:
    """Drop the staging table's indexes but the one of that name, and that one too where none `wanted` is like it."""
    row = connection.execute("SELECT %s::text::regclass::oid", [staging.sql.as_string(connection)]).fetchone()
    assert row is not None
    proofs = [index for index in definitions(connection, row[0]) if index.name == name]
    kept = next((one for one in proofs if wanted is None or any(one.serves(index) for index in wanted)), None)
    for index, constraint in connection.execute(query("activation.own_indexes"), {"oid": row[0]}).fetchall():
        if constraint:
            _execute(connection, "ALTER TABLE {} DROP CONSTRAINT {} ", staging, constraint, "")
        elif kept is None or index != kept.name:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(staging.schema, index)))
    return kept


def _create(connection: Connection, staging: TableName, index: IndexDefinition, built_as: str) -> None:
    """An index like that one; an exclusion constraint makes its own."""
    if index.constraint_type == "x":
        return
    connection.execute("SELECT set_config('default_tablespace', %s, true)", [index.tablespace])
    unique = "UNIQUE " if index.is_unique else ""
    statement = sql.SQL("CREATE {}INDEX {} ON {} {}").format(
        sql.SQL(unique), sql.Identifier(built_as), staging.sql, trusted(index.definition)
    )
    connection.execute(statement)


def _constrain(connection: Connection, staging: TableName, index: IndexDefinition, built_as: str) -> None:
    """The constraint that an index like that one belongs to."""
    if index.constraint_type == "x":
        connection.execute("SELECT set_config('default_tablespace', %s, true)", [index.tablespace])
        _execute(connection, "ALTER TABLE {} ADD CONSTRAINT {} ", staging, built_as, index.constraint_definition or "")
        return
    if index.constraint_type:
        kind = "PRIMARY KEY" if index.constraint_type == "p" else "UNIQUE"
        using = sql.SQL("USING INDEX {}").format(sql.Identifier(built_as)).as_string(connection)
        ending = f"{kind} {using} {index.deferring}"
        _execute(connection, "ALTER TABLE {} ADD CONSTRAINT {} ", staging, built_as, ending)


def _build_key(
    connection: Connection,
    staging: TableName,
    name: TableName,
    key: Sequence[str],
    proof: IndexDefinition | None,
    built_as: str,
) -> BuiltIndex:
    has_primary = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = %s::text::regclass AND indisprimary)",
        [staging.sql.as_string(connection)],
    ).fetchone()
    kind, ending = ("UNIQUE", "key") if has_primary == (True,) else ("PRIMARY KEY", "pkey")
    by = sql.SQL("({})").format(column_list(key))
    if proof is not None:
        by = sql.SQL("USING INDEX {}").format(sql.Identifier(proof.name))
    _execute(connection, "ALTER TABLE {} ADD CONSTRAINT {} ", staging, built_as, f"{kind} {by.as_string(connection)}")
    return BuiltIndex(built_as, shorten(f"{name.table}_{ending}"))


def _execute(connection: Connection, start: str, table: TableName, name: str, ending: str) -> None:
    head = sql.SQL(start).format(table.sql, sql.Identifier(name))
    connection.execute(head + trusted(ending))


def trusted(text: str) -> sql.SQL:
    """SQL that PostgreSQL wrote itself, from its catalog, with its own quoting."""
    return sql.SQL(text)
