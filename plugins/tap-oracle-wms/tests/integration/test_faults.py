"""What goes wrong between the tap and the API: nothing is lost, nothing is told as an end that is none."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import CheckRefused, ConfigurationError, LimitReached, SourceUnreachable, SyncError
from sync_rules.full import KeyRange
from sync_rules.incremental import Window
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.errors import BadAnswer
from tap_oracle_wms.source import EntitySource
from tap_oracle_wms.tap import TapOracleWms
from wms_sides import ACCOUNT, expected

from sandbox.wms.entities import ENTITIES
from sandbox.wms.faults import Fault
from sandbox.wms.requests_log import read, summary
from sandbox.wms.server import WmsServer
from sandbox.wms.store import Store

Make = Callable[..., EntitySource]
FULL_PAGES = "ordering=-id&page_size=250"


def full(source: EntitySource) -> list[int]:
    """The ids of a full sync, in its order."""
    beginning = source.begin()
    if beginning.upper_key is None:
        return []
    ids: list[int] = []
    below = None
    while True:
        page = source.read_page(KeyRange(beginning.upper_key, below))
        for batch in page.batches:
            ids += batch.column("id").to_pylist()
        if page.last:
            break
        below = page.lowest
    source.check_whole(
        FullBookmark(1, beginning.started_at, "f", beginning.upper_key, rows=len(ids), estimate=beginning.estimate)
    )
    return ids


def changed(source: EntitySource, low: str) -> list[int]:
    """The ids of an incremental sync."""
    ids: list[int] = []
    after = None
    while True:
        page = source.read_cursor_page(Window(low, "2100-01-01T00:00:00+00:00", after))
        for batch in page.batches:
            ids += batch.column("id").to_pylist()
        if page.last:
            return ids
        after = page.end


def test_rows_above_the_highest_id_of_the_start_are_left_to_the_incremental_sync(wms: WmsServer, source: Make) -> None:
    opened = source()
    beginning = opened.begin()
    before = set(expected(wms, "allocation"))
    wms.mutate("allocation", inserts=40, seed=9)
    assert beginning.upper_key == (max(before),)
    ids: list[int] = []
    below, last = None, False
    while not last:
        page = opened.read_page(KeyRange(beginning.upper_key, below))
        ids += [one for batch in page.batches for one in batch.column("id").to_pylist()]
        below, last = page.lowest, page.last
    assert ids == sorted(before, reverse=True)
    low = (datetime.fromisoformat(beginning.started_at) - timedelta(minutes=30)).isoformat()
    assert set(expected(wms, "allocation")) - before <= set(changed(source(sync_mode="incremental"), low))


def test_ids_with_huge_gaps_take_few_requests(tmp_path: Path, config: dict[str, Any], source: Make) -> None:
    ids = [1, 2, 3, 10**6, 10**12, 10**12 + 1, 10**15, 10**18, 2**63 - 2]
    store = Store(tmp_path / "sparse")
    store.insert(ENTITIES["allocation"], [{"id": one, "mod_ts": datetime(2024, 1, 1)} for one in ids])
    store.close()
    with WmsServer(tmp_path / "sparse", ACCOUNT) as server:
        assert full(source(base_url=server.base_url, page_size=3)) == ids[::-1]
        assert len(read(server.log_path)) < 120


PASSING = [
    {"kind": "status", "status": 500, "every": 3, "times": 8},
    {"kind": "status", "status": 502, "times": 2},
    {"kind": "status", "status": 409, "times": 2},
    {"kind": "status", "status": 503, "retry_after": "0.01", "every": 4, "times": 4},
    {"kind": "status", "status": 429, "retry_after": "0.01", "every": 2, "times": 6},
    {"kind": "status", "status": 429, "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT", "times": 2},
    {"kind": "half", "every": 5, "times": 4},
    {"kind": "cut", "every": 5, "times": 4},
    {"kind": "reset", "every": 5, "times": 4},
    {"kind": "html", "every": 5, "times": 4},
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}")
def test_what_may_pass_is_asked_again(wms: WmsServer, source: Make, fault: dict[str, Any]) -> None:
    opened = source()
    wms.faults.set([Fault.read({**fault, "query": FULL_PAGES})])
    assert full(opened) == sorted(expected(wms, "allocation"), reverse=True)


def test_too_many_requests_are_waited_for_not_counted(
    wms: WmsServer, source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    opened = source(retries=0)
    wms.faults.set([Fault("status", query=FULL_PAGES, status=429, retry_after="0.2", times=4)])
    assert full(opened) == sorted(expected(wms, "allocation"), reverse=True)
    assert "asks again in 0.2 s" in caplog.text
    wms.faults.set([Fault("status", query=FULL_PAGES, status=503, retry_after="0.2")])
    with pytest.raises(SourceUnreachable, match="in 1 tries"):
        full(source(retries=0))


@pytest.mark.parametrize("kind", ["half", "cut", "reset", "html"])
def test_what_does_not_pass_ends_as_unreachable(wms: WmsServer, source: Make, kind: str) -> None:
    opened = source(retries=2)
    wms.faults.set([Fault(kind, query=FULL_PAGES, skip=4, times=1_000)])
    with pytest.raises(SourceUnreachable, match="no good answer in 3 tries"):
        full(opened)


@pytest.mark.parametrize("kind", ["unsorted", "repeat", "empty", "overfull", "circle", "endless"])
def test_an_answer_that_contradicts_itself_is_an_error(wms: WmsServer, source: Make, kind: str) -> None:
    opened = source(max_requests_in_flight=1)
    wms.faults.set([Fault(kind, query=FULL_PAGES, skip=3)])
    with pytest.raises(BadAnswer):
        full(opened)


@pytest.mark.parametrize(("kind", "words"), [("circle", "leads back"), ("repeat", "out of"), ("empty", "empty page")])
def test_changes_that_do_not_advance_are_an_error(wms: WmsServer, source: Make, kind: str, words: str) -> None:
    opened = source(sync_mode="incremental")
    wms.faults.set([Fault(kind, query="mod_ts__gte", skip=2, times=1_000)])
    with pytest.raises(BadAnswer, match=words):
        changed(opened, "2024-01-01T00:00:00+00:00")


@pytest.mark.parametrize("cursor", ["mod_ts", "wave_id"])
def test_rows_the_api_leaves_out_are_missed(wms: WmsServer, source: Make, cursor: str) -> None:
    """With a cursor, and of an entity without one."""
    opened = source(lookback_minutes=0, cursor_column=cursor)
    wms.faults.set([Fault("short", query=FULL_PAGES, skip=3)])
    with pytest.raises(CheckRefused, match="answered only"):
        full(opened)


def test_fewer_rows_than_the_page_itself_counts_are_asked_for_again(wms: WmsServer, source: Make) -> None:
    opened = source(page_mode="paged", check_count=False, retries=2)
    wms.faults.set([Fault("short", query=FULL_PAGES, skip=3)])
    assert full(opened) == sorted(expected(wms, "allocation"), reverse=True)
    opened = source(page_mode="paged", check_count=False, retries=2)
    wms.faults.set([Fault("short", query=FULL_PAGES, skip=3, times=1_000)])
    with pytest.raises(SourceUnreachable, match="fewer rows than it counts"):
        full(opened)


def test_a_gateways_404_is_no_empty_list(wms: WmsServer, source: Make) -> None:
    opened = source(check_count=False)
    wms.faults.set([Fault("gateway", query=FULL_PAGES, skip=3)])
    with pytest.raises(ConfigurationError, match="not the API's own words for an empty list"):
        full(opened)


def test_counts_that_only_help_are_asked_for_once(wms: WmsServer, source: Make) -> None:
    wms.faults.set([Fault("status", query="page_mode=paged", status=504, times=1_000)])
    assert full(source(check_count=False)) == sorted(expected(wms, "allocation"), reverse=True)
    assert sum("page_size=1&page_mode=paged" in line["query"] for line in read(wms.log_path)) == 1


def test_an_incremental_sync_counts_nothing(wms: WmsServer, source: Make) -> None:
    """Its requests are few and often; a count reads the whole table."""
    opened = source(sync_mode="incremental")
    changed(opened, "2024-06-01T00:00:00+00:00")
    assert opened.null_cursors() == 0
    assert not any("page_size=1&page_mode=paged" in line["query"] for line in read(wms.log_path))


def test_rows_without_a_cursor_are_told_by_a_full_sync(
    tmp_path: Path, source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """SPEC I5."""
    store = Store(tmp_path / "undated")
    times = [datetime(2024, 1, 1), None, None]
    store.insert(ENTITIES["allocation"], [{"id": one, "mod_ts": time} for one, time in enumerate(times, start=1)])
    store.close()
    with WmsServer(tmp_path / "undated", ACCOUNT) as server:
        assert full(source(base_url=server.base_url)) == [3, 2, 1]
    assert "2 rows have no mod_ts: incremental syncs never see them" in caplog.text


def test_a_request_that_hangs_ends_with_the_whole_syncs_time(wms: WmsServer, config: dict[str, Any]) -> None:
    tap = TapOracleWms(config={**config, "request_timeout_seconds": 1, "retries": 50})
    client = tap.client()
    client.end_after(1)
    wms.faults.set([Fault("slow", seconds=5, times=1_000)])
    with pytest.raises(LimitReached, match="the whole-sync limit is reached"):
        describe(client, "allocation", tap.config)
    wms.faults.set([Fault("status", status=429, retry_after="3000", times=1_000)])
    client.end_after(100)
    with pytest.raises(LimitReached, match="more patience than is left"):
        describe(client, "allocation", tap.config)
    client.close()


def test_a_link_to_another_host_ends_the_sync(wms: WmsServer, source: Make) -> None:
    opened = source()
    wms.faults.set([Fault("foreign", query=FULL_PAGES, skip=2)])
    with pytest.raises(ConfigurationError, match=r"leads to elsewhere\.example"):
        full(opened)


def test_a_redirection_is_not_followed(wms: WmsServer, source: Make) -> None:
    opened = source()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        location = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/demo/wms/lgfapi/v10/entity/allocation/"
        wms.faults.set([Fault("redirect", query=FULL_PAGES, skip=2, location=location)])
        with pytest.raises(ConfigurationError, match="302, a redirection"):
            full(opened)
        with pytest.raises(BlockingIOError):  # nobody came
            elsewhere.accept()


@pytest.mark.parametrize("status", [400, 403, 405])
def test_a_refusal_ends_with_the_apis_own_words(wms: WmsServer, source: Make, status: int) -> None:
    opened = source()
    wms.faults.set([Fault("status", query=FULL_PAGES, status=status)])
    with pytest.raises(ConfigurationError, match=f"Injected fault {status}"):
        full(opened)


def test_a_field_that_is_renamed_meanwhile_is_an_error(wms: WmsServer, source: Make) -> None:
    """Else NULL would be written over the good values of every row that follows."""
    opened = source(cursor_column="create_ts")
    wms.faults.set([Fault("rename", query=FULL_PAGES, skip=2, times=1_000)])
    with pytest.raises(BadAnswer, match="any more"):
        full(opened)


def test_a_field_that_describe_does_not_name_is_told_once(
    wms: WmsServer, source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    wms.faults.set([Fault("extra", query=FULL_PAGES, times=1_000)])
    full(source())
    assert caplog.text.count("a field cust_field_1, which describe has not") == 1


def test_a_wrong_password_is_said_at_once(wms: WmsServer, source: Make) -> None:
    with pytest.raises(ConfigurationError, match="Invalid credentials") as refused:
        source(password="not-this-one")
    assert "not-this-one" not in str(refused.value)


def test_a_token_is_got_and_renewed(wms: WmsServer, source: Make) -> None:
    account = wms.account
    tokens = {"token_url": wms.token_url, "client_id": account.client_id, "client_secret": account.client_secret}
    opened = source(username=None, password=None, **tokens)
    wms.tokens.clear()
    assert len(full(opened)) == len(expected(wms, "allocation"))
    with pytest.raises(ConfigurationError, match="Client authentication failed"):
        source(username=None, password=None, **{**tokens, "client_secret": "no"})


def test_a_token_server_that_is_busy_meanwhile_ends_no_sync(wms: WmsServer, source: Make) -> None:
    account = wms.account
    opened = source(token_url=wms.token_url, client_id=account.client_id, client_secret=account.client_secret)
    wms.tokens.clear()
    wms.faults.set([Fault("status", path="/oauth2/", status=503, times=2)])
    assert len(full(opened)) == len(expected(wms, "allocation"))


@pytest.mark.parametrize(
    ("address", "words"),
    [("http://127.0.0.1:9/x", "Connection refused"), ("https://no-such-host.invalid/x", "ConnectError: .*[Nn]ame")],
)
def test_the_networks_own_reason_is_told(source: Make, address: str, words: str) -> None:
    with pytest.raises(SourceUnreachable, match=words):
        source(base_url=address, retries=1)


def test_a_proxy_that_cannot_be_used_is_told(source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="proxy that the environment names"):
        source(base_url="https://wms.example/x")


def test_a_token_that_is_refused_twice_ends_the_sync(wms: WmsServer, source: Make) -> None:
    account = wms.account
    opened = source(token_url=wms.token_url, client_id=account.client_id, client_secret=account.client_secret)
    wms.faults.set([Fault("status", status=401, times=1_000)])
    with pytest.raises(ConfigurationError, match="with a new token too"):
        full(opened)


@pytest.mark.parametrize("kind", ["half", "excuse"])
def test_a_broken_describe_is_asked_for_again_and_never_kept(wms: WmsServer, config: dict[str, Any], kind: str) -> None:
    wms.faults.set([Fault(kind, path="/describe/", times=2)])
    with pytest.raises(SourceUnreachable, match="describes no fields"):
        list(TapOracleWms(config={**config, "retries": 1}).streams)
    assert list(TapOracleWms(config=config).streams) == ["allocation"]
    wms.faults.set([Fault(kind, path="/entity/")])
    assert set(TapOracleWms(config={**config, "entities": None}).streams) >= {"allocation", "order_hdr"}


def test_an_entity_the_user_may_not_read_hides_no_other(wms: WmsServer, config: dict[str, Any]) -> None:
    wms.faults.set([Fault("status", path="/order_hdr/describe/", status=403, times=1_000)])
    found = set(TapOracleWms(config={**config, "entities": None}).streams)
    assert "allocation" in found
    assert "order_hdr" not in found
    with pytest.raises(ConfigurationError, match="Injected fault 403"):
        list(TapOracleWms(config={**config, "entities": ["order_hdr"]}).streams)


def test_an_entity_that_is_not_there_is_an_error(source: Make) -> None:
    with pytest.raises(ConfigurationError, match="knows no entity nothing"):
        source("nothing")


def test_an_entity_that_goes_away_meanwhile_is_no_end(wms: WmsServer, source: Make) -> None:
    opened = source()
    wms.faults.set([Fault("status", status=404, skip=9, times=1_000)])
    with pytest.raises(SourceUnreachable, match="knows the entity no more"):
        full(opened)


def test_filters_without_rows_are_no_rows(wms: WmsServer, source: Make) -> None:
    assert full(source(filters={"allocation": {"status_id__gt": 1_000}})) == []
    assert changed(source(sync_mode="incremental"), "2090-01-01T00:00:00+00:00") == []


def test_filters_and_fields_are_sent(wms: WmsServer, source: Make) -> None:
    opened = source(filters={"allocation": {"status_id__lt": 10}}, fields={"allocation": ["status_id"]})
    rows = expected(wms, "allocation")
    assert full(opened) == sorted((one for one in rows if rows[one]["status_id"] < 10), reverse=True)
    assert [column.name for column in opened.columns] == ["id", "status_id", "mod_ts"]


def test_a_facility_the_entity_has_not_is_refused(wms: WmsServer, source: Make) -> None:
    rows = expected(wms, "order_hdr")
    wanted = {one for one in rows if rows[one]["facility_key"] == "FACILITY-3"}
    assert set(full(source("order_hdr", facility="FACILITY-3"))) == wanted
    with pytest.raises(ConfigurationError, match="allocation has no facility_id"):
        source(facility="FACILITY-3")


def test_a_company_the_entity_has_not_is_refused(wms: WmsServer, source: Make) -> None:
    rows = expected(wms, "order_hdr")
    wanted = {one for one in rows if rows[one]["company_key"] == "COMPANY-3"}
    assert 0 < len(wanted) < len(rows)
    assert set(full(source("order_hdr", company="COMPANY-3"))) == wanted
    both = {one for one in wanted if rows[one]["facility_key"] == "FACILITY-3"}
    assert set(full(source("order_hdr", company="COMPANY-3", facility="FACILITY-3"))) == both
    with pytest.raises(ConfigurationError, match="allocation has no company_id"):
        source(company="COMPANY-3")


def test_the_plus_of_an_offset_is_encoded(wms: WmsServer, source: Make) -> None:
    """A bare one is a space to the server: by its own log, which holds queries as they came."""
    changed(source(sync_mode="incremental"), "2024-01-01T00:00:00+00:00")
    asked = [line["query"] for line in read(wms.log_path) if "mod_ts__gte=" in line["query"]]
    assert asked
    assert all("%2B00%3A00" in query and "+" not in query for query in asked)


@pytest.mark.parametrize("low", ["2024-01-01T00:00:00", "2024-01-01", "2024-01-01T00:00:00+00:00"])
def test_every_time_is_sent_with_its_offset(wms: WmsServer, source: Make, low: str) -> None:
    """As `start_date` and the hand-over give it: the API reads a bare one in the facility's zone."""
    opened = source(sync_mode="incremental")
    changed(opened, low)
    list(opened.ascending(1, 10, low))
    asked = [dict(parse_qsl(line["query"])) for line in read(wms.log_path) if "mod_ts__gte=" in line["query"]]
    assert {query["mod_ts__gte"] for query in asked if query["ordering"] == "id"} == {"2024-01-01T00:00:00+00:00"}
    assert "2024-01-01T00:00:00+00:00" in {query["mod_ts__gte"] for query in asked if query["ordering"] != "id"}
    assert all(query["mod_ts__gte"].endswith("+00:00") for query in asked)


