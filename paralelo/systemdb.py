"""Meltano's system database: made or brought up to date before several Meltanos start at once, and asked who lives.

Each Meltano migrates it at its start. Of several that find it old or missing at the same moment, all but one fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import IO, cast

from sqlalchemy import Connection, DateTime, column, create_engine, func, select, table
from sqlalchemy.pool import NullPool

from paralelo import project

PREPARE_SECONDS = 180.0
"""As long as a sync's own start has: a database that is halted answers never."""
_LOOK_SECONDS = 0.1
_MARKS = Path(".paralelo", "system-database")
_DEFAULT = Path(".meltano", "meltano.db")
_RUNS = table("runs", column("job_name"), column("run_id"), column("state"), column("last_heartbeat_at", DateTime))


def prepare(root: Path, settings: Mapping[str, str], unwanted: Callable[[], bool] = lambda: False) -> bool:
    """Migrate the system database, once for each release of Meltano and each address. Returns whether it is ready.

    Takes as long as Meltano takes to load, the first time; then nothing. It is given up once `unwanted()`. What is
    wrong with the database, or with the project's folder, is left to say to Meltano itself, or to its start; so is one
    that does not answer.
    """
    until = time.monotonic() + PREPARE_SECONDS
    try:
        return _prepare(root, settings, lambda: unwanted() or time.monotonic() >= until)
    except OSError:
        return False


def _prepare(root: Path, settings: Mapping[str, str], given_up: Callable[[], bool]) -> bool:
    address = settings.get("MELTANO_DATABASE_URI", "")
    name = hashlib.sha256(f"{version('meltano')} {address}".encode()).hexdigest()[:16]
    mark = root / _MARKS / name
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.with_suffix(".lock").open("w") as lock:
        while not _taken(lock):
            if given_up():
                return False
            time.sleep(_LOOK_SECONDS)
        if mark.exists() and (address or (root / _DEFAULT).exists()):
            return True
        with subprocess.Popen(
            [sys.executable, "-m", "paralelo.systemdb"],
            cwd=root,
            env={**os.environ, **settings, "MELTANO_CLI_LOG_LEVEL": "error"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as migration:
            while migration.poll() is None:
                if given_up():
                    migration.kill()
                time.sleep(_LOOK_SECONDS)
        if migration.returncode == 0:
            mark.touch()
        return migration.returncode == 0


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def heartbeats(state_id: str, root: Path, settings: Mapping[str, str]) -> dict[str, float]:
    """By its run id, how many seconds ago each run that Meltano holds for running last gave a sign: one is given every
    second. By the database's clock where it has one of its own. Raises SQLAlchemyError."""
    address = settings.get("MELTANO_DATABASE_URI") or project.main_file(root).get("database_uri") or ""
    if not address and not (root / _DEFAULT).exists():
        return {}
    places = {"MELTANO_PROJECT_ROOT": str(root), "MELTANO_SYS_DIR_ROOT": str(root / ".meltano")}
    address = Template(str(address)).safe_substitute(places) or f"sqlite:///{root / _DEFAULT}"
    wanted = select(_RUNS.c.run_id, _RUNS.c.last_heartbeat_at).where(
        _RUNS.c.job_name == state_id, _RUNS.c.state == "RUNNING"
    )
    with create_engine(address, poolclass=NullPool).connect() as connection:
        found = connection.execute(wanted).all()
        moment = now(connection)
    return {plain(run): (moment - beat).total_seconds() for run, beat in found if beat is not None}


def now(connection: Connection) -> datetime:
    """The database's clock, in UTC and without a zone, as Meltano writes its times."""
    if connection.dialect.name == "postgresql":
        moment = connection.execute(select(func.clock_timestamp())).scalar_one()
        return cast("datetime", moment).astimezone(timezone.utc).replace(tzinfo=None)
    return datetime.now(timezone.utc).replace(tzinfo=None)


def plain(run_id: object) -> str:
    """A run id however a database spells it."""
    return str(run_id).replace("-", "").lower()


def _migrate() -> int:
    from meltano.core.db import project_engine
    from meltano.core.migration_service import MigrationService
    from meltano.core.project import Project

    engine, _ = project_engine(Project.find())
    MigrationService(engine).upgrade(silent=True)
    return 0


if __name__ == "__main__":
    sys.exit(_migrate())
