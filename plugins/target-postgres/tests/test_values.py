"""No value changes in silence: every type there and back, by Arrow and by RECORD."""

from __future__ import annotations

import base64
import datetime
import itertools
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from feed import Feed, load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Db = psycopg.Connection[Any]
UTC = datetime.timezone.utc
quick = settings(max_examples=25, suppress_health_check=list(HealthCheck))

decimals = (
    st.integers(1, 38)
    .flatmap(lambda precision: st.tuples(st.just(precision), st.integers(0, precision)))
    .flatmap(
        lambda shape: st.tuples(
            st.just(f"decimal({shape[0]},{shape[1]})"),
            st.lists(
                st.one_of(
                    st.integers(-(10 ** shape[0]) + 1, 10 ** shape[0] - 1),
                    st.sampled_from([0, 1, -1, 10 ** shape[0] - 1, -(10 ** shape[0]) + 1, 10 ** (shape[0] - 1), 10000]),
                )
                .filter(lambda whole: abs(whole) < 10 ** shape[0])
                .map(lambda whole: Decimal(whole).scaleb(-shape[1], _wide())),
                min_size=1,
                max_size=40,
            ),
        )
    )
)


def _wide() -> Any:
    import decimal

    return decimal.Context(prec=80)


texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)
moments = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999))
columns_of_values = st.one_of(
    decimals,
    st.tuples(st.just("bigint"), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)),
    st.tuples(st.just("smallint"), st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1)),
    st.tuples(st.just("date"), st.lists(st.dates(), min_size=1)),
    st.tuples(st.just("time(6)"), st.lists(st.times(), min_size=1)),
    st.tuples(st.just("timestamp(6)"), st.lists(moments, min_size=1)),
    st.tuples(
        st.just("timestamp(6) with time zone"), st.lists(moments.map(lambda m: m.replace(tzinfo=UTC)), min_size=1)
    ),
    st.tuples(st.just("text"), st.lists(texts, min_size=1)),
    st.tuples(st.just("varchar(30)"), st.lists(texts, min_size=1)),
    st.tuples(st.just("varbinary"), st.lists(st.binary(max_size=50), min_size=1)),
    st.tuples(st.just("double precision"), st.lists(st.floats(allow_nan=False), min_size=1)),
    st.tuples(st.just("uuid"), st.lists(st.uuids().map(lambda u: u.bytes), min_size=1)),
    st.tuples(st.just("boolean"), st.lists(st.booleans(), min_size=1)),
)


_versions = itertools.count(1)


def _back(kind: str, value: Any) -> Any:
    return value.bytes if kind == "uuid" and value is not None else value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)
    if isinstance(one, Decimal):
        return one == other and one.as_tuple().exponent == other.as_tuple().exponent
    return bool(one == other)


@quick
@given(given_values=columns_of_values)
@pytest.mark.parametrize("records", [False, True])
def test_values_survive(config: Any, db: Db, tmp_path: Path, given_values: Any, records: bool) -> None:
    kind, values = given_values
    version = next(_versions)
    db.execute("DROP TABLE IF EXISTS things")
    feed = Feed(tmp_path, columns={"id": "bigint", "v": kind}, cursor=None, version=version)
    rows = [{"id": number, "v": value} for number, value in enumerate([*values, None], 1)]
    if records:
        sent = [{"id": row["id"], "v": _in_json(kind, row["v"])} for row in rows]
        lines = [feed.schema(), *(_record(feed, row) for row in sent), feed.state(1, len(rows), [1])]
        lines += [feed.state(1, len(rows), [1], done=True), feed.activate(len(rows))]
    else:
        lines = feed.full(rows, page=7)
    load(config, lines)
    read = [_back(kind, value) for (value,) in db.execute("SELECT v FROM things ORDER BY id", prepare=False)]
    wrong = [(a, b) for a, b in zip([*values, None], read, strict=True) if not _same(a, b)]
    assert wrong == []
    db.execute("DELETE FROM paralelo.sync")


def _record(feed: Feed, row: dict[str, Any]) -> str:
    import simplejson

    message = {"type": "RECORD", "stream": feed.stream, "record": row, "version": feed.version}
    return str(simplejson.dumps(message, use_decimal=True))


