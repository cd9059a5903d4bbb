"""Time, chance and processes, made up for a supervisor."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from sync_rules.exits import Exit

from paralelo.outcomes import Outcome
from paralelo.policy import Policy
from paralelo.runlock import Proof
from paralelo.supervise import Event, Ports, Sign, Supervisor

QUICK = Policy(jitter=0)
KILLED = Outcome(Exit.UNEXPECTED, "Meltano was ended by signal 9", 9)


@dataclass
class FakeClock:
    at: float = 1_000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime(2025, 11, 3, tzinfo=timezone.utc) + timedelta(seconds=self.at)

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class FakeJob:
    """A job that ends as told; `stubborn` ones hear SIGKILL alone, `orphans` outlive a Meltano that is gone."""

    result: Outcome | None = None
    stubborn: bool = False
    orphans: bool = False
    heard: list[int] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.result is not None

    def gone(self) -> bool:
        return self.done and not self.orphans

    def end(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, signum: int) -> None:
        self.heard.append(signum)
        if signum == signal.SIGKILL or not self.stubborn:
            self.orphans = False
            self.result = self.result or (KILLED if signum == signal.SIGKILL else Outcome(Exit.UNEXPECTED, "ended"))

    def outcome(self) -> Outcome:
        assert self.result is not None
        return self.result


@dataclass
class World:
    clock: FakeClock = field(default_factory=FakeClock)
    jobs: list[FakeJob] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    cleaned: list[bool] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    proof: Proof = field(default_factory=lambda: Proof(True))
    sign: Sign = field(default_factory=lambda: Sign("loading", 0))

    def start(self, attempt: int, force: bool) -> FakeJob:
        assert attempt == len(self.jobs) + 1
        assert all(job.gone() for job in self.jobs), "a second job beside a living one"
        self.jobs.append(FakeJob())
        self.forced.append(force)
        return self.jobs[-1]

    def supervisor(self, policy: Policy = QUICK) -> Supervisor:
        ports = Ports(
            self.start, lambda _: self.sign, lambda: self.proof, self.cleaned.append, self.events.append, lambda: 0.5
        )
        supervisor = Supervisor("bi-credores", "full", policy, ports, self.clock)
        supervisor.begin()
        return supervisor

    def heard_after(self, seconds: float, supervisor: Supervisor) -> list[int]:
        """The signals that the first job has heard once that time has passed and the supervisor has looked."""
        self.clock.at += seconds
        supervisor.step()
        return self.jobs[0].heard

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]
