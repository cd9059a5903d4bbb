"""What PostgreSQL says of a table."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from sync_rules.exits import ConfigurationError

from target_postgres.connection import Connection
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query


@dataclass(frozen=True)
class TableName:
    """A table's schema and name."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def sql(self) -> sql.Identifier:
        """The quoted, schema-qualified name."""
        return sql.Identifier(self.schema, self.table)


@dataclass(frozen=True)
class LiveColumn:
    """A column as it is in the database."""

    name: str
    type: PostgresType
    not_null: bool
    generated: bool
    identity: bool
    default: bool
    collation: str | None = None
    """Its quoted name, where it is not the type's own."""
    identity_always: bool = False
    stays_filled: bool = False
    """Whether its NOT NULL cannot be dropped: of a primary key, replica identity, identity or parent."""
    loose: bool = False
    """Whether its collation takes texts for equal that are not the same, such as `a` and `A`."""


@dataclass(frozen=True)
class LiveTable:
    """A table as it is in the database."""

    oid: int
    kind: str
    persistence: str
    owned: bool
    columns: dict[str, LiveColumn]
    unique_keys: tuple[tuple[str, ...], ...]

    def loose(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """The columns of a key that may have to be written where it is the same."""
        return tuple(name for name in key if name in self.columns and self.columns[name].loose)

    def has_key(self, key: tuple[str, ...]) -> bool:
        """Whether a unique index on exactly these columns makes the key unique."""
        return tuple(sorted(key)) in self.unique_keys


def describe(connection: Connection, name: TableName) -> LiveTable | None:
    """The table, or None where there is none.

    Raises ConfigurationError for a view or a foreign table of that name, and when row security hides rows from this
    role: what it cannot see it cannot compare.
    """
    row = connection.execute(query("catalog.relation"), {"schema": name.schema, "table": name.table}).fetchone()
    if row is None:
        return None
    oid, kind, persistence, owned, hidden = row
    if kind not in ("r", "p"):
        raise ConfigurationError(f"{name} is not a table in the target (kind {kind!r}): nothing can be loaded into it")
    if hidden:
        raise ConfigurationError(
            f"{name}: its row security applies to this role and hides rows from it; grant it BYPASSRLS, or"
            " ownership without FORCE"
        )
    columns = {
        column: LiveColumn(column, PostgresType.parse(kind), *rest)
        for column, kind, *rest in connection.execute(query("catalog.columns"), {"oid": oid})
    }
    keys = tuple(tuple(sorted(names)) for (names,) in connection.execute(query("catalog.unique_keys"), {"oid": oid}))
    return LiveTable(oid, kind, persistence, owned, columns, keys)
