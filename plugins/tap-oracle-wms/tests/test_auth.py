"""Tokens: asked for once and for all threads, and again where the token server was only busy."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import httpx
import pytest
from sync_rules.exits import ConfigurationError
from tap_oracle_wms.auth import ClientCredentials
from tap_oracle_wms.errors import Passing


class Clock:
    """Moves only when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def credentials(answer: Callable[[httpx.Request], httpx.Response], clock: Clock) -> ClientCredentials:
    http = httpx.Client(transport=httpx.MockTransport(answer))
    return ClientCredentials(http, "https://id.example/token", "client", "secret", None, clock)


@pytest.mark.parametrize(
    ("lifetime", "after", "asked"),
    [(3600, 3000, 1), (3600, 3580, 2), (0, 3000, 1), (0, 3590, 2), (None, 3000, 1), ("soon", 3000, 1), (40, 30, 2)],
)
def test_a_token_is_used_while_it_lives(lifetime: object, after: float, asked: int) -> None:
    """Also one that is said to end at once: else each request would ask for one of its own."""
    clock, seen = Clock(), []

    def answer(_: httpx.Request) -> httpx.Response:
        seen.append(1)
        return httpx.Response(200, json={"access_token": f"t{len(seen)}", "expires_in": lifetime})

    auth = credentials(answer, clock)
    first = auth.header()
    assert auth.header() == first == "Bearer t1"
    clock.now = after
    assert auth.header() == f"Bearer t{asked}"
    assert auth.renew(auth.header())
    assert len(seen) == asked + 1
    assert auth.renew(first)  # another thread has got one since
    assert len(seen) == asked + 1


@pytest.mark.parametrize(("scope", "sent"), [("read all", ["read all"]), (None, None)])
def test_a_scope_is_asked_for_where_one_is_set(scope: str | None, sent: list[str] | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        assert form["grant_type"] == ["client_credentials"]
        return httpx.Response(200, json={"access_token": str(form.get("scope"))})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    auth = ClientCredentials(http, "https://id.example/token", "client", "secret", scope, Clock())
    assert auth.header() == f"Bearer {sent}"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_token_server_is_asked_again(status: int) -> None:
    auth = credentials(lambda _: httpx.Response(status, headers={"Retry-After": "7"}), Clock())
    with pytest.raises(Passing, match=f"id.example answered {status}") as passing:
        auth.header()
    assert passing.value.retry_after == 7


@pytest.mark.parametrize(
    ("header", "said", "held"),
    [("7", 7, 7), ("Wed, 21 Oct 2015 07:28:07 GMT", 7, 7), ("999999", 3_600, 3_600)],
)
def test_a_token_server_that_asks_for_patience_is_left_alone_by_all(header: str, said: float, held: float) -> None:
    """By its own clock, and for no more than an hour."""
    clock, seen = Clock(), []

    def answer(_: httpx.Request) -> httpx.Response:
        seen.append(1)
        return httpx.Response(429, headers={"Retry-After": header, "Date": "Wed, 21 Oct 2015 07:28:00 GMT"})

    auth = credentials(answer, clock)
    for now, left, asked in ((0.0, said, 1), (held - 2.0, 2, 1), (held, said, 2)):
        clock.now = now
        with pytest.raises(Passing, match=r"token server id\.example") as passing:
            auth.header()
        assert (passing.value.retry_after, len(seen)) == (left, asked)


@pytest.mark.parametrize("body", [b"<html>Service is starting</html>", b'{"access_tok', b"[]"])
def test_what_is_no_answer_of_a_token_server_may_pass(body: bytes) -> None:
    with pytest.raises(Passing, match="no JSON"):
        credentials(lambda _: httpx.Response(200, content=body), Clock()).header()


def test_a_connection_that_breaks_may_pass() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("Connection reset by peer")

    with pytest.raises(Passing, match="ReadError: Connection reset"):
        credentials(answer, Clock()).header()


@pytest.mark.parametrize(("status", "body"), [(401, b"<html>"), (400, b'{"error": "invalid_client"}'), (200, b"{}")])
def test_a_refusal_is_none_that_passes(status: int, body: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"id\.example answered"):
        credentials(lambda _: httpx.Response(status, content=body), Clock()).header()


@pytest.mark.parametrize("token", ["a\nb", "a\n", "ção", "\x1b[31m"])
def test_a_token_that_no_header_can_hold_is_refused_unseen(token: str) -> None:
    with pytest.raises(ConfigurationError, match="no header can hold") as error:
        credentials(lambda _: httpx.Response(200, json={"access_token": token}), Clock()).header()
    assert token not in str(error.value)


def test_a_token_server_that_repeats_the_secret_is_not_quoted() -> None:
    said = {"error_description": "client_secret=secret is wrong"}
    with pytest.raises(ConfigurationError, match=r"client_\*\*\*=\*\*\* is wrong"):
        credentials(lambda _: httpx.Response(401, json=said), Clock()).header()


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(Passing, match="answered over"):
        credentials(lambda _: httpx.Response(200, content=(b" " * 65536 for _ in iter(int, 1))), Clock()).header()
