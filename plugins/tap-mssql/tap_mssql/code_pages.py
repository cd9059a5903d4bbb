"""Which of SQL Server's code pages a text could be in, as far as its characters tell them apart."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

PAGES = frozenset(
    [
        *("cp437", "cp850", "cp874", "cp932", "cp936", "cp949", "cp950", "utf-8"),
        *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    ]
)
"""Python's names of all that a collation may have."""


@cache
def telling(pages: frozenset[str], encoding: str) -> list[str]:
    """The characters of `encoding` whose bytes some of the pages make another character of, or none."""
    return sorted(frozenset().union(*(_others(page, encoding) for page in pages)))


def agreeing(pages: frozenset[str], encoding: str, characters: Iterable[str]) -> frozenset[str]:
    """Those of the pages that make of the bytes, which in `encoding` are these characters, the same."""
    return frozenset(page for page in pages if _others(page, encoding).isdisjoint(characters))


@cache
def _others(page: str, encoding: str) -> frozenset[str]:
    known = {byte: text for byte in range(256) if (text := _character(byte, encoding))}
    return frozenset(text for byte, text in known.items() if text != _character(byte, page))


def _character(byte: int, encoding: str) -> str:
    try:
        return bytes([byte]).decode(encoding)
    except UnicodeDecodeError:
        return ""
