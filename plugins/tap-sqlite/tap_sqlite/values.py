"""From what the driver answers to the columns' own Arrow types; and what is not of its column's type."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tap_sqlite.declared import BIGINT, BINARY, BOOLEAN, DOUBLE, JSON, TEXT, TableColumn
from tap_sqlite.stored import EXACT_INTEGER

KINDS = ("integer", "real", "text", "blob")


@dataclass(frozen=True)
class Rejected:
    """One row that is left out, and why; never its value."""

    row: int
    column: str
    stored: str
    wanted: str


class NotText(Exception):
    """A text value is not UTF-8: the page is read value by value."""


def plain(column: TableColumn, array: pa.Array) -> pa.Array:
    """A column all of whose values are of its type. Raises NotText."""
    kind = column.settled
    if kind == TEXT:
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise NotText from error
    if kind == BOOLEAN:
        return pc.equal(array, pa.scalar(1, pa.int64()))
    return array.cast(kind.arrow)


def assemble(column: TableColumn, parts: Sequence[pa.Array]) -> tuple[pa.Array, dict[int, str]]:
    """A column from its values split by kind. Returns it, and for each row that does not fit what is stored there."""
    if column.settled == JSON:
        return _as_json(parts), {}
    integers, reals, texts, blobs = parts
    kind = column.settled
    wrong: dict[int, str] = {}
    taken = {BIGINT: (0,), BOOLEAN: (0,), DOUBLE: (0, 1), TEXT: (2,), BINARY: (3,)}[kind]
    for number, part in enumerate(parts):
        if number not in taken:
            wrong |= dict.fromkeys(_rows(pc.is_valid(part)), KINDS[number])
    if kind == BOOLEAN:
        odd = pc.invert(pc.is_in(integers, pa.array([0, 1])))
        wrong |= dict.fromkeys(_rows(pc.and_(pc.is_valid(integers), odd)), "integer")
        return pc.equal(integers, pa.scalar(1, pa.int64())), wrong
    if kind == DOUBLE:
        wide = pc.greater(pc.abs(pc.max_element_wise(integers, -(2**62))), EXACT_INTEGER)
        wrong |= dict.fromkeys(_rows(pc.fill_null(pc.and_(pc.is_valid(integers), wide), False)), "integer")
        return pc.coalesce(reals, integers.cast(pa.float64(), safe=False)), wrong
    if kind == TEXT:
        raw = texts.cast(pa.binary())
        values = [_decoded(value) for value in raw.to_pylist()]
        wrong |= {row: "text that is not UTF-8" for row, value in enumerate(values) if value is NOT_TEXT}
        return pa.array([None if value is NOT_TEXT else value for value in values], kind.arrow), wrong
    return (integers if kind == BIGINT else blobs).cast(kind.arrow), wrong


NOT_TEXT = object()


def _decoded(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return NOT_TEXT


def _rows(mask: pa.Array) -> list[int]:
    found: list[int] = np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()
    return found


def _as_json(parts: Sequence[pa.Array]) -> pa.Array:
    """Each value as JSON that tells what it was: a number, a text; an object for what JSON has no form for."""
    integers, reals, texts, blobs = parts[0], parts[1], parts[2].cast(pa.binary()), parts[3]
    columns = (integers.to_pylist(), reals.to_pylist(), texts.to_pylist(), blobs.to_pylist())
    return pa.array([_json(*row) for row in zip(*columns, strict=True)], pa.large_string())


def _json(integer: int | None, real: float | None, text: bytes | None, blob: bytes | None) -> str | None:
    if integer is not None:
        return str(integer)
    if real is not None:
        return repr(real) if math.isfinite(real) else json.dumps({"real": repr(real)})
    if text is not None:
        decoded = _decoded(text)
        whole = decoded is not NOT_TEXT
        return json.dumps(decoded if whole else {"text_base64": base64.b64encode(text).decode()}, ensure_ascii=False)
    return None if blob is None else json.dumps({"base64": base64.b64encode(blob).decode()})
