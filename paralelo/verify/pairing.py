"""Which column of the source belongs to which of the target, and what cannot be compared at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sync_rules.exits import ConfigurationError
from target_postgres.names import fold_all

from paralelo.project import selected
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.sides import SourceColumn, SourceTable

_USUAL_CURSOR = "mod_ts"


@dataclass(frozen=True)
class Wanted:
    """A table to compare: its names on both sides, and its key and cursor where they are set.

    Without a key the source's catalog is asked for one, without a cursor it is `mod_ts` where there is such a column.
    `columns` are those of the source that are compared, beside key and cursor; all of them when it is empty.
    `select` are its extractor's patterns, which leave columns of `stream` out where no `columns` are given.
    `plugin` is the tap that copies it, `extractor` its full sync's extractor: empty for one the project does not know.
    """

    source: str
    target_schema: str
    target_table: str
    key_columns: tuple[str, ...] = ()
    cursor_column: str | None = None
    columns: tuple[str, ...] = ()
    plugin: str = ""
    extractor: str = ""
    select: tuple[str, ...] = ()
    stream: str = ""


@dataclass(frozen=True)
class Paired:
    """The pair, columns that the target lacks, columns whose types hold different kinds of value, and remarks."""

    table: TablePair
    absent: tuple[str, ...]
    incomparable: tuple[str, ...]
    notes: tuple[str, ...]


def pair(wanted: Wanted, described: SourceTable, stored: Mapping[str, tuple[str, bool]]) -> Paired:
    """Pair by the target's rule for names. `stored` holds each target column's type and whether it is NOT NULL.

    Raises ConfigurationError for a key or cursor column that the source does not have.
    """
    folded = fold_all([column.name for column in described.columns], wanted.source)
    columns, absent, incomparable = [], [], []
    chosen = _chosen(described, wanted)
    for found in chosen:
        name = folded[found.name]
        if name not in stored:
            absent.append(name)
            continue
        column = _column(found, name, stored[name])
        if column.comparable:
            columns.append(column)
        else:
            incomparable.append(f"{name}: {found.declared} at the source is {column.stored} in the target")
    by_name = {column.source.casefold(): column for column in columns}
    key = tuple(_named(name, by_name, wanted) for name in wanted.key_columns or described.natural_key)
    usual = by_name.get(_USUAL_CURSOR)
    cursor = _named(wanted.cursor_column, by_name, wanted) if wanted.cursor_column else usual
    more = sorted(set(stored) - {folded[column.name] for column in described.columns})
    notes = [f"columns only the target has, not compared: {', '.join(more)}"] if more else []
    if not wanted.columns and (left_out := [one.name for one in described.columns if one not in chosen]):
        notes.append(f"columns that the extractor's select leaves out, not compared: {', '.join(left_out)}")
    if not columns:
        raise ConfigurationError(f"{wanted.source}: no column of it can be compared with {wanted.target_table}")
    table = TablePair(
        source_schema=described.name.schema,
        source_table=described.name.table,
        target_schema=wanted.target_schema,
        target_table=wanted.target_table,
        columns=tuple(columns),
        key=key,
        cursor=cursor,
        copied=tuple(one.name for one in _chosen(described, replace(wanted, columns=()))),
    )
    return Paired(table, tuple(absent), tuple(incomparable), tuple(notes))


def _chosen(described: SourceTable, wanted: Wanted) -> list[SourceColumn]:
    chosen = {name.casefold() for name in wanted.columns}
    unknown = chosen - {column.name.casefold() for column in described.columns}
    if unknown:
        raise ConfigurationError(f"{wanted.source}: the source has no column {', '.join(sorted(unknown))}")
    # Rows are found by the key and judged by the cursor, whichever columns are compared; both are copied whatever
    # `select` says.
    needed = (*(wanted.key_columns or described.natural_key), wanted.cursor_column or _USUAL_CURSOR)
    always = {name.casefold() for name in needed}

    def wants(name: str) -> bool:
        return name.casefold() in chosen if chosen else selected(wanted.select, wanted.stream, name)

    return [column for column in described.columns if column.name.casefold() in always or wants(column.name)]


def settle_nullability(table: TablePair, holds_null: Callable[[Column], bool]) -> TablePair:
    """The pair with key columns that may be NULL by their declaration, and are not in any row, taken as NOT NULL."""
    key = tuple(
        replace(column, nullable=False) if column.nullable and not holds_null(column) else column
        for column in table.key
    )
    return replace(table, key=key)


def _column(found: SourceColumn, name: str, stored: tuple[str, bool]) -> Column:
    kind, not_null = stored
    return Column(
        source=found.name,
        target=name,
        kind=found.type,
        declared=found.declared,
        stored=kind,
        expression=found.selected,
        nullable=found.nullable or not not_null,
    )


def _named(name: str, columns: Mapping[str, Column], wanted: Wanted) -> Column:
    if name.casefold() not in columns:
        raise ConfigurationError(f"{wanted.source}: the column {name} is not on both sides, or not of one kind there")
    return columns[name.casefold()]


def names_of(columns: Sequence[Column]) -> tuple[str, ...]:
    """The target's names."""
    return tuple(column.target for column in columns)
