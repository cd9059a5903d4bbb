"""Keeping secrets and row values out of everything that is written down.

Our plugins write neither. This is the second line: a driver or a database may quote a value in an error, and other
people's plugins pass through the same logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
HIDDEN = "(not shown)"

_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|_PWD$|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL|DSN|_URI|_URLS?$)",
    re.IGNORECASE,
)
# An API's address, which errors are about: of it only a password is secret.
_ADDRESS = re.compile(r"_(BASE|TOKEN)_URL$", re.IGNORECASE)
_NEVER_SECRET = frozenset({"", "true", "false", "yes", "no", "none", "null", "disable", "prefer", "require"})
# Where a setting is named beside its value, whatever the value: connection strings, URLs, JSON and Python reprs.
_NAMED = (
    (re.compile(r"(?i)(\b(?:password|passwd|pwd|passphrase|secret|api_?key|access_?token)\b[\"']?\s*[=:]\s*)"
                r"(\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^\s;,&\"')}]+)"), rf"\1{MASK}"),
    (re.compile(r"(://[^\s:/@]*:)[^\s@]+(@)"), rf"\1{MASK}\2"),
)  # fmt: skip
# Where PostgreSQL and SQL Server quote what was in a row.
_QUOTED = (
    re.compile(r"(Failing row contains )\((?:.|\n)*\)"),
    re.compile(r"(Key \([^)]*\)=)\((?:[^()]|\([^)]*\))*\)"),
    re.compile(r"(invalid input (?:syntax|value) for [\w \[\]]+: )\"(?:[^\"]|\"\")*\""),
    re.compile(r"(value )\"(?:[^\"]|\"\")*\"( is out of range)"),
    re.compile(r"(date/time field value out of range: )\"[^\"]*\""),
    re.compile(r"(COPY \S+, line \d+, column \S+: )\"(?:.|\n)*\""),
    re.compile(r"(COPY \S+, line \d+: )\"(?:.|\n)*\""),
    re.compile(r"(unnamed portal with parameters: )(?:.|\n)*"),
    re.compile(r"((?:CONTEXT|parameters): +.*\$1 = )(?:.|\n)*"),
    re.compile(r"(The duplicate key value is )\((?:.|\n)*?\)(?=\.|$)"),
    re.compile(r"(converting the \w+ value )'(?:[^']|'')*'"),
    re.compile(r"(String or binary data would be truncated.*?Truncated value: )'(?:[^']|'')*'", re.DOTALL),
)

_TOKEN_LENGTH = 8
_HOST = re.compile(r"^(?:(?:\d{1,3}\.){3}\d{1,3}|\[[\da-f:.]+\]|(?:[\w-]+\.)+[a-z]{2,})(?=:|$)", re.IGNORECASE)
Redactor = Callable[[str], str]


def secrets(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The values of all settings whose name says that they are secret, and what is secret in URLs, the longest first.

    Where a setting holds several URLs, each is one: a library that fails names the one it failed for.
    """
    found: set[str] = set()
    for name, value in settings.items():
        named = _SECRET_NAME.search(name) is not None and name != "OLDPWD" and not _ADDRESS.search(name)
        found |= {value} if named else set()
        for part in value.split() if "://" in value else ():
            found |= {part, *_of_url(part)} if named else {_password(part)}
    kept = {value for value in found if value.strip() and value.lower() not in _NEVER_SECRET}
    return tuple(sorted(kept, key=len, reverse=True))


def _password(url: str) -> str:
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def _of_url(url: str) -> set[str]:
    """A URL's password, and whatever else before its path or in it is as long as a token and no mere word.

    After an `@` comes a host; without one, what stands there may be a token (`tgram://token/chat`), unless it is
    spelled as hosts are: an address in numbers, or a name with a dot before its last word.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    before = parts.netloc.rpartition("@")[0] or _HOST.sub("", parts.netloc)
    pieces = [unquote(piece) for piece in re.split(r"[/?&=:]", f"{before}/{parts.path}?{parts.query}")]
    tokens = {piece for piece in pieces if len(piece) >= _TOKEN_LENGTH and re.search(r"\d", piece)}
    return {_password(url), *tokens}


def redactor(known: Iterable[str] = ()) -> Redactor:
    """A function that takes secrets and row values out of a text."""
    pattern = _pattern(known)

    def redact(text: str) -> str:
        if pattern is not None:
            text = pattern.sub(MASK, text)
        for expression, replacement in _NAMED:
            text = expression.sub(replacement, text)
        for expression in _QUOTED:
            text = expression.sub(lambda match: match[1] + HIDDEN + (match[2] if match.re.groups > 1 else ""), text)
        return text

    return redact


def deeply(redact: Redactor, value: Any) -> Any:
    """The same of every text in a JSON value; names are left alone."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: MASK if _holds_a_secret(key, item) else deeply(redact, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [deeply(redact, item) for item in value]
    return value


def _holds_a_secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and re.search(r"(?i)password|passphrase|secret", str(key)) is not None


def _pattern(known: Iterable[str]) -> re.Pattern[str] | None:
    forms: set[str] = set()
    for secret in known:
        forms |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    if not forms:
        return None
    return re.compile("|".join(_bounded(form) for form in sorted(forms, key=len, reverse=True)))


def _bounded(secret: str) -> str:
    """A short secret is taken out only where it stands alone: a password `postgres` must not eat `target-postgres`."""
    escaped = re.escape(secret)
    return escaped if len(secret) >= 12 else rf"(?<![\w-]){escaped}(?![\w-])"
