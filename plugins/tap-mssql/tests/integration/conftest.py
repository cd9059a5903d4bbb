"""A SQL Server stand-in of our own for these tests, and the tap as a user runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mssql_python
import pyarrow as pa
import pytest

pytest.importorskip("sandbox", reason="the project's sandbox is not on the path")

from tests import loaded


@dataclass
class Run:
    """What one run of the tap said."""

    exit_code: int
    messages: list[dict[str, Any]]
    log: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.of("STATE")[-1]["value"]
        return state

    @property
    def records(self) -> list[dict[str, Any]]:
        return [message["record"] for message in self.of("RECORD")]

    @property
    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self.of("SCHEMA")[0]["schema"]
        return schema


@dataclass
class Source:
    """The stand-in: SQL goes in by Microsoft's driver; the tap is pointed at it."""

    config: dict[str, Any]
    connection_string: str
    folder: Path
    sandbox: Any

    def execute(self, *statements: str) -> None:
        with mssql_python.connect(self.connection_string, autocommit=True) as connection:
            for statement in statements:
                connection.cursor().execute(statement)

    def driver(self, name: str) -> dict[str, Any]:
        """The settings for a driver; pyodbc runs on the driver file in mssql-python's own wheel."""
        if name != "pyodbc":
            return {"driver": name}
        pytest.importorskip("pyodbc", reason="no ODBC manager here", exc_type=ImportError)
        import mssql_python_odbc

        below = Path(mssql_python_odbc.__file__).parent
        found = sorted(below.glob("libs/linux/debian_ubuntu/x86_64/lib/libmsodbcsql*"))
        if not found:
            pytest.skip("mssql-python's driver file is not where it is looked for")
        return {"driver": "pyodbc", "odbc_driver": str(found[0])}

    def tap(self, *arguments: str, state: dict[str, Any] | None = None, arrow: bool = False, **settings: Any) -> Run:
        """Run the executable. With `arrow`, its files are read and removed as a target would."""
        config = {**self.config, **settings}
        if arrow:
            config["batch_config"] = {"encoding": {"format": "arrow"}}
            config["batch_root"] = str(self.folder / "batches")
        config_file = self.folder / "config.json"
        config_file.write_text(json.dumps(config))
        command = ["tap-mssql", "--config", str(config_file), *arguments]
        if state is not None:
            state_file = self.folder / "state.json"
            state_file.write_text(json.dumps(state))
            command += ["--state", str(state_file)]
        with (self.folder / "log.txt").open("w+") as log:
            process = loaded.Plugin(command, stdout=subprocess.PIPE, stderr=log)
            messages, rows = _consume(process)
            log.seek(0)
            return Run(process.wait(60), messages, log.read(), rows)


def _consume(process: loaded.Plugin) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    messages, rows = [], []
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith(b'{"type"'):
            continue
        message = json.loads(line, parse_float=str)
        messages.append(message)
        if message["type"] == "BATCH":
            path = Path(message["manifest"][0].removeprefix("file://"))
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                rows += reader.read_all().to_pylist()
            path.unlink()
    return messages, rows


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from sandbox import Sandbox

    started = Sandbox(tmp_path_factory.mktemp("sandbox"))
    started.start(postgres=False)
    yield started
    started.stop()


@pytest.fixture
def source(stand_in: Any, tmp_path: Path) -> Source:
    made = stand_in.settings
    config = {
        "host": "127.0.0.1",
        "port": made.mssql_port,
        "user": made.mssql_user,
        "password": made.mssql_password,
        "database": made.mssql_database,
        "trust_server_certificate": True,
    }
    return Source(config, stand_in.mssql, tmp_path, stand_in)


@pytest.fixture
def table(source: Source) -> Callable[..., None]:
    """Make a table anew, and fill it."""

    def make(name: str, columns: str, *rows: str) -> None:
        source.execute(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({columns})")
        for start in range(0, len(rows), 500):
            source.execute(f"INSERT INTO {name} VALUES {', '.join(rows[start : start + 500])}")

    return make
