"""SQL kept in `.sql` files, found by name: `query("queue.claim")` is the statement `claim` of `sql/queue.sql`.

In the files a parameter is `:name`; PostgreSQL's protocol counts them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_HEADING = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")


@dataclass(frozen=True)
class Query:
    """A statement with `$1`, `$2`, and what each of them is called."""

    sql: str
    names: tuple[str, ...]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """The values in the statement's order. Raises KeyError for one that is missing."""
        return [given[name] for name in self.names]


@cache
def _statements(file: str) -> dict[str, str]:
    text = (files("stores") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


@cache
def query(name: str) -> Query:
    """The statement. Raises KeyError for one that is not there."""
    file, _, statement = name.partition(".")
    text = _COMMENT.sub("", _statements(file)[statement])
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    return Query(_PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", text).strip(), names)
