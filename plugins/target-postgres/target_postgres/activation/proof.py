"""The staging table compared with the source, before anything takes effect: `verify: quick` or `deep`.

The comparison is a program of its own (`verify_command`): the target has no connection to a source and knows no dialect
of one. It reads both servers afresh, so it also finds what sums of the tap's own batches would only repeat.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
from datetime import timedelta
from typing import Any

from sync_rules.exits import CheckRefused, ConfigurationError, Exit, SyncError
from sync_rules.lookback import moment_of

from target_postgres.catalog import TableName
from target_postgres.job import Job

logger = logging.getLogger("target-postgres")

EQUAL, DIFFERENT, COULD_NOT_COMPARE = 0, 1, 2
STOP_SECONDS = 10.0


class CouldNotCompare(SyncError):
    """Nothing is known of whether the staged rows are right. Its exit code is that of what stood in the way."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        known = {int(code): code for code in Exit if code is not Exit.FINISHED}
        self.exit = known.get(exit_code, Exit.UNEXPECTED)


def check_possible(job: Job) -> None:
    """Before the first row: a check that cannot be made is told now, and not after hours of reading."""
    if job.rules.verify == "off":
        return
    if not job.settings.verify_command:
        raise ConfigurationError(
            f"{job.live}: verify is {job.rules.verify}, so verify_command must name the program that compares"
        )
    if job.provable_as is None:
        raise ConfigurationError(
            f"{job.live}: verify is {job.rules.verify}, and tables of this source cannot be compared: set verify to off"
        )


def check_equal(job: Job, staging: TableName) -> None:
    """Raise CheckRefused unless the staging table is equal to the source, as `verify` asks for.

    Raises CouldNotCompare, ConfigurationError.
    """
    logger.info("%s: the staged rows are compared with the source (%s)", job.live, job.rules.verify)
    command = _command(job, staging)
    try:
        # What it says on its standard error goes where this process's own does.
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=_environment(job),
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise ConfigurationError(
            f"{job.live}: verify_command cannot be started: {command[0]}: {error.strerror}"
        ) from error
    with program:
        try:
            printed, _ = program.communicate()
        except BaseException:
            _stop(program)
            raise
    found, code = _report(printed), program.returncode
    if code == EQUAL and found.get("verdict") == "equal":
        logger.info("%s: %s", job.live, _praise(found))
        return
    if code == DIFFERENT and found.get("verdict") == "different":
        raise CheckRefused(
            f"{job.live}: the staged rows are not the source's ({job.rules.verify}): {_blame(found)}; the live table is"
            f" untouched. To see them: verify.py '{job.provable_as}' --target '{staging}'"
            f"{' --deep' if job.rules.verify == 'deep' else ''}; to begin anew: --full-refresh"
        )
    why = found.get("error") or f"the comparison ended with code {code}"
    raise CouldNotCompare(
        f"{job.live}: not activated, since the staged rows could not be compared: {why}",
        int(found.get("error_code") or 0) if code == COULD_NOT_COMPARE else 0,
    )


def _stop(program: subprocess.Popen[str]) -> None:
    """This process was told to end: so is the program, and it has a moment to remove what it laid on disk."""
    program.terminate()
    try:
        program.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()


def _command(job: Job, staging: TableName) -> list[str]:
    """Everything the comparison is to go by is said: it must not depend on what else it may find about the table."""
    assert job.provable_as is not None
    sources = {column.name: column.source for column in job.columns}
    command = [*job.settings.verify_command, job.provable_as, "--target", str(staging), "--json=-", "--quiet"]
    command += ["--deep"] if job.rules.verify == "deep" else []
    # Rows that were deleted at the source after they had been read are stale rows of the next full sync.
    command += ["--ignore-extra"]
    settled = _settled(job)
    command += [f"--settled-at={settled}"] if settled else ["--settle=0"]
    command += [f"--cursor={sources[job.cursor]}"] if job.cursor else []
    command += [f"--key={sources[name]}" for name in job.key]
    return command + [f"--column={column.source}" for column in job.columns]


def _environment(job: Job) -> dict[str, str]:
    """This process's own, with the settings in force here: the same database, the same rule for NUL characters.

    The source's settings are there when Meltano runs both: it gives a loader those of its extractor.
    """
    rules = {"nul_characters": job.rules.nul_characters, "nul_replacement": job.rules.nul_replacement}
    settings = {
        f"TARGET_POSTGRES_{name.upper()}": str(value)
        for name, value in {**job.settings.load, **rules}.items()
        if isinstance(value, str | int | float)
    }
    return {**os.environ, **settings}


def _settled(job: Job) -> str | None:
    """Rows that changed since are the incremental syncs' work: they read again from here on. None without a time."""
    if job.cursor is None or job.cursor_at_start is None:
        return None
    return (moment_of(job.cursor_at_start) - timedelta(seconds=job.lookback_seconds)).isoformat()


def _report(text: str) -> dict[str, Any]:
    """The one table's part of the report; empty where there is none."""
    try:
        tables = json.loads(text)["tables"]
        return dict(tables[0])
    except (ValueError, KeyError, IndexError, TypeError):
        return {}


def _praise(found: dict[str, Any]) -> str:
    aside = (
        f"; {found['unsettled']} changed since the sync began and are left to the next" if found["unsettled"] else ""
    )
    return f"the staged rows are the source's: {found['source_rows']} rows compared ({found['check']}){aside}"


def _blame(found: dict[str, Any]) -> str:
    counts = ", ".join(f"{found[kind]} {kind}" for kind in ("missing", "different", "extra"))
    columns = ", ".join(list(found.get("columns") or ())[:8])
    return f"{counts}{f' (in {columns})' if columns else ''}"
