"""How a full sync takes effect: its guards, stale rows, what survives a swap, and what readers see meanwhile."""

from __future__ import annotations

import datetime
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load
from psycopg.errors import FeatureNotSupported, UndefinedTable
from sync_rules.exits import CheckRefused, ConfigurationError, TableInUse, TargetUnreachable
from target_postgres.activation import statistics
from target_postgres.activation.locking import with_short_locks
from target_postgres.connection import connect
from target_postgres.settings import Settings
from things import LATER, WAYS, described, ids, last_sync, make_partitioned, outcome, sync, thing, things

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


# SPEC A2
@WAYS
def test_an_empty_source_never_wipes_a_table(config: Any, db: Db, feed: Feed, activation: str) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    for rule in ("delete", "flag", "keep"):
        feed.load = {"stale_rows": rule, "stale_column": "status", "stale_value": 0}
        feed.version += 1
        with pytest.raises(CheckRefused, match="sent no row"):
            load(config, feed.full([]), activation=activation)
    assert ids(db) == list(range(1, 11))
    feed.version += 1
    feed.load = {}
    load(config, feed.full([]), activation=activation, allow_shrink=["things"])
    assert ids(db) == []


# SPEC A2
def test_a_table_may_shrink_by_exactly_as_much_as_it_may(config: Any, db: Db, feed: Feed) -> None:
    """1 - 70 / 100 is a little more than 0.3 to a computer."""
    sync(config, feed, things(*range(1, 11)), 1)
    sync(config, feed, things(1, 2, 3), 2, max_shrink_percent=70)
    assert ids(db) == [1, 2, 3]
    with pytest.raises(CheckRefused):
        sync(config, feed, things(1), 3, max_shrink_percent=66.6)


def test_a_flag_that_its_column_cannot_hold_is_refused_at_once(config: Any, feed: Feed) -> None:
    sync(config, feed, things(1), 1)
    feed.load = {"stale_rows": "flag", "stale_column": "status", "stale_value": "gone"}
    feed.version = 2
    with pytest.raises(ConfigurationError, match=r"'gone', which the column status \(integer\) cannot hold"):
        load(config, [feed.schema()])


@pytest.mark.parametrize(
    ("key", "rules", "words"),
    [
        ((), {"stale_rows": "keep"}, "without a key stale rows cannot be told from others"),
        ((), {"activation": "merge"}, "without a key its rows cannot be merged"),
        ((), {}, "has no key, so it can only be swapped, and that cannot be: .* view public.hanging"),
        (("id",), {"stale_rows": "flag", "stale_column": "gone", "stale_value": 1}, "the table has no such column"),
        (("id",), {"stale_rows": "flag", "stale_column": "twice", "stale_value": 1}, "computes that column itself"),
    ],
)
def test_what_could_not_take_effect_is_refused_at_once(
    config: Any, db: Db, feed: Feed, key: tuple[str, ...], rules: dict[str, Any], words: str
) -> None:
    sync(config, feed, things(1), 1)
    if key:
        db.execute("ALTER TABLE things ADD twice bigint GENERATED ALWAYS AS (id * 2) STORED")
    elif not rules:
        db.execute("CREATE VIEW hanging AS SELECT * FROM things")
    feed.version, feed.key, feed.load = 2, key, rules
    with pytest.raises(ConfigurationError, match=words):
        load(config, [feed.schema()])
    assert last_sync(db, "version") == (1,)


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


# SPEC A2
@WAYS
def test_a_half_read_source_is_refused(config: Any, db: Db, feed: Feed, activation: str) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    with pytest.raises(CheckRefused, match=r"from 10 to 7 rows, by 30.0 %"):
        sync(config, feed, things(*range(1, 8)), 2, activation=activation)
    assert ids(db) == list(range(1, 11))
    sync(config, feed, things(*range(1, 9)), 3, activation=activation)
    assert ids(db) == list(range(1, 9)), "20 % is allowed"
    feed.load = {"stale_rows": "keep"}
    sync(config, feed, things(1), 4, activation=activation)
    assert ids(db) == list(range(1, 9)), "what is kept does not shrink"
    feed.load = {"allow_shrink": ["public.things"]}
    sync(config, feed, things(1), 5, activation=activation)
    assert ids(db) == [1]


