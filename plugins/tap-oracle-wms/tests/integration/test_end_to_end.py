"""tap-oracle-wms into target-postgres: equal on both sides, whatever is killed and whatever the network does."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tap_oracle_wms.limiter import HostLimiter, host_of
from tap_oracle_wms.sweep import main as sweep_main
from wms_sides import ROWS, copied, difference, expected

from sandbox.wms.faults import Fault
from sandbox.wms.server import WmsServer
from tests.pipeline import BIN, Pipeline


@pytest.fixture
def pipeline(config: dict[str, Any], postgres: dict[str, Any], tmp_path: Path) -> Pipeline:
    """The allocation's pipeline, by batches of 500 rows."""
    tap = {**config, "batch_config": {"encoding": {"format": "arrow"}}, "batch_rows": 500}
    return Pipeline(tmp_path / "run", tap, postgres, tap="tap-oracle-wms")


@pytest.mark.parametrize("entity", ROWS)
def test_full_then_incremental(wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any], entity: str) -> None:
    ended = pipeline.run(entities=[entity])
    assert ended.ok, ended.explain()
    assert not difference(expected(wms, entity), copied(postgres, entity))
    before = pipeline.bookmark(entity)
    assert before["done"]
    wms.mutate(entity, updates=60, inserts=25, seed=5)
    ended = pipeline.run(entities=[entity], sync_mode="incremental")
    assert ended.ok, ended.explain()
    assert not difference(expected(wms, entity), copied(postgres, entity))
    assert pipeline.bookmark(entity)["mode"] == "incremental"


def test_records_carry_the_same_values(wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any]) -> None:
    ended = pipeline.run(entities=["order_hdr"], batch_config=None)
    assert ended.ok, ended.explain()
    assert not difference(expected(wms, "order_hdr"), copied(postgres, "order_hdr"))


@pytest.mark.parametrize("which", ["tap", "target"])
@pytest.mark.parametrize("at", [1, 4, 9])
def test_killed_at_any_batch_and_resumed(
    wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any], which: str, at: int
) -> None:
    wms.faults.set([Fault("status", status=503, every=6, times=6), Fault("half", every=7, times=3)])

    def kill(states: int) -> None:
        if states == at:
            running.kill(which, signal.SIGKILL)

    running = pipeline.start(kill)
    running.wait()
    bookmark = pipeline.bookmark("allocation")
    assert not bookmark.get("done") or which == "tap"
    wms.mutate("allocation", deletes=10, inserts=10, seed=100 + at)
    ended = pipeline.run()
    assert ended.ok, ended.explain()
    ended = pipeline.run(sync_mode="incremental")
    assert ended.ok, ended.explain()
    # Rows deleted at the source after they were read stay until the next full sync: the sweep reports them.
    here, there = expected(wms, "allocation"), copied(postgres, "allocation")
    assert not difference(here, {one: row for one, row in there.items() if one in here})
    report = sweep(pipeline, there)
    assert report["stale"] == len(there.keys() - here.keys())
    assert report["missing"] == 0
    assert report["counted"] == report["source_rows"] == len(here)


def test_an_incremental_sync_that_was_cut_short_goes_on_to_what_came_since(
    wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any]
) -> None:
    ended = pipeline.run()
    assert ended.ok, ended.explain()
    wms.mutate("allocation", updates=900, seed=21)

    def end(states: int) -> None:
        if states == 1:
            running.kill("tap", signal.SIGTERM)

    wms.faults.set([Fault("slow", query="mod_ts__gte", skip=3, times=100, seconds=120)])
    running = pipeline.start(end, sync_mode="incremental", batch_rows=250)
    ended = running.wait()
    assert (ended.tap, ended.target) == (128 + signal.SIGTERM, 0), ended.explain()
    assert pipeline.bookmark("allocation")["unfinished"]
    wms.faults.set([])
    wms.mutate("allocation", updates=40, inserts=20, seed=22)
    ended = pipeline.run(sync_mode="incremental")
    assert ended.ok, ended.explain()
    assert "what a run that was cut short had left is read; on to" in ended.tap_log
    assert not difference(expected(wms, "allocation"), copied(postgres, "allocation"))


