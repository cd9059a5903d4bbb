"""SQL kept in `.sql` files, found by name: `query("queue.claim")` is the statement `claim` of `sql/queue.sql`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def _statements(file: str) -> dict[str, str]:
    text = (files("stores") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(name: str) -> str:
    """The statement, as text. Raises KeyError for one that is not there."""
    file, _, statement = name.partition(".")
    return _statements(file)[statement]