# SPEC A9
@WAYS
def test_rows_that_an_incremental_sync_wrote_meanwhile_survive(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full([*things(*range(1, 8)), thing(8, mod_ts=None), *things(9, 10)], page=5)
    load(config, lines[:3], activation=activation)
    changed = [thing(number, Name="new", mod_ts=LATER) for number in (3, 8, 9)] + [thing(11, mod_ts=LATER)]
    load(config, Feed(tmp_path).incremental(changed))
    # The page with 3 is read after the change: the source's newest is staged. The page with 9 was read before it.
    page = [*things(5, 4), thing(3, Name="newer", mod_ts=LATER + datetime.timedelta(hours=1)), *things(2, 1)]
    again = [feed.batch(2, page, [6]), feed.state(2, 10, [1]), feed.state(2, 10, [1], done=True), feed.activate(10)]
    load(config, [lines[0], *again], activation=activation)
    names = dict(db.execute("SELECT id, name FROM things").fetchall())
    assert (names[3], names[8], names[9], names[11], len(names)) == ("newer", "new", "new", "n11", 11)
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


DEPENDENTS = {
    "view": "CREATE VIEW hanging AS SELECT * FROM things",
    "materialized view": "CREATE MATERIALIZED VIEW hanging AS SELECT * FROM things",
    "rule": "CREATE RULE quiet AS ON DELETE TO things WHERE old.id < 0 DO INSTEAD NOTHING",
    "incoming foreign key": "CREATE TABLE child (thing bigint REFERENCES things)",
    "outgoing foreign key": "CREATE TABLE parent (status int PRIMARY KEY); INSERT INTO parent VALUES (1);"
    "ALTER TABLE things ADD FOREIGN KEY (status) REFERENCES parent",
    "publication": "CREATE PUBLICATION sent FOR TABLE things",
    "publication of all": "CREATE PUBLICATION sent FOR ALL TABLES",
    "publication of its schema": "CREATE PUBLICATION sent FOR TABLES IN SCHEMA public",
    "trigger": "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER quiet BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION quiet()",
    "child table": "CREATE TABLE child () INHERITS (things)",
    "function of its row type": "CREATE FUNCTION hanging(things) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    "column of its row type": "CREATE TABLE other (one things)",
    "column of its row type's array": "CREATE TABLE other (many things[])",
    "type that it is of": "CREATE TYPE shape AS (id bigint, name varchar(10), amount numeric(38,2), status integer,"
    " mod_ts timestamp(6)); ALTER TABLE things OF shape",
    "extension": "ALTER EXTENSION plpgsql ADD TABLE things",
    "column of its own": "ALTER TABLE things ADD COLUMN note text",
}


# SPEC A6
@pytest.mark.parametrize("what", list(DEPENDENTS))
def test_a_table_that_something_depends_on_is_merged(config: Any, db: Db, feed: Feed, what: str) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute(DEPENDENTS[what])
    before = db.execute("SELECT 'things'::regclass::oid").fetchone()
    sync(config, feed, [*things(*range(1, 10)), thing(12)], 2)
    assert ids(db) == [*range(1, 10), 12]
    assert db.execute("SELECT 'things'::regclass::oid").fetchone() == before
    assert last_sync(db, "activation") == ("merge",)
    with pytest.raises(ConfigurationError, match="cannot be swapped"):
        sync(config, feed, things(*range(1, 11)), 3, activation="swap")


# SPEC A5
def test_a_swap_carries_everything_over(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    statements = [
        "DROP ROLE IF EXISTS reader, writer",
        "SET allow_in_place_tablespaces = on",
        "CREATE TABLESPACE fast LOCATION ''",
        "ALTER TABLE things SET TABLESPACE fast",
        "CREATE ROLE reader",
        "CREATE ROLE writer",
        "GRANT CREATE, USAGE ON SCHEMA public TO writer",
        "ALTER TABLE things ALTER COLUMN status SET DEFAULT 7, ALTER COLUMN name SET STATISTICS 500,"
        " ALTER COLUMN name SET STORAGE EXTERNAL, ALTER COLUMN amount SET (n_distinct = 5), ADD CHECK (id > 0),"
        " ADD CONSTRAINT one_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED, SET (fillfactor = 70)",
        "ALTER TABLE things ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY",
        "CREATE SEQUENCE counted OWNED BY things.status",
        "ALTER TABLE things ALTER COLUMN status SET DEFAULT nextval('counted')",
        "SELECT setval(pg_get_serial_sequence('things', 'id'), 500)",
        'CREATE INDEX "By {Name} 100%" ON things (lower(name) DESC NULLS LAST) INCLUDE (status) TABLESPACE fast'
        " WHERE status > 0",
        "ALTER TABLE things ADD EXCLUDE (mod_ts WITH =) USING INDEX TABLESPACE fast WHERE (id < 0)",
        "CREATE STATISTICS together ON name, status FROM things",
        "ALTER TABLE things ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY theirs ON things FOR SELECT TO reader USING (things.id < 5)",
        "ALTER TABLE things REPLICA IDENTITY FULL",
        "ALTER TABLE things CLUSTER ON things_pkey",
        "GRANT SELECT ON things TO reader WITH GRANT OPTION",
        "GRANT INSERT (name) ON things TO PUBLIC",
        "COMMENT ON TABLE things IS 'it''s {} 100%'",
        "COMMENT ON COLUMN things.name IS 'a name'",
        "COMMENT ON INDEX things_pkey IS 'the key'",
        "COMMENT ON CONSTRAINT one_name ON things IS 'once'",
        "COMMENT ON POLICY theirs ON things IS 'some'",
        "COMMENT ON STATISTICS together IS 'both'",
        "ALTER TABLE things OWNER TO writer",
        "REVOKE TRUNCATE ON things FROM writer",
    ]
    for statement in statements:
        db.execute(statement)
    # Default privileges would give the new table rights that the old one does not have.
    db.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT DELETE ON TABLES TO reader")
    before = described(server, db)
    assert "SET default_tablespace = fast" in before
    sync(config, feed, things(*range(1, 12)), 2, activation="swap")
    assert last_sync(db, "activation") == ("swap",)
    assert described(server, db) == before
    db.execute("INSERT INTO things (name) VALUES ('next')")
    assert ids(db)[-1] == 501
    db.execute("DROP OWNED BY reader, writer CASCADE; DROP TABLE IF EXISTS things CASCADE; DROP ROLE reader, writer")
    db.execute("DROP TABLESPACE fast")


# SPEC A10
def test_a_long_reader_does_not_make_others_queue(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    with psycopg.connect(server.dsn(db.info.dbname)) as reader:
        reader.execute("SELECT count(*) FROM things")
        feed.version = 2
        with pytest.raises(TableInUse, match="locked"):
            load(
                config,
                feed.full(things(*range(1, 12))),
                activation="swap",
                lock_timeout_seconds=0.1,
                activation_patience_seconds=0.8,
            )
        assert ids(db) == list(range(1, 11)), "the old rows are there, and can be read"
        reader.rollback()
    schema, *_, done, active = feed.full(things(*range(1, 12)))
    load(config, [schema, done, active], activation="swap")
    assert ids(db) == list(range(1, 12)), "what was staged is kept and takes effect later"


class Readers:
    """Threads that read the table without a pause, each in its own way, and note what they see."""

    def __init__(self, dsn: str, ways: list[str]) -> None:
        self.seen: set[Any] = set()
        self.failures: list[str] = []
        self.reads = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(dsn, way)) for way in ways]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, dsn: str, way: str) -> None:
        statement = "SELECT count(*), min(status), max(status) FROM public.things"
        with psycopg.connect(
            dsn, autocommit=way != "repeatable", prepare_threshold=0 if way == "prepared" else None
        ) as db:
            if way == "repeatable":
                db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not self._stop.is_set():
                try:
                    if way == "repeatable":
                        # The snapshot is taken before the table is first touched.
                        db.execute("SELECT count(*) FROM pg_class")
                        time.sleep(0.01)
                    self.seen.add(db.execute(statement).fetchone())
                    db.rollback() if way == "repeatable" else None
                    self.reads += 1
                except (UndefinedTable, psycopg.Error) as error:
                    self.failures.append(f"{way}: {error}")
                    return


