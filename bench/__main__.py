"""`make bench` and `bench/run`: contenders in turn and in rotated order, several rounds, checked after each load."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import psycopg

from bench import figures, measure
from bench.contenders import CONTENDERS, PLACE, ROOT, CannotRun, Contender
from paralelo.verify import Options, verify
from sandbox.lifecycle import Sandbox

PACKAGES = ("meltano", "singer-sdk", "mssql-python", "pyarrow", "pgpq", "psycopg", "duckdb")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when every contender that could run loaded the right rows."""
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of bi_credores, 40 columns")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--against", choices=names, default="reference", help="whose rate the ratios divide by")
    parser.add_argument("--folder", type=Path, default=PLACE, help="the sandbox, logs and results.json")
    asked = parser.parse_args(arguments)
    if asked.rows < 1 or asked.rounds < 1:
        parser.error("--rows and --rounds are at least 1")
    chosen = {contender.name: contender for contender in CONTENDERS if contender.name in asked.only}
    asked.folder = asked.folder.absolute()
    asked.folder.mkdir(parents=True, exist_ok=True)
    results: list[figures.Result] = []
    sandbox = Sandbox(asked.folder / "sandbox")
    try:
        sandbox.start()
        sandbox.load("bi_credores", asked.rows)
        os.environ.update(sandbox.environment)
        deep: set[str] = set()
        for number in range(asked.rounds):
            for name in figures.rotated(list(chosen), number):
                results.append(_one(chosen[name], number, asked.rows, sandbox, asked.folder, deep))
                _say(results[-1])
    finally:
        sandbox.stop()
    _write(asked.folder / "results.json", asked.rows, asked.rounds, results)
    print(f"\n{figures.table(results, asked.against)}\n\nraw figures: {asked.folder / 'results.json'}")
    return 1 if any(result.failure and result.cost is not None for result in results) else 0


def _one(
    contender: Contender, number: int, rows: int, sandbox: Sandbox, folder: Path, deep: set[str]
) -> figures.Result:
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    env = {**os.environ, "MELTANO_STATE_BACKEND_URI": state.as_uri(), "MELTANO_ENVIRONMENT": "dev", "NO_COLOR": "1"}
    try:
        command = contender.command()
    except CannotRun as problem:
        return figures.Result(contender.name, number, rows, None, str(problem))
    env.update(contender.env(env))
    _clear(sandbox, contender.made)
    if contender.prepare is not None:
        contender.prepare(env)
    found, postgres = sandbox.sql_server(), sandbox.postgres.pid()
    assert found is not None
    assert postgres is not None
    log = folder / f"{contender.name.replace(' ', '-')}.log"
    cost = measure.run(command, env, log, int(found["pid"]), postgres)
    failure = f"ended with {cost.code}: {log}" if cost.code else _wrong(contender, deep)
    return figures.Result(contender.name, number, rows, cost, failure)


def _clear(sandbox: Sandbox, made: str | None) -> None:
    """Every contender begins with an empty target: what others left must not be vacuumed on its time."""
    schemas = {"public", "paralelo", made.partition(".")[0] if made else "bench_reference"}
    with closing(psycopg.connect(sandbox.postgres.dsn, password=sandbox.settings.postgres_password)) as connection:
        connection.autocommit = True
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'bench\\_%'").fetchall()
        for schema in schemas | {name for (name,) in found}:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        connection.execute("CREATE SCHEMA public")
        connection.execute("CHECKPOINT")


def _wrong(contender: Contender, deep: set[str]) -> str:
    """Why the load does not count, empty when it does: sums after each load, every cell after the first."""
    if contender.made is None:
        return ""
    checks = ("quick",) if contender.name in deep else ("quick", "deep")
    for check in checks:
        options = Options(check="deep" if check == "deep" else "quick", settle_seconds=0)
        report = verify(["bi-credores"], options, target_table=contender.made, root=ROOT)
        if report.exit_code != 0:
            found = report.tables[0]
            return f"{check} check: {found.error or found.verdict}"
    deep.add(contender.name)
    return ""


def _say(result: figures.Result) -> None:
    rate = f"{result.rate:,.0f} rows/s" if result.rate else result.failure
    print(f"round {result.round + 1}  {result.contender:<14} {rate}", flush=True)


def _write(path: Path, rows: int, rounds: int, results: Sequence[figures.Result]) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    content = {
        "settings": {"rows": rows, "rounds": rounds},
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "commit": commit.stdout.strip(),
        "results": [asdict(result) for result in results],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
