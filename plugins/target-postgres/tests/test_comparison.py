"""How a swap tells what it does to the live table's rows, and what becomes of the index by which it compares them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load
from target_postgres.activation import prepare
from things import START, described, ids, outcome, sync, thing, things

Db = psycopg.Connection[Any]
ROWS = 400
KEYS: dict[str, tuple[dict[str, str], Callable[[int], tuple[Any, ...]]]] = {
    "number": ({"id": "bigint"}, lambda number: (number * 7 - 900,)),
    "text": ({"id": "varchar(20)"}, lambda number: (random.Random(number).choice("aÄz_'\\%") + f"{number:x}",)),
    "uuid": ({"id": "uuid"}, lambda number: (uuid.UUID(int=number * 2**115 + number),)),
    "binary": ({"id": "varbinary"}, lambda number: (number.to_bytes(2, "little"),)),
    "decimal": ({"id": "decimal(38,4)"}, lambda number: (number,)),
    "one first value": ({"shop": "integer", "id": "bigint"}, lambda number: (1, number)),
    "few first values": ({"shop": "integer", "id": "bigint"}, lambda number: (number % 3, number)),
    "names of its own": ({"place": "integer", "image": "bigint"}, lambda number: (number, number)),
    "many first values": ({"shop": "integer", "id": "bigint"}, lambda number: (number // 3, number)),
}
UNDIVIDED = {"one first value", "few first values"}


# SPEC A7
@pytest.mark.parametrize("kind", KEYS)
def test_each_row_is_counted_once_whatever_the_key(
    config: Any, db: Db, feed: Feed, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Keys are compared range by range, divided at values of the staged rows: live ones lie between and beyond them."""
    ranges: list[int] = []
    bounds = prepare._bounds

    def spy(*args: Any) -> list[str]:
        found = bounds(*args)
        ranges.append(len(found) + 1)
        return found

    monkeypatch.setattr(prepare, "_bounds", spy)
    types, key_of = KEYS[kind]
    feed.columns = {**types, "status": "integer", "amount": "decimal(38,2)", "mod_ts": "timestamp(6)"}
    feed.key = feed.not_null = tuple(types)

    def rows(numbers: list[int], status: Callable[[int], int | None]) -> list[dict[str, Any]]:
        made = [
            {**dict(zip(types, key_of(n), strict=True)), "status": status(n), "amount": None, "mod_ts": START}
            for n in numbers
        ]
        return sorted(made, key=lambda row: tuple(row[name] for name in types), reverse=True)

    chance = random.Random(kind)
    before = chance.sample(range(1, 2 * ROWS), ROWS)
    after = [n for n in before if chance.random() > 0.1] + chance.sample(range(2 * ROWS, 4 * ROWS), 70)
    changed = {n for n in before if chance.random() < 0.2}
    load(config, feed.full(rows(before, lambda n: n % 5 or None), page=90))
    feed.version = 2
    load(config, feed.full(rows(after, lambda n: 9 if n in changed else n % 5 or None), page=90), activation="swap")
    updated = len(changed & set(after))
    stale = len(set(before) - set(after))
    assert outcome(db) == (70, updated, len(after) - 70 - updated, stale)
    assert ranges == [1 if kind in UNDIVIDED else prepare.RANGES]


# SPEC A7
def test_live_rows_without_a_key_are_stale(config: Any, db: Db, feed: Feed) -> None:
    """Somebody else wrote them, into a table that has lost its primary key: they lie in no range, and are counted."""
    load(config, feed.full(things(*range(1, ROWS))))
    db.execute("ALTER TABLE things DROP CONSTRAINT things_pkey; ALTER TABLE things ALTER id DROP NOT NULL")
    db.execute("INSERT INTO things (id, status) VALUES (NULL, 1), (NULL, 2)")
    feed.version = 2
    load(config, feed.full(things(*range(1, ROWS))), activation="swap")
    assert outcome(db) == (0, 0, ROWS - 1, 2)


