"""One request to the API: within its limits, with a time-out, repeated when that may help, read whole or not at all."""

from __future__ import annotations

import logging
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import tenacity
from sync_rules.exits import ConfigurationError

from tap_oracle_wms.auth import Auth, auth_from
from tap_oracle_wms.deadline import Deadline
from tap_oracle_wms.errors import (
    SLOW_DOWN_STATUSES,
    TOO_MANY_REQUESTS,
    BadAnswer,
    NoRows,
    Passing,
    Unauthorized,
    api_error,
    http_date,
    is_apis_own,
    is_passing,
    limit_reached,
    refused,
    retry_after,
    transport_failure,
    unreachable,
    words_of,
)
from tap_oracle_wms.limiter import HostLimiter, host_of, limits_root
from tap_oracle_wms.settings import by_mode, is_loopback

T = TypeVar("T")
MAX_ANSWER_BYTES = 256 * 1024 * 1024
_LONGEST_WAIT_SECONDS = 60.0
_LEAST_SECONDS = 30.0
"""What a request may take, if the setting allows it, however little of the whole sync's time is left."""
_OPTIONAL_SECONDS = 20.0
_LEAST_PATIENCE_SECONDS = 300.0
"""For a place in flight, however short a request's time-out is: others wait for theirs."""

for _name in ("httpx", "httpcore"):  # httpx logs every address with its query, and filters may hold what is private
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """A good answer: its address without query, its body, and the server's clock, which may be missing.

    `header` is the Authorization that was sent for it: the body may quote it.
    """

    address: str
    body: bytes | bytearray
    date: str | None
    header: str = field(repr=False)


