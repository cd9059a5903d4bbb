"""What a supervised run says of itself while it lasts, in a small file, for monitors that attach to it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from paralelo.usage import began as process_began

FILE = "status.json"
REPORT = "report.json"


@dataclass(frozen=True)
class TableStatus:
    """One table: its phase, attempt and process group, and when its run began (this machine's clock)."""

    table: str
    mode: str
    phase: str
    attempt: int
    began: datetime | None = None
    group: int | None = None
    reason: str = ""
    recoveries: int = 0


@dataclass(frozen=True)
class Status:
    """A run: its id, its supervisor's process and on which machine, since which start, and its tables."""

    run: str
    pid: int
    pid_began: float
    tables: tuple[TableStatus, ...]
    host: str = ""
    boot: str = ""

    @property
    def here(self) -> bool:
        """Whether it is this machine's: of another's, that shares the folder, no process can be seen from here."""
        return self.host in ("", socket.gethostname())

    @property
    def alive(self) -> bool:
        """Whether its supervisor lives here: the same process, not one that got its number later."""
        if not self.here or self.boot not in ("", boot_id()):
            return False
        try:
            return abs(process_began(psutil.Process(self.pid)) - self.pid_began) < 1
        except psutil.Error:
            return False


def write(folder: Path, run: str, tables: tuple[TableStatus, ...]) -> None:
    """Replace the run's file in one step: a reader sees the old or the new."""
    status = Status(run, os.getpid(), process_began(psutil.Process()), tables, socket.gethostname(), boot_id())
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / FILE, json.dumps(asdict(status), default=_text))


def replace(path: Path, text: str) -> Path:
    """Write a file as a whole, or leave what is there. Returns its path. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read(folder: Path) -> Status | None:
    """What a run last said; None where there is nothing that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        tables = tuple(_table(table) for table in found["tables"])
        where = (found.get("host", ""), found.get("boot", ""))
        return Status(found["run"], found["pid"], found["pid_began"], tables, *where)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def alive(logs: Path) -> list[Status]:
    """Every run below `logs` whose supervisor lives."""
    return [status for status in _all(logs, ended=False) if status.alive]


def dead(logs: Path) -> list[str]:
    """The ids of this machine's runs below `logs` whose supervisor is gone, however it ended."""
    return [status.run for status in _all(logs) if status.here and not status.alive]


@cache
def boot_id() -> str:
    """Which start of this machine it is; "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _all(logs: Path, *, ended: bool = True) -> list[Status]:
    paths = sorted(logs.glob(f"*/{FILE}"))
    # A run that has reported is over: monitors, which ask every second, need not read it again.
    found = (read(path.parent) for path in paths if ended or not path.with_name(REPORT).exists())
    return [status for status in found if status is not None]


def _table(found: Mapping[str, Any]) -> TableStatus:
    began = found.get("began")
    return TableStatus(**{**found, "began": datetime.fromisoformat(began) if began else None})


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
