"""`verify` reads the API's side through the tap: what is planted in the target is found, and mended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from target_postgres.settings import Settings
from wms_sides import copied, difference, expected

from paralelo.verify.fix import Fixed, fix
from paralelo.verify.oracle_wms import OracleWms
from paralelo.verify.pairing import Wanted
from paralelo.verify.postgres import Postgres
from paralelo.verify.report import TableReport
from paralelo.verify.table import Options, verify_table
from paralelo.verify.tally import Tally
from sandbox.wms.requests_log import read
from sandbox.wms.server import WmsServer
from tests.pipeline import Pipeline

ENTITY = "order_dtl"
WANTED = Wanted(ENTITY, "public", ENTITY, ("id",), "mod_ts")


@pytest.fixture
def settings(postgres: dict[str, Any]) -> Settings:
    return Settings.of(postgres)


@pytest.fixture
def sides(config: dict[str, Any], settings: Settings) -> Iterator[tuple[OracleWms, Postgres]]:
    source, target = OracleWms(ENTITY, config, None), Postgres(settings)
    yield source, target
    source.close()
    target.close()


def counts(report: TableReport) -> tuple[int, int, int]:
    assert not report.error
    return report.missing, report.extra, report.different


def test_planted_differences_are_found_and_mended(
    wms: WmsServer,
    config: dict[str, Any],
    postgres: dict[str, Any],
    settings: Settings,
    sides: tuple[OracleWms, Postgres],
    tmp_path: Path,
) -> None:
    tap = {**config, "entities": [ENTITY], "batch_config": {"encoding": {"format": "arrow"}}}
    ended = Pipeline(tmp_path / "run", tap, postgres, tap="tap-oracle-wms").run()
    assert ended.ok, ended.explain()
    whole = verify_table(*sides, WANTED, Options("deep", settle_seconds=0))
    assert (whole.verdict, whole.source_rows, counts(whole)) == ("equal", len(expected(wms, ENTITY)), (0, 0, 0))
    ids = sorted(expected(wms, ENTITY))
    with psycopg.connect(
        **{name: postgres[name] for name in ("host", "port", "user", "password")}, dbname=postgres["database"]
    ) as connection:
        connection.execute("DELETE FROM public.order_dtl WHERE id = %s", (ids[0],))
        connection.execute("UPDATE public.order_dtl SET mod_user = 'nobody' WHERE id = %s", (ids[1],))
        connection.execute("UPDATE public.order_dtl SET mod_ts = mod_ts - interval '1 us' WHERE id = %s", (ids[-2],))
        connection.execute("UPDATE public.order_dtl SET id = %s WHERE id = %s", (ids[-1] + 7, ids[-1]))
    # Without other cells, a quick check sees a moved cursor and not a cell that changed below it.
    assert counts(verify_table(*sides, WANTED, Options("quick", settle_seconds=0))) == (2, 1, 1)
    found: list[Tally] = []
    deep = verify_table(*sides, WANTED, Options("deep", settle_seconds=0), lambda _, tally: found.append(tally))
    assert counts(deep) == (2, 1, 2)
    assert set(deep.columns) == {"mod_user", "mod_ts"}
    assert fix(*sides, settings, found[0], extra=True) == Fixed(4, 1)
    assert not difference(expected(wms, ENTITY), copied(postgres, ENTITY))
    lists = [line for line in read(wms.log_path) if line["path"].endswith(f"/{ENTITY}/")]
    assert all("ordering=" in line["query"] for line in lists)


# The comparison itself, after the staged rows were spoilt: a fault that the target cannot see.
SPOIL = """
import os, subprocess, sys, psycopg
staging = sys.argv[sys.argv.index("--target") + 1]
with psycopg.connect(os.environ["TEST_TARGET"]) as connection:
    earlier = "mod_ts = mod_ts - interval '1 us'"
    connection.execute(f"UPDATE {staging} SET {earlier} WHERE id = (SELECT min(id) FROM {staging})")
sys.exit(subprocess.run([sys.executable, "-m", "paralelo.verify", *sys.argv[1:]]).returncode)
"""
VERIFY = [sys.executable, "-m", "paralelo.verify"]


def test_staged_rows_are_compared_before_they_take_effect(
    wms: WmsServer, config: dict[str, Any], postgres: dict[str, Any], tmp_path: Path
) -> None:
    """SPEC A11: by the extractor's settings; what changed since the sync began is left to the next, a fault is not."""
    connection = " ".join(f"{name}={postgres[name]}" for name in ("host", "port", "user", "password"))
    env = {f"TAP_ORACLE_WMS_{name.upper()}": str(config[name]) for name in ("base_url", "username", "password")}
    env |= {"TAP_ORACLE_WMS_LIMITS_ROOT": config["limits_root"], "TAP_ORACLE_WMS_PAGE_SIZE": "250"}
    env["TEST_TARGET"] = f"{connection} dbname={postgres['database']}"
    tap = {**config, "entities": [ENTITY], "batch_config": {"encoding": {"format": "arrow"}}, "batch_rows": 250}

    def change(states: int) -> None:
        if states == 1:
            wms.mutate(ENTITY, updates=40, inserts=10, deletes=10, seed=21)

    run = Pipeline(tmp_path / "run", tap, {**postgres, "verify_command": VERIFY}, env=env, tap="tap-oracle-wms")
    ended = run.start(change, load={"verify": "deep"}).wait()
    assert ended.ok, ended.explain()
    assert "the staged rows are the source's" in ended.target_log
    live = copied(postgres, ENTITY)

    run.state_file.unlink()
    run.target_config["verify_command"] = [sys.executable, "-c", SPOIL]
    ended = run.run(load={"verify": "quick"})
    assert ended.target == 7, ended.explain()
    assert "0 missing, 1 different, 0 extra (in mod_ts)" in ended.target_log
    assert not difference(live, copied(postgres, ENTITY))
