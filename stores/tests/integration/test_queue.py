"""The audit queue with several workers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from stores import AuditQueueRepository
from stores.engine import Database
from stores.moments import utc_now
from stores.settings import DatabaseSettings

ITEMS = 200


def test_workers_take_each_item_once(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    seen: Counter[int] = Counter()

    async def fill_and_drain() -> None:
        await queue.create_many([{"action": "a", "payload": {"n": n}} for n in range(ITEMS)])

        async def worker() -> None:
            while taken := await queue.claim(limit=3):
                for item in taken:
                    seen[item.id] += 1
                    await queue.mark_completed(item.id)

        await asyncio.gather(*(worker() for _ in range(8)))

    run(fill_and_drain())
    assert len(seen) == ITEMS
    assert set(seen.values()) == {1}
    assert run(queue.counts()) == {"completed": ITEMS}


def test_nothing_is_lost_after_a_call_that_was_cancelled(settings: DatabaseSettings) -> None:
    """Wherever it was: also between a transaction's BEGIN and the statement in it."""

    async def cancelled_again_and_again() -> int:
        db = Database(replace(settings, pool_size=1))
        queue = AuditQueueRepository(db=db)
        try:
            before = await queue.count()
            for steps in range(12):
                asked = asyncio.create_task(db.fetch_in_turn("turn", "SELECT 1"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                await queue.enqueue("a", {"n": steps})
        finally:
            await db.close()
        other = Database(settings)
        try:
            return await AuditQueueRepository(db=other).count() - before
        finally:
            await other.close()

    assert asyncio.run(cancelled_again_and_again()) == 12


WORKER = """
import asyncio
from stores import AuditQueueRepository
from stores.engine import close_database

async def drain():
    queue = AuditQueueRepository()
    print("ready", flush=True)
    await asyncio.to_thread(input)
    async def one(action, payload):
        print(payload["n"], flush=True)
    while await queue.process_next(one):
        pass
    await close_database()

asyncio.run(drain())
"""


def test_processes_take_each_item_once(run: Any, command_environment: dict[str, str]) -> None:
    queue = AuditQueueRepository(db=run.db)
    run(queue.create_many([{"action": "a", "payload": {"n": n}} for n in range(ITEMS)]))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=command_environment,
        )
        for _ in range(3)
    ]
    for worker in workers:  # all of them have loaded before the first may begin
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    seen = [[int(n) for n in worker.communicate()[0].split()] for worker in workers]
    assert sorted(n for one in seen for n in one) == list(range(ITEMS))
    assert run(queue.counts()) == {"completed": ITEMS}


def test_the_urgent_first_then_the_oldest(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    for name, priority in (("first", 0), ("urgent", 5), ("second", 0)):
        run(queue.enqueue(name, {}, priority))
    assert [item.action for item in run(queue.claim(limit=1, action="second"))] == ["second"]
    assert [item.action for item in run(queue.claim(limit=3))] == ["urgent", "first"]


def test_a_failure_is_tried_again_until_max_retries(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    item = run(queue.enqueue("a", {}, max_retries=2))

    async def fails(_action: str, _payload: Any) -> None:
        raise RuntimeError("no\0luck\udcff")

    assert run(queue.process_next(fails)) is False
    assert run(queue.get_by_id(item.id)).status == "pending"
    run(queue.process_next(fails))
    ended = run(queue.get_by_id(item.id))
    assert (ended.status, ended.retry_count, ended.error_message) == ("failed", 2, "RuntimeError: no\u2400luck?")
    assert run(queue.process_next(fails)) is False


def test_items_of_a_dead_worker_come_back(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    item = run(queue.enqueue("a", {}))
    run(queue.claim())
    assert run(queue.release_abandoned(timedelta(hours=1))) == 0
    assert run(queue.release_abandoned(timedelta(0))) == 1
    waiting = run(queue.get_by_id(item.id))
    assert (waiting.status, waiting.retry_count) == ("pending", 1)
    assert run(queue.release_abandoned(timedelta(0))) == 0, "nobody holds it"
    assert run(queue.mark_processing(item.id)).status == "processing"
    assert run(queue.mark_processing(item.id)) is None
    assert run(queue.mark_completed(item.id)).status == "completed"
    assert run(queue.mark_failed(item.id, "late")) is None


def test_only_what_ended_long_ago_is_cleaned_up(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    old, new = utc_now() - timedelta(days=8), utc_now() - timedelta(days=6)
    for status in ("pending", "processing", "completed", "failed", "approved", "rejected"):
        ended = status not in ("pending", "processing")
        for name, moment in (("old", old), ("new", new)):
            more = {"completed_at": moment} if ended else {}
            run(queue.create(action=name, payload={}, status=status, created_at=old, **more))
    run(queue.create(action="never noted", payload={}, status="completed", created_at=old))
    assert run(queue.cleanup_processed_audits(7)) == 5
    left = sorted((item.status, item.action) for item in run(queue.get_all()))
    assert left == [
        ("approved", "new"), ("completed", "new"), ("failed", "new"), ("pending", "new"), ("pending", "old"),
        ("processing", "new"), ("processing", "old"), ("rejected", "new"),
    ]  # fmt: skip
