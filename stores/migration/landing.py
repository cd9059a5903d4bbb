"""Moves the old tables into PostgreSQL as they are: tap-sqlite and target-postgres, one pipe for all of them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sync_rules.batch_files import BatchFolder
from sync_rules.exits import ConfigurationError, Exit

from stores.migration.files import LANDING, Store
from stores.settings import DatabaseSettings

_TAIL = 12
_CERTIFICATES = {"sslrootcert": "ssl_root_cert", "sslcert": "ssl_cert", "sslkey": "ssl_key"}
"""libpq's names, and target-postgres's."""


class LandingFailed(Exception):
    """The tap or the target ended with an error; the message holds its last words, and `code` its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def executable(name: str) -> str:
    """Where a plugin is: beside this Python, on the path, or among Meltano's own."""
    beside = Path(sys.executable).with_name(name)
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if found:
        return found
    root = Path(os.environ.get("MELTANO_PROJECT_ROOT") or Path(__file__).resolve().parent.parent.parent)
    for kind in ("extractors", "loaders"):
        own = root / ".meltano" / kind / name / "venv" / "bin" / name
        if own.exists():
            return str(own)
    raise LandingFailed(f"{name} is not installed: `make setup`", 2)


def land(stores: Sequence[Store], settings: DatabaseSettings) -> dict[Path, tuple[str, int]]:
    """Copy every table that has rows. Values stay as they are: what is not of its column's type is JSON.

    The rowid goes along as the key, where a table has one. One tap process reads the files one after the other, one
    target process writes them all. Returns why files could not be read to their end, and the exit code for it.
    Raises LandingFailed.
    """
    configs = [config for store in stores for config in _tap_configs(store)]
    if not configs:
        return {}
    with _folder() as folder:
        for config in configs:
            config["batch_root"] = str(folder / "batches")
        logs = {plugin: folder / f"{plugin}.log" for plugin in ("tap-sqlite", "target-postgres")}
        target_config = _in_memory(_target_config(stores, settings))
        commands = {
            "tap-sqlite": [
                *(sys.executable, "-m", "stores.migration.tap_files"),
                *(_write(folder / "tap.json", configs), str(folder / "failed.json")),
            ],
            "target-postgres": [executable("target-postgres"), "--config", f"/dev/fd/{target_config}"],
        }
        try:
            ended = _pipe(commands, logs, {**os.environ, "PYTHONPATH": _python_path()}, target_config)
        finally:
            os.close(target_config)
        # The target first: when it stops, the tap only says that nobody listens any more.
        for plugin in ("target-postgres", "tap-sqlite"):
            code = ended[plugin]
            if code:
                how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
                raise LandingFailed(f"{plugin} {how}: {_last_words(logs[plugin])}", max(code, int(Exit.UNEXPECTED)))
        failed = json.loads((folder / "failed.json").read_text(encoding="utf-8"))
        return {Path(path): (words, code) for path, (words, code) in failed.items()}


def _check_own(root: Path) -> None:
    """Raises LandingFailed for a folder that somebody else made where all may, or may write to."""
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        found = root.lstat()
    except OSError as error:
        raise LandingFailed(f"{root} cannot be made: {error.strerror}", int(Exit.CONFIGURATION)) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise LandingFailed(f"{root} is not a folder of this user alone: remove it", int(Exit.CONFIGURATION))


@contextmanager
def _folder() -> Iterator[Path]:
    """A private folder for the plugins' files, gone at the end. Batch files hold rows: what a killed migration left of
    them is removed by the next, as the taps' own are."""
    root = Path(tempfile.gettempdir()) / f"paralelo-landing-{os.getuid()}"
    _check_own(root)
    try:
        held = BatchFolder(root, max_ahead=1, patience_seconds=0)
    except ConfigurationError as error:
        raise LandingFailed(str(error), int(error.exit)) from error
    with held:
        try:
            yield held.path
        finally:
            shutil.rmtree(held.path, ignore_errors=True)


def _pipe(
    commands: Mapping[str, list[str]], logs: Mapping[str, Path], env: dict[str, str], target_config: int
) -> dict[str, int]:
    """Run the tap into the target. Returns their exit codes; neither outlives this process's own end by an error."""
    with logs["tap-sqlite"].open("wb") as tap_log, logs["target-postgres"].open("wb") as target_log:
        tap = subprocess.Popen(commands["tap-sqlite"], stdout=subprocess.PIPE, stderr=tap_log, env=env)
        try:
            target = subprocess.run(
                commands["target-postgres"],
                stdin=tap.stdout,
                stdout=subprocess.DEVNULL,
                stderr=target_log,
                env=env,
                pass_fds=(target_config,),
                check=False,
            )
            if tap.stdout is not None:
                tap.stdout.close()
            return {"tap-sqlite": tap.wait(), "target-postgres": target.returncode}
        finally:
            if tap.poll() is None:
                tap.terminate()
                tap.wait()


def _python_path() -> str:
    """So that the child finds this package wherever it was started from."""
    root = str(Path(__file__).resolve().parent.parent.parent)
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _tap_configs(store: Store) -> list[dict[str, Any]]:
    """One for the tables with a rowid, one for those without: these land in one pass, whatever their keys hold."""
    config: dict[str, Any] = {
        "path": str(store.path),
        "table_prefix": store.prefix,
        "off_type_values": "json",
        "batch_config": {"encoding": {"format": "arrow"}},
    }
    numbered = [table.name for table in store.tables if table.rows and table.rowid is not None]
    others = [table.name for table in store.tables if table.rows and table.rowid is None]
    configs = [{**config, "tables": numbered, "key_columns": ["_rowid"]}] if numbered else []
    return [*configs, *([{**config, "tables": others, "key_columns": []}] if others else [])]


def _target_config(stores: Sequence[Store], settings: DatabaseSettings) -> dict[str, Any]:
    """All it needs, for nothing may come from TARGET_POSTGRES_*, which may name another server.

    A landing table may shrink: it is only a copy.
    """
    config: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "database": settings.name,
        "default_target_schema": LANDING,
        "allow_shrink": [store.landing_table(table.name) for store in stores for table in store.tables],
    }
    if settings.ssl_mode:
        config["ssl_mode"] = settings.ssl_mode
    for name, file in settings.certificates.items():
        config[_CERTIFICATES[name]] = file
    if settings.password:
        config["password"] = settings.password
    return config


def _in_memory(config: object) -> int:
    """A file without a place on any disk, since the password is in it. Returns its descriptor."""
    descriptor = os.memfd_create("target-settings")
    os.write(descriptor, json.dumps(config).encode())
    return descriptor


def _write(path: Path, config: object) -> str:
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    telling = [line for line in lines if "| ERROR" in line or "| CRITICAL" in line] or lines[-_TAIL:]
    return " / ".join(line.rpartition("| ")[2].strip() for line in telling[-3:])
