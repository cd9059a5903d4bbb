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
from ..tds.types import BIGINT, BIT, INT, MAX, SYSNAME, SqlType, declared
from . import catalog
from .convert import NUMBERS, Node, call, convert, higher, literal_type, stored, text_of, unify
from .functions import FUNCTIONS, Typed, coalesce, merged, utc_ticks
from .script import PREFIX

VERSION_TEXT = "Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64) \n\tParalelo stand-in\n\tDeveloper Edition (64-bit)"


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

    node: exp.Expression
    columns: tuple[ResultColumn, ...]

    @property
    def sql(self) -> str:
        return str(self.node.sql("duckdb"))


def parse(statement: str) -> exp.Expression:
    """sqlglot's tree of one T-SQL statement. Raises SqlError 102."""
    try:
        tree = sqlglot.parse_one(statement, read="tsql")
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        raise syntax(str(details[0].get("highlight") or "the statement")) from error
    if isinstance(tree, exp.Command):
        raise syntax(statement.split(None, 1)[0])
    return tree


class Translator:
    """Translates the statements of one request of a session."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, database: str, facts: Facts, variables: dict[str, Variable],
        may: Callable[[str, catalog.Table], bool] | None = None,
    ) -> None:
        self.cursor, self.database, self.facts, self.variables = cursor, database, facts, variables
        self.now = utc_ticks()
        self.used: dict[str, Value] = {}
        self.read: list[catalog.Table] = []
        self._may = may

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
        found = self.cursor.execute("SELECT name FROM memory.main.databases WHERE lower(name) = $1",
                                    [name.lower()]).fetchall()
        return found[0][0] if found else ""

    def named(self, name: str) -> catalog.Table | None:
        """A table named in a string, as OBJECT_ID takes it."""
        try:
            node = sqlglot.parse_one(name, into=exp.Table, read="tsql")
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

    def query(self, node: exp.Expression, outer: Scope | None = None) -> Query:
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
            left, right = self.query(node.this, scope), self.query(node.expression, scope)
            return self._union(node, left, right, scope)
        if isinstance(node, exp.Values):
            return self._values(node, scope)
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        raise syntax(node.key.upper())

    def _union(self, node: exp.SetOperation, left: Query, right: Query, scope: Scope) -> Query:
        if len(left.columns) != len(right.columns):
            raise SqlError(205, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal"
                                " number of expressions in their target lists.")
        node.set("this", left.node)
        node.set("expression", right.node)
        columns = tuple(
            ResultColumn(a.name, higher(a.type, b.type) if a.type.family == b.type.family else a.type,
                         a.nullable or b.nullable)
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
            from_.set("this", self._source(from_.this, scope))
        optional = False
        for join in node.args.get("joins") or []:
            optional = optional or bool(join.side)
            join.set("hint", None)
            join.set("this", self._source(join.this, scope))
            if join.args.get("on") is not None:
                join.set("on", self.expr(join.args["on"], scope)[0])
        for key in ("where", "having"):
            if node.args.get(key) is not None:
                node.args[key].set("this", self.expr(node.args[key].this, scope)[0])
        group = node.args.get("group")
        if group is not None:
            group.set("expressions", [self.expr(e, scope)[0] for e in group.expressions])
        items, columns = self._items(node, scope)
        if optional:
            columns = [ResultColumn(c.name, c.type, True, c.identity, c.computed) for c in columns]
        node.set("expressions", items)
        scope.aliases = {c.name.lower(): c.type for c in columns if c.name}
        self._order(node, scope, tuple(columns))
        self._limits(node, scope)
        for key in ("hint", "options", "into", "for_"):
            node.set(key, None)
        return Query(node, tuple(columns))

    def _items(self, node: exp.Select, scope: Scope) -> tuple[list[Node], list[ResultColumn]]:
        items: list[Node] = []
        columns: list[ResultColumn] = []
        for item in node.expressions:
            star = isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))
            if star:
                only = item.table.lower() if isinstance(item, exp.Column) else None
                if only is not None and only not in scope.sources:
                    raise SqlError(107, f"The column prefix '{only}' does not match with a table name or alias name"
                                        " used in the query.", 15)
                for source, cells in scope.sources.items():
                    if only in (None, source):
                        items += [exp.column(exp.to_identifier(c.name, quoted=True),
                                             exp.to_identifier(source, quoted=True)) for c in cells]
                        columns += cells
                continue
            inner = item.this if isinstance(item, exp.Alias) else item
            name = item.alias if isinstance(item, exp.Alias) else inner.name if isinstance(inner, exp.Column) else ""
            if len(name) > 1 and name[0] == name[-1] == "'":
                name = name[1:-1]
            made, kind = self.expr(inner, scope)
            declared_as = self._resolved(inner, scope) if isinstance(inner, exp.Column) else None
            unsure = ResultColumn(name, kind or UNKNOWN)
            columns.append(unsure if declared_as is None else ResultColumn(
                name, declared_as.type, declared_as.nullable, declared_as.identity, declared_as.computed))
            items.append(exp.alias_(made, name, quoted=True) if name else made)
        return items, columns

    def _source(self, node: exp.Expression, scope: Scope) -> exp.Expression:
        """A table, view, CTE or derived table of FROM, entered into the scope under its alias."""
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous | exp.Func):
            raise no_object(node.this.name or node.sql("tsql"))
        if isinstance(node, exp.Table):
            alias = node.alias or node.name
            known = None if node.db else scope.cte(node.name.lower())
            made: exp.Expression
            if known is not None:
                made = exp.alias_(exp.to_table(catalog.quoted(node.name.lower()), dialect="duckdb"), alias, table=True,
                                  quoted=True)
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
            return self._source(node.this, scope)
        if isinstance(node, exp.Subquery | exp.Values):
            inner = self.query(node.this if isinstance(node, exp.Subquery) else node,
                               Scope(outer=Scope(ctes={}, outer=None), ctes=_all_ctes(scope)))
            if isinstance(node, exp.Subquery):
                node.set("this", inner.node)
            alias_node = node.args.get("alias")
            names = [c.name for c in alias_node.args.get("columns") or []] if alias_node else []
            scope.sources[node.alias.lower()] = _renamed(inner.columns, names)
            return node
        raise syntax(node.sql("tsql")[:40])

    def _order(self, node: exp.Expression, scope: Scope, columns: tuple[ResultColumn, ...]) -> None:
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
                if len(matching) == 1 and self._resolved(key, scope, quiet=True) is None:
                    continue
            item.set("this", self.expr(key, scope)[0])

    def _limits(self, node: exp.Expression, scope: Scope) -> None:
        limit = node.args.get("limit")
        if limit is not None:
            count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
            options = limit.args.get("limit_options")
            if options is not None and options.args.get("with_ties"):
                raise SqlError(1062, "TOP WITH TIES is not answered by the stand-in.", 15)
            while isinstance(count, exp.Paren):
                count = count.this
            made, _ = self.expr(count, scope)
            if options is not None and options.args.get("percent"):
                made = exp.Var(this=made.sql("duckdb") + "%")
            node.set("limit", exp.Limit(expression=made))
        offset = node.args.get("offset")
        if offset is not None:
            node.set("offset", exp.Offset(expression=self.expr(offset.expression, scope)[0]))

    # Expressions

    def expr(self, node: exp.Expression, scope: Scope) -> Typed:
        """An expression of DuckDB's and its SQL Server type, None where that is not known."""
        handler = _EXPRESSIONS.get(type(node))
        if handler is not None:
            return handler(self, node, scope)
        if isinstance(node, exp.Query):
            inner = self.query(node, scope)
            kind = inner.columns[0].type if len(inner.columns) == 1 else None
            return inner.node, None if kind is UNKNOWN else kind
        for key, child in list(node.args.items()):
            if isinstance(child, exp.Expression) and not isinstance(child, exp.DataType | exp.Identifier | exp.Var):
                node.set(key, self.expr(child, scope)[0])
            elif isinstance(child, list):
                node.set(key, [self.expr(c, scope)[0] if isinstance(c, exp.Expression)
                               and not isinstance(c, exp.Identifier | exp.Var) else c for c in child])
        return node, BIT if isinstance(node, exp.Predicate) else None

    def _resolved(self, node: exp.Column, scope: Scope, quiet: bool = False) -> ResultColumn | None:
        found = self._find(node, scope)
        if found is None and not quiet:
            if node.table:
                raise SqlError(4104, f'The multi-part identifier "{node.table}.{node.name}" could not be bound.')
            raise no_column(node.name)
        return found[1] if found else None

    def _find(self, node: exp.Column, scope: Scope) -> tuple[str, ResultColumn] | None:
        name, prefix = node.name.lower(), node.table.lower()
        at: Scope | None = scope
        while at is not None:
            hits = [
                (source, column)
                for source, columns in at.sources.items() if not prefix or source == prefix
                for column in columns if column.name.lower() == name
            ]
            if len(hits) > 1 and not prefix and len({s for s, _ in hits}) > 1:
                raise SqlError(209, f"Ambiguous column name '{node.name}'.")
            if hits:
                return hits[0]
            at = at.outer
        return None

    def column(self, node: exp.Column, scope: Scope) -> Typed:
        if isinstance(node.this, exp.Star):
            return node, None
        found = self._find(node, scope)
        if found is None and node.name.lower() == "0x" and not node.table:
            return call("unhex", ""), SqlType("varbinary", 1)
        if found is None:
            self._resolved(node, scope)
        assert found is not None
        source, column = found
        made = exp.column(exp.to_identifier(column.name, quoted=True), exp.to_identifier(source, quoted=True))
        return made, None if column.type is UNKNOWN else column.type

    def parameter(self, node: exp.Parameter, scope: Scope) -> Typed:
        inner = node.this
        if isinstance(inner, exp.Parameter):
            return self._global(inner.name.upper())
        variable = self.variables.get(inner.name.lower())
        if variable is None:
            raise SqlError(137, f'Must declare the scalar variable "@{inner.name}".', 15, 2)
        name = inner.name.lower()
        self.used[name] = variable.value
        if variable.type.name == "date" and isinstance(variable.value, int):
            return call("tk_date", exp.Mul(this=stored(exp.Placeholder(this=name), "BIGINT"),
                                           expression=exp.Literal.number(864_000_000_000))), variable.type
        return stored(exp.Placeholder(this=name), variable.type.duckdb), variable.type

    def _global(self, name: str) -> Typed:
        facts = self.facts
        if name == "VERSION":
            return exp.Literal.string(VERSION_TEXT), SqlType("nvarchar", 300)
        if name in ("SERVERNAME", "SERVICENAME", "LANGUAGE"):
            return exp.Literal.string({"LANGUAGE": "us_english"}.get(name, "PARALELO")), SYSNAME
        if name == "IDENTITY":
            value = exp.Null() if facts.identity is None else exp.Literal.number(facts.identity)
            return stored(value, "DECIMAL(38,0)"), SqlType("numeric", 0, 38, 0)
        numbers = {"SPID": facts.spid, "TRANCOUNT": facts.trancount, "ROWCOUNT": facts.rowcount, "ERROR": 0,
                   "LOCK_TIMEOUT": -1, "DATEFIRST": 7, "OPTIONS": 5496, "MAX_PRECISION": 38, "NESTLEVEL": 0,
                   "TEXTSIZE": 2147483647, "LANGID": 0, "MICROSOFTVERSION": 0x100003E8, "FETCH_STATUS": -1}
        if name not in numbers:
            raise SqlError(137, f'Must declare the scalar variable "@@{name}".', 15, 2)
        return stored(exp.Literal.number(numbers[name]), "INTEGER"), INT

    def called(self, node: exp.Anonymous, scope: Scope) -> Typed:
        name = str(node.this).lower()
        if name.startswith(PREFIX) and name[len(PREFIX):] in FUNCTIONS:
            return FUNCTIONS[name[len(PREFIX):]](self, node.expressions, scope)
        raise SqlError(195, f"'{name.removeprefix(PREFIX)}' is not a recognized built-in function name.", 15)

    def comparison(self, node: exp.Binary, scope: Scope) -> Typed:
        left, right = self.expr(node.this, scope), self.expr(node.expression, scope)
        made = unify(left[0], left[1], right[0], right[1])
        return type(node)(this=made[0], expression=made[1]), BIT

    def between(self, node: exp.Between, scope: Scope) -> Typed:
        low = exp.GTE(this=node.this, expression=node.args["low"])
        high = exp.LTE(this=node.this.copy(), expression=node.args["high"])
        return exp.Paren(this=exp.And(this=self.expr(low, scope)[0], expression=self.expr(high, scope)[0])), BIT

    def contained(self, node: exp.In, scope: Scope) -> Typed:
        value, kind = self.expr(node.this, scope)
        if node.args.get("query") is not None:
            inner = self.query(node.args["query"], scope)
            return exp.In(this=value, query=inner.node if isinstance(inner.node, exp.Subquery)
                          else exp.Subquery(this=inner.node)), BIT
        items = [unify(value, kind, *self.expr(item, scope))[1] for item in node.expressions]
        return exp.In(this=value, expressions=items), BIT

    def add(self, node: exp.Binary, scope: Scope) -> Typed:
        left, right = self.expr(node.this, scope), self.expr(node.expression, scope)
        families = [k.family if k else None for _, k in (left, right)]
        if isinstance(node, exp.Add) and "string" in families and not any(f in NUMBERS for f in families):
            kinds = [k for _, k in (left, right) if k is not None and k.family == "string"]
            wide = any(k.name[0] == "n" for k in kinds)
            length = MAX if any(k.length == MAX for k in kinds) else min(
                4000 if wide else 8000, sum(k.length or 1 for k in kinds))
            return (exp.DPipe(this=text_of(left[0]), expression=text_of(right[0])),
                    SqlType("nvarchar" if wide else "varchar", length))
        if "ticks" in families:
            base, other = (left, right) if families[0] == "ticks" else (right, left)
            assert base[1] is not None
            shift = stored(exp.Mul(this=exp.Paren(this=other[0]), expression=exp.Literal.number(864_000_000_000)),
                           "BIGINT")
            return exp.Paren(this=type(node)(this=base[0], expression=shift)), base[1]
        sides = list(unify(left[0], left[1], right[0], right[1]))
        kind = sides[2]
        if isinstance(node, exp.Div) and kind is not None and kind.family == "int":
            return exp.IntDiv(this=sides[0], expression=sides[1]), kind
        if isinstance(node, exp.Div) and kind is not None and kind.family == "decimal":
            scale = min(max(6, (left[1].scale if left[1] else 0) + (right[1].precision if right[1] else 0) + 1), 12)
            result = SqlType("decimal", 0, 38, scale)
            return stored(exp.Div(this=sides[0], expression=sides[1]), result.duckdb), result
        exact = kind is not None and kind.family in ("int", "float")
        return type(node)(this=sides[0], expression=sides[1]), kind if exact else None

    def cast(self, node: exp.Cast, scope: Scope) -> Typed:
        value, kind = self.expr(node.this, scope)
        want = data_type(node.to, cast=True)
        made = convert(value, kind, want)
        return (call("TRY", made) if isinstance(node, exp.TryCast) else made), want

    def convert(self, node: exp.Convert, scope: Scope) -> Typed:
        value, kind = self.expr(node.expression, scope)
        style_node = node.args.get("style")
        style = int(style_node.name) if isinstance(style_node, exp.Literal) else None
        want = data_type(node.this, cast=True)
        made = convert(value, kind, want, style)
        return (call("TRY", made) if node.args.get("safe") else made), want

    def case(self, node: exp.Case, scope: Scope) -> Typed:
        tests = []
        for one in node.args["ifs"]:
            test = one.this if node.this is None else exp.EQ(this=node.this.copy(), expression=one.this)
            tests.append(self.expr(test, scope)[0])
        branches = [self.expr(one.args["true"], scope) for one in node.args["ifs"]]
        if node.args.get("default") is not None:
            branches.append(self.expr(node.args["default"], scope))

        def build(values: list[Node]) -> Node:
            ifs = [exp.If(this=t, true=v) for t, v in zip(tests, values, strict=False)]
            return exp.Case(ifs=ifs, default=values[-1] if len(values) > len(tests) else None)

        return merged(branches, build)

    def aggregate(self, node: exp.AggFunc, scope: Scope) -> Typed:
        if isinstance(node, exp.Count):
            inner = node.this
            if isinstance(inner, exp.Distinct):
                inner.set("expressions", [self.expr(e, scope)[0] for e in inner.expressions])
            elif not isinstance(inner, exp.Star):
                node.set("this", self.expr(inner, scope)[0])
            kind = BIGINT if node.args.get("big_int") else INT
            return stored(exp.Count(this=node.this), kind.duckdb), kind
        inner = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
        value, have = self.expr(inner, scope)
        operand = exp.Distinct(expressions=[value]) if isinstance(node.this, exp.Distinct) else value
        made = type(node)(this=operand)
        if have is None or isinstance(node, exp.Min | exp.Max):
            return made, have
        if have.family == "int":
            result = BIGINT if have.name == "bigint" else INT
            return stored(call("trunc", made) if isinstance(node, exp.Avg) else made, result.duckdb), result
        if have.family == "decimal":
            scale = have.kind.scale if "money" in have.name else have.scale
            result = SqlType("decimal", 0, 38, max(scale, 6) if isinstance(node, exp.Avg) else scale)
            return stored(made, result.duckdb), result
        return made, have

    def window(self, node: exp.Window, scope: Scope) -> Typed:
        inner = node.this
        if isinstance(inner, exp.AggFunc):
            made, kind = self.expr(inner, scope)
            # The cast an aggregate needs goes around the whole window.
            while isinstance(made, exp.Cast):
                made = made.this
        else:
            made, kind = inner, BIGINT
            for key in ("this",):
                if isinstance(inner.args.get(key), exp.Column):
                    value, kind = self.expr(inner.args[key], scope)  # type: ignore[assignment]
                    inner.set(key, value)
        parts = [self.expr(p, scope)[0] for p in node.args.get("partition_by") or []]
        order = node.args.get("order")
        if order is not None:
            for item in order.expressions:
                item.set("this", self.expr(item.this, scope)[0] if not isinstance(item.this, exp.Subquery)
                         else exp.Literal.number(1))
        whole = exp.Window(this=made, partition_by=parts, order=order, spec=node.args.get("spec"))
        return (stored(whole, kind.duckdb) if kind and kind.family == "int" else whole), kind


