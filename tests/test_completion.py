"""Tab completion in a real shell, the commands' common options, and the exit codes' one table."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from sync_rules.exits import Exit

from paralelo import project
from paralelo.completion import bash, parsers

ROOT = project.root()


def test_every_script_is_completed() -> None:
    there = {path.name for path in (ROOT / "scripts").iterdir() if path.suffix in (".py", ".sh")}
    assert set(parsers()) == there - {"completion.py", "_environment.py"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["python", "scripts/plan.py", "bi-"], {"bi-credores"}),
        (["python", "scripts/doctor.py", "--j"], {"--json"}),
        (["./scripts/run_with_monitoring.sh", "inc"], {"incremental"}),
        (["python", "scripts/add_table.py", "--source", "ora"], {"oracle-wms"}),
        (["python", "scripts/add_table.py", "bi-"], set()),
        (["python", "scripts/auto_recovery.py", "full", "al"], {"allocation"}),
        (["python", "anything_else.py", "bi-"], set()),
    ],
)
def test_a_shell_completes(line: list[str], expected: set[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in line)
    asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(line) - 1}; _paralelo; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{bash()}\n{asked}"], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


def test_the_script_prints_what_a_shell_evaluates() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "completion.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == bash()
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.parametrize("name", sorted(parsers()))
def test_commands_speak_json(name: str) -> None:
    options = {option for action in parsers()[name]._actions for option in action.option_strings}
    assert "--json" in options


def test_exit_codes_are_in_one_table() -> None:
    """The README's, docs/protocol.md's and the code's codes are the same, each with words of its own."""
    for page in ("README.md", "docs/protocol.md"):
        table = (ROOT / page).read_text(encoding="utf-8").partition("## Exit codes")[2]
        rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", table, re.MULTILINE)
        assert [int(code) for code, _ in rows] == sorted(Exit), page
        assert len({words for _, words in rows}) == len(Exit), page
