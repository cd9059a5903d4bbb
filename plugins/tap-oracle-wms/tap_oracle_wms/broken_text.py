"""JSON whose texts hold what is no Unicode: half of a surrogate pair, or bytes that are no UTF-8.

PostgreSQL stores neither. U+FFFD takes their place, as it does for half a character of SQL Server's, and is counted.
"""

from __future__ import annotations

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# In the order that counts: an escaped backslash, so that what follows it is no escape; a whole pair; half of one.
_ESCAPE = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def mended(body: bytes | bytearray) -> tuple[bytes, int]:
    """The JSON with U+FFFD in place of what is no Unicode, and how many there are."""
    text = body.decode("utf-8", "replace")
    count = text.count(REPLACEMENT) - body.count(REPLACEMENT.encode())

    def replaced(found: re.Match[str]) -> str:
        nonlocal count
        if found.group(1) is None:
            return found.group()
        count += 1
        return REPLACEMENT

    return _ESCAPE.sub(replaced, text).encode(), count
