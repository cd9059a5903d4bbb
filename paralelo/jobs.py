"""Meltano jobs as child processes, each in a process group of its own so that it can be ended whole."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import psutil
from sync_rules.exits import ConfigurationError

from paralelo import progress, project, redact, runlog
from paralelo.outcomes import Outcome, judge
from paralelo.runlog import RunLog
from paralelo.status import boot_id
from paralelo.usage import began, members

TERM_GRACE_SECONDS = 20.0
_KILL_GRACE_SECONDS = 20.0
_TOLERANCE_SECONDS = 2.0
"""By how much a process's beginning, which is written down in whole seconds, may seem to move."""
SCRATCH = Path(".paralelo", "scratch")


@dataclass
class RunningJob:
    """A `meltano run` that was started; `log` holds everything it prints, redacted, as JSON lines."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    unwritten: Iterable[Mapping[str, object]] = ()
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    reader: threading.Thread | None = None
    scratch: Path | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    run_id: str = ""

    @property
    def done(self) -> bool:
        """Whether the process has ended; once it has, the log is complete."""
        if self.process.poll() is None:
            return False
        self._tidy()
        return True

    def signal(self, signum: int) -> None:
        """Send a signal to every process of the job."""
        try:
            os.killpg(self.process.pid, signum)
        except ProcessLookupError:
            return

    def end(self) -> None:
        """Ask the whole process group to end, and return. A process that is halted is set going, so that it hears."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the whole process group: politely first, then for certain. Returns once none of it is left."""
        self.end()
        _, left = psutil.wait_procs(members([self.process.pid]), timeout=TERM_GRACE_SECONDS)
        if left:
            self.signal(signal.SIGKILL)
            psutil.wait_procs(left, timeout=_KILL_GRACE_SECONDS)
        self.process.wait()
        self._tidy()

    def gone(self) -> bool:
        """Whether no process of its group is left, its children included."""
        return self.done and not members([self.process.pid])

    def outcome(self) -> Outcome:
        """How it ended. Call it once it is done."""
        # Attempts of one run share a log: only this one's lines count.
        told = (*runlog.lines(self.log), *self.unwritten)
        mine = (line for line in told if self.context.items() <= line.items())
        return judge(self.process.returncode, mine)

    def last_words(self, lines: int = 12) -> str:
        """The last errors it logged, or its last lines, without colours."""
        return runlog.last_words(self.log, lines)

    def _tidy(self) -> None:
        if self.reader is not None:
            # A grandchild that outlives the job may hold the pipe open: it must not hold us.
            self.reader.join(timeout=5.0)
            self.reader = None
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch = None


def start(
    job: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    *,
    context: Mapping[str, object] | None = None,
    root: Path | None = None,
    force: bool = False,
) -> RunningJob:
    """Start `meltano run JOB` in the project, its output to `log`. `context` goes into each line of the log.

    `force` passes Meltano's run lock: only for a caller who has proven that the run that holds it is dead.
    """
    root = root or project.root()
    values = progress.settings(env, root)
    command = [str(meltano()), "run", *(["--force"] if force else []), job]
    # Meltano keeps an unredacted copy of its log below the user's state folder: it goes where we can remove it.
    (root / SCRATCH).mkdir(parents=True, exist_ok=True)
    # As `make setup` leaves it, also where somebody tidied up since: plugins' settings go there, passwords and all.
    settings = root / ".meltano" / "run"
    settings.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # another user's: theirs to close
        settings.chmod(0o700)
    scratch = Path(tempfile.mkdtemp(prefix=f"{owner()}-", dir=root / SCRATCH))
    environ = {
        # Meltano cannot start a plugin without one, and a bare environment has none.
        "PATH": os.defpath,
        **os.environ,
        **(env or {}),
        "MELTANO_CLI_LOG_FORMAT": "json",
        "NO_COLOR": "1",
        "XDG_STATE_HOME": str(scratch),
        # So that its heartbeat can be told from a stranger's.
        "MELTANO_RUN_ID": str(uuid4()),
    }
    sink = RunLog(log, redact.redactor(redact.secrets(values)), {"job": job, **(context or {})})
    try:
        process, reader = _launch(command, root, environ, sink, job)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return RunningJob(
        job,
        process,
        log,
        sink.unwritten,
        reader=reader,
        scratch=scratch,
        context=context or {},
        run_id=environ["MELTANO_RUN_ID"],
    )


def _launch(
    command: Sequence[str], root: Path, environ: Mapping[str, str], sink: RunLog, job: str
) -> tuple[subprocess.Popen[bytes], threading.Thread]:
    """The process and the thread that reads it, both or none. Raises OSError."""
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    reader = threading.Thread(target=sink.relay, args=(process.stdout,), name=f"log of {job}", daemon=True)
    try:
        reader.start()
    except RuntimeError as error:
        # Nobody would read its pipe.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise OSError(errno.EAGAIN, str(error)) from error
    return process, reader


def owner() -> str:
    """This process, told apart from others that have its number: each container has a process 1, each start of the
    machine gives numbers and times anew."""
    return f"{os.getpid()}-{began(psutil.Process()):.0f}-{_boot()}"


def lives(owner: str) -> bool:
    """Whether the process that called itself so lives."""
    pid, since, boot = [*owner.split("-"), "", ""][:3]
    if not (pid.isdigit() and since.isdigit()) or boot != _boot():
        return False
    try:
        return abs(began(psutil.Process(int(pid))) - int(since)) < _TOLERANCE_SECONDS
    except psutil.Error:
        return False


def _boot() -> str:
    return boot_id()[:8]


def meltano() -> Path:
    """The Meltano of this virtual environment. Raises ConfigurationError where it is not installed."""
    found = Path(sys.executable).parent / "meltano"
    if not found.exists():
        raise ConfigurationError(f"Meltano is not installed beside {sys.executable}: run make setup")
    return found