def _in_json(kind: str, value: Any) -> Any:
    """How RECORD carries a value."""
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if kind == "uuid" else base64.b64encode(value).decode()
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def _rows_by_arrow(config: Any, feed: Feed, table: pa.Table) -> None:
    lines = [feed.schema("incremental"), feed.batch(1, table, mode="incremental")]
    load(config, lines)


def test_types_that_have_no_binary_form_of_their_own(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(
        tmp_path,
        columns={
            "id": "bigint",
            "t": "time(6)",
            "s": "timestamp(6)",
            "n": "integer",
            "d": "text",
            "z": "uuid",
            "j": "json",
            "u": "decimal(20,0)",
            "c": "varchar(5)",
            "x": "text",
        },
        cursor=None,
    )
    moment = pa.array([1_600_000_000_123_456_789], pa.timestamp("ns"))
    table = pa.table(
        {
            "id": pa.array([1], pa.uint8()),
            "t": pa.array([45_296_123_456_000], pa.time64("ns")),
            "s": moment,
            "n": pa.array([None], pa.null()),
            "d": pa.array(["once"]).dictionary_encode(),
            "z": pa.array([None], pa.null()),
            "j": pa.array(['{"a": 1.10}']),
            "u": pa.array([2**64 - 1], pa.uint64()),
            "c": pa.array(["ção"], pa.string_view()),
            "x": pa.array([{"a": [1, None]}]),
        }
    )
    _rows_by_arrow(config, feed, table)
    row = db.execute("SELECT t::text, s::text, n, d, z, j::text, u, c, x FROM things").fetchone()
    assert row == (
        "12:34:56.123456",
        "2020-09-13 12:26:40.123456",
        None,
        "once",
        None,
        '{"a": 1.10}',
        2**64 - 1,
        "ção",
        '{"a":[1,null]}',
    )
    assert db.execute("SELECT digits_truncated FROM paralelo.sync").fetchone() == (1,)


# SPEC V1
def test_large_values_go_in_pieces(config: Any, db: Db, tmp_path: Path) -> None:
    """Rows with and without them, each kind of large value at each end of a row, and beside NULLs and small values."""
    kinds = {"a": "text", "id": "bigint", "b": "varbinary", "n": "integer", "j": "json", "z": "text"}
    columns = {
        "a": "large_string",
        "id": "int64",
        "b": "large_binary",
        "n": "int32",
        "j": "large_string",
        "z": "string",
    }
    text, data, document = "aç😀" * 1_500_000, bytes(range(256)) * 40_000, json.dumps({"a": "x" * 9_000_000})
    rows = [
        (text, 1, data, None, document, "é" * 4_500_000),
        ("", 2, b"", 2, None, None),
        (None, 3, data, 3, "{}", ""),
        (text[:700_000], 4, None, None, document, None),
    ]
    arrays = {
        name: pa.array(values, getattr(pa, kind)())
        for (name, kind), values in zip(columns.items(), zip(*rows, strict=True), strict=True)
    }
    # Each large row is a batch of its own, as a chunk is: one with a small row beside it would be encoded whole.
    _rows_by_arrow(config, Feed(tmp_path, columns=kinds, cursor=None), pa.table(arrays))
    found = db.execute("SELECT a, id, b, n, j::text, z FROM things ORDER BY id").fetchall()
    assert [tuple(row) for row in found] == rows


def test_decimals_too_wide_for_binary_go_as_text(config: Any, db: Db, feed: Feed) -> None:
    db.execute("CREATE TABLE things (id bigint PRIMARY KEY, amount numeric)")
    wide = Decimal("1234567890123456789012345678901234567890.12345678")
    feed.columns = {"id": "bigint", "amount": "decimal(38,2)"}
    feed.cursor = None
    table = pa.table({"id": pa.array([1]), "amount": pa.array([wide], pa.decimal256(60, 8))})
    _rows_by_arrow(config, feed, table)
    assert db.execute("SELECT amount FROM things").fetchone() == (wide,)


# SPEC V3
@pytest.mark.parametrize(("rule", "expected"), [("replace", "a\u2400b\u2400"), ("strip", "ab"), ("reject", None)])
@pytest.mark.parametrize("records", [False, True])
def test_nul_characters(config: Any, db: Db, feed: Feed, rule: str, expected: str | None, records: bool) -> None:
    feed.columns = {"id": "bigint", "Name": "varchar(10)"}
    feed.cursor = None
    rows = [{"id": 1, "Name": "plain"}, {"id": 2, "Name": "a\0b\0"}, {"id": 3, "Name": None}]
    load(config, feed.full(rows, records=records), nul_characters=rule, max_rejects=1)
    names = dict(db.execute("SELECT id, name FROM things").fetchall())
    assert names == {1: "plain", 3: None} | ({2: expected} if expected else {})
    counts = db.execute("SELECT rows_read, rows_written, rows_rejected, nul_replaced FROM paralelo.sync").fetchone()
    assert counts == ((3, 2, 1, 0) if rule == "reject" else (3, 3, 0, 1))
    if rule == "reject":
        reject = db.execute("SELECT key_values->>'id', reason, batch FROM paralelo.reject").fetchone()
        assert reject == ("2", "NUL character (column name)", 1)


# SPEC V3
@pytest.mark.parametrize("place", [0, 2**20 - 1, 2**20, 3 * 2**20])
def test_a_nul_character_anywhere_in_a_large_value(config: Any, db: Db, tmp_path: Path, place: int) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "v": "text"}, cursor=None)
    load(config, feed.full([{"id": 1, "v": "x" * place + "\0" + "y" * (3 * 2**20 - place)}]), nul_characters="strip")
    assert db.execute("SELECT length(v), length(rtrim(v, 'y')) FROM things").fetchone() == (3 * 2**20, place)


