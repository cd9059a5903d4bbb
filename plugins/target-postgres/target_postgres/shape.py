"""The shape of a table: what its columns should be, and what has to change for the live table to hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_rules.exits import ConfigurationError

from target_postgres.catalog import LiveColumn
from target_postgres.names import fold_all
from target_postgres.postgres_types import PostgresType, from_json_schema, is_nullable, wider

MAX_COLUMNS = 1600
SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}


@dataclass(frozen=True)
class Column:
    """A column as the source sends it: its name there, and its name and type here.

    `base64` marks a `bytea` whose RECORD values are base64 text, as `varbinary` is sent.
    """

    source: str
    name: str
    type: PostgresType
    nullable: bool
    base64: bool = False


@dataclass(frozen=True)
class Changes:
    """What a table needs before it can hold the source's rows. Nothing here ever narrows or drops a column."""

    added: tuple[Column, ...] = ()
    widened: dict[str, PostgresType] = field(default_factory=dict)
    collations: dict[str, str] = field(default_factory=dict)
    """Those of widened columns, quoted, where they are not their types' own: a changed type would lose them."""
    padded: dict[str, int] = field(default_factory=dict)
    """The lengths of those widened that were `character`: another type would lose the spaces that fill them up."""
    relaxed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    """Columns of the live table that the source does not have (any more). They are kept, with their values."""

    def __bool__(self) -> bool:
        return bool(self.added or self.widened or self.relaxed)

    def __str__(self) -> str:
        parts = [f"added {column.name} {column.type}" for column in self.added]
        parts += [f"widened {name} to {kind}" for name, kind in self.widened.items()]
        parts += [f"{name} may be NULL now" for name in self.relaxed]
        return ", ".join(parts)


def columns_of(schema: Mapping[str, Any], key: Sequence[str], table: str, *, trust_nullability: bool) -> list[Column]:
    """The columns a SCHEMA asks for, in its order.

    Only a tap of ours is trusted to know that a column is never null; from any other only the key is NOT NULL.
    Raises ConfigurationError for no columns or too many, names that fold to one or are PostgreSQL's own, key columns
    that are not there, or an unknown type.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
    folded = fold_all(properties, table)
    _check_names(list(folded.values()), table)
    missing = [name for name in key if name not in properties]
    if missing:
        raise ConfigurationError(f"{table}: the key column {missing[0]!r} is not among the stream's columns")
    try:
        return [
            Column(
                name,
                folded[name],
                from_json_schema(given),
                name not in key and (is_nullable(given) or not trust_nullability),
                given.get("contentEncoding") == "base64",
            )
            for name, given in properties.items()
        ]
    except ValueError as error:
        raise ConfigurationError(f"{table}: {error}") from error


def _check_names(names: Sequence[str], table: str) -> None:
    if not names:
        raise ConfigurationError(f"{table}: the stream has no columns: select some of them in the extractor")
    if len(names) > MAX_COLUMNS:
        raise ConfigurationError(
            f"{table}: the stream has {len(names)} columns, and a table in PostgreSQL at most {MAX_COLUMNS}:"
            " leave some out"
        )
    taken = sorted(set(names) & SYSTEM_COLUMNS)
    if taken:
        raise ConfigurationError(
            f"{table}: PostgreSQL itself has a column {taken[0]!r} in every table: rename it in a view at the source,"
            " or leave it out"
        )


def changes(live: Mapping[str, LiveColumn], wanted: Sequence[Column], table: str) -> Changes:
    """What `live` needs to hold the wanted columns. Raises ConfigurationError for types that cannot both be held."""
    widened: dict[str, PostgresType] = {}
    for column in wanted:
        there = live.get(column.name)
        if there is None or there.type == column.type:
            continue
        kind = wider(there.type, column.type)
        if kind is None:
            raise ConfigurationError(
                f"{table}: the column {column.name} is {column.type} at the source and {there.type} in the target, and"
                " no type holds both without a change; drop or rename the target's column, then run a full sync"
            )
        if kind != there.type:
            widened[column.name] = kind
    generated = [column.name for column in wanted if column.name in live and live[column.name].generated]
    if generated:
        raise ConfigurationError(f"{table}: the target computes the column {generated[0]} itself; the source sends it")
    names = {column.name for column in wanted}
    _check_gone([there for name, there in live.items() if name not in names], table)
    return Changes(
        added=tuple(column for column in wanted if column.name not in live),
        widened=widened,
        collations={name: collation for name in widened if (collation := live[name].collation)},
        padded={
            name: live[name].type.first or 1
            for name, kind in widened.items()
            if live[name].type.name == "character" and kind.name != "character"
        },
        relaxed=tuple(
            [
                column.name
                for column in wanted
                if column.nullable
                and (there := live.get(column.name)) is not None
                and there.not_null
                and not there.stays_filled
            ]
        ),
        gone=tuple(name for name, column in live.items() if name not in names and not column.generated),
    )


def _check_gone(gone: Sequence[LiveColumn], table: str) -> None:
    """Refuse columns that new rows have no value for and that cannot be without one. Raises ConfigurationError."""
    for column in gone:
        own = column.default or column.identity or column.generated
        if column.not_null and column.stays_filled and not own:
            raise ConfigurationError(
                f"{table}: the source does not have the column {column.name}, and the target cannot leave it empty, for"
                " it is in the primary key or the replica identity, or inherited; drop that, or give the column a"
                " default"
            )


def check_identities(live: Mapping[str, LiveColumn], wanted: Sequence[Column], key: Sequence[str], table: str) -> None:
    """A changed row's values are written by UPDATE, which an identity that is GENERATED ALWAYS refuses.

    Raises ConfigurationError. What has no key is never updated.
    """
    for column in wanted:
        if key and column.name not in key and column.name in live and live[column.name].identity_always:
            raise ConfigurationError(
                f"{table}: the column {column.name} is an identity GENERATED ALWAYS, which no update may set; make it"
                " GENERATED BY DEFAULT"
            )


def final_types(live: Mapping[str, LiveColumn], wanted: Sequence[Column], plan: Changes) -> dict[str, PostgresType]:
    """Each wanted column's type once the changes are made."""
    types = {column.name: column.type for column in wanted}
    types.update({name: live[name].type for name in types if name in live})
    types.update(plan.widened)
    return types
