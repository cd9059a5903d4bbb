"""The Singer face: records, lines, settings, the hand-over."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from singer_sdk import typing as th
from singer_sdk.singerlib import RecordMessage, StateMessage
from singer_sdk.singerlib.encoding.simple import SimpleSingerWriter
from sync_rules.batch_files import BatchFolder
from sync_rules.batch_info import BatchInfo
from sync_rules.bookmarks import FullBookmark
from sync_rules.column_types import ColumnType
from sync_rules.exits import ConfigurationError, LimitReached, Stalled, TargetUnreachable
from sync_rules.incremental import Clock
from sync_rules.singer import handover, settings
from sync_rules.singer.command import Ended
from sync_rules.singer.messages import ActivateVersionWithRows, Lines
from sync_rules.singer.outputs import BatchOutput
from sync_rules.singer.records import records
from sync_rules.singer.settings import PAGING, check
from sync_rules.singer.source import Column, fingerprint
from sync_rules.singer.tap import PagedTap

LOG = logging.getLogger("test")
SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property("password", th.StringType(max_length=3), secret=True), *PAGING
).to_dict()


def test_records_hold_what_the_arrow_file_holds() -> None:
    """SPEC V2."""
    zone = timezone.utc
    batch = pa.record_batch(
        {
            "d": pa.array([date(9999, 12, 31), None], pa.date32()),
            "t": pa.array([time(23, 59, 59, 999999), None], pa.time64("us")),
            "ts": pa.array([datetime(1, 1, 1, 0, 0, 0, 1), None], pa.timestamp("us")),
            "tz": pa.array([datetime(2025, 6, 1, 12, tzinfo=zone), None], pa.timestamp("us", "UTC")),
            "n": pa.array([Decimal("123456789012345678901234567890123456.78"), None], pa.decimal128(38, 2)),
            "b": pa.array([b"\x00\xff", None], pa.large_binary()),
            "u": pa.array([UUID(int=5).bytes, None], pa.binary(16)),
            "s": pa.array(["ção 😀", None], pa.large_string()),
            "i": pa.array([-1, None], pa.int16()),
            "o": pa.array([True, None], pa.bool_()),
        }
    )
    first, second = records(batch)
    assert first == {
        "d": "9999-12-31",
        "t": "23:59:59.999999",
        "ts": "0001-01-01T00:00:00.000001",
        "tz": "2025-06-01T12:00:00.000000+00:00",
        "n": Decimal("123456789012345678901234567890123456.78"),
        "b": "AP8=",
        "u": "00000000-0000-0000-0000-000000000005",
        "s": "ção 😀",
        "i": -1,
        "o": True,
    }
    assert set(second.values()) == {None}


@pytest.mark.parametrize(
    ("write", "whole"),
    [
        (lambda lines: lines.state({"a": 1}), '{"type":"STATE","value":{"a":1}}\n'),
        (
            lambda lines: lines.records(RecordMessage(stream="s", record={"n": n}) for n in (1, 2)),
            '{"type":"RECORD","stream":"s","record":{"n":1}}\n{"type":"RECORD","stream":"s","record":{"n":2}}\n',
        ),
    ],
)
def test_a_signal_waits_for_the_line_to_be_whole(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[Lines], None], whole: str
) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            lines.terminate(lambda: ended.append(self.getvalue()))
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Interrupted())
    ended: list[str] = []
    lines = Lines(SimpleSingerWriter())
    write(lines)
    assert ended == [whole]
    lines.terminate(lambda: ended.append("now"))
    assert ended[-1] == "now"


def test_a_target_that_went_away_is_told_so() -> None:
    class Gone(SimpleSingerWriter):
        def write_message(self, message: Any) -> None:
            raise BrokenPipeError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO())
        with pytest.raises(TargetUnreachable, match="stopped reading"):
            Lines(Gone()).message(StateMessage({}))


def test_it_is_told_when_nobody_reads_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC O1: else a tap whose Meltano was killed would wait for its files to be taken, for an hour."""
    reading, writing = os.pipe()
    told = threading.Event()
    with os.fdopen(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        Lines.watch_reader(told.set)
        assert not told.wait(0.2)
        os.close(reading)
        assert told.wait(60)


def test_a_file_and_what_is_no_file_are_not_watched_in_vain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = threading.Event()
    with (tmp_path / "out").open("w") as output:
        for instead in (output, io.StringIO()):
            monkeypatch.setattr(sys, "stdout", instead)
            Lines.watch_reader(told.set)
        assert not told.wait(0.2)


def test_many_records_keep_their_digits_and_order(capsys: pytest.CaptureFixture[str]) -> None:
    values = [Decimal(f"{n}.10") for n in range(1001)]
    Lines(SimpleSingerWriter()).records(RecordMessage(stream="s", record={"n": value}, version=3) for value in values)
    found = [json.loads(line, parse_float=Decimal) for line in capsys.readouterr().out.splitlines()]
    assert [line["record"]["n"] for line in found] == values
    assert {line["version"] for line in found} == {3}


@pytest.mark.parametrize(
    ("error", "waits"), [(None, True), (LimitReached("the limit"), True), (ConfigurationError("wrong"), False)]
)
def test_files_are_left_to_the_target_unless_the_sync_failed(
    tmp_path: Path, error: Exception | None, waits: bool
) -> None:
    """SPEC F9. A folder that is let go of is removed by the next run, with what its files hold."""
    ticks = iter(range(100))
    folder = BatchFolder(
        tmp_path, max_ahead=3, patience_seconds=5, sleep=lambda _: None, clock=lambda: float(next(ticks))
    )
    batch = pa.record_batch({"id": [1]})
    folder.write([batch], batch.schema, BatchInfo(stream="s", mode="full", batch=1, rows=1))
    output = BatchOutput("s", batch.schema, folder, Lines(SimpleSingerWriter()))
    with pytest.raises(Stalled) if waits else nullcontext():
        output.__exit__(type(error) if error else None, error, None)


def test_activate_version_says_its_rows() -> None:
    message = ActivateVersionWithRows(stream="s", version=7, rows=9)
    assert message.to_dict() == {"type": "ACTIVATE_VERSION", "stream": "s", "version": 7, "rows": 9}


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"page_size": 0}, "setting page_size must be at least 1, not 0"),
        ({"page_size": "many"}, "setting page_size must be of type integer, not 'many'"),
        ({"sync_mode": "both"}, "setting sync_mode must be one of full, incremental, not 'both'"),
        ({"lookback_minutes": 99999}, "setting lookback_minutes must be at most 10080, not 99999"),
        (
            {"batch_config": {"encoding": {"format": "csv"}}},
            "setting batch_config.encoding.format must be one of",
        ),
        ({"batch_config": {}}, "setting encoding is missing in batch_config"),
        ({"pagesize": 5}, "tap-x has no setting pagesize"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], problem: str) -> None:
    """SPEC O2."""
    assert any(problem in found for found in check(config, SCHEMA, "tap-x"))


