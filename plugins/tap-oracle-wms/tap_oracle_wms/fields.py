"""An entity's fields, read from `describe` as leniently as can be, and the columns they become.

A relation becomes two columns, `x_id` and `x_key`; a set becomes its size, `x_set_count`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sync_rules.column_types import MAX_PRECISION, ColumnType
from sync_rules.exits import ConfigurationError
from sync_rules.singer.source import Column

Kind = Literal["pk", "text", "integer", "decimal", "boolean", "datetime", "date", "time", "relation", "set", "unknown"]
_KINDS: dict[str, Kind] = {
    "pk": "pk",
    "varchar": "text",
    "char": "text",
    "string": "text",
    "text": "text",
    "clob": "text",
    "number": "decimal",
    "decimal": "decimal",
    "numeric": "decimal",
    "integer": "integer",
    "int": "integer",
    "bigint": "integer",
    "boolean": "boolean",
    "bool": "boolean",
    "datetime": "datetime",
    "timestamp": "datetime",
    "date": "date",
    "time": "time",
    "relation": "relation",
    "set": "set",
}
_LONG_TEXTS = ("text", "clob")
_LONGEST_TEXT = 10_485_760
"""Of PostgreSQL's varchar(n)."""
DEFAULT_SCALE = 10
"""Digits after the point of a number whose description names none. A value with more is refused, never rounded."""


@dataclass(frozen=True)
class WireField:
    """One field as the API answers it."""

    name: str
    kind: Kind
    declared: str
    type: ColumnType


@dataclass(frozen=True)
class Part:
    """One column: which field it comes from, and for relations and sets which part of it."""

    column: Column
    field: WireField
    part: Literal["value", "id", "key", "count"] = "value"


@dataclass(frozen=True)
class EntityDescription:
    """What is known of an entity. `unknown` holds the fields whose type nobody knows: they are read as text."""

    name: str
    fields: tuple[WireField, ...]
    unknown: tuple[str, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every column, in the API's order."""
        taken = {field.name for field in self.fields if field.kind not in ("relation", "set")}
        return tuple(part for field in self.fields for part in _parts(field, taken))

    def field(self, name: str) -> WireField | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)


def read_description(entity: str, body: bytes | bytearray, types: Mapping[str, str] | None = None) -> EntityDescription:
    """An entity from the body of `describe`; `types` says better for some fields.

    Raises ConfigurationError for what cannot be read at all, for an entity without `id`, and for a wrong `types`.
    """
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigurationError(f"{entity}: its describe is no JSON") from error
    described = _described_fields(said)
    if not described:
        raise ConfigurationError(f"{entity}: its describe names no fields")
    odd = [name for name, _ in described if not name.isprintable() or '"' in name or "\\" in name]
    if odd:
        raise ConfigurationError(f"{entity}: its describe names a field {odd[0][:60]!r}: no name of a field")
    better = dict(types or {})
    fields, unknown = [], []
    for name, about in described:
        field = _field(entity, name, about, better.pop(name, None))
        if field.kind == "unknown":
            unknown.append(name)
        fields.append(field)
    if better:
        raise ConfigurationError(f"setting types.{entity} names {', '.join(sorted(better))}, which {entity} has not")
    found = EntityDescription(entity, tuple(fields), tuple(unknown))
    key = found.field("id")
    if key is None or key.type.name != "bigint":
        raise ConfigurationError(f"{entity} has no whole number id: it cannot be paged by key")
    return found


