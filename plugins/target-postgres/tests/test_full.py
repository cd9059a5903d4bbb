"""A full sync: staged batch by batch, recognised when replayed, whole when it takes effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from feed import Feed, load
from sync_rules import full
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import CheckRefused, ConfigurationError, SyncError
from sync_rules.full import Beginning
from target_postgres.errors import LedgerGap
from things import ids, last_sync, outcome, thing, things

Db = psycopg.Connection[Any]


@pytest.mark.parametrize("records", [False, True])
def test_every_row_arrives_once_with_exact_types(config: Any, db: Db, feed: Feed, records: bool) -> None:
    states = load(config, feed.full(things(*range(1, 26)), page=10, records=records))
    assert ids(db) == list(range(1, 26))
    assert db.execute("SELECT * FROM things WHERE id = 7").fetchone() == tuple(thing(7).values())
    types = db.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'things'::regclass AND attnum > 0"
    ).fetchall()
    expected = ["bigint", "character varying(10)", "numeric(38,2)", "integer", "timestamp(6) without time zone"]
    assert [kind for (kind,) in types] == expected
    assert [state["bookmarks"][feed.stream]["batches"] for state in states] == [1, 2, 3, 3]
    assert states[-1]["bookmarks"][feed.stream]["done"] is True


def test_files_are_deleted_once_committed(config: Any, feed: Feed) -> None:
    """In a folder whose name is written otherwise in an address."""
    feed.folder /= "a 100%20 ç"
    feed.folder.mkdir()
    load(config, feed.full(things(1, 2, 3), page=1))
    assert list(Path(feed.folder).glob("*.arrow")) == []


@pytest.mark.parametrize("activation", ["swap", "merge"])
def test_the_old_tools_second_run_loses_nothing(config: Any, db: Db, feed: Feed, activation: str) -> None:
    feed.load = {"activation": activation, "stale_rows": "flag", "stale_column": "status", "stale_value": 0}
    for version in (1, 2, 3):
        feed.version = version
        load(config, feed.full(things(*range(1, 21)), page=7))
        assert ids(db, "status = 1") == list(range(1, 21))
    assert outcome(db) == (0, 0, 20, 0)


def test_done_is_held_back_until_the_version_is_active(config: Any, db: Db, feed: Feed) -> None:
    lines = feed.full(things(1, 2))
    states = load(config, lines[:-1])
    assert [state["bookmarks"][feed.stream]["done"] for state in states] == [False]
    assert db.execute("SELECT to_regclass('things')").fetchone() == (None,)
    states = load(config, [lines[0], *lines[-2:]])
    assert [state["bookmarks"][feed.stream]["done"] for state in states] == [True]
    assert ids(db) == [1, 2]


@pytest.mark.parametrize("records", [False, True])
def test_a_replayed_batch_is_skipped(config: Any, db: Db, feed: Feed, records: bool) -> None:
    rows = things(*range(10, 0, -1))
    lines = feed.full(rows, page=5, records=records)
    per_page = 6 if records else 2
    load(config, lines[: 1 + per_page])
    first = db.execute("SELECT xact_id FROM paralelo.batch").fetchall()
    again = feed.full(rows, page=5, records=records)
    load(config, again)
    assert ids(db) == list(range(1, 11))
    assert db.execute("SELECT xact_id FROM paralelo.batch WHERE batch = 1").fetchall() == first, "not written again"
    assert last_sync(db, "rows_read", "rows_written") == (10, 10)


@pytest.mark.parametrize("records", [False, True])
def test_a_batch_that_changed_is_written_anew(config: Any, db: Db, feed: Feed, records: bool) -> None:
    lines = feed.full(things(*range(10, 0, -1)), page=3, records=records)
    load(config, lines[: 1 + 3 * (4 if records else 2)])
    # Row 9 is gone and 4 is new to the source when the tap, resumed from no state, reads again.
    load(config, feed.full(things(10, 8, 7, 6, 5, 4, 3, 2, 1), page=4, records=records))
    assert ids(db) == [1, 2, 3, 4, 5, 6, 7, 8, 10]


def test_a_gap_takes_the_bookmark_back_and_says_so(config: Any, db: Db, feed: Feed, tmp_path: Path) -> None:
    lines = [feed.schema(), feed.batch(3, things(4, 3), after=[5]), feed.state(3, 6, [3])]
    from feed import run

    ended = run(config, tmp_path, lines)
    assert ended.code not in (0, 2)
    (anew,) = (state["bookmarks"][feed.stream] for state in ended.states)
    assert "does not follow" in ended.last
    # A removed bookmark would come back where states are merged deeply, and the gap with it.
    merged = {**json.loads(lines[2])["value"]["bookmarks"][feed.stream], **anew}
    bookmark, _ = full.begin(FullBookmark.from_state(merged), "f", lambda: Beginning(anew["started_at"], (10,), 10))
    assert bookmark.version > feed.version
    assert (bookmark.last_key, bookmark.batches, bookmark.rows) == (None, 0, 0)


def test_staged_rows_that_are_not_those_of_the_ledger_are_a_gap(config: Any, db: Db, feed: Feed) -> None:
    """SPEC F5. A staging table out of a backup has other transaction ids: nothing may be doubled then."""
    lines = feed.full(things(*range(10, 0, -1)), page=5)
    load(config, lines[:5])
    db.execute('UPDATE "_paralelo_things_1" SET status = status')
    again = feed.batch(2, things(5, 4, 3), after=[6])
    with pytest.raises(LedgerGap, match="does not hold the rows"):
        load(config, [lines[0], again, feed.state(2, 8, [3])])
    assert db.execute('SELECT count(*) FROM "_paralelo_things_1"').fetchone() == (10,)


def test_a_ledger_out_of_another_server_is_a_gap(config: Any, db: Db, feed: Feed) -> None:
    """A dump restored: by its transactions' numbers no row could be told from another."""
    lines = feed.full(things(*range(1, 11)), page=5)
    load(config, lines[:3])
    db.execute("UPDATE paralelo.sync SET begin_xid = '99999999999'")
    with pytest.raises(LedgerGap, match="restored from another server"):
        load(config, [lines[0], *lines[3:]])


