"""What a server, a database or a role is set to, and what the target makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load
from sync_rules.exits import ConfigurationError, TargetUnreachable
from target_postgres import connection
from target_postgres.catalog import TableName
from target_postgres.connection import connect
from target_postgres.errors import LedgerGap
from target_postgres.full import FullLoad
from target_postgres.lock import Locks
from target_postgres.settings import Settings
from things import WAYS, ids, last_sync, sync, thing, things

Db = psycopg.Connection[Any]


# SPEC F3
@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("local", "local"), ("on", "on")])
def test_state_does_not_outlive_a_commit(config: Any, db: Db, given: str, used: str) -> None:
    """Without synchronous commit a server's crash would lose rows whose STATE is saved."""
    db.execute(f"ALTER DATABASE {db.info.dbname} SET synchronous_commit = {given}")
    with connect(Settings.of(config), "test") as ours:
        assert ours.execute("SHOW synchronous_commit").fetchone() == (used,)


@pytest.mark.parametrize(
    ("setting", "given", "used"),
    [
        ("timezone", "'America/Sao_Paulo'", "UTC"),
        ("datestyle", "'SQL, DMY'", "ISO, YMD"),
        ("default_transaction_isolation", "'repeatable read'", "read committed"),
        ("row_security", "off", "on"),
        ("standard_conforming_strings", "off", "on"),
    ],
)
def test_what_a_database_is_set_to_does_not_change_what_is_loaded(
    config: Any, db: Db, tmp_path: Path, setting: str, given: str, used: str
) -> None:
    """A time without an offset, sent as text, is UTC."""
    db.execute(f"ALTER DATABASE {db.info.dbname} SET {setting} = {given}")
    with connect(Settings.of(config), "test") as ours:
        assert ours.execute(f"SHOW {setting}").fetchone() == (used,)
    feed = Feed(tmp_path, columns={"id": "bigint", "z": "timestamp(6) with time zone"}, cursor=None)
    load(config, feed.full([{"id": 1, "z": "2026-02-01T10:00:00"}], records=True))
    assert db.execute("SELECT z = '2026-02-01 10:00+00' FROM things").fetchone() == (True,)


@WAYS
def test_what_a_role_finds_before_postgresqls_own_changes_nothing(
    config: Any, db: Db, tmp_path: Path, activation: str
) -> None:
    """orafce has a role look in its schema first, where `date` is another type; a port from SQL Server has an `=`."""
    db.execute(f"ALTER DATABASE {db.info.dbname} SET search_path = own, public, pg_catalog")
    db.execute("CREATE SCHEMA own")
    for name in ("date", "uuid", "bytea"):
        db.execute(f"CREATE DOMAIN own.{name} AS varchar(1)")
    db.execute(
        "CREATE FUNCTION own.same(varchar, varchar) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
        " 'SELECT lower($1::text) = lower($2::text)'"
    )
    db.execute("CREATE OPERATOR own.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = own.same)")
    kinds = {"d": "date", "u": "uuid", "b": "varbinary"}
    values = {"d": date(2026, 1, 1), "u": b"u" * 16, "b": b"b"}
    feed = Feed(tmp_path, columns={"id": "varchar(10)", **kinds, "n": "integer"}, cursor=None)
    sync(config, feed, [{"id": "a", "n": 1, **values}, {"id": "B", "n": 2, **values}], 1)
    load(config, feed.incremental([{"id": "A", "n": 3, **values}]))
    assert dict(db.execute("SELECT id, n FROM things").fetchall()) == {"a": 1, "B": 2, "A": 3}
    rows = [{"id": key, "n": n, **values} for key, n in (("b", 4), ("A", 3), ("c", 5))]
    sync(config, feed, rows, 2, activation=activation)
    assert dict(db.execute("SELECT id, n FROM things").fetchall()) == {"b": 4, "A": 3, "c": 5}
    assert last_sync(db, "rows_inserted", "rows_unchanged", "rows_stale") == (2, 1, 2)
    types = db.execute(
        "SELECT array_agg(atttypid::regtype::text ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = 'public.things'::regclass AND attnum BETWEEN 2 AND 4"
    )
    assert types.fetchone() == (["date", "uuid", "bytea"],)


