"""Writes the ten files. The same seed and size give the same rows."""

# ruff: noqa: S311, S608 - no secrets are made here; names are this module's own

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

FILES = {
    "tws_status": "tws_status.db",
    "context_store": "context_store.db",
    "audit_queue": "audit_queue.db",
    "user_behavior": "user_behavior.db",
    "feedback_store": "feedback_store.db",
    "metrics": "metrics.db",
    "threshold_tuning": "threshold_tuning.db",
    "active_learning_1": "active_learning.db",
    "active_learning_2": "continual_learning/active_learning.db",
    "learning": "learning.db",
}
"""Each layout, and the file that has it. Two layouts of active_learning were in use at once."""

BROKEN_JSON = ('{"a": 1', "not json", "{'a': 1}", "", '{"nul": "\\u0000"}')
ODD_TEXT = ("ação ñ 日本 🎉", "tab\tand\nnewline", "quote ' \" \\ end", "  spaces  ", "")

Rows = Iterator[Sequence[Any]]


@dataclass
class Maker:
    """Makes values from one random source."""

    random: random.Random
    rows: int
    begin: datetime = datetime(2025, 1, 1, tzinfo=timezone.utc)

    def moment(self, number: int) -> datetime:
        """A time for row `number`."""
        return self.begin + timedelta(seconds=number * 61, microseconds=self.random.randrange(1_000_000))

    def time(self, number: int) -> str:
        """A time as text, in one of the formats the old classes wrote."""
        moment = self.moment(number)
        return [
            moment.replace(tzinfo=None).isoformat(),
            moment.strftime("%Y-%m-%d %H:%M:%S"),
            moment.isoformat(),
            moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z",
        ][number % 4]

    def json(self, number: int) -> str | None:
        """JSON text, now and then broken."""
        if number % 17 == 5:
            return BROKEN_JSON[number // 17 % len(BROKEN_JSON)]
        if number % 11 == 3:
            return None
        return json.dumps({"n": number, "who": self.word(number), "list": [1, None, 2.5]}, ensure_ascii=False)

    def word(self, number: int) -> str:
        """Some text, now and then odd."""
        return ODD_TEXT[number // 9 % len(ODD_TEXT)] if number % 9 == 4 else f"text {number}"

    def number(self, number: int, value: float) -> float | str:
        """A number, now and then text in its place."""
        return "n/a" if number % 23 == 7 else value

    @property
    def some(self) -> range:
        """Row numbers of a smaller table."""
        return range(max(3, self.rows // 10))


def generate(folder: Path, rows: int = 200, seed: int = 7) -> dict[Path, int]:
    """Write the files below `folder`, over what is there. Returns the rows of each."""
    written: dict[Path, int] = {}
    for layout, name in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            stale.unlink(missing_ok=True)
        make = Maker(random.Random(f"{seed}:{layout}"), rows)
        with closing(sqlite3.connect(path)) as connection:
            if layout == "metrics":
                connection.execute("PRAGMA journal_mode = WAL")
            if layout == "learning":
                connection.execute("PRAGMA encoding = 'UTF-16le'")
            connection.executescript((files("stores.samples") / "ddl" / f"{layout}.sql").read_text(encoding="utf-8"))
            written[path] = _fill(connection, TABLES[layout], make)
            for index in ("events", "conversations"):
                if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (f"{index}_fts",)).fetchone():
                    connection.execute(f"INSERT INTO {index}_fts({index}_fts) VALUES ('rebuild')")
            connection.commit()
    return written


def _fill(connection: sqlite3.Connection, tables: dict[str, Callable[[Maker], Rows]], make: Maker) -> int:
    total = 0
    for table, rows in tables.items():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if columns[0] == "id" and table not in ("feedback", "review_queue"):
            columns = columns[1:]
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        for row in rows(make):
            connection.execute(sql, row)
            total += 1
    return total


def _snapshots(m: Maker) -> Rows:
    for i in range(m.rows):
        yield m.time(i), "ok", 1, m.number(i, i), 0, 2, i, m.json(i), m.time(i)


def _job_status(m: Maker) -> Rows:
    for i in range(m.rows):
        start = m.time(i) if i % 13 else "yesterday"
        stamp = m.time(i) if i % 10 else "2025-06-01T00:00:00"  # every tenth row of a job at one moment
        name = None if i % 41 == 40 else f"JOB_{i % 7}"
        status = ("SUCC", "ABEND", "EXEC")[i % 3]
        code = m.number(i, i % 5)
        yield (
            f"id{i}",
            name,
            "STREAM",
            f"WS{i % 3}",
            status,
            code,
            start,
            m.time(i + 1),
            1.5,
            m.word(i),
            stamp,
            m.time(i),
        )


def _workstations(m: Maker) -> Rows:
    for i in m.some:
        yield f"WS{i % 3}", "LINKED" if i % 5 else None, "up", m.number(i, i), 0, m.time(i), m.time(i)


def _events(m: Maker) -> Rows:
    for i in range(m.rows):
        when = m.time(i) if i % 29 else str(m.moment(i).timestamp())
        yield f"e{i}", "job", "info", "WS1", m.word(i), m.json(i), "a", "b", when, m.time(i)


def _patterns(m: Maker) -> Rows:
    for i in m.some:
        sure = m.number(i, 0.5)
        jobs = '["JOB_1"]' if i % 2 else '["A", "B"]'
        yield (
            f"p{i}",
            "late",
            m.word(i),
            sure,
            i,
            m.time(i),
            m.time(i + 5),
            jobs,
            "wait",
            m.json(i),
            m.time(i),
            m.time(i),
        )


def _solutions(m: Maker) -> Rows:
    for i in m.some:
        yield f"s{i}", "disk", m.word(i), "delete", 0.5, i + 2, i, m.time(i), m.time(i), m.time(i)


def _conversations(m: Maker) -> Rows:
    for i in range(m.rows):
        answer = None if i % 19 == 6 else m.word(i)
        question = None if i % 38 == 6 else f"question {i} {m.word(i)}"
        created: Any = m.time(i) if i % 6 else m.moment(i).timestamp()  # TIMESTAMP has held both
        yield question, answer, "agent", "model", created, i % 2, (i % 3 == 0) * 1, None, m.number(i, i % 5), m.json(i)


def _content(m: Maker) -> Rows:
    for i in m.some:
        yield m.word(i) or "x", m.json(i), m.time(i)


def _audit_queue(m: Maker) -> Rows:
    for i in range(m.rows):
        status = ("pending", "approved", "rejected", "lost")[i % 4 if i % 31 == 3 else i % 3]
        yield f"m{i}", m.word(i), m.word(i), "why", m.number(i, 0.25), status, m.time(i), m.time(i) if i % 3 else None


def _profiles(m: Maker) -> Rows:
    for i in m.some:
        yield f"user{i}", m.json(i), m.moment(i).timestamp()


def _sessions(m: Maker) -> Rows:
    users = len(m.some)
    for i in range(m.rows):
        user = f"user{i % users}" if i % 37 else "nobody"  # an orphan
        session = f"s{i}" if i % 25 else "s-again"  # a session twice
        begun: Any = m.moment(i).timestamp() if i % 14 else int(m.moment(i).timestamp() * 1000)
        yield session, user, begun, 12.5, m.number(i, i), 0.1, m.moment(i).timestamp()


def _feedback(m: Maker) -> Rows:
    for i in range(m.rows):
        yield f"f{i}", f"q{i % 9}", f"d{i % 5}", m.number(i, i % 5 + 1), "u", m.time(i), m.word(i), m.word(i), m.json(i)


def _document_scores(m: Maker) -> Rows:
    for i in m.some:
        yield f"d{i}", i, i, 0, 3.5, m.time(i), m.time(i)


def _query_scores(m: Maker) -> Rows:
    for i in m.some:
        yield f"q{i}", f"d{i}", i, m.number(i, 2.5), m.time(i)


def _raw_metrics(m: Maker) -> Rows:
    for i in range(m.rows):
        tags = m.json(i)
        yield f"metric{i % 4}", m.number(i, i * 0.1), "gauge", m.time(i), tags, "h", "host1", m.time(i)


def _aggregated(m: Maker) -> Rows:
    for i in m.some:
        for host in ("a", "b"):  # the new key knows no tags: these two become one row
            start = (m.begin + timedelta(hours=i)).isoformat()
            yield "metric0", "hour", start, 10, 25.0, float(i), 9.0, 2.5, f'{{"host": "{host}"}}', host, "i", m.time(i)
    yield "metric0", "century", m.begin.isoformat(), 1, 1.0, 1.0, 1.0, 1.0, None, "", "i", m.time(0)


def _config(m: Maker) -> Rows:
    yield "mode", "auto", m.time(0)


def _thresholds(m: Maker) -> Rows:
    for i, name in enumerate(("confidence", "similarity", "broken")):
        yield name, name.title(), m.word(i), 0.5 if name != "broken" else "high", 0.0, 1.0, 0.5, m.time(i), "ana"


def _daily(m: Maker) -> Rows:
    for i in m.some:
        yield f"2025-02-{i % 28 + 1:02}-{i}", i, 1, 1, 1, 0, 1, 0, 0, m.json(i)


def _outcomes(m: Maker) -> Rows:
    for i in m.some:
        yield m.time(i), f"r{i}", 1, 0, 1, 0.5, 0.5, i


def _recommendations(m: Maker) -> Rows:
    for i in m.some:
        yield "confidence", 0.5, 0.6, 0.9, m.word(i), "less", m.time(i), "open", None, None


def _audit_log(m: Maker) -> Rows:
    for i in m.some:
        name = "confidence" if i % 2 else "gone"
        yield m.time(i), "update", name, 0.4, 0.5, m.word(i), "ana", "auto", m.json(i)


def _review_queue(m: Maker) -> Rows:
    for i in range(m.rows):
        scores = '{"classification": 0.3, "rag": 0.8}' if i % 8 else m.json(5)
        state = "pending" if i % 2 else "reviewed"
        done = m.time(i) if state == "reviewed" else None
        yield f"r{i}", m.word(i), m.word(i), '["low"]', scores, state, m.time(i), done, "ana", "c", None, m.json(i)


def _query_patterns(m: Maker) -> Rows:
    for i in m.some:
        yield f"h{i}", m.word(i), m.time(i), m.time(i), i, 0.5


def _learning_outcomes(m: Maker) -> Rows:
    for i in m.some:
        yield f"r{i}" if i % 4 else "gone", "a", "b", i % 2, m.time(i), m.number(i, 0.5)


def _review_requests(m: Maker) -> Rows:
    for i in range(m.rows):
        scores = '{"classification": 0.6}'
        yield (
            m.word(i),
            m.word(i),
            '["low"]',
            i % 3,
            scores,
            m.json(i),
            m.time(i),
            None,
            "pending",
            None,
            None,
            None,
            None,
        )


def _corrections(m: Maker) -> Rows:
    for i in m.some:
        embedding = m.random.randbytes(16) if i % 3 else None
        yield m.word(i), embedding, "a", "b", "style", "ana", m.time(i)


def _job_patterns(m: Maker) -> Rows:
    for i in m.some:
        yield f"k{i}", f"JOB_{i}", "STREAM", m.json(i), m.time(i)


def _two(m: Maker) -> Rows:
    for i in m.some:
        yield m.json(i), m.time(i)


def _resolutions(m: Maker) -> Rows:
    for i in m.some:
        yield f"E{i}", m.word(i), m.time(i)


TABLES: dict[str, dict[str, Callable[[Maker], Rows]]] = {
    "tws_status": {
        "snapshots": _snapshots,
        "job_status": _job_status,
        "workstation_status": _workstations,
        "events": _events,
        "patterns": _patterns,
        "problem_solutions": _solutions,
    },
    "context_store": {"conversations": _conversations, "content": _content},
    "audit_queue": {"audit_queue": _audit_queue},
    "user_behavior": {"user_profiles": _profiles, "session_history": _sessions},
    "feedback_store": {
        "feedback": _feedback,
        "document_scores": _document_scores,
        "query_pattern_scores": _query_scores,
    },
    "metrics": {"raw_metrics": _raw_metrics, "aggregated_metrics": _aggregated},
    "threshold_tuning": {
        "tuning_config": _config,
        "thresholds": _thresholds,
        "daily_metrics": _daily,
        "review_outcomes": _outcomes,
        "recommendations": _recommendations,
        "audit_log": _audit_log,
    },
    "active_learning_1": {
        "review_queue": _review_queue,
        "query_patterns": _query_patterns,
        "learning_outcomes": _learning_outcomes,
    },
    "active_learning_2": {"review_requests": _review_requests, "learned_corrections": _corrections},
    "learning": {
        "job_patterns": _job_patterns,
        "failure_resolutions": _resolutions,
        "failure_records": _two,
        "operator_actions": _two,
    },
}
