"""How a full sync takes effect on rows: which are inserted, updated, stale, and which an incremental sync's."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feed import COLUMNS, Feed, load
from psycopg.errors import FeatureNotSupported
from sync_rules.exits import CheckRefused, TargetUnreachable
from target_postgres.activation import statistics
from things import LATER, WAYS, ids, last_sync, make_partitioned, outcome, sync, thing, things

Db = psycopg.Connection[Any]


# SPEC A7
@WAYS
def test_inserted_updated_unchanged_and_stale_are_counted(config: Any, db: Db, feed: Feed, activation: str) -> None:
    sync(config, feed, things(*range(1, 21)), 1)
    rows = [*things(*range(1, 9)), *things(*range(9, 18), status=5), *things(30, 31, 32)]
    sync(config, feed, rows, 2, activation=activation)
    assert ids(db) == [*range(1, 18), 30, 31, 32]
    assert ids(db, "status = 5") == list(range(9, 18))
    assert outcome(db) == (3, 9, 8, 3)
    assert last_sync(db, "activation") == (activation,)


# SPEC A7
@WAYS
@pytest.mark.parametrize("rule", ["delete", "flag", "keep"])
def test_stale_rows(config: Any, db: Db, feed: Feed, activation: str, rule: str) -> None:
    feed.load = {"stale_rows": rule, "stale_column": "status", "stale_value": 0, "activation": activation}
    sync(config, feed, things(*range(1, 11)), 1)
    sync(config, feed, things(*range(1, 10)), 2)
    assert outcome(db) == (0, 0, 9, 1)
    assert ids(db) == list(range(1, 10 if rule == "delete" else 11))
    assert ids(db, "status = 0") == ([10] if rule == "flag" else [])
    sync(config, feed, things(*range(1, 11)), 3)
    assert ids(db, "status = 1") == list(range(1, 11)), "a row that comes back has the source's value again"


# SPEC A6, A7
@WAYS
def test_a_flagged_row_stays_flagged_and_is_not_rewritten(config: Any, db: Db, feed: Feed, activation: str) -> None:
    feed.load = {"stale_rows": "flag", "stale_column": "status", "stale_value": 0, "activation": activation}
    sync(config, feed, things(*range(1, 11)), 1)
    sync(config, feed, things(*range(1, 10)), 2)
    written = "SELECT xmin::text FROM things WHERE id = 10"
    before = db.execute(written).fetchone()
    sync(config, feed, things(*range(1, 10)), 3)
    assert ids(db, "status = 0") == [10]
    assert outcome(db) == (0, 0, 9, 1)
    assert activation == "swap" or db.execute(written).fetchone() == before


@pytest.mark.parametrize("second_connection", [True, False])
def test_the_planner_knows_a_first_table(
    config: Any, db: Db, feed: Feed, monkeypatch: pytest.MonkeyPatch, second_connection: bool
) -> None:
    """Its statistics are gathered beside the count of its rows, or after it where the server lets nobody else in."""
    begun: list[str] = []

    def connect(settings: Any, doing: str) -> Db:
        begun.append(doing)
        if not second_connection:
            raise TargetUnreachable("too many clients")
        return statistics_connect(settings, doing)

    statistics_connect = statistics.connect
    monkeypatch.setattr(statistics, "WORTH_ROWS", 50)
    monkeypatch.setattr(statistics, "connect", connect)
    sync(config, feed, things(*range(1, 51)), 1)
    assert begun == ["analyze public.things"]
    known = db.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND tablename = 'things'").fetchone()
    assert known == (5,)


def test_flagged_rows_are_told_by_the_flags_value_however_it_is_written(config: Any, db: Db, feed: Feed) -> None:
    """`0` is `0.00` in a column of amounts: flagged rows counted as live would let a third of the table go."""
    feed.load = {"stale_rows": "flag", "stale_column": "amount", "stale_value": "0"}
    sync(config, feed, things(*range(1, 31)), 1, allow_shrink=["things"])
    sync(config, feed, things(*range(1, 11)), 2, allow_shrink=["things"])
    assert len(ids(db, "amount = 0")) == 20
    sync(config, feed, things(*range(1, 11)), 3)
    assert outcome(db) == (0, 0, 10, 20)
    with pytest.raises(CheckRefused, match="it would shrink from 10 to 1 rows"):
        sync(config, feed, [thing(1), *things(*range(2, 11), amount=0)], 4)


# SPEC A9
@WAYS
def test_rows_that_an_incremental_sync_wrote_meanwhile_survive(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full([*things(*range(1, 8)), thing(8, mod_ts=None), *things(9, 10)], page=5)
    load(config, lines[:3], activation=activation)
    changed = [thing(number, Name="new", mod_ts=LATER) for number in (2, 3, 8, 9)] + [thing(11, mod_ts=LATER)]
    load(config, Feed(tmp_path).incremental(changed))
    # The page with 2 and 3 is read after the change: the source's newest is staged. The page with 9 was read before it.
    page = [*things(5, 4), thing(3, Name="newer", mod_ts=LATER + datetime.timedelta(hours=1))]
    page += [thing(2, Name="newer", mod_ts=None), thing(1)]
    again = [feed.batch(2, page, [6]), feed.state(2, 10, [1]), feed.state(2, 10, [1], done=True), feed.activate(10)]
    load(config, [lines[0], *again], activation=activation)
    names = dict(db.execute("SELECT id, name FROM things").fetchall())
    assert [names[number] for number in (2, 3, 8, 9, 11)] == ["newer", "newer", "new", "new", "n11"]
    assert len(names) == 11
    counts = db.execute(
        "SELECT rows_carried, rows_inserted + rows_updated + rows_unchanged, rows_stale"
        " FROM paralelo.sync WHERE version = 2"
    ).fetchone()
    assert counts == (1, 10, 0)


@WAYS
def test_what_an_incremental_sync_wrote_earlier_does_not_count_as_newer(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    load(config, Feed(tmp_path).incremental([thing(3, mod_ts=LATER, Name="old"), thing(11, mod_ts=LATER)]))
    feed.started_at = "2026-01-01T01:00:00+00:00"
    sync(config, feed, things(*range(1, 11)), 2, activation=activation)
    assert ids(db) == list(range(1, 11))
    assert db.execute("SELECT name FROM things WHERE id = 3").fetchone() == ("n3",)


# SPEC A9
@WAYS
@pytest.mark.parametrize("unlogged", [False, True])
def test_of_two_rows_with_one_stamp_the_one_read_later_stays(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str, unlogged: bool
) -> None:
    """Where the cursor is a date, or to the minute, a row changes many times under one stamp."""
    config["staging_unlogged"] = unlogged
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 11), Name="first"), page=5)
    load(config, lines[:3], activation=activation)
    load(config, Feed(tmp_path).incremental(things(*range(1, 11), Name="second")))
    third = feed.batch(2, things(5, 4, 3, 2, 1, Name="third"), [6])
    load(config, [lines[0], third, *lines[4:]], activation=activation)
    names = [name for (name,) in db.execute("SELECT name FROM things ORDER BY id")]
    assert names == ["third"] * 5 + ["second"] * 5


# SPEC A9, I8
@WAYS
@pytest.mark.parametrize("kind", ["timestamp(6)", "date", "timestamp(6) with time zone"])
def test_a_change_after_the_clock_fell_is_newer_than_a_page_read_before(
    config: Any, db: Db, tmp_path: Path, activation: str, kind: str
) -> None:
    """When daylight saving ends, a row changed anew has a lower stamp. A clock with a zone never falls."""
    feed = Feed(tmp_path, columns={**COLUMNS, "mod_ts": kind})
    moments: list[Any] = [LATER - datetime.timedelta(minutes=minutes) for minutes in (0, 40, 2 * 24 * 60)]
    if "zone" in kind:
        moments = [moment.replace(tzinfo=datetime.timezone.utc) for moment in moments]
    elif kind == "date":
        moments = [LATER.date() - datetime.timedelta(days=days) for days in (0, 1, 2)]
    first, second, earlier = moments
    sync(config, feed, things(*range(1, 11), mod_ts=earlier), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 11), Name="first", mod_ts=first), page=5)
    load(config, lines[:3], activation=activation)
    between = Feed(tmp_path, columns=feed.columns)
    load(config, between.incremental([thing(9, Name="second", mod_ts=second), thing(8, Name="old", mod_ts=earlier)]))
    load(config, [lines[0], *lines[3:]], activation=activation)
    names = dict(db.execute("SELECT id, name FROM things").fetchall())
    assert names[9] == ("first" if "zone" in kind else "second")
    assert names[8] == "first"


# SPEC A9, F5
@WAYS
def test_frozen_rows_are_still_told_by_their_transactions(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    """A vacuum may freeze rows at any time, and each table is made to freeze all of them here."""
    sync(config, feed, things(*range(1, 21)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 20)), page=5)
    load(config, lines[:5], activation=activation)
    load(config, Feed(tmp_path).incremental([thing(18, Name="new", mod_ts=LATER), thing(21, mod_ts=LATER)]))
    db.execute("VACUUM (FREEZE) things")
    db.execute('VACUUM (FREEZE) "_paralelo_things_2"')
    # The second page comes again, with fewer rows: what was staged of it has to go, and nothing else.
    pages = [feed.batch(2, things(14, 13), [15]), feed.batch(3, things(*range(12, 0, -1)), [13])]
    end = [feed.state(3, 19, [1]), feed.state(3, 19, [1], done=True), feed.activate(19)]
    load(config, [lines[0], *pages, *end], activation=activation)
    assert ids(db) == [*range(1, 20), 21]
    assert ids(db, "name = 'new'") == [18]


# SPEC A9
@WAYS
@pytest.mark.parametrize("second", [0, 1])
def test_what_an_incremental_sync_wrote_before_the_target_had_the_lock_stays(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str, second: int
) -> None:
    """It began after the tap had asked for the highest key, and was gone before the full sync's target came.

    A source's clock may tell whole seconds only.
    """
    sync(config, feed, things(*range(1, 11)), 1)
    feed.started_at, between = "2026-01-02T00:00:00+00:00", Feed(tmp_path)
    between.started_at = f"2026-01-02T00:00:0{second}+00:00"
    load(config, between.incremental([thing(11, mod_ts=LATER)]))
    between.started_at = "2026-01-02T00:00:02+00:00"
    load(config, between.incremental([thing(12, mod_ts=LATER)]))
    sync(config, feed, things(*range(1, 11)), 2, activation=activation)
    assert ids(db) == list(range(1, 13))
    feed.started_at = "2026-01-02T01:00:00+00:00"
    sync(config, feed, things(*range(1, 11)), 3, activation=activation)
    assert ids(db) == list(range(1, 11))


@pytest.mark.parametrize("way", ["swap", "merge", "incremental"])
def test_what_is_equal_and_not_the_same_is_written(config: Any, db: Db, tmp_path: Path, way: str) -> None:
    db.execute("CREATE TABLE things (id bigint PRIMARY KEY, j json, n numeric, d double precision)")
    columns = {"id": "bigint", "j": "json", "n": "decimal(38,2)", "d": "double precision"}
    feed = Feed(tmp_path, columns=columns, cursor=None)
    rows = [{"id": number, "j": '{"a": 1}', "n": Decimal("1.50"), "d": 0.0} for number in range(1, 5)]
    load(config, feed.incremental(rows))
    db.execute("UPDATE things SET j = '{\"a\":1}' WHERE id = 1")
    db.execute("UPDATE things SET n = 1.5 WHERE id = 2")
    db.execute("UPDATE things SET d = '-0' WHERE id = 3")
    if way == "incremental":
        load(config, feed.incremental(rows))
    else:
        feed.started_at = "2026-01-01T01:00:00+00:00"
        load(config, feed.full(rows), activation=way)
    assert outcome(db)[:3] == (0, 3, 1)
    assert db.execute("SELECT DISTINCT j::text, n::text, d::text FROM things").fetchall() == [('{"a": 1}', "1.50", "0")]


@pytest.mark.parametrize("way", ["swap", "merge", "incremental"])
def test_a_key_that_is_equal_and_not_the_same_is_written(config: Any, db: Db, tmp_path: Path, way: str) -> None:
    """As SQL Server compares texts, so may a column in the target."""
    make_loose(db)
    feed = Feed(tmp_path, columns={"code": "varchar(5)", "n": "integer"}, key=("code",), cursor=None)
    load(config, feed.incremental([{"code": "a", "n": 1}, {"code": "b", "n": 1}]))
    feed.started_at, rows = "2026-01-01T01:00:00+00:00", [{"code": "A", "n": 1}, {"code": "b", "n": 1}]
    if way == "incremental":
        load(config, feed.incremental(rows))
    else:
        load(config, feed.full(rows), activation=way)
    assert db.execute("SELECT code, n FROM things ORDER BY 1").fetchall() == [("A", 1), ("b", 1)]
    assert outcome(db)[:3] == (0, 1, 1)


# SPEC A9
@WAYS
def test_a_key_that_is_equal_and_not_the_same_is_carried(config: Any, db: Db, tmp_path: Path, activation: str) -> None:
    make_loose(db)
    feed = Feed(tmp_path, columns={"code": "varchar(5)", "n": "integer"}, key=("code",), cursor=None)
    rows = [{"code": "a", "n": 1}, {"code": "b", "n": 1}]
    sync(config, feed, rows, 1)
    feed.version, feed.started_at = 2, "2026-01-01T01:00:00+00:00"
    lines = feed.full(rows)
    load(config, lines[:3], activation=activation)
    load(config, feed.incremental([{"code": "A", "n": 2}]))
    load(config, [lines[0], *lines[3:]], activation=activation)
    assert db.execute("SELECT code, n FROM things ORDER BY 1").fetchall() == [("A", 2), ("b", 1)]


def make_loose(db: Db) -> None:
    """The table, empty, with a key that takes texts for equal whatever their case."""
    try:
        db.execute("CREATE COLLATION ci (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false)")
    except FeatureNotSupported:
        pytest.skip("this server is built without ICU, which such collations need")
    db.execute("CREATE TABLE things (code varchar(5) COLLATE ci PRIMARY KEY, n integer)")


@pytest.mark.parametrize("way", ["swap", "merge", "incremental"])
def test_what_is_unique_beside_the_key_may_move_to_another_row(config: Any, db: Db, feed: Feed, way: str) -> None:
    """From a row that is stale, or has another value now, to one that is new."""
    sync(config, feed, [thing(1, Name="a"), *things(2, 3, 4, 5, 6)], 1)
    db.execute("ALTER TABLE things ADD UNIQUE (name)")
    rows = [thing(1, Name="b"), *things(2, 3, 4, 5), thing(7, Name="a"), thing(8, Name="n6")]
    if way == "incremental":
        load(config, feed.incremental(rows[:-1]))
    else:
        sync(config, feed, rows, 2, activation=way)
    assert ids(db, "name = 'a'") == [7]


# SPEC F4
@pytest.mark.parametrize(
    ("activation", "way"), [("auto", "partitions"), ("auto", "view"), ("merge", "nothing"), ("swap", "nothing")]
)
def test_a_key_that_live_rows_share_is_there_once(config: Any, db: Db, feed: Feed, activation: str, way: str) -> None:
    """A loader that only appends, or ran twice, may have filled the table before."""
    columns = "id bigint, name varchar(10), amount numeric(38,2), status integer, mod_ts timestamp(6)"
    if way == "partitions":
        db.execute(f"CREATE TABLE things ({columns}) PARTITION BY LIST (status)")
        db.execute("CREATE TABLE one PARTITION OF things FOR VALUES IN (1)")
        db.execute("CREATE TABLE more PARTITION OF things DEFAULT")
    else:
        db.execute(f"CREATE TABLE things ({columns})")
    if way == "view":
        db.execute("CREATE VIEW hanging AS SELECT * FROM things")
    db.execute("INSERT INTO things SELECT least(n, 11), 'old', 0, n % 3 FROM generate_series(1, 13) AS n")
    sync(config, feed, things(*range(1, 12)), 1, activation=activation)
    assert ids(db, "name <> 'old'") == ids(db) == list(range(1, 12))


@pytest.mark.parametrize("rule", ["", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED"])
def test_stale_rows_that_another_table_refers_to(config: Any, db: Db, feed: Feed, rule: str) -> None:
    """No row of the source is at fault: who refers to what is said, and what would help."""
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute(f"CREATE TABLE child (thing bigint REFERENCES things {rule}); INSERT INTO child VALUES (10)")
    with pytest.raises(CheckRefused, match=r"referred to by public\.child \(constraint child_thing_fkey\): delete"):
        sync(config, feed, things(*range(1, 10), status=2), 2)
    assert ids(db, "status = 1") == list(range(1, 11))
    sync(config, feed, things(*range(1, 10), status=2), 3, stale_rows="keep")
    assert ids(db) == list(range(1, 11))


@pytest.mark.parametrize("keeps_out", ["RETURN NULL", "NEW.status := 9; RETURN NEW"])
@pytest.mark.parametrize("partitioned", [False, True])
def test_rows_that_a_trigger_keeps_out_or_changes_are_told(
    config: Any, db: Db, feed: Feed, caplog: pytest.LogCaptureFixture, keeps_out: str, partitioned: bool
) -> None:
    if partitioned:
        make_partitioned(db)
    sync(config, feed, things(1, 2, 3), 1)
    db.execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN IF NEW.id > 3 THEN {keeps_out}; END IF; RETURN NEW; END'"
    )
    on = "things_all" if partitioned else "things"
    db.execute(f"CREATE TRIGGER meddles BEFORE INSERT ON {on} FOR EACH ROW EXECUTE FUNCTION meddle()")
    sync(config, feed, things(1, 2, 3), 2)
    assert "not there as they were loaded" not in caplog.text
    sync(config, feed, things(1, 2, 3, 4, 5), 3)
    assert "public.things: 2 rows are not there as they were loaded" in caplog.text
    caplog.clear()
    load(config, [feed.schema("incremental"), feed.batch(1, things(3, 6), mode="incremental")])
    assert "public.things: 1 rows are not there as they were loaded" in caplog.text


def test_a_rule_that_keeps_rows_out_is_told(config: Any, db: Db, feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    sync(config, feed, things(1, 2, 3), 1)
    db.execute("CREATE RULE none AS ON INSERT TO things DO INSTEAD NOTHING")
    sync(config, feed, things(1, 2, 3, 4), 2)
    assert "1 rows are not there as they were loaded" in caplog.text


# SPEC A7
@pytest.mark.parametrize("rule", ["delete", "flag"])
@pytest.mark.parametrize("kept_by", ["rule", "trigger"])
def test_stale_rows_that_a_trigger_or_a_rule_keeps_are_told(
    config: Any, db: Db, feed: Feed, caplog: pytest.LogCaptureFixture, rule: str, kept_by: str
) -> None:
    feed.load = {"stale_rows": rule, "stale_column": "status", "stale_value": 0}
    sync(config, feed, things(*range(1, 11)), 1)
    if kept_by == "rule":
        db.execute("CREATE RULE kept AS ON DELETE TO things WHERE old.id = 10 DO INSTEAD NOTHING")
        db.execute("CREATE RULE same AS ON UPDATE TO things WHERE old.id = 10 DO INSTEAD NOTHING")
    else:
        db.execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN IF OLD.id = 10 THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END'"
        )
        db.execute("CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON things FOR EACH ROW EXECUTE FUNCTION keep()")
    sync(config, feed, things(*range(1, 9)), 2)
    assert ids(db, "status = 1") == [*range(1, 9), 10]
    assert f"public.things: 1 stale rows were not {rule[:4]}" in caplog.text