def test_another_machine_is_not_talked_to_in_clear(config: Any, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_NEARBY", ())
    with pytest.raises(TargetUnreachable, match="SSL"):
        load(config, feed.full(things(1)))


def test_a_server_that_quotes_every_name(config: Any, db: Db, tmp_path: Path) -> None:
    feed = Feed(tmp_path, columns={"id": "bigint", "v": "text"}, cursor=None)
    db.execute(f"ALTER DATABASE {db.info.dbname} SET quote_all_identifiers = on")
    rows = [{"id": 1, "v": "a"}]
    for version in (1, 2):
        sync(config, feed, rows, version)
    load(config, feed.incremental([{"id": 2, "v": "b"}]))
    assert ids(db) == [1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("CREATE PUBLICATION p FOR TABLE things", "does not have a replica identity and publishes updates"),
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM gone(1); RETURN NEW; END';"
            "CREATE TRIGGER t BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION f()",
            "function gone(integer) does not exist",
        ),
    ],
    ids=["publication", "trigger"],
)
def test_what_the_operator_has_to_mend_is_told_as_that(
    config: Any, db: Db, feed: Feed, change: str, words: str
) -> None:
    """No restart would."""
    load(config, feed.incremental(things(1)))
    db.execute("ALTER TABLE things DROP CONSTRAINT things_pkey; CREATE UNIQUE INDEX ON things (id)")
    db.execute(change)
    with pytest.raises(ConfigurationError) as raised:
        load(config, feed.incremental(things(1, status=2)))
    assert words in str(raised.value)


