"""RECORD messages gathered into Arrow, as texts that PostgreSQL parses."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from sync_rules.exits import DataRefused

from target_postgres.encode import Frame, text_of, text_table
from target_postgres.job import Job
from target_postgres.postgres_types import PostgresType
from target_postgres.shape import Column

logger = logging.getLogger("target-postgres")
CHUNK_ROWS = 5000
"""Rows held as Python objects before they become Arrow texts, which take a tenth of the memory."""


CHUNK_BYTES = 8 * 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024
"""As many characters at most wait for their commit, whatever the number of rows."""


class RecordBuffer:
    """Rows of one stream, in order, until they are committed."""

    def __init__(self, job: Job, types: Mapping[str, PostgresType]) -> None:
        self._table = str(job.live)
        self._columns = columns = job.columns
        self._types = types
        self._rules = job.rules
        # Most values are text that goes on as it is: a call for each would cost more than all the rest.
        self._plain = [(column, types[column.name].name not in ("jsonb", "bytea")) for column in columns]
        self._known = {column.source for column in columns}
        self._left_out: set[str] = set()
        self._chunks: list[pa.Table] = []
        self._rows: list[list[str | None]] = []
        self.rows = 0
        self._nul_replaced = 0
        self._unpacked = self._packed = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record. Columns that it lacks are NULL; fields that are no column are left out, and told."""
        if not record.keys() <= self._known:
            self._tell_left_out(record)
        row = [
            value
            if (value := record.get(column.source)) is None or (type(value) is str and as_it_is)
            else self._text(value, column)
            for column, as_it_is in self._plain
        ]
        self._rows.append(row)
        self.rows += 1
        self._unpacked += sum(map(len, filter(None, row)))
        if len(self._rows) >= CHUNK_ROWS or self._unpacked >= CHUNK_BYTES:
            self._pack()

    def _tell_left_out(self, record: Mapping[str, Any]) -> None:
        for name in record.keys() - self._known - self._left_out:
            if record[name] is not None:
                self._left_out.add(name)
                logger.warning("%s: records have the field %r, which their SCHEMA lacks: left out", self._table, name)

    @property
    def is_large(self) -> bool:
        """Whether the rows are to be committed for their size."""
        return self._packed + self._unpacked >= MAX_BYTES

    def _text(self, value: Any, column: Column) -> str | None:
        kind = self._types[column.name]
        text = text_of(value, kind, base64=column.base64)
        if text is not None and kind.name == "jsonb" and "\\u0000" in text:
            cleaned = self._without_nul(value)
            self._nul_replaced += cleaned != value
            return text_of(cleaned, kind)
        return text

    def _without_nul(self, value: Any) -> Any:
        """`jsonb` refuses an escaped NUL, which no longer looks like one in the text: the rule is applied here."""
        if self._rules.nul_characters == "reject":
            return value
        if isinstance(value, str):
            return value.replace("\0", self._rules.nul_replacement if self._rules.nul_characters == "replace" else "")
        if isinstance(value, dict):
            return {self._without_nul(key): self._without_nul(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._without_nul(inner) for inner in value]
        return value

    def _pack(self) -> None:
        if self._rows:
            values = zip(*self._rows, strict=True)
            texts = {column.name: list(each) for column, each in zip(self._columns, values, strict=True)}
            try:
                self._chunks.append(text_table(texts))
            except UnicodeEncodeError:
                raise DataRefused(
                    f"{self._table}: a record has half of a surrogate pair, which is no character (column"
                    f" {next(name for name, each in texts.items() if _is_broken(each))}); mend it at the source"
                ) from None
            self._rows = []
            self._packed += self._unpacked
            self._unpacked = 0

    def drain(self) -> Frame:
        """All rows, ready for COPY. The buffer is empty afterwards."""
        self._pack()
        types = {column.name: self._types[column.name] for column in self._columns}
        table = pa.concat_tables(self._chunks) if self._chunks else text_table({name: [] for name in types})
        frame = Frame(table, types, False, nul_replaced=self._nul_replaced)
        self._chunks, self.rows, self._nul_replaced, self._packed = [], 0, 0, 0
        return frame


def _is_broken(texts: Iterable[str | None]) -> bool:
    """Whether one of them cannot be encoded."""
    try:
        for text in texts:
            (text or "").encode()
    except UnicodeEncodeError:
        return True
    return False