# SPEC A4
@WAYS
def test_readers_see_the_old_rows_or_the_new(
    config: Any, server: embedded.Server, db: Db, feed: Feed, activation: str
) -> None:
    sync(config, feed, things(*range(1, 201), status=0), 0)
    allowed = {(200, 0, 0)}
    with Readers(server.dsn(db.info.dbname), ["simple", "simple", "prepared", "repeatable", "repeatable"]) as readers:
        for version in range(1, 9):
            count = 200 + version
            allowed.add((count, version, version))
            sync(config, feed, things(*range(1, count + 1), status=version), version, activation=activation)
    assert readers.failures == []
    assert readers.seen <= allowed
    assert readers.reads > 50
    assert last_sync(db, "activation") == (activation,)


# SPEC A4
def test_an_old_snapshot_never_sees_a_part(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    """A REPEATABLE READ transaction that began between two staged batches would see the first one alone."""
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 11), status=2), page=5)
    load(config, lines[:3])
    with psycopg.connect(server.dsn(db.info.dbname)) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT 1 FROM pg_class")
        with pytest.raises(TableInUse, match="snapshot_wait_seconds"):
            load(config, [lines[0], *lines[3:]], activation="swap", snapshot_wait_seconds=0.2)
        load(config, [lines[0], *lines[5:]], snapshot_wait_seconds=0.2)
        assert last_sync(db, "activation") == ("merge",)
        assert reader.execute("SELECT count(*), max(status) FROM things").fetchone() == (10, 1)
    assert ids(db, "status = 2") == list(range(1, 11))


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
    try:
        db.execute("CREATE COLLATION ci (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false)")
    except FeatureNotSupported:
        pytest.skip("this server is built without ICU, which such collations need")
    db.execute("CREATE TABLE things (code varchar(5) COLLATE ci PRIMARY KEY, n integer)")
    feed = Feed(tmp_path, columns={"code": "varchar(5)", "n": "integer"}, key=("code",), cursor=None)
    load(config, feed.incremental([{"code": "a", "n": 1}, {"code": "b", "n": 1}]))
    feed.started_at, rows = "2026-01-01T01:00:00+00:00", [{"code": "A", "n": 1}, {"code": "b", "n": 1}]
    if way == "incremental":
        load(config, feed.incremental(rows))
    else:
        load(config, feed.full(rows), activation=way)
    assert db.execute("SELECT code, n FROM things ORDER BY 1").fetchall() == [("A", 1), ("b", 1)]
    assert outcome(db)[:3] == (0, 1, 1)