@pytest.fixture
def latin(server: embedded.Server) -> Iterator[str]:
    """A database with fewer characters than UTF8."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'")
        yield "latin"
        connection.execute("DROP DATABASE latin WITH (FORCE)")


def test_a_database_of_another_encoding(config: Any, server: embedded.Server, latin: str, feed: Feed) -> None:
    there = {**config, "database": latin}
    with pytest.raises(ConfigurationError, match="encoding LATIN1 has no place for nul_replacement"):
        load(there, feed.full(things(1)))
    for version in (1, 2):
        sync(there, feed, things(*range(1, 11), Name="a\0ç"), version, nul_replacement="¿")
    with psycopg.connect(server.dsn(latin)) as db:
        assert ids(db, "name = 'a¿ç'") == list(range(1, 11))


# SPEC V4
def test_a_character_that_the_database_has_not_is_a_reject(
    config: Any, server: embedded.Server, latin: str, feed: Feed
) -> None:
    there = {**config, "database": latin, "nul_characters": "strip", "max_rejects": 1}
    sync(there, feed, [*things(1, 2), thing(3, Name="€")], 1)
    with psycopg.connect(server.dsn(latin)) as db:
        assert ids(db) == [1, 2]
        reasons = db.execute("SELECT reason, row_values::text FROM paralelo.reject").fetchall()
    assert [(text.partition(" has")[0].partition(" in encoding")[0], "\\u20ac" in row) for text, row in reasons] == [
        ("character with byte sequence 0xe2 0x82 0xac", True)
    ]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_names_in_a_database_of_another_encoding(
    config: Any, server: embedded.Server, tmp_path: Path, encoding: str
) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE other ENCODING {encoding} TEMPLATE template0 LOCALE 'C'")
    feed = Feed(tmp_path, columns={"id": "bigint", "Ação": "varchar(10)"}, cursor=None)
    there = {**config, "database": "other", "nul_characters": "strip"}
    for version in (1, 2):
        sync(there, feed, [{"id": 1, "Ação": "ç"}], version)
    with psycopg.connect(server.dsn("other"), client_encoding="UTF8") as db:
        assert db.execute("SELECT id FROM things WHERE \"ação\" = 'ç'").fetchall() == [(1,)]
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP DATABASE other WITH (FORCE)")


# SPEC V4
@pytest.mark.parametrize("records", [False, True])
def test_where_lengths_are_in_bytes_no_space_is_lost(
    config: Any, server: embedded.Server, feed: Feed, records: bool
) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bytewise ENCODING SQL_ASCII TEMPLATE template0 LOCALE 'C'")
    there = {**config, "database": "bytewise", "nul_characters": "strip", "max_rejects": 1}
    load(there, feed.full([*things(1, Name="çã    "), *things(2, Name="çã       ")], records=records))
    with psycopg.connect(server.dsn("bytewise"), client_encoding="UTF8") as db:
        assert db.execute("SELECT id, name FROM things").fetchall() == [(1, "çã    ")]
        assert db.execute("SELECT reason FROM paralelo.reject").fetchall() == [
            ("value too long for type character varying(10) (column name)",)
        ]
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("DROP DATABASE bytewise WITH (FORCE)")


def test_a_staging_table_shows_nobody_more_than_the_live_one(config: Any, db: Db, feed: Feed) -> None:
    db.execute("CREATE ROLE curious")
    db.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO curious")
    sync(config, feed, things(*range(1, 11)), 1)
    may = "SELECT has_table_privilege('curious', %s, 'SELECT')"
    assert db.execute(may, ["things"]).fetchone() == (True,), "a new table has what default privileges give"
    db.execute("REVOKE ALL ON things FROM curious")
    feed.version = 2
    load(config, feed.full(things(*range(1, 11)), page=5)[:3])
    assert db.execute(may, ["_paralelo_things_2"]).fetchone() == (False,)
    db.execute("DROP OWNED BY curious; DROP ROLE curious")


# SPEC A6
@pytest.mark.parametrize(
    ("stale", "keyed", "lacking"),
    [
        ("delete", True, "INSERT, UPDATE, DELETE"),
        ("keep", True, "INSERT, UPDATE"),
        ("keep", False, "INSERT, UPDATE, DELETE"),
    ],
)
def test_a_right_that_a_merge_lacks_is_known_at_the_start(
    ordinary: Any, db: Db, feed: Feed, stale: str, keyed: bool, lacking: str
) -> None:
    """Rows of one key, which no index keeps apart, are deleted but for one, whatever becomes of stale ones."""
    ordinary["stale_rows"] = stale
    sync(ordinary, feed, things(*range(1, 11)), 1)
    db.execute("ALTER TABLE things OWNER TO CURRENT_USER; GRANT SELECT ON things TO loader")
    if not keyed:
        db.execute("ALTER TABLE things DROP CONSTRAINT things_pkey")
    with pytest.raises(ConfigurationError, match=f"the role does not have: {lacking}; grant them"):
        load(ordinary, [Feed(feed.folder, version=2).schema()])
    db.execute(f"GRANT {lacking} ON things TO loader")
    sync(ordinary, feed, things(*range(1, 12)), 2)
    assert last_sync(db, "activation") == ("merge",)
    wider = Feed(feed.folder, version=3, columns={**feed.columns, "more": "text"})
    with pytest.raises(ConfigurationError, match=r"changed \(added more text\), and the table belongs to another role"):
        load(ordinary, [wider.schema()])


# SPEC A6
@pytest.mark.parametrize("lacking", ["schema", "tablespace", "table", "role"])
def test_a_right_that_a_swap_lacks_is_known_at_the_start(config: Any, db: Db, feed: Feed, lacking: str) -> None:
    db.execute("DROP ROLE IF EXISTS loader, owners")
    db.execute("CREATE ROLE owners; CREATE ROLE loader LOGIN PASSWORD 'loader' IN ROLE owners")
    db.execute(f"GRANT ALL ON DATABASE {db.info.dbname} TO loader; GRANT ALL ON SCHEMA public TO loader")
    ordinary = {**config, "user": "loader", "password": "loader"}
    sync(ordinary, feed, things(*range(1, 11)), 1)
    if lacking == "schema":
        db.execute("ALTER TABLE things OWNER TO owners")
        db.execute("GRANT USAGE ON SCHEMA public TO owners")
    elif lacking == "table":
        db.execute("ALTER TABLE things OWNER TO CURRENT_USER; GRANT ALL ON things TO loader")
    elif lacking == "role":
        if db.info.server_version < 160_000:
            pytest.skip("a membership without SET came with PostgreSQL 16")
        db.execute("GRANT CREATE ON SCHEMA public TO owners; GRANT owners TO loader WITH SET FALSE")
        db.execute("ALTER TABLE things OWNER TO owners")
    else:
        db.execute("SET allow_in_place_tablespaces = on")
        db.execute("CREATE TABLESPACE slow LOCATION ''")
        db.execute("CREATE INDEX there ON things (name) TABLESPACE slow")
    told = "the table belongs to another role" if lacking == "table" else "no right "
    with pytest.raises(ConfigurationError, match=f"cannot be swapped: {told}"):
        load(ordinary, [Feed(feed.folder, version=2).schema()], activation="swap")
    sync(ordinary, feed, things(*range(1, 12)), 3)
    assert last_sync(db, "activation") == ("merge",)
    db.execute("DROP OWNED BY loader, owners CASCADE; DROP ROLE loader, owners")
    db.execute("DROP TABLESPACE IF EXISTS slow")


# SPEC A6
@pytest.mark.parametrize(
    "made",
    [
        "CREATE STATISTICS theirs.together ON name, status FROM things",
        "CREATE INDEX by_half ON things (theirs.half(status))",
        "CREATE POLICY few ON things USING (theirs.half(status) = 1); ALTER TABLE things ENABLE ROW LEVEL SECURITY",
    ],
    ids=lambda made: made.split()[1].lower(),
)
def test_what_the_role_may_not_make_again_makes_it_merge(ordinary: Any, db: Db, feed: Feed, made: str) -> None:
    sync(ordinary, feed, things(*range(1, 11)), 1)
    db.execute("CREATE SCHEMA theirs")
    db.execute("CREATE FUNCTION theirs.half(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1 / 2'")
    db.execute(made)  # type: ignore[arg-type]
    sync(ordinary, feed, things(*range(2, 13)), 2)
    assert (ids(db), last_sync(db, "activation")) == (list(range(2, 13)), ("merge",))
    with pytest.raises(ConfigurationError, match="permission denied for schema theirs"):
        sync(ordinary, feed, things(*range(2, 13)), 3, activation="swap")


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_role_that_is_not_shown_all_rows_is_refused(ordinary: Any, db: Db, feed: Feed, mode: str) -> None:
    """It would take the rest for rows that are missing, and a shrunken table for a whole one."""
    sync(ordinary, feed, things(*range(1, 11)), 1)
    db.execute("CREATE POLICY few ON things USING (id < 3) WITH CHECK (true)")
    db.execute("ALTER TABLE things ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    feed.version = 2
    lines = feed.full(things(1, 2)) if mode == "full" else feed.incremental(things(1, 2))
    with pytest.raises(ConfigurationError, match="row security applies to this role and hides rows"):
        load(ordinary, lines)
    assert ids(db) == list(range(1, 11))


@pytest.mark.parametrize("what", ["ALL TABLES", "TABLES IN SCHEMA public"])
def test_a_staging_table_is_sent_to_no_subscriber(config: Any, db: Db, feed: Feed, what: str) -> None:
    """A publication of all tables sends those that are written to the log."""
    db.execute(f"CREATE PUBLICATION sent FOR {what}")
    load(config, feed.full(things(*range(1, 11)), page=5)[:3])
    sent = "SELECT tablename FROM pg_publication_tables WHERE tablename NOT LIKE 'test%' AND schemaname = 'public'"
    assert db.execute(sent).fetchall() == []
    load(config, feed.full(things(*range(1, 11)), page=5))
    assert db.execute(sent).fetchall() == [("things",)]


@pytest.mark.parametrize("when", ["between two runs", "during a run"])
def test_a_publication_that_comes_during_a_full_sync_makes_it_begin_anew(
    config: Any, db: Db, feed: Feed, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Of a staging table that is written to the log it would send the rest, and let no row be changed."""
    sync(config, feed, things(*range(1, 11)), 1)
    feed.version = 2
    schema, *lines = feed.full(things(*range(1, 11)), page=5)
    publish = "CREATE PUBLICATION sent FOR ALL TABLES"
    load(config, [schema, *lines[:2]])
    if when == "between two runs":
        db.execute(publish)
    else:
        monkeypatch.setattr(FullLoad, "check_batches", lambda *_: db.execute(publish))
    with pytest.raises(LedgerGap, match="a publication came"):
        load(config, [schema, *lines[2:]])
    monkeypatch.undo()
    sync(config, feed, things(*range(1, 12)), 3)
    assert (ids(db), last_sync(db, "activation")) == (list(range(1, 12)), ("merge",))


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_an_identity_that_no_update_may_set_is_refused_at_the_start(config: Any, db: Db, feed: Feed, mode: str) -> None:
    sync(config, feed, things(*range(1, 11)), 1)
    db.execute(
        "ALTER TABLE things ALTER COLUMN status SET NOT NULL, ALTER COLUMN status ADD GENERATED ALWAYS AS IDENTITY"
    )
    feed.version, feed.not_null = 2, ("id", "status")
    with pytest.raises(ConfigurationError, match="column status is an identity GENERATED ALWAYS"):
        load(config, [feed.schema(mode)])


