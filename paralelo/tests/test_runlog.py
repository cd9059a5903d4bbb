"""Run logs: JSON lines with their context, of a bounded size."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from paralelo.redact import redactor
from paralelo.runlog import RunLog, forget_old, last_words, lines, parsed


def log(path: Path, max_bytes: int = 1_000_000, backups: int = 2) -> RunLog:
    context = {"run": "r1", "table": "bi-credores", "attempt": 1}
    return RunLog(path, redactor(["a-planted-secret"]), context, max_bytes=max_bytes, backups=backups)


def test_each_line_carries_run_table_and_phase(tmp_path: Path) -> None:
    raw = {
        "string_id": "tap-x",
        "producer": True,
        "event": "page 3",
        "level": "info",
        "timestamp": "t",
        "_name": "info",
    }
    log(tmp_path / "a.jsonl").relay(io.BytesIO(json.dumps(raw).encode() + b"\n"))
    assert list(lines(tmp_path / "a.jsonl")) == [
        {"run": "r1", "table": "bi-credores", "attempt": 1, "timestamp": "t", "level": "info", "source": "tap-x",
         "event": "page 3", "phase": "reading"}
    ]  # fmt: skip


def test_text_that_is_no_json_and_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    log(tmp_path / "a.jsonl").relay(io.BytesIO(b"\x1b[31mTraceback\x1b[0m\n\xff\xfe\n\n[1, 2]\n"))
    assert [line["event"] for line in lines(tmp_path / "a.jsonl")] == ["Traceback", "\ufffd\ufffd", "[1, 2]"]


def test_secrets_are_out_before_the_disk(tmp_path: Path) -> None:
    log(tmp_path / "a.jsonl").relay(io.BytesIO(b'{"event": "x", "dsn": "a-planted-secret"}\na-planted-secret\n'))
    log(tmp_path / "a.jsonl").event("told", detail="a-planted-secret")
    assert "planted-secret" not in (tmp_path / "a.jsonl").read_text()
    assert len(list(lines(tmp_path / "a.jsonl"))) == 3


@pytest.mark.parametrize("password", ["bi-credores", "r1", "error", "tap-x"])
def test_a_password_that_is_a_name_of_ours_hides_no_line_from_whoever_judges_it(tmp_path: Path, password: str) -> None:
    """A table `clientes` and a password `clientes`: each end would be unexpected, and tried again."""
    context = {"run": "r1", "table": "bi-credores", "attempt": 1}
    sink = RunLog(tmp_path / "a.jsonl", redactor([password]), context)
    raw = {"string_id": "tap-x", "producer": True, "event": f"refused: {password}", "level": "error"}
    sink.relay(io.BytesIO(json.dumps(raw).encode() + b"\n"))
    [line] = lines(tmp_path / "a.jsonl")
    assert context.items() <= line.items()
    assert (line["level"], line["source"], line["event"]) == ("error", "tap-x", "refused: ***")


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    log(tmp_path / "a.jsonl").event("x")
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o077 == 0


def test_it_turns_over_and_keeps_the_newest(tmp_path: Path) -> None:
    sink = log(tmp_path / "a.jsonl", max_bytes=2_000, backups=2)
    for number in range(100):
        sink.event(f"event {number}")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    assert all(path.stat().st_size <= 2_000 for path in tmp_path.iterdir())
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    found = [line["event"] for line in lines(tmp_path / "a.jsonl")]
    assert found[-1] == "event 99"
    assert found == [f"event {number}" for number in range(100 - len(found), 100)]


def test_the_last_words_are_the_errors(tmp_path: Path) -> None:
    sink = log(tmp_path / "a.jsonl")
    sink.event("it broke", level="error")
    sink.event("tidied up")
    assert last_words(tmp_path / "a.jsonl") == "[paralelo] it broke"


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"2025110{number}").mkdir()
        (tmp_path / f"2025110{number}" / "x.jsonl").touch()
    assert len(forget_old(tmp_path, keep=2)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20251103", "20251104"]


def test_a_night_of_incremental_syncs_leaves_the_full_ones_and_those_that_failed(tmp_path: Path) -> None:
    for number in range(9):
        mode, code = ("full", 0) if number == 0 else ("incremental", 3 if number == 1 else 0)
        (tmp_path / f"2025110{number}").mkdir()
        report = {"exit_code": code, "tables": [{"mode": mode}]}
        (tmp_path / f"2025110{number}" / "report.json").write_text(json.dumps(report))
    forget_old(tmp_path, keep=2)
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["0", "1", "7", "8"]


def test_a_line_that_is_json_but_no_log_line_is_text() -> None:
    assert parsed('{"type": "STATE"}')["source"] == "output"


def test_what_meltano_prints_before_it_logs_json_keeps_its_level() -> None:
    line = parsed("2026-11-22T22:51:24Z [error    ] meltano      no project here")
    assert (line["level"], line["source"], line["event"]) == ("error", "meltano", "no project here")


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """A full disk, or another user's file: Meltano's output is read all the same, or its pipe would fill up."""
    (tmp_path / "x.jsonl").mkdir()
    output = io.BytesIO(b"one\ntwo\n")
    log(tmp_path / "x.jsonl").relay(output)
    assert output.read() == b""


@pytest.mark.parametrize(
    "line",
    [b'{"event": "half a pair: \\ud83d"}', b"[" * 200_000, b'{"event": "x", "a": ' + b"[" * 900 + b"]" * 900 + b"}"],
)
def test_no_line_stops_the_reader(tmp_path: Path, line: bytes) -> None:
    log(tmp_path / "a.jsonl").relay(io.BytesIO(line + b"\nthe next\n"))
    found = [entry["event"] for entry in lines(tmp_path / "a.jsonl")]
    assert len(found) == 2
    assert found[-1] == "the next"