class Client:
    """The API of one base_url. Safe to use from many threads."""

    def __init__(self, config: Mapping[str, Any], log: logging.Logger) -> None:
        self._log = log
        self._timeout = float(by_mode(config, "request_timeout_seconds"))
        self._tries = int(config["retries"]) + 1
        self._first_wait = float(config["retry_wait_seconds"])
        in_flight = int(config["max_requests_in_flight"])
        per_second = config.get("requests_per_second")
        base = str(config["base_url"]).rstrip("/")
        self.root = f"{base}/wms/lgfapi/{config['api_version']}/entity/"
        self._connect_timeout = float(config["connect_timeout_seconds"])
        try:
            self._http = httpx.Client(
                verify=_trust(config.get("ca_file")),
                follow_redirects=False,
                trust_env=not is_loopback(urlsplit(base).hostname),
                timeout=httpx.Timeout(self._timeout, connect=self._connect_timeout),
                limits=httpx.Limits(max_connections=in_flight + 2, max_keepalive_connections=in_flight + 2),
                headers={"Accept": "application/json", "User-Agent": "tap-oracle-wms"},
            )
        except (ImportError, ValueError) as error:  # a proxy of a kind that httpx does not know, or does not come with
            raise ConfigurationError(f"the proxy that the environment names cannot be used: {error}") from error
        except httpx.InvalidURL as error:  # whose words may quote its password
            raise ConfigurationError("a proxy that the environment names is no address") from error
        self._deadline = Deadline()
        self._deadline.hold(self._http)
        self._password = str(config.get("password") or "")
        self._auth: Auth = auth_from(config, self._http)
        self._limiter = HostLimiter(
            limits_root(config),
            host_of(base),
            in_flight=in_flight,
            per_second=float(per_second) if per_second else None,  # a fraction in the settings' JSON is a Decimal
            log=log,
        )
        self._ends = math.inf
        self._counting = threading.Lock()
        self.requests = 0
        self.repeated = 0

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def end_after(self, seconds: float | None) -> None:
        """The whole sync's limit, from now on: a request that hangs is not waited for, nor repeated, beyond it."""
        self._ends = math.inf if seconds is None else time.monotonic() + seconds

    def _time_left(self) -> float:
        return self._ends - time.monotonic()

    def get(
        self,
        what: str,
        path: str,
        query: Mapping[str, str] | str | None,
        read: Callable[[Answer], T],
        *,
        empty: T | Callable[[str | None], T],
        optional: bool = False,
    ) -> T:
        """What `read` makes of the answer; `empty` where the API has no rows (404 in its own form).

        `empty` may also be what makes something of that answer's Date header; where it is None, the 404 is an error.

        `read` runs within a try: a Passing it raises (half a JSON) leads to a repetition; what is `optional` is tried
        once, and not for long. Raises ConfigurationError with the API's own words, SourceUnreachable after the last
        try, BadAnswer, and LimitReached for a request that failed when the whole sync's time is up.
        """
        address = self.root + path
        seconds = min(self._timeout, _OPTIONAL_SECONDS) if optional else self._timeout
        tries = tenacity.Retrying(
            stop=_Patience(1, 0.0) if optional else _Patience(self._tries, self._timeout, self._time_left),
            wait=_Wait(self._first_wait, self._time_left),
            retry=tenacity.retry_if_exception_type(Passing),
            before_sleep=lambda state: self._say(what, state),
            reraise=True,
        )
        try:
            found: T = tries(self._try, what, _with_query(address, query), read, seconds)
        except NoRows as none:
            if empty is None:
                raise refused(what, str(none)) from none
            return empty(none.date) if callable(empty) else empty
        except Passing as last:
            if not optional and self._time_left() <= 0:
                raise limit_reached(what, str(last)) from last
            raise unreachable(what, str(last), tries.statistics["attempt_number"]) from last
        return found

    def _try(self, what: str, address: httpx.URL, read: Callable[[Answer], T], seconds: float) -> T:
        with self._deadline.within(self._at_most(seconds)):
            self._auth.header()  # before a place is taken: a token server that hangs holds up no other job
        try:
            return self._ask(what, address, read, seconds)
        except Unauthorized as first:
            with self._deadline.within(self._at_most(seconds)):
                if not self._auth.renew(first.header):
                    raise refused(what, str(first)) from first
        try:
            return self._ask(what, address, read, seconds)
        except Unauthorized as again:
            raise refused(what, f"{again}, with a new token too") from again

    def _ask(self, what: str, address: httpx.URL, read: Callable[[Answer], T], seconds: float) -> T:
        answer = self._send(what, address, seconds)
        try:
            return read(answer)
        except BadAnswer as error:
            if api_error(answer.body) is None:
                raise
            raise Passing(f"an error in an answer of {self._words(200, answer.body, answer.header)}") from error

    def _at_most(self, seconds: float) -> float:
        """A request that is slow may end what a limit of seconds has begun; one that hangs must not for an hour."""
        return min(seconds, max(self._time_left(), _LEAST_SECONDS))

    def _send(self, what: str, address: httpx.URL, seconds: float) -> Answer:
        def check(held: float) -> None:
            if held > self._time_left():
                raise limit_reached(what, "the API asks for more patience than is left")

        seconds = self._at_most(seconds)
        timeout = httpx.Timeout(seconds, connect=min(seconds, self._connect_timeout))
        with self._limiter.request(max(seconds, _LEAST_PATIENCE_SECONDS), check):
            with self._deadline.within(seconds):
                header = self._auth.header()  # a token may have run out while this waited for its turn
            request = self._http.build_request("GET", address, headers={"Authorization": header}, timeout=timeout)
            with self._counting:
                self.requests += 1
            try:
                with self._deadline.within(seconds):
                    answer = self._http.send(request, stream=True)
                    try:
                        body = self._read(what, answer)
                    finally:
                        answer.close()
            except httpx.TransportError as error:
                raise transport_failure(request.url.host, error) from error
            except httpx.DecodingError as error:
                raise Passing("an answer that cannot be unpacked") from error
            # Before the place is given back: no other request may go between a refusal and the hold it asks for.
            self._check_status(what, answer, body)
        kind = answer.headers.get("content-type", "")
        if "json" not in kind.lower():
            raise Passing(f"an answer of type {kind.partition(';')[0][:60] or 'none'} where JSON was expected")
        return Answer(str(address.copy_with(query=None)), body, answer.headers.get("date"), header)

    def _read(self, what: str, answer: httpx.Response) -> bytearray:
        """The whole body, in the size that is allowed."""
        promised = answer.headers.get("content-length")
        if promised is not None and promised.isdigit() and int(promised) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"{what}: an answer of {promised} bytes is refused: set a smaller page_size")
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                over = f"an answer of over {MAX_ANSWER_BYTES} bytes"
                raise BadAnswer(f"{what}: {over} is refused: set a smaller page_size")
        return body

    def _check_status(self, what: str, answer: httpx.Response, body: bytearray) -> None:
        status = answer.status_code
        if status == 200:
            return
        header = answer.request.headers["authorization"]
        words = self._words(status, body, header)
        if status == 401:
            raise Unauthorized(words, header)
        if status == 404 and is_apis_own(body):
            raise NoRows(words, answer.headers.get("date"))
        if status == 404:
            words = (
                f"{words}: not the API's own words for an empty list; is base_url right, and what is before the API?"
            )
        if is_passing(status):
            asked = retry_after(answer.headers.get("retry-after"), http_date(answer.headers.get("date")))
            if status in SLOW_DOWN_STATUSES:
                asked = asked or self._first_wait
                self._limiter.slow_down(asked)
            elif asked:
                self._limiter.hold(asked)
            raise Passing(words, asked, held=True, too_many=status == TOO_MANY_REQUESTS)
        if 300 <= status < 400:
            raise ConfigurationError(f"{what}: the API answered {status}, a redirection, which is not followed")
        raise refused(what, words)

    def _words(self, status: int, body: bytes | bytearray, header: str) -> str:
        words = words_of(status, body)
        for secret in filter(None, (header.partition(" ")[2], self._password)):
            # A gateway may quote the request, and in the details a password stands as JSON has it.
            words = words.replace(secret, "***").replace(msgspec.json.encode(secret).decode()[1:-1], "***")
        return words

    def _say(self, what: str, state: tenacity.RetryCallState) -> None:
        if self._http.is_closed:  # the sync has ended, which is what failed this request
            return
        self.repeated += 1
        error = state.outcome.exception() if state.outcome is not None else None
        wait = state.next_action.sleep if state.next_action is not None else 0.0
        if isinstance(error, Passing) and error.held:
            wait = max(wait, error.retry_after or 0.0)
        self._log.warning("%s: %s; asks again in %.1f s (try %s)", what, error, wait, state.attempt_number)