@pytest.mark.parametrize("secret", ["hunter2", 12345])
def test_a_secret_is_never_shown(secret: object) -> None:
    """SPEC O3."""
    found = check({"password": secret}, SCHEMA, "tap-x")
    assert found
    assert not any(str(secret) in problem for problem in found)


@pytest.mark.parametrize(
    ("mode", "by_mode"), [({}, (50_000, 3_600, 10_800)), ({"sync_mode": "incremental"}, (5_000, 2_700, 5_400))]
)
def test_defaults_go_by_the_mode_and_null_is_not_set(mode: dict[str, str], by_mode: tuple[int, ...]) -> None:
    config: dict[str, Any] = {**mode, "page_size": None}
    assert check(config, SCHEMA, "tap-x") == []
    assert (config["page_size"], config["query_timeout_seconds"], config["sync_limit_seconds"]) == by_mode
    assert (config["lookback_minutes"], config["max_batches_ahead"], config["batch_patience_seconds"]) == (30, 6, 3_600)


ID, NAME = (Column(name, ColumnType("text"), nullable=False, source_type="text") for name in ("id", "name"))


@pytest.mark.parametrize(
    ("columns", "key", "more"),
    [
        ([NAME, ID], ["id", "name"], ["de"]),
        ([ID], ["id", "name"], ["de"]),
        ([ID, replace(NAME, name="title")], ["id", "name"], ["de"]),
        ([ID, replace(NAME, nullable=True)], ["id", "name"], ["de"]),
        ([ID, replace(NAME, source_type="ntext")], ["id", "name"], ["de"]),
        ([ID, replace(NAME, type=ColumnType("varbinary"))], ["id", "name"], ["de"]),
        ([ID, NAME], ["name", "id"], ["de"]),
        ([ID, NAME], ["id"], ["de"]),
        ([ID, NAME], ["id", "name"], ["pt"]),
    ],
)
def test_whatever_changes_the_rows_or_their_order_changes_the_fingerprint(
    columns: list[Column], key: list[str], more: list[str]
) -> None:
    """SPEC F6. A sync that went on would take the lowest key of one order for one of another, and skip rows."""
    assert fingerprint(columns, key, *more) != fingerprint([ID, NAME], ["id", "name"], "de")


DONE = {"mode": "full", "version": 1, "started_at": "s", "fingerprint": "f", "cursor_at_start": "c", "done": True}


@pytest.mark.parametrize(
    "printed",
    [
        {"singer_state": {"bookmarks": {"dbo-t": DONE}}},
        {"bookmarks": {"dbo-t": DONE}},
        {"completed": {"singer_state": {"bookmarks": {"dbo-t": DONE}}}, "partial": {}},
    ],
)
def test_the_full_sync_is_found_in_what_meltano_prints(tmp_path: Path, printed: dict[str, Any]) -> None:
    """SPEC I3."""
    config = {"full_sync_state_id": "dev:full", "meltano_executable": fake_meltano(tmp_path, json.dumps(printed), 0)}
    found = handover.last_full_sync("dbo-t", {}, config, LOG)
    assert found is not None
    assert found.cursor_at_start == "c"
    assert handover.last_full_sync("dbo-other", {}, config, LOG) is None


