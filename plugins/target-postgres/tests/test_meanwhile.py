"""What others do while a sync is on its way: roles, administrators, incremental syncs, triggers."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load
from psycopg import sql
from sync_rules.exits import ConfigurationError, SyncError, TableInUse
from target_postgres import ledger
from target_postgres.activation import activate, prepare
from target_postgres.connection import connect
from target_postgres.errors import LedgerGap
from target_postgres.queries import query
from target_postgres.settings import Settings
from target_postgres.target import TargetPostgres
from things import LATER, WAYS, described, ids, last_sync, outcome, sync, thing, things, until

Db = psycopg.Connection[Any]


# SPEC A4
def test_an_old_snapshot_of_another_role_is_seen_by_an_ordinary_one(
    ordinary: Any, server: embedded.Server, db: Db, feed: Feed
) -> None:
    """A role without pg_read_all_stats is shown little of another's sessions."""
    sync(ordinary, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 11), status=2), page=5)
    load(ordinary, lines[:3])
    with psycopg.connect(server.dsn(db.info.dbname)) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT 1 FROM pg_class")
        load(ordinary, [lines[0], *lines[3:]], snapshot_wait_seconds=0.2)
        assert last_sync(db, "activation") == ("merge",)
        assert reader.execute("SELECT count(*), max(status) FROM things").fetchone() == (10, 1)


# SPEC A4
def test_a_snapshot_taken_while_a_swap_is_prepared_sees_no_part(
    config: Any, server: embedded.Server, db: Db, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is carried into the staging table is not in it for such a reader. One in another database reads none."""
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 11)), page=5)
    load(config, lines[:3])
    load(config, Feed(tmp_path).incremental([thing(11, mod_ts=LATER)]))
    elsewhere, here = psycopg.connect(server.dsn()), psycopg.connect(server.dsn(db.info.dbname))
    build = prepare.build

    def built(*given: Any) -> Any:
        for reader in (elsewhere, here):
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.execute("SELECT 1 FROM pg_class")
        return build(*given)

    with elsewhere, here:
        monkeypatch.setattr(prepare, "build", built)
        with pytest.raises(TableInUse, match=f"backend {here.info.backend_pid} began"):
            load(config, [lines[0], *lines[3:]], activation="swap", snapshot_wait_seconds=0)
        monkeypatch.setattr(prepare, "build", build)
        assert here.execute("SELECT count(*) FROM things").fetchone() == (11,)
        here.rollback()
        load(config, [lines[0], *lines[5:]], activation="swap", snapshot_wait_seconds=0)
    assert ids(db) == list(range(1, 12))


# SPEC A9
@WAYS
def test_a_full_sync_without_a_cursor_keeps_what_an_incremental_one_wrote_meanwhile(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    """The two have settings of their own, and only one may name the cursor."""
    feed.cursor = None
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute("UPDATE things SET name = 'by hand' WHERE id = 7")
    feed.version = 2
    lines = feed.full(things(*range(1, 11)), page=5)
    load(config, lines[:3], activation=activation)
    load(config, Feed(tmp_path).incremental([thing(9, Name="new", mod_ts=LATER), thing(11, mod_ts=LATER)]))
    load(config, [lines[0], *lines[3:]], activation=activation)
    names = dict(db.execute("SELECT id, name FROM things").fetchall())
    assert (names[7], names[9], names[11], len(names)) == ("n7", "new", "n11", 11)
    feed.version, feed.started_at = 3, "2026-01-01T01:00:00+00:00"
    lines = feed.full(things(*range(1, 11)), page=5)
    load(config, lines[:3], activation=activation)
    db.execute("UPDATE things SET name = 'by hand' WHERE id = 9")
    load(config, [lines[0], *lines[3:]], activation=activation)
    names = dict(db.execute("SELECT id, name FROM things").fetchall())
    assert (names[9], len(names)) == ("n9", 10), "where no incremental sync ran, the source has the last word"


# SPEC A7
@WAYS
def test_a_stale_row_that_others_write_to_meanwhile_is_stale(config: Any, db: Db, feed: Feed, activation: str) -> None:
    """A job of the target's own may update every row, each time a full sync is under way."""
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(2, 11)), page=5)
    load(config, lines[:3], activation=activation)
    db.execute("UPDATE things SET status = status")
    load(config, [lines[0], *lines[3:]], activation=activation)
    assert ids(db) == list(range(2, 11))
    assert outcome(db) == (0, 0, 9, 1)