def test_a_sync_that_reaches_its_limit_goes_on_in_the_next_run(
    wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any]
) -> None:
    wms.latency = 0.15
    ended = pipeline.run(sync_limit_seconds=1, max_requests_in_flight=1)
    assert (ended.tap, ended.target) == (6, 0), ended.explain()
    assert 0 < pipeline.bookmark("allocation")["rows"] < len(expected(wms, "allocation"))
    wms.latency = 0.0
    ended = pipeline.run()
    assert ended.ok, ended.explain()
    assert not difference(expected(wms, "allocation"), copied(postgres, "allocation"))


def test_it_goes_on_although_the_fields_come_in_another_order(
    wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any]
) -> None:
    """And the address has got a slash at its end."""
    wms.latency = 0.15
    ended = pipeline.run(sync_limit_seconds=1, max_requests_in_flight=1)
    assert ended.tap == 6, ended.explain()
    wms.latency = 0.0
    wms.faults.set([Fault("reordered", path="/describe/", times=1_000)])
    ended = pipeline.run(base_url=f"{wms.base_url}/")
    assert ended.ok, ended.explain()
    assert "goes on after" in ended.tap_log
    assert not difference(expected(wms, "allocation"), copied(postgres, "allocation"))


def test_after_rows_were_left_out_the_next_run_begins_anew(
    wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any]
) -> None:
    """Going on below the bookmark would end well, and delete the good rows that lie above it."""
    ended = pipeline.run()
    assert ended.ok, ended.explain()
    wms.faults.set([Fault("short", query="ordering=-id&page_size=250", skip=5)])
    # Other tests have just changed rows: within the lookback those could stand in for the one that is missing.
    ended = pipeline.run(max_requests_in_flight=1, lookback_minutes=0)
    assert ended.tap == 7, ended.explain()
    assert not difference(expected(wms, "allocation"), copied(postgres, "allocation"))
    ended = pipeline.run()
    assert ended.ok, ended.explain()
    assert not difference(expected(wms, "allocation"), copied(postgres, "allocation"))


def test_a_full_sync_after_a_lost_state_takes_effect_within_the_same_second(
    wms: WmsServer, pipeline: Pipeline, postgres: dict[str, Any]
) -> None:
    versions = set()
    for seed in range(4):
        pipeline.state_file.unlink(missing_ok=True)
        ended = pipeline.run(entities=["order_hdr"])
        assert ended.ok, ended.explain()
        versions.add(pipeline.bookmark("order_hdr")["version"])
        assert not difference(expected(wms, "order_hdr"), copied(postgres, "order_hdr"))
        wms.mutate("order_hdr", updates=9, seed=300 + seed)
    assert len(versions) == 4


def end_at(pipeline: Pipeline, batch: int) -> None:
    """A run with one request at a time, whose tap is told to end when so many batches are saved."""

    def end(states: int) -> None:
        if states == batch:
            running.kill("tap", signal.SIGTERM)

    running = pipeline.start(end, max_requests_in_flight=1)
    ended = running.wait()
    assert (ended.tap, ended.target) == (128 + signal.SIGTERM, 0), ended.explain()


def test_rows_left_out_in_an_earlier_attempt_are_missed(wms: WmsServer, pipeline: Pipeline) -> None:
    pages = "ordering=-id&page_size=250"
    wms.faults.set([Fault("short", query=pages, skip=2), Fault("slow", query=pages, skip=12, times=100, seconds=120)])
    end_at(pipeline, 3)
    wms.faults.set([])
    ended = pipeline.run(lookback_minutes=0)
    assert ended.tap == 7, ended.explain()
    assert pipeline.bookmark("allocation")["last_key"] is None


