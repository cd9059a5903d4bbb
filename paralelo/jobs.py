"""Meltano jobs as child processes, each in a process group of its own so that it can be ended whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import psutil

from paralelo import project

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TERM_GRACE_SECONDS = 20.0


@dataclass
class RunningJob:
    """A `meltano run` that was started; `log` holds everything it prints."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def done(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """End the whole process group: politely first, then for certain. Returns once none of it is left."""
        members = _members(self.process.pid)
        for signum, patience in ((signal.SIGTERM, _TERM_GRACE_SECONDS), (signal.SIGKILL, _TERM_GRACE_SECONDS)):
            try:
                os.killpg(self.process.pid, signum)
            except ProcessLookupError:
                break
            _, members = psutil.wait_procs(members, timeout=patience)
            if not members:
                break
        self.process.wait()

    def last_words(self, lines: int = 12) -> str:
        """The last lines of the log that are not Meltano's own greeting, without colours."""
        text = _ANSI.sub("", self.log.read_text(encoding="utf-8", errors="replace"))
        return "\n".join(text.strip().splitlines()[-lines:])


def start(job: str, log: Path, env: Mapping[str, str] | None = None, *, environment: str | None = None) -> RunningJob:
    """Start `meltano run JOB` in the project, its output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(meltano())]
    if environment:
        command.append(f"--environment={environment}")
    command += ["run", job]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=project.root(),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return RunningJob(job, process, log)


def meltano() -> Path:
    """The Meltano of this virtual environment."""
    return Path(sys.executable).parent / "meltano"


def _members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                found.append(process)
        except (ProcessLookupError, psutil.Error):
            continue
    return found
