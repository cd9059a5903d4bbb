"""Meltano's state backend `atomic-file://FOLDER`: its own one for local files, each of which is replaced as a whole.

Meltano's `file://` empties a file and then writes it anew. A kill, a full disk or a power cut in between leaves half a
state, and every later run fails on it. Layout and names are the same, so `file://` reads what this one wrote.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from meltano.core.state_store.base import MeltanoState
from meltano.core.state_store.filesystem import LocalFilesystemStateStoreManager


class DamagedState(Exception):
    """A state file that somebody emptied, cut or wrote over. No run may take it for "no state" by itself."""


class AtomicFileStateStoreManager(LocalFilesystemStateStoreManager):  # type: ignore[misc, valid-type]
    """Named in pyproject.toml, where Meltano finds it. `uri` is that of `project.state_uri`; the folder is made."""

    def __init__(self, *, uri: str, **settings: Any) -> None:
        # Nothing is left to its parser, which takes # and ? for the end of a path.
        super().__init__(uri="", **settings)
        self._state_path = uri.partition("://")[2]
        Path(self._state_path).mkdir(parents=True, exist_ok=True)

    def get(self, state_id: str) -> MeltanoState | None:
        """The state, None where there is none. Raises DamagedState where its file holds something else, and OSError."""
        try:
            found: MeltanoState | None = super().get(state_id)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedState(
                f"{self.get_state_path(state_id)} is damaged and holds no state ({error}): put its copy back, or delete"
                " it: a full sync then begins anew, an incremental one where the last full sync began"
            ) from error
        except OSError as error:  # of one with a number Meltano tells the number alone
            raise OSError(f"{self.get_state_path(state_id)} cannot be read: {error.strerror}") from error
        return found

    def is_locked(self, state_id: str) -> bool:
        """Whether somebody reads or writes the state now. A lock of the future is a dead run's, from before the clock
        was put back: it would hold until the clock is there again."""
        locked: bool = super().is_locked(state_id)
        path = Path(self.get_lock_path(state_id))
        with suppress(FileNotFoundError):
            if locked and float(path.read_text(encoding="utf-8")) > time.time() + self.lock_timeout_seconds:
                path.unlink()
                return False
        return locked

    @contextmanager
    def get_reader(self, path: str) -> Generator[TextIO, None, None]:
        """The file at a path from the root."""
        with Path(path).open(encoding="utf-8") as reader:
            yield reader

    @contextmanager
    def get_writer(self, path: str) -> Generator[TextIO, None, None]:
        """A file that takes the other's place once it is whole and on the disk; left as it was after any error."""
        fresh = Path(f"{path}.{os.getpid()}")
        try:
            with fresh.open("w", encoding="utf-8") as writer:
                yield writer
                writer.flush()
                os.fsync(writer.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
