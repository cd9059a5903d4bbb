"""Remote procedure calls: which procedure, and each parameter with its declared type and exact value.

Layout of [MS-TDS] 2.2.6.6. A temporal value becomes ticks of 100 ns (see `rows`), so that nothing of
a datetime2(7) is lost; a decimal becomes `decimal.Decimal`; text becomes `str`.
"""

from __future__ import annotations

import decimal
import struct
import uuid
from dataclasses import dataclass

from pysqlbridge.tds.packet import ALL_HEADERS_ADDED_IN, TdsProtocolError

from .rows import DAY, DAYS_TO_1900, OFFSET_BIAS
from .types import CODE_PAGE, MAX, NVARCHAR, PASSED_ON, SqlType

Value = None | int | float | bool | str | bytes | decimal.Decimal | uuid.UUID

PROCEDURES = {
    1: "sp_cursor",
    2: "sp_cursoropen",
    3: "sp_cursorprepare",
    4: "sp_cursorexecute",
    5: "sp_cursorprepexec",
    6: "sp_cursorunprepare",
    7: "sp_cursorfetch",
    8: "sp_cursoroption",
    9: "sp_cursorclose",
    10: "sp_executesql",
    11: "sp_prepare",
    12: "sp_execute",
    13: "sp_prepexec",
    14: "sp_prepexecrpc",
    15: "sp_unprepare",
}
WIDEST = decimal.Context(prec=80)


@dataclass(frozen=True)
class Parameter:
    """One argument: `value` in the stand-in's physical form of `type`."""

    name: str
    type: SqlType
    value: Value
    is_output: bool = False


@dataclass(frozen=True)
class Call:
    """One procedure call."""

    procedure: str
    parameters: tuple[Parameter, ...]


