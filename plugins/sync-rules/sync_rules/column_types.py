"""The neutral column types that tap and target agree on, by their ANSI SQL names.

A tap maps its source's types to these, a target maps these to its own. Each has one Arrow type, which is the type of
the column in a batch file, and one JSON Schema, which is what SCHEMA says of it. The table is in docs/protocol.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

MAX_PRECISION = 38
"""Digits an Arrow decimal128 holds."""

_PLAIN: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.large_string(),
    "varbinary": pa.large_binary(),
    "date": pa.date32(),
    "uuid": pa.binary(16),
    "json": pa.large_string(),
}
_TEXT = ("char", "varchar")
_TIMES: dict[str, pa.DataType] = {
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_INTEGER_BOUNDS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_SPELLING = re.compile(r"([a-z ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(with time zone)?")


@dataclass(frozen=True)
class ColumnType:
    """One type: a name and, for those that take them, its parameters.

    `length` is in characters (`char`, `varchar`); `precision` in digits (`decimal`) or in digits of the second
    (`time`, `timestamp`: 0 to 6, since Arrow files carry microseconds); `scale` in digits (`decimal`).
    """

    name: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None

    def __post_init__(self) -> None:
        if self.name in _PLAIN:
            valid = (self.length, self.precision, self.scale) == (None, None, None)
        elif self.name in _TEXT:
            valid = self.length is not None and self.length > 0 and (self.precision, self.scale) == (None, None)
        elif self.name in _TIMES:
            valid = (
                self.precision is not None and 0 <= self.precision <= 6 and (self.length, self.scale) == (None, None)
            )
        elif self.name == "decimal":
            valid = (
                self.length is None
                and self.precision is not None
                and self.scale is not None
                and 1 <= self.precision <= MAX_PRECISION
                and 0 <= self.scale <= self.precision
            )
        else:
            valid = False
        if not valid:
            raise ValueError(f"not a column type: {self.name} {self.length} {self.precision} {self.scale}")

    def __str__(self) -> str:
        if self.name in _TEXT:
            return f"{self.name}({self.length})"
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.name in _TIMES:
            first, _, rest = self.name.partition(" ")
            return f"{first}({self.precision}) {rest}".rstrip()
        return self.name

    @classmethod
    def parse(cls, spelling: str) -> ColumnType:
        """Read what `str()` writes. Raises ValueError for anything else."""
        match = _SPELLING.fullmatch(spelling.strip().lower())
        if match is None:
            raise ValueError(f"not a column type: {spelling}")
        name, first, second, zone = match.groups()
        first_number = None if first is None else int(first)
        if name in _TEXT and not second and not zone:
            return cls(name, length=first_number)
        if name == "decimal" and not zone:
            return cls(name, precision=first_number, scale=None if second is None else int(second))
        if name in ("time", "timestamp") and not second:
            return cls(f"{name} {zone}" if zone else name, precision=first_number)
        if first is not None or zone:
            raise ValueError(f"not a column type: {spelling}")
        return cls(name)

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type this column has in a batch file."""
        if self.name == "decimal":
            return pa.decimal128(self.precision, self.scale)
        if self.name in _TEXT:
            return pa.large_string()
        return _TIMES.get(self.name) or _PLAIN[self.name]

    def json_schema(self, *, nullable: bool) -> dict[str, Any]:
        """What SCHEMA says of the column; `x-column-type` carries what JSON Schema cannot."""
        described = self._json_type()
        if nullable:
            described["type"] = [described["type"], "null"]
        else:
            described["type"] = [described["type"]]
        return {**described, "x-column-type": str(self)}

    def _json_type(self) -> dict[str, Any]:
        if self.name in _INTEGER_BOUNDS:
            bound = _INTEGER_BOUNDS[self.name]
            return {"type": "integer", "minimum": -bound, "maximum": bound - 1}
        if self.name in ("decimal", "real", "double precision"):
            return {"type": "number"}
        if self.name == "boolean":
            return {"type": "boolean"}
        if self.name in _TEXT:
            return {"type": "string", "maxLength": self.length}
        formats = {
            "date": {"format": "date"},
            "time": {"format": "time"},
            "timestamp": {"format": "date-time"},
            "timestamp with time zone": {"format": "date-time"},
            "uuid": {"format": "uuid"},
            "varbinary": {"contentEncoding": "base64"},
        }
        return {"type": "string", **formats.get(self.name, {})}
