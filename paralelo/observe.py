"""What every monitor does with a snapshot: metrics as JSON lines and for Prometheus, scores, alerts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

import psutil
import psycopg
from sync_rules.exits import SyncError

from paralelo import history, progress
from paralelo.alerts import Alert, Disk, Limits, alerts
from paralelo.attach import Others
from paralelo.metrics import Facts, Metrics
from paralelo.project import Mode, Table
from paralelo.queries import query
from paralelo.redact import Redactor, redactor
from paralelo.runlog import RunLog
from paralelo.score import Past, Score, comparable, score
from paralelo.snapshot import LIVE, Snapshot
from paralelo.watch import LedgerView

METRICS_LOG = "metrics.jsonl"
EVERY_SECONDS = 5.0
_NEVER = datetime.fromtimestamp(0, timezone.utc)
_SLOW_FACTS_SECONDS = 60.0
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass
class Observer:
    """Keeps what a snapshot is judged by, and writes the judgement down every few seconds.

    Costs a few small queries a minute and one look at the process list a second: nothing that a sync could feel.
    """

    tables: Sequence[tuple[Table, Mode]]
    view: LedgerView
    logs: Path
    limits: Limits
    env: Mapping[str, str] | None = None
    run: str | None = None
    redact: Redactor = field(default_factory=redactor)
    metrics: Metrics = field(default_factory=Metrics)
    others: Others | None = None
    rates: dict[tuple[str, str], list[Past]] = field(default_factory=dict)
    _facts: Facts = field(default_factory=Facts)
    _written_at: float | None = None
    _facts_at: float | None = None
    _log: RunLog | None = None

    @cached_property
    def _settings(self) -> Mapping[str, str]:
        """Read once, since a look every second must cost nothing."""
        return progress.settings(self.env)

    def judge(self, snapshot: Snapshot) -> tuple[Snapshot, tuple[Alert, ...]]:
        """The snapshot with its alerts in words, and the alerts themselves."""
        found = alerts(snapshot, self.limits, self.rates, self.disks())
        return replace(snapshot, alerts=tuple(alert.text for alert in found)), found

    def write(
        self, snapshot: Snapshot, found: tuple[Alert, ...], now: float, *, recoveries: int = 0, last: bool = False
    ) -> None:
        """Write the metrics, if it is time. `now` is any clock's seconds.

        The `last` time everything is looked up anew: what is written then is read until something runs again.
        """
        if not last and self._written_at is not None and now - self._written_at < EVERY_SECONDS:
            return
        self._written_at = now
        if last or self._facts_at is None or now - self._facts_at >= _SLOW_FACTS_SECONDS:
            self._facts_at = now
            self._facts = self.look_up()
        scores = self.scores(snapshot, recoveries)
        free = {disk.name: disk.free for disk in self.disks()}
        facts = replace(self._facts, scores=scores, disk_free=free)
        everything, alarms = self._with_others(snapshot, found)
        self.metrics.update(everything, facts, alarms)
        self.metrics.write(self.logs)
        self._json_line(snapshot, found, scores)

    def _with_others(self, snapshot: Snapshot, found: tuple[Alert, ...]) -> tuple[Snapshot, tuple[Alert, ...]]:
        rest = self.others.lines() if self.others is not None else ()
        if not rest:
            return snapshot, found
        everything = replace(snapshot, lines=(*snapshot.lines, *rest))
        return everything, alerts(everything, self.limits, self.rates, self.disks())

    def close(self) -> None:
        """End the connections it made."""
        if self.others is not None:
            self.others.view.close()

    def scores(self, snapshot: Snapshot, recoveries: int = 0) -> dict[tuple[str, str], Score]:
        """How each running sync does against its own history."""
        found = {}
        for line in snapshot.lines:
            key = (line.table, line.mode)
            past = comparable(self.rates.get(key, []), line.estimate or line.committed)
            judged = score(line.rate_average, past, recoveries) if line.phase in LIVE else None
            if judged is not None:
                found[key] = judged
        return found

    def _json_line(self, snapshot: Snapshot, found: tuple[Alert, ...], scores: Mapping[tuple[str, str], Score]) -> None:
        if self._log is None:
            self._log = RunLog(self.logs / METRICS_LOG, self.redact, {"run": self.run} if self.run else {})
        tables = []
        for line in snapshot.lines:
            judged = scores.get((line.table, line.mode))
            tables.append({**asdict(line), "percent": line.percent, "eta_seconds": line.eta_seconds,
                           "score": judged.points if judged else None})  # fmt: skip
        self._log.event(
            "metrics",
            rows=snapshot.committed,
            rows_per_second=snapshot.rate_now,
            usage=asdict(snapshot.usage),
            tables=tables,
            alerts=[asdict(alert) for alert in found],
        )

    def look_up(self) -> Facts:
        """What changes slowly, from the target; what cannot be had is left out."""
        success: dict[str, datetime] = {}
        sizes: dict[str, int] = {}
        rejected: dict[tuple[str, str], int] = {}

        def ask(connection: progress.Connection) -> dict[tuple[str, str, str], int]:
            for table, mode in self.tables:
                self.rates[(table.name, mode)] = history.rates(connection, table.name, mode, except_run=self.run)
                values = {"schema": progress.default_schema(self.env), "table": table.target}
                row = connection.execute(query("progress.size"), values).fetchone()
                sizes[table.name] = int(row["bytes"] or 0) if row else 0
            return history.recoveries(connection)

        try:
            recoveries = progress.ask(ask, self.env)
        except (psycopg.Error, SyncError):
            return self._facts
        for table, mode in self.tables:
            covered, entry = self.view.covered(table), self.view.newest(table, mode)
            if covered is not None and covered.last_success is not None:
                success[table.name] = covered.last_success
            elif table.configured(self._settings):
                # Said, so that it can be alerted on: of what is absent no rule tells.
                success[table.name] = _NEVER
            if entry is not None and entry.rejected is not None:
                rejected[(table.name, mode)] = entry.rejected
        return Facts(success, sizes, rejected, recoveries)

    def disks(self) -> list[Disk]:
        """The file systems a run writes to: where the project is, and where batch and temporary files go."""
        batches = Path(self._settings.get("TAP_MSSQL_BATCH_ROOT") or self.logs)
        places = {"project": self.logs, "batch files": batches, "temporary files": Path(tempfile.gettempdir())}
        found: dict[int, Disk] = {}
        for name, path in places.items():
            there = next(part for part in (path.absolute(), *path.absolute().parents) if part.exists())
            try:
                usage, device = shutil.disk_usage(there), there.stat().st_dev
            except OSError:
                continue
            found.setdefault(device, Disk(name, usage.free, usage.total))
        return list(found.values())


def memory_limit() -> int:
    """Bytes these processes may use: the control group's limit, else the machine's memory."""
    whole = int(psutil.virtual_memory().total)
    for path in _CGROUP_LIMITS:
        try:
            return min(whole, int(path.read_text().strip()))
        except (OSError, ValueError):
            continue
    return whole
