"""What a tap of ours would send: Singer lines and Arrow files, by docs/protocol.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from sync_rules.batch_info import BatchInfo
from sync_rules.column_types import ColumnType

STREAM = "dbo-Things"
COLUMNS = {
    "id": "bigint",
    "Name": "varchar(10)",
    "amount": "decimal(38,2)",
    "status": "integer",
    "mod_ts": "timestamp(6)",
}


@dataclass
class Feed:
    """Lines for one table. `folder` takes the Arrow files."""

    folder: Path
    columns: dict[str, str] = field(default_factory=lambda: dict(COLUMNS))
    key: tuple[str, ...] = ("id",)
    version: int = 1
    stream: str = STREAM
    cursor: str | None = "mod_ts"
    load: dict[str, Any] = field(default_factory=dict)
    not_null: tuple[str, ...] = ("id",)
    resumable: bool = True
    started_at: str = "2026-01-01T00:00:00+00:00"
    goes_on_from: str | None = None
    held: dict[str, Any] | None = None
    provable_as: str | None = None
    files: int = 0

    def arrow_schema(self) -> pa.Schema:
        """The file's schema."""
        return pa.schema([(name, ColumnType.parse(kind).arrow) for name, kind in self.columns.items()])

    def schema(self, mode: str = "full") -> str:
        """The SCHEMA line."""
        properties = {
            name: ColumnType.parse(kind).json_schema(nullable=name not in self.not_null)
            for name, kind in self.columns.items()
        }
        said: dict[str, Any] = {
            "sync_mode": mode,
            "started_at": self.started_at,
            "cursor": self.cursor,
            "lookback_seconds": 1800,
            "estimate": None,
            "load": self.load,
        }
        if mode == "full":
            said.update(version=self.version, resumable=self.resumable, provable_as=self.provable_as)
        else:
            said.update(goes_on_from=self.goes_on_from, held=self.held)
        schema = {"type": "object", "properties": properties, "x-paralelo": said}
        return _line(type="SCHEMA", stream=self.stream, schema=schema, key_properties=list(self.key))

    def table(self, rows: Sequence[dict[str, Any]]) -> pa.Table:
        """Rows as the file holds them."""
        return pa.Table.from_pylist(list(rows), schema=self.arrow_schema())

    def batch(
        self,
        number: int,
        rows: Sequence[dict[str, Any]] | pa.Table,
        after: Any = None,
        through: Any = None,
        mode: str = "full",
    ) -> str:
        """The BATCH line, its file written. By default `through` is the last row's key."""
        table = rows if isinstance(rows, pa.Table) else self.table(rows)
        if through is None and self.key and table.num_rows and mode == "full":
            through = _key(table.column(name)[-1].as_py() for name in self.key)
        version = self.version if mode == "full" else None
        info = BatchInfo(
            self.stream,
            "full" if mode == "full" else "incremental",
            number,
            table.num_rows,
            version,
            None if after is None else tuple(after),
            None if through is None else tuple(through),
        )
        self.files += 1
        path = self.folder / f"{os.getpid()}-{id(self)}-{self.files:06}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, info.add_to(table.schema)) as writer:
            writer.write_table(table, max_chunksize=8192)
        return _line(type="BATCH", stream=self.stream, encoding={"format": "arrow"}, manifest=[path.as_uri()])

    def record(self, row: dict[str, Any], *, full: bool = True) -> str:
        """A RECORD line."""
        more = {"version": self.version} if full else {}
        return _line(type="RECORD", stream=self.stream, record=row, **more)

    def state(self, batches: int, rows: int, last: Any, *, done: bool = False) -> str:
        """A full sync's STATE line."""
        bookmark = {
            "mode": "full",
            "version": self.version,
            "started_at": "2026-01-01T00:00:00+00:00",
            "fingerprint": "f",
            "upper_key": [10**9],
            "last_key": last,
            "batches": batches,
            "rows": rows,
            "done": done,
        }
        return _line(type="STATE", value={"bookmarks": {self.stream: bookmark}})

    def cursor_state(self, cursor: str) -> str:
        """An incremental sync's STATE line."""
        return _line(type="STATE", value={"bookmarks": {self.stream: {"mode": "incremental", "cursor": cursor}}})

    def activate(self, rows: int | None) -> str:
        """The ACTIVATE_VERSION line."""
        more = {} if rows is None else {"rows": rows}
        return _line(type="ACTIVATE_VERSION", stream=self.stream, version=self.version, **more)

    def full(self, rows: Sequence[dict[str, Any]], *, page: int = 1000, records: bool = False) -> list[str]:
        """A whole full sync of these rows, newest first."""
        rows = (
            sorted(rows, key=lambda row: tuple(row[name] for name in self.key), reverse=True)
            if self.key
            else list(rows)
        )
        lines, after, sent = [self.schema()], None, 0
        for number, start in enumerate(range(0, len(rows), page), 1):
            part = rows[start : start + page]
            last = _key(part[-1][name] for name in self.key) or None
            if records:
                lines += [self.record(_plain(row)) for row in part]
            else:
                lines.append(self.batch(number, part, after, last))
            after, sent = last, sent + len(part)
            lines.append(self.state(number, sent, last))
        batches = -(-len(rows) // page)
        return [*lines, self.state(batches, sent, after, done=True), self.activate(sent)]

    def incremental(self, rows: Sequence[dict[str, Any]], *, page: int = 1000) -> list[str]:
        """A whole incremental sync of these rows."""
        lines = [self.schema("incremental")]
        for number, start in enumerate(range(0, len(rows), page), 1):
            lines.append(self.batch(number, rows[start : start + page], mode="incremental"))
            lines.append(self.cursor_state(f"after {number}"))
        return lines


def _key(values: Iterable[Any]) -> list[Any]:
    return [value if isinstance(value, int) else str(value) for value in values]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int | str | type(None)) else str(value) for name, value in row.items()}