def test_an_ended_tap_ends_at_once(wms: WmsServer, pipeline: Pipeline) -> None:
    """Even while the API takes its time: a request may have an hour."""
    wms.faults.set([Fault("slow", query="id__lt", skip=12, times=100, seconds=120)])
    end_at(pipeline, 1)


def test_a_tap_that_waits_as_the_api_asked_ends_at_once(
    wms: WmsServer, config: dict[str, Any], pipeline: Pipeline
) -> None:
    """Whatever it is at: two requests go side by side before the first page."""
    wms.faults.set([Fault("status", query="page_mode=paged", status=429, retry_after="3600", times=100)])
    running = pipeline.start()
    limits = Path(config["limits_root"])
    limiter = HostLimiter(limits, host_of(wms.base_url), in_flight=1, per_second=None)
    while not limiter.held_for():
        time.sleep(0.05)
    running.kill("tap", signal.SIGTERM)
    ended = running.wait()
    assert ended.tap in (128 + signal.SIGTERM, -signal.SIGTERM), ended.explain()


def test_the_sweep_without_a_target_finds_rows_the_api_leaves_out(
    wms: WmsServer, config: dict[str, Any], tmp_path: Path
) -> None:
    given = tmp_path / "sweep.json"
    given.write_text(json.dumps(config))
    arguments = ["--entity", "allocation", "--config", str(given)]
    assert sweep_main(arguments) == 0
    wms.faults.set([Fault("short", query="ordering=-id&page_size=250", skip=3)])
    assert sweep_main(arguments) == 7
    for content, code in ((None, 2), ("no id\n", 8)):
        ids = tmp_path / "ids.txt"
        if content is not None:
            ids.write_text(content)
        assert sweep_main([*arguments, "--against", str(ids)]) == code
    # All of its rows came between the count and the reading: it is counted again.
    wms.faults.set([Fault("nothing", query="page_mode=paged")])
    assert sweep_main(arguments) == 0


def sweep(pipeline: Pipeline, target: dict[int, Any]) -> dict[str, Any]:
    """The report of the sweep of allocation against the target's ids."""
    ids = pipeline.folder / "ids.txt"
    ids.write_text("".join(f"{one}\n" for one in sorted(target, reverse=True)))
    config = pipeline.folder / "sweep.json"
    config.write_text(json.dumps(pipeline.tap_config))
    stale = pipeline.folder / "stale.txt"
    command = [str(BIN / "python"), "-m", "tap_oracle_wms.sweep", "--entity", "allocation", "--config", str(config)]
    done = subprocess.run(
        [*command, "--against", str(ids), "--stale-to", str(stale)], capture_output=True, text=True, check=False
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (7 if report["stale"] or report["missing"] else 0), done.stderr
    assert len(stale.read_text().splitlines()) == report["stale"]
    return report


@pytest.mark.parametrize("query", ["", "page_size=250"])
def test_a_tap_that_is_asked_for_patience_hears_that_its_reader_is_gone(
    wms: WmsServer, config: dict[str, Any], tmp_path: Path, query: str
) -> None:
    """SPEC O1: Meltano was killed, and nothing will be written for as long as the API wants no request."""
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_requests_in_flight": 1}))
    wms.faults.set([Fault("status", query=query, status=429, retry_after="3000", times=9)])
    command = [str(BIN / "tap-oracle-wms"), "--config", str(tmp_path / "config.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tap:
        assert tap.stdout is not None
        assert tap.stderr is not None
        log = ""
        while "no request goes for" not in log:
            log += tap.stderr.readline()
        tap.stdout.close()
        log += tap.stderr.read()
    assert tap.returncode == 4, log
    assert log.count("the target stopped reading: see its own messages") == 1, log
    assert "the target stopped reading" in log.strip().splitlines()[-1]