@pytest.mark.parametrize("sent", [0, 3])
def test_a_ledger_that_lacks_the_last_pages_is_a_gap(
    config: Any, db: Db, feed: Feed, tmp_path: Path, sent: int
) -> None:
    """SPEC F4. The database is an older copy, or a standby took over, and the tap has no more pages to send."""
    from feed import run

    lines = feed.full(things(*range(1, 11)), page=5)
    load(config, lines[:sent])
    ended = run(config, tmp_path, [lines[0], *lines[5:]])
    assert (ended.code, "of its 2 batches the ledger has" in ended.last) == (10, True), ended.last
    (anew,) = (state["bookmarks"][feed.stream] for state in ended.states)
    assert (anew["batches"], anew["done"]) == (0, False)


def test_a_lost_staging_table_is_a_gap(config: Any, db: Db, feed: Feed) -> None:
    lines = feed.full(things(*range(10, 0, -1)), page=5)
    load(config, lines[:3])
    db.execute('DROP TABLE "_paralelo_things_1"')
    with pytest.raises(LedgerGap):
        load(config, [lines[0], *lines[3:]])


def test_a_lost_ledger_is_a_gap(config: Any, db: Db, feed: Feed) -> None:
    """Its staging table is nobody's then: it stands in nobody's way."""
    lines = feed.full(things(*range(1, 11)), page=4)
    load(config, lines[:3])
    db.execute("DROP SCHEMA paralelo CASCADE")
    with pytest.raises(LedgerGap, match="batch 2 does not follow from the 0 in the ledger"):
        load(config, [lines[0], *lines[3:]])
    feed.version = 2
    load(config, feed.full(things(*range(1, 11)), page=4))
    assert ids(db) == list(range(1, 11))
    assert db.execute("SELECT count(*) FROM pg_class WHERE relname = '_paralelo_things_1'").fetchone() == (0,)


def test_a_new_version_removes_what_an_unfinished_one_left(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.full(things(3, 2, 1), page=1)[:3])
    feed.version = 2
    load(config, feed.full(things(3, 2, 1)))
    left = db.execute("SELECT relname FROM pg_class WHERE relname LIKE '\\_paralelo%'").fetchall()
    assert left == []
    assert db.execute("SELECT version, status FROM paralelo.sync ORDER BY 1").fetchall() == [
        (1, "abandoned"),
        (2, "activated"),
    ]


def test_an_incremental_sync_leaves_an_unfinished_full_one_alone(
    config: Any, db: Db, feed: Feed, tmp_path: Path
) -> None:
    rows = things(4, 3, 2, 1)
    lines = feed.full(rows, page=2)
    load(config, lines[:3])
    load(config, Feed(tmp_path).incremental(things(5)))
    load(config, [lines[0], *lines[3:]])
    assert ids(db) == [1, 2, 3, 4, 5]


