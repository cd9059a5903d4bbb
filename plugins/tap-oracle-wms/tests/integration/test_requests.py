"""What the API is asked, how often, and what of it is said."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sync_rules.exits import ConfigurationError, SyncError
from sync_rules.full import KeyRange
from sync_rules.incremental import Window
from tap_oracle_wms.limiter import limits_root
from tap_oracle_wms.settings import problems
from tap_oracle_wms.source import EntitySource
from tap_oracle_wms.tap import TapOracleWms
from wms_reading import FULL_PAGES, Make, changed, full
from wms_sides import ACCOUNT, expected

from sandbox.wms.entities import ENTITIES
from sandbox.wms.faults import Fault
from sandbox.wms.requests_log import read, summary
from sandbox.wms.server import WmsServer
from sandbox.wms.store import Store


def test_filters_without_rows_are_no_rows(wms: WmsServer, source: Make) -> None:
    assert full(source(filters={"allocation": {"status_id__gt": 1_000}})) == []
    assert changed(source(sync_mode="incremental"), "2090-01-01T00:00:00+00:00") == []


def test_filters_and_fields_are_sent(wms: WmsServer, source: Make) -> None:
    opened = source(filters={"allocation": {"status_id__lt": 10}}, fields={"allocation": ["status_id"]})
    rows = expected(wms, "allocation")
    assert full(opened) == sorted((one for one in rows if rows[one]["status_id"] < 10), reverse=True)
    assert [column.name for column in opened.columns] == ["id", "status_id", "mod_ts"]


def test_columns_that_the_catalog_leaves_out_are_not_asked_for(wms: WmsServer, config: dict[str, Any]) -> None:
    """The key and the cursor always are."""
    catalog = TapOracleWms(config=config).catalog_dict
    for one in catalog["streams"][0]["metadata"]:
        left_out = list(one["breadcrumb"][-1:]) in (["pick_user"], ["id"], ["mod_ts"])
        one["metadata"] |= {"selected": not left_out, "inclusion": "available"}
    wms.log_path.write_text("")
    opened = TapOracleWms(config=config, catalog=catalog).streams["allocation"].open_source()
    assert isinstance(opened, EntitySource)
    assert len(full(opened)) == len(expected(wms, "allocation"))
    opened.close()
    names = {column.name for column in opened.columns}
    assert {"id", "mod_ts", "mod_user"} <= names
    assert "pick_user" not in names
    asked = [dict(parse_qsl(line["query"])) for line in read(wms.log_path) if "ordering" in line["query"]]
    assert asked
    assert not any("pick_user" in query["fields"].split(",") for query in asked)


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
    assert {query["mod_ts__gte"] for query in asked if "id__lt" in query} == {"2024-01-01T00:00:00+00:00"}
    assert {query["ordering"] for query in asked} == {"id", "mod_ts,id"}
    assert "2024-01-01T00:00:00+00:00" in {query["mod_ts__gte"] for query in asked if query["ordering"] != "id"}
    assert all(query["mod_ts__gte"].endswith("+00:00") for query in asked)


@pytest.mark.parametrize("page_size", [1, 3, 250])
def test_incremental_by_any_page_size(wms: WmsServer, source: Make, page_size: int) -> None:
    rows = expected(wms, "allocation")
    ordered = sorted(rows, key=lambda one: (rows[one]["mod_ts"], one))
    low = rows[ordered[-40]]["mod_ts"]
    latest = [one for one in ordered if rows[one]["mod_ts"] >= low]
    text = low.isoformat(timespec="microseconds")
    assert changed(source(sync_mode="incremental", page_size=page_size, batch_rows=7), text) == latest


@pytest.mark.parametrize("page_size", [1, 250])
def test_nothing_later_than_the_window_is_read(wms: WmsServer, source: Make, page_size: int) -> None:
    rows = expected(wms, "allocation")
    by_time = sorted(rows, key=lambda one: (rows[one]["mod_ts"], one))
    low, high = (rows[by_time[at]]["mod_ts"].isoformat(timespec="microseconds") for at in (-40, -20))
    opened = source(sync_mode="incremental", page_size=page_size, batch_rows=1_000)
    page = opened.read_cursor_page(Window(low, high))
    found = [one for batch in page.batches for one in batch.column("id").to_pylist()]
    assert page.last
    assert found == [one for one in by_time if low <= rows[one]["mod_ts"].isoformat(timespec="microseconds") <= high]


@pytest.mark.parametrize("limits", [{"batch_rows": 600}, {"page_bytes": 60_000}, {}])
def test_a_batch_holds_no_more_than_is_set(wms: WmsServer, source: Make, limits: dict[str, int]) -> None:
    opened = source(page_size=50, **limits)
    upper, below, pages = opened.begin().upper_key, None, []
    assert upper is not None
    while True:
        pages.append(opened.read_page(KeyRange(upper, below)))
        if pages[-1].last:
            break
        below = pages[-1].lowest
    rows = [sum(batch.num_rows for batch in page.batches) for page in pages]
    assert sum(rows) == len(expected(wms, "allocation"))
    assert max(rows) <= limits.get("batch_rows", 50_000)
    assert max(sum(batch.nbytes for batch in page.batches) for page in pages) <= limits.get("page_bytes", 16_777_216)
    assert (len(pages) > 1) == bool(limits)


def test_rows_are_asked_for_by_no_more_ids_than_a_page_holds(wms: WmsServer, source: Make) -> None:
    ids = sorted(expected(wms, "allocation"))[:8]
    found = [one for batch in source(page_size=3).with_ids(ids) for one in batch.column("id").to_pylist()]
    assert found == ids
    asked = [dict(parse_qsl(line["query"])) for line in read(wms.log_path) if "id__in" in line["query"]]
    assert [len(query["id__in"].split(",")) for query in asked] == [3, 3, 2]


def test_rows_of_other_filters_or_of_another_server_are_those_of_another_sync(wms: WmsServer, source: Make) -> None:
    """A resume would put rows of both side by side."""
    same = source().fingerprint
    assert source(base_url=f"{wms.base_url}/", page_size=7).fingerprint == same
    assert source(filters={"allocation": {"status_id__lt": 10}}).fingerprint != same
    assert source(base_url=wms.base_url.replace("127.0.0.1", "localhost")).fingerprint != same


def test_a_sync_asks_for_describe_afresh_and_discovery_when_its_answer_is_old(
    wms: WmsServer, config: dict[str, Any]
) -> None:
    def asked(**more: Any) -> int:
        before = sum("/describe/" in line["path"] for line in read(wms.log_path))
        TapOracleWms(config={**config, **more}).streams["allocation"].open_source().close()
        return sum("/describe/" in line["path"] for line in read(wms.log_path)) - before

    assert [asked(), asked(), asked(describe_cache_minutes=0)] == [2, 1, 2]
    for kept in (limits_root(config) / "describe").iterdir():
        os.utime(kept, (time.time() + 86_400, time.time() + 86_400))
    assert asked() == 2, "an answer that seems to be of tomorrow is of no known age"
    with pytest.raises(ConfigurationError, match="Invalid credentials"):
        TapOracleWms(config={**config, "username": "another"})


def test_the_limits_hold_by_the_servers_own_log(tmp_path: Path, source: Make) -> None:
    """A server that no other test's requests hang at."""
    store = Store(tmp_path / "own")
    store.load(ENTITIES["allocation"], 1_000)
    store.close()
    with WmsServer(tmp_path / "own", ACCOUNT, latency=0.02) as server:
        limits = {"max_requests_in_flight": 3, "requests_per_second": "40", "page_size": 50}
        assert len(full(source(base_url=server.base_url, **limits))) == 1_000
        seen = summary(read(server.log_path))
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