def _line(**message: Any) -> str:
    return json.dumps(message, default=str)


@dataclass
class Ended:
    """How a target ended."""

    code: int
    states: list[dict[str, Any]]
    log: str

    @property
    def last(self) -> str:
        """The last line of the log."""
        return self.log.strip().splitlines()[-1]


def start(config: dict[str, Any], folder: Path, **more: Any) -> subprocess.Popen[str]:
    """The target's executable, waiting for lines."""
    path = _settings(config, folder, **more)
    return subprocess.Popen(
        [sys.executable, "-c", "from target_postgres.target import main; main()", "--config", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(config: dict[str, Any], folder: Path, lines: Iterable[str], **more: Any) -> Ended:
    """Run the target in a process of its own over these lines to its end."""
    from tests import loaded

    given, said, logged = folder / "lines", folder / "out", folder / "log"
    given.write_text("".join(f"{line}\n" for line in lines))
    with given.open() as stdin, said.open("w") as stdout, logged.open("w") as stderr:
        command = ["target-postgres", "--config", str(_settings(config, folder, **more))]
        code = loaded.Plugin(command, stdin=stdin, stdout=stdout, stderr=stderr).wait()
    return Ended(code, [json.loads(line) for line in said.read_text().splitlines()], logged.read_text())


def _settings(config: dict[str, Any], folder: Path, **more: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**config, **more}))
    return path


def load(config: dict[str, Any], lines: Iterable[str], **more: Any) -> list[dict[str, Any]]:
    """Run the target inside this process, which is quicker, and return the STATEs it emitted. Errors are raised."""
    import io
    from contextlib import redirect_stdout

    from target_postgres.target import TargetPostgres

    out = io.StringIO()
    target = TargetPostgres(config={**config, **more})
    try:
        with redirect_stdout(out):
            target.process_lines(io.StringIO("".join(f"{line}\n" for line in lines)))
            target.process_endofpipe()
    finally:
        target.session.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]
