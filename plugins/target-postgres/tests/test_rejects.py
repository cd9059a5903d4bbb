"""Rows that cannot be stored: found, kept with their reason, counted; and never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from feed import Feed, load, run
from sync_rules.exits import ConfigurationError, DataRefused
from things import ids, last_sync, thing, things

Db = psycopg.Connection[Any]
SECRET = "SECRET-VALUE-THAT-NO-LOG-MAY-SHOW"


def rows() -> list[dict[str, Any]]:
    """Twenty rows, three of them too long."""
    return [thing(number, Name=SECRET if number in (3, 11, 20) else "ok") for number in range(1, 21)]


# SPEC V4
@pytest.mark.parametrize("records", [False, True])
def test_the_first_bad_row_stops_the_sync_by_default(
    config: Any, db: Db, feed: Feed, tmp_path: Path, records: bool
) -> None:
    ended = run(config, tmp_path, feed.full(rows(), records=records))
    assert ended.code == 8
    assert "value too long for type character varying(10) (column name)" in ended.last
    assert SECRET not in ended.log
    assert db.execute("SELECT to_regclass('things')").fetchone() == (None,)


# SPEC V4
@pytest.mark.parametrize("records", [False, True])
def test_bad_rows_are_kept_and_the_others_stored(config: Any, db: Db, feed: Feed, records: bool) -> None:
    load(config, feed.full(rows(), page=8, records=records), max_rejects=3)
    assert ids(db) == [number for number in range(1, 21) if number not in (3, 11, 20)]
    assert last_sync(db, "rows_read", "rows_written", "rows_rejected") == (20, 17, 3)
    kept = db.execute(
        "SELECT (key_values->>'id')::int, batch, reason, row_values->>'name' FROM paralelo.reject ORDER BY 1"
    )
    reason = "value too long for type character varying(10) (column name)"
    assert kept.fetchall() == [(3, 3, reason, SECRET), (11, 2, reason, SECRET), (20, 1, reason, SECRET)]


# SPEC V4
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_one_more_than_allowed_stops(config: Any, db: Db, feed: Feed, mode: str) -> None:
    """Over all batches. The file of the one that is refused is there for the next try."""
    lines = feed.full(rows(), page=8) if mode == "full" else feed.incremental(rows(), page=8)
    with pytest.raises(DataRefused, match="max_rejects"):
        load(config, lines, max_rejects=2)
    assert len(list(feed.folder.glob("*.arrow"))) == 1


# SPEC V4
def test_of_rows_that_break_a_rule_together_the_last_is_rejected(config: Any, db: Db, feed: Feed) -> None:
    """And none beside them, that needs what another row of its batch made room for."""
    load(config, feed.incremental([thing(1, Name="a"), thing(2)]))
    db.execute("ALTER TABLE things ADD CONSTRAINT once UNIQUE (name)")
    rows = [thing(1, Name="b"), thing(4, Name="same"), thing(3, Name="a"), thing(5, Name="same")]
    load(config, feed.incremental(rows), max_rejects=1)
    assert dict(db.execute("SELECT id, name FROM things").fetchall()) == {1: "b", 2: "n2", 3: "a", 4: "same"}
    assert db.execute("SELECT key_values ->> 'id' FROM paralelo.reject").fetchall() == [("5",)]


# SPEC V4
def test_what_is_checked_at_commit_is_so_beside_a_bad_row_too(config: Any, db: Db, feed: Feed) -> None:
    """A row may refer to one that is written after it."""
    load(config, feed.incremental(things(1)))
    db.execute(
        "ALTER TABLE things ADD CHECK (amount < 5),"
        " ADD FOREIGN KEY (status) REFERENCES things DEFERRABLE INITIALLY DEFERRED"
    )
    rows = [thing(9, amount=9), thing(2), thing(1, status=3), thing(3)]
    load(config, feed.incremental(rows), max_rejects=1)
    assert (ids(db), ids(db, "status = 3")) == ([1, 2, 3], [1])


def test_what_is_wrong_with_no_row_rejects_none(config: Any, db: Db, feed: Feed) -> None:
    """It comes to light while the bad row is looked for."""
    load(config, feed.incremental(things(1)))
    db.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM gone(1); RETURN NEW; END';"
        "CREATE TRIGGER t BEFORE INSERT ON things FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION f();"
        "ALTER TABLE things ADD CHECK (status < 5)"
    )
    with pytest.raises(ConfigurationError, match="does not exist"):
        load(config, feed.incremental([thing(2, status=9), thing(3)]), max_rejects=5)
    assert db.execute("SELECT count(*) FROM paralelo.reject").fetchone() == (0,)


# SPEC V4
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_rows_refused_by_the_target_and_by_postgresql_count_alike(config: Any, db: Db, feed: Feed, mode: str) -> None:
    load(config, feed.full(things(1)))
    db.execute("ALTER TABLE things ADD CHECK (status < 5)")
    feed.version = 2
    rows = [thing(1), thing(2, Name=SECRET), thing(3, status=9)]
    lines = feed.full(rows) if mode == "full" else feed.incremental(rows)
    with pytest.raises(DataRefused, match="max_rejects is exceeded"):
        load(config, lines, max_rejects=1)
    lines = feed.full(rows) if mode == "full" else feed.incremental(rows)
    load(config, lines, max_rejects=2)
    assert last_sync(db, "rows_read", "rows_rejected") == (3, 2)


@pytest.mark.parametrize("activation", ["swap", "merge"])
def test_a_rejected_row_is_not_stale(config: Any, db: Db, feed: Feed, activation: str) -> None:
    load(config, feed.full(things(*range(1, 21))))
    feed.version = 2
    load(config, feed.full(rows()), max_rejects=3, activation=activation)
    assert ids(db) == list(range(1, 21))
    assert ids(db, "name = 'ok'") == [number for number in range(1, 21) if number not in (3, 11, 20)]
    feed.version = 3
    load(config, feed.full([row for row in rows() if row["id"] != 3]), max_rejects=3, activation=activation)
    assert ids(db) == [number for number in range(1, 21) if number != 3], "gone since it was rejected"


@pytest.mark.parametrize("activation", ["swap", "merge"])
def test_a_rejected_row_with_a_binary_key_is_not_stale(config: Any, db: Db, tmp_path: Path, activation: str) -> None:
    def row(key: bytes, text: str) -> dict[str, Any]:
        return {"code": key, "Name": text}

    feed = Feed(tmp_path, columns={"code": "varbinary", "Name": "text"}, key=("code",), cursor=None, not_null=("code",))
    feed.load = {"nul_characters": "reject"}
    others = [row(bytes([number]), "b") for number in range(1, 10)]
    load(config, feed.full([row(b"\x00\xff", "a"), *others]))
    feed.version = 2
    load(config, feed.full([row(b"\x00\xff", "\0"), *others]), max_rejects=1, activation=activation)
    assert db.execute("SELECT name FROM things WHERE code = '\\x00ff'").fetchall() == [("a",)]


def test_a_key_with_a_nul_character_is_rejected_and_the_others_take_effect(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"code": "varchar(5)", "n": "integer"}, key=("code",), cursor=None)
    feed.load = {"nul_characters": "reject"}
    for feed.version in (1, 2):
        load(config, feed.full([{"code": "a\0", "n": 1}, {"code": "b", "n": feed.version}]), max_rejects=1)
    assert db.execute("SELECT code, n FROM things").fetchall() == [("b", 2)]
    assert last_sync(db, "rows_read", "rows_written", "rows_rejected") == (2, 1, 1)


def test_a_rejected_row_may_hold_numbers_that_json_does_not_know(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "Name": "varchar(1)", "n": "double precision"}, cursor=None)
    numbers = [float("inf"), float("-inf"), float("nan"), 0.1]
    rows = [{"id": place, "Name": "too long", "n": number} for place, number in enumerate(numbers)]
    load(config, feed.full([*rows, {"id": 9, "Name": "a", "n": float("inf")}]), max_rejects=4)
    assert db.execute("SELECT id, n FROM things").fetchall() == [(9, float("inf"))]
    kept = db.execute("SELECT row_values ->> 'n' FROM paralelo.reject ORDER BY key_values ->> 'id'").fetchall()
    assert [(float(n)) for (n,) in kept] == pytest.approx(numbers, nan_ok=True)


# SPEC V4
def test_a_rejected_row_may_hold_dates_beyond_pythons(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(
        tmp_path, columns={"id": "bigint", "Name": "varchar(1)", "d": "date", "at": "timestamp(6)"}, cursor=None
    )
    days, moments = [3_000_000, -(2**31), 3_000_000], [3 * 10**17, 0, 3 * 10**17]
    table = pa.table(
        {
            "id": [1, 2, 3],
            "Name": ["too long", "a", "a"],
            "d": pa.array(days, pa.int32()).cast(pa.date32()),
            "at": pa.array(moments, pa.int64()).cast(pa.timestamp("us")),
        }
    )
    load(config, [feed.schema("incremental"), feed.batch(1, table, mode="incremental")], max_rejects=2)
    assert db.execute("SELECT id, d::text, at::date::text FROM things").fetchall() == [
        (3, "10183-09-21", "11476-08-15")
    ]
    kept = db.execute("SELECT reason, row_values ->> 'd' FROM paralelo.reject ORDER BY key_values ->> 'id'").fetchall()
    assert [("too long" in kept[0][0], kept[0][1]), kept[1][0]] == [(True, "10183-09-21"), "DatetimeFieldOverflow"]


def test_a_rewound_batch_takes_its_rejects_with_it(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.full(rows(), page=8)[:7], max_rejects=3)
    load(config, feed.full(rows(), page=10)[:5], max_rejects=3)
    assert db.execute("SELECT count(*) FROM paralelo.reject").fetchone() == (3,)
    load(config, feed.full(things(*range(1, 21)), page=20), max_rejects=3)
    assert db.execute("SELECT count(*) FROM paralelo.reject").fetchone() == (0,)
    assert ids(db) == list(range(1, 21))


def test_a_batch_that_is_written_anew_may_have_a_bad_row(config: Any, db: Db, feed: Feed) -> None:
    """PostgreSQL finds it, after what the batch had brought before is taken out: all of that is done again."""
    load(config, feed.full(things(3, 2, 1), records=True)[:5])
    rows = [*things(4, 3), thing(2, status=2**40), thing(1, status=2)]
    load(config, feed.full(rows, records=True), max_rejects=1)
    assert (ids(db), ids(db, "status = 2")) == ([1, 3, 4], [1])
    assert last_sync(db, "rows_read", "rows_written", "rows_rejected") == (4, 3, 1)


# SPEC V4, O3
@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("EXCEPTION 'no such person: %', NEW.name", "an exception was raised (in PL/pgSQL function refuse())"),
        (
            "check_violation USING MESSAGE = '\u00bb' || NEW.name || '\u00ab passt nicht'",
            "an exception was raised (in PL/pgSQL function refuse())",
        ),
        ("EXCEPTION 'no such person: %', NEW.name USING ERRCODE = 'check_violation'", "an exception was raised"),
        ("EXCEPTION 'no such person: %', NEW.name USING ERRCODE = 'XX999'", "an exception was raised"),
    ],
)
def test_what_a_trigger_raises_shows_no_value(
    config: Any, db: Db, feed: Feed, tmp_path: Path, raised: str, told: str
) -> None:
    load(config, feed.incremental(things(1)))
    db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.id = 2 THEN RAISE {raised}; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER refuses BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    rows = [thing(2, Name="SECRET"), thing(3)]
    ended = run(config, tmp_path, feed.incremental(rows))
    assert (ended.code, told in ended.last, "SECRET" in ended.log) == (8, True, False), ended.log
    ended = run(config, tmp_path, Feed(tmp_path).full([*rows, thing(1)]))
    assert (ended.code, told in ended.last, "SECRET" in ended.log) == (8, True, False), ended.log
    load(config, feed.incremental(rows), max_rejects=1)
    assert ids(db) == [1, 3]


# SPEC V4
def test_a_record_without_its_key_is_kept_too(config: Any, db: Db) -> None:
    properties = {"id": {"type": "integer"}, "v": {"type": "string"}}
    said = {"type": "SCHEMA", "stream": "t", "schema": {"properties": properties}, "key_properties": ["id"]}
    rows = [{"v": "a"}, {"id": 2, "v": "b"}]
    lines = [json.dumps(line) for line in [said, *({"type": "RECORD", "stream": "t", "record": row} for row in rows)]]
    load(config, lines, max_rejects=1)
    assert db.execute("SELECT id, v FROM t").fetchall() == [(2, "b")]
    assert db.execute("SELECT reason FROM paralelo.reject").fetchall() == [("NULL in the key (column id)",)]


@pytest.mark.parametrize("checked", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_incremental_rows_that_break_a_rule_of_the_table(config: Any, db: Db, feed: Feed, checked: str) -> None:
    load(config, feed.incremental(things(1, 2)))
    db.execute(
        f"ALTER TABLE things ADD CONSTRAINT small CHECK (status < 5), ADD CONSTRAINT once UNIQUE (name) {checked}"
    )
    changed = [thing(1, status=9), thing(2, status=2), thing(7, Name="n2"), thing(8)]
    load(config, feed.incremental(changed), max_rejects=2)
    assert db.execute("SELECT id, status FROM things ORDER BY 1").fetchall() == [(1, 1), (2, 2), (8, 1)]
    reasons = db.execute("SELECT reason FROM paralelo.reject ORDER BY 1").fetchall()
    assert [text.partition(" (constraint")[2] for (text,) in reasons] == [" once)", " small)"]
    counts = last_sync(db, "rows_read", "rows_written", "rows_unchanged", "rows_rejected")
    assert counts[0] == sum(counts[1:]) == 4
