"""What can be done with any table."""

# ruff: noqa: S608 - names in these statements are the models' own (rows.column refuses others); values are bound.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, cast

from stores.engine import Database, database
from stores.models.base import Model
from stores.queries import query
from stores.repositories.rows import M, Where, argument, column, columns, insertion, instance, order, table


class BaseRepository(Generic[M]):
    """One table. Without a `db` it uses the process's own."""

    model: ClassVar[type[Model]]

    def __init__(self, db: Database | None = None) -> None:
        self._db = db

    @property
    def db(self) -> Database:
        """The database."""
        return self._db or database()

    async def create(self, **values: Any) -> M:
        """Insert a row and return it as the database holds it. A value of None leaves the column's default."""
        given = {name: value for name, value in values.items() if value is not None}
        sql = f"{insertion(self.model, tuple(given))} RETURNING {columns(self.model)}"
        return (await self._models(sql, list(given.values())))[0]

    async def create_many(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows that all have the same columns, in one transaction. Returns how many.

        Raises ValueError for a row that has others: its values would be left out.
        """
        if not rows:
            return 0
        if any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError(f"rows for {self.model.__tablename__} that are written at once must have the same columns")
        sql = insertion(self.model, tuple(rows[0]))
        await self.db.execute_many(sql, [tuple(argument(row[name]) for name in rows[0]) for row in rows])
        return len(rows)

    async def get_by_id(self, row_id: int) -> M | None:
        """The row with that id."""
        return await self.find_one({"id": row_id})

    async def find(
        self,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
        offset: int = 0,
        order_by: str | None = None,
        desc: bool = False,
    ) -> list[M]:
        """Rows whose columns equal the filters' values (or are among them, for a list), by `order_by` and then id."""
        return await self.select(Where(self.model).equal(filters), limit, offset, order_by, desc)

    async def select(
        self, where: Where, limit: int = 100, offset: int = 0, order_by: str | None = None, desc: bool = False
    ) -> list[M]:
        """Rows that fit, by `order_by` and then id."""
        sql = f"SELECT {columns(self.model)} FROM {table(self.model)}{where.sql}"
        sql += order(self.model, [order_by], desc=desc)
        sql += f" LIMIT {where.bind(limit)}"
        if offset:
            sql += f" OFFSET {where.bind(offset)}"
        return await self._models(sql, where.arguments)

    async def get_all(
        self, limit: int = 100, offset: int = 0, order_by: str | None = None, desc: bool = False
    ) -> list[M]:
        """Rows, whatever they hold."""
        return await self.find(None, limit, offset, order_by, desc)

    async def find_one(self, filters: Mapping[str, Any]) -> M | None:
        """The first row that fits, by id."""
        found = await self.find(filters, limit=1)
        return found[0] if found else None

    async def count(self, filters: Mapping[str, Any] | None = None) -> int:
        """How many rows fit."""
        where = Where(self.model).equal(filters)
        rows = await self.db.fetch(f"SELECT count(*) FROM {table(self.model)}{where.sql}", *where.arguments)
        return int(rows[0][0])

    async def exists(self, filters: Mapping[str, Any]) -> bool:
        """Whether any row fits."""
        return await self.find_one(filters) is not None

    async def update(self, row_id: int, **values: Any) -> M | None:
        """Change a row and return it, or None where there is none of that id."""
        return await self.update_where(Where(self.model).equal({"id": row_id}), **values)

    async def update_where(self, where: Where, **values: Any) -> M | None:
        """Change the rows that fit and return one of them, or None where none does."""
        changes = ", ".join(f"{column(self.model, name)} = {where.bind(value)}" for name, value in values.items())
        sql = f"UPDATE {table(self.model)} SET {changes}{where.sql} RETURNING {columns(self.model)}"
        found = await self._models(sql, where.arguments)
        return found[0] if found else None

    async def delete(self, row_id: int) -> bool:
        """Delete a row. Returns whether it was there."""
        return await self.delete_where(Where(self.model).equal({"id": row_id})) > 0

    async def delete_many(self, filters: Mapping[str, Any]) -> int:
        """Delete the rows that fit. Returns how many."""
        return await self.delete_where(Where(self.model).equal(filters))

    async def delete_where(self, where: Where) -> int:
        """Delete the rows that fit. Raises ValueError without a condition: that would be every row."""
        if not where.conditions:
            raise ValueError(f"deleting from {self.model.__tablename__} without a condition would delete every row")
        return await self.db.execute(f"DELETE FROM {table(self.model)}{where.sql}", *where.arguments)

    async def named(self, name: str, /, *, turn: str | None = None, **parameters: Any) -> list[M]:
        """The rows that a statement of the `.sql` files returns, as models.

        With a `turn`, statements of the same turn run one after the other, and each sees what the one before it did.
        """
        found = query(name)
        arguments = [argument(value) for value in found.arguments(parameters)]
        if turn is None:
            return await self._models(found.sql, arguments)
        rows = await self.db.fetch_in_turn(f"{name}:{turn}", found.sql, *arguments)
        return [cast("M", instance(self.model, row)) for row in rows]

    async def values(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """The rows that a statement of the `.sql` files returns, as they are."""
        found = query(name)
        rows = await self.db.fetch(found.sql, *map(argument, found.arguments(parameters)))
        return [dict(row) for row in rows]

    async def _models(self, sql: str, arguments: Sequence[Any]) -> list[M]:
        rows = await self.db.fetch(sql, *map(argument, arguments))
        return [cast("M", instance(self.model, row)) for row in rows]
