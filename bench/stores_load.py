"""`python -m bench.stores_load`: the stores' repositories under 16 concurrent users, on the embedded PostgreSQL.

Each user does what the assistant does: writes job states, events, messages, measurements and audit entries, and reads
what it wrote, one statement after the other, over the process's pool. Every write is committed and synced to the disk
before the next. Writes are counted by the database, not by the clients.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bench.sqlite_table import PLACE
from sandbox import home
from sandbox.postgres import Postgres
from stores import AuditEntryRepository, ContextStore, JobStatus, MetricsStore, TWSStore
from stores.engine import Database
from stores.settings import DatabaseSettings
from stores.tables import initialize_database

_WRITTEN = """
SELECT (SELECT count(*) FROM tws.tws_job_status) + (SELECT count(*) FROM tws.tws_events)
    + (SELECT count(*) FROM context.conversations) + (SELECT count(*) FROM metrics.metric_data_points)
    + (SELECT count(*) FROM audit.audit_entries)
"""


class User:
    """One user's writes and reads, and how long each read took in seconds."""

    def __init__(self, number: int, db: Database) -> None:
        self.number = number
        self.tws, self.context = TWSStore(db=db), ContextStore(db=db)
        self.metrics, self.audit = MetricsStore(db=db), AuditEntryRepository(db=db)
        self.turn = 0
        self.reads: list[float] = []

    async def write(self) -> None:
        """One row."""
        self.turn += 1
        who = f"user{self.number}"
        kinds: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: self.tws.update_job_status(JobStatus(f"JOB_{self.number}", "SUCC", run_number=self.turn)),
            lambda: self.tws.log_event("job", "ended", job_name=f"JOB_{self.number}", details={"rc": 0}),
            lambda: self.context.add_conversation(who, "user", f"why did job {self.turn} fail"),
            lambda: self.metrics.record(f"latency.{who}", float(self.turn), "ms", {"host": "a"}),
            lambda: self.audit.log_action("update", who, "job", f"JOB_{self.number}", new_value={"n": self.turn}),
        )
        await kinds[self.turn % len(kinds)]()

    async def read(self) -> None:
        """One of the stores' own queries."""
        who = f"user{self.number}"
        kinds: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: self.tws.get_job_status(f"JOB_{self.number}"),
            lambda: self.tws.get_events(limit=20, job_name=f"JOB_{self.number}"),
            lambda: self.context.get_session_history(who, limit=20),
            lambda: self.audit.get_user_actions(who, limit=20),
        )
        began = time.perf_counter()
        await kinds[self.turn % len(kinds)]()
        self.reads.append(time.perf_counter() - began)


async def _run(settings: DatabaseSettings, users: int, seconds: float, reads_per_write: float) -> dict[str, float]:
    db = Database(settings)
    try:
        await initialize_database(db)
        everyone = [User(number, db) for number in range(users)]
        for user in everyone:  # connections and plans are there when the clock starts
            await user.write()
            await user.read()
            user.reads.clear()
        before = (await db.fetch(_WRITTEN))[0][0]
        began = time.perf_counter()

        async def work(user: User) -> None:
            owed = 0.0
            while time.perf_counter() - began < seconds:
                await user.write()
                owed += reads_per_write
                while owed >= 1:
                    await user.read()
                    owed -= 1

        await asyncio.gather(*map(work, everyone))
        took = time.perf_counter() - began
        written = (await db.fetch(_WRITTEN))[0][0] - before
    finally:
        await db.close()
    reads = sorted(one for user in everyone for one in user.reads)
    return {
        "writes/s": written / took,
        "reads/s": len(reads) / took,
        "read p50 ms": reads[len(reads) // 2] * 1000,
        "read p99 ms": reads[int(len(reads) * 0.99)] * 1000,
        "read worst ms": reads[-1] * 1000,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.stores_load", description=__doc__)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--reads-per-write", type=float, default=0.25)
    parser.add_argument("--folder", type=Path, default=PLACE / "stores")
    asked = parser.parse_args(arguments)
    if asked.users < 1 or asked.seconds <= 0 or asked.reads_per_write <= 0:
        parser.error("--users, --seconds and --reads-per-write are above 0")
    folder = asked.folder.absolute()
    known = home.settings(folder)
    server = Postgres(folder, known)
    server.start()
    try:
        settings = DatabaseSettings(
            home.HOST, known.postgres_port, known.postgres_database, known.postgres_user, known.postgres_password
        )
        found = asyncio.run(_run(settings, asked.users, asked.seconds, asked.reads_per_write))
    finally:
        server.stop()
    print(f"{asked.users} users, {asked.seconds:.0f} s: " + ", ".join(f"{n} {v:,.1f}" for n, v in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
