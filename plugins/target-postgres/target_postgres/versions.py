"""Singer's table versions, for taps that are not ours: each row has one, older ones go when a newer is active."""

from __future__ import annotations

import logging
from dataclasses import replace

import pyarrow as pa
from psycopg import sql
from sync_rules.exits import CheckRefused

from target_postgres import catalog
from target_postgres.activation import checks
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.direct import DirectLoad
from target_postgres.encode import Frame
from target_postgres.full import FullLoad
from target_postgres.postgres_types import PostgresType
from target_postgres.shape import Column

logger = logging.getLogger("target-postgres")
COLUMN = "_sdc_table_version"


class Versions:
    """The versions of one stream's rows. A stream without versions costs nothing and gets no column.

    They outlive a change of the stream's SCHEMA, which begins another load.
    """

    _connection: Connection
    _load: FullLoad | DirectLoad

    def __init__(self) -> None:
        self._of_rows: int | None = None
        self._active: int | None = None
        self._rows_before = 0
        self._column = Column(COLUMN, COLUMN, PostgresType("bigint"), nullable=True)

    def follow(self, connection: Connection, load: FullLoad | DirectLoad) -> Versions:
        """From now on rows go to this load."""
        if hasattr(self, "_load"):
            self._rows_before += self._load.counts.rows_read
        self._connection, self._load = connection, load
        return self

    def differs(self, version: int) -> bool:
        """Whether rows of this version cannot be committed together with those gathered."""
        return version != self._of_rows

    def note(self, version: int) -> None:
        """From now on rows are of this version."""
        self._of_rows = version

    def stamp(self, frame: Frame) -> Frame:
        """The rows with their version, where the stream has versions and does not bring the column itself."""
        if self._of_rows is None or COLUMN in frame.types:
            return frame
        assert isinstance(self._load, DirectLoad)
        self._load.add_column(self._column)
        values = pa.array([str(self._of_rows)] * frame.rows, pa.large_string())
        types = {**frame.types, COLUMN: self._column.type}
        return replace(frame, data=frame.data.append_column(COLUMN, values), types=types)

    def activate(self, version: int) -> None:
        """The version to keep. A tap may send this before its rows: older ones go when the stream is over."""
        self._active = version

    def finish(self) -> None:
        """Delete rows of older versions. Raises CheckRefused when that would shrink the table by too much."""
        if self._active is None or (self._of_rows is None and not self._is_emptied()):
            return
        job = self._load.job
        older = sql.SQL("({c} IS NULL OR {c} < {version})").format(c=sql.Identifier(COLUMN), version=self._active)
        with self._connection.transaction():
            look_as_the_role_does(self._connection)
            every = checks.count(self._connection, job.live)
            going = checks.count(self._connection, job.live, older)
            before = every if job.key else self._largest(older)
            shrinks = before - (every - going)
            if not job.rules.shrink_allowed and shrinks * 100 > before * job.rules.max_shrink_percent:
                raise CheckRefused(
                    f"{job.live}: ACTIVATE_VERSION would delete {going} of {every} rows, and max_shrink_percent is"
                    f" {job.rules.max_shrink_percent:g}; if that is right, name the table in allow_shrink"
                )
            gone = self._connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(job.live.sql, older)).rowcount
        logger.info("%s: deleted %s rows of older versions", job.live, gone)

    def _is_emptied(self) -> bool:
        """Whether no row came of a stream whose rows have versions: the source is empty, and all of them are older."""
        live = catalog.describe(self._connection, self._load.job.live)
        rows = self._rows_before + self._load.counts.rows_read
        return not rows and live is not None and COLUMN in live.columns

    def _largest(self, older: sql.Composable) -> int:
        """Without a key each run appends the whole table once more, and one that was cut short a part of it."""
        grouped = sql.SQL("SELECT count(*) FROM {} WHERE {} GROUP BY {} ORDER BY 1 DESC LIMIT 1")
        statement = grouped.format(self._load.job.live.sql, older, sql.Identifier(COLUMN))
        row = self._connection.execute(statement).fetchone()
        return int(row[0]) if row else 0
