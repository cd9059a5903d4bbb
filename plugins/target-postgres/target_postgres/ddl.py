"""Tables made and changed, in the caller's transaction: event triggers look for tables as the role does."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from target_postgres.catalog import LiveTable, TableName
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.names import column_list, filled_up, incoming_of, shorten
from target_postgres.queries import query
from target_postgres.shape import MAX_COLUMNS, Changes, Column


def create_schema(connection: Connection, schema: str) -> None:
    """Make sure the schema is there. Asked first: CREATE needs a right that is not needed when it exists."""
    row = connection.execute(query("catalog.schema_exists"), {"schema": schema}).fetchone()
    if row == (False,):
        with connection.transaction():
            connection.execute(query("ledger.serialise_creation"))
            look_as_the_role_does(connection)
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))


def create_table(
    connection: Connection,
    name: TableName,
    columns: Sequence[Column],
    key: Sequence[str] = (),
    *,
    unlogged: bool = False,
    later: TableName | None = None,
) -> None:
    """Create a table with these columns and, when a key is given, its primary key. `later` is what it is to be called:
    its constraints are from the start."""
    parts: list[sql.Composable] = [_definition(column, (later or name).table) for column in columns]
    if key:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(column_list(key)))
    look_as_the_role_does(connection)
    connection.execute(
        sql.SQL("CREATE {} TABLE {} ({})").format(
            sql.SQL("UNLOGGED" if unlogged else ""), name.sql, sql.SQL(", ").join(parts)
        )
    )


def create_like(connection: Connection, name: TableName, live: TableName, *, unlogged: bool = False) -> None:
    """Create an empty table like the live one, without its indexes: those are built once the rows are there."""
    place = connection.execute(query("catalog.tablespace"), {"name": live.sql.as_string(connection)}).fetchone()
    method = connection.execute(query("catalog.access_method"), {"name": live.sql.as_string(connection)}).fetchone()
    using = sql.SQL(" USING {}").format(sql.Identifier(method[0])) if method else sql.SQL("")
    tablespace = sql.SQL(" TABLESPACE {}").format(sql.Identifier(place[0])) if place else sql.SQL("")
    look_as_the_role_does(connection)
    connection.execute(
        sql.SQL(
            "CREATE {} TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED"
            " INCLUDING IDENTITY INCLUDING STORAGE INCLUDING COMPRESSION){}{}"
        ).format(sql.SQL("UNLOGGED" if unlogged else ""), name.sql, live.sql, using, tablespace)
    )


def hide(connection: Connection, name: TableName) -> None:
    """Take from everybody but the owner what default privileges gave: others may see less of the live table."""
    parameters = {"schema": name.schema, "table": name.table, "of_owner": False}
    for (statement,) in connection.execute(query("inherit.revokes"), parameters).fetchall():
        connection.execute(sql.SQL(statement))


def create_incoming(
    connection: Connection, live: TableName, columns: Sequence[Column]
) -> tuple[sql.Identifier, sql.Composable]:
    """A temporary table for one batch at a time: the live table's columns and their NOT NULL, and no indexes.

    Columns that the batch does not bring are left out, for their NOT NULL would refuse every row. Returns the table,
    and by what its rows are in the order they came: a later row may get the room that a page before had left, so it is
    a column of their numbers, or, beside as many columns as a table may have, their places after all.
    """
    name = incoming_of(live.table)
    incoming = sql.Identifier("pg_temp", name)
    with connection.transaction():
        look_as_the_role_does(connection)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(incoming))
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DELETE ROWS").format(sql.Identifier(name), live.sql)
        )
        brought = {column.name for column in columns}
        present = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::text::regclass AND attnum > 0 AND NOT attisdropped",
            [incoming.as_string(connection)],
        ).fetchall()
        for (name,) in present:
            if name not in brought:
                connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(incoming, sql.Identifier(name)))
        if len(present) == MAX_COLUMNS:
            return incoming, sql.SQL("ctid")
        number = sql.Identifier("_paralelo_number")
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {} bigint GENERATED ALWAYS AS IDENTITY").format(incoming, number)
        )
    return incoming, number


def apply(connection: Connection, name: TableName, plan: Changes) -> None:
    """Make the changes, in one statement so that a table that must be rewritten is rewritten once."""
    parts: list[sql.Composable] = [
        sql.SQL("ADD COLUMN {} {}").format(sql.Identifier(column.name), column.type.sql) for column in plan.added
    ]
    parts += [
        sql.SQL("ALTER COLUMN {} TYPE {}{}{}").format(
            sql.Identifier(column),
            kind.sql,
            sql.SQL(f" COLLATE {plan.collations[column]}" if column in plan.collations else ""),
            sql.SQL(" USING {}").format(filled_up(sql.Identifier(column), plan.padded[column]))
            if column in plan.padded
            else sql.SQL(""),
        )
        for column, kind in plan.widened.items()
    ]
    parts += [sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(column)) for column in plan.relaxed]
    if parts:
        look_as_the_role_does(connection)
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(name.sql, sql.SQL(", ").join(parts)))


def relax_gone(connection: Connection, name: TableName, live: LiveTable, plan: Changes) -> None:
    """New rows have no value for a column that the source lost: one without a default must allow NULL."""
    parts = [
        sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(column))
        for column in plan.gone
        if live.columns[column].not_null and not live.columns[column].identity and not live.columns[column].default
    ]
    if parts:
        look_as_the_role_does(connection)
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(name.sql, sql.SQL(", ").join(parts)))


def create_unique_index(connection: Connection, name: TableName, key: Sequence[str]) -> None:
    """Create a unique index on these columns."""
    look_as_the_role_does(connection)
    connection.execute(sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(name.sql, column_list(key)))


def drop_table(connection: Connection, name: TableName) -> None:
    """Drop a table of our own making, if it is there."""
    look_as_the_role_does(connection)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name.sql))


def _definition(column: Column, table: str) -> sql.Composed:
    definition = sql.SQL("{} {}").format(sql.Identifier(column.name), column.type.sql)
    if column.nullable:
        return definition
    # From PostgreSQL 18 on a NOT NULL has a name, earlier ones pass over it.
    name = sql.Identifier(shorten(f"{table}_{column.name}_not_null"))
    return definition + sql.SQL(" CONSTRAINT {} NOT NULL").format(name)
