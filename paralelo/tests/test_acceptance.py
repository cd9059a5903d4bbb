"""What the acceptance run reads from logs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from paralelo.acceptance import Check, as_json, restart_after, velocity

BLOW = datetime(2025, 11, 3, 12, tzinfo=timezone.utc)


def ours(event: str, seconds: float, **more: object) -> dict[str, object]:
    moment = (BLOW + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    return {"source": "paralelo", "timestamp": moment, "event": event, **more}


def test_a_restart_is_found_among_lines_of_every_kind() -> None:
    log = [
        ours("started", -9.0),
        {"source": "output", "event": "no time at all"},
        {"source": "tap-mssql", "timestamp": None, "event": "started"},
        {"source": "meltano", "timestamp": "2025-11-03T12:00:01.5Z", "event": "as Meltano spells it"},
        ours("recovering", 2.0, pause_seconds=1.5),
        ours("started", 3.5),
    ]
    assert restart_after(BLOW, log) == (BLOW + timedelta(seconds=3.5), 1.5)
    assert restart_after(BLOW, log[:1]) == (BLOW, 0.0)


def test_an_acceptance_of_which_nothing_was_checked_has_not_passed() -> None:
    checks = [Check("a", True, ""), Check("b", False, "")]
    assert [as_json(checks[:count])["passed"] for count in range(3)] == [False, True, False]


def test_a_table_of_one_page_has_a_velocity_too() -> None:
    assert velocity([(BLOW, 20_000)], 1_500.0)[0] == 1_500.0
    assert velocity([(BLOW, 20_000), (BLOW + timedelta(seconds=2), 8_000)], 1_500.0)[0] == 4_000.0
    assert velocity([], None)[0] == 0.0
