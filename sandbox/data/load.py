"""Filling the stand-in's tables: made in T-SQL as anyone would, filled in bulk as a restore would be."""

from __future__ import annotations

from ..engine.catalog import BASE, quoted
from ..engine.instance import Instance
from ..engine.session import Session
from .tables import DATABASE, chunks, definition


class NoAnswer:
    """A sink for statements whose answers nobody reads."""

    def rows(self, columns: object, batches: object) -> int:
        return 0

    def done(self, count: int | None) -> None:
        """Nothing to tell."""

    def message(self, number: int, text: str) -> None:
        """Nothing to tell."""

    def database(self, name: str, before: str) -> None:
        """Nothing to tell."""

    def transaction(self, change: str) -> None:
        """Nothing to tell."""


def load(instance: Instance, table: str, rows: int, seed: int = 7, database: str = DATABASE) -> int:
    """Make the table anew with exactly `rows` rows; returns how many there are."""
    if not instance.has(database):
        instance.create_database(database)
    session = Session(instance, "sa", database, spid=0)
    try:
        sink = NoAnswer()
        session.run(f"DROP TABLE IF EXISTS dbo.{table}", {}, sink)
        session.run(definition(table), {}, sink)
        place = f"{quoted(database)}.dbo.{quoted(table)}"

        def fill() -> None:
            for chunk in chunks(table, rows, seed):
                session.cursor.register("chunk", chunk)
                session.fetch(f"INSERT INTO {place} SELECT * FROM chunk")
                session.cursor.unregister("chunk")
            session.fetch(
                f"UPDATE {quoted(database)}.{BASE}.columns SET last_value = (SELECT max(id) FROM {place})"
                f" WHERE is_identity AND object_id = (SELECT object_id FROM {quoted(database)}.{BASE}.objects"
                " WHERE name = $1)",
                [table],
            )

        session.write(fill)
        session.fetch(f"CHECKPOINT {quoted(database)}")
        return int(session.fetch(f"SELECT count(*) FROM {place}")[0][0])
    finally:
        session.close()


def counted(instance: Instance, table: str, database: str = DATABASE) -> int:
    """Rows of a table, 0 when there is no such table."""
    if not instance.has(database):
        return 0
    session = Session(instance, "sa", database, spid=0)
    try:
        if session.translator({}).named(f"dbo.{table}") is None:
            return 0
        return int(session.fetch(f"SELECT count(*) FROM {quoted(database)}.dbo.{quoted(table)}")[0][0])
    finally:
        session.close()