# SPEC A7
def test_stale_rows_are_flagged_in_a_column_of_the_targets_own(config: Any, db: Db, feed: Feed) -> None:
    """What somebody set there by hand, and is not the flag, stays."""
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute("ALTER TABLE things ADD COLUMN state text NOT NULL DEFAULT 'here'")
    db.execute("UPDATE things SET state = 'by hand' WHERE id = 5")
    feed.load = {"stale_rows": "flag", "stale_column": "State", "stale_value": "gone"}
    sync(config, feed, things(*range(1, 10)), 2)
    assert (ids(db, "state = 'gone'"), outcome(db)) == ([10], (0, 0, 9, 1))
    sync(config, feed, things(*range(1, 10)), 3)
    assert ids(db, "state = 'gone'") == [10]
    sync(config, feed, things(*range(1, 11)), 4)
    assert (ids(db, "state = 'here'"), ids(db, "state = 'by hand'")) == ([1, 2, 3, 4, 6, 7, 8, 9, 10], [5])


CHANGED_MEANWHILE = {
    "default": "ALTER TABLE things ALTER COLUMN status SET DEFAULT 7",
    "check": "ALTER TABLE things ADD CONSTRAINT positive CHECK (id > 0)",
    "identity": "ALTER TABLE things ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY",
    "collation": 'ALTER TABLE things ALTER COLUMN name TYPE varchar(10) COLLATE "C"',
}


@pytest.mark.parametrize("what", list(CHANGED_MEANWHILE))
def test_what_the_live_table_got_during_a_sync_is_not_lost(
    config: Any, server: embedded.Server, db: Db, feed: Feed, what: str
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 12), status=3), page=5)
    load(config, lines[:3])
    db.execute(CHANGED_MEANWHILE[what])
    before = described(server, db)
    load(config, [lines[0], *lines[3:]])
    assert last_sync(db, "activation") == ("merge",)
    assert (ids(db, "status = 3"), described(server, db)) == (list(range(1, 12)), before)
    sync(config, feed, things(*range(1, 12), status=4), 3)
    assert last_sync(db, "activation") == ("swap",)
    assert (ids(db, "status = 4"), described(server, db)) == (list(range(1, 12)), before)


def test_where_only_a_swap_is_allowed_the_sync_begins_anew(config: Any, db: Db, feed: Feed) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 11), status=3), page=5)
    load(config, lines[:3], activation="swap")
    db.execute(CHANGED_MEANWHILE["default"])
    with pytest.raises(LedgerGap, match="a swap would lose that: column status"):
        load(config, [lines[0], *lines[3:]], activation="swap")
    sync(config, feed, things(*range(1, 11), status=3), 3, activation="swap")
    assert ids(db, "status = 3") == list(range(1, 11))


@pytest.mark.parametrize("way", ["merge", "incremental", "staging"])
def test_a_trigger_or_check_may_name_tables_as_its_role_sees_them(
    config: Any, db: Db, feed: Feed, tmp_path: Path, way: str
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute("CREATE TABLE audit (id bigint)")
    if way == "staging":
        db.execute(
            "CREATE FUNCTION known(n bigint) RETURNS boolean LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM count(*) FROM audit; RETURN true; END'"
        )
        db.execute("ALTER TABLE things ADD CHECK (known(id))")
    else:
        db.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NEW; END'"
        )
        db.execute("CREATE TRIGGER note BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION note()")
    changed = thing(10, status=2, mod_ts=LATER)
    if way == "incremental":
        load(config, Feed(tmp_path).incremental([changed]))
    else:
        sync(config, feed, [*things(*range(1, 10)), changed], 2)
    assert ids(db, "status = 2") == [10]
    assert db.execute("SELECT id FROM audit").fetchall() == ([] if way == "staging" else [(10,)])


@WAYS
def test_an_event_trigger_may_name_tables_as_its_role_sees_them(
    config: Any, db: Db, feed: Feed, tmp_path: Path, activation: str
) -> None:
    """One that notes each change of a table is told of all that a sync makes, changes and drops."""
    db.execute("CREATE TABLE audit (tag text)")
    db.execute(
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO audit VALUES (tg_tag); END'"
    )
    db.execute("CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note()")
    more = {"activation": activation, "default_target_schema": "elsewhere"}
    sync(config, feed, things(*range(1, 11)), 1, **more)
    feed.columns["more"] = "text"
    sync(config, feed, things(*range(1, 11), more="x"), 2, **more)
    incremental = Feed(tmp_path, columns={**feed.columns, "even more": "text"})
    load(config, incremental.incremental([thing(11, more="y")]), **more)
    feed.columns, feed.version = incremental.columns, 3
    load(config, [feed.schema()], **more)
    sync(config, feed, things(*range(1, 12), more="x"), 4, **more)
    assert db.execute("SELECT count(*) FROM elsewhere.things").fetchone() == (11,)
    tags = {tag for (tag,) in db.execute("SELECT tag FROM audit")}
    assert tags >= {"CREATE SCHEMA", "CREATE TABLE", "ALTER TABLE", "CREATE INDEX", "DROP TABLE"}


