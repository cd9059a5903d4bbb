"""A private folder for rows on disk, gone at the end; what killed comparisons left goes first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sync_rules.batch_files import LOCK_NAME, hold, remove_dead

PREFIX = "paralelo-rows-"
_UNLOCKED = ".paralelo-new-"
_held: set[Path] = set()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder below the temporary one that its owner alone can read. Its lock says that it is in use."""
    root = Path(tempfile.gettempdir())
    remove_dead(root, PREFIX)
    made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=root))
    lock = hold(made / LOCK_NAME)
    # It has the name by which others find it only once it is locked.
    path = made.rename(made.with_name(PREFIX + made.name.removeprefix(_UNLOCKED)))
    _held.add(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        _held.discard(path)
        os.close(lock)


def remove() -> None:
    """Remove all folders that are in use, for a process that ends without leaving its blocks."""
    for path in list(_held):
        shutil.rmtree(path, ignore_errors=True)
