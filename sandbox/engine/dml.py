"""INSERT, UPDATE, DELETE, TRUNCATE and SELECT INTO.

Identity values, defaults, computed columns and rowversions are the stand-in's own work: DuckDB's table holds
only the columns, so that every rule of T-SQL is applied in one place, here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..tds.errors import SqlError, no_column, no_object, syntax
from ..tds.tokens import ResultColumn
from ..tds.types import SqlType
from . import catalog, results
from .catalog import BASE, Column, Table, quoted
from .convert import Node, assign, convert
from .declared import UNKNOWN
from .translate import Scope, Translator, Variable, parse

if TYPE_CHECKING:
    from .session import Session, Sink

Variables = dict[str, Variable]
LOCAL_ROWS = 36_028_797_018_960_000
"""DuckDB's first row id for rows that are not committed yet."""


def run(session: Session, word: str, text: str, scope: Variables, sink: Sink) -> None:
    if word == "TRUNCATE":
        name = re.sub(r"(?i)^truncate\s+table\s+", "", text).rstrip("; \n")
        _truncate(session, session.translator(scope).named(name), name, sink)
        return
    if word == "MERGE":
        raise SqlError(50000, "MERGE is not answered by the stand-in.")
    top = re.match(r"\s*(UPDATE|DELETE)\s+TOP\s*\(([^)]*)\)", text, re.IGNORECASE)
    if top:
        text = top[1] + text[top.end() :]
    run_tree(session, parse(text), scope, sink, top[2] if top else None)


def run_tree(session: Session, tree: exp.Expr, scope: Variables, sink: Sink, top: str | None) -> None:
    if isinstance(tree, exp.Insert):
        count = session.write(lambda: _insert(session, tree, scope, sink))
    elif isinstance(tree, exp.Update):
        count = session.write(lambda: _update(session, tree, scope, sink, top))
    elif isinstance(tree, exp.Delete):
        count = session.write(lambda: _delete(session, tree, scope, sink, top))
    else:
        raise syntax(tree.key.upper())
    session.rowcount = count
    sink.done(count)


def _changed(session: Session, sql: str, used: dict[str, Any]) -> int:
    rows = session.cursor.execute(sql, used or None).fetchall()
    return int(rows[0][0]) if rows else 0


def _table(tr: Translator, node: exp.Table, verb: str) -> Table:
    name = node.db or "dbo"
    database = tr.database_name(node.catalog or tr.database)
    found = catalog.find(tr.cursor, database, name, node.name) if database else None
    if found is None:
        raise no_object(".".join(p for p in (node.catalog, node.db, node.name) if p))
    if found.kind != "U":
        raise SqlError(4406, f"Update or insert of view or function '{found.name}' failed because it is not a table.")
    tr.check(verb, found)
    return found


def _column(table: Table, name: str) -> Column:
    for column in table.columns:
        if column.name.lower() == name.lower():
            return column
    raise no_column(name)


def stage_name(session: Session) -> str:
    return f'temp.main."staged_{session.spid}"'


# INSERT


def _insert(session: Session, tree: exp.Insert, scope: Variables, sink: Sink) -> int:
    tr = session.translator(scope)
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    table = _table(tr, target, "INSERT")
    explicit = session.identity_insert == table.name.lower()
    if isinstance(tree.this, exp.Schema) and tree.this.expressions:
        given = [_column(table, e.name) for e in tree.this.expressions]
    else:
        given = [
            c
            for c in table.columns
            if (explicit or not c.identity) and c.computed is None and c.type.name != "timestamp"
        ]
    for column in given:
        if column.identity and not explicit:
            raise SqlError(
                544,
                f"Cannot insert explicit value for identity column in table '{table.name}' when"
                " IDENTITY_INSERT is set to OFF.",
            )
        if column.computed is not None:
            raise SqlError(271, f'The column "{column.name}" cannot be modified because it is a computed column.')
        if column.type.name == "timestamp":
            raise SqlError(273, "Cannot insert an explicit value into a timestamp column.")
    source = _source(tr, tree, table, given)
    select = _filled(session, tr, table, given, source)
    keys = _unique_keys(session, table, {c.name for c in given})
    returning = tree.args.get("returning")
    if not keys and returning is None:
        count = _changed(session, f"INSERT INTO {table.reference} {select}", tr.used)
    else:
        stage = stage_name(session)
        session.fetch(f"CREATE OR REPLACE TEMP TABLE {stage.split('.')[-1]} AS {select}", tr.used or None)
        _check_keys(session, table, keys, stage)
        count = _changed(session, f"INSERT INTO {table.reference} FROM {stage}", {})
        if returning is not None:
            _output(session, tr, returning, table, {"inserted": stage}, sink)
    _advance(session, table, count)
    return count


