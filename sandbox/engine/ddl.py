"""CREATE, ALTER and DROP of databases, schemas, tables, indexes and views; logins' rights."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..tds.errors import SqlError, no_column, syntax
from ..tds.types import SqlType
from . import catalog, results
from .catalog import BASE, Column, Table, quoted
from .declared import data_type
from .translate import parse

if TYPE_CHECKING:
    from .session import Session, Sink

# What sqlglot does not read and what means nothing to the stand-in.
DROPPED = re.compile(
    r"\b(ROWGUIDCOL|NOT\s+FOR\s+REPLICATION|FILESTREAM|PERSISTED(?:\s+NOT\s+NULL)?)\b|\bON\s+\[PRIMARY\]"
    r"|\bTEXTIMAGE_ON\s+\[?PRIMARY\]?|\)\s*WITH\s*\([^)]*\)(?=\s*[,)])|\bCOLLATE\s+\w+",
    re.IGNORECASE,
)


def run(session: Session, word: str, text: str, sink: Sink) -> None:
    words = re.sub(r"\s+", " ", text.strip()).upper().split(" ")
    what = words[1]
    if what in ("UNIQUE", "CLUSTERED", "NONCLUSTERED"):
        what = "INDEX"
    if word in ("GRANT", "DENY", "REVOKE"):
        session.write(lambda: _rights(session, word, text))
    elif what == "DATABASE":
        _database(session, word, text)
    elif what == "SCHEMA":
        session.write(lambda: _schema(session, word, text))
    elif what in ("LOGIN", "USER"):
        raise SqlError(15247, "User does not have permission to perform this action.")
    elif word == "CREATE" and what == "TABLE":
        session.write(lambda: _create_table(session, text))
    elif word == "CREATE" and what == "INDEX":
        session.write(lambda: _create_index(session, text))
    elif what == "VIEW" or (what == "OR" and "VIEW" in words[2:5]):
        session.write(lambda: _drop(session, text, "V") if word == "DROP" else _create_view(session, word, text))
    elif word == "DROP" and what == "TABLE":
        session.write(lambda: _drop(session, text, "U"))
    elif word == "DROP" and what == "INDEX":
        session.write(lambda: _drop_index(session, text))
    elif word == "ALTER" and what == "TABLE":
        session.write(lambda: _alter_table(session, text))
    else:
        raise syntax(what)
    sink.done(None)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def _names(session: Session, node: exp.Table) -> tuple[str, str, str]:
    database = session.instance.name_of(node.catalog or session.database)
    if database is None:
        raise SqlError(2702, f"Database '{node.catalog}' does not exist.")
    schema = node.db or "dbo"
    known = session.fetch(
        f"SELECT name FROM {quoted(database)}.{BASE}.schemas WHERE lower(name) = $1", [schema.lower()]
    )
    if not known:
        raise SqlError(
            2760, f'The specified schema name "{schema}" either does not exist or you do not have permission to use it.'
        )
    return database, known[0][0], node.name


def _next_id(session: Session, database: str) -> int:
    base = f"{quoted(database)}.{BASE}.counters"
    session.fetch(f"UPDATE {base} SET value = value + 16000057 WHERE name = 'object_id'")
    value = int(session.fetch(f"SELECT value FROM {base} WHERE name = 'object_id'")[0][0])
    return value % 2_147_483_647


def register(session: Session, node: exp.Table, kind: str, columns: list[Column], definition: str | None) -> Table:
    """Enter a table or view in the catalog and, for a table, make DuckDB's."""
    database, schema, name = _names(session, node)
    if catalog.find(session.cursor, database, schema, name):
        raise SqlError(2714, f"There is already an object named '{name}' in the database.", 16, 6)
    if not session.administrator:
        raise SqlError(262, f"CREATE TABLE permission denied in database '{database}'.", 14)
    ident = _next_id(session, database)
    base = f"{quoted(database)}.{BASE}"
    session.fetch(
        f"INSERT INTO {base}.objects SELECT $1, $2, schema_id, 0, $3, $4, $4, $5 FROM {base}.schemas WHERE name = $6",
        [ident, name, kind, _now(), definition, schema],
    )
    made = Table(database, schema, name, ident, kind, tuple(columns))
    for number, column in enumerate(columns, 1):
        _enter_column(session, made, column, number)
    if kind == "U":
        listed = ", ".join(f"{quoted(c.name)} {c.type.duckdb}{'' if c.nullable else ' NOT NULL'}" for c in columns)
        session.fetch(f"CREATE TABLE {made.reference} ({listed})")
    return made


