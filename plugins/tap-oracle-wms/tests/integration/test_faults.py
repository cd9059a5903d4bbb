"""What goes wrong between the tap and the API: nothing is lost, nothing is told as an end that is none."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tap_oracle_wms.client
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import CheckRefused, ConfigurationError, LimitReached, SourceUnreachable
from sync_rules.full import KeyRange
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.errors import BadAnswer
from tap_oracle_wms.source import EntitySource
from tap_oracle_wms.tap import TapOracleWms
from wms_reading import FULL_PAGES, Make, changed, full
from wms_sides import ACCOUNT, expected

from sandbox.wms.entities import ENTITIES
from sandbox.wms.faults import Fault
from sandbox.wms.requests_log import read
from sandbox.wms.server import WmsServer
from sandbox.wms.store import Store


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
    {"kind": "excuse", "every": 5, "times": 4},
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


def test_too_many_requests_for_ever_end_with_the_time_of_one(wms: WmsServer, source: Make) -> None:
    opened = source(request_timeout_seconds=1)
    wms.faults.set([Fault("status", query=FULL_PAGES, status=429, retry_after="0.01", times=1_000_000)])
    with pytest.raises(SourceUnreachable, match="no good answer"):
        full(opened)


@pytest.mark.parametrize(
    ("status", "asked", "wait"), [(429, "0.2", 0), (503, "0.2", 0), (500, "0.2", 0), (429, None, 0.2), (503, None, 0.2)]
)
def test_patience_is_asked_of_all_requests(
    wms: WmsServer, source: Make, status: int, asked: str | None, wait: float
) -> None:
    """By the server's own log; where it says no time, the first wait of the settings is one."""
    opened = source(max_requests_in_flight=1, retry_wait_seconds=wait, retries=9)
    wms.faults.set([Fault("status", query=FULL_PAGES, status=status, retry_after=asked, skip=1, every=3, times=4)])
    assert full(opened) == sorted(expected(wms, "allocation"), reverse=True)
    lines = read(wms.log_path)
    waits = [after["at"] - one["at"] for one, after in pairwise(lines) if one["status"] == status]
    assert len(waits) == 4
    assert min(waits) >= 0.2


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


@pytest.mark.parametrize("kind", ["unsorted", "repeat"])
def test_rows_that_a_comparison_reads_out_of_order_are_an_error(wms: WmsServer, source: Make, kind: str) -> None:
    opened = source()
    wms.faults.set([Fault(kind, query="id__gt", skip=2)])
    with pytest.raises(BadAnswer, match="out of order, or a page came again"):
        list(opened.ascending(1, None, None))


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
    assert "rows without a value in mod_ts: 2; incremental syncs never see them" in caplog.text


def test_a_server_that_tells_no_time_is_taken_to_stand_at_its_newest_row(wms: WmsServer, source: Make) -> None:
    """Our clock may be ahead of it, and what changed in between would never be read."""
    wms.faults.set([Fault("undated", times=100_000)])
    newest = max(row["mod_ts"] for row in expected(wms, "allocation").values())
    opened = source()
    beginning = opened.begin()
    assert datetime.fromisoformat(str(beginning.cursor_at_start)) == newest.replace(microsecond=0)
    # To the end of its second: rows of it must not wait for another run.
    assert datetime.fromisoformat(str(opened.clock().now)) == newest.replace(microsecond=999_999)
    assert full(opened) == sorted(expected(wms, "allocation"), reverse=True)


