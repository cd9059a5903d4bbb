"""Names: folded to lower case, at most 63 bytes, never two for one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from psycopg import sql
from sync_rules.exits import ConfigurationError

MAX_BYTES = 63
"""What PostgreSQL keeps of an identifier; it cuts the rest off without an error."""

LEDGER_SCHEMA = "paralelo"


def shorten(name: str) -> str:
    """`name` itself, or, when it is over 63 bytes, its beginning and eight hexadecimal digits of its SHA-256.

    Always the same for the same name, and different for two names that only differ at their ends.
    """
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return f"{encoded[: MAX_BYTES - 9].decode(errors='ignore')}_{digest}"


def fold(name: str) -> str:
    """The name in the database: lower case, shortened by rule when it is over 63 bytes.

    Raises ConfigurationError for a name PostgreSQL cannot have.
    """
    if not name or re.search("[\0\ud800-\udfff]", name):
        raise ConfigurationError(
            f"PostgreSQL has no place for the name {name!r}: it is empty, or holds a NUL character or half of a"
            " surrogate pair"
        )
    return shorten(name.lower())


def fold_all(names: Iterable[str], table: str) -> dict[str, str]:
    """Each column's name in the database by its name at the source. Raises ConfigurationError when two fold to one."""
    folded: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        folded[name] = fold(name)
        other = taken.setdefault(folded[name], name)
        if other != name:
            raise ConfigurationError(
                f"{table}: the columns {other!r} and {name!r} would both be called {folded[name]!r} in PostgreSQL;"
                " rename one in a view at the source, or leave one out"
            )
    return folded


def table_of(stream: str) -> str:
    """The table a stream is written to: `dbo-bi_credores` goes to `bi_credores`, `users` to `users`."""
    return fold(stream.partition("-")[2] or stream)


def staging_of(table: str, version: int) -> str:
    """The staging table's name for one version of a table."""
    return _own(table, str(version))


def incoming_of(table: str) -> str:
    """The temporary table's name for a table's batches: one run may load several tables."""
    return _own(table, "incoming")


def index_of(table: str, version: int, number: int) -> str:
    """The name an index has while it is built on a staging table."""
    return _own(table, f"{version}_i{number}")


def _own(table: str, ending: str) -> str:
    room = MAX_BYTES - len(f"_paralelo__{ending}")
    encoded = table.encode()
    if len(encoded) > room:
        digest = hashlib.sha256(encoded).hexdigest()[:8]
        table = f"{encoded[: room - 9].decode(errors='ignore')}_{digest}"
    return f"_paralelo_{table}_{ending}"


def column_list(names: Iterable[str], prefix: str | None = None) -> sql.Composed:
    """`"a", "b"`, or `p."a", p."b"`."""
    return sql.SQL(", ").join(column(name, prefix) for name in names)


def column(name: str, prefix: str | None = None) -> sql.Composable:
    """A quoted column name, with its table's alias when one is given."""
    return sql.Identifier(name) if prefix is None else sql.Identifier(prefix, name)


def filled_up(value: sql.Composable, length: int) -> sql.Composed:
    """A `character` as text, with the spaces that fill it up: a cast would lose them."""
    return sql.SQL("pg_catalog.rpad({}::pg_catalog.text, {})").format(value, length)


def pairs(names: Iterable[str], left: str, right: str) -> sql.Composed:
    """`l."a" = r."a" AND l."b" = r."b"`, whatever other `=` the role's `search_path` has."""
    equal = sql.SQL("{} OPERATOR(pg_catalog.=) {}")
    return sql.SQL(" AND ").join(equal.format(column(name, left), column(name, right)) for name in names)