def test_rows_that_break_a_rule_of_the_live_table_do_not_take_its_place(config: Any, db: Db, feed: Feed) -> None:
    sync(config, feed, things(1, 2), 1)
    db.execute("ALTER TABLE things ADD CONSTRAINT once UNIQUE (name)")
    with pytest.raises(CheckRefused, match=r"could not create unique index \.\.\. \(constraint once\)"):
        sync(config, feed, things(1, 2, Name="same"), 2, activation="swap")
    assert ids(db, "name <> 'same'") == [1, 2]


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


# SPEC A10
def test_an_exclusive_lock_is_waited_for_as_long_as_is_set(config: Any) -> None:
    brief = Settings.of({**config, "lock_timeout_seconds": 0.25})
    with connect(brief, "test") as ours:
        waits = with_short_locks(ours, brief, "t", lambda: ours.execute("SHOW lock_timeout").fetchone())
    assert waits == ("250ms",)


# SPEC A10
def test_a_deadlock_is_tried_again(config: Any, db: Db, feed: Feed) -> None:
    sync(config, feed, things(1, 2), 1)
    db.execute("CREATE SEQUENCE tries")
    db.execute(
        "CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('public.tries') = 1 THEN"
        " RAISE EXCEPTION 'met' USING ERRCODE = 'deadlock_detected'; END IF; RETURN NEW; END $$"
    )
    db.execute("CREATE TRIGGER meets BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION meet()")
    sync(config, feed, things(1, 2, status=2), 2)
    assert ids(db, "status = 2") == [1, 2]


# SPEC A7
@WAYS
def test_a_key_that_the_target_would_number_itself(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    """Rows have the source's keys, those that are written, carried and kept alike."""
    db.execute(
        "CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(10),"
        " amount numeric(38,2), status integer, mod_ts timestamp(6))"
    )
    load(config, feed.incremental(things(10, 20)))
    feed.load = {"stale_rows": "keep", "activation": activation}
    lines = feed.full(things(20, 30), page=1)
    load(config, lines[:3])
    load(config, Feed(tmp_path).incremental(things(40)))
    load(config, [lines[0], *lines[3:]])
    assert (ids(db), last_sync(db, "mode")) == ([10, 20, 30, 40], ("incremental",))


@pytest.mark.parametrize("rule", ["", "ON DELETE RESTRICT"])
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
