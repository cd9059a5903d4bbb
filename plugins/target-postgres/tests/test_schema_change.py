"""The source's columns change: each change has a stated outcome, and none loses data in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from feed import Feed, load
from sync_rules.exits import ConfigurationError
from target_postgres.errors import LedgerGap
from things import ids, last_sync, make_partitioned, outcome, thing, things

Db = psycopg.Connection[Any]
WAYS = pytest.mark.parametrize("way", ["swap", "merge", "incremental"])


def again(config: Any, feed: Feed, rows: list[dict[str, Any]], way: str, **more: Any) -> None:
    """The second sync, after the change."""
    feed.version = 2
    if way == "incremental":
        load(config, feed.incremental(rows), **more)
    else:
        load(config, feed.full(rows), activation=way, **more)


def types(db: Db) -> dict[str, str]:
    """The live table's columns."""
    return dict(
        db.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = 'things'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ).fetchall()
    )


@pytest.fixture
def loaded(config: Any, feed: Feed) -> Feed:
    """Ten rows are there."""
    load(config, feed.full(things(*range(1, 11))))
    return feed


@WAYS
def test_added(config: Any, db: Db, loaded: Feed, way: str, caplog: pytest.LogCaptureFixture) -> None:
    loaded.columns = {"Extra": "varchar(5)", **loaded.columns}
    loaded.not_null = ("id", "Extra")
    again(config, loaded, things(*range(1, 11), Extra="new"), way)
    assert types(db)["extra"] == "character varying(5)"
    assert ids(db, "extra = 'new'") == list(range(1, 11))
    # Of rows that are not sent again the target has no value, whatever the source fills the column with.
    assert ("rows copied before have NULL in extra" in caplog.text) == (way == "incremental")


@pytest.mark.parametrize("way", ["auto", "merge"])
def test_a_key_column_that_the_target_lacks(config: Any, db: Db, loaded: Feed, way: str) -> None:
    """No row of the live table can be matched: a swap replaces all, and what cannot be one is refused at once."""
    loaded.columns, loaded.key, loaded.not_null = {"part": "integer", **loaded.columns}, ("part", "id"), ("part", "id")
    loaded.version = 2
    if way == "merge":
        with pytest.raises(ConfigurationError, match="the key column part, which the target lacks, its rows cannot be"):
            load(config, [loaded.schema()], activation=way)
        db.execute("CREATE VIEW hanging AS SELECT * FROM things")
        with pytest.raises(ConfigurationError, match=r"only be swapped, and that cannot be: .* view public\.hanging"):
            load(config, [loaded.schema()])
    else:
        again(config, loaded, things(*range(2, 12), part=1), way)
        assert ids(db, "part = 1") == ids(db) == list(range(2, 12))


@WAYS
def test_widened(config: Any, db: Db, loaded: Feed, way: str) -> None:
    loaded.columns.update(Name="varchar(20)", amount="decimal(38,4)", status="bigint", mod_ts="timestamp(6)")
    again(config, loaded, things(*range(1, 11), Name="n" * 20, status=2**40), way)
    assert types(db) | {"id": "bigint"} == {
        "id": "bigint",
        "name": "character varying(20)",
        "amount": "numeric(40,4)",
        "status": "bigint",
        "mod_ts": "timestamp(6) without time zone",
    }
    assert ids(db, f"status = {2**40}") == list(range(1, 11))


@WAYS
def test_a_widened_column_keeps_its_collation(config: Any, db: Db, loaded: Feed, way: str) -> None:
    db.execute('CREATE COLLATION "Näme 100%" FROM "C"')
    db.execute('ALTER TABLE things ALTER COLUMN name TYPE varchar(10) COLLATE "Näme 100%"')
    loaded.columns.update(Name="varchar(20)")
    again(config, loaded, things(*range(1, 11), Name="n" * 20), way)
    assert types(db)["name"] == "character varying(20)"
    kept = db.execute(
        "SELECT l.collname FROM pg_attribute AS a JOIN pg_collation AS l ON l.oid = a.attcollation"
        " WHERE a.attrelid = 'things'::regclass AND a.attname = 'name'"
    ).fetchone()
    assert kept == ("Näme 100%",)


