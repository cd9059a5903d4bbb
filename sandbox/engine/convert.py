"""Conversions between SQL Server's types, as DuckDB expressions over the stored forms.

Temporal values are stored as ticks (see functions.sql), so that each conversion here is exact to 100 ns.
"""

from __future__ import annotations

from sqlglot import exp

from ..tds.errors import SqlError
from ..tds.types import MAX, NVARCHAR, WIDE, SqlType

Node = exp.Expr
NUMBERS = ("int", "decimal", "float", "bit")
TEMPORAL = ("date", "time", "ticks", "offset")
_VARYING = ("varchar", "nvarchar")


def call(name: str, *arguments: Node | int | str) -> Node:
    """A DuckDB function or macro by its own name."""
    return exp.Anonymous(
        this=name,
        expressions=[
            exp.Literal.number(a) if isinstance(a, int) else exp.Literal.string(a) if isinstance(a, str) else a
            for a in arguments
        ],
    )


def stored(node: Node, kind: str) -> Node:
    """CAST to a DuckDB type."""
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def text_of(node: Node) -> Node:
    return stored(node, "VARCHAR")


def digits(kind: SqlType | None) -> int:
    if kind is None:
        return 7
    return {"datetime": 3, "smalldatetime": 0, "date": 0}.get(kind.name, kind.scale)


def convert(node: Node, have: SqlType | None, want: SqlType, style: int | None = None) -> Node:
    """CAST or CONVERT of a value from one type to another."""
    family, target = (have.family if have else None), want.family
    if isinstance(node, exp.Null):
        return stored(node, want.duckdb)
    if target == "string":
        text = _to_text(node, have, style)
        return text if _fits(have, want) else _sized_text(text, want)
    if target == "ticks":
        return _rounded(_to_ticks(node, have), want)
    if target == "date":
        return stored(node, "DATE") if family == "date" else call("tk_date", _to_ticks(node, have))
    if target == "time":
        ticks = (
            node
            if family == "time"
            else exp.Mod(this=exp.Paren(this=_to_ticks(node, have)), expression=exp.Literal.number(864_000_000_000))
        )
        return call("tk_round", ticks, 10 ** (7 - want.scale)) if want.scale < 7 else ticks
    if target == "offset":
        if family == "offset":
            made = node
        elif family in TEMPORAL:
            made = call("dto_pack", _to_ticks(node, have), 0)
        else:
            made = call("dto_from_text", text_of(node))
        return call("dto_round", made, 10 ** (7 - want.scale)) if want.scale < 7 else made
    if target == "binary":
        return _to_binary(node, have, want, style)
    if target == "guid":
        return stored(node, "UUID")
    if target == "bit" and family in ("int", "decimal", "float"):
        return exp.Paren(this=exp.NEQ(this=node, expression=exp.Literal.number(0)))
    if target == "int" and family in ("decimal", "float"):
        return stored(call("trunc", node), want.duckdb)
    if target == "int" and family == "bit":
        return stored(stored(node, "INTEGER"), want.duckdb)
    if target == "int" and family == "binary":
        return stored(text_of(call("concat", "0x", call("hex", node))), want.duckdb)
    if target in NUMBERS and family == "ticks":
        days = exp.Div(
            this=exp.Paren(this=exp.Sub(this=node, expression=exp.Literal.number(599_266_080_000_000_000))),
            expression=exp.Literal.number(864_000_000_000),
        )
        return stored(days, want.duckdb)
    if target in NUMBERS and family in ("date", "time", "offset", "guid"):
        assert have is not None
        raise SqlError(529, f"Explicit conversion from data type {have.name} to {want.name} is not allowed.")
    return stored(node, want.duckdb)


def _to_ticks(node: Node, have: SqlType | None) -> Node:
    family = have.family if have else None
    if family == "ticks":
        return node
    if family == "date":
        return call("tk_from_date", node)
    if family == "time":
        return exp.Paren(this=exp.Add(this=node, expression=exp.Literal.number(599_266_080_000_000_000)))
    if family == "offset":
        return call("dto_local", node)
    if family in NUMBERS:
        days = stored(exp.Mul(this=exp.Paren(this=node), expression=exp.Literal.number(864_000_000_000)), "BIGINT")
        return exp.Paren(this=exp.Add(this=days, expression=exp.Literal.number(599_266_080_000_000_000)))
    return call("tk_from_text", text_of(node))