UNKNOWN = SqlType("nvarchar", 4000)
"""The type of an expression this module cannot tell: the result's own type decides (compared by identity)."""


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


def data_type(node: exp.Expression, cast: bool = False) -> SqlType:
    """The declared type of sqlglot's DataType. In a cast, text without a length is 30 characters long."""
    assert isinstance(node, exp.DataType)
    written = node.sql("tsql") if node.this != exp.DType.USERDEFINED else str(node.args.get("kind"))
    name = _DTYPES.get(node.this.name if hasattr(node.this, "name") else "", "") or written.split("(")[0]
    arguments = [p.name for p in node.expressions]
    try:
        made = declared(name, arguments)
    except (KeyError, ValueError):
        raise SqlError(243, f"Type {name} is not a defined system type.") from None
    if cast and not arguments and made.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return SqlType(made.name, 30)
    return made


_DTYPES = {
    "VARCHAR": "varchar", "NVARCHAR": "nvarchar", "CHAR": "char", "NCHAR": "nchar", "TEXT": "text",
    "UTINYINT": "tinyint", "TINYINT": "tinyint", "SMALLINT": "smallint", "INT": "int", "BIGINT": "bigint",
    "DATETIME2": "datetime2", "DATETIME": "datetime", "SMALLDATETIME": "smalldatetime", "DATE": "date",
    "TIME": "time", "TIMESTAMPTZ": "datetimeoffset", "TIMESTAMPLTZ": "datetimeoffset", "ROWVERSION": "timestamp",
    "TIMESTAMP": "datetime2", "BIT": "bit", "BOOLEAN": "bit", "DECIMAL": "decimal", "MONEY": "money",
    "SMALLMONEY": "smallmoney", "FLOAT": "float", "DOUBLE": "float", "BINARY": "binary", "VARBINARY": "varbinary",
    "IMAGE": "image", "XML": "xml", "VARIANT": "sql_variant", "UNIQUEIDENTIFIER": "uniqueidentifier",
    "UUID": "uniqueidentifier", "HIERARCHYID": "hierarchyid", "GEOMETRY": "geometry", "GEOGRAPHY": "geography",
    "NAME": "sysname",
}