# SPEC V1
def test_what_fills_up_a_char_is_there_when_it_becomes_a_varchar(config: Any, db: Db, feed: Feed) -> None:
    """As it is at the source, which does not touch its rows' cursors for it."""
    feed.columns.update(Name="char(5)")
    load(config, feed.full(things(1, 2, Name="n    ")))
    feed.columns.update(Name="varchar(8)")
    load(config, feed.incremental(things(2, Name="n    ")))
    assert types(db)["name"] == "character varying(8)"
    assert ids(db, "name = 'n    '") == [1, 2]


@pytest.mark.parametrize("way", ["auto", "incremental"])
def test_a_key_that_was_a_char_finds_its_rows(config: Any, db: Db, tmp_path: Path, way: str) -> None:
    feed = Feed(tmp_path, columns={"code": "char(5)", "n": "integer"}, key=("code",), cursor=None, not_null=("code",))
    load(config, feed.full([{"code": "a    ", "n": 1}, {"code": "b    ", "n": 1}]))
    feed.columns["code"] = "varchar(8)"
    again(config, feed, [{"code": "a    ", "n": 1}, {"code": "b    ", "n": 2}], way)
    assert db.execute("SELECT code, n FROM things ORDER BY 1").fetchall() == [("a    ", 1), ("b    ", 2)]
    assert outcome(db)[:3] == (0, 1, 1)


# SPEC O2
@pytest.mark.parametrize("way", ["auto", "incremental"])
def test_a_char_that_becomes_a_varchar_has_no_foreign_key(config: Any, db: Db, tmp_path: Path, way: str) -> None:
    """With the spaces that fill it up it is another value than the other table's."""
    feed = Feed(tmp_path, columns={"code": "char(5)", "n": "integer"}, key=("code",), cursor=None, not_null=("code",))
    load(config, feed.full([{"code": "a    ", "n": 1}]))
    db.execute("CREATE TABLE others AS SELECT code FROM things")
    db.execute("ALTER TABLE others ADD CONSTRAINT of_thing FOREIGN KEY (code) REFERENCES things (code)")
    feed.columns["code"] = "varchar(8)"
    told = "column code has to become character varying.* while constraint of_thing on table .*others uses it"
    with pytest.raises(ConfigurationError, match=told):
        again(config, feed, [{"code": "a    ", "n": 2}], way)
    db.execute("ALTER TABLE others DROP CONSTRAINT of_thing")
    again(config, feed, [{"code": "a    ", "n": 2}], way)
    assert db.execute("SELECT code, n FROM things").fetchall() == [("a    ", 2)]


# SPEC A7
def test_a_char_that_becomes_a_varchar_makes_no_row_another(config: Any, db: Db, feed: Feed) -> None:
    feed.columns.update(Name="char(5)")
    load(config, feed.full(things(1, 2, Name="n    ")))
    feed.columns.update(Name="varchar(8)")
    again(config, feed, things(1, Name="n    "), "swap", stale_rows="keep")
    assert ids(db, "name = 'n    '") == [1, 2]
    assert outcome(db) == (0, 0, 1, 1)


@WAYS
def test_narrowed_keeps_the_wider(config: Any, db: Db, loaded: Feed, way: str) -> None:
    before = types(db)
    loaded.columns.update(Name="varchar(5)", amount="decimal(10,1)", status="smallint")
    rows = [{**row, "amount": None} for row in things(*range(1, 11))]
    again(config, loaded, rows, way)
    assert types(db) == before
    assert last_sync(db, "rows_updated") == (10,)


@pytest.mark.parametrize("way", ["auto", "incremental"])
def test_gone_keeps_the_column_and_its_values(config: Any, db: Db, loaded: Feed, way: str) -> None:
    db.execute("ALTER TABLE things ALTER COLUMN status SET NOT NULL")
    del loaded.columns["status"]
    rows = [{name: value for name, value in row.items() if name != "status"} for row in things(*range(1, 12))]
    again(config, loaded, rows, way)
    assert last_sync(db, "activation") == ("merge" if way == "auto" else None,)
    assert db.execute("SELECT id FROM things WHERE status IS NULL").fetchall() == [(11,)]
    loaded.version = 3
    with pytest.raises(ConfigurationError, match="column status, which the source does not have"):
        load(config, loaded.full(rows), activation="swap")
    load(config, loaded.incremental([{**rows[0], "id": 12}]))
    assert db.execute("SELECT count(*) FROM things WHERE status IS NULL").fetchone() == (2,)


