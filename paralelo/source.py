"""The source as the operator's commands look at it before a sync: SQL Server, through tap-mssql."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sync_rules.exits import ConfigurationError
from sync_rules.singer.settings import DEFAULTS_BY_MODE
from tap_mssql import survey
from tap_mssql.client import Connection, connect
from tap_mssql.discovery import TableName, describe
from tap_mssql.settings import SETTINGS

from paralelo import progress, project
from paralelo.plugin_settings import settings_of
from paralelo.project import Table
from paralelo.propose import Looked
from paralelo.verify.settings import source_config

CONNECT_SECONDS = 10
QUERY_SECONDS = 60
log = logging.getLogger("tap-mssql")


def config(
    env: Mapping[str, str] | None = None,
    *,
    own: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The tap's settings: its defaults, over them those `given` or else the environment's, over them a table's own.

    Raises ConfigurationError where the server or the database is missing.
    """
    merged = {name: setting["default"] for name, setting in SETTINGS["properties"].items() if "default" in setting}
    merged.update(given if given is not None else source_config(progress.settings(env)))
    merged.update(own or {})
    for name, by_mode in DEFAULTS_BY_MODE.items():
        merged.setdefault(name, by_mode[merged["sync_mode"]])
    return merged


def by_source(
    tables: Sequence[Table], env: Mapping[str, str] | None = None
) -> list[tuple[list[Table], Mapping[str, Any] | None]]:
    """The tables that the environment's settings lead to, and each other one with those that Meltano gives it."""
    values, root = progress.settings(env), project.root()
    first = {table.name: next(iter(table.extractors.values())) for table in tables}
    own = project.with_own_settings(first.values(), values, root)
    usual = [table for table in tables if first[table.name] not in own]
    found: list[tuple[list[Table], Mapping[str, Any] | None]] = [(usual, None)] if usual else []
    return found + [([table], settings_of(first[table.name], root, values)) for table in tables if table not in usual]


def own_config(extractor: str) -> dict[str, Any]:
    """What a table's file sets for one extractor."""
    for content in project.files():
        for one in (content.get("plugins") or {}).get("extractors") or []:
            if one.get("name") == extractor:
                return dict(one.get("config") or {})
    return {}


@contextmanager
def opened(env: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None) -> Iterator[Connection]:
    """A connection that soon gives up: somebody waits for the answer. Raises SourceUnreachable."""
    wanted = config(env, given=given)
    patience = min(CONNECT_SECONDS, int(wanted["connect_timeout_seconds"]))
    connection = connect({**wanted, "connect_timeout_seconds": patience, "query_timeout_seconds": QUERY_SECONDS}, log)
    try:
        yield connection
    finally:
        connection.close()


def look(connection: Connection, names: Sequence[TableName] = ()) -> list[Looked]:
    """The named tables as the catalog shows them, or all. Raises ConfigurationError for one that is not there."""
    found = describe(connection, names)
    exact = [one.name for one in found] if names else []
    leading, sizes = survey.leading_columns(connection, exact), survey.sizes(connection, exact)
    return [Looked(one, frozenset(leading.get(one.name, ())), sizes.get(one.name)) for one in found]


def matching(found: Sequence[Looked], pattern: str) -> list[Looked]:
    """Those whose `schema.table` is like the pattern (`dbo.bi_*`), whatever the case. Views are asked for by name.

    Raises ConfigurationError where none is.
    """
    chosen = [
        one
        for one in found
        if not one.description.is_view and fnmatch.fnmatchcase(str(one.description.name).lower(), pattern.lower())
    ]
    if not chosen:
        raise ConfigurationError(f"no table is like {pattern}; the pattern is for schema.table, as in 'dbo.bi_*'")
    return chosen