def _enter_column(session: Session, table: Table, column: Column, number: int, seed: int = 1, step: int = 1) -> None:
    kind = column.type
    session.fetch(
        f"INSERT INTO {quoted(table.database)}.{BASE}.columns VALUES"
        " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, NULL, $16, $17, NULL)",
        [
            table.ident,
            number,
            column.name,
            kind.name,
            kind.length,
            kind.precision,
            kind.scale,
            kind.max_length,
            kind.catalog_precision,
            kind.catalog_scale,
            column.nullable,
            column.identity,
            column.sparse,
            column.default,
            column.computed,
            seed if column.identity else None,
            step if column.identity else None,
        ],
    )


def _prepared(text: str) -> str:
    """The statement in words sqlglot reads; SPARSE survives as a comment constraint."""
    plain = re.sub(r"\bSPARSE\b", "COMMENT 'sparse'", text, flags=re.IGNORECASE)
    return DROPPED.sub(lambda m: ")" if m[0].startswith(")") else " ", plain)


def _create_table(session: Session, text: str) -> None:
    tree = parse(_prepared(text))
    assert isinstance(tree, exp.Create)
    schema = tree.this
    columns, keys, seeds = [], [], {}
    for item in schema.expressions:
        if isinstance(item, exp.ColumnDef):
            column, key, seed = _column(item)
            columns.append(column)
            keys += key
            seeds[column.name] = seed
        else:
            keys += _constraint(item)
    required = {n.lower() for primary, names, _ in keys if primary for n, _ in names}
    columns = [
        Column(c.name, c.type, False, c.identity, c.default, c.computed, c.sparse) if c.name.lower() in required else c
        for c in columns
    ]
    columns = _computed_types(session, columns)
    table = register(session, schema.this, "U", columns, None)
    for name, (seed, step) in seeds.items():
        session.fetch(
            f"UPDATE {quoted(table.database)}.{BASE}.columns SET seed = $1, increment = $2 WHERE object_id ="
            " $3 AND name = $4 AND is_identity",
            [seed, step, table.ident, name],
        )
    for primary, names, label in sorted(keys, key=lambda k: not k[0]):
        _enter_index(
            session, table, label, names, [], unique=True, primary=primary, constraint=not primary, clustered=primary
        )


def _computed_types(session: Session, columns: list[Column]) -> list[Column]:
    """The type of each computed column, from its expression over the others."""
    from .translate import Scope

    plain = tuple(c.result() for c in columns if c.computed is None)
    made = []
    for column in columns:
        if column.computed is not None:
            value = parse(f"SELECT {column.computed}").expressions[0]
            _, kind = session.translator({}).expr(value, Scope(sources={"t": plain}))
            column = Column(column.name, kind or SqlType("nvarchar", 4000), True, computed=column.computed)
        made.append(column)
    return made


Key = tuple[bool, list[tuple[str, bool]], "str | None"]


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
            nullable = False
            keys.append((True, [(item.name, bool(kind.args.get("desc")))], label))
        elif isinstance(kind, exp.UniqueColumnConstraint):
            keys.append((False, [(item.name, False)], label))
    if item.kind is None and computed is None:
        raise SqlError(173, f"The definition for column '{item.name}' must include a data type.", 15)
    declared = data_type(item.kind) if item.kind is not None else SqlType("int")
    if declared.name == "timestamp":
        nullable = False
    return Column(item.name, declared, nullable, identity, default, computed, sparse), keys, seed


def _constraint(item: exp.Expr) -> list[Key]:
    if isinstance(item, exp.Constraint):
        found = [k for inner in item.expressions for k in _constraint(inner)]
        return [(primary, names, item.name) for primary, names, _ in found]
    if isinstance(item, exp.PrimaryKey | exp.UniqueColumnConstraint | exp.PrimaryKeyColumnConstraint):
        listed = item.expressions or (item.this.expressions if isinstance(item.this, exp.Schema | exp.Tuple) else [])
        names = [
            (
                e.this.name if isinstance(e, exp.Ordered) else e.name,
                bool(isinstance(e, exp.Ordered) and e.args.get("desc")),
            )
            for e in listed
        ]
        return [(not isinstance(item, exp.UniqueColumnConstraint), names, None)] if names else []
    return []


