"""A real PostgreSQL with the target's own ledger, and a small Meltano project whose plugins do as they are told."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from target_postgres import ledger

from paralelo import project
from sandbox.home import HOST, settings
from sandbox.postgres import Postgres

TOY = Path(__file__).parent / "toy"
PASSWORD = "pl4nted-Passw0rd/of+the=tap"


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, str]]:
    """Settings of a running server, gone after the tests."""
    folder = Path(tempfile.mkdtemp(prefix="paralelo-tests-"))
    made = settings(folder)
    postgres = Postgres(folder, made)
    postgres.start()
    yield {
        "TARGET_POSTGRES_HOST": HOST,
        "TARGET_POSTGRES_PORT": str(made.postgres_port),
        "TARGET_POSTGRES_USER": made.postgres_user,
        "TARGET_POSTGRES_PASSWORD": made.postgres_password,
        "TARGET_POSTGRES_SSL_MODE": "disable",
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "public",
    }
    postgres.stop()
    shutil.rmtree(folder, ignore_errors=True)


_count = 0


@pytest.fixture
def env(server: dict[str, str]) -> Iterator[dict[str, str]]:
    """Settings for a database of the test's own, without a ledger."""
    global _count
    _count += 1
    name = f"ops_{_count}"
    with _connect(server, "postgres") as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield {**server, "TARGET_POSTGRES_DATABASE": name, "PARALELO_NOTIFY_URLS": ""}
    with _connect(server, "postgres") as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def db(env: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to that database, with the ledger in it."""
    with _connect(env, env["TARGET_POSTGRES_DATABASE"]) as connection:
        ledger.ensure(connection)
        yield connection


def _connect(values: dict[str, str], database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=values["TARGET_POSTGRES_HOST"],
        port=values["TARGET_POSTGRES_PORT"],
        user=values["TARGET_POSTGRES_USER"],
        password=values["TARGET_POSTGRES_PASSWORD"],
        dbname=database,
        autocommit=True,
    )


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address for notices, and those that came to it."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/", received
    server.shutdown()


@dataclass(frozen=True)
class Toy:
    """A Meltano project of one table, `toy`, and what its plugins are told in the environment."""

    root: Path
    env: dict[str, str]

    @property
    def table(self) -> project.Table:
        [table] = project.tables(self.root)
        return table

    def told(self, **words: object) -> dict[str, str]:
        """The environment with more words for the plugins: pages, rows, seconds, tap_exit, target_exit, shout."""
        return {**self.env, **{f"TOY_{name.upper()}": str(word) for name, word in words.items()}}


@pytest.fixture
def toy(env: dict[str, str], db: psycopg.Connection[Any], tmp_path: Path) -> Toy:
    """The project, in a folder of the test's own."""
    root = tmp_path / "project"
    shutil.copytree(TOY, root)
    for script in root.glob("*.py"):
        body = script.read_text(encoding="utf-8")
        script.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
        script.chmod(0o755)
    more = {"TAP_TOY_PASSWORD": PASSWORD, "MELTANO_PROJECT_ROOT": str(root), "TOY_MARKS": str(tmp_path / "marks")}
    (tmp_path / "marks").mkdir()
    return Toy(root, {**env, **more})
