"""Rates, phases and which ledger entry belongs to a run."""

from __future__ import annotations

import io
import itertools
import re
from datetime import datetime, timedelta, timezone

import pytest
from rich.console import Console
from sync_rules.exits import Exit

from paralelo import report, view
from paralelo.cli import history
from paralelo.forecast import forecast
from paralelo.live import show
from paralelo.progress import Progress
from paralelo.report import Report, TableReport
from paralelo.snapshot import Line, Phase, Snapshot, of_this_run, pace, phase
from paralelo.usage import Usage
from paralelo.view import bar, counted, grid, plain, rows, size, span

BEGAN = datetime(2025, 11, 3, 22, 0, tzinfo=timezone.utc)


def entry(**values: object) -> Progress:
    base: dict[str, object] = {
        "table": "bi_credores",
        "mode": "full",
        "status": "staging",
        "committed": 0,
        "estimate": None,
        "now": BEGAN + timedelta(seconds=100),
        "updated_at": BEGAN + timedelta(seconds=99),
    }
    return Progress(**{**base, **values})  # type: ignore[arg-type]  # a test's own mixture


def test_the_average_leaves_out_what_earlier_attempts_committed() -> None:
    found = entry(committed=1_000_000, rows_earlier=400_000, rows_before=900_000)
    rates = pace(found, BEGAN, None, window_seconds=10)
    assert rates.average == pytest.approx(6_000)
    assert rates.now == pytest.approx(10_000)


def test_the_rate_of_a_resumed_run_does_not_count_rows_of_the_run_before() -> None:
    found = entry(committed=500_000, rows_earlier=500_000, rows_before=0, now=BEGAN + timedelta(seconds=4))
    assert pace(found, BEGAN, None, window_seconds=15).now == 0


def test_an_incremental_sync_is_measured_between_two_looks() -> None:
    first = entry(mode="incremental", status="running", committed=1_000, now=BEGAN + timedelta(seconds=90))
    then = entry(mode="incremental", status="running", committed=6_000)
    assert pace(then, BEGAN, first, 15).now == pytest.approx(500)


def test_a_whole_sync_has_no_rate_now_and_its_average_ends_with_it() -> None:
    found = entry(status="activated", committed=10_000, finished_at=BEGAN + timedelta(seconds=20))
    assert pace(found, BEGAN, None, 15).now is None
    assert pace(found, BEGAN, None, 15).average == pytest.approx(500)


@pytest.mark.parametrize(
    ("found", "alive", "expected"),
    [
        (None, {"meltano", "tap", "target"}, "starting"),
        (entry(), {"meltano"}, "starting"),
        (entry(), {"meltano", "tap", "target"}, "reading"),
        (entry(last_commit=BEGAN + timedelta(seconds=98)), {"meltano", "tap", "target"}, "loading"),
        (entry(last_commit=BEGAN + timedelta(seconds=60)), {"meltano", "tap", "target"}, "reading"),
        (entry(last_commit=BEGAN - timedelta(seconds=1)), {"meltano", "tap", "target"}, "reading"),
        (entry(last_commit=BEGAN + timedelta(seconds=98)), {"meltano", "target"}, "checking"),
        (entry(prepared=True), {"meltano", "target"}, "activating"),
    ],
)
def test_phases(found: Progress | None, alive: set[str], expected: str) -> None:
    assert phase(found, alive, BEGAN) == expected


def test_an_entry_of_an_earlier_run_is_not_this_ones_unless_it_is_unfinished() -> None:
    old = BEGAN - timedelta(hours=1)
    assert of_this_run(entry(status="activated", updated_at=old), BEGAN) is None
    assert of_this_run(entry(status="running", mode="incremental", updated_at=old), BEGAN) is None
    assert of_this_run(entry(status="staging", updated_at=old), BEGAN) is not None
    assert of_this_run(entry(status="activated", updated_at=BEGAN + timedelta(seconds=1)), BEGAN) is not None
    assert of_this_run(entry(status="abandoned"), BEGAN) is None


def test_percent_never_passes_100_and_the_eta_uses_the_rate_of_now() -> None:
    line = Line("t", "full", "loading", committed=1_500, estimate=1_000, rate_now=10.0, rate_average=5.0)
    assert line.percent == 100
    assert line.eta_seconds == 0
    assert Line("t", "full", "loading", committed=500, estimate=1_000, rate_average=5.0).eta_seconds == 100
    assert Line("t", "full", "done", committed=500, estimate=1_000, rate_average=5.0).eta_seconds is None
    assert Line("t", "full", "loading", committed=5, estimate=0).percent is None