class _Reader:
    def __init__(self, payload: bytes, at: int) -> None:
        self.payload, self.at = payload, at

    def take(self, count: int) -> bytes:
        piece = self.payload[self.at : self.at + count]
        if len(piece) != count:
            raise TdsProtocolError("RPC request is cut short")
        self.at += count
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def short(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def long(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def text(self, characters: int) -> str:
        return self.take(characters * 2).decode("utf-16-le")

    def chunks(self) -> bytes | None:
        """A PLP value: eight bytes of total length, then chunks until an empty one."""
        if int.from_bytes(self.take(8), "little") == 0xFFFFFFFFFFFFFFFF:
            return None
        parts = bytearray()
        while size := self.long():
            parts += self.take(size)
        return bytes(parts)


def read_calls(payload: bytes, tds_version: int) -> list[Call]:
    """The calls of one RPC message; most carry one, a driver's array binding carries many."""
    at = struct.unpack_from("<I", payload)[0] if tds_version >= ALL_HEADERS_ADDED_IN else 0
    reader = _Reader(payload, at)
    calls = []
    while reader.at < len(payload):
        calls.append(_call(reader))
    return calls


def _call(reader: _Reader) -> Call:
    characters = reader.short()
    if characters == 0xFFFF:
        number = reader.short()
        name = PROCEDURES.get(number, f"procedure {number}")
    else:
        name = reader.text(characters)
    reader.short()
    parameters = []
    while reader.at < len(reader.payload):
        # 0x80 parts batched calls in TDS 7.2 and later; 0xFF is its older, "no execute" form.
        if reader.payload[reader.at] in (0x80, 0xFF, 0xFE):
            reader.at += 1
            break
        label = reader.text(reader.byte())
        status = reader.byte()
        kind, value = read_value(reader)
        parameters.append(Parameter(label.lstrip("@"), kind, value, bool(status & 1)))
    return Call(name, tuple(parameters))


def read_value(reader: _Reader) -> tuple[SqlType, Value]:
    """TYPE_INFO and the value after it."""
    code = reader.byte()
    if code in _FIXED:
        name, size = _FIXED[code]
        return SqlType(name), _plain(name, reader.take(size)) if size else None
    if code in (0x26, 0x68, 0x6D, 0x6E, 0x6F, 0x24):
        declared = reader.byte()
        raw = reader.take(reader.byte())
        name = _SIZED[code].get(declared, "int")
        return SqlType(name), _plain(name, raw) if raw else None
    if code in (0x6A, 0x6C, 0x37, 0x3F):
        reader.byte()
        kind = SqlType("decimal" if code in (0x6A, 0x37) else "numeric", 0, reader.byte(), reader.byte())
        raw = reader.take(reader.byte())
        return kind, _decimal(raw, kind.scale) if raw else None
    if code in (0x28, 0x29, 0x2A, 0x2B):
        kind = {0x28: "date", 0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}[code]  # type: ignore[assignment]
        scale = 0 if code == 0x28 else reader.byte()
        temporal = SqlType(str(kind), 0, 0, scale)
        raw = reader.take(reader.byte())
        return temporal, _temporal(temporal, raw) if raw else None
    if code in (0xA7, 0xAF, 0xE7, 0xEF, 0xA5, 0xAD, 0xF1):
        return _variable(reader, code)
    if code in (0x23, 0x63, 0x22):
        reader.long()
        if code != 0x22:
            reader.take(5)
        size = reader.long()
        data = None if size == 0xFFFFFFFF else reader.take(size)
        name = {0x23: "text", 0x63: "ntext", 0x22: "image"}[code]
        return SqlType(name), None if data is None else _decoded(name, data)
    if code == 0x62:
        reader.long()
        data = reader.take(reader.long())
        return (NVARCHAR, None) if not data else _variant(data)
    raise TdsProtocolError(f"an RPC parameter has type 0x{code:02x}, which SQL Server does not take here")


def _variable(reader: _Reader, code: int) -> tuple[SqlType, Value]:
    name = {
        0xA7: "varchar",
        0xAF: "char",
        0xE7: "nvarchar",
        0xEF: "nchar",
        0xA5: "varbinary",
        0xAD: "binary",
        0xF1: "xml",
    }[code]
    if code == 0xF1:
        if reader.byte():
            reader.text(reader.byte())
            reader.text(reader.byte())
            reader.text(reader.short())
        data = reader.chunks()
        return SqlType("xml", MAX), None if data is None else _decoded("nvarchar", data)
    size = reader.short()
    if code not in (0xA5, 0xAD):
        reader.take(5)
    if size == 0xFFFF:
        data = reader.chunks()
        return SqlType(name, MAX), None if data is None else _decoded(name, data)
    length = reader.short()
    kind = SqlType(name, max(1, size // 2 if code in (0xE7, 0xEF) else size))
    return kind, None if length == 0xFFFF else _decoded(name, reader.take(length))


def _variant(data: bytes) -> tuple[SqlType, Value]:
    inner = _Reader(data, 0)
    code, properties = inner.byte(), inner.byte()
    inner.take(properties)
    raw = data[inner.at :]
    if code in _FIXED:
        return SqlType(_FIXED[code][0]), _plain(_FIXED[code][0], raw)
    name = {0xA7: "varchar", 0xE7: "nvarchar", 0xEF: "nchar", 0xAF: "char"}.get(code, "varbinary")
    return SqlType(name, 8000), _decoded(name, raw)


def _decoded(name: str, data: bytes) -> str | bytes:
    if name in ("nvarchar", "nchar", "ntext", "xml"):
        return data.decode("utf-16-le", "surrogatepass")
    return data.decode(CODE_PAGE, PASSED_ON) if name in ("varchar", "char", "text") else data


_FIXED: dict[int, tuple[str, int]] = {
    0x1F: ("int", 0),
    0x30: ("tinyint", 1),
    0x32: ("bit", 1),
    0x34: ("smallint", 2),
    0x38: ("int", 4),
    0x3A: ("smalldatetime", 4),
    0x3B: ("real", 4),
    0x3C: ("money", 8),
    0x3D: ("datetime", 8),
    0x3E: ("float", 8),
    0x7A: ("smallmoney", 4),
    0x7F: ("bigint", 8),
}
_SIZED: dict[int, dict[int, str]] = {
    0x26: {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"},
    0x68: {1: "bit"},
    0x6D: {4: "real", 8: "float"},
    0x6E: {4: "smallmoney", 8: "money"},
    0x6F: {4: "smalldatetime", 8: "datetime"},
    0x24: {16: "uniqueidentifier"},
}


def _plain(name: str, raw: bytes) -> Value:
    if name == "bit":
        return raw[0] != 0
    if name in ("real", "float"):
        return float(struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0])
    if name == "uniqueidentifier":
        return uuid.UUID(bytes_le=raw)
    if name == "money":
        raw = raw[4:] + raw[:4]
    if name in ("money", "smallmoney"):
        return decimal.Decimal(int.from_bytes(raw, "little", signed=True)).scaleb(-4, WIDEST)
    if name == "datetime":
        days, clock = struct.unpack("<iI", raw)
        return (int(days) + DAYS_TO_1900) * DAY + (int(clock) * 100_000 + 1) // 3
    if name == "smalldatetime":
        days, minutes = struct.unpack("<HH", raw)
        return (int(days) + DAYS_TO_1900) * DAY + int(minutes) * 600_000_000
    return int.from_bytes(raw, "little", signed=name != "tinyint")


def _decimal(raw: bytes, scale: int) -> decimal.Decimal:
    number = int.from_bytes(raw[1:], "little")
    return decimal.Decimal(number if raw[0] else -number).scaleb(-scale, WIDEST)


def _temporal(kind: SqlType, raw: bytes) -> int:
    """Days since 0001-01-01 for a date, ticks for the others; a datetimeoffset is packed as `rows` reads it."""
    if kind.name == "date":
        return int.from_bytes(raw, "little")
    minutes = 0
    if kind.name == "datetimeoffset":
        minutes = int.from_bytes(raw[-2:], "little", signed=True)
        raw = raw[:-2]
    days = 0
    if kind.name != "time":
        days = int.from_bytes(raw[-3:], "little")
        raw = raw[:-3]
    ticks: int = days * DAY + int.from_bytes(raw, "little") * int(10 ** (7 - kind.scale))
    return ticks if kind.name != "datetimeoffset" else ticks * 2048 + minutes + OFFSET_BIAS
