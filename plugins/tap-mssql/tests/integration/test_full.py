"""Full syncs of the tap as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests import loaded

Make = Callable[..., None]
ROWS = [f"({n}, 'name {n}')" for n in range(1, 101)]


@pytest.mark.parametrize("driver", ["msodbcsql", "mssql-python", "mssql-odbc", "pyodbc"])
def test_every_row_once_newest_first(source: Any, table: Make, driver: str) -> None:
    """SPEC F1, F2."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    run = source.tap(tables=["dbo.plain"], page_size=30, **source.driver(driver))
    assert run.exit_code == 0, run.log
    assert [record["id"] for record in run.records] == list(range(100, 0, -1))
    assert {message["version"] for message in run.of("RECORD")} == {run.messages[-1]["version"]}
    assert run.state["bookmarks"]["dbo-plain"]["done"] is True
    assert run.messages[-1]["type"] == "ACTIVATE_VERSION"
    assert run.messages[-1]["rows"] == 100


def test_batches_hold_the_same_rows_as_records(source: Any, table: Make) -> None:
    """SPEC V2."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    run = source.tap(tables=["dbo.plain"], page_size=30, arrow=True)
    assert run.exit_code == 0, run.log
    assert [message["type"] for message in run.messages] == [
        "SCHEMA",
        *["BATCH", "STATE"] * 4,
        "STATE",
        "ACTIVATE_VERSION",
    ]
    assert run.rows == source.tap(tables=["dbo.plain"]).records


def test_any_state_leads_to_the_rest_of_the_rows(source: Any, table: Make) -> None:
    """SPEC F4."""
    table(
        "dbo.pairs", "a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b)", *[f"({n // 7}, {n % 7})" for n in range(40)]
    )
    first = source.tap(tables=["dbo.pairs"], page_size=9)
    for at, message in enumerate(first.of("STATE")[:-1]):
        again = source.tap(tables=["dbo.pairs"], page_size=9, state=message["value"])
        assert again.records == first.records[9 * (at + 1) :]
        assert again.messages[0]["type"] == "SCHEMA"  # a state of the sync before would count for this one
        assert again.messages[-1]["version"] == first.messages[-1]["version"]
        assert again.messages[-1]["rows"] == 40


def test_ranges_read_at_once_are_handed_on_in_order(source: Any, table: Make) -> None:
    """SPEC F2, F4: dense, thin and negative keys, resumed after every page."""
    keys = [-(2**63), *range(-9, 4), *range(10**6, 10**6 + 60, 3), *range(10**12, 10**12 + 9), 2**63 - 1]
    table("dbo.thin", "id bigint NOT NULL PRIMARY KEY", *[f"({key})" for key in keys])
    wanted = [{"id": key} for key in reversed(keys)]
    assert source.tap(tables=["dbo.thin"], page_size=5, max_parallelism=1).records == wanted
    first = source.tap(tables=["dbo.thin"], page_size=5, max_parallelism=5)
    assert first.records == wanted
    states = first.of("STATE")[:-1]
    for message in states[:: max(1, len(states) // 5)]:
        again = source.tap(tables=["dbo.thin"], page_size=5, max_parallelism=5, state=message["value"])
        lowest = message["value"]["bookmarks"]["dbo-thin"]["last_key"][0]
        assert again.records == [record for record in wanted if record["id"] < lowest]
        assert again.messages[-1]["rows"] == len(keys)


def test_large_rows_among_small_ones_are_read_alone(source: Any, table: Make) -> None:
    """SPEC F2, F4, V1: after them ranges are read at once again, in pages as large as before."""
    large = {300, 150, 149}
    values = [f"({n}, {n * 10})" for n in range(1, 401)]
    table("dbo.mixed", "id int NOT NULL PRIMARY KEY, v varchar(max)", *values)
    for key in large:
        source.execute(
            f"UPDATE dbo.mixed SET v = REPLICATE(CAST('{key % 10}' AS varchar(max)), 5000000) WHERE id = {key}"
        )
    wanted = [{"id": n, "v": f"{n % 10}" * 5_000_000 if n in large else f"{n * 10}"} for n in range(400, 0, -1)]
    how = {"tables": ["dbo.mixed"], "page_size": 20, "page_bytes": 4_000_000, "max_parallelism": 4}
    first = source.tap(**how, arrow=True)
    assert first.exit_code == 0, first.log
    assert first.rows == wanted
    states = first.of("STATE")[:-1]
    assert len(states) < 400 / 20 + 8 * len(large)
    again = source.tap(**how, state=states[len(states) // 2]["value"])
    lowest = states[len(states) // 2]["value"]["bookmarks"]["dbo-mixed"]["last_key"][0]
    assert again.records == [record for record in wanted if record["id"] < lowest]


def test_a_changed_table_begins_a_new_version(source: Any, table: Make) -> None:
    """SPEC F6."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    state = source.tap(tables=["dbo.plain"], page_size=30).of("STATE")[0]["value"]
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(30)", *ROWS)
    run = source.tap(tables=["dbo.plain"], page_size=30, state=state)
    assert len(run.records) == 100
    assert "its key or its server changed" in run.log


