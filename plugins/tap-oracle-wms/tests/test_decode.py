"""JSON pages to Arrow: exact by both ways, and no value changed in silence."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_rules.exits import DataRefused
from tap_oracle_wms.decode import PageDecoder
from tap_oracle_wms.errors import BadAnswer, Passing
from tap_oracle_wms.fields import read_description
from tap_oracle_wms.patient import Losses, patient_arrays

FIELDS = {
    "id": {"type": "pk"},
    "name": {"type": "varchar", "max_length": 100},
    "qty": {"type": "decimal", "max_digits": 38, "decimal_places": 5},
    "count": {"type": "integer"},
    "flg": {"type": "boolean"},
    "ts": {"type": "datetime"},
    "day": {"type": "date"},
    "hour": {"type": "time"},
    "item_id": {"type": "relation"},
    "line_set": {"type": "set"},
    "odd": {"type": "blob"},
}
PARTS = read_description("thing", json.dumps({"fields": FIELDS}).encode()).parts
FULL = {
    "id": 9_007_199_254_740_993,
    "name": "ção €",
    "qty": "12345678901234567890.12345",
    "count": -(2**63),
    "flg": True,
    "ts": "2025-03-01T23:33:44.123456-03:00",
    "day": "2025-03-01",
    "hour": "23:59:59.5",
    "item_id": {"id": 7_000_000_001, "key": "A/1", "url": "/x"},
    "line_set": {"result_count": 3, "url": "/y"},
    "odd": {"a": [1, 2.50]},
}
NULLS: dict[str, Any] = dict.fromkeys(FULL)


def decoded(rows: list[dict[str, Any]] | str) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows, and what was let pass."""
    losses = Losses()
    body = rows if isinstance(rows, str) else json.dumps({"next_page": None, "results": rows})
    page = PageDecoder("thing", PARTS, losses).decode(body.encode())
    return page.batch.to_pylist(), [f"{loss.values} {loss.what}" for loss in losses.seen()]


def test_every_type_to_its_last_digit() -> None:
    (row,), lost = decoded([FULL])
    assert row == {
        "id": 9_007_199_254_740_993,
        "name": "ção €",
        "qty": Decimal("12345678901234567890.12345"),
        "count": -(2**63),
        "flg": True,
        "ts": datetime(2025, 3, 2, 2, 33, 44, 123456, tzinfo=timezone.utc),
        "day": date(2025, 3, 1),
        "hour": time(23, 59, 59, 500_000),
        "item_id": 7_000_000_001,
        "item_key": "A/1",
        "line_set_count": 3,
        "odd": '{"a": [1, 2.5]}',
    }
    assert lost == []


def test_numbers_are_read_from_their_digits_never_by_way_of_a_float() -> None:
    body = json.dumps({"next_page": None, "results": [{**FULL, "qty": "@"}]}).replace(
        '"@"', "98765432109876543210.98765"
    )
    assert decoded(body)[0][0]["qty"] == Decimal("98765432109876543210.98765")


def test_null_everywhere() -> None:
    (row,), _ = decoded([{**NULLS, "id": 1}])
    assert set(row.values()) == {1, None}


@pytest.mark.parametrize(
    ("given_value", "column", "expected"),
    [
        ({"name": 12}, "name", "12"),
        ({"name": 1.50}, "name", "1.5"),
        ({"count": "12"}, "count", 12),
        ({"count": 12.0}, "count", 12),
        ({"item_id": 5}, "item_id", 5),
        ({"item_id": {"id": "5", "key": 77}}, "item_key", "77"),
        ({"line_set": 4}, "line_set_count", 4),
        ({"day": "2025-03-01T00:00:00-03:00"}, "day", date(2025, 3, 1)),
        ({"ts": "2025-03-01 23:33:44Z"}, "ts", datetime(2025, 3, 1, 23, 33, 44, tzinfo=timezone.utc)),
        ({"ts": "2025-03-01T23:33:44.1200000+00:00"}, "ts", datetime(2025, 3, 1, 23, 33, 44, 120_000, timezone.utc)),
    ],
)
def test_what_can_be_told_without_loss_is_told(given_value: dict[str, Any], column: str, expected: object) -> None:
    (row, _), lost = decoded([{**FULL, **given_value}, FULL])
    assert row[column] == expected
    assert lost == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("qty", "1.123456"),
        ("qty", "NaN"),
        ("qty", 10**34),
        ("qty", True),
        ("count", 2**63),
        ("count", 1.5),
        ("count", "one"),
        ("flg", 1),
        ("ts", "2025-03-01T23:33:44"),
        ("ts", 20250301),
        ("ts", "yesterday"),
        ("day", "2025-03-01T12:00:00"),
        ("hour", "12:00:00-03:00"),
        ("id", None),
        ("id", "x"),
    ],
)
def test_what_cannot_is_refused_without_showing_it(column: str, value: object) -> None:
    with pytest.raises(DataRefused, match=f"thing.{column}: ") as refused:
        decoded([{**FULL, column: value}])
    assert "2025" not in str(refused.value)
    assert "yesterday" not in str(refused.value)


