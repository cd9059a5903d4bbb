"""The connections: a pool for the repositories' own statements, and sessions for whoever wants SQLAlchemy's.

The repositories send one statement at a time, and send many: through SQLAlchemy's session each costs three times what
PostgreSQL takes for it, so they go to asyncpg directly and only their rows become models.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from stores.settings import DatabaseSettings

_SERVER_SETTINGS = {
    "application_name": "paralelo stores",
    "timezone": "UTC",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
_IDLE_SECONDS = 300


class Database:
    """One database.

    `pool_size` connections at most serve statements; `max_overflow` more at most serve sessions. All of them speak
    UTC, so that no result depends on the server's or the client's zone. Connections open when they are needed. They
    belong to an event loop: in a new loop new ones are made.
    """

    def __init__(self, settings: DatabaseSettings | None = None) -> None:
        self.settings = settings or DatabaseSettings.from_environment()
        self._pool: asyncpg.Pool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: AsyncEngine | None = None

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement, a transaction of its own. Its parameters are `$1`, `$2`."""
        pool = await self._ready()
        async with pool.acquire(timeout=self.settings.pool_timeout_seconds) as connection:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows

    async def fetch_in_turn(self, turn: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement that runs when no other of the same turn does.

        The lock is a statement of its own: a statement sees what was committed when it began, and so would not see
        what was committed while it waited for the lock.
        """
        pool = await self._ready()
        async with pool.acquire(timeout=self.settings.pool_timeout_seconds) as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", turn)
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows

    async def execute(self, sql: str, *arguments: Any) -> int:
        """Run one statement. Returns how many rows it touched."""
        pool = await self._ready()
        async with pool.acquire(timeout=self.settings.pool_timeout_seconds) as connection:
            return _touched(await connection.execute(sql, *arguments))

    async def execute_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Run one statement for each row, all in one transaction."""
        pool = await self._ready()
        async with pool.acquire(timeout=self.settings.pool_timeout_seconds) as connection:
            await connection.executemany(sql, rows)

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's engine, for sessions and for migrations."""
        self._enter_loop()
        if self._engine is None:
            self._engine = create_async_engine(
                self.settings.url,
                pool_size=max(1, self.settings.max_overflow),
                max_overflow=0,
                pool_timeout=self.settings.pool_timeout_seconds,
                pool_pre_ping=True,
                connect_args={"server_settings": _SERVER_SETTINGS, **self.settings.security},
            )
        return self._engine

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A SQLAlchemy session; what is done in it takes effect together at its end, or not at all."""
        async with async_sessionmaker(self.engine, expire_on_commit=False)() as session, session.begin():
            yield session

    async def close(self) -> None:
        """Close every connection."""
        self._enter_loop()
        pool, self._pool = self._pool, None
        engine, self._engine = self._engine, None
        if pool is not None:
            await pool.close()
        if engine is not None:
            await engine.dispose()

    async def _ready(self) -> asyncpg.Pool:
        self._enter_loop()
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                **self.settings.asyncpg,
                min_size=0,
                max_size=self.settings.pool_size,
                max_inactive_connection_lifetime=_IDLE_SECONDS,
                server_settings=_SERVER_SETTINGS,
                init=_speak_json,
                connection_class=_PlainConnection,
            )
        return await self._pool  # initializes it once; whoever comes meanwhile waits for that

    def _enter_loop(self) -> None:
        """Forget what belongs to another event loop: it can be neither used nor closed in this one."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._pool, self._engine = loop, None, None


class _PlainConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg brings no types
    """A connection of the pool, which is given back without a word.

    asyncpg would send a RESET to the server each time, which costs as much as a small statement. Single statements
    leave nothing behind that would have to be reset; a transaction that a cancelled call left open is rolled back.
    """

    def get_reset_query(self) -> str:  # asyncpg's hook
        """Nothing else to undo."""
        return ""


async def _speak_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", encoder=to_json, decoder=json.loads, schema="pg_catalog")


def to_json(value: Any) -> str:
    """JSON text; a moment becomes ISO 8601. Raises TypeError for anything else JSON has no form for."""
    return json.dumps(value, default=_moment, allow_nan=False)


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"JSON has no form for {type(value).__name__}")


def _touched(status: str) -> int:
    """`DELETE 3`, `INSERT 0 1`: the last word counts the rows, where it is a number."""
    last = status.rsplit(" ", 1)[-1]
    return int(last) if last.isdecimal() else 0


_default: Database | None = None


def database() -> Database:
    """The process's own database, from the environment as it is when it is first asked for."""
    global _default
    if _default is None:
        _default = Database()
    return _default


async def close_database() -> None:
    """Close the process's own database; the next `database()` makes a new one."""
    global _default
    if _default is not None:
        closing, _default = _default, None
        await closing.close()
