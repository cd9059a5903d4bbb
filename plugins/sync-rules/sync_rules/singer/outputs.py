"""Where the pages of a sync go: Arrow files announced by BATCH lines, or RECORD lines with the same values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from types import TracebackType
from typing import Protocol

import pyarrow as pa
from singer_sdk.singerlib import RecordMessage

from sync_rules.batch_files import BatchFolder
from sync_rules.batch_info import BatchInfo
from sync_rules.exits import LimitReached
from sync_rules.singer.messages import Lines
from sync_rules.singer.records import records


class Output(Protocol):
    """Takes the pages of one stream."""

    @property
    def counts(self) -> bool:
        """Whether the target counts as many rows as go out here: records may be filtered on the way."""

    def page(self, batches: Sequence[pa.RecordBatch], info: BatchInfo) -> None:
        """Hand one page over. When this returns, its STATE may be written."""


class BatchOutput:
    """Pages as Arrow files. As a context manager: it ends when the target has taken every file."""

    counts = True

    def __init__(self, stream: str, schema: pa.Schema, folder: BatchFolder, lines: Lines) -> None:
        self._stream = stream
        self._schema = schema
        self._folder = folder
        self._lines = lines

    def page(self, batches: Sequence[pa.RecordBatch], info: BatchInfo) -> None:
        """Write the file, then announce it."""
        address = self._folder.write(batches, self._schema, replace(info, stream=self._stream))
        self._lines.batch(self._stream, address)

    def __enter__(self) -> BatchOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After a clean end, a limit reached included, the target still has to read the files; after a failure not."""
        self._folder.close(discard=not (kind is None or isinstance(error, LimitReached)))


class RecordOutput:
    """Pages as RECORD lines; `limit` cuts a dry run short."""

    counts = False

    def __init__(self, stream: str, lines: Lines, limit: int | None = None) -> None:
        self._stream = stream
        self._lines = lines
        self._limit = limit

    def page(self, batches: Sequence[pa.RecordBatch], info: BatchInfo) -> None:
        """Write every row of the page."""
        now = datetime.now(tz=timezone.utc)
        left = self._limit
        for batch in batches:
            part = batch if left is None else batch.slice(0, left)
            self._lines.records(
                RecordMessage(stream=self._stream, record=record, version=info.version, time_extracted=now)
                for record in records(part)
            )
            if left is not None:
                left -= part.num_rows

    def __enter__(self) -> RecordOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""