@pytest.mark.parametrize("page_size", [1, 3, 250])
def test_incremental_by_any_page_size(wms: WmsServer, source: Make, page_size: int) -> None:
    rows = expected(wms, "allocation")
    latest = sorted(rows, key=lambda one: (rows[one]["mod_ts"], one))[-40:]
    low = rows[latest[0]]["mod_ts"].isoformat(timespec="microseconds")
    assert changed(source(sync_mode="incremental", page_size=page_size, batch_rows=7), low) == latest


def test_the_limits_hold_by_the_servers_own_log(wms: WmsServer, source: Make) -> None:
    wms.latency = 0.02
    assert len(full(source(max_requests_in_flight=3, requests_per_second="40"))) == len(expected(wms, "allocation"))
    seen = summary(read(wms.log_path))
    assert seen["most_in_flight"] <= 3
    # Whatever the machine is busy with can only make it longer.
    assert seen["seconds"] >= (seen["requests"] - 2) / 40


def test_no_list_is_asked_for_without_an_order(wms: WmsServer, source: Make) -> None:
    full(source())
    changed(source(sync_mode="incremental"), "2024-01-01T00:00:00+00:00")
    lists = [line for line in read(wms.log_path) if line["path"].endswith("/entity/allocation/")]
    assert lists
    assert all("ordering=" in line["query"] for line in lists)
    unfiltered = [line for line in lists if "__" not in line["query"]]
    assert all("page_size=1&" in line["query"] for line in unfiltered)


