"""The migration's command, run to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "migrate_sqlite_to_pg.py")


def migrate(env: dict[str, str], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end. Where Paralelo's own target is does not matter to it."""
    command = [sys.executable, SCRIPT, str(folder), *options]
    elsewhere = {"TARGET_POSTGRES_HOST": "nowhere.invalid", "TARGET_POSTGRES_PASSWORD": "another"}
    return subprocess.run(command, env={**env, **elsewhere}, capture_output=True, text=True, check=False, timeout=170)
