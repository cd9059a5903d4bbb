"""Answers a request: the tokens of each statement's result, in the order the session gives them."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pysqlbridge.tds.packet import TDS_73B
from pysqlbridge.tds.token import EnvChangeType, env_change, error, info

from .connection import SERVER_NAME, ClientConnection
from .errors import SqlError
from .rows import encode
from .stream import PacketWriter
from .tokens import (
    ATTENTION,
    COUNT,
    DONE,
    DONE_IN_PROCEDURE,
    DONE_PROCEDURE,
    ERROR,
    MORE,
    SELECT_COMMAND,
    ResultColumn,
    done,
    metadata,
)


class Response:
    """One message to the client. Implements the session's `Sink`."""

    def __init__(self, connection: ClientConnection, writer: PacketWriter, procedure: bool) -> None:
        self._connection, self._writer, self._procedure = connection, writer, procedure
        self._version = connection.tds_version
        self._pending: bytes | None = None
        self._command = 0
        self.returned = b""
        """Return status and output parameters, sent after a procedure's last result."""

    def _write(self, data: bytes | memoryview) -> None:
        if self._pending is not None:
            self._writer.write(self._pending)
            self._pending = None
        self._writer.write(data)

    def rows(self, columns: tuple[ResultColumn, ...], batches: Iterable[pa.RecordBatch]) -> int:
        """Send a result as its batches come; returns how many rows it had."""
        self._write(metadata(columns, self._version, self._connection.database))
        types = [c.type for c in columns]
        nbc = self._version >= TDS_73B
        sent = 0
        for batch in batches:
            self._write(encode(batch, types, nbc))
            sent += batch.num_rows
        self._command = SELECT_COMMAND
        return sent

    def done(self, count: int | None) -> None:
        status = MORE | (COUNT if count is not None else 0)
        kind = DONE_IN_PROCEDURE if self._procedure else DONE
        token = done(kind, status, count or 0, self._version, self._command if count is not None else 0)
        if self._pending is not None:
            self._writer.write(self._pending)
        # The last DONE of a batch must not promise more, so each is held until the next token comes.
        self._pending = token
        self._command = 0

    def message(self, number: int, text: str) -> None:
        self._write(info(number, text[:4000], server=SERVER_NAME, tds_version=self._version))

    def database(self, name: str, before: str) -> None:
        self._write(env_change(EnvChangeType.DATABASE, name, before))
        text = f"Changed database context to '{name}'."
        self._write(info(5701, text, state=2, server=SERVER_NAME, tds_version=self._version))

    def transaction(self, change: str) -> None:
        self._write(self._connection.transaction_change(change))

    def error(self, problem: SqlError) -> None:
        self._write(
            error(
                problem.number,
                str(problem)[:4000],
                state=problem.state,
                severity=problem.severity,
                server=SERVER_NAME,
                tds_version=self._version,
            )
        )

    def finish(self, failed: bool = False, cancelled: bool = False) -> None:
        """Close the message with the DONE its kind of request ends with."""
        if cancelled:
            self._write(done(DONE, ATTENTION, 0, self._version))
        elif self._procedure:
            if self.returned:
                self._write(self.returned)
            self._write(done(DONE_PROCEDURE, ERROR if failed else 0, 0, self._version))
        elif failed:
            self._write(done(DONE, ERROR, 0, self._version))
        elif self._pending is not None:
            last, self._pending = self._pending, None
            self._writer.write(last[:1] + bytes([last[1] & ~MORE]) + last[2:])
        else:
            self._writer.write(done(DONE, 0, 0, self._version))
        self._writer.finish()
