"""T-SQL's built-in functions: what DuckDB computes for each, and the type each gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from ..tds.errors import SqlError
from ..tds.rows import DAY, EPOCH_DAYS, OFFSET_BIAS
from ..tds.types import BIGINT, INT, MAX, NVARCHAR, SYSNAME, SqlType
from .convert import Node, call, convert, higher, stored, text_of

if TYPE_CHECKING:
    from .translate import Scope, Translator

Typed = tuple[Node, SqlType | None]
Handler = Callable[["Translator", list[Node], "Scope"], Typed]
FUNCTIONS: dict[str, Handler] = {}
DATETIME2 = SqlType("datetime2", 0, 0, 7)
UNITS = {
    "yy": "year",
    "yyyy": "year",
    "qq": "quarter",
    "q": "quarter",
    "mm": "month",
    "m": "month",
    "dy": "dayofyear",
    "y": "dayofyear",
    "dd": "day",
    "d": "day",
    "wk": "week",
    "ww": "week",
    "dw": "weekday",
    "w": "weekday",
    "hh": "hour",
    "mi": "minute",
    "n": "minute",
    "ss": "second",
    "s": "second",
    "ms": "millisecond",
    "mcs": "microsecond",
    "ns": "nanosecond",
    "tz": "tzoffset",
    "isowk": "iso_week",
    "isoww": "iso_week",
}
TICKS = {
    "day": DAY,
    "dayofyear": DAY,
    "weekday": DAY,
    "week": 7 * DAY,
    "hour": DAY // 24,
    "minute": 600_000_000,
    "second": 10_000_000,
    "millisecond": 10_000,
    "microsecond": 10,
}


def function(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        for name in names:
            FUNCTIONS[name] = handler
        return handler

    return register


def utc_ticks() -> int:
    """The server's clock, in ticks since 0001-01-01 UTC."""
    return time.time_ns() // 100 + EPOCH_DAYS * DAY


def number(value: int, kind: str = "BIGINT") -> Node:
    return stored(exp.Literal.number(value), kind)


def _clock(kind: SqlType) -> Handler:
    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        if kind.family == "offset":
            return call("dto_pack", exp.Literal.number(tr.now), 0), kind
        return convert(number(tr.now), DATETIME2, kind), kind

    return handler


for _name in ("getdate", "getutcdate"):
    FUNCTIONS[_name] = _clock(SqlType("datetime"))
for _name in ("sysdatetime", "sysutcdatetime"):
    FUNCTIONS[_name] = _clock(DATETIME2)
FUNCTIONS["sysdatetimeoffset"] = _clock(SqlType("datetimeoffset", 0, 0, 7))


def unit_of(node: Node) -> str:
    name = node.name.lower()
    return UNITS.get(name, name)


def _as_ticks(tr: Translator, node: Node, scope: Scope) -> tuple[Node, SqlType]:
    value, kind = tr.expr(node, scope)
    if kind is not None and kind.family == "ticks":
        return value, kind
    return convert(value, kind, DATETIME2), kind or DATETIME2


