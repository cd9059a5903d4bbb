"""`make bench` and `bench/run`: contenders in turn and in rotated order, several rounds, checked after each load.

Then the cases that a race does not show. `--render` prints the tables of an earlier run in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import figures, goals
from bench.bed import Bed
from bench.cases import CASES, CaseFailed
from bench.contenders import CONTENDERS, FILES, PLACE, REQUIREMENTS, ROOT, CannotRun, Contender, environment_of
from bench.figures import Line, Result
from bench.measure import Cost
from bench.tables import TABLES, Table

PACKAGES = ("meltano", "singer-sdk", "mssql-python", "pyarrow", "pgpq", "psycopg", "duckdb", "pysqlbridge")


@dataclass
class Found:
    """All that a benchmark found, as results.json keeps it."""

    results: list[Result] = field(default_factory=list)
    cases: list[Line] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when every contender that could run loaded the right rows and every case ended well."""
    asked = _arguments(arguments)
    kept = asked.folder / "results.json"
    if asked.render:
        if not kept.is_file():
            print(f"there is no {kept}: run the benchmark first", file=sys.stderr)
            return 2
        print(rendered(read(kept), asked.against, _of_fewer_rows(kept)))
        return 0
    # As an error would, it stops the sandbox and the contender.
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    found, ended_well = Found(about=_about(asked)), True
    with Bed(asked.folder) as bed:
        for table in (TABLES[name] for name in asked.tables):
            ended_well &= _race(bed, table, asked, found, kept)
        for name in (name for name in CASES if name in asked.only):
            ended_well &= _case(bed, name, asked.rows, found)
            _write(kept, found)
    shutil.rmtree(FILES, ignore_errors=True)
    _write(kept, found)
    shutil.copyfile(kept, kept.with_name(f"results-{asked.rows}.json"))
    for name in dict.fromkeys(result.table for result in found.results):
        print(f"\n{name}\n{figures.table(_of(found, name), asked.against)}")
    if found.cases:
        print(f"\n{figures.case_lines(found.cases)}")
    print(f"\n{goals.shown(found.results, found.cases, _of_fewer_rows(kept))}\n\nraw figures: {kept}")
    if not asked.no_plot:
        print(_picture(kept))
    return 0 if ended_well else 1


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [*CONTENDERS, *CASES]
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--tables", nargs="+", choices=[*TABLES], default=[*TABLES], metavar="TABLE")
    parser.add_argument("--against", choices=[*CONTENDERS], default="reference", metavar="NAME", help="ratios' base")
    parser.add_argument("--folder", type=Path, default=PLACE, help="the sandbox, logs and results.json")
    parser.add_argument("--no-plot", action="store_true", help="draw nothing")
    parser.add_argument(
        "--render", action="store_true", help="print the folder's results.json as Markdown, run nothing"
    )
    asked = parser.parse_args(arguments)
    if asked.rows < 1 or asked.rounds < 1:
        parser.error("--rows and --rounds are at least 1")
    asked.folder = asked.folder.absolute()
    return asked


def _race(bed: Bed, table: Table, asked: argparse.Namespace, found: Found, kept: Path) -> bool:
    """Every chosen contender once a round, on one table; whether each that ran loaded the right rows."""
    chosen, deep, ended_well = [name for name in CONTENDERS if name in asked.only], set[str](), True
    for number in range(asked.rounds):
        for name in figures.rotated(chosen, number):
            result = _one(bed, CONTENDERS[name], table, number, asked.rows, deep)
            found.results.append(result)
            _write(kept, found)
            ended_well &= not result.failure or result.cost is None
            rate = f"{result.rate:,.0f} rows/s" if result.rate else result.failure
            print(f"{table.name}  round {number + 1}  {name:<19} {rate}", flush=True)
    return ended_well


