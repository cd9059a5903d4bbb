"""What the server hides from this login and never says: masked values, encrypted ones, filtered rows.

A mask looks like a value: copied, it would replace the right one, and a comparison that reads with the same login
would find both sides equal. Rows that a security policy filters would be taken for deleted ones, and a view's own
NOLOCK reads others than are there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sync_rules.exits import ConfigurationError

from tap_mssql.client import Connection
from tap_mssql.discovery import TableName, optional

_MASKED = "SELECT c.name FROM sys.columns c WHERE c.object_id = OBJECT_ID(?) AND c.is_masked = 1"
_MASKED_ELSEWHERE = """
SELECT s.name, o.name, c.name
FROM sys.columns c JOIN sys.objects o ON o.object_id = c.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id
WHERE c.is_masked = 1 AND OBJECTPROPERTY(OBJECT_ID(?), 'IsView') = 1
"""
"""What a view reads is told only to those who may see the database's definitions."""
_DIRTY = """
SELECT 1 FROM sys.sql_modules m WHERE m.object_id = OBJECT_ID(?)
  AND (UPPER(m.definition) LIKE '%NOLOCK%' OR UPPER(m.definition) LIKE '%READUNCOMMITTED%')
"""
_COMPUTED = "SELECT c.name FROM sys.columns c WHERE c.object_id = OBJECT_ID(?) AND c.is_computed = 1"
_ENCRYPTED = "SELECT c.name FROM sys.columns c WHERE c.object_id = OBJECT_ID(?) AND c.encryption_type IS NOT NULL"
_MAY_UNMASK = (
    "SELECT HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'UNMASK'), HAS_PERMS_BY_NAME(?, 'OBJECT', 'UNMASK'),"
    " HAS_PERMS_BY_NAME(?, 'OBJECT', 'UNMASK', ?, 'COLUMN')"
)
_FILTERED = """
SELECT p.name
FROM sys.security_policies p JOIN sys.security_predicates d ON d.object_id = p.object_id
WHERE p.is_enabled = 1 AND d.predicate_type_desc = 'FILTER' AND d.target_object_id = OBJECT_ID(?)
"""


def check(connection: Connection, table: TableName, columns: Sequence[str], log: logging.Logger) -> None:
    """Raise ConfigurationError for what this login gets masked or encrypted; warn of a policy that may hide rows."""
    refuse(connection, table, columns)
    for doubt in doubts(connection, table):
        log.warning("%s: %s", table, doubt)


def doubts(connection: Connection, table: TableName) -> list[str]:
    """Why what this login reads may not be what is there, as far as it may know of it."""
    found = [
        f"the security policy {policy} filters its rows: those it hides count as deleted"
        for policy in _named(connection, _FILTERED, table)
    ]
    elsewhere = optional(connection, _MASKED_ELSEWHERE, [table.quoted], quietly=True)
    masked = [
        f"{schema}.{name}.{column}"
        for schema, name, column in elsewhere
        if not _may_unmask(connection, TableName(schema, name), column)
    ]
    if masked:
        found.append(f"masks are copied instead of values where this view reads {', '.join(masked)}")
    if _named(connection, _DIRTY, table):
        found.append("its definition says NOLOCK, which skips rows, meets others twice and reads what is not committed")
    return found


def refuse(connection: Connection, table: TableName, columns: Sequence[str]) -> None:
    """Raise ConfigurationError for columns that this login gets masked or encrypted.

    Servers before 2016 have none of them, and are asked in vain.
    """
    masked = [name for name in _named(connection, _MASKED, table) if not _may_unmask(connection, table, name)]
    shown = [name for name in columns if name in masked]
    if shown:
        raise ConfigurationError(
            f"{table}: this login gets masks instead of the values of {', '.join(shown)}: grant it UNMASK, or leave the"
            " column out by `select`"
        )
    computed = _named(connection, _COMPUTED, table) if masked else []
    if behind := [name for name in columns if name in computed]:
        # What a column is computed from is told only to those who may see the database's definitions.
        raise ConfigurationError(
            f"{table}: {', '.join(behind)} may be computed from masks, which this login gets of {', '.join(masked)}:"
            " grant it UNMASK, or leave the column out by `select`"
        )
    encrypted = _named(connection, _ENCRYPTED, table)
    if unread := [name for name in columns if name in encrypted]:
        raise ConfigurationError(
            f"{table}: Always Encrypted keeps the values of {', '.join(unread)} from the server itself: leave the"
            " column out by `select`"
        )


def _named(connection: Connection, question: str, table: TableName) -> list[str]:
    return [name for (name,) in optional(connection, question, [table.quoted], quietly=True)]


def _may_unmask(connection: Connection, table: TableName, column: str) -> bool:
    found = optional(connection, _MAY_UNMASK, [table.quoted, table.quoted, column], quietly=True)
    return any(answer == 1 for answer in (found[0] if found else ()))
