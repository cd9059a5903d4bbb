"""Meltano's system database, made or brought up to date before several Meltanos start at once.

Each Meltano migrates it at its start. Of several that find it old or missing at the same moment, all but one fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

_MARKS = Path(".paralelo", "system-database")
_DEFAULT = Path(".meltano", "meltano.db")


def prepare(root: Path, settings: Mapping[str, str]) -> bool:
    """Migrate the system database, once for each release of Meltano and each address. Returns whether it is ready.

    Takes as long as Meltano takes to load, the first time; then nothing. What is wrong with the database is left to
    Meltano itself to say.
    """
    address = settings.get("MELTANO_DATABASE_URI", "")
    name = hashlib.sha256(f"{version('meltano')} {address}".encode()).hexdigest()[:16]
    mark = root / _MARKS / name
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and (address or (root / _DEFAULT).exists()):
            return True
        done = subprocess.run(
            [sys.executable, "-m", "paralelo.systemdb"],
            cwd=root,
            env={**os.environ, **settings, "MELTANO_CLI_LOG_LEVEL": "error"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode == 0:
            mark.touch()
        return done.returncode == 0


def _migrate() -> int:
    from meltano.core.db import project_engine
    from meltano.core.migration_service import MigrationService
    from meltano.core.project import Project

    engine, _ = project_engine(Project.find())
    MigrationService(engine).upgrade(silent=True)
    return 0


if __name__ == "__main__":
    sys.exit(_migrate())