def test_an_id_that_is_declared_an_integer_is_never_null_either() -> None:
    parts = read_description("thing", b'{"fields": {"id": {"type": "integer"}}}').parts
    with pytest.raises(DataRefused, match=r"thing\.id: .* rows are known by their id"):
        PageDecoder("thing", parts, Losses()).decode(b'{"next_page": null, "results": [{"id": null}]}')


def test_what_is_let_pass_is_counted() -> None:
    without = {name: value for name, value in FULL.items() if name != "name"}
    rows, lost = decoded([without, {**FULL, "count": ""}, {**FULL, "ts": "2025-03-01T23:33:44.1234567-03:00"}])
    assert rows[0]["name"] is None
    assert rows[1]["count"] is None
    assert rows[2]["ts"] == datetime(2025, 3, 2, 2, 33, 44, 123456, tzinfo=timezone.utc)
    assert [line.partition(" of ")[0] for line in lost] == ["1", "1", "1"]
    (row,), lost = decoded([{**FULL, "hour": "23:59:59.1234567"}])
    assert row["hour"] == time(23, 59, 59, 123456)
    assert lost == ["1 of hour: digits of the second beyond the sixth"]


@pytest.mark.parametrize("field", ["name", "odd", "item_id"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a\\ud83db", "a\ufffdb"),
        (b"a\\udE00b", "a\ufffdb"),
        (b"\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        (b"\\\\ud83d\xff", "\\ud83d\ufffd"),
        (b"a\xc3", "a\ufffd"),
        (b"\xef\xbf\xbd\xff", "\ufffd\ufffd"),
    ],
)
def test_what_is_no_unicode_is_replaced_and_counted(field: str, written: bytes, read: str) -> None:
    """One such row must not end every sync; the target could not store it either."""
    given_value: Any = {"id": 7, "key": "@"} if field == "item_id" else "@"
    body = json.dumps({"next_page": None, "results": [FULL, {**FULL, field: given_value}]}).encode()
    losses = Losses()
    page = PageDecoder("thing", PARTS, losses).decode(body.replace(b"@", written))
    first, second = page.batch.to_pylist()
    column = "item_key" if field == "item_id" else field
    assert second == {**first, column: read, "item_id": second["item_id"]}
    (loss,) = losses.seen()
    assert (loss.values, loss.what.partition(";")[0]) == (1, "of some text: characters that are no Unicode")


def test_half_a_page_of_broken_text_may_pass() -> None:
    with pytest.raises(Passing):
        PageDecoder("thing", PARTS, Losses()).decode(b'{"next_page": null, "results": [{"name": "a\\ud83d')


def test_a_field_that_every_row_had_and_none_has_any_more_is_an_error() -> None:
    decoder = PageDecoder("thing", PARTS, Losses())

    def page(*rows: dict[str, Any]) -> None:
        decoder.decode(json.dumps({"next_page": None, "results": rows}).encode())

    without = {name: value for name, value in FULL.items() if name != "name"}
    page(FULL, FULL)
    page()
    with pytest.raises(BadAnswer, match="not all answers have name any more"):
        page(without, without)
    page(FULL, without)  # an API that leaves empty fields out
    page(without, without)


@pytest.mark.parametrize("way", [FULL, {**FULL, "count": "12"}], ids=["fast", "patient"])
def test_a_field_that_no_row_had_and_every_row_has_now_is_an_error(way: dict[str, Any]) -> None:
    """Pages are read side by side: the newer answer may come first."""
    without = {name: value for name, value in FULL.items() if name != "name"}
    decoder = PageDecoder("thing", PARTS, Losses())
    decoder.decode(json.dumps({"next_page": None, "results": [without]}).encode())
    with pytest.raises(BadAnswer, match="not all answers have name any more"):
        decoder.decode(json.dumps({"next_page": None, "results": [way, FULL]}).encode())


def test_a_relation_may_come_as_its_bare_id_at_full_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(PageDecoder, "_decode_patiently")
    (row,), _ = decoded([{**FULL, "item_id": 12}])
    assert (row["item_id"], row["item_key"]) == (12, None)


@pytest.mark.parametrize("body", ['{"results": [{"id": 1', "", '{"results": [{"id": 1}]'])
def test_half_a_page_may_pass(body: str) -> None:
    with pytest.raises(Passing):
        decoded(body)


NO_PAGES = [
    "[]",
    "{}",
    '{"results": []}',
    '{"next_page": null, "results": {}}',
    '{"next_page": null, "results": [1]}',
    '{"message": "x"}',
]


@pytest.mark.parametrize("body", NO_PAGES)
def test_json_that_is_no_page_is_an_error(body: str) -> None:
    with pytest.raises(BadAnswer):
        decoded(body)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 2**63 - 1),
            "name": st.none() | st.text(),
            "qty": st.none() | st.decimals(-(10**30), 10**30, places=5, allow_nan=False, allow_infinity=False).map(str),
            "count": st.none() | st.integers(-(2**63), 2**63 - 1),
            "flg": st.none() | st.booleans(),
            "ts": st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(lambda moment: moment.isoformat()),
            "day": st.none() | st.dates().map(str),
            "hour": st.none() | st.times().map(str),
            "item_id": st.none()
            | st.fixed_dictionaries({"id": st.integers(0, 2**63 - 1), "key": st.text(), "url": st.text()}),
            "line_set": st.none() | st.fixed_dictionaries({"result_count": st.integers(0, 10**9)}),
            "odd": st.none() | st.integers() | st.text() | st.lists(st.booleans()),
        }
    ),
    max_size=5,
)