def _source(tr: Translator, tree: exp.Insert, table: Table, given: list[Column]) -> str:
    """The rows to insert as a FROM item `q` with one column per given column, already of its type."""
    names = ", ".join(quoted(c.name) for c in given)
    source = tree.expression
    if isinstance(source, exp.Values):
        rows = []
        for row in source.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            if len(cells) != len(given):
                more = "more" if len(cells) < len(given) else "fewer"
                raise SqlError(
                    109 if more == "more" else 110,
                    f"There are {more} columns in the INSERT statement than values specified in the VALUES clause.",
                    15,
                )
            made = [_cell(tr, table, c, cell) for c, cell in zip(given, cells, strict=True)]
            rows.append("(" + ", ".join(m.sql("duckdb") for m in made) + ")")
        return f"(VALUES {', '.join(rows)}) q({names})"
    if source is None:
        return "(SELECT 1) q"
    query = tr.query(source)
    if len(query.columns) != len(given):
        raise SqlError(
            121,
            "The select list for the INSERT statement contains a different number of items than the insert list.",
            15,
        )
    cells = [
        assign(exp.column(f"c{i}", "r"), _known(have), want.type, f"table '{table.name}', column '{want.name}'")
        for i, (have, want) in enumerate(zip(query.columns, given, strict=True))
    ]
    inner = ", ".join(f"c{i}" for i in range(len(given)))
    listed = ", ".join(f"{cell.sql('duckdb')} AS {quoted(c.name)}" for cell, c in zip(cells, given, strict=True))
    return f"(SELECT {listed} FROM ({query.sql}) r({inner})) q"


def _known(column: ResultColumn) -> SqlType | None:
    return None if column.type is UNKNOWN else column.type


def _cell(tr: Translator, table: Table, column: Column, cell: exp.Expr) -> Node:
    if (isinstance(cell, exp.Var | exp.Column) and cell.name.upper() == "DEFAULT") or cell.key == "default":
        return default_value(tr, column)
    value, kind = tr.expr(cell, Scope())
    return (
        convert(
            assign(value, kind, column.type, f"table '{table.name}', column '{column.name}'"), column.type, column.type
        )
        if isinstance(value, exp.Null)
        else assign(value, kind, column.type, f"table '{table.name}', column '{column.name}'")
    )


def default_value(tr: Translator, column: Column) -> Node:
    if column.default is None:
        return convert(exp.Null(), None, column.type)
    value, kind = tr.expr(parse(f"SELECT {column.default}").expressions[0], Scope())
    return assign(value, kind, column.type, f"column '{column.name}'")


def _filled(session: Session, tr: Translator, table: Table, given: list[Column], source: str) -> str:
    """SELECT of every column of the table from the given ones."""
    have = {c.name for c in given}
    items = []
    inner = Scope(sources={"q": tuple(c.result() for c in given)})
    for column in table.columns:
        if column.name in have:
            made = f"q.{quoted(column.name)}"
        elif column.identity:
            last, step = _identity(session, table)
            made = f"CAST({last} + {step} * row_number() OVER () AS {column.type.duckdb})"
        elif column.type.name == "timestamp":
            made = f"big_endian({_counter(session, table)} + row_number() OVER (), 8)"
        elif column.computed is not None:
            value, kind = tr.expr(parse(f"SELECT {column.computed}").expressions[0], inner)
            made = convert(value, kind, column.type).sql("duckdb")
        else:
            made = default_value(tr, column).sql("duckdb")
        items.append(f"{made} AS {quoted(column.name)}")
    return f"SELECT {', '.join(items)} FROM {source}"


def _identity(session: Session, table: Table) -> tuple[int, int]:
    rows = session.fetch(
        f"SELECT coalesce(last_value, seed - increment), increment FROM {quoted(table.database)}.{BASE}.columns"
        " WHERE object_id = $1 AND is_identity",
        [table.ident],
    )
    return rows[0]  # type: ignore[no-any-return]


def _counter(session: Session, table: Table) -> int:
    found = session.fetch(f"SELECT value FROM {quoted(table.database)}.{BASE}.counters WHERE name = 'rowversion'")
    return int(found[0][0])