# SPEC F5
@pytest.mark.parametrize("activation", ["swap", "merge"])
def test_a_page_whose_state_was_not_saved_and_whose_rows_went_is_taken_out(
    config: Any, db: Db, feed: Feed, activation: str
) -> None:
    """Killed between commit and state, and the source removed its oldest rows, which are the last page's."""
    feed.stream = "dbo-100% Things"
    lines = feed.full(things(*range(1, 11)), page=4)
    load(config, lines[:7])
    assert db.execute('SELECT count(*) FROM "_paralelo_100% things_1"').fetchone() == (10,)
    end = [feed.state(2, 8, [3], done=True), feed.activate(8)]
    states = load(config, [lines[0], *end], activation=activation)
    assert states[-1]["bookmarks"][feed.stream]["done"] is True
    assert db.execute('SELECT min(id), count(*) FROM "100% things"').fetchone() == (3, 8)
    assert last_sync(db, "rows_read", "status") == (8, "activated")


def test_a_ledger_that_is_ahead_by_no_whole_page_is_a_gap(config: Any, db: Db, feed: Feed) -> None:
    lines = feed.full(things(*range(1, 11)), page=4)
    load(config, lines[:7])
    with pytest.raises(LedgerGap, match="no batch in the ledger ends there"):
        load(config, [lines[0], feed.activate(7), feed.state(2, 7, [4], done=True)])
    assert db.execute('SELECT count(*) FROM "_paralelo_things_1"').fetchone() == (10,)


# SPEC A1
def test_activation_is_refused_when_rows_are_missing(config: Any, db: Db, feed: Feed) -> None:
    lines = [feed.schema(), feed.batch(1, things(2, 1)), feed.state(1, 2, [1]), feed.state(1, 2, [1], done=True)]
    with pytest.raises(CheckRefused, match="the tap sent 3 rows"):
        load(config, [*lines, feed.activate(3)])
    assert db.execute("SELECT to_regclass('things')").fetchone() == (None,)


# SPEC A1
def test_activation_is_refused_when_staged_rows_went(config: Any, db: Db, feed: Feed) -> None:
    lines = feed.full(things(*range(1, 11)), page=5)
    load(config, lines[:5])
    db.execute('DELETE FROM "_paralelo_things_1" WHERE id = 4')
    with pytest.raises(CheckRefused, match="9 rows are staged and the ledger says 10"):
        load(config, [lines[0], *lines[5:]])
    assert db.execute("SELECT to_regclass('things')").fetchone() == (None,)


def test_a_version_activated_before_its_state_came_out_is_not_activated_twice(config: Any, db: Db, feed: Feed) -> None:
    lines = feed.full(things(2, 1))
    load(config, lines)
    load(config, Feed(Path(feed.folder)).incremental(things(3)))
    states = load(config, [lines[0], *lines[-2:]])
    assert states[-1]["bookmarks"][feed.stream]["done"] is True
    assert ids(db) == [1, 2, 3]


def test_a_table_without_a_key_is_replaced_whole(config: Any, db: Db, feed: Feed) -> None:
    feed.key, feed.resumable, feed.not_null = (), False, ()
    same = [*things(1, 2), *things(1, 2)]
    load(config, feed.full(same, page=3))
    assert ids(db) == [1, 1, 2, 2]
    feed.version = 2
    load(config, feed.full([*same, *things(3)], page=2))
    assert ids(db) == [1, 1, 2, 2, 3]


def test_a_table_without_a_key_is_not_gone_on_with(config: Any, db: Db, feed: Feed) -> None:
    """It may come in another order: a page of as many rows would pass for one that is there."""
    feed.key, feed.resumable, feed.not_null = (), False, ()
    load(config, feed.full(things(1, 2, 3), page=2)[:3])
    with pytest.raises(ConfigurationError, match="without a key was sent under the same version twice"):
        load(config, feed.full(things(3, 2, 1), page=2))


def test_a_page_after_its_version_took_effect_is_a_gap(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.full(things(3, 2)))
    with pytest.raises(LedgerGap, match="it is activated already"):
        load(config, [feed.schema(), feed.batch(2, things(1), [2])])
    assert ids(db) == [2, 3]


