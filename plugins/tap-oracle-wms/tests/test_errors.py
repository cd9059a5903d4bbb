"""What a server's headers say of time, and what the network says of itself."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import httpx
import pytest
from sync_rules.exits import ConfigurationError
from tap_oracle_wms.errors import is_passing, retry_after, transport_failure, words_of

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("nan", 0.0),
        ("inf", 3_600.0),
        ("999999999999", 3_600.0),
        ("Sun, 01 Mar 2099 12:02:00 GMT", 3_600.0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Mar 2026 12:02:00 -0000", 120.0),
        ("Sun, 01 Mar 2026 12:02:00", 120.0),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120.0),
        ("Sun Mar  1 12:02:00 2026", 120.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("Sun, 01 Mar 2026 12:02:00 +99999999999999", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds_and_in_every_form_of_an_http_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), "not trusted; see ca_file"),
        (httpx.ProxyError("407 Proxy Authentication Required"), "proxy"),
        (httpx.UnsupportedProtocol("socks9"), "proxy"),
    ],
)
def test_what_only_a_setting_mends_is_not_tried_again(error: httpx.TransportError, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        transport_failure("wms.example", error)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("[Errno -2] Name or service not known"),
        httpx.ReadTimeout("timed out"),
        httpx.ProxyError("502 Bad Gateway"),
    ],
)
def test_what_may_pass_is_told_with_its_reason(error: httpx.TransportError) -> None:
    assert str(transport_failure("wms.example", error)) == f"wms.example: {type(error).__name__}: {error}"


def test_what_is_wrong_with_our_own_request_is_not_quoted() -> None:
    """The headers it quotes hold the token."""
    found = transport_failure("wms.example", httpx.LocalProtocolError("Illegal header value b'Bearer secret'"))
    assert str(found) == "wms.example: LocalProtocolError"


@pytest.mark.parametrize(("status", "passes"), [(408, True), (501, True), (507, True), (520, True), (400, False)])
def test_every_status_of_a_server_in_trouble_may_pass(status: int, passes: bool) -> None:
    assert is_passing(status) is passes


def test_the_servers_words_stay_on_one_line() -> None:
    said = words_of(400, json.dumps({"code": "x", "message": "a\nb\x1b[31mc", "reference": "\r1"}).encode())
    assert said.isprintable()
    assert "a b [31mc" in said
