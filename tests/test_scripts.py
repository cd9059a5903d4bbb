"""The operator's commands, started as people start them."""

from __future__ import annotations

import os
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


def test_a_copied_folders_commands_do_not_run_the_other_ones_project(tmp_path: Path) -> None:
    """Its environment leads there: `verify.py --fix` in a copy would have written to the tables of the first."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".installed").write_text(f"{project.root()}\n")
    (tmp_path / ".venv" / "pyvenv.cfg").write_text((Path(sys.prefix) / "pyvenv.cfg").read_text())
    for command in ([sys.executable, "scripts/completion.py"], ["scripts/run_with_monitoring.sh", "--help"]):
        environment = {**os.environ, "PYTHONPATH": str(project.root())}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.endswith("run: make setup\n")


@pytest.mark.parametrize(("installed_in", "anew"), [("{here}", False), ("/elsewhere", True), ("", False)])
def test_setup_sets_up_anew_what_was_moved(tmp_path: Path, installed_in: str, anew: bool) -> None:
    shutil.copytree(project.root() / "requirements", tmp_path / "requirements")
    for name in ("Makefile", "pyproject.toml", "meltano.yml"):
        shutil.copy(project.root() / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").write_text(installed_in.format(here=tmp_path))
    shown = subprocess.run(["make", "-n", "setup"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert ("rm -rf .venv" in shown) == ("-m venv .venv" in shown) == anew