def test_logs_hold_no_secret_and_no_query(wms: WmsServer, source: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wms.faults.set([Fault("status", query=FULL_PAGES, status=503, times=2)])
    full(source(filters={"allocation": {"create_user__startswith": "use"}}))
    assert wms.account.password not in caplog.text
    assert "create_user__startswith" not in caplog.text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"page_size": 1_251}, "page_size must be at most 1250"),
        ({"base_url": "http://wms.example/x"}, "https://"),
        ({"base_url": "https://me:word@wms.example/x"}, "no credentials"),
        ({"key_columns": ["code"]}, "must be \\[id\\]"),
        ({"tables": ["order_hdr"]}, "are the same"),
        ({"entities": ["allocation/../x"]}, "is no entity's name"),
        ({"base_url": "https://wms.example/x/wms/"}, "must end before /wms"),
        ({"password": None}, "password is missing"),
        ({"filters": {"allocation": {"ordering": "id"}}}, "is no filter"),
        ({"fields": {"allocation": ["nope"]}}, "names nope"),
        ({"cursor_column": "wave_id", "sync_mode": "incremental"}, "in full only"),
    ],
)
def test_wrong_settings_are_told_in_words(source: Make, more: dict[str, Any], words: str) -> None:
    with pytest.raises(SyncError, match=words) as refused:
        source(**more)
    assert isinstance(refused.value, ConfigurationError)
    assert "word" not in str(refused.value).replace("password", "")
