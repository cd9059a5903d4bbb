"""What one run costs: wall clock, CPU of the client's processes and of both servers, peak memory of the client."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from paralelo.usage import Meter

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """Seconds, but for `memory`: the most resident bytes the client's processes held together when sampled."""

    code: int
    wall: float
    client_cpu: float
    source_cpu: float
    target_cpu: float
    memory: int


def run(command: Sequence[str], env: Mapping[str, str], log: Path, source: int, target: int) -> Cost:
    """Run a command in a process group of its own, its output to `log`; `source`, `target` are the servers' pids."""
    before = tree_cpu(source), tree_cpu(target)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    meter, ended = Meter(), threading.Event()
    sampler = threading.Thread(target=_sample, args=(meter, process.pid, ended), daemon=True)
    sampler.start()
    # The kernel's own sum: every descendant that its parent waited for is in it.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    sampler.join()
    return Cost(
        process.returncode,
        wall,
        used.ru_utime + used.ru_stime,
        tree_cpu(source) - before[0],
        tree_cpu(target) - before[1],
        meter.peak_memory,
    )


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


def _sample(meter: Meter, group: int, ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        meter.measure([group])
