"""This machine: Python, the plugins, the settings, disk, and what Meltano holds."""

from __future__ import annotations

import ast
import difflib
import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from dotenv import dotenv_values

from paralelo import leftovers, notify, project, runlock
from paralelo.doctor.finding import Finding, ok, problem, skipped, warning
from paralelo.project import MODES, Table
from paralelo.redact import redactor
from paralelo.view import size

LEAST_PYTHON = (3, 10)
LEAST_FREE = 2_000_000_000
LEAST_FREE_SHARE = 0.1
MELTANO_SECONDS = 30


def python(root: Path) -> Iterator[Finding]:
    """The interpreter: new enough, and the project's own."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < LEAST_PYTHON:
        yield problem("python", f"Python {version} is too old", "install Python 3.10 or newer, then: make setup")
    elif not Path(sys.prefix).is_relative_to(root):
        yield warning("python", f"Python {version} of {sys.prefix}", "source .venv/bin/activate")
    else:
        yield ok("python", f"Python {version}")


def plugins(root: Path, tables: Sequence[Table]) -> Iterator[Finding]:
    """Each plugin that a table needs has an environment in which it starts."""
    wanted = sorted(
        {("extractors", table.plugin) for table in tables} | {("loaders", table.loader) for table in tables}
    )
    missing = []
    for kind, name in wanted:
        folder = root / ".meltano" / kind / name / "venv" / "bin"
        if not (folder / name).exists() or not (folder / "python").exists():
            missing.append(name)
    if missing:
        yield problem("plugins", f"not installed: {', '.join(missing)}", "make setup")
    elif wanted:
        yield ok("plugins", ", ".join(name for _, name in wanted))
    if not tables:
        yield problem("plugins", "no table is below extract/", "python scripts/add_table.py --all")
    try:
        yield ok("meltano", f"Meltano {importlib.metadata.version('meltano')}")
    except importlib.metadata.PackageNotFoundError:
        yield problem("meltano", "Meltano is not installed in this environment", "make setup")


def settings(root: Path, values: Mapping[str, str]) -> Iterator[Finding]:
    """`.env` is there, private, names no setting that no plugin has, and no value that Meltano cannot read."""
    path = root / ".env"
    if not path.exists():
        if not any(name.startswith("TARGET_POSTGRES_") for name in values):
            yield problem("settings", "there is no .env", "cp .env.example .env and fill it in, or: make sandbox-up")
    elif path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warning("settings", ".env can be read by other users of this machine", "chmod 600 .env")
    if path.is_file() and (lines := project.unread_lines(path)):
        said = f".env: line {', '.join(map(str, lines))} cannot be read, and is left out"
        yield problem("settings", said, "write NAME=value, and odd values between single quotes: see .env.example")
    # A line without a value is no setting to us, and an empty one to Meltano.
    empty = {name: "" for name, value in dotenv_values(path).items() if value == ""}
    values = {**empty, **values}
    unknown, unread = [], {}
    for prefix, known in _known(root).items():
        for name in sorted(values):
            rest = name.removeprefix(prefix).lower()
            if name.startswith(prefix) and rest in known and (wanted := _wanted(known[rest], values[name])):
                unread[name] = wanted
            own = rest.startswith(("full_", "incremental_")) or rest in ("loglevel", "executable", "pip_url")
            if name.startswith(prefix) and rest not in known and not own:
                close = difflib.get_close_matches(rest, known, 1)
                unknown.append(f"{name}{f' (meant: {prefix}{close[0].upper()}?)' if close else ''}")
    for name, wanted in unread.items():
        # Meltano refuses such a value without a name, and so every run.
        yield problem("settings", f"{name} cannot be read", f"give it {wanted}, or take the line out")
    if unknown:
        yield warning("settings", f"no plugin has: {', '.join(unknown)}", "correct the name in .env; it has no effect")
    elif not unread:
        yield ok("settings", ".env" if path.exists() else "from the environment alone")


def _wanted(setting: Mapping[str, Any], value: str) -> str:
    """What a setting takes, where Meltano cannot make it of the value; empty where it can, or expands it first."""
    kind = setting.get("kind")
    if "$" in value:
        return ""
    if kind == "integer":
        return "" if _reads(int, value) else "a whole number"
    if kind == "options":
        *most, last = [str(option["value"]) for option in setting["options"]]
        return "" if value in (*most, last) else f"{', '.join(most)} or {last}"
    if kind == "array":
        return "" if isinstance(_literal(value), list | tuple) else """a list as '["one", "another"]'"""
    if kind == "object":
        return "" if isinstance(_literal(value), dict) else "an object in JSON"
    return ""


def _literal(value: str) -> Any:
    """As Meltano reads arrays and objects: JSON, else Python's own spelling."""
    for read in (json.loads, ast.literal_eval):
        if _reads(read, value):
            return read(value)
    return None


