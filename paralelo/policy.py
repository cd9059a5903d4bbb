"""When a sync counts as stalled, and when and how often it is started again."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sync_rules.exits import ConfigurationError

from paralelo.snapshot import Phase

_MOST_RESTARTS = 100
_MOST_DELAY = 86_400
"""A day, which doubles: more is no pause that anybody waits for, and soon no number that a clock can take."""


@dataclass(frozen=True)
class Policy:
    """Restarts and stalls; all times in seconds.

    `jitter` spreads each pause by up to that share either way, so that tables that fell together do not rise together.
    `first_stall` is the least patience until an attempt's first commit: its first query may take that long.
    """

    max_restarts: int = 3
    delay: float = 300.0
    factor: float = 2.0
    jitter: float = 0.1
    stall: float = 900.0
    start_stall: float = 180.0
    first_stall: float = 0.0
    activation_stall: float = 3_600.0
    grace: float = 30.0

    def __post_init__(self) -> None:
        # Written so that what is no number (nan) is refused too.
        if not (0 <= self.max_restarts <= _MOST_RESTARTS and 0 <= self.delay <= _MOST_DELAY):
            raise ConfigurationError(
                f"restarts (--max-restarts) are 0 to {_MOST_RESTARTS}, their delay (--restart-delay) 0 to"
                f" {_MOST_DELAY:,} seconds"
            )
        if not (1 <= self.factor < inf and 0 <= self.jitter < 1):
            raise ConfigurationError("the delay's factor is 1 or more, its jitter less than 1")
        if not (0 < self.stall < inf and self.activation_stall > 0):
            raise ConfigurationError("the seconds that are a stall (--stall) are more than 0, and a number")

    def pause(self, restart: int, chance: float) -> float:
        """Seconds before the restart of that number (1, 2, 3); `chance` lies between 0 and 1."""
        return self.delay * self.factor ** (restart - 1) * (1 + self.jitter * (2 * chance - 1))

    def patience(self, phase: Phase, *, committed: bool = True) -> float:
        """How long nothing may move in a phase, by whether the attempt has committed anything yet.

        Checks and activation commit nothing until they are through, and Meltano's own start is slow on a busy machine.
        """
        if phase == "starting":
            return max(self.stall, self.start_stall)
        if phase in ("checking", "activating"):
            return self.activation_stall
        return self.stall if committed else max(self.stall, self.first_stall)
