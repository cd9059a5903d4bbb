"""What a client makes of answers that no stand-in gives: a list of entities in pages, and more than a page can hold."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sync_rules.exits import ConfigurationError, LimitReached, SourceUnreachable
from sync_rules.full import KeyRange
from tap_oracle_wms import client as client_module
from tap_oracle_wms import discovery
from tap_oracle_wms.auth import ClientCredentials
from tap_oracle_wms.choices import choose
from tap_oracle_wms.client import Client
from tap_oracle_wms.errors import BadAnswer
from tap_oracle_wms.settings import SETTINGS
from tap_oracle_wms.source import EntitySource

Asked = Callable[[Callable[[httpx.Request], httpx.Response]], Client]
CONFIG = {"base_url": "https://wms.example/x", "username": "me", "password": "word", "entities": ["thing"]}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Settings that limit nothing."""
    usual = {name: one["default"] for name, one in SETTINGS["properties"].items() if "default" in one}
    return {**usual, **CONFIG, "limits_root": str(tmp_path), "requests_per_second": 10_000, "retries": 0}


@pytest.fixture
def asking(config: dict[str, Any]) -> Asked:
    """Makes a client whose requests are answered by a function."""

    def make(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
        made = Client(config, logging.getLogger())
        made.close()
        made._http = httpx.Client(transport=httpx.MockTransport(answer))
        return made

    return make


def test_a_list_of_entities_is_read_page_by_page(asking: Asked) -> None:
    pages = {"": (["order_hdr"], "?page=2"), "page=2": ([{"name": "allocation"}, {"entity": "a/b"}], None)}

    def answer(request: httpx.Request) -> httpx.Response:
        names, following = pages[request.url.query.decode()]
        return httpx.Response(200, json={"results": names, "next_page": following})

    assert discovery.entities(asking(answer)) == ["allocation", "order_hdr"]


@pytest.mark.parametrize("further", [0, 1])
def test_a_list_of_entities_without_an_end_is_an_error(
    asking: Asked, monkeypatch: pytest.MonkeyPatch, further: int
) -> None:
    monkeypatch.setattr(discovery, "_MOST_PAGES", 9)
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        assert len(seen) < 20, "it would go on for ever"
        page = int(request.url.params.get("page", 1)) + further
        return httpx.Response(200, json={"results": ["allocation"], "next_page": f"?page={page}"})

    with pytest.raises(BadAnswer, match="leads back to a page that was answered, or never ends"):
        discovery.entities(asking(answer))


def test_a_list_of_entities_leads_to_no_other_host(asking: Asked) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "wms.example"
        return httpx.Response(200, json={"results": ["allocation"], "next_page": "https://elsewhere.example/x/"})

    with pytest.raises(ConfigurationError, match=r"leads to elsewhere\.example"):
        discovery.entities(asking(answer))


@pytest.mark.parametrize("name", ["thing/../../other", "thing?x=", "", "thing\n"])
def test_what_is_no_entitys_name_is_not_asked_for(asking: Asked, config: dict[str, Any], name: str) -> None:
    """It may stand in a catalog."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    with pytest.raises(ConfigurationError, match="is no entity's name"):
        discovery.describe(asking(answer), name, config)


def _endless() -> Iterator[bytes]:
    for _ in range(1_000):
        yield b" " * 100
    raise AssertionError("it would be read to its end")


@pytest.mark.parametrize(
    ("content", "words"), [(b" " * 2_000, "an answer of 2000 bytes"), (_endless, "an answer of over 1000 bytes")]
)
def test_an_answer_larger_than_any_page_is_not_held(
    asking: Asked, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, content: Any, words: str
) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1_000)

    def answer(_: httpx.Request) -> httpx.Response:
        body = content() if callable(content) else content
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=body)

    with pytest.raises(BadAnswer, match=f"{words} is refused: set a smaller page_size"):
        discovery.describe(asking(answer), "thing", config)


def test_rows_below_what_was_asked_for_are_an_error(asking: Asked, config: dict[str, Any]) -> None:
    """An API that does not know id__gte: the next range would bring them a second time."""
    ids = [*range(1, 1_000, 100), *range(1_000, 1_040)]

    def answer(request: httpx.Request) -> httpx.Response:
        given = request.url.params
        if request.url.path.endswith("/describe/"):
            return httpx.Response(200, json={"fields": {"id": "pk"}})
        found = [one for one in ids if one < int(given.get("id__lt", 2**62))]
        size = int(given["page_size"])
        page = sorted(found, reverse=given["ordering"] == "-id")[:size]
        following = "?more" if len(found) > size else None
        return httpx.Response(
            200, json={"results": [{"id": one} for one in page], "next_page": following, "result_count": len(found)}
        )

    asked = {**config, "page_size": 10}
    client = asking(answer)
    description = discovery.describe(client, "thing", asked)
    source = EntitySource("thing", choose(description, asked, lambda _: True), asked, client, logging.getLogger())
    with pytest.raises(BadAnswer, match="rows came that were not asked for"):
        source.read_page(KeyRange(source.begin().upper_key or (), None))
    source.close()


def test_an_error_that_is_answered_as_a_page_may_pass_and_is_told_in_its_own_words(
    asking: Asked, config: dict[str, Any]
) -> None:
    credentials = b64encode(b"me:word").decode()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/describe/"):
            return httpx.Response(200, json={"fields": {"id": "pk"}})
        said = f"the database is down for {credentials}"
        return httpx.Response(200, json={"reference": "r1", "code": "SYSTEM_ERROR", "message": said, "details": None})

    client = asking(answer)
    description = discovery.describe(client, "thing", config)
    source = EntitySource("thing", choose(description, config, lambda _: True), config, client, logging.getLogger())
    with pytest.raises(SourceUnreachable, match=r"200 SYSTEM_ERROR: the database is down for \*\*\* \(reference r1\)"):
        source.begin()


def test_a_token_that_runs_out_while_its_request_waits_for_a_turn_is_renewed(asking: Asked) -> None:
    now = 0.0
    ends: dict[str, float] = {}
    numbers = count()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            token = f"t{next(numbers)}"
            ends[f"Bearer {token}"] = now + 60
            return httpx.Response(200, json={"access_token": token, "expires_in": 60})
        if now > ends[request.headers["Authorization"]]:
            return httpx.Response(401)
        return httpx.Response(200, json=["allocation"])

    @contextmanager
    def turn(*_: object) -> Iterator[None]:
        nonlocal now
        now += 100
        yield

    client: Any = asking(answer)
    client._auth = ClientCredentials(
        client._http, "https://wms.example/token", "id", "secret", scope=None, clock=lambda: now
    )
    client._limiter = SimpleNamespace(request=turn)
    assert discovery.entities(client) == ["allocation"]


def test_a_rate_may_be_a_fraction(config: dict[str, Any]) -> None:
    """JSON's own becomes a Decimal."""
    Client({**config, "requests_per_second": Decimal("0.5")}, logging.getLogger()).close()


def test_a_request_that_the_end_of_the_sync_cut_off_is_not_told(
    asking: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        client._http.close()
        raise httpx.ReadError("Bad file descriptor", request=request)

    client = asking(answer)
    client._tries = 2
    client._log = logging.getLogger("test")
    with pytest.raises(RuntimeError, match="closed"):
        discovery.entities(client)
    assert not caplog.records


def test_a_token_servers_patience_ends_with_the_whole_syncs_time(
    asking: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        client._ends = 0.0

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"Retry-After": "3000"})

    client: Any = asking(answer)
    client._auth = ClientCredentials(client._http, "https://wms.example/token", "id", "secret", scope=None)
    client._tries = 3
    client.end_after(5)
    monkeypatch.setattr("tenacity.nap.time.sleep", sleep)
    with pytest.raises(LimitReached, match=r"the token server wms\.example asked for patience"):
        discovery.entities(client)
    assert 0 < max(slept) <= 5


def test_a_password_that_stands_in_details_as_json_has_it_is_not_shown(asking: Asked) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        details = {"password": 'wo"rd\\'}
        return httpx.Response(400, json={"reference": "r", "code": "C", "message": "no", "details": details})

    client = asking(answer)
    client._password = 'wo"rd\\'
    with pytest.raises(ConfigurationError, match=r'400 C: no \(\{"password":"\*\*\*"\}\)'):
        discovery.entities(client)