# SPEC A3
def test_duplicate_keys_are_refused(config: Any, db: Db, feed: Feed) -> None:
    lines = [feed.schema(), feed.batch(1, things(2, 2, 1)), feed.state(1, 3, [1]), feed.activate(3)]
    with pytest.raises(CheckRefused, match="same key"):
        load(config, lines)
    feed.version = 2
    load(config, feed.full(things(1, 2)))
    feed.version = 3
    lines = [feed.schema(), feed.batch(1, things(2, 2, 1)), feed.state(1, 3, [1]), feed.activate(3)]
    with pytest.raises(CheckRefused, match="same key"):
        load(config, lines, activation="merge")
    assert ids(db) == [1, 2]


# SPEC A3
def test_a_row_without_a_key_is_refused_where_the_table_would_take_it(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.full(things(1, 2)))
    db.execute("ALTER TABLE things DROP CONSTRAINT things_pkey, ALTER id DROP NOT NULL, ADD UNIQUE (id)")
    feed.version, feed.not_null = 2, ()
    lines = [feed.schema(), feed.batch(1, [thing(1), thing(2, id=None)], through=[1]), feed.state(1, 2, [1])]
    with pytest.raises(CheckRefused, match=r"rows without a key \(id\) were sent"):
        load(config, [*lines, feed.activate(2)])
    assert ids(db) == [1, 2]


def test_a_batch_of_another_version_is_refused(config: Any, feed: Feed) -> None:
    schema = feed.schema()
    feed.version = 2
    with pytest.raises(SyncError, match="is not of version 1"):
        load(config, [schema, feed.batch(1, things(1))])


# SPEC F7
@pytest.mark.parametrize("what", ["state", "version", "no state", "parquet"])
def test_messages_that_are_not_of_the_full_sync_are_refused(config: Any, db: Db, feed: Feed, what: str) -> None:
    schema, row = feed.schema(), feed.record({"id": 1, "Name": "a"})
    file = json.dumps(
        {"type": "BATCH", "stream": feed.stream, "encoding": {"format": "parquet"}, "manifest": [_parquet(feed)]}
    )
    batch, state = feed.batch(1, things(1)), feed.state(1, 1, [1])
    activate = feed.activate(1)
    feed.version = 2
    lines, words = {
        "state": ([row, feed.state(1, 1, [1])], "was not followed by its own STATE"),
        "version": ([batch, state, feed.activate(1)], "version 2 is to be activated, and 1 was sent"),
        "no state": ([row, activate], "came before the last page's STATE"),
        "parquet": ([file, state], "must be Arrow files"),
    }[what]
    with pytest.raises(SyncError, match=words):
        load(config, [schema, *lines])
    assert db.execute("SELECT to_regclass('things')").fetchone() == (None,)


def _parquet(feed: Feed) -> str:
    path = feed.folder / "a.parquet"
    pq.write_table(feed.table(things(1)), path)
    return path.as_uri()


def test_composite_and_text_keys(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(
        tmp_path,
        columns={"a": "varchar(20)", "b": "decimal(10,3)", "v": "text"},
        key=("a", "b"),
        cursor=None,
        not_null=("a", "b"),
    )
    from decimal import Decimal

    rows = [{"a": a, "b": Decimal(b), "v": f"{a}{b}"} for a in ("ç", "A", "a", "á") for b in ("1.000", "-1.500")]
    load(config, feed.full(rows, page=3))
    feed.version = 2
    load(config, feed.full(rows, page=3), activation="merge")
    assert db.execute("SELECT count(*), count(DISTINCT (a, b)) FROM things").fetchone() == (8, 8)
    assert outcome(db) == (0, 0, 8, 0)


@pytest.mark.parametrize("count", [0, 1])
def test_a_table_with_no_row_or_one(config: Any, db: Db, feed: Feed, count: int) -> None:
    rows = things(*range(count))
    for version in (1, 2):
        feed.version = version
        load(config, feed.full(rows))
        assert ids(db) == list(range(count))


def test_a_thousand_columns(config: Any, db: Db, tmp_path: Path) -> None:
    columns = {"id": "bigint"} | {f"c{number}": "integer" for number in range(1000)}
    feed = Feed(tmp_path, columns=columns, cursor=None)
    rows = [dict.fromkeys(columns, number) for number in (1, 2, 3)]
    load(config, feed.full(rows))
    rows[0] = {**rows[0], "c999": None}
    for version, way in ((2, "merge"), (3, "swap")):
        feed.version = version
        load(config, feed.full(rows), activation=way)
    assert db.execute("SELECT id FROM things WHERE c999 IS NULL").fetchall() == [(1,)]
