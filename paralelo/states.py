"""Meltano's saved state, read through Meltano itself: whatever backend the project uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sync_rules.exits import ConfigurationError

State = Mapping[str, Any]
SECONDS = 60.0
"""Of which Meltano takes some to load; somebody waits for the answer."""


def bookmarks(state_ids: Iterable[str], root: Path, env: Mapping[str, str] | None = None) -> dict[str, State]:
    """By state id: the bookmarks it holds, by stream; empty where there is none.

    In a process of its own, for it needs all of Meltano. Raises ConfigurationError when Meltano cannot read them, or
    not in time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "paralelo.states", *state_ids],
            cwd=root,
            env={**os.environ, **(env or {}), "MELTANO_CLI_LOG_LEVEL": "error"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"Meltano could not read its state within {SECONDS:g} seconds: does its database (MELTANO_DATABASE_URI)"
            " answer, and what holds the state?"
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        raise ConfigurationError(f"Meltano cannot read its state: {last[:500]}")
    found: dict[str, State] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def of_stream(bookmarks: State, stream: str) -> State | None:
    """A stream's bookmark. The tap goes by how the source spells a table; the project's file may spell it otherwise."""
    return next((found for name, found in bookmarks.items() if name.casefold() == stream.casefold()), None)


def _print(state_ids: Iterable[str]) -> int:
    from meltano.core.db import project_engine
    from meltano.core.project import Project
    from meltano.core.state_service import StateService

    project = Project.find()
    _, make_session = project_engine(project)
    with make_session() as session:
        service = StateService(project, session)
        found = {name: _bookmarks(service.get_state(name)) for name in state_ids}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _bookmarks(state: Mapping[str, Any] | None) -> State:
    singer = (state or {}).get("singer_state") or {}
    found = singer.get("bookmarks")
    return found if isinstance(found, Mapping) else {}


def _main() -> int:
    """Errors are told in one line, without SQLAlchemy's statement and address: Meltano's own tracebacks break them to a
    terminal's width."""
    try:
        return _print(sys.argv[1:])
    except Exception as error:
        sys.stderr.write(f"{' '.join(str(error).partition('[SQL:')[0].split()) or type(error).__name__}\n")
        return 1


if __name__ == "__main__":
    sys.exit(_main())