def test_a_server_that_is_too_old_is_told_at_once(config: Any, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OLDEST_SERVER", 900)
    with pytest.raises(ConfigurationError, match=r"is version \d+; the oldest that can be loaded into is 900"):
        load(config, feed.full(things(1)))


def test_a_standby_may_take_over_and_is_met_again(feed: Feed) -> None:
    """The address of a server that failed over leads to one for a while."""
    standby = embedded.Server()
    try:
        standby._postgres.stop()
        (standby._postgres.data / "standby.signal").touch()
        standby.start()
        with pytest.raises(TargetUnreachable, match="is a standby"):
            load(standby.config(), feed.full(things(1)))
    finally:
        standby.remove()


class Pooled:
    """A client of a pooler: its own number, and a session of the server's that another client may have, too."""

    def __init__(self, session: Db, number: int) -> None:
        info = session.info
        self._session = session
        self.info = SimpleNamespace(
            backend_pid=number, host="pooler", port=number // 10, parameter_status=info.parameter_status
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_pooler_in_transaction_mode_is_refused_before_anything_is_set(
    server: embedded.Server, database: str, db: Db
) -> None:
    """What is set would hold for its other clients, and a lock would be held by nobody that ever lets it go."""
    first: Any = Pooled(db, 10)
    with pytest.raises(ConfigurationError, match="session mode"):
        connection.refuse_shared(first, lambda: Pooled(db, 11), "PostgreSQL at pooler")  # type: ignore[arg-type, return-value]


def test_a_pooler_in_session_mode_is_asked_once(server: embedded.Server, database: str) -> None:
    asked: list[int] = []
    with psycopg.connect(server.dsn(database)) as one, psycopg.connect(server.dsn(database)) as two:
        one.autocommit = two.autocommit = True

        def another() -> Any:
            asked.append(1)
            return Pooled(two, 21)

        for _ in range(2):
            connection.refuse_shared(Pooled(one, 20), another, "PostgreSQL at pooler")  # type: ignore[arg-type]
    assert asked == [1]


def test_a_lock_that_another_session_holds_now_is_none(config: Any) -> None:
    locks = Locks(Settings.of(config))
    locks.take(TableName("public", "things"), "full")
    locks.check()
    assert locks._connection is not None
    locks._connection.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(TargetUnreachable, match="is another now"):
        locks.check()
    locks.close()


def test_a_server_itself_is_asked_for_nothing_more(db: Db) -> None:
    connection.refuse_shared(db, lambda: pytest.fail("a second connection"), "PostgreSQL")