@settings(max_examples=30)
@given(ROWS)
def test_both_ways_bring_the_same(rows: list[dict[str, Any]]) -> None:
    body = json.dumps({"results": rows, "next_page": None}).encode()
    losses = Losses()
    fast = PageDecoder("thing", PARTS, losses).decode(body).batch
    raw = msgspec.json.decode(json.dumps(rows), type=list[dict[str, msgspec.Raw]])
    patient = patient_arrays("thing", PARTS, raw, losses)
    assert [column.to_pylist() for column in fast.columns] == [array.to_pylist() for array in patient]


@pytest.mark.parametrize("key", ["12345678901234567890.10", "98765432109876543.21", "1.10", "1e5", "1" * 30])
def test_a_relations_key_that_is_a_number_keeps_its_digits(key: str) -> None:
    body = json.dumps({"next_page": None, "results": [FULL]}).replace('"A/1"', key)
    assert decoded(body)[0][0]["item_key"] == key


@pytest.mark.parametrize(
    "number",
    ["1e-999999999", "1e-2147483647", "1e999999999", "1e3000000", "1e80000000", "0e-999999", "1e99999999999999999999"],
)
@pytest.mark.parametrize("field", ["qty", "count", "line_set", "item_id"])
def test_an_exponent_beyond_reason_is_refused(field: str, number: str) -> None:
    """Arrow crashes at one, and the interpreter writes out the digits of the other."""
    for written in (number, f'"{number}"'):
        body = json.dumps({"next_page": None, "results": [{**FULL, field: 987654321}]}).replace("987654321", written)
        with pytest.raises(DataRefused):
            decoded(body)


@pytest.mark.parametrize("field", ["qty", "count", "line_set"])
@pytest.mark.parametrize("text", ["1_000", "\N{ARABIC-INDIC DIGIT ONE}", "Infinity"])
def test_what_only_python_takes_for_a_number_is_none(text: str, field: str) -> None:
    with pytest.raises(DataRefused):
        decoded([{**FULL, field: text}])


@pytest.mark.parametrize("qty", [True, [1], {"a": 1}])
def test_what_is_no_number_is_none(qty: object) -> None:
    with pytest.raises(DataRefused):
        decoded([{**FULL, "qty": qty}])


def test_json_without_a_bottom_is_no_page() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises((BadAnswer, Passing)):
        decoded(json.dumps({"next_page": None, "results": [{**FULL, "odd": 987654321}]}).replace("987654321", deep))


@pytest.mark.parametrize("ts", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
def test_a_moment_at_an_end_of_the_years_is_the_same_by_both_ways(ts: str) -> None:
    def moments(**other: object) -> pa.Array:
        rows = [{**FULL, "ts": ts}, {**FULL, "id": 1, **other}]
        page = PageDecoder("thing", PARTS, Losses()).decode(json.dumps({"next_page": None, "results": rows}).encode())
        return page.batch.column("ts").cast(pa.int64())

    assert moments() == moments(count="7")
