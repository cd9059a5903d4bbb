"""Starting and stopping a whole sandbox: PostgreSQL and the SQL Server stand-in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from .control import ask
from .data import DATABASE
from .home import PROJECT, Settings, default_folder, environment, settings
from .postgres import Postgres


class NotStarted(Exception):
    """A part of the sandbox did not come up; the text says which and where its log is."""


class Sandbox:
    """One sandbox in one folder. As a context manager it is started, and stopped at the end."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder).absolute() if folder is not None else default_folder()
        self.postgres = Postgres(self.folder, self.settings)

    @property
    def settings(self) -> Settings:
        return settings(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """What a .env that points at this sandbox holds."""
        return environment(self.settings)

    @property
    def mssql(self) -> str:
        """A connection string for Microsoft's driver, password included: for tests, not for command lines."""
        s = self.settings
        return (
            f"SERVER=127.0.0.1,{s.mssql_port};UID={s.mssql_user};PWD={s.mssql_password};"
            f"DATABASE={s.mssql_database};Encrypt=yes;TrustServerCertificate=yes;"
        )

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands at once must not both start it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def start(self, postgres: bool = True) -> None:
        """Bring both up and wait until both answer. Nothing happens to what already runs."""
        with self._alone():
            self.start_sql_server()
            if postgres:
                self.postgres.start()

    def start_sql_server(self) -> None:
        """Start the stand-in alone. Raises NotStarted."""
        if self.sql_server() is not None:
            return
        log = self.folder / "sqlserver.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.daemon", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
                },
            )
        deadline = time.monotonic() + 60
        while self.sql_server() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
                raise NotStarted(
                    f"the SQL Server stand-in did not start on port {self.settings.mssql_port}: {last[0]} (log: {log})"
                )
            time.sleep(0.05)

    def sql_server(self) -> dict[str, Any] | None:
        """What the stand-in says of itself, None when it does not run."""
        with contextlib.suppress(OSError, RuntimeError):
            return ask(self.folder, {"do": "status"}, 30)
        return None

    def stop(self) -> None:
        """Stop both; what they held stays on disk."""
        with self._alone():
            found = self.sql_server()
            if found is not None:
                ask(self.folder, {"do": "stop"})
                _await_end(int(found["pid"]))
            self.postgres.stop()

    def load(
        self,
        table: str,
        rows: int,
        seed: int = 7,
        if_empty: bool = False,
        keep: bool = False,
        database: str = DATABASE,
    ) -> dict[str, Any]:
        """Make a table anew with that many generated rows; with `keep`, one that holds just as many stays as it is."""
        question = {
            "do": "load",
            "table": table,
            "rows": rows,
            "seed": seed,
            "if_empty": if_empty,
            "keep": keep,
            "database": database,
        }
        return ask(self.folder, question, 7200)

    def cut_connections(self) -> int:
        """Hang up on every client of the stand-in, as a network failure would."""
        return int(ask(self.folder, {"do": "cut"})["cut"])


def _await_end(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        try:
            process.wait(30)
        except psutil.TimeoutExpired:
            process.kill()