def _advance(session: Session, table: Table, count: int) -> None:
    """Move the identity and rowversion counters past what a statement used."""
    base = f"{quoted(table.database)}.{BASE}"
    identity = next((c for c in table.columns if c.identity), None)
    if identity is not None and count:
        if session.identity_insert == table.name.lower():
            highest = f"(SELECT max({quoted(identity.name)}) FROM {table.reference})"
            session.fetch(
                f"UPDATE {base}.columns SET last_value = {highest} WHERE object_id = {table.ident} AND is_identity"
            )
        else:
            session.fetch(
                f"UPDATE {base}.columns SET last_value = coalesce(last_value, seed - increment)"
                f" + increment * {count} WHERE object_id = {table.ident} AND is_identity"
            )
        session.identity = _identity(session, table)[0]
    if any(c.type.name == "timestamp" for c in table.columns):
        session.fetch(f"UPDATE {base}.counters SET value = value + {count} WHERE name = 'rowversion'")


def _unique_keys(session: Session, table: Table, given: set[str]) -> list[tuple[str, bool, list[str]]]:
    """Unique indexes a statement that sets `given` could break: name, whether a constraint, columns."""
    base = f"{quoted(table.database)}.{BASE}"
    rows = session.fetch(
        f"SELECT i.name, i.is_primary_key OR i.is_unique_constraint, list(c.name ORDER BY x.key_ordinal)"
        f" FROM {base}.indexes i JOIN {base}.index_columns x ON x.object_id = i.object_id AND x.index_id = i.index_id"
        f" AND NOT x.is_included_column JOIN {base}.columns c ON c.object_id = i.object_id"
        " AND c.column_id = x.column_id WHERE i.object_id = $1 AND i.is_unique GROUP BY ALL",
        [table.ident],
    )
    return [(name, constraint, names) for name, constraint, names in rows if given & set(names)]


def _check_keys(session: Session, table: Table, keys: list[tuple[str, bool, list[str]]], stage: str) -> None:
    for name, constraint, names in keys:
        listed = ", ".join(map(quoted, names))
        same = " AND ".join(f"t.{quoted(n)} IS NOT DISTINCT FROM s.{quoted(n)}" for n in names)
        twice = session.fetch(
            f"SELECT 1 WHERE EXISTS (SELECT 1 FROM {stage} GROUP BY {listed} HAVING count(*) > 1)"
            f" OR EXISTS (SELECT 1 FROM {table.reference} t JOIN {stage} s ON {same})"
        )
        if twice:
            raise _duplicate(table, name, constraint)


def _duplicate(table: Table, name: str, constraint: bool) -> SqlError:
    where = f"'{table.schema}.{table.name}'"
    if constraint:
        return SqlError(
            2627,
            f"Violation of PRIMARY KEY or UNIQUE KEY constraint '{name}'. Cannot insert duplicate key"
            f" in object {where}.",
            14,
        )
    return SqlError(2601, f"Cannot insert duplicate key row in object {where} with unique index '{name}'.", 14)


def _output(
    session: Session, tr: Translator, returning: exp.Expr, table: Table, images: dict[str, str], sink: Sink
) -> None:
    """OUTPUT: `inserted` and `deleted` are staged images of the rows."""
    columns = tuple(c.result() for c in table.columns)
    tree = exp.Select(expressions=returning.expressions)
    scope = Scope(sources=dict.fromkeys(images, columns))
    items, described = tr.items(tree, scope)
    froms = [f"{stage} AS {quoted(alias)}" for alias, stage in images.items()]
    joined = froms[0] if len(froms) == 1 else f"{froms[0]} POSITIONAL JOIN {froms[1]}"
    listed = ", ".join(i.sql("duckdb") for i in items)
    arrow = session.cursor.sql(f"SELECT {listed} FROM {joined}", params=tr.used or None).to_arrow_table()
    sink.rows(results.columns(described, arrow.schema), arrow.to_batches())


# UPDATE and DELETE


def _target(tr: Translator, tree: exp.Update | exp.Delete, verb: str) -> tuple[Table, str, str | None]:
    """The table, the name its columns go by, and the FROM clause when there is one."""
    from_ = tree.args.get("from_")
    named = tree.this
    if from_ is None and isinstance(tree, exp.Delete) and tree.args.get("using"):
        from_ = exp.From(this=tree.args["using"][0])
    if from_ is None and isinstance(tree, exp.Delete) and tree.args.get("tables"):
        named, from_ = tree.args["tables"][0], exp.From(this=tree.this)
    if from_ is None:
        return _table(tr, named, verb), (named.alias or named.name).lower(), None
    sources = [from_.this, *[j.this for j in (from_.this.args.get("joins") or [])]]
    real = next(
        (s for s in sources if isinstance(s, exp.Table) and s.alias_or_name.lower() == named.name.lower()), None
    )
    table = _table(tr, real if real is not None else named, verb)
    return table, named.name.lower(), "from"


