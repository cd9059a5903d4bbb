"""T-SQL queries to DuckDB ones, with the SQL Server type of each column.

sqlglot reads the statement; this module resolves its names against the catalog, gives each expression its
type, and rewrites what DuckDB would compute otherwise: stored temporal values, string and integer operators,
built-in functions. Names that do not resolve are refused with SQL Server's numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..tds.errors import SqlError, denied, no_column, no_object, syntax
from ..tds.parameters import Value
from ..tds.tokens import ResultColumn
from ..tds.types import BIT, INT, SqlType
from . import catalog
from .convert import Node, higher
from .declared import UNKNOWN
from .dialect import SqlServer
from .expressions import EXPRESSIONS
from .functions import Typed, utc_ticks


@dataclass
class Facts:
    """What a session knows about itself and a query may ask."""

    login: str = "sa"
    host: str = ""
    application: str = ""
    spid: int = 51
    administrator: bool = True
    trancount: int = 0
    rowcount: int = 0
    identity: int | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Variable:
    """A parameter or a declared variable: its value in stored form."""

    type: SqlType
    value: Value


@dataclass
class Scope:
    """The sources a name may mean, innermost first."""

    sources: dict[str, tuple[ResultColumn, ...]] = field(default_factory=dict)
    outer: Scope | None = None
    ctes: dict[str, tuple[ResultColumn, ...]] = field(default_factory=dict)
    aliases: dict[str, SqlType | None] = field(default_factory=dict)

    def cte(self, name: str) -> tuple[ResultColumn, ...] | None:
        if name in self.ctes:
            return self.ctes[name]
        return self.outer.cte(name) if self.outer else None


@dataclass(frozen=True)
class Query:
    """A translated query, the columns it gives, and the user tables it reads."""

    node: exp.Expr
    columns: tuple[ResultColumn, ...]

    @property
    def sql(self) -> str:
        return str(self.node.sql("duckdb"))


def _unqualify(node: exp.SetOperation) -> None:
    """ORDER BY of a UNION may qualify a column as the first query's list does: it means that column of the result."""
    first = node.this
    while isinstance(first, exp.SetOperation | exp.Subquery):
        first = first.this
    order = node.args.get("order")
    listed = {
        (each.unalias().table.lower(), each.unalias().name.lower()): each.alias_or_name
        for each in (first.expressions if order is not None else [])
        if isinstance(each.unalias(), exp.Column)
    }
    for item in order.expressions if order is not None else []:
        key = item.this
        if isinstance(key, exp.Column) and key.table and (key.table.lower(), key.name.lower()) in listed:
            item.set("this", exp.column(listed[key.table.lower(), key.name.lower()]))


def parse(statement: str) -> exp.Expr:
    """sqlglot's tree of one T-SQL statement. Raises SqlError 102."""
    try:
        tree = sqlglot.parse_one(statement, read=SqlServer)
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        raise syntax(str(details[0].get("highlight") or "the statement")) from error
    if isinstance(tree, exp.Command):
        raise syntax(statement.split(None, 1)[0])
    return tree


