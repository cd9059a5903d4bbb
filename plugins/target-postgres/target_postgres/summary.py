"""One line at the end of a stream, that people and programs read: what came, what became of it, how fast."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from typing import Any

from target_postgres.job import Job
from target_postgres.ledger import Counts, Outcome

logger = logging.getLogger("target-postgres")


class Summary:
    """The figures of one stream's run. The ledger has them too, in `paralelo.sync`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = time.monotonic()
        self.counts = Counts()
        self.outcome: Outcome | None = None
        self.activated = False

    def figures(self) -> dict[str, Any]:
        """Every figure by its name. `seconds` are this run's; a resumed sync's counts are of all its runs."""
        figures: dict[str, Any] = {"stream": self._job.stream, "table": str(self._job.live), "mode": self._job.mode}
        if self._job.version is not None:
            figures.update(version=self._job.version, activated=self.activated)
        figures.update(asdict(self.counts))
        if self.outcome is not None:
            figures.update({f"rows_{name}": value for name, value in asdict(self.outcome).items()})
        figures["seconds"] = round(time.monotonic() - self._started, 3)
        return figures

    def log(self) -> None:
        """Write the line."""
        logger.info("finished %s", json.dumps(self.figures()))
