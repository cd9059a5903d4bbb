"""SPEC A11: `verify: quick|deep` is a full sync's last step, and what is not equal never takes effect."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.meltano import Meltano, assert_equal
from tests.pipeline import Ended, Pipeline, Running
from tests.servers import Servers

TABLE = "[dbo].[Conta corrente.2]"
LIVE = '"conta corrente.2"'
SETUP = [
    f"DROP TABLE IF EXISTS {TABLE}",
    f"CREATE TABLE {TABLE} ([Id] int NOT NULL PRIMARY KEY, [saldo R$] decimal(38,2), nome varchar(20),"
    " mod_ts datetime2(7) NOT NULL)",
    f"INSERT INTO {TABLE} VALUES (1, 1.10, 'um', '2024-01-01'), (2, 2.20, 'dois', '2024-01-01'),"
    " (3, 3.30, 'tres', '2024-01-01'), (4, NULL, NULL, '2024-01-01')",
]

# The comparison itself, after something was done to what is compared: a fault that the target cannot see.
AFTER = """
import os, subprocess, sys
import psycopg, mssql_python
from tap_mssql import native
native.ready()
where, statement = sys.argv[1:3]
if where == "target":
    staging = '"public"."' + sys.argv[sys.argv.index("--target") + 1].partition(".")[2] + '"'
    with psycopg.connect(os.environ["TEST_TARGET"]) as connection:
        connection.execute(statement.format(staging=staging))
else:
    with mssql_python.connect(os.environ["TEST_SOURCE"], autocommit=True) as connection:
        connection.cursor().execute(statement)
sys.exit(subprocess.run([sys.executable, "-m", "paralelo.verify", *sys.argv[3:]]).returncode)
"""
VERIFY = [sys.executable, "-m", "paralelo.verify"]


def after(where: str, statement: str) -> list[str]:
    return [sys.executable, "-c", AFTER, where, statement]


class Sync:
    """A full sync of the table, verified by a command."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers, self.folder = servers, folder
        made = servers.sandbox.settings
        target = servers.target_config()
        self.env: Mapping[str, str] = {
            **servers.sandbox.environment,
            "TEST_SOURCE": servers.sandbox.mssql,
            "TEST_TARGET": f"host={target['host']} port={target['port']} user={target['user']}"
            f" dbname={target['database']} password={made.postgres_password}",
        }

    def __call__(self, check: str, command: list[str] = VERIFY, tap: Mapping[str, Any] | None = None) -> Ended:
        """Run to the end."""
        return self.start(check, command, tap).wait()

    def start(self, check: str, command: list[str], tap: Mapping[str, Any] | None = None) -> Running:
        tables = {"sync_mode": "full", "tables": [TABLE], "batch_config": {"encoding": {"format": "arrow"}}}
        config = self.servers.tap_config() | tables | {"load": {"verify": check}} | dict(tap or {})
        target = self.servers.target_config() | {"verify_command": command}
        return Pipeline(self.folder, config, target, env=self.env).start()

    def rows(self) -> list[tuple[Any, ...]] | None:
        """The live table's, None where there is none."""
        with self.servers.connect_target() as connection:
            if connection.execute("SELECT to_regclass(%s)", (f"public.{LIVE}",)).fetchone() == (None,):
                return None
            return connection.execute(f'SELECT id, "saldo r$"::text, nome FROM {LIVE} ORDER BY id').fetchall()


@pytest.fixture
def sync(servers: Servers, tmp_path: Path) -> Sync:
    with servers.connect_source() as connection:
        for statement in SETUP:
            connection.cursor().execute(statement)
    with servers.connect_target() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {LIVE}")
    return Sync(servers, tmp_path)


WHOLE = [(1, "1.10", "um"), (2, "2.20", "dois"), (3, "3.30", "tres"), (4, None, None)]


@pytest.mark.parametrize("check", ["quick", "deep"])
def test_what_is_equal_takes_effect_and_what_is_not_never_does(sync: Sync, check: str) -> None:
    """SPEC A11: refused with exit 7, the live table as it was, refused again on resuming, and right when begun anew."""
    ended = sync(check)
    assert ended.ok, ended.explain()
    assert "the staged rows are the source's: 4 rows compared" in ended.target_log
    assert sync.rows() == WHOLE

    (sync.folder / "state.json").unlink()
    ended = sync(check, after("target", 'UPDATE {staging} SET "saldo r$" = "saldo r$" + 0.01 WHERE id = 2'))
    assert ended.target == 7, ended.explain()
    assert "0 missing, 1 different, 0 extra (in saldo r$)" in ended.target_log
    assert "Traceback" not in ended.target_log
    assert "2.21" not in ended.target_log
    assert sync.rows() == WHOLE
    assert sync(check).target == 7
    assert sync.rows() == WHOLE

    (sync.folder / "state.json").unlink()
    assert sync(check).ok
    assert sync.rows() == WHOLE


