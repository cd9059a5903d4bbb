"""CPU and memory of the processes of a run: each Meltano, its tap, its target, and whatever these started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

import psutil

_YOUNG_SECONDS = 10.0


@dataclass(frozen=True)
class Usage:
    """`cpu_percent` counts 100 for each core in use; `memory` is resident bytes, shared pages counted each time."""

    cpu_percent: float = 0.0
    memory: int = 0
    processes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


@dataclass
class Meter:
    """Measures groups of processes; the CPU figure is the mean since the last look."""

    clock: Callable[[], float] = time.monotonic
    _seen: dict[tuple[int, float], float] = field(default_factory=dict)
    _at: float | None = None
    peak_memory: int = 0

    def measure(self, groups: Iterable[int]) -> Usage:
        """What the living processes of these process groups use now."""
        now = self.clock()
        seen: dict[tuple[int, float], float] = {}
        spent, memory, read, written = 0.0, 0, 0, 0
        for process in members(groups):
            try:
                with process.oneshot():
                    times, key = process.cpu_times(), (process.pid, process.create_time())
                    memory += process.memory_info().rss
                    counters = process.io_counters()
            except (psutil.Error, OSError):
                continue
            read, written = read + counters.read_bytes, written + counters.write_bytes
            seen[key] = times.user + times.system
            # A process never looked at before has spent what it spent since the last look.
            spent += seen[key] - self._seen.get(key, 0.0)
        elapsed = now - self._at if self._at is not None else 0.0
        self._seen, self._at = seen, now
        self.peak_memory = max(self.peak_memory, memory)
        return Usage(100 * spent / elapsed if elapsed > 0 else 0.0, memory, len(seen), read, written)


@dataclass(frozen=True)
class Seen:
    """A process: its command line and its process group."""

    process: psutil.Process
    words: tuple[str, ...]
    group: int


@dataclass
class Census:
    """All processes, looked at again and again by a monitor that must cost nothing.

    A process's command line is read again only while it is young: between fork and exec it still shows its parent's.
    """

    clock: Callable[[], float] = time.time
    _known: dict[int, Seen] = field(default_factory=dict)

    def look(self) -> list[Seen]:
        """Every process there is now. Zombies among them: whoever needs to know asks for those few that matter."""
        found: dict[int, Seen] = {}
        for pid in psutil.pids():
            known = self._known.get(pid)
            try:
                if known is None or self.clock() - known.process.create_time() < _YOUNG_SECONDS:
                    process = psutil.Process(pid)
                    known = Seen(process, tuple(process.cmdline()), os.getpgid(pid))
                found[pid] = known
            except (psutil.Error, OSError):
                continue
        self._known = found
        return list(found.values())


def began(process: psutil.Process) -> float:
    """Seconds from the machine's start to the process's, which no clock that is set moves. Raises psutil.Error."""
    return process.create_time() - psutil.boot_time()


def members(groups: Iterable[int]) -> list[psutil.Process]:
    """The living processes of these process groups. Zombies are not living."""
    wanted = set(groups)
    found = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) in wanted:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return found


def roles(group: int) -> frozenset[str]:
    """Which of `tap`, `target` and `meltano` live in this process group."""
    found = set()
    for process in members([group]):
        try:
            words = [PurePath(word).name for word in process.cmdline()[:3]]
        except (psutil.Error, OSError):
            continue
        for role in ("tap", "target", "meltano"):
            if any(word == role or word.startswith(f"{role}-") for word in words):
                found.add(role)
    return frozenset(found)