def is_description(body: bytes | bytearray) -> bool:
    """Whether the body is a `describe`, if of an entity we cannot read: and not half a JSON, or a server's excuse."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    described = _described_fields(said)
    return bool(described) and (
        (isinstance(said, dict) and "fields" in said) or any(name == "id" for name, _ in described)
    )


def _described_fields(said: object) -> list[tuple[str, Mapping[str, Any]]]:
    """(name, what is said of it), from a mapping or a list, under `fields` or bare."""
    fields = said.get("fields", said) if isinstance(said, dict) else said
    if isinstance(fields, dict):
        return [
            (str(name), about if isinstance(about, dict) else {"type": about})
            for name, about in fields.items()
            if isinstance(about, (dict, str))
        ]
    if isinstance(fields, list):
        return [(str(one["name"]), one) for one in fields if isinstance(one, dict) and one.get("name")]
    return []


def _field(entity: str, name: str, about: Mapping[str, Any], better: str | None) -> WireField:
    declared = str(about.get("type") or "unknown").strip().lower()
    kind: Kind = _KINDS.get(declared, "unknown")
    if name.endswith("_set") and kind in ("relation", "unknown"):
        kind = "set"
    if better is not None:
        return _chosen(entity, name, declared, better)
    return WireField(name, kind, _declaration(declared, about), _type(kind, declared, about))


def _chosen(entity: str, name: str, declared: str, better: str) -> WireField:
    try:
        chosen = ColumnType.parse(better)
    except ValueError as error:
        raise ConfigurationError(f"setting types.{entity}.{name}: {better} is no type") from error
    first = chosen.name.partition(" ")[0]
    kinds: dict[str, Kind] = {
        "bigint": "integer",
        "decimal": "decimal",
        "boolean": "boolean",
        "timestamp": "datetime",
        "date": "date",
        "time": "time",
        "text": "text",
        "varchar": "text",
        "json": "unknown",
    }
    if first not in kinds or (str(chosen).startswith("timestamp") and "zone" not in str(chosen)):
        raise ConfigurationError(
            f"setting types.{entity}.{name}: {better} is not one of bigint, decimal(p,s), boolean, date, time(p),"
            " timestamp(p) with time zone, text, varchar(n), json"
        )
    return WireField(name, kinds[first], declared, chosen)


def _type(kind: Kind, declared: str, about: Mapping[str, Any]) -> ColumnType:
    if kind in ("pk", "integer", "relation", "set"):
        return ColumnType("bigint")
    if kind == "decimal":
        return _decimal(about)
    if kind == "datetime":
        return ColumnType("timestamp with time zone", precision=6)
    if kind == "time":
        return ColumnType("time", precision=6)
    if kind in ("boolean", "date"):
        return ColumnType(kind)
    length = _number(about, "max_length", "length")
    if kind == "text" and length and length <= _LONGEST_TEXT and declared not in _LONG_TEXTS:
        return ColumnType("varchar", length=length)
    return ColumnType("text")


def _decimal(about: Mapping[str, Any]) -> ColumnType:
    digits = _number(about, "max_digits", "precision", "digits")
    places = _number(about, "decimal_places", "scale", "places")
    if places is None:  # the digits alone do not say how many of them may stand before the point
        digits, places = None, DEFAULT_SCALE
    if digits is None or digits > MAX_PRECISION or places > digits:
        digits = MAX_PRECISION
    return ColumnType("decimal", precision=digits, scale=min(places, digits))


def _number(about: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = about.get(name)
        if isinstance(value, str) and value.strip().isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _declaration(declared: str, about: Mapping[str, Any]) -> str:
    """The type as the API says it, with what it says of its size."""
    digits, places = _number(about, "max_digits", "precision"), _number(about, "decimal_places", "scale")
    length = _number(about, "max_length", "length")
    if digits is not None:
        return f"{declared}({digits},{places or 0})"
    return f"{declared}({length})" if length else declared


def _parts(field: WireField, taken: set[str]) -> Sequence[Part]:
    def column(name: str, kind: ColumnType) -> Column:
        return Column(name, kind, nullable=field.name != "id", source_type=field.declared)

    if field.kind == "relation":
        base = field.name.removesuffix("_id")
        key = f"{base}_key"
        if key in taken:  # the entity has a field of its own by that name: the relation's key stands back
            key = f"{field.name}_key"
        return (
            Part(column(f"{base}_id", field.type), field, "id"),
            Part(column(key, ColumnType("text")), field, "key"),
        )
    if field.kind == "set":
        return (Part(column(f"{field.name}_count", field.type), field, "count"),)
    return (Part(column(field.name, field.type), field),)
