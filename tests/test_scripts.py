"""The operator's commands, started as people start them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paralelo import project

SCRIPTS = project.root() / "scripts"
# A Python that knows nothing of the project, as the system's own: without its site packages.
ANOTHER_PYTHON = [sys.executable, "-S"]


@pytest.mark.parametrize(
    ("name", "printed"), [("history.py", "usage"), ("migrate_sqlite_to_pg.py", "usage"), ("completion.py", "compgen")]
)
def test_another_python_finds_the_projects(name: str, printed: str, tmp_path: Path) -> None:
    ended = subprocess.run([*ANOTHER_PYTHON, SCRIPTS / name, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, printed in ended.stdout.lower()) == (0, True), ended.stderr


@pytest.mark.parametrize("name", ["completion.py", "schedule_units.py"])
@pytest.mark.parametrize("closed", ["exec >&-", "exec <&- >&- 2>&-"])
def test_nobody_need_listen(name: str, closed: str) -> None:
    """Some services, and `>&-`, start a command without its streams: that was a traceback, and exit code 1."""
    shell = f'{closed}; exec "$0" "$1"'
    ended = subprocess.run(["bash", "-c", shell, sys.executable, SCRIPTS / name], stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr


def test_without_an_environment_it_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    ended = subprocess.run([*ANOTHER_PYTHON, tmp_path / "scripts" / "history.py"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith("run: make setup\n")
