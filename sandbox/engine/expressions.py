"""Expressions of T-SQL as DuckDB's, each with the SQL Server type it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from ..tds.errors import SqlError
from ..tds.types import BIGINT, BIT, INT, MAX, SYSNAME, SqlType
from .convert import NUMBERS, Node, call, convert, literal_type, stored, text_of, unify
from .declared import UNKNOWN, data_type
from .functions import FUNCTIONS, Typed, coalesce, merged
from .script import PREFIX

if TYPE_CHECKING:
    from .translate import Scope, Translator

_DIVIDES_BY_ZERO = int(duckdb.__version__.partition(".")[0]) < 2
"""The DuckDB that Python 3.10 has makes infinity or NULL of a division that SQL Server refuses."""
VERSION_TEXT = "Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64) \n\tParalelo stand-in\n\tDeveloper Edition (64-bit)"


def column(tr: Translator, node: exp.Column, scope: Scope) -> Typed:
    if isinstance(node.this, exp.Star):
        return node, None
    found = tr.find(node, scope)
    if found is None and node.name.lower() == "0x" and not node.table:
        return call("unhex", ""), SqlType("varbinary", 1)
    if found is None:
        tr.resolved(node, scope)
    assert found is not None
    source, column = found
    made = exp.column(exp.to_identifier(column.name, quoted=True), exp.to_identifier(source, quoted=True))
    return made, None if column.type is UNKNOWN else column.type


def parameter(tr: Translator, node: exp.Parameter, scope: Scope) -> Typed:
    inner = node.this
    if isinstance(inner, exp.Parameter):
        return _global(tr, inner.name.upper())
    variable = tr.variables.get(inner.name.lower())
    if variable is None:
        raise SqlError(137, f'Must declare the scalar variable "@{inner.name}".', 15, 2)
    name = inner.name.lower()
    tr.used[name] = variable.value
    if variable.type.name == "date" and isinstance(variable.value, int):
        return call(
            "tk_date",
            exp.Mul(this=stored(exp.Placeholder(this=name), "BIGINT"), expression=exp.Literal.number(864_000_000_000)),
        ), variable.type
    return stored(exp.Placeholder(this=name), variable.type.duckdb), variable.type


def _global(tr: Translator, name: str) -> Typed:
    facts = tr.facts
    if name == "VERSION":
        return exp.Literal.string(VERSION_TEXT), SqlType("nvarchar", 300)
    if name in ("SERVERNAME", "SERVICENAME", "LANGUAGE"):
        return exp.Literal.string({"LANGUAGE": "us_english"}.get(name, "PARALELO")), SYSNAME
    if name == "IDENTITY":
        value = exp.Null() if facts.identity is None else exp.Literal.number(facts.identity)
        return stored(value, "DECIMAL(38,0)"), SqlType("numeric", 0, 38, 0)
    numbers = {
        "SPID": facts.spid,
        "TRANCOUNT": facts.trancount,
        "ROWCOUNT": facts.rowcount,
        "ERROR": 0,
        "LOCK_TIMEOUT": -1,
        "DATEFIRST": 7,
        "OPTIONS": 5496,
        "MAX_PRECISION": 38,
        "NESTLEVEL": 0,
        "TEXTSIZE": 2147483647,
        "LANGID": 0,
        "MICROSOFTVERSION": 0x100003E8,
        "FETCH_STATUS": -1,
    }
    if name not in numbers:
        raise SqlError(137, f'Must declare the scalar variable "@@{name}".', 15, 2)
    return stored(exp.Literal.number(numbers[name]), "INTEGER"), INT


def called(tr: Translator, node: exp.Anonymous, scope: Scope) -> Typed:
    name = str(node.this).lower()
    if name.startswith(PREFIX) and name[len(PREFIX) :] in FUNCTIONS:
        answer: Typed = FUNCTIONS[name[len(PREFIX) :]](tr, node.expressions, scope)
        return answer
    raise SqlError(195, f"'{name.removeprefix(PREFIX)}' is not a recognized built-in function name.", 15)


def comparison(tr: Translator, node: exp.Binary, scope: Scope) -> Typed:
    left, right = tr.expr(node.this, scope), tr.expr(node.expression, scope)
    one, other, kind = unify(left[0], left[1], right[0], right[1])
    if kind is not None and kind.family == "offset":
        one, other = call("dto_utc", one), call("dto_utc", other)
    return type(node)(this=one, expression=other), BIT


def between(tr: Translator, node: exp.Between, scope: Scope) -> Typed:
    low = exp.GTE(this=node.this, expression=node.args["low"])
    high = exp.LTE(this=node.this.copy(), expression=node.args["high"])
    return exp.Paren(this=exp.And(this=tr.expr(low, scope)[0], expression=tr.expr(high, scope)[0])), BIT


def contained(tr: Translator, node: exp.In, scope: Scope) -> Typed:
    value, kind = tr.expr(node.this, scope)
    if node.args.get("query") is not None:
        inner = tr.query(node.args["query"], scope)
        return exp.In(
            this=value, query=inner.node if isinstance(inner.node, exp.Subquery) else exp.Subquery(this=inner.node)
        ), BIT
    items = [unify(value, kind, *tr.expr(item, scope))[1] for item in node.expressions]
    return exp.In(this=value, expressions=items), BIT


def add(tr: Translator, node: exp.Binary, scope: Scope) -> Typed:
    left, right = tr.expr(node.this, scope), tr.expr(node.expression, scope)
    families = [k.family if k else None for _, k in (left, right)]
    if isinstance(node, exp.Add) and "string" in families and not any(f in NUMBERS for f in families):
        kinds = [k for _, k in (left, right) if k is not None and k.family == "string"]
        wide = any(k.name[0] == "n" for k in kinds)
        length = (
            MAX
            if any(k.length == MAX for k in kinds)
            else min(4000 if wide else 8000, sum(k.length or 1 for k in kinds))
        )
        return (
            exp.DPipe(this=text_of(left[0]), expression=text_of(right[0])),
            SqlType("nvarchar" if wide else "varchar", length),
        )
    if "ticks" in families:
        base, shifted = (left, right) if families[0] == "ticks" else (right, left)
        assert base[1] is not None
        shift = stored(
            exp.Mul(this=exp.Paren(this=shifted[0]), expression=exp.Literal.number(864_000_000_000)), "BIGINT"
        )
        return exp.Paren(this=type(node)(this=base[0], expression=shift)), base[1]
    one, other, kind = unify(left[0], left[1], right[0], right[1])
    if _DIVIDES_BY_ZERO and isinstance(node, (exp.Div, exp.Mod)):
        zero = exp.EQ(this=exp.Paren(this=other.copy()), expression=exp.Literal.number(0))
        refusal = call("error", "Division by zero")
        other = exp.Paren(this=exp.Case(ifs=[exp.If(this=zero, true=refusal)], default=other))
    if isinstance(node, exp.Div) and kind is not None and kind.family == "int":
        return exp.IntDiv(this=one, expression=other), kind
    if isinstance(node, exp.Div) and kind is not None and kind.family == "decimal":
        scale = min(max(6, (left[1].scale if left[1] else 0) + (right[1].precision if right[1] else 0) + 1), 12)
        result = SqlType("decimal", 0, 38, scale)
        return stored(exp.Div(this=one, expression=other), result.duckdb), result
    exact = kind is not None and kind.family in ("int", "float")
    return type(node)(this=one, expression=other), kind if exact else None


def cast(tr: Translator, node: exp.Cast, scope: Scope) -> Typed:
    value, kind = tr.expr(node.this, scope)
    want = data_type(node.to, cast=True)
    made = convert(value, kind, want)
    return (call("TRY", made) if isinstance(node, exp.TryCast) else made), want


def converted(tr: Translator, node: exp.Convert, scope: Scope) -> Typed:
    value, kind = tr.expr(node.expression, scope)
    style_node = node.args.get("style")
    style = int(style_node.name) if isinstance(style_node, exp.Literal) else None
    want = data_type(node.this, cast=True)
    made = convert(value, kind, want, style)
    return (call("TRY", made) if node.args.get("safe") else made), want


def case(tr: Translator, node: exp.Case, scope: Scope) -> Typed:
    tests = []
    for one in node.args["ifs"]:
        test = one.this if node.this is None else exp.EQ(this=node.this.copy(), expression=one.this)
        tests.append(tr.expr(test, scope)[0])
    branches = [tr.expr(one.args["true"], scope) for one in node.args["ifs"]]
    if node.args.get("default") is not None:
        branches.append(tr.expr(node.args["default"], scope))

    def build(values: list[Node]) -> Node:
        ifs = [exp.If(this=t, true=v) for t, v in zip(tests, values, strict=False)]
        return exp.Case(ifs=ifs, default=values[-1] if len(values) > len(tests) else None)

    return merged(branches, build)


def aggregate(tr: Translator, node: exp.AggFunc, scope: Scope) -> Typed:
    if isinstance(node, exp.Count):
        inner = node.this
        if isinstance(inner, exp.Distinct):
            inner.set("expressions", [tr.expr(e, scope)[0] for e in inner.expressions])
        elif not isinstance(inner, exp.Star):
            value, have = tr.expr(inner, scope)
            if have is not None and have.name in ("text", "ntext", "image"):
                raise SqlError(8117, f"Operand data type {have.name} is invalid for count operator.")
            node.set("this", value)
        kind = BIGINT if node.args.get("big_int") else INT
        return stored(exp.Count(this=node.this), kind.duckdb), kind
    inner = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    value, have = tr.expr(inner, scope)
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


def window(tr: Translator, node: exp.Window, scope: Scope) -> Typed:
    made: Node
    kind: SqlType | None
    inner = node.this
    if isinstance(inner, exp.AggFunc):
        made, kind = tr.expr(inner, scope)
        # The cast an aggregate needs goes around the whole window.
        while isinstance(made, exp.Cast):
            made = made.this
    else:
        made, kind = inner, SqlType("bigint")
        if isinstance(inner.args.get("this"), exp.Column):
            value, kind = tr.expr(inner.args["this"], scope)
            inner.set("this", value)
    parts = [tr.expr(p, scope)[0] for p in node.args.get("partition_by") or []]
    order = node.args.get("order")
    if order is not None:
        for item in order.expressions:
            item.set(
                "this",
                tr.expr(item.this, scope)[0] if not isinstance(item.this, exp.Subquery) else exp.Literal.number(1),
            )
    whole = exp.Window(this=made, partition_by=parts, order=order, spec=node.args.get("spec"))
    return (stored(whole, kind.duckdb) if kind and kind.family == "int" else whole), kind


def _literal(tr: Translator, node: exp.Expr, scope: Scope) -> Typed:
    if node.args.get("is_string"):
        return node, SqlType("varchar", max(1, len(node.name)))
    return node, literal_type(node.name)


def _logical(tr: Translator, node: exp.Expr, scope: Scope) -> Typed:
    return type(node)(this=tr.expr(node.this, scope)[0], expression=tr.expr(node.expression, scope)[0]), BIT


def _unary(tr: Translator, node: exp.Expr, scope: Scope) -> Typed:
    value, kind = tr.expr(node.this, scope)
    return type(node)(this=value), kind


EXPRESSIONS: dict[type[exp.Expr], Callable[[Any, Any, Any], Typed]] = {
    exp.Literal: _literal,
    exp.National: lambda tr, n, s: (exp.Literal.string(n.name), SqlType("nvarchar", max(1, len(n.name)))),
    exp.HexString: lambda tr, n, s: (
        call("unhex", n.name if len(n.name) % 2 == 0 else "0" + n.name),
        SqlType("varbinary", max(1, len(n.name) // 2)),
    ),
    exp.Null: lambda tr, n, s: (n, None),
    exp.Column: column,
    exp.Parameter: parameter,
    exp.Anonymous: called,
    exp.CurrentTimestamp: lambda tr, n, s: FUNCTIONS["getdate"](tr, [], s),
    exp.Paren: _unary,
    exp.Neg: _unary,
    exp.And: _logical,
    exp.Or: _logical,
    exp.Between: between,
    exp.In: contained,
    exp.Cast: cast,
    exp.TryCast: cast,
    exp.Convert: converted,
    exp.Case: case,
    exp.Coalesce: coalesce,
    exp.Window: window,
    exp.Collate: lambda tr, n, s: tr.expr(n.this, s),
    exp.Star: lambda tr, n, s: (n, None),
}
_type: type[exp.Expr]
for _type in (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE):
    EXPRESSIONS[_type] = comparison
for _type in (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod):
    EXPRESSIONS[_type] = add
for _type in (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.Stddev):
    EXPRESSIONS[_type] = aggregate