class Translator:
    """Translates the statements of one request of a session."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        database: str,
        facts: Facts,
        variables: dict[str, Variable],
        may: Callable[[str, catalog.Table], bool] | None = None,
    ) -> None:
        self.cursor, self.database, self.variables = cursor, database, variables
        self.facts: Facts = facts
        self.now = utc_ticks()
        self.used: dict[str, Value] = {}
        self.read: list[catalog.Table] = []
        self._may = may
        self._databases: dict[str, str] = {}

    # Names

    def table(self, node: exp.Table) -> catalog.Table:
        """The catalog's entry for a table name. Raises SqlError 208, or 229 without the right to read it."""
        database = node.catalog or self.database
        schema = node.db or "dbo"
        found = None
        if self.database_exists(database):
            found = catalog.find(self.cursor, self.database_name(database), schema, node.name)
        if found is None:
            raise no_object(".".join(p for p in (node.catalog, node.db, node.name) if p))
        if found.kind != "S":
            self.check("SELECT", found)
        self.read.append(found)
        return found

    def check(self, verb: str, table: catalog.Table) -> None:
        if self._may is not None and not self._may(verb, table):
            raise denied(verb, table.name, table.database, table.schema)

    def database_exists(self, name: str) -> bool:
        return self.database_name(name) != ""

    def database_name(self, name: str) -> str:
        if name not in self._databases:
            found = self.cursor.execute(
                "SELECT name FROM memory.main.databases WHERE lower(name) = $1", [name.lower()]
            ).fetchall()
            self._databases[name] = found[0][0] if found else ""
        return self._databases[name]

    def named(self, name: str) -> catalog.Table | None:
        """A table named in a string, as OBJECT_ID takes it."""
        try:
            node = sqlglot.parse_one(name, into=exp.Table, read=SqlServer)
        except SqlglotError:
            return None
        assert isinstance(node, exp.Table)
        return catalog.find(self.cursor, self.database_name(node.catalog or self.database), node.db or "dbo", node.name)

    def may(self, verb: str, name: str | None) -> bool:
        found = self.named(name) if name else None
        return found is not None and (self._may is None or self._may(verb, found)) if name else True

    def scalar(self, sql: str) -> Node:
        """Text that is already DuckDB's."""
        return exp.Var(this=sql)

    # Queries

    def query(self, node: exp.Expr, outer: Scope | None = None) -> Query:
        scope = Scope(outer=outer)
        with_ = node.args.get("with_")
        if with_ is not None:
            for cte in with_.expressions:
                inner = self.query(cte.this, scope)
                names = [c.name for c in cte.args["alias"].args.get("columns") or []]
                columns = _renamed(inner.columns, names)
                cte.set("this", inner.node)
                scope.ctes[cte.alias.lower()] = columns
        if isinstance(node, exp.Subquery):
            inner = self.query(node.this, scope)
            node.set("this", inner.node)
            return Query(node, inner.columns)
        if isinstance(node, exp.SetOperation):
            _unqualify(node)
            left, right = self.query(node.this, scope), self.query(node.expression, scope)
            return self._union(node, left, right, scope)
        if isinstance(node, exp.Values):
            return self._values(node, scope)
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        raise syntax(node.key.upper())

    def _union(self, node: exp.SetOperation, left: Query, right: Query, scope: Scope) -> Query:
        if len(left.columns) != len(right.columns):
            raise SqlError(
                205,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal"
                " number of expressions in their target lists.",
            )
        node.set("this", left.node)
        node.set("expression", right.node)
        columns = tuple(
            ResultColumn(
                a.name, higher(a.type, b.type) if a.type.family == b.type.family else a.type, a.nullable or b.nullable
            )
            for a, b in zip(left.columns, right.columns, strict=True)
        )
        scope.aliases = {c.name.lower(): c.type for c in columns}
        self._order(node, scope, columns)
        self._limits(node, scope)
        return Query(node, columns)

    def _values(self, node: exp.Values, scope: Scope) -> Query:
        kinds: list[SqlType | None] = []
        for row in node.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            made = [self.expr(cell, scope) for cell in cells]
            row.set("expressions", [v for v, _ in made])
            for index, (_, kind) in enumerate(made):
                if index >= len(kinds):
                    kinds.append(kind)
                elif kind is not None:
                    have = kinds[index]
                    kinds[index] = kind if have is None else higher(have, kind)
        alias = node.args.get("alias")
        names = [c.name for c in alias.args.get("columns") or []] if alias else []
        return Query(node, _renamed(tuple(ResultColumn("", k or INT) for k in kinds), names))

    def _select(self, node: exp.Select, scope: Scope) -> Query:
        from_ = node.args.get("from_")
        if from_ is not None:
            from_.set("this", self.source(from_.this, scope))
        optional = False
        for join in node.args.get("joins") or []:
            optional = optional or bool(join.side)
            join.set("hint", None)
            join.set("this", self.source(join.this, scope))
            if join.args.get("on") is not None:
                join.set("on", self.expr(join.args["on"], scope)[0])
        for key in ("where", "having"):
            if node.args.get(key) is not None:
                node.args[key].set("this", self.expr(node.args[key].this, scope)[0])
        group = node.args.get("group")
        if group is not None:
            group.set("expressions", [self.expr(e, scope)[0] for e in group.expressions])
        items, columns = self.items(node, scope)
        if optional:
            columns = [ResultColumn(c.name, c.type, True, c.identity, c.computed) for c in columns]
        node.set("expressions", items)
        scope.aliases = {c.name.lower(): c.type for c in columns if c.name}
        self._order(node, scope, tuple(columns))
        self._limits(node, scope)
        for key in ("hint", "options", "into", "for_"):
            node.set(key, None)
        return Query(node, tuple(columns))

    def items(self, node: exp.Select, scope: Scope) -> tuple[list[Node], list[ResultColumn]]:
        items: list[Node] = []
        columns: list[ResultColumn] = []
        for item in node.expressions:
            star = isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))
            if star:
                only = item.table.lower() if isinstance(item, exp.Column) else None
                if only is not None and only not in scope.sources:
                    raise SqlError(
                        107,
                        f"The column prefix '{only}' does not match with a table name or alias name used in the query.",
                        15,
                    )
                for source, cells in scope.sources.items():
                    if only in (None, source):
                        items += [
                            exp.column(exp.to_identifier(c.name, quoted=True), exp.to_identifier(source, quoted=True))
                            for c in cells
                        ]
                        columns += cells
                continue
            inner = item.this if isinstance(item, exp.Alias) else item
            name = item.alias if isinstance(item, exp.Alias) else inner.name if isinstance(inner, exp.Column) else ""
            if len(name) > 1 and name[0] == name[-1] == "'":
                name = name[1:-1]
            made, kind = self.expr(inner, scope)
            declared_as = self.resolved(inner, scope) if isinstance(inner, exp.Column) else None
            unsure = ResultColumn(name, kind or UNKNOWN)
            columns.append(
                unsure
                if declared_as is None
                else ResultColumn(
                    name, declared_as.type, declared_as.nullable, declared_as.identity, declared_as.computed
                )
            )
            items.append(exp.alias_(made, name, quoted=True) if name else made)
        return items, columns

    def source(self, node: exp.Expr, scope: Scope) -> exp.Expr:
        """A table, view, CTE or derived table of FROM, entered into the scope under its alias."""
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous | exp.Func):
            raise no_object(node.this.name or node.sql("tsql"))
        if isinstance(node, exp.Table):
            alias = node.alias or node.name
            known = None if node.db else scope.cte(node.name.lower())
            made: exp.Expr
            if known is not None:
                made = exp.alias_(
                    exp.to_table(catalog.quoted(node.name.lower()), dialect="duckdb"), alias, table=True, quoted=True
                )
                scope.sources[alias.lower()] = known
                return made
            table = self.table(node)
            scope.sources[alias.lower()] = tuple(c.result() for c in table.columns)
            return exp.alias_(exp.to_table(table.reference, dialect="duckdb"), alias.lower(), table=True, quoted=True)
        if isinstance(node, exp.Lateral):
            inner = self.query(node.this, scope)
            node.set("this", inner.node)
            scope.sources[node.alias.lower()] = inner.columns
            return node
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            return self.source(node.this, scope)
        if isinstance(node, exp.Subquery | exp.Values):
            inner = self.query(
                node.this if isinstance(node, exp.Subquery) else node,
                Scope(outer=Scope(ctes={}, outer=None), ctes=_all_ctes(scope)),
            )
            if isinstance(node, exp.Subquery):
                node.set("this", inner.node)
            alias_node = node.args.get("alias")
            names = [c.name for c in alias_node.args.get("columns") or []] if alias_node else []
            scope.sources[node.alias.lower()] = _renamed(inner.columns, names)
            return node
        raise syntax(node.sql("tsql")[:40])

    def _order(self, node: exp.Expr, scope: Scope, columns: tuple[ResultColumn, ...]) -> None:
        order = node.args.get("order")
        if order is None:
            return
        for item in order.expressions:
            key = item.this
            if isinstance(key, exp.Literal) and not key.is_string:
                continue
            if isinstance(key, exp.Column) and not key.table and key.name.lower() in scope.aliases:
                item.set("this", exp.column(exp.to_identifier(key.name, quoted=True)))
                matching = [c for c in columns if c.name.lower() == key.name.lower()]
                if len(matching) == 1 and self.resolved(key, scope, quiet=True) is None:
                    continue
            item.set("this", self.expr(key, scope)[0])

    def _limits(self, node: exp.Expr, scope: Scope) -> None:
        limit = node.args.get("limit")
        if limit is not None:
            count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
            options = limit.args.get("limit_options")
            if options is not None and options.args.get("with_ties"):
                raise SqlError(1062, "TOP WITH TIES is not answered by the stand-in.", 15)
            while isinstance(count, exp.Paren):
                count = count.this
            assert count is not None
            made, _ = self.expr(count, scope)
            if options is not None and options.args.get("percent"):
                made = exp.Var(this=made.sql("duckdb") + "%")
            node.set("limit", exp.Limit(expression=made))
        offset = node.args.get("offset")
        if offset is not None:
            node.set("offset", exp.Offset(expression=self.expr(offset.expression, scope)[0]))

    # Expressions

    def expr(self, node: exp.Expr, scope: Scope) -> Typed:
        """An expression of DuckDB's and its SQL Server type, None where that is not known."""
        handler = EXPRESSIONS.get(type(node))
        if handler is not None:
            return handler(self, node, scope)
        if isinstance(node, exp.Query):
            inner = self.query(node, scope)
            kind = inner.columns[0].type if len(inner.columns) == 1 else None
            return inner.node, None if kind is UNKNOWN else kind
        for key, child in list(node.args.items()):
            if isinstance(child, exp.Expr) and not isinstance(child, exp.DataType | exp.Identifier | exp.Var):
                node.set(key, self.expr(child, scope)[0])
            elif isinstance(child, list):
                node.set(
                    key,
                    [
                        self.expr(c, scope)[0]
                        if isinstance(c, exp.Expr) and not isinstance(c, exp.Identifier | exp.Var)
                        else c
                        for c in child
                    ],
                )
        return node, BIT if isinstance(node, exp.Predicate) else None

    def resolved(self, node: exp.Column, scope: Scope, quiet: bool = False) -> ResultColumn | None:
        found = self.find(node, scope)
        if found is None and not quiet:
            if node.table:
                raise SqlError(4104, f'The multi-part identifier "{node.table}.{node.name}" could not be bound.')
            raise no_column(node.name)
        return found[1] if found else None

    def find(self, node: exp.Column, scope: Scope) -> tuple[str, ResultColumn] | None:
        name, prefix = node.name.lower(), node.table.lower()
        at: Scope | None = scope
        while at is not None:
            hits = [
                (source, column)
                for source, columns in at.sources.items()
                if not prefix or source == prefix
                for column in columns
                if column.name.lower() == name
            ]
            if len(hits) > 1 and not prefix and len({s for s, _ in hits}) > 1:
                raise SqlError(209, f"Ambiguous column name '{node.name}'.")
            if hits:
                return hits[0]
            at = at.outer
        return None


def _all_ctes(scope: Scope | None) -> dict[str, tuple[ResultColumn, ...]]:
    found: dict[str, tuple[ResultColumn, ...]] = {}
    while scope is not None:
        found = {**scope.ctes, **found}
        scope = scope.outer
    return found


def _renamed(columns: tuple[ResultColumn, ...], names: list[str]) -> tuple[ResultColumn, ...]:
    if not names:
        return columns
    return tuple(ResultColumn(n, c.type, c.nullable) for n, c in zip(names, columns, strict=False))