def test_a_table_of_another_server_begins_a_new_version(source: Any, table: Make) -> None:
    """SPEC F6. Half the rows of one database and half of another would look whole."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    state = source.tap(tables=["dbo.plain"], page_size=30).of("STATE")[0]["value"]
    assert len(source.tap(tables=["dbo.plain"], page_size=30, state=state).records) == 70
    assert len(source.tap(tables=["dbo.plain"], page_size=30, state=state, host="localhost").records) == 100


@pytest.mark.parametrize("driver", ["msodbcsql", "mssql-python", "mssql-odbc", "pyodbc"])
def test_bytes_that_a_code_page_has_no_character_for_arrive(source: Any, table: Make, driver: str) -> None:
    """ODBC Driver 18 makes `?` of the five of cp1252; SQL Server passes them on, as UTF-8 stored as it is has them."""
    passed_on = [chr(number) for number in (0x81, 0x8D, 0x8F, 0x90, 0x9D)]
    names = ["plain", "really?", "caf\u00e9", *(f"\u00c3{one}" for one in passed_on)]
    rows = [f"(N'k{one}', N'{one}', N'{one}')" for one in names]
    table("dbo.passed_on", "id varchar(20) NOT NULL PRIMARY KEY, name varchar(20), note text", *rows)
    for settings in ({"page_size": 3}, {"page_size": 3, "arrow": True}, {"key_columns": []}):
        run = source.tap(tables=["dbo.passed_on"], **source.driver(driver), **settings)
        assert run.exit_code == 0, run.log
        found = run.rows if settings.get("arrow") else run.records
        assert sorted((row["id"], row["name"], row["note"]) for row in found) == sorted((f"k{n}", n, n) for n in names)


def test_a_table_without_a_key_is_read_whole(source: Any, table: Make) -> None:
    """SPEC F8."""
    table("dbo.heap", "name varchar(20)", "('a')", "('a')", "(NULL)")
    run = source.tap(tables=["dbo.heap"])
    assert sorted(str(record["name"]) for record in run.records) == ["None", "a", "a"]
    assert run.of("SCHEMA")[0]["key_properties"] == []
    assert run.schema["x-paralelo"]["resumable"] is False
    assert run.log.count("cannot be resumed") == 1


def test_a_table_without_a_key_may_have_large_values(source: Any, table: Make) -> None:
    """SPEC F8. Their size is asked of the whole table, whatever its columns are called."""
    large = "x" * 20_000
    table(
        "dbo.heap_large",
        "a int, note nvarchar(max), [Valid FROM (x)] varchar(max), seen datetime2(7), doc xml",
        f"(1, N'{large}', NULL, '2026-01-01T00:00:00.1234567', '<a/>')",
        "(2, NULL, 'b', NULL, NULL)",
    )
    run = source.tap(tables=["dbo.heap_large"])
    assert run.exit_code == 0, run.log
    assert sorted((r["a"], len(r["note"] or ""), r["Valid FROM (x)"]) for r in run.records) == [
        (1, 20_000, None),
        (2, 0, "b"),
    ]


def test_half_characters_are_counted(source: Any, table: Make) -> None:
    """A driver puts U+FFFD where UTF-16 has half a pair; the sandbox has no halves, only the sign itself."""
    table(
        "dbo.halves",
        "id int NOT NULL PRIMARY KEY, a nvarchar(9), b nvarchar(9), c varchar(9)",
        "(1, N'a\ufffd', N'\ufffd', 'x')",
        "(2, N'😀', NULL, NULL)",
    )
    run = source.tap(tables=["dbo.halves"])
    assert "dbo.halves: 2 values lost half a character, unless the source itself holds U+FFFD (a, b)" in run.log
    assert [(r["a"], r["b"]) for r in run.records] == [("😀", None), ("a\ufffd", "\ufffd")]


def test_a_column_of_any_name_beside_large_values(source: Any, table: Make) -> None:
    table("dbo.named", "id int NOT NULL PRIMARY KEY, [Valid FROM (x)] varchar(max)", "(1, 'a')", "(2, 'b')")
    run = source.tap(tables=["dbo.named"])
    assert [(r["id"], r["Valid FROM (x)"]) for r in run.records] == [(2, "b"), (1, "a")]


def test_an_empty_table_is_activated_with_no_rows(source: Any, table: Make) -> None:
    table("dbo.empty", "id int NOT NULL PRIMARY KEY")
    run = source.tap(tables=["dbo.empty"])
    assert run.records == []
    assert run.messages[-1] == {**run.messages[-1], "type": "ACTIVATE_VERSION", "rows": 0}


def test_a_key_that_repeats_since_the_sync_began_is_refused(source: Any, table: Make) -> None:
    """SPEC F8. The second of two such rows may lie behind the end of a page, and would be left out."""
    table("dbo.later", "id int NOT NULL, name varchar(20)", *[f"({n}, 'a')" for n in range(10)])
    how = {"tables": ["dbo.later"], "page_size": 5, "key_columns": ["id"]}
    state = source.tap(**how).of("STATE")[0]["value"]
    source.execute("INSERT INTO dbo.later VALUES (2, 'b')")
    run = source.tap(**how, state=state)
    assert run.exit_code == 2
    assert "dbo.later: the key (id) is not unique" in run.log
    assert not run.of("ACTIVATE_VERSION")


def test_a_key_that_is_not_unique_is_refused(source: Any, table: Make) -> None:
    table("dbo.twice", "id int NOT NULL, name varchar(20)", "(1, 'a')", "(1, 'b')")
    run = source.tap(tables=["dbo.twice"], key_columns=["id"])
    assert run.exit_code == 2
    assert "dbo.twice: the key (id) is not unique" in run.log


@pytest.mark.parametrize("rows", [["(1, 'a')", "(1, 'b')"], ["(NULL, 'a')", "(1, 'b')"]])
def test_a_guessed_key_that_is_none_is_not_used(source: Any, table: Make, rows: list[str]) -> None:
    """SPEC F8. A column that happens to be called id: nobody said that it is a key."""
    table("dbo.twice", "id int NULL, name varchar(20)", *rows)
    run = source.tap(tables=["dbo.twice"])
    assert run.exit_code == 0, run.log
    assert "dbo.twice: the key (id) is" in run.log
    assert "read without a key" in run.log
    assert sorted(record["name"] for record in run.records) == ["a", "b"]
    assert run.of("SCHEMA")[0]["key_properties"] == []


def test_a_key_that_rows_cannot_be_paged_by_is_not_used(source: Any, table: Make) -> None:
    """SPEC F8. The sandbox has an index on any type, and knows no hierarchyid or sql_variant."""
    table("dbo.variants", "code varchar(max) NOT NULL PRIMARY KEY, name varchar(20)", "('1', 'a')", "('2', 'b')")
    run = source.tap(tables=["dbo.variants"])
    assert run.exit_code == 0, run.log
    assert "dbo.variants: rows cannot be paged by the key (code): read without a key" in run.log
    assert run.log.count("cannot be resumed") == 1
    assert sorted(record["name"] for record in run.records) == ["a", "b"]
    assert source.tap(tables=["dbo.variants"], key_columns=["code"]).exit_code == 2


def test_an_empty_key_is_no_key(source: Any, table: Make) -> None:
    """SPEC F8."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    run = source.tap(tables=["dbo.plain"], key_columns=[])
    assert run.exit_code == 0, run.log
    assert run.schema["x-paralelo"]["resumable"] is False
    assert len(run.records) == 100
    assert source.tap(tables=["dbo.plain"], key_columns=[], sync_mode="incremental").exit_code == 2


