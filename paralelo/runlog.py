"""The log of one run of one table: JSON lines, redacted before they reach the disk, of a bounded size.

Meltano's output is read through a pipe, so that no unredacted byte is ever in a file.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from paralelo.redact import Redactor, deeply

MAX_BYTES = 20_000_000
BACKUPS = 4
KEEP_LOGS = 60
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# How Meltano prints what it logs before it has read how it is to log.
_CONSOLE = re.compile(r"^\S+Z \[(\w+) *\] (\S+) +(.*)$", re.DOTALL)
_NOISE = frozenset({"_logger", "_name", "stdio", "consumer", "producer", "cmd_type", "name", "string_id", "event"})
_OURS = frozenset({"timestamp", "level", "source", "phase"})
"""What outcomes are judged by, with the context: no secret can be in it, but a weak password may be a part of it."""
_MAX_LINE = 20_000
_MAX_UNWRITTEN = 1_000


@dataclass
class RunLog:
    """A log file that several threads may write to. `context` goes into each line."""

    path: Path
    redact: Redactor
    context: Mapping[str, Any] = field(default_factory=dict)
    max_bytes: int = MAX_BYTES
    backups: int = BACKUPS
    unwritten: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=_MAX_UNWRITTEN))
    """The last lines that the disk did not take: how a sync ended is told by its log."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def event(self, event: str, level: str = "info", **more: Any) -> None:
        """One line of our own."""
        moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._write({"timestamp": moment, "level": level, "source": "paralelo", "event": event, **more})

    def relay(self, output: IO[bytes]) -> None:
        """Write all that a Meltano process prints, until it ends."""
        for raw in output:
            try:
                text = raw.decode("utf-8", errors="replace").strip()
                if text:
                    self._write(parsed(text))
            except Exception as error:
                # Whatever a line is: with nobody reading, the pipe fills up and Meltano waits for ever.
                self.event(f"a line of {len(raw)} bytes could not be kept: {type(error).__name__}", "warning")

    def _write(self, line: Mapping[str, Any]) -> None:
        told = {name: value for name, value in line.items() if name not in _OURS}
        clean = {**self.context, **line, **deeply(self.redact, told)}
        # Half of a pair, as JSON may spell it, is no character that a file can hold.
        text = json.dumps(clean, ensure_ascii=False, default=str).encode("utf-8", errors="replace").decode()
        # A full disk, or another's file: what is told here is no reason to end it, nor to leave its pipe unread.
        with self._lock:
            try:
                self._make_room(len(text))
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(text + "\n")
            except OSError:
                self.unwritten.append(json.loads(text))

    def _make_room(self, coming: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            # Readable by the operator alone: a log names tables, keys' columns and hosts.
            self.path.touch(mode=0o600)
        if self.path.stat().st_size + coming <= self.max_bytes:
            return
        for number in range(self.backups, 0, -1):
            older = self.path if number == 1 else self.path.with_name(f"{self.path.name}.{number - 1}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number}"))
        self.path.touch(mode=0o600)


def parsed(text: str) -> dict[str, Any]:
    """A line of Meltano's JSON log in our own shape; anything else as it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "event" not in found:
        moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        plain = _ANSI.sub("", text)[:_MAX_LINE]
        if match := _CONSOLE.match(plain):
            return {"timestamp": moment, "level": match[1], "source": match[2], "event": match[3]}
        return {"timestamp": moment, "level": "info", "source": "output", "event": plain}
    # While it discovers a catalog, Meltano names the plugin by its logger alone.
    plugin = found.get("string_id") or found.get("plugin_logger")
    line = {
        "timestamp": found.pop("timestamp", None),
        "level": found.pop("level", "info"),
        "source": plugin or "meltano",
        "event": str(found["event"])[:_MAX_LINE],
    }
    if plugin:
        line["phase"] = "loading" if found.get("consumer") else "reading"
    return {**line, **{name: value for name, value in found.items() if name not in _NOISE}}


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log, the oldest part first. A line cut off by a crash is left out."""
    parts = sorted(path.parent.glob(f"{path.name}.[0-9]*"), key=lambda part: int(part.suffix[1:]), reverse=True)
    for part in [*parts, path]:
        if not part.exists():
            continue
        with part.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    yield line


def last_words(path: Path, count: int = 12) -> str:
    """The last lines for a human: errors if there are any, else whatever was last."""
    found = [line for line in lines(path) if line.get("event")]
    errors = [line for line in found if line.get("level") in ("error", "critical")]
    return "\n".join(f"[{line.get('source')}] {line['event']}" for line in (errors or found)[-count:])


def forget_old(folder: Path, keep: int = KEEP_LOGS) -> list[Path]:
    """Remove all but so many of the newest runs' folders of each kind. Returns what was removed.

    Kinds, because an incremental sync every 15 minutes would leave nothing of last night's full sync by breakfast, and
    what went well nothing of what failed.
    """
    now = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}~"

    def age(run: Path) -> tuple[bool, str]:
        # Runs of the future, from before the clock was put back, go first: else each later run's log would.
        return not (run.name > now and run.name[:8].isdigit()), run.name

    runs = sorted((path for path in folder.glob("*") if path.is_dir()), key=age, reverse=True)
    kept: Counter[tuple[str, bool]] = Counter()
    old = []
    for run in runs:
        kind = _kind(run)
        kept[kind] += 1
        if kept[kind] > keep:
            old.append(run)
    for run in reversed(old):
        # Runs that start in one second remove the same.
        shutil.rmtree(run, ignore_errors=True)
    return old


def _kind(run: Path) -> tuple[str, bool]:
    """A run's mode, and whether it ended well; one without a report did not."""
    try:
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        return str(report["tables"][0]["mode"]), report["exit_code"] == 0
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return "", False
