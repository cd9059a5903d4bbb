"""T-SQL's built-in functions: what DuckDB computes for each, and the type each gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from ..tds.errors import SqlError
from ..tds.rows import DAY, EPOCH_DAYS, OFFSET_BIAS
from ..tds.types import BIGINT, COLLATION_NAME, INT, MAX, NVARCHAR, SYSNAME, SqlType
from .catalog import BASE, quoted, text
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


def _number(value: int, kind: str = "BIGINT") -> Node:
    return stored(exp.Literal.number(value), kind)


def _clock(kind: SqlType) -> Handler:
    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        if kind.family == "offset":
            return call("dto_pack", exp.Literal.number(tr.now), 0), kind
        return convert(_number(tr.now), DATETIME2, kind), kind

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
        made = call("length", value)
        if kind.name[0] == "n" or kind.name in ("xml", "sysname"):
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


def _said(value: Callable[[Translator], str | int | None], kind: SqlType = SYSNAME) -> Handler:
    """A function whose answer the session knows, whatever its arguments."""

    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        found = value(tr)
        if found is None:
            return stored(exp.Null(), kind.duckdb), kind
        if isinstance(found, int):
            return stored(exp.Literal.number(found), kind.duckdb), kind
        return exp.Literal.string(found), kind

    return handler


FUNCTIONS["host_name"] = _said(lambda tr: tr.facts.host)
FUNCTIONS["app_name"] = _said(lambda tr: tr.facts.application)
for _name in ("suser_name", "suser_sname", "original_login"):
    FUNCTIONS[_name] = _said(lambda tr: tr.facts.login)
FUNCTIONS["user_name"] = _said(lambda tr: "dbo" if tr.facts.administrator else tr.facts.login)
FUNCTIONS["scope_identity"] = _said(lambda tr: tr.facts.identity, SqlType("numeric", 0, 38, 0))
FUNCTIONS["xact_state"] = _said(lambda tr: int(tr.facts.trancount > 0), SqlType("smallint"))
FUNCTIONS["is_srvrolemember"] = _said(lambda tr: int(tr.facts.administrator), INT)
FUNCTIONS["is_member"] = FUNCTIONS["is_rolemember"] = FUNCTIONS["is_srvrolemember"]
FUNCTIONS["connectionproperty"] = _said(lambda tr: "TCP", SqlType("sql_variant"))


@function("db_name")
def _db_name(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    if not arguments:
        return exp.Literal.string(tr.database), SYSNAME
    number = tr.expr(arguments[0], scope)[0].sql("duckdb")
    return tr.scalar(f"(SELECT name FROM memory.main.databases WHERE database_id = {number})"), SYSNAME


@function("db_id")
def _db_id(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    name = tr.expr(arguments[0], scope)[0].sql("duckdb") if arguments else text(tr.database)
    return tr.scalar(f"(SELECT database_id FROM memory.main.databases WHERE lower(name) = lower({name}))"), SqlType(
        "smallint"
    )


@function("has_dbaccess")
def _has_dbaccess(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    name = tr.expr(arguments[0], scope)[0].sql("duckdb")
    return tr.scalar(f"(SELECT 1 FROM memory.main.databases WHERE lower(name) = lower({name}))"), INT


@function("databasepropertyex")
def _databasepropertyex(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    known: dict[str, str] = {
        "collation": COLLATION_NAME,
        "status": "ONLINE",
        "updateability": "READ_WRITE",
        "recovery": "FULL",
        "useraccess": "MULTI_USER",
    }
    found = known.get(arguments[1].name.lower())
    return (exp.Literal.string(found) if found else stored(exp.Null(), "VARCHAR")), SqlType("nvarchar", 128)


@function("serverproperty")
def _serverproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    known: dict[str, str | int] = {
        "productversion": "16.0.1000.6",
        "productlevel": "RTM",
        "edition": "Developer Edition (64-bit)",
        "collation": COLLATION_NAME,
        "engineedition": 3,
        "servername": "PARALELO",
        "machinename": "PARALELO",
        "productmajorversion": "16",
        "productminorversion": "0",
        "isclustered": 0,
        "ishadrenabled": 0,
        "isintegratedsecurityonly": 0,
        "lcid": 1033,
        "productbuild": "1000",
    }
    found = known.get(arguments[0].name.lower())
    if isinstance(found, int):
        return _number(found, "INTEGER"), INT
    return (exp.Literal.string(found) if found else stored(exp.Null(), "VARCHAR")), SqlType("nvarchar", 128)


@function("sessionproperty")
def _sessionproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    return _number(int(arguments[0].name.upper() != "NUMERIC_ROUNDABORT"), "INTEGER"), INT


@function("has_perms_by_name")
def _has_perms(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    target = arguments[0].name if isinstance(arguments[0], exp.Literal | exp.National) else None
    return _number(int(tr.may("SELECT", target)), "INTEGER"), INT


@function("object_id")
def _object_id(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    first = arguments[0]
    if isinstance(first, exp.Literal | exp.National):
        found = tr.named(first.name)
        return (_number(found.ident, "INTEGER") if found else stored(exp.Null(), "INTEGER")), INT
    name = tr.expr(first, scope)[0].sql("duckdb")
    base = f"{quoted(tr.database)}.{BASE}"
    plain = f"lower(replace(replace({name}, '[', ''), ']', ''))"
    return tr.scalar(
        f"(SELECT o.object_id FROM {base}.objects o JOIN {base}.schemas s USING (schema_id)"
        f" WHERE lower(s.name || '.' || o.name) = {plain} OR (s.name = 'dbo' AND lower(o.name) = {plain}))"
    ), INT


def _lookup(table: str, key: str, want: str, kind: SqlType) -> Handler:
    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        if not arguments:
            return (exp.Literal.string("dbo") if want == "name" else _number(1, "INTEGER")), kind
        value = tr.expr(arguments[0], scope)[0].sql("duckdb")
        left, right = (f"lower({key})", f"lower({value})") if key == "name" else (key, value)
        return tr.scalar(f"(SELECT min({want}) FROM {quoted(tr.database)}.{BASE}.{table} WHERE {left} = {right})"), kind

    return handler


FUNCTIONS["schema_name"] = _lookup("schemas", "schema_id", "name", SYSNAME)
FUNCTIONS["schema_id"] = _lookup("schemas", "name", "schema_id", INT)
FUNCTIONS["object_name"] = _lookup("objects", "object_id", "name", SYSNAME)
FUNCTIONS["type_name"] = _lookup("types", "user_type_id", "name", SYSNAME)
FUNCTIONS["type_id"] = _lookup("types", "name", "user_type_id", INT)


@function("columnproperty")
def _columnproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    source = {
        "isidentity": "is_identity",
        "iscomputed": "computed_definition IS NOT NULL",
        "allowsnull": "is_nullable",
        "precision": "catalog_precision",
        "scale": "catalog_scale",
        "columnid": "column_id",
        "ordinal": "column_id",
        "issparse": "is_sparse",
    }.get(arguments[2].name.lower(), "NULL")
    item, name = (tr.expr(a, scope)[0].sql("duckdb") for a in arguments[:2])
    return tr.scalar(
        f"(SELECT CAST({source} AS INTEGER) FROM {quoted(tr.database)}.{BASE}.columns"
        f" WHERE object_id = {item} AND lower(name) = lower({name}))"
    ), INT


@function("objectproperty", "objectpropertyex")
def _objectproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    item = tr.expr(arguments[0], scope)[0].sql("duckdb")
    test = {
        "isusertable": "type = 'U'",
        "istable": "type = 'U'",
        "isview": "type = 'V'",
        "ismsshipped": "false",
        "tablehasprimarykey": f"EXISTS (FROM {quoted(tr.database)}.{BASE}.indexes WHERE object_id = {item}"
        " AND is_primary_key)",
    }.get(arguments[1].name.lower(), "NULL")
    return tr.scalar(
        f"(SELECT CAST({test} AS INTEGER) FROM {quoted(tr.database)}.{BASE}.objects WHERE object_id = {item})"
    ), INT


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
