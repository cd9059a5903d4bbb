"""Each rule of SPEC.md is cited by a test, and no test cites a rule that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tests", "plugins/*/tests", "paralelo/tests", "paralelo/verify/tests", "stores/tests", "sandbox/tests")


def cited() -> set[str]:
    """The numbers after the word SPEC in the project's test files."""
    texts = [path.read_text() for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/test_*.py")]
    lists = re.findall(r"SPEC ((?:[A-Z]\d+(?:, (?=[A-Z]\d))?)+)", "\n".join(texts))
    return {number for listed in lists for number in listed.split(", ")}


def test_every_rule_is_shown_by_a_test() -> None:
    rules = set(re.findall(r"^- \*\*([A-Z]\d+)\*\* ", (ROOT / "SPEC.md").read_text(), re.MULTILINE))
    assert len(rules) > 30
    assert rules - cited() == set()
    assert cited() - rules == set()
