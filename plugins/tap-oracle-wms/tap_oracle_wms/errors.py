"""What can go wrong with one request, and the API's own words about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx
import msgspec
from sync_rules.exits import ConfigurationError, LimitReached, SourceUnreachable, SyncError

from tap_oracle_wms.limiter import LONGEST_HOLD_SECONDS

_LONGEST_WORDS = 400


class BadAnswer(SyncError):
    """An answer that contradicts what was asked or what the API promises: going on could lose rows."""


class Passing(Exception):
    """A failure that may pass: the request is repeated. `retry_after` is what the server asked for, in seconds.

    `held` says that the limiter waits for that, with all requests; `too_many`, that the server refused this one only
    because there are too many.
    """

    def __init__(
        self, words: str, retry_after: float | None = None, *, held: bool = False, too_many: bool = False
    ) -> None:
        super().__init__(words)
        self.retry_after = retry_after
        self.held = held
        self.too_many = too_many


class Unauthorized(Exception):
    """401: the token may have run out. `header` is the Authorization that was refused, and is never told."""

    def __init__(self, words: str, header: str) -> None:
        super().__init__(words)
        self.header = header


class NoRows(Exception):
    """404 in the API's own form: an empty list, or an entity that is not there. `date` is the header."""

    def __init__(self, words: str, date: str | None) -> None:
        super().__init__(words)
        self.date = date


TOO_MANY_REQUESTS = 429
SLOW_DOWN_STATUSES = frozenset({TOO_MANY_REQUESTS, 503})
_PASSING_STATUSES = frozenset({408, 409, 425, 429})


def is_passing(status: int) -> bool:
    """Whether the same request may be answered better later."""
    return status in _PASSING_STATUSES or status >= 500


def words_of(status: int, body: bytes | bytearray) -> str:
    """What the API said in its error form, or just the status: the body of a proxy's page helps nobody."""
    said = api_error(body)
    if said is None:
        return f"HTTP {status}"
    parts = [f"{status} {said.get('code') or ''}".strip(), str(said.get("message") or "")]
    if said.get("details"):
        parts.append(msgspec.json.encode(said["details"]).decode())
    if said.get("reference"):
        parts.append(f"reference {said['reference']}")
    return one_line(": ".join(part for part in parts[:2] if part) + "".join(f" ({part})" for part in parts[2:]))


def one_line(words: str) -> str:
    """A server's words without line breaks and other characters that a terminal would act on."""
    return "".join(character if character.isprintable() else " " for character in words)


def api_error(body: bytes | bytearray) -> Mapping[str, object] | None:
    """The error form, where the body is one."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) and ("message" in said or "code" in said) else None


def is_apis_own(body: bytes | bytearray) -> bool:
    """Whether an error is in the API's own form, whole: a gateway's {"message": "no Route matched"} is not."""
    said = api_error(body)
    return said is not None and all(name in said for name in ("reference", "code", "message"))


def refused(what: str, words: str) -> ConfigurationError:
    """An answer that no repetition makes better."""
    return ConfigurationError(f"{what}: the API refused: {words[:_LONGEST_WORDS]}")


def unreachable(what: str, words: str, tries: int) -> SourceUnreachable:
    """The last of many tries failed."""
    return SourceUnreachable(f"{what}: no good answer in {tries} tries; the last: {words[:_LONGEST_WORDS]}")


def limit_reached(what: str, words: str) -> LimitReached:
    """A request failed when the whole sync's time was up."""
    return LimitReached(
        f"{what}: the whole-sync limit is reached and a request fails: {words[:_LONGEST_WORDS]}; the state is kept and"
        " the next run goes on from there"
    )


def transport_failure(whom: str, error: httpx.TransportError) -> Passing:
    """What the network did, with its own reason. Raises ConfigurationError where no repetition helps."""
    # What is wrong with a request of ours may quote its headers, the token among them.
    words = "" if isinstance(error, httpx.LocalProtocolError) else one_line(str(error))
    reason = f"{type(error).__name__}: {words}"[:_LONGEST_WORDS] if words else type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        raise ConfigurationError(f"{whom}: its certificate is not trusted; see ca_file: {reason}") from error
    if isinstance(error, httpx.UnsupportedProtocol) or (
        isinstance(error, httpx.ProxyError) and not str(error).startswith("5")
    ):
        raise ConfigurationError(f"{whom}: the proxy of the environment does not let through: {reason}") from error
    return Passing(f"{whom}: {reason}")


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds in a Retry-After header, which holds seconds or a date: no more than anybody is waited for. None for none
    or one that cannot be read.

    `now` is the server's clock, by its Date header: ours may be another.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = http_date(value)
        if moment is None:
            return None
        seconds = (moment - (now or datetime.now(tz=timezone.utc))).total_seconds()
    return max(0.0, min(seconds, LONGEST_HOLD_SECONDS))


def http_date(value: str | None) -> datetime | None:
    """A moment in UTC from a header's date (RFC 9110), which is GMT even where it does not say so."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        return None