def _rounded(ticks: Node, want: SqlType) -> Node:
    if want.name == "datetime":
        return call("tk_datetime", ticks)
    if want.name == "smalldatetime":
        return call("tk_round", ticks, 600_000_000)
    return call("tk_round", ticks, int(10 ** (7 - want.scale))) if want.scale < 7 else ticks


def _to_text(node: Node, have: SqlType | None, style: int | None) -> Node:
    family = have.family if have else None
    if family == "ticks":
        return _ticks_text(node, have, style)
    if family == "time":
        return call("tk_clock", node, digits(have))
    if family == "date" and style in (112, 103, 101, 104, 105):
        return _dated(call("tk_from_date", node), style)
    if family == "offset":
        if style in (126, 127):
            return call("dto_text", node, digits(have), "T")
        return call("dto_text", node, digits(have), " ")
    if family == "guid":
        return call("upper", text_of(node))
    if family == "bit":
        return text_of(stored(node, "INTEGER"))
    if family == "binary":
        if style == 1:
            return call("concat", "0x", call("hex", node))
        return call("hex", node) if style == 2 else call("decode", node)
    if have is not None and have.name in ("money", "smallmoney") and style in (None, 0):
        return text_of(stored(node, "DECIMAL(19,2)"))
    if family == "float" and style == 3:
        return call("printf", "%.16e", node)
    return text_of(node)


def _dated(ticks: Node, style: int | None) -> Node:
    form = {112: "%Y%m%d", 103: "%d/%m/%Y", 101: "%m/%d/%Y", 104: "%d.%m.%Y", 105: "%d-%m-%Y"}[style or 112]
    return call("strftime", call("tk_date", ticks), form)


def _ticks_text(node: Node, have: SqlType | None, style: int | None) -> Node:
    if have is not None and have.name == "datetime":
        # Its thirds of a hundredth are told as .003 and .007.
        node = call("tk_round", node, 10_000)
    if style in (126, 127):
        return call("tk_iso", node, digits(have))
    if style in (112, 101, 103, 104, 105):
        return _dated(node, style)
    if style in (20, 120):
        return call("tk_text", node, 0, " ")
    if style in (8, 108):
        return call("tk_clock", node, 0)
    if style in (14, 114):
        return call("tk_clock", node, digits(have))
    if style == 23:
        return text_of(call("tk_date", node))
    if style in (None, 0, 100) and have is not None and have.name in ("datetime", "smalldatetime"):
        return call("strftime", call("tk_to_ts", node), "%b %d %Y %I:%M%p")
    return call("tk_text", node, digits(have), " ")


def _fits(have: SqlType | None, want: SqlType) -> bool:
    """Whether text of one byte a character has nothing to be cut or padded as what it becomes."""
    return have is not None and have.name == "varchar" and 0 < have.length <= want.length and want.name in _VARYING


def _sized_text(node: Node, want: SqlType) -> Node:
    if want.length in (MAX, 0) or want.name in ("text", "ntext", "xml", "sysname", "sql_variant"):
        return node
    cut = call("wide_left" if want.name in WIDE else "left", node, want.length)
    return _padded(cut, want)


def _padded(node: Node, want: SqlType) -> Node:
    """Text of a fixed length with its blanks. Wide text is counted in UTF-16 units: `n` of nchar is pairs of bytes."""
    if want.name == "nchar":
        return call("wide_pad", node, want.length)
    return call("rpad", node, want.length, " ") if want.name == "char" else node


def _to_binary(node: Node, have: SqlType | None, want: SqlType, style: int | None) -> Node:
    family = have.family if have else None
    if family == "int":
        assert have is not None
        width = have.kind.size if want.name == "varbinary" or want.length == 0 else want.length
        return call("big_endian", node, min(width, 8))
    if family == "guid":
        raw = call("unhex", call("replace", text_of(node), "-", ""))
    elif family == "string":
        raw = call("unhex", call("regexp_replace", node, "^0[xX]", "")) if style in (1, 2) else call("encode", node)
    else:
        raw = stored(node, "BLOB")
    if want.name == "binary":
        return call("pad_bytes", raw, want.length)
    if want.name == "varbinary" and want.length != MAX and not (have and have.length <= want.length):
        return call("unhex", call("left", call("hex", raw), want.length * 2))
    return raw


