"""What a database said when it refused, in one line that repeats no row's values, and the exit code for it."""

from __future__ import annotations

import re

import asyncpg
from sync_rules.exits import Exit

_UNREACHABLE = ("08", "28", "3D", "53", "57")
_OF_DATA = ("22", "23")
_CLASS = re.compile(r"^<class '[\w.]*'>: ")


def refusal(error: BaseException) -> tuple[str, int]:
    """From psycopg's error, asyncpg's, or SQLAlchemy's around one of them. Classes are SQLSTATE's first two letters."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return f"DATABASE_URL: {' '.join(str(cause).split())}", Exit.CONFIGURATION
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    diagnosis = getattr(cause, "diag", None)
    told = getattr(diagnosis, "message_primary", None) or _CLASS.sub("", " ".join(str(cause).split()))
    if state is None or state[:2] in _UNREACHABLE:
        return f"the database that DATABASE_URL or DATABASE_HOST names cannot be used: {told}", Exit.TARGET_UNREACHABLE
    more = "" if state[:2] in _OF_DATA else f": {told}"
    code = Exit.CONFIGURATION if state[:2] == "42" else Exit.UNEXPECTED
    return f"PostgreSQL refused ({state}){more}", code
