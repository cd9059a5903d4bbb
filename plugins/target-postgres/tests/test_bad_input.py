"""Bad input ends with one line that says what and where, an exit code of its kind, and nothing half-done."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import server as embedded
from feed import Ended, Feed, load, run
from sync_rules.exits import ConfigurationError, DataRefused, SyncError
from target_postgres.target import TargetPostgres
from things import things

Db = psycopg.Connection[Any]
PASSWORD = "wrong-password-that-no-log-may-show"


def check(ended: Ended, code: int, words: str) -> None:
    """One line, the right code, no traceback, no secret."""
    assert (ended.code, words in ended.last) == (code, True), ended.log
    assert "Traceback" not in ended.log
    assert "Warning" not in ended.log
    assert PASSWORD not in ended.log
    assert ended.states == []


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"host": "no-such-host.invalid"}, 4, "no-such-host.invalid:"),
        ({"port": 1}, 4, "127.0.0.1:1"),
        ({"password": PASSWORD}, 2, "password authentication failed"),
        ({"user": "nobody_at_all", "password": PASSWORD}, 2, "password authentication failed"),
        ({"database": "no_such_database"}, 2, '"no_such_database" does not exist'),
        ({"port": 70000}, 2, "70000"),
        ({"ssl_mode": "sometimes"}, 2, "sometimes"),
        ({"ssl_mode": "require"}, 4, "SSL"),
        ({"stale_rows": "flag"}, 2, "stale_column"),
        ({"stale_rows": "flag", "stale_column": "status"}, 2, "stale_value must say"),
        ({"nul_replacement": "\0"}, 2, "cannot hold a NUL character itself"),
        ({"default_target_schema": "Paralelo"}, 2, "the ledger's own"),
    ],
)
def test_settings(config: Any, feed: Feed, tmp_path: Path, changed: dict[str, Any], code: int, words: str) -> None:
    check(run(config, tmp_path, feed.full(things(1)), **{"connect_timeout_seconds": 5, **changed}), code, words)


def test_a_password_that_is_a_number_is_not_shown(config: Any, feed: Feed, tmp_path: Path) -> None:
    ended = run(config, tmp_path, feed.full(things(1)), password=987654321)
    check(ended, 2, "password is a secret and no text")
    assert "987654321" not in ended.log


@pytest.mark.parametrize(
    "maps",
    [
        {"dbo-Things": {"Name": "md5(Name)"}},
        {"dbo-*": {"Name": "__NULL__"}},
        {"dbo-Things": "__NULL__"},
        {"__else__": "__NULL__"},
        {"copy": {"__source__": "dbo-Things"}},
    ],
    ids=str,
)
def test_maps_that_batch_files_would_pass_by(
    config: Any, db: Db, feed: Feed, tmp_path: Path, maps: dict[str, Any]
) -> None:
    """What was to be masked or left out is not written as it is."""
    check(
        run(config, tmp_path, feed.full(things(1)), stream_maps=maps), 2, "do not reach rows that come in batch files"
    )
    assert db.execute("SELECT to_regclass('public.things'), to_regclass('public.copy')").fetchone() == (None, None)


@pytest.mark.parametrize("records", [False, True])
def test_a_filter_of_a_full_sync_is_refused_at_once(
    config: Any, db: Db, feed: Feed, tmp_path: Path, records: bool
) -> None:
    """Its rows are counted; a page without any that is left would never be found in the ledger."""
    lines, maps = feed.full(things(1, 2, 3), page=1, records=records), {"dbo-*": {"__filter__": "id > 1"}}
    check(run(config, tmp_path, lines, stream_maps=maps), 2, "leave rows out in a view of the source")
    assert db.execute("SELECT to_regclass('public._paralelo_things_1')").fetchone() == (None,)


@pytest.mark.parametrize("records", [False, True])
def test_a_filter_of_an_incremental_sync_reaches_records_only(
    config: Any, db: Db, feed: Feed, tmp_path: Path, records: bool
) -> None:
    maps = {"dbo-Things": {"__filter__": "id > 1"}}
    if not records:
        lines = feed.incremental(things(1, 2))
        check(run(config, tmp_path, lines, stream_maps=maps), 2, "do not reach rows that come in batch files")
        return
    given = [{"id": number, "mod_ts": "2026-01-01T00:00:00"} for number in (1, 2)]
    load(config, [feed.schema("incremental"), *(feed.record(row, full=False) for row in given)], stream_maps=maps)
    assert db.execute("SELECT id FROM things").fetchall() == [(2,)]


def test_flattening_that_finds_nothing_to_flatten(config: Any, db: Db, feed: Feed) -> None:
    """A json column is text to Singer."""
    feed.columns["more"] = "json"
    row = {**things(1)[0], "more": '{"a": 1}'}
    load(config, feed.full([row]), flattening_enabled=True, flattening_max_depth=2)
    assert db.execute("SELECT more ->> 'a' FROM things").fetchall() == [("1",)]


def test_a_map_that_only_names_the_table(config: Any, db: Db, feed: Feed) -> None:
    maps = {"dbo-Things": {"__alias__": "others"}, "other-stream": {"Name": "md5(Name)"}}
    load(config, feed.full(things(1)), stream_maps=maps)
    assert db.execute("SELECT id FROM others").fetchall() == [(1,)]


# SPEC F7
@pytest.mark.parametrize("records", [False, True])
def test_state_is_that_of_the_taps_stream_whatever_the_table_is_called(
    config: Any, db: Db, feed: Feed, records: bool
) -> None:
    maps = {"dbo-Things": {"__alias__": "others"}}
    lines = feed.full(things(*range(1, 11)), page=5, records=records)
    staged = load(config, lines[:-1], stream_maps=maps)
    assert [state["bookmarks"][feed.stream]["done"] for state in staged] == [False, False], "done is held back"
    active = load(config, [lines[0], *lines[-2:]], stream_maps=maps)
    assert [state["bookmarks"][feed.stream]["done"] for state in active] == [True]
    assert db.execute("SELECT count(*) FROM others").fetchone() == (10,)


def test_a_gap_takes_back_the_bookmark_of_the_taps_stream(config: Any, db: Db, feed: Feed, tmp_path: Path) -> None:
    maps = {"dbo-Things": {"__alias__": "others"}}
    lines = feed.full(things(*range(1, 11)), page=5, records=True)
    load(config, lines[:7], stream_maps=maps)
    db.execute('DROP TABLE "_paralelo_others_1"')
    db.execute("UPDATE paralelo.sync SET status = 'abandoned'")
    ended = run(config, tmp_path, [lines[0], *lines[7:]], stream_maps=maps)
    assert (ended.code, ended.states[-1]["bookmarks"][feed.stream]["batches"]) == (10, 0)


def test_rows_under_another_name_outlive_a_changed_schema(config: Any, db: Db) -> None:
    def schema(**more: Any) -> str:
        properties = {"id": {"type": "integer"}, **more}
        return json.dumps(
            {"type": "SCHEMA", "stream": "s", "schema": {"properties": properties}, "key_properties": ["id"]}
        )

    rows = [json.dumps({"type": "RECORD", "stream": "s", "record": {"id": number}}) for number in (1, 2)]
    lines = [schema(), rows[0], schema(more={"type": "string"}), rows[1]]
    load(config, lines, stream_maps={"s": {"__alias__": "others"}})
    assert db.execute("SELECT id FROM others ORDER BY 1").fetchall() == [(1,), (2,)]


def test_rights(config: Any, server: embedded.Server, db: Db, feed: Feed, tmp_path: Path) -> None:
    db.execute(f"DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD '{PASSWORD}'")
    weak = {**config, "user": "weak", "password": PASSWORD}
    check(run(weak, tmp_path, feed.full(things(1))), 2, "permission denied")
    db.execute(f"GRANT CREATE ON DATABASE {db.info.dbname} TO weak")
    check(run(weak, tmp_path, feed.full(things(1))), 2, "permission denied for schema public")
    assert db.execute("SELECT count(*) FROM paralelo.sync").fetchone() == (0,)
    db.execute("DROP OWNED BY weak; DROP ROLE weak")


def test_a_read_only_server(config: Any, db: Db, feed: Feed, tmp_path: Path) -> None:
    db.execute(f"ALTER DATABASE {db.info.dbname} SET default_transaction_read_only = on")
    check(run(config, tmp_path, feed.full(things(1))), 2, "read-only transaction")


def test_a_view_in_the_tables_place(config: Any, db: Db, feed: Feed, tmp_path: Path) -> None:
    db.execute("CREATE VIEW things AS SELECT 1 AS id")
    check(run(config, tmp_path, feed.full(things(1))), 2, "is not a table")


def test_input_that_is_not_singer(config: Any, tmp_path: Path) -> None:
    check(
        run(config, tmp_path, ['{"type": "RECORD", "stream": "s", "record": {"cpf": "' + PASSWORD + '"}}']), 1, "schema"
    )
    ended = run(config, tmp_path, ["no json, but " + PASSWORD])
    assert ended.code == 1
    assert PASSWORD not in ended.log


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type": "WHAT"}', "of none of Singer's types"),
        ('{"stream": "s"}', "of none of Singer's types"),
        ('{"type": "SCHEMA", "stream": "s", "schema": {}}', "SCHEMA of stream s has no properties"),
        ('{"type": "SCHEMA", "stream": "s", "schema": {"properties": {"a": true}}}', "or one that is no object"),
        (
            '{"type": "SCHEMA", "stream": "s", "schema": {"properties": {}}, "key_properties": "id"}',
            "no key_properties,",
        ),
        ('{"type": "RECORD", "stream": "s", "record": null}', "a RECORD line of the input has no record,"),
        ('{"type": "RECORD", "record": {}}', "a RECORD line of the input has no stream,"),
        ('{"type": "STATE", "value": [1]}', "a STATE line of the input has no value,"),
        ('{"type": "ACTIVATE_VERSION", "stream": "s"}', "has no version,"),
        ('{"type": "BATCH", "stream": "s", "manifest": []}', "has no encoding,"),
        ('{"type": "BATCH", "stream": "s", "encoding": {}, "manifest": []}', "an encoding without a format"),
        ('{"type": "BATCH", "stream": "s", "encoding": {"format": "arrow"}, "manifest": [5]}', "other than addresses"),
        ('{"type": "STATE", "value": ' + '{"a": ' * 5000 + "1" + "}" * 5001, "deeper than can be read"),
        ('{"type": "STATE", "value": {"a": ' + "1" * 200_000 + "}}", "more digits than PostgreSQL holds"),
        (
            '{"type": "BATCH", "stream": "s", "encoding": {"format": "jsonl"}, "manifest": []}',
            "stream s: a BATCH came before its SCHEMA",
        ),
    ],
)
def test_lines_that_lack_what_they_need(config: Any, tmp_path: Path, line: str, words: str) -> None:
    ended = run(config, tmp_path, [line])
    check(ended, 1, words)
    assert "unexpected" not in ended.last


# SPEC O3
@pytest.mark.parametrize("expression", ["int(v)", "datetime.date.fromisoformat(v)"])
def test_a_map_that_fails_shows_no_value(config: Any, tmp_path: Path, expression: str) -> None:
    lines = _singer({"v": {"type": "string"}}, json.dumps({"id": 1, "v": PASSWORD}))
    ended = run(config, tmp_path, lines, stream_maps={"things": {"w": expression}})
    check(ended, 1, "unexpected ValueError in ")


# SPEC V1
def test_lines_are_utf_8_whatever_the_locale_says(config: Any, db: Db) -> None:
    target = TargetPostgres(config=config)
    lines = [*_singer({"v": {"type": "string"}}, '{"id": 1, "v": "a\u00e7\u00e3o \u20ac"}'), ""]
    target.process_lines(io.TextIOWrapper(io.BytesIO("\n".join(lines).encode()), encoding="latin-1"))
    target.process_endofpipe()
    assert db.execute("SELECT v FROM things").fetchone() == ("a\u00e7\u00e3o \u20ac",)
    cut = io.TextIOWrapper(io.BytesIO(b'{"type": "\xc3"}\n'), encoding="latin-1")
    with pytest.raises(SyncError, match="not UTF-8"):
        TargetPostgres(config=config).process_lines(cut)


def test_a_batch_file_that_is_not_there(config: Any, feed: Feed, tmp_path: Path) -> None:
    lines = feed.full(things(1))
    for file in tmp_path.glob("*.arrow"):
        file.unlink()
    check(run(config, tmp_path, lines), 1, "cannot be read")


@pytest.mark.parametrize(
    ("changed", "mode", "words"),
    [
        ({"cursor": "gone"}, "full", "the cursor column 'gone' is not among the stream's columns"),
        ({"version": None}, "full", "announces a full sync without a version"),
        ({}, "whole", "sync_mode is 'whole'"),
        ({"load": {"max_shrink_percent": -1}}, "full", "max_shrink_percent is -1; it must be a number, 0 or more"),
        ({"load": {"max_shrink_percent": float("nan")}}, "full", "max_shrink_percent is nan; it must be a number"),
        ({"load": {"max_rejects": float("inf")}}, "full", "max_rejects is inf; it must be a number"),
        ({"load": {"max_rejects": True}}, "full", "max_rejects is True; it must be a number"),
    ],
)
def test_what_a_tap_of_ours_cannot_mean(
    config: Any, feed: Feed, changed: dict[str, Any], mode: str, words: str
) -> None:
    for name, value in changed.items():
        setattr(feed, name, value)
    with pytest.raises(ConfigurationError, match=words):
        load(config, [feed.schema(mode)])


# SPEC V5
def test_columns_that_fold_to_one_name(config: Any, feed: Feed) -> None:
    feed.columns = {"id": "bigint", "Name": "text", "NAME": "text"}
    feed.cursor = None
    with pytest.raises(ConfigurationError, match="'Name' and 'NAME' would both be called 'name'"):
        load(config, [feed.schema()])


# SPEC V5
def test_names_that_need_care(config: Any, db: Db, tmp_path: Path) -> None:
    long = "Coluna_" + "ç" * 60
    columns = {
        "id": "bigint",
        'a "b" %s {x}': "text",
        "select": "text",
        "Ação Ünica": "text",
        long: "text",
        long + "2": "text",
    }
    feed = Feed(tmp_path, columns=columns, cursor=None, stream='dbo-Tabela "Ó" %s {} ' + "x" * 60)
    row = {"id": 1, **{name: name for name in columns if name != "id"}}
    for version, more in ((1, {}), (2, {"activation": "merge"}), (3, {"activation": "swap"})):
        feed.version = version
        load(config, feed.full([row]), **more)
    load(config, feed.incremental([row]))
    table = db.execute("SELECT table_name FROM paralelo.sync").fetchone()
    assert table is not None
    from psycopg import sql

    cursor = db.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table[0])))
    assert cursor.fetchall() == [tuple(row.values())]
    names = [column.name for column in cursor.description or ()]
    assert names[:4] == ["id", 'a "b" %s {x}', "select", "ação ünica"]
    assert len(set(names)) == 6
    assert all(len(name.encode()) <= 63 for name in [*names, table[0]])


def test_two_streams_for_one_table(config: Any, tmp_path: Path) -> None:
    lines = [Feed(tmp_path, stream=stream).schema() for stream in ("dbo-Things", "sales-things")]
    with pytest.raises(ConfigurationError, match=r"would both be written to public\.things"):
        load(config, lines)


def test_about_needs_no_database(config: Any) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-c", "from target_postgres.target import main; main()", "--about", "--format=json"]
    about = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert about["settings"]["properties"]["password"]["secret"] is True


def _singer(properties: dict[str, Any], record: str) -> list[str]:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, **properties}}
    said = {"type": "SCHEMA", "stream": "things", "schema": schema, "key_properties": ["id"]}
    return [json.dumps(said), f'{{"type": "RECORD", "stream": "things", "record": {record}}}']


# SPEC V1
def test_a_number_of_many_digits_is_checked_as_any_other(config: Any, db: Db) -> None:
    properties = {"n": {"type": "number", "multipleOf": 1e-10}}
    load(config, _singer(properties, '{"id": 1, "n": 123456789012345678901234567890.5}'))
    assert db.execute("SELECT n::text FROM things").fetchone() == ("123456789012345678901234567890.5",)


# SPEC V1
def test_a_number_of_more_digits_than_python_reads_at_once(config: Any, db: Db) -> None:
    load(config, _singer({"n": {"type": "number"}}, f'{{"id": 1, "n": {"7" * 5000}}}'))
    assert db.execute("SELECT n::text FROM things").fetchone() == ("7" * 5000,)


def test_a_name_with_half_of_a_surrogate_pair(config: Any, tmp_path: Path) -> None:
    check(run(config, tmp_path, _singer({"v\ud800": {"type": "string"}}, "{}")), 2, "half of a surrogate pair")


@pytest.mark.parametrize(
    ("properties", "record", "words"),
    [
        ({}, '{"v": "x"}', "a record lacks a part of its key (id)"),
        ({"n": {"type": "number", "multipleOf": 0.01}}, '{"id": 1, "n": 1E+900000}', "multipleOf"),
        ({"v": {"type": "string"}}, '{"id": 1, "v": "a\\ud800"}', "which is no character (column v)"),
    ],
    ids=["key", "multipleOf", "surrogate"],
)
def test_a_value_that_is_none_is_bad_data(
    config: Any, tmp_path: Path, properties: dict[str, Any], record: str, words: str
) -> None:
    check(run(config, tmp_path, _singer(properties, record)), 8, words)


# SPEC V4
def test_a_number_that_nobody_could_write_out_is_refused(config: Any) -> None:
    with pytest.raises(DataRefused, match="invalid input syntax for type bigint"):
        load(config, _singer({}, '{"id": 1e999999999}'), validate_records=False)


# SPEC V4
def test_a_number_beyond_its_columns_range_is_a_reject(config: Any, db: Db, feed: Feed, tmp_path: Path) -> None:
    feed.columns, feed.cursor = {"id": "bigint", "n": "bigint"}, None
    table = pa.table({"id": pa.array([1, 2]), "n": pa.array([2**64 - 1, 5], pa.uint64())})
    lines = [feed.schema("incremental"), feed.batch(1, table, mode="incremental")]
    ended = run(config, tmp_path, lines)
    check(ended, 8, "out of range for type bigint")
    assert str(2**64 - 1) not in ended.log
    load(config, lines, max_rejects=1)
    assert db.execute("SELECT id, n FROM things").fetchall() == [(2, 5)]


# SPEC V4
@pytest.mark.parametrize("number", ["NaN", "-Infinity"])
def test_what_is_no_number_does_not_become_null_inside_json(config: Any, db: Db, tmp_path: Path, number: str) -> None:
    lines = _singer({"tags": {"type": "array"}}, f'{{"id": 1, "tags": [1.10, {number}]}}')
    check(run(config, tmp_path, lines), 8, "invalid input syntax for type json")
    load(config, lines, max_rejects=1)
    rejected = db.execute("SELECT row_values ->> 'tags' FROM paralelo.reject").fetchone()
    assert rejected == (f"[1.10,{number}]",)
    assert db.execute("SELECT count(*) FROM things").fetchone() == (0,)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({}, "the stream has no columns"),
        ({"id": {"type": "integer"}, "XMin": {"type": "string"}}, "itself has a column 'xmin'"),
        ({"id": {"type": "integer"}, **{f"c{n}": {"type": "string"} for n in range(1600)}}, "has 1601 columns"),
    ],
    ids=["none", "system", "many"],
)
def test_columns_that_no_table_can_have(config: Any, tmp_path: Path, properties: dict[str, Any], words: str) -> None:
    schema = {"type": "object", "properties": properties}
    said = {"type": "SCHEMA", "stream": "things", "schema": schema, "key_properties": ["id"] if properties else []}
    check(run(config, tmp_path, [json.dumps(said)]), 2, words)