# SPEC A9
def test_a_row_that_is_carried_meets_checks_and_indexes_as_its_role_sees_them(
    config: Any, db: Db, feed: Feed, tmp_path: Path
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute("CREATE TABLE audit (id bigint)")
    db.execute(
        "CREATE FUNCTION known(n bigint) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM count(*) FROM audit; RETURN true; END'"
    )
    db.execute("ALTER TABLE things ADD CHECK (known(id))")
    feed.version = 2
    lines = feed.full(things(*range(1, 11)))
    load(config, lines[:3], activation="swap")
    load(config, Feed(tmp_path).incremental([thing(11, mod_ts=LATER)]))
    load(config, [lines[0], *lines[3:]], activation="swap")
    assert ids(db) == list(range(1, 12))


def test_a_table_of_one_name_in_two_schemas_is_refused(config: Any, db: Db, feed: Feed, tmp_path: Path) -> None:
    """Each would be written over the other, and take the other's rows for stale ones."""
    sync(config, feed, things(*range(1, 11)), 1)
    other = Feed(tmp_path, stream="sales-Things", version=2)
    for lines in (other.full(things(5)), other.incremental(things(5, status=2))):
        with pytest.raises(ConfigurationError, match=r"holds the rows of 'dbo-Things', and those of 'sales-Things'"):
            load(config, lines)
    assert ids(db, "status = 1") == list(range(1, 11))
    load(config, other.full(things(5)), default_target_schema="sales")
    db.execute("DROP TABLE things")
    load(config, other.full(things(5)))
    load(config, other.incremental(things(6)))
    assert ids(db) == [5, 6]


def test_two_runs_that_start_at_once_make_one_ledger(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with connect(Settings.of(config), "first") as first, ThreadPoolExecutor(1) as threads:
        with first.transaction():
            ledger.ensure(first)
            second = threads.submit(load, config, feed.full(things(1)))
            until(lambda: db.execute(waiting).fetchone() == (1,))
        second.result()
    assert ids(db) == [1]


def test_time_outs_of_a_role_do_not_end_a_sync(config: Any, db: Db, feed: Feed) -> None:
    """Its lock waits idle while rows are read and written, and one transaction may merge a large table."""
    db.execute("CREATE ROLE hasty SUPERUSER LOGIN PASSWORD 'hasty'")
    for setting in ("statement_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"):
        db.execute(f"ALTER ROLE hasty SET {setting} = '50ms'")
    if db.info.server_version >= 170000:
        db.execute("ALTER ROLE hasty SET transaction_timeout = '50ms'")
    hasty = {**config, "user": "hasty", "password": "hasty"}
    db.execute("CREATE FUNCTION slow(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(0.02) IS NOT NULL'")
    load(hasty, feed.full(things(*range(1, 11))))
    db.execute("ALTER TABLE things ADD CHECK (public.slow(id))")
    sync(hasty, feed, things(*range(1, 12)), 2)
    assert ids(db) == list(range(1, 12))
    db.execute("REASSIGN OWNED BY hasty TO CURRENT_USER; DROP OWNED BY hasty; DROP ROLE hasty")


def test_a_type_that_changes_during_a_run_fits_the_next(config: Any, db: Db, feed: Feed) -> None:
    load(config, feed.incremental(things(1)))
    lines = feed.incremental([thing(1, status=7)])
    target = TargetPostgres(config=config)
    target.process_lines(io.StringIO(lines[0]))
    db.execute("ALTER TABLE things ALTER status TYPE bigint")
    with pytest.raises(SyncError) as raised:
        target.process_lines(io.StringIO(lines[1]))
    assert raised.value.exit.restart_helps
    target.session.close()
    load(config, lines)
    assert ids(db, "status = 7") == [1]


# SPEC A10
@pytest.mark.parametrize(
    ("mode", "statement"),
    [
        ("incremental", "UPDATE things SET status = 5 WHERE id = 1"),
        ("incremental", "LOCK TABLE things IN SHARE MODE"),
        ("full", "LOCK TABLE things IN ACCESS EXCLUSIVE MODE"),
    ],
)
def test_what_others_hold_is_not_waited_for_for_ever(
    config: Any, server: embedded.Server, db: Db, feed: Feed, mode: str, statement: str
) -> None:
    sync(config, feed, things(1, 2), 1)
    feed.version = 2
    lines = feed.full(things(1, 2)) if mode == "full" else feed.incremental([thing(1, status=7), thing(3)])
    more = {"lock_timeout_seconds": 0.1, "activation_patience_seconds": 0.5}
    with psycopg.connect(server.dsn(db.info.dbname)) as other:
        other.execute(statement)
        with pytest.raises(TableInUse):
            load(config, lines, **more)
    load(config, feed.incremental([thing(1, status=7), thing(3)]), **more)
    assert ids(db, "status = 7") == [1]


def test_an_index_made_while_a_swap_is_prepared_is_not_lost(
    config: Any, server: embedded.Server, db: Db, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    build = prepare.build

    def built(*given: Any) -> Any:
        made = build(*given)
        db.execute("CREATE INDEX IF NOT EXISTS late ON things (status)")
        return made

    monkeypatch.setattr(prepare, "build", built)
    sync(config, feed, things(*range(1, 11), status=2), 2)
    assert last_sync(db, "activation") == ("swap",)
    assert "CREATE INDEX late" in described(server, db)


LATE = {
    "a view": ("", "CREATE VIEW hanging AS SELECT * FROM things"),
    "NOT NULL": (
        "ALTER TABLE things ALTER COLUMN status DROP NOT NULL",
        "ALTER TABLE things ALTER COLUMN status SET NOT NULL",
    ),
    "check": ("", "ALTER TABLE things ADD CONSTRAINT positive CHECK (id > 0)"),
    "default": ("", "ALTER TABLE things ALTER COLUMN status SET DEFAULT 7"),
    "another default": (
        "ALTER TABLE things ALTER COLUMN status SET DEFAULT 7",
        "ALTER TABLE things ALTER COLUMN status SET DEFAULT 8",
    ),
    "check gone": (
        "ALTER TABLE things ADD CONSTRAINT positive CHECK (id > 0)",
        "ALTER TABLE things DROP CONSTRAINT positive",
    ),
    "NOT NULL gone": ("", "ALTER TABLE things ALTER COLUMN status DROP NOT NULL"),
    "an old rule, checked since": (
        "INSERT INTO things (id, status) VALUES (0, 0);"
        "ALTER TABLE things ADD CONSTRAINT positive CHECK (id > 0) NOT VALID",
        "DELETE FROM things WHERE id = 0; ALTER TABLE things VALIDATE CONSTRAINT positive",
    ),
}


@pytest.mark.parametrize("moment", ["staging", "prepared"])
@pytest.mark.parametrize("what", list(LATE))
def test_what_changes_on_the_live_table_up_to_the_last_moment_is_kept(
    config: Any,
    server: embedded.Server,
    db: Db,
    feed: Feed,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    moment: str,
) -> None:
    before, change = LATE[what]
    feed.not_null = ("id", "status")
    sync(config, feed, things(*range(1, 11)), 1)
    if before:
        db.execute(before)
    feed.version = 2
    lines = feed.full(things(*range(1, 11), status=2), page=5)
    load(config, lines[:3])
    changed: list[str] = []

    def do_change() -> None:
        if not changed:
            db.execute(change)
            changed.append(described(server, db))

    swap = activate.swap
    if moment == "staging":
        do_change()
    monkeypatch.setattr(activate, "swap", lambda *given: (do_change(), swap(*given)))
    load(config, [lines[0], *lines[3:]])
    assert ids(db, "status = 2") == list(range(1, 11))
    assert [described(server, db)] == changed


@pytest.mark.parametrize("gone", ["DROP TABLE things", "ALTER TABLE things RENAME TO kept"])
def test_a_live_table_that_goes_while_a_swap_is_prepared_is_made_anew(
    config: Any, db: Db, feed: Feed, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    sync(config, feed, things(1, 2), 1)
    swap, left = activate.swap, [gone]
    monkeypatch.setattr(activate, "swap", lambda *given: (left and db.execute(left.pop()), swap(*given)))
    sync(config, feed, things(1, 2, 3, status=2), 2, activation="swap")
    assert ids(db, "status = 2") == [1, 2, 3]
    keys = db.execute("SELECT indisprimary FROM pg_index WHERE indrelid = 'things'::regclass").fetchall()
    assert keys == [(True,)]


def test_a_rule_that_old_rows_need_not_keep_does_not_stand_against_a_swap(config: Any, db: Db, feed: Feed) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute("ALTER TABLE things ADD CONSTRAINT positive CHECK (id > 0) NOT VALID")
    sync(config, feed, things(*range(1, 11), status=2), 2, activation="swap")
    assert ids(db, "status = 2") == list(range(1, 11))
    assert db.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'positive'").fetchone() == (True,)


# SPEC A9
def test_a_page_after_an_activation_that_gave_up_is_a_gap(
    config: Any, server: embedded.Server, db: Db, feed: Feed, tmp_path: Path
) -> None:
    """The staging table has the live one's rows and indexes by then: the page's row may be one of those."""
    sync(config, feed, things(*range(2, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(2, 11)))
    load(config, lines[:2], activation="swap")
    load(config, Feed(tmp_path).incremental([thing(1, mod_ts=LATER)]))
    brief = {"activation": "swap", "lock_timeout_seconds": 0.1, "activation_patience_seconds": 0.3}
    with psycopg.connect(server.dsn(db.info.dbname)) as reader:
        reader.execute("SELECT count(*) FROM things")
        with pytest.raises(TableInUse, match="locked"):
            load(config, [lines[0], *lines[2:]], **brief)
    with pytest.raises(LedgerGap, match="changed after it was prepared"):
        load(config, [lines[0], feed.batch(2, [thing(1, mod_ts=LATER)], [2])], **brief)
    sync(config, feed, things(*range(1, 11)), 3, activation="swap")
    assert ids(db) == list(range(1, 11))


# SPEC A10
@WAYS
def test_a_reader_of_the_staging_table_holds_up_no_merge_and_no_swap_for_ever(
    config: Any, server: embedded.Server, db: Db, feed: Feed, activation: str
) -> None:
    """A dump of the database holds a lock on every table from its beginning to its end."""
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    lines = feed.full(things(*range(1, 12)), page=6)
    load(config, lines[:5])
    brief = {"activation": activation, "lock_timeout_seconds": 0.1, "activation_patience_seconds": 0.3}
    left = "SELECT to_regclass('public._paralelo_things_2') IS NOT NULL"
    with psycopg.connect(server.dsn(db.info.dbname)) as dump:
        dump.execute('SELECT count(*) FROM "_paralelo_things_2"')
        if activation == "swap":
            with pytest.raises(TableInUse, match="_paralelo_things_2: other sessions"):
                load(config, [lines[0], *lines[5:]], **brief)
        else:
            load(config, [lines[0], *lines[5:]], **brief)
            assert last_sync(db, "activation") == ("merge",)
            assert db.execute(left).fetchone() == (True,)
    load(config, [lines[0], *lines[5:]], **brief)
    assert ids(db) == list(range(1, 12))
    assert db.execute(left).fetchone() == (False,)


# SPEC A10
def test_a_reader_of_a_staging_table_that_was_given_up_holds_up_no_new_version(
    config: Any, server: embedded.Server, db: Db, feed: Feed
) -> None:
    load(config, feed.full(things(*range(1, 12)), page=6)[:3])
    with psycopg.connect(server.dsn(db.info.dbname)) as dump:
        dump.execute('SELECT count(*) FROM "_paralelo_things_1"')
        sync(config, feed, things(*range(1, 12)), 2, lock_timeout_seconds=0.1)
    assert ids(db) == list(range(1, 12))
    load(config, [feed.schema()])
    assert db.execute("SELECT to_regclass('public._paralelo_things_1') IS NOT NULL").fetchone() == (False,)


# SPEC A9
@pytest.mark.parametrize(("later", "counts"), [(0, True), (1000, True), (500_000_000, False), (-1000, False)])
def test_a_row_frozen_very_long_ago_does_not_count_as_written_since(db: Db, later: int, counts: bool) -> None:
    """Its transaction's number is that of one still to come: they come around."""
    begin = db.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert begin is not None
    row = sql.SQL("(SELECT {}::text::xid AS xmin) AS t").format(sql.Literal(str(int(begin[0]) + later)))
    since = query("activation.written_since", begin=sql.Literal(begin[0]))
    assert db.execute(sql.SQL("SELECT {} FROM {}").format(since, row)).fetchone() == (counts,)