def _enter_index(
    session: Session,
    table: Table,
    label: str | None,
    names: list[tuple[str, bool]],
    included: list[str],
    *,
    unique: bool,
    primary: bool = False,
    constraint: bool = False,
    clustered: bool = False,
) -> None:
    base = f"{quoted(table.database)}.{BASE}"
    by_name = {c.name.lower(): n for n, c in enumerate(table.columns, 1)}
    for name in [n for n, _ in names] + included:
        if name.lower() not in by_name:
            raise no_column(name)
    clash = session.fetch(
        f"SELECT 1 FROM {base}.indexes WHERE object_id = $1 AND name = $2", [table.ident, label or ""]
    )
    if clash:
        raise SqlError(
            1913,
            f"The operation failed because an index or statistics with name '{label}' already exists"
            f" on table '{table.name}'.",
        )
    number = (
        1
        if clustered
        else int(
            session.fetch(
                f"SELECT greatest(coalesce(max(index_id), 1), 1) + 1 FROM {base}.indexes WHERE object_id = $1",
                [table.ident],
            )[0][0]
        )
    )
    made = label or f"{'PK' if primary else 'UQ'}__{table.name[:9]}__{table.ident * 7919 % 2**32:08X}"
    session.fetch(
        f"INSERT INTO {base}.indexes VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [table.ident, number, made, 1 if clustered else 2, unique, primary, constraint],
    )
    for place, (name, descending) in enumerate([*names, *[(n, False) for n in included]], 1):
        extra = place > len(names)
        session.fetch(
            f"INSERT INTO {base}.index_columns VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [table.ident, number, place, by_name[name.lower()], 0 if extra else place, descending, extra],
        )
    if unique:
        listed = ", ".join(quoted(n) for n, _ in names)
        if session.fetch(f"SELECT 1 FROM {table.reference} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"):
            raise SqlError(
                1505,
                f"The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for"
                f" the object name '{table.schema}.{table.name}' and the index name '{made}'.",
            )


def _found(session: Session, node: exp.Table, number: int = 4902) -> Table:
    database, schema, name = _names(session, node)
    table = catalog.find(session.cursor, database, schema, name)
    if table is None:
        raise SqlError(
            number, f'Cannot find the object "{name}" because it does not exist or you do not have permissions.'
        )
    return table


def _create_index(session: Session, text: str) -> None:
    tree = parse(
        re.sub(r"\s+WITH\s*\([^)]*\)|\s+ON\s+\[PRIMARY\]|\s+WHERE\s.*$", "", text, flags=re.IGNORECASE | re.DOTALL)
    )
    assert isinstance(tree, exp.Create)
    index = tree.this
    params = index.args["params"]
    names = [
        (o.this.name, bool(o.args.get("desc"))) if isinstance(o, exp.Ordered) else (o.name, False)
        for o in params.args["columns"]
    ]
    included = [i.name for i in params.args.get("include") or []]
    clustered = bool(re.search(r"(?i)(?<!NON)\bCLUSTERED\b", text.split("(")[0]))
    _enter_index(
        session,
        _found(session, index.args["table"], 1088),
        index.name,
        names,
        included,
        unique=bool(tree.args.get("unique")),
        clustered=clustered,
    )


def _drop_index(session: Session, text: str) -> None:
    found = re.match(r"(?is)drop\s+index\s+(if\s+exists\s+)?(\S+)\s+on\s+(\S+)", text.strip())
    if found is None:
        raise syntax("INDEX")
    table = session.translator({}).named(found[3].rstrip(";"))
    name = found[2].strip("[]")
    gone = table is not None and session.fetch(
        f"SELECT index_id FROM {quoted(table.database)}.{BASE}.indexes WHERE object_id = $1 AND name = $2",
        [table.ident, name],
    )
    if not gone:
        if found[1]:
            return
        raise SqlError(
            3701,
            f"Cannot drop the index '{found[3]}.{name}', because it does not exist or you do not have permission.",
            11,
        )
    assert table is not None
    for part in ("indexes", "index_columns"):
        session.fetch(
            f"DELETE FROM {quoted(table.database)}.{BASE}.{part} WHERE object_id = $1 AND index_id = $2",
            [table.ident, gone[0][0]],
        )