class _Patience(tenacity.stop.stop_base):
    """The end of so many tries, or of the time that is left for all.

    Those that were refused for there being too many do not count, for so many seconds.
    """

    def __init__(self, tries: int, seconds: float, time_left: Callable[[], float] = lambda: math.inf) -> None:
        self._left = tries
        self._seconds = seconds
        self._time_left = time_left

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        if self._time_left() <= 0:
            return True
        if isinstance(error, Passing) and error.too_many:
            return (retry_state.seconds_since_start or 0.0) > self._seconds
        self._left -= 1
        return self._left <= 0


class _Wait(tenacity.wait.wait_base):
    """What the server asked for, else a doubling wait with jitter; no longer than the time that is left for all."""

    def __init__(self, first: float, time_left: Callable[[], float]) -> None:
        self._backoff = tenacity.wait_random_exponential(multiplier=first, max=_LONGEST_WAIT_SECONDS)
        self._time_left = time_left

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        wait = float(self._backoff(retry_state))
        if isinstance(error, Passing) and error.retry_after:
            # What the API asked for is waited for by the limiter, in the name of all; here only the jitter is added.
            wait = min(wait, 1.0) if error.held else max(wait, error.retry_after)
        return min(wait, max(self._time_left(), 0.0))


def _with_query(address: str, query: Mapping[str, str] | str | None) -> httpx.URL:
    if isinstance(query, str):
        return httpx.URL(f"{address}?{query}")
    return httpx.URL(address, params=dict(query or {}))


def _trust(ca_file: str | None) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"setting ca_file cannot be read: {error}") from error
