"""What a sync need not know and whoever plans one does: the order of indexes, sizes, the server's version and clock.

Only `clock` is what every login may know. The rest is asked for and done without where it is refused: a
login of few rights is the usual one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timezone

from sync_rules.lookback import moment_of

from tap_mssql.client import Connection
from tap_mssql.discovery import TableName, named, optional
from tap_mssql.queries import TableQueries
from tap_mssql.sql_types import SqlColumn

PAGE_BYTES = 8_192

_LEADING = """
SELECT s.name, o.name, c.name
FROM sys.indexes i
JOIN sys.objects o ON o.object_id = i.object_id
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE ic.key_ordinal = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.type IN (1, 2)
  AND RTRIM(o.type) IN ('U', 'V') AND o.is_ms_shipped = 0{named}
"""
_SIZES = """
SELECT s.name, o.name, SUM(a.used_pages)
FROM sys.partitions p
JOIN sys.allocation_units a ON a.container_id = CASE WHEN a.type = 2 THEN p.partition_id ELSE p.hobt_id END
JOIN sys.objects o ON o.object_id = p.object_id
JOIN sys.schemas s ON s.schema_id = o.schema_id
WHERE p.index_id IN (0, 1) AND RTRIM(o.type) = 'U' AND o.is_ms_shipped = 0{named}
GROUP BY s.name, o.name
"""
_DATABASE = """
SELECT snapshot_isolation_state, CAST(is_read_committed_snapshot_on AS int), collation_name
FROM sys.databases WHERE name = DB_NAME()
"""
"""One row: 1 where snapshot isolation is allowed, whether READ COMMITTED reads row versions, the collation."""
_CODE_PAGE = "SELECT CAST(COLLATIONPROPERTY(?, 'CodePage') AS int)"
_CODE_PAGES = (1250, 1251, 1252, 1253, 1254, 1256, 1257)
"""Those that Python's codecs were made of from Microsoft's own tables, one byte a character."""
_VERSION = (
    "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), CAST(SERVERPROPERTY('Edition') AS nvarchar(128))"
)
_ENCRYPTED = "SELECT encrypt_option FROM sys.dm_exec_connections WHERE session_id = @@SPID"


def leading_columns(connection: Connection, wanted: Sequence[TableName] = ()) -> dict[TableName, set[str]]:
    """For each table, the columns that an index begins with: those a range of can be sought instead of scanned.

    Empty where the server does not say, with a warning.
    """
    condition, values = named(wanted, ())
    found: dict[TableName, set[str]] = {}
    for schema, table, column in optional(connection, _LEADING.format(named=condition), values):
        found.setdefault(TableName(schema, table), set()).add(column)
    return found


def leads(connection: Connection, table: TableName, column: str) -> bool:
    """Whether an index begins with the column; no where the server does not say."""
    condition, values = named([table], ())
    found = optional(connection, _LEADING.format(named=condition), values, quietly=True)
    return any(first == column for _, _, first in found)


def sizes(connection: Connection, wanted: Sequence[TableName] = ()) -> dict[TableName, int]:
    """Bytes of each table's rows, large values included, indexes not; nothing where the server does not say."""
    condition, values = named(wanted, ())
    found = optional(connection, _SIZES.format(named=condition), values, quietly=True)
    return {TableName(schema, table): int(pages or 0) * PAGE_BYTES for schema, table, pages in found}


def database(connection: Connection) -> tuple[int | None, bool, str | None]:
    """1 where snapshots are allowed (None: the server does not say), whether row versions are read, the collation."""
    found = optional(connection, _DATABASE)
    if not found:
        return None, False, None
    allowed, versioned, collation = found[0]
    return int(allowed or 0), bool(versioned), collation


def encodings(connection: Connection, collations: Collection[str]) -> dict[str, str]:
    """Python's names of the code pages of collations, where Python takes every byte as Windows does."""
    found = {}
    for collation in sorted(collations):
        answer = optional(connection, _CODE_PAGE, [collation], quietly=True)
        if answer and answer[0][0] in _CODE_PAGES:
            found[collation] = f"cp{answer[0][0]}"
    return found


def version(connection: Connection) -> tuple[str, str]:
    """The product's version and edition; empty where the server does not say."""
    found = optional(connection, _VERSION, quietly=True)
    return (str(found[0][0] or ""), str(found[0][1] or "")) if found else ("", "")


def encrypted(connection: Connection) -> bool | None:
    """Whether this connection runs inside TLS; None where the login may not know (it takes VIEW SERVER STATE)."""
    found = optional(connection, _ENCRYPTED, quietly=True)
    return str(found[0][0]).upper() == "TRUE" if found else None


def clock(connection: Connection) -> datetime:
    """The server's clock."""
    text = str(connection.rows("SELECT CONVERT(varchar(33), SYSUTCDATETIME(), 126)")[0][0])
    return moment_of(text).replace(tzinfo=timezone.utc)


def readable(connection: Connection, name: TableName, columns: Sequence[SqlColumn]) -> None:
    """See that every column may be selected, reading no row. Raises a SyncError where it may not."""
    queries = TableQueries(name.quoted, tuple(columns), (), None, (), None)
    statement, values = queries.whole()
    connection.rows(statement.replace("SELECT ", "SELECT TOP (0) ", 1), values, table=str(name))
