"""Tokens a response needs beside those pysqlbridge builds: column metadata, return values, procedure ends."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from pysqlbridge.tds.packet import USER_TYPE_WIDENED_IN

from .rows import column
from .types import SqlType

DONE, DONE_PROCEDURE, DONE_IN_PROCEDURE = 0xFD, 0xFE, 0xFF
MORE, ERROR, COUNT, ATTENTION = 0x01, 0x02, 0x10, 0x20
SELECT_COMMAND = 0xC1


@dataclass(frozen=True)
class ResultColumn:
    """One column of a result, as its table or expression declares it."""

    name: str
    type: SqlType
    nullable: bool = True
    identity: bool = False
    computed: bool = False


def metadata(columns: Sequence[ResultColumn], tds_version: int, database: str) -> bytes:
    """COLMETADATA ([MS-TDS] 2.2.7.4)."""
    user_type = "<I" if tds_version >= USER_TYPE_WIDENED_IN else "<H"
    parts = [b"\x81", struct.pack("<H", len(columns))]
    for one in columns:
        flags = one.nullable | 0x08 | one.identity << 4 | one.computed << 5
        # A rowversion is told from a binary(8) by its user type, 80.
        parts.append(struct.pack(user_type, 80 if one.type.name == "timestamp" else 0))
        parts.append(struct.pack("<H", flags))
        parts.append(one.type.type_info(database))
        parts.append(_short(one.name))
    return b"".join(parts)


def _short(text: str) -> bytes:
    """B_VARCHAR: its length in UTF-16 units."""
    data = text.encode("utf-16-le")
    return bytes([len(data) // 2]) + data


def done(kind: int, status: int, rows: int, tds_version: int, command: int = 0) -> bytes:
    """DONE, DONEPROC or DONEINPROC."""
    count = "<Q" if tds_version >= USER_TYPE_WIDENED_IN else "<I"
    return struct.pack("<BHH", kind, status, command) + struct.pack(count, rows & 0xFFFFFFFF_FFFFFFFF)


def return_status(value: int) -> bytes:
    return b"\x79" + struct.pack("<i", value)


def return_value(ordinal: int, name: str, kind: SqlType, value: object) -> bytes:
    """RETURNVALUE: an output parameter after the call."""
    from .rows import null_bytes

    label = f"@{name}" if name else ""
    head = b"\xac" + struct.pack("<H", ordinal) + _short(label)
    head += b"\x01" + struct.pack("<IH", 0, 1) + kind.type_info()
    if value is None:
        return head + null_bytes(kind)
    return head + b"".join(piece[0].as_py() for piece in column(_single(kind, value), kind))


def _single(kind: SqlType, value: object) -> pa.Array:
    arrow = {
        "int": pa.int64(),
        "bit": pa.bool_(),
        "float": pa.float64(),
        "ticks": pa.int64(),
        "time": pa.int64(),
        "string": pa.string(),
        "binary": pa.binary(),
        "guid": pa.binary(16),
        "date": pa.int32(),
        "decimal": pa.decimal128(38, kind.kind.scale if "money" in kind.name else kind.scale),
        "offset": pa.decimal128(38, 0),
    }[kind.family]
    if kind.family == "guid":
        value = getattr(value, "bytes", value)
    return pa.array([value], arrow)
