"""What can be done with any table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Generic, TypeVar, cast

from sqlalchemy import CursorResult, Delete, Select, Update, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from stores.engine import Database, database
from stores.models.base import Model
from stores.queries import query

M = TypeVar("M", bound=Model)

_AT_ONCE = 1000
"""Rows in one INSERT of `create_many`: the protocol carries at most 65,535 values."""


class BaseRepository(Generic[M]):
    """One table. Without a `db` it uses the process's own pool."""

    model: ClassVar[type[Model]]

    def __init__(self, db: Database | None = None) -> None:
        self._db = db

    @property
    def db(self) -> Database:
        """The database, looked up when it is used: a pool belongs to the event loop that runs then."""
        return self._db or database()

    def statement(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session for one statement."""
        return self.db.statement()

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session for several statements that belong together."""
        return self.db.transaction()

    async def create(self, **values: Any) -> M:
        """Insert a row and return it as the database holds it. Values of None leave the column's default."""
        given = {name: value for name, value in values.items() if value is not None}
        async with self.statement() as session:
            return cast(
                "M", await session.scalar(insert(self.model).values(**self._named(given)).returning(self.model))
            )

    async def create_many(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows that all have the same columns, in one transaction. Returns how many."""
        async with self.transaction() as session:
            for start in range(0, len(rows), _AT_ONCE):
                part = [self._named(row) for row in rows[start : start + _AT_ONCE]]
                await session.execute(insert(self.model).values(part))
        return len(rows)

    async def get_by_id(self, row_id: int) -> M | None:
        """The row with that id."""
        async with self.statement() as session:
            return cast("M | None", await session.get(self.model, row_id))

    async def find(
        self,
        filters: Mapping[str, Any] | None = None,
        limit: int = 100,
        offset: int = 0,
        order_by: str | None = None,
        desc: bool = False,
    ) -> list[M]:
        """Rows whose columns equal the filters' values (or are among them, for a list), by `order_by` and then id."""
        return await self.rows(self._ordered(self._filtered(filters), order_by, desc).limit(limit).offset(offset))

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
        async with self.statement() as session:
            counted = select(func.count()).select_from(self._filtered(filters).subquery())
            return int(await session.scalar(counted) or 0)

    async def exists(self, filters: Mapping[str, Any]) -> bool:
        """Whether any row fits."""
        async with self.statement() as session:
            return bool(await session.scalar(select(self._filtered(filters).exists())))

    async def update(self, row_id: int, **values: Any) -> M | None:
        """Change a row and return it, or None where there is none of that id."""
        changed = update(self.model).where(self.model.id == row_id).values(**self._named(values))
        async with self.statement() as session:
            return cast("M | None", await session.scalar(changed.returning(self.model)))

    async def delete(self, row_id: int) -> bool:
        """Delete a row. Returns whether it was there."""
        return await self.run(delete(self.model).where(self.model.id == row_id)) > 0

    async def delete_many(self, filters: Mapping[str, Any]) -> int:
        """Delete the rows that fit. Raises ValueError without a filter: that would be every row."""
        if not filters:
            raise ValueError(f"delete_many on {self.model.__tablename__} needs a filter: it would delete every row")
        return await self.run(delete(self.model).where(*self._conditions(filters)))

    async def rows(self, statement: Select[Any]) -> list[M]:
        """The rows a SELECT finds."""
        async with self.statement() as session:
            return list((await session.scalars(statement)).all())

    async def run(self, statement: Update | Delete) -> int:
        """Run a statement and return how many rows it touched."""
        async with self.statement() as session:
            result = cast(
                "CursorResult[Any]", await session.execute(statement.execution_options(synchronize_session=False))
            )
            return int(result.rowcount)

    async def named(self, name: str, /, **parameters: Any) -> list[M]:
        """The rows a statement of the `.sql` files returns, as models. It is a transaction of its own."""
        found = select(self.model).from_statement(text(query(name)))
        async with self.transaction() as session:
            return list((await session.scalars(found, parameters)).all())

    def _filtered(self, filters: Mapping[str, Any] | None) -> Select[Any]:
        return select(self.model).where(*self._conditions(filters or {}))

    def _conditions(self, filters: Mapping[str, Any]) -> list[Any]:
        conditions = []
        for name, value in filters.items():
            column = self._column(name)
            many = isinstance(value, (list, tuple, set, frozenset))
            conditions.append(column.in_(list(value)) if many else column == value)
        return conditions

    def _ordered(self, statement: Select[Any], order_by: str | None, desc: bool) -> Select[Any]:
        names = [order_by, "id"] if order_by else ["id"]
        columns = [self._column(name) for name in names]
        return statement.order_by(*(column.desc() if desc else column for column in columns))

    def _column(self, name: str) -> Any:
        """The model's column of that name. Raises ValueError for one it has not: names may come from outside."""
        if name not in self.model.__mapper__.all_orm_descriptors:
            raise ValueError(f"{self.model.__tablename__} has no column {name}")
        return getattr(self.model, name)

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values under the columns' own names: `timestamp` and `metadata_` are other names for `ts` and `meta`."""
        synonyms = self.model.__mapper__.synonyms
        return {synonyms[name].name if name in synonyms else name: value for name, value in values.items()}
