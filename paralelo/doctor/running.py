"""The runs that Meltano holds for running, as JSON. In a process of its own, for it needs all of Meltano."""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Print them."""
    from meltano.core.db import project_engine
    from meltano.core.job.job import Job, State
    from meltano.core.project import Project

    _, make_session = project_engine(Project.find())
    with make_session() as session:
        held = [
            {"state_id": run.job_name, "since": run.started_at.isoformat(timespec="seconds")}
            for run in session.query(Job).filter_by(state=State.RUNNING)
            if not run.is_stale()
        ]
    sys.stdout.write(json.dumps(held) + "\n")
    return 0


def _told() -> int:
    """An error is told in one line, in the database's own words: SQLAlchemy's last line is an address of its manual."""
    try:
        return main()
    except Exception as error:
        cause = str(getattr(error, "orig", None) or error).partition("[SQL:")[0]
        sys.stderr.write(f"{' '.join(cause.split()) or type(error).__name__}\n")
        return 1


if __name__ == "__main__":
    sys.exit(_told())