INDEXES = {
    "primary key": "ALTER TABLE things ADD CONSTRAINT k PRIMARY KEY (id)",
    "primary key, deferrable": "ALTER TABLE things ADD CONSTRAINT k PRIMARY KEY (id) DEFERRABLE",
    "primary key with more columns": "ALTER TABLE things ADD CONSTRAINT k PRIMARY KEY (id) INCLUDE (status)",
    "primary key, half full": "ALTER TABLE things ADD CONSTRAINT k PRIMARY KEY (id) WITH (fillfactor = 50)",
    "unique index, descending": "CREATE UNIQUE INDEX k ON things (id DESC)",
    "unique index and one like it": "CREATE UNIQUE INDEX k ON things (id); CREATE UNIQUE INDEX l ON things (id)",
    "plain index beside it": "ALTER TABLE things ADD CONSTRAINT k PRIMARY KEY (id); CREATE INDEX l ON things (id)",
    "none": "",
}


# SPEC A9
@pytest.mark.parametrize("kind", INDEXES)
def test_the_index_that_proves_the_key_becomes_the_tables_own(config: Any, db: Db, feed: Feed, kind: str) -> None:
    """The live table's indexes are as before and no other is left; without a key it has one from then on."""
    load(config, feed.full(things(*range(1, 11))))
    db.execute("ALTER TABLE things DROP CONSTRAINT things_pkey")
    if INDEXES[kind]:
        db.execute(INDEXES[kind])  # type: ignore[arg-type]
    before = indexes(db)
    feed.version = 2
    load(config, feed.full(things(*range(1, 12))), activation="swap")
    assert ids(db) == list(range(1, 12))
    after = indexes(db)
    assert {name: after[name] for name in before} == before
    own = {
        "none": {"things_pkey": "PRIMARY KEY (id)"},
        # Its rows may have one key for a while, so that rows cannot be matched by it.
        "primary key, deferrable": {"things_key": "UNIQUE (id)"},
    }
    assert {name: constraint for name, (_, constraint) in after.items() if name not in before} == own.get(kind, {})


def indexes(db: Db) -> dict[str, tuple[str, str | None]]:
    """Definition and constraint of each index of the live table."""
    found = db.execute(
        "SELECT c.relname, pg_get_indexdef(c.oid), pg_get_constraintdef(con.oid) FROM pg_index AS i"
        " JOIN pg_class AS c ON c.oid = i.indexrelid"
        " LEFT JOIN pg_constraint AS con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u')"
        " WHERE i.indrelid = 'public.things'::regclass"
    ).fetchall()
    return {name: (definition, constraint) for name, definition, constraint in found}


