"""Rows of one table into another by key: only what changed is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from target_postgres.connection import Connection
from target_postgres.names import column, column_list, pairs
from target_postgres.queries import query

logger = logging.getLogger("target-postgres")


@dataclass(frozen=True)
class Upsert:
    """`incoming` into `live`, matched by `key`; `columns` are written, of the key only those that are `loose`."""

    live: sql.Identifier
    incoming: sql.Identifier
    key: Sequence[str]
    columns: Sequence[str]
    loose: Sequence[str] = ()

    def drop_superseded(self, connection: Connection, cursor: str | None, came: sql.Composable) -> int:
        """Leave one incoming row a key: the greatest cursor's, of equal ones the last by `came`. Returns how many."""
        order = sql.SQL("{} DESC NULLS LAST, ").format(column(cursor)) if cursor else sql.SQL("")
        order += sql.SQL("{} DESC").format(came)
        return connection.execute(
            query("rows.drop_superseded", incoming=self.incoming, keys=column_list(self.key), order=order)
        ).rowcount

    @property
    def _values(self) -> list[str]:
        return [name for name in self.columns if name not in self.key or name in self.loose]

    def update_changed(self, connection: Connection) -> int:
        """Update live rows that differ. Returns how many."""
        values = self._values
        if not values:
            return 0
        assignments = sql.SQL(", ").join(sql.SQL("{} = {}").format(column(name), column(name, "s")) for name in values)
        return connection.execute(
            query(
                "rows.update_changed",
                live=self.live,
                incoming=self.incoming,
                assignments=assignments,
                match=pairs(self.key, "t", "s"),
                live_values=column_list(values, "t"),
                incoming_values=column_list(values, "s"),
            )
        ).rowcount

    def is_intervened_in(self, connection: Connection) -> bool:
        """Whether the live table has triggers or rules that may keep its rows from what is done to them."""
        asked = connection.execute(query("rows.intervened_in"), {"name": self.live.as_string(connection)})
        return asked.fetchone() == (True,)

    def tell_what_differs(self, connection: Connection, table: str) -> None:
        """Warn of rows that are not in the live table as they were written to it: nothing else says that its own
        triggers and rules keep rows out or change them. A table without any is not asked."""
        if not self.is_intervened_in(connection):
            return
        row = connection.execute(
            query(
                "rows.count_not_as_loaded",
                live=self.live,
                incoming=self.incoming,
                match=pairs(self.key, "t", "s"),
                live_values=column_list(self._values, "t"),
                incoming_values=column_list(self._values, "s"),
            )
        ).fetchone()
        if row and row[0]:
            why = "a trigger or a rule of the table kept them out or changed them"
            logger.warning("%s: %s rows are not there as they were loaded: %s", table, row[0], why)

    def insert_missing(self, connection: Connection) -> int:
        """Insert incoming rows whose key the live table lacks. Returns how many."""
        return connection.execute(
            query(
                "rows.insert_missing",
                live=self.live,
                incoming=self.incoming,
                columns=column_list(self.columns),
                incoming_columns=column_list(self.columns, "s"),
                match=pairs(self.key, "t", "s"),
            )
        ).rowcount

    def insert_all(self, connection: Connection) -> int:
        """Insert every incoming row, for a table without a key. Returns how many."""
        return connection.execute(
            query(
                "rows.insert_all",
                live=self.live,
                incoming=self.incoming,
                columns=column_list(self.columns),
                incoming_columns=column_list(self.columns, "s"),
            )
        ).rowcount