@pytest.mark.parametrize("done", [True, False])
def test_a_full_sync_is_a_start_before_it_is_finished_too(done: bool) -> None:
    """SPEC I3. An incremental sync between its attempts that began later would never read what changed before."""
    config = {"full_sync_state_id": "dev:full", "meltano_executable": "/nowhere/meltano"}  # it knows by itself
    found = handover.last_full_sync("dbo-t", {**DONE, "done": done}, config, LOG)
    assert found is not None
    assert found.cursor_at_start == "c"


@pytest.mark.parametrize("known", [{"cursor_at_start": None}, {"cursor_at_start": 7, "cursor_column": "other"}])
def test_a_full_sync_with_another_cursor_tells_its_start_in_utc(known: dict[str, Any]) -> None:
    """SPEC I3."""
    full_sync = FullBookmark(1, "2025-06-01T12:00:00.25+00:00", "f", **known)
    clock = Clock("2025-06-02T00:00:00.1234567", -180, "unused")
    assert handover.in_terms_of(clock, full_sync, "dbo.t", "mod_ts").cursor_at_start == "2025-06-01T08:00:00"
    with pytest.raises(ConfigurationError, match="did not note where version stood"):
        handover.in_terms_of(Clock(99, 0, "unused"), full_sync, "dbo.t", "version")


@pytest.mark.parametrize(("output", "code"), [("boom", 1), ("{broken", 0)])
def test_a_state_that_cannot_be_read_is_an_error(tmp_path: Path, output: str, code: int) -> None:
    config = {"full_sync_state_id": "dev:full", "meltano_executable": fake_meltano(tmp_path, output, code)}
    with pytest.raises(ConfigurationError, match="meltano state get"):
        handover.last_full_sync("dbo-t", {}, config, LOG)


def test_a_meltano_that_is_not_there_is_an_error() -> None:
    config = {"full_sync_state_id": "dev:full", "meltano_executable": "/nowhere/meltano"}
    with pytest.raises(ConfigurationError, match="could not be asked"):
        handover.last_full_sync("dbo-t", {}, config, LOG)


def fake_meltano(folder: Path, output: str, code: int) -> str:
    script = folder / "meltano"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


@pytest.mark.parametrize(
    ("start_date", "now", "offset", "expected"),
    [
        ("2024-01-01", "2025-01-01T00:00:00.0", -180, "2024-01-01T00:00:00"),
        # Then, the offset may have been an hour less than it is now: the hour before is read as well.
        ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00.0", 0, "2023-12-31T23:00:00"),
        ("0001-01-01T00:00:00Z", "2025-01-01T00:00:00.0", -180, "0001-01-01T00:00:00"),
        ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00.0", -180, "2023-12-31T20:00:00"),
        ("2024-01-15T00:00:00Z", "2025-07-01T00:00:00.0", 120, "2024-01-15T01:00:00"),
        ("2024-01-01T00:00:00Z", "2025-01-01", -180, "2023-12-31"),
        ("2024-01-01", 17, 0, None),
        (None, "2025-01-01T00:00:00", 0, None),
    ],
)
def test_the_start_date_is_put_in_the_sources_terms(
    start_date: str | None, now: str | int, offset: int, expected: str | None
) -> None:
    assert handover.start_in_terms_of(Clock(now, offset, "unused"), start_date) == expected


def test_a_start_date_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ISO 8601"):
        handover.start_in_terms_of(Clock("2025-01-01T00:00:00", 0, "unused"), "yesterday")


class Things(PagedTap):
    name = "tap-things"
    config_jsonschema = SCHEMA

    def discover_streams(self) -> list[Any]:
        return []


def test_the_environment_comes_before_a_dotenv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC O2: with `--config ENV` rows went to whatever the nearest .env named."""
    file = tmp_path / ".env"
    file.write_text("TAP_THINGS_PASSWORD=old\nTAP_THINGS_PAGE_SIZE=7\n")
    monkeypatch.setattr(settings, "find_dotenv", lambda: str(file))
    monkeypatch.setenv("TAP_THINGS_PAGE_SIZE", "")  # so that what the file sets is taken back
    monkeypatch.delenv("TAP_THINGS_PAGE_SIZE")
    monkeypatch.setenv("TAP_THINGS_PASSWORD", "new")
    assert Things._env_var_config == {"password": "new", "page_size": 7}


def test_a_tap_that_is_told_to_end_finishes_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            tap._handle_termination(signal.SIGTERM, None)
            return super().write(text)

    monkeypatch.setattr(Ended, "met", None)
    out = Interrupted()
    monkeypatch.setattr(sys, "stdout", out)
    tap = Things()
    with pytest.raises(Ended, match="143"):
        tap.lines.state({"a": 1})
    assert out.getvalue() == '{"type":"STATE","value":{"a":1}}\n'


def test_a_tap_that_is_told_to_end_while_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK listens to signals before it has a writer."""

    def comes_at_once(signum: int, handler: Any) -> None:
        if signum == signal.SIGTERM:
            handler(signum, None)

    monkeypatch.setattr(Ended, "met", None)
    monkeypatch.setattr(signal, "signal", comes_at_once)
    with pytest.raises(Ended, match="143"):
        Things()
