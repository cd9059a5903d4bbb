"""Each kind of bad input: one line, its own exit code, no traceback, no secret (SPEC O2, O3)."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.loopback_proxy import LoopbackProxy


def unused_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("settings", "exit_code", "words"),
    [
        ({"host": "no-such-host.invalid"}, 2, "there is no host of that name"),
        ({"password": "wrong-Secret-1"}, 2, "login failed for user sa"),
        ({"password": ""}, 2, "login failed for user sa"),
        ({"database": "no_such_database"}, 2, "database no_such_database"),
        ({"tables": ["dbo.no_such_table"]}, 2, "dbo.no_such_table: no such table or view"),
        ({"trust_server_certificate": False}, 2, "certificate was not accepted"),
        ({"driver": "mssql-odbc", "password": "wrong-Secret-1"}, 2, "login failed for user sa"),
        ({"driver": "mssql-odbc", "database": "no_such_database"}, 2, "database no_such_database"),
        ({"driver": "mssql-odbc", "trust_server_certificate": False}, 2, "certificate was not accepted"),
        ({"page_size": 0}, 2, "setting page_size must be at least 1"),
        ({"packet_size": 16_384}, 2, "setting packet_size is 16,383 at most where encrypt is not no"),
        ({"driver": "pyodbc"}, 2, "needs odbc_driver"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input(source: Any, settings: dict[str, Any], exit_code: int, words: str) -> None:
    run = source.tap(**settings)
    assert run.exit_code == exit_code, run.log
    assert words in run.log
    assert "Traceback" not in run.log
    assert source.config["password"] not in run.log
    assert "wrong-Secret-1" not in run.log
    assert run.messages == []


def test_a_port_nobody_listens_on(source: Any) -> None:
    run = source.tap(port=unused_port())
    assert run.exit_code == 3
    assert "cannot be reached: connection refused" in run.log


@pytest.mark.parametrize("setting", ["key_columns", "cursor_column"])
def test_a_column_that_is_not_there(source: Any, table: Any, setting: str) -> None:
    table("dbo.plain", "id int NOT NULL PRIMARY KEY", "(1)")
    value = ["nix"] if setting == "key_columns" else "nix"
    run = source.tap(tables=["dbo.plain"], **{setting: value})
    assert run.exit_code == 2
    assert f"dbo.plain: setting {setting} names nix" in run.log


def test_a_table_that_the_catalog_does_not_have(source: Any, table: Any) -> None:
    """A run that copies nothing must not look like one that was through."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY", "(1)")
    stream = {"tap_stream_id": "dbo-plain", "schema": {"type": "object", "properties": {"id": {"type": ["integer"]}}}}
    (source.folder / "catalog.json").write_text(json.dumps({"streams": [stream]}))
    catalog = ("--catalog", str(source.folder / "catalog.json"))
    run = source.tap(*catalog, tables=["dbo.plain", "dbo.other"])
    assert run.exit_code == 2
    assert "setting tables: the catalog does not have dbo.other" in run.log
    assert len(source.tap(*catalog, tables=["DBO.Plain"]).of("SCHEMA")) == 1


def test_a_user_without_the_right(source: Any, table: Any) -> None:
    table("dbo.plain", "id int NOT NULL PRIMARY KEY", "(1)")
    made = source.sandbox.settings
    run = source.tap(tables=["dbo.plain"], user=made.restricted_user, password=made.restricted_password)
    assert run.exit_code == 2
    assert "dbo.plain" in run.log
    assert "right" in run.log


def test_a_tap_whose_reader_is_killed_does_not_wait_for_its_files_to_be_taken(source: Any, table: Any) -> None:
    table("dbo.plain", "id int NOT NULL PRIMARY KEY", *[f"({number})" for number in range(9)])
    batches = {"batch_config": {"encoding": {"format": "arrow"}}, "batch_root": str(source.folder / "batches")}
    settings = {**source.config, **batches, "tables": ["dbo.plain"], "page_size": 2, "max_batches_ahead": 2}
    (source.folder / "config.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tap_mssql.tap", "--config", str(source.folder / "config.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tap:
        assert tap.stdout is not None
        assert tap.stderr is not None
        announced = 0
        while announced < 2:
            announced += tap.stdout.readline().startswith('{"type":"BATCH"')
        tap.stdout.readline()  # the STATE after it: nothing more is written until a file is taken
        tap.stdout.close()
        said = tap.stderr.read()
    assert tap.returncode == 4, said
    assert "the target stopped reading" in said
    assert "Traceback" not in said


def test_a_tap_whose_reader_is_killed_does_not_wait_for_its_server(source: Any, table: Any) -> None:
    table("dbo.plain", "id int NOT NULL PRIMARY KEY", *[f"({number})" for number in range(900)])
    with LoopbackProxy(("127.0.0.1", source.config["port"])) as proxy:
        settings = {**source.config, "port": proxy.port, "tables": ["dbo.plain"], "page_size": 1}
        (source.folder / "config.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "tap_mssql.tap", "--config", str(source.folder / "config.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tap:
            assert tap.stdout is not None
            assert tap.stderr is not None
            while not tap.stdout.readline().startswith('{"type":"STATE"'):
                pass
            proxy.fall_silent()
            while select.select([tap.stdout], [], [], 2)[0]:
                assert os.read(tap.stdout.fileno(), 65_536)
            tap.stdout.close()
            said = tap.stderr.read()
    assert tap.returncode == 4, said
    assert said.count("the target stopped reading") == 1
    assert "Traceback" not in said


class GivesUp(LoopbackProxy):
    """A server that ends each answer with the marked row by DONE_SRVERROR: it gives the result up, and says no more."""

    mark = "the last row".encode("utf-16-le")

    def passed(self, data: bytes) -> bytes:
        if self.mark not in data or data[0] != 4:
            return data
        ended = bytearray(data)
        ended[-11] |= 1  # the status of the last token, of 13 bytes: 0x100
        return bytes(ended)


@pytest.mark.parametrize("driver", ["msodbcsql", "mssql-python", "pyodbc"])
@pytest.mark.parametrize("key", ["int", "varchar(9)"])
def test_a_result_that_the_server_gives_up_is_not_taken_for_all(source: Any, table: Any, driver: str, key: str) -> None:
    """SPEC F4: the driver tells it, and mssql-python gives the rows there were as if there were no more."""
    table("dbo.plain", f"id {key} NOT NULL PRIMARY KEY, said nvarchar(20)", "(1, N'the last row')", "(2, N'x')")
    with GivesUp(("127.0.0.1", source.config["port"])) as proxy:
        run = source.tap(port=proxy.port, encrypt="no", tables=["dbo.plain"], **source.driver(driver))
    assert run.exit_code == 3, run.log
    assert "gave a result up" in run.log
    assert not any(state["value"]["bookmarks"]["dbo-plain"]["done"] for state in run.of("STATE"))