def _one(bed: Bed, contender: Contender, table: Table, number: int, rows: int, deep: set[str]) -> Result:
    taken = min(rows, contender.most_rows or rows)
    try:
        command = contender.command(table)
    except CannotRun as problem:
        return Result(contender.name, table.name, number, taken, None, str(problem))
    env = bed.source(table, taken, main=taken == rows)
    env.update(contender.env(env))
    bed.clear(env)
    if contender.prepare is not None:
        contender.prepare(env)
    log = bed.folder / f"{contender.name.replace(' ', '-')}-{table.name}.log"
    cost, growth = bed.run(command, env, log)
    failure = f"ended with {cost.code}: {_last_words(log)}" if cost.code else ""
    if not failure and contender.made is not None:
        bed.fold(env, contender.made, table)
        made = f"{contender.made}.{table.name}"
        failure = bed.wrong(env, table, made, contender.name not in deep, contender.rounds)
        deep.add(contender.name)
    return Result(contender.name, table.name, number, taken, cost, failure, growth)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{lines[-1] if lines else 'no message'} ({log.name})"


def _case(bed: Bed, name: str, rows: int, found: Found) -> bool:
    try:
        for line in CASES[name](bed, TABLES["bi_credores"], rows):
            found.cases.append(line)
            print(figures.case_lines([line]).splitlines()[-1], flush=True)
    except CaseFailed as problem:
        found.cases.append(Line(name, f"failed: {problem}", None))
        print(f"{name}: {problem}", flush=True)
        return False
    return True


def _about(asked: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    rivals = (path.read_text(encoding="utf-8").split() for path in sorted(REQUIREMENTS.glob("*.txt")))
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "settings": {
            "rows": asked.rows,
            "rounds": asked.rounds,
            "own": {name: value for name, value in os.environ.items() if _is_a_setting(name)},
        },
        "machine": {
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.platform(),
            "processor": _processor(),
            "load": os.getloadavg(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "rivals": sorted({line for lines in rivals for line in lines}),
        "commit": commit.stdout.strip(),
    }


def _is_a_setting(name: str) -> bool:
    """Whether a variable is one of the plugins' settings and no secret: such a one changes what is measured."""
    return name.startswith(("TAP_MSSQL_", "TARGET_POSTGRES_")) and not name.endswith(("_PASSWORD", "_USER", "_HOST"))


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _of(found: Found, table: str) -> list[Result]:
    return [result for result in found.results if result.table == table]


def _write(path: Path, found: Found) -> None:
    content = {
        **found.about,
        "results": [asdict(result) for result in found.results],
        "cases": [asdict(line) for line in found.cases],
    }
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read(path: Path) -> Found:
    """What results.json holds."""
    content = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(**{**each, "cost": Cost(**each["cost"]) if each["cost"] else None}) for each in content.pop("results")
    ]
    return Found(results, [Line(**each) for each in content.pop("cases")], content)


def _of_fewer_rows(kept: Path) -> list[Result]:
    """The results of the largest benchmark in the same folder that had fewer rows than this one."""
    rows = read(kept).about["settings"]["rows"]
    numbers = (int(path.stem.removeprefix("results-")) for path in kept.parent.glob("results-*.json"))
    fewer = max((number for number in numbers if number < rows), default=None)
    return read(kept.with_name(f"results-{fewer}.json")).results if fewer is not None else []


def rendered(found: Found, against: str, fewer: Sequence[Result] = ()) -> str:
    """The tables of docs/benchmark.md."""
    machine, settings = found.about["machine"], found.about["settings"]
    parts = [
        f"{found.about['at']}, {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory_bytes'] / 2**30:.0f} GB, load before {machine['load'][0]:.1f};"
        f" {settings['rows']:,} rows, {settings['rounds']} round(s), commit {found.about['commit'][:12]}."
    ]
    for name in dict.fromkeys(result.table for result in found.results):
        parts.append(f"### {name}, {TABLES[name].columns} columns\n\n{figures.markdown(_of(found, name), against)}")
    if found.cases:
        parts.append(f"### Cases\n\n{figures.case_lines(found.cases)}")
    parts.append(f"### Goals\n\n{goals.shown(found.results, found.cases, fewer)}")
    return "\n\n".join(parts)


def _picture(kept: Path) -> str:
    """Draws the plot beside the figures; returns one line for the reader."""
    drawn = kept.with_suffix(".svg")
    try:
        python = environment_of("plot") / "python"
    except CannotRun as problem:
        return f"no plot: matplotlib {problem}"
    command = [str(python), str(ROOT / "bench" / "plot.py"), str(kept), str(drawn)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        return f"no plot: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}"
    return f"plot: {drawn}"


if __name__ == "__main__":
    sys.exit(main())
