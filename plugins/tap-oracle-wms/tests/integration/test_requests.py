"""What the API is asked, how often, and what of it is said."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sync_rules.exits import ConfigurationError, SyncError
from wms_reading import FULL_PAGES, Make, changed, full
from wms_sides import expected

from sandbox.wms.faults import Fault
from sandbox.wms.requests_log import read, summary
from sandbox.wms.server import WmsServer


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
        ({"base_url": "https://wms.example/x\n"}, "no control characters"),
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
