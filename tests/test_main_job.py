"""The main job by way of Meltano itself: jobs, state, the hand-over, RECORD mode, other people's plugins."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from paralelo import project
from sandbox.data.mutate import mutate
from tests.compare import source_rows
from tests.meltano import Meltano, assert_equal
from tests.pipeline import BIN, Pipeline
from tests.servers import Servers

FULL, INCREMENTAL = "parallel-full-sync-bi-credores", "parallel-incremental-sync-bi-credores"
STATE_ID = "dev:tap-mssql-full-bi-credores-to-target-postgres"


@pytest.fixture
def meltano(servers: Servers, tmp_path: Path) -> Meltano:
    return Meltano(project.root(), tmp_path / "meltano", servers.sandbox.environment)


def test_full_twice_then_incremental_hands_over(servers: Servers, meltano: Meltano) -> None:
    """SPEC F1, F7, A8, I3, I6: the old tool's second run deleted good rows; ours changes nothing."""
    meltano.run(FULL)
    rows = assert_equal(servers, "bi_credores")
    with servers.connect_target() as target:
        assert target.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'bi_credores'::regclass AND indisprimary")
    meltano.run(FULL)
    assert assert_equal(servers, "bi_credores") == rows
    state = json.loads(meltano("state", "get", STATE_ID).stdout)
    bookmark = state["singer_state"]["bookmarks"]["dbo-bi_credores"]
    assert bookmark["done"] is True
    assert bookmark["rows"] == rows
    assert STATE_ID in meltano("state", "list").stdout

    mutate(servers.sandbox.mssql, 60, 5, deletes=False)
    log = meltano.run(INCREMENTAL)
    assert assert_equal(servers, "bi_credores") > rows
    assert "the last full sync's start" in log
    with servers.connect_target() as target:
        before = target.execute("SELECT id, xmin::text FROM bi_credores ORDER BY id").fetchall()
    meltano.run(INCREMENTAL)
    with servers.connect_target() as target:
        assert target.execute("SELECT id, xmin::text FROM bi_credores ORDER BY id").fetchall() == before


def test_the_same_without_batch_config(servers: Servers, meltano: Meltano, tmp_path: Path) -> None:
    """SPEC V2: RECORD lines instead of Arrow files, and the same rows arrive."""
    copy = tmp_path / "project"
    (copy / "extract").mkdir(parents=True)
    for name in ("plugins", "requirements", ".meltano"):
        (copy / name).symlink_to(project.root() / name)
    shutil.copy(project.root() / "meltano.yml", copy)
    shutil.copytree(project.root() / "load", copy / "load")
    for path in (project.root() / "extract").glob("*.meltano.yml"):
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        for extractor in content["plugins"]["extractors"]:
            (extractor.get("config") or {}).pop("batch_config", None)
        with (copy / "extract" / path.name).open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(content, file)
    records = Meltano(copy, tmp_path / "records", servers.sandbox.environment)
    log = records.run("parallel-full-sync-resumo-faixas")
    assert assert_equal(servers, "resumo_faixas") > 0
    assert "0 batch manifests" in log


def test_jobs_and_schedules_are_listed(meltano: Meltano) -> None:
    listed = json.loads(meltano("schedule", "list", "--format=json").stdout)["schedules"]["job"]
    names = {schedule["job"]["name"]: schedule["cron_interval"] for schedule in listed}
    assert names[INCREMENTAL] == "*/15 * * * *"
    assert FULL in names


def test_a_schedule_runs_as_it_is(servers: Servers, meltano: Meltano) -> None:
    ended = meltano("schedule", "run", "full-resumo-faixas-weekly")
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert_equal(servers, "resumo_faixas")


def other(plugin: str) -> str:
    """The program of somebody else's plugin, installed once into an environment of its own. See others.txt."""
    listed = (project.root() / "requirements" / "others.txt").read_text(encoding="utf-8").splitlines()
    (wanted,) = [line for line in listed if line.partition("==")[0] == plugin]
    folder = project.root() / ".paralelo" / "others" / wanted
    program = folder / "bin" / plugin.removeprefix("meltanolabs-")
    if not program.exists():
        subprocess.run([BIN / "uv", "venv", "--quiet", "--clear", "--python", BIN / "python", folder], check=True)
        subprocess.run(
            [BIN / "uv", "pip", "install", "--quiet", "--python", folder / "bin" / "python", wanted], check=True
        )
    return str(program)


def _everything(tap: str, config: Mapping[str, object], folder: Path) -> Path:
    """A catalog of the tap's with every stream selected."""
    settings = folder / "discovery.json"
    settings.write_text(json.dumps(config))
    found = subprocess.run([tap, "--config", settings, "--discover"], capture_output=True, text=True, check=True)
    catalog = json.loads(found.stdout)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            entry["metadata"]["selected"] = True
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return folder / "catalog.json"


def test_our_tap_into_another_target(servers: Servers, tmp_path: Path) -> None:
    """RECORD lines into the stock target for PostgreSQL."""
    target = servers.target_config() | {"default_target_schema": "outra", "ssl_enable": False}
    pipeline = Pipeline(
        tmp_path,
        servers.tap_config() | {"sync_mode": "full", "tables": ["dbo.resumo_faixas"]},
        {name: value for name, value in target.items() if name not in ("ssl_mode", "connect_timeout_seconds")},
        target=other("meltanolabs-target-postgres"),
    )
    ended = pipeline.run()
    assert ended.ok, ended.explain()
    with servers.connect_source() as source, servers.connect_target() as target_connection:
        expected = {key: row[14:16] for key, row in source_rows(source, "dbo.resumo_faixas").items()}
        rows = target_connection.execute(
            'SELECT id, "TOTAL_CONTRATO", "SALDO_CONTRATO" FROM outra."resumo_faixas"'
        ).fetchall()
    assert {row[0]: tuple(row[1:]) for row in rows} == expected


def test_another_tap_into_our_target(servers: Servers, tmp_path: Path) -> None:
    """The stock tap for PostgreSQL into target-postgres, twice."""
    with servers.connect_target() as target:
        target.execute("CREATE SCHEMA IF NOT EXISTS origem")
        target.execute("CREATE TABLE IF NOT EXISTS origem.cidades (id int PRIMARY KEY, nome text, area numeric(12,3))")
        target.execute(
            "INSERT INTO origem.cidades VALUES (1, 'São Paulo', 1521.11), (2, 'Niterói', NULL) ON CONFLICT DO NOTHING"
        )
    made = servers.sandbox.settings
    tap = {
        "host": "127.0.0.1",
        "port": made.postgres_port,
        "user": made.postgres_user,
        "password": made.postgres_password,
        "database": made.postgres_database,
        "filter_schemas": ["origem"],
    }
    pipeline = Pipeline(
        tmp_path,
        tap,
        servers.target_config() | {"default_target_schema": "destino"},
        tap=other("meltanolabs-tap-postgres"),
        catalog=_everything(other("meltanolabs-tap-postgres"), tap, tmp_path),
    )
    for _ in range(2):
        ended = pipeline.run()
        assert ended.ok, ended.explain()
    with servers.connect_target() as target:
        rows = target.execute("SELECT id, nome, area FROM destino.cidades ORDER BY id").fetchall()
    assert [(row[0], row[1], row[2] and float(row[2])) for row in rows] == [
        (1, "São Paulo", 1521.11),
        (2, "Niterói", None),
    ]
