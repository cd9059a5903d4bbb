"""When a sync counts as stalled, and when and how often it is started again."""

from __future__ import annotations

from dataclasses import dataclass

from sync_rules.exits import ConfigurationError

from paralelo.snapshot import Phase


@dataclass(frozen=True)
class Policy:
    """Restarts and stalls; all times in seconds.

    `jitter` spreads each pause by up to that share either way, so that tables that fell together do not rise together.
    """

    max_restarts: int = 3
    delay: float = 300.0
    factor: float = 2.0
    jitter: float = 0.1
    stall: float = 900.0
    start_stall: float = 180.0
    activation_stall: float = 3_600.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        if self.max_restarts < 0 or self.delay < 0 or self.factor < 1 or not 0 <= self.jitter < 1:
            raise ConfigurationError("restarts and delays cannot be negative, and jitter is below 1")
        if self.stall <= 0 or self.activation_stall <= 0:
            raise ConfigurationError("the time after which a sync counts as stalled is more than nothing")

    def pause(self, restart: int, chance: float) -> float:
        """Seconds before the restart of that number (1, 2, 3); `chance` lies between 0 and 1."""
        return self.delay * self.factor ** (restart - 1) * (1 + self.jitter * (2 * chance - 1))

    def patience(self, phase: Phase) -> float:
        """How long nothing may move in a phase. Checks and activation commit nothing until they are through, and
        Meltano's own start is slow on a busy machine."""
        if phase == "starting":
            return max(self.stall, self.start_stall)
        return self.activation_stall if phase in ("checking", "activating") else self.stall
