"""Proposals for entities of Oracle WMS and tables of a SQLite file, through those taps' own discovery."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sync_rules.exits import ConfigurationError
from sync_rules.singer.settings import refuse
from target_postgres.names import fold_all, table_of
from target_postgres.postgres_types import PostgresType

from paralelo import progress, project
from paralelo.propose import ColumnPlan, Proposal, says_changed, slug
from paralelo.verify.settings import typed

log = logging.getLogger("add-table")


def proposals(
    source: str,
    names: Sequence[str],
    pattern: str,
    *,
    key: Sequence[str] = (),
    cursor: str | None = None,
    own: Mapping[str, Any] | None = None,
) -> list[Proposal]:
    """Those for the names, or for everything that is like the pattern.

    `own` are a table's settings as Meltano knows them; without them those of the environment count.

    Raises ConfigurationError where a setting or a table is missing, SourceUnreachable where nobody answers.
    """
    settings = progress.settings()
    if source == "sqlite":
        return _sqlite(_config("tap-sqlite", settings, cursor, "path", own), names, pattern, key, cursor)
    if key:
        raise ConfigurationError("the key of an entity of Oracle WMS is always id: leave out --key")
    return _wms(_config("tap-oracle-wms", settings, cursor, "base_url", own), names, pattern)


def _wms(config: dict[str, Any], names: Sequence[str], pattern: str) -> list[Proposal]:
    from tap_oracle_wms.choices import choose
    from tap_oracle_wms.client import Client
    from tap_oracle_wms.discovery import describe, entities
    from tap_oracle_wms.settings import problems

    refuse(problems(config))
    config["retries"] = 1  # somebody waits for the answer
    client = Client(config, log)
    try:
        wanted = list(names) or _like(entities(client), pattern)
        found = [describe(client, name, config) for name in wanted]
    finally:
        client.close()
    made = []
    for one in found:
        chosen = choose(one, config, lambda _: True)
        columns = [
            (part.column.name, part.field.declared, str(PostgresType.of(part.column.type))) for part in one.parts
        ]
        notes = [f"{', '.join(one.unknown)}: of a type that is not known, copied as text"] if one.unknown else []
        if chosen.cursor is None:
            notes.append(f"no timestamp {config['cursor_column']}: full syncs only")
        made.append(_proposal(one.name, one.name, "tap-oracle-wms", ("id",), chosen.cursor, columns, notes))
    return made


def _sqlite(
    config: dict[str, Any], names: Sequence[str], pattern: str, key: Sequence[str], cursor: str | None
) -> list[Proposal]:
    from tap_sqlite.catalog import describe, natural_key, table_names
    from tap_sqlite.choices import choose
    from tap_sqlite.database import Database
    from tap_sqlite.declared import BIGINT, DOUBLE

    # As the tap, which runs in the project's folder; but somebody waits for the answer.
    path = str(project.root() / config["path"])
    database = Database(path, immutable=bool(config["immutable"]), busy_timeout_seconds=10)
    made = []
    try:
        for name in list(names) or _like(table_names(database, views=False), pattern):
            one = describe(database, name)
            config["key_columns"] = list(key) or list(natural_key(one))
            chosen = choose(one, config, lambda _: True)
            found = (
                chosen.cursor.name
                if chosen.cursor
                else next((c.name for c in one.columns if says_changed(c.name)), None)
            )
            columns = [(c.name, c.declared, str(PostgresType.of(c.type)) if c.type else "") for c in one.columns]
            keyed = tuple(config["key_columns"])
            notes = [] if keyed else ["no key: read in one pass, which cannot be resumed; no incremental sync"]
            if found and not cursor:
                notes.append(f"the cursor {found} was chosen by its name: see that every insert and update sets it")
            by = one.column(found) if found else None
            if by is not None and by.type in (BIGINT, DOUBLE) and not config.get("cursor_unit"):
                notes.append(f"{by.name} holds numbers: if they count time, set cursor_unit; a counter has no lookback")
            if keyed and not found:
                notes.append("no column tells what changed: full syncs only; --cursor names one")
            loose = [name for name, _, kind in columns if not kind]
            if loose:
                notes.append(f"{', '.join(loose)}: the declaration leaves the type open; each sync looks at every row")
            stream = f"main-{config.get('table_prefix') or ''}{one.name}"
            made.append(_proposal(one.name, stream, "tap-sqlite", keyed, found if keyed else None, columns, notes))
    finally:
        database.close()
    return made


def _proposal(
    table: str,
    stream: str,
    plugin: str,
    key: tuple[str, ...],
    cursor: str | None,
    columns: Sequence[tuple[str, str, str]],
    notes: Sequence[str],
) -> Proposal:
    try:
        folded = fold_all([name for name, _, _ in columns], table)
    except ConfigurationError as error:
        return Proposal(table, table_of(stream), slug(table), plugin, problem=str(error))
    plans = tuple(ColumnPlan(name, declared, folded[name], kind) for name, declared, kind in columns)
    return Proposal(table, table_of(stream), slug(table), plugin, key, cursor, columns=plans, notes=tuple(notes))


def _config(
    plugin: str, settings: Mapping[str, str], cursor: str | None, needed: str, own: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The tap's settings: its defaults, over them the table's own or else the environment's."""
    if plugin == "tap-sqlite":
        from tap_sqlite.settings import SETTINGS
    else:
        from tap_oracle_wms.settings import SETTINGS
    prefix = f"{plugin.upper().replace('-', '_')}_"
    config = {name: given["default"] for name, given in SETTINGS["properties"].items() if "default" in given}
    config.update(typed(settings, prefix, SETTINGS["properties"]) if own is None else own)
    if not config.get(needed):
        raise ConfigurationError(f"not set, and needed: {prefix}{needed.upper()}; see .env.example")
    return {**config, **({"cursor_column": cursor} if cursor else {}), "sync_mode": "full"}


def _like(names: Sequence[str], pattern: str) -> list[str]:
    found = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern.lower())]
    if not found:
        raise ConfigurationError(f"no table is like {pattern}")
    return found