def test_plain_lines_stay_under_100_columns() -> None:
    line = Line("a-table-with-quite-a-long-name", "full", "loading", 123_456_789, 999_999_999, 123_456.0, 1.0, 3, 9.0,
                note="the target cannot be reached: connection refused, is the server running there")  # fmt: skip
    assert len(plain(line)) < 100
    assert plain(line).startswith("a-table-with-quite-a-long-name: loading, 123,456,789 rows of 999,999,999 (12%)")
    short = Line("t", "full", "loading", 500, 1_000, 12.0, 10.0, 2, 75.0)
    assert plain(short) == "t: loading, 500 rows of 1,000 (50%), 12 rows/s, ETA 0:42, attempt 2, average 10, lag 1:15"
    assert plain(short, with_mode=True).startswith("t full: loading, 500 rows")


@pytest.mark.parametrize("width", [80, 110])
def test_no_figure_is_cut_on_a_terminal_of_80_columns(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    line = Line("resumo-faixas", "full", "activating", 9_876_543, 1_999_999_999, 123_456.0, 98_765.0, 2, 99.0)
    console.print(grid(Snapshot(BEGAN, (line,)), width))
    part = TableReport("resumo-faixas", "full", "finished", Exit.FINISHED, "", 4_000.0, read=1_234_567_890,
                       written=1_234_567_889, unchanged=7, stale=8, rejected=9, peak_memory=450_000_000)  # fmt: skip
    console.print(report.grid(Report("r", BEGAN, 4_000.0, (part,), 1, ""), width))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for figure in ("9,876,543", "123,456", "98,765", "1:39", "1,234,567,890", "1,234,567,889", "1:06:40", "450 MB"):
        assert figure in shown
    assert "…" not in shown


def test_a_name_as_long_as_sql_server_takes_leaves_room_for_the_figures() -> None:
    """In the live view, its plain lines, the closing table and the history, to the other tables' figures too."""
    name, console = "t" * 127 + "9", Console(file=io.StringIO(), width=110)
    line = Line(name, "full", "loading", 9_876_543, 1_999_999_999, 123_456.0, 98_765.0, 2, 99.0)
    assert "ttt9: loading, 9,876,543 rows" in plain(line)
    part = TableReport(name, "full", "finished", Exit.FINISHED, "", 4_000.0, read=1_234_567, peak_memory=450_000_000)
    large = TableReport(name, "full", "finished", Exit.FINISHED, "", 4_000.0, read=1_234_567_890, written=1_234_567_890)
    row = {"began_at": BEGAN, "name": name, "mode": "full", "outcome": "finished", "rows_read": 7, "rows_rejected": 0,
           "seconds": 4_000.0, "attempts": 1, "peak_memory": None}  # fmt: skip
    console.print(grid(Snapshot(BEGAN, (line,)), 110))
    for one in (part, large):
        console.print(report.grid(Report("r", BEGAN, 4_000.0, (one,), 1, ""), 110))
    console.print(view.fitting(console, [row], history._COLUMNS, numbers=history._NUMBERS, least=history._LEAST))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for figure in ("123,456", "98,765", "1,234,567 ", "450 MB", "1,234,567,890 written", "2025-11-03 22:00"):
        assert figure in shown
    assert "…" not in shown


def test_plain_lines_come_at_once_when_a_phase_changes_and_become_rare_while_it_lasts() -> None:
    phases = iter(["starting"] + ["loading", "reading"] * 60 + ["done"])
    committed = itertools.count()
    seen: list[Phase] = []

    def look() -> Snapshot:
        seen.append(next(phases))  # type: ignore[arg-type]  # all of them are phases
        return Snapshot(BEGAN, (Line("t", "full", seen[-1], next(committed)),))

    console = Console(file=io.StringIO(), width=110)
    show(look, lambda: len(seen) > 120, console, sleep=lambda _: None)
    assert isinstance(console.file, io.StringIO)
    told = [line.partition("t: ")[2] for line in console.file.getvalue().splitlines()]
    assert told[0] == "starting, 0 rows"
    assert told[1] == "loading, 1 row"
    assert told[-1] == "done, 121 rows (100%)"
    assert 12 <= len(told) <= 18, "600 seconds: at 0, 5, 15, 35, 75, then each minute"


def test_a_snapshot_sums_its_tables() -> None:
    lines = (Line("a", "full", "loading", 5, rate_now=2.0), Line("b", "full", "waiting", 7))
    assert (Snapshot(BEGAN, lines, Usage()).committed, Snapshot(BEGAN, lines).rate_now) == (12, 2.0)


def test_the_closing_tables_counts_add_up_to_what_was_read() -> None:
    """A full sync writes every row into its staging table; what it changed in the live one is told. # SPEC V4"""
    alike = TableReport("t", "full", "finished", Exit.FINISHED, "", 9.0, read=105, written=105, inserted=3, updated=2,
                        unchanged=100, stale=0, rejected=0)  # fmt: skip
    staged = TableReport("u", "full", "failed", Exit.STALLED, "no luck", 9.0, read=50, written=50, inserted=0,
                         updated=0, unchanged=0, stale=0, rejected=0)  # fmt: skip
    for width in (80, 110):
        console = Console(file=io.StringIO(), width=width)
        console.print(report.grid(Report("r", BEGAN, 9.0, (alike, staged), 1, ""), width))
        assert isinstance(console.file, io.StringIO)
        figures = [re.findall(r"\b\d+\b", line) for line in console.file.getvalue().splitlines() if "105" in line]
        assert figures[0][:3] == ["105", "5", "100"]
        assert console.file.getvalue().count("50 ") >= 2


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ([Exit.FINISHED, Exit.FINISHED], 0),
        ([Exit.FINISHED, Exit.STALLED], Exit.STALLED),
        ([Exit.STALLED, Exit.CONFIGURATION], Exit.CONFIGURATION),
        ([Exit.FINISHED, None], 130),
        ([None, Exit.SOURCE_UNREACHABLE], Exit.SOURCE_UNREACHABLE),
    ],
)
def test_one_exit_code_of_several_tables(ended: list[Exit | None], code: int) -> None:
    """What no restart mends before what one may; what was stopped on request is no failure. # SPEC O1"""
    parts = tuple(
        TableReport("t", "full", "stopped", Exit.UNEXPECTED, "", 1.0)
        if one is None
        else TableReport("t", "full", "failed" if one else "finished", one, "", 1.0)
        for one in ended
    )
    assert Report("r", BEGAN, 9.0, parts, 1, "").exit_code == code


