"""One table's sync under recovery: start it, see that it moves, end it when it does not, start it again from its
bookmark.

A supervisor does nothing by itself: whoever owns it calls `step` now and then, and no step waits. Time, chance, and all
that touches processes are given to it.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sync_rules.exits import Exit, SyncError

from paralelo.clock import Clock
from paralelo.outcomes import Outcome
from paralelo.policy import Policy
from paralelo.runlock import Proof
from paralelo.snapshot import Phase

_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Of a folder that is another user's, or read-only: no restart helps."""

Kind = Literal["started", "stalled", "ended", "recovering", "finished", "failed", "stopped"]


class Process(Protocol):
    """What a supervisor needs of a running job."""

    @property
    def done(self) -> bool: ...

    def gone(self) -> bool: ...

    def end(self) -> None: ...

    def signal(self, signum: int) -> None: ...

    def outcome(self) -> Outcome: ...


@dataclass(frozen=True)
class Sign:
    """A sign of life: when it differs from the last one, something moved. `seen` is False where nobody could look."""

    phase: Phase
    committed: int
    seen: bool = True


@dataclass(frozen=True)
class Event:
    """Something that happened to a table's sync, for logs, notices and metrics. `refused` is an end because another
    sync of the table runs, which changed nothing."""

    kind: Kind
    table: str
    mode: str
    attempt: int
    reason: str = ""
    exit: Exit | None = None
    pause: float | None = None
    refused: bool = False


@dataclass(frozen=True)
class Attempt:
    """One start of the job and how it ended."""

    number: int
    seconds: float
    exit: Exit
    reason: str


@dataclass(frozen=True)
class Ports:
    """The outside world of one table's sync.

    `start(attempt, force)` starts the job, `sign` looks how far it is, `prove_gone` tells whether an earlier run is
    dead, `clean` removes what dead runs of it left (and, with True, their hold on Meltano's run lock).
    """

    start: Callable[[int, bool], Process]
    sign: Callable[[Process], Sign]
    prove_gone: Callable[[], Proof]
    clean: Callable[[bool], None]
    tell: Callable[[Event], None]
    chance: Callable[[], float]