def test_an_answer_that_quotes_the_credentials_is_told_without_them(wms: WmsServer, source: Make) -> None:
    wms.faults.set([Fault("echo", query=FULL_PAGES)])
    with pytest.raises(ConfigurationError, match=r"Not understood: Basic \*\*\* \*\*\* "):  # SPEC O3
        full(source())


def test_a_filter_that_the_sync_needs_itself_is_refused(wms: WmsServer, source: Make) -> None:
    with pytest.raises(ConfigurationError, match="the filter id__lt is one the sync itself needs"):
        full(source(filters={"allocation": {"id__lt": 10**12}}))


def test_credentials_go_over_plain_http_only_where_that_is_said() -> None:
    config = {"base_url": "http://wms.example/x", "username": "me", "password": "it"}
    assert ["https://" in problem for problem in problems(config)] == [True]
    assert problems({**config, "allow_http": True}) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"page_size": 1_251}, "page_size must be at most 1250"),
        ({"base_url": "http://wms.example/x"}, "https://"),
        ({"base_url": "https://wms.example/x\n"}, "no control characters"),
        ({"base_url": "https://me:word@wms.example/x"}, "no credentials"),
        ({"key_columns": ["code"]}, "must be \\[id\\]"),
        ({"tables": ["order_hdr"]}, "are the same"),
        ({"entities": ["allocation/../x"]}, "is no entity's name"),
        ({"base_url": "https://wms.example/x/wms/"}, "must end before /wms"),
        ({"password": None}, "password is missing"),
        ({"filters": {"allocation": {"ordering": "id"}}}, "is no filter"),
        ({"token_url": "http://id.example/token"}, "token_url must start with https://"),
        ({"base_url": "https://wms.example/x?y=1"}, "must end with its path"),
        ({"fields": {"allocation": ["nope"]}}, "names nope"),
        ({"cursor_column": "wave_id", "sync_mode": "incremental"}, "in full only"),
    ],
)
def test_wrong_settings_are_told_in_words(source: Make, more: dict[str, Any], words: str) -> None:
    with pytest.raises(SyncError, match=words) as refused:
        source(**more)
    assert isinstance(refused.value, ConfigurationError)
    assert "word" not in str(refused.value).replace("password", "")
