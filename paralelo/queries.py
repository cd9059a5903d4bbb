"""SQL kept in `sql/*.sql`, found by name, so that it can be read and tested as SQL."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from psycopg import sql

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def _statements(file: str) -> dict[str, str]:
    text = (files("paralelo") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(name: str) -> sql.SQL:
    """The statement `<file>.<name>`. Values are bound as `%(name)s` when it is executed."""
    file, _, statement = name.partition(".")
    return sql.SQL(_statements(file)[statement])
