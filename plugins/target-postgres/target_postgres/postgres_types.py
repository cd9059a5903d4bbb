"""PostgreSQL's column types: from the neutral vocabulary, from JSON Schema, from the catalog; which is wider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from sync_rules.column_types import ColumnType

_NAMES = {
    "decimal": "numeric",
    "char": "character",
    "varchar": "character varying",
    "varbinary": "bytea",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
}
_SPELLING = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?( (?:with|without) time zone)?")
_INTEGERS = {"smallint": 5, "integer": 10, "bigint": 19}
_TEXTS = ("character", "character varying", "text")
_LOOKED_FOR = ("text", "date", "uuid", "json", "jsonb", "bytea")
"""Names that are no words of SQL's own: a role's `search_path` may have other types that are called so."""


@dataclass(frozen=True)
class PostgresType:
    """A type as `format_type` names it, its parameters apart.

    `first` is a length in characters, a precision in digits, or the digits of a second; `second` a scale.
    """

    name: str
    first: int | None = None
    second: int | None = None

    def __str__(self) -> str:
        if self.first is None:
            return self.name
        scale = "" if self.second is None else f",{self.second}"
        head, separator, tail = self.name.partition(" with")
        if separator:
            return f"{head}({self.first}){separator}{tail}"
        return f"{self.name}({self.first}{scale})"

    @property
    def sql(self) -> sql.SQL:
        """The type in DDL. It is built from a fixed list of names and from integers: nothing in it needs quoting."""
        return sql.SQL(f"pg_catalog.{self}" if self.name in _LOOKED_FOR else str(self))

    @classmethod
    def parse(cls, spelling: str) -> PostgresType:
        """Read what PostgreSQL's `format_type` writes; a type we know nothing of keeps its spelling as its name."""
        match = _SPELLING.fullmatch(spelling)
        if match is None:
            return cls(spelling)
        name, first, second, zone = match.groups()
        return cls(name + (zone or ""), int(first) if first else None, int(second) if second else None)

    @classmethod
    def of(cls, column: ColumnType) -> PostgresType:
        """The type a column of the neutral vocabulary gets."""
        name = _NAMES.get(column.name, column.name)
        return cls(name, column.length if column.length is not None else column.precision, column.scale)


def from_json_schema(schema: Mapping[str, Any]) -> PostgresType:
    """The type of a property: by `x-column-type`, else by an unmistakable `x-sql-datatype`, else by JSON Schema."""
    declared = schema.get("x-column-type")
    if declared:
        return PostgresType.of(ColumnType.parse(declared))
    kinds, merged = _flatten(schema)
    return _from_source_type(str(schema.get("x-sql-datatype", "")), kinds) or _from_kinds(kinds, merged)


def is_nullable(schema: Mapping[str, Any]) -> bool:
    """Whether JSON Schema allows null; a property without a type allows everything."""
    kinds, _ = _flatten(schema, keep_null=True)
    return not kinds or "null" in kinds


def _flatten(schema: Mapping[str, Any], *, keep_null: bool = False) -> tuple[frozenset[str], dict[str, Any]]:
    """The JSON types a property may have, and its keywords, those of `anyOf` and `oneOf` branches included."""
    kinds: set[str] = set()
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "type")}
    given = schema.get("type", [])
    kinds.update([given] if isinstance(given, str) else given)
    for branch in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        inner, keywords = _flatten(branch, keep_null=True)
        kinds |= inner
        for key, value in keywords.items():
            merged.setdefault(key, value)
    return frozenset(kinds if keep_null else kinds - {"null"}), merged


def _from_source_type(spelling: str, kinds: frozenset[str]) -> PostgresType | None:
    match = re.fullmatch(r"(\w+)(?:\((\d+)(?:,\s*(\d+))?\))?", spelling.strip().lower())
    if match is None:
        return None
    name, first, second = match.group(1), match.group(2), match.group(3)
    if kinds == {"integer"} and name in ("smallint", "int", "integer", "bigint"):
        return PostgresType("integer" if name == "int" else name)
    if kinds == {"number"} and name in ("decimal", "numeric") and first:
        return PostgresType("numeric", int(first), int(second or 0))
    if kinds == {"string"} and name in ("varchar", "nvarchar") and first:
        return PostgresType("character varying", int(first))
    if kinds == {"string"} and name in ("date", "uuid", "uniqueidentifier"):
        return PostgresType("date" if name == "date" else "uuid")
    return None


def _from_kinds(kinds: frozenset[str], keywords: Mapping[str, Any]) -> PostgresType:
    if kinds == {"boolean"}:
        return PostgresType("boolean")
    if kinds == {"integer"}:
        wide = keywords.get("maximum", 0) >= 2**63 or keywords.get("minimum", 0) < -(2**63)
        return PostgresType("numeric") if wide else PostgresType("bigint")
    if kinds and kinds <= {"number", "integer"}:
        return PostgresType("numeric")
    if kinds == {"string"}:
        return _from_text(keywords)
    return PostgresType("jsonb")


def _from_text(keywords: Mapping[str, Any]) -> PostgresType:
    formats = {
        "date-time": "timestamp with time zone",
        "date": "date",
        "time": "time without time zone",
        "uuid": "uuid",
    }
    name = formats.get(str(keywords.get("format")))
    if name:
        return PostgresType(name)
    length = keywords.get("maxLength")
    if isinstance(length, int) and 0 < length <= 10_485_760:
        return PostgresType("character varying", length)
    return PostgresType("text")


def wider(live: PostgresType, source: PostgresType) -> PostgresType | None:
    """A type that holds every value of both without a change, nearest to `live`; None when there is none."""
    if live == source:
        return live
    if live.name == source.name:
        return _same_name(live, source)
    if live.name in _INTEGERS and source.name in _INTEGERS:
        return max(live, source, key=lambda kind: _INTEGERS[kind.name])
    for one, other in ((live, source), (source, live)):
        if one.name in _INTEGERS and other.name == "numeric":
            return _same_name(PostgresType("numeric", _INTEGERS[one.name], 0), other)
    if live.name in _TEXTS and source.name in _TEXTS:
        if "text" in (live.name, source.name):
            return PostgresType("text")
        return PostgresType("character varying", _greater(live.first, source.first))
    names = {live.name, source.name}
    if names == {"real", "double precision"}:
        return PostgresType("double precision")
    if names == {"date", "timestamp without time zone"}:
        return live if live.name != "date" else source
    if names == {"json", "jsonb"} or (live.name == "text" and source.name in ("json", "jsonb")):
        return live
    return None


def _same_name(live: PostgresType, source: PostgresType) -> PostgresType:
    if live.name != "numeric":
        return PostgresType(live.name, _greater(live.first, source.first))
    if live.first is None or source.first is None:
        return PostgresType("numeric")
    scale = max(live.second or 0, source.second or 0)
    whole = max(live.first - (live.second or 0), source.first - (source.second or 0))
    return PostgresType("numeric", whole + scale, scale)


def _greater(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