def _joined(tr: Translator, tree: exp.Update | exp.Delete, alias: str) -> exp.Select:
    """The FROM and WHERE of an UPDATE or DELETE as a SELECT of the target's rows."""
    from_ = tree.args.get("from_")
    if from_ is None:
        tables = tree.args.get("using")
        from_ = exp.From(this=tables[0] if tables else tree.this)
    joins = from_.this.args.get("joins") or []
    from_.this.set("joins", None)
    if tree.args.get("joins"):
        joins = [*joins, *tree.args["joins"]]
    return exp.Select(expressions=[], from_=from_, joins=joins, where=tree.args.get("where"))


def _staged(
    session: Session,
    tr: Translator,
    tree: exp.Update | exp.Delete,
    table: Table,
    alias: str,
    top: str | None,
    sets: list[tuple[Column, exp.Expr]],
) -> None:
    """Stage the target's row ids and new values: the form that any FROM, TOP or OUTPUT can take."""
    select = _joined(tr, tree, alias)
    scope = Scope()
    select.args["from_"].set("this", tr.source(select.args["from_"].this, scope))
    for join in select.args.get("joins") or []:
        join.set("this", tr.source(join.this, scope))
        if join.args.get("on") is not None:
            join.set("on", tr.expr(join.args["on"], scope)[0])
    where = select.args.get("where")
    if where is not None:
        where.set("this", tr.expr(where.this, scope)[0])
    items = [f"{quoted(alias)}.rowid AS rid"]
    for index, (column, value) in enumerate(sets):
        made, kind = tr.expr(value, scope)
        items.append(f"{assign(made, kind, column.type, f'column {column.name}').sql('duckdb')} AS c{index}")
    select.set("expressions", [exp.Var(this=", ".join(items))])
    limit = f" LIMIT {session.value(top, tr.variables)}" if top else ""
    stage = stage_name(session).split(".")[-1]
    session.fetch(
        f"CREATE OR REPLACE TEMP TABLE {stage} AS SELECT DISTINCT ON (rid) * FROM ({select.sql('duckdb')}){limit}",
        tr.used or None,
    )


def _update(session: Session, tree: exp.Update, scope: Variables, sink: Sink, top: str | None) -> int:
    tr = session.translator(scope)
    table, alias, joined = _target(tr, tree, "UPDATE")
    sets = [(_column(table, e.this.name), e.expression) for e in tree.expressions]
    for column, _ in sets:
        if column.identity:
            raise SqlError(8102, f"Cannot update identity column '{column.name}'.")
        if column.computed is not None or column.type.name == "timestamp":
            raise SqlError(271, f'The column "{column.name}" cannot be modified because it is a computed column.')
    returning = tree.args.get("returning")
    keys = _unique_keys(session, table, {c.name for c, _ in sets})
    if joined or top or returning is not None:
        _staged(session, tr, tree, table, alias, top, sets)
        stage = stage_name(session)
        before = f'{stage[:-1]}_before"'
        image = f"CREATE OR REPLACE TEMP TABLE {{}} AS SELECT t.* FROM {table.reference} t JOIN {stage} s ON t.rowid"
        if returning is not None:
            session.fetch(image.format(before.split(".")[-1]) + " = s.rid ORDER BY s.rid")
        listed = ", ".join(f"{quoted(c.name)} = s.c{i}" for i, (c, _) in enumerate(sets))
        listed += _version(session, table, "s.rid")
        count = _changed(
            session, f"UPDATE {table.reference} AS t SET {listed} FROM {stage} s WHERE t.rowid = s.rid", {}
        )
        if returning is not None:
            after = f'{stage[:-1]}_after"'
            session.fetch(image.format(after.split(".")[-1]) + " = s.rid ORDER BY s.rid")
            _output(session, tr, returning, table, {"inserted": after, "deleted": before}, sink)
    else:
        inner = Scope(sources={alias: tuple(c.result() for c in table.columns)})
        parts = []
        for column, value in sets:
            made, kind = (
                (default_value(tr, column), column.type)
                if value.name.upper() == "DEFAULT" and isinstance(value, exp.Var | exp.Column)
                else tr.expr(value, inner)
            )
            cell = assign(made, kind, column.type, f"table '{table.name}', column '{column.name}'")
            parts.append(f"{quoted(column.name)} = {cell.sql('duckdb')}")
        where = tree.args.get("where")
        condition = f" WHERE {tr.expr(where.this, inner)[0].sql('duckdb')}" if where is not None else ""
        listed = ", ".join(parts) + _version(session, table, f"{quoted(alias)}.rowid")
        count = _changed(session, f"UPDATE {table.reference} AS {quoted(alias)} SET {listed}{condition}", tr.used)
    recompute(session, table)
    for name, constraint, names in keys:
        listed = ", ".join(map(quoted, names))
        if session.fetch(f"SELECT 1 FROM {table.reference} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"):
            session.rollback(None)
            raise _duplicate(table, name, constraint)
    return count


