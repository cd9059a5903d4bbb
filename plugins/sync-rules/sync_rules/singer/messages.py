"""The Singer lines that the SDK has no shape for, and the one place that writes lines.

A signal that arrives while a line is half written would leave half a line in the target's pipe. So termination is
put off until the line is whole.
"""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from singer_sdk.helpers._batch import BaseBatchFileEncoding, SDKBatchMessage
from singer_sdk.singerlib import ActivateVersionMessage, Message, RecordMessage, StateMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import SimpleSingerWriter

from sync_rules.exits import TargetUnreachable

UNREAD = "the target stopped reading: see its own messages"
_RECORDS_A_WRITE = 500


@dataclass(slots=True)
class ActivateVersionWithRows(ActivateVersionMessage):
    """ACTIVATE_VERSION that says how many rows were sent over all attempts of the version."""

    rows: int = 0

    def __post_init__(self) -> None:
        """The base class sets the type here; `slots=True` makes a new class, so `super()` without arguments fails."""
        ActivateVersionMessage.__post_init__(self)


class Lines:
    """Writes messages to the target, whole lines only."""

    def __init__(self, writer: GenericSingerWriter[Any, Message]) -> None:
        self._writer = writer
        self._writing = False
        self._put_off: Callable[[], None] | None = None

    def message(self, message: Message) -> None:
        """Write one message. Raises TargetUnreachable when nobody reads any more."""
        with self._whole():
            self._writer.write_message(message)

    def state(self, value: dict[str, Any]) -> None:
        """Write a STATE."""
        self.message(StateMessage(value))

    def batch(self, stream: str, address: str) -> None:
        """Announce one Arrow file."""
        self.message(SDKBatchMessage(stream=stream, encoding=BaseBatchFileEncoding(format="arrow"), manifest=[address]))

    def records(self, messages: Iterable[RecordMessage]) -> None:
        """Write many RECORD lines, flushing seldom: the SDK's writer flushes each line."""
        if type(self._writer) is not SimpleSingerWriter:
            for message in messages:
                self.message(message)
            return
        lines: list[str] = []
        for message in messages:
            lines.append(self._writer.format_message(message))
            if len(lines) >= _RECORDS_A_WRITE:
                self._write(lines)
                lines = []
        self._write(lines)

    @staticmethod
    def watch_reader(unread: Callable[[], None]) -> None:
        """Call `unread`, from another thread, when nobody reads any more: a tap that waits would not hear of it."""
        try:
            output = sys.stdout.fileno()
        except (OSError, ValueError):
            return  # no file: a test's or a notebook's
        threading.Thread(target=_await_unread, args=(output, unread), name="reader watch", daemon=True).start()

    def terminate(self, end: Callable[[], None]) -> None:
        """Call `end` now, or as soon as the line being written is whole."""
        if self._writing:
            self._put_off = end
        else:
            end()

    def _write(self, lines: list[str]) -> None:
        if lines:
            with self._whole():
                sys.stdout.write("\n".join(lines) + "\n")
                sys.stdout.flush()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        self._writing = True
        try:
            yield
        except BrokenPipeError as error:
            raise self._unread() from error
        finally:
            self._writing = False
        if self._put_off is not None:
            self._put_off()

    @staticmethod
    def _unread() -> TargetUnreachable:
        # Without this the interpreter tries to flush the pipe once more at exit, and complains about it.
        sys.stdout = sys.stderr
        return TargetUnreachable(UNREAD)


def _await_unread(output: int, unread: Callable[[], None]) -> None:
    look = select.poll()
    look.register(output, 0)
    ((_, event),) = look.poll()  # for ever, where it is a file
    if event & (select.POLLERR | select.POLLHUP):
        unread()
