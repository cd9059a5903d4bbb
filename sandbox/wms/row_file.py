"""Rows written out once, newest first, so that a page of a full sync is a slice of a file.

Writing JSON for each request would make the stand-in slower than the programs it is there to measure. Rows changed
since then are known by id: a page that would hold one is written afresh by the caller.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sandbox.wms.entities import Entity
from sandbox.wms.store import Store


class RowFile:
    """The rows of one entity as they were loaded."""

    def __init__(self, entity: Entity, store: Store) -> None:
        base = store.folder / entity.name
        self._rows = base.with_suffix(".rows")
        self._index = base.with_suffix(".npz")
        if not self._index.exists():
            _write(entity, store, self._rows, self._index)
        found = np.load(self._index)
        self._below: npt.NDArray[np.int64] = found["below"]
        self._ends: npt.NDArray[np.int64] = found["ends"]
        self._data: mmap.mmap | bytes = b""
        if len(self._below):
            with self._rows.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.refresh(store.changed_ids(entity))

    def refresh(self, changed: list[int]) -> None:
        """Which ids are no longer as the file has them."""
        self._changed = np.sort(np.asarray(changed, dtype=np.int64))

    def page(self, below: int | None, at_least: int | None, size: int) -> tuple[memoryview, int, int, bool] | None:
        """The newest `size` rows with `at_least <= id < below`: their text, how many, the last id, whether more follow.

        None when the file cannot tell, because a row of that range has changed.
        """
        first = 0 if below is None else int(np.searchsorted(self._below, -below, "right"))
        last = len(self._below) if at_least is None else int(np.searchsorted(self._below, -at_least, "right"))
        stop = min(first + size, last)
        more = stop < last
        lowest = -int(self._below[stop - 1]) if more else at_least
        if self._has_changed(below, lowest):
            return None
        if stop <= first:
            return memoryview(b""), 0, 0, False
        start = 0 if first == 0 else int(self._ends[first - 1])
        text = memoryview(self._data)[start : int(self._ends[stop - 1]) - 1]
        return text, stop - first, -int(self._below[stop - 1]), more

    def _has_changed(self, below: int | None, at_least: int | None) -> bool:
        low = 0 if at_least is None else int(np.searchsorted(self._changed, at_least, "left"))
        high = len(self._changed) if below is None else int(np.searchsorted(self._changed, below, "left"))
        return high > low


def forget(entity: Entity, folder: Path) -> None:
    """Remove the file, so that the next server writes it anew."""
    for suffix in (".rows", ".npz"):
        (folder / entity.name).with_suffix(suffix).unlink(missing_ok=True)


def _write(entity: Entity, store: Store, rows: Path, index: Path) -> None:
    ids, ends, size = [], [], 0
    with rows.open("wb") as file, store.written_rows(entity) as reader:
        for batch in reader:
            texts = batch.column(1).cast("large_string")
            _, offsets_buffer, data = texts.buffers()
            offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
            if not len(texts):
                continue
            file.write(memoryview(data)[offsets[0] : offsets[-1]])
            ends.append(offsets[1:] - offsets[0] + size)
            size += int(offsets[-1] - offsets[0])
            ids.append(-batch.column(0).to_numpy())
    empty = np.empty(0, dtype=np.int64)
    np.savez(
        index,
        below=np.concatenate(ids) if ids else empty,
        ends=np.concatenate(ends) if ends else empty,
    )