@WAYS
def test_nullable(config: Any, db: Db, feed: Feed, way: str) -> None:
    feed.not_null = ("id", "Name")
    load(config, feed.full(things(*range(1, 11))))
    feed.not_null = ("id",)
    again(config, feed, things(*range(1, 11), Name=None), way)
    assert ids(db, "name IS NULL") == list(range(1, 11))


@pytest.mark.parametrize("key", ["PRIMARY KEY (id, status)", "PRIMARY KEY (id), UNIQUE (id, status)", "identity"])
@WAYS
def test_not_null_that_the_target_needs_stays(config: Any, db: Db, feed: Feed, way: str, key: str) -> None:
    """A column that a source does not promise to fill may well be filled: a row in which it is not is refused."""
    kind = "integer GENERATED BY DEFAULT AS IDENTITY" if key == "identity" else "integer NOT NULL"
    rule = "PRIMARY KEY (id)" if key == "identity" else key
    db.execute(
        f"CREATE TABLE things (id bigint, name varchar(10), amount numeric(38,2), status {kind},"
        f" mod_ts timestamp(6), {rule})"
    )
    if key.endswith("UNIQUE (id, status)"):
        db.execute("ALTER TABLE things REPLICA IDENTITY USING INDEX things_id_status_key")
    rows = [thing(1), thing(2, status=None)]
    again(config, feed, rows, way, max_rejects=1)
    assert ids(db) == [1]
    assert db.execute("SELECT reason FROM paralelo.reject").fetchall() == [
        ("null value in column ... violates not-null constraint (column status)",)
    ]


@pytest.mark.parametrize("way", ["merge", "incremental"])
def test_not_null_that_is_inherited_stays(config: Any, db: Db, feed: Feed, way: str) -> None:
    db.execute("CREATE TABLE parent (status integer NOT NULL)")
    db.execute(
        "CREATE TABLE things (id bigint PRIMARY KEY, name varchar(10), amount numeric(38,2), mod_ts timestamp(6))"
        " INHERITS (parent)"
    )
    again(config, feed, [thing(1), thing(2, status=None)], way, max_rejects=1)
    assert ids(db) == [1]


@WAYS
def test_a_column_that_only_the_targets_primary_key_has_is_refused_at_once(
    config: Any, db: Db, feed: Feed, way: str
) -> None:
    db.execute("CREATE TABLE things (tenant integer, id bigint, PRIMARY KEY (tenant, id))")
    with pytest.raises(
        ConfigurationError, match="does not have the column tenant, and the target cannot leave it empty"
    ):
        again(config, feed, [], way)
    db.execute("ALTER TABLE things ALTER tenant SET DEFAULT 1")
    again(config, feed, things(1), "merge" if way == "swap" else way)
    assert ids(db, "tenant = 1") == [1]


@WAYS
def test_reordered(config: Any, db: Db, loaded: Feed, way: str) -> None:
    before = types(db)
    loaded.columns = dict(reversed(loaded.columns.items()))
    again(config, loaded, things(*range(1, 11), status=3), way)
    assert list(types(db)) == list(before)
    assert ids(db, "status = 3 AND name = 'n' || id") == list(range(1, 11))


@WAYS
def test_of_another_type_is_refused_before_anything_is_written(config: Any, db: Db, loaded: Feed, way: str) -> None:
    loaded.columns["status"] = "date"
    with pytest.raises(ConfigurationError, match="status is date at the source and integer in the target"):
        again(config, loaded, [], way)
    assert last_sync(db, "version", "status") == (1, "activated")


@WAYS
def test_a_column_that_the_target_computes_itself_is_refused_at_once(
    config: Any, db: Db, loaded: Feed, way: str
) -> None:
    db.execute("ALTER TABLE things DROP COLUMN status, ADD COLUMN status int GENERATED ALWAYS AS (id * 2) STORED")
    with pytest.raises(ConfigurationError, match="the target computes the column status itself"):
        again(config, loaded, [], way)


