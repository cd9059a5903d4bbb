"""Streaming a query's rows, an ordered one as an index would give it.

DuckDB sorts a whole result before its first row. SQL Server walks the index of the key instead, so that a
page of a large table costs a page. `Slices` comes to the same: it reads narrow ranges of the leading key in
order, each sorted by itself, and DuckDB skips the blocks that a range cannot be in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from sqlglot import exp

from . import results
from .catalog import Column
from .translate import Query, Translator

SLICE = 65_536
WORTH_IT = 20_000
"""Fewer rows than this DuckDB's own top-n finds as fast."""


class Stream(Protocol):
    """A query's batches. Used once; `close` frees the connection for the next statement."""

    schema: pa.Schema

    def read(self, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]: ...
    def close(self) -> None: ...


class Whole:
    """The query as DuckDB runs it."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, sql: str, used: dict[str, Any], rows: int) -> None:
        self._cursor = cursor
        self._reader = cursor.sql(sql, params=used or None).to_arrow_reader(rows)
        self.schema: pa.Schema = self._reader.schema

    def read(self, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
        return results.read(self._reader, cancelled)

    def close(self) -> None:
        self._reader.close()
        results.quiet(self._cursor)


@dataclass(frozen=True)
class Walk:
    """A query over one table, in the order of `key`: a whole number that is never NULL."""

    select: exp.Select
    key: exp.Expr
    descending: bool
    wanted: int
    low: int
    high: int
    found: int

    def slice(self, low: int, high: int, limit: int) -> str:
        """The query for one range of the key."""
        made = self.select.copy()
        made = made.where(exp.Between(this=self.key.copy(), low=exp.Literal.number(low), high=exp.Literal.number(high)))
        made.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
        return str(made.sql("duckdb"))


class Slices:
    """A `Walk`, range by range, inside one transaction so that all ranges see one state."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, walk: Walk, used: dict[str, Any], rows: int, inside: bool
    ) -> None:
        self._cursor, self._walk, self._rows, self._own = cursor, walk, rows, not inside
        # The limit, which each slice writes anew, may have been a parameter.
        plain = walk.select.copy()
        plain.set("limit", None)
        self._used = _only(used, plain)
        empty = cursor.sql(walk.slice(0, -1, 0), params=self._used)
        self.schema: pa.Schema = empty.to_arrow_table().schema

    def read(self, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
        walk, left = self._walk, self._walk.wanted
        keys = walk.high - walk.low + 1
        span = max(1, int(keys * min(SLICE, left * 1.05 + 64) / max(walk.found, 1)))
        edge = walk.high if walk.descending else walk.low
        while left > 0 and walk.low <= edge <= walk.high and not cancelled():
            low, high = (
                (max(walk.low, edge - span + 1), edge) if walk.descending else (edge, min(walk.high, edge + span - 1))
            )
            count = 0
            reader = self._cursor.sql(walk.slice(low, high, left), params=self._used).to_arrow_reader(self._rows)
            try:
                for batch in results.read(reader, cancelled):
                    count += batch.num_rows
                    yield batch
            finally:
                reader.close()
            left -= count
            edge = low - 1 if walk.descending else high + 1
            aim = min(SLICE, left * 1.2 + 64)
            span = span * 4 if count == 0 else max(1, int(span * min(4.0, max(0.25, aim / count))))

    def close(self) -> None:
        results.quiet(self._cursor)
        if self._own:
            self._cursor.execute("ROLLBACK")


def batches(cursor: duckdb.DuckDBPyConnection, translator: Translator, query: Query, rows: int, inside: bool) -> Stream:
    """The stream for a query. `inside` says that the session has a transaction open."""
    if not inside and _may_walk(translator, query.node):
        cursor.execute("BEGIN TRANSACTION")
        try:
            walk = _walk(cursor, translator, query.node)
            if walk is not None:
                return Slices(cursor, walk, translator.used, rows, inside)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("ROLLBACK")
    elif inside and _may_walk(translator, query.node):
        walk = _walk(cursor, translator, query.node)
        if walk is not None:
            return Slices(cursor, walk, translator.used, rows, inside)
    return Whole(cursor, query.sql, translator.used, rows)


def _may_walk(translator: Translator, node: exp.Expr) -> bool:
    if not isinstance(node, exp.Select) or len(translator.read) != 1 or translator.read[0].kind != "U":
        return False
    if any(node.args.get(key) for key in ("joins", "group", "having", "distinct", "offset", "with_", "qualify")):
        return False
    order = node.args.get("order")
    if order is None or not isinstance(node.args["from_"].this, exp.Table):
        return False
    limit = node.args.get("limit")
    if limit is not None and isinstance(limit.expression, exp.Literal) and int(limit.expression.name) < WORTH_IT:
        return False
    return (
        not any(True for _ in node.find_all(exp.AggFunc, exp.Window))
        and _plain(node)
        and _key(translator, order) is not None
    )


def _plain(node: exp.Expr) -> bool:
    return all(found is node for found in node.find_all(exp.Query))


def _key(translator: Translator, order: exp.Expr) -> Column | None:
    first = order.expressions[0].this
    if not isinstance(first, exp.Column):
        return None
    for column in translator.read[0].columns:
        if column.name.lower() == first.name.lower():
            whole = column.type.family == "ticks" or column.type.family == "int"
            return column if whole and not column.nullable else None
    return None


def _walk(cursor: duckdb.DuckDBPyConnection, translator: Translator, node: exp.Expr) -> Walk | None:
    assert isinstance(node, exp.Select)
    ordered = node.args["order"].expressions[0]
    column = _key(translator, node.args["order"])
    assert column is not None
    source = node.args["from_"].this
    key = exp.column(exp.to_identifier(column.name, quoted=True), exp.to_identifier(source.alias_or_name, quoted=True))
    limit = node.args.get("limit")
    counted = exp.Select(
        expressions=[exp.Min(this=key.copy()), exp.Max(this=key.copy()), exp.Count(this=exp.Star())],
        from_=node.args["from_"].copy(),
    )
    if node.args.get("where") is not None:
        counted.set("where", node.args["where"].copy())
    if limit is not None:
        wanted = exp.Cast(this=limit.expression.copy(), to=exp.DataType.build("BIGINT"))
        counted.set("expressions", [*counted.expressions, wanted])
    low, high, found, *top = cursor.execute(counted.sql("duckdb"), _only(translator.used, counted)).fetchall()[0]
    wanted_rows = min(found, top[0]) if top else found
    if wanted_rows < WORTH_IT:
        return None
    return Walk(node, key, bool(ordered.args.get("desc")), wanted_rows, low, high, found)


def _only(used: dict[str, Any], node: exp.Expr) -> dict[str, Any] | None:
    """The parameters a query has: DuckDB refuses one too many."""
    names = {p.name for p in node.find_all(exp.Placeholder)}
    return {name: value for name, value in used.items() if name in names} or None
