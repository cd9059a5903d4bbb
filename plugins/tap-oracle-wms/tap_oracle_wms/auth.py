"""Who asks: Basic, or an OAuth2 token that is renewed when it runs out. Nothing here is ever logged."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx
import msgspec
from sync_rules.exits import ConfigurationError

from tap_oracle_wms.errors import Passing, http_date, is_passing, one_line, retry_after, transport_failure

_EARLY_SECONDS = 30.0
_USUAL_SECONDS = 3_600.0
_MOST_BYTES = 1024 * 1024


class Auth(Protocol):
    """Gives the Authorization header."""

    def header(self) -> str:
        """The header's value. May ask for a token first."""

    def renew(self, stale: str) -> bool:
        """Get a new header after the server refused `stale`. False where there is nothing to renew."""


class Basic:
    """User and password."""

    def __init__(self, user: str, password: str) -> None:
        self._value = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def header(self) -> str:
        """The same always."""
        return self._value

    def renew(self, stale: str) -> bool:  # noqa: ARG002
        """There is nothing to renew."""
        return False


class ClientCredentials:
    """OAuth2 client credentials: one token for all threads."""

    def __init__(
        self,
        http: httpx.Client,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = token_url
        self._who = Basic(client_id, client_secret).header()
        self._secret = client_secret
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._clock = clock
        self._lock = threading.Lock()
        self._value = ""
        self._until = 0.0
        self._held_until = 0.0

    def header(self) -> str:
        """The token, a new one shortly before the old one ends."""
        with self._lock:
            if not self._value or self._clock() >= self._until:
                self._fetch()
            return self._value

    def renew(self, stale: str) -> bool:
        """A new token, unless another thread has got one since."""
        with self._lock:
            if self._value == stale:
                self._fetch()
            return True

    def _fetch(self) -> None:
        """Raises Passing where asking again may help: whoever wants the token repeats its request.

        For as long as the token server asked for patience it is not asked, by any thread.
        """
        host = httpx.URL(self._url).host
        held = self._held_until - self._clock()
        if held > 0:
            raise Passing(f"the token server {host} asked for patience", held)
        body = bytearray()
        try:
            with self._http.stream("POST", self._url, data=self._form, headers={"Authorization": self._who}) as answer:
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise Passing(f"the token server {host} answered over {_MOST_BYTES} bytes")
        except httpx.TransportError as error:
            raise transport_failure(f"the token server {host}", error) from error
        except httpx.DecodingError as error:
            raise Passing(f"the token server {host} answered what cannot be unpacked") from error
        said = _json_object(body)
        if is_passing(answer.status_code) or (answer.status_code == 200 and said is None):
            asked = retry_after(answer.headers.get("retry-after"), http_date(answer.headers.get("date")))
            self._held_until = self._clock() + (asked or 0.0)
            what = "no JSON" if answer.status_code == 200 else answer.status_code
            raise Passing(f"the token server {host} answered {what}", asked)
        if answer.status_code != 200 or said is None:
            words = str((said or {}).get("error_description") or (said or {}).get("error") or "no reason given")
            words = one_line(words.replace(self._secret, "***"))
            raise ConfigurationError(f"the token server {host} answered {answer.status_code}: {words[:200]}")
        token = said.get("access_token")
        if not isinstance(token, str) or not token:
            raise ConfigurationError(f"the token server {host} answered no access_token")
        if not (token.isascii() and token.isprintable()):
            raise ConfigurationError(f"the token server {host} answered an access_token that no header can hold")
        self._value = f"Bearer {token}"
        seconds = _lifetime(said.get("expires_in"))
        self._until = self._clock() + max(seconds - _EARLY_SECONDS, seconds / 2)


def _lifetime(said: object) -> float:
    """Seconds. A token that is said to end at once is used until it is refused: else each request would ask for one."""
    seconds = float(said) if isinstance(said, (int, float)) and not isinstance(said, bool) else 0.0
    return seconds if seconds > 0 else _USUAL_SECONDS


def _json_object(body: bytes | bytearray) -> Mapping[str, Any] | None:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def auth_from(config: Mapping[str, Any], http: httpx.Client) -> Auth:
    """By the settings."""
    if config.get("token_url"):
        return ClientCredentials(
            http, config["token_url"], config["client_id"], config["client_secret"], config.get("token_scope")
        )
    return Basic(config["username"], config["password"])
