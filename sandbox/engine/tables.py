"""CREATE TABLE and ALTER TABLE: columns, their rules and constraints, in the catalog and in DuckDB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..tds.errors import SqlError, syntax
from ..tds.types import SqlType
from .catalog import BASE, Column, Table, quoted
from .convert import assign
from .declared import data_type
from .dialect import SqlServer
from .dml import default_value, recompute
from .indexes import enter_index
from .objects import enter_column, found_table, register
from .translate import Scope, parse

if TYPE_CHECKING:
    from .session import Session

# What sqlglot does not read and what means nothing to the stand-in.
DROPPED = re.compile(
    r"\b(ROWGUIDCOL|NOT\s+FOR\s+REPLICATION|FILESTREAM|PERSISTED(?:\s+NOT\s+NULL)?)\b|\bON\s+\[PRIMARY\]"
    r"|\bTEXTIMAGE_ON\s+\[?PRIMARY\]?|\)\s*WITH\s*\([^)]*\)(?=\s*[,)])|\bCOLLATE\s+\w+"
    # sqlglot reads the columns after these words as belonging to no key.
    r"|(?<=\bPRIMARY KEY)\s+(NON)?CLUSTERED\b|(?<=\bUNIQUE)\s+(NON)?CLUSTERED\b",
    re.IGNORECASE,
)
# sqlglot reads only some ways to write a key. All of them become `CONSTRAINT [name] PRIMARY KEY`, and what was
# written travels in the name, behind a mark.
KEY = re.compile(
    r"(?:\bCONSTRAINT\s+(?:\[([^\]]+)\]|(\w+))\s+)?(?<!\[)\b(PRIMARY\s+KEY|UNIQUE)\b(?:\s+((?:NON)?CLUSTERED)\b)?",
    re.IGNORECASE,
)
MARK = "\x1f"


def _prepared(text: str) -> str:
    """The statement in words sqlglot reads; SPARSE survives as a comment constraint."""
    plain = re.sub(r"\bSPARSE\b", "COMMENT 'sparse'", text, flags=re.IGNORECASE)
    plain = KEY.sub(_marked, plain)
    return DROPPED.sub(lambda m: ")" if m[0].startswith(")") else " ", plain)


def _marked(written: re.Match[str]) -> str:
    primary = written[3][0].upper() == "P"
    clustered = written[4].upper() == "CLUSTERED" if written[4] else primary
    return f"CONSTRAINT [{written[1] or written[2] or ''}{MARK}{primary:d}{clustered:d}] PRIMARY KEY"


def create_table(session: Session, text: str) -> None:
    tree = parse(_prepared(text))
    assert isinstance(tree, exp.Create)
    schema = tree.this
    columns: list[Column] = []
    keys: list[Key] = []
    seeds: dict[str, tuple[int, int]] = {}
    for item in schema.expressions:
        if isinstance(item, exp.ColumnDef):
            column, own, seed = _column(item)
            columns.append(column)
            keys += own
            seeds[column.name] = seed
        else:
            keys += _constraint(item)
    required = {name.lower() for key in keys if key.primary for name, _ in key.columns}
    columns = [
        Column(c.name, c.type, False, c.identity, c.default, c.computed, c.sparse) if c.name.lower() in required else c
        for c in columns
    ]
    columns = _computed_types(session, columns)
    table = register(session, schema.this, "U", columns, None)
    for name, (first, step) in seeds.items():
        session.fetch(
            f"UPDATE {quoted(table.database)}.{BASE}.columns SET seed = $1, increment = $2 WHERE object_id ="
            " $3 AND name = $4 AND is_identity",
            [first, step, table.ident, name],
        )
    for key in sorted(keys, key=lambda one: not one.primary):
        _enter(session, table, key)


def _computed_types(session: Session, columns: list[Column]) -> list[Column]:
    """The type of each computed column, from its expression over the others."""

    plain = tuple(c.result() for c in columns if c.computed is None)
    made = []
    for column in columns:
        if column.computed is not None:
            value = parse(f"SELECT {column.computed}").expressions[0]
            _, kind = session.translator({}).expr(value, Scope(sources={"t": plain}))
            column = Column(column.name, kind or SqlType("nvarchar", 4000), True, computed=column.computed)
        made.append(column)
    return made


class Key(NamedTuple):
    """A declared primary key or unique constraint: its columns, each with whether it descends."""

    primary: bool
    columns: list[tuple[str, bool]]
    label: str | None
    clustered: bool

    @classmethod
    def of(cls, label: str, columns: list[tuple[str, bool]]) -> Key:
        """The key whose constraint has this marked name."""
        name, _, flags = label.partition(MARK)
        return cls(flags[0] == "1", columns, name or None, flags[1] == "1")


def _column(item: exp.ColumnDef) -> tuple[Column, list[Key], tuple[int, int]]:
    nullable, identity, default, computed, sparse = True, False, None, None, False
    keys: list[Key] = []
    seed = (1, 1)
    for constraint in item.args.get("constraints") or []:
        kind = constraint.args.get("kind")
        label = constraint.this.name if constraint.this is not None else None
        if isinstance(kind, exp.NotNullColumnConstraint):
            nullable = bool(kind.args.get("allow_null"))
        elif isinstance(kind, exp.AutoIncrementColumnConstraint):
            identity, nullable = True, False
        elif isinstance(kind, exp.GeneratedAsIdentityColumnConstraint):
            identity, nullable = True, False
            start, step = kind.args.get("start"), kind.args.get("increment")
            seed = (int(start.sql()) if start else 1, int(step.sql()) if step else 1)
        elif isinstance(kind, exp.DefaultColumnConstraint):
            default = kind.this.sql("tsql")
        elif isinstance(kind, exp.ComputedColumnConstraint):
            computed = kind.this.sql("tsql")
        elif isinstance(kind, exp.CommentColumnConstraint):
            sparse = True
        elif isinstance(kind, exp.PrimaryKeyColumnConstraint):
            key = Key.of(label or "", [(item.name, bool(kind.args.get("desc")))])
            nullable = nullable and not key.primary
            keys.append(key)
    if item.kind is None and computed is None:
        raise SqlError(173, f"The definition for column '{item.name}' must include a data type.", 15)
    declared = data_type(item.kind) if item.kind is not None else SqlType("int")
    if declared.name == "timestamp":
        nullable = False
    return Column(item.name, declared, nullable, identity, default, computed, sparse), keys, seed


def _constraint(item: exp.Expr) -> list[Key]:
    """The keys a table constraint declares."""
    if not isinstance(item, exp.Constraint):
        return []
    return [
        Key.of(item.name, [(e.this.name, bool(e.args.get("desc"))) for e in inner.expressions])
        for inner in item.expressions
        if isinstance(inner, exp.PrimaryKey)
    ]


def _enter(session: Session, table: Table, key: Key) -> None:
    enter_index(
        session,
        table,
        key.label,
        key.columns,
        [],
        unique=True,
        primary=key.primary,
        constraint=not key.primary,
        clustered=key.clustered,
    )


def alter_table(session: Session, text: str) -> None:
    plain = _prepared(text)
    found = re.match(r"(?is)alter\s+table\s+(\S+)\s+(?:with\s+(?:no)?check\s+)?(add|drop|alter)\s+(.*)$", plain.strip())
    if found is None:
        raise syntax("ALTER")
    node = sqlglot.parse_one(found[1], into=exp.Table, read=SqlServer)
    assert isinstance(node, exp.Table)
    table = found_table(session, node)
    verb, rest = found[2].lower(), found[3].rstrip("; \n")
    if verb == "drop":
        _drop_parts(session, table, rest)
        return
    if verb == "alter":
        rest = re.sub(r"(?i)^column\s+", "", rest)
    try:
        tree = sqlglot.parse_one(f"CREATE TABLE x ({rest})", read=SqlServer)
    except SqlglotError as error:
        raise syntax(rest[:30]) from error
    for item in tree.this.expressions:
        if not isinstance(item, exp.ColumnDef):
            for key in _constraint(item):
                _enter(session, table, key)
        elif verb == "add":
            _add_column(session, table, item)
        else:
            _alter_column(session, table, item)
        table = found_table(session, node)


def _add_column(session: Session, table: Table, item: exp.ColumnDef) -> None:

    column, keys, seed = _column(item)
    if any(c.name.lower() == column.name.lower() for c in table.columns):
        raise SqlError(
            2705,
            f"Column names in each table must be unique. Column name '{column.name}' in table"
            f" '{table.name}' is specified more than once.",
        )
    column = _computed_types(session, [*table.columns, column])[-1]
    rows = session.fetch(f"SELECT count(*) FROM {table.reference}")[0][0]
    if not column.nullable and column.default is None and not column.identity and rows and column.computed is None:
        raise SqlError(
            4901,
            f"ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT"
            f" definition specified. Column '{column.name}' cannot be added to non-empty table.",
        )
    number = int(
        session.fetch(
            f"SELECT coalesce(max(column_id), 0) + 1 FROM {quoted(table.database)}.{BASE}.columns WHERE object_id = $1",
            [table.ident],
        )[0][0]
    )
    session.fetch(f"ALTER TABLE {table.reference} ADD COLUMN {quoted(column.name)} {column.type.duckdb}")
    enter_column(session, table, column, number, *seed)
    wider = Table(table.database, table.schema, table.name, table.ident, "U", (*table.columns, column))
    if not column.nullable and column.default is not None:
        made = default_value(session.translator({}), column).sql("duckdb")
        session.fetch(f"UPDATE {table.reference} SET {quoted(column.name)} = {made}")
    if column.computed is not None:
        recompute(session, wider)
    for key in keys:
        _enter(session, wider, key)


def _alter_column(session: Session, table: Table, item: exp.ColumnDef) -> None:

    column, _, _ = _column(item)
    have = next((c for c in table.columns if c.name.lower() == column.name.lower()), None)
    if have is None:
        raise SqlError(
            4924,
            f"ALTER TABLE ALTER COLUMN failed because column '{column.name}' does not exist in table '{table.name}'.",
        )
    made = assign(
        exp.column(exp.to_identifier(have.name, quoted=True)), have.type, column.type, f"column '{have.name}'"
    ).sql("duckdb")
    session.fetch(
        f"ALTER TABLE {table.reference} ALTER COLUMN {quoted(have.name)} TYPE {column.type.duckdb} USING {made}"
    )
    session.fetch(
        f"ALTER TABLE {table.reference} ALTER COLUMN {quoted(have.name)}"
        f" {'DROP' if column.nullable else 'SET'} NOT NULL"
    )
    kind = column.type
    session.fetch(
        f"UPDATE {quoted(table.database)}.{BASE}.columns SET type_name = $1, length = $2, precision = $3, scale = $4,"
        " max_length = $5, catalog_precision = $6, catalog_scale = $7, is_nullable = $8 WHERE object_id = $9"
        " AND name = $10",
        [
            kind.name,
            kind.length,
            kind.precision,
            kind.scale,
            kind.max_length,
            kind.catalog_precision,
            kind.catalog_scale,
            column.nullable,
            table.ident,
            have.name,
        ],
    )


def _drop_parts(session: Session, table: Table, rest: str) -> None:
    base = f"{quoted(table.database)}.{BASE}"
    what, _, names = rest.partition(" ")
    exists = bool(re.match(r"(?i)\s*if\s+exists\s", names))
    names = re.sub(r"(?i)^\s*if\s+exists\s+", "", names)
    for name in [n.strip().strip("[]") for n in names.split(",")]:
        if what.upper() != "COLUMN":
            label = name if what.upper() == "CONSTRAINT" else what.strip("[]")
            gone = session.fetch(
                f"SELECT index_id FROM {base}.indexes WHERE object_id = $1 AND name = $2", [table.ident, label]
            )
            if not gone and not exists:
                raise SqlError(3728, f"'{label}' is not a constraint.")
            for part in ("indexes", "index_columns"):
                for (number,) in gone:
                    session.fetch(
                        f"DELETE FROM {base}.{part} WHERE object_id = $1 AND index_id = $2", [table.ident, number]
                    )
            continue
        have = next((c for c in table.columns if c.name.lower() == name.lower()), None)
        if have is None:
            if exists:
                continue
            raise SqlError(
                4924, f"ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{table.name}'."
            )
        used = session.fetch(
            f"SELECT 1 FROM {base}.index_columns WHERE object_id = $1 AND column_id = $2", [table.ident, have.ident]
        )
        if used:
            raise SqlError(
                4922,
                f"ALTER TABLE DROP COLUMN {have.name} failed because one or more objects access this column.",
                16,
                9,
            )
        session.fetch(f"ALTER TABLE {table.reference} DROP COLUMN {quoted(have.name)}")
        session.fetch(f"DELETE FROM {base}.columns WHERE object_id = $1 AND column_id = $2", [table.ident, have.ident])
