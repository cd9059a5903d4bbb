"""The harness's own logic, and one small run of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.__main__ import main, read, rendered
from bench.contenders import OTHER_DRIVERS, ROOT
from bench.figures import Line, Result, case_lines, markdown, ratio, rotated, table
from bench.goals import goals
from bench.goals import shown as shown_goals
from bench.growth import middle_rate
from bench.measure import Cost, role, run
from bench.slow_link import BYTES_A_SECOND, WINDOW
from bench.slow_link import Line as Wire


def result(name: str, number: int, wall: float, failure: str = "", **more) -> Result:
    return Result(name, "bi_credores", number, 100, Cost(0, wall, 1.0, 1.0, 1.0, 2**20), failure, **more)


def test_each_contender_is_first_once() -> None:
    assert [rotated(["a", "b", "c"], n) for n in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_ratios_divide_within_a_round_only() -> None:
    # A slow second round slows both: the ratio stays, where one of overall means would not.
    results = [result("a", 0, 1), result("b", 0, 2), result("a", 1, 10), result("b", 1, 20), result("b", 2, 1)]
    assert ratio(results, "a", "b") == 2


def test_a_failed_run_has_no_part_in_a_ratio() -> None:
    assert ratio([result("a", 0, 1, "wrong rows"), result("b", 0, 2)], "a", "b") is None
    assert result("a", 0, 1, "wrong rows", growth=[(1, 10), (2, 20)]).middle is None


def test_fewer_rows_of_a_slow_contender_compare_by_their_rate() -> None:
    slow = Result("slow", "bi_credores", 0, 10, Cost(0, 1, 1.0, 1.0, 1.0, 1))
    assert ratio([slow, result("fast", 0, 1)], "slow", "fast") == 0.1


def test_the_tables_say_why_a_contender_could_not_run() -> None:
    results = [result("a", 0, 1), Result("b", "bi_credores", 0, 100, None, "not installed: no wheel")]
    for shown in (table(results, "a"), markdown(results, "a")):
        assert "not installed: no wheel" in shown
        assert max(map(len, shown.splitlines())) < 140


def test_the_middle_leaves_out_start_and_end() -> None:
    # 2 s of start-up, 4 s of load, 4 s of index builds: the middle is the load's rate alone.
    points = [(0.0, 0), (2.0, 0), (3.0, 250), (4.0, 500), (5.0, 750), (6.0, 1000), (10.0, 1000)]
    assert middle_rate(points, 4000) == 1000
    assert middle_rate([(1.0, 0), (2.0, 0)], 4000) is None
    assert middle_rate([(1.0, 1000), (2.0, 1000)], 4000) is None


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["python", "/x/bin/tap-mssql", "--config"], "tap"),
        (["/x/bin/target-postgres"], "target"),
        (["python3", "/x/bin/meltano", "run"], "meltano"),
        (["python", "-m", "bench.reference"], "other"),
        ([], "other"),
    ],
)
def test_processes_are_told_apart(command: list[str], part: str) -> None:
    assert role(command) == part


def test_children_are_in_the_cpu(tmp_path) -> None:
    burn = "import time\nwhile time.process_time() < 0.8: pass"
    code = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {burn!r}]))"
    cost = run([sys.executable, "-c", code], os.environ, tmp_path / "log", os.getpid(), os.getpid())
    assert cost.code == 0
    assert cost.client_cpu >= 0.8
    assert 0 < sum(cost.roles.values()) <= cost.client_cpu + 0.05
    assert cost.memory > 0


@pytest.mark.parametrize("starting", [True, False])
def test_a_benchmark_that_is_stopped_takes_its_contender_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starting: bool
) -> None:
    """Also when it is stopped before it knows whom it has started."""
    started: list[int] = []

    def stop(signum: int, _frame: object) -> None:
        sys.exit(128 + signum)

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            started.append(self.pid)
            if starting:
                signal.raise_signal(signal.SIGTERM)
            else:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

    monkeypatch.setattr(subprocess, "Popen", Watched)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(SystemExit):
            run(["sleep", "60"], os.environ, tmp_path / "log", os.getpid(), os.getpid())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [psutil.pid_exists(pid) for pid in started] == [False]


def test_what_shares_a_line_waits_for_what_came_before() -> None:
    wire = Wire()
    assert [wire.through(BYTES_A_SECOND // 2, now) for now in (0.0, 0.25, 4.0)] == [0.5, 1.0, 4.5]


def test_a_slow_link_passes_every_byte_on_in_order() -> None:
    sent = os.urandom(WINDOW * 6)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.recv(3)
                peer.sendall(sent)

        threading.Thread(target=answer, daemon=True).start()
        command = [sys.executable, "-m", "bench.slow_link", "127.0.0.1", str(server.getsockname()[1])]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as link:
            try:
                with socket.create_connection(("127.0.0.1", int(link.stdout.readline()))) as client:
                    client.sendall(b"go!")
                    got = b"".join(iter(lambda: client.recv(65_536), b""))
            finally:
                link.terminate()
    assert got == sent


def test_nothing_to_render_is_told_in_a_line(tmp_path, capsys) -> None:
    assert main(["--folder", str(tmp_path), "--render"]) == 2
    assert "results.json" in capsys.readouterr().err


def test_the_reference_run_is_checked_and_written_and_rendered(tmp_path, capsys) -> None:
    few = ["--rows", "2000", "--rounds", "1", "--tables", "bi_credores", "resumo_faixas", "--folder", str(tmp_path)]
    assert main([*few, "--no-plot", "--only", "reference"]) == 0
    kept = json.loads((tmp_path / "results.json").read_text())
    assert [(each["table"], each["rows"], each["failure"]) for each in kept["results"]] == [
        ("bi_credores", 2000, ""),
        ("resumo_faixas", 2000, ""),
    ]
    assert "PASSWORD" not in json.dumps(kept)
    capsys.readouterr()
    assert main(["--folder", str(tmp_path), "--render"]) == 0
    shown = capsys.readouterr().out
    assert "| reference | 2,000 |" in shown
    assert shown.strip() == rendered(read(tmp_path / "results.json"), "reference").strip()


def test_cases_are_a_table_too() -> None:
    assert "| merge | load | 1.50 | note |" in case_lines([Line("merge", "load", 1.5, "note")])


def test_goals_are_reached_missed_or_not_measured() -> None:
    results = [result("paralelo", 0, 1.0), result("reference", 0, 0.9), result("sling", 0, 3.0)]
    cases = [Line("start-up", "full sync of 1 row, median", 0.5), Line("latency", "4 readers", 1, "3.10 x one reader")]
    fewer = [Result("paralelo", "bi_credores", 0, 50, Cost(0, 0.75, 1.0, 1.0, 1.0, 2**20))]
    found = {goal.what: goal for goal in goals(results, cases, fewer)}
    assert found["rate of the whole run, against the bare pipeline"].reached == "yes"
    assert found["against sling, whole run"].reached == "no"
    assert found["against dlt's best case, whole run"].reached == "not measured"
    assert found["four readers over 20 ms, against one"].found == 3.1
    # 100 rows in half a second after start-up, 50 rows in a quarter: the same rate.
    assert found["rate without start-up, against fewer rows"].found == 1.0
    assert "| start-up | 5 or less | 0.50 s | yes |" in shown_goals(results, cases, fewer)
    for other in OTHER_DRIVERS:
        assert other not in shown_goals(results, cases, fewer)
        both = shown_goals([*results, result(other, 0, 0.6)], cases, fewer).split(other)[1]
        assert "| rate of the whole run, against the bare pipeline | 0.85 or more | 1.50 x | yes |" in both
        assert "not measured" not in both
