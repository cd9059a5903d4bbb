"""What must not take effect: an empty, shrunken or half-read source, rows that the live table has no place for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from feed import Feed, load
from sync_rules.exits import CheckRefused, ConfigurationError
from things import WAYS, ids, last_sync, sync, things

Db = psycopg.Connection[Any]


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
        ((), {}, "without a key it can only be swapped, and that cannot be: .* view public.hanging"),
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


def test_rows_that_break_a_rule_of_the_live_table_do_not_take_its_place(config: Any, db: Db, feed: Feed) -> None:
    sync(config, feed, things(1, 2), 1)
    db.execute("ALTER TABLE things ADD CONSTRAINT once UNIQUE (name)")
    with pytest.raises(CheckRefused, match=r"could not create unique index \.\.\. \(constraint once\)"):
        sync(config, feed, things(1, 2, Name="same"), 2, activation="swap")
    assert ids(db, "name <> 'same'") == [1, 2]


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