def test_a_missing_row_is_refused_and_a_first_table_does_not_appear(sync: Sync) -> None:
    """SPEC A11: the key of a row was changed: its old key is missing, and the counts alone agree."""
    ended = sync("quick", after("target", "UPDATE {staging} SET id = 40 WHERE id = 4"))
    assert ended.target == 7, ended.explain()
    assert "1 missing, 0 different, 1 extra" in ended.target_log
    assert sync.rows() is None


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE {TABLE} SET nome = 'tarde', mod_ts = SYSDATETIME() WHERE [Id] = 2",
        f"DELETE FROM {TABLE} WHERE [Id] = 2",
        f"INSERT INTO {TABLE} VALUES (5, 5, 'novo', SYSDATETIME())",
    ],
)
def test_changes_made_since_the_sync_began_do_not_hold_it_up(sync: Sync, change: str) -> None:
    """SPEC A11: they are the next incremental sync's work, or the next full one's."""
    ended = sync("deep", after("source", change))
    assert ended.ok, ended.explain()
    assert sync.rows() == WHOLE


def test_a_change_without_a_new_timestamp_is_refused(sync: Sync) -> None:
    """SPEC A11: no later sync would bring it over."""
    ended = sync("deep", after("source", f"UPDATE {TABLE} SET nome = 'sem carimbo' WHERE [Id] = 2"))
    assert ended.target == 7, ended.explain()
    assert sync.rows() is None


def test_what_cannot_be_compared_is_not_activated(sync: Sync) -> None:
    """SPEC A11: the code is that of what stood in the way, and the next run goes on from there."""
    sync.env = {**sync.env, "TAP_MSSQL_PASSWORD": "wrong"}
    ended = sync("deep", tap={"password": sync.servers.sandbox.settings.mssql_password})
    assert ended.target == 2, ended.explain()
    assert "could not be compared" in ended.target_log
    assert sync.rows() is None
    sync.env = {**sync.env, **sync.servers.sandbox.environment}
    ended = sync("deep")
    assert ended.ok, ended.explain()
    assert sync.rows() == WHOLE


def test_a_target_that_is_told_to_end_ends_the_comparison_too(sync: Sync) -> None:
    """SPEC F4, A11: nothing takes effect, and the next run compares again and activates."""
    told = sync.folder / "told"
    os.mkfifo(told)
    waits = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
    running = sync.start("deep", [sys.executable, "-c", waits, str(told)])
    program = psutil.Process(int(told.read_text()))
    running.kill("target", signal.SIGTERM)
    ended = running.wait()
    assert ended.target == 143, ended.explain()
    assert not program.is_running()
    assert sync.rows() is None
    assert sync("deep").ok
    assert sync.rows() == WHOLE


@pytest.mark.parametrize(
    ("check", "command", "says"),
    [("deep", [], "verify_command"), ("deep", ["/no/such/program"], "verify_command"), ("most", VERIFY, "verify")],
)
def test_a_wrong_setting_is_told(sync: Sync, check: str, command: list[str], says: str) -> None:
    """SPEC O2"""
    ended = sync(check, command)
    assert ended.target == 2, ended.explain()
    assert says in ended.target_log.strip().splitlines()[-1]
    assert "Traceback" not in ended.target_log
    assert sync.rows() is None


def test_through_meltano(servers: Servers, tmp_path: Path) -> None:
    """SPEC A11: with the project's own settings; the connection is the extractor's, wherever that has it from."""
    from paralelo import project

    meltano = Meltano(project.root(), tmp_path / "meltano", servers.sandbox.environment)
    meltano.env["TARGET_POSTGRES_VERIFY"] = "quick"
    log = meltano.run("parallel-full-sync-resumo-faixas")
    assert "the staged rows are the source's" in log
    rows = assert_equal(servers, "resumo_faixas")
    spoilt = after("target", "UPDATE {staging} SET status = status + 1 WHERE id = (SELECT max(id) FROM {staging})")
    made = Sync(servers, tmp_path)
    meltano.env |= {**made.env, "TARGET_POSTGRES_VERIFY_COMMAND": json.dumps(spoilt)}
    ended = meltano("run", "parallel-full-sync-resumo-faixas")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said[-4000:]
    assert "0 missing, 1 different, 0 extra (in status)" in said
    assert "Loader failed" in said
    assert assert_equal(servers, "resumo_faixas") == rows