@dataclass
class Supervisor:
    """The supervision of one table's sync, from `begin` to `over`."""

    table: str
    mode: str
    policy: Policy
    ports: Ports
    clock: Clock
    attempts: list[Attempt] = field(default_factory=list)
    outcome: Outcome | None = None
    process: Process | None = None
    sign: Sign = Sign("waiting", 0)
    _begun_at: float = 0.0
    _moved_at: float = 0.0
    _checked_at: float = 0.0
    _committed_before: int = 0
    _ending_for: Outcome | None = None
    _kill_at: float | None = None
    _resume_at: float | None = None
    _restarts: int = 0
    _force: bool = False
    _lock_left: bool = False
    _overrode: bool = False
    _asked_again: bool = False
    _stopping: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing of it runs and nothing will."""
        return self.outcome is not None

    @property
    def begun(self) -> bool:
        """Whether it was ever started, or will not be."""
        return self.process is not None or self.over or bool(self.attempts)

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs, or comes next."""
        return len(self.attempts) + (0 if self.over else 1) or 1

    @property
    def stopped(self) -> bool:
        """Whether someone asked it to end."""
        return self._stopping

    @property
    def phase(self) -> Phase:
        """What it is doing."""
        if self.outcome is not None:
            return "done" if self.outcome.ok else "stopped" if self._stopping else "failed"
        if self._resume_at is not None:
            return "pausing"
        return self.sign.phase if self.process is not None else "waiting"

    @property
    def pause_left(self) -> float | None:
        """Seconds until the next attempt."""
        return None if self._resume_at is None else max(0.0, self._resume_at - self.clock.monotonic())

    def begin(self) -> None:
        """Start the first attempt."""
        self.ports.clean(False)
        self._start()

    def stop(self) -> None:
        """End what runs, at its next page; start nothing more. Asked again, end it at once."""
        if self.over:
            return
        again, self._stopping = self._stopping, True
        if self.process is None:
            self._finish(Outcome(Exit.UNEXPECTED, "stopped on request"), "stopped")
        elif again:
            self.process.signal(signal.SIGKILL)
        else:
            self._end(Outcome(Exit.UNEXPECTED, "stopped on request"))

    def step(self) -> None:
        """See how it is and do what is due."""
        if self.over:
            return
        if self.process is None:
            if self._resume_at is not None and self.clock.monotonic() >= self._resume_at:
                self._start()
        elif self._ending_for is not None:
            self._go_on_ending(self.process)
        elif self.process.done:
            self._ended(self.process)
        else:
            self._check_health(self.process)

    def give_up(self, outcome: Outcome) -> None:
        """Conclude it as failed: whoever steps it can do so no longer, and has ended what ran."""
        if not self.over:
            self.process = None
            self._finish(outcome, "failed")

    def _start(self) -> None:
        self._resume_at = None
        number = len(self.attempts) + 1
        force, self._force = self._force, False
        self._begun_at = self._moved_at = self._checked_at = self.clock.monotonic()
        self.sign = Sign("starting", self.sign.committed)
        try:
            self.process = self.ports.start(number, force)
        except (OSError, SyncError) as error:
            # No process, memory or disk to be had: an attempt that failed, and nothing to the other tables.
            exit_ = error.exit if isinstance(error, SyncError) else Exit.UNEXPECTED
            if isinstance(error, OSError) and error.errno in _NOT_OURS:
                exit_ = Exit.CONFIGURATION
            outcome = Outcome(exit_, f"it could not be started: {error}")
            self.attempts.append(Attempt(number, 0.0, outcome.exit, outcome.reason))
            self._tell("ended", outcome, number)
            self._recover(outcome)
            return
        self._tell("started")

    def _check_health(self, process: Process) -> None:
        sign, now = self.ports.sign(process), self.clock.monotonic()
        if not sign.seen:
            # That the ledger cannot be read says nothing of the sync: the time until it can be again does not count.
            self._moved_at += now - self._checked_at
        self._checked_at = now
        if sign.seen and self.sign.phase == "starting":
            # What earlier attempts committed.
            self._committed_before = sign.committed
        if sign.seen and sign != self.sign:
            self.sign, self._moved_at = sign, now
        idle = now - self._moved_at
        committed = self.sign.committed > self._committed_before
        if idle >= self.policy.patience(self.sign.phase, committed=committed):
            outcome = Outcome(
                Exit.STALLED, f"stalled: nothing was committed for {idle:.0f} seconds while {self.sign.phase}"
            )
            self._tell("stalled", outcome)
            self._end(outcome)

    def _end(self, because: Outcome) -> None:
        assert self.process is not None
        self.process.end()
        self._ending_for = because
        self._kill_at = self.clock.monotonic() + self.policy.grace

    def _go_on_ending(self, process: Process) -> None:
        if process.gone():
            because, self._ending_for, self._kill_at = self._ending_for, None, None
            assert because is not None
            # Only a job that was asked to end may end well after all.
            found = process.outcome()
            self._conclude(found if found.ok else because, killed=found.by_signal is not None)
        elif self._kill_at is not None and self.clock.monotonic() >= self._kill_at:
            process.signal(signal.SIGKILL)
            self._kill_at = None

    def _ended(self, process: Process) -> None:
        if process.gone():
            found = process.outcome()
            self._conclude(found, killed=found.by_signal is not None)
        else:
            # Meltano was killed and its plugins live on: no restart beside them.
            self._end(process.outcome())

    def _conclude(self, outcome: Outcome, *, killed: bool) -> None:
        number = len(self.attempts) + 1
        seconds = self.clock.monotonic() - self._begun_at
        self.attempts.append(Attempt(number, seconds, outcome.exit, outcome.reason))
        self.process = None
        self._tell("ended", outcome, number)
        if self._stopping and not outcome.ok:
            self._after_kill(killed)
            self._finish(outcome, "stopped")
        elif outcome.ok:
            self._finish(outcome, "finished")
        elif outcome.lock_only:
            self._meltano_refused(outcome)
        else:
            self._after_kill(killed)
            self._recover(outcome)

    def _meltano_refused(self, outcome: Outcome) -> None:
        """Meltano's run lock: pass it, once, if whoever holds it is proven dead."""
        proof = self.ports.prove_gone()
        if proof.ask_again and not self._asked_again:
            # Whoever was killed this moment looks alive still.
            self._asked_again = True
            self._resume_at = self.clock.monotonic() + proof.ask_again
            return
        if self._overrode or not proof.gone:
            self._finish(Outcome(Exit.ALREADY_RUNNING, f"already running: {proof.why_not or outcome.reason}"), "failed")
            return
        self._overrode = True
        self.ports.clean(True)
        self._force = True
        self._tell("recovering", outcome, pause=0.0)
        self._start()

    def _after_kill(self, killed: bool) -> None:
        """A killed Meltano leaves its run lock and its plugins' settings."""
        if killed or self._lock_left:
            # Clearing the lock takes Meltano some seconds: until then, each restart proves anew that it may pass.
            self._force = self.ports.prove_gone().gone
        if killed:
            self._lock_left = True
            self.ports.clean(self._force)

    def _recover(self, outcome: Outcome) -> None:
        # Before any restart another sync holds the table: it is refused. Later, or where a run was proven dead, it may
        # be a dead run's backend. A start that Meltano's own lock kept out has none.
        refused = outcome.exit is Exit.ALREADY_RUNNING and self._restarts == 0 and not self._overrode
        if refused or not outcome.exit.restart_helps or self._restarts >= self.policy.max_restarts:
            self._finish(outcome, "failed")
            return
        self._restarts += 1
        pause = self.policy.pause(self._restarts, self.ports.chance())
        self._resume_at = self.clock.monotonic() + pause
        self._tell("recovering", outcome, pause=pause)

    def _finish(self, outcome: Outcome, kind: Kind) -> None:
        self.outcome, self._resume_at = outcome, None
        self._tell(kind, outcome, max(1, len(self.attempts)))

    def _tell(
        self, kind: Kind, outcome: Outcome | None = None, attempt: int | None = None, pause: float | None = None
    ) -> None:
        number = attempt if attempt is not None else len(self.attempts) + 1
        reason, exit_ = (outcome.reason, outcome.exit) if outcome else ("", None)
        refused = kind == "failed" and exit_ is Exit.ALREADY_RUNNING and self._restarts == 0
        self.ports.tell(Event(kind, self.table, self.mode, number, reason, exit_, pause, refused))