def test_figures_as_people_write_them() -> None:
    assert [span(value) for value in (None, 0.4, 65, 3_725, 90_000)] == ["-", "0:00", "1:05", "1:02:05", "1d 01h"]
    assert [size(value) for value in (999, 1_500_000, 2.5e12)] == ["999 B", "2 MB", "2.5 TB"]
    assert [rows(value) for value in (None, 1234.6)] == ["-", "1,235"]
    assert [counted(count, "process", "processes") for count in (0, 1, 1_000)] == [
        "0 processes", "1 process", "1,000 processes",
    ]  # fmt: skip
    assert [bar(value) for value in (None, 0, 50, 100)] == ["", "............", "######......", "############"]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_figures(width: int) -> None:
    row = {
        "began_at": BEGAN, "name": "resumo-faixas", "mode": "incremental", "outcome": "finished",
        "rows_read": 1_234_567_890, "rows_rejected": 0, "seconds": 4_000.0, "attempts": 1, "peak_memory": 447_000_000,
    }  # fmt: skip
    console = Console(width=width, file=io.StringIO())
    console.print(view.fitting(console, [row], history._COLUMNS, numbers=history._NUMBERS, least=history._LEAST))
    assert isinstance(console.file, io.StringIO)
    heading, line = console.file.getvalue().splitlines()
    assert ("memory" in heading) is (width > 100)
    for word in ("resumo-faixas", "1,234,567,890", "1:06:40"):
        assert (word in line) is (width > 60)


@pytest.mark.parametrize(("committed", "state"), [(0, "no state"), (500, "lost state")])
def test_a_sync_that_ended_before_its_first_page_has_lost_nothing(committed: int, state: str) -> None:
    assert forecast("full", None, entry(committed=committed)).state == state
