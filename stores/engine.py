"""The connection pool, and the two ways of using it: one statement at a time, or a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from stores.settings import DatabaseSettings

SessionFactory = async_sessionmaker[AsyncSession]


class Database:
    """A pool of connections to one database.

    Connections speak UTC, so that no result depends on the server's or the client's zone, and name themselves
    `paralelo stores`. They are checked when they are taken, so that a restarted server costs a reconnect, not an
    error.
    """

    def __init__(self, settings: DatabaseSettings | None = None) -> None:
        self.settings = settings or DatabaseSettings.from_environment()
        self.engine: AsyncEngine = create_async_engine(
            self.settings.url,
            pool_size=self.settings.pool_size,
            max_overflow=self.settings.max_overflow,
            pool_timeout=self.settings.pool_timeout_seconds,
            pool_pre_ping=False,
            pool_recycle=1800,
            pool_use_lifo=True,
            connect_args={
                "application_name": "paralelo stores",
                "options": "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s",
                "connect_timeout": 10,
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "prepare_threshold": 2,
            },
        )
        self._transactions: SessionFactory = async_sessionmaker(self.engine, expire_on_commit=False)
        self._statements: SessionFactory = async_sessionmaker(
            self.engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose statements take effect together at the end, or not at all."""
        async with self._transactions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncSession]:
        """A session for a single statement, which is a transaction of its own: no BEGIN and COMMIT go to and fro."""
        async with self._statements() as session:
            yield session

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


_default: Database | None = None


def database() -> Database:
    """The process's own pool, made from the environment when it is first asked for."""
    global _default
    if _default is None:
        _default = Database()
    return _default


async def close_database() -> None:
    """Close the process's own pool; the next `database()` makes a new one."""
    global _default
    if _default is not None:
        closing, _default = _default, None
        await closing.close()
