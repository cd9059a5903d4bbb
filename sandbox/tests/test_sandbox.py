"""A whole sandbox from its command: both servers, their data, and what stays over a stop."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import mssql_python
import psycopg
import pytest

from sandbox import Sandbox, postgres
from sandbox.cli import main
from sandbox.home import settings


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    # Closed to everybody else, as a home folder is: PostgreSQL runs as another user when this is root.
    closed = tmp_path_factory.mktemp("fechado")
    closed.chmod(0o700)
    with Sandbox(closed / "caixa") as made:
        yield made


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as who starts it, unless that is root")
def test_programs_in_a_closed_folder_are_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project below /root, or set up with a umask of 077: PostgreSQL's programs run each other as another user."""
    closed = tmp_path / "fechado"
    closed.mkdir(mode=0o700)
    installed = postgres.binaries().parents[1]
    for folder in (installed, *installed.parent.glob(f"{installed.name}.libs")):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    monkeypatch.setattr(postgres, "binaries", lambda: closed / installed.name / "pginstall" / "bin")
    made = postgres.Postgres(tmp_path / "caixa", settings(tmp_path / "caixa"))
    try:
        made.start()
        assert made.running()
    finally:
        made.stop()


def rows(sandbox: Sandbox) -> int:
    with mssql_python.connect(sandbox.mssql) as link:
        found = link.cursor().execute("SELECT COUNT(*) FROM dbo.bi_credores").fetchone()
    assert found is not None
    return int(found[0])


@pytest.fixture
def command(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARALELO_SANDBOX_DIR", str(sandbox.folder))


@pytest.mark.usefixtures("command")
def test_load_mutate_and_restart(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "3000"]) == 0
    assert rows(sandbox) == 3000
    assert main(["load", "10", "--if-empty"]) == 0
    assert rows(sandbox) == 3000
    assert main(["mutate", "--rows", "60", "--no-deletes"]) == 0
    assert "20 inserted, 40 updated, 0 deleted" in capsys.readouterr().out
    with psycopg.connect(sandbox.postgres.dsn, password=sandbox.settings.postgres_password) as link:
        link.execute("CREATE TABLE fica AS SELECT 42 AS n")
    sandbox.stop()
    assert main(["status"]) == 3
    assert main(["start"]) == 0
    assert main(["start"]) == 0
    assert main(["status"]) == 0
    assert rows(sandbox) == 3020
    with psycopg.connect(sandbox.postgres.dsn, password=sandbox.settings.postgres_password) as link:
        assert link.execute("SELECT n FROM fica").fetchone() == (42,)


def test_changes_carry_the_servers_clock(sandbox: Sandbox) -> None:
    from sandbox.data.mutate import mutate

    with mssql_python.connect(sandbox.mssql) as link:
        before = link.cursor().execute("SELECT CONVERT(varchar(33), SYSUTCDATETIME(), 121)").fetchone()
        assert before is not None
        done = mutate(sandbox.mssql, 120, seed=9)
        found = link.cursor().execute("SELECT COUNT(*) FROM dbo.bi_credores WHERE mod_ts >= ?", (before[0],)).fetchone()
    assert found is not None
    # A row may be updated, or updated and then deleted, more than once.
    assert done.inserted <= found[0] <= done.inserted + done.updated
    assert done.deleted == 20


@pytest.mark.usefixtures("command")
def test_env_names_what_is_true(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    printed = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert printed == sandbox.environment
    with psycopg.connect(
        host=printed["TARGET_POSTGRES_HOST"],
        port=printed["TARGET_POSTGRES_PORT"],
        user=printed["TARGET_POSTGRES_USER"],
        password=printed["TARGET_POSTGRES_PASSWORD"],
        dbname=printed["TARGET_POSTGRES_DATABASE"],
        sslmode=printed["TARGET_POSTGRES_SSL_MODE"],
    ) as link:
        shown = link.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
    assert shown == ("on", "on")


def test_secrets_stay_in_the_folder(sandbox: Sandbox) -> None:
    assert stat.S_IMODE((sandbox.folder / "settings.json").stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(sandbox.postgres.dsn, password="errada")
    found = sandbox.sql_server()
    assert found is not None
    for pid in (found["pid"], sandbox.postgres.pid()):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        assert sandbox.settings.mssql_password not in line
        assert sandbox.settings.postgres_password not in line


def test_both_survive_a_kill(sandbox: Sandbox) -> None:
    import psutil

    with psycopg.connect(sandbox.postgres.dsn, password=sandbox.settings.postgres_password) as link:
        link.execute("CREATE TABLE duravel AS SELECT 7 AS n")
    with mssql_python.connect(sandbox.mssql) as link:
        cursor = link.cursor()
        cursor.execute("CREATE TABLE dbo.duravel (n int)")
        cursor.execute("INSERT INTO dbo.duravel VALUES (7)")
        link.commit()
    found = sandbox.sql_server()
    assert found is not None
    process = psutil.Process(found["pid"])
    process.kill()
    process.wait(10)
    sandbox.postgres.kill()
    sandbox.start()
    with psycopg.connect(sandbox.postgres.dsn, password=sandbox.settings.postgres_password) as link:
        assert link.execute("SELECT n FROM duravel").fetchone() == (7,)
    with mssql_python.connect(sandbox.mssql) as link:
        kept = link.cursor().execute("SELECT n FROM dbo.duravel").fetchone()
    assert kept is not None
    assert kept[0] == 7