def limited(source: Any, name: str) -> tuple[int, list[str]]:
    """The exit code and the lines of a full sync in pages of one row, with a limit of one second.

    Nobody reads the pipe until that is over: the tap cannot have ended before it.
    """
    settings = {**source.config, "tables": [name], "page_size": 1, "sync_limit_seconds": 1}
    (source.folder / "limited.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tap_mssql.tap", "--config", str(source.folder / "limited.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        time.sleep(1.1)
        lines += process.stdout.readlines()
    return process.returncode, lines


def test_the_limit_ends_at_a_page_with_its_own_code(source: Any, table: Make) -> None:
    """SPEC F9."""
    rows = [f"({n}, REPLICATE('x', 4000))" for n in range(200)]
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(4000)", *rows)
    code, lines = limited(source, "dbo.plain")
    assert code == 6
    messages = [json.loads(line) for line in lines]
    records = [message["record"]["id"] for message in messages if message["type"] == "RECORD"]
    bookmark = [message for message in messages if message["type"] == "STATE"][-1]["value"]["bookmarks"]["dbo-plain"]
    assert bookmark["done"] is False
    assert bookmark["rows"] == len(records) < 200
    rest = source.tap(tables=["dbo.plain"], page_size=50, state={"bookmarks": {"dbo-plain": bookmark}})
    assert records + [record["id"] for record in rest.records] == list(range(199, -1, -1))


def test_no_limit_ends_a_table_without_a_key(source: Any, table: Make) -> None:
    """SPEC F8. It cannot be resumed: each run would be cut short at the same place."""
    table("dbo.heap", "n int, name varchar(4000)", *[f"({n}, REPLICATE('x', 4000))" for n in range(200)])
    code, lines = limited(source, "dbo.heap")
    assert code == 0
    assert sum('"RECORD"' in line for line in lines) == 200


@pytest.mark.parametrize("leaves_out", [True, False])
def test_a_catalog_leaves_columns_out(source: Any, table: Make, leaves_out: bool) -> None:
    """A column that the catalog does not know yet is read only where it leaves out no other."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20), added int", "(1, 'a', 7)", "(2, 'b', 8)")
    catalog = {
        "streams": [
            {
                "tap_stream_id": "dbo-plain",
                "stream": "dbo-plain",
                "schema": {"type": "object", "properties": {"id": {"type": ["integer"]}, "name": {"type": ["string"]}}},
                "metadata": [
                    {"breadcrumb": [], "metadata": {"selected": True}},
                    {"breadcrumb": ["properties", "name"], "metadata": {"selected": not leaves_out}},
                ],
            }
        ]
    }
    (source.folder / "catalog.json").write_text(json.dumps(catalog))
    run = source.tap("--catalog", str(source.folder / "catalog.json"))
    names = ["id"] if leaves_out else ["id", "name", "added"]
    assert list(run.schema["properties"]) == names
    rows = [{"id": 2, "name": "b", "added": 8}, {"id": 1, "name": "a", "added": 7}]
    assert run.records == [{name: row[name] for name in names} for row in rows]
    assert ("column added is not read" in run.log) is leaves_out


def test_names_of_every_kind(source: Any, table: Make) -> None:
    table('dbo.[a b]]c"d]', 'id int NOT NULL PRIMARY KEY, [sel ect] int, [ação "x"] varchar(9)', "(1, 2, 'é')")
    run = source.tap(tables=['dbo.[a b]]c"d]'])
    assert run.records == [{"id": 1, "sel ect": 2, 'ação "x"': "é"}], run.log


@pytest.mark.parametrize("milliseconds", range(0, 400, 20))
def test_who_ends_it_also_stops_reading(source: Any, table: Make, milliseconds: int) -> None:
    """The two come at once, at any moment, while it writes its log too: one line, one code, no traceback."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    (source.folder / "c.json").write_text(json.dumps({**source.config, "tables": ["dbo.plain"], "page_size": 1}))
    with (source.folder / "log.txt").open("w+") as log:
        command = ["tap-mssql", "--config", str(source.folder / "c.json")]
        tap = loaded.Plugin(command, stdout=subprocess.PIPE, stderr=log)
        time.sleep(milliseconds / 1000)
        tap.terminate()
        assert tap.stdout is not None
        tap.stdout.close()
        code = tap.wait(60)
        log.seek(0)
        said = log.read()
    assert code in (-signal.SIGTERM, 128 + signal.SIGTERM, 4, 0), said
    assert "Traceback" not in said
    assert said.count("ended by signal") + said.count("the target stopped reading") == (code > 0), said


def test_a_signal_ends_it_with_its_own_code(source: Any, table: Make) -> None:
    """SPEC F3: nothing after the signal moves the state; the code is not that of a success."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY, name varchar(20)", *ROWS)
    (source.folder / "c.json").write_text(json.dumps({**source.config, "tables": ["dbo.plain"], "page_size": 1}))
    command = [sys.executable, "-m", "tap_mssql.tap", "--config", str(source.folder / "c.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()
    assert process.returncode == 128 + signal.SIGTERM
    messages = [json.loads(line) for line in lines]
    records = sum(message["type"] == "RECORD" for message in messages)
    states = [message["value"]["bookmarks"]["dbo-plain"]["rows"] for message in messages if message["type"] == "STATE"]
    assert max(states) <= records