# SPEC V3
def test_nul_characters_inside_json(config: Any, db: Db, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "o": {"type": "object"}}}
    lines = [
        json.dumps({"type": "SCHEMA", "stream": "things", "schema": schema, "key_properties": ["id"]}),
        json.dumps({"type": "RECORD", "stream": "things", "record": {"id": 1, "o": {"a\0": ["\0", "\\u0000"]}}}),
    ]
    load(config, lines)
    assert db.execute("SELECT o FROM things").fetchone() == ({"a\u2400": ["\u2400", "\\u0000"]},)
    assert db.execute("SELECT nul_replaced FROM paralelo.sync").fetchone() == (1,)


def test_large_values_have_bounded_chunks(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "v": "text", "b": "varbinary"}, cursor=None)
    rows = [{"id": number, "v": "é" * 5_000_000, "b": bytes(5_000_000)} for number in (1, 2, 3)]
    load(config, feed.full(rows))
    assert db.execute("SELECT min(length(v)), max(length(b)), count(*) FROM things").fetchone() == (
        5_000_000,
        5_000_000,
        3,
    )


# SPEC V1
@pytest.mark.parametrize("arrow", [False, True])
def test_digits_below_the_microsecond_are_cut_and_counted(config: Any, db: Db, tmp_path: Path, arrow: bool) -> None:
    """PostgreSQL would round them, here to the next year."""
    kinds = {
        "id": "bigint",
        "s": "timestamp(6)",
        "z": "timestamp(6) with time zone",
        "t": "time(6)",
        "n": "decimal(38,2)",
    }
    feed = Feed(tmp_path, columns=kinds, cursor=None)
    lines = [feed.schema("incremental")]
    if arrow:
        last = pa.array([1_704_067_199_999_999_900], pa.int64())
        columns = {"s": last.cast(pa.timestamp("ns")), "z": last.cast(pa.timestamp("ns", "UTC"))}
        columns["t"] = pa.array([86_399_999_999_900], pa.time64("ns"))
        # A decimal of 256 bits has no binary form: all of the rows go as text.
        wide = pa.array([Decimal("1.25")], pa.decimal256(60, 2))
        lines.append(feed.batch(1, pa.table({"id": pa.array([1]), **columns, "n": wide}), mode="incremental"))
    else:
        moment = "2023-12-31T23:59:59.9999999"
        row = {"id": 1, "s": moment, "z": f"{moment}+00:00", "t": moment[11:], "n": 1.25}
        lines += [
            feed.record(row, full=False),
            feed.record({**row, "id": 2, "s": f"{moment[:26]}0", "t": None}, full=False),
        ]
    load(config, lines)
    found = db.execute("SELECT s::text, z::text, t::text FROM things WHERE id = 1").fetchone()
    assert found == ("2023-12-31 23:59:59.999999", "2023-12-31 23:59:59.999999+00", "23:59:59.999999")
    assert db.execute("SELECT digits_truncated FROM paralelo.sync").fetchone() == (3 if arrow else 4,)


