"""SQL kept in `.sql` files, found by name."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from psycopg import sql

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def _statements(file: str) -> dict[str, str]:
    text = (files("target_postgres") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(name: str, **names: Any) -> sql.Composed:
    """The statement `<file>.<name>`, its `{placeholders}` filled with identifiers or pieces of SQL.

    Values are never filled in here: they are bound as `%(name)s` when the statement is executed.
    """
    file, _, statement = name.partition(".")
    return sql.SQL(_statements(file)[statement]).format(**names)
