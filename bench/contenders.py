"""Who takes part: each one's command, and the table it makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.reference import PAGE_ROWS
from bench.tables import Table

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".bench"
ENVIRONMENTS, FILES = PLACE / "environments", PLACE / "arrow"
REQUIREMENTS, RIVALS = ROOT / "bench" / "requirements", ROOT / "bench" / "rivals"
BIN = Path(sys.executable).parent
OTHER_DRIVERS = {f"paralelo {driver}": driver for driver in ("mssql-python", "mssql-odbc")}
"""Paralelo with another driver than its default: the contender's name, and the setting."""


class CannotRun(Exception):
    """Why a contender is left out, for its line of the table."""


Env = Mapping[str, str]


@dataclass(frozen=True)
class Contender:
    """`made` is the schema of the table it makes, None where it makes none; `prepare` runs outside the clock.

    `most_rows` bounds the rows of one that is so slow that more of them would only take longer. `rounds` are columns
    whose seventh digit of the second it rounds where the others cut it: they are left out of its check.
    """

    name: str
    command: Callable[[Table], list[str]]
    made: str | None
    prepare: Callable[[Env], None] | None = None
    env: Callable[[Env], dict[str, str]] = lambda _: {}
    most_rows: int | None = None
    rounds: tuple[str, ...] = ()


def environment_of(name: str) -> Path:
    """The folder of a rival's own programs, made at first use. Raises CannotRun where it cannot be installed."""
    folder, needs = ENVIRONMENTS / name, REQUIREMENTS / f"{name}.txt"
    ready, wanted = folder / ".ready", needs.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return folder / "bin"
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    uv = str(BIN / "uv")
    for step in (
        [uv, "venv", "--quiet", "--clear", str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(needs)],
    ):
        ended = subprocess.run(step, env=clean, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise CannotRun(f"not installed: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}")
    ready.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def _python(*words: str) -> Callable[[Table], list[str]]:
    return lambda _: [sys.executable, "-m", *words]


def _fetch_files(env: Env) -> None:
    FILES.mkdir(parents=True, exist_ok=True)
    for old in FILES.glob("*.arrow"):
        old.unlink()
    command = _python("bench.reference", "fetch", str(FILES))
    subprocess.run(command(Table("", "", 0)), cwd=ROOT, env=dict(env), check=True, capture_output=True)


def _dlt(script: str) -> Callable[[Table], list[str]]:
    return lambda _: [str(environment_of("dlt") / "python"), str(RIVALS / script)]


def _work(_: Env) -> dict[str, str]:
    """A folder of dlt's own, new for each run: a pipeline that finds its last one goes on with it."""
    folder = PLACE / "dlt"
    shutil.rmtree(folder, ignore_errors=True)
    return {"BENCH_WORK": str(folder), "RUNTIME__DLTHUB_TELEMETRY": "false"}


def _stock(kind: str) -> Callable[[Table], list[str]]:
    def command(_: Table) -> list[str]:
        target = environment_of("stock") / "target-postgres"
        return [sys.executable, str(RIVALS / "stock.py"), str(BIN / "tap-mssql"), str(target), kind]

    return command


def _freebcp(_: Table) -> list[str]:
    if shutil.which("freebcp") is None:
        raise CannotRun("freebcp is not on this machine: it is in Debian's freetds-bin")
    return [sys.executable, "-m", "bench.rivals.freebcp"]


def _sling(table: Table) -> list[str]:
    # The Python wrapper looks for a download; the wheel's program needs none.
    programs = environment_of("sling").parent.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
    return [
        str(next(programs)),
        *("run", "--src-conn", "BENCH_SOURCE", "--src-stream", f"dbo.{table.name}"),
        *("--tgt-conn", "BENCH_TARGET", "--tgt-object", f"bench_sling.{table.name}", "--mode", "full-refresh"),
    ]


def _sling_env(env: Env) -> dict[str, str]:
    def address(kind: str, tool: str, place: str) -> str:
        e = {key.removeprefix(f"{tool}_"): value for key, value in env.items() if key.startswith(f"{tool}_")}
        return f"{kind}://{e['USER']}:{e['PASSWORD']}@{e['HOST']}:{e['PORT']}{place.format(e['DATABASE'])}"

    return {
        # In a sqlserver:// address the path is an instance.
        "BENCH_SOURCE": address("sqlserver", "TAP_MSSQL", "?database={}&encrypt=true&TrustServerCertificate=true"),
        "BENCH_TARGET": address("postgresql", "TARGET_POSTGRES", "/{}?sslmode=disable"),
        "SLING_HOME_DIR": str(PLACE / "sling"),
    }


def full_sync(table: Table) -> list[str]:
    """Paralelo's own command for a table. There is no state that it could go on from: `Bed.clear` forgets all."""
    return [str(BIN / "meltano"), "run", f"parallel-full-sync-{table.job}"]


def _driver(name: str) -> Callable[[Env], dict[str, str]]:
    return lambda _: {"TAP_MSSQL_DRIVER": name}


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("paralelo", full_sync, "public"),
        *(Contender(name, full_sync, "public", env=_driver(driver)) for name, driver in OTHER_DRIVERS.items()),
        Contender("reference", _python("bench.reference", "copy"), "bench_reference"),
        Contender(
            "reference 25k", _python("bench.reference", "copy"), "bench_reference", env=lambda _: {PAGE_ROWS: "25000"}
        ),
        Contender("read alone", _python("bench.reference", "read"), None),
        Contender("load alone", _python("bench.reference", "load", str(FILES)), "bench_reference", _fetch_files),
        Contender("dlt arrow", _dlt("dlt_arrow.py"), "bench_dlt", env=_work),
        Contender("dlt sql_table", _dlt("dlt_sql_table.py"), "bench_dlt_sql", env=_work, most_rows=500_000),
        Contender("sling", _sling, "bench_sling", env=_sling_env, most_rows=1_000_000, rounds=("mod_ts",)),
        Contender("stock tuned", _stock("tuned"), "bench_stock", most_rows=200_000),
        Contender("stock default", _stock("default"), "bench_stock", most_rows=50_000),
        Contender("freebcp", _freebcp, "bench_freebcp", most_rows=1_000_000),
    )
}