def _version(session: Session, table: Table, row: str) -> str:
    """The new rowversion of updated rows: unique because row ids are."""
    column = next((c for c in table.columns if c.type.name == "timestamp"), None)
    if column is None:
        return ""
    start = _counter(session, table)
    # DuckDB numbers the rows of an open transaction apart, from a very high number on: odd ones here.
    place = f"CASE WHEN {{0}} >= {LOCAL_ROWS} THEN ({{0}} - {LOCAL_ROWS}) * 2 + 1 ELSE {{0}} * 2 END"
    session.fetch(
        f"UPDATE {quoted(table.database)}.{BASE}.counters SET value = value + 2 + (SELECT coalesce(max("
        f"{place.format('rowid')}), 0) FROM {table.reference}) WHERE name = 'rowversion'"
    )
    return f", {quoted(column.name)} = big_endian({start} + 1 + {place.format(row)}, 8)"


def recompute(session: Session, table: Table) -> None:
    for column in table.columns:
        if column.computed is not None:
            tr = session.translator({})
            inner = Scope(sources={"t": tuple(c.result() for c in table.columns)})
            value, kind = tr.expr(parse(f"SELECT {column.computed}").expressions[0], inner)
            made = convert(value, kind, column.type).sql("duckdb")
            session.fetch(
                f"UPDATE {table.reference} AS t SET {quoted(column.name)} = {made}"
                f" WHERE {quoted(column.name)} IS DISTINCT FROM {made}",
                tr.used or None,
            )


def _delete(session: Session, tree: exp.Delete, scope: Variables, sink: Sink, top: str | None) -> int:
    tr = session.translator(scope)
    table, alias, joined = _target(tr, tree, "DELETE")
    returning = tree.args.get("returning")
    if joined or top or returning is not None:
        _staged(session, tr, tree, table, alias, top, [])
        stage = stage_name(session)
        if returning is not None:
            before = f'{stage[:-1]}_before"'
            session.fetch(
                f"CREATE OR REPLACE TEMP TABLE {before.split('.')[-1]} AS SELECT t.* FROM {table.reference} t"
                f" JOIN {stage} s ON t.rowid = s.rid"
            )
        count = _changed(session, f"DELETE FROM {table.reference} WHERE rowid IN (SELECT rid FROM {stage})", {})
        if returning is not None:
            _output(session, tr, returning, table, {"deleted": before}, sink)
        return count
    inner = Scope(sources={alias: tuple(c.result() for c in table.columns)})
    where = tree.args.get("where")
    condition = f" WHERE {tr.expr(where.this, inner)[0].sql('duckdb')}" if where is not None else ""
    return _changed(session, f"DELETE FROM {table.reference} AS {quoted(alias)}{condition}", tr.used)


def _truncate(session: Session, table: Table | None, name: str, sink: Sink) -> None:
    if table is None or table.kind != "U":
        raise SqlError(
            4701, f'Cannot find the object "{name}" because it does not exist or you do not have permissions.'
        )

    def action() -> None:
        session.fetch(f"DELETE FROM {table.reference}")
        session.fetch(
            f"UPDATE {quoted(table.database)}.{BASE}.columns SET last_value = NULL WHERE object_id = {table.ident}"
        )

    session.write(action)
    sink.done(None)


def select_into(session: Session, tree: exp.Select, scope: Variables, sink: Sink) -> None:
    """SELECT ... INTO: a new table with the query's columns, then its rows."""
    from .objects import register

    into = tree.args["into"].this
    tree.set("into", None)
    tr = session.translator(scope)
    query = tr.query(tree)

    def action() -> int:
        empty = session.cursor.sql(f"SELECT * FROM ({query.sql}) LIMIT 0", params=tr.used or None).to_arrow_table()
        described = results.columns(query.columns, empty.schema)
        made = register(session, into, "U", [Column(c.name, c.type, c.nullable, c.identity) for c in described], None)
        return _changed(session, f"INSERT INTO {made.reference} {query.sql}", tr.used)

    session.rowcount = session.write(action)
    sink.done(session.rowcount)
