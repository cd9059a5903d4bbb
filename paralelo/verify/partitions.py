"""Rows of both sides in no common order, laid into partitions on disk by their key, and compared one at a time.

For keys that the two servers sort differently (text, uniqueidentifier), for nullable keys, and for tables without a
key, whose rows are then their own key. Equal keys always meet in the same partition; one partition of both sides is in
memory at a time. Each side is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from paralelo.verify import scratch

Hashes = npt.NDArray[np.uint64]

_HELD_BYTES = 32 * 1024 * 1024
"""Rows are laid out so many bytes at a time: in pieces of few rows a file would be mostly headers."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
_NULL = np.uint64(0xD1B54A32D192ED03)


def blocks(
    source: Iterable[pa.RecordBatch],
    target: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    key: Sequence[str],
    *,
    partitions: int,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Pairs of tables that together hold every row of both sides once.

    The files are in a private temporary folder, which is removed at the end: they hold the table's values.
    """
    names = list(key) or schema.names
    with scratch.folder() as folder:
        sides = [
            _lay_out(batches, schema, names, folder / side, partitions)
            for side, batches in (("source", source), ("target", target))
        ]
        for left, right in zip(*sides, strict=True):
            yield _load(left, schema), _load(right, schema)


def hashes(batch: pa.RecordBatch, names: Sequence[str]) -> Hashes:
    """A number for each row, the same for the same values whatever batch they are in."""
    total: Hashes = np.zeros(batch.num_rows, dtype=np.uint64)
    for name in names:
        total = _mix(total ^ _hash_column(batch.column(name)))
    return total


def _lay_out(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, names: Sequence[str], folder: Path, partitions: int
) -> list[Path]:
    folder.mkdir(mode=0o700)
    paths = [folder / f"{number:04}.arrow" for number in range(partitions)]
    for path in paths:
        path.touch()
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.nbytes for one in held) >= _HELD_BYTES:
            _append(held, schema, names, paths)
            held.clear()
    _append(held, schema, names, paths)
    return paths


def _append(batches: Sequence[pa.RecordBatch], schema: pa.Schema, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Each partition's rows to the end of its file: as a stream of its own, so that no more than one file is open."""
    for batch in pa.Table.from_batches(batches, schema).combine_chunks().to_batches():
        numbers = (hashes(batch, names) % np.uint64(len(paths))).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=len(paths)))
        arranged = batch.take(pa.array(order))
        for path, start, end in zip(paths, np.r_[0, ends[:-1]], ends, strict=True):
            if end > start:
                with pa.OSFile(str(path), "ab") as file, pa.ipc.new_stream(file, schema) as writer:
                    writer.write_batch(arranged.slice(start, end - start))


def _load(path: Path, schema: pa.Schema) -> pa.Table:
    tables = [schema.empty_table()]
    with pa.OSFile(str(path)) as file:
        while file.tell() < file.size():
            tables.append(pa.ipc.open_stream(file).read_all())
    path.unlink()
    return pa.concat_tables(tables)


def _hash_column(array: Any) -> Hashes:
    null = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        hashed = _hash_bytes(array)
    else:
        hashed = np.zeros(len(array), dtype=np.uint64)
        for word in _words(array):
            hashed = _mix(hashed ^ word)
    hashed[null] = _NULL
    return hashed


def _words(array: Any) -> list[Hashes]:
    """Fixed-width values as one or two 64-bit words. What lies under a NULL is arbitrary."""
    if pa.types.is_boolean(array.type):
        return [array.cast(pa.int8()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)]
    width = array.type.bit_width // 8
    content = np.frombuffer(array.buffers()[1], dtype=np.uint8)
    content = content[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)
    if width == 4:
        return [content.copy().view(np.int32)[:, 0].astype(np.int64).view(np.uint64)]
    wide = content.copy().view(np.uint64)
    return [wide[:, place] for place in range(wide.shape[1])]


def _hash_bytes(array: Any) -> Hashes:
    """A polynomial of each value's bytes: one running sum over the buffer, and differences of it at the offsets."""
    _, offsets, content = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if content is None or bounds[-1] == bounds[0]:
        return np.zeros(len(array), dtype=np.uint64)
    raw = np.frombuffer(content, dtype=np.uint8)[bounds[0] : bounds[-1]].astype(np.uint64)
    places = np.arange(len(raw), dtype=np.uint64) - np.repeat(
        (bounds[:-1] - bounds[0]).astype(np.uint64), np.diff(bounds)
    )
    sums = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum((raw + np.uint64(1)) * _mix(places + _ODD))))
    hashed: Hashes = sums[bounds[1:] - bounds[0]] - sums[bounds[:-1] - bounds[0]]
    return hashed


def _mix(values: Hashes) -> Hashes:
    """The finishing steps of splitmix64: every bit of the input reaches every bit of the output."""
    values = values + _ODD
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = values ^ (values >> np.uint64(31))
    return mixed