@function("dateadd")
def _dateadd(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    unit = unit_of(arguments[0])
    amount = tr.expr(arguments[1], scope)[0]
    ticks, kind = _as_ticks(tr, arguments[2], scope)
    result = kind if kind.family in ("ticks", "date", "time", "offset") else SqlType("datetime")
    if kind.family == "offset":
        ticks = call("dto_local", tr.expr(arguments[2], scope)[0])
    if unit in ("year", "quarter", "month"):
        months = {"year": 12, "quarter": 3, "month": 1}[unit]
        moved = call("add_months", ticks, exp.Mul(this=exp.Paren(this=amount), expression=exp.Literal.number(months)))
    elif unit == "nanosecond":
        moved = exp.Paren(
            this=exp.Add(
                this=ticks, expression=exp.IntDiv(this=exp.Paren(this=amount), expression=exp.Literal.number(100))
            )
        )
    elif unit in TICKS:
        moved = exp.Paren(
            this=exp.Add(
                this=ticks,
                expression=exp.Mul(this=stored(amount, "BIGINT"), expression=exp.Literal.number(TICKS[unit])),
            )
        )
    else:
        raise SqlError(155, f"'{arguments[0].name}' is not a recognized dateadd option.", 15)
    if kind.family == "offset":
        back = call("dto_minutes", tr.expr(arguments[2], scope)[0])
        local = exp.Sub(this=moved, expression=exp.Mul(this=back, expression=exp.Literal.number(600_000_000)))
        return call("dto_pack", exp.Paren(this=local), back.copy()), kind
    return convert(moved, DATETIME2, result), result


def _difference(kind: SqlType) -> Handler:
    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        unit = unit_of(arguments[0])
        start, end = _as_ticks(tr, arguments[1], scope)[0], _as_ticks(tr, arguments[2], scope)[0]
        if unit in ("year", "quarter", "month"):
            made = call("datediff", unit, call("tk_date", start), call("tk_date", end))
        elif unit == "nanosecond":
            made = exp.Mul(this=exp.Paren(this=exp.Sub(this=end, expression=start)), expression=exp.Literal.number(100))
        elif unit in TICKS:
            # Boundaries crossed, not time elapsed; a week starts on Sunday, as 0000-12-31 was one.
            shift = DAY if unit == "week" else 0
            parts = [
                exp.IntDiv(
                    this=exp.Paren(this=exp.Add(this=x, expression=exp.Literal.number(shift))),
                    expression=exp.Literal.number(TICKS[unit]),
                )
                for x in (end, start)
            ]
            made = exp.Sub(this=parts[0], expression=parts[1])
        else:
            raise SqlError(155, f"'{arguments[0].name}' is not a recognized datediff option.", 15)
        return stored(exp.Paren(this=made), kind.duckdb), kind

    return handler


FUNCTIONS["datediff"] = _difference(INT)
FUNCTIONS["datediff_big"] = _difference(BIGINT)


@function("datepart")
def _datepart(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    unit = unit_of(arguments[0])
    ticks, _ = _as_ticks(tr, arguments[1], scope)
    if unit in ("year", "quarter", "month", "day", "dayofyear", "week", "iso_week"):
        return stored(call({"iso_week": "week"}.get(unit, unit), call("tk_date", ticks)), "INTEGER"), INT
    if unit == "weekday":
        day = exp.Add(this=call("dayofweek", call("tk_date", ticks)), expression=exp.Literal.number(1))
        return stored(exp.Paren(this=day), "INTEGER"), INT
    size, cycle = {
        "hour": (36_000_000_000, 24),
        "minute": (600_000_000, 60),
        "second": (10_000_000, 60),
        "millisecond": (10_000, 1000),
        "microsecond": (10, 1_000_000),
        "nanosecond": (1, 10_000_000),
    }[unit]
    part: Node = exp.Mod(
        this=exp.Paren(this=exp.IntDiv(this=ticks, expression=exp.Literal.number(size))),
        expression=exp.Literal.number(cycle),
    )
    if unit == "nanosecond":
        part = exp.Mul(this=exp.Paren(this=part), expression=exp.Literal.number(100))
    return stored(exp.Paren(this=part), "INTEGER"), INT


def _part(unit: str) -> Handler:
    return lambda tr, arguments, scope: _datepart(tr, [exp.column(unit), *arguments], scope)


for _name in ("year", "month", "day"):
    FUNCTIONS[_name] = _part(_name)


@function("eomonth")
def _eomonth(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    return call("last_day", call("tk_date", _as_ticks(tr, arguments[0], scope)[0])), SqlType("date")


@function("datefromparts")
def _datefromparts(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    return call("make_date", *[tr.expr(a, scope)[0] for a in arguments]), SqlType("date")


@function("switchoffset", "todatetimeoffset")
def _switchoffset(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    value, kind = tr.expr(arguments[0], scope)
    zone, zone_kind = tr.expr(arguments[1], scope)
    minutes = zone if zone_kind and zone_kind.family == "int" else call("offset_minutes", zone)
    if kind is not None and kind.family == "offset":
        return call("dto_pack", call("dto_utc", value), minutes), kind
    local = convert(value, kind, DATETIME2)
    shift = exp.Mul(this=minutes, expression=exp.Literal.number(600_000_000))
    return call("dto_pack", exp.Paren(this=exp.Sub(this=local, expression=shift)), minutes.copy()), SqlType(
        "datetimeoffset", 0, 0, 7
    )


@function("len")
def _len(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    value, kind = tr.expr(arguments[0], scope)
    return stored(call("ms_len", convert(value, kind, NVARCHAR) if kind else value), "INTEGER"), INT


@function("datalength")
def _datalength(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    value, kind = tr.expr(arguments[0], scope)
    result = BIGINT if kind is not None and kind.is_max else INT
    if kind is not None and kind.family == "binary":
        made = call("octet_length", value)
    elif kind is not None and kind.family == "string":
        wide = kind.name[0] == "n" or kind.name in ("xml", "sysname")
        made = call("wide_length" if wide else "length", value)
        if wide:
            made = exp.Mul(this=made, expression=exp.Literal.number(2))
    else:
        size = kind.max_length if kind else 4
        made = exp.If(this=exp.Is(this=value, expression=exp.Null()), true=exp.Null(), false=exp.Literal.number(size))
    return stored(exp.Paren(this=made), result.duckdb), result


@function("isnull")
def _isnull(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    value, kind = tr.expr(arguments[0], scope)
    other, other_kind = tr.expr(arguments[1], scope)
    if kind is not None and not (other_kind is not None and other_kind.family == kind.family):
        other = convert(other, other_kind, kind)
    return exp.Coalesce(this=value, expressions=[other]), kind or other_kind


@function("iif")
def _iif(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    return tr.expr(exp.Case(ifs=[exp.If(this=arguments[0], true=arguments[1])], default=arguments[2]), scope)


@function("nullif")
def _nullif(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    value, kind = tr.expr(arguments[0], scope)
    same, _ = tr.expr(exp.EQ(this=arguments[0].copy(), expression=arguments[1]), scope)
    return exp.Case(ifs=[exp.If(this=same, true=exp.Null())], default=value), kind


def _same(name: str, result: SqlType | None = None) -> Handler:
    """A function DuckDB has with the same meaning; without a result type, its first argument's."""

    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        pairs = [tr.expr(a, scope) for a in arguments]
        kind = result
        if kind is None and pairs:
            kind = pairs[0][1]
            if kind is not None and kind.name in ("char", "nchar", "sysname"):
                kind = SqlType("nvarchar" if kind.name != "char" else "varchar", kind.length or 128)
        return call(name, *[a for a, _ in pairs]), kind

    return handler


for _name, _duck in (
    ("upper", "upper"),
    ("lower", "lower"),
    ("ltrim", "ltrim"),
    ("rtrim", "rtrim"),
    ("trim", "trim"),
    ("reverse", "reverse"),
    ("left", "left"),
    ("right", "right"),
    ("substring", "substring"),
):
    FUNCTIONS[_name] = _same(_duck)
for _name, _duck in (("replace", "replace"), ("replicate", "repeat")):
    FUNCTIONS[_name] = _same(_duck, SqlType("nvarchar", 4000))
FUNCTIONS["replicate"] = lambda tr, a, s: (
    call("repeat", *[tr.expr(x, s)[0] for x in a]),
    (
        lambda k: (
            SqlType(k.name, MAX if k.length == MAX else 8000)
            if k and k.family == "string" and k.name[0] != "n"
            else SqlType("nvarchar", MAX if k and k.length == MAX else 4000)
        )
    )(tr.expr(a[0], s)[1]),
)
FUNCTIONS["quotename"] = _same("quotename", SqlType("nvarchar", 258))
FUNCTIONS["parsename"] = _same("parsename", SYSNAME)
FUNCTIONS["newid"] = FUNCTIONS["newsequentialid"] = _same("uuid", SqlType("uniqueidentifier"))
for _name in ("abs", "floor", "ceiling", "round", "sign", "power", "sqrt"):
    FUNCTIONS[_name] = _same(_name)
FUNCTIONS["rand"] = _same("random", SqlType("float"))
FUNCTIONS["ascii"] = FUNCTIONS["unicode"] = _same("unicode", INT)
FUNCTIONS["char"] = FUNCTIONS["nchar"] = _same("chr", SqlType("nvarchar", 1))


@function("charindex")
def _charindex(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    needle, hay = tr.expr(arguments[0], scope)[0], tr.expr(arguments[1], scope)[0]
    return stored(call("instr", call("lower", hay), call("lower", needle)), "INTEGER"), INT


@function("space")
def _space(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    return call("repeat", " ", tr.expr(arguments[0], scope)[0]), SqlType("varchar", 8000)


@function("concat")
def _concat(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    pairs = [tr.expr(a, scope) for a in arguments]
    kinds = [k for _, k in pairs if k is not None and k.family == "string"]
    length = MAX if any(k.length == MAX for k in kinds) else 4000
    return call("concat", *[convert(v, k, NVARCHAR) for v, k in pairs]), SqlType("nvarchar", length)


@function("hashbytes")
def _hashbytes(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    algorithm = {"md5": "md5", "sha1": "sha1", "sha": "sha1", "sha2_256": "sha256"}.get(arguments[0].name.lower())
    if algorithm is None:
        raise SqlError(195, "That hash algorithm is not answered by the stand-in.", 15)
    return call("unhex", call(algorithm, text_of(tr.expr(arguments[1], scope)[0]))), SqlType("varbinary", 8000)


def coalesce(tr: Translator, node: exp.Coalesce, scope: Scope) -> Typed:
    pairs = [tr.expr(a, scope) for a in [node.this, *node.expressions]]
    return merged(pairs, lambda values: exp.Coalesce(this=values[0], expressions=values[1:]))


def merged(pairs: list[Typed], build: Callable[[list[Node]], Node]) -> Typed:
    """An expression whose branches all take the type of highest precedence among them."""
    kinds = [k for _, k in pairs if k is not None]
    if not kinds:
        return build([v for v, _ in pairs]), None
    kind = kinds[0]
    for other in kinds[1:]:
        kind = higher(kind, other)
    changed = [
        v if k is None or k.family == kind.family or isinstance(v, exp.Null) else convert(v, k, kind) for v, k in pairs
    ]
    return build(changed), kind


__all__ = ["FUNCTIONS", "OFFSET_BIAS", "Typed", "coalesce", "merged", "utc_ticks"]
