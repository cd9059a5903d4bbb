"""Taps that are not ours: RECORD, JSON lines and Parquet batches, and Singer's usual table versions."""

from __future__ import annotations

import datetime
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feed import Feed, load
from sync_rules.exits import CheckRefused, DataRefused, SyncError
from target_postgres import records
from target_postgres.target import TargetPostgres
from things import START, thing

Db = psycopg.Connection[Any]
PROPERTIES = {
    "id": {"type": "integer"},
    "Price": {"type": ["number", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "tags": {"type": ["array", "null"]},
    "short": {"type": ["string", "null"], "maxLength": 5},
}


def schema(*key: str) -> str:
    """SCHEMA."""
    return json.dumps(
        {
            "type": "SCHEMA",
            "stream": "things",
            "schema": {"type": "object", "properties": PROPERTIES},
            "key_properties": key,
        }
    )


def record(number: int, version: int | None = None, **more: Any) -> str:
    """RECORD."""
    return json.dumps({"type": "RECORD", "stream": "things", "record": {"id": number, **more}, "version": version})


def batch(path: Path, **encoding: str) -> str:
    """BATCH."""
    return json.dumps({"type": "BATCH", "stream": "things", "encoding": encoding, "manifest": [path.as_uri()]})


def state(value: Any) -> str:
    """STATE."""
    return json.dumps({"type": "STATE", "value": value})


def test_upsert_by_key(config: Any, db: Db) -> None:
    exact = "12345678901234567890.123456789012345678"
    line = record(1).replace(
        '"id": 1', f'"id": 1, "Price": {exact}, "at": "2024-02-29T23:59:59.123456+05:30", "tags": [1.10]'
    )
    load(config, [schema("id"), line, record(2, short="a"), record(2, short="b"), state({"a": 1})])
    assert db.execute("SELECT price, at, tags::text FROM things WHERE id = 1").fetchone() == (
        Decimal(exact),
        datetime.datetime(2024, 2, 29, 18, 29, 59, 123456, tzinfo=datetime.timezone.utc),
        "[1.10]",
    )
    assert db.execute("SELECT short FROM things WHERE id = 2").fetchone() == ("b",)


def test_append_without_a_key(config: Any, db: Db) -> None:
    load(config, [schema(), record(1), record(1)])
    load(config, [schema(), record(1)])
    assert db.execute("SELECT count(*) FROM things").fetchone() == (3,)


def test_state_is_never_ahead_of_its_rows(config: Any) -> None:
    lines = [schema("id"), record(1), state({"n": 1}), record(2), state({"n": 2}), record(3)]
    assert load(config, lines) == [{"n": 2}]
    assert load(config, lines, batch_size_rows=1) == [{"n": 1}, {"n": 2}]


def test_rows_are_not_kept_back_for_long(config: Any, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TargetPostgres, "_MAX_RECORD_AGE_IN_MINUTES", -1)
    lines = [schema("id"), record(1), state({"n": 1}), record(2), state({"n": 2}), record(3)]
    assert load(config, lines) == [{"n": 1}, {"n": 2}]
    assert db.execute("SELECT count(DISTINCT xmin::text) FROM things").fetchone() == (3,)


def test_numbers_in_a_state_keep_their_digits(config: Any, capsys: pytest.CaptureFixture[str]) -> None:
    exact = '{"at": 1763845200.1234567890123, "n": 1.50, "unit": "\\u00b5s"}'
    lines = [schema("id"), record(1), f'{{"type": "STATE", "value": {exact}}}']
    assert load(config, lines) == [json.loads(exact)]
    target = TargetPostgres(config=config)
    target.process_lines(io.StringIO("\n".join(lines)))
    target.process_endofpipe()
    assert capsys.readouterr().out == f"{exact}\n"


def test_json_lines(config: Any, db: Db, tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_text('{"id": 1, "Price": 0.1}\n{"id": 2}\n')
    zipped.write_bytes(gzip.compress(b'{"id": 3, "Price": 1e2}\n'))
    load(
        config,
        [schema("id"), batch(plain, format="jsonl"), batch(zipped, format="jsonl", compression="gzip"), state({})],
    )
    assert db.execute("SELECT id, price FROM things ORDER BY id").fetchall() == [
        (1, Decimal("0.1")),
        (2, None),
        (3, 100),
    ]


def test_parquet(config: Any, db: Db, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int32()),
            "Price": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
            "tags": pa.array([["a"], None]),
            "at": pa.array([0, None], pa.timestamp("ms", "UTC")),
        }
    )
    pq.write_table(table, path)
    load(config, [schema("id"), batch(path, format="parquet")])
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert db.execute("SELECT id, price, tags, at, short FROM things ORDER BY id").fetchall() == [
        (1, Decimal("1.50"), ["a"], epoch, None),
        (2, None, None, None, None),
    ]


# SPEC V4
def test_a_number_is_not_rounded_to_its_columns_scale(config: Any, db: Db, tmp_path: Path) -> None:
    said = schema("id").replace('"Price": {', '"Price": {"x-sql-datatype": "decimal(6,2)", ')
    stored, refused = ["1.25", "1.250", "125e-2", "1E+2", "-0.01", "0"], ["1.255", "-1255e-3", "0.001"]
    lines = [record(n).replace(f'"id": {n}', f'"id": {n}, "Price": {v}') for n, v in enumerate([*stored, *refused], 1)]
    load(config, [said, *lines], max_rejects=3)
    path = tmp_path / "a.parquet"
    prices = pa.array([Decimal("1.25"), Decimal("1.255"), None], pa.decimal128(20, 3))
    pq.write_table(pa.table({"id": [11, 12, 13], "Price": prices}), path)
    load(config, [said, batch(path, format="parquet")], max_rejects=1)
    found = db.execute("SELECT id, price FROM things ORDER BY id").fetchall()
    assert found == [*enumerate(map(Decimal, stored), 1), (11, Decimal("1.25")), (13, None)]
    reasons = db.execute("SELECT DISTINCT reason FROM paralelo.reject").fetchall()
    assert reasons == [("more digits after the point than numeric(6,2) has (column price)",)]


@pytest.mark.parametrize("at_start", [False, True])
def test_rows_of_older_versions_are_deleted(config: Any, db: Db, at_start: bool) -> None:
    activate = json.dumps({"type": "ACTIVATE_VERSION", "stream": "things", "version": 2})
    # Rows that came before there were versions are older, too.
    load(config, [schema("id"), *(record(number, 1 if at_start else None) for number in range(1, 11))])
    rows = [record(number, 2) for number in range(1, 10)]
    load(config, [schema("id"), *([activate, *rows] if at_start else [*rows, activate])])
    assert [row[0] for row in db.execute("SELECT id FROM things ORDER BY 1")] == list(range(1, 10))
    with pytest.raises(CheckRefused, match="would delete 8 of 9 rows"):
        load(config, [schema("id"), activate.replace("2}", "3}"), record(1, 3)])


# SPEC A2
def test_a_stream_without_rows_is_an_empty_source(config: Any, db: Db) -> None:
    activate = json.dumps({"type": "ACTIVATE_VERSION", "stream": "things", "version": 2})
    load(config, [schema("id"), activate])
    load(config, [schema("id"), *(record(number) for number in range(1, 11)), activate])
    load(config, [schema("id"), activate])
    assert db.execute("SELECT count(*) FROM things").fetchone() == (10,), "no row has a version"
    load(config, [schema("id"), *(record(number, 2) for number in range(1, 11)), activate])
    load(config, [schema("id"), activate])
    with pytest.raises(CheckRefused, match="would delete 10 of 10 rows"):
        load(config, [schema("id"), activate.replace("2}", "3}")])
    load(config, [schema("id"), activate.replace("2}", "3}")], allow_shrink=["things"])
    assert db.execute("SELECT count(*) FROM things").fetchone() == (0,)


@pytest.mark.parametrize("setting", ["hard_delete", "process_activate_version_messages"])
def test_rows_of_older_versions_stay_where_that_is_set(config: Any, db: Db, setting: str) -> None:
    activate = json.dumps({"type": "ACTIVATE_VERSION", "stream": "things", "version": 2})
    load(config, [schema("id"), *(record(number, 1) for number in range(1, 11))])
    load(config, [schema("id"), *(record(number, 2) for number in range(1, 10)), activate], **{setting: False})
    assert [row[0] for row in db.execute("SELECT id FROM things ORDER BY 1")] == list(range(1, 11))


def test_a_table_without_a_key_is_its_newest_version(config: Any, db: Db) -> None:
    """Each run appends it whole: that the one before goes is no shrinking, nor that a part does which a run left."""

    def sent(version: int, count: int) -> list[str]:
        return [schema(), *(record(number, version) for number in range(count))]

    def activate(version: int) -> str:
        return json.dumps({"type": "ACTIVATE_VERSION", "stream": "things", "version": version})

    load(config, [*sent(1, 10), activate(1)])
    load(config, sent(2, 9))
    load(config, [*sent(3, 9), activate(3)])
    assert db.execute("SELECT count(*), min(_sdc_table_version) FROM things").fetchone() == (9, 3)
    with pytest.raises(CheckRefused, match="would delete 9 of 16 rows"):
        load(config, [*sent(4, 7), activate(4)])


def test_a_version_outlives_a_changed_schema(config: Any, db: Db) -> None:
    load(config, [schema("id"), *(record(number, 1) for number in range(1, 11))])
    activate = json.dumps({"type": "ACTIVATE_VERSION", "stream": "things", "version": 2})
    rows = [record(number, 2) for number in range(1, 10)]
    changed = schema("id").replace('"tags":', '"more": {"type": "string"}, "tags":')
    load(config, [schema("id"), activate, *rows, changed])
    assert [row[0] for row in db.execute("SELECT id FROM things ORDER BY 1")] == list(range(1, 10))


def test_metadata_columns(config: Any, db: Db) -> None:
    load(config, [schema("id"), record(1)], add_record_metadata=True)
    assert db.execute("SELECT _sdc_received_at IS NOT NULL, _sdc_deleted_at FROM things").fetchone() == (True, None)


def test_fields_that_the_schema_lacks_are_told(config: Any, caplog: pytest.LogCaptureFixture) -> None:
    load(config, [schema("id"), record(1, other="SECRET", none=None), record(2, other="SECRET")])
    told = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert told == ["public.things: records have the field 'other', which their SCHEMA lacks: left out"]


# SPEC V1
def test_columns_called_like_metadata_are_columns_of_the_tap(config: Any, db: Db, feed: Feed) -> None:
    deleted = '"_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"}, "tags":'
    gone = "2026-01-01T00:00:00Z"
    lines = [schema("id").replace('"tags":', deleted), record(1, 7, _sdc_deleted_at=gone, _sdc_table_version=1)]
    load(config, lines)
    assert db.execute("SELECT _sdc_deleted_at::date::text, _sdc_table_version FROM things").fetchone() == (
        gone[:10],
        7,
    )
    db.execute("DROP TABLE things")
    feed.columns.update(_sdc_batched_at="timestamp(6)", _sdc_table_version="bigint")
    row = {**thing(1), "_sdc_batched_at": START, "_sdc_table_version": 5}
    for number, by_record in enumerate([False, True], 1):
        feed.version = number
        load(config, feed.full([row], records=by_record))
        assert db.execute("SELECT _sdc_batched_at, _sdc_table_version FROM things").fetchall() == [(START, 5)]


@pytest.mark.parametrize("columns", [{"Price": [1]}, {"id": [1], "ID": [2]}, {"other": [1]}], ids=str)
def test_a_batch_file_without_the_key(config: Any, tmp_path: Path, columns: dict[str, list[int]]) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataRefused, match="a batch file lacks the stream's columns"):
        load(config, [schema("id"), batch(path, format="parquet")])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gone.parquet", None),
        ("a.parquet", b"PAR1 and no more PAR1"),
        ("a.jsonl", b'{"id": 1}\n{"id":'),
        ("a.jsonl", b"[1]\n"),
        ("a.jsonl", b'{"id": "\xe9"}\n'),
        ("a.jsonl.gz", b"no gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"id": 1}\n')[:-5]),
    ],
    ids=["gone", "parquet", "cut", "list", "latin", "no gzip", "cut gzip"],
)
def test_a_batch_file_that_cannot_be_read(config: Any, tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    more = {"compression": "gzip"} if name.endswith("gz") else {}
    with pytest.raises(SyncError, match=f"the batch file {name} cannot be read: "):
        load(config, [schema("id"), batch(path, format=name.split(".")[1], **more)])


def test_a_record_that_does_not_fit_its_schema(config: Any) -> None:
    with pytest.raises(
        DataRefused, match=r"things: a record does not fit its schema: short breaks the rule 'maxLength' 5$"
    ):
        load(config, [schema("id"), record(1, short="SECRET")])
    with pytest.raises(DataRefused, match="Price breaks the rule 'type'"):
        load(config, [schema("id"), record(1, Price="SECRET")])


def test_large_records_are_committed_before_there_are_many(
    config: Any, db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_BYTES", 1000)
    lines = tmp_path / "a.jsonl"
    lines.write_text("".join(f'{{"id": {number}, "tags": ["{"x" * 300}"]}}\n' for number in range(11, 21)))
    rows = [record(number, tags=["x" * 300]) for number in range(1, 11)]
    load(config, [schema("id"), *rows, batch(lines, format="jsonl")])
    found = db.execute("SELECT count(*), count(DISTINCT xmin::text) FROM things").fetchone()
    assert found == (20, 6), "four rows at most in one transaction"
