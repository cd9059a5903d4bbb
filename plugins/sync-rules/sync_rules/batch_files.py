"""The folder of Arrow files between tap and target.

A file is complete before its BATCH line is written; the target deletes it after its commit. The tap waits while too
many of its files are still there, so a fast source cannot fill the disk. A folder belongs to the process that holds
the lock in it, and is rubbish once nobody does: the rows in it were either committed, or will be read again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from sync_rules.batch_info import BatchInfo
from sync_rules.exits import ConfigurationError, Stalled

LOCK_NAME = ".lock"
PREFIX = "batches-"
_POLL_SECONDS = 0.005


class BatchFolder:
    """A private folder of batch files, below `root`, held for the life of this process.

    `max_ahead` is how many files may wait for the target; `patience_seconds` how long the tap waits for the target to
    take one before it gives up. Raises ConfigurationError when the folder cannot be made.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_ahead: int,
        patience_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_ahead = max_ahead
        self._patience = patience_seconds
        self._sleep = sleep
        self._clock = clock
        self._waiting: list[Path] = []
        self._count = 0
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _turn(root):
                remove_dead(root)
                self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
                self._lock = hold(self.path / LOCK_NAME)
        except OSError as error:
            raise ConfigurationError(f"no folder for batch files can be made below {root}: {error.strerror}") from error

    def __enter__(self) -> BatchFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(discard=kind is not None)

    def write(self, batches: Sequence[pa.RecordBatch], schema: pa.Schema, info: BatchInfo) -> str:
        """Write one batch file and return its `file://` address; waits while `max_ahead` files are there.

        Raises Stalled when the target takes none for too long, ConfigurationError when the disk is full.
        """
        self._wait_for_room(self._max_ahead - 1)
        self._count += 1
        path = self.path / f"{self._count:06}.arrow"
        try:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, info.add_to(schema)) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        except OSError as error:
            path.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ConfigurationError(
                    f"the disk is full: a batch file could not be written to {self.path.parent}"
                ) from error
            raise
        self._waiting.append(path)
        return path.as_uri()

    def close(self, *, discard: bool = False) -> None:
        """Wait until the target took every file, then remove the folder; with `discard`, leave the files to it.

        A target that died leaves files behind: the next run removes the folder, since nobody holds its lock then.
        """
        if not discard:
            self._wait_for_room(0)
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _wait_for_room(self, allowed: int) -> None:
        since = self._clock()
        left = len(self._waiting)
        while True:
            self._waiting = [path for path in self._waiting if path.exists()]
            if len(self._waiting) <= allowed:
                return
            if len(self._waiting) < left:
                since, left = self._clock(), len(self._waiting)
            if self._clock() - since > self._patience:
                raise Stalled(
                    f"the target took no batch file for {self._patience:g} s; {left} wait in {self.path.parent}"
                )
            self._sleep(_POLL_SECONDS)


@contextmanager
def _turn(root: Path) -> Iterator[None]:
    """One process at a time: a folder that is made but not yet locked would look dead to another tap."""
    handle = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove_dead(root: Path, prefix: str = PREFIX) -> int:
    """Remove the folders of that kind below `root` that no living process holds. Returns how many.

    `root` may be open to other users: what one laid there as a link is neither followed nor removed.
    """
    removed = 0
    for folder in root.glob(f"{prefix}*"):
        if folder.is_symlink():
            continue
        try:
            lock = hold(folder / LOCK_NAME)
        except OSError:
            continue
        try:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        finally:
            os.close(lock)
    return removed


def hold(path: Path) -> int:
    """An exclusive lock on the file, kept until it is closed or the process ends. Raises BlockingIOError if taken."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
