"""`python -m sandbox`: start, stop, status, load, mutate, env, measure."""

from __future__ import annotations

import argparse
import os
import sys
import time

from tap_mssql import native

from .data import TABLES
from .lifecycle import NotStarted, Sandbox
from .postgres import NoPostgres


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="The embedded PostgreSQL and SQL Server stand-in.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="start both servers and wait until they answer")
    commands.add_parser("stop", help="stop both servers; their data stays")
    commands.add_parser("status", help="what runs, where, with how many rows")
    commands.add_parser("env", help="print the .env that points at this sandbox")
    load = commands.add_parser("load", help="make source tables anew with generated rows")
    load.add_argument("rows", type=int)
    load.add_argument("--table", choices=[*TABLES, "all"], default="all", help="`all` gives resumo_faixas half as many")
    load.add_argument("--seed", type=int, default=7)
    load.add_argument("--if-empty", action="store_true", help="leave a table that has rows as it is")
    mutate = commands.add_parser("mutate", help="insert, update and delete source rows, touching mod_ts")
    mutate.add_argument("--rows", type=int, default=3000, help="of each table")
    mutate.add_argument("--table", choices=[*TABLES, "all"], default="all")
    mutate.add_argument("--seed", type=int, default=1)
    mutate.add_argument("--no-deletes", action="store_true")
    measure = commands.add_parser("measure", help="how fast the stand-in feeds Microsoft's driver")
    measure.add_argument("--connections", type=int, default=1)
    measure.add_argument("--paged", action="store_true", help="keyset pages of 50,000 instead of one query")
    measure.add_argument("--page-rows", type=int, default=50_000)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    asked = arguments().parse_args(argv)
    native.ready()
    sandbox = Sandbox()
    try:
        return _run(asked, sandbox)
    except BrokenPipeError:
        # Whoever read the output left (`| head`): nothing more to say, nor at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (NotStarted, NoPostgres, RuntimeError) as problem:
        sys.stderr.write(f"sandbox: {problem}\n")
        return 1
    except (ConnectionRefusedError, FileNotFoundError):
        sys.stderr.write("sandbox: it is not running; `python -m sandbox start` starts it\n")
        return 1


def _run(asked: argparse.Namespace, sandbox: Sandbox) -> int:
    made = sandbox.settings
    if asked.command == "start":
        sandbox.start()
        say(f"SQL Server stand-in: 127.0.0.1,{made.mssql_port} database {made.mssql_database} user {made.mssql_user}")
        say(f"PostgreSQL: 127.0.0.1:{made.postgres_port} database {made.postgres_database} user {made.postgres_user}")
    elif asked.command == "stop":
        sandbox.stop()
        say("the sandbox is stopped")
    elif asked.command == "status":
        return _status(sandbox)
    elif asked.command == "env":
        for name, value in sandbox.environment.items():
            say(f"{name}={value}")
    elif asked.command == "load":
        for table in TABLES if asked.table == "all" else [asked.table]:
            rows = asked.rows // 2 if asked.table == "all" and table == "resumo_faixas" else asked.rows
            started = time.monotonic()
            answer = sandbox.load(table, rows, asked.seed, asked.if_empty)
            verb = "loaded in" if answer["loaded"] else "kept, counted in"
            say(f"{table}: {answer['rows']:,} rows, {verb} {time.monotonic() - started:.1f} s")
    elif asked.command == "mutate":
        from .data.mutate import mutate

        for table in TABLES if asked.table == "all" else [asked.table]:
            done = mutate(sandbox.mssql, asked.rows, asked.seed, not asked.no_deletes, table)
            say(f"{table}: {done.inserted:,} inserted, {done.updated:,} updated, {done.deleted:,} deleted")
    elif asked.command == "measure":
        from .measure import measure

        say(measure(sandbox, asked.connections, asked.paged, asked.page_rows))
    return 0


def _status(sandbox: Sandbox) -> int:
    made, found = sandbox.settings, sandbox.sql_server()
    if found is None:
        say("SQL Server stand-in: not running")
    else:
        rows = ", ".join(f"{name} {count:,} rows" for name, count in found["rows"].items())
        say(f"SQL Server stand-in: running, 127.0.0.1,{made.mssql_port}, process {found['pid']}, {rows}")
    up = sandbox.postgres.running()
    say(
        f"PostgreSQL: running, 127.0.0.1:{made.postgres_port}, process {sandbox.postgres.pid()}"
        if up
        else "PostgreSQL: not running"
    )
    return 0 if found is not None and up else 3
