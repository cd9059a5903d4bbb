"""What one run costs: wall clock, CPU of the client's processes and of both servers, peak memory of the client."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import psutil

from paralelo.usage import members

SAMPLE_SECONDS = 0.2
ROLES = ("meltano", "tap", "target")


@dataclass(frozen=True)
class Cost:
    """Seconds, but for `memory`: the most bytes the client's processes held together when sampled.

    A page that several processes share counts once over all of them (PSS). `roles` is the CPU of the processes by
    what they are, as last sampled: together up to one sample less than `client_cpu`, which the kernel sums.
    """

    code: int
    wall: float
    client_cpu: float
    source_cpu: float
    target_cpu: float
    memory: int
    roles: dict[str, float] = field(default_factory=dict)


def run(command: Sequence[str], env: Mapping[str, str], log: Path, source: int, target: int) -> Cost:
    """Run a command in a process group of its own, its output to `log`; `source`, `target` are the servers' pids."""
    before = tree_cpu(source), tree_cpu(target)
    began = time.monotonic()
    process = None
    try:
        with log.open("wb") as output, _signals_held():
            process = subprocess.Popen(
                list(command),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        sampler = _Sampler(process.pid)
        sampler.start()
        # The kernel's own sum: every descendant that its parent waited for is in it.
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended.set()
    sampler.join()
    return Cost(
        process.returncode,
        wall,
        used.ru_utime + used.ru_stime,
        tree_cpu(source) - before[0],
        tree_cpu(target) - before[1],
        sampler.peak_memory,
        sampler.by_role(),
    )


@contextmanager
def _signals_held() -> Iterator[None]:
    """What would end the benchmark does so after the block: not between a process's start and its name."""
    came: list[int] = []
    before = {which: signal.signal(which, lambda n, _: came.append(n)) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
        for number in came:
            signal.raise_signal(number)


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process, its living children, and those children it has waited for."""
    process = psutil.Process(pid)
    spent = sum(process.cpu_times()[:4])
    for child in process.children():
        try:
            spent += sum(child.cpu_times()[:4])
        except psutil.Error:
            continue
    return float(spent)


class _Sampler(threading.Thread):
    """Looks at a process group's members again and again until `ended` is set."""

    def __init__(self, group: int) -> None:
        super().__init__(daemon=True)
        self.group, self.ended, self.peak_memory = group, threading.Event(), 0
        self._cpu: dict[tuple[int, float], float] = {}
        self._role: dict[tuple[int, float], str] = {}

    def run(self) -> None:
        while not self.ended.wait(SAMPLE_SECONDS):
            self.sample()

    def sample(self) -> None:
        memory = 0
        for process in members([self.group]):
            try:
                with process.oneshot():
                    key, times = (process.pid, process.create_time()), process.cpu_times()
                    memory += process.memory_full_info().pss
                    self._cpu[key] = times.user + times.system
                    # What a process is shows only after its exec.
                    if self._role.get(key, "other") == "other":
                        self._role[key] = role(process.cmdline())
            except (psutil.Error, OSError):
                continue
        self.peak_memory = max(self.peak_memory, memory)

    def by_role(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        for key, seconds in self._cpu.items():
            # One that ended between its times and its name was never asked for it.
            part = self._role.get(key, "other")
            spent[part] = spent.get(part, 0.0) + seconds
        return spent


def role(command: Sequence[str]) -> str:
    """Which part of a pipeline a command line runs: `meltano`, `tap`, `target` or `other`."""
    for word in command[:3]:
        name = PurePath(word).name
        for known in ROLES:
            if name == known or name.startswith(f"{known}-"):
                return known
    return "other"