def _create_view(session: Session, word: str, text: str) -> None:
    found = re.match(
        r"(?is)\s*(create\s+or\s+alter|create|alter)\s+view\s+(.+?)\s*(\(([^()]*)\))?"
        r"(?:\s+with\s+schemabinding)?\s+as\s+(.*)$",
        text,
    )
    if found is None:
        raise syntax("VIEW")
    node = sqlglot.parse_one(found[2], into=exp.Table, read="tsql")
    assert isinstance(node, exp.Table)
    from .script import PREFIX

    body = found[5].rstrip("; \n")
    translator, query = session.translated(body, {})
    relation = session.cursor.sql(f"SELECT * FROM ({query.sql}) LIMIT 0", params=translator.used or None)
    columns = results.columns(query.columns, relation.to_arrow_table().schema)
    names = [n.strip().strip("[]") for n in found[4].split(",")] if found[4] else [c.name for c in columns]
    if not all(names):
        raise SqlError(4511, "Create View or Function failed because no column name was specified for a column.")
    if "alter" in found[1].lower() and session.translator({}).named(found[2]):
        _drop(session, f"DROP VIEW {found[2]}", "V")
    table = register(
        session,
        node,
        "V",
        [Column(n, c.type, c.nullable) for n, c in zip(names, columns, strict=True)],
        text.replace(PREFIX, ""),
    )
    listed = ", ".join(map(quoted, names))
    session.fetch(f"CREATE VIEW {table.reference} ({listed}) AS {query.sql}")


def _drop(session: Session, text: str, kind: str) -> None:
    found = re.match(r"(?is)drop\s+(?:table|view)\s+(if\s+exists\s+)?(.*)$", text.strip().rstrip(";"))
    if found is None:
        raise syntax("DROP")
    for name in found[2].split(","):
        table = session.translator({}).named(name.strip())
        if table is None or table.kind != kind:
            if found[1]:
                continue
            what = "table" if kind == "U" else "view"
            raise SqlError(
                3701,
                f"Cannot drop the {what} '{name.strip()}', because it does not exist or you do not have permission.",
                11,
                5,
            )
        base = f"{quoted(table.database)}.{BASE}"
        session.fetch(f"DROP {'TABLE' if kind == 'U' else 'VIEW'} {table.reference}")
        for part in ("objects", "columns", "indexes", "index_columns", "permissions"):
            session.fetch(f"DELETE FROM {base}.{part} WHERE object_id = $1", [table.ident])


def _alter_table(session: Session, text: str) -> None:
    plain = _prepared(text)
    found = re.match(r"(?is)alter\s+table\s+(\S+)\s+(?:with\s+(?:no)?check\s+)?(add|drop|alter)\s+(.*)$", plain.strip())
    if found is None:
        raise syntax("ALTER")
    node = sqlglot.parse_one(found[1], into=exp.Table, read="tsql")
    assert isinstance(node, exp.Table)
    table = _found(session, node)
    verb, rest = found[2].lower(), found[3].rstrip("; \n")
    if verb == "drop":
        _drop_parts(session, table, rest)
        return
    if verb == "alter":
        rest = re.sub(r"(?i)^column\s+", "", rest)
    try:
        tree = sqlglot.parse_one(f"CREATE TABLE x ({rest})", read="tsql")
    except SqlglotError as error:
        raise syntax(rest[:30]) from error
    for item in tree.this.expressions:
        if not isinstance(item, exp.ColumnDef):
            for primary, names, label in _constraint(item):
                _enter_index(
                    session,
                    table,
                    label,
                    names,
                    [],
                    unique=True,
                    primary=primary,
                    constraint=not primary,
                    clustered=primary,
                )
        elif verb == "add":
            _add_column(session, table, item)
        else:
            _alter_column(session, table, item)
        table = _found(session, node)