def test_changes_stamped_by_a_clock_far_behind_the_answers_are_read(
    tmp_path: Path, source: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """SPEC I3: the first incremental sync takes over from the newest row, where that is behind the clock."""
    moments = [datetime(2024, 1, 1), datetime(2024, 5, 1, 12, 0, 0, 5), datetime(2999, 1, 1), None]
    store = Store(tmp_path / "behind")
    store.insert(ENTITIES["allocation"], [{"id": one, "mod_ts": moment} for one, moment in enumerate(moments, 1)])
    store.close()
    with WmsServer(tmp_path / "behind", ACCOUNT) as server:
        beginning = source(base_url=server.base_url).begin()
        assert beginning.cursor_at_start == "2024-05-01T12:00:00.000005+00:00"
        assert (
            source("order_hdr", base_url=server.base_url).begin().cursor_at_start == "1970-01-01T00:00:00.000000+00:00"
        )
        server.faults.set([Fault("status", query="ordering=-mod_ts", times=9)])
        beginning = source(base_url=server.base_url).begin()
        assert datetime.fromisoformat(str(beginning.cursor_at_start)) == datetime.fromisoformat(beginning.started_at)
    assert "its newest mod_ts is not known" in caplog.text


def test_a_first_look_that_is_empty_and_has_a_successor_is_no_empty_entity(wms: WmsServer, source: Make) -> None:
    wms.faults.set([Fault("empty", query="ordering=-id&page_size=1&")])
    with pytest.raises(BadAnswer, match="an empty page and says that more follow"):
        source().begin()


def test_a_list_that_is_answered_empty_once_is_no_empty_entity(wms: WmsServer, source: Make) -> None:
    wms.faults.set([Fault("nothing", query="ordering=-id", times=1)])
    with pytest.raises(SourceUnreachable, match="there are no rows, and counts"):
        source().begin()


@pytest.mark.parametrize("seconds", [1, 3_600])
def test_a_request_that_hangs_ends_with_the_whole_syncs_time(
    wms: WmsServer, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(tap_oracle_wms.client, "_LEAST_SECONDS", 0.5)
    tap = TapOracleWms(config={**config, "request_timeout_seconds": seconds, "retries": 50})
    client = tap.client()
    client.end_after(1)
    wms.faults.set([Fault("slow", seconds=60, times=1_000)])
    with pytest.raises(LimitReached, match="the whole-sync limit is reached"):
        describe(client, "allocation", tap.config)
    wms.faults.set([Fault("status", status=429, retry_after="3000", times=1_000)])
    client.end_after(100)
    with pytest.raises(LimitReached, match="more patience than is left"):
        describe(client, "allocation", tap.config)
    client.close()


def test_the_whole_syncs_time_is_that_of_its_setting(wms: WmsServer, config: dict[str, Any]) -> None:
    stream = TapOracleWms(config={**config, "sync_limit_seconds": 100}).streams["allocation"]
    wms.faults.set([Fault("status", status=429, retry_after="3000", times=1_000)])
    with pytest.raises(LimitReached, match="more patience than is left"):
        stream.open_source()


def test_a_count_for_which_no_time_is_left_passes_for_none(wms: WmsServer, config: dict[str, Any]) -> None:
    """Else a sync that is short of rows would end well."""
    source = TapOracleWms(config=config).streams["allocation"].open_source()
    assert isinstance(source, EntitySource)
    begun = source.begin()
    source._client.end_after(100)
    wms.faults.set([Fault("status", status=429, retry_after="3000", times=1_000)])
    with pytest.raises(LimitReached):
        source.check_whole(FullBookmark(1, begun.started_at, "f", begun.upper_key, rows=1))
    source.close()


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
    opened = source(
        token_url=wms.token_url, client_id=account.client_id, client_secret=account.client_secret, retries=1
    )
    wms.tokens.clear()
    wms.faults.set([Fault("status", path="/oauth2/", status=503, retry_after="0.5")])
    assert len(full(opened)) == len(expected(wms, "allocation"))


@pytest.mark.parametrize(
    ("address", "words"),
    [("http://127.0.0.1:9/x", "Connection refused"), ("https://no-such-host.invalid/x", "ConnectError: .*[Nn]ame")],
)
def test_the_networks_own_reason_is_told(source: Make, address: str, words: str) -> None:
    with pytest.raises(SourceUnreachable, match=words):
        source(base_url=address, retries=1)


def test_no_proxy_stands_before_this_machine(wms: WmsServer, source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert len(full(source())) == len(expected(wms, "allocation"))


def test_a_proxy_that_cannot_be_used_is_told(source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("gopher://127.0.0.1:9", "http://user:pass/word@127.0.0.1:9"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(ConfigurationError, match="proxy that the environment names") as told:
            source(base_url="https://wms.example/x")
        assert "pass" not in str(told.value)


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
    # Not even one: that is no API without entities.
    wms.faults.set([Fault("status", path="/describe/", status=403, times=1_000)])
    with pytest.raises(ConfigurationError, match="Injected fault 403"):
        list(TapOracleWms(config={**config, "entities": None, "describe_cache_minutes": 0}).streams)


def test_an_entity_that_is_not_there_is_an_error(source: Make) -> None:
    with pytest.raises(ConfigurationError, match="knows no entity nothing"):
        source("nothing")


def test_an_entity_that_goes_away_meanwhile_is_no_end(wms: WmsServer, source: Make) -> None:
    opened = source()
    wms.faults.set([Fault("status", status=404, skip=9, times=1_000)])
    with pytest.raises(SourceUnreachable, match="knows the entity no more"):
        full(opened)