def _literal(tr: Translator, node: exp.Expression, scope: Scope) -> Typed:
    if node.args.get("is_string"):
        return node, SqlType("varchar", max(1, len(node.name)))
    return node, literal_type(node.name)


def _logical(tr: Translator, node: exp.Expression, scope: Scope) -> Typed:
    return type(node)(this=tr.expr(node.this, scope)[0], expression=tr.expr(node.expression, scope)[0]), BIT


def _unary(tr: Translator, node: exp.Expression, scope: Scope) -> Typed:
    value, kind = tr.expr(node.this, scope)
    return type(node)(this=value), kind


_EXPRESSIONS: dict[type[exp.Expression], Callable[[Translator, exp.Expression, Scope], Typed]] = {
    exp.Literal: _literal,
    exp.National: lambda tr, n, s: (exp.Literal.string(n.name), SqlType("nvarchar", max(1, len(n.name)))),
    exp.HexString: lambda tr, n, s: (call("unhex", n.name if len(n.name) % 2 == 0 else "0" + n.name),
                                     SqlType("varbinary", max(1, len(n.name) // 2))),
    exp.Null: lambda tr, n, s: (n, None),
    exp.Column: lambda tr, n, s: tr.column(n, s),  # type: ignore[arg-type]
    exp.Parameter: lambda tr, n, s: tr.parameter(n, s),  # type: ignore[arg-type]
    exp.Anonymous: lambda tr, n, s: tr.called(n, s),  # type: ignore[arg-type]
    exp.CurrentTimestamp: lambda tr, n, s: FUNCTIONS["getdate"](tr, [], s),
    exp.Paren: _unary, exp.Neg: _unary, exp.And: _logical, exp.Or: _logical,
    exp.Between: lambda tr, n, s: tr.between(n, s),  # type: ignore[arg-type]
    exp.In: lambda tr, n, s: tr.contained(n, s),  # type: ignore[arg-type]
    exp.Cast: lambda tr, n, s: tr.cast(n, s),  # type: ignore[arg-type]
    exp.TryCast: lambda tr, n, s: tr.cast(n, s),  # type: ignore[arg-type]
    exp.Convert: lambda tr, n, s: tr.convert(n, s),  # type: ignore[arg-type]
    exp.Case: lambda tr, n, s: tr.case(n, s),  # type: ignore[arg-type]
    exp.Coalesce: lambda tr, n, s: coalesce(tr, n, s),  # type: ignore[arg-type]
    exp.Window: lambda tr, n, s: tr.window(n, s),  # type: ignore[arg-type]
    exp.Collate: lambda tr, n, s: tr.expr(n.this, s),
    exp.Star: lambda tr, n, s: (n, None),
}
for _type in (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE):
    _EXPRESSIONS[_type] = lambda tr, n, s: tr.comparison(n, s)  # type: ignore[arg-type]
for _type in (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod):
    _EXPRESSIONS[_type] = lambda tr, n, s: tr.add(n, s)  # type: ignore[arg-type]
for _type in (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.Stddev):
    _EXPRESSIONS[_type] = lambda tr, n, s: tr.aggregate(n, s)  # type: ignore[arg-type]
