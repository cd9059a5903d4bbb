"""NUL characters: legal in SQL Server's text, refused by PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from target_postgres.encode import Frame
from target_postgres.settings import LoadRules

_PIECE = 1 << 20


@dataclass(frozen=True)
class Cleaned:
    """A frame without NUL characters. `replaced` counts values; `refused` has rows to reject, with the reason."""

    frame: Frame
    replaced: int
    refused: dict[int, str]


def clean(frame: Frame, rules: LoadRules) -> Cleaned:
    """Apply the rule for NUL characters. Columns without any cost one pass over their bytes and nothing else."""
    data, replaced = frame.data, frame.nul_replaced
    refused: dict[int, str] = {}
    for position, field in enumerate(data.schema):
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        column = data.column(position)
        if not any(_holds_nul(chunk) for chunk in column.chunks):
            continue
        holding = pc.match_substring(column, "\0")
        if rules.nul_characters == "reject":
            rows = pc.indices_nonzero(pc.fill_null(holding, False)).to_pylist()
            why = f"NUL character (column {field.name})"
            refused.update({row: why for row in rows if row not in refused})
            continue
        replaced += int(pc.sum(holding).as_py() or 0)
        by = rules.nul_replacement if rules.nul_characters == "replace" else ""
        data = data.set_column(position, field, pc.replace_substring(column, "\0", by))
    return Cleaned(frame.with_data(data), replaced, refused)


def _holds_nul(array: pa.Array) -> bool:
    """Whether the bytes of these values hold a zero. Bytes of neighbours in the same buffer do not count."""
    values = array.buffers()[2]
    if values is None or not len(array):
        return False
    width = 8 if pa.types.is_large_string(array.type) else 4
    offsets = memoryview(array.buffers()[1]).cast("q" if width == 8 else "i")
    start, end = offsets[array.offset], offsets[array.offset + len(array)]
    view = memoryview(values)
    # By pieces: a copy of all the bytes of large values would be as large again.
    return any(b"\0" in bytes(view[at : min(at + _PIECE, end)]) for at in range(start, end, _PIECE))
