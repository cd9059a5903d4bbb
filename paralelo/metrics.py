"""A run's figures for Prometheus: a text file for node_exporter's collector, or an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server, write_to_textfile
from sync_rules.exits import ConfigurationError, Exit

from paralelo.alerts import KINDS, Alert
from paralelo.score import Score
from paralelo.snapshot import LIVE, Line, Snapshot

TEXT_FILE = "paralelo.prom"
_BY_TABLE = ("table", "mode")
_REASONS = tuple(reason.name.lower() for reason in Exit if reason.restart_helps)
"""Why a sync is started again."""


@dataclass(frozen=True)
class Facts:
    """What is known beyond a snapshot: last successes by table, bytes in the target by table, rejected rows by (table,
    mode), recoveries by (table, mode, reason), free bytes by place, and scores by (table, mode)."""

    last_success: Mapping[str, datetime] = field(default_factory=dict)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    recoveries: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    disk_free: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[tuple[str, str], Score] = field(default_factory=dict)


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, text: str, labels: tuple[str, ...] = _BY_TABLE) -> Gauge:
            return Gauge(f"paralelo_{name}", text, labels, registry=self.registry)

        self.rows = gauge("rows_committed", "Rows of the newest sync that are committed in the target")
        self.estimate = gauge("rows_estimated", "Rows expected when the sync began")
        self.rate = gauge("rows_per_second", "Rows committed a second, of late")
        self.average = gauge("rows_per_second_average", "Rows committed a second since the run began")
        self.eta = gauge("eta_seconds", "Seconds until the sync is whole, at this rate")
        self.running = gauge("running", "1 while the sync runs")
        self.attempt = gauge("attempt", "Number of the attempt that runs")
        self.idle = gauge("seconds_since_commit", "Seconds since the running sync last committed")
        self.rejected = gauge("rejected_rows", "Rows of the newest sync that could not be stored")
        self.score = gauge("efficiency_score", "The run against its own history, of 100")
        self.recoveries = gauge("recoveries_total", "Restarts so far", ("table", "mode", "reason"))
        self.lag = gauge("lag_seconds", "How far the table in the target is behind its source, at most", ("table",))
        self.success = gauge(
            "last_success_timestamp_seconds", "When a sync of the table last ended well; 0 if none ever did", ("table",)
        )
        self.bytes = gauge("table_bytes", "Size in the target: what is live, and what is staged", ("table",))
        self.alert = gauge("alert", "1 while something deserves attention", ("kind", "table"))
        self.free = gauge("disk_free_bytes", "Free where the run writes", ("place",))
        self.cpu = gauge("process_cpu_percent", "CPU of all processes of the runs; 100 is one core", ())
        self.memory = gauge("process_memory_bytes", "Resident memory of all processes of the runs", ())
        self.processes = gauge("processes", "Processes of the runs", ())
        self.looked = gauge("last_look_timestamp_seconds", "When these figures were taken", ())
        self.io = Counter("paralelo_process_written_bytes", "Bytes the runs' processes wrote", registry=self.registry)
        self._written = 0

    def update(self, snapshot: Snapshot, facts: Facts, alerts: tuple[Alert, ...] = ()) -> None:
        """Make them say what is known now. What is no longer known is no longer said."""
        for metric in (self.rows, self.estimate, self.rate, self.average, self.eta, self.running, self.attempt,
                       self.idle, self.rejected, self.score, self.recoveries, self.lag, self.success, self.bytes,
                       self.alert, self.free):  # fmt: skip
            metric.clear()
        for line in snapshot.lines:
            self._line(line)
            for reason in _REASONS:
                # From the beginning: Prometheus sees no step where a series begins.
                self.recoveries.labels(line.table, line.mode, reason).set(0)
        for key, count in facts.rejected.items():
            self.rejected.labels(*key).set(count)
        for key, score in facts.scores.items():
            self.score.labels(*key).set(score.points)
        for reason_key, count in facts.recoveries.items():
            self.recoveries.labels(*reason_key).set(count)
        for table, moment in facts.last_success.items():
            self.success.labels(table).set(moment.timestamp())
        for table, count in facts.table_bytes.items():
            self.bytes.labels(table).set(count)
        for place, count in facts.disk_free.items():
            self.free.labels(place).set(count)
        self._alerts(alerts)
        self._machine(snapshot)

    def _line(self, line: Line) -> None:
        key = (line.table, line.mode)
        known = {
            self.rows: line.committed,
            self.estimate: line.estimate,
            self.rate: line.rate_now if line.phase in LIVE else 0.0,
            self.average: line.rate_average,
            self.eta: line.eta_seconds,
            self.running: int(line.phase in LIVE),
            self.attempt: line.attempt,
            self.idle: line.idle_seconds,
        }
        for metric, value in known.items():
            if value is not None:
                metric.labels(*key).set(value)
        if line.lag_seconds is not None:
            self.lag.labels(line.table).set(line.lag_seconds)

    def _alerts(self, alerts: tuple[Alert, ...]) -> None:
        for kind in KINDS:
            self.alert.labels(kind, "").set(0)
        for alert in alerts:
            self.alert.labels(alert.kind, alert.table).set(1)

    def _machine(self, snapshot: Snapshot) -> None:
        usage = snapshot.usage
        self.cpu.set(usage.cpu_percent)
        self.memory.set(usage.memory)
        self.processes.set(usage.processes)
        self.looked.set(snapshot.at.timestamp())
        # The sum over living processes falls when one ends; what was counted stays counted.
        self.io.inc(max(0, usage.written_bytes - self._written))
        self._written = usage.written_bytes

    def write(self, folder: Path) -> Path:
        """Replace the text file in one step."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / TEXT_FILE
        write_to_textfile(str(path), self.registry)
        return path

    def serve(self, port: int, address: str = "127.0.0.1") -> int:
        """Answer at /metrics until the process ends. Returns the port, which the system chooses for 0.

        Raises ConfigurationError where that address cannot be had.
        """
        try:
            server, _ = start_http_server(port, address, self.registry)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"/metrics cannot answer at {address} port {port}: {why}") from error
        # Its own would trace each client that hangs up, in the middle of the view.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        return int(server.server_port)
