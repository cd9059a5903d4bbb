"""`python -m bench.wms`: how fast an entity's full sync is, at some latencies of the API, by Meltano's own job.

Each round starts the WMS stand-in and copies into an empty PostgreSQL. Rows a second count everything from Meltano's
start to its end; requests are those of the server's own log; a load counts only if both sides hold the same ids.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from bench.contenders import BIN, PLACE, ROOT
from bench.measure import Cost, run
from paralelo import project
from sandbox.home import environment, settings
from sandbox.postgres import Postgres
from sandbox.wms import control
from sandbox.wms.requests_log import read, summary
from sandbox.wms.server import LOG

PAGE = 1250
TAP_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Round:
    """One run. `tap_memory` is the tap's resident bytes in each quarter of the run, the most of each."""

    latency: float
    rows: int
    cost: Cost
    requests: Mapping[str, Any]
    tap_memory: tuple[int, ...]
    failure: str

    @property
    def rate(self) -> float:
        """Rows a second, all included."""
        return self.rows / self.cost.wall


class Servers:
    """PostgreSQL and the stand-in below one folder."""

    def __init__(self, folder: Path, entity: str, rows: int) -> None:
        self.entity = entity
        self.wms = folder / "wms"
        self.made = settings(folder)
        self.postgres = Postgres(folder, self.made)
        self.postgres.start()
        self._wms("load", str(rows), "--entity", entity)

    def stop(self) -> None:
        """End both."""
        self._wms("stop")
        self.postgres.stop()

    def ready(self, latency: float) -> dict[str, str]:
        """The stand-in with that latency and an empty log, an empty target; the variables that point at both."""
        self._wms("stop")
        (self.wms / LOG).unlink(missing_ok=True)
        self._wms("start", "--latency", str(latency))
        with closing(self.connect()) as connection:
            for schema in ("public", "paralelo"):
                connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public")
            connection.execute("CHECKPOINT")
        printed = self._wms("env").splitlines()
        return {**environment(self.made), **dict(line.split("=", 1) for line in printed)}

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the target."""
        return psycopg.connect(self.postgres.dsn, password=self.made.postgres_password, autocommit=True)

    def difference(self, env: Mapping[str, str], folder: Path) -> str:
        """What the sweep finds, empty when both sides hold the same ids."""
        ids = folder / "ids.txt"
        query = sql.SQL("COPY (SELECT id FROM public.{} ORDER BY id DESC) TO STDOUT").format(
            sql.Identifier(self.entity)
        )
        with closing(self.connect()) as connection, connection.cursor().copy(query) as copy, ids.open("wb") as file:
            for part in copy:
                file.write(part)
        command = [sys.executable, "-m", "tap_oracle_wms.sweep", "--entity", self.entity, "--against", str(ids)]
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _wms(self, *words: str) -> str:
        command = [sys.executable, "-m", "sandbox.wms", "--folder", str(self.wms), *words]
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds; 0 when both sides were equal after each."""
    parser = argparse.ArgumentParser(prog="python -m bench.wms", description=__doc__)
    parser.add_argument("--entity", choices=("allocation", "order_hdr", "order_dtl"), default="allocation")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 0.2], help="seconds before each answer")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--per-second", type=float, default=1_000.0, help="high, or the limit is what is measured")
    parser.add_argument("--folder", type=Path, default=PLACE / "wms")
    asked = parser.parse_args(arguments)
    folder = asked.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    servers = Servers(folder, asked.entity, asked.rows)
    limits = {
        "TAP_ORACLE_WMS_MAX_REQUESTS_IN_FLIGHT": str(asked.in_flight),
        "TAP_ORACLE_WMS_REQUESTS_PER_SECOND": str(asked.per_second),
    }
    try:
        rounds = [_round(servers, latency, asked.rows, limits, folder) for latency in asked.latency]
    finally:
        servers.stop()
    print(table(rounds, asked.in_flight))
    content = json.dumps([asdict(one) for one in rounds], indent=2)
    (folder / "results.json").write_text(content + "\n", encoding="utf-8")
    return 1 if any(one.failure for one in rounds) else 0


def _round(servers: Servers, latency: float, rows: int, limits: Mapping[str, str], folder: Path) -> Round:
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    env = {**os.environ, **servers.ready(latency), **limits, "NO_COLOR": "1"}
    env |= {"MELTANO_STATE_BACKEND_URI": project.state_uri(state), "MELTANO_ENVIRONMENT": "dev"}
    found, postgres = control.running(servers.wms), servers.postgres.pid()
    assert found is not None
    assert postgres is not None
    job = f"parallel-full-sync-{servers.entity.replace('_', '-')}"
    log = folder / f"latency-{latency:g}.log"
    seen: list[int] = []
    ended = threading.Event()
    watcher = threading.Thread(target=_watch_tap, args=(seen, ended), daemon=True)
    watcher.start()
    try:
        cost = run([str(BIN / "meltano"), "run", job], env, log, int(found["pid"]), postgres)
    finally:
        ended.set()
        watcher.join()
    requests = summary(read(servers.wms / LOG))
    failure = f"ended with {cost.code}: {log}" if cost.code else servers.difference(env, folder)
    quarters = [seen[len(seen) * n // 4 : len(seen) * (n + 1) // 4] for n in range(4)]
    return Round(latency, rows, cost, requests, tuple(max(some, default=0) for some in quarters), failure)


def _watch_tap(seen: list[int], ended: threading.Event) -> None:
    """The resident bytes of this process's descendant that runs the tap, over time."""
    tap: psutil.Process | None = None
    while not ended.wait(TAP_SAMPLE_SECONDS):
        try:
            if tap is None:
                tap = next((one for one in psutil.Process().children(recursive=True) if _is_tap(one)), None)
            else:
                seen.append(tap.memory_info().rss)
        except psutil.Error:
            tap = None


def _is_tap(process: psutil.Process) -> bool:
    """Whether it is the tap that reads; Meltano starts another before it, to discover."""
    words = process.cmdline()
    return any(Path(word).name == "tap-oracle-wms" for word in words[:2]) and "--discover" not in words


def table(rounds: Sequence[Round], in_flight: int) -> str:
    """A line a round, as Markdown."""
    lines = [
        f"| latency | rows | seconds | rows/s | of {in_flight} x {PAGE} / latency | client CPU s | source CPU s"
        " | target CPU s | tap MiB by quarter | requests | most in a second | most in flight | |",
        "|" + "---|" * 13,
    ]
    for one in rounds:
        most = f"{one.rate / (in_flight * PAGE / one.latency):.0%}" if one.latency else "-"
        memory = " ".join(f"{size / 2**20:.0f}" for size in one.tap_memory)
        cost, seen = one.cost, one.requests
        lines.append(
            f"| {one.latency:g} s | {one.rows:,} | {cost.wall:.1f} | {one.rate:,.0f} | {most} | {cost.client_cpu:.1f}"
            f" | {cost.source_cpu:.1f} | {cost.target_cpu:.1f} | {memory} | {seen['requests']}"
            f" | {seen['most_in_a_second']} | {seen['most_in_flight']} | {one.failure or 'equal'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