USERS = pytest.mark.parametrize(
    ("made", "told"),
    [
        ("CREATE VIEW seen AS SELECT status FROM things", "view public.seen"),
        ("ALTER TABLE things ADD twice integer GENERATED ALWAYS AS (status * 2) STORED", "column twice of table"),
        ("CREATE POLICY few ON things USING (status = 1)", "policy few on table"),
        ("CREATE FUNCTION most() RETURNS int BEGIN ATOMIC SELECT max(status) FROM things; END", "function public.most"),
        (
            "CREATE TABLE parent (LIKE things); ALTER TABLE things INHERIT parent",
            "inheritance from table public.parent",
        ),
        (
            "ALTER TABLE things RENAME TO old; CREATE TABLE things (LIKE old) PARTITION BY LIST (status);"
            "CREATE TABLE one PARTITION OF things DEFAULT; INSERT INTO things SELECT * FROM old",
            "its partition key",
        ),
    ],
)


@USERS
@pytest.mark.parametrize("way", ["merge", "incremental"])
def test_what_uses_a_column_that_must_be_widened(
    config: Any, db: Db, loaded: Feed, made: str, told: str, way: str
) -> None:
    """It is named, before a row is copied: PostgreSQL says at the end, and only that there is something."""
    db.execute("SET search_path TO public")
    db.execute(made)
    loaded.columns["status"] = "bigint"
    with pytest.raises(ConfigurationError, match=f"column status has to become bigint.* while .*{told}.* uses it"):
        again(config, loaded, things(*range(1, 11), status=2), way)
    assert ids(db, "status = 1") == list(range(1, 11))
    assert last_sync(db, "version") == (1,)


def test_a_view_that_comes_during_a_full_sync_that_widens(config: Any, db: Db, loaded: Feed) -> None:
    loaded.columns["status"] = "bigint"
    loaded.version = 2
    lines = loaded.full(things(*range(1, 11), status=2), page=5)
    load(config, lines[:3])
    db.execute("CREATE VIEW seen AS SELECT status FROM things")
    with pytest.raises(ConfigurationError, match=r"while view public\.seen uses it"):
        load(config, [lines[0], *lines[3:]])
    db.execute("DROP VIEW seen")
    load(config, [lines[0], *lines[3:]])
    assert ids(db, "status = 2") == list(range(1, 11))


# SPEC A9
@pytest.mark.parametrize("partitioned", [False, True])
def test_an_unfinished_full_sync_begins_again_when_an_incremental_one_rewrites_the_table(
    config: Any, db: Db, feed: Feed, tmp_path: Path, partitioned: bool
) -> None:
    """By their transaction ids all rows would then be newer than the staged ones, and none of them stale."""
    if partitioned:
        make_partitioned(db)
    load(config, feed.full(things(*range(1, 11))))
    feed.version = 2
    feed.columns["status"] = "bigint"
    lines = feed.full(things(*range(1, 10), status=5), page=5)
    load(config, lines[:3])
    load(config, Feed(tmp_path, columns=dict(feed.columns)).incremental(things(11)))
    assert db.execute("SELECT status FROM paralelo.sync WHERE version = 2").fetchone() == ("abandoned",)
    with pytest.raises(LedgerGap, match="given up"):
        load(config, [lines[0], *lines[3:]])
    feed.version = 3
    load(config, feed.full(things(*range(1, 10), 11, status=5)))
    assert ids(db, "status = 5") == [*range(1, 10), 11]


def test_an_unfinished_full_sync_begins_again_when_the_live_tables_columns_change(
    config: Any, db: Db, loaded: Feed
) -> None:
    """SPEC F6. Staged rows of the old type would be refused or, at the end, live values be cut to it."""
    loaded.version = 2
    lines = loaded.full(things(*range(1, 11), status=5), page=5)
    load(config, lines[:3])
    db.execute("ALTER TABLE things ALTER COLUMN status TYPE bigint")
    with pytest.raises(LedgerGap, match="columns changed"):
        load(config, [lines[0], *lines[3:]])
    loaded.version = 3
    load(config, loaded.full(things(*range(1, 11), status=5)))
    assert ids(db, "status = 5") == list(range(1, 11))


# SPEC A7
@pytest.mark.parametrize("way", ["swap", "merge"])
def test_stale_rows_go_when_the_table_is_written_anew(config: Any, db: Db, loaded: Feed, way: str) -> None:
    loaded.columns["status"] = "bigint"
    again(config, loaded, things(*range(1, 10), status=2**40), way)
    assert ids(db) == list(range(1, 10))
