"""Where the first incremental sync starts: at the last full sync's start.

One that is not finished counts, too: it goes on later with the upper key and the pages it has, so what changed at the
source since it began has to come from the incremental syncs in between. Under Meltano the full sync is another
extractor with a state of its own, which `meltano state get` tells.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sync_rules.batch_info import KeyValue
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import ConfigurationError
from sync_rules.incremental import Clock
from sync_rules.lookback import moment_of

_ASK_SECONDS = 120
_SUMMER = timedelta(hours=1)
"""By which daylight saving moves a clock."""


def last_full_sync(
    stream: str, own_state: Mapping[str, Any], config: Mapping[str, Any], log: logging.Logger
) -> FullBookmark | None:
    """The last full sync of the stream, from the tap's own state or from Meltano's.

    None when there is none, and a line in the log where that is not known yet. Raises ConfigurationError when Meltano
    cannot be asked: going on without an answer could lose changes.
    """
    bookmark = FullBookmark.from_state(own_state)
    state_id = config.get("full_sync_state_id")
    if bookmark is None and state_id:
        bookmark = FullBookmark.from_state(stream_in(read_meltano_state(state_id, config), stream))
    if bookmark is None:
        if own_state.get("mode") != "incremental":
            log.warning("%s: no full sync went before, as far as the state tells", stream)
        return None
    if not bookmark.done:
        log.info("%s: the last full sync is not finished; what changed since it began is read all the same", stream)
    return bookmark


def in_terms_of(clock: Clock, full_sync: FullBookmark, table: str, cursor: str | None) -> FullBookmark:
    """The full sync with its start as the cursor column's clock would write it.

    It knows that itself when it had the same cursor column. Otherwise its start in UTC serves.
    Raises ConfigurationError for a cursor that is no time.
    """
    if full_sync.cursor_at_start is not None and full_sync.cursor_column in (None, cursor):
        return full_sync
    began = start_in_terms_of(clock, full_sync.started_at)
    if began is None:
        raise ConfigurationError(
            f"{table}: the last full sync did not note where {cursor} stood when it began, so changes made since could"
            " be lost: set cursor_column for the full sync, too, and run it again"
        )
    return replace(
        full_sync,
        cursor_at_start=began,
        cursor_column=cursor,
        utc_offset_minutes=clock.utc_offset_minutes,
    )


def stream_in(state: Mapping[str, Any], stream: str) -> Mapping[str, Any] | None:
    """A stream's bookmark in a state, in the shapes Meltano prints it in: plain, under `singer_state`, or split."""
    for part in ("completed", "partial", "completed_state", "partial_state"):
        if isinstance(state.get(part), Mapping) and (found := stream_in(state[part], stream)):
            return found
    inner = state.get("singer_state", state)
    found = (inner.get("bookmarks") or {}).get(stream) if isinstance(inner, Mapping) else None
    return found if isinstance(found, Mapping) else None


def read_meltano_state(state_id: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `meltano state get` prints for the state id; empty for a state that is not there."""
    command = [*meltano_command(config), "--log-level", "critical", "state", "get", state_id]
    root = os.environ.get("MELTANO_PROJECT_ROOT")
    try:
        done = subprocess.run(
            command, cwd=root or None, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"the state {state_id} could not be asked of Meltano ({type(error).__name__}): set meltano_executable, or"
            " unset full_sync_state_id"
        ) from error
    if done.returncode != 0:
        raise ConfigurationError(
            f"`meltano state get {state_id}` ended with {done.returncode}: the start of the last full sync is not known"
        )
    start = done.stdout.find("{")
    if start < 0:
        return {}
    try:
        state = json.loads(done.stdout[start:])
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"`meltano state get {state_id}` printed what is no JSON") from error
    return state if isinstance(state, Mapping) else {}


def meltano_command(config: Mapping[str, Any]) -> list[str]:
    """How to call Meltano: the setting, else as the process that started this tap was called, else from the path."""
    if config.get("meltano_executable"):
        return [str(config["meltano_executable"])]
    parent = Path(f"/proc/{os.getppid()}/cmdline")
    try:
        words = [word for word in parent.read_bytes().decode().split("\0") if word]
    except (OSError, UnicodeDecodeError):
        words = []
    for index, word in enumerate(words[:3]):
        if Path(word).name == "meltano" and Path(word).is_file():
            return words[: index + 1]
    return [shutil.which("meltano") or str(Path(sys.executable).with_name("meltano"))]


def start_in_terms_of(clock: Clock, start_date: str | None) -> KeyValue | None:
    """The `start_date` setting as the source's clock would write it; one without a zone is taken as it is.

    One with a zone comes out an hour earlier: the source's clock may have been that much behind what its offset is now.
    Raises ConfigurationError for text that is no date.
    """
    if not start_date or isinstance(clock.now, int):
        return None
    try:
        moment = moment_of(start_date)
    except ValueError as error:
        raise ConfigurationError(f"setting start_date must be an ISO 8601 date, not {start_date!r}") from error
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
            moment += timedelta(minutes=clock.utc_offset_minutes) - _SUMMER
        except OverflowError:
            moment = datetime.min  # the source's clock has no zone
    return moment.isoformat(timespec="seconds") if "T" in str(clock.now) else moment.date().isoformat()
