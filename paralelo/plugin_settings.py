"""An extractor's settings as Meltano gives them to the tap, asked of Meltano itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from sync_rules.exits import ConfigurationError

from paralelo.jobs import meltano

SECONDS = 60.0
"""Of which Meltano takes some to load."""


def settings_of(extractor: str, root: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The extractor's settings as Meltano gives them to the tap: filters and fields of the table's file among them.

    Raises ConfigurationError where Meltano cannot tell them. They hold secrets: they are read from a pipe, and never
    written.
    """
    command = [str(meltano()), "--log-level=error", "invoke", "--dump=config", extractor]
    try:
        done = subprocess.run(
            command, cwd=root, env=dict(env), capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        _refuse(extractor, f"meltano took over {SECONDS:g} seconds: does its database (MELTANO_DATABASE_URI) answer?")
    if done.returncode:
        _refuse(extractor, f"meltano ended with {done.returncode}")
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        _refuse(extractor, "meltano answered no JSON")


def _refuse(extractor: str, why: str) -> NoReturn:
    raise ConfigurationError(f"the settings of {extractor} cannot be read: {why}") from None
