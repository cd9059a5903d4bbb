"""What the target makes of a program that compares: only one that says the rows are equal lets them take effect."""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg
import pytest
from feed import Feed, load
from sync_rules.exits import CheckRefused, ConfigurationError, Exit, SyncError
from target_postgres.activation.proof import CouldNotCompare
from things import ids, things

Db = psycopg.Connection[Any]
EQUAL = {"verdict": "equal", "unsettled": 0, "source_rows": 2, "check": "deep"}
DIFFERENT = {"verdict": "different", "missing": 1, "different": 0, "extra": 0}


def program(code: int, table: dict[str, Any] | None) -> list[str]:
    """One that prints this report of the table, or none, and ends with this code."""
    report = "" if table is None else json.dumps({"tables": [table]})
    return [sys.executable, "-c", f"import sys; print({report!r}); sys.exit({code})"]


# SPEC A11
@pytest.mark.parametrize(
    ("code", "table", "error", "exit_code"),
    [
        (0, None, CouldNotCompare, Exit.UNEXPECTED),
        (0, DIFFERENT, CouldNotCompare, Exit.UNEXPECTED),
        (1, DIFFERENT, CheckRefused, Exit.CHECK_REFUSED),
        (1, EQUAL, CouldNotCompare, Exit.UNEXPECTED),
        (1, None, CouldNotCompare, Exit.UNEXPECTED),
        (2, {"error": "the source is gone", "error_code": 3}, CouldNotCompare, Exit.SOURCE_UNREACHABLE),
        (2, {"error": "nothing is wrong", "error_code": 0}, CouldNotCompare, Exit.UNEXPECTED),
        (4, EQUAL, CouldNotCompare, Exit.UNEXPECTED),
    ],
)
def test_what_is_not_said_to_be_equal_does_not_take_effect(
    config: Any, db: Db, feed: Feed, code: int, table: dict[str, Any] | None, error: type[SyncError], exit_code: Exit
) -> None:
    feed.load, feed.provable_as = {"verify": "deep"}, "dbo.Things"
    lines = feed.full(things(1, 2))
    with pytest.raises(error) as raised:
        load(config, lines, verify_command=program(code, table))
    assert raised.value.exit == exit_code
    assert db.execute("SELECT to_regclass('things')").fetchone() == (None,)
    load(config, [lines[0], *lines[-2:]], verify_command=program(0, EQUAL))
    assert ids(db) == [1, 2]


def test_what_cannot_be_compared_is_told_before_a_row_is_read(config: Any, feed: Feed) -> None:
    feed.load = {"verify": "quick"}
    with pytest.raises(ConfigurationError, match="tables of this source cannot be compared"):
        load(config, [feed.schema()], verify_command=program(0, EQUAL))