# SPEC V4
@pytest.mark.parametrize(
    ("kind", "stored", "refused", "why"),
    [
        (
            "time(6)",
            ["10:00:00", "10:00:00.5"],
            ["10:00:00+02:00", "10:00:00Z", "2024-01-01 10:00:00"],
            "offset or a date",
        ),
        (
            "date",
            ["2024-01-01", "2024-01-01T00:00:00.000Z"],
            ["2024-01-01T10:00:00", "2024-01-01 00:00+02"],
            "time of day",
        ),
        ("date", ["2024-02-01", "1 Feb 2024"], ["01/02/2024", "13/02/2024"], "out of range"),
        ("date", ["infinity", "epoch"], ["today", "Yesterday", "now"], "that the clock tells"),
        ("timestamp(3) with time zone", ["2024-01-01T10:00:00+02"], ["now", "tomorrow 10:00"], "that the clock tells"),
        (
            "timestamp(3)",
            ["2024-01-01T10:00:00.5", "2024-01-01"],
            ["2024-01-01T10:00:00Z", "2024-01-01 10:00:00.5 -03:00"],
            "a time with an offset",
        ),
        (
            "varchar(3)",
            ["abc", "ab ", "\u00e7\u00e3o"],
            ["abc  ", "abcd"],
            "value too long for type character varying(3)",
        ),
    ],
)
def test_what_a_type_takes_only_a_part_of_is_refused(
    config: Any, db: Db, tmp_path: Path, kind: str, stored: list[str], refused: list[str], why: str
) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "v": kind}, cursor=None)
    rows = [{"id": number, "v": value} for number, value in enumerate([*stored, None, *refused], 1)]
    load(config, feed.full(rows, records=True), max_rejects=len(refused))
    assert db.execute("SELECT count(*) FROM things").fetchone() == (len(stored) + 1,)
    reasons = [reason for (reason,) in db.execute("SELECT reason FROM paralelo.reject")]
    assert [why in reason for reason in reasons] == [True] * len(refused), reasons


# SPEC V4
def test_spaces_beyond_a_length_are_refused_in_binary_too(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "v": "varchar(3)"}, cursor=None)
    load(config, feed.full([{"id": 1, "v": "ab "}, {"id": 2, "v": "abc "}]), max_rejects=1)
    assert db.execute("SELECT v FROM things").fetchall() == [("ab ",)]


# SPEC V1
def test_bytes_of_a_fixed_size_beside_a_column_that_goes_as_text(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "b": "varbinary", "n": "decimal(38,2)"}, cursor=None)
    wide = pa.array([Decimal("1.25")], pa.decimal256(60, 2))
    _rows_by_arrow(config, feed, pa.table({"id": pa.array([1]), "b": pa.array([b"\\x41"], pa.binary(4)), "n": wide}))
    assert db.execute("SELECT b FROM things").fetchone() == (b"\\x41",)


# SPEC V1
def test_nanoseconds_in_the_hour_that_comes_twice(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "z": "timestamp(6) with time zone"}, cursor=None)
    moments = pa.array([1_729_989_000_123_456_789, 1_729_992_600_123_456_789], pa.timestamp("ns", "Europe/Lisbon"))
    _rows_by_arrow(config, feed, pa.table({"id": pa.array([1, 2]), "z": moments}))
    found = [moment for (moment,) in db.execute("SELECT z AT TIME ZONE 'UTC' FROM things ORDER BY id")]
    first = datetime.datetime(2024, 10, 27, 0, 30, 0, 123456)
    assert found == [first, first + datetime.timedelta(hours=1)]
