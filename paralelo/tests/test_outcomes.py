"""What a Meltano log says of how a run ended. The lines are Meltano 4.4.1's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_rules.exits import Exit

from paralelo.outcomes import judge
from paralelo.runlog import parsed

BLOCK = '{{"set_number": 0, "success": false, "err": "{err}", "exit_codes": {codes}, "event": "Block run completed", "level": "error", "timestamp": "t"}}'  # noqa: E501


def log(codes: dict[str, int], *lines: dict[str, object], err: str = "Extractor failed") -> list[dict[str, object]]:
    texts = [json.dumps(line) for line in lines]
    return [parsed(text) for text in [*texts, BLOCK.format(err=err, codes=json.dumps(codes))]]


def plugin(name: str, event: str, level: str = "info") -> dict[str, object]:
    return {"string_id": name, "event": event, "level": level, "producer": name.startswith("tap-"), "timestamp": "t"}


def test_exit_0_is_finished_whatever_the_log_says() -> None:
    assert judge(0, []).ok


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"extractors": 3}, Exit.SOURCE_UNREACHABLE),
        ({"loaders": 4}, Exit.TARGET_UNREACHABLE),
        ({"extractors": 6}, Exit.LIMIT_REACHED),
        ({"extractors": 1, "loaders": 7}, Exit.CHECK_REFUSED),
        ({"extractors": 3, "loaders": 1}, Exit.SOURCE_UNREACHABLE),
        ({"extractors": 3, "loaders": 4}, Exit.TARGET_UNREACHABLE),
        ({"extractors": 3, "loaders": 8}, Exit.DATA_REFUSED),
        ({"extractors": 2, "loaders": 4}, Exit.CONFIGURATION),
        ({"extractors": -9}, Exit.UNEXPECTED),
        ({"extractors": 5}, Exit.ALREADY_RUNNING),
    ],
)
def test_a_plugins_own_code_decides(codes: dict[str, int], expected: Exit) -> None:
    outcome = judge(1, log(codes))
    assert outcome.exit is expected
    assert not outcome.lock_only


def test_the_reason_is_the_failed_plugins_last_error() -> None:
    lines = (
        plugin("tap-mssql-full-bi-credores", "login refused for paralelo_reader", "error"),
        plugin("target-postgres", "no more input", "error"),
    )
    assert judge(1, log({"extractors": 3}, *lines)).reason == "login refused for paralelo_reader"


def test_a_tap_that_saw_its_target_go_does_not_know_why() -> None:
    gone = plugin("tap-mssql", "the target stopped reading: see its own messages", "error")
    refused = plugin("target-postgres", "permission denied for schema public", "error")
    codes = {"extractors": 4, "loaders": 2}
    assert judge(1, log(codes, refused, gone)).reason == "permission denied for schema public"
    assert judge(1, log({"extractors": 4, "loaders": -9}, gone)).reason == "the target ended with signal 9"
    assert judge(1, log({"extractors": 4}, gone)).reason == gone["event"]


def test_without_an_error_line_the_reason_is_the_last_thing_the_plugin_said() -> None:
    lines = (plugin("tap-mssql", "dbo.t: the source did not answer"), plugin("target-postgres", "done"))
    assert judge(1, log({"extractors": 3}, *lines)).reason == "dbo.t: the source did not answer"


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("'swapp' is not a valid choice for 'activation'", True),
        ("invalid literal for int() with base 10: 'abc'", False),
        ("Failed to parse JSON array from string: 'clientes'", False),
    ],
)
def test_a_setting_that_meltano_cannot_read_is_not_tried_again(said: str, named: bool) -> None:
    outcome = judge(1, [parsed(json.dumps({"event": said, "level": "error", "timestamp": "t"}))])
    assert outcome.exit is Exit.CONFIGURATION
    assert said in outcome.reason
    assert ("doctor.py" in outcome.reason) is not named


def test_a_plugin_that_could_not_be_started_says_why() -> None:
    start = {"event": "Cannot start plugin tap-mssql: 'PATH'", "level": "error", "timestamp": "t"}
    assert judge(1, log({}, start, err="Cannot start plugin tap-mssql: 'PATH'")).reason == start["event"]


def test_a_plugin_that_was_killed_says_by_which_signal() -> None:
    lines = [plugin("target-postgres", "loading page 3")]
    assert judge(1, log({"loaders": -9}, *lines)).reason == "the target ended with signal 9"


def test_meltanos_own_lock_is_told_from_the_tables() -> None:
    err = "Another 'dev:tap-a-to-target-b' pipeline is already running which started at 2026. Wait until"
    lines = [parsed(json.dumps({"event": err, "level": "error"})), parsed(BLOCK.format(err=err, codes="{}"))]
    outcome = judge(1, lines)
    assert outcome.exit is Exit.ALREADY_RUNNING
    assert outcome.lock_only
    assert outcome.reason == "Meltano holds a run of dev:tap-a-to-target-b for running"
    outcome = judge(1, [*lines, parsed(BLOCK.format(err=err, codes='{"loaders": 8}'))])
    assert (outcome.exit, outcome.lock_only) == (Exit.DATA_REFUSED, False), "a plugin ran, whatever it quotes"


def test_a_killed_meltano_is_unexpected_and_names_the_signal() -> None:
    outcome = judge(-9, [])
    assert (outcome.exit, outcome.by_signal) == (Exit.UNEXPECTED, 9)
    assert outcome.reason == "Meltano was ended by signal 9"


def test_a_plugin_that_is_not_installed_is_a_setting_to_mend() -> None:
    line = {"event": "Extractor 'tap-nothing' is not known to Meltano", "level": "error"}
    assert judge(1, [parsed(json.dumps(line))]).exit is Exit.CONFIGURATION


def test_a_tap_that_fails_while_it_discovers_is_asked_for_its_own_code_and_words() -> None:
    failed = (
        "Cannot start plugin tap-a: Catalog discovery failed: command ['tap', '--discover'] returned 3 with stderr:"
    )
    lines = [
        {"event": "the source did not answer", "level": "error", "plugin_logger": "tap-mssql", "type": "discovery"},
        {"event": failed, "level": "error"},
    ]
    outcome = judge(1, [parsed(json.dumps(line)) for line in lines] + log({}, err=failed))
    assert (outcome.exit, outcome.reason) == (Exit.SOURCE_UNREACHABLE, "the source did not answer")


@given(st.integers(-64, 255), st.lists(st.text(max_size=60), max_size=8))
def test_no_log_breaks_it(returncode: int, lines: list[str]) -> None:
    outcome = judge(returncode, [parsed(line) for line in lines])
    assert outcome.ok == (returncode == 0)


def test_an_environment_that_is_not_there_is_no_passing_trouble() -> None:
    line = {"event": "Environment 'nope' was not found.", "level": "error", "timestamp": "t"}
    assert judge(1, [parsed(json.dumps(line))]).exit is Exit.CONFIGURATION


@pytest.mark.parametrize(
    "said",
    [
        "(sqlite3.OperationalError) attempt to write a readonly database",
        "[Errno 13] Permission denied: '/srv/x'",
        "Failed to initialize database: (sqlite3.OperationalError) unable to open database file",
    ],
)
def test_another_users_folder_is_not_tried_again(said: str) -> None:
    assert judge(1, [{"event": said, "level": "error"}]).exit is Exit.CONFIGURATION


@pytest.mark.parametrize("why", ["file is not a database", "database disk image is malformed"])
def test_a_damaged_database_of_meltanos_is_not_tried_again(why: str) -> None:
    """Four attempts would find it as it is; what to do is told."""
    outcome = judge(1, [{"event": f"Failed to initialize database: (sqlite3.DatabaseError) {why}", "level": "error"}])
    assert outcome.exit is Exit.CONFIGURATION
    assert "move it away" in outcome.reason
    assert judge(1, log({"extractors": 3}, plugin("tap-sqlite", why, "error"))).exit is Exit.SOURCE_UNREACHABLE


def test_why_state_could_not_be_saved_is_told() -> None:
    chain = [{"exc_value": "the outer one", "is_cause": False}, {"exc_value": "No space left", "is_cause": True}]
    line = {"event": "Failed to persist state to the backend", "level": "error", "exception": chain}
    outcome = judge(1, [line])
    assert (outcome.exit, outcome.reason) == (Exit.UNEXPECTED, f"{line['event']}: No space left")