def assign(node: Node, have: SqlType | None, want: SqlType, place: str) -> Node:
    """The conversion an INSERT or UPDATE makes, which refuses to cut text where CAST would cut it."""
    if have == want and want.family not in ("string", "binary"):
        return node
    if want.family == "string" and want.length not in (MAX, 0) and want.name != "sysname":
        fit = "wide_fit" if want.name in WIDE else "fit"
        return _padded(call(fit, _to_text(node, have, None), want.length, place), want)
    if want.family == "binary" and want.length not in (MAX, 0) and (have is None or have.family == "binary"):
        raw = call("fit_bytes", stored(node, "BLOB"), want.length, place)
        return call("pad_bytes", raw, want.length) if want.name == "binary" else raw
    return convert(node, have, want)


_RANK = {
    "offset": 9,
    "ticks": 8,
    "date": 7,
    "time": 6,
    "float": 5,
    "decimal": 4,
    "int": 3,
    "bit": 2,
    "guid": 1,
    "binary": 0,
    "string": -1,
}


def unify(left: Node, have: SqlType | None, right: Node, other: SqlType | None) -> tuple[Node, Node, SqlType | None]:
    """Both sides of a comparison in one type, that of higher precedence."""
    if have is None or other is None:
        known = have or other
        if known is not None and known.family in TEMPORAL:
            side = right if have is not None else left
            if isinstance(side, exp.Null):
                return left, right, known
        return left, right, known
    if have.family == other.family:
        return left, right, higher(have, other)
    wins = have if _RANK[have.family] >= _RANK[other.family] else other
    loser = other if wins is have else have
    if wins.family in ("date", "ticks", "time") and loser.family == "string":
        # A literal keeps every digit it has; the column's scale only rounds what is stored.
        target = (
            SqlType("date")
            if wins.family == "date"
            else SqlType("time" if wins.family == "time" else "datetime2", 0, 0, 7)
        )
    elif wins.family in ("int", "bit", "decimal", "float") and loser.family in ("int", "bit", "decimal", "float"):
        if "bit" not in (wins.family, loser.family):
            return left, right, wins
        target = SqlType("int") if wins.family == "bit" else wins
        if wins.family == "bit" or loser.family == "bit":
            fix = exp.Cast(this=left if have.family == "bit" else right, to=exp.DataType.build("INTEGER"))
            return (fix, right, wins) if have.family == "bit" else (left, fix, wins)
    elif wins.family == "binary" or (wins.family == "int" and loser.family == "binary"):
        target = SqlType("varbinary", 8000) if wins.family == "binary" else wins
    else:
        target = wins
    if wins is have:
        return left, convert(right, other, target), wins
    return convert(left, have, target), right, wins


def higher(one: SqlType, other: SqlType) -> SqlType:
    """The type of a column that holds values of both: what CASE, COALESCE and UNION give."""
    if one == other:
        return one
    if one.family == other.family == "string":
        wide = one.name[0] == "n" or other.name[0] == "n"
        longest = MAX if MAX in (one.length, other.length) else max(one.length, other.length)
        return SqlType("nvarchar" if wide else "varchar", longest or 4000)
    if one.family == other.family == "decimal":
        scale = max(one.scale, other.scale)
        whole = max(one.precision - one.scale, other.precision - other.scale)
        return SqlType("decimal", 0, min(38, whole + scale), scale)
    if one.family == other.family:
        return one if one.kind.size >= other.kind.size else other
    return one if _RANK[one.family] >= _RANK[other.family] else other


def literal_type(text: str) -> SqlType:
    """The type of a number written in a statement."""
    if "e" in text.lower():
        return SqlType("float")
    if "." in text:
        whole, _, part = text.partition(".")
        return SqlType("numeric", 0, max(1, len(whole.lstrip("0")) + len(part)), len(part))
    return SqlType("int") if abs(int(text)) < 2**31 else SqlType("numeric", 0, len(text), 0)


__all__ = [
    "MAX",
    "NUMBERS",
    "NVARCHAR",
    "Node",
    "assign",
    "call",
    "convert",
    "higher",
    "literal_type",
    "stored",
    "text_of",
    "unify",
]
