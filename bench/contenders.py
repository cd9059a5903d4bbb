"""Who takes part: each one's command, and the table it makes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".bench"
ENVIRONMENTS, FILES = PLACE / "environments", PLACE / "arrow"
REQUIREMENTS = ROOT / "bench" / "requirements"
BIN = Path(sys.executable).parent


class CannotRun(Exception):
    """Why a contender is left out, for its line of the table."""


@dataclass(frozen=True)
class Contender:
    """`made` is the table it makes as schema.table, None where it makes none; `prepare` runs outside the clock."""

    name: str
    command: Callable[[], list[str]]
    made: str | None
    prepare: Callable[[Mapping[str, str]], None] | None = None
    env: Callable[[Mapping[str, str]], dict[str, str]] = lambda _: {}


def environment_of(name: str) -> Path:
    """The folder of a rival's own programs, made at first use. Raises CannotRun where it cannot be installed."""
    folder = ENVIRONMENTS / name
    ready = folder / ".ready"
    if ready.exists():
        return folder / "bin"
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    uv, needs = str(BIN / "uv"), str(REQUIREMENTS / f"{name}.txt")
    for step in (
        [uv, "venv", "--quiet", "--clear", str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", needs],
    ):
        ended = subprocess.run(step, env=clean, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise CannotRun(f"not installed: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}")
    ready.touch()
    return folder / "bin"


def _reference(*words: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", "bench.reference", *words]


def _fetch_files(env: Mapping[str, str]) -> None:
    FILES.mkdir(parents=True, exist_ok=True)
    for old in FILES.glob("*.arrow"):
        old.unlink()
    subprocess.run([*_reference("fetch", str(FILES))()], cwd=ROOT, env=dict(env), check=True, capture_output=True)


def _dlt() -> list[str]:
    return [str(environment_of("dlt") / "python"), str(ROOT / "bench" / "rivals" / "dlt_arrow.py")]


def _sling() -> list[str]:
    # The Python wrapper looks for a download; the wheel's program needs none.
    program = next(environment_of("sling").parent.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
    return [
        str(program),
        *("run", "--src-conn", "BENCH_SOURCE", "--src-stream", "dbo.bi_credores"),
        *("--tgt-conn", "BENCH_TARGET", "--tgt-object", "bench_sling.bi_credores", "--mode", "full-refresh"),
    ]


def _sling_env(env: Mapping[str, str]) -> dict[str, str]:
    def address(kind: str, tool: str, options: str) -> str:
        e = {key.removeprefix(f"{tool}_"): value for key, value in env.items() if key.startswith(f"{tool}_")}
        return f"{kind}://{e['USER']}:{e['PASSWORD']}@{e['HOST']}:{e['PORT']}/{e['DATABASE']}?{options}"

    return {
        "BENCH_SOURCE": address("sqlserver", "TAP_MSSQL", "encrypt=true&TrustServerCertificate=true"),
        "BENCH_TARGET": address("postgresql", "TARGET_POSTGRES", "sslmode=disable"),
        "SLING_HOME_DIR": str(PLACE / "sling"),
    }


CONTENDERS = [
    Contender(
        "paralelo",
        lambda: [str(BIN / "meltano"), "run", "--full-refresh", "parallel-full-sync-bi-credores"],
        "public.bi_credores",
    ),
    Contender("reference", _reference("copy"), "bench_reference.bi_credores"),
    Contender("read alone", _reference("read"), None),
    Contender("load alone", _reference("load", str(FILES)), "bench_reference.bi_credores", _fetch_files),
    Contender("dlt arrow", _dlt, "bench_dlt.bi_credores"),
    Contender("sling", _sling, "bench_sling.bi_credores", env=_sling_env),
]
