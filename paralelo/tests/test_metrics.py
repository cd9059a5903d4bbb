"""Metrics, scores and alerts; and that the dashboard and the alert rules ask only for what exists."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sync_rules.exits import ConfigurationError

from paralelo.alerts import Alert, Disk, Limits, alerts
from paralelo.metrics import Facts, Metrics
from paralelo.score import Past, Score, comparable, score
from paralelo.snapshot import Line, Snapshot
from paralelo.usage import Usage

AT = datetime(2025, 11, 3, 22, 0, tzinfo=timezone.utc)
OPS = Path(__file__).resolve().parents[2] / "ops"
LINE = Line("bi-credores", "full", "loading", 500, 1_000, 40.0, 50.0, 2, 90.0, idle_seconds=3.0, seconds=60.0)
NAME = re.compile(r"\bparalelo_[a-z_]+\b")


def filled() -> Metrics:
    metrics = Metrics()
    facts = Facts(
        {"bi-credores": AT}, {"bi-credores": 8_192}, {("bi-credores", "full"): 4},
        {("bi-credores", "full", "stalled"): 1}, {"project": 10}, {("bi-credores", "full"): Score(88, "good")},
    )  # fmt: skip
    metrics.update(Snapshot(AT, (LINE,), Usage(150.0, 2**20, 3, 1, 7)), facts, (Alert("lag", "bi-credores", "x"),))
    return metrics


def names(metrics: Metrics) -> set[str]:
    """Every sample name Prometheus can see."""
    found: set[str] = set()
    for family in metrics.registry.collect():
        found |= {family.name, f"{family.name}_total"} if family.type == "counter" else {family.name}
    return found


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_snapshot_is_told_to_prometheus() -> None:
    metrics, of = filled(), {"table": "bi-credores", "mode": "full"}
    assert sample(metrics, "paralelo_rows_committed", **of) == 500
    assert sample(metrics, "paralelo_rows_per_second", **of) == 40
    assert sample(metrics, "paralelo_eta_seconds", **of) == 12.5
    assert sample(metrics, "paralelo_lag_seconds", table="bi-credores") == 90
    assert sample(metrics, "paralelo_recoveries_total", **of, reason="stalled") == 1
    assert sample(metrics, "paralelo_rejected_rows", **of) == 4
    assert sample(metrics, "paralelo_last_success_timestamp_seconds", table="bi-credores") == AT.timestamp()
    assert sample(metrics, "paralelo_alert", kind="lag", table="bi-credores") == 1
    assert sample(metrics, "paralelo_alert", kind="disk", table="") == 0
    assert sample(metrics, "paralelo_process_cpu_percent") == 150


def test_restarts_are_told_from_nought_so_that_prometheus_sees_the_first() -> None:
    """`increase()` sees no step where a series begins."""
    metrics = Metrics()
    metrics.update(Snapshot(AT, (LINE,)), Facts())
    of = {"table": "bi-credores", "mode": "full"}
    for reason in ("stalled", "source_unreachable", "target_unreachable", "already_running"):
        assert sample(metrics, "paralelo_recoveries_total", **of, reason=reason) == 0
    assert sample(metrics, "paralelo_recoveries_total", **of, reason="finished") is None


def test_what_is_no_longer_known_is_no_longer_said() -> None:
    metrics = filled()
    metrics.update(Snapshot(AT, ()), Facts())
    assert sample(metrics, "paralelo_rows_committed", table="bi-credores", mode="full") is None


def test_written_bytes_never_fall_though_processes_end() -> None:
    metrics = filled()
    metrics.update(Snapshot(AT, (), Usage(written_bytes=3)), Facts())
    metrics.update(Snapshot(AT, (), Usage(written_bytes=5)), Facts())
    assert sample(metrics, "paralelo_process_written_bytes_total") == 9


def test_the_text_file_and_the_endpoint_say_the_same(tmp_path: Path) -> None:
    metrics = filled()
    port = metrics.serve(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        served = answer.read().decode()
    assert metrics.write(tmp_path).read_text() == served
    with pytest.raises(ConnectionRefusedError):  # which any address of this machine but the one would not
        socket.create_connection(("127.0.0.2", port), timeout=5)
    assert 'paralelo_rows_committed{mode="full",table="bi-credores"} 500.0' in served


def test_a_client_that_hangs_up_is_not_traced(capfd: pytest.CaptureFixture[str]) -> None:
    port = filled().serve(0)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET /met")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its end is a reset
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert answer.status == 200
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join(timeout=5)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "prometheus-alerts.yml"])
def test_every_metric_they_ask_for_exists(file: str) -> None:
    text = (OPS / file).read_text(encoding="utf-8")
    assert json.loads(text) if file.endswith("json") else YAML(typ="safe").load(text)
    asked = set(NAME.findall(text)) - {"paralelo_prom"}
    assert asked
    assert asked <= names(filled())


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    asked = set(NAME.findall("".join(path.read_text(encoding="utf-8") for path in OPS.glob("*.*"))))
    spare = {"paralelo_processes", "paralelo_attempt", "paralelo_rows_per_second_average"}
    written = "paralelo_process_written_bytes"
    assert names(filled()) - asked - spare <= {written}


def test_rules_point_at_headings_that_the_runbook_has() -> None:
    headings = re.findall(r"^## (.+)$", (OPS.parent / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"docs/runbook\.md, ([^\"]+)\"", (OPS / "prometheus-alerts.yml").read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(headings)


def test_a_schedule_every_quarter_of_an_hour_does_not_look_unmonitored_between_two_runs() -> None:
    """Figures are written while a run lasts, and a scrape sees them later."""
    rules = (OPS / "prometheus-alerts.yml").read_text(encoding="utf-8")
    [seconds] = re.findall(r"paralelo_last_look_timestamp_seconds > (\d+)", rules)
    assert int(seconds) >= 2 * 15 * 60


def kinds(line: Line, limits: Limits | None = None, history: tuple[float, ...] = ()) -> set[str]:
    past = [Past(1_000, rate) for rate in history]
    found = alerts(Snapshot(AT, (line,)), limits or Limits(), {("t", "full"): past})
    return {alert.kind for alert in found}


def test_alerts_of_a_table() -> None:
    assert kinds(Line("t", "full", "loading", idle_seconds=301.0)) == {"stalled"}
    assert kinds(Line("t", "full", "done", idle_seconds=301.0)) == set()
    assert kinds(Line("t", "full", "done", lag_seconds=3_601.0)) == {"lag"}
    slow = Line("t", "full", "loading", 1_240, 2_000, rate_average=40.0, seconds=31.0)
    assert kinds(slow, history=(100.0, 100.0, 100.0)) == {"slow"}
    assert kinds(slow, history=(100.0, 100.0)) == set(), "two runs are no history"


def test_a_table_that_lags_is_told_once_though_both_its_syncs_are_looked_at() -> None:
    lines = (Line("t", "full", "done", lag_seconds=3_601.0), Line("t", "incremental", "done", lag_seconds=3_601.0))
    assert len(alerts(Snapshot(AT, lines), Limits(), {})) == 1


def test_only_runs_of_about_the_same_size_are_compared() -> None:
    past = [Past(1_000, 10.0), Past(1_000_000, 900.0), Past(4_000_000, 1_000.0)]
    assert comparable(past, 1_500) == [10.0]
    assert comparable(past, 2_000_000) == [900.0, 1_000.0]
    assert comparable(past, None) == []


def test_alerts_of_the_machine() -> None:
    shot = Snapshot(AT, (), Usage(memory=90))
    found = alerts(shot, Limits(memory_bytes=100), {}, [Disk("project", 5, 100), Disk("temporary files", 50, 100)])
    assert [alert.kind for alert in found] == ["memory", "disk"]


def test_limits_come_from_the_environment_and_nonsense_is_refused() -> None:
    limits = Limits.from_settings({"PARALELO_LAG_LIMIT_SECONDS": "60", "PARALELO_MEMORY_LIMIT_MB": "2000"})
    assert (limits.lag_seconds, limits.memory_bytes) == (60, 2_000_000_000)
    with pytest.raises(ConfigurationError):
        Limits.from_settings({"PARALELO_LAG_LIMIT_SECONDS": "an hour"})
    with pytest.raises(ConfigurationError):
        Limits.from_settings({"PARALELO_STALLED_SECONDS": "-1"})


def test_scores() -> None:
    usual = [100.0, 90.0, 110.0]
    assert score(100.0, usual) == Score(100, "excellent")
    assert score(50.0, usual) == Score(65, "needs attention", "50% of its usual 100 rows/s")
    assert score(100.0, usual, recoveries=1) == Score(90, "excellent", "1 recovery")
    assert score(90.0, usual, recoveries=1, rejected=3) == Score(73, "good", "1 recovery, 3 rows rejected")
    assert score(None, usual) is None
    assert score(100.0, usual[:2]) is None


@given(st.floats(0, 1e7), st.lists(st.floats(0, 1e7), min_size=3, max_size=20), st.integers(0, 9), st.integers(0, 9))
def test_a_score_is_a_share_of_100(rate: float, history: list[float], recoveries: int, rejected: int) -> None:
    found = score(rate, history, recoveries, rejected)
    assert found is not None
    assert 0 <= found.points <= 100