# SPEC A5
def test_what_is_seldom_set_survives_a_swap_too(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    feed.columns["Name"] = "text"
    sync(config, feed, things(*range(1, 11)), 1)
    statements = [
        "DROP ROLE IF EXISTS counter",
        "CREATE ROLE counter",
        "CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler",
        "ALTER TABLE things SET ACCESS METHOD heap_too, SET UNLOGGED",
        "ALTER TABLE things ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY",
        "GRANT USAGE ON SEQUENCE things_id_seq TO counter",
        "COMMENT ON SEQUENCE things_id_seq IS 'counts'",
        "SELECT setval('things_id_seq', 40, false)",
        "GRANT SELECT ON SEQUENCE things_id_seq TO counter WITH GRANT OPTION",
        "ALTER TABLE things SET (toast.autovacuum_enabled = off), ALTER amount SET STATISTICS 0",
        "ALTER TABLE things FORCE ROW LEVEL SECURITY",
        "CREATE POLICY added ON things AS RESTRICTIVE FOR INSERT TO PUBLIC, counter WITH CHECK (things.id > 0)",
        "CREATE POLICY changed ON things FOR UPDATE USING (things.id > 1) WITH CHECK (things.id > 2)",
        "CREATE UNIQUE INDEX backwards ON things (id DESC)",
        "ALTER TABLE things REPLICA IDENTITY USING INDEX backwards",
        "ALTER TABLE things ADD CONSTRAINT apart EXCLUDE (status WITH =) WHERE (status > 1)",
        "CREATE INDEX by_half ON things (id, (amount / 2))",
        "ALTER INDEX by_half ALTER COLUMN 2 SET STATISTICS 321",
        "CREATE STATISTICS together ON name, status FROM things",
        "ALTER STATISTICS together SET STATISTICS 123",
    ]
    for statement in statements:
        db.execute(statement)
    before = described(server, db)
    for expected in ("heap_too", "UNLOGGED", "321", "'counts'", "TO counter", "toast.", "STATISTICS 0", "EXCLUDE"):
        assert expected in before
    sync(config, feed, things(*range(1, 12)), 2, activation="swap")
    assert described(server, db) == before
    db.execute("ALTER TABLE things REPLICA IDENTITY NOTHING")
    sync(config, feed, things(*range(1, 12)), 3, activation="swap")
    assert db.execute("SELECT relreplident FROM pg_class WHERE oid = 'things'::regclass").fetchone() == ("n",)
    assert db.execute("SELECT last_value, is_called FROM things_id_seq").fetchone() == (40, False)
    assert db.execute("SELECT stxstattarget FROM pg_statistic_ext").fetchall() == [(123,)]
    db.execute("DROP OWNED BY counter; DROP ROLE counter")


def test_an_index_that_could_not_be_made_is_left_behind(config: Any, db: Db, feed: Feed) -> None:
    """One that is not valid serves nobody, and may never be made of these rows."""
    sync(config, feed, things(1, 2, Name="same"), 1)
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON things (name)")
    db.execute("COMMENT ON INDEX broken IS 'to be made again'")
    sync(config, feed, things(1, 2, Name="same"), 2, activation="swap")
    assert list(indexes(db)) == ["things_pkey"]


def test_a_not_null_is_called_by_the_tables_name(config: Any, db: Db, feed: Feed) -> None:
    """Not by that of the staging table, which was this one first."""
    if db.info.server_version < 180_000:
        pytest.skip("NOT NULL has no name before PostgreSQL 18")
    feed.not_null = ("id", "status")
    for version in (1, 2):
        sync(config, feed, things(1, 2), version)
        names = db.execute("SELECT conname FROM pg_constraint WHERE contype = 'n' AND conrelid = 'things'::regclass")
        assert sorted(names.fetchall()) == [("things_id_not_null",), ("things_status_not_null",)]


def test_a_comment_on_a_not_null_that_the_source_does_not_keep(config: Any, db: Db, feed: Feed) -> None:
    if db.info.server_version < 180_000:
        pytest.skip("NOT NULL has no comment before PostgreSQL 18")
    sync(config, feed, things(1), 1)
    db.execute("ALTER TABLE things ALTER status SET NOT NULL, ALTER id SET NOT NULL")
    db.execute("COMMENT ON CONSTRAINT things_status_not_null ON things IS 'filled'")
    sync(config, feed, [thing(1, status=None)], 2, activation="swap")
    assert ids(db, "status IS NULL") == [1]


# SPEC A4, A5
def test_what_an_event_trigger_does_to_new_tables_is_not_done_to_the_live_one(
    config: Any, server: embedded.Server, db: Db, feed: Feed
) -> None:
    """Row security without a policy would show nobody but the owner a row."""
    sync(config, feed, things(*range(1, 11)), 1)
    before = described(server, db)
    db.execute(
        "CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE made text; BEGIN"
        " FOR made IN SELECT object_identity FROM pg_event_trigger_ddl_commands() LOOP EXECUTE format("
        "'ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, REPLICA IDENTITY FULL', made);"
        " END LOOP; END $$"
    )
    db.execute("CREATE EVENT TRIGGER guard ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION guard()")
    sync(config, feed, things(*range(1, 12)), 2, activation="swap")
    assert described(server, db) == before


# SPEC A5
def test_a_key_without_overlaps_survives_a_swap(config: Any, server: embedded.Server, db: Db, feed: Feed) -> None:
    if db.info.server_version < 180_000:
        pytest.skip("there is none before PostgreSQL 18")
    sync(config, feed, things(*range(1, 11)), 1)
    for name in ("place", "span"):
        db.execute(f"ALTER TABLE things ADD {name} int8range GENERATED ALWAYS AS (int8range(id, id + 1)) STORED")
    db.execute("ALTER TABLE things ADD CONSTRAINT apart UNIQUE (place, span WITHOUT OVERLAPS)")
    before = described(server, db)
    assert "WITHOUT OVERLAPS" in before
    sync(config, feed, things(*range(1, 12)), 2, activation="swap")
    assert described(server, db) == before
