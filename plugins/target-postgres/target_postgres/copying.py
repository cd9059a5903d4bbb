"""COPY of a frame into a table."""

from __future__ import annotations

from typing import cast

import psycopg
from psycopg import sql
from psycopg.copy import QueuedLibpqWriter

from target_postgres.connection import Connection
from target_postgres.encode import Frame
from target_postgres.names import column_list


class _Writer(QueuedLibpqWriter):
    """A few chunks may wait for the socket: psycopg's own queue would hold a whole batch."""

    QUEUE_SIZE = 4


def copy_in(connection: Connection, table: sql.Identifier, frame: Frame) -> None:
    """Send the frame's rows. A thread writes to the socket while the next chunk is being encoded."""
    if not frame.rows:
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN ({})").format(
        table,
        column_list(frame.data.column_names),
        sql.SQL(frame.copy_options()),
    )
    with connection.cursor() as cursor:
        writer = _Writer(cast("psycopg.Cursor[object]", cursor))
        with cursor.copy(statement, writer=writer) as copy:
            for chunk in frame.encoded():
                copy.write(chunk)
