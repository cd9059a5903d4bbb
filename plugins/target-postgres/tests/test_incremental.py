"""Incremental syncs: only what changed is written, what arrives last wins, replays change nothing."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load, run
from sync_rules.exits import AlreadyRunning, ConfigurationError, Exit
from target_postgres.errors import LedgerGap
from things import START, ids, last_sync, outcome, sync, thing, things

Db = psycopg.Connection[Any]
HOUR = datetime.timedelta(hours=1)


def test_equal_rows_are_not_rewritten(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.incremental(things(*range(1, 11))))
    before = dict(db.execute("SELECT id, xmin::text FROM things").fetchall())
    load(config, feed.incremental([*things(*range(1, 10)), thing(10, Name="new", mod_ts=START + HOUR), thing(11)]))
    after = dict(db.execute("SELECT id, xmin::text FROM things").fetchall())
    assert [key for key in before if before[key] != after[key]] == [10]
    assert outcome(db) == (1, 1, 9, 0)
    assert last_sync(db, "rows_read", "rows_written", "rows_unchanged", "rows_rejected") == (11, 2, 9, 0)


# SPEC I7
def test_the_greatest_cursor_wins_then_the_last(config: Any, db: Db, feed: Feed) -> None:
    rows = [
        thing(1, Name="late", mod_ts=START + HOUR),
        thing(1, Name="early"),
        thing(2, Name="first"),
        thing(2, Name="last"),
        thing(3, Name="null", mod_ts=None),
        thing(3, Name="stamped"),
    ]
    load(config, feed.incremental(rows))
    assert db.execute("SELECT id, name FROM things ORDER BY id").fetchall() == [
        (1, "late"),
        (2, "last"),
        (3, "stamped"),
    ]
    assert last_sync(db, "rows_read", "rows_written", "rows_unchanged") == (6, 3, 3)


# SPEC I7
def test_the_last_wins_also_where_an_earlier_page_had_room_left_for_it(config: Any, db: Db, tmp_path: Path) -> None:
    """Rows of all sizes up to a quarter of a page: a small one that comes late may be put before a large one."""
    feed = Feed(tmp_path, columns={"id": "bigint", "v": "text"}, cursor=None)
    chance = random.Random(1)
    rows = [
        {"id": chance.randrange(300), "v": f"{n} {chance.randbytes(chance.choice([5, 200, 450, 750, 950])).hex()}"}
        for n in range(3000)
    ]
    load(config, feed.incremental(rows, page=3000))
    assert dict(db.execute("SELECT id, v FROM things").fetchall()) == {row["id"]: row["v"] for row in rows}


# SPEC I7
@pytest.mark.parametrize("sizes", [(5, 9_000_000), (9_000_000, 5), (5, 9_000_000, 5, 9_000_000)])
def test_the_last_wins_also_beside_rows_that_go_in_pieces(
    config: Any, db: Db, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    """The encoder holds small rows back: they are not to come behind a large one that followed them."""
    feed = Feed(tmp_path, columns={"id": "bigint", "v": "text"}, cursor=None)
    rows = [{"id": 1, "v": str(number) * size} for number, size in enumerate(sizes)]
    load(config, feed.incremental(rows))
    assert db.execute("SELECT id, left(v, 5), length(v) FROM things").fetchall() == [(1, rows[-1]["v"][:5], sizes[-1])]


def test_as_many_columns_as_a_table_may_have(config: Any, db: Db, tmp_path: Path) -> None:
    columns = {"id": "bigint", **{f"c{number}": "smallint" for number in range(1599)}}
    feed = Feed(tmp_path, columns=columns, cursor=None)
    load(config, feed.incremental([{"id": 1, "c0": 1}, {"id": 1, "c0": 2, "c1598": 3}]))
    assert db.execute("SELECT id, c0, c1598 FROM things").fetchall() == [(1, 2, 3)]


def test_a_row_whose_stamp_went_back_overwrites(config: Any, db: Db, feed: Feed) -> None:
    """SPEC I8: a clock was set right, or daylight saving ended; what is read later is what the source holds."""
    load(config, feed.incremental([thing(1, Name="before", mod_ts=START + HOUR)]))
    load(config, feed.incremental([thing(1, Name="after")]))
    assert db.execute("SELECT name FROM things").fetchone() == ("after",)


def test_the_table_is_made_with_its_primary_key(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.incremental(things(1)))
    found = db.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'things'").fetchall()
    assert [text for (text,) in found] == ["CREATE UNIQUE INDEX things_pkey ON public.things USING btree (id)"]


def test_a_missing_unique_index_is_made(config: Any, db: Db, feed: Feed) -> None:
    db.execute("CREATE TABLE things (id bigint, name varchar(10))")
    load(config, feed.incremental(things(1, 2)))
    db.execute("DROP INDEX things_id_idx; INSERT INTO things SELECT * FROM things")
    with pytest.raises(ConfigurationError, match="not unique in the target"):
        load(config, feed.incremental(things(1)))


@pytest.mark.parametrize(
    "index",
    [
        "CREATE UNIQUE INDEX ON things (id) WHERE status > 0",
        "CREATE UNIQUE INDEX ON things (id, lower(name))",
        "ALTER TABLE things ADD UNIQUE (id) DEFERRABLE",
        "CREATE UNIQUE INDEX CONCURRENTLY ON things (id)",
    ],
)
def test_an_index_that_does_not_make_the_key_unique_is_not_relied_on(
    config: Any, db: Db, feed: Feed, index: str
) -> None:
    """The last is not valid: rows had one key twice when it was made."""
    db.execute('CREATE TABLE things (id bigint, "name" varchar(10), status integer)')
    if "CONCURRENTLY" in index:
        db.execute("INSERT INTO things VALUES (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            db.execute(index)
        with pytest.raises(ConfigurationError, match="not unique in the target"):
            load(config, feed.incremental(things(1)))
        return
    db.execute(index)
    load(config, feed.incremental(things(1)))
    made = db.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'things'").fetchall()
    assert [definition.endswith("USING btree (id)") for (definition,) in made].count(True) == 1 + ("DEFER" in index)


def test_each_batch_is_followed_by_its_state(config: Any, feed: Feed) -> None:
    states = load(config, feed.incremental(things(*range(1, 31)), page=10))
    assert [state["bookmarks"][feed.stream]["cursor"] for state in states] == ["after 1", "after 2", "after 3"]


def test_records_do_the_same(config: Any, db: Db, feed: Feed) -> None:
    lines = [feed.schema("incremental")]
    lines += [
        feed.record({**row, "amount": "1.10", "mod_ts": "2026-01-01T00:00:00.123456"}, full=False)
        for row in things(1, 2)
    ]
    states = load(config, [*lines, feed.cursor_state("c")])
    assert ids(db) == [1, 2]
    assert db.execute("SELECT amount::text, mod_ts::text FROM things LIMIT 1").fetchone() == (
        "1.10",
        "2026-01-01 00:00:00.123456",
    )
    assert len(states) == 1


def test_the_loser_of_a_lock_says_who_holds_it(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    from target_postgres.catalog import TableName
    from target_postgres.lock import Locks
    from target_postgres.settings import Settings

    holder = Locks(Settings.of(config))
    holder.take(TableName("public", "things"), "full")
    with pytest.raises(AlreadyRunning, match=r"'paralelo full public.things' \(backend \d+, role \w+\), since 20"):
        load(config, feed.incremental(things(1)))
    holder.close()


def test_what_has_no_key_is_not_synced_incrementally(config: Any, feed: Feed) -> None:
    """Each run would append what the one before had appended."""
    feed.key = ()
    with pytest.raises(ConfigurationError, match="an incremental sync needs a key"):
        load(config, [feed.schema("incremental")])


def test_a_lock_of_a_dead_holder_is_free(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.incremental(things(1)))
    load(config, feed.incremental(things(2)))
    assert ids(db) == [1, 2]


# SPEC V4
def test_a_row_with_null_in_its_key_is_rejected(config: Any, db: Db, feed: Feed) -> None:
    """A unique index lets any number of them in, and none would be found again."""
    db.execute(
        "CREATE TABLE things (id bigint UNIQUE, name varchar(10), amount numeric(38,2), status int, mod_ts timestamp)"
    )
    rows = [thing(1), thing(2, id=None)]
    for _ in range(2):
        load(config, feed.incremental(rows), max_rejects=1)
    assert ids(db) == [1]
    reasons = db.execute("SELECT DISTINCT reason FROM paralelo.reject").fetchall()
    assert reasons == [("NULL in the key (column id)",)]
    assert last_sync(db, "rows_read", "rows_unchanged", "rows_rejected") == (2, 1, 1)


@pytest.mark.parametrize(
    ("done", "told"),
    [("DROP TABLE things", "gone"), ("ALTER TABLE things RENAME TO aside", "gone"), ("TRUNCATE things", "empty")],
)
def test_changes_alone_are_not_written_where_a_full_copy_was(
    config: Any, db: Db, feed: Feed, done: str, told: str
) -> None:
    """SPEC I10. Somebody dropped, renamed or emptied the table: the last rows would pass for all of it."""
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute(done)
    with pytest.raises(ConfigurationError, match=f"things is {told}, and a full sync had filled it"):
        load(config, feed.incremental(things(11)))
    db.execute("DROP TABLE IF EXISTS aside")
    sync(config, feed, things(*range(1, 11)), 2)
    load(config, feed.incremental(things(11)))
    assert ids(db) == list(range(1, 12))


def test_the_ledger_keeps_the_last_full_sync_that_took_effect_however_old(config: Any, db: Db, feed: Feed) -> None:
    """SPEC I10. A later one is unfinished: what the live table was filled by is the one before."""
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    load(config, [feed.schema(), feed.batch(1, things(2), None, (2,))])
    db.execute("UPDATE paralelo.sync SET updated_at = now() - interval '100 days'")
    load(config, feed.incremental(things(11)))
    db.execute("DROP TABLE things")
    with pytest.raises(ConfigurationError, match="things is gone, and a full sync had filled it"):
        load(config, feed.incremental(things(12)))


def test_the_ledger_forgets_what_ended_long_ago(config: Any, db: Db, feed: Feed) -> None:
    """With its rejects, and nothing that ended since."""
    load(config, feed.incremental([thing(1), thing(2, Name="a name too long")]), max_rejects=1)
    load(config, feed.incremental(things(3)))
    db.execute(
        "UPDATE paralelo.sync SET updated_at = now() - make_interval(days => CASE id WHEN 1 THEN 91 ELSE 89 END)"
    )
    kept = "SELECT array_agg(id ORDER BY id), (SELECT count(*) FROM paralelo.reject) FROM paralelo.sync"
    load(config, feed.incremental(things(4)))
    assert db.execute(kept).fetchone() == ([2, 3], 0)
    load(config, feed.incremental(things(5)), ledger_keep_days=88)
    assert db.execute(kept).fetchone() == ([3, 4], 0)


# SPEC I10
def test_rows_that_verify_mended_make_the_ledger_forget_no_sync(config: Any, db: Db, feed: Feed) -> None:
    feed.started_at = began = "2026-01-01T00:00:00.123456+00:00"
    load(config, feed.incremental(things(1)))
    db.execute("UPDATE paralelo.sync SET updated_at = now() - make_interval(days => 91)")
    mended: Any = None
    feed.started_at = mended
    load(config, feed.incremental(things(2)))
    feed.started_at, feed.goes_on_from = "2026-05-01T00:00:00.123456+00:00", began
    load(config, feed.incremental(things(3)))
    assert ids(db) == [1, 2, 3]


def test_a_database_that_lacks_what_the_bookmark_stands_for(config: Any, db: Db, feed: Feed) -> None:
    """SPEC I10. It was restored from an older copy: what came between the two would never come."""
    first, second, third = (f"2026-01-0{day}T00:00:00.123456+00:00" for day in (1, 2, 3))
    feed.started_at = first
    sync(config, feed, things(1), 1)
    feed.started_at, feed.goes_on_from = second, first
    load(config, feed.incremental(things(2)))
    feed.started_at, feed.goes_on_from = third, second
    load(config, feed.incremental([]))
    db.execute("DELETE FROM paralelo.sync WHERE started_at > %s", [first])
    db.execute("DELETE FROM things WHERE id = 2")
    with pytest.raises(ConfigurationError, match=r"goes on from one of 2026-01-02.*restored from an older copy"):
        load(config, feed.incremental(things(3)))
    assert ids(db) == [1]
    sync(config, feed, things(1, 2), 2)
    load(config, feed.incremental(things(3)))
    assert ids(db) == [1, 2, 3]


def test_a_server_that_took_over_without_the_last_commits(config: Any, db: Db, feed: Feed) -> None:
    """SPEC I10. The run began there, and some of the rows that the bookmark stands for never came."""
    load(config, feed.incremental(things(1, 2)))
    feed.goes_on_from, feed.started_at = feed.started_at, "2026-01-02T00:00:00+00:00"
    feed.held = {"rows": 3, "low": "where it began"}
    with pytest.raises(LedgerGap, match=r"of the 3 rows of the sync of 2026-01-01.* holds 2"):
        load(config, feed.incremental(things(4)))
    ended = run(config, feed.folder, feed.incremental(things(4)))
    assert (ended.code, ids(db)) == (Exit.LEDGER_GAP, [1, 2])
    back = ended.states[-1]["bookmarks"][feed.stream]
    assert (back["cursor"], back["clock"], back["rows"]) == ("after 1", "where it began", None)
    assert (back["started_at"], back["unfinished"]) == (feed.goes_on_from, None)
    feed.held = {"rows": 2, "low": "where it began"}
    load(config, feed.incremental(things(3, 4)))
    assert ids(db) == [1, 2, 3, 4]


def test_a_server_that_took_over_before_a_full_sync_had_taken_effect(config: Any, db: Db, feed: Feed) -> None:
    """SPEC I10. The bookmark says that it had; the changes alone would pass for the whole table."""
    *lines, _, _ = feed.full(things(1, 2))
    load(config, lines)
    feed.goes_on_from, feed.held = feed.started_at, {"activated": True}
    with pytest.raises(ConfigurationError, match="which this database does not hold"):
        load(config, feed.incremental(things(3)))
    sync(config, feed, things(1, 2), 1)
    load(config, feed.incremental(things(3)))
    assert ids(db) == [1, 2, 3]


def test_it_goes_on_from_a_full_sync_that_is_not_finished(config: Any, db: Db, feed: Feed) -> None:
    """SPEC I3."""
    load(config, [feed.schema(), feed.batch(1, things(2), None, (2,))])
    feed.goes_on_from = feed.started_at
    load(config, feed.incremental(things(3)))
    assert ids(db) == [3]


def test_a_table_that_its_last_full_sync_left_empty(config: Any, db: Db, feed: Feed) -> None:
    sync(config, feed, things(1), 1)
    sync(config, feed, [], 2, allow_shrink=["things"])
    load(config, feed.incremental(things(1)))
    assert ids(db) == [1]