def _add_column(session: Session, table: Table, item: exp.ColumnDef) -> None:
    from .dml import _default, _recompute

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
    _enter_column(session, table, column, number, *seed)
    wider = Table(table.database, table.schema, table.name, table.ident, "U", (*table.columns, column))
    if not column.nullable and column.default is not None:
        made = _default(session.translator({}), column).sql("duckdb")
        session.fetch(f"UPDATE {table.reference} SET {quoted(column.name)} = {made}")
    if column.computed is not None:
        _recompute(session, wider)
    for primary, names, label in keys:
        _enter_index(session, wider, label, names, [], unique=True, primary=primary, constraint=not primary)


def _alter_column(session: Session, table: Table, item: exp.ColumnDef) -> None:
    from .convert import assign

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


def _schema(session: Session, word: str, text: str) -> None:
    name = text.split()[2].strip('[]";')
    base = f"{quoted(session.database)}.{BASE}"
    known = session.fetch(f"SELECT schema_id FROM {base}.schemas WHERE lower(name) = $1", [name.lower()])
    if word == "CREATE":
        if known:
            raise SqlError(2714, f"There is already an object named '{name}' in the database.", 16, 6)
        session.fetch(f"CREATE SCHEMA {quoted(session.database)}.{quoted(name)}")
        session.fetch(f"INSERT INTO {base}.schemas SELECT max(schema_id) + 1, $1 FROM {base}.schemas", [name])
        return
    if not known:
        raise SqlError(
            15151, f"Cannot drop the schema '{name}', because it does not exist or you do not have permission."
        )
    if session.fetch(f"SELECT 1 FROM {base}.objects WHERE schema_id = $1", [known[0][0]]):
        raise SqlError(3729, f"Cannot drop schema '{name}' because it is being referenced by an object.")
    session.fetch(f"DROP SCHEMA {quoted(session.database)}.{quoted(name)}")
    session.fetch(f"DELETE FROM {base}.schemas WHERE schema_id = $1", [known[0][0]])


def _database(session: Session, word: str, text: str) -> None:
    if not session.administrator:
        raise SqlError(262, "CREATE DATABASE permission denied in database 'master'.", 14)
    found = re.match(r"(?is)\w+\s+database\s+(if\s+exists\s+)?(\[[^\]]+\]|\"[^\"]+\"|[\w$#@]+)\s*(.*)$", text.strip())
    if found is None:
        raise syntax("DATABASE")
    name, rest = found[2].strip('[]"'), found[3].upper()
    if word == "CREATE":
        session.instance.create_database(name)
        return
    if word == "DROP":
        if not (found[1] and not session.instance.has(name)):
            session.instance.drop_database(name)
        return
    real = session.database if name.upper() == "CURRENT" else session.instance.name_of(name)
    if real is None:
        raise SqlError(
            5011, f"User does not have permission to alter database '{name}', the database does not exist.", 14
        )
    for option, field in (
        ("ALLOW_SNAPSHOT_ISOLATION", "snapshot"),
        ("READ_COMMITTED_SNAPSHOT", "read_committed_snapshot"),
    ):
        if option in rest:
            state = "true" if re.search(option + r"\s+ON", rest) else "false"
            session.fetch(f"UPDATE memory.main.databases SET {field} = {state} WHERE name = $1", [real])


def _rights(session: Session, word: str, text: str) -> None:
    """GRANT, DENY and REVOKE of rights on one table, or on the database when no object is named."""
    found = re.match(r"(?is)\w+\s+(.+?)(?:\s+on\s+(?:object\s*::\s*)?(\S+))?\s+(?:to|from)\s+(\S+)", text.strip())
    if found is None:
        raise syntax(word)
    if not session.administrator:
        raise SqlError(15151, "Cannot find the object, because it does not exist or you do not have permission.")
    table = session.translator({}).named(found[2]) if found[2] else None
    if found[2] and table is None and not found[2].lower().startswith("schema"):
        raise SqlError(
            15151, f"Cannot find the object '{found[2]}', because it does not exist or you do not have permission."
        )
    login, base = found[3].strip('[]";'), f"{quoted(session.database)}.{BASE}.permissions"
    for verb in found[1].upper().split(","):
        place = [login, verb.strip(), table.ident if table else 0]
        session.fetch(f"DELETE FROM {base} WHERE lower(login) = lower($1) AND verb = $2 AND object_id = $3", place)
        if word != "REVOKE":
            session.fetch(f"INSERT INTO {base} VALUES ($1, $2, $3, '{word}')", place)
