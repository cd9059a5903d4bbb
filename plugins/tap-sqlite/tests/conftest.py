"""Files for the tests, and a run of the tap in a process of its own."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pytest
from tap_sqlite.catalog import describe
from tap_sqlite.choices import choose
from tap_sqlite.database import Database
from tap_sqlite.declared import TEXT
from tap_sqlite.rejects import Rejects
from tap_sqlite.table import SqliteTable

from tests import loaded


@dataclass
class Run:
    """What a run printed: its messages, its log, its exit code; and the rows of its batch files."""

    code: int
    messages: list[dict[str, Any]]
    log: str
    rows: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Messages of one type."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def state(self) -> dict[str, Any]:
        """The last state."""
        return dict(self.of("STATE")[-1]["value"])

    @property
    def types(self) -> dict[str, str]:
        """Column types as the last SCHEMA says them."""
        properties = self.of("SCHEMA")[-1]["schema"]["properties"]
        return {name: described["x-column-type"] for name, described in properties.items()}


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Makes a SQLite file from a script and rows."""

    def make(script: str, rows: dict[str, list[tuple[Any, ...]]] | None = None, name: str = "a.db") -> Path:
        path = tmp_path / name
        connection = sqlite3.connect(path)
        connection.executescript(script)
        for table, values in (rows or {}).items():
            connection.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(values[0]))})', values)
        connection.commit()
        connection.close()
        return path

    return make


@pytest.fixture
def tap(tmp_path: Path) -> Callable[..., Run]:
    """Runs the tap. Batch files are read and taken, as a target would."""

    def run(
        path: Path,
        state: dict[str, Any] | None = None,
        *,
        batch: bool = True,
        catalog: dict[str, Any] | None = None,
        **config: Any,
    ) -> Run:
        given: dict[str, Any] = {"path": str(path), "batch_root": str(tmp_path / "batches"), **config}
        if batch:
            given["batch_config"] = {"encoding": {"format": "arrow"}}
        (tmp_path / "config.json").write_text(json.dumps(given))
        arguments = ["--config", str(tmp_path / "config.json")]
        if state is not None:
            (tmp_path / "state.json").write_text(json.dumps(state))
            arguments += ["--state", str(tmp_path / "state.json")]
        if catalog is not None:
            (tmp_path / "catalog.json").write_text(json.dumps(catalog))
            arguments += ["--catalog", str(tmp_path / "catalog.json")]
        with (tmp_path / "log").open("w+") as log:
            process = loaded.Plugin(["tap-sqlite", *arguments], stdout=subprocess.PIPE, stderr=log)
            messages, rows = [], []
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                messages.append(message)
                if message["type"] == "BATCH":
                    rows += _take(message["manifest"][0])
                elif message["type"] == "RECORD":
                    rows.append(message["record"])
            log.seek(0)
            return Run(process.wait(60), messages, log.read(), rows)

    return run


@pytest.fixture
def opened() -> Callable[..., SqliteTable]:
    """Opens the table `t` of a file in this process; columns without a promise are taken for text."""

    def open_(path: Path, **config: Any) -> SqliteTable:
        defaults = {"page_size": 3, "page_bytes": 1_000_000, "lookback_minutes": 0, "cursor_unit": "counter"}
        database, log = Database(path), logging.getLogger()
        table, settings = describe(database, "t"), {**defaults, **config}
        chosen = choose(table, settings, lambda _: True)
        chosen = replace(chosen, columns=tuple(c if c.type else replace(c, type=TEXT) for c in chosen.columns))
        return SqliteTable(table, chosen, settings, database, Rejects(0, log), log)

    return open_


def _take(address: str) -> list[dict[str, Any]]:
    path = Path(unquote(urlparse(address).path))
    with pa.OSFile(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    path.unlink()
    table.validate(full=True)
    return list(table.to_pylist())
