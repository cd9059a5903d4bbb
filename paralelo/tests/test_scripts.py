"""The operator's commands, called from anywhere and by any name."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from paralelo import project

SCRIPTS = project.root() / "scripts"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with things in it that are called as ours are."""
    (tmp_path / "paralelo" / "cli").mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    for name in ("__init__.py", "cli/__init__.py", "cli/run.py", "cli/doctor.py"):
        (tmp_path / "paralelo" / name).write_text("raise SystemExit('a stranger was run')")
    return tmp_path


@pytest.mark.parametrize("cdpath", ["", ".:/tmp"])
@pytest.mark.parametrize("linked", [False, True])
def test_the_runner_runs_its_own_project(elsewhere: Path, cdpath: str, linked: bool) -> None:
    script = SCRIPTS / "run_with_monitoring.sh"
    if linked:
        (elsewhere / "run").symlink_to(script)
        script = elsewhere / "run"
    told = subprocess.run(
        [os.path.relpath(script, elsewhere) if not linked else "./run", "--help"],
        cwd=elsewhere, env={**os.environ, "CDPATH": cdpath}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    assert "Copy tables with recovery" in told.stdout


def test_a_script_runs_its_own_project(elsewhere: Path) -> None:
    (elsewhere / "doctor.py").symlink_to(SCRIPTS / "doctor.py")
    python = project.root() / ".venv" / "bin" / "python"
    told = subprocess.run(
        [str(python), "doctor.py", "--help"], cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    "begins", ["import paralelo.cli", f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import _environment"]
)
def test_ctrl_c_while_a_command_is_imported_is_no_error_to_be_traced(begins: str) -> None:
    python = project.root() / ".venv" / "bin" / "python"
    program = [str(python), "-c", f"{begins}\nraise KeyboardInterrupt"]
    told = subprocess.run(program, cwd=project.root(), capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (-signal.SIGINT, "")
    program[-1] = f"{begins}\nraise ValueError"
    told = subprocess.run(program, cwd=project.root(), capture_output=True, text=True, check=False)
    assert "Traceback" in told.stderr