def _reads(read: Callable[[str], Any], value: str) -> bool:
    try:
        read(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _known(root: Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """By prefix of its variables and by name, each plugin's settings."""
    found = {}
    loaders = sorted((root / "load").glob("*.meltano.yml"))
    for content in [*project.files(root), *map(project.read, loaders)]:
        declared = content.get("plugins") or {}
        for plugin in [*(declared.get("extractors") or []), *(declared.get("loaders") or [])]:
            if plugin.get("settings"):
                prefix = plugin["name"].upper().replace("-", "_") + "_"
                found[prefix] = {str(setting["name"]): setting for setting in plugin["settings"]}
    return found


def disk(root: Path, values: Mapping[str, str]) -> Iterator[Finding]:
    """Room for batch files, logs and Meltano's own files."""
    batches = Path(values.get("TAP_MSSQL_BATCH_ROOT") or root / ".paralelo")
    seen: dict[int, set[str]] = {}
    for path in (batches, root / "logs", Path(tempfile.gettempdir())):
        there = next(part for part in (path, *path.parents) if part.exists())
        if not os.access(there, os.W_OK):
            yield problem("disk", f"{there} cannot be written to", f"chown or chmod {there}")
            continue
        seen.setdefault(there.stat().st_dev, set()).add(str(there))
    for places in seen.values():
        place = min(places, key=len)
        usage = shutil.disk_usage(place)
        said = f"{size(usage.free)} of {size(usage.total)} free at {place}"
        if usage.free < LEAST_FREE or usage.free < LEAST_FREE_SHARE * usage.total:
            yield warning("disk", said, "make room, or set TAP_MSSQL_BATCH_ROOT to another disk")
        else:
            yield ok("disk", said)


def meltano_locks(root: Path, tables: Sequence[Table], values: Mapping[str, str]) -> Iterator[Finding]:
    """Runs that Meltano holds for running though no process of theirs lives, and settings files that they left."""
    left = [path for path in (root / ".meltano" / "run").glob("*/*.config.json") if not _in_use(path)]
    old = [path for path in left if abs(time.time() - path.stat().st_mtime) > leftovers.YOUNG_SECONDS]
    if old:
        fix = "./scripts/run_with_monitoring.sh incremental all true, or any other supervised run, removes them"
        yield warning("leftovers", f"{len(old)} settings files of dead runs, passwords included", fix)
    if not (root / ".meltano" / "meltano.db").exists() and not values.get("MELTANO_DATABASE_URI"):
        yield ok("meltano locks", "Meltano has run nothing yet")
        return
    try:
        done = subprocess.run(
            [sys.executable, "-m", "paralelo.doctor.running"],
            cwd=root,
            env={**os.environ, "MELTANO_CLI_LOG_LEVEL": "error"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=MELTANO_SECONDS,
        )
    except subprocess.TimeoutExpired:
        said = f"Meltano did not say within {MELTANO_SECONDS} seconds who runs: its database may not answer"
        yield warning("meltano locks", said, "see MELTANO_DATABASE_URI")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        fix = "see MELTANO_DATABASE_URI; of a damaged one, docs/runbook.md"
        yield problem("meltano locks", f"Meltano's database cannot be read: {last[:200]}", fix)
        return
    held = json.loads(done.stdout.strip().splitlines()[-1])
    environments = {one["state_id"].partition(":")[0] for one in held}
    living = {
        table.state_id(mode, environment)
        for table in tables
        for mode in MODES
        for environment in environments
        if mode in table.jobs and runlock.processes_of(table, mode, root)
    }
    dead = [one for one in held if one["state_id"] not in living]
    for one in dead:
        fix = "a supervised run passes it once the run is proven gone; meltano run alone waits five minutes"
        yield warning("meltano locks", f"{one['state_id']} counts as running since {one['since']}", fix)
    if not dead:
        yield ok(
            "meltano locks",
            f"runs alive: {len(held)}, and none counts as running that is dead" if held else "none is held",
        )


def _in_use(path: Path) -> bool:
    for process in psutil.process_iter():
        try:
            if any(str(path) in word for word in process.cmdline()):
                return True
        except (psutil.Error, OSError):
            continue
    return False


def notices(values: Mapping[str, str]) -> Iterator[Finding]:
    """Whether anything tells where notices go: an operator who hears nothing is told here.

    Raises ConfigurationError for addresses and occasions that every supervised run would refuse.
    """
    notify.from_settings(values, redactor(), lambda _: None)
    if values.get("PARALELO_NOTIFY_URLS"):
        yield ok("notices", "PARALELO_NOTIFY_URLS is set")
    else:
        yield skipped("notices", "PARALELO_NOTIFY_URLS is not set: nobody is told when a sync fails")
